"""What stays in a layer from call to call on purpose, and how that is declared: gradients that add up, and a state that a method resets."""

from __future__ import annotations

from typing import Any

from crosscheck.adapters.objects import ObjectConvention
from crosscheck.checks.bench import Bench, DoesNotApplyError, copies, differing, zeroed
from crosscheck.core.guard import SubjectError, contained

_RESETS = (
    "reset",
    "reset_state",
    "reset_states",
    "reset_hidden",
    "reset_hidden_state",
    "reset_cache",
    "init_state",
    "init_hidden",
    "clear_state",
    "clear",
)
"""Names in common use for a method that resets a layer's state."""


def declaration_of_state(bench: Bench) -> str:
    """Return the advice for a contract that failed because something stays in the layer; empty if nothing does, or it is declared already."""
    convention = bench.layer.convention
    if not isinstance(convention, ObjectConvention) or "grads" not in convention.keeps:
        return ""
    try:
        if "sum" not in convention.keeps and _adds_up(bench):
            line = convention.declared(accumulates=True)
            return f"; the gradients add up from call to call: if they are cleared elsewhere, declare subject={line}"
        for name in () if convention.reset else _RESETS:
            if callable(getattr(convention.layer, name, None)) and _resets(bench, name):
                line = convention.declared(reset=name)
                return f"; a state stays from call to call, which {name}() resets: if that is meant, declare subject={line}"
    except (SubjectError, DoesNotApplyError):
        pass
    return ""


def _adds_up(bench: Bench) -> bool:
    """Return whether a backward pass with an upstream gradient of zeros leaves gradients as they are, instead of setting them to zero."""
    instance, given = bench.instance(), bench.given(bench.call)
    bench.forward(instance, given)
    first = {name: value for name, value in copies(bench.backward(instance, given)).items() if name.endswith(".grad") and value.any()}
    bench.forward(instance, bench.given(bench.call))
    return bool(first) and not differing(first, bench.backward(instance, zeroed(given), accumulate=True))


def _resets(bench: Bench, name: str) -> bool:
    """Return whether the same call gives the same results again after a method was called."""
    instance: Any = bench.instance()
    first = copies(bench.both(instance, bench.given(bench.call)))
    with contained(name):
        getattr(instance.layer, name)()
    return not differing(first, bench.both(instance, bench.given(bench.call)))
