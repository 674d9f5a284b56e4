"""Learning rates that change: factors of the learning rate as pure functions of the step, so that an interrupted run can continue at any step.

Step 0 is the first update. Factors can be multiplied: ``optimizer.lr = 0.1 * linear_warmup(step, 500) * cosine(step, 20_000)`` before each step.
"""

from __future__ import annotations

import math


def step_decay(step: int, every: int, factor: float = 0.1) -> float:
    """Return ``factor ** (step // every)``: the rate is multiplied by ``factor`` after every ``every`` steps."""
    _check(step, every=every)
    return float(factor ** (step // every))


def cosine(step: int, steps: int, final: float = 0.0) -> float:
    """Return half a period of a cosine, from 1 at step 0 to ``final`` at ``steps`` and after.

    References
    ----------
    Loshchilov, Hutter: SGDR: stochastic gradient descent with warm restarts, ICLR 2017.
    """
    _check(step, steps=steps)
    return final + (1 - final) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2


def linear_warmup(step: int, steps: int) -> float:
    """Return ``(step + 1) / steps``, at most 1: already the first update changes the parameters.

    References
    ----------
    Goyal et al.: Accurate, large minibatch SGD: training ImageNet in 1 hour, arXiv:1706.02677, 2017.
    """
    _check(step, steps=steps)
    return min((step + 1) / steps, 1.0)


def _check(step: int, **lengths: int) -> None:
    if step < 0:
        raise ValueError(f"step={step!r}, expected at least 0, the first update")
    for name, length in lengths.items():
        if length < 1:
            raise ValueError(f"{name}={length!r}, expected at least 1 step")
