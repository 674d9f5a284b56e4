"""Outputs and losses of a network on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from digits.batches import Images, Labels

TEST_BATCH = 250


def outputs(predict: Callable[[Images], Images], images: Images) -> npt.NDArray[np.float64]:
    """Return a network's outputs, ``(images, classes)``, computed in batches that fit into memory."""
    return np.concatenate([predict(images[at : at + TEST_BATCH]) for at in range(0, len(images), TEST_BATCH)]).astype(np.float64)


def negative_log_likelihood(outputs: npt.NDArray[np.float64], labels: Labels, probabilities: bool) -> npt.NDArray[np.float64]:
    """Return each image's loss from a network's outputs, which are probabilities or logits."""
    own = outputs[np.arange(len(labels)), labels]
    if probabilities:
        with np.errstate(divide="ignore"):  # a probability that underflowed has an infinite loss
            return np.asarray(-np.log(own))
    largest = outputs.max(axis=1)
    return np.asarray(largest + np.log(np.exp(outputs - largest[:, None]).sum(axis=1)) - own)
