"""A subject on the bench: instances of it called directly, as its own program does, with arrays in its own layout."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.adapters.convention import Instance
from crosscheck.core.check_layer import context_of, judge_one
from crosscheck.core.guard import as_array, contained
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.operation import Call, Oracle, RefusedError, Shape
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.pairs.prepare_layer import Prepared

Results = dict[str, Array]


class DoesNotApplyError(Exception):
    """A contract says nothing about this subject; the message says why."""


@dataclass
class Bench:
    """A subject on the bench: instances of it, and calls in its own layout.

    Attributes
    ----------
    layer : AdaptedLayer
    call : Call
        In the reference's layout.
    other : Call
        With the same parameters and the same shape, and other numbers.
    smaller : Call or None
        The same with fewer samples, where there can be fewer.
    retrained : Call or None
        The call with other parameters; None where there are none.
    elsewhere : Call or None
        Of another declared size than one of the batch, such as that of another image, where there is one.
    rearranges : bool
        Whether the operation only moves the input's elements, as a reshape does, so that its output may be a view.
    modes : bool
        Whether the operation itself is another one in training than in evaluation.
    fixed_batch : bool
        Whether the subject is declared to take no other batch sizes.
    deterministic : bool
        Whether it is expected to give the same bits each time.
    dropped : float, optional
        The probability with which a dropout drops. Its forward pass is made to draw the same numbers each time.
    elements : int
        How many numbers all checks of the pair compare.
    reference : Oracle, optional
        The arbiter, where it can be asked about any input.
    drawn : callable, optional
        Makes a call with the same parameters of an input's shape; there where the reference is.
    """

    layer: AdaptedLayer
    call: Call
    other: Call
    smaller: Call | None
    rearranges: bool = False
    modes: bool = False
    fixed_batch: bool = False
    deterministic: bool = True
    elsewhere: Call | None = None
    retrained: Call | None = None
    dropped: float | None = None
    elements: int = 1
    reference: Oracle | None = None
    drawn: Callable[[Shape], Call] | None = None
    _repeating: dict[int, Repeating] = field(default_factory=dict)
    _forwards: int = 0

    def instance(self) -> Instance:
        """Return a fresh instance with the call's parameters."""
        with contained("setting the parameters"):
            instance = self.layer.convention.instance()
            instance.load(self.layer.own_params(self.call))
        self.layer.switch(instance)
        if self.dropped is not None:
            self._repeating[id(instance)] = Repeating(instance)
        return instance

    def given(self, call: Call) -> Results:
        """Return the arrays of a call in the subject's layout."""
        given = {"input": np.array(self.layer.own_input(call), order="C"), "cotangent": np.array(self.layer.own_grad_output(call), order="C")}
        labels = {name: np.array(value) for name, value in self.layer.own_constants(call).items()}
        return given | labels

    def forward(self, instance: Instance, given: Results) -> Results:
        """Run the forward pass."""
        if self.dropped is not None:
            if self._forwards and not self._repeats:
                raise DoesNotApplyError("the subject draws other random numbers each time, from a generator that is not to be seen")
            self._repeating[id(instance)].again()
        self._forwards += 1
        return self.drawing(instance, given)

    @cached_property
    def _repeats(self) -> bool:
        """Whether random numbers can be repeated."""
        outputs = []
        for _ in range(2):
            instance = self.instance()
            self._repeating[id(instance)].again()
            outputs.append(copies(self.drawing(instance, self.given(self.call))))
        return not differing(*outputs)

    def drawing(self, instance: Instance, given: Results) -> Results:
        """Run the forward pass with whatever random numbers come next."""
        constants: dict[str, Any] = {name: value if value.ndim else int(value) for name, value in given.items() if name == "labels"}
        with contained("forward"):
            output = instance.forward(given["input"], constants)
        return {"output": as_array(output, "output", self.call.x.dtype)}

    def backward(self, instance: Instance, given: Results) -> Results:
        """Run the backward pass and return the gradients as they are, not copied."""
        return self._gradients(instance.backward, given)

    def accumulate(self, instance: Any, given: Results) -> Results:
        """Run the backward pass on top of the gradients that are there and return them as they are, not copied."""
        return self._gradients(instance.accumulate, given)

    def _gradients(self, backward: Callable[[Array], dict[str, Any]], given: Results) -> Results:
        with contained("backward"):
            grads = backward(given["cotangent"])
        return {name: as_array(value, name, self.call.x.dtype) for name, value in grads.items() if value is not None}

    def changed(self, call: Call, one: Results, other: Results) -> str:
        """Return the names of a call's results that are not those of another run: bit for bit, if the subject is expected to repeat them."""
        return differing(one, other) if self.deterministic else self.beyond_rounding(call, one, other)

    def beyond_rounding(self, call: Call, one: Results, other: Results) -> str:
        """Return the names of a call's results that two runs cannot both have right: that are further apart than the tolerances of both."""
        if self.reference is None:
            raise DoesNotApplyError("the subject is not repeatable, and there is no reference that says how far rounding leads")
        precision, layer = Precision(call.x.dtype, self.elements), self.layer
        context = context_of(self.reference, call, precision)
        if not context.bounds:
            raise RefusedError(context.undecided)

        def explained(name: str) -> bool:
            quantity = layer.reference_name(name)
            place, both = Place(0, "layer", quantity), [layer.received(quantity, results.get(name), call) for results in (one, other)]
            bounds = [judge_one(place, Kind.ISOLATED, quantity, value, context, layer, precision)[1] for value in both]
            room = Bound(np.asarray(sum(precision.error(bound) for bound in bounds if bound is not None)), 1.0)
            return judge(place, Kind.ISOLATED, both[1], both[0].astype(np.float64), room, precision).verdict is not Verdict.MISMATCH

        return ", ".join(name for name in one if not explained(name))

    def both(self, instance: Instance, given: Results) -> Results:
        """Run both passes."""
        return self.forward(instance, given) | self.backward(instance, given)

    def reads_exactly(self, quantity: str) -> bool:
        """Return whether the subject shows a gradient as it computed it, and it is not read off something else."""
        one = np.ones(1)
        return not quantity.endswith(".grad") or self.layer.convention.reading(one, one) is None

    @property
    def fewer(self) -> Call:
        """The smaller call.

        Raises
        ------
        DoesNotApplyError
            If there is none.
        """
        if self.fixed_batch:
            raise DoesNotApplyError("the subject is declared to take the declared batch sizes alone")
        if self.smaller is None:
            one = self.layer.convention.one_sample
            raise DoesNotApplyError("the subject takes one sample at a time" if one else "no shape with more than one sample was given")
        return self.smaller

    @property
    def others(self) -> list[Call]:
        """Calls that may come after the first: of the same shape, which a cache may be taken for up to date by, and of other sizes."""
        return [self.other, *(call for call in (self.elsewhere, self.smaller) if call is not None)]

    def keeps(self, what: str, reason: str) -> None:
        """Raise :class:`DoesNotApplyError` unless an instance keeps something between calls."""
        if what not in self.layer.convention.keeps:
            raise DoesNotApplyError(reason)


def copies(results: Results) -> Results:
    """Return copies."""
    return {name: np.array(value) for name, value in results.items()}


def differing(one: Results, other: Results) -> str:
    """Return the names of the results that are not the same bit for bit."""
    names = [name for name in one if name not in other or not np.array_equal(one[name], other[name], equal_nan=True)]
    return ", ".join(names)


def bench_of(prepared: Prepared, dtype: str, seed: int) -> Bench:
    """Return the subject with calls of the shape with the most samples, each with arrays of its own; they are drawn once for all contracts."""
    if (dtype, seed) not in prepared.benches:
        prepared.benches[dtype, seed] = _drawn(prepared, dtype, seed)
    bench: Bench = prepared.benches[dtype, seed]
    smaller, elsewhere, retrained = (None if call is None else call.copied() for call in (bench.smaller, bench.elsewhere, bench.retrained))
    own = replace(bench, call=bench.call.copied(), other=bench.other.copied(), smaller=smaller, elsewhere=elsewhere, retrained=retrained)
    return replace(own, _repeating={}, _forwards=0)


def _drawn(prepared: Prepared, dtype: str, seed: int) -> Bench:
    shape = prepared.bench_shape
    call = prepared.call(shape, FAMILIES["normal"], dtype, seed)
    output = prepared.forward(call)
    rearranges = output.size == call.x.size and np.array_equal(np.sort(output, axis=None), np.sort(call.x, axis=None))
    # Other numbers: what is left over from one call must not be what the next one has to be.
    second = prepared.call(shape, FAMILIES["normal"], dtype, seed + 1, output.shape)
    other = replace(second, params=call.params)
    smaller = None
    if prepared.layer.convention.one_sample:
        call, other = _first(call, 1), _first(other, 1)
    elif shape[0] > 1 and not prepared.pair.fixed_batch:
        smaller = _first(other, shape[0] - 1)
        if smaller.grad_output is not None and smaller.grad_output.ndim and smaller.grad_output.shape[0] != shape[0] - 1:
            smaller = None
    size = next((size for size in prepared.shapes if size[1:] != shape[1:]), None)
    elsewhere = None if size is None else replace(prepared.call(size, FAMILIES["normal"], dtype, seed), params=call.params)
    if elsewhere is not None and prepared.layer.convention.one_sample:
        elsewhere = _first(elsewhere, 1)
    return Bench(
        prepared.layer,
        call,
        other,
        smaller,
        rearranges,
        modes=any(reference.modes for reference in prepared.references),
        fixed_batch=prepared.pair.fixed_batch,
        deterministic=prepared.pair.deterministic,
        elsewhere=elsewhere,
        retrained=replace(call, params=second.params) if second.params else None,
        dropped=prepared.dropped,
        elements=prepared.elements,
        # A recording, which has settled how many numbers there are, answers what it was asked and nothing else.
        reference=next((reference.oracle for reference in prepared.references if reference.elements is None), None),
        drawn=lambda size: replace(prepared.call(size, FAMILIES["normal"], dtype, seed), params=call.params),
    )


def _first(call: Call, samples: int) -> Call:
    """Return a call with the first samples only, as arrays of their own."""
    grad_output = call.grad_output
    if grad_output is not None and grad_output.ndim and len(grad_output) == len(call.x):
        grad_output = np.array(grad_output[:samples])
    constants = {name: value[:samples] for name, value in call.constants.items()}
    return replace(call, x=np.array(call.x[:samples]), grad_output=grad_output, constants=constants)


_SEED = 0


class Repeating:
    """The generators of one instance of a layer, brought back to where they were.

    Known are the layer's own, which it holds as attributes, and those that NumPy and Python keep for everybody.

    Parameters
    ----------
    instance : object
        As a convention makes it.
    """

    def __init__(self, instance: Any) -> None:
        held = getattr(getattr(instance, "layer", instance), "__dict__", {})
        self._own = [value for value in held.values() if isinstance(value, np.random.Generator | np.random.RandomState | random.Random)]
        self._states = [copy.deepcopy(_state(generator)) for generator in self._own]

    def again(self) -> None:
        """Bring every generator back."""
        np.random.seed(_SEED)  # noqa: NPY002 - the one that a layer may draw from
        random.seed(_SEED)
        for generator, state in zip(self._own, self._states, strict=True):
            _set(generator, copy.deepcopy(state))


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def _set(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)
