"""Names in common use: for parameters, for running statistics, and for the gradient of something whose name is known."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

_WEIGHT, _BIAS = "weight", "bias"
_KINDS = {
    **dict.fromkeys(
        ("weight", "weights", "w", "kernel", "kernels", "filter", "filters", "filt", "f", "gamma", "theta", "table", "matrix", "scale"), _WEIGHT
    ),
    **dict.fromkeys(("bias", "biases", "b", "beta", "shift", "offset"), _BIAS),
}
"""What a parameter of this name is."""

_ROLES = {
    **dict.fromkeys(("q", "query", "queries"), "query"),
    **dict.fromkeys(("k", "key", "keys"), "key"),
    **dict.fromkeys(("v", "value", "values"), "value"),
    **dict.fromkeys(("o", "out", "output", "outputs"), "output"),
    **dict.fromkeys(("ih", "xh", "hx", "x", "i", "in", "input", "inputs"), "input"),
    **dict.fromkeys(("hh", "h", "hidden", "rec", "recurrent"), "hidden"),
    **dict.fromkeys(("norm", "ln", "bn", "layernorm", "batchnorm"), "norm"),
}
"""What a parameter of such a name, of which there are several, is for. ``U`` and ``W`` are not among them: either may be that of the hidden state."""

_GENERAL = {"self", "attn", "attention", "proj", "projection", "linear", "fc", "dense", "lin", "layer", "layers", "l", "params", "parameters"}
"""Words in names that say nothing of what tells one parameter from another."""

STATISTICS = (
    {"running_mean", "moving_mean", "run_mean", "mean_running", "global_mean"},
    {"running_var", "running_variance", "moving_var", "moving_variance", "run_var", "var_running", "global_var"},
)
"""Names in common use for the same running statistic, one set for each statistic."""

GRADIENTS = ("grads", "gradients", "grad", "gradient", "_grads", "_gradients", "get_grads", "get_gradients")
"""Names in common use for what holds the gradients of all parameters: a dict, a list or a method that returns one of them."""

COLLECTIONS = ("params", "parameters", "_params", "_parameters", "get_params", "get_parameters", "params_and_grads", "trainable_params")
"""Names in common use for what holds all parameters."""

VALUES = ("data", "value", "val", "array", "values")
"""Names in common use for the array of a parameter that is an object of its own."""

OUTPUTS = ("output", "outputs", "out", "y", "Y", "a", "A")
"""Names in common use for the attribute where a forward pass that returns nothing leaves its output."""

INPUT_GRADIENTS = ("dinputs", "dinput", "d_inputs", "d_input", "dx", "dX", "grad_input", "grad_inputs", "input_grad", "inputs_grad")
"""Names in common use for the attribute where a backward pass that returns nothing leaves the input's gradient."""

AFFIXES = (
    *("d{}", "d_{}", "D{}", "{}_grad", "grad_{}", "grad{}", "{}grad", "{}Grad", "{}_grads", "grads_{}", "{}_gradient", "gradient_{}"),
    *("g{}", "g_{}", "delta_{}", "delta{}", "{}_delta", "dL_d{}", "dl_d{}", "dJ_d{}", "dE_d{}", "dLd{}", "nabla_{}", "der_{}", "{}_der", "_d{}"),
)
"""How the name of a gradient is made of the name of its parameter, the most common first."""


def alike(ours: Iterable[str], theirs: Iterable[str]) -> dict[str, str]:
    """Return for each of our names the one of their names that means the same, where there is exactly one.

    ``W_q`` means ``q_proj.weight``, and ``b1``, of ``b1`` and ``b2``, the first of ``0.bias`` and ``2.bias``. Equal names come first, then those that
    say the same of what a parameter is and what it is for, then those that say the same of what it is.
    """
    ours, theirs, found = list(ours), list(theirs), dict[str, str]()
    for mine, its in ((str.lower, str.lower), (_meaning(ours), _meaning(theirs)), (_kind, _kind)):
        left, free = {name: mine(name) for name in ours if name not in found}, {name: its(name) for name in theirs if name not in found.values()}
        counts, of = (Counter(left.values()), Counter(free.values())), {sense: name for name, sense in free.items()}
        found |= {name: of[sense] for name, sense in left.items() if sense and counts[0][sense] == counts[1][sense] == 1}
    return found


Sense = tuple[str, frozenset[str], tuple[int, ...]] | str
"""What a name says; empty if it says nothing."""


def _kind(name: str) -> Sense:
    return next((kind for word in _words(name.rpartition(".")[2]) if (kind := _KINDS.get(word))), "")


def _meaning(names: Sequence[str]) -> Callable[[str], Sense]:
    """Return a function that says what one of several names means: what it is, what it is for, and its place in the order of their numbers."""
    numbers = sorted({int(word) for name in names for word in _words(name) if word.isdecimal()})
    # A word of all names, such as that of the only module, tells none from another.
    everywhere = set[str].intersection(*({*_words(name)} for name in names)) if len(names) > 1 else set()

    def meaning(name: str) -> Sense:
        words = _words(name)
        places = tuple(numbers.index(int(word)) for word in words if word.isdecimal()) if len(numbers) > 1 else ()
        of = frozenset(_ROLES.get(word, word) for word in words if not word.isdecimal() and word not in {*_KINDS, *_GENERAL, *everywhere})
        kind = str(_kind(name))
        return (kind, of, places) if kind or of or places else ""

    return meaning


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case: ``W_ih``, ``Wih`` and ``w.ih`` have the words ``w`` and ``ih``."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]
    parts = ([word[0], word[1:]] if word[0] in "wb" and word not in _KINDS and word[1:] in _ROLES else [word] for word in words)
    return list(itertools.chain.from_iterable(parts))


def same_statistic(name: str, other: str) -> bool:
    """Return whether two names are in common use for the same running statistic; a module's name before them (``bn.running_mean``) does not count."""
    one, other = (text.rpartition(".")[2].lower() for text in (name, other))
    return one == other or any(one in names and other in names for names in STATISTICS)


def is_statistic(name: str) -> bool:
    """Return whether a name is in common use for a running statistic."""
    return any(name.lower() in names for names in STATISTICS)


def gradient_names(name: str) -> Iterator[tuple[str, str]]:
    """Yield what the gradient of something of this name may be called, as (pattern, name): ``("d{}", "dW")``."""
    private, own = ("_", name[1:]) if name.startswith("_") else ("", name)
    for pattern in AFFIXES:
        yield pattern, private + pattern.format(own)
    # gradWeight beside weight, as in Lua Torch
    yield "grad{} with a capital", f"{private}grad{own[:1].upper()}{own[1:]}"
