"""Whatever a subject does ends as a verdict with its reason, and the other checks go on."""

from __future__ import annotations

import contextlib
import gc
import io
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Dicts, Pair, PairResult, Settings, Verdict
from crosscheck.checks import Check, CheckResult, checks_of
from crosscheck.core.guard import SubjectError, TimeLimitError, as_array, contained, own_surroundings, time_limit
from crosscheck.run.check import run_check
from tests.support.conventional import LAYERS, Kernel, ObjectLayer
from tests.support.unshrunk import check

SHORT = 0.2
NORMAL = "values-float64-normal"
Behaviour = Callable[[Any], Any]
"""Gets the right answer and returns, or does, something else."""


class Misbehaving(ObjectLayer):
    """A linear layer whose forward or backward pass does something else at last."""

    def __init__(self, where: str, behaviour: Behaviour) -> None:
        super().__init__(Kernel(LAYERS["linear"]))
        self._where, self._behaviour = where, behaviour

    def forward(self, x: Any, labels: Any = None) -> Any:
        output = super().forward(x)
        return self._behaviour(output) if self._where == "output" else output

    def backward(self, grad_output: Any) -> Any:
        grad_input = super().backward(grad_output)
        if self._where == "W.grad":
            self.grads["W"] = self._behaviour(self.grads["W"])
        return self._behaviour(grad_input) if self._where == "grad_input" else grad_input


def pair(where: str, behaviour: Behaviour, **options: Any) -> Pair:
    """Return a linear layer that does something else, beside PyTorch's."""
    subject = options.pop("subject", None) or Misbehaving(where, behaviour)
    return Pair(subject, nn.Linear(5, 3), [(2, 5)], LAYERS["linear"].params, name="linear", fixed_batch=True, **options)


def found(where: str, behaviour: Behaviour, only: str = NORMAL, timeout: float = 60.0) -> CheckResult:
    result = check(pair(where, behaviour), Settings(timeout=timeout), only=lambda name: name == only)
    assert len(result.results) == 1
    return result.results[0]


def raising(error: BaseException) -> Behaviour:

    def act(value: Any) -> Any:
        raise error

    return act


def recursing(value: Any) -> Any:
    return recursing(value)


class WordlessError(Exception):
    """Has no message."""


RAISED = [
    (raising(ZeroDivisionError("by zero")), "raised ZeroDivisionError: by zero (tests/crosscheck/core/test_guard.py:"),
    (raising(SystemExit(3)), "raised SystemExit: 3 (tests/crosscheck/core/test_guard.py:"),
    (raising(MemoryError()), "raised MemoryError (tests/crosscheck/core/test_guard.py:"),
    (raising(WordlessError()), "raised WordlessError (tests/crosscheck/core/test_guard.py:"),
    (raising(GeneratorExit()), "raised GeneratorExit (tests/crosscheck/core/test_guard.py:"),
    (raising(ValueError("two\nlines")), "raised ValueError: two lines (tests/crosscheck/core/test_guard.py:"),
    (lambda value: sys.exit("enough"), "raised SystemExit: enough (tests/crosscheck/core/test_guard.py:"),
    (lambda value: pytest.skip("not today"), "raised Skipped: not today (tests/crosscheck/core/test_guard.py:"),
    (recursing, "raised RecursionError: maximum recursion depth exceeded"),
    (lambda value: value @ value @ value, "raised ValueError: matmul"),
]

RAISED_IDS = ["error", "exit", "memory", "no-message", "generator-exit", "lines", "sys-exit", "skip", "recursion", "shapes"]


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """PyTorch, which these subjects compute with, imports parts of itself at its first call: that takes longer than the limits here."""
    check(pair("", forever), only=lambda name: name == NORMAL)


@pytest.mark.parametrize("where", ["output", "grad_input"])
@pytest.mark.parametrize(("behaviour", "reason"), RAISED, ids=RAISED_IDS)
def test_raises(behaviour: Behaviour, reason: str, where: str) -> None:
    """A mismatch that names the pass, the error and the subject's own line; what was computed before is judged all the same."""
    result = found(where, behaviour)
    assert result.verdict is Verdict.MISMATCH
    called = "forward" if where == "output" else "backward"
    assert result.reason.startswith(f"{called} {reason}")
    verdicts = {judgement.place.quantity: judgement.verdict for _, judgement in result.judgements}
    right = {"output"} if where == "grad_input" else set()
    assert verdicts == {q: Verdict.MATCH if q in right else Verdict.MISMATCH for q in ("output", "grad_input", "weight.grad", "bias.grad")}


RETURNED: list[tuple[Behaviour, str]] = [
    (lambda value: None, "{} is None: nothing was returned or stored"),
    (lambda value: [1.0, 2.0], "{} is a list of 2, expected an array"),
    (lambda value: (value, value), "{} is a tuple of 2, expected an array"),
    (lambda value: value.astype(object), "{} is an array of dtype object, expected float64"),
    (lambda value: value.astype(str), "{} is an array of dtype <U32, expected float64"),
    (lambda value: value > 0, "{} is an array of dtype bool, expected float64"),
    (lambda value: "text", "{} is a str, expected an array"),
    (lambda value: True, "{} is a bool, expected an array"),
    (lambda value: value[:-1], "the shape is"),
    (lambda value: value.T, "the shape is"),
    (lambda value: 1.0, "the shape is ()"),
    (lambda value: value.astype(np.float32), "the dtype is float32, expected float64"),
    (lambda value: value.astype(np.int64), "the dtype is int64, expected float64"),
    (lambda value: value.astype(complex), "{} is an array of dtype complex128, expected float64"),
    (lambda value: value * np.nan, "NaN where a finite number is expected; "),
    (lambda value: value * np.inf, "infinite where a finite number is expected; "),
]

RETURNED_IDS = [
    *("none", "list", "tuple", "objects", "strings", "booleans", "str", "bool"),
    *("smaller", "transposed", "number", "float32", "int", "complex", "nan", "inf"),
]


@pytest.mark.parametrize("where", ["output", "grad_input", "W.grad"])
@pytest.mark.parametrize(("behaviour", "reason"), RETURNED, ids=RETURNED_IDS)
def test_returns_something_else(behaviour: Behaviour, reason: str, where: str) -> None:
    """Only the quantity that is something else is wrong; the reason says what it is."""
    result = found(where, behaviour)
    quantity = "weight.grad" if where == "W.grad" else where
    assert result.verdict is Verdict.MISMATCH
    patterned = reason if not (where == "W.grad" and reason.startswith("the shape")) else "weight.grad has the shape" if "()" in reason else reason
    assert result.reason.startswith(patterned.format(quantity))
    verdicts = {judgement.place.quantity: judgement.verdict for _, judgement in result.judgements}
    after = ("grad_input", "weight.grad", "bias.grad") if where == "output" and "{}" in reason else ()
    assert verdicts == {q: Verdict.MISMATCH if q in (quantity, *after) else Verdict.MATCH for q in verdicts}


def forever(value: Any) -> Any:
    while True:
        pass


def asleep(value: Any) -> Any:
    """Never end, and do nothing."""
    time.sleep(3600)


def stubborn(value: Any) -> Any:
    """Never end, whatever is raised."""
    while True:
        with contextlib.suppress(Exception):
            time.sleep(3600)


@pytest.mark.each_choice("behaviour", "where")
@pytest.mark.parametrize("where", ["output", "grad_input"])
@pytest.mark.parametrize("behaviour", [forever, asleep, stubborn])
def test_never_ends(behaviour: Behaviour, where: str) -> None:
    """Nobody can say whether it would have been right."""
    started = time.monotonic()
    result = found(where, behaviour, timeout=SHORT)
    assert time.monotonic() - started < 10
    assert result.verdict is Verdict.UNDECIDED
    assert result.reason == "did not end within 0.2 s; set a longer limit with --timeout"


def test_never_ends_while_it_is_copied() -> None:
    class Slow(Misbehaving):
        def __deepcopy__(self, memo: dict[int, Any]) -> Slow:
            forever(self)
            return self

    result = check(pair("", forever, subject=Slow("", forever)), Settings(timeout=SHORT))
    assert result.verdict is Verdict.UNDECIDED
    assert result.error == "linear: preparing the pair did not end within 0.2 s; set a longer limit with --timeout"


class Failing(Misbehaving):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__("", forever)

    def __deepcopy__(self, memo: dict[int, Any]) -> Failing:
        raise TypeError("a file is open")


def test_cannot_be_copied() -> None:
    result = check(pair("", forever, subject=Failing()))
    assert result.verdict is Verdict.UNDECIDED
    assert result.error.startswith("linear: Failing cannot be copied (copying raised TypeError: a file is open (tests/crosscheck/core/test_guard.py:")
    assert result.error.endswith("__deepcopy__)); each check needs its own copy: remove what cannot be copied, or define __deepcopy__")


def test_parameters_cannot_be_set() -> None:
    class Frozen(Misbehaving):
        params = property(lambda self: {"W": np.ones((5, 3)), "b": np.ones(3)}, lambda self, value: None)

        def forward(self, x: Any, labels: Any = None) -> Any:
            return x @ self.params["W"] + self.params["b"]

    result = check(pair("", forever, subject=Dicts(Frozen("", forever))), only=lambda name: name == NORMAL)
    assert result.verdict is Verdict.MISMATCH
    assert result.results[0].reason.startswith("setting the parameters W, b had no effect: reading them back gives other values")


def test_one_check_of_many() -> None:
    """A subject that raises on huge numbers is checked on all others."""

    def picky(value: Any) -> Any:
        if np.abs(value).max() > 2.0**40:
            raise OverflowError("too large")
        return value

    result = check(pair("output", picky))
    verdicts = {r.check: r.verdict for r in result.results}
    assert {name for name, verdict in verdicts.items() if verdict is Verdict.MISMATCH} == {"values-float64-huge", "values-float32-huge"}
    assert verdicts["contract-dtype_is_kept"] is Verdict.MATCH


def test_keyboard_interrupt_is_the_users() -> None:
    with pytest.raises(KeyboardInterrupt):
        found("output", raising(KeyboardInterrupt()))


def test_contract_that_cannot_be_tried() -> None:
    result = found("grad_input", raising(OSError("no disk")), only="contract-same_call_same_answer")
    assert result.verdict is Verdict.MISMATCH
    assert result.reason.startswith("could not be tried: backward raised OSError: no disk")


def everything(act: Callable[[], Any]) -> PairResult:
    """Return what is found about a right layer that does something beside."""

    def also(value: Any) -> Any:
        act()
        return value

    return check(pair("output", also), only=lambda name: name in (NORMAL, "contract-dtype_is_kept"))


class TestSurroundings:
    """What a subject does to the process does not stay."""

    def test_output_is_caught(self, capsys: pytest.CaptureFixture[str]) -> None:
        """It becomes a note, and cannot mix with a report."""
        result = everything(lambda: print("shape", (3, 3)))  # noqa: T201
        assert capsys.readouterr() == ("", "")
        assert result.verdict is Verdict.MATCH
        assert result.results[0].notes == ["your code printed a line: 'shape (3, 3)'"]

    def test_much_output(self, capsys: pytest.CaptureFixture[str]) -> None:
        result = everything(lambda: sys.stderr.write("a\n\nb\n" * 500))
        assert capsys.readouterr() == ("", "")
        assert result.results[0].notes == ["your code printed 1,000 lines, the first: 'a'"]

    def test_closed_output(self) -> None:
        before = sys.stdout
        result = everything(lambda: (print("last words"), sys.stdout.close()))  # noqa: T201
        assert result.verdict is Verdict.MATCH
        assert sys.stdout is before
        assert not before.closed

    def test_replaced_output(self) -> None:
        before = sys.stdout
        everything(lambda: setattr(sys, "stdout", io.StringIO()))
        assert sys.stdout is before

    def test_floating_point_settings(self) -> None:
        before = np.geterr()
        result = everything(lambda: np.seterr(all="raise"))
        assert result.verdict is Verdict.MATCH
        assert np.geterr() == before

    def test_floating_point_settings_made_before(self) -> None:
        """A subject's module that sets them when it is imported does not make the harness raise."""
        with np.errstate(all="raise"):
            result = check(pair("output", lambda value: value), only=lambda name: name.startswith("values-"))
        assert result.verdict is Verdict.MATCH

    def test_warnings(self) -> None:
        """The suite makes warnings errors: a subject's own do not reach it."""
        assert everything(lambda: warnings.warn("old style", DeprecationWarning, stacklevel=1)).verdict is Verdict.MATCH

    def test_global_random_numbers(self) -> None:
        before = np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]  # noqa: NPY002
        everything(lambda: (np.random.seed(0), random.seed(0)))  # noqa: NPY002
        assert np.array_equal(before[0], np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002
        assert before[1] == random.getstate()

    def test_same_seed_same_random_numbers(self) -> None:
        """A subject that draws from the global generators differs in the same way in every run."""

        def noisy(value: Any) -> Any:
            return value + np.random.standard_normal(value.shape) + random.random()  # noqa: NPY002, S311

        worst = [r.divergence.judgement.worst for r in (found("output", noisy) for _ in range(2)) if r.divergence]
        assert len(worst) == 2
        assert worst[0] == worst[1]
        assert found("output", noisy, only="contract-same_call_same_answer").verdict is Verdict.MISMATCH


class TestTimeLimit:
    """The alarm."""

    def test_none(self) -> None:
        with time_limit(0):
            assert signal.getitimer(signal.ITIMER_REAL)[0] == 0

    def test_is_taken_back(self) -> None:
        before = signal.getsignal(signal.SIGALRM)
        with time_limit(SHORT):
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
        assert signal.getsignal(signal.SIGALRM) is before

    def test_the_callers_alarm_is_set_again(self) -> None:
        """A test framework that limits tests by the same signal still does."""
        before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 1000)
        try:
            with time_limit(SHORT):
                pass
            left = signal.getitimer(signal.ITIMER_REAL)[0]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert 900 < left <= 1000


class TestContained:
    """The block that turns errors into reasons."""

    def test_its_own_error_passes(self) -> None:
        with pytest.raises(SubjectError, match=r"^as it was$"), contained("forward"):
            raise SubjectError("as it was")

    def test_long_message(self) -> None:
        with pytest.raises(SubjectError) as caught, contained("forward"):
            raise ValueError("x" * 10_000)
        assert len(caught.value.reason) < 700

    def test_number_is_in_the_precision_asked_for(self) -> None:
        assert as_array(0.5, "output", np.dtype(np.float32)).dtype == np.float32
        assert as_array(np.float64(0.5), "output", np.dtype(np.float32)).dtype == np.float64


def test_printed_while_nothing_runs() -> None:
    """The surroundings end with the block, whatever ended it."""
    before = sys.stdout
    with pytest.raises(ZeroDivisionError), own_surroundings(0):
        raise ZeroDivisionError
    assert sys.stdout is before


def test_check_by_itself() -> None:
    """A test framework runs one check at a time."""
    broken = pair("output", raising(OSError("gone")))
    one = next(c for c in checks_of(broken) if c.name == NORMAL)
    assert isinstance(one, Check)
    assert run_check(broken, one, Settings()).verdict is Verdict.MISMATCH


def ends_after_collecting() -> None:
    """Collect garbage when the time is up, and go on."""

    def collects() -> None:
        gc.collect()
        time.sleep(5)

    with pytest.raises(TimeLimitError), time_limit(0.1), contained("forward"):
        collects()


def test_interrupt_in_a_callback_of_the_collector_is_not_lost() -> None:
    """Ctrl-C during a collection is handled in the first code after it, where an exception would be printed and lost."""

    def interrupts(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            signal.raise_signal(signal.SIGINT)

    def collects() -> None:
        gc.collect()
        gc.callbacks.remove(interrupts)
        time.sleep(60)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores interrupts
    gc.callbacks.append(interrupts)
    try:
        with pytest.raises(KeyboardInterrupt), time_limit(60):
            collects()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_signal_in_a_callback_of_the_collector_is_not_lost() -> None:
    """What such a callback raises is swallowed and becomes a warning, an error here."""
    phases: list[str] = []

    def slow(phase: str, info: dict[str, int]) -> None:
        time.sleep(0 if phases else 0.3)
        phases.append(phase)

    gc.callbacks.append(slow)
    try:
        ends_after_collecting()
    finally:
        gc.callbacks.remove(slow)
    assert phases


def test_signal_in_a_finalizer_is_not_lost() -> None:
    finalized: list[bool] = []

    class Cyclic:
        """Refers to itself, so that only the collector finds it."""

        def __init__(self) -> None:
            self.own = self

        def __del__(self) -> None:
            time.sleep(0.3)
            finalized.append(True)

    Cyclic()
    ends_after_collecting()
    assert finalized == [True]


def test_reason_is_printable() -> None:
    error = SubjectError("\ud800\x1b")
    assert (error.reason, str(error)) == ("\\ud800\\x1b", "\\ud800\\x1b")
