"""The query and the result of every search through a model."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from metajax._typing import checked
from metajax.predictor import Model
from metajax.predictor._forms import Form
from metajax.space import Space
from metajax.space._rows import power_of_two
from metajax.types import InputError, Key


class Query(NamedTuple):
    """One call of ``search.maximize``, as a method sees it.

    Attributes:
        model: The fitted predictor; its space is the one to search.
        k: Number of configurations to return, at least 1.
        context: The context of the model, ``None`` if it has none.
        optimism: Number of standard deviations that are added to the mean.
        key: The random key.
        start: Configurations to start from, as dictionaries; may be empty.
    """

    model: Model
    k: int
    context: Any
    optimism: float
    key: Key
    start: Sequence[Mapping[str, Any]]


class Found(NamedTuple):
    """The outcome of a search, best configuration first, in the units and the direction of ``model.predict``.

    If a smaller prediction is better (``model.direction`` is -1: the value or the log-ratio of a metric that is minimized),
    then ``values`` increase, and ``upper_bound`` bounds the predictions from below.

    Attributes:
        configs: The k best distinct configurations, as dictionaries.
        values: f64[k], ``model.predict(configs)[0]``. With ``optimism``, that many standard deviations better.
        upper_bound: No configuration of the space is predicted to be better than this value. It is ``±inf`` for a method that
            proves nothing.
        gap: Distance from ``values[0]`` to ``upper_bound``, never negative; 0 if the best configuration is proven.
        evaluated: Number of configurations (or, for ``Certify``, nodes of the search tree) that the model was evaluated on.
        seconds: Wall time, compilation included.
    """

    configs: list[dict[str, Any]]
    values: Float[np.ndarray, " k"]
    upper_bound: float
    gap: float
    evaluated: int
    seconds: float


class Maximizer(Protocol):
    """How ``search.maximize`` searches: any object with this function, such as ``search.Gradient()``.

    Example:
        >>> from metajax import predictor, search
        >>> from metajax.space import Integer, Space
        >>> class StartOnly:  # a method of your own: the best of the configurations to start from
        ...     def search(self, query):
        ...         values = query.model.predict(query.start, query.context)[0]
        ...         best = int(np.argmax(query.model.direction * values))
        ...         return search.Found([query.start[best]], values[[best]], np.inf, np.inf, len(values), 0.0)
        >>> trials = predictor.Trials.from_arrays(Space({"n": Integer(0, 9)}), [{"n": 0}, {"n": 9}], [0.0, 1.0])
        >>> model = predictor.fit(trials, predictor.ridge())
        >>> search.maximize(model, StartOnly(), k=1, start=[{"n": 2}, {"n": 5}]).configs
        [{'n': 5}]
    """

    def search(self, query: Query) -> Found:
        """Searches the space of the model.

        Args:
            query: The model, the number of configurations, and what else ``maximize`` was given.

        Returns:
            The best configurations; ``maximize`` fills in ``seconds``.
        """
        ...


@checked
def outcome(
    model: Model,
    encodings: Float[np.ndarray, "k {model.space.width}"],
    values: Float[np.ndarray, " k"],
    bound: float,
    evaluated: int,
) -> Found:
    """The outcome for encodings in the order of their values, best first."""
    gap = max(0.0, model.direction * (bound - float(values[0])))
    return Found(model.space.decode(encodings), values, bound, gap, evaluated, 0.0)


@checked
def rank(
    query: Query,
    encodings: Float[np.ndarray, "n {query.model.space.width}"],
    scores: Float[np.ndarray, " n"],
    evaluated: int,
    exact: bool,
) -> Found:
    """The k best of distinct candidates, by what ``predict`` says of the most promising ones.

    The scores are float32 and may confuse neighbors in the order, so that a few more than k candidates are predicted again.
    """
    model = query.model
    encodings, first = np.unique(encodings, axis=0, return_index=True)
    encodings = encodings[np.argsort(-scores[first], kind="stable")[: query.k + 16]]
    values = predicted(model, encodings, query.context, query.optimism)
    order = np.argsort(-model.direction * values, kind="stable")[: query.k]
    bound = float(values[order[0]]) if exact else model.direction * math.inf
    return outcome(model, encodings[order], values[order], bound, evaluated)


@checked
def predicted(
    model: Model, encodings: Float[np.ndarray, "n {model.space.width}"], context: Any, optimism: float = 0.0
) -> Float[np.ndarray, " n"]:
    """f64[n]: the predictions for encodings, ``optimism`` standard deviations better.

    Encodings are padded to a power of two, so that few sizes are compiled.
    """
    n = len(encodings)
    padded = np.concatenate([encodings, np.repeat(encodings[-1:], power_of_two(n, 64) - n, axis=0)])
    mean, std = model.predict(padded, context)
    return (mean + model.direction * optimism * std)[:n] if optimism else mean[:n]


@checked
def encoded(space: Space, configs: Sequence[Mapping[str, Any]], name: str) -> Float32[np.ndarray, "n {space.width}"]:
    """f32[n, width] of the argument ``name``, a list of dictionaries that may be empty."""
    if not configs:
        return np.zeros((0, space.width), np.float32)
    try:
        return np.asarray(space.encode(space.configs(configs)))
    except ValueError as error:
        raise InputError(f"maximize: {name}: {error}") from error


def formula(model: Model, context: Any) -> Form | None:
    """The mean of the model as a formula of the encoding alone, or ``None`` if it has none."""
    if model.spec.form is None:
        return None
    width = model.space.width
    form = model.spec.form(model.params)
    return form.with_context(np.asarray(model.inputs(jnp.zeros((1, width)), context)[0, width:], np.float64))
