"""An edit of the reference is looked for when a call fails, and has to explain other calls of the pair; with no time, known mistakes are tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from crosscheck import Pair, check
from crosscheck.causes.divergence import Divergence
from crosscheck.causes.variants.explain import Explainer
from crosscheck.causes.variants.search import Search
from crosscheck.checks import Settings
from crosscheck.checks.explained import Explained
from crosscheck.checks.values import explained, judged
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Verdict
from crosscheck.pairs.prepare_layer import prepare_layer
from tests.support.edited import LAYERS
from tests.support.edited.layers.classifiers import Softmax
from tests.support.formulas import elementwise

Array = Any
ONE = "values-float64-normal"


class WithoutInnerProduct(Softmax):
    """The gradient of a softmax without one of its two terms, which no known mistake is."""

    def backward(self, dout: Array) -> Array:
        """Return the wrong gradient."""
        return self.p * dout


class AfterEveryThirdRow(Softmax):
    """No single edit: some rows are right."""

    def backward(self, dout: Array) -> Array:
        """Return the wrong gradient."""
        grad: Array = super().backward(dout)  # type: ignore[no-untyped-call]
        grad[::3] *= np.linspace(0.5, 2.0, grad.shape[1])
        return grad


class OnDeclaredSizeAlone(Softmax):
    """Wrong in one way on the declared size, and in another way on every other."""

    def backward(self, dout: Array) -> Array:
        """Return the wrong gradient."""
        return self.p * dout if dout.shape == (4, 5) else self.p * dout * 1.25


def divergence(subject: type, settings: Settings) -> Divergence:
    (found,) = check(LAYERS["softmax"].pair(subject), settings, only=lambda name: name == ONE).results
    assert found.verdict is Verdict.MISMATCH
    assert found.divergence is not None
    return found.divergence


def test_edit_is_the_cause_of_what_no_known_mistake_is() -> None:
    found = divergence(WithoutInnerProduct, Settings(shrink=False))
    assert found.cause is not None
    assert found.cause.name == "edit: left out"
    assert not found.why_not


@pytest.mark.parametrize("subject", [AfterEveryThirdRow, OnDeclaredSizeAlone])
def test_what_no_edit_explains_on_all_calls_has_no_cause(subject: type) -> None:
    found = divergence(subject, Settings(shrink=False))
    assert found.cause is None
    assert not found.why_not


def refused(self: Search) -> None:
    raise AssertionError("searched")


def test_without_time_known_mistakes_alone_are_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Search, "run", refused)
    found = divergence(WithoutInnerProduct, Settings(shrink=False, explain=0))
    assert found.cause is None
    assert not found.why_not


def test_right_code_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Search, "run", refused)
    monkeypatch.setattr(Explainer, "cause", refused)
    assert check(LAYERS["softmax"].pair(Softmax), Settings(shrink=False)).verdict is Verdict.MATCH


def test_one_explainer_serves_all_checks_of_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it found on one family explains the others."""
    searched: list[Search] = []
    run = Search.run

    def counted(self: Search) -> Any:
        searched.append(self)
        return run(self)

    monkeypatch.setattr(Search, "run", counted)
    found = check(LAYERS["softmax"].pair(WithoutInnerProduct), Settings(shrink=False), only=lambda name: name.startswith("values-float64-"))
    causes = {one.divergence.cause.name for one in found.results if one.divergence is not None and one.divergence.cause is not None}
    assert len([one for one in found.results if one.divergence is not None]) > 3
    assert causes == {"edit: left out"}
    assert len(searched) == 1


def test_further_calls_have_other_numbers_and_other_shapes() -> None:
    prepared = prepare_layer(LAYERS["softmax"].pair(WithoutInnerProduct))
    case = prepared.cases[0]
    call = prepared.call(case, FAMILIES["normal"], "float64", 0)
    seen: list[Any] = []

    def watched(ready: Any, given: Any, dtype: str) -> Any:
        seen.append(given)
        return judged(ready, given, dtype)[0]

    search = Explained(prepared, judged(prepared, call, "float64")[0], case, FAMILIES["normal"], "float64", 0, 10.0, watched)
    assert search.cause is not None
    again, elsewhere = ([one for one in seen if (one.x.shape == call.x.shape) is alike] for alike in (True, False))
    assert again
    assert not any(np.array_equal(one.x, call.x) for one in again)
    assert elsewhere


def wrong_slope(name: str) -> Pair:
    """Return a function whose gradient is wrong in a way that no known mistake is, beside a reference."""
    forward, slope, reference = FUNCTIONS[name]
    return Pair(elementwise(forward, lambda grad, x: grad * slope(x) * (1 + x**2 / 7)), reference, shapes=[(3, 5)], framework="torch")


FUNCTIONS: Mapping[str, tuple[Callable[[Array], Array], Callable[[Array], Array], Callable[[torch.Tensor], torch.Tensor]]] = {
    "a function without a rule": (np.i0, np.ones_like, torch.special.i0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_reference_that_cannot_be_taken_apart_is_said(name: str) -> None:
    (found,) = check(wrong_slope(name), Settings(shrink=False), only=lambda name: name == ONE).results
    assert found.divergence is not None
    assert found.divergence.cause is None
    assert "the reference cannot be taken apart into steps" in found.divergence.why_not


def test_without_a_reference_is_said() -> None:
    pair = replace(wrong_slope("a function without a rule"), reference=None, framework="")
    (found,) = check(pair, Settings(shrink=False), only=lambda name: name == "differences-float64-normal").results
    assert found.divergence is not None
    assert found.divergence.cause is None
    assert found.divergence.why_not == "without a reference there are no steps to change"


def test_search_knows_the_call_that_failed() -> None:
    prepared = prepare_layer(LAYERS["softmax"].pair(WithoutInnerProduct))
    case = prepared.cases[0]
    checked = judged(prepared, prepared.call(case, FAMILIES["normal"], "float64", 0), "float64")[0]
    search = explained(prepared, case, "normal", "float64", Settings(explain=0))(checked)
    assert search.cause is None
    assert not prepared.explainers
    assert explained(prepared, case, "normal", "float64", Settings(explain=5))(checked).cause is not None
    assert [one.seconds for one in prepared.explainers.values()] == [5]
