r"""The free run: subject and reference train independently from the same weights, and rounding must explain the distance between their parameters.

The distance that rounding explains is measured. Several copies of the reference train on the same batches, and each of their results is perturbed at
random by as much as rounding may change it. Their distance from the unperturbed reference, in the norm of each parameter array, is the spread. The
subject has diverged when its own distance from the reference exceeds

.. math:: \sqrt{2}\; t_M \cdot \mathrm{rms}(\text{spread}),

where :math:`t_M` is the quantile of Student's distribution for M perturbed runs, at the accepted probability of any false alarm over all looks. The
factor :math:`\sqrt{2}` is there because the subject and the reference both round.
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
    """Return, for each (layer, quantity), the standard deviation of its rounding error in norm, divided by the norm of the quantity.

    ``values`` yields (layer, quantity, value, largest error in multiples of the unit roundoff); ``params`` holds the parameter names by layer.
    """
    noise = {}
    for layer, quantity, value, error in values:
        size = float(np.linalg.norm(value))
        deviation = precision.unit * float(np.linalg.norm(np.broadcast_to(error, value.shape))) / precision.confidence
        noise[layer, quantity] = deviation / size if size else 0.0
    for layer, parameters in params.items():
        for parameter in parameters:
            # An update ends with one rounding of the parameter, by at most u, up or down with equal probability.
            noise[layer, parameter] = precision.unit / math.sqrt(3)
    return noise


@dataclass(frozen=True)
class DistanceSample:
    """The measured distance between the subject's and the reference's values of one parameter array after a step."""

    step: int
    parameter: str
    distance: float  # the norm of the difference
    spread: float  # the root mean square of the perturbed references' distances from the unperturbed reference
    allowed: float  # the largest distance that rounding explains
    largest: float  # the largest absolute difference of any element

    @property
    def verdict(self) -> Verdict:
        """Whether rounding explains the distance."""
        if not (math.isfinite(self.distance) and math.isfinite(self.allowed)):
            return Verdict.UNDECIDED
        return Verdict.MATCH if self.distance <= self.allowed else Verdict.MISMATCH


@dataclass
class FreeRun:
    """A reference and its perturbed copies, which train on the same batches as the subject but independently."""

    make: MakeTraining
    start: TrainState  # the state of the subject before its first step
    noise: Mapping[tuple[str, str], float]  # the relative size of the perturbation of each quantity
    runs: int  # the number of perturbed references; an even number
    looks: int  # how often :meth:`look` will be called
    precision: Precision
    seed: int  # the seed of the perturbations
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
        """Advance every reference by one step, and return the outcome of the unperturbed reference."""
        outcome = self.reference.step(x, labels, None, constants, lr_factor)
        for training in self._all()[1:]:
            training.step(x, labels, None, constants, lr_factor)
        return outcome

    def look(self, step: int, params: Arrays) -> list[DistanceSample]:
        """Compare the subject's parameters and buffers with the reference's, and append the result to ``history``."""
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
        """Return the state of all references, without ``history``."""
        return merge({str(number): training.snapshot() for number, training in enumerate(self._all())})

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state of all references from the snapshot of a run that was made with the same arguments."""
        parts = split(snapshot)
        for number, training in enumerate(self._all()):
            training.restore(parts[str(number)])

    def factor(self, arrays: int) -> float:
        """Return Student's quantile at the probability of a false alarm that is allowed for one array at one look."""
        return student_quantile(self.precision.false_alarms / (self.looks * arrays), self.runs) if self.runs else 1.0
