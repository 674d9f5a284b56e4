"""crosscheck: says whether a hand-written neural network is right, where it is not, by how much, and most likely why.

The core knows no framework: it compares arrays, whoever computed them. Every tolerance follows from the theory of rounding errors in
:mod:`crosscheck.arithmetic`.

Whoever has code to check needs five names: :class:`Pair`, and the adapters :class:`Dicts`, :class:`Attributes`, :class:`Updating` for objects,
:class:`Functions` and :class:`LossFunction` for functions. :func:`check` returns the verdict.
"""

from crosscheck.adapters.functions import Functions, LossFunction
from crosscheck.adapters.objects import Attributes, Dicts, Updating
from crosscheck.checking import PairResult
from crosscheck.checking import check_pair as check
from crosscheck.checks import Settings
from crosscheck.judgement import Verdict
from crosscheck.pair import Pair, PairError

__all__ = ["Attributes", "Dicts", "Functions", "LossFunction", "Pair", "PairError", "PairResult", "Settings", "Updating", "Verdict", "check"]

__version__ = "0.1.0"
