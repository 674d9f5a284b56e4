"""crosscheck: says whether a hand-written neural network is right, where it is not, by how much, and most likely why.

The core knows no framework: it compares arrays, whoever computed them. Every tolerance follows from the theory of rounding errors in
:mod:`crosscheck.arithmetic`.
"""

__version__ = "0.1.0"
