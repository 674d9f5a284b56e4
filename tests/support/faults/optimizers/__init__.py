"""Faults in optimizers."""

from __future__ import annotations

from tests.support.faults.optimizers import adaptive, descent

__all__ = ["adaptive", "descent"]
