"""A training step that shows nothing but its loss and the parameters before and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.layout import Layout, Parameter, to_subject
from crosscheck.adapters.match_params import LayerShapes, MappingError, mapped
from crosscheck.adapters.objects import written
from crosscheck.adapters.train_step import TrainingStep, same_parameters
from crosscheck.core.guard import as_array, contained, source
from crosscheck.core.operation import Labels, Shape
from crosscheck.core.precision import Array


@dataclass(frozen=True)
class WholeStep:
    """``step(x, labels) -> loss``, and a dict of arrays that it updates.

    Parameters
    ----------
    step : callable
        Gets a batch and its labels, does one training step, returns the loss before the update.
    params : dict or callable
        The dict, whose arrays are updated in place or replaced by others; or a callable that returns the arrays themselves by name, as they are now.
    names : mapping of str to str
        ``{"W1": "conv.weight: kh kw i o -> o i kh kw"}``: the subject's W1 is the reference's ``conv.weight``, its axes in another order. What is
        not declared is inferred where there is exactly one way.
    sizes : mapping of str to int
        Of axes inside parentheses.
    predict : callable, optional
        Returns the network's output for a batch.
    one_sample : bool
        Whether the functions get one sample, and its label as a plain number.
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
            raise ConventionError(f"WholeStep's params is a {type(found).__name__}, expected a dict of arrays or a function that returns one")

    def arrays(self) -> MutableMapping[str, Any]:
        """Return the arrays that are the parameters now, not copied."""
        if not callable(self.params):
            return self.params
        with contained("params"):
            return self.params()

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shapes of the parameters by the subject's names."""
        return {name: as_array(value, name, np.dtype(np.float64)).shape for name, value in self.arrays().items()}

    def layouts(self, shapes: LayerShapes) -> tuple[dict[str, Parameter], list[str]]:
        """Return what the reference calls each parameter and how it orders its axes, and in words what was inferred.

        Raises
        ------
        MappingError, LayoutError
            If anything does not fit or can be understood in several ways.
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
        """Return the network ready to be trained, with the layouts of this network or of another one from the same factory.

        Raises
        ------
        ConventionError
            If the parameters have other names than those of the layouts.
        """
        if set(self.shapes) != set(layouts):
            raise ConventionError(f"the parameters are {', '.join(self.shapes) or 'none'}, expected {', '.join(layouts)}")
        return SteppedNetwork(self, layouts, batch or Layout())


class SteppedNetwork:
    """A network that is seen only from outside."""

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
        """Nothing: what its layers keep cannot be seen from outside."""
        return {}

    def step(self, x: Array, labels: Labels) -> Array:
        """Do one training step and return the loss."""
        return self.train(self.train.batch(x), self.train.labels(labels))

    @property
    def predicts(self) -> bool:
        """Whether there is a function that predicts."""
        return self._declared.predict is not None

    def predict(self, x: Array) -> Array:
        """Return the network's output for a batch, in its own layout."""
        assert self._declared.predict is not None
        with contained("predict"):
            return as_array(self._declared.predict(self.train.batch(x)), "the prediction", x.dtype)
