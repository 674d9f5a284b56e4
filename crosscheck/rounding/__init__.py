"""The error theory of each kind of operation: which sums it computes, and how errors of its inputs reach its results."""

from crosscheck.rounding.average import Average
from crosscheck.rounding.measured import Measured
from crosscheck.rounding.multilinear import Multilinear
from crosscheck.rounding.selection import Selection
from crosscheck.rounding.softmax import CrossEntropy, LogLikelihood, Softmax

__all__ = ["Average", "CrossEntropy", "LogLikelihood", "Measured", "Multilinear", "Selection", "Softmax"]
