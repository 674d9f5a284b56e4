"""The study of detection: what is missed, misplaced or misnamed is told by name; an interrupted run goes on; other tools' rules see what they see."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import detection
import numpy as np
import pytest
import torch
from study import workers
from study.detection.ablation import seen_by_rerun
from study.detection.facts import facts_of
from study.detection.figures import paragraph, summary
from study.detection.inputs import TRAINING, compared
from study.detection.pages import render
from study.detection.rivals import RULES, Compared
from study.detection.tasks import Task

from crosscheck.adapters.optimizers import UpdateFunction
from crosscheck.checks import Settings
from crosscheck.core.judge import Facts, Verdict
from crosscheck.core.precision import Array
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.optimizer_pair import OptimizerPair
from crosscheck.run.check import check_pair
from tests.support import model_pairs
from tests.support.faults import FAULTS, Fault
from tests.support.faults.convolution import CONV
from tests.support.faults.fault import _planted
from tests.textbook.convolution import Conv2d

BIAS = "convolution-bias-gradient-averaged"
WARNED = "holdout-product-with-mask"
QUICK = ["--quick", "--quantities", "0"]
NUMBERS = np.array([1.0, -2.0, 3.0], np.float32)

pytestmark = pytest.mark.xdist_group("detection")  # one process with --dist loadgroup, which studies its fault once


def then_interrupted(function: Callable[[Task], Facts], tasks: Sequence[Task], **ways: Any) -> Iterator[tuple[Task, Facts]]:
    """Carry out tasks here, and be interrupted in the third."""
    for number, done in enumerate(workers.here(function, tasks, **ways)):
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
        yield done


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "results", workers.here)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state of a study of one fault."""
    path = tmp_path_factory.mktemp("study") / "state.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "results", workers.here)
        assert detection.main(["--faults", BIAS, *QUICK, "--state", str(path)]) == 0
    return path


@pytest.fixture
def found(state: Path) -> dict[str, Facts]:
    """Return the results of that study by task."""
    results: dict[str, Facts] = json.loads(state.read_text(encoding="utf-8"))["results"]
    return results


def study(found: dict[str, Facts], fault: Fault | None = None) -> Facts:
    """Return the facts of the study of one fault."""
    run = {"seed": 0, "quick": False, "versions": {"numpy": "2"}, "code": "0"}
    return facts_of([fault or FAULTS[BIAS]], found, run, "python scripts/detection.py")


def test_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine, page = tmp_path / "detection.json", tmp_path / "detection.html"
    assert detection.main(["--faults", BIAS, *QUICK, "--json", str(machine), "--html", str(page)]) == 0
    assert capsys.readouterr().out.startswith("KEPT: 1 of 1 fault detected, 1 at the right place; 1 of 1 known cause named, 0 wrong; 0 false alarms")
    facts = json.loads(machine.read_text(encoding="utf-8"))
    assert (facts["faults"], facts["detected"], facts["localised"], facts["missed"]) == (1, 1, 1, [])
    assert facts["rivals"]["assert_close, random"]["told_apart"] == 1
    # An averaged gradient points where the sum does.
    assert facts["rivals"]["cosine 0.999, random"]["missed"] == [BIAS]
    loaded = re.findall(r"<script|<link|<img|@import|(?:src|href)=\"(?!#|data:)[^>]*", page.read_text(encoding="utf-8"))
    assert loaded == []


def test_missed_fault_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fault that changes nothing is none that could be detected."""
    host = FAULTS[BIAS].host
    monkeypatch.setitem(_planted, "tiny-nothing", replace(FAULTS[BIAS], name="tiny-nothing", kind=host.right))
    machine = tmp_path / "detection.json"
    assert detection.main(["--faults", "tiny-*", *QUICK, "--json", str(machine)]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("NOT KEPT: 0 of 1 fault detected")
    assert "  tiny-nothing: not detected (match)\n" in shown
    assert json.loads(machine.read_text(encoding="utf-8"))["missed"] == ["tiny-nothing"]


def test_warning_is_counted_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fault that only a warning tells is no mismatch, and not missed."""
    machine = tmp_path / "detection.json"
    assert detection.main(["--faults", WARNED, *QUICK, "--json", str(machine)]) == 0
    assert capsys.readouterr().out.startswith("KEPT: 0 of 1 fault detected and 1 warning, 1 at the right place; ")
    facts = json.loads(machine.read_text(encoding="utf-8"))
    assert (facts["detected"], facts["warned"], facts["localised"], facts["missed"]) == (0, 1, 1, [])
    assert (facts["catalogue"][0]["seen_by"], facts["catalogue"][0]["warned_by"]) == ([], ["contract-handles_minus_infinity"])
    assert "crosscheck detects 0, warns of 1 and shows 1 at the place" in paragraph(facts)


def test_interrupted_run_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it ends with is what it would have ended with."""
    whole, resumed, state = (tmp_path / name for name in ("whole.json", "resumed.json", "state.json"))
    assert detection.main(["--faults", BIAS, *QUICK, "--json", str(whole)]) == 0
    arguments = ["--faults", BIAS, *QUICK, "--json", str(resumed), "--state", str(state)]
    monkeypatch.setattr(workers, "results", then_interrupted)
    assert detection.main(arguments) == 130
    assert f"3 results are in {state}; continue with the same command and --resume" in capsys.readouterr().err
    assert not resumed.exists()
    monkeypatch.setattr(workers, "results", workers.here)
    assert detection.main([*arguments, "--resume"]) == 0
    assert resumed.read_bytes() == whole.read_bytes()


SHORT: dict[str, tuple[Facts, dict[str, Any], str]] = {
    "another place": ({}, {"at": "output"}, f"{BIAS}: seen at bias.grad, expected at output"),
    "another cause": ({"cause": "sign"}, {}, f"{BIAS}: said to be 'sign', expected '{FAULTS[BIAS].cause}'"),
    "a cause where none is known": ({}, {"cause": ""}, f"{BIAS}: said to be '{FAULTS[BIAS].cause}', expected that it is unknown"),
    "cause unknown": ({"cause": ""}, {}, f"{BIAS}: its cause, '{FAULTS[BIAS].cause}', stays unknown"),
    "undecided": ({"verdict": "undecided", "words": "in words"}, {}, f"{BIAS}: not detected (undecided: in words)"),
}


@pytest.mark.parametrize("name", SHORT)
def test_what_falls_short(name: str, found: dict[str, Facts]) -> None:
    changed, fault, line = SHORT[name]
    key = f"fault:{BIAS}"
    facts = study({**found, key: found[key] | changed}, replace(FAULTS[BIAS], **fault))
    assert (facts["status"], facts["short"]) == (1, [line])


def test_process_that_died_is_a_result(found: dict[str, Facts]) -> None:
    facts = study({**found, f"fault:{BIAS}": {"failed": "its process died"}})
    assert (facts["status"], facts["short"]) == (1, [f"{BIAS}: not detected (failed: its process died)"])


def test_false_alarm_breaks_the_promise(found: dict[str, Facts]) -> None:
    facts = study({**found, "host:conv": found["host:conv"] | {"alarms": ["values-float64-normal: output"]}})
    assert facts["status"] == 1
    assert facts["false_alarms"]["found"] == ["conv: values-float64-normal: output"]


def test_batches_of_right_implementations_count(found: dict[str, Facts]) -> None:
    """Their quantities are added up, for crosscheck and, where they were asked, for the rules of others; an alarm among them is named."""
    batch = {"quantities": 1000, "alarms": ["one way: output"], "ways": ["one", "another"], "elements": 9000, "largest": 0.5}
    facts, before = study({**found, "alarms:batch": batch | {"rules": {"assert_close": [600, 3]}}}), study(found)
    assert facts["false_alarms"]["quantities"] == before["false_alarms"]["quantities"] + 1000
    assert (facts["status"], facts["false_alarms"]["found"]) == (1, ["batch: one way: output"])
    rules = [one["rivals"]["assert_close, random"] for one in (facts, before)]
    assert [rules[0][what] - rules[1][what] for what in ("quantities", "alarms")] == [600, 3]


def test_what_could_not_be_checked_keeps_no_promise(found: dict[str, Facts]) -> None:
    facts = study({**found, "host:conv": found["host:conv"] | {"verdict": "undecided"}})
    assert (facts["status"], facts["unjudged"]) == (2, ["host:conv: undecided"])


def test_part_that_alone_reveals_a_fault(found: dict[str, Facts]) -> None:
    """Without the only check that sees a fault it is lost, and without any other one it is not."""
    checks = dict.fromkeys(found[f"fault:{BIAS}"]["checks"], "match") | {"values-float64-ties": "mismatch"}
    facts = study({**found, f"fault:{BIAS}": found[f"fault:{BIAS}"] | {"checks": checks}})
    lost = [part for part, one in facts["ablation"].items() if one["lost"]]
    assert lost == ["without the family ties", "without the float64 pass"]
    assert facts["ablation"]["without the family ties"] == {"detected": 0, "lost": [BIAS]}


def test_rule_that_rejects_right_code_tells_nothing_apart(found: dict[str, Facts]) -> None:
    rejecting = {"counts": {rule: {"random": {"normal": [4, 4]}} for rule in ("assert_close", "cosine 0.999")}}
    facts = study({**found, f"fault-rivals:{BIAS}": rejecting, "host-rivals:conv": {"counts": {"assert_close": {"random": {"normal": [4, 1]}}}}})
    close, cosine = (facts["rivals"][f"{rule}, random"] for rule in ("assert_close", "cosine 0.999"))
    assert [(one["detected"], one["told_apart"], one["alarms"]) for one in (close, cosine)] == [(1, 0, 1), (1, 1, 0)]


class CotangentAveraged(Conv2d):
    """A cotangent is taken for its mean, which it is where all of it is ones."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(np.full_like(grad_output, grad_output.mean()))


class BatchOfFour(Conv2d):
    """The size of the batch that it was tried on stands in the code."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return super().bias_gradient(grad_output) * 4 / len(grad_output)


def forgetful() -> OptimizerPair:
    """Return an optimizer that has forgotten its momentum, which is nothing before the second step."""
    without_momentum = UpdateFunction(lambda w, dw, config: (w - 0.1 * dw, config))
    return OptimizerPair(without_momentum, functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9))


PARTS: dict[str, Callable[[], Declaration]] = {
    "all ones for the random cotangent": lambda: CONV.pair(CotangentAveraged),
    "without derived sizes": lambda: CONV.pair(BatchOfFour),
    "one step only": forgetful,
}


@pytest.mark.slow("each checks two pairs as a whole; one part shows how parts are taken away", default=["without derived sizes"])
@pytest.mark.parametrize("part", PARTS)
def test_part_inside_checks_is_taken_away(part: str) -> None:
    """What it alone reveals is seen with it and not without it."""
    assert check_pair(PARTS[part](), Settings(shrink=False)).verdict is Verdict.MISMATCH
    assert seen_by_rerun(part, PARTS[part], seed=0) is False


FOLLOWED: dict[str, tuple[Callable[[], Declaration], str, bool]] = {
    "right layer": (lambda: CONV.pair(Conv2d), "normal", True),
    "wrong layer": (lambda: CONV.pair(BatchOfFour), "normal", False),
    "wrong optimizer": (forgetful, "normal", False),
    "right model": (model_pairs.dicts_pair, TRAINING, True),
    "right model, seen from outside": (model_pairs.whole_pair, TRAINING, True),
    "wrong model": (lambda: model_pairs.whole_pair(model_pairs.stepping(lambda network, grads: {"b1": 2 * grads["b1"]})), TRAINING, False),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_rules_get_what_the_checks_get(name: str) -> None:
    make, family, right = FOLLOWED[name]
    found = list(compared(make(), family, summed=False, seed=0))
    assert len(found) >= 20
    assert all(RULES["1e-3 / 1e-4"].takes_for_right(one) for one in found) is right


RULED: dict[str, tuple[str, Any, bool]] = {
    "numpy's default": ("assert_allclose", NUMBERS * np.float32(1 + 3e-7), False),
    "torch's default": ("assert_close", NUMBERS * np.float32(1 + 3e-7), True),
    "torch's default sees a precision": ("assert_close", NUMBERS.astype(np.float64), False),
    "absolute part": ("1e-3 / 1e-4", NUMBERS + np.float32(0.9e-4), True),
    "beyond both parts": ("1e-3 / 1e-4", NUMBERS + np.float32(4e-3), False),
    "twice no error": ("twice the reference's error", NUMBERS * np.float32(1 + 3e-7), False),
    "ten times too large": ("cosine 0.999", 10 * NUMBERS, True),
    "turned": ("cosine 0.999", -NUMBERS, False),
    "size of the difference": ("relative rmse 1e-5", NUMBERS * np.float32(1 + 1e-4), False),
    "another shape": ("cosine 0.999", NUMBERS[:2], False),
    "nothing": ("1e-3 / 1e-4", None, False),
}


@pytest.mark.parametrize("name", RULED)
def test_rule(name: str) -> None:
    rule, value, right = RULED[name]
    assert RULES[rule].takes_for_right(Compared("output", value, NUMBERS, NUMBERS.astype(np.float64))) is right


def test_texts_are_escaped(found: dict[str, Facts]) -> None:
    facts = study(found, replace(FAULTS[BIAS], words="<script>alert(1)</script>", hidden="<b>", at="<i>output"))
    facts["catalogue"][0]["name"] = facts["short"][0] = "<u>$name$"
    page = render(facts)
    assert re.findall("<script>|<b>|<i>|<u>", page) == []
    assert "&lt;script&gt;alert(1)" in page


REFUSED: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no such fault": (
        lambda state: ["--faults", "convolution-kernel-fliped"],
        "no fault of tests/support/faults has such a name; there are activation-",
    ),
    "other suffix": (lambda state: ["--html", str(state.with_suffix(".txt"))], "has to end in .html"),
    "resumed from nothing": (lambda state: ["--resume"], "say --state FILE"),
    "state is there": (lambda state: ["--faults", BIAS, *QUICK, "--state", str(state)], "it exists; add --resume"),
    "another run": (lambda state: ["--faults", BIAS, *QUICK, "--seed", "1", "--state", str(state), "--resume"], "seed: 0 there, 1 here"),
    "no figures": (lambda state: ["--readme", str(state)], "is not what scripts/detection.py --json writes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_run(name: str, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = REFUSED[name]
    assert detection.main(arguments(state)) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("damage", [lambda text: text[:-20], lambda text: text.replace('"checks"', '"cheques"')], ids=["cut off", "another key"])
def test_damaged_state(damage: Callable[[str], str], state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "state.json"
    damaged.write_text(damage(state.read_text(encoding="utf-8")), encoding="utf-8")
    assert detection.main(["--faults", BIAS, *QUICK, "--state", str(damaged), "--resume"]) == 2
    assert "delete it and start again" in capsys.readouterr().err


def test_paragraph_is_that_of_the_summary(found: dict[str, Facts]) -> None:
    facts = study(found)
    assert "crosscheck detects 1 and shows 1 at the place" in paragraph(facts)
    assert paragraph(summary(facts)) == paragraph(facts)
    assert "catalogue" not in summary(facts)
