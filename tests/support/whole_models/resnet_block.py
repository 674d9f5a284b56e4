"""A residual block between a stem convolution and a linear head, channel-last (NHWC), trained by SGD with momentum."""

import numpy as np
import torch
from torch import nn

COLORS, WIDTH, INNER, CLASSES = 3, 6, 7, 5
BATCH = {
    "images": {"shape": (4, 5, 5, COLORS), "dtype": "float", "low": 0.0, "high": 1.0},  # N, H, W, C, also for the twin
    "labels": {"shape": (4,), "dtype": "int64", "low": 0, "high": CLASSES},
}
FAULT = "block, backward: the gradient that goes around the two convolutions by the skip connection is not added"


class Conv3x3:
    """A 3 x 3 convolution with zero padding; W is (3, 3, in, out)."""

    def __init__(self, c_in: int, c_out: int, rng: np.random.Generator) -> None:
        self.W = rng.standard_normal((3, 3, c_in, c_out)) * np.sqrt(2 / (9 * c_in))
        self.b = rng.standard_normal(c_out) * 0.1
        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Convolve; keeps the padded input."""
        n, h, w, _ = x.shape
        self.xp = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        out = np.zeros((n, h, w, self.W.shape[-1])) + self.b
        for i in range(3):
            for j in range(3):
                out += self.xp[:, i : i + h, j : j + w, :] @ self.W[i, j]
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        """Set dW and db, return dx."""
        _, h, w, _ = dout.shape
        dxp = np.zeros_like(self.xp)
        for i in range(3):
            for j in range(3):
                self.dW[i, j] = np.einsum("nhwc,nhwo->co", self.xp[:, i : i + h, j : j + w, :], dout)
                dxp[:, i : i + h, j : j + w, :] += dout @ self.W[i, j].T
        self.db = dout.sum((0, 1, 2))
        return dxp[:, 1:-1, 1:-1, :]


class Linear:
    """y = x W + b."""

    def __init__(self, n_in: int, n_out: int, rng: np.random.Generator) -> None:
        self.W = rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)
        self.b = np.zeros(n_out)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Apply the layer."""
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: np.ndarray) -> np.ndarray:
        """Set dW and db, return dx."""
        self.dW, self.db = self.x.T @ dout, dout.sum(0)
        return dout @ self.W.T


class ResNet:
    """Stem, one residual block, global average pool, head."""

    def __init__(self, seed: int = 3, lr: float = 0.05, momentum: float = 0.9) -> None:
        rng = np.random.default_rng(seed)
        self.stem = Conv3x3(COLORS, WIDTH, rng)
        self.conv1 = Conv3x3(WIDTH, INNER, rng)
        self.conv2 = Conv3x3(INNER, WIDTH, rng)
        self.fc = Linear(WIDTH, CLASSES, rng)
        self.lr, self.momentum = lr, momentum
        self.modules = [self.stem, self.conv1, self.conv2, self.fc]
        for m in self.modules:
            m.vW, m.vb = np.zeros_like(m.W), np.zeros_like(m.b)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the logits."""
        self.h0 = np.maximum(self.stem(x), 0)
        self.h1 = np.maximum(self.conv1(self.h0), 0)
        self.h2 = self.h0 + self.conv2(self.h1)
        return self.fc(self.h2.mean(axis=(1, 2)))

    def block_backward(self, dh2: np.ndarray) -> np.ndarray:
        """Go back through the residual block."""
        dh1 = self.conv2.backward(dh2) * (self.h1 > 0)
        return dh2 + self.conv1.backward(dh1)

    def backward(self, dlogits: np.ndarray) -> None:
        """Set all gradients."""
        _, h, w, _ = self.h2.shape
        dh2 = np.ones_like(self.h2) * self.fc.backward(dlogits)[:, None, None, :] / (h * w)
        self.stem.backward(self.block_backward(dh2) * (self.h0 > 0))

    def step(self) -> None:
        """Update with momentum."""
        for m in self.modules:
            m.vW, m.vb = self.momentum * m.vW + m.dW, self.momentum * m.vb + m.db
            m.W, m.b = m.W - self.lr * m.vW, m.b - self.lr * m.vb

    def fit_batch(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Do one training step; returns the loss before it."""
        logits = self.forward(images)
        logp = logits - logits.max(1, keepdims=True)
        logp -= np.log(np.exp(logp).sum(1, keepdims=True))
        onehot = np.eye(CLASSES)[labels]
        self.backward((np.exp(logp) - onehot) / len(labels))
        self.step()
        return -(onehot * logp).sum() / len(labels)


class ResNetNoSkipGrad(ResNet):
    """The wrong one (see FAULT)."""

    def block_backward(self, dh2: np.ndarray) -> np.ndarray:
        """Go back through the two convolutions."""
        dh1 = self.conv2.backward(dh2) * (self.h1 > 0)
        return self.conv1.backward(dh1)


class TorchResNet(nn.Module):
    """The twin; it takes NHWC images too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(COLORS, WIDTH, 3, padding=1)
        self.conv1 = nn.Conv2d(WIDTH, INNER, 3, padding=1)
        self.conv2 = nn.Conv2d(INNER, WIDTH, 3, padding=1)
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        h = torch.relu(self.stem(x.permute(0, 3, 1, 2)))
        h = h + self.conv2(torch.relu(self.conv1(h)))
        return self.fc(h.mean(dim=(2, 3)))


def torch_model() -> torch.nn.Module:
    """Return the twin."""
    return TorchResNet()


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy."""
    return nn.functional.cross_entropy(output, target)


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return SGD with momentum."""
    return torch.optim.SGD(params, lr=0.05, momentum=0.9)


def make(dtype: str = "float64") -> ResNet:
    """Return a fresh right network (always float64)."""
    return ResNet()


def make_wrong(dtype: str = "float64") -> ResNet:
    """Return a fresh network with the planted fault."""
    return ResNetNoSkipGrad()
