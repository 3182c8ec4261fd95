"""Learning meta-data: the table of what was trained and how well it did."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from metajax.predictor._columns import as_numbers, filled, group_numbers, read_frame, write_frame
from metajax.predictor._sources import Sources
from metajax.space import Space
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Trials(Sources):
    """Learning meta-data: one row for each training, with its configuration, its dataset and its metric.

    Failed trainings (metric NaN or infinite) are kept and count as the worst of their dataset. Trainings that were stopped
    early (``settings["state"]`` is ``"pruned"``) count as no better than the median, nor than what they reported last
    (``settings["reported"]``).

    Attributes:
        space: The space of the configurations.
        encodings: f32[n, width], the configurations.
        metric: f64[n], NaN where a training failed.
        maximize: Whether a larger metric is better.
        group: int[n], the dataset of each trial; configurations are compared within a group only.
        context: f32[n, c], what else is known and models read: meta-features of the dataset, hardware. May have no columns.
        settings: Other columns of the record (seconds, seed, source), which models do not read.
        unit: Unit of the metric, for people.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Categorical, Space
        >>> space = Space({"op": Categorical(("skip", "conv"))})
        >>> trials = predictor.Trials.from_arrays(space, [{"op": "skip"}, {"op": "conv"}, {"op": "conv"}], [0.8, 0.9, 0.92])
        >>> len(trials), trials.configs()[trials.best], round(trials.noise, 3)
        (3, {'op': 'conv'}, 0.014)
    """

    space: Space
    encodings: np.ndarray
    metric: np.ndarray
    maximize: bool
    group: np.ndarray
    context: np.ndarray
    settings: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    unit: str = ""

    @classmethod
    def from_arrays(
        cls,
        space: Space,
        configs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        metric: Any,
        maximize: bool = True,
        group: Any = None,
        context: Any = None,
        settings: Mapping[str, Any] | None = None,
        unit: str = "",
    ) -> Self:
        """Makes trials from configurations and metrics.

        Warns if datasets have no meta-features at all (models use the mean), or if trainings of one configuration on one
        dataset differ nearly as much as all trials do.

        Args:
            space: The space of the configurations.
            configs: A struct of arrays or a list of dictionaries, n in all.
            metric: n numbers, NaN or infinite for failed trainings.
            maximize: Whether a larger metric is better.
            group: n names or numbers of datasets; one dataset by default.
            context: f[n, c] or f[n]; no columns by default.
            settings: Other columns by name, n values each.
            unit: Unit of the metric, for people.

        Returns:
            The trials.

        Raises:
            InputError: If there are no trials, all failed, lengths differ, or a value is outside its domain.
        """
        struct = dict(configs) if isinstance(configs, Mapping) else space.configs(configs)
        encodings = np.asarray(space.encode(struct), np.float32)
        metric = as_numbers("metric", metric).ravel()
        n = len(encodings)
        metric = np.where(np.isfinite(metric), metric, np.nan)
        group = np.zeros(n, np.int64) if group is None else group_numbers(group)
        context = np.zeros((n, 0)) if context is None else as_numbers("context", context)
        if len(context) != n:
            raise InputError(
                f"Trials: context must have one row for each of the {n} configurations, got shape {context.shape}"
            )
        context = context.reshape(n, -1).astype(np.float32)
        columns = {name: np.asarray(column) for name, column in (settings or {}).items()}
        lengths = {"metric": len(metric), "group": len(group), **{k: len(v) for k, v in columns.items()}}
        wrong_lengths = {name: length for name, length in lengths.items() if length != n}
        if wrong_lengths or n == 0:
            raise InputError(
                f"Trials: every column must have one value for each configuration, and at least one, got {n} configurations "
                f"and the lengths {wrong_lengths or lengths}"
            )
        if np.isnan(metric).all():
            raise InputError("Trials: at least one metric must be finite; no training has succeeded")
        trials = cls(space, encodings, metric, maximize, group, context, columns, unit)
        trials._warn()
        return trials

    @classmethod
    def from_frame(
        cls,
        space: Space,
        frame: Any,
        metric: str,
        maximize: bool = True,
        group: str | None = None,
        context: Sequence[str] = (),
    ) -> Self:
        """Reads a pandas data frame with a column for each name of the space.

        A ``Subset`` is written "0 3 7". An empty cell is an inactive parameter, or ``None`` where that is a choice and the
        parameter is active. Choices that a table may confuse are written as ``json:`` and their JSON, as ``to_frame`` does:
        ``json:[3, 3]``, ``json:"null"``. Other columns become ``settings``.

        Args:
            space: The space of the configurations.
            frame: A ``pandas.DataFrame``, one row for each training.
            metric: Name of the column with the metric.
            maximize: Whether a larger metric is better.
            group: Name of the column with the dataset.
            context: Names of the columns that models read beside the configuration.

        Returns:
            The trials.

        Raises:
            InputError: If a column is missing or occurs twice, or a value is outside its domain or may be several choices.

        Example:
            >>> import pandas as pd
            >>> from metajax import predictor
            >>> from metajax.space import Categorical, Space
            >>> space = Space({"weight": Categorical((None, "balanced")), "kernel": Categorical(((1, 1), (3, 3)))})
            >>> table = pd.DataFrame({"weight": [None, "balanced"], "kernel": ["json:[3, 3]", "json:[1, 1]"]})
            >>> predictor.Trials.from_frame(space, table.assign(score=[0.7, 0.9]), "score").configs()
            [{'weight': None, 'kernel': (3, 3)}, {'weight': 'balanced', 'kernel': (1, 1)}]
        """
        return cls.from_arrays(space, maximize=maximize, **read_frame(space, frame, metric, group, context))

    def to_frame(self, metric: str = "metric") -> Any:
        """Writes a pandas data frame, which ``from_frame`` reads back, also from CSV and Parquet.

        Args:
            metric: Name for the column of the metric.

        Returns:
            A ``pandas.DataFrame`` with one row for each trial.

        Raises:
            InputError: If the metric or a setting has the name of a parameter, or pandas is not installed.
        """
        return write_frame(self.space, self.configs(), self.metric, self.settings, metric)

    def __len__(self) -> int:
        """Number of trials."""
        return len(self.metric)

    def __add__(self, other: "Trials") -> "Trials":
        """Both tables, in order. Settings that only one of them has are dropped.

        Raises:
            InputError: If spaces, directions or numbers of context columns differ.
        """
        if self.space != other.space or self.maximize != other.maximize:
            raise InputError("Trials: both operands of + must have the same space and the same direction")
        if self.context.shape[1] != other.context.shape[1]:
            raise InputError(
                "Trials: both operands of + must have the same meta-features, got contexts of "
                f"{self.context.shape[1]} and {other.context.shape[1]} columns"
            )
        join = lambda a, b: np.concatenate([a, b])
        shared = [k for k in self.settings if k in other.settings]
        return Trials(
            self.space,
            join(self.encodings, other.encodings),
            join(self.metric, other.metric),
            self.maximize,
            join(self.group, other.group),
            join(self.context, other.context),
            {k: join(self.settings[k], other.settings[k]) for k in shared},
            self.unit,
        )

    def take(self, rows: Any) -> "Trials":
        """Selects some of the trials.

        Args:
            rows: Indices, a mask or a slice.

        Returns:
            These trials.
        """
        return dataclasses.replace(
            self,
            encodings=self.encodings[rows],
            metric=self.metric[rows],
            group=self.group[rows],
            context=self.context[rows],
            settings={k: v[rows] for k, v in self.settings.items()},
        )

    def configs(self) -> list[dict[str, Any]]:
        """Decodes the configurations.

        Returns:
            n dictionaries, without inactive parameters.
        """
        return self.space.decode(self.encodings)

    @property
    def utility(self) -> np.ndarray:
        """f64[n]: the metric, larger always better.

        A failed trial has the worst of its group; a pruned one the median of its group, or what it reported, whichever is
        worse.
        """
        value = self.metric if self.maximize else -self.metric
        state = self.settings.get("state", np.full(len(value), "complete"))
        reported = np.asarray(self.settings.get("reported", np.full(len(value), np.nan)), float)
        return filled(value, self.group, state, reported * (1 if self.maximize else -1))

    @property
    def noise(self) -> float:
        """Standard deviation of the metric between trainings of one configuration on one dataset; NaN without repetitions."""
        is_finite = np.isfinite(self.metric)
        rows = np.concatenate([self.group[is_finite, None], self.encodings[is_finite]], axis=1)
        _, index, number = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
        index, metric = index.ravel(), self.metric[is_finite]
        mean = np.bincount(index, metric) / number
        freedom = len(metric) - len(number)
        return float(np.sqrt(((metric - mean[index]) ** 2).sum() / freedom)) if freedom else float("nan")

    def _warn(self) -> None:
        """Warns of tables that a model would learn little from."""
        if self.context.shape[1]:
            empty = [g for g in np.unique(self.group) if np.isnan(self.context[self.group == g]).all()]
            if empty:
                warnings.warn(
                    f"Trials: {len(empty)} datasets have no context at all; models use the mean", stacklevel=3
                )
        with np.errstate(over="ignore"):  # metrics near 1e300 have squares that are infinite
            spread = float(np.nanstd(self.metric))
        repeats = len(self) - len(np.unique(np.concatenate([self.group[:, None], self.encodings], axis=1), axis=0))
        if repeats >= 10 and spread > 0 and self.noise > 0.7 * spread:
            warnings.warn(
                f"Trials: trainings of one configuration differ by {self.noise:.3g}, all trials by {spread:.3g}; the metric is "
                "mostly noise, or rows of different datasets share a group",
                stacklevel=3,
            )

    @property
    def best(self) -> int:
        """Index of the best trial."""
        return int(np.argmax(self.utility))
