"""The ask-and-tell protocol of all proposers, and the record of proposals and results that they share."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from metajax.predictor import Trials
from metajax.space import Space
from metajax.types import InputError, Key


class AskTell(Protocol):
    """A proposer of configurations: ask for some, train them, and tell their metrics.

    ``Proposer`` asks a meta-learner, ``RandomProposer`` draws, ``OptunaProposer`` asks Optuna. The main job uses all of them
    through this protocol.

    Attributes:
        space: The space of the configurations.
        r2: Cross-validated R² of the models that the last ``ask`` compared, by name; empty if none were compared.
    """

    space: Space
    r2: dict[str, float]

    @property
    def trials(self) -> Trials:
        """The recorded results."""
        ...

    def ask(self, n: int = 1) -> list[dict[str, Any]]:
        """Proposes configurations.

        Args:
            n: Number of configurations, at least 1.

        Returns:
            The next n configurations to train, as dictionaries.

        Raises:
            InputError: If n is below 1.
        """
        ...

    def tell(
        self,
        configs: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        metrics: Sequence[float] | np.ndarray,
        asked: Sequence[Mapping[str, Any]] | None = None,
        seconds: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        """Records the results of trainings, in any order, whether they were proposed or not.

        Args:
            configs: The trained configurations, as dictionaries or as a struct of arrays.
            metrics: The metric of each training; NaN or infinite for one that failed.
            asked: The proposals of ``ask``, if others were trained in their place (because choices were fixed or rounded).
                By default the configurations themselves.
            seconds: The time of each training, for strategies that weigh its cost; NaN where it is not known.

        Raises:
            InputError: If lengths differ or a configuration is outside the space; nothing is recorded then.
        """
        ...


class Record:
    """The proposals and the results so far: the state that all proposers share.

    Attributes:
        space: The space of the configurations.
        maximize: Whether a larger metric is better.
        configs: The configurations of the results, as dictionaries, in order.
        metrics: The metric of each; NaN where the training failed.
        seconds: The training time of each; NaN where it is not known.
        waiting: The proposals without a result so far.
        r2: See ``AskTell``.
        key: The random key.
    """

    def __init__(self, space: Space, maximize: bool, key: Key | None):
        self.space: Space = space
        self.maximize: bool = maximize
        self.key: Key = jax.random.key(0) if key is None else key
        self.r2: dict[str, float] = {}
        self._forget()

    def _forget(self) -> None:
        """Removes all proposals and results."""
        self.configs: list[dict[str, Any]] = []
        self.metrics: list[float] = []
        self.seconds: list[float] = []
        self.waiting: list[dict[str, Any]] = []
        self._structs: list[dict[str, np.ndarray]] = []

    @property
    def trials(self) -> Trials:
        """The results as ``predictor.Trials``. Raises InputError if no training has succeeded so far."""
        if not self._structs:
            raise InputError("trials: no result has been recorded yet; call tell first")
        columns = {name: np.concatenate([struct[name] for struct in self._structs]) for name in self.space.domains}
        settings = {"seconds": np.array(self.seconds)}
        return Trials.from_arrays(self.space, columns, self.metrics, self.maximize, settings=settings)

    @property
    def best(self) -> dict[str, Any]:
        """The best configuration so far. Raises InputError if no training has succeeded so far."""
        return self.configs[self.trials.best]

    @property
    def count(self) -> int:
        """The number of results and of proposals without a result."""
        return len(self.configs) + len(self.waiting)

    def tell(
        self,
        configs: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        metrics: Sequence[float] | np.ndarray,
        asked: Sequence[Mapping[str, Any]] | None = None,
        seconds: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        """Records the results of trainings; see ``AskTell.tell``."""
        try:
            if isinstance(configs, Mapping):
                struct = {name: np.asarray(configs[name]) for name in self.space.domains}
                dicts = self.space.dicts(struct)
            else:
                dicts = [dict(config) for config in configs]
                struct = {} if not dicts else self.space.configs(dicts)
        except (ValueError, KeyError) as error:
            raise InputError(f"tell: {error}") from error
        if len(dicts) != len(metrics):
            raise InputError(
                f"tell: metrics must have one value for each of the {len(dicts)} configurations, got {len(metrics)}"
            )
        durations = [float("nan")] * len(dicts) if seconds is None else [float(value) for value in seconds]
        if len(durations) != len(dicts):
            raise InputError(
                f"tell: seconds must be None or have one value for each of the {len(dicts)} configurations, got "
                f"{len(durations)}"
            )
        if not dicts:
            return
        finished = {identity(config) for config in (dicts if asked is None else asked)}
        self.waiting = [config for config in self.waiting if identity(config) not in finished]
        self._structs.append({name: np.asarray(column) for name, column in struct.items()})
        self.configs += dicts
        self.seconds += durations
        self.metrics += [float(m) if np.isfinite(m) else float("nan") for m in metrics]


def checked_number(n: int) -> None:
    """Raises InputError unless ``n``, the number of proposals, is at least 1."""
    if n < 1:
        raise InputError(f"ask: n must be an integer >= 1, got {n}")


def identity(config: Mapping[str, Any]) -> str:
    """A text that is the same for two configurations if they are equal up to rounding."""
    rounded = {name: round(value, 9) if isinstance(value, float) else value for name, value in config.items()}
    return json.dumps(rounded, sort_keys=True, default=list)
