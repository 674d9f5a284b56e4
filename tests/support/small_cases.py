"""Faults of the catalogue in files of their own, as users have them, for what makes a fault small and writes it as a script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crosscheck.checks import CheckResult, Settings, checks_of
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.load import find
from crosscheck.run.check import run_check
from tests.support.faults import CATALOGUE, Host
from tests.support.faults.conventions import ATTRIBUTES, FUNCTIONS, LOSS_FUNCTION, LOSS_OF_ONE, UPDATING


@dataclass(frozen=True)
class Shown:
    """A fault and where it shows.

    Attributes
    ----------
    fault : str
        Its name in the catalogue.
    other : Host or None
        What it is planted in where that is not its own host.
    check : str
    """

    fault: str
    other: Host | None = None
    check: str = "values-float64-normal"

    @property
    def quantity(self) -> str:
        """The first quantity that is wrong."""
        return CATALOGUE[self.fault].at

    def pair(self, repaired: bool = False) -> Declaration:
        """Return the pair that has the fault, or the one that has it no longer."""
        fault = CATALOGUE[self.fault]
        host = self.other or fault.host
        return host.pair(host.right if repaired else fault.kind)


SHOWN = {
    "conv-sign": Shown("convolution-weight-gradient-negated"),
    "conv-kernel-flipped": Shown("convolution-kernel-flipped"),
    "conv-bias-left-out": Shown("convolution-bias-left-out"),
    "conv-bias-of-last-sample": Shown("conventions-bias-gradient-of-the-last-sample"),
    "conv-overwritten": Shown("windows-overlap-overwritten"),
    "conv-1e-9": Shown("numerics-weight-gradient-too-large-by-a-billionth"),
    "conv-float32": Shown("numerics-weight-gradient-too-large-by-a-thousandth", check="values-float32-normal"),
    "conv-last-row": Shown("windows-last-row-of-the-input-gradient-lost"),
    "conv-raises": Shown("conventions-raises"),
    "conv-nothing-returned": Shown("conventions-nothing-returned"),
    "conv-functions-raises": Shown("conventions-raises", FUNCTIONS),
    "conv-functions-mean": Shown("convolution-weight-gradient-averaged", FUNCTIONS),
    "conv-functions-bias": Shown("convolution-bias-gradient-averaged", FUNCTIONS),
    "conv-updating-last-column": Shown("windows-last-column-lost-in-the-weight-gradient", UPDATING),
    "conv-updating-transposed": Shown("convolution-kernel-transposed", UPDATING),
    "pool-ties": Shown("pooling-gradient-to-all-winners", check="values-float64-ties"),
    "pool-transposed": Shown("pooling-winners-row-and-column-exchanged"),
    "pool-mean": Shown("conventions-mean-for-maximum"),
    "relu-at-zero": Shown("activation-derivative-at-zero-is-one", check="values-float64-kinks"),
    "relu-leaks": Shown("conventions-leaks-a-billionth"),
    "linear-mean": Shown("linear-bias-gradient-averaged", ATTRIBUTES),
    "linear-row": Shown("conventions-last-input-forgotten"),
    "linear-fortran": Shown("conventions-taken-as-it-lies", check="values-float64-fortran"),
    "linear-strided": Shown("conventions-negative-strides", check="values-float64-strided"),
    "linear-writes": Shown("conventions-doubles-its-input"),
    "loss-no-shift": Shown("loss-no-shift", LOSS_FUNCTION, "values-float64-large"),
    "loss-label": Shown("loss-labels-counted-from-one-in-the-gradient", LOSS_FUNCTION),
    "loss-sum": Shown("loss-gradient-not-averaged", LOSS_FUNCTION),
    "loss-epsilon": Shown("loss-constant-in-the-logarithm", LOSS_FUNCTION),
    "loss-of-one-base-2": Shown("loss-logarithm-to-the-base-two", LOSS_OF_ONE),
    "loss-of-one-gradient": Shown("conventions-one-assigned-not-taken-off", LOSS_OF_ONE),
}


def write(name: str, file: Path, repaired: bool = False) -> None:
    """Declare the pair that has a fault, or the one that has it no longer, in a file."""
    file.write_text(f"from tests.support.small_cases import SHOWN\n\npair = SHOWN[{name!r}].pair({repaired=})\n")


def caught(name: str, file: Path) -> CheckResult:
    """Write a fault to a file and run the check that shows it."""
    write(name, file)
    pair = find(file, SHOWN[name].pair().title)
    return run_check(pair, next(check for check in checks_of(pair) if check.name == SHOWN[name].check), Settings())
