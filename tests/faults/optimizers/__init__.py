"""Faults in optimizers."""

from __future__ import annotations

from faults.optimizers import adaptive, descent

__all__ = ["adaptive", "descent"]
