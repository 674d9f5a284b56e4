"""A test bench for contracts: instances of the subject, called directly with arrays in the subject's own layout."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from crosscheck.adapters.adapted_layer import AdaptedLayer, by_input, outputs_of
from crosscheck.adapters.convention import Instance
from crosscheck.adapters.layout import LayoutError
from crosscheck.core.arguments import Case
from crosscheck.core.check_layer import LayerContext, context_of, judge_one
from crosscheck.core.guard import SubjectError, as_array, as_whole_numbers, contained
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.operation import Call, Constants, Oracle, RefusedError
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.pairs.cases import batch_axis
from crosscheck.pairs.prepared import Prepared, accepted

Results = dict[str, Array]


class DoesNotApplyError(Exception):
    """A contract does not apply to this subject; the message says why."""


@dataclass
class Bench:
    """Makes instances of a subject, and holds the calls on which contracts are tried."""

    layer: AdaptedLayer
    call: Call  # in the reference's layout
    other: Call  # another input and upstream gradient, with the same parameters and shapes
    smaller: Call | None  # ``other`` with fewer samples; None if the subject does not take fewer
    rearranges: bool = False  # whether the operation only moves the input's elements, as a reshape does, so that its output may be a view
    modes: bool = False  # whether the operation itself differs between training and evaluation
    fixed_batch: bool = False  # whether the subject is declared to take only the declared batch sizes
    deterministic: bool = True  # whether the subject is declared to give the same bits each time
    # a call that differs in an axis other than the batch axis, such as the image height; None if no such shape is declared
    elsewhere: Call | None = None
    retrained: Call | None = None  # ``call`` with other parameter values; None if the subject has no parameters
    dropped: float | None = None  # the probability that a dropout drops an element; random generators are reset before each of its forward passes
    elements: int = 1  # how many numbers the checks of the pair compare in total
    reference: Oracle | None = None  # the first reference that can compute results for new inputs
    samples: int = 1  # the number of samples in ``call``
    drawn: Callable[[int], Call] | None = None  # returns a call with the same parameters and so many samples; None if there is no axis of samples
    _rewinds: dict[int, Callable[[], None]] = field(default_factory=dict)
    _forwards: int = 0
    _contexts: dict[int, LayerContext] = field(default_factory=dict)
    """What is needed to judge a call, by the ``id`` of the call, which the context keeps alive. All contracts share the contexts."""

    def instance(self) -> Instance:
        """Return a fresh instance with the call's parameters."""
        with contained("setting the parameters"):
            instance = self.layer.convention.instance()
            instance.load(self.layer.own_params(self.call))
        self.layer.switch(instance)
        if self.dropped is not None:
            self._rewinds[id(instance)] = rewinding(instance)
        return instance

    def given(self, call: Call) -> Results:
        """Return copies of a call's arrays in the subject's layout: the subject may write to them."""
        cotangents = self.layer.own_cotangents(call)
        own = self.layer.own_arguments(call) | {upstream(name, len(cotangents)): value for name, value in cotangents.items()}
        return {name: np.array(value, order="C") for name, value in own.items()}

    def forward(self, instance: Instance, given: Results) -> Results:
        """Run the forward pass."""
        if self.dropped is not None:
            if self._forwards and not self._repeats:
                raise DoesNotApplyError("your code draws other random numbers each time, from a generator that the harness cannot find")
            self._rewinds[id(instance)]()
        self._forwards += 1
        return self.drawing(instance, given)

    @cached_property
    def _repeats(self) -> bool:
        """Whether the layer draws the same random numbers again after the generators were reset."""
        outputs = []
        for _ in range(2):
            instance = self.instance()
            self._rewinds[id(instance)]()
            outputs.append(copies(self.drawing(instance, self.given(self.call))))
        return not differing(*outputs)

    def drawing(self, instance: Instance, given: Results) -> Results:
        """Run the forward pass without resetting the random generators."""
        arguments = [value for name, value in given.items() if not is_upstream(name)]
        single = self.layer.convention.one_sample
        with contained("forward"):
            returned = instance.forward(*(int(value) if single and value.ndim == 0 and value.dtype.kind in "iu" else value for value in arguments))
        whole = self.layer.whole
        found = outputs_of(returned, self.call)
        return {
            name: as_whole_numbers(value, name, self.call.dtype) if name in whole else as_array(value, name, self.call.dtype)
            for name, value in found.items()
        }

    def backward(self, instance: Any, given: Results, accumulate: bool = False) -> Results:
        """Run the backward pass and return the gradients without copying them. With ``accumulate``, stored gradients are not cleared first."""
        cotangents = [value for name, value in given.items() if is_upstream(name)]
        if not cotangents:
            return {}
        with contained("backward"):
            grads = (instance.accumulate if accumulate else instance.backward)(*cotangents)
        return {name: as_array(value, name, self.call.dtype) for name, value in by_input(grads, self.call).items() if value is not None}

    def backpropagates(self) -> None:
        """Raise :class:`DoesNotApplyError` if there is no backward pass."""
        if not self.call.cotangents:
            raise DoesNotApplyError("your code has no backward pass")

    def both(self, instance: Instance, given: Results) -> Results:
        """Run the forward and the backward pass, and return all results."""
        return self.forward(instance, given) | self.backward(instance, given)

    def fresh(self, call: Call) -> Results:
        """Run the forward and the backward pass of a fresh instance for a call, and return copies of the results."""
        return copies(self.both(self.instance(), self.given(call)))

    def changed(self, call: Call, one: Results, other: Results) -> str:
        """Return the names of results that differ between two runs of a call; if the subject is not deterministic, beyond rounding."""
        return differing(one, other) if self.deterministic else self.beyond_rounding(call, one, other)

    def beyond_rounding(self, call: Call, one: Results, other: Results) -> str:
        """Return the names of results that differ between two runs of a call by more than the sum of both tolerances."""
        if self.reference is None:
            raise DoesNotApplyError("your code is not deterministic, and no reference says how far rounding leads")
        precision, layer = Precision(call.dtype, self.elements), self.layer
        if id(call) not in self._contexts:
            self._contexts[id(call)] = context_of(self.reference, call, precision)
        context = self._contexts[id(call)]
        if not context.bounds:
            raise RefusedError(context.undecided)

        def explained(name: str) -> bool:
            quantity = layer.reference_name(name)
            place, both = Place(0, "layer", quantity), [layer.received(quantity, results.get(name), call) for results in (one, other)]
            bounds = [judge_one(place, Kind.ISOLATED, quantity, value, context, layer, precision)[1] for value in both]
            room = Bound(np.asarray(sum(precision.error(bound) for bound in bounds if bound is not None)), 1.0)
            return judge(place, Kind.ISOLATED, both[1], both[0].astype(np.float64), room, precision).verdict is not Verdict.MISMATCH

        return ", ".join(name for name in one if not explained(name))

    def reads_exactly(self, quantity: str) -> bool:
        """Return whether the harness reads a gradient directly. Otherwise it computes the gradient from a parameter update, which rounds."""
        one = np.ones(1)
        return not quantity.endswith(".grad") or self.layer.convention.reading(one, one) is None

    @property
    def fewer(self) -> Call:
        """The call with fewer samples. If there is none, a contract that needs it does not apply."""
        if self.fixed_batch:
            raise DoesNotApplyError("your code is declared to take only the declared batch sizes")
        if self.smaller is None:
            raise DoesNotApplyError(self._no_fewer)
        return self.smaller

    @property
    def _no_fewer(self) -> str:
        """Why there is no call with fewer samples."""
        if self.layer.convention.one_sample:
            return "your code takes one sample at a time"
        if self.samples < 2:
            return "no shape with more than one sample was given"
        return "the reference takes no fewer samples" if self.reference else "your code takes no fewer samples, and no reference says that it should"

    @property
    def others(self) -> list[Call]:
        """Calls to make after ``call``: one of the same shape, so that a stale cache would fit, and calls of other sizes."""
        return [self.other, *(call for call in (self.elsewhere, self.smaller) if call is not None)]

    def keeps(self, what: str, reason: str) -> None:
        """Raise :class:`DoesNotApplyError` unless an instance stores ``what``, such as its gradients, between calls."""
        if what not in self.layer.convention.keeps:
            raise DoesNotApplyError(reason)


_UPSTREAM = "upstream gradient"


def upstream(quantity: str, count: int) -> str:
    """Return the name of an output's upstream gradient among the arrays that a subject is given; ``count`` is the number of such outputs."""
    return _UPSTREAM if count == 1 else f"{_UPSTREAM} of {quantity}"


def is_upstream(name: str) -> bool:
    """Return whether an array that a subject is given is an upstream gradient."""
    return name.startswith(_UPSTREAM)


def zeroed(given: Results) -> Results:
    """Return upstream gradients of zeros."""
    return {name: np.zeros_like(value) for name, value in given.items() if is_upstream(name)}


def copies(results: Results) -> Results:
    """Return copies of all arrays."""
    return {name: np.array(value) for name, value in results.items()}


def differing(one: Results, other: Results) -> str:
    """Return the names of the results that are not exactly equal; NaN equals NaN."""
    return ", ".join(name for name in one if name not in other or not np.array_equal(one[name], other[name], equal_nan=True))


def complaint(words: str, names: str) -> str:
    """Return a contract's finding: the words followed by the names of the results; empty if there are no names."""
    return f"{words}: {names}" if names else ""


def bench_of(prepared: Prepared, dtype: str, seed: int) -> Bench:
    """Return a bench for a pair. Its calls are drawn once, and all contracts share them."""
    if (dtype, seed) not in prepared.benches:
        prepared.benches[dtype, seed] = _drawn(prepared, dtype, seed)
    bench: Bench = prepared.benches[dtype, seed]
    return replace(bench, _rewinds={}, _forwards=0)


def _drawn(prepared: Prepared, dtype: str, seed: int) -> Bench:
    case, one_sample, normal = prepared.bench_case, prepared.layer.convention.one_sample, FAMILIES["normal"]
    batch = batch_axis(case)
    call = prepared.call(case, normal, dtype, seed)

    def drawn(size: Case) -> Call:
        return replace(prepared.call(size, normal, dtype, seed), params=call.params)

    outputs = prepared.forward(call)
    output = next(iter(outputs.values()))
    rearranges = output.size == call.x.size and np.array_equal(np.sort(output, axis=None), np.sort(call.x, axis=None))
    # Its numbers differ, so that anything left over from the first call is wrong in the second.
    second = prepared.call(case, normal, dtype, seed + 1, {name: value.shape for name, value in outputs.items()})
    other = replace(second, params=call.params)
    differs = (size for size in (*prepared.cases, *reversed(prepared.derived)) if {**size.sizes, batch: 0} != {**case.sizes, batch: 0})
    size = next(differs, None)
    elsewhere, smaller = None if size is None else drawn(size), None
    if one_sample:
        call, other = (_first(each, 1, prepared.layer.shared) for each in (call, other))
        elsewhere = None if elsewhere is None else _first(elsewhere, 1, prepared.layer.shared)
    elif batch and case.sizes[batch] > 1 and not prepared.pair.fixed_batch:
        smaller = _smaller(prepared, other, case, batch)
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
        # A recorded reference, the only kind with ``elements``, has no results for new inputs.
        reference=next((reference.oracle for reference in prepared.references if reference.elements is None), None),
        samples=case.sizes[batch] if batch else 1,
        drawn=(lambda samples: drawn(case.resized({batch: samples}))) if batch else None,
    )


def _smaller(prepared: Prepared, other: Call, case: Case, batch: str) -> Call | None:
    """Return a call with one sample fewer; None if the reference, or without one the subject, does not take fewer with the same parameters.

    The input of a subject that has only one is known to have its samples along the first axis, so the subject has to take fewer.
    """
    fewer = case.resized({batch: case.sizes[batch] - 1})
    if prepared.references and not accepted(prepared, fewer):
        return None
    if (case.shape[:1] == (case.sizes[batch],) and len(case.inputs) == len(other.inputs) == 1) or prepared.labels:
        smaller = _first(other, case.sizes[batch] - 1, prepared.layer.shared)
        return smaller if all(value.shape[:1] in ((), smaller.x.shape[:1]) for value in smaller.cotangents.values()) else None
    try:
        return replace(prepared.call(fewer, FAMILIES["normal"], other.dtype.name, 1), params=other.params)
    except (SubjectError, LayoutError):
        return None


def _first(call: Call, samples: int, shared: Collection[str]) -> Call:
    """Return a call with copies of the first samples only; ``shared`` inputs have no samples."""
    batch = len(call.x)

    def cut(arrays: Constants) -> dict[str, Any]:
        return {name: value if name in shared or value.shape[:1] != (batch,) else np.array(value[:samples]) for name, value in arrays.items()}

    return replace(call, inputs=cut(call.inputs), constants=cut(call.constants), cotangents=cut(call.cotangents))


def rewinding(instance: Any) -> Callable[[], None]:
    """Return a function that resets the random generators in an instance's attributes and the global generators of NumPy and Python."""
    held = getattr(getattr(instance, "layer", instance), "__dict__", {})
    own = [_rewinding(value) for value in held.values() if isinstance(value, np.random.Generator | np.random.RandomState | random.Random)]

    def rewind() -> None:
        np.random.seed(0)  # noqa: NPY002 - a layer may draw from the global generator
        random.seed(0)
        for back in own:
            back()

    return rewind


def _rewinding(generator: np.random.Generator | np.random.RandomState | random.Random) -> Callable[[], None]:
    """Return a function that sets a generator back to its present state."""
    if isinstance(generator, np.random.Generator):
        bits, state = generator.bit_generator, generator.bit_generator.state
        return lambda: setattr(bits, "state", state)
    if isinstance(generator, random.Random):
        return functools.partial(generator.setstate, generator.getstate())
    return functools.partial(generator.set_state, generator.get_state())
