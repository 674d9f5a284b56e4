"""Error theories, one for each kind of operation: they bound its rounding errors and propagate errors of its inputs to its results."""

from crosscheck.oracles.theories.conditional import Where
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
    "Where",
    "sigmoid",
    "tanh",
]
