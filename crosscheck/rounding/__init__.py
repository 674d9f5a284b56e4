"""The error theory of each kind of operation: which sums it computes, and how errors of its inputs reach its results."""

from crosscheck.rounding.average import Average
from crosscheck.rounding.elementwise import GELU, Elementwise, LeakyReLU, Scaling, sigmoid, tanh
from crosscheck.rounding.loss import NegativeLogLikelihood, SquaredError
from crosscheck.rounding.measured import Measured
from crosscheck.rounding.multilinear import Multilinear
from crosscheck.rounding.normalization import Normalization
from crosscheck.rounding.selection import Keeping, Selection
from crosscheck.rounding.softmax import CrossEntropy, LogLikelihood, LogSoftmax, Softmax

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
