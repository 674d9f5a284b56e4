"""The study of PyTorch's test database: what is right stays right however it is computed; a false alarm and a miss are shown by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import detection
import numpy as np
import pytest
import torch
from study import workers
from study.detection.rivals import DATABASE, OPERATION_RULES
from study.operations import faults as operation_faults
from study.operations import subjects as operation_subjects
from study.operations.database import NoSampleError, Operation, operations
from study.operations.facts import facts_of
from study.operations.inputs import FAMILIES, LEFT_OUT, attempts, domain
from study.operations.pages import DOCUMENT, every_operation, page, paragraph, summary
from study.operations.remembered import Remembering
from study.operations.subjects import AXES, DECOMPOSED, JAX, MEMORY, OWN, REVERSED, subjects
from study.operations.tasks import NoDatabaseError, expect_database, planned
from study.operations.work import tried
from torch import nn

from crosscheck.core import inputs
from crosscheck.core.judge import Facts, Verdict
from crosscheck.core.operation import Call
from crosscheck.references.pytorch.oracle import oracle
from crosscheck.run.cli import UsageError

RUN: Facts = {"seed": 0, "quick": True, "pattern": "", "versions": {"torch": "2"}, "code": "0"}


@dataclass(frozen=True)
class Info:
    """What the study reads of an operation of the database."""

    name: str
    function: Callable[..., Any]
    samples: Sequence[tuple[Any, tuple[Any, ...], dict[str, Any]]] = ()
    domain: tuple[float | None, float | None] = (None, None)
    variant_test_name: str = ""
    decorators: Sequence[Any] = ()

    def get_op(self) -> Callable[..., Any]:
        return self.function

    def gradcheck_wrapper(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    def sample_inputs(self, device: str, dtype: torch.dtype, requires_grad: bool) -> list[SimpleNamespace]:
        return [sample(*given) for given in self.samples]


def sample(x: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> SimpleNamespace:
    return SimpleNamespace(input=x, args=args, kwargs=kwargs or {}, output_process_fn_grad=lambda result: result)


def numbers(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).requires_grad_()


def operation(name: str, function: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Operation:
    """Return an operation with one sample."""
    return operations(Info(name, function, [(x, args, kwargs)]))[0]


def study(*found: Operation) -> dict[str, Facts]:
    return {one.name: tried(one.name, [one], {}, 0) for one in found}


def facts(results: dict[str, Facts]) -> Facts:
    return facts_of(results, RUN, "python scripts/detection.py --operations")


@pytest.fixture(scope="module")
def found() -> dict[str, Facts]:
    """Return the results of two operations."""
    return study(operation("exp", torch.exp, numbers(5, 4)), operation("mm", torch.mm, numbers(4, 9), numbers(9, 3)))


def test_right_operations(found: dict[str, Facts]) -> None:
    """Every way of computing them is right in every family, and every planted fault that is large enough is seen."""
    study = facts(found)
    assert (study["status"], study["short"], study["crashes"]) == (0, [], [])
    assert study["families"] == dict.fromkeys(FAMILIES, 2)
    assert list(study["ways"]) == [*operation_subjects.WAYS, JAX]
    assert study["ways"][OWN]["judged"] == 6 * (2 + 3)
    assert study["faults"]["planted"] == 6
    assert 0 < study["faults"]["have_to_be_seen"] == study["faults"]["seen"]["with the witness"] == study["faults"]["seen"]["without it"]
    assert set(study["rules"]) == {*OPERATION_RULES, DATABASE}


def test_every_family_is_tried_or_has_a_reason() -> None:
    assert {*FAMILIES, *LEFT_OUT} == set(inputs.FAMILIES)


def test_planted_false_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A right subject that is taken for wrong breaks the promise and is named; here one is wrong."""
    wrong = lambda one, call: {name: value * np.float32(1.001) for name, value in operation_subjects.by_autograd(one, call).items()}  # noqa: E731
    monkeypatch.setitem(operation_subjects.WAYS, "slightly off", wrong)
    study_facts = facts(study(operation("exp", torch.exp, numbers(5, 4))))
    assert study_facts["status"] == 1
    assert study_facts["ways"]["slightly off"]["alarms"] == 12
    assert study_facts["ways"][OWN]["alarms"] == 0
    assert study_facts["alarms"][0].startswith("exp, sample 0, normal (drawn), slightly off: output at ")
    assert f"false alarm: {study_facts['alarms'][0]}" in study_facts["short"]
    assert study_facts["rules"]["assert_close"]["alarms"] > 0


def test_planted_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that has to be seen and is not breaks the promise and is named."""
    real = operation_faults._verdict
    monkeypatch.setattr(operation_faults, "_verdict", lambda *given: real(*given) if len(given) > 2 else Verdict.MATCH)
    study_facts = facts(study(operation("exp", torch.exp, numbers(5, 4))))
    unseen = study_facts["faults"]["unseen"]
    assert study_facts["status"] == 1
    assert len(unseen) == study_facts["faults"]["have_to_be_seen"] > 0
    assert all(line.endswith("not seen with the witness") for line in unseen)


def test_what_the_harness_raises_is_a_result() -> None:
    def broken(x: torch.Tensor) -> torch.Tensor:
        if x.detach().abs().max() < 2**-40:
            raise ZeroDivisionError("it was too small")
        return x.exp()

    study_facts = facts(study(operation("broken", broken, numbers(5, 4))))
    assert study_facts["status"] == 2
    assert study_facts["crashes"] == ["broken, sample 0, tiny: ZeroDivisionError: it was too small"]


OTHER_BITS: dict[str, tuple[str, Callable[[], Operation]]] = {
    "steps": (DECOMPOSED, lambda: operation("softmax", torch.softmax, numbers(6, 30), -1)),
    "sums": (REVERSED, lambda: operation("sum", torch.sum, numbers(7, 60))),
    "products": (REVERSED, lambda: operation("mm", torch.mm, numbers(4, 60), numbers(60, 3))),
    "softmax": (REVERSED, lambda: operation("softmax", torch.softmax, numbers(6, 30), -1)),
    "convolution": (REVERSED, lambda: operation("conv2d", nn.functional.conv2d, numbers(2, 5, 6, 6), numbers(3, 5, 3, 3))),
    "transposed convolution": (REVERSED, lambda: operation("conv", nn.functional.conv_transpose2d, numbers(2, 5, 6, 6), numbers(5, 3, 3, 3))),
    "axes": (AXES, lambda: operation("sum", torch.sum, numbers(7, 60))),
    "channels": (MEMORY, lambda: operation("conv2d", nn.functional.conv2d, numbers(2, 5, 6, 6), numbers(3, 5, 3, 3))),
    "another framework": (JAX, lambda: operation("log_softmax", nn.functional.log_softmax, numbers(6, 30), -1)),
}


@pytest.mark.slow("each tries an operation in six families; two rows show how", default=["sums", "products"])
@pytest.mark.parametrize("name", OTHER_BITS)
def test_ways_are_other_ones(name: str) -> None:
    """They round elsewhere, and are right."""
    way, make = OTHER_BITS[name]
    result = study(make())
    assert facts(result)["alarms"] == []
    assert next(iter(result.values()))["ways"][way]["other"] > 0


def test_constants_have_the_precision_of_the_input() -> None:
    """What is closed over is the same number on both sides: a tenth has no end in binary."""
    one = operation("mul", torch.mul, numbers(5, 4), torch.full((4,), 0.1, dtype=torch.float64))
    assert facts(study(one))["alarms"] == []
    assert len(one.arrays) == 1


def test_several_outputs_are_one() -> None:
    one = operation("both", lambda x: (x.exp(), x.argmax(), x.sum()), numbers(5, 4))
    call = Call(one.arrays[0], {}, np.ones(21))
    assert oracle(one).vjp(call)["output"].shape == (21,)


DOMAINS: dict[str, tuple[float | None, float | None]] = {
    "any": (None, None),
    "positive": (0, None),
    "above one": (1, None),
    "below one": (None, 1),
    "between": (-1, 1),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_domains(name: str) -> None:
    """Any numbers are carried into the domain, strictly inside, and stay different ones."""
    interval = low, high = DOMAINS[name]
    one = replace(operation("exp", torch.exp, numbers(5, 4)), info=Info("exp", torch.exp, domain=interval))
    carried = domain(one)(np.array([-1000.0, -0.5, 0.0, 2.0, 1e6]))
    assert low is None or (carried > low).all()
    assert high is None or (carried < high).all()
    assert len(set(carried)) == 5


def test_family_is_tried_weaker_where_it_leaves_the_range() -> None:
    one = operation("exp", torch.exp, numbers(5, 4))
    words = [attempt.words for attempt in attempts(one, Remembering(oracle(one)), "large", 0)]
    assert words[0].endswith("weaker")


def test_samples_own_numbers_are_kept_where_others_are_refused() -> None:
    matrix = numbers(3, 3)
    definite = (matrix @ matrix.T + torch.eye(3)).detach().requires_grad_()
    one = operation("cholesky", torch.linalg.cholesky, definite)
    assert [attempt.words for attempt in attempts(one, Remembering(oracle(one)), "normal", 0)] == ["the sample's own"]


REFUSED: dict[str, tuple[Callable[..., Any], Any, str]] = {
    "random": (nn.functional.dropout, numbers(5), "it draws random numbers"),
    "sparse": (torch.sum, numbers(5, 5).detach().to_sparse().requires_grad_(), "it takes sparse tensors"),
    "sparse on the way": (lambda x: x.to_sparse().to_dense(), numbers(5, 5), "it is sparse on the way"),
    "another precision": (lambda x: x.double(), numbers(5), "of numbers of float32 it makes numbers of float64"),
    "no gradient": (lambda x: x.detach(), numbers(5), "PyTorch does not differentiate it"),
    "whole numbers": (lambda x: x.long(), numbers(5), "none of its results is of floats"),
    "nothing to differentiate by": (torch.exp, torch.ones(5, dtype=torch.int64), "no sample has a tensor of floats to differentiate by"),
    "empty": (torch.exp, numbers(0), "its samples are empty"),
    "large": (torch.exp, numbers(30_000), "its samples have more than 20,000 numbers"),
    "refused by PyTorch": (torch.linalg.cholesky, numbers(3, 3), "PyTorch refuses it in float64: linalg.cholesky"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_operation_that_is_not_tried(name: str) -> None:
    function, x, reason = REFUSED[name]
    with pytest.raises(NoSampleError, match=reason):
        operations(Info(name, function, [(x, (), {})]))


def test_samples_of_different_kinds_are_taken() -> None:
    x = numbers(5, 4)
    given = [(x, (), {"dim": dim}) for dim in (0, 0, 1, None, (0, 1))]
    taken = operations(Info("sum", torch.sum, given))
    assert [one.sample.kwargs["dim"] for one in taken] == [0, None, (0, 1)]


CHANGED: dict[str, tuple[dict[str, Any], int, str]] = {
    "alarm": (
        {"alarms": [{"operation": "exp", "place": "sample 0, ties", "way": "JAX", "quantity": "output", "fraction": 2.0, "words": ""}]},
        1,
        "false alarm: exp, sample 0, ties, JAX: output at 2 of its tolerance",
    ),
    "known difference": (
        {"alarms": [{"operation": "exp", "place": "", "way": "JAX", "quantity": "output", "fraction": 2.0, "words": "", "named": "convention"}]},
        0,
        "",
    ),
    "few families": ({"families": {"normal": [""], "ties": ["no limit"]}}, 1, "judged in 4 families: 1 of 2 operations; in fewer: exp"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_falls_short(name: str, found: dict[str, Facts]) -> None:
    changed, status, line = CHANGED[name]
    study_facts = facts({**found, "exp": found["exp"] | changed})
    assert (study_facts["status"], study_facts["short"]) == (status, [line] if line else [])


def test_process_that_died_is_a_result(found: dict[str, Facts]) -> None:
    study_facts = facts({**found, "svd": {"failed": "its process died"}})
    assert (study_facts["status"], study_facts["failed"]) == (2, {"svd": "its process died"})


def test_whole_run_has_to_try_enough(found: dict[str, Facts]) -> None:
    study_facts = facts_of(found, {**RUN, "quick": False}, "command")
    assert study_facts["short"] == ["2 operations were tried, at least 440 have to be", "6 faults were planted, at least 300 have to be"]


def test_pages(found: dict[str, Facts]) -> None:
    study_facts = facts({**found, "sparse.mm": {"refused": "it takes sparse tensors"}})
    assert "- exp: tiny: no limit\n" in page(facts({**found, "exp": found["exp"] | {"families": {"normal": [""], "tiny": ["no limit", "no limit"]}}}))
    text, table = page(study_facts), every_operation(study_facts)
    assert "| it takes sparse tensors: sparse.mm | 1 |" in text
    tables = [block.splitlines() for block in [table, *text.split("\n\n")] if block.startswith("| ")]
    assert [{line.count("|") for line in lines} for lines in tables] == [{lines[0].count("|")} for lines in tables]
    assert "| mm | 1 | normal ties wide large tiny offset | 18 |" in table


def test_summary_makes_all_but_the_table_of_operations(found: dict[str, Facts]) -> None:
    study_facts = facts(found)
    short = summary(study_facts)
    assert [make(short) for make in (paragraph, page, every_operation)] == [paragraph(study_facts), page(study_facts), ""]


def test_table_of_operations_adds_up_to_the_figures() -> None:
    """The page's own table is the only record of the single operations."""
    facts, lines = (
        DOCUMENT.facts(DOCUMENT.kept),
        DOCUMENT.blocks[-1].page.read_text(encoding="utf-8").split("<!-- table: begin -->\n")[1].splitlines(),
    )
    rows = [[cell.strip().replace(",", "") for cell in line.split("|")[1:-1]] for line in lines[2:-1]]
    totals = [sum(int(row[column]) for row in rows) for column in range(3, len(rows[0]))]
    own, *others = facts["ways"].values()
    rules = [rule["alarms"] for rule in facts["rules"].values()]
    assert len(rows) == facts["tried"]
    assert totals == [own["judged"], *(sum(way[what] for way in others) for what in ("judged", "other")), len(facts["alarms"]), *rules]


def test_figures_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "operations.json"
    source.write_text('{"study": "operations"}', encoding="utf-8")
    assert detection.main(["--readme", str(source)]) == 2
    assert "is not what scripts/detection.py --operations --json writes" in capsys.readouterr().err


def test_no_such_operation() -> None:
    with pytest.raises(UsageError, match="no differentiable operation of PyTorch's test database has such a name; there are exp, mm"):
        planned(["exp", "mm"], "linalg.*", 0)


def test_no_database(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what is missing and what to do, in a worker and beside it."""
    monkeypatch.setitem(sys.modules, "torch.testing._internal.common_methods_invocations", None)
    monkeypatch.setattr(workers, "results", workers.here)
    assert detection.main(["--operations", "--quick"]) == 2
    (said,) = filter(None, capsys.readouterr().err.splitlines())
    assert "pip install expecttest" in said
    results = {"operation:exp": {"failed": "NoDatabaseError: it is not there"}, "operation:mm": {"refused": "why"}}
    with pytest.raises(NoDatabaseError, match="it is not there"):
        expect_database(results)
    assert list(results) == ["operation:mm"]


@pytest.mark.parametrize("option", ["--faults=convolution-*", "--html=page.html"])
def test_options_of_the_other_study(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        detection.main(["--operations", option])
    assert "--operations is another study" in capsys.readouterr().err


def test_subjects_that_read_memory_keep_their_layout() -> None:
    one = operation("as_strided", lambda x: x.as_strided((3, 2), (1, 2)), numbers(5, 4))
    assert not {AXES, MEMORY} & set(subjects(one))


@pytest.mark.slow("it takes twenty seconds; the other tests show each part of it on operations that are not of the database")
def test_quick_run(tmp_path: Path) -> None:
    machine = tmp_path / "operations.json"
    assert detection.main(["--operations", "--quick", "--json", str(machine)]) == 0
    study_facts = json.loads(machine.read_text(encoding="utf-8"))
    assert (study_facts["operations"], study_facts["tried"], study_facts["alarms"]) == (10, 9, [])
    assert study_facts["refused"] == {"it takes sparse tensors": ["sparse.mm.reduce"]}
