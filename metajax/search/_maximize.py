"""Search through a model: the configurations of the whole space that it believes to be best."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from metajax.predictor import Model
from metajax.search._gradient import Gradient
from metajax.search._query import Found, Maximizer, Query, encoded
from metajax.types import InputError, Key

_NAMES = ("Enumerate", "Certify", "Gradient", "Reinforce", "Evolve", "Random")
_DEFAULT = Gradient()


def maximize(
    model: Model,
    method: Maximizer = _DEFAULT,
    k: int = 10,
    context: Any = None,
    optimism: float = 0.0,
    key: Key | None = None,
    start: Sequence[Mapping[str, Any]] = (),
) -> Found:
    """Finds the k best distinct configurations by a model.

    The objective is ``mean + optimism · std`` of the model, in the direction of the metric: for a metric that is minimized,
    the search finds configurations with small predictions.

    Args:
        model: A fitted predictor (``predictor.fit``). Its space is searched.
        method: How to search. ``Enumerate()`` evaluates every configuration of a finite space; ``Certify()`` proves its
            answer by branch and bound over a finite space of any size; ``Gradient()`` ascends relaxed encodings;
            ``Reinforce()`` trains a policy; ``Evolve()`` mutates and selects; ``Random()`` samples. The options of a method
            are fields of its object. Any object with a method ``search(query) -> Found`` may be passed.
        k: Number of configurations, at least 1. Fewer are returned if the space has fewer.
        context: f32[c], the context of the model (meta-features of the dataset), if the model was fitted with any.
        optimism: Number of standard deviations that are added to the mean. 0 is the mean; larger values explore (upper
            confidence bound).
        key: Random key of the methods that draw; ``jax.random.key(0)`` by default.
        start: Configurations to start from beside random ones, such as the best trials so far, as dictionaries.

    Returns:
        The configurations, best first, with their predictions and a bound on what any configuration can reach.

    Raises:
        InputError: If ``method`` is not a method, ``k`` is below 1, a start is outside the space, or the method does not take
            this model or space; the documentation of the methods says which they take.

    Example:
        >>> from metajax import predictor, search
        >>> from metajax.space import Categorical, Space
        >>> space = Space({f"x{i}": Categorical((0, 1, 2)) for i in range(8)})
        >>> tried = space.sample(jax.random.key(0), 60)
        >>> gain = [sum(c.values()) for c in space.dicts(tried)]
        >>> model = predictor.fit(predictor.Trials.from_arrays(space, tried, gain), predictor.ridge(), "value")
        >>> found = search.maximize(model, search.Certify(seconds=10), k=2)
        >>> sum(found.configs[0].values()), bool(found.gap < 1e-6)
        (16, True)
    """
    if not callable(getattr(method, "search", None)) or isinstance(method, type):
        value = f"the class {method.__name__}" if isinstance(method, type) else repr(method)
        options = ", ".join(f"search.{name}()" for name in _NAMES)
        raise InputError(f"maximize: method must be an object such as {options}, got {value}")
    if k < 1:
        raise InputError(f"maximize: k must be an integer >= 1, got {k}")
    start_time = time.perf_counter()
    encoded(model.space, start, "start")  # raises before anything is compiled
    key = jax.random.key(0) if key is None else key
    found = method.search(Query(model, k, context, optimism, key, start))
    return found._replace(seconds=time.perf_counter() - start_time)
