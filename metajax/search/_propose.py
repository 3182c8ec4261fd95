"""What to train next: a loop of asking and telling that starts from other datasets and survives failures and kills."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax import predictor
from metajax.predictor import Model, Spec, Trials
from metajax.predictor._specs import compiled_apply
from metajax.run import write_text
from metajax.search._acquire import ACQUISITIONS, acquire
from metajax.search._design import representative
from metajax.search._maximize import maximize
from metajax.space import Space, interop
from metajax.types import InputError, stream

_POOL, _DRAWN = 4096, 256
_KERNEL = predictor.kernel()  # one, so that it is compiled once


class Proposer:
    """Asks for configurations and is told how they did.

    The first ``begun`` are those that earlier datasets recommend, or ``representative`` ones of a random sample. Then a model
    is fitted to what was told, and the candidates (a random pool, mutations of the best, and the best of a search by gradient)
    compete by the acquisition; in a batch every next one must differ from those before. Everything that it knows is its
    arguments and what it was told, so that ``save`` and ``load`` go on as if nothing had happened.

    Args:
        space: to search.
        spec: the model; ``predictor.kernel()`` by default.
        maximize: the direction of the metric.
        acquisition: of ``search.acquire``.
        optimism: of ``ucb``.
        target: what the model is taught.
        begun: how many configurations come before the first model.
        earlier: trials of the same space on other datasets. Their ``begun`` best by mean rank come first.
        radius: at most so many choices may differ from the best told so far, once there is a model; ``None`` for any. The
            maximum of a wrong model lies far from the data.
        seed: of everything random.

    Raises:
        InputError: on an unknown acquisition, or numbers below 1.

    Example:
        >>> from metajax.space import Float
        >>> proposer = Proposer(Space({"x": Float(0.0, 1.0)}), begun=4)
        >>> for _ in range(8):
        ...     (config,) = proposer.ask()
        ...     proposer.tell([config], [-((config["x"] - 0.3) ** 2)])
        >>> abs(proposer.best["x"] - 0.3) < 0.1
        True
    """

    def __init__(
        self,
        space: Space,
        spec: Spec | None = None,
        maximize: bool = True,
        acquisition: str = "ei",
        optimism: float = 1.0,
        target: str = "rank",
        begun: int = 8,
        earlier: Trials | None = None,
        radius: int | None = None,
        seed: int = 0,
    ):
        if acquisition not in ACQUISITIONS:
            raise InputError(f"Proposer: acquisition={acquisition!r}; accepted are {list(ACQUISITIONS)}")
        if begun < 1 or (radius is not None and radius < 1):
            raise InputError(f"Proposer: begun={begun}, radius={radius}; accepted are numbers from 1")
        if earlier is not None and earlier.space != space:
            raise InputError("Proposer: the earlier trials are of another space")
        self.space, self.spec, self.maximize = space, spec or _KERNEL, maximize
        self.acquisition, self.optimism, self.target, self.radius = acquisition, optimism, target, radius
        self.begun, self.seed = begun, seed
        self._first = None if earlier is None else recommend(earlier, begun)
        self.configs: list[dict[str, Any]] = []
        self.metrics: list[float] = []
        self.waiting: list[dict[str, Any]] = []
        self.model: Model | None = None

    @property
    def trials(self) -> Trials:
        """What was told. Raises InputError before anything has succeeded."""
        return Trials.from_arrays(self.space, self.configs, self.metrics, self.maximize)

    @property
    def best(self) -> dict[str, Any]:
        """The best configuration told so far."""
        return self.configs[self.trials.best]

    def ask(self, n: int = 1) -> list[dict[str, Any]]:
        """The next n configurations to train, different from all that were asked or told, as long as the space has others."""
        if n < 1:
            raise InputError(f"ask: n={n}; accepted are numbers from 1")
        known = {_key(c) for c in [*self.configs, *self.waiting]}
        picked: list[dict[str, Any]] = []
        for pool in self._pools():
            for config in pool:
                if len(picked) < n and _key(config) not in known:
                    picked.append(config)
                    known.add(_key(config))
        if len(picked) < n:  # a small space is used up: once more what is there
            drawn = self.space.dicts(self.space.sample(self._random("again"), n - len(picked)))
            picked += drawn
        self.waiting += picked
        return picked

    def tell(self, configs: Sequence[Mapping[str, Any]], metrics: Sequence[float]) -> None:
        """How trainings ended, in any order, asked for or not; NaN or infinite for one that failed.

        Raises:
            InputError: if lengths differ, or a configuration is outside the space; nothing is taken then.
        """
        if len(configs) != len(metrics):
            raise InputError(
                f"tell: {len(configs)} configurations and {len(metrics)} metrics; accepted is one for each"
            )
        try:
            self.space.configs(configs)
        except ValueError as error:
            raise InputError(f"tell: {error}") from error
        told = {_key(c) for c in configs}
        self.waiting = [c for c in self.waiting if _key(c) not in told]
        self.configs += [dict(c) for c in configs]
        self.metrics += [float(m) if np.isfinite(m) else float("nan") for m in metrics]

    def save(self, path: Path | str) -> None:
        """Everything, as JSON, whole or not at all."""
        state = {
            "space": json.loads(interop.to_json(self.space)),
            "configs": self.configs,
            "metrics": [None if np.isnan(m) else m for m in self.metrics],
            "waiting": self.waiting,
            "first": self.first,
        }
        write_text(Path(path), json.dumps(state))

    def load(self, path: Path | str) -> "Proposer":
        """Takes up what ``save`` wrote; the arguments must be the same as then.

        Raises:
            InputError: if the file is missing, damaged or of another space.
        """
        try:
            state = json.loads(Path(path).read_text())
            space = interop.from_json(json.dumps(state["space"]))
            told = state["configs"], [float("nan") if m is None else m for m in state["metrics"]]
            waiting, first = state["waiting"], state["first"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not what a Proposer saved ({error})") from error
        if space != self.space:
            raise InputError(f"{path}: was saved with another space")
        self.configs, self.metrics, self.waiting = [], [], []
        self._first = [_plain(c) for c in first]
        self.tell([_plain(c) for c in told[0]], told[1])
        self.waiting = [_plain(c) for c in waiting]
        return self

    @property
    def first(self) -> list[dict[str, Any]]:
        """What is asked for before there is a model."""
        if self._first is None:
            self._first = self._design()
        return self._first

    def _design(self) -> list[dict[str, Any]]:
        drawn = self.space.sample(stream(jax.random.key(self.seed), "design"), max(_DRAWN, self.begun))
        encodings = np.asarray(self.space.encode(drawn))
        return self.space.decode(encodings[representative(encodings, self.begun)])

    def _random(self, purpose: str) -> jax.Array:
        return jax.random.fold_in(stream(jax.random.key(self.seed), purpose), len(self.configs) + len(self.waiting))

    def _pools(self) -> list[list[dict[str, Any]]]:
        """Lists of candidates, best first, to be taken in turn."""
        drawn = self.space.dicts(self.space.sample(self._random("random"), max(64, self.begun)))
        succeeded = int(np.isfinite(self.metrics).sum())
        if succeeded < min(2, self.begun) or len(self.configs) < self.begun:
            return [self.first, drawn]
        trials = self.trials
        self.model = predictor.fit(trials, self.spec, self.target, stream(jax.random.key(self.seed), "fit"))
        order = np.argsort(-trials.utility, kind="stable")
        top = trials.encodings[order[:32]]
        candidates = [np.asarray(self.space.encode(self.space.sample(self._random("candidates"), _POOL)))]
        parents = self.space.decode_configs(np.repeat(top, _POOL // len(top), axis=0))
        candidates.append(np.asarray(self.space.encode(self.space.mutate(self._random("mutate"), parents))))
        found = maximize(self.model, k=64, key=self._random("maximize"), start=self.space.decode(top))
        candidates.append(np.asarray(self.space.encode(self.space.configs(found.configs))))
        pool = np.unique(np.concatenate(candidates), axis=0)
        if self.radius is not None:
            pool = pool[self._distance(pool, trials.encodings[order[0]]) <= self.radius]
        # of one size, so that it is compiled once
        padded = np.concatenate([pool, np.repeat(top[:1], 2 * _POOL + 64 + 32 - len(top) - len(pool), axis=0), top])
        mean, std = compiled_apply(self.spec, False)(self.model.params, self.model.inputs(padded))
        best = jnp.max(mean[len(padded) - len(top) :])
        score = acquire(self.acquisition, mean, std, best, self.optimism, self._random("acquire"))[: len(pool)]
        return [self.space.decode(pool[np.argsort(-np.asarray(score), kind="stable")[:256]]), drawn]

    def _distance(self, encodings: np.ndarray, center: np.ndarray) -> np.ndarray:
        """How many choices differ."""
        differs = np.abs(encodings - center) > 1e-6
        return np.sum([differs[:, part].any(axis=1) for part in self.space.slices.values()], axis=0)


def recommend(earlier: Trials, n: int) -> list[dict[str, Any]]:
    """The n configurations of the earlier trials with the best mean rank over their datasets, by a model of the ranks where
    datasets tried different ones."""
    encodings = np.unique(earlier.encodings, axis=0)
    plain = dataclasses.replace(earlier, context=np.zeros((len(earlier), 0), np.float32))
    model = predictor.fit(plain, predictor.ridge(2), "rank")
    mean = model.predict(encodings)[0]
    return earlier.space.decode(encodings[np.argsort(-mean, kind="stable")[:n]])


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(
        {k: round(v, 9) if isinstance(v, float) else v for k, v in config.items()}, sort_keys=True, default=list
    )


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
