"""Two recorded traces judged: the same verdicts as beside the reference itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crosscheck
from crosscheck import Pair, Settings
from crosscheck.checks.facts import check_facts
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare
from crosscheck.references.recorded.file import Side, write
from crosscheck.run.check import run_check
from crosscheck.run.cli import main
from crosscheck.run.compare_traces import compared
from crosscheck.run.record_trace import record
from tests.support.command import declare_pair, facts, judged, recorded_both
from tests.support.several_inputs import CASES
from tests.support.ways_in import KINDS, by_shape, selection

PAIRS = {
    "right": "pair()",
    "wrong": "pair(Negated)",
    "writes": "pair(WritesToInput)",
    "raises": "pair(Raises)",
    "half": "pair(dtypes=('float32',))",
}

ASKED = ("contract-many_samples_work", "contract-handles_minus_infinity")
ASKED_NOTHING = "there is no reference that answers for new inputs"


@pytest.mark.slow("each is recorded and checked twice; the rows show a match, a mismatch and an error", default=["right-0", "wrong-3", "raises-0"])
@pytest.mark.parametrize("seed", ["0", "3"])
@pytest.mark.parametrize("name", PAIRS)
def test_recorded_reference_gives_the_same_verdicts(folder: Path, name: str, seed: str) -> None:
    """In the place of the reference, and from a trace of either side."""
    declare_pair(folder, PAIRS[name])
    status = main(["check", "pairs.py", "--seed", seed, "--no-shrink", "--json", "r.json"])
    expected = judged(facts(folder))
    recorded_both(folder, PAIRS[name], "--seed", seed)
    declare_pair(folder, PAIRS[name].replace("pair(", "beside('r.safetensors', ").replace(", )", ")"))
    source = (folder / "pairs.py").read_text()
    beside = "def beside(path, kind=Scale, **rest):\n    return crosscheck.Pair(kind(), crosscheck.recorded(path), shapes=[(4, 3), (1, 3)], **rest)\n"
    (folder / "pairs.py").write_text(source.replace("PAIR =", f"{beside}PAIR ="))
    assert main(["check", "pairs.py", "--seed", seed, "--no-shrink", "--json", "in_place.json"]) == status
    in_place = judged(facts(folder, "in_place.json"))
    assert [check for check in in_place if check[0] not in ASKED] == [check for check in expected if check[0] not in ASKED]
    assert {check[2] for check in in_place if check[0] in ASKED} == {f"does not apply: {ASKED_NOTHING}"}
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "compared.json"]) == status
    assert judged(facts(folder, "compared.json")) == [check for check in expected if check[1] != "skipped" or check[0].startswith("contract")]


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--strict"], 1)], ids=["warned", "strict"])
def test_warning_is_recorded_as_one(folder: Path, options: list[str], status: int) -> None:
    recorded_both(folder, "pair(ReadsItsMode)", "--only", "values-float64-normal", "--only", "*mode_of_forward")
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "r.json", *options]) == status
    assert facts(folder)["warnings"] == 1 - status


def test_trace_says_what_is_not_repeatable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_both(folder, "pair(deterministic=False)", "--only", "values-float64-normal")
    assert main(["compare", "s.safetensors", "r.safetensors"]) == 0
    assert "; declared as not deterministic" in " ".join(capsys.readouterr().out.split())


def test_cause_is_found_in_a_trace(folder: Path) -> None:
    recorded_both(folder, "pair(Negated)")
    main(["compare", "s.safetensors", "r.safetensors", "--json", "r.json"])
    first = facts(folder)["pairs"][0]["checks"][0]["first_divergence"]
    assert (first["quantity"], first["cause"]) == ("weight.grad", "constant factor")


def test_gradients_read_off_an_update_are_judged_with_the_error_of_reading(folder: Path) -> None:
    """The tolerance of a subject that stores no gradient travels with its trace."""
    (folder / "pairs.py").write_text(
        """
import numpy as np
from crosscheck import Pair, Updating
from plain import ScaleReference

class Steps:
    def __init__(self):
        self.w = np.ones(3)
    def forward(self, x):
        self.x = x
        return x * self.w
    def backprop(self, grad_output, rate):
        result = grad_output * self.w
        self.w = self.w - rate * grad_output * self.x
        return result

PAIR = Pair(Updating(Steps(), "w"), ScaleReference(), shapes=[(4, 3), (1, 3)], params={"w": "weight"})
"""
    )
    assert main(["check", "pairs.py", "--json", "r.json"]) == 0
    for side in ("subject", "reference"):
        assert main(["trace", "pairs.py", "--side", side, "--out", f"{side[0]}.safetensors"]) == 0
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "compared.json"]) == 0
    expected = [check for check in judged(facts(folder)) if check[0].startswith("values")]
    assert [check for check in judged(facts(folder, "compared.json")) if check[0].startswith("values")] == expected


def test_what_only_one_side_has_is_undecided(folder: Path) -> None:
    """A check that one trace lacks is not passed over."""
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    main(["trace", "pairs.py", "--side", "subject", "--out", "s.safetensors", "--only", "values-float64-ties"])
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "r.json"]) == 2
    found = {check["check"]: (check["verdict"], check["reason"]) for check in facts(folder)["pairs"][0]["checks"]}
    assert found["values-float64-normal"] == ("undecided", "your code's trace does not contain this")
    assert found["values-float64-ties"][0] == "undecided"
    assert "NumPy was not recorded for this input of shape (4, 3)" in found["values-float64-ties"][1]


def test_pair_that_one_side_lacks_is_undecided(folder: Path) -> None:
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    declare_pair(folder, "pair(name='other')")
    main(["trace", "pairs.py", "--side", "subject", "--out", "s.safetensors", "--only", "values-float64-normal"])
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "r.json"]) == 2
    assert [pair["error"] for pair in facts(folder)["pairs"]] == ["other: not in the reference's trace", "Scale: not in the subject's trace"]


def told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the facts of a pair say of each check of values."""
    return {check["check"]: (check["verdict"], check["reason"], check["quantities"]) for check in facts["checks"]}


def directly(pair: Pair) -> dict[str, Any]:
    """Return the same of a pair that is checked beside its reference, and no skipped checks, which a trace need not contain."""
    settings = Settings(shrink=False)
    return told({"checks": [check_facts(check, run_check(pair, check, settings), "", 0.0) for check in selection(pair).checks]})


def traced(pair: Pair, side: Side, folder: Path) -> Path:
    """Record one side of a pair."""
    path = folder / f"{side}.safetensors"
    write(record([selection(pair)], side, Settings(), lambda _: None), path)
    return path


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_function_is_judged_alike(name: str, right: bool, tmp_path: Path) -> None:
    """Directly, from two traces, and beside a recorded reference of which only the shape of the first input is declared."""
    kind = KINDS[name]
    pair = kind.pair(kind.right if right else kind.wrong)
    expected = directly(pair)
    verdicts = {verdict for check, (verdict, _, _) in expected.items() if check.startswith("special") or not kind.special}
    assert right == ("mismatch" not in verdicts)
    assert "match" in verdicts or not right
    reference = traced(pair, "reference", tmp_path)
    in_place = by_shape(pair, crosscheck.recorded(reference))
    assert [case.shapes for case in prepare(in_place).derived] == [case.shapes for case in prepare(pair).derived]
    assert prepare(in_place).elements == prepare(pair).elements
    assert directly(in_place) == expected
    (found,), seed = compared(traced(pair, "subject", tmp_path), reference, "")
    assert (told(found), seed) == (expected, 0)


class Unaware(CASES["cross-entropy"].right):  # type: ignore[misc]
    """A cross-entropy that knows of no labels to ignore."""

    def loss(self, logits: Array, labels: Array) -> tuple[Array, Array]:
        found: tuple[Array, Array] = CASES["cross-entropy"].right((), False, None).loss(logits, np.where(labels < 0, 0, labels))
        return found


def test_labels_that_code_does_not_ignore_are_skipped_in_traces_too(tmp_path: Path) -> None:
    """Whether PyTorch's default applies depends on the code, so the reference's trace holds these calls, and the code's trace says why not."""
    pair = CASES["cross-entropy that ignores -100"].pair(Unaware)
    expected = directly(pair)
    assert {verdict for check, (verdict, _, _) in expected.items() if check.startswith("special")} == {"skipped"}
    reference = traced(pair, "reference", tmp_path)
    assert directly(by_shape(pair, crosscheck.recorded(reference))) == expected
    (found,), _ = compared(traced(pair, "subject", tmp_path), reference, "")
    assert told(found) == expected


def test_size_that_was_not_recorded_is_not_tried(tmp_path: Path) -> None:
    """A pair that fixes an axis is tried on fewer sizes than the reference was recorded on, and matches."""
    kind = KINDS["embedding"]
    pair = kind.pair(kind.right)
    recorded = crosscheck.recorded(traced(pair, "reference", tmp_path))
    fixed = replace(by_shape(pair, recorded), fixed={1})
    assert {case.shape[1] for case in prepare(fixed).derived} == {pair.sizes["time"]}
    assert len({case.shape[1] for case in prepare(by_shape(pair, recorded)).derived}) > 1
