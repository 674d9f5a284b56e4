"""The error for a device that a framework cannot use."""

from __future__ import annotations

from collections.abc import Sequence


class DeviceError(ValueError):
    """A framework cannot compute on a device; the message says which device, why, and which devices can be used."""


def unusable(framework: str, name: str, reason: str, usable: Sequence[str]) -> DeviceError:
    """Return the error that says why a device cannot be used, and which devices can."""
    why = reason.strip().splitlines()[0].partition(". ")[0].rstrip(".")
    return DeviceError(f"{framework} cannot compute in float64 on device {name!r} ({why}); usable devices are {', '.join(usable)}")
