"""A small convolutional classifier as a list of layer objects (NCHW), with a loss class and an Adam class of their own."""

import numpy as np
import torch
from torch import nn

CLASSES, FILTERS, LR = 3, 5, 0.01
BATCH = {
    "images": {"shape": (4, 2, 8, 8), "dtype": "float", "low": -1.0, "high": 1.0},  # N, C, H, W
    "labels": {"shape": (4,), "dtype": "int64", "low": 0, "high": CLASSES},
}
FAULT = "layer Activation_ReLU, backward: the mask of the non-positive inputs is missing, so the gradient passes everywhere"


class Layer_Conv:
    """A convolution without padding, stride 1."""

    def __init__(self, channels: int, filters: int, size: int, rng: np.random.Generator, dtype: str) -> None:
        """Draw the weights as (filters, channels, size, size)."""
        self.weights = rng.normal(0, 0.3, (filters, channels, size, size)).astype(dtype)
        self.biases = rng.normal(0, 0.1, filters).astype(dtype)

    def forward(self, inputs: np.ndarray) -> None:
        """Slide the filters over the images."""
        self.inputs = inputs
        filters, _, k, _ = self.weights.shape
        n, _, height, width = inputs.shape
        self.output = np.zeros((n, filters, height - k + 1, width - k + 1), dtype=inputs.dtype)
        for i in range(height - k + 1):
            for j in range(width - k + 1):
                patch = inputs[:, :, i : i + k, j : j + k]
                self.output[:, :, i, j] = np.tensordot(patch, self.weights, axes=([1, 2, 3], [1, 2, 3])) + self.biases

    def backward(self, d_values: np.ndarray) -> None:
        """Add up the gradients window by window."""
        k = self.weights.shape[2]
        self.d_weights = np.zeros_like(self.weights)
        self.d_biases = d_values.sum(axis=(0, 2, 3))
        self.d_inputs = np.zeros_like(self.inputs)
        for i in range(d_values.shape[2]):
            for j in range(d_values.shape[3]):
                here = d_values[:, :, i, j]
                self.d_weights += np.tensordot(here, self.inputs[:, :, i : i + k, j : j + k], axes=(0, 0))
                self.d_inputs[:, :, i : i + k, j : j + k] += np.tensordot(here, self.weights, axes=(1, 0))


class Activation_ReLU:
    """ReLU."""

    def forward(self, inputs: np.ndarray) -> None:
        """Cut off the negative values."""
        self.inputs = inputs
        self.output = np.maximum(0, inputs)

    def backward(self, d_values: np.ndarray) -> None:
        """Let the gradient through where the input was positive."""
        self.d_inputs = d_values.copy()
        self.d_inputs[self.inputs <= 0] = 0


class Layer_MaxPool:
    """Max pooling over 2 x 2 windows that do not overlap."""

    def forward(self, inputs: np.ndarray) -> None:
        """Keep the largest value of each window and its place."""
        n, c, h, w = inputs.shape
        self.shape = inputs.shape
        windows = inputs.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)
        self.places = windows.argmax(axis=-1)[..., None]
        self.output = np.take_along_axis(windows, self.places, axis=-1)[..., 0]

    def backward(self, d_values: np.ndarray) -> None:
        """Send the gradient to the largest value only."""
        n, c, h, w = self.shape
        windows = np.zeros((n, c, h // 2, w // 2, 4), dtype=d_values.dtype)
        np.put_along_axis(windows, self.places, d_values[..., None], axis=-1)
        self.d_inputs = windows.reshape(n, c, h // 2, w // 2, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h, w)


class Layer_Dense:
    """A fully connected layer, which flattens what it gets."""

    def __init__(self, n_inputs: int, n_neurons: int, rng: np.random.Generator, dtype: str) -> None:
        """Draw the weights as (inputs, neurons); the biases are one row."""
        self.weights = rng.normal(0, 0.2, (n_inputs, n_neurons)).astype(dtype)
        self.biases = np.zeros((1, n_neurons), dtype=dtype)

    def forward(self, inputs: np.ndarray) -> None:
        """Multiply the flat inputs by the weights."""
        self.shape = inputs.shape
        self.inputs = inputs.reshape(len(inputs), -1)
        self.output = np.dot(self.inputs, self.weights) + self.biases

    def backward(self, d_values: np.ndarray) -> None:
        """Compute the gradients of weights, biases and inputs."""
        self.d_weights = np.dot(self.inputs.T, d_values)
        self.d_biases = np.sum(d_values, axis=0, keepdims=True)
        self.d_inputs = np.dot(d_values, self.weights.T).reshape(self.shape)


class Loss_SoftmaxCrossentropy:
    """Softmax and categorical cross-entropy in one."""

    def forward(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Return the mean loss and keep the probabilities."""
        exps = np.exp(logits - np.max(logits, axis=1, keepdims=True))
        self.output = exps / np.sum(exps, axis=1, keepdims=True)
        return float(np.mean(-np.log(self.output[range(len(labels)), labels])))

    def backward(self, labels: np.ndarray) -> None:
        """Compute the gradient for the logits."""
        self.d_inputs = self.output.copy()
        self.d_inputs[range(len(labels)), labels] -= 1
        self.d_inputs = self.d_inputs / len(labels)


class Optimizer_Adam:
    """Adam; it keeps its moments on the layers."""

    def __init__(self, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> None:
        """Keep the settings."""
        self.learning_rate, self.beta_1, self.beta_2, self.epsilon, self.iterations = learning_rate, beta_1, beta_2, epsilon, 0

    def update_params(self, layers: list) -> None:
        """Walk over the layers that have weights and update them."""
        self.iterations += 1
        for layer in (one for one in layers if hasattr(one, "weights")):
            for name in ("weights", "biases"):
                value, grad = getattr(layer, name), getattr(layer, "d_" + name)
                momentum = self.beta_1 * getattr(layer, name + "_momentums", 0) + (1 - self.beta_1) * grad
                cache = self.beta_2 * getattr(layer, name + "_cache", 0) + (1 - self.beta_2) * grad**2
                setattr(layer, name + "_momentums", momentum)
                setattr(layer, name + "_cache", cache)
                corrected = momentum / (1 - self.beta_1**self.iterations)
                value -= self.learning_rate * corrected / (np.sqrt(cache / (1 - self.beta_2**self.iterations)) + self.epsilon)


class Model:
    """The layers in order, their loss and their optimizer."""

    def __init__(self, dtype: str = "float64", activation: type = Activation_ReLU) -> None:
        """Build convolution, ReLU, pooling, dense."""
        rng = np.random.default_rng(2)
        self.layers = [Layer_Conv(2, FILTERS, 3, rng, dtype), activation(), Layer_MaxPool(), Layer_Dense(FILTERS * 9, CLASSES, rng, dtype)]
        self.loss, self.optimizer = Loss_SoftmaxCrossentropy(), Optimizer_Adam(LR)

    def train_on_batch(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Do one step and return the loss before it."""
        values = images
        for layer in self.layers:
            layer.forward(values)
            values = layer.output
        loss = self.loss.forward(values, labels)
        self.loss.backward(labels)
        d_values = self.loss.d_inputs
        for layer in reversed(self.layers):
            layer.backward(d_values)
            d_values = layer.d_inputs
        self.optimizer.update_params(self.layers)
        return loss


class Activation_ReLU_Unmasked(Activation_ReLU):
    """The wrong one (see FAULT)."""

    def backward(self, d_values: np.ndarray) -> None:
        """Pass the gradient on."""
        self.d_inputs = d_values.copy()


def torch_model() -> nn.Module:
    """Return the twin."""
    return nn.Sequential(nn.Conv2d(2, FILTERS, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(FILTERS * 9, CLASSES))


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy."""
    return nn.functional.cross_entropy(output, target)


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return Adam with the usual settings."""
    return torch.optim.Adam(params, lr=LR)


def make(dtype: str = "float64") -> Model:
    """Return a fresh right network."""
    return Model(dtype)


def make_wrong(dtype: str = "float64") -> Model:
    """Return a fresh network with the planted fault."""
    return Model(dtype, activation=Activation_ReLU_Unmasked)
