"""Plant relative faults in the results of an operation's own kernel: in the whole array, in one sample of it, or in one element.

A fault has to be detected if it is larger than :data:`ABOVE` times the tolerance of rounding theory, before any witness widens this tolerance. Each
fault is judged three times: with the witness, without the witness, and by the rules that people use.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crosscheck.core.check_layer import check_layer
from crosscheck.core.judge import Facts, Verdict
from crosscheck.core.operation import Arrays, Call
from crosscheck.core.precision import Array
from study.detection.rivals import Compared
from study.operations.remembered import Remembering
from study.operations.subjects import Subject

if TYPE_CHECKING:
    from study.operations.work import Trial

ABOVE = 4.0
"""A fault this many times larger than the theory's tolerance has to be detected."""

SIZES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Sizes of the faults, relative to the spoiled number."""

NO_WITNESS: Arrays = {}
"""The witness's results if no witness is used."""

EXTENTS = ("the whole array", "one sample", "one element")


@dataclass(frozen=True)
class Ground:
    """A judged call of an operation's own kernel, in whose results faults can be planted."""

    place: str  # the sample and the family
    oracle: Remembering
    call: Call
    found: Mapping[str, Array]  # the kernel's results that were judged right, by quantity


@dataclass(frozen=True)
class RelativeFault:
    """A fault to be planted."""

    ground: Ground
    quantity: str
    extent: str  # one of EXTENTS
    size: float  # the relative error that the fault adds
    where: npt.NDArray[np.bool_]  # which numbers are spoiled

    @property
    def spoiled(self) -> Array:
        """The quantity with the fault."""
        found = self.ground.found[self.quantity]
        return np.where(self.where, found * found.dtype.type(1 + self.size), found)


def planned(trial: Trial) -> Iterator[RelativeFault]:
    """Yield one fault of each extent; the operation's name and the seed decide the fault's place and size."""
    rng = np.random.default_rng([trial.seed, zlib.crc32(trial.name.encode())])
    places = [(ground, quantity) for ground in trial.grounds for quantity, found in ground.found.items() if found.any()]
    for extent in EXTENTS if places else ():
        ground, quantity = places[rng.integers(len(places))]
        found = ground.found[quantity]
        where = np.ones(found.shape, bool)
        if extent != EXTENTS[0]:
            index = np.argwhere(found)[rng.integers(np.count_nonzero(found))]
            chosen = tuple(index[:1] if extent == EXTENTS[1] else index)
            where = np.zeros(found.shape, bool)
            where[chosen] = True
        yield RelativeFault(ground, quantity, extent, SIZES[rng.integers(len(SIZES))], where)


def planted(fault: RelativeFault, trial: Trial) -> Facts:
    """Return the facts about a planted fault: its place and size, whether it has to be detected, and what detects it."""
    ground, quantity, spoiled = fault.ground, fault.quantity, fault.spoiled
    kernel = ground.found[quantity]
    wide = ground.call.astype(np.float64)
    exact = ground.oracle.vjp(wide)
    bound = ground.oracle.rounding.bounds(ground.oracle, wide, exact, trial.precision)[quantity]
    allowed = np.broadcast_to(trial.precision.tolerance(bound), kernel.shape)
    added = np.abs(spoiled.astype(np.float64) - kernel)
    compared = Compared(quantity, spoiled, kernel, exact[quantity])
    return {
        "place": f"{ground.place}, {quantity}",
        "extent": fault.extent,
        "size": fault.size,
        "has_to_be_seen": bool((added > ABOVE * allowed).any()),
        "times": _finite(added, allowed),
        "seen": {
            "with the witness": _verdict(fault, trial) is Verdict.MISMATCH,
            "without it": _verdict(fault, trial, NO_WITNESS) is Verdict.MISMATCH,
        },
        "rules": {name: not rule.takes_for_right(compared) for name, rule in trial.rules.items()},
    }


def _verdict(fault: RelativeFault, trial: Trial, witness: Arrays | None = None) -> Verdict:
    ground = fault.ground
    subject = Subject(lambda call: {**ground.found, fault.quantity: fault.spoiled})
    check = check_layer(subject, ground.oracle, ground.call, trial.precision, trial.name, only=[fault.quantity], witness=witness)
    return check.judgements[0].verdict


def _finite(added: Array, allowed: Array) -> float | None:
    """Return the largest ratio of the added error to its tolerance; None if a changed number has a tolerance of 0."""
    changed = added > 0
    if not changed.any():
        return 0.0
    if (allowed[changed] == 0).any():
        return None
    return float(np.max(added[changed] / allowed[changed]))
