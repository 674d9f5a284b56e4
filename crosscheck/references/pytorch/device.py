"""PyTorch: the device that computes, and the precision of products.

Products in float32 may use fewer bits of each factor: ten (TF32) on CUDA, by default in convolutions, and seven (bfloat16) on some CPUs. The error
theory of float32 does not cover such products, so they are disabled while a reference computes.

Test suites of PyTorch extensions import ``torch.testing._internal``, which forbids assignments to flags of ``torch.backends`` outside of PyTorch's
context managers. These set all flags of a backend at once. They use an internal context manager that also allows the assignment of single flags.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import backends
from torch.backends import __allow_nonbracketed_mutation as assignable

from crosscheck.references.functions import unusable


def device_of(name: str) -> torch.device:
    """Return a device; raise :class:`DeviceError` if it is unknown, missing, without float64 (mps), which oracles need, or without data (meta)."""
    try:
        device = torch.device(name)
        torch.ones(1, dtype=torch.float64, device=device).cpu()
    except (RuntimeError, TypeError, AssertionError) as error:
        raise unusable("PyTorch", name, str(error), ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]) from error
    return device


def described(device: torch.device) -> str:
    """Return a device's name and, for a GPU, its model."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


@contextmanager
def computing(device: torch.device, dtype: torch.dtype, tf32: bool = False) -> Iterator[None]:
    """Set up PyTorch for references: products use all bits of their factors, and kernels are not chosen by timing.

    The settings are global to the process, and are restored at the end. None of them affects float64 on the CPU. With ``tf32``, CUDA may multiply
    float32 in TF32.
    """
    if device.type == "cpu" and dtype == torch.float64:
        yield
        return
    before, wanted = torch.get_float32_matmul_precision(), "high" if tf32 else "highest"
    settings = [(place, name, getattr(place, name), value) for place, name, value in _settings(tf32)]
    if before == wanted and all(old == value for _, _, old, value in settings):
        yield
        return
    # The older setting comes first, because it changes some of the newer ones, and CUDA refuses to multiply if the settings contradict each other.
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
    """Yield the owner, the name and the required value of each setting."""
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
