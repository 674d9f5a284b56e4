"""Adadelta, which has the longest update of all optimizers, with each parameter split among threads."""

from __future__ import annotations

import scratch.adadelta as plain
from scratch.fast.parallel import elementwise
from scratch.layer import Array


class Adadelta(plain.Adadelta):
    """The same as :class:`scratch.Adadelta`, which describes the rule and its settings."""

    def _move(self, param: Array, grad: Array, square_avg: Array, acc_delta: Array) -> None:
        elementwise(super()._move, param, grad, square_avg, acc_delta)
