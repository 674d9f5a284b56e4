"""Faults of single precision alone: in double precision the very same code takes another, right way, as kernels do that are written for speed."""

from tests.support.faults.single import exponentials, optimizers, sums

__all__ = ["exponentials", "optimizers", "sums"]
