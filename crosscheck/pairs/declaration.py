"""Base classes of all pairs, before and after preparation: names, precisions, expected differences and random numbers."""

from __future__ import annotations

import fnmatch
import traceback
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from crosscheck.core.guard import printable
from crosscheck.core.operation import DTYPES, PairError
from crosscheck.core.precision import Precision

_OWN = Path(__file__).parent.parent

_KEPT: ContextVar[bool] = ContextVar("_KEPT", default=False)
"""Whether errors of declarations are kept instead of raised."""


@contextmanager
def keeping_errors() -> Iterator[None]:
    """Keep the errors of declarations, so that a wrong one does not hide the others of its file; :func:`prepare` raises them."""
    token = _KEPT.set(True)
    try:
        yield
    finally:
        _KEPT.reset(token)


class Declaration:
    """Base class of pairs as a user declares them: a subject and its reference."""

    subject: Any
    reference: Any
    name: str
    dtypes: Sequence[str]  # the precisions that the subject computes in
    expected: Mapping[str, str]  # maps patterns of check names to the reasons why these checks are known to fail
    origin: Path | None = None  # the file that declares the pair, if any
    wrong: PairError | None = None  # what is wrong with the declaration, if it was made while errors were kept

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", _declaring_file())
        try:
            self.validate()
        except PairError as error:
            if not _KEPT.get():
                raise
            object.__setattr__(self, "wrong", error)

    def validate(self) -> None:
        """Validate the fields that can be checked without preparation.

        Raises
        ------
        PairError
            If a precision is unknown or an expected difference gives no reason.
        """
        if not self.dtypes or [dtype for dtype in self.dtypes if dtype not in DTYPES]:
            raise self.error(f"dtypes is {self.dtypes!r}, expected at least one of {', '.join(DTYPES)} and nothing else")
        for pattern, reason in self.expected.items():
            if not str(reason).strip():
                raise self.error(f"expected[{pattern!r}] has no reason; say why the difference is right")

    def error(self, text: object) -> PairError:
        """Return an error that names this pair."""
        return PairError(f"{self.title}: {text}")

    @property
    def precisions_in_words(self) -> str:
        """The reason why a check in an undeclared precision is skipped."""
        return f"your code is declared to compute in {', '.join(self.dtypes)}"

    @cached_property
    def title(self) -> str:
        """The pair's name, or else the subject's name, as one line of printable characters for terminals, files and test ids."""
        try:
            own = getattr(self.subject, "title", None) or getattr(self.subject, "__name__", None)
        except Exception:  # noqa: BLE001 - a subject's own __getattr__ may raise anything
            own = None
        own = own or type(self.subject).__name__
        return printable(self.name or str(own)).replace("\n", "\\n").replace("\t", "\\t")

    def reason_expected(self, check: str) -> str:
        """Return why a check is known to fail; empty if it is not."""
        return next((reason for pattern, reason in self.expected.items() if fnmatch.fnmatchcase(check, pattern.partition(":")[0])), "")

    def expects(self, check: str, quantity: str) -> bool:
        """Return whether a quantity of a check is known to differ. A pattern without a quantity covers all quantities."""
        named = [pattern.partition(":")[2] for pattern in self.expected if fnmatch.fnmatchcase(check, pattern.partition(":")[0])]
        return any(not name or name == quantity for name in named)


class Ready:
    """Base class of prepared pairs."""

    pair: Declaration
    references: Sequence[Any]
    elements: int  # N, the largest count of numbers that the pair's checks compare in total; each tolerance depends on N
    inferred: list[str]  # sentences that say what was not declared but could be inferred in exactly one way

    @property
    def reference_names(self) -> list[str]:
        """The references' names in reports."""
        return [reference.name for reference in self.references]

    def precision(self, dtype: str) -> Precision:
        """Return the :class:`Precision` of a dtype, for as many numbers as this pair's checks compare."""
        return Precision(np.dtype(dtype), self.elements)

    def rng(self, seed: int, what: str) -> np.random.Generator:
        """Return a random generator seeded by the pair's name, ``seed``, and the generator's purpose ``what``."""
        return np.random.default_rng([seed, zlib.crc32(f"{self.pair.title} {what}".encode())])


def _declaring_file() -> Path | None:
    """Return the file of the innermost frame that is neither the harness's own code nor generated code."""
    for frame, _ in traceback.walk_stack(None):
        path = Path(frame.f_code.co_filename)
        if path.is_file() and not path.is_relative_to(_OWN):
            return path.resolve()
    return None
