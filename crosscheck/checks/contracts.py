"""Contracts of layers: they find faults that do not show in the values of a single call.

Each contract is a function that returns what is wrong, or an empty text. Its docstring is printed in reports, so it starts with what goes wrong.
Each call gets its own copies of all arrays, so that a layer that changes them breaks one contract and not all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Instance
from crosscheck.checks.bench import Bench, DoesNotApplyError, bench_of, complaint, copies, differing, is_upstream, zeroed
from crosscheck.checks.check import NOT_TRIED, Check, CheckResult, Settings
from crosscheck.checks.contracts_by_reference import handles_minus_infinity, many_samples_work
from crosscheck.checks.contracts_dropout import draws_new_masks
from crosscheck.checks.contracts_state import declaration_of_state
from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.judge import CONTRACT, Verdict
from crosscheck.core.operation import GRAD_INPUT, Call, RefusedError, is_grad_input, is_output


def inputs_are_left_alone(bench: Bench) -> str:
    """Forward or backward changes the input, the upstream gradient or the labels."""
    given = bench.given(bench.call)
    before = copies(given)
    bench.both(bench.instance(), given)
    return complaint("changed in place", differing(before, given))


def output_is_not_a_view(bench: Bench) -> str:
    """The output shares memory with the input: changing one changes the other."""
    if bench.rearranges:
        raise DoesNotApplyError("the operation only rearranges its input: a view of it is usual")
    given = bench.given(bench.call)
    outputs = bench.forward(bench.instance(), given)
    inputs = [given[name] for name in bench.call.arguments() if name in given]
    views = [name for name, value in outputs.items() if any(np.shares_memory(value, one) for one in inputs)]
    return "" if not views else "the output is a view of the input" if len(outputs) == 1 else complaint("a view of an input", ", ".join(views))


def grad_input_is_not_a_view(bench: Bench) -> str:
    """The input's gradient shares memory with the upstream gradient: changing one changes the other."""
    if bench.rearranges:
        raise DoesNotApplyError("the operation only rearranges its input: a view of the upstream gradient is usual")
    given = bench.given(bench.call)
    upstream = {name: value for name, value in given.items() if is_upstream(name)}
    before = copies(upstream)
    found = {name: value for name, value in bench.both(bench.instance(), given).items() if is_grad_input(name)}
    if not found:
        raise DoesNotApplyError("your code returns no gradient of the input")
    others = {name: value for name, value in found.items() if not any(np.array_equal(value, one) for one in before.values())}
    if not others:
        raise DoesNotApplyError("the input's gradient equals the upstream gradient: a view of it is usual")
    views = [name for name, value in others.items() if any(np.shares_memory(value, one) for one in upstream.values())]
    one = "the input's gradient is a view of the upstream gradient"
    return one if views == [GRAD_INPUT] else complaint("a view of the upstream gradient", ", ".join(views))


def dtype_is_kept(bench: Bench) -> str:
    """A result's precision differs from the input's."""
    wrong = {name: value.dtype for name, value in bench.fresh(bench.call).items() if value.dtype != bench.call.dtype}
    return ", ".join(f"{name} is {dtype}" for name, dtype in wrong.items()) + f" for {bench.call.dtype} input" if wrong else ""


def same_call_same_answer(bench: Bench) -> str:
    """The same call gives a different result the second time."""
    instance = bench.instance()
    first, second = (copies(bench.both(instance, bench.given(bench.call))) for _ in range(2))
    if not (changed := bench.changed(bench.call, first, second)):
        return ""
    rounded = bench.deterministic and bench.reference is not None and not bench.beyond_rounding(bench.call, first, second)
    hint = "; rounding explains the difference: if the order of your sums may vary, declare deterministic=False" if rounded else ""
    return f"different the second time: {changed}{hint}"


def backward_twice_does_not_accumulate(bench: Bench) -> str:
    """A second backward pass adds to the gradients of the first instead of replacing them."""
    bench.keeps("grads", "gradients are returned, not stored")
    if "sum" in bench.layer.convention.keeps:
        raise DoesNotApplyError("gradients are declared to accumulate")
    instance, given = bench.instance(), bench.given(bench.call)
    bench.forward(instance, given)
    first = copies(bench.backward(instance, given))
    return complaint("a second backward pass changes", bench.changed(bench.call, first, bench.backward(instance, bench.given(bench.call))))


def gradients_accumulate_as_declared(bench: Bench) -> str:
    """Gradients are declared to accumulate, but backward does not add to them: with an upstream gradient of zeros it must not change them."""
    if "sum" not in bench.layer.convention.keeps:
        raise DoesNotApplyError("gradients are not declared to accumulate")
    instance, given = bench.instance(), bench.given(bench.call)
    bench.forward(instance, given)
    before = copies({name: value for name, value in bench.backward(instance, given).items() if name.endswith(".grad")})
    if not before:
        raise DoesNotApplyError("there are no parameters")
    # Adding the same gradient again would be rounded in code that adds sample by sample or step by step; adding zeros is exact.
    zeros = zeroed(given)
    return complaint(
        "changed by a backward pass with an upstream gradient of zeros", differing(before, bench.backward(instance, zeros, accumulate=True))
    )


def smaller_batch_works(bench: Bench) -> str:
    """A smaller batch after a larger one gives wrong results."""
    return complaint("a smaller batch after a larger one changes", _changed_after(bench, bench.call, bench.fewer))


def larger_batch_works(bench: Bench) -> str:
    """A larger batch after a smaller one, as in evaluation after training, gives wrong results."""
    return complaint("a larger batch after a smaller one changes", _changed_after(bench, bench.fewer, bench.call))


def another_size_works(bench: Bench) -> str:
    """A call gives wrong results after a call with an input of another size, such as a larger image."""
    if bench.elsewhere is None:
        raise DoesNotApplyError("the declared shapes differ only in the number of samples")
    changed = _changed_after(bench, bench.elsewhere, bench.call) or _changed_after(bench, bench.call, bench.elsewhere)
    return complaint("an input of another size before it changes", changed)


def _changed_after(bench: Bench, first: Call, second: Call) -> str:
    """Return the names of the second call's results that change if the first call is made before it."""
    alone, instance = bench.fresh(second), bench.instance()
    bench.both(instance, bench.given(first))
    return bench.changed(second, alone, bench.both(instance, bench.given(second)))


def backward_uses_the_last_forward(bench: Bench) -> str:
    """After two forward passes, backward does not differentiate the second one."""
    bench.keeps("cache", "backward gets what it needs as arguments")
    for second in bench.others:
        alone, instance = bench.fresh(second), bench.instance()
        bench.forward(instance, bench.given(bench.call))
        bench.forward(instance, bench.given(second))
        alone = {name: value for name, value in alone.items() if not is_output(name)}
        if changed := bench.changed(second, alone, bench.backward(instance, bench.given(second))):
            return f"these are not the gradients of the second forward pass: {changed}"
    return ""


def uses_updated_parameters(bench: Bench) -> str:
    """After an update the layer still computes with the old parameters, or with values derived from them."""
    if bench.retrained is None:
        raise DoesNotApplyError("there are no parameters")
    instance, fresh = bench.instance(), bench.instance()
    bench.both(instance, bench.given(bench.call))
    with contained("setting the parameters"):
        for one in (instance, fresh):
            one.load(bench.layer.own_params(bench.retrained))
    alone = copies(bench.both(fresh, bench.given(bench.retrained)))
    return complaint(
        "not computed with the updated parameters", bench.changed(bench.retrained, alone, bench.both(instance, bench.given(bench.retrained)))
    )


def results_stay_unchanged(bench: Bench) -> str:
    """A later call changes results that an earlier call has returned."""
    for second in bench.others:
        instance = bench.instance()
        first = bench.both(instance, bench.given(bench.call))
        stored = "grads" in bench.layer.convention.keeps
        first = {name: value for name, value in first.items() if is_output(name) or is_grad_input(name) or not stored}
        before = copies(first)
        bench.both(instance, bench.given(second))
        if changed := differing(before, first):
            return f"changed by a later call: {changed}"
    return ""


def instances_share_nothing(bench: Bench) -> str:
    """Two layers of one class share memory: a forward pass of one changes the results of the other."""
    calls = [bench.call, bench.other]
    alone = [bench.fresh(call) for call in calls]
    instances = [bench.instance() for _ in calls]
    found = [bench.forward(instance, bench.given(call)) for instance, call in zip(instances, calls, strict=True)]
    found = [results | bench.backward(i, bench.given(call)) for results, i, call in zip(found, instances, calls, strict=True)]
    changed = bench.changed(calls[0], alone[0], found[0]) or bench.changed(calls[1], alone[1], found[1])
    return complaint("changed by another layer of the same class", changed)


def random_generators_are_not_seeded(bench: Bench) -> str:
    """Forward or backward seeds a global random generator, so that all random numbers drawn afterwards repeat."""
    # The other contracts of a dropout seed these generators themselves.
    bench, drawn = replace(bench, dropped=None), []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 - the global generator is what others draw from
        random.seed(seed)
        bench.fresh(bench.call)
        drawn.append({"numpy.random": np.random.random(), "random": random.random()})  # noqa: NPY002, S311
    seeded = [name for name, number in drawn[0].items() if number == drawn[1][name]]
    return f"always the same numbers afterwards: {', '.join(seeded)}" if seeded else ""


def forward_does_not_change_gradients(bench: Bench) -> str:
    """A forward pass, as in testing, changes the stored gradients."""
    bench.keeps("grads", "gradients are not stored in the layer")
    instance: Any = bench.instance()
    bench.both(instance, bench.given(bench.call))
    before = copies(instance.stored())
    if not before:
        raise DoesNotApplyError("there are no parameters")
    bench.forward(instance, bench.given(bench.others[-1]))
    return complaint("a forward pass changes", differing(before, instance.stored()))


def params_are_left_alone(bench: Bench) -> str:
    """Forward or backward changes the parameters, which only an update may do."""
    bench.keeps("grads", "the parameters are arguments, or backward is meant to update them")
    instance: Any = bench.instance()
    before = copies(instance.params())
    if not before:
        raise DoesNotApplyError("there are no parameters")
    bench.both(instance, bench.given(bench.call))
    return complaint("changed in place", differing(before, instance.params()))


def backward_is_linear(bench: Bench) -> str:
    """Backward is not linear: twice the upstream gradient does not give exactly twice the gradients, or zeros do not give zeros."""
    bench.backpropagates()
    # Multiplying by two is exact.
    once, twice = bench.instance(), bench.instance()
    bench.forward(once, bench.given(bench.call))
    bench.forward(twice, bench.given(bench.call))
    results = {name: 2 * value for name, value in copies(bench.backward(once, bench.given(bench.call))).items() if bench.reads_exactly(name)}
    if not results:
        raise DoesNotApplyError("gradients are computed from an update, which rounds")
    doubled = replace(bench.call, cotangents={name: value * value.dtype.type(2) for name, value in bench.call.cotangents.items()})
    if changed := bench.changed(doubled, results, bench.backward(twice, bench.given(doubled))):
        return f"not doubled by a doubled upstream gradient: {changed}"
    # All zeros, as behind dead units: code that divides by the size of the upstream gradient divides by zero.
    never, given = bench.instance(), bench.given(bench.call)
    bench.forward(never, given)
    zeros = bench.backward(never, zeroed(given))
    return complaint("not zero for an upstream gradient of zeros", differing({name: np.zeros_like(value) for name, value in results.items()}, zeros))


def same_output_in_both_modes(bench: Bench) -> str:
    """Training and evaluation mode give different outputs although the reference has no modes."""
    if bench.modes:
        raise DoesNotApplyError("the reference's own output depends on the mode")
    outputs = []
    for training in (True, False):
        instance = bench.instance()
        _switch(instance, training)
        outputs.append(bench.forward(instance, bench.given(bench.call)))
    return "training and evaluation mode give different outputs" if bench.changed(bench.call, *outputs) else ""


def backward_uses_the_mode_of_forward(bench: Bench) -> str:
    """Backward uses the current mode instead of the mode of the last forward pass."""
    bench.keeps("cache", "backward gets what it needs as arguments")
    found = []
    for by_then in (True, False):
        instance: Any = bench.instance()
        _switch(instance, True)
        if not instance.modes.kept:
            raise DoesNotApplyError("the mode is an argument of the forward pass and cannot change afterwards")
        bench.forward(instance, bench.given(bench.call))
        _switch(instance, by_then)
        found.append(copies(bench.backward(instance, bench.given(bench.call))))
    return complaint("changed by switching to evaluation mode between forward and backward", bench.changed(bench.call, *found))


def _switch(instance: Instance, training: bool) -> None:
    with contained("changing the mode"):
        modes = instance.switch(training)
    if not modes:
        raise DoesNotApplyError("your code has no training and evaluation mode")


Contract = Callable[[Bench], str]

CONTRACTS: dict[str, Contract] = {
    contract.__name__: contract
    for contract in (
        inputs_are_left_alone,
        output_is_not_a_view,
        grad_input_is_not_a_view,
        params_are_left_alone,
        dtype_is_kept,
        same_call_same_answer,
        backward_twice_does_not_accumulate,
        gradients_accumulate_as_declared,
        smaller_batch_works,
        larger_batch_works,
        many_samples_work,
        another_size_works,
        uses_updated_parameters,
        backward_uses_the_last_forward,
        results_stay_unchanged,
        instances_share_nothing,
        random_generators_are_not_seeded,
        forward_does_not_change_gradients,
        backward_is_linear,
        handles_minus_infinity,
        same_output_in_both_modes,
        backward_uses_the_mode_of_forward,
    )
}

WARNINGS = (handles_minus_infinity.__name__, backward_uses_the_mode_of_forward.__name__)
"""Contracts that correct code may break: ``x * (x > 0)`` turns minus infinity into NaN, and a backward pass may read the current mode."""

SEVERAL_CALLS = (
    same_call_same_answer.__name__,
    backward_twice_does_not_accumulate.__name__,
    smaller_batch_works.__name__,
    larger_batch_works.__name__,
    another_size_works.__name__,
    uses_updated_parameters.__name__,
    backward_uses_the_last_forward.__name__,
)
"""Contracts that call one layer more than once."""

OF_DROPOUTS: dict[str, Contract] = {draws_new_masks.__name__: draws_new_masks}
"""Contracts that apply only if the reference is a dropout in training mode."""


def layer_contract_check(name: str) -> Check:
    """Return the check of one contract of a layer."""
    explain = declaration_of_state if name in SEVERAL_CALLS else lambda bench: ""
    return contract_check((CONTRACTS | OF_DROPOUTS)[name], bench_of, warns=name in WARNINGS, explain=explain)


def contract_check(
    contract: Callable[[Any], str],
    bench: Callable[[Any, str, int], Any],
    warns: bool = False,
    explain: Callable[[Any], str] = lambda bench: "",
) -> Check:
    """Return the check of a contract. ``bench(prepared, dtype, seed)`` makes the argument of the contract, and of what explains that it failed."""
    name = f"{CONTRACT}{contract.__name__}"

    def run(prepared: Any, settings: Settings) -> CheckResult:
        # A network may be available in fewer precisions than its pair declares.
        dtypes = settings.precisions(getattr(prepared, "dtypes", prepared.pair.dtypes))
        reasons = [] if dtypes else ["your code does not compute in the selected precision"]
        for dtype in dtypes:
            try:
                if what := contract(bench(prepared, dtype, settings.seed)):
                    return CheckResult(name, Verdict.MISMATCH, f"{dtype}: {what}{explain(bench(prepared, dtype, settings.seed))}")
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
