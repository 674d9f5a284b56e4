"""PyTorch optimizers as oracles that do steps with given gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from warnings import catch_warnings

import numpy as np
import torch

from crosscheck.core.operation import Arrays, RefusedError
from crosscheck.oracles.optimizers.runs import AS_IT_IS, Noise, OptimizerMutant, Step
from crosscheck.references.functions import optimizer_of
from crosscheck.references.pytorch.noise import perturbed as pytorch_noise
from crosscheck.references.pytorch.oracle import array, tensor

NAME = f"PyTorch {torch.__version__}"

_MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
"""The names of Adam's states of each parameter, without the number of steps."""


@dataclass(frozen=True)
class TorchOptimizer:
    """A PyTorch optimizer, created again for each run; ``make`` gets a list of tensors and returns a ``torch.optim.Optimizer``.

    ``schedule`` gets the optimizer and returns a ``torch.optim.lr_scheduler`` that does a step after each step of the optimizer.
    """

    make: Callable[[list[torch.Tensor]], Any]
    schedule: Callable[[Any], Any] | None = None

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the optimizer's first parameter group."""
        groups = self._made([torch.zeros(1, dtype=torch.float64, requires_grad=True)]).param_groups
        return {name: value for name, value in groups[0].items() if name != "params"}

    def run(self, start: Arrays, grads: Sequence[Arrays], variant: OptimizerMutant = AS_IT_IS, noise: Noise | None = None) -> list[Step]:
        """Return the parameters after each of several steps, and all state arrays with the shape of their parameter.

        Raise ``RefusedError`` if ``make`` does not return an optimizer, or if a step needs more than gradients.
        """
        with double_by_default():
            params = {name: tensor(value.astype(np.float64)).requires_grad_() for name, value in start.items()}
            optimizer = self._made(list(params.values()))
            _prepare(optimizer, variant, noise)
            # It starts from the variant's learning rate.
            scheduler = None if self.schedule is None else self.schedule(optimizer)
            return [self._step(optimizer, params, given, variant, noise, number, scheduler) for number, given in enumerate(grads)]

    def _made(self, params: list[torch.Tensor]) -> Any:
        names = ("a list of tensors", "a torch.optim.Optimizer", "torch.optim.SGD(params, lr=0.1)")
        return optimizer_of(self.make, params, lambda one: isinstance(one, torch.optim.Optimizer), *names)

    def _step(
        self,
        optimizer: Any,
        params: dict[str, torch.Tensor],
        grads: Arrays,
        variant: OptimizerMutant,
        noise: Noise | None,
        number: int,
        scheduler: Any,
    ) -> Step:
        for name, param in params.items():
            param.grad = tensor(grads[name].astype(np.float64))
        mode = nullcontext() if noise is None else pytorch_noise.Noise(noise.scale, noise.seed * 1000 + number, noise.underflow)
        roots = _Roots(*variant.roots[number]) if variant.roots else nullcontext()
        try:
            with mode, roots, torch.no_grad():
                _take(optimizer, list(params.values()), variant, number + 1)
            if scheduler is not None:
                scheduler.step()
        except (TypeError, KeyError, RuntimeError) as error:
            raise RefusedError(f"torch.optim.{type(optimizer).__name__} cannot do a step with gradients alone: {error}") from error
        kept: dict[str, dict[str, Any]] = {}
        for name, param in params.items():
            for key, value in optimizer.state[param].items():
                if isinstance(value, torch.Tensor) and value.shape == param.shape and value.dtype == param.dtype and key != "step":
                    kept.setdefault(key, {})[name] = array(value)
        return Step({name: array(param) for name, param in params.items()}, kept)


def _prepare(optimizer: Any, variant: OptimizerMutant, noise: Noise | None) -> None:
    """Disable fused steps and apply the variant's settings; with noise, perturb all settings that float32 would round."""
    generator = None if noise is None else torch.Generator().manual_seed(noise.seed)
    for group in optimizer.param_groups:
        group.update({name: False for name in ("foreach", "fused") if name in group})
        group.update(variant.settings)
        group["lr"] = group["lr"] * variant.lr_factor
        if noise is not None:
            group.update({name: _rounded(value, noise.scale, generator) for name, value in group.items() if name != "params"})


def _take(optimizer: Any, params: list[torch.Tensor], variant: OptimizerMutant, step: int) -> None:
    """Do one step of a variant of the optimizer; the first step has the number 1."""
    if variant.initial and step == 1:
        _start(optimizer, params, variant.initial)
    if variant.state == "lost":
        optimizer.state.clear()
    if not variant.shrunk_last:
        _shrink(optimizer, variant)
    for index, param in enumerate(params):
        if variant.time is not None:
            state = optimizer.state[param] or {name: torch.zeros_like(param) for name in _MOMENTS}
            optimizer.state[param] = {**state, "step": torch.tensor(variant.time(step, index, len(params)) - 1.0)}
    if variant.state == "shared":
        _take_in_turn(optimizer, params)
    else:
        optimizer.step()
    if variant.shrunk_last:
        _shrink(optimizer, variant)


def _start(optimizer: Any, params: list[torch.Tensor], initial: Mapping[str, float]) -> None:
    """Give the states their initial values. A step creates them, and the parameters are put back."""
    before = [param.detach().clone() for param in params]
    optimizer.step()
    for param, value in zip(params, before, strict=True):
        param.copy_(value)
        for name, state in optimizer.state[param].items():
            optimizer.state[param][name] = torch.full_like(state, initial.get(name, 0.0)) if isinstance(state, torch.Tensor) else 0


def _shrink(optimizer: Any, variant: OptimizerMutant) -> None:
    for group in optimizer.param_groups if variant.decoupled else []:
        for param in group["params"]:
            param.mul_(1 - group["lr"] * variant.decoupled)


def _take_in_turn(optimizer: Any, params: list[torch.Tensor]) -> None:
    """Update one parameter after another; parameters of the same shape share all states except the number of steps."""
    grads = [param.grad for param in params]
    for param in params:
        param.grad = None
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad
        optimizer.step()
        param.grad = None
        kept = {name: value for name, value in optimizer.state[param].items() if name != "step"}
        for other in params:
            if other.shape == param.shape:
                counted = {name: value for name, value in optimizer.state[other].items() if name == "step"} or {"step": torch.tensor(0.0)}
                optimizer.state[other] = kept | (counted if "step" in optimizer.state[param] else {})


class _Roots(pytorch_noise.Mode):
    """A mode that replaces every square root by ``sqrt(x + inside) + outside`` while it is active."""

    def __init__(self, inside: float, outside: float) -> None:
        super().__init__()
        self._inside, self._outside = inside, outside

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Run one operation; a square root is replaced."""
        if func not in (torch.ops.aten.sqrt.default, torch.ops.aten.sqrt_.default):
            return func(*args, **(kwargs or {}))
        root = torch.sqrt(args[0] + self._inside) + self._outside
        return args[0].copy_(root) if func is torch.ops.aten.sqrt_.default else root


def _rounded(value: Any, scale: float, generator: Any) -> Any:
    """Return a setting, perturbed at random if float32 cannot represent it exactly."""
    if isinstance(value, tuple):
        return tuple(_rounded(one, scale, generator) for one in value)
    if not pytorch_noise.is_rounded(value):
        return value
    return value * (1 + scale * float(torch.randn((), generator=generator, dtype=torch.float64)))


@contextmanager
def double_by_default() -> Iterator[None]:
    """Make float64 the default dtype, for tensors that an optimizer creates, such as the running product of NAdam."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def shifted(schedule: Callable[[Any], Any], by: int) -> Callable[[Any], Any]:
    """Return a schedule that is one step ahead (1) or one step behind (-1)."""

    class Behind:
        """A scheduler whose first step does nothing."""

        def __init__(self, scheduler: Any) -> None:
            self._scheduler, self._begun = scheduler, False

        def step(self) -> None:
            """Step the scheduler, except the first time."""
            if self._begun:
                self._scheduler.step()
            self._begun = True

    def made(optimizer: Any) -> Any:
        scheduler = schedule(optimizer)
        if by < 0:
            return Behind(scheduler)
        with catch_warnings(action="ignore"):  # that the optimizer has not done a step
            scheduler.step()
        return scheduler

    return made


optimizer = TorchOptimizer
"""The oracle class, under the name that all frameworks use; it gets a function that creates an optimizer."""
