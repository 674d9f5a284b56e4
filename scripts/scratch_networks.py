"""Scratch networks by name, each with the training that is usual for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import scratch
from scratch.networks import tutorial


@dataclass(frozen=True)
class Recipe:
    """A network and how it is usually trained.

    Attributes
    ----------
    make : callable
        Gets the generator of the initial weights and a dtype, returns the network.
    optimizer : callable
        Gets the parameters that train and a learning rate, returns the optimizer.
    lr : float
    batch_size, epochs : int
    """

    make: Callable[[np.random.Generator, npt.DTypeLike], scratch.Sequential]
    optimizer: Callable[[dict[str, scratch.layer.Array], float], scratch.SGD]
    lr: float
    batch_size: int
    epochs: int


NETWORKS = {"tutorial": Recipe(tutorial, scratch.SGD, lr=0.005, batch_size=1, epochs=3)}
