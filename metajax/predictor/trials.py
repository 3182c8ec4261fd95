"""Learning meta-data: one row for each finished training."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from metajax.space import Space, Subset
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Trials:
    """What was tried and how well it did. Failed trials (metric NaN or infinite) are kept and count as the worst.

    Attributes:
        space: of the configurations.
        encodings: f32[n, space.width].
        metric: f64[n], NaN where a training failed.
        maximize: whether larger is better.
        group: int[n], the dataset of each trial; models are compared within a group only.
        context: f32[n, c], what else is known: meta-features of the dataset, hardware. May have no columns.
        settings: other columns of the record (seconds, seed, source), not seen by a model.
    """

    space: Space
    encodings: np.ndarray
    metric: np.ndarray
    maximize: bool
    group: np.ndarray
    context: np.ndarray
    settings: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @staticmethod
    def from_arrays(
        space: Space,
        configs: Any,
        metric: Any,
        maximize: bool = True,
        group: Any = None,
        context: Any = None,
        settings: dict[str, Any] | None = None,
    ) -> "Trials":
        """Trials from a struct of arrays or a list of plain dictionaries.

        Raises:
            InputError: if there are no trials, all failed, or lengths differ.

        Example:
            >>> from metajax.space import Categorical
            >>> space = Space({"op": Categorical(("skip", "conv"))})
            >>> len(Trials.from_arrays(space, [{"op": "skip"}, {"op": "conv"}], [0.8, 0.9]))
            2
        """
        struct = space.configs(configs) if isinstance(configs, list) else configs
        encodings = np.asarray(space.encode(struct), np.float32)
        metric = np.asarray(metric, np.float64).ravel()
        n = len(encodings)
        metric = np.where(np.isfinite(metric), metric, np.nan)
        group = np.zeros(n, np.int64) if group is None else np.unique(np.asarray(group), return_inverse=True)[1]
        context = np.zeros((n, 0), np.float32) if context is None else np.asarray(context, np.float32).reshape(n, -1)
        columns = {k: np.asarray(v) for k, v in (settings or {}).items()}
        lengths = {"metric": len(metric), "group": len(group), **{k: len(v) for k, v in columns.items()}}
        wrong = {k: v for k, v in lengths.items() if v != n}
        if wrong or n == 0:
            raise InputError(
                f"Trials: {n} configurations, but lengths are {wrong or lengths}; give at least one of each"
            )
        if np.isnan(metric).all():
            raise InputError("Trials: no metric is finite; at least one training must have succeeded")
        return Trials(space, encodings, metric, maximize, group, context, columns)

    @staticmethod
    def from_frame(
        space: Space,
        frame: Any,
        metric: str,
        maximize: bool = True,
        group: str | None = None,
        context: tuple[str, ...] = (),
    ) -> "Trials":
        """Trials from a pandas data frame with a column for each name of the space; a ``Subset`` is written "0 3 7".

        Empty cells are inactive parameters. Other columns become ``settings``.

        Raises:
            InputError: if a column is missing or a value is outside its domain.
        """
        needed = [metric, *([group] if group else []), *context]
        missing = [c for c in [*needed, *space.domains] if c not in frame.columns]
        if missing:
            raise InputError(f"Trials: the table lacks the columns {missing}; it has {list(frame.columns)}")
        rows = []
        for record in frame[list(space.domains)].to_dict("records"):
            row = {}
            for name, value in record.items():
                if value is None or (isinstance(value, float) and np.isnan(value)):
                    continue
                row[name] = _subset(value) if isinstance(space.domains[name], Subset) else value
            rows.append(row)
        others = [c for c in frame.columns if c not in needed and c not in space.domains]
        try:
            return Trials.from_arrays(
                space,
                rows,
                frame[metric].to_numpy(dtype=float),
                maximize,
                frame[group].to_numpy() if group else None,
                frame[list(context)].to_numpy(dtype=float) if context else None,
                {c: frame[c].to_numpy() for c in others},
            )
        except ValueError as error:
            raise InputError(f"Trials: {error}") from error

    @staticmethod
    def from_csv(space: Space, path: Path | str, metric: str, maximize: bool = True, **options: Any) -> "Trials":
        """As ``from_frame``, from a CSV file."""
        import pandas as pd

        try:
            frame = pd.read_csv(path, dtype={n: str for n, d in space.domains.items() if isinstance(d, Subset)})
        except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a readable CSV ({error})") from error
        return Trials.from_frame(space, frame, metric, maximize, **options)

    def to_frame(self, metric: str = "metric") -> Any:
        """A pandas data frame with one row for each trial; ``from_frame`` reads it back."""
        import pandas as pd

        rows = [
            {k: " ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in config.items()}
            for config in self.configs()
        ]
        frame = pd.DataFrame(rows, columns=list(self.space.domains))
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
        )

    def configs(self) -> list[dict[str, Any]]:
        return self.space.decode(self.encodings)

    @property
    def utility(self) -> np.ndarray:
        """The metric with larger always better; a failed trial has the worst of its group."""
        value = self.metric if self.maximize else -self.metric
        result = value.copy()
        for g in np.unique(self.group):
            inside = self.group == g
            known = value[inside & ~np.isnan(value)]
            worst = known.min() if len(known) else np.nanmin(value)
            result[inside & np.isnan(value)] = worst
        return result

    @property
    def best(self) -> int:
        """The row of the best trial."""
        return int(np.argmax(self.utility))


def _subset(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        return tuple(int(v) for v in value.split())
    return tuple(value) if hasattr(value, "__iter__") else (int(value),)
