"""A pair of layers made ready for its checks: it draws their calls, and knows which sizes its references accept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.core.arguments import Case, Labels, name_in_call
from crosscheck.core.inputs import FAMILIES, Family
from crosscheck.core.operation import INPUT, OUTPUT, Call, Shape, grad_input_of
from crosscheck.core.precision import Array
from crosscheck.pairs.cases import batch_axis
from crosscheck.pairs.declaration import Ready
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.sizes import Derived, with_fewer_samples
from crosscheck.references.resolve import Reference


@dataclass(frozen=True)
class Prepared(Ready):
    """A prepared pair of layers."""

    pair: Pair
    layer: AdaptedLayer
    references: list[Reference]  # the first one supplies the expected values; may be empty
    cases: list[Case]  # the declared cases
    param_shapes: Mapping[str, Shape]  # by the reference's names
    inferred: list[str]
    elements: int
    outputs: tuple[str, ...] = (OUTPUT,)  # the outputs as quantities
    upstream: tuple[str, ...] = (OUTPUT,)  # those of them that get an upstream gradient
    sizes: Derived = field(default_factory=Derived)  # other sizes, on which the subject has to be right, too
    buffers: Mapping[str, Shape] = field(default_factory=dict)  # the shapes of the running statistics, by the reference's names
    no_evaluation: str = ""  # why the subject cannot be judged in evaluation mode; empty if it can
    evaluates: bool = False  # whether subject and references are in evaluation mode
    benches: dict[tuple[str, int], Any] = field(
        default_factory=dict, compare=False, repr=False
    )  # the contracts' benches so far, by precision and seed
    explainers: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # what searches for causes have found so far

    @property
    def shapes(self) -> list[Shape]:
        """The declared shapes of the first input."""
        return [case.shape for case in self.cases]

    @property
    def derived(self) -> tuple[Case, ...]:
        """The derived cases."""
        return self.sizes.cases

    @property
    def labels(self) -> bool:
        """Whether an input holds class labels."""
        return any(isinstance(one, Labels) for one in self.cases[0].inputs.values())

    @property
    def order(self) -> tuple[str, ...]:
        """The names of inputs and constants in the order of the arguments; empty for the usual order: the input, and the labels of a loss."""
        inputs = self.cases[0].inputs
        order = tuple(name_in_call(name, inputs) for name in inputs)
        usual = set(order) <= {INPUT, "labels"} and order[0] == INPUT and next(iter(inputs.values())).gradient
        return () if usual else order

    @property
    def quantities(self) -> list[str]:
        """The names of all quantities, in execution order."""
        inputs = [name for name, one in self.cases[0].inputs.items() if one.gradient]
        of_inputs = [grad_input_of(name, len(inputs)) for name in inputs]
        return [*self.outputs, *self.buffers, *of_inputs, *(f"{name}.grad" for name in self.param_shapes)]

    def cases_for(self, family: Family) -> list[Case]:
        """Return the cases for checks of values: the declared ones and, for the family ``normal``, also those of derived sizes."""
        return [*self.cases, *(self.derived if family.name == "normal" else ())]

    @property
    def bench_case(self) -> Case:
        """The case for contracts: the declared one with the most samples, cut to fewer samples if the subject takes other batch sizes."""
        largest = max(self.cases, key=lambda case: case.shape[0] if case.shape else 0)
        return with_fewer_samples(largest, batch_axis(largest)) if self.derived else largest

    @property
    def dropped(self) -> float | None:
        """The probability that the reference drops an element if it is a dropout in training, else None. The subject draws the mask."""
        training = self.references[0].training if self.references else None
        return None if training is None else training.dropped

    @cached_property
    def evaluating(self) -> Prepared:
        """The same pair with subject and references in evaluation mode, where a single sample is tried, too, as in a prediction."""
        references = [reference.evaluating for reference in self.references]
        layer = replace(self.layer, training=False, mask="")
        found = replace(self, layer=layer, references=references, evaluates=True, benches={}, explainers={})
        single = self.cases[0].resized({batch: 1}) if (batch := batch_axis(self.cases[0])) else self.cases[0]
        if single in (*self.cases, *self.derived) or self.pair.fixed_batch or not accepted(found, single):
            return found
        return replace(found, sizes=Derived((*self.derived, single), self.sizes.refused))

    @property
    def stateless(self) -> Prepared:
        """The same pair without running statistics, for trace files, which hold one mode only."""
        return replace(self, layer=replace(self.layer, layout=replace(self.layer.layout, buffers={})), buffers={}, benches={}, explainers={})

    def call(self, case: Case | Shape, family: Family, dtype: str, seed: int, outputs: Mapping[str, Shape] | None = None) -> Call:
        """Return inputs, parameters and upstream gradients; they depend only on the pair's name and the first four arguments.

        ``case`` may be the shape of the only declared input. ``outputs`` are the outputs' shapes; if left out, the reference computes them.
        """
        case = self._of_shape(case) if isinstance(case, tuple) else case
        shapes = case.shapes
        # Independent streams, so that another input does not change the parameters.
        whole = case.shape if len(self.cases[0].inputs) == 1 or self.labels else tuple(shapes.values())
        for_input, for_params, for_grad_output, for_labels, for_buffers = self.rng(seed, f"{family.name} {whole}").spawn(5)
        drawn = {name: one.draw(for_input if one.gradient else for_labels, family, case.sizes, dtype) for name, one in case.inputs.items()}
        if case.special is not None:
            drawn[case.special.name] = case.special.change(drawn[case.special.name])
        inputs = {name_in_call(name, case.inputs): value for name, value in drawn.items() if case.inputs[name].gradient}
        constants = {name: value for name, value in drawn.items() if not case.inputs[name].gradient}
        params = {name: family.parameters(for_params, size).astype(dtype) for name, size in self.param_shapes.items()}
        buffers = {name: family.statistic(for_buffers, size, dtype, name) for name, size in self.buffers.items()}
        call = Call(inputs, params, None, constants, buffers, self.order, self.outputs)
        found = self.output_shapes(call) if outputs is None and self.upstream else outputs or {}
        return replace(call, cotangents={name: family.grad_output(for_grad_output, found[name], dtype) for name in self.upstream})

    def _of_shape(self, shape: Shape) -> Case:
        """Return the declared case whose first input has this shape, or the first declared case with other lengths."""
        if found := next((case for case in self.cases if case.shape == shape), None):
            return found
        axes = next(one for one in self.cases[0].inputs.values() if one.gradient).axes
        return self.cases[0].resized({axis: length for axis, length in zip(axes, shape, strict=True) if isinstance(axis, str)})

    def output_shapes(self, call: Call) -> dict[str, Shape]:
        """Return the shapes of the outputs, computed by the reference or, if there is none, by the subject."""
        if self.references and self.references[0].describes:
            described = self.references[0].describe(self.undropped(call).astype(np.float64))
            return {name: output.shape for name, output in zip(self.outputs, described, strict=False)}
        return {name: value.shape for name, value in self.forward(call).items()}

    def forward(self, call: Call) -> dict[str, Array]:
        """Return the outputs for a call, computed by the reference (a dropout keeps everything) or, if there is none, by the subject."""
        found = self.references[0].oracle.vjp(self.undropped(call.forward)) if self.references else self.layer.vjp(call.forward)
        return {name: found[name] for name in self.outputs}

    def undropped(self, call: Call) -> Call:
        """Return the call with a mask that keeps everything, if the reference is a dropout."""
        return call if self.dropped is None else replace(call, constants={**call.constants, "mask": np.ones(call.x.shape, bool)})


def accepted(prepared: Prepared, case: Case) -> bool:
    """Return whether every reference accepts a case, and the layouts fit it; false if there is no reference."""
    return bool(prepared.references) and all(_accepts(reference, prepared, case) for reference in prepared.references)


def _accepts(reference: Reference, prepared: Prepared, case: Case) -> bool:
    """Return whether one reference accepts a case.

    If only the number of samples differs from the declared case, that of the outputs has to change in proportion. A recorded reference accepts the
    sizes that it knows. If its file does not say which these are, it counts as accepting other batch sizes, and refuses unknown inputs later.
    """
    declared, batch = prepared.cases[0], batch_axis(prepared.cases[0])
    only_batch = all(length == declared.sizes[axis] or axis == batch for axis, length in case.sizes.items())
    if reference.derived is not None:
        return case.shapes in [known.shapes for known in reference.derived]
    if reference.elements is not None:
        return only_batch
    alone = replace(prepared, references=[reference], upstream=())
    try:
        call = alone.call(case, FAMILIES["normal"], "float64", 0)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            after = alone.output_shapes(call)
        if told and _warned(told) - _warnings_of_declared(alone):
            return False
        _expect_layouts(prepared, call, after)
        return not (only_batch and batch) or _in_proportion(alone, case, after)
    except Exception:  # noqa: BLE001 - a reference of the user may raise anything for a size that it does not take
        return False


def is_finite(prepared: Prepared, case: Case) -> bool:
    """Return whether the first reference computes finite outputs from normal inputs of a case.

    A window of a pool that lies in the padding alone has a maximum of minus infinity, and no element that its gradient could go to.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            outputs = prepared.forward(replace(prepared, upstream=()).call(case, FAMILIES["normal"], "float64", 0))
    except Exception:  # noqa: BLE001 - a reference of the user may raise anything for a size that it does not take
        return False
    return all(np.isfinite(value).all() for value in outputs.values())


def _expect_layouts(prepared: Prepared, call: Call, outputs: Mapping[str, Shape]) -> None:
    """Raise :class:`LayoutError` if the patterns of inputs and outputs do not fit a call."""
    for name, value in call.inputs.items():
        prepared.layer.layout.of_input(name).to_subject(value)
    for name, shape in outputs.items():
        prepared.layer.layout.of_output(name).to_subject(np.zeros(shape))


def _warned(told: Sequence[warnings.WarningMessage]) -> set[str]:
    return {str(one.message) for one in told if issubclass(one.category, UserWarning)}


def _warnings_of_declared(prepared: Prepared) -> set[str]:
    """Return what the reference warns of in any case; a size that it warns of besides is not meant for it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        prepared.output_shapes(prepared.call(prepared.cases[0], FAMILIES["normal"], "float64", 0))
    return _warned(told)


def _in_proportion(prepared: Prepared, case: Case, after: Mapping[str, Shape]) -> bool:
    """Return whether an axis of each output changes as the number of samples does, or the output does not depend on it.

    If the samples are the first axis of the inputs, they are that of the first output, too: a reference that was written for one number of samples
    may move them elsewhere. Further outputs may have them at another place, as the last state of a recurrent layer has.
    """
    declared = prepared.cases[0]
    batch, before = batch_axis(declared), prepared.output_shapes(prepared.call(declared, FAMILIES["normal"], "float64", 0))
    old, new = declared.sizes[batch], case.sizes[batch]
    if next(iter(declared.inputs.values())).axes[:1] != (batch,):
        return True

    def scaled(one: Shape, other: Shape, places: Sequence[int]) -> bool:
        if one == other or len(one) != len(other):
            return one == other
        return any(one[:at] + one[at + 1 :] == other[:at] + other[at + 1 :] and one[at] * new == other[at] * old for at in places)

    return all(scaled(before[name], after[name], range(len(before[name]) if number else 1)) for number, name in enumerate(before))
