"""The declaration of a training step whose layers are not declared."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import isroutine
from typing import Any

from crosscheck.adapters.convention import ConventionError, positional


@dataclass(frozen=True)
class WholeStep:
    """A training function ``step(x, labels) -> loss``, and a dict of parameters that the function updates.

    Parameters
    ----------
    step : callable
        Gets a batch and its labels, does one training step, and returns the loss before the update, alone, first among other results, or as
        ``"loss"`` in a dict. It may also get the parameters first, ``step(params, x, labels)``, and return the loss and new parameters.
    params : dict, list, object or callable
        The dict or list of parameters, whose arrays are updated in place or replaced; an object with its parameters somewhere in it, such as the
        network; or a callable that returns one of these, with the current arrays, not copies.
    names : mapping of str to str
        ``{"W1": "conv.weight: kh kw i o -> o i kh kw"}``: the subject's W1 is the reference's ``conv.weight`` with its axes in another order. Other
        parameters are inferred if there is exactly one way.
    sizes : mapping of str to int
        Lengths of axes inside parentheses.
    predict : callable, optional
        Returns the network's output for a batch, or the probabilities or classes that follow from it.
    one_sample : bool
        Whether the functions take one sample, and its label as an int.
    grads : dict or callable, optional
        The gradients by the parameters' names, as they are after a step, or a callable that returns them. They are also found in what ``step``
        returns, if that is a loss and a dict.
    buffers : dict or callable, optional
        Running statistics by name, as for ``params``.
    buffer_names : mapping of str to str
        As ``names``, for running statistics, whose arrays are also found in the object that holds the parameters.
    """

    step: Callable[..., Any]
    params: Any
    names: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    predict: Callable[..., Any] | None = None
    one_sample: bool = False
    grads: Any = None
    buffers: Any = None
    buffer_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.step):
            raise ConventionError(f"WholeStep's step is a {type(self.step).__name__}, expected a function of a batch and its labels")


def returns_arrays(given: Any) -> bool:
    """Return whether something declared is a function that returns arrays, and no object that has them, such as a network with ``__call__``."""
    if isroutine(given) or isinstance(given, functools.partial):
        return True
    return callable(given) and not any(one.default is one.empty for one in positional(given))
