"""Layouts as einops patterns: how a subject orders the axes of an array, and how the reference does.

A pattern reads from the subject to the reference: ``"(h w c) k -> k (c h w)"`` says that the subject stores a row for each of h*w*c inputs, channels
fastest, and the reference a column, channels slowest. The same pattern read backwards copies the other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import einops
import numpy as np

from crosscheck.core.guard import SubjectError, as_array
from crosscheck.core.operation import Arrays
from crosscheck.core.precision import Array


class LayoutError(ValueError):
    """A pattern does not fit the array that it was applied to."""


@dataclass(frozen=True)
class Layout:
    """One pattern, with the sizes of the axes that the array's shape leaves open.

    Attributes
    ----------
    pattern : str
        An einops rearrangement, ``"subject axes -> reference axes"``; empty where both sides agree.
    sizes : mapping of str to int
        Sizes of axes that stand inside parentheses.

    Raises
    ------
    LayoutError
        If the pattern does not have two sides.
    """

    pattern: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.pattern and self.pattern.count("->") != 1:
            raise LayoutError(f"the layout {self.pattern!r} is no pattern; expected 'subject axes -> reference axes', such as 'i o -> o i'")

    def to_reference(self, array: Array, one_sample: bool = False) -> Array:
        """Return a contiguous copy of a subject's array in the reference's layout; without a pattern, one sample becomes a batch of one."""
        if self.pattern:
            return np.array(self._apply(self.pattern, array), order="C")
        return np.array(array[None] if one_sample and array.ndim else array, order="C")

    def to_subject(self, array: Array, one_sample: bool = False) -> Array:
        """Return a reference's array in the subject's layout; without a pattern, of a batch of one its sample.

        It may share memory with the array given, and then lies in memory as that one does.
        """
        if self.pattern:
            subject, _, reference = self.pattern.partition("->")
            return self._apply(f"{reference}->{subject}", array)
        return array[0] if one_sample else array

    def received(self, value: Any, what: str, dtype: np.dtype[Any], one_sample: bool = False, most: float = np.inf) -> Array:
        """Return something that the subject returned or stored, as a copy in the reference's layout.

        Raises
        ------
        SubjectError
            If it is no array, has more numbers than ``most``, or does not fit the pattern.
        """
        array = as_array(value, what, dtype)
        if array.size > most:
            raise SubjectError(f"{what} has the shape {array.shape}: {array.size:,} numbers, far more than can be right")
        try:
            return self.to_reference(array, one_sample)
        except LayoutError as error:
            raise SubjectError(f"{what} has the shape {array.shape}: {error}") from error

    def _apply(self, pattern: str, array: Array) -> Array:
        named = {axis for axis in pattern.replace("(", " ").replace(")", " ").split() if axis.isidentifier()}
        sizes = {axis: size for axis, size in self.sizes.items() if axis in named}
        try:
            return einops.rearrange(array, pattern, **sizes)
        except einops.EinopsError as error:
            given = ", ".join(f"{axis}={size}" for axis, size in self.sizes.items()) or "none"
            cause = str(error).strip().splitlines()[-1].strip()
            raise LayoutError(
                f"the pattern {pattern.strip()!r} does not fit an array of shape {array.shape} (sizes given: {given}): {cause}"
            ) from error

    def expect(self, array: Array, shape: tuple[int, ...], name: str) -> Array:
        """Return a subject's array in the reference's layout and check its shape there.

        Raises
        ------
        LayoutError
            If the pattern does not apply, or gives another shape than the reference has; both shapes are named.
        """
        try:
            result = self.to_reference(array)
        except LayoutError as error:
            raise LayoutError(f"{name}: {error}") from error
        if result.shape != shape:
            how = f"the pattern {self.pattern!r} turns it into {result.shape}" if self.pattern else "no pattern is declared"
            raise LayoutError(f"{name}: the subject's array has shape {array.shape}, the reference expects {shape}; {how}")
        return result


@dataclass(frozen=True)
class Parameter:
    """What the reference calls a parameter of the subject, and how it orders its axes."""

    name: str
    layout: Layout


def to_subject(parameters: Mapping[str, Parameter], arrays: Arrays) -> dict[str, Array]:
    """Return parameters under the subject's names and in its layout, as contiguous arrays of their own."""
    return {name: np.array(p.layout.to_subject(arrays[p.name]), order="C") for name, p in parameters.items()}


@dataclass(frozen=True)
class LayerLayout:
    """How one layer of the subject orders the axes of what goes in and out, and of its parameters.

    Attributes
    ----------
    input, output : Layout
        Of the input and its gradient, of the output and its gradient.
    params : dict of str to Parameter
        By the subject's names.
    buffers : dict of str to Parameter
        What the layer keeps from step to step, such as running statistics; by the subject's names.
    """

    input: Layout = Layout()
    output: Layout = Layout()
    params: dict[str, Parameter] = field(default_factory=dict)
    buffers: dict[str, Parameter] = field(default_factory=dict)
