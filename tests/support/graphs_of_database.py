"""Write the operations of PyTorch's own test database as graphs, and say which graphs compute something else.

One line of JSON: what is computed otherwise, what raises, what has no graph with the reason. In a process of its own: importing the database changes
settings.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_map

from crosscheck.core.operation import Call
from crosscheck.oracles.graph.passes import NoGraphError, differentiate, results_of
from crosscheck.references.pytorch.graph.call import graph_of
from tests.support.operations_of_database import HALF_THE_DIGITS, distance, tensors

SAMPLES, NUMBERS = 6, 3000
"""How many samples of each operation are tried, and how large they are at most."""

Tensors = list[Any]


def of_leaves(operation: Any, sample: Any, leaves: Tensors) -> Callable[[Tensors], Tensors]:
    """Return an operation as a function of those of its arguments that have a gradient."""

    def run(given: Tensors) -> Tensors:
        new = dict(zip(map(id, leaves), given, strict=True))
        arguments = (sample.input, sample.args, sample.kwargs)
        first, others, named = tree_map(lambda one: new.get(id(one), one) if isinstance(one, torch.Tensor) else one, arguments)
        first = first.clone() if isinstance(first, torch.Tensor) else first
        return [one for one in tensors(operation(first, *others, **named)) if one.is_floating_point()]

    return run


def upstream(value: Any) -> Any:
    return torch.arange(value.numel(), dtype=torch.float64).cos().add(1.5).reshape(value.shape)


def trial(operation: Any, sample: Any) -> tuple[Call, Callable[[Tensors], Tensors], dict[str, Any]] | None:
    """Return a sample as a call with PyTorch's own results, forward and backward; None if it has no gradient to compare."""
    leaves = [leaf for leaf in tensors((sample.input, sample.args, sample.kwargs)) if leaf.requires_grad]
    run = of_leaves(operation, sample, leaves)
    given = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    try:
        outputs = run(given)
        if not outputs or not all(one.requires_grad for one in outputs):
            return None
        grads = torch.autograd.grad(outputs, given, [upstream(one) for one in outputs], allow_unused=True)
    except RuntimeError:  # not every sample can be differentiated
        return None
    names = [f"output.{number}" for number in range(len(outputs))]
    cotangents = {name: upstream(one).numpy() for name, one in zip(names, outputs, strict=True)}
    call = Call({f"x{number}": one.detach().numpy() for number, one in enumerate(given)}, None, cotangents, outputs=tuple(names))
    expected = {name: one.detach() for name, one in zip(names, outputs, strict=True)}
    of_inputs = zip(call.inputs, given, grads, strict=True)
    return call, run, expected | {call.grad_input(name): torch.zeros_like(one) if grad is None else grad for name, one, grad in of_inputs}


def by_name(run: Callable[[Tensors], Tensors], given: Mapping[str, Any], own: Mapping[str, Any]) -> Tensors:
    return run(list(given.values()))


def tried(operation: Any) -> Iterator[tuple[str, str]]:
    """Yield what became of an operation, and the words for it."""
    samples = list(operation.sample_inputs("cpu", torch.float64, requires_grad=True))
    for sample in samples[:SAMPLES]:
        if sum(leaf.numel() for leaf in tensors((sample.input, sample.args, sample.kwargs))) > NUMBERS or (found := trial(operation, sample)) is None:
            continue
        call, run, expected = found
        try:
            graph = differentiate(graph_of(partial(by_name, run), call, {}), call, by_units=True)
        except NoGraphError as error:
            yield "without", str(error)
            continue
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            yield "raised", f"{type(error).__name__}: {error}"
            continue
        results = results_of(graph, call, graph.values)
        # A difference of rounding is no finding here; the tests of the tables judge rounding.
        wrong = [name for name, value in expected.items() if distance(value, torch.from_numpy(results[name].copy())) > HALF_THE_DIGITS]
        yield ("other", f"{wrong} for {[value.shape for value in call.inputs.values()]}, {sample.args}, {sample.kwargs}") if wrong else ("right", "")


def main() -> int:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    found: dict[str, dict[str, str]] = {"right": {}, "other": {}, "raised": {}, "without": {}}
    for operation in op_db:
        # What is sparse has no numbers in places.
        if operation.supports_autograd and torch.float64 in operation.supported_dtypes("cpu") and "sparse" not in operation.name:
            with sdpa_kernel(SDPBackend.MATH):
                for kind, words in tried(operation):
                    found[kind][operation.full_name] = words
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
