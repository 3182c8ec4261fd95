"""The proposer: a model proposes what to train next, and is fitted to the results."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metajax import predictor
from metajax.predictor import Model, Spec, Trials
from metajax.run import write_text
from metajax.search._ask_tell import Record, checked_number, identity
from metajax.search._design import representative
from metajax.search._strategies import Acquisition, Knowledge, Strategy
from metajax.space import Space, interop
from metajax.types import InputError, Key, stream

_DRAWN, _FOLDS = 256, 5
_KERNEL = predictor.kernel()  # A single object is compiled once.
_EXPECTED_IMPROVEMENT = Acquisition()


class Proposer(Record):
    r"""Proposes configurations by a meta-learner: ``ask``, train, ``tell``.

    With the trials $D_t$ that were told so far, a model $(\mu, \sigma)$ is fitted and its acquisition α is maximized:

    $$x_{t+1} = \arg\max_x \; \alpha\bigl(\mu_{D_t}(x), \sigma_{D_t}(x)\bigr), \qquad
    D_{t+1} = D_t \cup \{(x_{t+1}, \text{metric})\}$$

    The first ``n_initial`` configurations are those that earlier datasets recommend, or representative ones of a random
    sample. Then each ``ask`` fits a model to what was told, and the strategy searches through it. Everything that the proposer
    knows is its arguments and what it was told, so that ``save`` and ``load`` go on as if nothing had happened.

    Attributes:
        space, maximize, configs, metrics, waiting, trials, best, r2: What was asked and told.
        model: The model of the last ``ask``, ``None`` before the first.

    Args:
        space: The space to search.
        spec: The model, ``predictor.kernel()`` by default. Of several, cross-validation chooses one at each ``ask``.
        strategy: ``Acquisition()`` for one configuration or a few at a time, ``DiverseBatch()`` for populations.
        maximize: Whether a larger metric is better.
        target: What the model learns: ``"rank"``, ``"value"`` or ``"log_ratio"``.
        n_initial: Number of configurations before the first model, at least 1.
        earlier: Trials of the same space on other datasets. Their ``n_initial`` best by mean rank are asked for first.
        fine_tune: Whether each model goes on from the last one of the same spec. The model itself is not saved: after
            ``load`` the first fit starts from scratch.
        padded_size: Tables of up to this number of trials share one compiled program; a power of two.
        key: Random key, ``jax.random.key(0)`` by default.

    Raises:
        InputError: If ``n_initial`` is below 1 or the earlier trials are of another space.

    Example:
        >>> from metajax import search
        >>> from metajax.space import Float, Space
        >>> proposer = search.Proposer(Space({"x": Float(0.0, 1.0)}), n_initial=4)
        >>> for _ in range(8):
        ...     (config,) = proposer.ask()
        ...     proposer.tell([config], [-((config["x"] - 0.3) ** 2)])
        >>> abs(proposer.best["x"] - 0.3) < 0.1
        True
    """

    def __init__(
        self,
        space: Space,
        spec: Spec | Sequence[Spec] = _KERNEL,
        strategy: Strategy = _EXPECTED_IMPROVEMENT,
        maximize: bool = True,
        target: str = "rank",
        n_initial: int = 8,
        earlier: Trials | None = None,
        fine_tune: bool = False,
        padded_size: int = 64,
        key: Key | None = None,
    ):
        if n_initial < 1:
            raise InputError(f"Proposer: n_initial must be an integer >= 1, got {n_initial}")
        if earlier is not None and earlier.space != space:
            raise InputError(
                "Proposer: the earlier trials must have the space of the proposer; read them with that space"
            )
        super().__init__(space, maximize, key)
        self.specs: list[Spec] = [spec] if isinstance(spec, Spec) else list(spec)
        self.strategy: Strategy = strategy
        self.target: str = target
        self.n_initial: int = n_initial
        self.fine_tune: bool = fine_tune
        self.padded_size: int = padded_size
        self._initial = None if earlier is None else recommend(earlier, n_initial)
        self.model: Model | None = None

    def ask(self, n: int = 1) -> list[dict[str, Any]]:
        """Proposes the next configurations to train.

        Args:
            n: Number of configurations, at least 1.

        Returns:
            n configurations that differ from each other and from all that were asked for or told, as long as the space has
            others.

        Raises:
            InputError: If n is below 1.
        """
        checked_number(n)
        previous = {identity(config) for config in [*self.configs, *self.waiting]}
        proposals: list[dict[str, Any]] = []
        for config in self._candidates(n):
            if identity(config) not in previous:
                proposals.append(config)
                previous.add(identity(config))
            if len(proposals) == n:
                break
        else:  # the space is used up: repeat some of it
            proposals += self.space.dicts(self.space.sample(self._draw("again"), n - len(proposals)))
        self.waiting.extend(proposals)
        return proposals

    def save(self, path: Path | str) -> None:
        """Writes the proposals and the results as JSON, in one atomic step.

        Args:
            path: The file to write.
        """
        state = {
            "space": json.loads(interop.to_json(self.space)),
            "configs": self.configs,
            "metrics": _with_null(self.metrics),
            "seconds": _with_null(self.seconds),
            "waiting": self.waiting,
            "first": self.initial,
        }
        write_text(Path(path), json.dumps(state))

    def load(self, path: Path | str) -> "Proposer":
        """Continues from a file of ``save``. The arguments of the proposer must be the same as those of the saved one.

        Args:
            path: The file to read.

        Returns:
            The proposer itself.

        Raises:
            InputError: If the file is missing or damaged, or was saved with another space.
        """
        try:
            state = json.loads(Path(path).read_text(encoding="utf-8"))
            space = interop.from_json(json.dumps(state["space"]))
            configs, metrics = state["configs"], _with_nan(state["metrics"])
            seconds = _with_nan(state["seconds"]) if "seconds" in state else None
            waiting, initial = state["waiting"], state["first"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: is not a file saved by Proposer.save ({error})") from error
        if space != self.space:
            raise InputError(
                f"{path}: was saved by a proposer with another space; construct the proposer with that space"
            )
        self._forget()
        self._initial = [_with_tuples(config) for config in initial]
        self.tell([_with_tuples(config) for config in configs], metrics, seconds=seconds)
        self.waiting.extend(_with_tuples(config) for config in waiting)
        return self

    @property
    def initial(self) -> list[dict[str, Any]]:
        """The configurations that are proposed before there is a model."""
        if self._initial is None:
            pool = self.space.sample(stream(self.key, "design"), max(_DRAWN, self.n_initial))
            encodings = np.asarray(self.space.encode(pool))
            self._initial = self.space.decode(encodings[representative(encodings, self.n_initial)])
        return self._initial

    def _draw(self, purpose: str) -> jax.Array:
        """A random key for one purpose in this call of ``ask``."""
        return jax.random.fold_in(stream(self.key, purpose), self.count)

    def _candidates(self, n: int) -> Iterator[dict[str, Any]]:
        """Candidates, the best first, then random ones."""
        n_succeeded = int(np.isfinite(self.metrics).sum())
        if n_succeeded < min(2, self.n_initial) or len(self.configs) < self.n_initial:
            yield from self.initial
        else:
            trials = self.trials
            self.model = self._fit(trials)
            none = np.zeros((0, self.space.width), np.float32)
            waiting = np.asarray(self.space.encode(self.space.configs(self.waiting))) if self.waiting else none
            yield from self.strategy.propose(Knowledge(self.model, trials, waiting, self.key, self.count), n)
        yield from self.space.dicts(self.space.sample(self._draw("random"), max(64, self.n_initial)))

    def _fit(self, trials: Trials) -> Model:
        """The model that is fitted to the results, of the spec that cross-validation prefers."""
        # A single spec is fitted with the same key every time, so that only new results change the proposals.
        key = self._draw("model") if len(self.specs) > 1 or self.fine_tune else self.key
        spec = self.specs[0]
        if len(self.specs) > 1 and len(np.unique(trials.encodings, axis=0)) >= _FOLDS:
            choice = predictor.choose(
                trials, self.specs, self.target, stream(key, "choose"), folds=_FOLDS, padded_size=self.padded_size
            )
            spec = choice.spec
            self.r2: dict[str, float] = choice.r2
        start = self.model if self.fine_tune else None
        return predictor.fit(trials, spec, self.target, stream(key, "fit"), start, self.padded_size)


def recommend(earlier: Trials, n: int) -> list[dict[str, Any]]:
    """Recommends what to try first on a new dataset, from trials on others.

    Args:
        earlier: Trials on one or more other datasets (groups).
        n: Number of configurations.

    Returns:
        The n configurations of the earlier trials with the best mean rank over their datasets. A ridge regression of the
        ranks stands in for what was not tried on a dataset.

    Example:
        >>> from metajax import predictor, search
        >>> from metajax.space import Integer, Space
        >>> space = Space({"layers": Integer(1, 4)})
        >>> configs = [{"layers": n} for n in (1, 2, 3, 4)] * 2
        >>> metric = [0.1, 0.5, 0.4, 0.3, 60.0, 90.0, 80.0, 70.0]
        >>> earlier = predictor.Trials.from_arrays(space, configs, metric, group=[0] * 4 + [1] * 4)
        >>> search.recommend(earlier, 2)[0]
        {'layers': 3}
    """
    encodings = np.unique(earlier.encodings, axis=0)
    without_context = dataclasses.replace(earlier, context=np.zeros((len(earlier), 0), np.float32))
    model = predictor.fit(without_context, predictor.ridge(2), "rank")
    mean = model.predict(encodings)[0]
    return earlier.space.decode(encodings[np.argsort(-mean, kind="stable")[:n]])


def _with_null(numbers: list[float]) -> list[float | None]:
    """Numbers for JSON, which has no NaN."""
    return [None if np.isnan(number) else number for number in numbers]


def _with_nan(numbers: list[float | None]) -> list[float]:
    """The inverse of ``_with_null``."""
    return [float("nan") if number is None else number for number in numbers]


def _with_tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration from JSON, which has no tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
