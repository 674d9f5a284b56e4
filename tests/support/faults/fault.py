"""What a fault of the catalogue is: a right implementation with one mistake in it, where it shows, and why a loose check misses it."""

from __future__ import annotations

import inspect
import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crosscheck.pairs.declaration import Declaration

Kind = type[Any]


@dataclass(frozen=True)
class Host:
    """A right implementation beside its reference: what faults are planted in.

    Attributes
    ----------
    name : str
    right : type
        The right implementation, from ``textbook``.
    pair : callable
        Gets that class, or one derived from it with a fault, and returns the pair to be checked.
    """

    name: str
    right: Kind
    pair: Callable[[Kind], Declaration]


@dataclass(frozen=True)
class Fault:
    """One mistake that people make.

    Attributes
    ----------
    name : str
        ``"convolution-kernel-flipped"``: the module or package that it stands in and the class.
    words : str
        The mistake in a sentence.
    host : Host
    kind : type
        The implementation that has it.
    at : str
        Where it shows first: a quantity, ``"layer.quantity"`` in a network, or the name of a contract.
    cause : str
        The fault model that explains it; empty where there is none, and the cause has to stay unknown.
    hidden : str
        Why a loose check misses it.
    missed : str
        Why the harness does not see it yet; empty where it does, as it nearly always must.
    """

    name: str
    words: str
    host: Host
    kind: Kind
    at: str
    cause: str
    hidden: str
    missed: str = ""

    def pair(self) -> Declaration:
        """Return the faulty implementation beside its reference, made anew."""
        return self.host.pair(self.kind)


_planted: dict[str, Fault] = {}
_others: dict[str, Fault] = {}

FAULTS: Mapping[str, Fault] = _planted
"""The catalogue that ``scripts/detection.py`` studies, by name; complete once the package is imported."""

CATALOGUE: Mapping[str, Fault] = ChainMap(_planted, _others)
"""All of it: also faults that are planted for one test, such as a contract that no other fault breaks."""


def planted(host: Host, at: str, hidden: str = "", cause: str = "", missed: str = "") -> Callable[[Kind], Kind]:
    """Put a class with a mistake in it into the catalogue; its docstring is the mistake in words. Without ``hidden`` it is planted for one test."""

    def register(kind: Kind) -> Kind:
        area = kind.__module__.partition(".faults.")[2].partition(".")[0]
        name = f"{area}-{re.sub('(?<!^)(?=[A-Z])', '-', kind.__name__).lower()}"
        if name in CATALOGUE:
            raise ValueError(f"{name} is in the catalogue already")
        words = inspect.cleandoc(kind.__doc__ or "").partition("\n")[0]
        (_planted if hidden else _others)[name] = Fault(name, words, host, kind, at, cause, hidden, missed)
        return kind

    return register
