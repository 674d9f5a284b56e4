"""The measurement of false alarms: it sees what is wrong, says how to see it again, and gives the same result wherever it is run."""

from __future__ import annotations

import re
from dataclasses import replace

import detection_alarms
import numpy as np
import pytest
from study import workers
from study.detection import alarms
from study.detection.alarms_found import Chunk, Found, Reached, joined

from crosscheck.core.judge import Judgement, Kind, Verdict
from crosscheck.core.operation import Call
from crosscheck.core.trace import Place
from tests.support.right_ways import linear
from tests.support.right_ways.layers import dense
from tests.support.right_ways.remembering import Remembering
from tests.support.right_ways.task import INPUTS, LayerTask, Results


def off_by_little(call: Call) -> Results:
    """Return a linear layer whose bias's gradient is wrong in the eleventh digit."""
    results = linear.matmul(call)
    return {**results, "bias.grad": results["bias.grad"] * call.dtype.type(1 + 1e-11)}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> LayerTask:
    """Return the only task that there is: a right implementation and a wrong one."""
    task = replace(dense("linear", 4, 3, (2,), {}), written={"right": linear.matmul, "wrong": off_by_little}, sensitive=())
    monkeypatch.setattr(alarms, "_tasks", lambda: {task.name: task})
    return task


def test_wrong_implementation_is_an_alarm_that_says_how_to_see_it_again(planted: LayerTask) -> None:
    found = alarms.run_here(Chunk("linear", alarms.DEFAULT, "float64", 0, 4))
    assert (found.quantities, found.ways) == (32, {"linear: right": 16, "linear: wrong": 16})
    assert [alarm.partition(": ")[0] for alarm in found.alarms] == [
        f"linear, wrong, default, float64, {inputs}, seed {seed}" for seed, inputs in enumerate(["normal", "1e-30", "digits", "1e-29"])
    ]
    assert all(": bias.grad at " in alarm for alarm in found.alarms)
    again = [alarms.run_here(Chunk("linear", alarms.DEFAULT, "float64", seed, seed + 1)) for seed in range(4)]
    assert joined(again) == found


def test_plan_is_the_same_each_time_and_does_nothing_twice(planted: LayerTask) -> None:
    plan = alarms.chunks(20_000)
    assert plan == alarms.chunks(20_000)
    trials = [(chunk.environment, chunk.dtype, number) for chunk in plan for number in range(chunk.first, chunk.last)]
    assert len(set(trials)) == len(trials)
    assert {chunk.environment for chunk in plan} == {alarms.DEFAULT}  # neither way calls another BLAS by what the task says
    assert 20_000 < len(trials) * len(planted.ways) * planted.quantities < 1.01 * alarms.PLANNED * 20_000


def test_environments_have_trials_of_their_own() -> None:
    plan = alarms.chunks(100_000, "conv2d")
    assert {chunk.environment for chunk in plan} == set(alarms.ENVIRONMENTS)
    seeds = [number for chunk in plan if chunk.dtype == "float64" for number in range(chunk.first, chunk.last)]
    assert len(set(seeds)) == len(seeds)


def test_all_inputs_are_drawn() -> None:
    assert {trial.inputs for trial in alarms.trials_of(Chunk("", "", "float64", 0, 2 * len(INPUTS)))} == set(INPUTS)


@pytest.mark.slow("the process imports PyTorch; it returns what run_here returns, which the tests below call")
def test_result_is_the_same_in_another_process() -> None:
    """In one whose BLAS has other kernels."""
    chunks = [Chunk("max pool 3, stride 1", alarms.DEFAULT, dtype, 7, 9) for dtype in ("float64", "float32")]
    elsewhere = [result for _, result in workers.results(alarms.work_on, chunks, setting=lambda chunk: alarms.setting(HASWELL))]
    assert [replace(alarms.all_found([result]), kernels=[]) for result in elsewhere] == [replace(alarms.run_here(one), kernels=[]) for one in chunks]


HASWELL = Chunk("conv2d", "Haswell", "float32", 0, 1)


def test_command(planted: LayerTask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints every alarm and says by its exit status that there are some."""
    monkeypatch.setattr(workers, "results", workers.here)
    assert detection_alarms.main(["--quantities", "20"]) == 1
    shown = capsys.readouterr().out
    assert re.match(r"\d+ quantities compared, 0 of them .*, of 2 right implementations; 0 not compared; \d+ false alarms\n", shown)
    assert "false alarm: linear, wrong, default, float64, normal, seed 0: bias.grad at " in shown


def test_command_whose_process_dies(planted: LayerTask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(workers, "results", lambda function, tasks, **ways: ((task, {"failed": "its process died"}) for task in tasks))
    assert detection_alarms.main(["--quantities", "20"]) == 2
    assert "right implementations could not be compared: its process died" in capsys.readouterr().err


ONCE_ALARMS = [
    pytest.param("log softmax", "float64", 30, id="logarithm of the sum at the maximum's size-float64"),
    pytest.param("log softmax", "float32", 30, id="logarithm of the sum at the maximum's size-float32"),
    pytest.param("sigmoid", "float64", 8, id="sigmoid by the tangent cancels"),
    pytest.param("sigmoid, measured", "float64", 8, id="sigmoid by the tangent cancels, measured"),
    pytest.param("batch norm 1d", "float32", 5023, id="products underflow before the division by the root"),
    pytest.param("gelu by tanh", "float32", 10_001, id="zero times a square that leaves the range"),
    pytest.param("squared error", "float32", 1075, id="product leaves the range before it is divided"),
    pytest.param("squared error", "float32", 1119, id="terms underflow that are divided one by one"),
    pytest.param("batch norm 2d", "float32", 91, id="third power of the deviation loses its digits"),
    pytest.param("batch norm 2d", "float32", 93, id="third power of the deviation vanishes"),
    pytest.param("module LayerNorm, digit images", "float32", 236, id="variance made of the mean's own rounding"),
    pytest.param("network tutorial", "float32", 6, id="what underflows in one layer reaches the next"),
]


@pytest.mark.parametrize(("task", "dtype", "number"), ONCE_ALARMS)
def test_what_was_an_alarm_is_none(task: str, dtype: str, number: int) -> None:
    found = alarms.run_here(Chunk(task, alarms.DEFAULT, dtype, number, number + 1))
    assert found.quantities > 0
    assert found.alarms == []


def test_layers_are_shown_to_other_rules(planted: LayerTask) -> None:
    shown = list(alarms.compared_in(Chunk("linear", alarms.DEFAULT, "float32", 0, 1)))
    assert [one.quantity for one in shown] == 2 * ["output", "grad_input", "weight.grad", "bias.grad"]
    assert {(one.found.dtype.name, one.reference.dtype.name, one.exact.dtype.name) for one in shown} == {("float32", "float32", "float64")}


def test_oracle_is_asked_again_where_anything_differs(planted: LayerTask) -> None:
    oracle = Remembering(planted.reference())
    call = Call(np.ones((1, 4)), {"weight": np.ones((3, 4)), "bias": np.zeros(3)}, np.ones((1, 3)))
    others = [call.with_x(2 * call.x), replace(call, params={**call.params, "bias": np.ones(3)}), call.astype(np.float32)]
    results = [oracle.vjp(one)["output"] for one in [call, *others, call]]
    assert [value[0, 0] for value in results] == [4, 8, 5, 4, 4]
    assert [value.dtype.name for value in results[-2:]] == ["float32", "float64"]


def test_fractions_are_counted_by_decades() -> None:
    reached = Reached()
    for fraction in (0.0, 1.0, 0.11, 0.1, 0.02, 1e-5, 1e-12, np.inf):
        reached.add(fraction)
    assert (reached.equal, reached.decades) == (1, [4, 1, 0, 0, 1, 0, 1])


def test_tolerance_that_is_never_approached_is_named() -> None:
    found = Found(reached={"far": Reached(largest=9e-4), "near": Reached(largest=2e-3), "equal": Reached(equal=3)})
    assert list(found.loose) == ["far"]


def test_reasons_are_counted_without_their_numbers() -> None:
    found, place = Found(), Place(0, "layer", "output")
    for reason in ("not finite in 3 elements of float32", "not finite in 1,204 elements of float32", ""):
        verdict = Verdict.UNDECIDED if reason else Verdict.MATCH
        found.add(Judgement(place, Kind.ISOLATED, verdict, 7, reason=reason), "key", "way", "again", measured=True)
    assert found.reasons == {"not finite in so many elements of float32": 2}
    assert (found.quantities, found.measured, found.undecided) == (1, 1, 2)
    assert joined([found, found]).reasons == {"not finite in so many elements of float32": 4}
    assert joined([found, found]).measured == 2
