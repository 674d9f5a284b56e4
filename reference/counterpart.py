"""What a reference offers beside a scratch network, whatever its framework; and two of them brought to the same names and layouts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.adapters.layout import LayerLayout, Layout
from crosscheck.core.operation import Arrays, Call, Constants, Labels, Oracle, Rounding
from crosscheck.core.precision import Array
from crosscheck.core.subject import Outcome
from crosscheck.core.trace import Trace
from crosscheck.core.training import MakeTraining, Snapshot, Training, TrainState
from crosscheck.oracles.network import Architecture
from crosscheck.training.jury import Juror


@dataclass(frozen=True)
class Counterpart:
    """The same network in a framework.

    Attributes
    ----------
    name : str
        Framework and version.
    architecture : Architecture
    make : MakeTraining
        Makes references that train.
    layouts : mapping of str to LayerLayout
        How each scratch layer corresponds to the framework's.
    place : str
        Where it computes, for reports.
    converted : frozenset of str
        As for :class:`crosscheck.training.jury.Juror`.
    """

    name: str
    architecture: Architecture
    make: MakeTraining
    layouts: Mapping[str, LayerLayout]
    place: str = "cpu"
    converted: frozenset[str] = frozenset()

    @property
    def juror(self) -> Juror:
        """The same as a juror."""
        return Juror(self.name, self.architecture, self.make, self.converted)


@dataclass(frozen=True)
class Passage:
    """One parameter or buffer of one layer on its way between two references, by way of scratch's layout.

    Attributes
    ----------
    ours, theirs : str
        Its names.
    to_ours, to_theirs : Layout
        Each from scratch's layout.
    """

    ours: str
    theirs: str
    to_ours: Layout
    to_theirs: Layout

    def there(self, value: Array) -> Array:
        """Return one of our arrays in their layout; a single number has none."""
        return self.to_theirs.to_reference(np.asarray(self.to_ours.to_subject(value))) if np.ndim(value) else value

    def back(self, value: Array) -> Array:
        """Return one of their arrays in our layout."""
        return self.to_ours.to_reference(np.asarray(self.to_theirs.to_subject(value))) if np.ndim(value) else value


def translated(counterpart: Counterpart, layouts: Mapping[str, LayerLayout]) -> Juror:
    """Return a reference that is called as another one, whose layouts are given.

    Raises
    ------
    ValueError
        If the two order what goes in and out of a layer in different ways.
    """
    passages = {name: _passages(name, own, counterpart.layouts[name]) for name, own in layouts.items()}
    params = {name: {p.theirs: p for p in own} for name, own in passages.items()}
    architecture = counterpart.architecture
    oracles = {name: _called(oracle, passages[name]) for name, oracle in architecture.layers.items()}

    def renamed(kind: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {name: tuple(params[name][own].ours for own in names) for name, names in kind.items()}

    whole = replace(architecture, layers=oracles, params=renamed(architecture.params), buffers=renamed(architecture.buffers))

    def make(dtype: npt.DTypeLike, noise: Mapping[tuple[str, str], float] | None, seed: int) -> Training:
        return TranslatedTraining(counterpart.make(dtype, noise, seed), passages)

    return Juror(counterpart.name, whole, make, counterpart.converted)


def _called(oracle: Oracle, passages: list[Passage]) -> Oracle:
    """Return an oracle by our names, itself where they are its own."""
    same = all((p.ours, p.to_ours) == (p.theirs, p.to_theirs) for p in passages)
    return oracle if same else Translated(oracle, tuple(passages))


def _passages(layer: str, ours: LayerLayout, theirs: LayerLayout) -> list[Passage]:
    if (ours.input, ours.output) != (theirs.input, theirs.output):
        raise ValueError(f"{layer}: the references order inputs and outputs in different ways, {ours} and {theirs}")
    pairs = [(ours.params, theirs.params), (ours.buffers, theirs.buffers)]
    return [Passage(own[name].name, other[name].name, own[name].layout, other[name].layout) for own, other in pairs for name in own]


@dataclass(frozen=True)
class Translated:
    """An oracle whose parameters are called and ordered otherwise."""

    oracle: Oracle
    passages: tuple[Passage, ...]

    @property
    def rounding(self) -> Rounding:
        """That of the oracle itself, which asks it by the names that it is called here."""
        return self.oracle.rounding

    @property
    def settings(self) -> Mapping[str, tuple[int, ...]]:
        """Those of the oracle itself."""
        return self.oracle.settings

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return those of the oracle itself."""
        return self.oracle.decisions(x)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the oracle's results by our names."""
        return self._back(self.oracle.vjp(self._there(call)))

    def noisy(self, call: Call, *given: Any) -> dict[str, Array]:
        """Return the oracle's perturbed results by our names."""
        return self._back(self.oracle.noisy(self._there(call), *given))  # type: ignore[attr-defined]

    def largest(self, call: Call) -> float:
        """Return the largest absolute number that occurs on the way to the results."""
        return float(self.oracle.largest(self._there(call)))  # type: ignore[attr-defined]

    def _there(self, call: Call) -> Call:
        params, buffers = ({p.theirs: p.there(own[p.ours]) for p in self.passages if p.ours in own} for own in (call.params, call.buffers))
        return replace(call, params=params, buffers=buffers)

    def _back(self, results: Arrays) -> dict[str, Array]:
        names = {p.theirs + ending: (p.ours + ending, p) for p in self.passages for ending in ("", ".grad")}
        return {names[name][0] if name in names else name: names[name][1].back(value) if name in names else value for name, value in results.items()}


@dataclass(frozen=True)
class TranslatedTraining:
    """A training whose parameters are called and ordered otherwise."""

    training: Training
    passages: Mapping[str, list[Passage]]

    @property
    def params(self) -> dict[str, Array]:
        """The parameters by our names."""
        return self._renamed(self.training.params)

    @property
    def buffers(self) -> dict[str, Array]:
        """What the layers keep by our names."""
        return self._renamed(self.training.buffers)

    @property
    def state(self) -> dict[str, dict[str, Array]]:
        """What the optimizer keeps by our names."""
        state = self.training.state
        return {
            ours: {kept: passage.back(value) for kept, value in state[theirs].items()} for ours, theirs, passage in self._names() if theirs in state
        }

    def load(self, start: TrainState) -> None:
        """Take over a position by our names."""
        params, buffers, state = dict[str, Array](), dict[str, Array](), dict[str, Arrays]()
        for ours, theirs, passage in self._names():
            if ours in start.params:
                params[theirs] = passage.there(start.params[ours])
            if ours in start.buffers:
                buffers[theirs] = passage.there(start.buffers[ours])
            if ours in start.state:
                state[theirs] = {kept: passage.there(value) for kept, value in start.state[ours].items()}
        self.training.load(TrainState(params, state, buffers))

    def step(
        self, x: Array, labels: Labels, trace: Trace | None = None, constants: Mapping[str, Constants] | None = None, lr_factor: float = 1.0
    ) -> Outcome:
        """Do one training step; a trace gets its quantities by our names."""
        if trace is None:
            return self.training.step(x, labels, None, constants, lr_factor)
        own = Trace(trace.step)
        outcome = self.training.step(x, labels, own, constants, lr_factor)
        for (layer, quantity), value in own.items():
            name, dot, ending = quantity.partition(".")
            passage = next((p for p in self.passages.get(layer, ()) if p.theirs == name), None)
            if passage is None:
                trace.record(layer, quantity, value)
            else:
                trace.record(layer, f"{passage.ours}{dot}{ending}", passage.back(value))
        return outcome

    def predict(self, x: Array) -> Array:
        """Return the network's last output, in evaluation mode."""
        return self.training.predict(x)

    def snapshot(self) -> Snapshot:
        """Return all that the training itself remembers."""
        return self.training.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Take over a snapshot of the training itself."""
        self.training.restore(snapshot)

    def _names(self) -> Iterator[tuple[str, str, Passage]]:
        for layer, passages in self.passages.items():
            for passage in passages:
                yield f"{layer}.{passage.ours}", f"{layer}.{passage.theirs}", passage

    def _renamed(self, arrays: Arrays) -> dict[str, Array]:
        return {ours: passage.back(arrays[theirs]) for ours, theirs, passage in self._names() if theirs in arrays}
