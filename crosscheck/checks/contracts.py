"""Contracts beyond values: what a layer must not do, each a small function that says what was broken, or nothing.

They call an instance of the subject directly, as its own program does, with arrays in its own layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crosscheck.adapters.adapted import AdaptedLayer
from crosscheck.adapters.convention import Instance
from crosscheck.arithmetic import Array
from crosscheck.checks.check import Check, CheckResult, Settings
from crosscheck.containment import SubjectError, as_array, contained
from crosscheck.families import FAMILIES
from crosscheck.judgement import Verdict
from crosscheck.operation import Call, RefusedError
from crosscheck.pair import Prepared

Results = dict[str, Array]


class DoesNotApplyError(Exception):
    """A contract says nothing about this subject; the message says why."""


@dataclass
class Bench:
    """A subject on the bench: instances of it, and two calls in its own layout.

    Attributes
    ----------
    layer : AdaptedLayer
    call : Call
        In the reference's layout.
    smaller : Call or None
        The same with fewer samples, where there can be fewer.
    rearranges : bool
        Whether the operation only moves the input's elements, as a reshape does, so that its output may be a view.
    """

    layer: AdaptedLayer
    call: Call
    smaller: Call | None
    rearranges: bool = False

    def instance(self) -> Instance:
        """Return a fresh instance with the call's parameters."""
        with contained("setting the parameters"):
            instance = self.layer.convention.instance()
            instance.load(self.layer.own_params(self.call))
        return instance

    def given(self, call: Call) -> Results:
        """Return the arrays of a call in the subject's layout."""
        given = {"input": np.array(self.layer.own_input(call), order="C"), "cotangent": np.array(self.layer.own_grad_output(call), order="C")}
        labels = {name: np.array(value) for name, value in self.layer.own_constants(call).items()}
        return given | labels

    def forward(self, instance: Instance, given: Results) -> Results:
        """Run the forward pass."""
        constants: dict[str, Any] = {name: value if value.ndim else int(value) for name, value in given.items() if name == "labels"}
        with contained("forward"):
            output = instance.forward(given["input"], constants)
        return {"output": as_array(output, "output", self.call.x.dtype)}

    def backward(self, instance: Instance, given: Results) -> Results:
        """Run the backward pass and return the gradients as they are, not copied."""
        with contained("backward"):
            grads = instance.backward(given["cotangent"])
        return {name: as_array(value, name, self.call.x.dtype) for name, value in grads.items() if value is not None}

    def both(self, instance: Instance, given: Results) -> Results:
        """Run both passes."""
        return self.forward(instance, given) | self.backward(instance, given)

    @property
    def fewer(self) -> Call:
        """The smaller call.

        Raises
        ------
        DoesNotApplyError
            If there is none.
        """
        if self.smaller is None:
            one = self.layer.convention.one_sample
            raise DoesNotApplyError("the subject takes one sample at a time" if one else "no shape with more than one sample was given")
        return self.smaller

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


def inputs_are_left_alone(bench: Bench) -> str:
    """Neither the input, nor the cotangent, nor labels are written to."""
    given = bench.given(bench.call)
    before = copies(given)
    bench.both(bench.instance(), given)
    written = differing(before, given)
    return f"written to: {written}" if written else ""


def output_is_its_own(bench: Bench) -> str:
    """The output is no view of the input, which the caller may change."""
    if bench.rearranges:
        raise DoesNotApplyError("the operation only rearranges its input: a view of it is usual")
    given = bench.given(bench.call)
    output = bench.forward(bench.instance(), given)["output"]
    return "the output is a view of the input" if np.shares_memory(output, given["input"]) else ""


def grad_input_is_its_own(bench: Bench) -> str:
    """The input's gradient is no view of the cotangent."""
    if bench.rearranges:
        raise DoesNotApplyError("the operation only rearranges its input: a view of the cotangent is usual")
    given = bench.given(bench.call)
    grad_input = bench.both(bench.instance(), given).get("grad_input")
    if grad_input is None:
        raise DoesNotApplyError("the subject returns no input gradient")
    return "the input's gradient is a view of the cotangent" if np.shares_memory(grad_input, given["cotangent"]) else ""


def dtype_is_kept(bench: Bench) -> str:
    """Everything comes out in the precision that went in."""
    wrong = {name: value.dtype for name, value in bench.both(bench.instance(), bench.given(bench.call)).items() if value.dtype != bench.call.x.dtype}
    return ", ".join(f"{name} is {dtype}" for name, dtype in wrong.items()) + f" for {bench.call.x.dtype}" if wrong else ""


def same_call_same_answer(bench: Bench) -> str:
    """A call repeated gives the same bits."""
    instance, given = bench.instance(), bench.given(bench.call)
    first = copies(bench.both(instance, given))
    changed = differing(first, bench.both(instance, bench.given(bench.call)))
    return f"another answer the second time: {changed}" if changed else ""


def backward_twice_does_not_accumulate(bench: Bench) -> str:
    """A second backward pass replaces the gradients of the first."""
    bench.keeps("grads", "gradients are returned, not stored")
    if "sum" in bench.layer.convention.keeps:
        raise DoesNotApplyError("gradients are declared to accumulate")
    instance, given = bench.instance(), bench.given(bench.call)
    bench.forward(instance, given)
    first = copies(bench.backward(instance, given))
    changed = differing(first, bench.backward(instance, bench.given(bench.call)))
    return f"a second backward pass changes: {changed}" if changed else ""


def smaller_batch_works(bench: Bench) -> str:
    """Nothing of a larger batch is left in the smaller one after it."""
    fewer, instance = bench.fewer, bench.instance()
    alone = copies(bench.both(bench.instance(), bench.given(fewer)))
    bench.both(instance, bench.given(bench.call))
    changed = differing(alone, bench.both(instance, bench.given(fewer)))
    return f"a smaller batch after a larger one changes: {changed}" if changed else ""


def backward_uses_the_last_forward(bench: Bench) -> str:
    """After two forward passes the backward pass differentiates the second."""
    bench.keeps("cache", "backward gets what it needs as arguments")
    other = _another(bench)
    alone = copies(bench.both(bench.instance(), other))
    instance = bench.instance()
    bench.forward(instance, bench.given(bench.call))
    bench.forward(instance, other)
    alone.pop("output")
    changed = differing(alone, bench.backward(instance, other))
    return f"after two forward passes these are not the second one's: {changed}" if changed else ""


def _another(bench: Bench) -> Results:
    """Return the arrays of the smaller call, or where there is none of the same call with another input."""
    if bench.smaller is not None:
        return bench.given(bench.smaller)
    return bench.given(replace(bench.call, x=np.array(bench.call.x[..., ::-1])))


def results_are_kept(bench: Bench) -> str:
    """What a call returned is not changed by the calls after it."""
    instance = bench.instance()
    first = bench.both(instance, bench.given(bench.call))
    first = {name: value for name, value in first.items() if name in ("output", "grad_input") or "grads" not in bench.layer.convention.keeps}
    before = copies(first)
    bench.both(instance, _another(bench))
    changed = differing(before, first)
    return f"changed by a later call: {changed}" if changed else ""


def forward_leaves_gradients(bench: Bench) -> str:
    """A forward pass, as in testing, does not touch the gradients that are there."""
    bench.keeps("grads", "gradients are not stored in the layer")
    instance: Any = bench.instance()
    bench.both(instance, bench.given(bench.call))
    before = copies(instance.stored())
    if not before:
        raise DoesNotApplyError("there are no parameters")
    bench.forward(instance, _another(bench))
    changed = differing(before, instance.stored())
    return f"a forward pass changes: {changed}" if changed else ""


def params_are_left_alone(bench: Bench) -> str:
    """Forward and backward pass leave the parameters as they are: only an update changes them."""
    bench.keeps("grads", "the parameters are arguments, or backward updates them by its convention")
    instance: Any = bench.instance()
    before = copies(instance.params())
    if not before:
        raise DoesNotApplyError("there are no parameters")
    bench.both(instance, bench.given(bench.call))
    changed = differing(before, instance.params())
    return f"written to: {changed}" if changed else ""


def backward_is_linear(bench: Bench) -> str:
    """Twice the cotangent gives exactly twice the gradients: a power of two involves no rounding."""
    given = bench.given(bench.call)
    once, twice = bench.instance(), bench.instance()
    bench.forward(once, given)
    bench.forward(twice, given)
    results = {name: 2 * value for name, value in copies(bench.backward(once, given)).items()}
    doubled = bench.given(bench.call)
    doubled["cotangent"] = doubled["cotangent"] * doubled["cotangent"].dtype.type(2)
    changed = differing(results, bench.backward(twice, doubled))
    return f"not doubled by a doubled cotangent: {changed}" if changed else ""


Contract = Callable[[Bench], str]

CONTRACTS: dict[str, Contract] = {
    contract.__name__: contract
    for contract in (
        inputs_are_left_alone,
        output_is_its_own,
        grad_input_is_its_own,
        params_are_left_alone,
        dtype_is_kept,
        same_call_same_answer,
        backward_twice_does_not_accumulate,
        smaller_batch_works,
        backward_uses_the_last_forward,
        results_are_kept,
        forward_leaves_gradients,
        backward_is_linear,
    )
}


def contract_check(name: str) -> Check:
    """Return the check of one contract."""
    about = " ".join((CONTRACTS[name].__doc__ or "").split())
    return Check(f"contract-{name}", about, lambda prepared, settings: _run(prepared, settings, name))


def _run(prepared: Prepared, settings: Settings, name: str) -> CheckResult:
    return kept(f"contract-{name}", prepared.pair.dtypes, lambda dtype: CONTRACTS[name](bench_of(prepared, dtype, settings.seed)))


def kept(check: str, dtypes: Sequence[str], broken: Callable[[str], str]) -> CheckResult:
    """Return whether a contract is kept in every precision.

    Parameters
    ----------
    check : str
    dtypes : sequence of str
    broken : callable
        Gets a precision and returns what was broken, or nothing.
    """
    reasons = []
    for dtype in dtypes:
        try:
            what = broken(dtype)
        except DoesNotApplyError as error:
            reasons.append(str(error))
            continue
        except RefusedError as error:
            return CheckResult(check, Verdict.UNDECIDED, str(error))
        except SubjectError as error:
            return CheckResult(check, Verdict.MISMATCH, f"could not be tried: {error.reason}")
        if what:
            return CheckResult(check, Verdict.MISMATCH, f"{dtype}: {what}")
    if len(reasons) == len(dtypes):
        return CheckResult(
            check, Verdict.SKIPPED, f"does not apply: {reasons[0]}" if reasons else "does not apply: there is no precision to try it in"
        )
    return CheckResult(check, Verdict.MATCH)


def bench_of(prepared: Prepared, dtype: str, seed: int) -> Bench:
    """Return the subject with calls of the shape with the most samples."""
    shape = max(prepared.shapes, key=lambda size: size[0])
    call = prepared.call(shape, FAMILIES["normal"], dtype, seed)
    smaller = None
    if prepared.layer.convention.one_sample:
        call = _first(call, 1)
    elif shape[0] > 1:
        smaller = _first(call, shape[0] - 1)
        if smaller.grad_output is not None and smaller.grad_output.ndim and smaller.grad_output.shape[0] != shape[0] - 1:
            smaller = None
    side = prepared.references[0].oracle if prepared.references else prepared.layer
    output = side.vjp(replace(call, grad_output=None))["output"]
    rearranges = output.size == call.x.size and np.array_equal(np.sort(output, axis=None), np.sort(call.x, axis=None))
    return Bench(prepared.layer, call, smaller, rearranges)


def _first(call: Call, samples: int) -> Call:
    """Return a call with the first samples only, as arrays of their own."""
    grad_output = call.grad_output
    if grad_output is not None and grad_output.ndim and len(grad_output) == len(call.x):
        grad_output = np.array(grad_output[:samples])
    return Call(np.array(call.x[:samples]), call.params, grad_output, {name: value[:samples] for name, value in call.constants.items()})
