"""crosscheck says whether a hand-written neural network is right, and if not, where, by how much, and most likely why.

Start with a pair of your code and its reference: :class:`Pair` for a layer or a loss, with the adapters :class:`Layer`, :class:`Dicts`,
:class:`Attributes` and :class:`Updating` for objects, :class:`Functions` and :class:`LossFunction` for functions; :class:`OptimizerPair` with
:class:`Holding`, :class:`Updater` or :class:`UpdateFunction`; :class:`ModelPair` with :class:`Network` or :class:`WholeStep`. :func:`check` returns
the verdict, and :func:`parametrize_with_checks` makes pytest tests. Inside an existing test, :func:`assert_close` compares one result. Saved scripts
of small cases call :func:`load` and :func:`reproduce`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from crosscheck.core import __version__ as __version__

if TYPE_CHECKING:
    from crosscheck.adapters.functions import Forward as Forward
    from crosscheck.adapters.functions import Functions as Functions
    from crosscheck.adapters.functions import LossFunction as LossFunction
    from crosscheck.adapters.layer_object import Layer as Layer
    from crosscheck.adapters.network import Network as Network
    from crosscheck.adapters.network import Part as Part
    from crosscheck.adapters.objects import Attributes as Attributes
    from crosscheck.adapters.objects import Dicts as Dicts
    from crosscheck.adapters.objects import Updating as Updating
    from crosscheck.adapters.optimizers import Holding as Holding
    from crosscheck.adapters.optimizers import UpdateFunction as UpdateFunction
    from crosscheck.adapters.optimizers import Updater as Updater
    from crosscheck.adapters.whole_step import WholeStep as WholeStep
    from crosscheck.checks import Settings as Settings
    from crosscheck.core.arguments import Input as Input
    from crosscheck.core.arguments import Integers as Integers
    from crosscheck.core.arguments import Labels as Labels
    from crosscheck.core.arguments import Mask as Mask
    from crosscheck.core.arguments import Target as Target
    from crosscheck.core.judge import Verdict as Verdict
    from crosscheck.core.operation import PairError as PairError
    from crosscheck.pairs.given_call import CannotJudgeError as CannotJudgeError
    from crosscheck.pairs.model_pair import ModelPair as ModelPair
    from crosscheck.pairs.optimizer_pair import OptimizerPair as OptimizerPair
    from crosscheck.pairs.pair import Pair as Pair
    from crosscheck.references.recorded.oracle import recorded as recorded
    from crosscheck.run.assert_close import assert_close as assert_close
    from crosscheck.run.assert_close import tolerance as tolerance
    from crosscheck.run.check import PairResult as PairResult
    from crosscheck.run.check import check as check
    from crosscheck.run.pytest_parametrize import parametrize_with_checks as parametrize_with_checks
    from crosscheck.shrinking.script import load as load
    from crosscheck.shrinking.script import reproduce as reproduce

_HOMES = {
    "Attributes": "adapters.objects",
    "CannotJudgeError": "pairs.given_call",
    "Dicts": "adapters.objects",
    "Forward": "adapters.functions",
    "Functions": "adapters.functions",
    "Holding": "adapters.optimizers",
    "Input": "core.arguments",
    "Integers": "core.arguments",
    "Labels": "core.arguments",
    "Layer": "adapters.layer_object",
    "LossFunction": "adapters.functions",
    "Mask": "core.arguments",
    "ModelPair": "pairs.model_pair",
    "Network": "adapters.network",
    "OptimizerPair": "pairs.optimizer_pair",
    "Pair": "pairs.pair",
    "PairError": "core.operation",
    "PairResult": "run.check",
    "Part": "adapters.network",
    "Settings": "checks",
    "Target": "core.arguments",
    "UpdateFunction": "adapters.optimizers",
    "Updater": "adapters.optimizers",
    "Updating": "adapters.objects",
    "Verdict": "core.judge",
    "WholeStep": "adapters.whole_step",
    "assert_close": "run.assert_close",
    "check": "run.check",
    "load": "shrinking.script",
    "parametrize_with_checks": "run.pytest_parametrize",
    "recorded": "references.recorded.oracle",
    "reproduce": "shrinking.script",
    "tolerance": "run.assert_close",
}
"""The module of each public name. It is imported on first use, so that test runs without pairs are not slowed down."""

__all__ = sorted(_HOMES)  # noqa: PLE0605 - a list of strings, made from the dict above


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, own = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), own or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Moved(ModuleType):
    """A module under its old name. Scripts of small cases saved by earlier versions import it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(_MOVED[self.__name__]), name)


_MOVED = {f"{__name__}.reproduction": f"{__name__}.shrinking.script", f"{__name__}.families": f"{__name__}.core.inputs"}
sys.modules.update({name: _Moved(name) for name in _MOVED})
