"""What the inputs of a function are: their shapes, by named axes, and the kind of numbers that they hold.

An input is declared by a pattern of named axes, ``"batch time"``, or by a tuple of lengths. The lengths of the axes are kept apart from the patterns,
so that the harness can try a function on other sizes: axes of the same name always have the same length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from crosscheck.core.inputs import Family, arranged
from crosscheck.core.operation import INPUT, OUTPUT, Shape

Axes = tuple[str | int, ...]
"""The axes of an array: names, or fixed lengths."""

Of = Literal["real", "unit", "positive", "distribution", "log-distribution", "sign"]

_INSIDE = 2.0**-6
"""How far probabilities stay away from 0 and 1, where logarithms and their derivatives grow without limit."""


@dataclass(frozen=True)
class Argument:
    """An input of a function: its axes.

    Parameters
    ----------
    shape : str or sequence of int and str
        Axes by name, ``"batch 1 time"``, or their lengths, ``(4, 1, 9)``.
    """

    shape: str | Sequence[int | str]

    def __post_init__(self) -> None:
        _ = self.axes

    @property
    def gradient(self) -> bool:
        """Whether the input has a gradient."""
        return False

    @property
    def axes(self) -> Axes:
        """The axes; a number in a pattern is a fixed length."""
        if not isinstance(self.shape, str | Sequence):
            raise TypeError(f"the shape is {self.shape!r}, expected axes by name, such as 'batch time', or their lengths, (4, 9)")
        parts = self.shape.split() if isinstance(self.shape, str) else list(self.shape)
        axes = tuple(int(part) if isinstance(part, str) and part.isdigit() else part for part in parts)
        for axis in axes:
            if not (axis.isidentifier() if isinstance(axis, str) else isinstance(axis, int) and axis > 0):
                raise ValueError(f"the shape {self.shape!r} has the axis {axis!r}, expected names and lengths of at least 1, such as 'batch 3 time'")
        return axes

    def sized(self, sizes: Mapping[str, int]) -> Shape:
        """Return the shape for the given lengths of axes."""
        return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in self.axes)

    def draw(self, rng: np.random.Generator, family: Family, sizes: Mapping[str, int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an input of a family of inputs, for the given lengths of axes and a precision."""
        raise NotImplementedError


@dataclass(frozen=True)
class Input(Argument):
    """An input of real numbers with a gradient.

    Parameters
    ----------
    shape : str or sequence of int and str
        Axes by name, ``"batch 1 time"``, or their lengths, ``(4, 1, 9)``.
    of : {"real", "unit", "positive", "distribution", "log-distribution", "sign"}
        The numbers that the function is defined for: all real numbers; those between 0 and 1; those above 0; rows (along the last axis) that add up
        to 1; the logarithms of such rows; -1 and 1.
    """

    of: Of = "real"

    def __post_init__(self) -> None:
        if self.of not in get_args(Of):
            raise ValueError(f"{type(self).__name__} is declared of={self.of!r}, expected one of {', '.join(map(repr, get_args(Of)))}")
        super().__post_init__()

    @property
    def gradient(self) -> bool:
        """Whether the input has a gradient."""
        return True

    def draw(self, rng: np.random.Generator, family: Family, sizes: Mapping[str, int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an input of a family of inputs, for the given lengths of axes."""
        shape = self.sized(sizes)
        if self.of == "real":
            return family.input(rng, shape, dtype)
        drawn = family.draw(rng, shape)
        # Families differ in scale; here they choose the direction, the logistic function the size.
        share = _INSIDE + (1 - 2 * _INSIDE) / (1 + np.exp(-np.clip(drawn, -30, 30)))
        rows = share / share.sum(axis=-1, keepdims=True) if share.ndim else share
        of = {
            "unit": share,
            "positive": share / (1 - share),
            "distribution": rows,
            "log-distribution": np.log(rows),
            "sign": np.where(share < rng.random(shape), -1.0, 1.0),
        }
        return arranged(of[self.of].astype(dtype), family.memory)


@dataclass(frozen=True)
class Target(Input):
    """Real numbers without a gradient, such as the targets of a regression. ``shape`` and ``of`` are as for :class:`Input`."""

    @property
    def gradient(self) -> bool:
        """Whether the input has a gradient."""
        return False


@dataclass(frozen=True)
class Integers(Argument):
    """Whole numbers from 0 up to ``below - 1``, such as ids, without a gradient. Both ends are among them, and numbers that repeat.

    Parameters
    ----------
    shape : str or sequence of int and str
        As for :class:`Input`.
    below : int or str
        The smallest number that does not occur, or the name of an axis whose length it is.
    also : sequence of int
        Numbers that always occur, such as the id of a padding; they may lie outside the range.
    """

    below: int | str = 2
    also: Sequence[int] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.below.isidentifier() if isinstance(self.below, str) else isinstance(self.below, int | np.integer) and self.below > 0):
            raise ValueError(f"below is {self.below!r}, expected a whole number of at least 1, or the name of an axis")
        if isinstance(self.also, str) or not isinstance(self.also, Sequence) or not all(isinstance(one, int | np.integer) for one in self.also):
            raise ValueError(f"also is {self.also!r}, expected whole numbers, such as (0,)")

    def most(self, sizes: Mapping[str, int]) -> int:
        """Return the smallest number that does not occur."""
        return sizes[self.below] if isinstance(self.below, str) else self.below

    def draw(self, rng: np.random.Generator, family: Family, sizes: Mapping[str, int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return whole numbers for the given lengths of axes; they do not depend on the family."""
        shape, most = self.sized(sizes), self.most(sizes)
        drawn = rng.integers(0, most, math.prod(shape))
        # The last number first, because a single number shall be the last: an index too large by one is then out of range.
        always = [most - 1, *self.also, 0, most - 1]
        chosen = always[: len(drawn)]
        places = np.linspace(len(drawn) - 1, 0, len(chosen)).astype(int)
        drawn[places] = chosen
        return drawn.reshape(shape)


@dataclass(frozen=True)
class Labels(Integers):
    """The right classes, whole numbers from 0 up to ``below - 1``, without a gradient. The classes at both ends are among them.

    Parameters
    ----------
    shape, below, also
        As for :class:`Integers`.
    ignored : int, optional
        The label that a loss ignores. Calls in which some, all but one, and all labels are ignored are then tried, too.
    """

    ignored: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ignored is not None and not isinstance(self.ignored, int | np.integer):
            raise ValueError(f"ignored is {self.ignored!r}, expected a label, a whole number")

    def draw(self, rng: np.random.Generator, family: Family, sizes: Mapping[str, int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return labels for the given lengths of axes; none of them is ignored."""
        shape, most = self.sized(sizes), self.most(sizes)
        drawn = rng.integers(0, most, math.prod(shape))
        drawn[1 : 1 + len(self.also)] = self.also[: max(len(drawn) - 1, 0)]
        drawn[-1:] = most - 1
        drawn[:1] = 0 if len(drawn) > 1 else most - 1
        if self.ignored is not None:
            drawn[drawn == self.ignored] = (self.ignored + 1) % most if most > 1 else drawn[0]
        return drawn.reshape(shape)


@dataclass(frozen=True)
class Mask(Argument):
    """Booleans, true for what takes part, without a gradient. Some places of each row (last axis) are hidden, the last among them.

    The place in the middle always takes part, so that no row is hidden completely, not even by several masks together.

    Parameters
    ----------
    shape : str or sequence of int and str
        As for :class:`Input`.
    hidden : bool
        The value of a place that does *not* take part; true where a reference's mask marks what it leaves out.
    """

    hidden: bool = False

    def draw(self, rng: np.random.Generator, family: Family, sizes: Mapping[str, int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return a mask for the given lengths of axes; it does not depend on the family."""
        shape = self.sized(sizes)
        length = shape[-1] if shape else 1
        takes_part = (rng.random(shape) < 0.6).reshape(-1, length)
        takes_part[:, -1] = False
        middle = (length - 1) // 2
        takes_part[0, :] = False  # a row in which all but one are hidden
        takes_part[:, middle] = True
        return np.asarray(takes_part != self.hidden).reshape(shape)


Inputs = Mapping[str, Argument]


def name_in_call(name: str, inputs: Inputs) -> str:
    """Return an input's name in a call: ``"input"`` for the only one that has a gradient, unless another has this name."""
    alone = [own for own, one in inputs.items() if one.gradient] == [name]
    return INPUT if alone and INPUT not in inputs else name


@dataclass(frozen=True)
class Special:
    """A call with values that a reference treats in a special way, such as ignored labels.

    Attributes
    ----------
    words : str
        What is special, for reports: ``"all labels ignored"``.
    name : str
        The input that holds the special values.
    change : callable
        Returns the input with special values, given the drawn input.
    """

    words: str
    name: str
    change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] = field(compare=False)

    @property
    def slug(self) -> str:
        """The words as part of a check's name."""
        return self.words.replace(" ", "-").replace("_", "-")


@dataclass(frozen=True)
class Case:
    """Inputs whose axes have certain lengths.

    Attributes
    ----------
    inputs : mapping of str to Argument
        The inputs in the order of the arguments.
    sizes : mapping of str to int
        The length of each named axis.
    special : Special, optional
        The special values that the call has.
    named : bool
        Whether a user has named all axes, so that their lengths are shown by these names if there are several inputs.
    """

    inputs: Inputs
    sizes: Mapping[str, int]
    special: Special | None = None
    named: bool = False

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of each input."""
        return {name: one.sized(self.sizes) for name, one in self.inputs.items()}

    @property
    def shape(self) -> Shape:
        """The shape of the first input with a gradient, or else of the first input."""
        first = next((name for name, one in self.inputs.items() if one.gradient), next(iter(self.inputs)))
        return self.shapes[first]

    @property
    def elements(self) -> int:
        """The number of elements of all inputs together."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def resized(self, sizes: Mapping[str, int]) -> Case:
        """Return the same inputs with other lengths of some axes, and without special values."""
        return replace(self, sizes={**self.sizes, **sizes}, special=None)

    def __str__(self) -> str:
        """Return the shapes in words: ``3x1x28x28``, ``query 2x5x8, key 2x7x8``, or ``batch 2, q_len 5, k_len 7`` if the axes have names."""
        shapes = self.shapes
        shown = self._shown
        text = times(shapes[shown[0]]) if len(shown) == 1 else ", ".join(f"{name} {times(shapes[name])}" for name in shown)
        text = _lengths(self.sizes) if self._by_axes else text
        return f"{text}, {self.special.words}" if self.special else text

    @property
    def _shown(self) -> list[str]:
        """The inputs whose shapes are shown: not those of labels and targets, which follow from the others."""
        derived = [name for name, one in self.inputs.items() if isinstance(one, Labels | Target)]
        return [name for name in self.inputs if name not in derived or len(self.inputs) == len(derived)]

    @property
    def _by_axes(self) -> bool:
        return self.named and len(self._shown) > 1 and bool(self.sizes)

    def beside(self, other: Case) -> str:
        """Return the shapes in words; if the axes have names, only the lengths that differ from those of another case."""
        changed = {axis: length for axis, length in self.sizes.items() if other.sizes.get(axis) != length}
        return _lengths(changed) if changed and self._by_axes else str(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Case) and (self.shapes, self.special) == (other.shapes, other.special)

    def __hash__(self) -> int:
        return hash((tuple(self.shapes.items()), self.special))


def _lengths(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{axis} {length}" for axis, length in sizes.items())


def times(shape: Sequence[int]) -> str:
    """Return a shape as text: ``3x1x28x28``; ``1`` for a single number."""
    return "x".join(map(str, shape)) or "1"


@dataclass(frozen=True)
class Signature:
    """What a reference says of its own arguments and results.

    Attributes
    ----------
    inputs : callable
        Returns all inputs by name, in the order of the arguments, given the number of axes of the first.
    outputs : tuple of str
        The names of the results.
    optional : tuple of str
        The inputs that a call may leave out. They are passed only if the subject takes them.
    sizes : sequence of mapping of str to int
        Lengths of all axes, for each of the shapes of the first input that the reference knows; empty if it takes any.
    by_name : bool
        Whether the reference gets its inputs by name, so that they come in the order in which the subject's arguments of these names do.
    named : bool
        As in :class:`Case`.
    """

    inputs: Callable[[int], Inputs]
    outputs: tuple[str, ...] = (OUTPUT,)
    optional: tuple[str, ...] = ()
    sizes: Sequence[Mapping[str, int]] = ()
    by_name: bool = False
    named: bool = False


class GivenSettings:
    """The settings that a reference is used with as attributes; None for those that are not given."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def __getattr__(self, name: str) -> Any:
        return self._given.get(name)


def axes_of(count: int) -> list[str]:
    """Return names for the axes of an input that is declared by its shape alone."""
    return [f"axis{number}" for number in range(count)]


def flat(value: Any, keep_none: bool = False) -> list[Any]:
    """Return what nested tuples, lists and dicts hold, in order, without None unless it is kept."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return [one for part in value for one in flat(part, keep_none)]
    return [] if value is None and not keep_none else [value]


def quantity_of_output(name: str, outputs: Sequence[str]) -> str:
    """Return the name of an output as a quantity: ``"output"`` for the only one, or one of this name; otherwise ``"output.NAME"``."""
    return OUTPUT if name == OUTPUT or len(outputs) == 1 else f"{OUTPUT}.{name}"


def specials_of(inputs: Inputs) -> list[Special]:
    """Return the calls with special values that belong to inputs: ignored labels, and rows of a mask that are hidden completely."""
    found = []
    for name, one in inputs.items():
        if isinstance(one, Labels) and one.ignored is not None:
            found += [Special(words, name, _ignoring(one.ignored, keep)) for words, keep in _IGNORED.items()]
        if isinstance(one, Mask):
            found.append(Special(f"a row of {name} completely hidden", name, _hiding(one.hidden)))
    return found


DEFAULT_IGNORED = -100
"""The label that PyTorch's losses ignore by default."""

_IGNORED: Mapping[str, Callable[[int], npt.NDArray[np.bool_]]] = {
    "some labels ignored": lambda count: np.arange(count) % 2 == 0,
    "all labels but one ignored": lambda count: np.arange(count) == count - 1,
    "all labels ignored": lambda count: np.zeros(count, dtype=bool),
}
"""For each pattern of ignored labels, a function that returns which of the labels are kept."""


def _ignoring(ignored: int, keep: Callable[[int], npt.NDArray[np.bool_]]) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    return lambda labels: np.where(keep(labels.size).reshape(labels.shape), labels, ignored)


def _hiding(hidden: bool) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    def hide(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
        rows = mask.reshape(-1, mask.shape[-1] if mask.ndim else 1).copy()
        rows[-1] = hidden
        return rows.reshape(mask.shape)

    return hide
