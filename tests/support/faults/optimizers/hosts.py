"""The optimizers that faults are planted in, each beside its reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from crosscheck import OptimizerPair
from crosscheck.adapters.optimizers import Holding
from tests.support.faults.fault import Host, Kind
from tests.textbook.optimizers import SGD, Adadelta, Adam, AdamW, RMSprop


def _host(
    name: str, right: Kind, reference: Any, state: Mapping[str, str] | None = None, pair: Mapping[str, Any] | None = None, **settings: Any
) -> Host:
    """Return a host whose optimizer and reference have the same settings."""

    def make(kind: Kind) -> OptimizerPair:
        betas = {"betas": (settings["beta1"], settings["beta2"])} if "beta1" in settings else {}
        theirs = betas | {key: value for key, value in settings.items() if not key.startswith("beta")}
        return OptimizerPair(
            Holding(lambda params: kind(params, **settings)),
            lambda params: reference(params, **theirs),
            state=state or {},
            name=name,
            steps=5,
            **(pair or {}),
        )

    return Host(name, right, make)


BUFFERS = {"buffers": "momentum_buffer"}
MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}
ALIKE = {"shapes": {"first": (3, 4), "second": (3, 4)}}

PLAIN = _host("sgd", SGD, torch.optim.SGD, lr=0.1, weight_decay=0.01)
MOMENTUM = _host("momentum", SGD, torch.optim.SGD, BUFFERS, lr=0.1, momentum=0.8)
MOMENTUM_DECAY = _host("momentum with decay", SGD, torch.optim.SGD, lr=0.1, momentum=0.8, weight_decay=0.01)
MOMENTUM_OF_TWO = _host("momentum of two", SGD, torch.optim.SGD, None, ALIKE, lr=0.1, momentum=0.8)
DAMPENED = _host("dampened momentum", SGD, torch.optim.SGD, BUFFERS, lr=0.1, momentum=0.8, dampening=0.3)
NESTEROV = _host("nesterov", SGD, torch.optim.SGD, BUFFERS, lr=0.1, momentum=0.8, nesterov=True)
RMSPROP = _host("rmsprop", RMSprop, torch.optim.RMSprop, {"squares": "square_avg"}, lr=0.01, alpha=0.9, eps=1e-8)
CENTERED = _host("centered rmsprop", RMSprop, torch.optim.RMSprop, lr=0.01, alpha=0.9, eps=1e-8, centered=True)
ADADELTA = _host("adadelta", Adadelta, torch.optim.Adadelta, {"squares": "square_avg", "deltas": "acc_delta"}, lr=0.5, rho=0.9, eps=1e-6)
ADAM = _host("adam", Adam, torch.optim.Adam, MOMENTS, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8)
ADAM_UNSEEN = _host("adam without its state", Adam, torch.optim.Adam, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8)
ADAM_DECAY = _host("adam with decay", Adam, torch.optim.Adam, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.1)
ADAM_OF_TWO = _host("adam of two", Adam, torch.optim.Adam, None, ALIKE, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8)
ADAMW = _host("adamw", AdamW, torch.optim.AdamW, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.1)
