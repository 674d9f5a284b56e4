"""A check and its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crosscheck.causes import Edits
from crosscheck.causes.divergence import Divergence, examined
from crosscheck.causes.variants.explain import SECONDS
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import CONTRACT, Judgement, Verdict, combine_verdicts
from crosscheck.core.operation import Call


@dataclass(frozen=True)
class Settings:
    """How checks are run.

    Attributes
    ----------
    seed : int
        The seed of all random numbers.
    timeout : float
        The time limit of a check in seconds; 0 for no limit.
    shrink : bool
        Whether to look for a small input that shows the same mismatch.
    dtypes : tuple of str
        The precisions to check; all if empty.
    strict : bool
        Whether a warning counts as a mismatch.
    explain : float
        For how many seconds to search for the cause of a pair's mismatches by edits of the reference; 0 tests known mistakes only.
    """

    seed: int = 0
    timeout: float = 60.0
    shrink: bool = True
    dtypes: tuple[str, ...] = ()
    strict: bool = False
    explain: float = SECONDS

    def precisions(self, declared: Iterable[str]) -> list[str]:
        """Return the declared precisions that the settings select."""
        return [dtype for dtype in declared if not self.dtypes or dtype in self.dtypes]


@dataclass(frozen=True)
class FailingCall:
    """A call in the subject's precision for which one quantity is wrong. ``evaluation`` says whether the layer ran in evaluation mode."""

    call: Call
    quantity: str
    dtype: str
    evaluation: bool = False


@dataclass(frozen=True)
class Reproduction:
    """A small case: a Python program that shows a fault, and the number of elements of its input."""

    script: str
    elements: int


@dataclass
class CheckResult:
    """What a check found.

    Attributes
    ----------
    reason : str
        Why the check was skipped or could not be decided, or what the subject did wrong.
    judgements : list of (str, Judgement)
        Each judgement has a label: the shape of its input, or its step, such as ``"step 3"``.
    divergence : Divergence or None
        The first mismatch with its cause.
    unexamined : list of (Failure, Edits or None)
        Other wrong quantities. :meth:`examine` looks for their causes and empties this list.
    others : list of Divergence
        Other wrong quantities with their causes.
    given : FailingCall or None
        The call on which the first mismatch was found.
    notes : list of str
        Further remarks, such as how many elements are at a kink.
    expected : str
        Why this check is known to fail; empty if it is not.
    reproduction : Reproduction or None
        The small case of a mismatch, if one was looked for.
    warning : bool
        Whether a mismatch is only a warning: see :attr:`Check.warns`.
    right : dict of str to Call
        For each quantity, the first call on which it was right; a cause must not say otherwise.
    """

    check: str
    verdict: Verdict
    reason: str = ""
    judgements: list[tuple[str, Judgement]] = field(default_factory=list)
    divergence: Divergence | None = None
    unexamined: list[tuple[Failure, Edits | None]] = field(default_factory=list)
    others: list[Divergence] = field(default_factory=list)
    given: FailingCall | None = None
    notes: list[str] = field(default_factory=list)
    expected: str = ""
    reproduction: Reproduction | None = None
    dtype: str = ""
    warning: bool = False
    right: dict[str, Call] = field(default_factory=dict)

    def add(
        self,
        shape: str,
        judgement: Judgement,
        failure: Failure | None = None,
        given: FailingCall | None = None,
        source: str = "",
        edits: Edits | None = None,
    ) -> None:
        """Add a judgement. The cause of the first mismatch is looked for at once; :meth:`examine` looks for the causes of later mismatches.

        ``failure`` holds what the diagnosis needs, ``given`` the call with the mismatch, ``source`` the file and line that computes the quantity, and
        ``edits`` searches for an edit of the reference that explains the call.
        """
        self.judgements.append((shape, judgement))
        if judgement.verdict is not Verdict.MISMATCH:
            return
        if self.divergence is None:
            self.divergence, self.given = examined(failure, edits=edits) if failure else Divergence(judgement, None, source), given
        elif failure is not None:
            self.unexamined.append((failure, edits))

    def examine(self, known: set[str]) -> None:
        """Look for the causes of the other wrong quantities that are not in ``known``, and add all wrong quantities to ``known``."""
        known |= set() if self.divergence is None else {self.divergence.judgement.place.quantity}
        for failure, edits in self.unexamined:
            if failure.quantity not in known:
                self.others.append(examined(failure, edits=edits))
                known.add(failure.quantity)
        self.unexamined.clear()

    @property
    def wrong(self) -> bool:
        """Whether a quantity is wrong so far."""
        return any(judgement.verdict is Verdict.MISMATCH for _, judgement in self.judgements)

    def conclude(self) -> CheckResult:
        """Set the verdict from the judgements, and the reason if there is none yet. Return this result."""
        self.verdict = combine_verdicts([judgement.verdict for _, judgement in self.judgements])
        self.reason = self.reason or next((j.reason for _, j in self.judgements if j.verdict is self.verdict and j.reason), "")
        return self

    @property
    def counted(self) -> Verdict:
        """The verdict as it counts for the pair: an expected difference counts as skipped, a warning as a match."""
        if self.warning:
            return Verdict.MATCH
        return Verdict.SKIPPED if self.expected and self.verdict is Verdict.MISMATCH else self.verdict


NOT_TRIED = "could not be tried: "
"""Prefix of the reason if the subject failed before a contract could be tried."""

OUT_OF_RANGE = "does not apply: "
"""Prefix of skip reasons. A value check uses it if the operation itself overflows on inputs that the harness chose."""


def never_judged(quantities: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return the quantities that all checks skipped because the operation overflowed.

    Each entry of ``quantities`` holds precision and name (``"float64 bias.grad"``), the verdict and the reason.
    """
    judged = {name for name, verdict, reason in quantities if verdict != Verdict.SKIPPED or not reason.startswith(OUT_OF_RANGE)}
    return [name for name in dict.fromkeys(name for name, _, _ in quantities) if name not in judged]


def overall(checks: Sequence[tuple[str, Verdict]], unjudged: Sequence[str] = ()) -> Verdict:
    """Return the verdict on a pair from the names and verdicts of its checks.

    A match needs at least one check of values that matches, unless only contracts were run. If no check judged some quantity (``unjudged``, from
    :func:`never_judged`), the verdict is ``undecided`` instead of ``match``.
    """
    verdict = combine_verdicts([own for _, own in checks])
    values = [own for name, own in checks if not name.startswith(CONTRACT)]
    if verdict is Verdict.MATCH and values and Verdict.MATCH not in values:
        return Verdict.SKIPPED
    return Verdict.UNDECIDED if verdict is Verdict.MATCH and unjudged else verdict


@dataclass(frozen=True)
class Check:
    """One check of a pair."""

    name: str  # its stable id, such as ``values-float64-digits``
    about: str  # what the check compares; for a contract, what goes wrong if it is broken
    run: Callable[[Any, Settings], CheckResult]  # gets a prepared pair
    dtype: str = ""  # its precision; empty if it covers all precisions
    warns: bool = False  # whether correct code may fail it; a mismatch is then only a warning, unless Settings.strict is set
