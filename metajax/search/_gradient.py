"""Search by gradient: ascent on relaxed encodings, then evolution of the rounded configurations."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from metajax._typing import checked
from metajax.search._heuristics import EVOLVED, generations, initial, objective_of, ranked, score
from metajax.search._query import Found, Query
from metajax.space import Space
from metajax.space.rules import RULES
from metajax.types import InputError, Key, stream

_STARTS, _STEPS = 64, 80


@dataclasses.dataclass(frozen=True)
class Gradient:
    r"""Ascends relaxed encodings by gradient from 64 random starts, then lets the rounded configurations evolve.

    $$a \leftarrow a + \xi \, \nabla_a \Bigl(\mu\bigl(e(a / T)\bigr) + \kappa \, \sigma\bigl(e(a / T)\bigr)\Bigr)$$

    Here e relaxes the logits a of all choices, μ and σ are the mean and the deviation of the model, and κ is
    ``optimism``. Adam takes 80 steps on the logits of ``space.relax`` while the temperature falls from 1 to 0.1, so
    that the relaxed encodings end near corners. The rounded configurations then compete with random ones and ``start``
    in the evolution of ``Evolve``. For any model that is differentiable in its inputs, and any space; it proves
    nothing.

    Attributes:
        relaxation: The rule of ``space.relax``: ``"softmax"``, ``"gumbel_softmax"``, ``"sparsemax"``, ... A random rule is
            sampled anew in every step.

    Raises:
        InputError: If the relaxation is unknown.

    Example:
        >>> from metajax import predictor, search
        >>> from metajax.space import Float, Space
        >>> space = Space({"x": Float(0.0, 1.0)})
        >>> trials = predictor.Trials.from_arrays(space, [{"x": i / 9} for i in range(10)], [-abs(i - 4) for i in range(10)])
        >>> found = search.maximize(predictor.fit(trials, predictor.kernel()), search.Gradient("sparsemax"), k=1)
        >>> abs(found.configs[0]["x"] - 4 / 9) < 0.1
        True
    """

    relaxation: str = "softmax"

    def __post_init__(self) -> None:
        if self.relaxation not in RULES:
            raise InputError(
                f"Gradient: relaxation must be one of {', '.join(map(repr, RULES))}, got {self.relaxation!r}"
            )

    def search(self, query: Query) -> Found:
        """See ``Maximizer.search``."""
        space, spec, key, objective = query.model.space, query.model.spec, query.key, objective_of(query)
        ascended = ascend(space, spec, objective, stream(key, "ascend"), self.relaxation)
        pool = initial(space, stream(key, "initial"), query.start).at[-_STARTS:].set(ascended)
        evolved = generations(space, spec, objective, key, pool)
        return ranked(query, jnp.concatenate([ascended, evolved]), _STARTS * _STEPS + EVOLVED)


@functools.partial(jax.jit, static_argnums=(0, 1, 4))
@checked
def ascend(space: Space, spec: Any, objective: Any, key: Key, rule: str) -> Float[Array, "starts {space.width}"]:
    """f32[starts, width]: rounded encodings that gradient ascent from random logits ends at."""
    temperatures = jnp.geomspace(1.0, 0.1, _STEPS)
    optimizer = optax.adam(0.1)

    def ascend_one(key):
        flat, unravel = ravel_pytree(space.zeros())
        logits = unravel(jax.random.normal(stream(key, "start"), flat.shape, flat.dtype))

        def loss(logits, temperature, key):
            sharp = jax.tree.map(lambda z: z / temperature, logits)
            return -score(space, spec, objective, space.relax(sharp, rule, key)[None])[0]

        def step(carry, now):
            logits, opt_state = carry
            temperature, key = now
            updates, opt_state = optimizer.update(jax.grad(loss)(logits, temperature, key), opt_state)
            return (optax.apply_updates(logits, updates), opt_state), None

        steps = (temperatures, jax.random.split(stream(key, "rule"), _STEPS))
        (logits, _), _ = jax.lax.scan(step, (logits, optimizer.init(logits)), steps)
        return space.relax(jax.tree.map(lambda z: z / temperatures[-1], logits))

    return space.encode(space.decode_configs(jax.vmap(ascend_one)(jax.random.split(key, _STARTS))))
