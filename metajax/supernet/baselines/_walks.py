"""Searches that only ask for values: random search, evolution, local search."""

import itertools

import jax

from metajax.space import Space
from metajax.supernet._protocols import Evaluate
from metajax.supernet.baselines._trail import Look, Trail, spend
from metajax.types import Key, generator, stream


def random_search(
    space: Space, evaluate: Evaluate, key: Key, seconds: float | None = None, evaluations: int | None = None
) -> Trail:
    """Draws configurations uniformly until the budget is spent.

    Args:
        space: The space of architectures.
        evaluate: A function ``encodings -> (values, seconds)``.
        key: The random key of the whole search.
        seconds: The budget of evaluation time, in seconds; give this or ``evaluations``.
        evaluations: The budget of evaluations, a number of them.

    Returns:
        The configurations that the search evaluated, with their values and costs.

    Raises:
        InputError: If neither budget is given.

    References:
        Li and Talwalkar 2020, "Random search and reproducibility for neural architecture search", arXiv:1902.07638.

    Example:
        >>> import numpy as np
        >>> from metajax.supernet.spaces import cell_space
        >>> first = lambda encodings: (np.asarray(encodings)[:, 0], np.zeros(len(encodings)))
        >>> len(random_search(cell_space(2), first, jax.random.key(0), evaluations=7).values)
        7
    """

    def walk(look: Look) -> None:
        for step in itertools.count():
            look(space.sample(jax.random.fold_in(key, step), 16))

    return spend(space, evaluate, seconds, evaluations, walk)


def evolve(
    space: Space,
    evaluate: Evaluate,
    key: Key,
    seconds: float | None = None,
    evaluations: int | None = None,
    population: int = 10,
    tournament: int = 3,
) -> Trail:
    """Evolves with aging: the best of a drawn few is mutated in one choice, the oldest dies.

    Args:
        space: The space of architectures.
        evaluate: A function ``encodings -> (values, seconds)``.
        key: The random key of the whole search.
        seconds: The budget of evaluation time, in seconds; give this or ``evaluations``.
        evaluations: The budget of evaluations, a number of them.
        population: The number of configurations that live at a time; the default is that of NAS-Bench-201's baseline.
        tournament: The number of configurations among which a parent is the best; the default is that of NAS-Bench-201's
            baseline.

    Returns:
        The configurations that the search evaluated, with their values and costs.

    Raises:
        InputError: If neither budget is given.

    References:
        Real et al. 2019, "Regularized evolution for image classifier architecture search", arXiv:1802.01548.

    Example:
        >>> import numpy as np
        >>> from metajax.supernet.spaces import cell_space
        >>> convolutions = lambda encodings: (np.asarray(encodings)[:, 3::5].sum(axis=1), np.zeros(len(encodings)))
        >>> set(evolve(cell_space(3), convolutions, jax.random.key(0), evaluations=100).best.values())
        {'conv3x3'}
    """

    def walk(look: Look) -> None:
        start = space.sample(stream(key, "start"), population)
        members = list(zip(space.dicts(start), look(start)))
        rng = generator(stream(key, "tournaments"))
        while True:
            contestants = rng.choice(len(members), min(tournament, len(members)), replace=False)
            parent = members[max(contestants, key=lambda i: members[i][1])][0]
            neighbors = space.neighbors(parent)
            child = space.configs([neighbors[rng.integers(len(neighbors))]])
            members.append((space.dicts(child)[0], float(look(child)[0])))
            members = members[-population:]

    return spend(space, evaluate, seconds, evaluations, walk)


def local_search(
    space: Space, evaluate: Evaluate, key: Key, seconds: float | None = None, evaluations: int | None = None
) -> Trail:
    """Climbs to the best neighbor until none is better, and begins anew.

    Args:
        space: The space of architectures.
        evaluate: A function ``encodings -> (values, seconds)``.
        key: The random key of the whole search.
        seconds: The budget of evaluation time, in seconds; give this or ``evaluations``.
        evaluations: The budget of evaluations, a number of them.

    Returns:
        The configurations that the search evaluated, with their values and costs.

    Raises:
        InputError: If neither budget is given.

    References:
        White et al. 2021, "Exploring the loss landscape in neural architecture search", arXiv:2005.02960.

    Example:
        >>> import numpy as np
        >>> from metajax.supernet.spaces import cell_space
        >>> convolutions = lambda encodings: (np.asarray(encodings)[:, 3::5].sum(axis=1), np.zeros(len(encodings)))
        >>> set(local_search(cell_space(3), convolutions, jax.random.key(0), evaluations=50).best.values())
        {'conv3x3'}
    """

    def walk(look: Look) -> None:
        for restart in itertools.count():
            current = space.sample(jax.random.fold_in(key, restart), 1)
            value = look(current)[0]
            while True:
                neighbors = space.neighbors(space.dicts(current)[0])
                values = look(space.configs(neighbors))
                if values.max() <= value:
                    break
                current, value = space.configs([neighbors[int(values.argmax())]]), values.max()

    return spend(space, evaluate, seconds, evaluations, walk)
