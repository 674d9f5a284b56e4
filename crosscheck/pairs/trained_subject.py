"""The subject of a pair of models: how a new network is made and trained, where its arrays are, and which array of the reference each of them is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crosscheck.adapters.convention import title_of
from crosscheck.adapters.layout import Layout, LayoutError, Parameter
from crosscheck.adapters.match_network import match_network, match_statistics
from crosscheck.adapters.network_listened import TracedNetwork
from crosscheck.adapters.recognise_network import as_whole_step
from crosscheck.adapters.whole_network import Places, WholeNetwork, places_in, shapes_in
from crosscheck.adapters.whole_step import WholeStep
from crosscheck.core.arguments import Case, Input, Labels
from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.operation import Arrays, Shape
from crosscheck.pairs.cases import by_name
from crosscheck.pairs.model_pair import ModelPair

Batch = dict[str, npt.NDArray[Any]]
"""The arrays of a batch by name; the last is the target."""


class FirstStep(NamedTuple):
    """What a first training step returns and does.

    Attributes
    ----------
    loss : float or None
        None if the step returns none.
    changes : dict of str to array
        How much the parameters change, by the reference's names.
    """

    loss: float | None
    changes: Arrays


@dataclass(frozen=True)
class TrainedSubject:
    """A subject that does whole training steps.

    Attributes
    ----------
    case : Case
        The arrays of a batch.
    places : Places
        Where the arrays of every network are that the pair's factory makes.
    params, buffers : mapping of str to Parameter
        Parameters and running statistics by the subject's names.
    """

    pair: ModelPair
    case: Case
    places: Places
    params: Mapping[str, Parameter]
    buffers: Mapping[str, Parameter]

    def made(self, dtype: str, start: Arrays) -> WholeNetwork:
        """Return a new network with the given parameters by the reference's names.

        Raises
        ------
        SubjectError
            If the factory raises, or the network has another precision or does not keep the parameters.
        """
        network = WholeNetwork(_declared(self.pair, self.case, dtype), self.places, self.params, self.buffers, layouts_of(self.pair, self.case))
        before = network.params
        if takes_dtype(self.pair) and (wrong := next((name for name, value in before.items() if value.dtype != dtype), "")):
            raise SubjectError(f"for {dtype} the network's {wrong} is {before[wrong].dtype} {before[wrong].shape}, expected {dtype}")
        load_kept(network, start)
        return network

    def keeps(self, dtype: str, start: Arrays, batch: Batch) -> bool:
        """Return whether the subject computes in a precision that its factory does not know of: parameters set in it keep it, and so do gradients."""
        try:
            network = self.made(dtype, start)
            network.train(network.arguments(batch), np.dtype(dtype))
            predicted = [network.predict(batch, np.dtype(dtype))] if network.predicts else []
            shown = [*network.params.values(), *network.grads(np.dtype(dtype)).values(), *predicted]
            return all(value.dtype.kind in "iu" or value.dtype == dtype for value in shown)
        except SubjectError:
            return False

    def first_step(self, dtype: str, start: Arrays, batch: Batch) -> FirstStep:
        """Return what a first step does; nothing if it fails."""
        try:
            network = self.made(dtype, start)
            loss = network.train(network.arguments(batch), np.dtype(dtype))
            changes = {name: value.astype(np.float64) - start[name] for name, value in network.params.items()}
        except SubjectError:
            return FirstStep(None, {})
        return FirstStep(None if loss is None else float(loss), changes)


def load_kept(network: WholeNetwork | TracedNetwork, start: Arrays) -> None:
    """Write parameters into a network; raise :class:`SubjectError` if it does not keep them."""
    network.load(start)
    for name, value in network.params.items():
        if not np.array_equal(value, start[name]):
            raise SubjectError(f"values written into the array of {name} are lost; params must return the arrays themselves, not copies")


def trained_subject(
    pair: ModelPair,
    case: Case,
    params: Mapping[str, Shape],
    buffers: Mapping[str, Shape],
    batch: Batch,
    first_step: Callable[[TrainedSubject], tuple[FirstStep, FirstStep]],
) -> tuple[TrainedSubject, list[str]]:
    """Return the subject of a pair, and sentences that say what was inferred.

    Parameters
    ----------
    params, buffers : mapping of str to tuple of int
        The shapes of the reference's parameters and running statistics.
    batch : dict of str to array
        A batch.
    first_step : callable
        Returns what a step on the batch does, the subject's and the reference's. It decides among several ways.

    Raises
    ------
    ConventionError, MappingError, LayoutError
        If the subject does not fit.
    """
    dtype = first_dtype(pair)
    declared, trained = (_declared(pair, case, dtype) for _ in range(2))
    blank = WholeNetwork(trained, Places({}, {}), {}, {}, layouts_of(pair, case))
    try:
        arguments = blank.arguments(batch)
    except LayoutError as error:
        raise pair.error(f"input: {error}") from error
    with suppress(SubjectError):  # it will be reported by the checks
        blank.train(arguments, np.dtype(dtype))
    places = places_in(declared, trained, len(params))
    own, statistics = shapes_in(declared, places)
    absent = [name for name in params if name in pair.frozen]
    known = match_statistics(statistics, buffers, declared.buffer_names)
    ways = [TrainedSubject(pair, case, places, way, known) for way in match_network(own, params, declared.names, declared.sizes, absent)]
    chosen, found_by = _decided(ways, first_step, float(np.sqrt(np.finfo(dtype).eps)))
    words = [f"{title_of(declared.step)} does a training step", *_inferred(chosen.params, declared.names), *_inferred(known, declared.buffer_names)]
    if found_by:
        same = _partners(chosen) == _partners(ways[0])
        words += [f"{'the order of axes' if same else 'which is which of the parameters'} of equal length was found by {found_by} of a first step"]
    return chosen, words


def _decided(
    ways: Sequence[TrainedSubject], first_step: Callable[[TrainedSubject], tuple[FirstStep, FirstStep]], precision: float
) -> tuple[TrainedSubject, str]:
    """Return the way whose first step agrees with the reference's, and what shows it: the loss or, without one, the most updates.

    Numbers that differ by less than ``precision``, relative to their size, are equal. Where nothing agrees, the first way is returned.
    """
    best, most = ways[0], 0
    for way in ways if len(ways) > 1 else []:
        found, expected = first_step(way)
        if found.loss is not None and expected.loss is not None:
            if abs(found.loss - expected.loss) <= precision * abs(expected.loss):
                return way, "the loss"
            continue
        changes = [(found.changes[name], value) for name, value in expected.changes.items() if name in found.changes and value.any()]
        agreeing = sum(bool(np.linalg.norm(own - value) <= precision * np.linalg.norm(value)) for own, value in changes)
        if agreeing > most:
            best, most = way, agreeing
    return best, "the updates" if most else ""


def _partners(way: TrainedSubject) -> dict[str, str]:
    return {name: parameter.name for name, parameter in way.params.items()}


def _inferred(params: Mapping[str, Parameter], declared: Iterable[str]) -> list[str]:
    found = {name: parameter for name, parameter in params.items() if name not in declared}
    return [f"{name} is {own.name}: {own.layout.pattern}" if own.layout.pattern else f"{name} is {own.name}" for name, own in found.items()]


def case_of(pair: ModelPair) -> Case:
    """Return the arrays of a batch: as declared by name, or an input of the declared shape and labels."""
    if pair.inputs:
        return by_name(pair)
    return Case({"input": Input(pair.shape), "labels": Labels(pair.shape[:1], below=pair.classes)}, {})


def batch_of(pair: ModelPair, case: Case, rng: np.random.Generator, dtype: str) -> Batch:
    """Return the next batch; raise ``PairError`` if the pair's own batches do not fit."""
    if pair.batches is None:
        return {name: one.draw(rng, FAMILIES["normal"], case.sizes, dtype) for name, one in case.inputs.items()}
    try:
        with contained("batches"):
            given = pair.batches(rng)
            arrays = [np.asarray(value) for value in (given if isinstance(given, tuple | list) else [given])]
    except SubjectError as error:
        raise pair.error(error.reason) from error
    shapes = list(case.shapes.values())
    if [value.shape for value in arrays] != shapes:
        raise pair.error(f"batches returned arrays of the shapes {[value.shape for value in arrays]}, expected {shapes}")
    for (name, one), value in zip(case.inputs.items(), arrays, strict=True):
        _expect_kind(pair, case, name, one, value)
    return {
        name: value.astype(dtype if isinstance(one, Input) else np.int64 if value.dtype.kind in "iu" else value.dtype)
        for (name, one), value in zip(case.inputs.items(), arrays, strict=True)
    }


def _expect_kind(pair: ModelPair, case: Case, name: str, one: Any, value: npt.NDArray[Any]) -> None:
    if not isinstance(one, Labels):
        return
    if value.dtype.kind not in "iu":
        raise pair.error(f"batches returned {value.dtype} {name}, expected integers")
    if value.min() < 0 or value.max() >= one.most(case.sizes):
        raise pair.error(f"batches returned {name} from {value.min()} to {value.max()}, expected 0 to {one.most(case.sizes) - 1}")


def layouts_of(pair: ModelPair, case: Case) -> dict[str, Layout]:
    """Return the layouts of a batch's arrays; one that is not declared keeps its axes."""
    given = {next(iter(case.inputs)): pair.input} if isinstance(pair.input, str) else dict(pair.input)
    if unknown := [name for name in given if name not in case.inputs]:
        raise pair.error(f"input has {unknown[0]!r}, expected one of {', '.join(case.inputs)}")
    return {name: Layout(pattern, pair.sizes) for name, pattern in given.items() if pattern}


def takes_dtype(pair: ModelPair) -> bool:
    """Return whether the factory takes the precision, that is, its first argument is required or called ``dtype``."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        first = next(iter(inspect.signature(pair.subject).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    return first is not None and first.kind in kinds and (first.default is inspect.Parameter.empty or first.name == "dtype")


def first_dtype(pair: ModelPair) -> str:
    """Return the precision in which the subject is looked at first: float64 if its factory knows none."""
    return pair.dtypes[0] if takes_dtype(pair) else "float64"


def made(pair: ModelPair, dtype: str) -> Any:
    """Return what the factory makes; raise :class:`SubjectError` if it raises."""
    with contained(pair.title):
        return pair.subject(dtype) if takes_dtype(pair) else pair.subject()


def _declared(pair: ModelPair, case: Case, dtype: str) -> WholeStep:
    """Return a new network of the subject, ready to be trained."""
    return as_whole_step(made(pair, dtype), list(case.inputs), pair.optimizer is not None or pair.lr is not None)
