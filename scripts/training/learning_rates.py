"""Learning rates that change during a run: each schedule is a function of the step and the number of steps, and returns the rate's factor.

Steps count from 0, the first update. A resumed run needs no saved state to continue with the right rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scratch.schedule import cosine, linear_warmup, step_decay

SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": lambda step, steps: 1.0,
    "step": lambda step, steps: step_decay(step, every=math.ceil(steps / 3)),
    "cosine": cosine,
    "warmup-cosine": lambda step, steps: linear_warmup(step, math.ceil(steps / 20)) * cosine(step, steps),
}
"""Constant; divided by 10 after each third of the run; half a cosine down to 0; half a cosine times a linear rise over the first twentieth."""
