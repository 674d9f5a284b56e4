"""crosscheck: says whether a hand-written neural network is right, where it is not, by how much, and most likely why.

The core knows no framework: it compares arrays, whoever computed them. Every tolerance follows from the theory of rounding errors in
:mod:`crosscheck.arithmetic`.

Whoever has code to check begins with a pair: :class:`Pair` for a layer or a loss, with the adapters :class:`Dicts`, :class:`Attributes`,
:class:`Updating` for objects, :class:`Functions` and :class:`LossFunction` for functions; :class:`OptimizerPair` with :class:`Holding`,
:class:`Updater`, :class:`UpdateFunction`; :class:`ModelPair` with :class:`Network` or :class:`WholeStep`. :func:`check` returns the verdict,
:func:`parametrize_with_checks` makes tests.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crosscheck.adapters.functions import Functions, LossFunction
    from crosscheck.adapters.network import Network, Part
    from crosscheck.adapters.objects import Attributes, Dicts, Updating
    from crosscheck.adapters.optimizers import Holding, UpdateFunction, Updater
    from crosscheck.adapters.whole_step import WholeStep
    from crosscheck.checking import PairResult
    from crosscheck.checking import check_pair as check
    from crosscheck.checks import Settings
    from crosscheck.declaration import PairError
    from crosscheck.judgement import Verdict
    from crosscheck.model_pair import ModelPair
    from crosscheck.optimizer_pair import OptimizerPair
    from crosscheck.pair import Pair
    from crosscheck.parametrize import parametrize_with_checks
    from crosscheck.traces.oracle import recorded

__version__ = "0.1.0"

_HOMES = {
    "Attributes": "adapters.objects",
    "Dicts": "adapters.objects",
    "Functions": "adapters.functions",
    "Holding": "adapters.optimizers",
    "LossFunction": "adapters.functions",
    "ModelPair": "model_pair",
    "Network": "adapters.network",
    "OptimizerPair": "optimizer_pair",
    "Pair": "pair",
    "PairError": "declaration",
    "PairResult": "checking",
    "Part": "adapters.network",
    "Settings": "checks",
    "UpdateFunction": "adapters.optimizers",
    "Updater": "adapters.optimizers",
    "Updating": "adapters.objects",
    "Verdict": "judgement",
    "WholeStep": "adapters.whole_step",
    "check": "checking:check_pair",
    "parametrize_with_checks": "parametrize",
    "recorded": "traces.oracle",
}
"""Where each public name is defined: it is imported when it is first asked for, so that a test run that checks no pair pays for nothing."""

__all__ = [
    "Attributes",
    "Dicts",
    "Functions",
    "Holding",
    "LossFunction",
    "ModelPair",
    "Network",
    "OptimizerPair",
    "Pair",
    "PairError",
    "PairResult",
    "Part",
    "Settings",
    "UpdateFunction",
    "Updater",
    "Updating",
    "Verdict",
    "WholeStep",
    "check",
    "parametrize_with_checks",
    "recorded",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, own = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), own or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
