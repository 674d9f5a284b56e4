"""Where a framework computes: what is said of a device that it cannot use."""

from __future__ import annotations

from collections.abc import Sequence


class DeviceError(ValueError):
    """A framework cannot compute on a device; the message says which one, why, and on which ones it can."""


def unusable(framework: str, name: str, reason: str, usable: Sequence[str]) -> DeviceError:
    """Return the error that says why a device cannot be used, and which devices can."""
    why = reason.strip().splitlines()[0].partition(". ")[0].rstrip(".")
    return DeviceError(f"{framework} cannot compute in float64 on device {name!r} ({why}); here it can on {', '.join(usable)}")
