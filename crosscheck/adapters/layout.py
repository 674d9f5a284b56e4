"""Layouts: einops patterns that convert arrays between the axis orders of the subject and of the reference.

A pattern reads from the subject to the reference. ``"(h w c) k -> k (c h w)"`` says that the subject's matrix has a row for each of the h*w*c inputs,
with channels varying fastest; the reference's has a column for each, with channels varying slowest. Read backwards, a pattern converts back.
"""

from __future__ import annotations

import re
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
    """An einops pattern, and the lengths of those axes that the array's shape does not determine.

    Attributes
    ----------
    pattern : str
        An einops rearrangement, ``"subject axes -> reference axes"``; empty if both orders are the same.
    sizes : mapping of str to int
        Lengths of axes inside parentheses.

    Raises
    ------
    LayoutError
        If the pattern does not have exactly two sides.
    """

    pattern: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.pattern and self.pattern.count("->") != 1:
            raise LayoutError(f"the layout is {self.pattern!r}, expected 'axes in your code -> axes in the reference', such as 'i o -> o i'")

    def to_reference(self, array: Array, one_sample: bool = False) -> Array:
        """Convert a subject's array to a contiguous copy in the reference's layout; without a pattern, a single sample becomes a batch of one."""
        if self.pattern:
            return np.array(self._apply(self.pattern, array), order="C")
        return np.array(array[None] if one_sample and array.ndim else array, order="C")

    def to_subject(self, array: Array, one_sample: bool = False) -> Array:
        """Convert a reference's array to the subject's layout, possibly as a view; without a pattern, a batch of one becomes its single sample."""
        if self.pattern:
            subject, _, reference = self.pattern.partition("->")
            return self._apply(f"{reference}->{subject}", array)
        return array[0] if one_sample else array

    def received(self, value: Any, what: str, dtype: np.dtype[Any], one_sample: bool = False, most: float = np.inf) -> Array:
        """Convert a value that the subject returned or stored to an array in the reference's layout; the array is a copy.

        Raises
        ------
        SubjectError
            If the value is not an array, has more than ``most`` elements, or does not fit the pattern.
        """
        array = as_array(value, what, dtype)
        if array.size > most:
            raise SubjectError(f"{what} has the shape {array.shape}: {array.size:,} elements, far more than expected")
        try:
            return self.to_reference(array, one_sample)
        except LayoutError as error:
            raise SubjectError(f"{what} has the shape {array.shape}: {error}") from error

    def _apply(self, pattern: str, array: Array) -> Array:
        # An axis of its own has the length that the array has there, which may be another than the declared one.
        inside = {axis for group in re.findall(r"\(([^)]*)\)", pattern) for axis in group.split()}
        sizes = {axis: size for axis, size in self.sizes.items() if axis in inside}
        try:
            return einops.rearrange(array, pattern, **sizes)
        except einops.EinopsError as error:
            given = ", ".join(f"{axis}={size}" for axis, size in self.sizes.items()) or "none"
            cause = str(error).strip().splitlines()[-1].strip()
            raise LayoutError(
                f"the pattern {pattern.strip()!r} does not fit an array of shape {array.shape} (sizes given: {given}): {cause}"
            ) from error

    def expect(self, array: Array, shape: tuple[int, ...], name: str) -> Array:
        """Convert a subject's array to the reference's layout, and check that the result has the expected shape.

        Raises
        ------
        LayoutError
            If the pattern does not apply, or the result has a wrong shape.
        """
        try:
            result = self.to_reference(array)
        except LayoutError as error:
            raise LayoutError(f"{name}: {error}") from error
        if result.shape != shape:
            how = f"the pattern {self.pattern!r} turns it into {result.shape}" if self.pattern else "declare a pattern, such as 'i o -> o i'"
            raise LayoutError(f"{name}: in your code it has shape {array.shape}, expected {shape} as in the reference; {how}")
        return result


@dataclass(frozen=True)
class Parameter:
    """A parameter or buffer of the subject: its name in the reference, and the layout that converts it."""

    name: str
    layout: Layout


def to_subject(parameters: Mapping[str, Parameter], arrays: Arrays) -> dict[str, Array]:
    """Convert parameters to the subject's names and layout; the arrays are contiguous copies."""
    return {name: np.array(p.layout.to_subject(arrays[p.name]), order="C") for name, p in parameters.items()}


@dataclass(frozen=True)
class LayerLayout:
    """The layouts of one layer's arrays."""

    input: Layout = Layout()  # the layout of the input and its gradient
    output: Layout = Layout()  # the layout of the output and its gradient
    params: dict[str, Parameter] = field(default_factory=dict)  # the parameters by the subject's names
    buffers: dict[str, Parameter] = field(default_factory=dict)  # the buffers, such as running statistics, by the subject's names
    inputs: Mapping[str, Layout] = field(default_factory=dict)  # the layouts of inputs by name, if there are several
    outputs: Mapping[str, Layout] = field(default_factory=dict)  # the layouts of outputs by quantity, if there are several

    def of_input(self, name: str) -> Layout:
        """Return the layout of an input; one that was not declared keeps its axes."""
        return self.inputs.get(name, Layout()) if self.inputs else self.input

    def of_output(self, quantity: str) -> Layout:
        """Return the layout of an output; one that was not declared keeps its axes."""
        return self.outputs.get(quantity, Layout()) if self.outputs else self.output
