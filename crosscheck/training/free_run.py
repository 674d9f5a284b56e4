r"""Two runs from the same weights, each on its own, and the step at which they part by more than rounding explains.

The yardstick is measured: several references whose every result is perturbed at random, as strongly as rounding may, train beside them. Their
distance from the unperturbed one, as a norm per parameter array, is the spread. The subject has left it when its own distance exceeds

.. math:: \sqrt{2}\; t_M \cdot \mathrm{rms}(\text{spread}),

where t is the quantile of Student's distribution for M perturbed runs, at the probability accepted of one false alarm in all looks, and the root
of two is there because subject and reference round both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Arrays, Constants, Labels
from crosscheck.core.precision import Array, Precision, student_quantile
from crosscheck.core.subject import Outcome
from crosscheck.core.training import MakeTraining, Snapshot, Training, TrainState, merge, split


def noise_of(
    values: Iterable[tuple[str, str, Array, Array]], params: Mapping[str, Sequence[str]], precision: Precision
) -> dict[tuple[str, str], float]:
    """Return one standard deviation of rounding in each (layer, quantity), as a norm relative to the quantity's.

    Parameters
    ----------
    values : iterable of (layer, quantity, value, error)
        The quantities of a step with their largest errors, in multiples of the unit roundoff.
    params : mapping of str to sequence of str
        The names of each layer's parameters.
    precision : Precision
        The subject's.
    """
    noise = {}
    for layer, quantity, value, error in values:
        size = float(np.linalg.norm(value))
        deviation = precision.unit * float(np.linalg.norm(np.broadcast_to(error, value.shape))) / precision.confidence
        noise[layer, quantity] = deviation / size if size else 0.0
    for layer, parameters in params.items():
        for parameter in parameters:
            # An update ends in one rounding of the parameter itself, by at most u and as likely up as down.
            noise[layer, parameter] = precision.unit / math.sqrt(3)
    return noise


@dataclass(frozen=True)
class DistanceSample:
    """The distance of one parameter array at one step.

    Attributes
    ----------
    distance : float
        Norm of subject less reference.
    spread : float
        Root mean square of the norms of the perturbed runs less the unperturbed one.
    allowed : float
        The distance beyond which the subject has left the spread.
    largest : float
        The largest absolute difference of any element.
    """

    step: int
    parameter: str
    distance: float
    spread: float
    allowed: float
    largest: float

    @property
    def verdict(self) -> Verdict:
        """Whether rounding explains the distance."""
        if not (math.isfinite(self.distance) and math.isfinite(self.allowed)):
            return Verdict.UNDECIDED
        return Verdict.MATCH if self.distance <= self.allowed else Verdict.MISMATCH


@dataclass
class FreeRun:
    """The reference beside the subject, and the perturbed ones around it.

    Parameters
    ----------
    start : TrainState
        Where the subject was before its first step.
    noise : mapping of (str, str) to float
        Relative size of the perturbation of each quantity.
    runs : int
        How many perturbed references; an even number.
    looks : int
        How many times :meth:`look` will be called.
    precision : Precision
        The subject's.
    seed : int
        Of the perturbations.
    """

    make: MakeTraining
    start: TrainState
    noise: Mapping[tuple[str, str], float]
    runs: int
    looks: int
    precision: Precision
    seed: int
    history: list[DistanceSample] = field(default_factory=list)

    def __post_init__(self) -> None:
        double = np.dtype(np.float64)
        self.reference = self.make(self.precision.dtype, None, 0)
        self.centre = self.reference if self.precision.dtype == double or not self.runs else self.make(double, None, 0)
        self.perturbed: Sequence[Training] = [self.make(double, self.noise, self.seed + 1 + run) for run in range(self.runs)]
        for training in self._all():
            training.load(self.start)

    def _all(self) -> list[Training]:
        alone = [self.reference] if self.centre is self.reference else [self.reference, self.centre]
        return [*alone, *self.perturbed]

    def step(self, x: Array, labels: Labels, constants: Mapping[str, Constants] | None = None, lr_factor: float = 1.0) -> Outcome:
        """Move every reference on by one step and return what the unperturbed one showed."""
        outcome = self.reference.step(x, labels, None, constants, lr_factor)
        for training in self._all()[1:]:
            training.step(x, labels, None, constants, lr_factor)
        return outcome

    def look(self, step: int, params: Arrays) -> list[DistanceSample]:
        """Compare the subject's parameters and buffers with the reference's; the result is appended to ``history``, too."""
        reference, centre, *others = (training.params | training.buffers for training in (self.reference, self.centre, *self.perturbed))
        looks = []
        for name, value in params.items():
            difference = value.astype(np.float64) - reference[name]
            norms = [float(np.linalg.norm(other[name] - centre[name])) for other in others]
            spread = math.sqrt(sum(norm**2 for norm in norms) / len(norms)) if norms else math.inf
            allowed = math.sqrt(2) * self.factor(len(params)) * spread
            largest = float(np.abs(difference).max(initial=0.0))
            looks.append(DistanceSample(step, name, float(np.linalg.norm(difference)), spread, allowed, largest))
        self.history.extend(looks)
        return looks

    def snapshot(self) -> Snapshot:
        """Return the state of all references; ``history`` is not part of it."""
        return merge({str(number): training.snapshot() for number, training in enumerate(self._all())})

    def restore(self, snapshot: Snapshot) -> None:
        """Take over the state of the references of a run with the same parameters as this one."""
        parts = split(snapshot)
        for number, training in enumerate(self._all()):
            training.restore(parts[str(number)])

    def factor(self, arrays: int) -> float:
        """Return Student's quantile for all looks at all arrays."""
        return student_quantile(self.precision.false_alarms / (self.looks * arrays), self.runs) if self.runs else 1.0
