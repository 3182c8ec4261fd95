"""Proposers without a meta-learner, with which the meta-learner is compared: random search and Optuna."""

from typing import Any

import jax
import numpy as np

from metajax._optional import optional
from metajax.search._ask_tell import Record, checked_number
from metajax.space import Space, interop
from metajax.types import Key


class RandomProposer(Record):
    """Proposes random configurations.

    Args:
        space: The space to search.
        maximize: Whether a larger metric is better; only ``best`` depends on it.
        key: Random key, ``jax.random.key(0)`` by default.

    Example:
        >>> from metajax import search
        >>> from metajax.space import Float, Space
        >>> proposer = search.RandomProposer(Space({"x": Float(0.0, 1.0)}))
        >>> proposer.tell(asked := proposer.ask(100), [c["x"] for c in asked])
        >>> proposer.best["x"] > 0.9
        True
    """

    def __init__(self, space: Space, maximize: bool = True, key: Key | None = None):
        super().__init__(space, maximize, key)

    def ask(self, n: int = 1) -> list[dict[str, Any]]:
        """Draws n configurations; see ``AskTell.ask``."""
        checked_number(n)
        proposals = self.space.dicts(self.space.sample(jax.random.fold_in(self.key, self.count), n))
        self.waiting.extend(proposals)
        return proposals


class OptunaProposer(Record):
    """Proposes by Optuna's multivariate TPE.

    The sampler knows all results. Proposals without a result count as bad ("constant liar"), so that a batch spreads out.

    Args:
        space: The space to search.
        maximize: Whether a larger metric is better.
        key: Random key, ``jax.random.key(0)`` by default.

    Raises:
        InputError: If Optuna is not installed.

    References:
        Bergstra et al., Algorithms for hyper-parameter optimization, 2011. Falkner, Klein and Hutter, BOHB: robust and
        efficient hyperparameter optimization at scale, 2018, arXiv:1807.01774.

    Example:
        >>> from metajax import search
        >>> from metajax.space import Float, Space
        >>> proposer = search.OptunaProposer(Space({"x": Float(0.0, 1.0)}))
        >>> proposer.tell(asked := proposer.ask(20), [c["x"] for c in asked])
        >>> proposer.best["x"] > 0.5
        True
    """

    def __init__(self, space: Space, maximize: bool = True, key: Key | None = None):
        optuna = optional("optuna", "search.OptunaProposer")
        super().__init__(space, maximize, key)
        optuna.logging.set_verbosity(optuna.logging.ERROR)

    def ask(self, n: int = 1) -> list[dict[str, Any]]:
        """Asks the sampler n times; see ``AskTell.ask``."""
        import optuna

        checked_number(n)
        space, distributions = self.space, interop.to_optuna(self.space)
        seed = int(jax.random.randint(jax.random.fold_in(self.key, self.count), (), 0, 2**31 - 1))
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        study = optuna.create_study(sampler=sampler, direction="maximize")
        # Optuna needs a value for every name, also where a parameter is inactive
        absent = _completed(space, space.dicts(space.sample(jax.random.key(0), 1))[0])
        add = lambda config, **outcome: study.add_trial(
            optuna.trial.create_trial(
                params=interop.to_params(space, {**absent, **config}), distributions=distributions, **outcome
            )
        )
        if self.configs:
            trials = self.trials
            for config, value in zip(trials.configs(), trials.utility):
                add(config, value=float(value) if np.isfinite(value) else -1e9)
        for config in self.waiting:
            add(config, state=optuna.trial.TrialState.RUNNING)
        params = [study.ask(distributions).params for _ in range(n)]
        proposals = space.dicts(space.configs([interop.from_params(space, values) for values in params]))
        self.waiting.extend(proposals)
        return proposals


def _completed(space: Space, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with a value for every name, whether it is active or not."""
    completed = dict(config)
    for name, domain in space.domains.items():
        if name not in completed:
            value = domain.draw(jax.numpy.full((1, domain.width), 0.5))
            completed[name] = domain.to_python(np.asarray(value)[0])
    return completed
