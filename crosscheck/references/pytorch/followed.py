"""PyTorch: an optimizer that is followed step by step, from parameters and gradients that are given anew in each step.

The optimizer's own state is all that passes from one step to the next. Beside the run in float64, several runs with enlarged rounding errors keep a
state of their own; their spread shows how far rounding may lead the parameters. These runs are one optimizer, whose tensors have the runs as their
first axis, if that gives the same as an optimizer for each run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch

from crosscheck.core.operation import Arrays, RefusedError
from crosscheck.core.precision import Array
from crosscheck.oracles.theories.measured import SCALES
from crosscheck.oracles.whole import EACH
from crosscheck.references.functions import REFUSALS, optimizer_of, reason_of
from crosscheck.references.pytorch.noise import perturbed as pytorch_noise
from crosscheck.references.pytorch.optimizers import double_by_default
from crosscheck.references.pytorch.oracle import HALF, array, tensor


class Followed:
    """An optimizer beside the subject's.

    Parameters
    ----------
    make : callable or None
        Gets a list of tensors and returns a ``torch.optim.Optimizer``. Without it, parameters do not change.
    schedule : callable or None
        Gets the optimizer and returns a scheduler of its learning rate, whose ``step`` is called after each step.
    clip : callable or None
        Gets a list of tensors and changes their gradients in place, as ``torch.nn.utils.clip_grad_norm_`` does.
    start : mapping of str to array
        The parameters that train, as they are before the first step.
    underflow : float
        The absolute error of every rounded result, in multiples of the unit roundoff.

    Raises
    ------
    RefusedError
        If ``make``, ``schedule`` or ``clip`` is not what is expected.
    """

    def __init__(self, make: Any, schedule: Any, clip: Any, start: Arrays, underflow: float = 0.0) -> None:
        self._clip, self._underflow, self._steps = clip, underflow, 0
        with double_by_default():
            still = make is None or not start  # PyTorch's optimizers refuse an empty list
            self._alone: _Runs = _Unchanged() if still else _Alone(make, schedule, start)
            self._runs: list[_Runs] = [_Unchanged() if still else _runs_of(make, schedule, start) for _ in SCALES]

    def step(self, before: Arrays, grads: Arrays, noisy: Sequence[Arrays], clip: bool = True) -> tuple[dict[str, Array], list[dict[str, Array]]]:
        """Return the parameters after a step in float64, and in the perturbed runs of each scale, with the runs as their first axis.

        Parameters
        ----------
        before, grads : mapping of str to array
            The parameters and their gradients.
        noisy : sequence of mapping
            The gradients of the perturbed runs of each scale, with the runs as their first axis; empty if the gradients have no error.
        clip : bool
            Whether the gradients are to be clipped; false if they are already.
        """
        self._steps += 1
        several = noisy or [{name: np.stack([value] * EACH) for name, value in grads.items()} for _ in SCALES]
        clip = clip and self._clip is not None
        with double_by_default():
            after = self._alone.step(before, self.clipped(grads) if clip else grads)
            spread = []
            for number, (scale, runs, own) in enumerate(zip(SCALES, self._runs, several, strict=True)):
                seed, lost = 1000 * (len(SCALES) * self._steps + number), self._underflow * scale
                given = self._each_clipped(own, scale, seed, lost) if clip else own
                with _NoiseOfRuns(scale, seed, lost, batch=EACH if isinstance(runs, _Stacked) else 0):
                    spread.append(runs.step(before, given))
        return after, spread

    def clipped(self, grads: Arrays) -> dict[str, Array]:
        """Return gradients as the optimizer gets them."""
        if self._clip is None:
            return dict(grads)
        tensors = {name: tensor(np.asarray(value, np.float64)).requires_grad_() for name, value in grads.items()}
        for value in tensors.values():
            value.grad = value.detach().clone()
        with _refusing("clip"):
            self._clip(list(tensors.values()))
        return {name: array(value if value.grad is None else value.grad) for name, value in tensors.items()}

    def _each_clipped(self, several: Arrays, scale: float, seed: int, lost: float) -> dict[str, Array]:
        runs = []
        for run in range(EACH):
            with pytorch_noise.Noise(scale, seed + 1 + run, lost):
                runs.append(self.clipped({name: value[run] for name, value in several.items()}))
        return {name: np.stack([one[name] for one in runs]) for name in several}


class _Runs(Protocol):
    """One or several runs of an optimizer."""

    def step(self, before: Arrays, grads: Arrays) -> dict[str, Array]:
        """Return the parameters after a step, starting from ``before``; several runs are the first axis of gradients and results."""


class _Unchanged:
    """No optimizer."""

    def step(self, before: Arrays, grads: Arrays) -> dict[str, Array]:
        return {name: np.broadcast_to(before[name], value.shape) for name, value in grads.items()}


class _Alone:
    """One optimizer of tensors with the shapes of the parameters."""

    def __init__(self, make: Any, schedule: Any, start: Arrays) -> None:
        self._tensors = {name: tensor(np.asarray(value, np.float64)).requires_grad_() for name, value in start.items()}
        names = ("a list of tensors", "a torch.optim.Optimizer", "torch.optim.SGD(params, lr=0.1)")
        self._optimizer = optimizer_of(make, list(self._tensors.values()), lambda one: isinstance(one, torch.optim.Optimizer), *names)
        known = {id(value) for value in self._tensors.values()}
        if any(id(value) not in known for group in self._optimizer.param_groups for value in group["params"]):
            raise RefusedError(
                f"the reference optimizer trains other tensors than those that its function gets; make it of these: lambda params: {names[2]}"
            )
        for group in self._optimizer.param_groups:
            group.update({name: False for name in ("foreach", "fused") if name in group})
        with _refusing("schedule"):
            self._scheduler = None if schedule is None else schedule(self._optimizer)
        if schedule is not None and not callable(getattr(self._scheduler, "step", None)):
            raise RefusedError(
                f"the schedule returned a {type(self._scheduler).__name__}, expected a scheduler, as from "
                "lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)"
            )

    def step(self, before: Arrays, grads: Arrays) -> dict[str, Array]:
        with torch.no_grad():
            for name, value in self._tensors.items():
                value.copy_(tensor(np.asarray(before[name], np.float64)))
                value.grad = tensor(np.asarray(grads[name], np.float64))
        with _refusing(f"torch.optim.{type(self._optimizer).__name__}"):
            with torch.no_grad():
                self._optimizer.step()
            if self._scheduler is not None:
                self._scheduler.step()
        return {name: array(value) for name, value in self._tensors.items()}


class _Stacked(_Alone):
    """One optimizer of tensors that have the runs as their first axis; its parameter groups are those of single tensors."""

    def __init__(self, make: Any, schedule: Any, start: Arrays) -> None:
        super().__init__(make, schedule, start)
        stacked = {name: value.detach().expand(EACH, *value.shape).contiguous().requires_grad_() for name, value in self._tensors.items()}
        places = {id(value): stacked[name] for name, value in self._tensors.items()}
        for group in self._optimizer.param_groups:
            group["params"] = [places[id(value)] for value in group["params"]]
        self._tensors = stacked


class _NoiseOfRuns(pytorch_noise.Noise):
    """Noise in several runs at once. A tensor without the axis of runs, such as a count of steps, is the same in all of them."""

    def _random(self, value: torch.Tensor) -> torch.Tensor:
        batch, self._batch = self._batch, 0
        try:
            return super()._random(value)
        finally:
            self._batch = batch


class _OneByOne:
    """An optimizer for each run."""

    def __init__(self, make: Any, schedule: Any, start: Arrays) -> None:
        self._runs = [_Alone(make, schedule, start) for _ in range(EACH)]

    def step(self, before: Arrays, grads: Arrays) -> dict[str, Array]:
        after = [one.step(before, {name: value[run] for name, value in grads.items()}) for run, one in enumerate(self._runs)]
        return {name: np.stack([one[name] for one in after]) for name in grads}


def _runs_of(make: Any, schedule: Any, start: Arrays) -> _Runs:
    """Return the optimizer of all runs; one for each run if the two differ, because the optimizer does not treat each element alone."""
    rng = np.random.default_rng(0)
    alone, stacked = _Alone(make, schedule, start), _Stacked(make, schedule, start)
    before: Mapping[str, Array] = start
    many: Mapping[str, Array] = start
    try:
        for number in range(2):
            grads = {name: rng.standard_normal((EACH, *value.shape)) for name, value in start.items()}
            before = alone.step(before, {name: value[0] for name, value in grads.items()})
            with _NoiseOfRuns(SCALES[0], number, batch=EACH):
                many = stacked.step(many, grads)
    except RefusedError:
        return _OneByOne(make, schedule, start)
    alike = all(np.linalg.norm(many[name][0] - value) <= HALF * np.linalg.norm(value) for name, value in before.items())
    return (_Stacked if alike else _OneByOne)(make, schedule, start)


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Turn an error of the reference's training into a :class:`RefusedError` that says which part of it failed."""
    try:
        yield
    except RefusedError:
        raise
    except (*REFUSALS, ArithmeticError, AttributeError, KeyError) as error:
        raise RefusedError(f"the reference cannot do a training step, {what}: {reason_of(error)}") from error
