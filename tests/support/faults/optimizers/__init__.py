"""Faults in optimizers."""

from tests.support.faults.optimizers import adaptive, descent

__all__ = ["adaptive", "descent"]
