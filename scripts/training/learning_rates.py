"""Learning rates that change in a run: for each name, the factor of a step as a pure function of the step and of how many there are in the run.

Steps count from 0, the first update. So a run that goes on after an interruption needs no state to have the rates that it would have had.
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
"""By a tenth after each third of the run; along half a cosine down to 0 at its end; the same, but rising over the first twentieth."""
