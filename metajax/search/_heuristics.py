"""Searches for any model and any space: random sampling and evolution. They prove nothing.

What changes between calls is an argument of the compiled functions, so that each compiles once for a space and a spec.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.search._query import Found, Query, rank
from metajax.space import Space
from metajax.types import Key, stream

POOL, GENERATIONS = 1024, 40
EVOLVED = POOL + GENERATIONS * POOL // 2
"""Number of model evaluations of one evolution."""


def objective_of(query: Query) -> tuple[Any, jax.Array, jax.Array]:
    """What ``score`` needs beside space, spec and encodings: parameters, scaled context, optimism."""
    model = query.model
    width = model.space.width
    context = model.inputs(jnp.zeros((1, width)), query.context)[0, width:]
    return model.params, context, jnp.float32(query.optimism)


@functools.partial(jax.jit, static_argnums=(0, 1))
@checked
def score(space: Space, spec: Any, objective: Any, encodings: Float[AnyArray, "n {space.width}"]) -> Float[Array, " n"]:
    """f32[n]: mean + optimism · std of the standardized target, larger better."""
    params, context, optimism = objective
    rows = jnp.concatenate([encodings, jnp.broadcast_to(context, (len(encodings), len(context)))], axis=1)
    mean, std = spec.apply(params, rows)
    return mean + optimism * std


@checked
def ranked(query: Query, encodings: Float[Array, "n {query.model.space.width}"], evaluated: int) -> Found:
    """The k best of the candidates f32[n, width] that a heuristic ends with."""
    # Scores are computed before duplicates are removed, so that the shape is always the same.
    scores = np.asarray(score(query.model.space, query.model.spec, objective_of(query), encodings))
    return rank(query, np.asarray(encodings), scores, evaluated, exact=False)


@checked
def initial(space: Space, key: Key, start: Sequence[Mapping[str, Any]]) -> Float[Array, "pool {space.width}"]:
    """f32[POOL, width]: the given configurations (at most half of the pool), filled up with random ones."""
    encodings = space.encode(space.sample(key, POOL))
    if not start:
        return encodings
    start_encodings = np.asarray(space.encode(space.configs(start[: POOL // 2])))
    # NumPy joins them, because JAX would compile a program for every number of given configurations.
    return jax.device_put(np.concatenate([start_encodings, np.asarray(encodings)[len(start_encodings) :]]))


@functools.partial(jax.jit, static_argnums=(0, 1))
@checked
def generations(
    space: Space, spec: Any, objective: Any, key: Key, encodings: Float[Array, "pool {space.width}"]
) -> Float[Array, "pool {space.width}"]:
    """f32[POOL, width], best first. Truncation selection: the better half survives, and each survivor has one mutated child."""

    def generation(carry, number):
        encodings, values = carry
        order = jnp.argsort(-values)[: POOL // 2]
        parents = encodings[order]
        mutate_key = jax.random.fold_in(stream(key, "mutate"), number)
        children = space.encode(space.mutate(mutate_key, space.decode_configs(parents), rate=1.5 / len(space.domains)))
        population = jnp.concatenate([parents, children])
        scores = jnp.concatenate([values[order], score(space, spec, objective, children)])
        # A child that equals its parent is not a new configuration.
        is_copy = jnp.concatenate([jnp.zeros(len(parents), bool), jnp.all(children == parents, axis=1)])
        return (population, jnp.where(is_copy, -jnp.inf, scores)), None

    first = (encodings, score(space, spec, objective, encodings))
    (encodings, values), _ = jax.lax.scan(generation, first, jnp.arange(GENERATIONS))
    return encodings[jnp.argsort(-values)]


@dataclasses.dataclass(frozen=True)
class Evolve:
    """Evolution by truncation selection: 40 generations in a population of 1,024.

    In each generation the better half survives and has one mutated child each, which differs in 1.5 domains on average.
    For any model and any space; it proves nothing.

    Example:
        >>> from metajax import predictor, search
        >>> from metajax.space import Float, Space
        >>> space = Space({"x": Float(0.0, 1.0)})
        >>> trials = predictor.Trials.from_arrays(space, [{"x": i / 9} for i in range(10)], [-abs(i - 4) for i in range(10)])
        >>> found = search.maximize(predictor.fit(trials, predictor.kernel()), search.Evolve(), k=1)
        >>> abs(found.configs[0]["x"] - 4 / 9) < 0.1, found.gap
        (True, inf)
    """

    def search(self, query: Query) -> Found:
        """See ``Maximizer.search``."""
        model, key = query.model, query.key
        pool = initial(model.space, stream(key, "initial"), query.start)
        return ranked(query, generations(model.space, model.spec, objective_of(query), key, pool), EVOLVED)


@dataclasses.dataclass(frozen=True)
class Random:
    """The best of 16,384 random configurations: what every other method is compared with.

    Example:
        >>> from metajax import predictor, search
        >>> from metajax.space import Float, Space
        >>> space = Space({"x": Float(0.0, 1.0)})
        >>> trials = predictor.Trials.from_arrays(space, [{"x": i / 9} for i in range(10)], range(10))
        >>> found = search.maximize(predictor.fit(trials, predictor.ridge()), search.Random(), k=1)
        >>> found.configs[0]["x"] > 0.99, found.evaluated
        (True, 16384)
    """

    def search(self, query: Query) -> Found:
        """See ``Maximizer.search``."""
        space = query.model.space
        return ranked(query, space.encode(space.sample(query.key, 16 * POOL)), 16 * POOL)
