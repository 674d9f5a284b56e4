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
        The precisions that are asked for; both if left empty.
    strict : bool
        Whether a warning counts as a mismatch.
    """

    seed: int = 0
    timeout: float = 60.0
    shrink: bool = True
    dtypes: tuple[str, ...] = ()
    strict: bool = False

    def precisions(self, declared: Iterable[str]) -> list[str]:
        """Return those of the declared precisions that are asked for."""
        return [dtype for dtype in declared if not self.dtypes or dtype in self.dtypes]


@dataclass(frozen=True)
class FailingCall:
    """What a quantity was computed from.

    Attributes
    ----------
    call : Call
        In the subject's precision.
    quantity : str
        The one that is wrong.
    dtype : str
    evaluation : bool
        Whether it was computed in evaluation mode.
    """

    call: Call
    quantity: str
    dtype: str
    evaluation: bool = False


@dataclass(frozen=True)
class Reproduction:
    """A small case of a fault.

    Attributes
    ----------
    script : str
        A Python program that shows it.
    elements : int
        Of its input.
    """

    script: str
    elements: int


@dataclass
class CheckResult:
    """What a check found.

    Attributes
    ----------
    check : str
        The check's name.
    verdict : Verdict
    reason : str
        In words: why it was skipped or could not be decided, what the subject did wrong.
    judgements : list of (str, Judgement)
        Each with the shape that it was made on.
    divergence : Divergence or None
        The first mismatch, examined.
    unexamined : list of Failure
        Other quantities that are wrong on the same call.
    others : list of Divergence
        Those of them that were examined.
    given : FailingCall or None
        What it was found on.
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

    def examine(self, known: set[str]) -> None:
        """DistanceSample for the causes of the other wrong quantities, unless they are known already, and add them to what is known."""
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
"""How the reason of a contract begins of which the subject did not get to the end."""

OUT_OF_RANGE = "does not apply: "
"""How the reason of a skip begins where the operation itself leaves the range of numbers on inputs that the harness chose."""


def never_judged(quantities: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return the quantities that every check had to pass over because the operation left the range of numbers.

    Parameters
    ----------
    quantities : iterable of (str, str, str)
        What is spoken of, such as ``"float64 bias.grad"``; the verdict; the reason.
    """
    passed_over: dict[str, bool] = {}
    for name, verdict, reason in quantities:
        passed_over[name] = passed_over.get(name, True) and verdict == Verdict.SKIPPED and reason.startswith(OUT_OF_RANGE)
    return [name for name, always in passed_over.items() if always]


def overall(checks: Iterable[tuple[str, Verdict]], unjudged: Sequence[str] = ()) -> Verdict:
    """Return the verdict on a pair from the names and verdicts of its checks.

    ``match`` takes a value that was compared and found right: contracts that hold say nothing about values, unless nothing else was asked for. Nor
    is a pair right of which a quantity was never judged.

    Parameters
    ----------
    checks : iterable of (str, Verdict)
    unjudged : sequence of str
        From :func:`never_judged`.
    """
    found = list(checks)
    verdict = combine_verdicts([own for _, own in found])
    values = [own for name, own in found if not name.startswith(CONTRACT)]
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
        Gets a prepared pair and settings, returns a :class:`CheckResult`.
    dtype : str
        The precision that it is about; empty where it is about all of them.
    warns : bool
        Whether right code of a common idiom fails it: a mismatch is then only a warning, unless :attr:`Settings.strict` is set.
    """

    name: str
    about: str
    run: Callable[[Any, Settings], CheckResult]
    dtype: str = ""
    warns: bool = False
