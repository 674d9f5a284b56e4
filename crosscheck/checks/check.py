"""A check and what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crosscheck.causes.divergence import Divergence, examined
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import CONTRACT, Judgement, Verdict
from crosscheck.core.operation import Call


@dataclass(frozen=True)
class Settings:
    """How checks are run.

    Attributes
    ----------
    seed : int
        Of every random number.
    timeout : float
        Seconds after which a check of a subject that does not end is given up; 0 for no limit.
    shrink : bool
        Whether a mismatch is reduced to a small case.
    dtypes : tuple of str
        The precisions to check; both if left empty.
    strict : bool
        Whether a warning counts as a mismatch.
    """

    seed: int = 0
    timeout: float = 60.0
    shrink: bool = True
    dtypes: tuple[str, ...] = ()
    strict: bool = False

    def precisions(self, declared: Iterable[str]) -> list[str]:
        """Return the declared precisions that are to be checked."""
        return [dtype for dtype in declared if not self.dtypes or dtype in self.dtypes]


@dataclass(frozen=True)
class FailingCall:
    """A call, in the subject's precision, on which one quantity is wrong; ``evaluation`` where it was computed in evaluation mode."""

    call: Call
    quantity: str
    dtype: str
    evaluation: bool = False


@dataclass(frozen=True)
class Reproduction:
    """A small case of a fault: a Python program that shows it, and how many elements its input has."""

    script: str
    elements: int


@dataclass
class CheckResult:
    """What a check found.

    Attributes
    ----------
    reason : str
        Why it was skipped or could not be decided, or what the subject did wrong.
    judgements : list of (str, Judgement)
        Each with the shape that it was made on.
    divergence : Divergence or None
        The first mismatch, examined.
    unexamined : list of Failure
        Other wrong quantities, whose causes were not looked for yet.
    others : list of Divergence
        Those of them that were examined.
    given : FailingCall or None
        The call that the first mismatch was found on.
    notes : list of str
        What else is worth knowing, such as elements at a kink.
    expected : str
        Why this check is known to fail; empty where it is not.
    reproduction : Reproduction or None
        The small case of a mismatch of numbers, if one was looked for.
    warning : bool
        Whether a mismatch is only a warning: see :attr:`Check.warns`.
    """

    check: str
    verdict: Verdict
    reason: str = ""
    judgements: list[tuple[str, Judgement]] = field(default_factory=list)
    divergence: Divergence | None = None
    unexamined: list[Failure] = field(default_factory=list)
    others: list[Divergence] = field(default_factory=list)
    given: FailingCall | None = None
    notes: list[str] = field(default_factory=list)
    expected: str = ""
    reproduction: Reproduction | None = None
    dtype: str = ""
    warning: bool = False

    def add(self, shape: str, judgement: Judgement, failure: Failure | None = None, given: FailingCall | None = None, source: str = "") -> None:
        """Add a judgement; the first mismatch is examined, later ones are kept for :meth:`examine`.

        Parameters
        ----------
        failure : Failure or None
            Of a mismatch, where there is enough for a diagnosis.
        given : FailingCall or None
            The call that it was found on.
        source : str
            File and line of the code that computes the quantity.
        """
        self.judgements.append((shape, judgement))
        if judgement.verdict is not Verdict.MISMATCH:
            return
        if self.divergence is None:
            self.divergence, self.given = examined(failure) if failure else Divergence(judgement, None, source), given
        elif failure is not None:
            self.unexamined.append(failure)

    def examine(self, known: set[str]) -> None:
        """Look for the causes of the other wrong quantities, unless they are known already, and add these quantities to the known ones."""
        known |= set() if self.divergence is None else {self.divergence.judgement.place.quantity}
        for failure in self.unexamined:
            if failure.quantity not in known:
                self.others.append(examined(failure))
                known.add(failure.quantity)
        self.unexamined.clear()

    def conclude(self) -> CheckResult:
        """Take the verdict from the judgements, and a reason from them where there is none yet; return the result itself."""
        self.verdict = combine_verdicts([judgement.verdict for _, judgement in self.judgements])
        self.reason = self.reason or next((j.reason for _, j in self.judgements if j.verdict is self.verdict and j.reason), "")
        return self

    @property
    def counted(self) -> Verdict:
        """The verdict as it counts for the pair: neither an expected difference nor a warning turns a match into a mismatch."""
        if self.warning:
            return Verdict.MATCH
        return Verdict.SKIPPED if self.expected and self.verdict is Verdict.MISMATCH else self.verdict


def combine_verdicts(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict on several: the worst; where nothing was compared it is ``skipped``, never ``match``."""
    for verdict in (Verdict.MISMATCH, Verdict.UNDECIDED, Verdict.MATCH):
        if verdict in verdicts:
            return verdict
    return Verdict.SKIPPED


NOT_TRIED = "could not be tried: "
"""Prefix of the reason where the subject failed before a contract could be tried."""

OUT_OF_RANGE = "does not apply: "
"""Prefix of skip reasons where the operation itself overflows on the harness's own inputs."""


def never_judged(quantities: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return the quantities that every check skipped because the operation overflowed.

    Parameters
    ----------
    quantities : sequence of (str, str, str)
        Precision and name, such as ``"float64 bias.grad"``; the verdict; the reason.
    """
    judged = {name for name, verdict, reason in quantities if verdict != Verdict.SKIPPED or not reason.startswith(OUT_OF_RANGE)}
    return [name for name in dict.fromkeys(name for name, _, _ in quantities) if name not in judged]


def overall(checks: Sequence[tuple[str, Verdict]], unjudged: Sequence[str] = ()) -> Verdict:
    """Return the verdict on a pair from the names and verdicts of its checks.

    A match needs at least one value that was compared and found right: contracts say nothing about values, unless only contracts were asked for.
    Nor does a pair match where :func:`never_judged` names a quantity.
    """
    verdict = combine_verdicts([own for _, own in checks])
    values = [own for name, own in checks if not name.startswith(CONTRACT)]
    if verdict is Verdict.MATCH and values and Verdict.MATCH not in values:
        return Verdict.SKIPPED
    return Verdict.UNDECIDED if verdict is Verdict.MATCH and unjudged else verdict


@dataclass(frozen=True)
class Check:
    """One claim about a pair.

    Attributes
    ----------
    name : str
        Stable, as it stands in ids: ``values-float64-digits``.
    about : str
        The claim in words.
    run : callable
        Gets a prepared pair.
    dtype : str
        Its precision; empty where it is about all of them.
    warns : bool
        Whether right code of a common idiom fails it: a mismatch is then only a warning, unless :attr:`Settings.strict` is set.
    """

    name: str
    about: str
    run: Callable[[Any, Settings], CheckResult]
    dtype: str = ""
    warns: bool = False
