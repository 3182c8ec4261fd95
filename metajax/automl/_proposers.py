"""Who proposes what to train next: the meta-learner, chance, or Optuna's TPE."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from metajax.automl._propose import Proposal, propose
from metajax.predictor import Trials
from metajax.space import Space, interop
from metajax.types import InputError


def at_random(trials: Trials, n: int, key: jax.Array, earlier: Any = None, room: int = 64) -> Proposal:
    """Draws."""
    return Proposal(np.asarray(trials.space.encode(trials.space.sample(key, n))), None, {})


def by_optuna(trials: Trials, n: int, key: jax.Array, earlier: Any = None, room: int = 64) -> Proposal:
    """Multivariate TPE (Bergstra et al. 2011; Falkner et al. 2018), told of everything tried, asked for ``n`` at once: what is
    asked for and not yet trained counts as bad ("constant liar").

    Raises:
        InputError: if Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise InputError("method='optuna': needs Optuna: pip install 'metajax[optuna]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, distributions = trials.space, interop.to_optuna(trials.space)
    seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    first = space.dicts(space.sample(jax.random.key(0), 1))[0]
    absent = _filled(space, first)  # Optuna wants a value for every name
    for config, value in zip(trials.configs(), trials.utility):
        params = interop.to_params(space, {**absent, **config})
        study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=distributions, value=float(value) if np.isfinite(value) else -1e9
            )
        )
    asked = [study.ask(distributions).params for _ in range(n)]
    return Proposal(np.asarray(space.encode(space.configs([interop.from_params(space, p) for p in asked]))), None, {})


def _filled(space: Space, config: dict[str, Any]) -> dict[str, Any]:
    """A value for every name, whether it is active or not."""
    found = dict(config)
    for name, domain in space.domains.items():
        if name not in found:
            drawn = domain.draw(jax.numpy.full((1, domain.width), 0.5))
            found[name] = domain.to_python(np.asarray(drawn)[0])
    return found


PROPOSERS: dict[str, Callable[..., Proposal]] = {
    "metalearner": propose,
    "random": at_random,
    "optuna": by_optuna,
    "supernet": propose,
}
