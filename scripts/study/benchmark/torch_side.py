"""PyTorch's side of the benchmark: the usual training loop over a ``torch.nn.Sequential``, eager and compiled."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from digits.batches import Labels
from torch import nn

import scratch
from crosscheck.core.precision import Array
from crosscheck.references.pytorch.training import optimizer
from reference import pytorch
from reference.copying import layouts_of, settings_of
from study.benchmark.sides import EachStep, Images, Masks, MissingError, Workload


class TorchSide(EachStep):
    """PyTorch's usual training loop, with modules, loss and optimizer."""

    def __init__(self, workload: Workload) -> None:
        training = workload.training()
        self.layers = training.model.layers
        self.loss, self.layouts = pytorch.twin(training.loss), layouts_of(self.layers)
        # A dropout's twin takes a mask as input; here PyTorch draws the mask itself.
        own = {name: nn.Dropout(layer.p) for name, layer in self.layers.items() if isinstance(layer, scratch.Dropout)}
        twins = {name: pytorch.twin(layer) for name, layer in self.layers.items()}
        self.model = nn.Sequential(OrderedDict({**twins, **own})).float()
        self._load(training.model.params)
        self.optimizer = optimizer(settings_of(training.optimizer), list(self.model.parameters()))
        self.forward = self._forward
        self.drops = bool(own)
        torch.manual_seed(workload.seed)

    def _forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self.loss(self.model(images[:, None].float() / 255 - 0.5), labels)
        return loss

    def step(self, images: Images, labels: Labels) -> float:
        """Do one training step and return its loss."""
        self.optimizer.zero_grad()
        loss = self.forward(torch.from_numpy(images), torch.from_numpy(labels))
        loss.backward()
        self.optimizer.step()
        value: float = loss.item()
        return value

    def observed(self, images: Images, labels: Labels) -> tuple[float, Masks]:
        """Do one training step; return its loss and its dropout masks, which PyTorch draws again from the same random state."""
        before = torch.get_rng_state()
        loss = self.step(images, labels)
        after = torch.get_rng_state()
        torch.set_rng_state(before)
        masks = self._drawn(torch.from_numpy(images)[:, None].float())
        torch.set_rng_state(after)
        return loss, masks

    def _drawn(self, value: torch.Tensor) -> Masks:
        found: dict[str, Any] = {}
        with torch.no_grad():
            for name, module in self.model.named_children() if self.drops else ():
                if isinstance(module, nn.Dropout):
                    found[name] = self.mask(module, value).numpy()
                else:
                    value = module(value)
        return found

    def mask(self, dropout: nn.Dropout, x: torch.Tensor) -> torch.Tensor:
        """Return the mask that a dropout would draw for ``x`` now."""
        kept: torch.Tensor = dropout(torch.ones_like(x)) != 0
        return kept

    def params(self) -> dict[str, Array]:
        """Return copies of the parameters in scratch's layouts."""
        return {
            f"{layer}.{ours}": np.array(p.layout.to_subject(self._parameter(layer, p.name).detach().numpy()))
            for layer, layout in self.layouts.items()
            for ours, p in layout.params.items()
        }

    def _load(self, params: dict[str, Array]) -> None:
        with torch.no_grad():
            for layer, layout in self.layouts.items():
                for ours, p in layout.params.items():
                    self._parameter(layer, p.name).copy_(torch.from_numpy(p.layout.to_reference(params[f"{layer}.{ours}"])))

    def _parameter(self, layer: str, name: str) -> Any:
        return self.model.get_submodule(layer).get_parameter(name)


class CompiledSide(TorchSide):
    """PyTorch's training loop with forward pass, loss and backward pass compiled by ``torch.compile``."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        # Compiled code then draws the same random numbers as eager code, so that the masks can be drawn again.
        torch._inductor.config.fallback_random = True
        torch._dynamo.reset()
        self.forward = torch.compile(self._forward, dynamic=False)
        try:
            state = torch.get_rng_state()
            pixels = torch.zeros((workload.batch, 28, 28), dtype=torch.uint8)
            self.forward(pixels, torch.zeros(workload.batch, dtype=torch.int64)).backward()
            torch.set_rng_state(state)
        except Exception as error:
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise MissingError(f"torch.compile does not work here: {words[0]}") from error

    def mask(self, dropout: nn.Dropout, x: torch.Tensor) -> torch.Tensor:
        """Return the mask that a dropout would draw for ``x`` now; compiled code calls another function to draw it."""
        kept: torch.Tensor = torch.native_dropout(x, dropout.p, train=True)[1]
        return kept
