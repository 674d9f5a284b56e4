"""The error theory of each kind of operation: the bounds of its own rounding errors, and how errors of its inputs propagate to its results."""

from crosscheck.oracles.theories.elementwise import GELU, Elementwise, LeakyReLU, Scaling, sigmoid, tanh
from crosscheck.oracles.theories.linear import Average, Multilinear
from crosscheck.oracles.theories.losses import CrossEntropy, LogLikelihood, LogSoftmax, NegativeLogLikelihood, Softmax, SquaredError
from crosscheck.oracles.theories.measured import Measured
from crosscheck.oracles.theories.normalization import Normalization
from crosscheck.oracles.theories.selection import Keeping, Selection

__all__ = [
    "GELU",
    "Average",
    "CrossEntropy",
    "Elementwise",
    "Keeping",
    "LeakyReLU",
    "LogLikelihood",
    "LogSoftmax",
    "Measured",
    "Multilinear",
    "NegativeLogLikelihood",
    "Normalization",
    "Scaling",
    "Selection",
    "Softmax",
    "SquaredError",
    "sigmoid",
    "tanh",
]
