"""Activations: functions of each number by itself, softmax and its logarithm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import nn

from crosscheck import Functions, Pair
from tests.support.functions.row import Array, Fault, Row


def relu(x: Array) -> tuple[Array, Any]:
    return np.maximum(x, 0), x


def relu_backward(grad: Array, x: Array) -> Array:
    return np.where(x > 0, grad, 0)


def relu_backward_at_zero(grad: Array, x: Array) -> Array:
    """Give zero the gradient, too."""
    return np.where(x >= 0, grad, 0)


def leaky_relu(x: Array, slope: float = 0.01) -> tuple[Array, Any]:
    return np.where(x > 0, x, slope * x), (x, slope)


def leaky_relu_backward(grad: Array, cache: Any) -> Array:
    x, slope = cache
    return np.where(x > 0, grad, slope * grad)


def leaky_relu_backward_plain(grad: Array, cache: Any) -> Array:
    """Forget the slope, as if this were a ReLU."""
    return np.where(cache[0] > 0, grad, 0)


def logistic(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) without an overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def sigmoid(x: Array) -> tuple[Array, Any]:
    y = logistic(x)
    return y, y


def sigmoid_backward(grad: Array, y: Array) -> Array:
    return grad * y * (1 - y)


def sigmoid_backward_twice(grad: Array, y: Array) -> Array:
    """Take the sigmoid of what is its output already."""
    return grad * logistic(y) * (1 - logistic(y))


def tanh(x: Array) -> tuple[Array, Any]:
    y = np.tanh(x)
    return y, y


def tanh_backward(grad: Array, y: Array) -> Array:
    return grad * (1 - y * y)


def tanh_backward_not_squared(grad: Array, y: Array) -> Array:
    """Forget the square."""
    return grad * (1 - y)


def softmax(x: Array) -> tuple[Array, Any]:
    small = np.exp(x - x.max(axis=1, keepdims=True))
    y = small / small.sum(axis=1, keepdims=True)
    return y, y


def softmax_backward(grad: Array, y: Array) -> Array:
    return y * (grad - (grad * y).sum(axis=1, keepdims=True))


def softmax_backward_diagonal(grad: Array, y: Array) -> Array:
    """Take the diagonal of the Jacobian alone, as for a sigmoid."""
    return grad * y * (1 - y)


def log_softmax(x: Array) -> tuple[Array, Any]:
    shifted = x - x.max(axis=1, keepdims=True)
    y = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return y, y


def log_softmax_backward(grad: Array, y: Array) -> Array:
    return grad - np.exp(y) * grad.sum(axis=1, keepdims=True)


def log_softmax_backward_of_a_loss(grad: Array, y: Array) -> Array:
    """Take the gradients to sum to 1, as those of a cross-entropy do."""
    return grad - np.exp(y)


def swish(x: Array) -> tuple[Array, Any]:
    gate = logistic(x)
    return x * gate, (x, gate)


def swish_backward(grad: Array, cache: Any) -> Array:
    x, gate = cache
    return grad * (gate + x * gate * (1 - gate))


def swish_backward_fixed_gate(grad: Array, cache: Any) -> Array:
    """Forget that the gate depends on the input."""
    return grad * cache[1]


def error_function(x: Array) -> Array:
    """Return the error function, which NumPy lacks, number by number."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), x.dtype)


def gelu(x: Array) -> tuple[Array, Any]:
    below = (1 + error_function(x / math.sqrt(2))) / 2
    return x * below, (x, below)


def gelu_backward(grad: Array, cache: Any) -> Array:
    x, below = cache
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return grad * (below + x * density)


def gelu_wide(x: Array) -> tuple[Array, Any]:
    """Forget the root of 2 in the error function."""
    below = (1 + error_function(x)) / 2
    return x * below, (x, below)


def new_gelu(x: Array) -> tuple[Array, Any]:
    bent = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    return x * (1 + bent) / 2, (x, bent)


def new_gelu_backward(grad: Array, cache: Any) -> Array:
    x, bent = cache
    inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return grad * ((1 + bent) / 2 + x * (1 - bent * bent) * inner / 2)


def new_gelu_backward_cubic(grad: Array, cache: Any) -> Array:
    """Forget the 3 in the derivative of the cube."""
    x, bent = cache
    inner = math.sqrt(2 / math.pi) * (1 + 0.044715 * x * x)
    return grad * ((1 + bent) / 2 + x * (1 - bent * bent) * inner / 2)


ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805


def selu(x: Array) -> tuple[Array, Any]:
    return SCALE * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0))), x


def selu_backward(grad: Array, x: Array) -> Array:
    return grad * SCALE * np.where(x > 0, 1, ALPHA * np.exp(np.minimum(x, 0)))


def selu_backward_half_scaled(grad: Array, x: Array) -> Array:
    """Scale positive numbers alone."""
    return grad * np.where(x > 0, x.dtype.type(SCALE), ALPHA * np.exp(np.minimum(x, 0)))


def hard_sigmoid(x: Array) -> tuple[Array, Any]:
    return np.clip(x + 3, 0, 6) / 6, x


def hard_sigmoid_backward(grad: Array, x: Array) -> Array:
    return np.where(np.abs(x) < 3, grad / 6, 0)


def hard_sigmoid_steep(x: Array) -> tuple[Array, Any]:
    """Use the slope of 0.2 that older versions of Keras have."""
    return np.clip(0.2 * x + 0.5, 0, 1), x


def softplus(x: Array, threshold: float = 20.0) -> tuple[Array, Any]:
    return np.where(x > threshold, x, np.log1p(np.exp(np.minimum(x, threshold)))), (x, threshold)


def softplus_backward(grad: Array, cache: Any) -> Array:
    x, threshold = cache
    return np.where(x > threshold, grad, grad * logistic(x))


def softplus_overflowing(x: Array, threshold: float = 20.0) -> tuple[Array, Any]:
    """Take the exponentials of large numbers."""
    return np.log(1 + np.exp(x)), (x, threshold)


def softsign(x: Array) -> tuple[Array, Any]:
    return x / (1 + np.abs(x)), x


def softsign_backward(grad: Array, x: Array) -> Array:
    return grad / (1 + np.abs(x)) ** 2


def softsign_backward_not_squared(grad: Array, x: Array) -> Array:
    """Forget the square."""
    return grad / (1 + np.abs(x))


def elu(x: Array, alpha: float = 1.0) -> tuple[Array, Any]:
    y = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
    return y, (y, alpha)


def elu_backward(grad: Array, cache: Any) -> Array:
    y, alpha = cache
    return np.where(y > 0, grad, grad * (y + alpha))


def elu_backward_of_output(grad: Array, cache: Any) -> Array:
    """Take the output for its derivative."""
    return np.where(cache[0] > 0, grad, grad * cache[0])


def hard_tanh(x: Array) -> tuple[Array, Any]:
    return np.clip(x, -1, 1), x


def hard_tanh_backward(grad: Array, x: Array) -> Array:
    return np.where(np.abs(x) < 1, grad, 0)


def hard_tanh_backward_at_borders(grad: Array, x: Array) -> Array:
    """Give the borders the gradient, too."""
    return np.where(np.abs(x) <= 1, grad, 0)


ROWS = {
    "ReLU": Row(Pair(Functions(relu, relu_backward), nn.ReLU(), [(4, 9)]), Fault("grad_input", "kinks", backward=relu_backward_at_zero)),
    "LeakyReLU": Row(
        Pair(Functions(leaky_relu, leaky_relu_backward), nn.LeakyReLU(), [(4, 9)]), Fault("grad_input", backward=leaky_relu_backward_plain)
    ),
    "Sigmoid": Row(Pair(Functions(sigmoid, sigmoid_backward), nn.Sigmoid(), [(4, 9)]), Fault("grad_input", backward=sigmoid_backward_twice)),
    "Tanh": Row(Pair(Functions(tanh, tanh_backward), nn.Tanh(), [(4, 9)]), Fault("grad_input", backward=tanh_backward_not_squared)),
    "Softmax": Row(Pair(Functions(softmax, softmax_backward), nn.Softmax(1), [(4, 9)]), Fault("grad_input", backward=softmax_backward_diagonal)),
    "LogSoftmax": Row(
        Pair(Functions(log_softmax, log_softmax_backward), nn.LogSoftmax(1), [(4, 9)]),
        Fault("grad_input", backward=log_softmax_backward_of_a_loss),
    ),
    "Swish": Row(Pair(Functions(swish, swish_backward), nn.SiLU(), [(4, 9)]), Fault("grad_input", backward=swish_backward_fixed_gate)),
    "GELU": Row(Pair(Functions(gelu, gelu_backward), nn.GELU(), [(4, 9)]), Fault("output", forward=gelu_wide)),
    "GELU by tanh": Row(
        Pair(Functions(new_gelu, new_gelu_backward), nn.GELU("tanh"), [(4, 9)]), Fault("grad_input", backward=new_gelu_backward_cubic)
    ),
    "SELU": Row(Pair(Functions(selu, selu_backward), nn.SELU(), [(4, 9)]), Fault("grad_input", backward=selu_backward_half_scaled)),
    "HardSigmoid": Row(Pair(Functions(hard_sigmoid, hard_sigmoid_backward), nn.Hardsigmoid(), [(4, 9)]), Fault("output", forward=hard_sigmoid_steep)),
    "Softplus": Row(Pair(Functions(softplus, softplus_backward), nn.Softplus(), [(4, 9)]), Fault("output", "large", forward=softplus_overflowing)),
    "Softsign": Row(
        Pair(Functions(softsign, softsign_backward), nn.Softsign(), [(4, 9)]), Fault("grad_input", backward=softsign_backward_not_squared)
    ),
    "ELU": Row(Pair(Functions(elu, elu_backward), nn.ELU(), [(4, 9)]), Fault("grad_input", backward=elu_backward_of_output)),
    "HardTanh": Row(
        Pair(Functions(hard_tanh, hard_tanh_backward), nn.Hardtanh(), [(4, 9)]),
        Fault("grad_input", "ties", backward=hard_tanh_backward_at_borders),
    ),
}
