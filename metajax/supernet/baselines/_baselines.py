"""From a searched SuperNet to one architecture, where the strongest value of every choice is not the rule."""

import contextlib
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from metajax.space import Space
from metajax.supernet._logits import log_probability
from metajax.supernet._protocols import Evaluate, Moment
from metajax.supernet.relaxations._paths import policy_paths
from metajax.types import InputError, Key, Scalar, generator, stream


class Trail(NamedTuple):
    """What a search without gradient looked at, in order.

    Attributes:
        configs: plain dictionaries.
        values: float[n], larger is better.
        seconds: float[n], what the evaluations had cost by then, where they cost anything.
    """

    configs: list[dict[str, Any]]
    values: np.ndarray
    seconds: np.ndarray

    @property
    def best(self) -> dict[str, Any]:
        return self.configs[int(np.argmax(self.values))]


Look = Callable[[Any], np.ndarray]
"""Evaluates a struct of configurations and notes them; ends the search once the budget is spent."""


def _spend(
    space: Space,
    evaluate: Evaluate,
    seconds: float | None,
    evaluations: int | None,
    walk: Callable[[Look], None],
) -> Trail:
    """What ``walk`` looked at until the budget was spent."""
    if seconds is None and evaluations is None:
        raise InputError("seconds and evaluations are both None; give one of them as the budget")
    configs, values, costs, spent = [], [], [], 0.0

    def look(found: Any) -> np.ndarray:
        nonlocal spent
        value, cost = evaluate(space.encode(found))
        for config, v, c in zip(space.dicts(found), value, cost):
            over = evaluations is not None and len(values) >= evaluations
            if over or (seconds is not None and spent + c > seconds):
                raise StopIteration
            configs.append(config)
            values.append(float(v))
            costs.append(float(c))
            spent += float(c)
        return np.asarray(value)

    with contextlib.suppress(StopIteration):
        walk(look)
    return Trail(configs, np.asarray(values), np.cumsum(costs))


def random_search(
    space: Space, evaluate: Evaluate, key: Key, seconds: float | None = None, evaluations: int | None = None
) -> Trail:
    """Configurations drawn evenly, until the budget of seconds or evaluations is spent.

    Example:
        >>> from metajax.supernet.spaces import cell_space
        >>> space = cell_space(2)
        >>> first = lambda encodings: (np.asarray(encodings)[:, 0], np.zeros(len(encodings)))
        >>> len(random_search(space, first, jax.random.key(0), evaluations=7).values)
        7
    """

    def walk(look: Look) -> None:
        for step in itertools.count():
            look(space.sample(jax.random.fold_in(key, step), 16))

    return _spend(space, evaluate, seconds, evaluations, walk)


def evolve(
    space: Space,
    evaluate: Evaluate,
    key: Key,
    seconds: float | None = None,
    evaluations: int | None = None,
    population: int = 10,
    tournament: int = 3,
) -> Trail:
    """Regularized evolution: the best of a drawn few is mutated in one choice, the oldest dies (Real et al. 2019,
    arXiv:1802.01548; the sizes are those of NAS-Bench-201's baseline)."""

    def walk(look: Look) -> None:
        start = space.sample(stream(key, "start"), population)
        members = list(zip(space.dicts(start), look(start)))
        rng = generator(stream(key, "tournaments"))
        while True:
            drawn = rng.choice(len(members), min(tournament, len(members)), replace=False)
            parent = members[max(drawn, key=lambda i: members[i][1])][0]
            near = space.neighbors(parent)
            child = space.configs([near[rng.integers(len(near))]])
            members.append((space.dicts(child)[0], float(look(child)[0])))
            members = members[-population:]

    return _spend(space, evaluate, seconds, evaluations, walk)


def local_search(
    space: Space, evaluate: Evaluate, key: Key, seconds: float | None = None, evaluations: int | None = None
) -> Trail:
    """Steepest ascent over all neighbors, begun anew where it ends (White et al. 2021, arXiv:2005.02960)."""

    def walk(look: Look) -> None:
        for restart in itertools.count():
            here = space.sample(jax.random.fold_in(key, restart), 1)
            value = look(here)[0]
            while True:
                near = space.neighbors(space.dicts(here)[0])
                found = look(space.configs(near))
                if found.max() <= value:
                    break
                here, value = space.configs([near[int(np.argmax(found))]]), found.max()

    return _spend(space, evaluate, seconds, evaluations, walk)


def reinforce(
    space: Space,
    evaluate: Evaluate,
    key: Key,
    seconds: float | None = None,
    evaluations: int | None = None,
    rate: float = 0.01,
    baseline: float = 0.9,
) -> Trail:
    """A controller of independent choices learns by REINFORCE with Adam and a moving baseline (Williams 1992; as in
    NAS-Bench-201's baseline)."""
    draw, mask = policy_paths(1), jnp.ones(space.width)
    optimizer = optax.adam(rate, b2=0.999)

    @jax.jit
    def sample(logits, key):
        return draw(space, logits, Moment(jnp.zeros(()), mask), key)

    @jax.jit
    def learn(logits, opt_state, encoding, advantage):
        loss = lambda logits: -advantage * log_probability(space, logits, mask, encoding)[0]
        updates, opt_state = optimizer.update(jax.grad(loss)(logits), opt_state)
        return optax.apply_updates(logits, updates), opt_state

    def walk(look: Look) -> None:
        logits, average = space.zeros(), None
        opt_state = optimizer.init(logits)
        for step in itertools.count():
            encoding = sample(logits, jax.random.fold_in(key, step))
            value = float(look(space.decode_configs(encoding))[0])
            average = value if average is None else baseline * average + (1 - baseline) * value
            logits, opt_state = learn(logits, opt_state, encoding, value - average)

    return _spend(space, evaluate, seconds, evaluations, walk)


def best_of(space: Space, evaluate: Evaluate, encodings: Any) -> Trail:
    """Configurations that were drawn elsewhere, such as by a controller.

    Args:
        space: of the encodings.
        evaluate: see ``Evaluate``.
        encodings: f32[n, width].

    Example:
        >>> from metajax.supernet.spaces import cell_space
        >>> space = cell_space(2)
        >>> first = lambda encodings: (np.asarray(encodings)[:, 0], np.zeros(len(encodings)))
        >>> best_of(space, first, np.eye(5)[[3, 0, 1]]).best
        {'edge_0_1': 'none'}
    """
    values, costs = evaluate(encodings)
    return Trail(space.decode(np.asarray(encodings)), np.asarray(values, np.float64), np.cumsum(costs))


def by_shared_weights(accuracy: Callable[[Any, jax.Array], Scalar], params: Any) -> Evaluate:
    """An ``Evaluate`` that asks a SuperNet: ``accuracy(params, encoding)`` with the shared weights, at no cost. The arrays of
    an ``accuracy`` that is a ``jax.tree_util.Partial`` are no constants of the compiled program."""
    score = jax.jit(lambda accuracy, params, encodings: jax.lax.map(lambda e: accuracy(params, e), encodings))
    judge = accuracy if isinstance(accuracy, Partial) else Partial(accuracy)

    def evaluate(encodings):
        encodings = jnp.asarray(encodings)
        size = 1 if len(encodings) == 1 else 16  # two sizes, two programs
        padded = jnp.concatenate([encodings, jnp.repeat(encodings[-1:], -len(encodings) % size, axis=0)])
        found = [np.asarray(score(judge, params, padded[i : i + size])) for i in range(0, len(padded), size)]
        return np.concatenate(found)[: len(encodings)], np.zeros(len(encodings))

    return evaluate
