"""A two-layer GPT in NumPy: flat dict p of parameters and g of gradients, AdamW, clipping, cosine schedule (a port of a minimal GPT)."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

V, T, D, HEADS, LAYERS, FF = 11, 6, 8, 2, 2, 16
LR, LR_MIN, STEPS, DECAY, CLIP = 0.02, 0.002, 10, 0.1, 1.0
BATCH = {
    "idx": {"shape": (4, T), "dtype": "int64", "low": 0, "high": V},
    "targets": {"shape": (4, T), "dtype": "int64", "low": 0, "high": V},
}
FAULT = "tied embedding, backward: the gradient from the token lookup overwrites the one from the output layer instead of being added to it"
OTHER_FAULTS = {
    "clip": "update: each gradient is clipped by its own norm instead of the norm of all",
    "decay": "update: the weight decay is coupled (added to the gradient, L2) instead of decoupled",
    "schedule": "update: the cosine schedule is one step ahead (the first update uses step 1's learning rate)",
}


def gelu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return GELU (tanh form) and its derivative."""
    k = math.sqrt(2 / math.pi)
    t = np.tanh(k * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x**2)


def softmax(x: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class GPT:
    """Weights as (in, out); names as in 'h0.attn.w'; qkv_bias adds 'h0.attn.b' (its part for the keys has a gradient that is only rounding)."""

    def __init__(self, dtype: str = "float64", qkv_bias: bool = False, seed: int = 7) -> None:
        rng = np.random.default_rng(seed)
        shapes = {"wte": (V, D), "wpe": (T, D)}
        for i in range(LAYERS):
            shapes |= {
                f"h{i}.ln1.g": (D,),
                f"h{i}.ln1.b": (D,),
                f"h{i}.attn.w": (D, 3 * D),
                f"h{i}.proj.w": (D, D),
                f"h{i}.proj.b": (D,),
                f"h{i}.ln2.g": (D,),
                f"h{i}.ln2.b": (D,),
                f"h{i}.fc.w": (D, FF),
                f"h{i}.fc.b": (FF,),
                f"h{i}.out.w": (FF, D),
                f"h{i}.out.b": (D,),
            }
            shapes |= {f"h{i}.attn.b": (3 * D,)} if qkv_bias else {}
        shapes |= {"lnf.g": (D,), "lnf.b": (D,)}
        self.p = {k: (rng.normal(0, 0.3, s) + (1.0 if k.endswith(".g") else 0.0)).astype(dtype) for k, s in shapes.items()}
        self.g = {k: np.zeros_like(v) for k, v in self.p.items()}
        self.m, self.v = ({k: np.zeros_like(w) for k, w in self.p.items()} for _ in range(2))
        self.t = 0

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        """X w + b, where there is a b."""
        y = x @ self.p[name + ".w"]
        return y + self.p[name + ".b"] if name + ".b" in self.p else y

    def linear_back(self, dy: np.ndarray, x: np.ndarray, name: str) -> np.ndarray:
        """Set the layer's gradients, return dx."""
        self.g[name + ".w"] = np.einsum("bti,bto->io", x, dy)
        if name + ".b" in self.p:
            self.g[name + ".b"] = dy.sum((0, 1))
        return dy @ self.p[name + ".w"].T

    def norm(self, x: np.ndarray, name: str) -> tuple[np.ndarray, tuple]:
        """Layer norm; returns the output and its cache."""
        rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        xhat = (x - x.mean(-1, keepdims=True)) * rstd
        return xhat * self.p[name + ".g"] + self.p[name + ".b"], (xhat, rstd)

    def norm_back(self, dy: np.ndarray, cache: tuple, name: str) -> np.ndarray:
        """Set the norm's gradients, return dx."""
        xhat, rstd = cache
        self.g[name + ".g"], self.g[name + ".b"] = (dy * xhat).sum((0, 1)), dy.sum((0, 1))
        d = dy * self.p[name + ".g"]
        return rstd * (d - d.mean(-1, keepdims=True) - xhat * (d * xhat).mean(-1, keepdims=True))

    def attention(self, x: np.ndarray, h: str) -> tuple[np.ndarray, tuple]:
        """Causal self-attention."""
        B, t, _ = x.shape
        q, k, v = (a.reshape(B, t, HEADS, D // HEADS).swapaxes(1, 2) for a in np.split(self.linear(x, h + ".attn"), 3, axis=-1))
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(D // HEADS)
        att = softmax(np.where(np.tri(t, dtype=bool), scores, -np.inf))
        y = (att @ v).swapaxes(1, 2).reshape(B, t, D)
        return self.linear(y, h + ".proj"), (x, q, k, v, att, y)

    def attention_back(self, dout: np.ndarray, cache: tuple, h: str) -> np.ndarray:
        """Backward of attention."""
        x, q, k, v, att, y = cache
        B, t, _ = x.shape
        dy = self.linear_back(dout, y, h + ".proj").reshape(B, t, HEADS, -1).swapaxes(1, 2)
        datt = dy @ v.swapaxes(-1, -2)
        ds = att * (datt - (datt * att).sum(-1, keepdims=True)) / math.sqrt(D // HEADS)
        heads = (ds @ k, ds.swapaxes(-1, -2) @ q, att.swapaxes(-1, -2) @ dy)
        return self.linear_back(np.concatenate([a.swapaxes(1, 2).reshape(B, t, D) for a in heads], -1), x, h + ".attn")

    def backward_embedding(self, idx: np.ndarray, dx: np.ndarray) -> None:
        """Add the lookups' gradient to the one of the tied output layer."""
        np.add.at(self.g["wte"], idx, dx)

    def loss_and_backward(self, idx: np.ndarray, targets: np.ndarray) -> float:
        """Forward and backward; fills g and returns the loss."""
        x, tape = self.p["wte"][idx] + self.p["wpe"][: idx.shape[1]], []
        for h in [f"h{i}" for i in range(LAYERS)]:
            a, n1 = self.norm(x, h + ".ln1")
            a, att = self.attention(a, h)
            x = x + a
            b, n2 = self.norm(x, h + ".ln2")
            c, slope = gelu(self.linear(b, h + ".fc"))
            x = x + self.linear(c, h + ".out")
            tape.append((h, n1, att, n2, b, c, slope))
        f, nf = self.norm(x, "lnf")
        d = softmax(f @ self.p["wte"].T)
        picked = np.take_along_axis(d, targets[..., None], -1)
        np.put_along_axis(d, targets[..., None], picked - 1, -1)
        d /= targets.size
        self.g["wte"] = np.einsum("btv,btd->vd", d, f)
        dx = self.norm_back(d @ self.p["wte"], nf, "lnf")
        for h, n1, att, n2, b, c, slope in reversed(tape):
            db = self.linear_back(self.linear_back(dx, c, h + ".out") * slope, b, h + ".fc")
            dx = dx + self.norm_back(db, n2, h + ".ln2")
            dx = dx + self.norm_back(self.attention_back(dx, att, h), n1, h + ".ln1")
        self.g["wpe"] = dx.sum(0)
        self.backward_embedding(idx, dx)
        return float(-np.log(picked).mean())

    def clip(self) -> None:
        """Scale all gradients to a common norm of at most CLIP."""
        norm = math.sqrt(sum(float((g**2).sum()) for g in self.g.values()))
        self.g = {k: g * min(1.0, CLIP / (norm + 1e-6)) for k, g in self.g.items()}

    def learning_rate(self) -> float:
        """Cosine from LR to LR_MIN over STEPS."""
        return LR_MIN + 0.5 * (LR - LR_MIN) * (1 + math.cos(math.pi * self.t / STEPS))

    def decayed(self, w: np.ndarray, g: np.ndarray, lr: float) -> np.ndarray:
        """Apply the decoupled decay to a matrix; returns the gradient that Adam is to use."""
        w *= 1 - lr * DECAY
        return g

    def step(self) -> None:
        """AdamW; only matrices are decayed."""
        lr = self.learning_rate()
        self.t += 1
        for k, w in self.p.items():
            g = self.decayed(w, self.g[k], lr) if w.ndim >= 2 else self.g[k]
            self.m[k] = 0.9 * self.m[k] + 0.1 * g
            self.v[k] = 0.95 * self.v[k] + 0.05 * g * g
            w -= lr * self.m[k] / (1 - 0.9**self.t) / (np.sqrt(self.v[k] / (1 - 0.95**self.t)) + 1e-8)

    def train_batch(self, idx: np.ndarray, targets: np.ndarray) -> float:
        """One training step; returns the loss before it."""
        loss = self.loss_and_backward(idx, targets)
        self.clip()
        self.step()
        return loss


class UntiedGPT(GPT):
    """FAULT."""

    def backward_embedding(self, idx: np.ndarray, dx: np.ndarray) -> None:
        """Compute the embedding's gradient."""
        self.g["wte"] = np.zeros_like(self.p["wte"])
        np.add.at(self.g["wte"], idx, dx)


class EachClipGPT(GPT):
    """OTHER_FAULTS['clip']."""

    def clip(self) -> None:
        """Clip each gradient."""
        self.g = {k: g * min(1.0, CLIP / (float(np.linalg.norm(g)) + 1e-6)) for k, g in self.g.items()}


class CoupledGPT(GPT):
    """OTHER_FAULTS['decay']."""

    def decayed(self, w: np.ndarray, g: np.ndarray, lr: float) -> np.ndarray:
        """Return the gradient with the decay."""
        return g + DECAY * w


class AheadGPT(GPT):
    """OTHER_FAULTS['schedule']."""

    def learning_rate(self) -> float:
        """Cosine from LR to LR_MIN over STEPS."""
        return LR_MIN + 0.5 * (LR - LR_MIN) * (1 + math.cos(math.pi * (self.t + 1) / STEPS))


class Block(nn.Module):
    """One block of the twin."""

    def __init__(self, qkv_bias: bool) -> None:
        super().__init__()
        self.ln1, self.attn, self.proj = nn.LayerNorm(D), nn.Linear(D, 3 * D, bias=qkv_bias), nn.Linear(D, D)
        self.ln2, self.fc, self.out = nn.LayerNorm(D), nn.Linear(D, FF), nn.Linear(FF, D)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attention and MLP, each with its residual."""
        q, k, v = (a.unflatten(-1, (HEADS, -1)).transpose(1, 2) for a in self.attn(self.ln1(x)).chunk(3, dim=-1))
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class TorchGPT(nn.Module):
    """The twin."""

    def __init__(self, qkv_bias: bool) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, D), nn.Embedding(T, D)
        self.h, self.lnf = nn.ModuleList(Block(qkv_bias) for _ in range(LAYERS)), nn.LayerNorm(D)

    def forward(self, idx: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = self.wte(idx) + self.wpe.weight[: idx.shape[1]]
        for block in self.h:
            x = block(x)
        return self.lnf(x) @ self.wte.weight.T


def torch_model(qkv_bias: bool = False) -> torch.nn.Module:
    """Return the twin."""
    return TorchGPT(qkv_bias)


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over batch and time."""
    return F.cross_entropy(output.flatten(0, 1), target.flatten())


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return AdamW with decay for matrices only."""
    groups = [
        {"params": [p for p in params if p.ndim >= 2], "weight_decay": DECAY},
        {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.95), eps=1e-8)


def torch_schedule(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the cosine schedule, stepped after each update."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS, eta_min=LR_MIN)


def torch_clip(params: list[torch.Tensor]) -> None:
    """Clip the gradients to the common norm."""
    nn.utils.clip_grad_norm_(params, CLIP)


def make(dtype: str = "float64", qkv_bias: bool = False) -> GPT:
    """Return a fresh right network."""
    return GPT(dtype, qkv_bias)


def make_wrong(dtype: str = "float64", fault: str = "tied") -> GPT:
    """Return a fresh network with the planted fault, or with one of OTHER_FAULTS."""
    return {"tied": UntiedGPT, "clip": EachClipGPT, "decay": CoupledGPT, "schedule": AheadGPT}[fault](dtype)
