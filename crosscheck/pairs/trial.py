"""Trial calls of a layer while its pair is prepared: they show where it writes its gradients, and which way to map its parameters is right.

A trial decides only what a declaration leaves open. A layer that fails in it is not judged by it: its checks report the failure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError, copied
from crosscheck.adapters.gradient_places import Written
from crosscheck.adapters.layer_object import Layer
from crosscheck.adapters.layout import LayoutError, Parameter
from crosscheck.adapters.naming import INPUT_GRADIENTS, OUTPUTS
from crosscheck.core.arguments import flat
from crosscheck.core.check_layer import LayerContext, context_of, judge_one
from crosscheck.core.guard import SubjectError, TimeLimitError, contained, part_of_the_time
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Kind, Verdict
from crosscheck.core.operation import DTYPES, Call, RefusedError
from crosscheck.core.precision import Precision
from crosscheck.core.trace import Place
from crosscheck.pairs.prepared import Prepared

_FAILED = (SubjectError, ConventionError, LayoutError, RefusedError)

_SHARE = 0.25
"""The share of the time for preparation after which a trial is given up, so that code that never ends is reported by its checks."""


def written_by_backward(prepared: Prepared, layer: Layer) -> Written | None:
    """Return copies of a layer object before and after a backward pass, with its own parameters; None if it fails or takes too long.

    ``prepared`` is a pair whose parameters are not known yet.
    """
    try:
        with part_of_the_time(_SHARE):
            return _written_by_backward(prepared, layer)
    except (*_FAILED, TimeLimitError):
        return None


def _written_by_backward(prepared: Prepared, layer: Layer) -> Written:
    function = replace(prepared.layer, convention=layer)
    call = _call(prepared)
    given = function.own_arguments(function.sample(call, 0) if layer.one_sample else call)
    instance = layer.instance()
    function.switch(instance)
    with contained("forward"):
        outputs = flat(instance.forward(*given.values()))
    output = "" if outputs or layer.output else _left(instance.layer, OUTPUTS)
    outputs = [getattr(instance.layer, output)] if output else outputs
    rng = np.random.default_rng(0)
    upstream = [np.asarray(rng.normal(size=np.shape(output)), call.dtype) for output in outputs]
    before = copied(instance.layer)
    with contained("backward"):
        returned = instance.backward(*upstream[: max(1, layer.upstream(len(upstream)))])["grad_input"]
    left = "" if returned is not None or layer.grad_input else _left(instance.layer, INPUT_GRADIENTS)
    return Written(before, instance.layer, returned, output, left)


def _left(layer: Any, names: Sequence[str]) -> str:
    """Return the name of the attribute where a method that returned nothing left its result; empty if there is none of these names."""
    return next((name for name in names if isinstance(getattr(layer, name, None), np.ndarray)), "")


def agreement(prepare: Callable[[Mapping[str, Parameter]], Prepared]) -> Callable[[Mapping[str, Parameter]], bool]:
    """Return a function that says whether a layer's outputs agree with the reference's if its parameters are mapped in a certain way.

    ``prepare`` makes the pair with a mapping. The outputs are judged as in a check, for one random input and random parameters, with which only the
    right mapping can agree.
    """
    known = list[LayerContext]()  # the expected outputs, which are the same for every mapping

    def agrees(params: Mapping[str, Parameter]) -> bool:
        try:
            prepared = prepare(params)
            call, layer = _call(prepared), prepared.layer
            precision = Precision(call.dtype, max(1, sum(math.prod(shape) for shape in prepared.output_shapes(call).values())))
            if not known:
                known.append(context_of(prepared.references[0].oracle, call, precision))
            found = layer.vjp(known[0].call.copied())
        except _FAILED:
            return False
        places = {quantity: Place(0, prepared.pair.title, quantity) for quantity in prepared.outputs}
        judged = (judge_one(place, Kind.ISOLATED, name, found.get(name), known[0], layer, precision) for name, place in places.items())
        return all(judgement.verdict is Verdict.MATCH for judgement, _ in judged)

    return agrees


def _call(prepared: Prepared) -> Call:
    """Return a forward call of the first declared case, in float64 if the subject computes in it."""
    dtype = DTYPES[0] if DTYPES[0] in prepared.pair.dtypes else prepared.pair.dtypes[0]
    return replace(prepared, upstream=()).call(prepared.cases[0], FAMILIES["normal"], dtype, 0)
