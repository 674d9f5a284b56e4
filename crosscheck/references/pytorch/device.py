"""PyTorch: the device that computes, and the precision of its products.

Products of float32 may be taken of fewer digits: ten bits of each factor (TF32) on CUDA, for convolutions by default, and seven
(bfloat16) on some CPUs. No theory of float32's rounding covers that, so that it is off while a reference computes.

Test suites of PyTorch extensions import ``torch.testing._internal``, which forbids assignments to flags of ``torch.backends`` outside of PyTorch's
own context managers. These set all flags of a backend at once; the context manager that they use themselves allows assignments to a few.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import backends
from torch.backends import __allow_nonbracketed_mutation as assignable

from crosscheck.references.device import unusable


def device_of(name: str) -> torch.device:
    """Return a device that PyTorch can compute on in float64, as every oracle does.

    Raises
    ------
    DeviceError
        If it is unknown, is not there, has no float64 (mps) or no numbers at all (meta).
    """
    try:
        device = torch.device(name)
        torch.ones(1, dtype=torch.float64, device=device).cpu()
    except (RuntimeError, TypeError, AssertionError) as error:
        raise unusable("PyTorch", name, str(error), ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]) from error
    return device


def described(device: torch.device) -> str:
    """Return a device's name and, of a GPU, its model."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


@contextmanager
def computing(device: torch.device, dtype: torch.dtype, tf32: bool = False) -> Iterator[None]:
    """Let PyTorch compute as a reference has to: no product of fewer digits than its factors have, no kernel chosen by timing.

    The settings are those of the whole process, and are put back at the end. On the CPU, float64 depends on none of them.

    Parameters
    ----------
    tf32 : bool
        Whether CUDA may multiply float32 in TF32 all the same.
    """
    if device.type == "cpu" and dtype == torch.float64:
        yield
        return
    before, wanted = torch.get_float32_matmul_precision(), "high" if tf32 else "highest"
    settings = [(place, name, getattr(place, name), value) for place, name, value in _settings(tf32)]
    if before == wanted and all(old == value for _, _, old, value in settings):
        yield
        return
    # The older setting comes first: it writes to some of the others, and CUDA refuses to multiply where the two contradict each other.
    torch.set_float32_matmul_precision(wanted)
    try:
        with assignable():
            for place, name, _, value in settings:
                setattr(place, name, value)
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        with assignable():
            for place, name, value, _ in settings:
                setattr(place, name, value)


def _settings(tf32: bool) -> Iterator[tuple[Any, str, Any]]:
    """Yield each setting with the value that it is to have."""
    yield backends.cudnn, "deterministic", True
    yield backends.cudnn, "benchmark", False
    if not hasattr(backends.cudnn, "conv"):  # before PyTorch 2.9
        yield backends.cuda.matmul, "allow_tf32", tf32
        yield backends.cudnn, "allow_tf32", tf32
        return
    for place in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn):
        yield place, "fp32_precision", "tf32" if tf32 else "ieee"
    for place in (backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn):
        yield place, "fp32_precision", "ieee"
