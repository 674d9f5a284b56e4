"""Faults in whole training steps: between the layers, in the loss, in the update, from step to step."""

from tests.support.faults.training import runs, steps

__all__ = ["runs", "steps"]
