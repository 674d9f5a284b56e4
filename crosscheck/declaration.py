"""What all pairs have in common: a name, the precisions, the differences that are expected, and errors that name the pair."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

DTYPES = ("float64", "float32")


class PairError(ValueError):
    """A pair that cannot be checked as it was declared; the message names the pair, what was found, what was expected and what to do."""


class Declaration:
    """A subject beside its reference, whatever kind of thing they are.

    Attributes
    ----------
    subject, reference : object
    name : str
    dtypes : sequence of str
        The precisions that the subject computes in.
    expected : mapping of str to str
        Checks that are known to fail, by patterns of their names, each with the reason.
    """

    subject: Any
    reference: Any
    name: str
    dtypes: Sequence[str]
    expected: Mapping[str, str]

    def validate(self) -> None:
        """Make sure of what can be told from the declaration alone.

        Raises
        ------
        PairError
            If a precision is unknown or an expected difference gives no reason.
        """
        if not self.dtypes or [dtype for dtype in self.dtypes if dtype not in DTYPES]:
            raise self.error(f"dtypes is {self.dtypes!r}, expected some of {', '.join(DTYPES)}")
        for pattern, reason in self.expected.items():
            if not str(reason).strip():
                raise self.error(f"expected[{pattern!r}] gives no reason")

    def error(self, text: object) -> PairError:
        """Return an error that names this pair."""
        return PairError(f"{self.title}: {text}")

    @property
    def title(self) -> str:
        """The name, or the subject's."""
        own = getattr(self.subject, "title", None) or getattr(self.subject, "__name__", None) or type(self.subject).__name__
        return self.name or str(own)

    def reason_expected(self, check: str) -> str:
        """Return why a check is known to fail; empty where it is not."""
        return next((reason for pattern, reason in self.expected.items() if fnmatch.fnmatchcase(check, pattern)), "")
