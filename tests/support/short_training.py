"""A training of three steps beside PyTorch, and what its caller knows about it."""

from __future__ import annotations

import math

import numpy as np
from training.run import Plan
from training.subjects import Choice, chosen

from crosscheck.training.facts import RunFacts, SideTest
from crosscheck.training.listened import TrainingComparison
from crosscheck.training.record import Means
from tests.support import networks

STEPS = 3


def trained(subject: str) -> TrainingComparison:
    twins = chosen(Choice(subject, "tutorial", ["torch"], np.float64, 0.005, None, 1), np.random.default_rng(0))
    return networks.trained(twins, Plan(np.dtype(np.float64), 1, STEPS, 1, 2, 0))


def run_facts(name: str = "the subject") -> RunFacts:
    """Return what a caller knows about that run, with one name put wherever a text can stand."""
    image = {"pixels": [[0, 255], [255, 0]], "label": 3, "subject": 5, "reference": 3}
    return RunFacts(
        subject=name,
        reference=name,
        settings={"out": name},
        environment={"blas": {name: name}, "seed": name},
        steps_asked=STEPS,
        checks_asked=STEPS,
        command=name,
        without_steps=name,
        losses=Means([(2.3, 2.3), (math.nan, 2.2), (math.inf, 2.1)], filled=1),
        test={"subject": SideTest(math.nan, 0.1), "reference": SideTest(2.3, 0.2)},
        predictions_differing=1,
        images=[image],
    )
