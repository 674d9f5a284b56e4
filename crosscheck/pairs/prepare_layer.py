"""A prepared pair of layers: its convention, references, layouts and shapes, and the inputs of its checks."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.adapters.convention import Instance
from crosscheck.adapters.layout import LayerLayout, Layout, LayoutError, Parameter
from crosscheck.adapters.match_params import mapped, mapped_buffers, possible_buffers
from crosscheck.adapters.recognise import recognise
from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.inputs import EVALUATED, FAMILIES, Family, labels
from crosscheck.core.operation import DTYPES, Call, RefusedError, Shape
from crosscheck.core.precision import Array
from crosscheck.pairs.declaration import Ready
from crosscheck.pairs.pair import Pair
from crosscheck.references.resolve import Reference, resolved

_DRAWN = 4
"""How many shapes are drawn if ``shapes`` is a function."""

_BUDGET = 2**14
"""The most numbers in an input of a derived shape; larger shapes get fewer samples. So most time goes to the declared shapes."""


@dataclass(frozen=True)
class Prepared(Ready):
    """A prepared pair of layers."""

    pair: Pair
    layer: AdaptedLayer
    references: list[Reference]  # the first one supplies the expected values; may be empty
    shapes: list[Shape]
    param_shapes: Mapping[str, Shape]  # by the reference's names
    labels: bool
    inferred: list[str]
    elements: int
    derived: Sequence[Shape] = ()  # further shapes with other batch sizes, on which the subject has to be right, too
    buffers: Mapping[str, Shape] = field(default_factory=dict)  # the shapes of the running statistics, by the reference's names
    no_evaluation: str = ""  # why the subject cannot be judged in evaluation mode; empty if it can
    evaluates: bool = False  # whether subject and references are in evaluation mode
    benches: dict[tuple[str, int], Any] = field(
        default_factory=dict, compare=False, repr=False
    )  # the contracts' benches so far, by precision and seed

    def shapes_for(self, family: Family) -> list[Shape]:
        """Return the shapes for checks of values: the declared shapes and, for the family ``normal``, the derived shapes with other batch sizes."""
        return [*self.shapes, *(self.derived if family.name == "normal" else ())]

    @property
    def bench_shape(self) -> Shape:
        """The input shape for contracts: the declared shape with the most samples, cut to fewer samples if the subject takes other batch sizes."""
        largest = max(self.shapes, key=lambda size: size[0])
        return _affordable(largest) if self.derived else largest

    @property
    def dropped(self) -> float | None:
        """The probability that the reference drops an element if it is a dropout in training, else None. The subject draws the mask."""
        training = self.references[0].training if self.references else None
        return None if training is None else training.dropped

    @property
    def evaluating(self) -> Prepared:
        """The same pair with subject and references in evaluation mode."""
        references = [reference.evaluating for reference in self.references]
        return replace(self, layer=replace(self.layer, training=False, mask=""), references=references, evaluates=True, benches={})

    @property
    def stateless(self) -> Prepared:
        """The same pair without running statistics, for trace files, which hold one mode only."""
        return replace(self, layer=replace(self.layer, layout=replace(self.layer.layout, buffers={})), buffers={}, benches={})

    def call(self, shape: Shape, family: Family, dtype: str, seed: int, output: Shape | None = None) -> Call:
        """Return input, parameters, labels and upstream gradient; they depend only on the pair's name and the first four arguments.

        ``shape`` is the shape of the input, ``output`` the shape of the output; if ``output`` is left out, the reference computes it.
        """
        # Independent streams, so that another input does not change the parameters.
        for_input, for_params, for_grad_output, for_labels, for_buffers = self.rng(seed, f"{family.name} {shape}").spawn(5)
        x = family.input(for_input, shape, dtype)
        params = {name: family.parameters(for_params, size).astype(dtype) for name, size in self.param_shapes.items()}
        constants = {"labels": labels(for_labels, shape[0], shape[1])} if self.labels else {}
        buffers = {name: family.statistic(for_buffers, size, dtype, name) for name, size in self.buffers.items()}
        call = Call(x, params, None, constants, buffers)
        output = self.output_shape(call) if output is None else output
        return replace(call, grad_output=family.grad_output(for_grad_output, output, dtype))

    def output_shape(self, call: Call) -> Shape:
        """Return the shape of the output, computed by the reference or, if there is none, by the subject."""
        return self.forward(call).shape

    def forward(self, call: Call) -> Array:
        """Return the output for a call, computed by the reference (a dropout keeps everything) or, if there is none, by the subject."""
        if not self.references:
            return self.layer.vjp(replace(call, grad_output=None))["output"]
        whole = {} if self.dropped is None else {"mask": np.ones(call.x.shape, bool)}
        return self.references[0].oracle.vjp(replace(call, grad_output=None, constants={**call.constants, **whole}))["output"]


def prepare_layer(pair: Pair) -> Prepared:
    """Return a prepared pair. If the declaration does not fit or is ambiguous, raise the errors of :func:`crosscheck.pairs.prepare.prepare`."""
    given = pair.reference if isinstance(pair.reference, list | tuple) else [] if pair.reference is None else [pair.reference]
    references = [resolved(reference, pair.framework) for reference in given]
    training = references[0].training if references else None
    statistics = dict(training.buffers) if training else {}
    convention = recognise(pair.subject, pair.params, len(references[0].shapes or ()) if references else 0, [*pair.buffers, *statistics])
    probe = convention.instance()  # a subject that cannot be copied fails here once, not in every check
    own = dict(convention.shapes)
    expected = references[0].shapes if references else _as_own(pair, own)
    _expect_same_parameters(pair, references)
    # Without a reference, each parameter corresponds to itself.
    names = pair.params if pair.reference is not None else {name: name for name in own} | dict(pair.params)
    params, inferred = mapped(own, expected, names, pair.sizes)
    kept = {} if convention.one_sample else {name: shape for name, shape in possible_buffers(probe).items() if name not in own}
    buffers, of_buffers, absent = mapped_buffers(kept, statistics, pair.buffers, pair.sizes)
    layout = LayerLayout(Layout(pair.input, pair.sizes), Layout(pair.output, pair.sizes), params, buffers)
    mask = pair.mask or str(getattr(convention, "mask", ""))
    if pair.mask and (training is None or training.dropped is None):
        raise pair.error(f"mask is {pair.mask!r}, but the reference is not a dropout in training that draws one, such as torch.nn.Dropout(0.5)")
    mask = mask if training and training.dropped else ""
    layer = AdaptedLayer(convention, layout, pair.reduction, None if training is None else True, mask, absent)
    shapes = _shapes(pair)
    theirs = [parameter.name for parameter in params.values()]
    if unknown := [name for name in pair.param_shapes if name not in theirs]:
        raise pair.error(f"param_shapes names {unknown[0]!r}, but the reference's parameters are: {', '.join(theirs) or 'none'}")
    patterns = [pair.input, pair.output, *(declaration.partition(":")[2] for declaration in [*pair.params.values(), *pair.buffers.values()])]
    axes = " ".join(patterns).replace("(", " ").replace(")", " ").split()
    if unused := [axis for axis in pair.sizes if axis not in axes]:
        raise pair.error(f"sizes names the axis {unused[0]!r}, which is in no pattern")
    param_shapes = {p.name: _param_shape(pair, p, name, own[name], expected) for name, p in params.items()}
    takes_labels = pair.labels if pair.labels is not None else bool(references and references[0].labels)
    if takes_labels and any(len(shape) != 2 for shape in shapes):
        raise pair.error(f"a loss with labels takes inputs of shape (batch, classes), found {shapes[0]}")
    why_not = _no_evaluation(references, probe, absent)
    inferred += of_buffers
    draft = Prepared(pair, layer, references, shapes, param_shapes, takes_labels, inferred, 1, buffers=statistics, no_evaluation=why_not)
    draft = replace(draft, derived=_derived(draft))
    if (tried := draft.bench_shape) not in shapes:
        inferred.append(f"contracts and batch sizes that were not declared use {tried[0]} samples: at most {_BUDGET:,} input numbers, or two samples")
    settled = references[0].elements if references else None
    return replace(draft, elements=settled or _elements(draft))


def _no_evaluation(references: Sequence[Reference], probe: Instance, absent: Mapping[str, str]) -> str:
    """Return why a subject cannot be judged in evaluation mode; empty if it can."""
    if not references or any(reference.training is None for reference in references):
        return "does not apply: for one of the references, evaluation mode is not known"
    if absent:
        return f"its running statistics cannot be set; {next(iter(absent.values()))}"
    with contained("changing the mode"):
        if probe.switch(False):
            return ""
    return "your code has no evaluation mode that crosscheck knows: train() and eval(), an attribute training, or forward(x, training=True)"


def _derived(prepared: Prepared) -> list[Shape]:
    """Return shapes with one sample, and with one sample fewer than declared, if the references accept them.

    These shapes reveal code that works only for the declared batch size.
    """
    pair, first = prepared.pair, next((shape for shape in prepared.shapes if shape[0] > 2), None)
    if pair.fixed_batch or prepared.layer.convention.one_sample or first is None:
        return []
    candidates = [(samples, *first[1:]) for samples in (1, _affordable((first[0] - 1, *first[1:]))[0])]
    return [shape for shape in candidates if shape not in prepared.shapes and all(_scales(prepared, r, first, shape) for r in prepared.references)]


def _affordable(shape: Shape) -> Shape:
    """Return the shape, cut to as many samples as the budget allows, but at least two."""
    samples = max(2, _BUDGET // max(1, math.prod(shape[1:])))
    return (samples, *shape[1:]) if samples < shape[0] else shape


def _scales(prepared: Prepared, reference: Reference, declared: Shape, derived: Shape) -> bool:
    """Return whether a reference accepts another batch size, and the batch size of its output changes in proportion.

    A recorded reference always counts as accepting it: it knows only the recorded inputs and refuses other inputs later.
    """
    if reference.elements is not None:
        return True
    try:
        alone = replace(prepared, references=[reference])
        before, after = (alone.output_shape(_zeros(prepared, shape)) for shape in (declared, derived))
        prepared.layer.layout.input.to_subject(np.zeros(derived))
        prepared.layer.layout.output.to_subject(np.zeros(after))
    except (RefusedError, LayoutError):
        return False
    return before == after if not before else before[1:] == after[1:] and before[0] * derived[0] == after[0] * declared[0]


def _expect_same_parameters(pair: Pair, references: Sequence[Reference]) -> None:
    """Raise if references have different parameters, because all of them get the same values."""
    for other in references[1:]:
        one, two = references[0].shapes, other.shapes
        if one is not None and two is not None and dict(one) != dict(two):
            raise pair.error(f"the references have different parameters: {references[0].name} {_shown(one)}; {other.name} {_shown(two)}")
        mine, theirs = (dict(reference.training.buffers) if reference.training else {} for reference in (references[0], other))
        if mine != theirs:
            raise pair.error(f"the references keep different statistics: {references[0].name} {_shown(mine)}; {other.name} {_shown(theirs)}")


def _shown(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"


def _as_own(pair: Pair, own: Mapping[str, Shape | None]) -> Mapping[str, Shape]:
    """Return the shapes of the subject's own parameters, which are the expected shapes if there is no reference."""
    shapes = {name: pair.param_shapes.get(name, shape) for name, shape in own.items()}
    if missing := [name for name, shape in shapes.items() if shape is None]:
        raise pair.error(f"the shape of {missing[0]!r} is not known; say param_shapes={{{missing[0]!r}: (...)}}")
    return {name: tuple(shape) for name, shape in shapes.items() if shape is not None}


def _param_shape(pair: Pair, parameter: Parameter, name: str, own: Shape | None, expected: Mapping[str, Shape] | None) -> Shape:
    """Return a parameter's shape in the reference's layout; raise if the subject's shape does not fit."""
    found = None if own is None else parameter.layout.to_reference(np.zeros(own)).shape
    wanted = pair.param_shapes.get(parameter.name) or (expected or {}).get(parameter.name) or found
    if wanted is None:
        raise pair.error(f"the shape of {parameter.name!r} is not known; say param_shapes={{{parameter.name!r}: (...)}}")
    if own is not None:
        parameter.layout.expect(np.zeros(own), tuple(wanted), f"the parameter {name!r}")
    _expect_fit(pair, parameter.layout, tuple(wanted), f"params[{name!r}]")
    return tuple(wanted)


def _expect_fit(pair: Pair, layout: Layout, shape: Shape, what: str) -> None:
    """Raise if a pattern cannot convert an array from the reference's layout to the subject's."""
    try:
        layout.to_subject(np.zeros(shape))
    except LayoutError as error:
        raise pair.error(f"{what}: {error}") from error


def _shapes(pair: Pair) -> list[Shape]:
    drawn: Any = pair.shapes
    if callable(pair.shapes):
        rng = np.random.default_rng(0)
        try:
            with contained("shapes"):
                drawn = [pair.shapes(rng) for _ in range(_DRAWN)]
        except SubjectError as error:
            raise pair.error(error.reason) from error
    elif isinstance(drawn, Sequence) and drawn and all(isinstance(size, int) for size in drawn):
        drawn = [drawn]
    try:
        shapes = list(dict.fromkeys(tuple(operator.index(size) for size in shape) for shape in drawn))
    except TypeError:
        shapes = []
    if not shapes or any(size < 1 for shape in shapes for size in shape) or not all(shapes):
        found = f"drawn as {drawn!r}" if callable(pair.shapes) else repr(pair.shapes)
        raise pair.error(f"shapes is {found}, expected shapes of the input with the batch axis, such as [(3, 12), (1, 12)]")
    return shapes


def _elements(prepared: Prepared) -> int:
    """Return how many numbers the pair's checks compare at most; raise if the patterns do not fit all inputs and outputs."""
    total, pair, layer = 0, prepared.pair, prepared.layer
    sizes = sum(int(np.prod(size)) for size in [*prepared.param_shapes.values(), *prepared.buffers.values()])
    evaluated = 0 if prepared.no_evaluation else len(EVALUATED)
    for shape in [*prepared.shapes, *prepared.derived]:
        output = prepared.output_shape(_zeros(prepared, shape)) if prepared.references else shape
        batch = 1 if layer.convention.one_sample else shape[0]
        _expect_fit(pair, layer.layout.input, (batch, *shape[1:]), "input")
        if prepared.references and output:
            _expect_fit(pair, layer.layout.output, (batch if output[0] == shape[0] else output[0], *output[1:]), "output")
        families = sum(shape in prepared.shapes_for(family) for family in FAMILIES.values())
        total += (int(np.prod(shape)) + int(np.prod(output)) + sizes) * (families + evaluated)
    return total * len(DTYPES)


def _zeros(prepared: Prepared, shape: Shape) -> Call:
    labels = {"labels": np.zeros(shape[0], dtype=np.int64)} if prepared.labels else {}
    return Call(np.zeros(shape), {name: np.zeros(size) for name, size in prepared.param_shapes.items()}, None, labels)
