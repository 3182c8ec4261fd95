"""How a proposer turns a fitted model into the next configurations."""

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from metajax.predictor import Model, Trials
from metajax.predictor._spec import compiled_apply
from metajax.search._acquire import ACQUISITIONS, acquire
from metajax.search._gradient import Gradient
from metajax.search._maximize import maximize
from metajax.search._pool import Pool
from metajax.space import Space
from metajax.types import InputError, Key, stream

_POOL, _PARENTS, _ASCENDED, _RANKED = 4096, 32, 64, 256


class Knowledge(NamedTuple):
    """What a strategy proposes from.

    Attributes:
        model: The model, fitted to the trials.
        trials: What was told.
        waiting: f32[m, width], what was asked for and not told yet.
        key: The random key of the proposer, the same in every call.
        count: Number of configurations that were asked for or told, by which calls differ.
    """

    model: Model
    trials: Trials
    waiting: np.ndarray
    key: Key
    count: int


class Strategy(Protocol):
    """How a ``Proposer`` chooses among all configurations once it has a model.

    Example:
        >>> from metajax import search
        >>> from metajax.space import Integer, Space
        >>> class Greedy:  # a strategy of your own: the best by the model
        ...     def propose(self, knowledge, n):
        ...         return search.maximize(knowledge.model, search.Enumerate(), k=n + knowledge.count).configs
        >>> proposer = search.Proposer(Space({"n": Integer(0, 9)}), strategy=Greedy(), n_initial=4)
        >>> for _ in range(2):
        ...     proposer.tell(asked := proposer.ask(4), [-abs(c["n"] - 7) for c in asked])
        >>> proposer.best
        {'n': 7}
    """

    def propose(self, knowledge: Knowledge, n: int) -> list[dict[str, Any]]:
        """Proposes configurations.

        Args:
            knowledge: The model and what it was fitted to.
            n: How many are asked for.

        Returns:
            Candidates, the best first: at least n if the space has as many. The proposer leaves out those that were asked for
            or told before, and fills up with random ones.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Acquisition:
    r"""Ranks candidates by an acquisition function: for one configuration or a few at a time.

    With the mean μ and the deviation σ of the model and the best value b so far, the default is the expected improvement:

    $$\mathrm{EI}(x) = \mathbb{E} \max(f(x) - b, 0) = \sigma(x) \bigl(\varphi(z) + z \, \Phi(z)\bigr), \qquad
    z = \frac{\mu(x) - b}{\sigma(x)}$$

    Candidates are 4,096 random configurations, as many mutations of the 32 best trials, and the 64 best configurations of a
    search by gradient.

    Attributes:
        name: The acquisition of ``search.acquire``: ``"mean"``, ``"ucb"``, ``"ei"`` or ``"thompson"``.
        optimism: Number of standard deviations of ``"ucb"``.
        radius: Number of choices that may differ from the best trial so far, at least 1; ``None`` for any number. The maximum
            of a wrong model lies far from the data.

    Raises:
        InputError: If the acquisition is unknown or ``radius`` is below 1.

    Example:
        >>> from metajax import search
        >>> from metajax.space import Integer, Space
        >>> near = search.Acquisition("ucb", optimism=2.0, radius=1)
        >>> proposer = search.Proposer(Space({"a": Integer(0, 9), "b": Integer(0, 9)}), strategy=near, n_initial=4)
        >>> for _ in range(4):
        ...     proposer.tell(asked := proposer.ask(2), [-((c["a"] - 7) ** 2) - (c["b"] - 2) ** 2 for c in asked])
        >>> (config,) = proposer.ask()
        >>> sum(config[name] != proposer.best[name] for name in "ab") <= 1
        True
    """

    name: str = "ei"
    optimism: float = 1.0
    radius: int | None = None

    def __post_init__(self) -> None:
        if self.name not in ACQUISITIONS:
            raise InputError(
                f"Acquisition: name must be one of {', '.join(map(repr, ACQUISITIONS))}, got {self.name!r}"
            )
        if self.radius is not None and self.radius < 1:
            raise InputError(f"Acquisition: radius must be an integer >= 1 or None, got {self.radius}")

    def propose(self, knowledge: Knowledge, n: int) -> list[dict[str, Any]]:
        """See ``Strategy.propose``."""
        model, trials = knowledge.model, knowledge.trials
        draw = lambda purpose: jax.random.fold_in(stream(knowledge.key, purpose), knowledge.count)
        order = np.argsort(-trials.utility, kind="stable")
        top = trials.encodings[order[:_PARENTS]]
        pool = self._candidates(model, top, draw)
        if self.radius is not None:
            pool = pool[_differences(trials.space, pool, trials.encodings[order[0]]) <= self.radius]
        # The arrays are padded to one size, so that the program is compiled once.
        size = 2 * _POOL + _ASCENDED + _PARENTS
        padded = np.concatenate([pool, np.repeat(top[:1], size - len(top) - len(pool), axis=0), top])
        mean, std = compiled_apply(model.spec, False)(model.params, model.inputs(padded))
        # NumPy cuts them, because JAX would compile a program for every number of rows.
        best = float(np.max(np.asarray(mean)[len(padded) - len(top) :]))
        score = np.asarray(acquire(self.name, mean, std, best, self.optimism, draw("acquire")))[: len(pool)]
        return trials.space.decode(pool[np.argsort(-score, kind="stable")[:_RANKED]])

    def _candidates(self, model: Model, top: np.ndarray, draw: Any) -> np.ndarray:
        """Distinct f32[m, width]: random configurations, mutations of the top trials, and those of a search by gradient."""
        space = model.space
        candidates = [np.asarray(space.encode(space.sample(draw("candidates"), _POOL)))]
        parents = space.decode_configs(np.repeat(top, _POOL // len(top), axis=0))
        candidates.append(np.asarray(space.encode(space.mutate(draw("mutate"), parents))))
        found = maximize(model, Gradient(), k=_ASCENDED, key=draw("maximize"), start=space.decode(top))
        candidates.append(np.asarray(space.encode(space.configs(found.configs))))
        return np.unique(np.concatenate(candidates), axis=0)


def _differences(space: Space, encodings: np.ndarray, center: np.ndarray) -> np.ndarray:
    """int[n]: number of domains in which encodings differ from the center."""
    differs = np.abs(encodings - center) > 1e-6
    return np.sum([differs[:, part].any(axis=1) for part in space.slices.values()], axis=0)


@dataclasses.dataclass(frozen=True)
class DiverseBatch:
    r"""Searches at several degrees of optimism and spreads the proposals out: for a population that is trained at once.

    A search by gradient maximizes an upper confidence bound for each degree κ of optimism:

    $$\max_x \; \mu(x) + \kappa \, \sigma(x)$$

    The proposals are taken in turn from these searches, so that every degree has its share, and keep a distance from
    each other and from what was tried, so that a batch does not spend itself in one corner. One proposal in 16 (at
    least one) is random.

    Attributes:
        optimism: The degrees of optimism, at least one.

    Raises:
        InputError: If no degree is given.

    Example:
        >>> import numpy as np
        >>> from metajax import search
        >>> from metajax.space import Float, Space
        >>> proposer = search.Proposer(Space({"x": Float(0.0, 1.0)}), strategy=search.DiverseBatch(), n_initial=8)
        >>> proposer.tell(asked := proposer.ask(8), [-((c["x"] - 0.3) ** 2) for c in asked])
        >>> xs = np.sort([c["x"] for c in proposer.ask(4)])
        >>> len(xs), bool(np.diff(xs).min() > 1e-6)
        (4, True)
    """

    optimism: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)

    def __post_init__(self) -> None:
        if not self.optimism:
            raise InputError("DiverseBatch: optimism must not be empty; pass at least one degree, such as (0.0, 1.0)")

    def propose(self, knowledge: Knowledge, n: int) -> list[dict[str, Any]]:
        """See ``Strategy.propose``."""
        model, trials, space = knowledge.model, knowledge.trials, knowledge.trials.space
        key = jax.random.fold_in(knowledge.key, knowledge.count)
        evaluated = np.concatenate([trials.encodings, knowledge.waiting])
        best = space.decode(trials.encodings[np.argsort(-trials.utility, kind="stable")[:64]])
        pools, configs = [], []
        for i, optimism in enumerate(self.optimism):
            search_key = jax.random.fold_in(stream(key, "search"), i)
            found = maximize(model, Gradient(), k=256, optimism=optimism, key=search_key, start=best)
            pools.append(Pool(space, np.asarray(space.encode(space.configs(found.configs))), evaluated))
            configs.append(found.configs)
        random = space.sample(stream(key, "random"), max(1, n // 16))
        picked = space.dicts(random)[:n]
        for row in np.asarray(space.encode(random)):
            keep_from(pools, row)
        while len(picked) < n:
            before = len(picked)
            for pool, candidates in zip(pools, configs):
                if len(picked) < n and (index := pool.take()) is not None:
                    picked.append(candidates[index])
                    keep_from(pools, pool.rows[index])
            if len(picked) == before:  # all pools are used up
                picked += space.dicts(space.sample(stream(key, "extra"), n - before))
        return picked


def keep_from(pools: list[Pool], row: np.ndarray) -> None:
    """Keeps a distance from a configuration in all pools."""
    for pool in pools:
        pool.keep_from(row)
