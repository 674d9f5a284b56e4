"""The kinds of edits: each is a function that yields what may stand in place of a node. Adding a kind is one function, and one line in ``KINDS``."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from study.edits.tree import INDEX, VALUE, Site, called, changed
from study.edits.variables import already_assigned, other_variables

Kind = Callable[[Site], Iterator[ast.AST]]

_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
}
_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
}
_FUNCTIONS = {
    "exp": ("expm1", "tanh"),
    "tanh": ("sin", "exp"),
    "sqrt": ("exp", "log"),
    "log": ("log1p", "log2"),
    "log1p": ("log", "expm1"),
    "max": ("min", "mean", "sum"),
    "mean": ("sum", "max"),
    "sum": ("mean", "max", "prod"),
    "var": ("std",),
    "maximum": ("minimum",),
    "argmax": ("argmin",),
    "abs": ("square", "sign"),
    "sign": ("abs",),
    "ones": ("zeros",),
    "zeros_like": ("ones_like",),
    "ones_like": ("zeros_like",),
    "triu": ("tril",),
    "sigmoid": ("abs",),
}
_UNWRAPPED = {"exp", "log", "log1p", "sqrt", "abs", "tanh", "sign", "maximum", "sigmoid"}
_SMALL = 1e-3
"""A number below it beside a variance keeps a root away from zero."""


def operator(site: Site) -> Iterator[ast.AST]:
    """Yield another operator: ``+`` for ``-``, ``*`` for ``/``."""
    node = site.node
    if isinstance(node, ast.BinOp | ast.AugAssign) and site.role == VALUE and type(node.op) in _OPERATORS:
        yield changed(node, op=_OPERATORS[type(node.op)]())


def sign(site: Site) -> Iterator[ast.AST]:
    """Yield one minus sign fewer, or one more."""
    node = site.node
    if site.role != VALUE:
        return
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.MatMult | ast.Div):
        yield ast.UnaryOp(ast.USub(), node)


def comparison(site: Site) -> Iterator[ast.AST]:
    """Yield another comparison."""
    if isinstance(site.node, ast.Compare):
        for other in _COMPARISONS.get(type(site.node.ops[0]), ()):
            yield changed(site.node, ops=[other()])


def number(site: Site) -> Iterator[ast.AST]:
    """Yield another number in a formula."""
    value = _number(site.node)
    if value is None or site.role != VALUE:
        return
    others = {value + 1, value - 1, value * 2} if isinstance(value, int) else {value * 2, value / 2, value * 10, value / 10}
    yield from (_constant(other) for other in sorted(others - {value}))


def axis(site: Site) -> Iterator[ast.AST]:
    """Yield another axis, one axis fewer, or one that is not kept."""
    node = site.node
    if not isinstance(node, ast.keyword):
        return
    if node.arg == "keepdims":
        yield changed(node, value=ast.Constant(value=False))
    if node.arg != "axis":
        return
    if isinstance(node.value, ast.Tuple):
        for place in range(len(node.value.elts)):
            yield changed(node, value=changed(node.value, elts=node.value.elts[:place] + node.value.elts[place + 1 :]))
    else:
        now = ast.literal_eval(node.value)
        yield from (changed(node, value=_constant(other)) for other in (-2, -1, 0, 1, 2) if other != now)


def transposition(site: Site) -> Iterator[ast.AST]:
    """Yield one transposition fewer, one more, or axes in another order."""
    node = site.node
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value
    if isinstance(node, ast.Call) and called(node) in ("transpose", "swapaxes", "reshape"):
        assert isinstance(node.func, ast.Attribute)
        if called(node) != "reshape":
            yield node.func.value
        if called(node) != "swapaxes":  # the order of its two axes does not matter
            yield from (changed(node, args=args) for args in _swaps(node.args))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        for side in ("left", "right"):
            one = getattr(node, side)
            if isinstance(one, ast.Name | ast.Attribute) and not (isinstance(one, ast.Attribute) and one.attr == "T"):
                yield changed(node, **{side: ast.Attribute(one, "T", ast.Load())})


def left_out_term(site: Site) -> Iterator[ast.AST]:
    """Yield one term of a sum or difference alone."""
    node = site.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub) and site.role == VALUE:
        yield node.left
        yield node.right if isinstance(node.op, ast.Add) else ast.UnaryOp(ast.USub(), node.right)


def left_out_factor(site: Site) -> Iterator[ast.AST]:
    """Yield one factor of a product alone, or the base of a power."""
    node = site.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div | ast.Pow) and site.role == VALUE:
        yield node.left
        if isinstance(node.op, ast.Mult):
            yield node.right


def left_out_function(site: Site) -> Iterator[ast.AST]:
    """Yield a function's argument in place of its result, one branch of a choice, or no copy."""
    node = site.node
    if not isinstance(node, ast.Call):
        return
    if called(node) in _UNWRAPPED and node.args:
        yield node.args[0]
    if called(node) == "where":
        yield from node.args[1:]
    if called(node) == "copy" and isinstance(node.func, ast.Attribute):
        yield node.func.value


def swapped_operands(site: Site) -> Iterator[ast.AST]:
    """Yield operands, branches of a choice or elements of a list in another order."""
    node = site.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.MatMult | ast.Pow) and site.role == VALUE:
        yield changed(node, left=node.right, right=node.left)
    if called(node) == "where":
        assert isinstance(node, ast.Call)
        yield changed(node, args=[node.args[0], node.args[2], node.args[1]])
    if isinstance(node, ast.List | ast.Tuple) and site.role == VALUE:
        yield from (changed(node, elts=elements) for elements in _swaps(node.elts))


def other_variable(site: Site) -> Iterator[ast.AST]:
    """Yield another variable of the same function."""
    yield from other_variables(site)


def assignment_for_addition(site: Site) -> Iterator[ast.AST]:
    """Yield ``=`` in place of ``+=``."""
    if isinstance(site.node, ast.AugAssign) and isinstance(site.node.op, ast.Add):
        yield ast.Assign(targets=[site.node.target], value=site.node.value)


def index(site: Site) -> Iterator[ast.AST]:
    """Yield an index or a bound of a slice or loop that is off by one, or a bound that is left out."""
    node = site.node
    if isinstance(node, ast.Slice):
        yield from (changed(node, **{bound: None}) for bound in ("lower", "upper", "step") if getattr(node, bound) is not None)
    if site.role != INDEX:
        return
    value = _number(node)
    if value is not None:
        yield from (_constant(value + step) for step in (-1, 1))
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in ("np", "self"):
        yield from (ast.BinOp(node, one(), ast.Constant(value=1)) for one in (ast.Add, ast.Sub))


def dropped_statement(site: Site) -> Iterator[ast.AST]:
    """Yield nothing in place of a statement that adds, that is there for its effect, or that sets a variable or an element anew."""
    node = site.node
    again = isinstance(node, ast.Assign) and all(isinstance(target, ast.Subscript) or already_assigned(site, target) for target in node.targets)
    if again or isinstance(node, ast.AugAssign | ast.Expr):
        yield ast.Pass()


def function(site: Site) -> Iterator[ast.AST]:
    """Yield another function: a sum in place of a mean, a minimum in place of a maximum."""
    node = site.node
    for other in _FUNCTIONS.get(called(node), ()):
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Attribute)
        owner: Any = node.func.value
        if isinstance(owner, ast.Name) and owner.id in ("np", "math", "self"):
            # numpy has every function that stands in for another, and math lacks some.
            yield changed(node, func=ast.Attribute(ast.Name("np", ast.Load()), other, ast.Load()))
        else:
            yield changed(node, func=changed(node.func, attr=other))


def epsilon(site: Site) -> Iterator[ast.AST]:
    """Yield the small number outside the root, not inside."""
    node = site.node
    if called(node) == "sqrt":
        assert isinstance(node, ast.Call)
        inside = node.args[0]
        if isinstance(inside, ast.BinOp) and isinstance(inside.op, ast.Add) and _small(inside.right):
            yield changed(inside, left=changed(node, args=[inside.left]))


def degrees_of_freedom(site: Site) -> Iterator[ast.AST]:
    """Yield a division by n - 1 in place of n."""
    node = site.node
    if called(node) == "var":
        yield changed(node, keywords=[*node.keywords, ast.keyword("ddof", ast.Constant(value=1))])  # type: ignore[attr-defined]
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
        field = "right" if isinstance(node, ast.BinOp) else "value"
        count = getattr(node, field)
        if (isinstance(count, ast.Name) and count.id == "n") or (isinstance(count, ast.Attribute) and count.attr == "size"):
            yield changed(node, **{field: ast.BinOp(count, ast.Sub(), ast.Constant(value=1))})


KINDS: dict[str, Kind] = {
    "operator": operator,
    "sign": sign,
    "comparison": comparison,
    "number": number,
    "axis": axis,
    "transposition": transposition,
    "left-out term": left_out_term,
    "left-out factor": left_out_factor,
    "left-out function": left_out_function,
    "swapped operands": swapped_operands,
    "other variable": other_variable,
    "= for +=": assignment_for_addition,
    "index": index,
    "dropped statement": dropped_statement,
    "other function": function,
    "epsilon": epsilon,
    "degrees of freedom": degrees_of_freedom,
}
"""The kinds of edits by name."""


def _number(node: ast.AST) -> int | float | None:
    """Return the number that a node is; None if it is none."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _constant(value: float) -> ast.expr:
    return ast.UnaryOp(ast.USub(), ast.Constant(value=-value)) if value < 0 else ast.Constant(value=value)


def _swaps(elements: list[ast.expr]) -> Iterator[list[ast.expr]]:
    """Yield the elements with each two neighbours swapped."""
    for first, second in pairwise(range(len(elements))):
        swapped = list(elements)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        yield swapped


def _small(node: ast.AST) -> bool:
    value = _number(node)
    named = (isinstance(node, ast.Name) and node.id == "eps") or (isinstance(node, ast.Attribute) and node.attr == "eps")
    return named or (value is not None and value < _SMALL)
