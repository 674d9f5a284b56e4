"""Turn a layer of any convention into a pure function: apply layouts, batch samples, and report failures as errors with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from crosscheck.adapters.convention import Convention, Instance
from crosscheck.adapters.layout import LayerLayout, Layout, to_subject
from crosscheck.core.arguments import flat
from crosscheck.core.guard import SubjectError, as_whole_numbers, contained
from crosscheck.core.operation import Call, Constants, is_grad_input, is_output
from crosscheck.core.precision import Array, Bound

Results = dict[str, Array]

_PLENTY = 10**7
"""A result with this many more elements than expected is refused. Other results of a wrong size are kept, so that the report can show their shape."""

NO_GRAD_INPUT = "backward returns no input gradient"


@dataclass
class AdaptedLayer:
    """A layer of the subject as a pure function of arrays in the reference's layout."""

    convention: Convention
    layout: LayerLayout  # if the subject takes one sample at a time, the patterns are for a batch of one
    reduction: Literal["mean", "sum"] = "mean"  # how the losses of single samples are combined
    training: bool | None = None  # whether to put the subject into training mode; None leaves its mode unchanged
    mask: str = ""  # name of the attribute where a dropout layer stores its mask; if empty, no mask is read
    absent: dict[str, str] = field(default_factory=dict)
    further: tuple[str, ...] = ()  # outputs and gradients of inputs, where there are several
    whole: frozenset[str] = frozenset()  # the outputs that hold whole numbers or booleans
    shared: frozenset[str] = frozenset()  # the inputs, by their names in a call, that have no axis of samples
    _sizes: dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def sources(self) -> Mapping[str, str]:
        """File and line of the code that computes each quantity."""
        forward, backward = self.convention.sources["forward"], self.convention.sources["backward"]
        grads = {f"{parameter.name}.grad": backward for parameter in self.layout.params.values()}
        kept = {buffer.name: forward for buffer in self.layout.buffers.values()}
        further = {name: forward if is_output(name) else backward for name in self.further}
        return {"output": forward, **kept, "grad_input": backward, **further, **grads}

    def vjp(self, call: Call) -> Results:
        """Return output and gradients.

        Raises
        ------
        SubjectError
            If the subject raises, or returns something that is not an array of real numbers; ``found`` holds the results up to then.
        """
        return self._batched(call) if self.convention.one_sample else self._vjp(call)

    def _batched(self, call: Call) -> Results:
        """Call the subject once for each sample; concatenate outputs and input gradients, and add up parameter gradients.

        If a sample fails, the quantities that were computed for all samples are still combined.
        """
        mean = 1 / len(call.x) if self.reduction == "mean" else 1.0
        share = mean if call.cotangents and all(value.ndim == 0 for value in call.cotangents.values()) else 1.0
        single, failed = list[Results](), list[SubjectError]()
        for index in range(len(call.x)):
            try:
                single.append(self._vjp(self.sample(call, index, share)))
            except SubjectError as error:
                single.append(error.found)
                failed.append(error)
        result: Results = {}
        for name in [name for name in single[0] if all(name in part for part in single)]:
            try:
                result[name] = self._combined(name, [part[name] for part in single], mean, self._is_of_all(name, call))
            except SubjectError as error:
                failed.append(error)
        if failed:
            raise SubjectError(failed[0].reason, result) from failed[0]
        return result

    def sample(self, call: Call, index: int, share: float = 1.0) -> Call:
        """Return the call for a single sample, as a batch of one; a scalar ``grad_output`` is multiplied by ``share``."""
        one = slice(index, index + 1)

        def cut(arrays: Constants) -> dict[str, Any]:
            return {name: value if name in self.shared else value[one] for name, value in arrays.items()}

        cotangents = {name: value[one] if value.ndim else np.asarray(value * share, value.dtype) for name, value in call.cotangents.items()}
        return replace(call, inputs=cut(call.inputs), cotangents=cotangents, constants=cut(call.constants))

    def _is_of_all(self, quantity: str, call: Call) -> bool:
        """Return whether a quantity is a gradient of something that all samples share: a parameter, or an input without an axis of samples."""
        return quantity.endswith(".grad") or quantity in map(call.grad_input, self.shared & {*call.inputs})

    def _combined(self, name: str, parts: list[Array], mean: float, added: bool) -> Array:
        """Combine the values of a quantity for single samples into its value for the batch."""
        if len({part.shape for part in parts}) > 1:
            shapes = " and ".join(sorted({str(part.shape) for part in parts}))
            raise SubjectError(f"{name} has the shapes {shapes} for different samples, expected the same shape for all of them")
        with np.errstate(all="ignore"):  # the subject's results may be infinite
            if added:
                self._sizes[name] = np.asarray(sum(np.abs(part) for part in parts))
                return np.asarray(sum(parts))
            if parts[0].ndim:
                return np.concatenate(parts)
            if is_output(name):
                return np.asarray(sum(parts) * parts[0].dtype.type(mean))
        raise SubjectError(f"{name} is a single number, expected an array of the input's shape")

    def _vjp(self, call: Call) -> Results:
        found = dict[str, Array]()
        try:
            with contained("copying"):
                instance = self.convention.instance()
            with contained("setting the parameters"):
                instance.load(self.own_params(call))
                if self.layout.buffers:
                    instance.load_buffers(to_subject(self.layout.buffers, call.buffers))
            self.switch(instance)
            with contained("forward"):
                output = instance.forward(*self.own_arguments(call).values())
            found.update({name: self.received(name, value, call) for name, value in outputs_of(output, call).items()})
            if self.mask:
                found["mask"] = self.stored_mask(instance, call)
            if self.layout.buffers:
                with contained("reading the buffers"):
                    kept = instance.buffers()
                found.update({buffer.name: self.received(buffer.name, kept.get(ours), call) for ours, buffer in self.layout.buffers.items()})
            if call.cotangents:
                with contained("backward"):
                    grads = instance.backward(*self.own_cotangents(call).values())
                self._receive_grads(instance, by_input(grads, call), call, found)
        except SubjectError as error:
            raise SubjectError(error.reason, found) from error
        return found

    def switch(self, instance: Instance) -> None:
        """Put an instance into the declared mode, if it has modes."""
        if self.training is not None:
            with contained("changing the mode"):
                instance.switch(self.training)

    def stored_mask(self, instance: Any, call: Call) -> Array:
        """Return the mask that a forward pass stored in the layer, in the reference's layout; it is not zero where an element was kept."""
        mask = getattr(getattr(instance, "layer", instance), self.mask, None)
        own = np.shape(next(iter(self.own_arguments(call).values())))
        try:
            left = np.broadcast_to(np.array(mask, dtype=call.dtype) if mask is not None else np.empty(0), own)
        except (TypeError, ValueError) as error:
            what = "nothing" if mask is None else f"an array of shape {np.shape(mask)}"
            raise SubjectError(f"after forward, {self.mask!r} holds {what}, expected the dropout's mask, of the input's shape {own}") from error
        return self.layout.input.to_reference(left, self.convention.one_sample)

    def _receive_grads(self, instance: Instance, grads: Mapping[str, Any], call: Call, found: Results) -> None:
        """Add every usable gradient to ``found``; then raise for the first gradient that is missing or not a usable array."""
        failed = []
        for quantity in (*map(call.grad_input, call.inputs), *(f"{name}.grad" for name in self.layout.params)):
            name, value = self.reference_name(quantity), grads.get(quantity)
            if value is None and name in self.convention.may_lack:
                self.absent[name] = NO_GRAD_INPUT
                continue
            try:
                found[name] = self.received(name, value, call)
            except SubjectError as error:
                hint = instance.looked_for(quantity) if value is None and not is_grad_input(quantity) else ""
                failed.append(SubjectError(f"{error.reason}; {hint}") if hint else error)
        if failed:
            raise failed[0]

    def reference_name(self, quantity: str) -> str:
        """Translate the subject's name of a quantity to the reference's name."""
        name, _, suffix = quantity.rpartition(".")
        return f"{self.layout.params[name].name}.{suffix}" if suffix == "grad" else quantity

    def own_params(self, call: Call) -> dict[str, Array]:
        """Return copies of the parameters under the subject's names and in its layout."""
        return to_subject(self.layout.params, call.params)

    def own_arguments(self, call: Call) -> dict[str, Any]:
        """Return the call's inputs by name in the subject's layout, possibly as views; a single label is an int."""
        result = dict[str, Any]()
        for name, value in call.arguments().items():
            one = self.convention.one_sample and name not in self.shared
            layout = self.layout.of_input(name) if name in call.inputs else self.layout.inputs.get(name, Layout())
            own = np.asarray(layout.to_subject(value, one) if value.ndim else value)
            result[name] = int(own) if own.ndim == 0 and own.dtype.kind in "iu" else own
        return result

    def own_cotangents(self, call: Call) -> Results:
        """Return the upstream gradient of each output in the subject's layout, possibly as views."""
        one = self.convention.one_sample
        return {name: self.layout.of_output(name).to_subject(value, one) if value.ndim else value for name, value in call.cotangents.items()}

    def received(self, quantity: str, value: Any, call: Call) -> Array:
        """Return a copy of a subject's result in the reference's layout; raise :class:`SubjectError` if the result is not an array that fits."""
        layout, like = self._expected(call)[quantity]
        one_sample = self.convention.one_sample and not self._is_of_all(quantity, call)
        if quantity in self.whole:
            value = as_whole_numbers(value, quantity, call.dtype)
        return layout.received(value, quantity, call.dtype, one_sample, _PLENTY + (0 if like is None else 2 * like.size))

    def _expected(self, call: Call) -> dict[str, tuple[Layout, Array | None]]:
        """Return, for each quantity, its layout and an array of its expected size (None if the size is unknown)."""
        grads = {f"{p.name}.grad": (p.layout, call.params[p.name]) for p in self.layout.params.values()}
        kept = {b.name: (b.layout, call.buffers.get(b.name)) for b in self.layout.buffers.values()}
        outputs = {name: (self.layout.of_output(name), call.cotangents.get(name)) for name in call.outputs}
        inputs = {call.grad_input(name): (self.layout.of_input(name), value) for name, value in call.inputs.items()}
        return {**outputs, **inputs, **kept, **grads}

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return a bound of the error of measuring a parameter's gradient; None if the subject returns or stores the gradient itself."""
        name, _, suffix = quantity.rpartition(".")
        if suffix != "grad":
            return None
        samples = len(call.x) if self.convention.one_sample else 1
        # For a single sample, the sum of absolute values is that of ``value``; the stored sums may belong to an earlier batch.
        size = self._sizes.get(quantity, np.abs(value)) if samples > 1 else np.abs(value)
        return self.convention.reading(size, samples * call.params[name])


def outputs_of(returned: Any, call: Call) -> dict[str, Any]:
    """Return the outputs by quantity that a forward pass returned, in nested tuples if there are several."""
    if len(call.outputs) == 1:
        return {call.outputs[0]: returned}
    found = flat(returned)
    if len(found) < len(call.outputs):
        raise SubjectError(f"forward returned {len(found)} outputs, expected {len(call.outputs)}: {', '.join(call.outputs)}")
    return dict(zip(call.outputs, found, strict=False))


def by_input(grads: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Return gradients with those of several inputs by quantity.

    A backward pass may return a gradient for each input that has one, or also None (or anything) for inputs without a gradient.
    """
    returned = grads.get("grad_input")
    with_gradient = [call.grad_input(name) if name in call.inputs else "" for name in call.arguments()]
    expected = [quantity for quantity in with_gradient if quantity]
    if not expected:
        return {name: value for name, value in grads.items() if name != "grad_input"}
    if len(with_gradient) == 1 or (len(expected) == 1 and not isinstance(returned, tuple | list)):
        return {**grads, expected[0]: returned}
    found = flat(returned, keep_none=True)
    for names in (expected, with_gradient):
        if len(found) == len(names):
            rest = {name: value for name, value in grads.items() if name != "grad_input"}
            return rest | {name: value for name, value in zip(names, found, strict=True) if name}
    raise SubjectError(f"backward returned {len(found)} gradients of inputs, expected {len(expected)}: {', '.join(expected)}")
