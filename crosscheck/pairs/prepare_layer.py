"""Prepare a pair of layers: work out its convention, references, layouts, outputs and sizes from its declaration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.adapters.convention import Convention, Instance
from crosscheck.adapters.functions import Functions
from crosscheck.adapters.layout import LayerLayout, Layout, LayoutError, Parameter
from crosscheck.adapters.match_buffers import mapped_buffers, other_starts, possible_buffers
from crosscheck.adapters.match_params import mapped
from crosscheck.adapters.recognise import recognise
from crosscheck.core.arguments import Case, Signature, flat, name_in_call, quantity_of_output
from crosscheck.core.guard import SubjectError, contained, silenced
from crosscheck.core.inputs import EVALUATED, FAMILIES
from crosscheck.core.operation import DTYPES, OUTPUT, Call, Shape, is_grad_input, is_output
from crosscheck.pairs.cases import batch_axis, declared_cases, without_optional, without_samples
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepared import Prepared, accepted, is_finite
from crosscheck.pairs.sizes import BUDGET, Derived, derived
from crosscheck.pairs.trial import agreement, written_by_backward
from crosscheck.references.functions import Output
from crosscheck.references.resolve import Reference, framework_of, own_buffers, resolved


def prepare_layer(pair: Pair) -> Prepared:
    """Return a prepared pair. If the declaration does not fit or is ambiguous, raise the errors of :func:`crosscheck.pairs.prepare.prepare`."""
    given = pair.reference if isinstance(pair.reference, list | tuple) else [] if pair.reference is None else [pair.reference]
    references = [resolved(reference, pair.framework) for reference in given]
    training = references[0].training if references else None
    statistics = dict(training.buffers) if training else {}
    count = len(references[0].shapes or ()) if references else 0
    convention = recognise(
        pair.subject, pair.params, count, [*pair.buffers, *statistics], lambda layer: written_by_backward(_draft(pair, references, layer), layer)
    )
    draft = _draft(pair, references, convention)
    convention, cases, training_mode = draft.layer.convention, draft.cases, draft.layer.training
    probe = convention.instance()  # a subject that cannot be copied fails here once, not in every check
    own = dict(convention.shapes)
    expected = references[0].shapes if references else _as_own(pair, own)
    _expect_same_parameters(pair, references)
    # Without a reference, each parameter corresponds to itself.
    names = pair.params if pair.reference is not None else {name: name for name in own} | dict(pair.params)
    kept = {} if convention.one_sample else {name: shape for name, shape in possible_buffers(probe).items() if name not in own}
    buffers, of_buffers, absent = mapped_buffers(kept, statistics, pair.buffers, pair.sizes)
    dropped = training is not None and training.dropped is not None
    agrees = agreement(partial(_mapped_draft, pair, references, convention, buffers)) if references and not dropped else None
    kernel_last = bool(given) and framework_of(given[0]) == "torch"
    no_params = partial(convention.declared_without, given[0]) if isinstance(convention, Functions) and given else None
    params, inferred = mapped(own, expected, names, pair.sizes, agrees=agrees, kernel_last=kernel_last, no_params=no_params)
    layout = _layout(pair, cases[0], params, buffers)
    mask = pair.mask or str(getattr(convention, "mask", ""))
    if pair.mask and not dropped:
        raise pair.error(f"mask is {pair.mask!r}, but the reference is not a dropout in training that draws one, such as torch.nn.Dropout(0.5)")
    mask = mask if training and training.dropped else ""
    layer = AdaptedLayer(convention, layout, pair.reduction, training_mode, mask, absent, shared=without_samples(cases[0]))
    theirs = [parameter.name for parameter in params.values()]
    if unknown := [name for name in pair.param_shapes if name not in theirs]:
        raise pair.error(f"param_shapes names {unknown[0]!r}, but the reference's parameters are: {', '.join(theirs) or 'none'}")
    _expect_used(pair, cases)
    param_shapes = {p.name: _param_shape(pair, p, name, own[name], expected) for name, p in params.items()}
    why_not = _no_evaluation(references, probe, absent)
    inferred += [*convention.inferred, *of_buffers, *(other_starts(probe.buffers(), buffers, own_buffers(given[0])) if buffers else ())]
    draft = Prepared(pair, layer, references, cases, param_shapes, inferred, 1, buffers=statistics, no_evaluation=why_not)
    draft = _with_outputs(draft, references[0].signature if references else None)
    with silenced():  # a reference may warn of sizes that were not declared
        draft = replace(draft, sizes=_sizes(draft, _fixed(pair, cases[0])))
    if (tried := draft.bench_case) not in cases:
        draft.inferred.append(f"contracts use {tried.shape[0]} samples: at most {BUDGET:,} input numbers, or two samples")
    settled = references[0].elements if references else None
    return replace(draft, elements=settled or _elements(draft))


def _draft(
    pair: Pair,
    references: list[Reference],
    convention: Convention,
    params: Mapping[str, Parameter] | None = None,
    buffers: Mapping[str, Parameter] | None = None,
) -> Prepared:
    """Return a pair as far as it is known before its outputs are: for trial calls, also before its parameters are."""
    reference = references[0] if references else None
    labels = pair.labels if pair.labels is not None else reference is not None and reference.labels
    signature, training = (None, None) if reference is None else (reference.signature, reference.training)
    cases = declared_cases(pair, signature, labels)
    if signature is not None and not pair.inputs:
        cases = [without_optional(case, signature, convention.arguments, list(pair.params)) for case in cases]
    layout = _layout(pair, cases[0], dict(params or {}), dict(buffers or {}))
    mode = None if training is None else True
    layer = AdaptedLayer(_taking(convention, cases[0], 1), layout, pair.reduction, mode, shared=without_samples(cases[0]))
    mapped_to = {parameter.name for parameter in (params or {}).values()}
    # In the reference's order, so that the same numbers are drawn for every way to map the parameters.
    shapes = {name: shape for name, shape in ((reference.shapes if reference is not None else None) or {}).items() if name in mapped_to}
    return Prepared(pair, layer, references, cases, shapes, [], 1, buffers=dict(training.buffers) if training is not None else {})


def _mapped_draft(
    pair: Pair, references: list[Reference], convention: Convention, buffers: Mapping[str, Parameter], params: Mapping[str, Parameter]
) -> Prepared:
    return _with_outputs(_draft(pair, references, convention, params, buffers), references[0].signature)


def _layout(pair: Pair, case: Case, params: dict[str, Parameter], buffers: dict[str, Parameter]) -> LayerLayout:
    """Return the layouts of a pair; inputs and outputs of which there are several have a layout each."""

    def several(given: str | Mapping[str, str], known: Iterable[str], what: str) -> dict[str, Layout]:
        if isinstance(given, str):
            return {}
        if unknown := [name for name in given if name not in known]:
            raise pair.error(f"{what} has a pattern for {unknown[0]!r}, expected one of {', '.join(known)}")
        return {name: Layout(pattern, pair.sizes) for name, pattern in given.items()}

    inputs = several(pair.input, case.inputs, "input")
    if isinstance(pair.input, str) and pair.input and len(case.inputs) > 1:
        inputs = {name: Layout(pair.input, pair.sizes) for name, one in list(case.inputs.items())[:1] if one.gradient}
    inputs = {name_in_call(name, case.inputs): layout for name, layout in inputs.items()}
    names = pair.outputs or tuple(pair.output if isinstance(pair.output, Mapping) else ())
    outputs = {quantity_of_output(name, names): layout for name, layout in several(pair.output, names, "output").items()}
    one, other = (Layout(given if isinstance(given, str) else "", pair.sizes) for given in (pair.input, pair.output))
    return LayerLayout(one, other, params, buffers, inputs, outputs)


def _expect_used(pair: Pair, cases: Sequence[Case]) -> None:
    """Raise if ``sizes`` names an axis that occurs nowhere."""
    patterns = [*_patterns(pair.input), *_patterns(pair.output)]
    patterns += [declaration.partition(":")[2] for declaration in [*pair.params.values(), *pair.buffers.values()]]
    axes = " ".join(patterns).replace("(", " ").replace(")", " ").split()
    if unused := [axis for axis in pair.sizes if axis not in axes and not any(axis in case.sizes for case in cases)]:
        raise pair.error(f"sizes names the axis {unused[0]!r}, which is in no pattern")


def _patterns(given: str | Mapping[str, str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given.values())


def _fixed(pair: Pair, case: Case) -> frozenset[str]:
    """Return the axes that keep their declared lengths."""
    axes, batch = list(case.sizes), batch_axis(case)
    fixed = {axis for axis in axes if pair.fixed_sizes and axis != batch} | ({batch} if pair.fixed_batch else set())
    first = next(iter(case.inputs.values())).axes
    for given in [pair.fixed] if isinstance(pair.fixed, str) else pair.fixed:
        axis = first[given] if isinstance(given, int) and -len(first) <= given < len(first) else given
        if axis not in axes and not (isinstance(axis, int) and axis in first):
            numbers = [] if pair.inputs else [f"0 to {len(first) - 1}"]
            named = [repr(axis) for axis in axes if pair.inputs or axis not in first]
            raise pair.error(f"fixed names the axis {given!r}, expected one of {', '.join([*numbers, *named])}")
        fixed.add(str(axis))
    return frozenset(fixed)


def _sizes(draft: Prepared, fixed: frozenset[str]) -> Derived:
    """Return the derived cases; beside a recorded reference, these are the ones that it knows."""
    first = draft.cases[0]
    known = next((reference for reference in draft.references if reference.derived is not None), None)
    if known is None or known.derived is None:
        compiled = any(getattr(reference.oracle, "compiled", False) for reference in draft.references)
        found = derived(draft.cases, lambda case: accepted(draft, case), fixed, batch_axis(first), few=compiled)
        if not is_finite(draft, first):
            return found
        return replace(found, cases=tuple(case for case in found.cases if is_finite(draft, case)))
    same = (_of_shapes(first, tuple(case.shapes.values())) for case in known.derived)
    cases = [case for case in same if case is not None and not any(case.sizes[axis] != first.sizes[axis] for axis in fixed & {*first.sizes})]
    return Derived(tuple(case for case in cases if accepted(draft, case)), tuple(axis for axis in known.refused if axis in first.sizes))


def _of_shapes(case: Case, shapes: Sequence[Shape]) -> Case | None:
    """Return the case whose inputs have these shapes; None if its axes cannot have them."""
    if [len(shape) for shape in shapes] != [len(one.axes) for one in case.inputs.values()]:
        return None
    given = zip([axis for one in case.inputs.values() for axis in one.axes], [length for shape in shapes for length in shape], strict=True)
    found = case.resized({axis: length for axis, length in given if isinstance(axis, str)})
    return found if tuple(found.shapes.values()) == tuple(shapes) else None


def _with_outputs(draft: Prepared, signature: Signature | None) -> Prepared:
    """Return the pair with the names of its outputs, as its reference and its subject return them, and those that get an upstream gradient."""
    pair, convention = draft.pair, draft.layer.convention
    call = draft.call(draft.cases[0], FAMILIES["normal"], "float64", 0, {OUTPUT: ()})
    with silenced():
        outputs = draft.references[0].describe(draft.undropped(call)) if draft.references else [Output(())] * max(1, len(pair.outputs))
    names = tuple(pair.outputs) or (signature.outputs if signature is not None else ())
    names = (*names, *(str(number) if number else OUTPUT for number in range(len(names), len(outputs))))
    if len(pair.outputs) > len(outputs):
        raise pair.error(f"outputs names {len(pair.outputs)} outputs, {', '.join(pair.outputs)}; the reference returns {len(outputs)}")
    count, inferred = len(pair.outputs) or len(outputs), list[str]()
    if count > 1 and not pair.outputs:
        several = replace(draft.layer, convention=_taking(convention, draft.cases[0], count))
        count = min(count, _returned(several, call))
        if count < len(outputs):
            inferred.append(f"your code returns {', '.join(names[:count])}; not compared: {', '.join(names[count:])}")
    names, outputs = names[:count], outputs[:count]
    quantities = tuple(quantity_of_output(name, names) for name in names)
    graded = [quantity for quantity, output in zip(quantities, outputs, strict=True) if output.gradient and not output.whole]
    # A function without inputs or parameters that have a gradient has no backward pass.
    graded = graded[: convention.upstream(len(graded))] if call.inputs or call.params else []
    if 0 < len(graded) < len(quantities) and len(quantities) > 1 and convention.upstream(count) < count:
        inferred.append(f"backward gets the upstream gradient of {', '.join(graded)}; that of the other outputs is zero")
    whole = frozenset(quantity for quantity, output in zip(quantities, outputs, strict=True) if output.whole)
    further = tuple(name for name in replace(draft, outputs=quantities).quantities if is_output(name) or is_grad_input(name))
    layer = replace(draft.layer, convention=_taking(convention, draft.cases[0], count), whole=whole, further=further)
    return replace(draft, layer=layer, outputs=quantities, upstream=tuple(graded), inferred=[*draft.inferred, *inferred])


def _taking(convention: Convention, case: Case, outputs: int) -> Convention:
    """Return the convention for the inputs of a case and so many outputs."""
    return convention.taking(len(case.inputs), outputs, sum(one.gradient for one in case.inputs.values()))


def _returned(layer: AdaptedLayer, call: Call) -> int:
    """Return how many outputs the subject returns for a call; many if it fails, which the checks will report."""
    try:
        with contained("forward"):
            instance = layer.convention.instance()
            instance.load(layer.own_params(call))
            layer.switch(instance)
            return max(1, len(flat(instance.forward(*layer.own_arguments(call.copied()).values()))))
    except (SubjectError, LayoutError):
        return len(call.outputs) + 99


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


def _elements(prepared: Prepared) -> int:
    """Return how many numbers the pair's checks compare at most; raise if the patterns do not fit all inputs and outputs."""
    total, pair, layer = 0, prepared.pair, prepared.layer
    sizes = sum(int(np.prod(size)) for size in [*prepared.param_shapes.values(), *prepared.buffers.values()])
    evaluated = 0 if prepared.no_evaluation else len(EVALUATED)
    normal = FAMILIES["normal"]
    for case in prepared.cases_for(normal):
        drawn = replace(prepared, upstream=()).call(case, normal, "float64", 0)
        outputs = prepared.output_shapes(drawn) if prepared.references else {OUTPUT: case.shape}
        one = layer.convention.one_sample
        for name, value in drawn.inputs.items():
            _expect_fit(pair, layer.layout.of_input(name), (1, *value.shape[1:]) if one else value.shape, "input")
        for name, shape in outputs.items():
            if prepared.references and shape:
                alone = one and shape[0] == case.shape[0]
                _expect_fit(pair, layer.layout.of_output(name), (1, *shape[1:]) if alone else shape, "output")
        families = len(FAMILIES) if case in prepared.cases else 1
        total += (case.elements + sum(math.prod(shape) for shape in outputs.values()) + sizes) * (families + evaluated)
    return total * len(DTYPES)
