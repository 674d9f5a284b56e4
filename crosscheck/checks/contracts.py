"""Contracts beyond values: what a layer must not do, each a small function that says what was broken, or nothing.

Each call gets arrays of its own, so that a layer that writes to them breaks one contract and not all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Instance
from crosscheck.checks.bench import Bench, DoesNotApplyError, bench_of, copies, differing
from crosscheck.checks.check import NOT_TRIED, Check, CheckResult, Settings
from crosscheck.checks.contracts_by_reference import many_samples_work, minus_infinity_is_no_nan
from crosscheck.checks.contracts_dropout import masks_are_drawn
from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.judge import CONTRACT, Verdict
from crosscheck.core.operation import Call, RefusedError


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
    cotangent = np.array(given["cotangent"])
    grad_input = bench.both(bench.instance(), given).get("grad_input")
    if grad_input is None:
        raise DoesNotApplyError("the subject returns no input gradient")
    if np.array_equal(grad_input, cotangent):
        raise DoesNotApplyError("the input's gradient is the cotangent, number for number: a view of it is usual")
    return "the input's gradient is a view of the cotangent" if np.shares_memory(grad_input, given["cotangent"]) else ""


def dtype_is_kept(bench: Bench) -> str:
    """Everything comes out in the precision that went in."""
    wrong = {name: value.dtype for name, value in bench.fresh(bench.call).items() if value.dtype != bench.call.x.dtype}
    return ", ".join(f"{name} is {dtype}" for name, dtype in wrong.items()) + f" for {bench.call.x.dtype}" if wrong else ""


def same_call_same_answer(bench: Bench) -> str:
    """A call repeated gives the same bits."""
    instance = bench.instance()
    first, second = (copies(bench.both(instance, bench.given(bench.call))) for _ in range(2))
    if not (changed := bench.changed(bench.call, first, second)):
        return ""
    rounded = bench.deterministic and bench.reference is not None and not bench.beyond_rounding(bench.call, first, second)
    hint = "; rounding explains the difference: if the subject adds up in any order on purpose, declare deterministic=False" if rounded else ""
    return f"another answer the second time: {changed}{hint}"


def backward_twice_does_not_accumulate(bench: Bench) -> str:
    """A second backward pass replaces the gradients of the first."""
    bench.keeps("grads", "gradients are returned, not stored")
    if "sum" in bench.layer.convention.keeps:
        raise DoesNotApplyError("gradients are declared to accumulate")
    instance, given = bench.instance(), bench.given(bench.call)
    bench.forward(instance, given)
    first = copies(bench.backward(instance, given))
    changed = bench.changed(bench.call, first, bench.backward(instance, bench.given(bench.call)))
    return f"a second backward pass changes: {changed}" if changed else ""


def declared_gradients_add_up(bench: Bench) -> str:
    """Where gradients are declared to accumulate, a backward pass adds to what is there: with a cotangent of zeros it leaves every bit."""
    if "sum" not in bench.layer.convention.keeps:
        raise DoesNotApplyError("gradients are not declared to accumulate")
    instance, given = bench.instance(), bench.given(bench.call)
    bench.forward(instance, given)
    before = copies({name: value for name, value in bench.backward(instance, given).items() if name.endswith(".grad")})
    if not before:
        raise DoesNotApplyError("there are no parameters")
    # Zeros and not the same cotangent again: code that adds sample by sample, or step by step, would round on the way to twice the sum.
    changed = differing(before, bench.backward(instance, {"cotangent": np.zeros_like(given["cotangent"])}, accumulate=True))
    return f"declared to accumulate, but not left as they are by a backward pass that adds zero: {changed}" if changed else ""


def smaller_batch_works(bench: Bench) -> str:
    """Nothing of a larger batch is left in the smaller one after it."""
    changed = _changed_after(bench, bench.call, bench.fewer)
    return f"a smaller batch after a larger one changes: {changed}" if changed else ""


def larger_batch_works(bench: Bench) -> str:
    """Nothing of a smaller batch is left in the larger one after it, as an evaluation's is after training."""
    changed = _changed_after(bench, bench.fewer, bench.call)
    return f"a larger batch after a smaller one changes: {changed}" if changed else ""


def another_size_works(bench: Bench) -> str:
    """Nothing of an input of one size, such as an image's, is left in one of another size after it."""
    if bench.elsewhere is None:
        raise DoesNotApplyError("no two shapes were given that differ in more than the number of samples")
    changed = _changed_after(bench, bench.elsewhere, bench.call) or _changed_after(bench, bench.call, bench.elsewhere)
    return f"an input of another size before it changes: {changed}" if changed else ""


def _changed_after(bench: Bench, first: Call, second: Call) -> str:
    """Return which results of a call differ after another call from those of a fresh instance."""
    alone, instance = bench.fresh(second), bench.instance()
    bench.both(instance, bench.given(first))
    return bench.changed(second, alone, bench.both(instance, bench.given(second)))


def backward_uses_the_last_forward(bench: Bench) -> str:
    """After two forward passes the backward pass differentiates the second, be it of the first one's shape or of a smaller batch."""
    bench.keeps("cache", "backward gets what it needs as arguments")
    for second in bench.others:
        alone, instance = bench.fresh(second), bench.instance()
        bench.forward(instance, bench.given(bench.call))
        bench.forward(instance, bench.given(second))
        alone.pop("output")
        if changed := bench.changed(second, alone, bench.backward(instance, bench.given(second))):
            return f"after two forward passes these are not the second one's: {changed}"
    return ""


def parameters_may_change(bench: Bench) -> str:
    """After an update a layer computes with the parameters that are there, and with nothing that was made of those before."""
    if bench.retrained is None:
        raise DoesNotApplyError("there are no parameters")
    instance, fresh = bench.instance(), bench.instance()
    bench.both(instance, bench.given(bench.call))
    with contained("setting the parameters"):
        for one in (instance, fresh):
            one.load(bench.layer.own_params(bench.retrained))
    alone = copies(bench.both(fresh, bench.given(bench.retrained)))
    changed = bench.changed(bench.retrained, alone, bench.both(instance, bench.given(bench.retrained)))
    return f"not computed with the parameters that are there after an update: {changed}" if changed else ""


def results_are_kept(bench: Bench) -> str:
    """What a call returned is not changed by the calls after it, be they of its shape or of a smaller batch."""
    for second in bench.others:
        instance = bench.instance()
        first = bench.both(instance, bench.given(bench.call))
        first = {name: value for name, value in first.items() if name in ("output", "grad_input") or "grads" not in bench.layer.convention.keeps}
        before = copies(first)
        bench.both(instance, bench.given(second))
        if changed := differing(before, first):
            return f"changed by a later call: {changed}"
    return ""


def instances_share_nothing(bench: Bench) -> str:
    """Two layers of one kind do not use the same memory: a forward pass of one between the passes of the other changes nothing."""
    calls = [bench.call, bench.other]
    alone = [bench.fresh(call) for call in calls]
    instances = [bench.instance() for _ in calls]
    found = [bench.forward(instance, bench.given(call)) for instance, call in zip(instances, calls, strict=True)]
    found = [results | bench.backward(i, bench.given(call)) for results, i, call in zip(found, instances, calls, strict=True)]
    changed = bench.changed(calls[0], alone[0], found[0]) or bench.changed(calls[1], alone[1], found[1])
    return f"changed by another layer of the same kind: {changed}" if changed else ""


def random_generators_are_not_seeded(bench: Bench) -> str:
    """The random numbers that others draw afterwards are still random: no pass seeds the global generators."""
    # For a dropout, the other contracts seed these generators themselves.
    bench, drawn = replace(bench, dropped=None), []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 - the global generator is what others draw from
        random.seed(seed)
        bench.fresh(bench.call)
        drawn.append({"numpy.random": np.random.random(), "random": random.random()})  # noqa: NPY002, S311
    seeded = [name for name, number in drawn[0].items() if number == drawn[1][name]]
    return f"always the same numbers afterwards: {', '.join(seeded)}" if seeded else ""


def forward_leaves_gradients(bench: Bench) -> str:
    """A forward pass, as in testing, does not touch the gradients that are there."""
    bench.keeps("grads", "gradients are not stored in the layer")
    instance: Any = bench.instance()
    bench.both(instance, bench.given(bench.call))
    before = copies(instance.stored())
    if not before:
        raise DoesNotApplyError("there are no parameters")
    bench.forward(instance, bench.given(bench.others[-1]))
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
    """Twice the cotangent gives exactly twice the gradients, as a power of two involves no rounding, and no cotangent gives no gradients."""
    once, twice = bench.instance(), bench.instance()
    bench.forward(once, bench.given(bench.call))
    bench.forward(twice, bench.given(bench.call))
    results = {name: 2 * value for name, value in copies(bench.backward(once, bench.given(bench.call))).items() if bench.reads_exactly(name)}
    if not results:
        raise DoesNotApplyError("gradients are read off an update, which rounds")
    assert bench.call.grad_output is not None
    doubled = replace(bench.call, grad_output=bench.call.grad_output * bench.call.grad_output.dtype.type(2))
    if changed := bench.changed(doubled, results, bench.backward(twice, bench.given(doubled))):
        return f"not doubled by a doubled cotangent: {changed}"
    # All zeros, as behind dead units, where code that divides by the cotangent's size divides by zero.
    never, given = bench.instance(), bench.given(bench.call)
    bench.forward(never, given)
    zeros = bench.backward(never, {"cotangent": np.zeros_like(given["cotangent"])})
    changed = differing({name: np.zeros_like(value) for name, value in results.items()}, zeros)
    return f"not zero for a cotangent of zeros: {changed}" if changed else ""


def modes_differ_only_where_they_should(bench: Bench) -> str:
    """Training and evaluation mode give the same output where the reference knows no modes."""
    if bench.modes:
        raise DoesNotApplyError("the reference's own output depends on the mode")
    outputs = []
    for training in (True, False):
        instance = bench.instance()
        _switch(instance, training)
        outputs.append(bench.forward(instance, bench.given(bench.call)))
    changed = bench.changed(bench.call, *outputs)
    return "training and evaluation mode give different outputs" if changed else ""


def backward_keeps_its_mode(bench: Bench) -> str:
    """The backward pass uses the mode of the last forward pass, even if it has changed since."""
    bench.keeps("cache", "backward gets what it needs as arguments")
    found = []
    for by_then in (True, False):
        instance: Any = bench.instance()
        _switch(instance, True)
        if not instance.modes.kept:
            raise DoesNotApplyError("the mode is an argument of the forward pass, which nobody can change afterwards")
        bench.forward(instance, bench.given(bench.call))
        _switch(instance, by_then)
        found.append(copies(bench.backward(instance, bench.given(bench.call))))
    changed = bench.changed(bench.call, *found)
    return f"changed by a switch to evaluation between forward and backward: {changed}" if changed else ""


def _switch(instance: Instance, training: bool) -> None:
    with contained("changing the mode"):
        modes = instance.switch(training)
    if not modes:
        raise DoesNotApplyError("the subject has no modes")


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
        declared_gradients_add_up,
        smaller_batch_works,
        larger_batch_works,
        many_samples_work,
        another_size_works,
        parameters_may_change,
        backward_uses_the_last_forward,
        results_are_kept,
        instances_share_nothing,
        random_generators_are_not_seeded,
        forward_leaves_gradients,
        backward_is_linear,
        minus_infinity_is_no_nan,
        modes_differ_only_where_they_should,
        backward_keeps_its_mode,
    )
}

WARNINGS = (minus_infinity_is_no_nan.__name__, backward_keeps_its_mode.__name__)
"""Contracts that right code in a common idiom breaks: ``x * (x > 0)``, and a mode that is read when backward runs."""

OF_DROPOUTS: dict[str, Contract] = {masks_are_drawn.__name__: masks_are_drawn}
"""Contracts of layers whose reference drops at random."""


def layer_contract_check(name: str) -> Check:
    """Return the check of one contract of a layer."""
    return contract_check((CONTRACTS | OF_DROPOUTS)[name], bench_of, warns=name in WARNINGS)


def contract_check(contract: Callable[[Any], str], bench: Callable[[Any, str, int], Any], warns: bool = False) -> Check:
    """Return the check of a contract in every precision; ``bench`` makes what it is tried on of a prepared pair, a precision and a seed."""
    name = f"{CONTRACT}{contract.__name__}"

    def run(prepared: Any, settings: Settings) -> CheckResult:
        # A network may be made in fewer precisions than its pair declares.
        dtypes = settings.precisions(getattr(prepared, "dtypes", prepared.pair.dtypes))
        reasons = [] if dtypes else ["the subject does not compute in the precision asked for"]
        for dtype in dtypes:
            try:
                if what := contract(bench(prepared, dtype, settings.seed)):
                    return CheckResult(name, Verdict.MISMATCH, f"{dtype}: {what}")
            except DoesNotApplyError as error:
                reasons.append(str(error))
            except RefusedError as error:
                return CheckResult(name, Verdict.UNDECIDED, str(error))
            except SubjectError as error:
                return CheckResult(name, Verdict.MISMATCH, f"{NOT_TRIED}{error.reason}")
        if len(reasons) >= len(dtypes):
            return CheckResult(name, Verdict.SKIPPED, f"does not apply: {reasons[0]}")
        return CheckResult(name, Verdict.MATCH)

    return Check(name, " ".join((contract.__doc__ or "").split()), run, warns=warns)
