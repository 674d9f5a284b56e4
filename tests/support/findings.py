"""The expected and the found verdict for one quantity beside one reference, for the tests and the coverage matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from crosscheck.causes.divergence import Divergence, divergence_facts
from crosscheck.core.judge import Judgement, Verdict
from crosscheck.report.words import divergence_message

FRAMEWORKS = {"torch": "PyTorch", "jax": "JAX", "keras": "Keras"}
"""The references of both tables; JAX's optimizers are optax's."""


@dataclass(frozen=True)
class Declared:
    """An expected verdict other than ``match``, with its reason; ``where`` is a shell pattern of ``reference-family-dtype-quantity``."""

    where: str
    verdict: Verdict
    reason: str


def declared_for(declared: Iterable[Declared], place: str) -> Declared | None:
    """Return the declaration for a ``reference-family-dtype-quantity``."""
    return next((one for one in declared if fnmatchcase(place, one.where)), None)


@dataclass(frozen=True)
class Finding:
    """One quantity of one run.

    Attributes
    ----------
    subject : str
        The class of the layer or optimizer.
    quantity : str
        The name that the subject gives it.
    run : str
        The id of its test's parameters.
    judgement : Judgement or None
        None if the reference has no entry for the subject; ``hole`` then says why.
    """

    subject: str
    quantity: str
    reference: str
    dtype: str
    run: str
    judgement: Judgement | None
    declared: Declared | None = None
    hole: str = ""

    @property
    def expected(self) -> Verdict:
        """The verdict that is right here."""
        return Verdict.MATCH if self.declared is None else self.declared.verdict

    @property
    def wrong(self) -> str:
        """What is wrong, in words; empty where the verdict is the one expected."""
        if self.judgement is None:
            return self.hole
        if self.judgement.verdict is self.expected:
            return ""
        if self.declared is None:
            return self.judgement.reason or f"{self.judgement.verdict}: {self.judgement.fraction:.3g} of the tolerance"
        return f"declared to be {self.expected} ({self.declared.reason}), found {self.judgement.verdict}"


def failure_message(findings: Iterable[Finding], divergence_of: Callable[[str], Divergence], command: str) -> str:
    """Return the message of a failing test, with every wrong quantity of a run and its cause; empty if nothing is wrong.

    ``divergence_of`` gets the name of a wrong quantity and looks for the cause; ``command`` repeats the test.
    """
    wrong = [found for found in findings if found.wrong]
    texts = [f"wrong: {', '.join(found.quantity for found in wrong)}"] if wrong else []
    for found in wrong:
        texts.append(f"{found.quantity}: {found.wrong}")
        if found.judgement is not None:
            texts.append(divergence_message(divergence_facts(divergence_of(found.quantity), command)))
    return "\n".join(texts)
