"""Learning meta-data: one row for each finished training."""

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metajax.predictor import _readers as readers
from metajax.predictor import _tabletext as tabletext
from metajax.space import Categorical, Integer, Space, Subset
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Trials:
    """What was tried and how well it did. Failed trials (metric NaN or infinite) are kept and count as the worst; those that
    were stopped early (``settings["state"]`` is ``"pruned"``) as no better than the median, nor than what they had
    reported last (``settings["reported"]``).

    Attributes:
        space: of the configurations.
        encodings: f32[n, space.width].
        metric: f64[n], NaN where a training failed.
        maximize: whether larger is better.
        group: int[n], the dataset of each trial; models are compared within a group only.
        context: f32[n, c], what else is known: meta-features of the dataset, hardware. May have no columns.
        settings: other columns of the record (seconds, seed, source), not seen by a model.
        unit: of the metric, for people.
    """

    space: Space
    encodings: np.ndarray
    metric: np.ndarray
    maximize: bool
    group: np.ndarray
    context: np.ndarray
    settings: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    unit: str = ""

    @staticmethod
    def from_arrays(
        space: Space,
        configs: Any,
        metric: Any,
        maximize: bool = True,
        group: Any = None,
        context: Any = None,
        settings: dict[str, Any] | None = None,
        unit: str = "",
    ) -> "Trials":
        """Trials from a struct of arrays or a list of plain dictionaries.

        Warns if datasets have no meta-features at all (a model takes the mean), or if trainings of one configuration on one
        dataset differ nearly as much as all do.

        Raises:
            InputError: if there are no trials, all failed, lengths differ, or a value is outside of its domain.

        Example:
            >>> from metajax.space import Categorical
            >>> space = Space({"op": Categorical(("skip", "conv"))})
            >>> len(Trials.from_arrays(space, [{"op": "skip"}, {"op": "conv"}], [0.8, 0.9]))
            2
        """
        struct = dict(configs) if isinstance(configs, Mapping) else space.configs(configs)
        encodings = np.asarray(space.encode(struct), np.float32)
        metric = _numbers("metric", metric).ravel()
        n = len(encodings)
        metric = np.where(np.isfinite(metric), metric, np.nan)
        group = np.zeros(n, np.int64) if group is None else _groups(group)
        context = np.zeros((n, 0)) if context is None else _numbers("context", context)
        if len(context) != n:
            raise InputError(f"Trials: {n} configurations, but context has shape {context.shape}; give a row for each")
        context = context.reshape(n, -1).astype(np.float32)
        columns = {k: np.asarray(v) for k, v in (settings or {}).items()}
        lengths = {"metric": len(metric), "group": len(group), **{k: len(v) for k, v in columns.items()}}
        wrong = {k: v for k, v in lengths.items() if v != n}
        if wrong or n == 0:
            raise InputError(
                f"Trials: {n} configurations, but lengths are {wrong or lengths}; give at least one of each"
            )
        if np.isnan(metric).all():
            raise InputError("Trials: no metric is finite; at least one training must have succeeded")
        trials = Trials(space, encodings, metric, maximize, group, context, columns, unit)
        trials._warn()
        return trials

    @staticmethod
    def from_frame(
        space: Space,
        frame: Any,
        metric: str,
        maximize: bool = True,
        group: str | None = None,
        context: tuple[str, ...] = (),
    ) -> "Trials":
        """Trials from a pandas data frame with a column for each name of the space.

        A ``Subset`` is written "0 3 7". An empty cell is an inactive parameter, or ``None`` where that is a choice and the
        parameter is active. Choices that a table may confuse are written as ``json:`` and their JSON, as ``to_frame`` does:
        ``json:[3, 3]``, ``json:"null"``. Other columns become ``settings``.

        Raises:
            InputError: if a column is missing or there twice, or a value is outside of its domain or may be several choices.

        Example:
            >>> import pandas as pd
            >>> from metajax.space import Categorical
            >>> space = Space({"weight": Categorical((None, "balanced")), "kernel": Categorical(((1, 1), (3, 3)))})
            >>> table = pd.DataFrame({"weight": [None, "balanced"], "kernel": ["json:[3, 3]", "json:[1, 1]"]})
            >>> Trials.from_frame(space, table.assign(score=[0.7, 0.9]), "score").configs()
            [{'weight': None, 'kernel': (3, 3)}, {'weight': 'balanced', 'kernel': (1, 1)}]
        """
        needed = [metric, *([group] if group else []), *context]
        missing = [c for c in [*needed, *space.domains] if c not in frame.columns]
        if missing:
            raise InputError(f"Trials: the table lacks the columns {missing}; it has {list(frame.columns)}")
        names = list(frame.columns)
        twice = [c for c in names if names.count(c) > 1] + [c for c in needed if c in space.domains]
        if twice:
            raise InputError(
                f"Trials: the column {twice[0]!r} is there twice, or is both a parameter and another column"
            )
        try:
            configs = space.configs(_rows(space, frame))
        except InputError as error:
            raise InputError(f"Trials: {error}") from error
        others = [c for c in frame.columns if c not in needed and c not in space.domains]
        return Trials.from_arrays(
            space,
            configs,
            frame[metric].to_numpy(na_value=np.nan),
            maximize,
            frame[group].to_numpy() if group else None,
            frame[list(context)].to_numpy(na_value=np.nan) if context else None,
            {c: frame[c].to_numpy() for c in others},
        )

    @staticmethod
    def from_csv(space: Space, path: Path | str, metric: str, maximize: bool = True, **options: Any) -> "Trials":
        """As ``from_frame``, from a CSV file."""
        return Trials.from_frame(space, readers.csv(space, path), metric, maximize, **options)

    @staticmethod
    def from_parquet(space: Space, path: Path | str, metric: str, maximize: bool = True, **options: Any) -> "Trials":
        """As ``from_frame``, from a Parquet file. Needs pyarrow."""
        return Trials.from_frame(space, readers.parquet(path), metric, maximize, **options)

    @staticmethod
    def from_optuna(space: Space, storage: Any, studies: Any = None) -> "Trials":
        """All trials of studies of an Optuna storage, each study a group; nothing is written there.

        Pruned trials are kept as such, failed ones too; running and waiting ones are left out.

        Args:
            space: names and values are those of the studies; a parameter that a trial lacks must be inactive. A ``Subset`` may
                be Booleans ``name/0``, ``name/1``, ..., as ``space.interop.to_optuna`` makes them.
            storage: a URL such as ``sqlite:///trials.db``, an Optuna storage, or one study.
            studies: names; by default all.

        Raises:
            InputError: if Optuna is not installed, the file or a study is not there, there are several objectives, directions
                differ, or a trial is outside the space.
        """
        frame, maximize = readers.optuna(space, storage, studies)
        return Trials.from_frame(space, frame, "metric", maximize, group="study")

    @staticmethod
    def from_mlflow(
        space: Space, metric: str, maximize: bool = True, experiments: Any = None, uri: str | None = None
    ) -> "Trials":
        """Finished and failed runs of MLflow experiments, each a group, parameters as logged. Needs mlflow."""
        frame = readers.mlflow(space, metric, experiments, uri)
        return Trials.from_frame(space, frame, "metric", maximize, group="experiment")

    @staticmethod
    def from_syne_tune(space: Space, path: Path | str, metric: str, maximize: bool = True) -> "Trials":
        """The last report of each trial in a ``results.csv`` or ``results.csv.zip`` of Syne Tune."""
        return Trials.from_frame(space, readers.syne_tune(space, path, metric), "metric", maximize)

    @staticmethod
    def from_hpob(path: Path | str, space_id: str) -> "Trials":
        """One search space of an HPO-B file (Pineda Arango et al. 2021, arXiv:2106.06257): JSON of ``{space: {dataset: {"X":
        rows, "y": values}}}``, hyperparameters in [0, 1], larger better; each dataset is a group."""
        space, frame = readers.hpob(path, space_id)
        return Trials.from_frame(space, frame, "metric", group="dataset")

    @staticmethod
    def from_tables(tables: Sequence[Any], rows: Any = None) -> "Trials":
        """Tables of one space, such as ``predictor.hpobench()``, each a group with its mean over seeds.

        Args:
            tables: of one space and one direction.
            rows: which; by default all.
        """
        if not len(tables):
            raise InputError("from_tables: tables is empty; give at least one")
        space, maximize = tables[0].space, tables[0].maximize
        if any(t.space != space or t.maximize != maximize for t in tables):
            raise InputError("from_tables: tables of one space and one direction are accepted")
        rows = np.arange(len(tables[0].values)) if rows is None else np.asarray(rows)
        configs = {name: np.concatenate([np.asarray(t.configs[name])[rows] for t in tables]) for name in space.domains}
        metric = np.concatenate([np.nanmean(t.values[rows], axis=1) for t in tables])
        return Trials.from_arrays(space, configs, metric, maximize, group=np.repeat(np.arange(len(tables)), len(rows)))

    def to_frame(self, metric: str = "metric") -> Any:
        """A pandas data frame with one row for each trial; ``from_frame`` reads it back, from CSV and Parquet too.

        Raises:
            InputError: if the metric or a setting has the name of a parameter.
        """
        pd = readers.pandas()
        taken = [name for name in [metric, *self.settings] if name in self.space.domains]
        if taken or metric in self.settings:
            raise InputError(
                f"to_frame: {[*taken, metric][0]!r} is the name of another column; give metric another name"
            )
        write = {name: _writer(name, domain) for name, domain in self.space.domains.items()}
        rows = [{name: write[name](value) for name, value in config.items()} for config in self.configs()]
        frame = pd.DataFrame(rows, columns=list(self.space.domains))
        for name, domain in self.space.domains.items():
            if isinstance(domain, Integer) and max(abs(domain.low), abs(domain.high)) > 2**53:
                frame[name] = pd.array(
                    [row.get(name) for row in rows], dtype="Int64"
                )  # empty cells would make floats of it
        frame[metric] = self.metric
        for name, column in self.settings.items():
            frame[name] = column
        return frame

    def __len__(self) -> int:
        return len(self.metric)

    def __add__(self, other: "Trials") -> "Trials":
        """Both, in order; settings that only one has are dropped."""
        if self.space != other.space or self.maximize != other.maximize:
            raise InputError("Trials: only trials of one space and one direction can be added")
        if self.context.shape[1] != other.context.shape[1]:
            raise InputError(
                f"Trials: contexts of {self.context.shape[1]} and {other.context.shape[1]} columns cannot be added; give both "
                "the same meta-features"
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
        """Some of the trials, by their row numbers."""
        return dataclasses.replace(
            self,
            encodings=self.encodings[rows],
            metric=self.metric[rows],
            group=self.group[rows],
            context=self.context[rows],
            settings={k: v[rows] for k, v in self.settings.items()},
        )

    def configs(self) -> list[dict[str, Any]]:
        return self.space.decode(self.encodings)

    @property
    def utility(self) -> np.ndarray:
        """The metric with larger always better; a failed trial has the worst of its group, a pruned one the median of the
        group or what it reported, whichever is worse."""
        value = self.metric if self.maximize else -self.metric
        result = value.copy()
        state = self.settings.get("state", np.full(len(value), "complete"))
        reported = np.asarray(self.settings.get("reported", np.full(len(value), np.nan)), float) * (
            1 if self.maximize else -1
        )
        for g in np.unique(self.group):
            inside = self.group == g
            known = value[inside & ~np.isnan(value)]
            pruned = inside & np.isnan(value) & (state == "pruned") & bool(len(known))
            result[pruned] = np.fmin(np.median(known), reported[pruned]) if len(known) else np.nan
            seen = result[inside & ~np.isnan(result)]
            result[inside & np.isnan(result)] = seen.min() if len(seen) else np.nanmin(value)
        return result

    @property
    def noise(self) -> float:
        """The deviation of the metric between trainings of one configuration on one dataset; NaN without such repeats."""
        known = np.isfinite(self.metric)
        rows = np.concatenate([self.group[known, None], self.encodings[known]], axis=1)
        _, place, number = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
        place, metric = place.ravel(), self.metric[known]
        mean = np.bincount(place, metric) / number
        freedom = len(metric) - len(number)
        return float(np.sqrt(((metric - mean[place]) ** 2).sum() / freedom)) if freedom else float("nan")

    def _warn(self) -> None:
        if self.context.shape[1]:
            empty = [g for g in np.unique(self.group) if np.isnan(self.context[self.group == g]).all()]
            if empty:
                warnings.warn(
                    f"Trials: {len(empty)} datasets have no context at all; models take the mean", stacklevel=3
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
        """The row of the best trial."""
        return int(np.argmax(self.utility))


def _numbers(what: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Trials: {what} is not made of numbers ({error})") from error


def _groups(values: Any) -> np.ndarray:
    values = np.asarray(values)
    is_empty = lambda v: v is None or type(v).__name__ == "NAType" or (isinstance(v, float) and math.isnan(v))
    empty = [i for i, v in enumerate(values.ravel().tolist()) if is_empty(v)]
    if empty:
        raise InputError(f"Trials: group is empty in row {empty[0]}; give every row the name or number of its dataset")
    try:
        return np.unique(values, return_inverse=True)[1].ravel()
    except TypeError:  # names and numbers
        return np.unique(values.astype(str), return_inverse=True)[1].ravel()


def _writer(name: str, domain: Any) -> Any:
    """A value as a cell."""
    if isinstance(domain, Categorical):
        return tabletext.Cells(name, domain).write
    if isinstance(domain, Subset):
        return lambda items: " ".join(map(str, items)) if items else tabletext.escaped([])
    return lambda value: value


def _rows(space: Space, frame: Any) -> list[dict[str, Any]]:
    """Plain configurations from the cells of a data frame; an empty one is ``None`` if that is a choice, or is left out."""
    pd = readers.pandas()
    columns: dict[str, list[Any]] = {}
    for name, domain in space.domains.items():
        none = isinstance(domain, Categorical) and None in domain.choices
        read = tabletext.Cells(name, domain).read if isinstance(domain, Categorical) else None
        read = tabletext.subset if isinstance(domain, Subset) else read
        known: dict[Any, Any] = {}
        columns[name] = []
        for row, value in enumerate(frame[name].tolist()):
            if pd.api.types.is_scalar(value) and pd.isna(value):
                columns[name].append((none, None))
            elif read is None:
                columns[name].append((True, tabletext.number(value) if isinstance(value, str) else value))
            else:
                key = (type(value), value if pd.api.types.is_scalar(value) else row)
                if key not in known:
                    try:
                        known[key] = read(value)
                    except InputError as error:
                        raise InputError(f"configuration {row}: {error}") from error
                columns[name].append((True, known[key]))
    return [{name: column[row][1] for name, column in columns.items() if column[row][0]} for row in range(len(frame))]
