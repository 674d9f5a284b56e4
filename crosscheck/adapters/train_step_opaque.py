"""A training step whose layers cannot be observed: only the loss and the parameters before and after the step are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.layout import Layout, Parameter, to_subject
from crosscheck.adapters.match_params import LayerShapes, MappingError, mapped
from crosscheck.adapters.object_graph import written
from crosscheck.adapters.train_step import TrainingStep, same_parameters
from crosscheck.core.guard import as_array, contained, source
from crosscheck.core.operation import Labels, Shape
from crosscheck.core.precision import Array


@dataclass(frozen=True)
class WholeStep:
    """A training function ``step(x, labels) -> loss``, and a dict of parameters that the function updates.

    Parameters
    ----------
    step : callable
        Gets a batch and its labels, does one training step, and returns the loss before the update.
    params : dict or callable
        The dict of parameters, whose arrays are updated in place or replaced; or a callable that returns the current arrays by name, not copied.
    names : mapping of str to str
        ``{"W1": "conv.weight: kh kw i o -> o i kh kw"}``: the subject's W1 is the reference's ``conv.weight`` with its axes in another order. Other
        parameters are inferred if there is exactly one way.
    sizes : mapping of str to int
        Lengths of axes inside parentheses.
    predict : callable, optional
        Returns the network's output for a batch.
    one_sample : bool
        Whether the functions take one sample, and its label as an int.
    """

    step: Callable[[Any, Any], Any]
    params: MutableMapping[str, Any] | Callable[[], MutableMapping[str, Any]]
    names: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    predict: Callable[[Any], Any] | None = None
    one_sample: bool = False

    def __post_init__(self) -> None:
        if not callable(self.step):
            raise ConventionError(f"WholeStep's step is a {type(self.step).__name__}, expected a function of a batch and its labels")
        if not isinstance(found := self.arrays(), MutableMapping):
            raise ConventionError(f"WholeStep's params is a {type(found).__name__}, expected a dict of arrays or a function that returns such a dict")

    def arrays(self) -> MutableMapping[str, Any]:
        """Return the current parameters without copying them."""
        if not callable(self.params):
            return self.params
        with contained("params"):
            return self.params()

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shapes of the parameters by the subject's names."""
        return {name: as_array(value, name, np.dtype(np.float64)).shape for name, value in self.arrays().items()}

    def layouts(self, shapes: LayerShapes) -> tuple[dict[str, Parameter], list[str]]:
        """Return the parameters by the subject's names, and a list of sentences that say what was inferred.

        Raises
        ------
        MappingError, LayoutError
            If a parameter fits none of the reference's parameters, or can be matched in several ways.
        """
        expected = {f"{layer}.{name}": shape for layer, params in shapes.items() for name, shape in params.items()}
        try:
            params, inferred = mapped(self.shapes, expected, self.names, self.sizes)
        except MappingError as error:
            raise MappingError(str(error).replace("params={", "names={").replace("params[", "names[")) from error
        for name, parameter in params.items():
            parameter.layout.expect(np.zeros(self.shapes[name]), expected[parameter.name], f"the parameter {name}")
        return params, inferred

    def bound(self, layouts: Mapping[str, Parameter], batch: Layout | None) -> SteppedNetwork:
        """Return the network ready to be trained. The layouts were computed for this network or for another one from the same factory.

        Raises
        ------
        ConventionError
            If the parameters' names differ from the names in ``layouts``.
        """
        if set(self.shapes) != set(layouts):
            raise ConventionError(f"the parameters are {', '.join(self.shapes) or 'none'}, expected {', '.join(layouts)}")
        return SteppedNetwork(self, layouts, batch or Layout())


class SteppedNetwork:
    """A network that shows only its training step and its parameters."""

    def __init__(self, declared: WholeStep, layouts: Mapping[str, Parameter], batch: Layout) -> None:
        self._declared, self._layouts, self._shapes = declared, layouts, declared.shapes
        self.one_sample = declared.one_sample
        self.train = TrainingStep(declared.step, batch, declared.one_sample)
        self.source = source(declared.step)

    def load(self, params: Mapping[str, Array]) -> None:
        """Set the parameters, named as in the reference and in its layout."""
        arrays = self._declared.arrays()
        with contained("setting the parameters"):
            for name, value in to_subject(self._layouts, params).items():
                if not written(arrays[name], value):
                    arrays[name] = value

    @property
    def params(self) -> dict[str, Array]:
        """Copies of the parameters, named ``layer.parameter`` as in the reference and in its layout."""
        values = same_parameters(self._declared.arrays(), self._shapes, "the network")
        return {parameter.name: np.array(parameter.layout.to_reference(values[name])) for name, parameter in self._layouts.items()}

    @property
    def buffers(self) -> dict[str, Array]:
        """An empty dict, because the buffers of the layers cannot be seen."""
        return {}

    def step(self, x: Array, labels: Labels) -> Array:
        """Do one training step and return the loss."""
        return self.train(self.train.batch(x), self.train.labels(labels))

    @property
    def predicts(self) -> bool:
        """Whether a ``predict`` function is declared."""
        return self._declared.predict is not None

    def predict(self, x: Array) -> Array:
        """Return the network's output for a batch, in the subject's layout."""
        assert self._declared.predict is not None
        with contained("predict"):
            return as_array(self._declared.predict(self.train.batch(x)), "the prediction", x.dtype)
