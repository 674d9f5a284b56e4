"""PyTorch: modules and functions as oracles, differentiated by autograd.

If :mod:`crosscheck.references.pytorch.theories` has no error theory for a reference, its rounding is measured.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias, cast
from warnings import catch_warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from crosscheck.core.arguments import Signature, flat
from crosscheck.core.operation import Arrays, Call, InTraining, Oracle, RefusedError, Rounding
from crosscheck.core.precision import Array
from crosscheck.oracles.chain import Composite
from crosscheck.oracles.graph.graph import Graph
from crosscheck.oracles.theories import Measured
from crosscheck.references.functions import REFUSALS, Output, applied, refusing, title
from crosscheck.references.pytorch.device import computing, device_of
from crosscheck.references.pytorch.graph.call import graph_of
from crosscheck.references.pytorch.kernels import Kernels, kernels_of, pair, refuse_empty_windows
from crosscheck.references.pytorch.modules import NegativeLogLikelihood, SharedDropout
from crosscheck.references.pytorch.noise.batched import NotBatchedError, Recurrent, runs_at_once
from crosscheck.references.pytorch.noise.perturbed import Largest, Noise, Terms
from crosscheck.references.pytorch.signatures import passed, signature_of
from crosscheck.references.pytorch.theories import is_own, theory_of

NAME = f"PyTorch {torch.__version__}"

Tensors: TypeAlias = dict[str, torch.Tensor]

Reference: TypeAlias = nn.Module | Callable[..., Any]
"""A reference in PyTorch: a module, or a function of tensors."""

CPU = torch.device("cpu")

HALF = math.sqrt(np.finfo(np.float64).eps)
"""Half the digits of double precision. If two results differ by more than this in relative norm, one of them is wrong."""


def tensor(array: npt.NDArray[Any], device: torch.device = CPU) -> torch.Tensor:
    """Return a tensor on a device with a copy of an array's values."""
    return torch.from_numpy(np.array(array, order="C")).to(device)


def array(value: torch.Tensor) -> Array:
    """Return an array with a copy of a tensor's values; ``force`` also materialises lazy tensors, such as zeros without memory."""
    return cast("Array", value.detach().cpu().numpy(force=True).copy())


def checked(dtype: torch.dtype) -> AbstractContextManager[None]:
    """Return a context in which attention is computed by its formula in float64.

    PyTorch's fused kernels do not check that key and value have the same length, and write beyond their memory if they have not.
    """
    return sdpa_kernel(SDPBackend.MATH) if dtype is torch.float64 else nullcontext()


def oracle(reference: Reference, device: str = "cpu") -> Oracle:
    """Return the oracle of a module or function; it computes in the precision of its arguments.

    Parameters
    ----------
    device : str
        PyTorch's name for the device that computes, such as ``"cuda:0"``.

    Raises
    ------
    TypeError
        If the module draws random numbers, so that it cannot be a reference.
    DeviceError
        If the device cannot be used.
    """
    return _oracle(reference, device_of(device))


def _oracle(reference: Reference, device: torch.device) -> Oracle:
    if is_own(reference, nn.Sequential):
        return Composite(tuple(_oracle(child, device) for child in reference), _chain_names(reference))
    if (theory := theory_of(reference, lambda other: TorchOracle(other, Measured()))) is not None:
        return TorchOracle(reference, theory, _settings(reference), device)
    if isinstance(reference, nn.Module):
        _refuse_random(reference)
    return TorchOracle(reference, Measured(), {}, device)


def _refuse_other_shapes(module: nn.RNNBase, params: Tensors) -> None:
    """Raise :class:`RefusedError` for parameters of other shapes than a recurrent layer has: its kernels read beyond their ends unasked."""
    for name, own in module.named_parameters():
        if name in params and params[name].shape != own.shape:
            raise RefusedError(f"{title(module)} refuses {name} of shape {tuple(params[name].shape)}, expected {tuple(own.shape)}")


def _refuse_random(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, _DropoutNd) and part.training and part.p:
            where = f" in {title(module)} ({name})" if name else ""
            raise TypeError(
                f"torch.nn.{type(part).__name__}{where} draws its own mask in training, so that no other code can agree with it; "
                "let both sides use the same mask, set p=0, or call eval() on the module; only a torch.nn.Dropout that is the whole reference of a "
                "Pair gets the mask of your code"
            )


def _is_pooled(output: torch.Tensor) -> bool:
    """Return whether an output comes from a max pool, apart from a change of its shape."""
    node = output.grad_fn
    return node is not None and any("MaxPool" in found.name() for found in (node, *(after for after, _ in node.next_functions)) if found is not None)


@dataclass(frozen=True)
class TorchOracle:
    """A PyTorch module or function as a pure function of arrays.

    A function gets the input, the labels if the call has labels, and the parameters: by name, or in order if its arguments are positional-only.
    """

    reference: Reference
    rounding: Rounding
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    device: torch.device = CPU

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the output and gradients. A loss gets the call's labels; an operation with kinks gets the call's decisions, if there are any."""
        usual = call.simple and not call.buffers and (set(call.params), set(call.constants)) == self._own_names
        with refusing(NAME, self.reference, call):
            return self._by_autograd(call) if self._kernels is None or not usual else self._by_kernels(self._kernels, call)

    def noisy(
        self, call: Call, scale: float, seed: int, underflow: float = 0.0, flushed: float = 0.0, terms: Terms | None = None
    ) -> dict[str, Array]:
        """Return the results of :meth:`vjp` with every intermediate result perturbed at random.

        The perturbation of a result is ``scale`` times the result, plus ``underflow`` and, for an elementary function, ``flushed``. ``terms`` are the
        absolute terms from an earlier run on the same call. An operation that draws random numbers is refused.
        """
        # Attention is computed by its formula, because intermediate results inside a fused kernel cannot be perturbed.
        with refusing(NAME, self.reference, call), sdpa_kernel(SDPBackend.MATH), Noise(scale, seed, underflow, flushed, terms=terms):
            return self._by_autograd(call)

    def noisy_runs(self, call: Call, scale: float, runs: int, seed: int, underflow: float = 0.0, flushed: float = 0.0) -> dict[str, Array]:
        """Return the results of at least ``runs`` runs of :meth:`noisy`, stacked along a new first axis; all runs are one batch if possible."""
        batch = 0 if "alone" in self._remembered else runs_at_once(call, runs)
        if batch:
            try:
                if not self._right_at_once(call, batch):
                    raise NotBatchedError
                with sdpa_kernel(SDPBackend.MATH), Noise(scale, seed, underflow, flushed, batch), Recurrent(), catch_warnings(action="ignore"):
                    return self._by_autograd(call, batch)
            except RefusedError:
                raise
            except (*REFUSALS, AttributeError, KeyError):
                # Probably vmap has no rule for an operation. If the call itself is wrong, the single runs raise the error again.
                self._remembered.add("alone")
        terms: Terms = {}
        results = [self.noisy(call, scale, seed + run, underflow, flushed, terms) for run in range(runs)]
        return {name: np.stack([result[name] for result in results]) for name in results[0]}

    def _right_at_once(self, call: Call, batch: int) -> bool:
        """Return whether a batch of runs agrees with a single run, because vmap returns wrong gradients for some operations; tested only once."""
        if "at once" not in self._remembered:
            # vmap warns that operations without a rule are slow. Warnings of the reference itself appear in single runs.
            with sdpa_kernel(SDPBackend.MATH), Recurrent(), catch_warnings(action="ignore"):
                with refusing(NAME, self.reference, call):
                    alone = self._by_autograd(call)
                together = self._by_autograd(call, batch)
            with np.errstate(all="ignore"):
                sizes = {name: float(np.linalg.norm(value)) for name, value in alone.items()}
                # A gradient that cancels, as of a bias before a batch normalisation, is itself a rounding error.
                least = 64 * float(np.finfo(np.float64).eps) * max(sizes.values())
                wrong = [name for name, value in alone.items() if np.linalg.norm(together[name][0] - value) > HALF * sizes[name] + least]
            self._remembered.add("alone" if wrong else "at once")
        return "alone" not in self._remembered

    def largest(self, call: Call) -> tuple[float, float]:
        """Return two largest absolute values: in the forward pass, and in both passes. Infinite results of infinite operands do not count."""
        with refusing(NAME, self.reference, call), sdpa_kernel(SDPBackend.MATH), Largest() as largest:
            self._by_autograd(call, after_forward=largest.mark)
        return largest.forward, largest.value

    def _by_kernels(self, kernels: Kernels, call: Call) -> dict[str, Array]:
        """Return the output and gradients from the kernels. They may read the call's arrays without a copy, but do not write to them."""
        x, given = self._shared(call.x), {name: self._shared(value) for name, value in (*call.params.items(), *call.constants.items())}
        with computing(self.device, x.dtype), torch.no_grad():
            results = kernels(self.reference, x, given, None if call.grad_output is None else self._shared(call.grad_output))
        if results is None:
            return self._by_autograd(call)
        return {quantity: cast("Array", value.cpu().numpy()) for quantity, value in results.items()}

    def _by_autograd(self, call: Call, runs: int = 0, after_forward: Callable[[], None] = lambda: None) -> dict[str, Array]:
        """Return the output and gradients by autograd; ``after_forward`` is called between the two passes.

        ``runs`` is the number of runs in one batch, and the length of each result's first axis; 0 means a single run without this axis.
        """
        backward = call.grad_output is not None

        def leaf(value: npt.NDArray[Any], grad: bool = backward) -> torch.Tensor:
            own = tensor(value, self.device)
            own = own.expand(runs, *own.shape).contiguous() if runs else own
            return own.requires_grad_(grad)

        whole = {name: tensor(value, self.device) for name, value in call.constants.items() if value.dtype.kind != "f"}

        def forward(inputs: Tensors, params: Tensors, buffers: Tensors) -> tuple[tuple[torch.Tensor, ...], Tensors]:
            return tuple(self._outputs(self._apply({**inputs, **whole}, params, buffers, call), call)), buffers

        dtype = tensor(np.empty(0, call.dtype)).dtype
        with computing(self.device, dtype), torch.set_grad_enabled(backward), checked(dtype):
            inputs = {name: leaf(value) for name, value in call.inputs.items()}
            real = {name: leaf(value, False) for name, value in call.constants.items() if name not in whole}
            params = {name: leaf(value) for name, value in call.params.items()}
            # Buffers are copied so that each call starts from the same running statistics.
            own = {name: array(value.to(dtype) if value.is_floating_point() else value) for name, value in self._own_buffers.items()}
            buffers = {name: leaf(value, False) for name, value in {**own, **call.buffers}.items()}
            given = ({**inputs, **real}, params, buffers)
            outputs, buffers = torch.vmap(forward)(*given) if runs else forward(*given)
            after_forward()
            named = dict(zip(call.outputs, outputs, strict=True))
            result = {name: array(value if value.is_floating_point() else value.to(dtype)) for name, value in named.items()}
            result |= {name: array(buffers[name]) for name in call.buffers}
            if not backward:
                return result
            chosen = [(named[name], leaf(value, False)) for name, value in call.cotangents.items() if named[name].requires_grad]
            for output, _ in chosen:
                if _is_pooled(output):
                    refuse_empty_windows(next(iter(inputs.values())), output)
            if chosen:
                torch.autograd.backward(*map(list, zip(*chosen, strict=True)))
        leaves = dict(zip(call.variables(), [*inputs.values(), *params.values()], strict=True))
        grads = {name: np.zeros(leaf.shape, call.dtype) if leaf.grad is None else array(leaf.grad) for name, leaf in leaves.items()}
        return result | grads

    def _outputs(self, returned: Any, call: Call) -> list[torch.Tensor]:
        """Return the tensors that a reference returned, all if the call names no outputs; raise :class:`RefusedError` if there are too few."""
        found = flat(returned)
        if len(found) >= max(1, len(call.outputs)) and all(isinstance(value, torch.Tensor) for value in found):
            return found[: len(call.outputs)] if call.outputs else found
        kind = f"{len(found)} results" if len(found) != 1 else f"a {type(found[0]).__name__}"
        expected = (
            "one tensor" if len(call.outputs) == 1 else f"{len(call.outputs)} tensors: {', '.join(call.outputs)}" if call.outputs else "tensors"
        )
        raise RefusedError(f"{title(self.reference)} returned {kind}, expected {expected}; declare a function that returns only these")

    def describe(self, call: Call) -> list[Output]:
        """Return what is known of the reference's outputs for a call, in order, without their names."""
        dtype = tensor(np.empty(0, call.dtype)).dtype
        with refusing(NAME, self.reference, call), computing(self.device, dtype), torch.enable_grad(), checked(dtype):
            inputs = {name: tensor(value, self.device).requires_grad_() for name, value in call.inputs.items()}
            constants = {name: tensor(value, self.device) for name, value in call.constants.items()}
            params = {name: tensor(value, self.device).requires_grad_() for name, value in call.params.items()}
            buffers = {name: value.clone() for name, value in self._own_buffers.items()}
            buffers = {name: value.to(dtype) if value.is_floating_point() else value for name, value in buffers.items()}
            buffers |= {name: tensor(value, self.device) for name, value in call.buffers.items()}
            found = self._outputs(self._apply({**inputs, **constants}, params, buffers, call), replace(call, outputs=()))
        return [Output(tuple(value.shape), not value.is_floating_point(), value.requires_grad) for value in found]

    def graph(self, call: Call) -> Graph:
        """Return the forward pass of a call as a graph of elementary steps, in float64."""
        call = call.astype(np.float64)
        own = {name: value.detach().clone() for name, value in self._own_buffers.items() if name not in call.buffers}
        own = {name: value.double() if value.is_floating_point() else value for name, value in own.items()}

        def run(given: Mapping[str, torch.Tensor], buffers: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
            inputs = {name: given[name] for name in (*call.inputs, *call.constants)}
            changing = {**buffers, **{name: given[name] for name in call.buffers}}
            return self._outputs(self._apply(inputs, {name: given[name] for name in call.params}, changing, call), call)

        with refusing(NAME, self.reference, call), computing(CPU, torch.float64), torch.enable_grad(), checked(torch.float64):
            return graph_of(run, call, own)

    def _shared(self, value: npt.NDArray[Any]) -> torch.Tensor:
        """Return a tensor that shares an array's memory if possible; it must not be written to."""
        # NumPy allows a negative stride on an axis of length 1; PyTorch does not.
        usable = value.flags.c_contiguous and value.flags.writeable and min(value.strides, default=0) >= 0
        return torch.from_numpy(value if usable else np.array(value, order="C")).to(self.device)

    def _apply(self, inputs: Tensors, params: Tensors, given: Tensors, call: Call) -> Any:
        """Return the reference's output for the call's inputs and constants; the buffers in ``given`` are changed in place."""
        if "decisions" in call.constants:
            x, decided = next(iter(inputs.values())), inputs["decisions"]
            if isinstance(self.reference, nn.ReLU):
                return x * decided
            if isinstance(self.reference, nn.LeakyReLU):
                return torch.where(decided > 0, x, self.reference.negative_slope * x)
            return x.flatten(2).gather(2, decided.flatten(2)).view(decided.shape)
        names = call.order or [*call.inputs, *(name for name in call.constants if name == "mask" or self._accepts_labels)]
        # Inputs are cloned because a module with inplace=True must not write to a leaf.
        arguments, named = passed(self.reference, {name: inputs[name].clone() for name in names})
        if not isinstance(self.reference, nn.Module):
            return applied(self.reference, arguments, params)
        if isinstance(self.reference, nn.RNNBase):
            _refuse_other_shapes(self.reference, params)
        replaced = {**given, **params}
        return functional_call(self.reference, replaced, arguments, named) if replaced else self.reference(*arguments, **named)

    @cached_property
    def _own_buffers(self) -> dict[str, torch.Tensor]:
        return dict(self.reference.named_buffers()) if isinstance(self.reference, nn.Module) else {}

    @cached_property
    def _remembered(self) -> set[str]:
        """Facts about batched runs: ``"alone"`` if runs must be done one by one, ``"at once"`` if a batch was tested and is correct."""
        return set()

    @cached_property
    def _kernels(self) -> Kernels | None:
        return kernels_of(self.reference)

    @cached_property
    def _own_names(self) -> tuple[set[str], set[str]]:
        """The names of the reference's parameters, and of its constants: ``"labels"`` for a loss, otherwise none."""
        return set(parameter_shapes(self.reference) or ()), {"labels"} if takes_labels(self.reference) else set()

    @cached_property
    def _accepts_labels(self) -> bool:
        """Whether the reference takes a second input: every function, and a module whose forward has two arguments without defaults."""
        if not isinstance(self.reference, nn.Module):
            return True
        arguments = inspect.signature(self.reference.forward).parameters.values()
        return sum(a.default is a.empty and a.kind is a.POSITIONAL_OR_KEYWORD for a in arguments) > 1

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return the decisions at kinks. (Leaky) ReLU: whether each element is positive. Max pooling: the index of each winner in its plane."""
        if isinstance(self.reference, nn.ReLU | nn.LeakyReLU):
            return np.asarray(x > 0, dtype=x.dtype)
        if isinstance(self.reference, nn.MaxPool2d):
            m = self.reference
            settings = (m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode)
            _, winners = nn.functional.max_pool2d(tensor(x, self.device), *settings, return_indices=True)
            return cast("npt.NDArray[Any]", winners.cpu().numpy())
        return None


def has_modes(reference: Reference) -> bool:
    """Return whether training and evaluation may differ, because the reference contains a dropout or normalisation layer."""
    return isinstance(reference, nn.Module) and any(isinstance(module, _DropoutNd | _NormBase) for module in reference.modules())


def _settings(module: nn.Module) -> dict[str, tuple[int, ...]]:
    if getattr(module, "ceil_mode", False) or pair(getattr(module, "dilation", 1)) != (1, 1):
        return {}  # fault models cannot describe such windows
    names = {"kernel": "kernel_size", "stride": "stride", "padding": "padding"}
    found = {ours: getattr(module, theirs) for ours, theirs in names.items() if hasattr(module, theirs)}
    return {name: pair(value) for name, value in found.items() if not isinstance(value, str)}  # a padding of "same" has no numbers


def _chain_names(chain: nn.Sequential) -> tuple[dict[str, str], ...]:
    """Return, for each child of a chain, a dict from the chain's parameter names (like ``0.weight``, if names repeat) to the child's names."""
    own = {place: list(parameter_shapes(child) or {}) for place, child in chain.named_children()}
    every = [name for names in own.values() for name in names]
    unique = len(set(every)) == len(every)
    return tuple({name if unique else f"{place}.{name}": name for name in names} for place, names in own.items())


def parameter_shapes(reference: Reference) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of a module's parameters by name, or by the chain's names for a chain; None for a function."""
    if is_own(reference, nn.Sequential):
        children = [parameter_shapes(child) or {} for child in reference]
        named = zip(_chain_names(reference), children, strict=True)
        return {name: shapes[own] for names, shapes in named for name, own in names.items()}
    if isinstance(reference, nn.Module):
        return {name: tuple(value.shape) for name, value in reference.named_parameters()}
    return None


def parameter_values(reference: Reference) -> Arrays:
    """Return the values of a module's parameters, by the names of :func:`parameter_shapes`; empty for a function."""
    if is_own(reference, nn.Sequential):
        children = [parameter_values(child) for child in reference]
        return {name: values[own] for names, values in zip(_chain_names(reference), children, strict=True) for name, own in names.items()}
    own = reference.named_parameters() if isinstance(reference, nn.Module) else ()
    return {name: array(value.double()) for name, value in own}


def buffer_values(reference: Reference) -> Arrays:
    """Return the values of a module's buffers of real numbers, such as running statistics; empty for a function."""
    own = reference.named_buffers() if isinstance(reference, nn.Module) else ()
    return {name: array(value.double()) for name, value in own if value.is_floating_point()}


def takes_labels(reference: Reference) -> bool:
    """Return whether a reference is a loss that takes class labels."""
    return isinstance(reference, nn.CrossEntropyLoss | nn.NLLLoss | nn.MultiMarginLoss | NegativeLogLikelihood)


def signature(reference: Reference) -> Signature | None:
    """Return what a module or function of PyTorch says of its arguments and results; None if that is not known."""
    return signature_of(reference)


def in_training(reference: Reference) -> InTraining | None:
    """Return a module in training and evaluation mode; None if the modes do not differ or the module is in evaluation mode.

    A dropout uses the subject's mask. The result for a chain is None, because its parts cannot get running statistics from a call. A module with a
    part that draws a mask cannot be a reference and raises ``TypeError``.
    """
    if not isinstance(reference, nn.Module) or isinstance(reference, nn.Sequential) or not any(map(_differs, reference.modules())):
        return None
    evaluation = oracle(copy.deepcopy(reference).eval())
    if is_own(reference, nn.Dropout) and 0 < reference.p < 1:
        return InTraining(oracle(SharedDropout(reference.p)), oracle(SharedDropout(reference.p).eval()), {}, reference.p)
    return InTraining(oracle(reference), evaluation, _running_statistics(reference))


def _differs(module: nn.Module) -> bool:
    """Return whether a module is in training mode and evaluation would differ: it is a dropout, or it has running statistics."""
    if isinstance(module, _DropoutNd):
        return bool(module.training and module.p > 0)
    return bool(isinstance(module, _NormBase) and module.training and module.running_mean is not None)


def _running_statistics(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a module's running means and variances by name, without its count of batches."""
    return {
        name: tuple(value.shape)
        for prefix, part in module.named_modules()
        if isinstance(part, _NormBase)
        for name, value in part.named_buffers(prefix, recurse=False)
        if value.is_floating_point()
    }
