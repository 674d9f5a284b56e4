"""Translate a traced program of PyTorch, operation by operation, to steps of a graph.

Each operation has a rule that adds its steps. An operation that writes to its first argument has the rule of the one that does not; what it computed
then replaces the argument's numbers. An operation of constants alone is a constant.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx

from crosscheck.oracles.graph.graph import CONSTANT, At, Graph
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.names import ends, place_of
from crosscheck.references.pytorch.graph.steps import Rule, Steps, ViewRule
from crosscheck.references.pytorch.graph.tensors import Own, View
from crosscheck.references.statements import targets_at

_OF_MEMORY = ("layout", "device", "pin_memory", "memory_format", "non_blocking", "copy", "generator")
"""Arguments that say where and how numbers are stored."""

_RANDOM_IF_ASKED = ("scaled_dot_product_attention", "lstm", "gru", "rnn_tanh", "rnn_relu", "rrelu")
"""Operations that draw random numbers with some settings only, of which their rules know."""

_ALWAYS_APPLIED = ("batch_norm", "instance_norm")
"""Operations that write to arguments besides what they return."""

TakenApart = Callable[[Any, list[Any], dict[str, Any]], tuple[fx.GraphModule, list[Any]]]
"""Gets an operation and its arguments, each tensor as a pair: what to return for it, and its value. Returns a program of simpler operations, and its
arguments."""


class Translation(Steps):
    """A graph while it is made from a traced program."""

    def __init__(self, graph: Graph, rules: Mapping[str, Rule], views: Mapping[str, ViewRule], taken_apart: TakenApart) -> None:
        super().__init__(graph)
        self.rules, self.views, self.taken_apart = rules, views, taken_apart

    def run(self, program: fx.GraphModule, arguments: Sequence[Any], named: bool = True) -> Any:
        """Translate a program for arguments; return what it returns, tensors as :class:`Own` or :class:`View`."""
        known: dict[fx.Node, Any] = {}
        given = iter(arguments)
        nodes = list(program.graph.nodes)
        places = [place_of(node.stack_trace) if named and node.op == "call_function" else None for node in nodes]
        last = ends(places)
        for number, node in enumerate(nodes):
            if node.op == "placeholder":
                known[node] = next(given)
            elif node.op == "get_attr":
                known[node] = Own(self.constant(getattr(program, str(node.target))))
            elif node.op == "output":
                return _looked_up(node.args[0], known)
            else:
                known[node] = self._called(node, _looked_up(list(node.args), known), _looked_up(dict(node.kwargs), known))
                if node.op == "call_function" and self._changes_shape(str(getattr(node.target, "_opname", ""))):
                    known[node.args[0]] = known[node]  # the same tensor has another shape from here on
                if (place := places[number]) is not None and last[number]:
                    self._name(known[node.args[0] if node.target is operator.getitem else node], targets_at(place.statement))
        raise AssertionError("a traced program ends with its output")

    def _name(self, value: Any, names: Sequence[str]) -> None:
        """Give the result of a statement the names of its variables."""
        found = list(value) if isinstance(value, tuple | list) else [value]
        if len(found) == len(names):
            for one, name in zip(found, names, strict=True):
                if name and isinstance(one, Own | View):
                    self.graph.named(one.read(), name)

    def _called(self, node: fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if node.target is operator.getitem:
            return args[0][args[1]]
        if not isinstance(node.target, torch._ops.OpOverload):
            raise NoGraphError(f"the trace contains {getattr(node.target, '__name__', node.target)}, which is no operation of PyTorch")
        return self.apply(node.target, args, kwargs, node.meta.get("val"))

    def apply(self, function: Any, args: list[Any], kwargs: dict[str, Any], out: Any) -> Any:
        """Translate one operation; return its result, tensors as :class:`Own` or :class:`View`."""
        name = function._schema.name.partition("::")[2]
        _expect_real(name, out)
        if torch.Tag.nondeterministic_seeded in function.tags and "dropout" not in name and name not in _RANDOM_IF_ASKED:
            raise NoGraphError(f"{name} draws random numbers")
        kwargs = {key: value for key, value in kwargs.items() if key not in _OF_MEMORY}
        changed = kwargs.pop("out", None)
        in_place = changed is None and name.endswith("_") and not name.endswith("__") and function._schema.is_mutable
        with self._present(function, args, out):
            result = self._result(function, name, args, kwargs, in_place)
        if in_place and self._changes_shape(name):
            return result
        if in_place:
            changed = args[0]
        if changed is not None:
            changed.write(self.expand(result.read(), self.shape(changed.read())))
            return changed
        if isinstance(result, Own | View) and isinstance(out, torch.Tensor) and self.shape(result.read()) != tuple(out.shape):
            raise NoGraphError(f"{name} returns shape {tuple(out.shape)}, its steps {self.shape(result.read())}")
        return result

    def _changes_shape(self, name: str) -> bool:
        """Return whether an operation makes a tensor a view of itself, such as ``squeeze_``."""
        return name.endswith("_") and name != "detach_" and name.rstrip("_") in self.views

    @contextmanager
    def _present(self, function: Any, args: list[Any], out: Any) -> Iterator[None]:
        """While an operation is translated, tell its rule of it."""
        before = self.function, self.raw, self.out
        self.function, self.raw, self.out = function, tuple(args), out
        yield
        self.function, self.raw, self.out = before

    def _result(self, function: Any, name: str, args: list[Any], kwargs: dict[str, Any], in_place: bool) -> Any:
        key = name.rstrip("_") if in_place else name
        keys = [f"{key}.{function._schema.overload_name}", key] if function.namespace == "aten" else []
        view = next((self.views[key] for key in keys if key in self.views), None)
        if view is not None and isinstance(args[0], Own | View):
            return self._viewed(view, args, kwargs)
        if not in_place and name not in _ALWAYS_APPLIED and self._is_constant(args, kwargs):
            return self._folded(function, args, kwargs)
        rule = next((self.rules[key] for key in keys if key in self.rules), None)
        return self._apart(function, args, kwargs) if rule is None else _wrapped(rule(self, *_read(args), **_read(kwargs)))

    def _viewed(self, view: ViewRule, args: list[Any], kwargs: dict[str, Any]) -> Any:
        made = view(self, *_read(args), **_read(kwargs))
        return tuple(View(args[0], *each) for each in made) if isinstance(made, list) else View(args[0], *made)

    def _is_constant(self, args: list[Any], kwargs: dict[str, Any]) -> bool:
        tensors = [leaf for leaf in _leaves([args, kwargs]) if isinstance(leaf, Own | View)]
        return all(self.graph.steps[one.read()].operation == CONSTANT for one in tensors)

    def _folded(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Return the result of an operation of constants alone as constants."""
        given = _each([args, kwargs], lambda one: self.tensor(one.read()))
        return _each(function(*given[0], **given[1]), lambda one: Own(self.constant(one)), torch.Tensor)

    def _apart(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Translate an operation without a rule by the simpler operations that it consists of."""
        program, tensors = self.taken_apart(function, *_each([args, kwargs], lambda one: (one, self.tensor(one.read()))))
        found = self.run(program, tensors, named=False)
        return found if len(found) > 1 or isinstance(self.out, tuple | list) else found[0]


def _expect_real(name: str, out: Any) -> None:
    """Raise :class:`NoGraphError` if an operation returns complex numbers, or numbers of low precision."""
    for one in _leaves(out):
        if isinstance(one, torch.Tensor) and (one.is_complex() or one.dtype in {torch.float16, torch.bfloat16}):
            raise NoGraphError(f"{name} returns numbers of type {str(one.dtype).removeprefix('torch.')}")


def _looked_up(value: Any, known: Mapping[fx.Node, Any]) -> Any:
    return _each(value, lambda node: known[node], fx.Node)


def _read(value: Any) -> Any:
    return _each(value, lambda one: one.read())


def _wrapped(value: Any) -> Any:
    return _each(value, Own, At)


def _each(value: Any, change: Callable[[Any], Any], kind: Any = Own | View) -> Any:
    """Return a value in which every leaf of a kind was changed; tuples, lists and dicts are looked into."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple | list):
        return (
            type(value)([_each(one, change, kind) for one in value])
            if type(value) in {tuple, list}
            else tuple(_each(one, change, kind) for one in value)
        )
    if isinstance(value, dict):
        return {key: _each(one, change, kind) for key, one in value.items()}
    return value


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, tuple | list | dict):
        return [leaf for one in (value.values() if isinstance(value, dict) else value) for leaf in _leaves(one)]
    return [value]
