"""Names in common use: for parameters, for running statistics, and for the gradient of something whose name is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

PARAMETERS = (
    {"weight", "weights", "w", "kernel", "kernels", "filter", "filters", "filt", "f", "gamma"},
    {"bias", "biases", "b", "beta"},
)
"""Names in common use for the same parameter, one set for each parameter."""

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

AFFIXES = (
    *("d{}", "d_{}", "D{}", "{}_grad", "grad_{}", "grad{}", "{}grad", "{}Grad", "{}_grads", "grads_{}", "{}_gradient", "gradient_{}"),
    *("g{}", "g_{}", "delta_{}", "delta{}", "{}_delta", "dL_d{}", "dl_d{}", "dJ_d{}", "dE_d{}", "dLd{}", "nabla_{}", "der_{}", "{}_der", "_d{}"),
)
"""How the name of a gradient is made of the name of its parameter, the most common first."""


def same_name(name: str, other: str, known: Sequence[set[str]]) -> bool:
    """Return whether two names are equal, or are in common use for the same thing."""
    name, other = name.lower(), other.lower()
    return name == other or any(name in names and other in names for names in known)


def same_statistic(name: str, other: str) -> bool:
    """Return whether two names are in common use for the same running statistic; a module's name before them (``bn.running_mean``) does not count."""
    return same_name(name.rpartition(".")[2], other.rpartition(".")[2], STATISTICS)


def is_statistic(name: str) -> bool:
    """Return whether a name is in common use for a running statistic."""
    return any(name.lower() in names for names in STATISTICS)


def gradient_names(name: str) -> Iterator[tuple[str, str]]:
    """Yield what the gradient of something of this name may be called, as (pattern, name): ``("d{}", "dW")``."""
    for pattern in AFFIXES:
        yield pattern, pattern.format(name)
    # gradWeight beside weight, as in Lua Torch
    yield "grad{} with a capital", f"grad{name[:1].upper()}{name[1:]}"
