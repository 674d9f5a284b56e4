"""A bag-of-words classifier: the mean of the word vectors of a text, then a linear layer; nested dicts, Adagrad."""

import numpy as np
import torch
from torch import nn

CONFIG = {"vocab_size": 15, "dim": 6, "n_labels": 4, "lr": 0.1, "eps": 1e-10}
BATCH = {
    "bags": {"shape": (5, 7), "dtype": "int64", "low": 0, "high": CONFIG["vocab_size"]},  # texts of 7 word ids, with repetitions
    "labels": {"shape": (5,), "dtype": "int64", "low": 0, "high": CONFIG["n_labels"]},
}
FAULT = "embedding backward: d_table[bags] += d keeps only one contribution for an id that occurs more than once (np.add.at adds them all)"


def init_params(config: dict, seed: int = 6) -> dict[str, dict[str, np.ndarray]]:
    """Draw the parameters; the linear weight is (labels, dim)."""
    rng = np.random.default_rng(seed)
    bound = 1 / np.sqrt(config["dim"])
    return {
        "embedding": {"weight": rng.normal(size=(config["vocab_size"], config["dim"]))},
        "linear": {
            "weight": rng.uniform(-bound, bound, size=(config["n_labels"], config["dim"])),
            "bias": rng.uniform(-bound, bound, size=config["n_labels"]),
        },
    }


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax over the last axis."""
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


class BagOfWordsClassifier:
    """Mean of embeddings, linear, cross-entropy."""

    def __init__(self, config: dict) -> None:
        """Set up parameters and Adagrad's sums of squares."""
        self.config = config
        self.params = init_params(config)
        self.sum_sq = {layer: {k: np.zeros_like(v) for k, v in d.items()} for layer, d in self.params.items()}

    def logits(self, bags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits and the mean vectors."""
        mean = self.params["embedding"]["weight"][bags].mean(axis=1)
        linear = self.params["linear"]
        return mean @ linear["weight"].T + linear["bias"], mean

    def embedding_grad(self, bags: np.ndarray, d_mean: np.ndarray) -> np.ndarray:
        """Spread the gradient of the means over the rows of the table."""
        d_table = np.zeros_like(self.params["embedding"]["weight"])
        d_words = np.repeat(d_mean[:, None, :] / bags.shape[1], bags.shape[1], axis=1)
        np.add.at(d_table, bags, d_words)
        return d_table

    def gradients(self, bags: np.ndarray, labels: np.ndarray) -> tuple[float, dict[str, dict[str, np.ndarray]]]:
        """Return the loss and the gradients in the parameters' structure."""
        logits, mean = self.logits(bags)
        logp = log_softmax(logits)
        rows = np.arange(len(labels))
        delta = np.exp(logp)
        delta[rows, labels] -= 1
        delta /= len(labels)
        grads = {
            "linear": {"weight": delta.T @ mean, "bias": delta.sum(axis=0)},
            "embedding": {"weight": self.embedding_grad(bags, delta @ self.params["linear"]["weight"])},
        }
        return -logp[rows, labels].mean(), grads

    def step(self, bags: np.ndarray, labels: np.ndarray) -> float:
        """Do one Adagrad step and return the loss before it."""
        loss, grads = self.gradients(bags, labels)
        for layer, entries in grads.items():
            for key, g in entries.items():
                self.sum_sq[layer][key] += g * g
                self.params[layer][key] -= self.config["lr"] * g / (np.sqrt(self.sum_sq[layer][key]) + self.config["eps"])
        return loss


class BagOfWordsClassifierFancy(BagOfWordsClassifier):
    """The wrong one (see FAULT)."""

    def embedding_grad(self, bags: np.ndarray, d_mean: np.ndarray) -> np.ndarray:
        """Spread the gradient of the means over the rows of the table."""
        d_table = np.zeros_like(self.params["embedding"]["weight"])
        d_table[bags] += d_mean[:, None, :] / bags.shape[1]
        return d_table


class TorchBag(nn.Module):
    """The twin."""

    def __init__(self) -> None:
        """Build the two layers."""
        super().__init__()
        self.embedding = nn.EmbeddingBag(CONFIG["vocab_size"], CONFIG["dim"], mode="mean")
        self.linear = nn.Linear(CONFIG["dim"], CONFIG["n_labels"])

    def forward(self, bags: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.linear(self.embedding(bags))


def torch_model() -> torch.nn.Module:
    """Return the twin."""
    return TorchBag()


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy."""
    return nn.functional.cross_entropy(output, target)


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return Adagrad."""
    return torch.optim.Adagrad(params, lr=CONFIG["lr"], eps=CONFIG["eps"])


def make(dtype: str = "float64") -> BagOfWordsClassifier:
    """Return a fresh right network (always float64)."""
    return BagOfWordsClassifier(CONFIG)


def make_wrong(dtype: str = "float64") -> BagOfWordsClassifier:
    """Return a fresh network with the planted fault."""
    return BagOfWordsClassifierFancy(CONFIG)
