"""Where trials come from: files, and the records of other tools."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from metajax.predictor import _frames as frames
from metajax.space import Space
from metajax.types import InputError


class Sources:
    """The readers of ``Trials``. Nothing is unpickled, and nothing is written to a source."""

    from_arrays: Callable[..., Self]
    from_frame: Callable[..., Self]

    @classmethod
    def from_csv(
        cls,
        space: Space,
        path: Path | str,
        metric: str,
        maximize: bool = True,
        group: str | None = None,
        context: Sequence[str] = (),
    ) -> Self:
        """Reads a CSV file with a column for each name of the space; see ``from_frame``.

        Args:
            space: The space of the configurations.
            path: The file.
            metric: Name of the column with the metric.
            maximize: Whether a larger metric is better.
            group: Name of the column with the dataset.
            context: Names of the columns that models read beside the configuration.

        Returns:
            The trials.

        Raises:
            InputError: If the file is not a readable CSV, or for the reasons of ``from_frame``.
        """
        return cls.from_frame(space, frames.csv(space, path), metric, maximize, group, context)

    @classmethod
    def from_parquet(
        cls,
        space: Space,
        path: Path | str,
        metric: str,
        maximize: bool = True,
        group: str | None = None,
        context: Sequence[str] = (),
    ) -> Self:
        """Reads a Parquet file with a column for each name of the space; see ``from_frame``.

        Args:
            space: The space of the configurations.
            path: The file.
            metric: Name of the column with the metric.
            maximize: Whether a larger metric is better.
            group: Name of the column with the dataset.
            context: Names of the columns that models read beside the configuration.

        Returns:
            The trials.

        Raises:
            InputError: If pyarrow is not installed, the file is not readable, or for the reasons of ``from_frame``.
        """
        return cls.from_frame(space, frames.parquet(path), metric, maximize, group, context)

    @classmethod
    def from_optuna(cls, storage: Any, studies: str | Sequence[str] | None = None, space: Space | None = None) -> Self:
        """Reads all trials of studies of an Optuna storage; each study is a group.

        Pruned and failed trials are kept as such. Running and waiting ones are left out, and failed ones that ended before all
        parameters were suggested.

        Args:
            storage: A URL such as ``sqlite:///trials.db``, an Optuna storage, or one study.
            studies: Names of the studies; all by default.
            space: The space; names and values are those of the studies. A parameter that a trial lacks must be inactive. A
                ``Subset`` may be Booleans ``name/0``, ``name/1``, ..., as ``space.interop.to_optuna`` makes them. By default
                it is inferred from the trials, with conditions where parameters are suggested under branches
                (``space.interop.from_studies``).

        Returns:
            The trials.

        Raises:
            InputError: If Optuna is not installed, the file or a study does not exist, there are several objectives,
                directions differ, or a trial is outside the space.

        Example:
            >>> import optuna
            >>> from metajax import predictor
            >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
            >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
            >>> study.optimize(lambda trial: trial.suggest_int("layers", 1, 4), n_trials=8)
            >>> trials = predictor.Trials.from_optuna(study)
            >>> len(trials), list(trials.space.domains)
            (8, ['layers'])
        """
        space, frame, maximize = frames.optuna(storage, studies, space)
        return cls.from_frame(space, frame, "metric", maximize, group="study")

    @classmethod
    def from_mlflow(
        cls,
        space: Space,
        metric: str,
        maximize: bool = True,
        experiments: str | Sequence[str] | None = None,
        uri: str | None = None,
    ) -> Self:
        """Reads finished and failed runs of MLflow experiments; each experiment is a group.

        Args:
            space: The space; parameters are read from the text that MLflow logged.
            metric: Name of the metric.
            maximize: Whether a larger metric is better.
            experiments: Names of the experiments; all by default.
            uri: The tracking server; that of MLflow's settings by default.

        Returns:
            The trials.

        Raises:
            InputError: If MLflow is not installed, there is no finished run, or a run is outside the space.
        """
        frame = frames.mlflow(space, metric, experiments, uri)
        return cls.from_frame(space, frame, "metric", maximize, group="experiment")

    @classmethod
    def from_syne_tune(cls, space: Space, path: Path | str, metric: str, maximize: bool = True) -> Self:
        """Reads the last report of each trial of a Syne Tune experiment.

        Args:
            space: The space of the configurations.
            path: ``results.csv`` or ``results.csv.zip``.
            metric: Name of the column with the metric.
            maximize: Whether a larger metric is better.

        Returns:
            The trials.

        Raises:
            InputError: If the file is not readable, lacks a column, or a trial is outside the space.
        """
        return cls.from_frame(space, frames.syne_tune(space, path, metric), "metric", maximize)

    @classmethod
    def from_hpob(cls, path: Path | str, space_id: str) -> Self:
        """Reads one search space of an HPO-B file; each dataset is a group.

        The file is JSON of ``{space: {dataset: {"X": rows, "y": values}}}``, with hyperparameters in [0, 1] and larger values
        better.

        Args:
            path: The file.
            space_id: Identifier of the search space.

        Returns:
            The trials, in a space of ``Float`` domains ``x0``, ``x1``, ...

        Raises:
            InputError: If the file is not readable, or lacks the search space.

        References:
            Pineda Arango et al., HPO-B: a large-scale reproducible benchmark for black-box HPO based on OpenML, 2021,
            arXiv:2106.06257.
        """
        space, frame = frames.hpob(path, space_id)
        return cls.from_frame(space, frame, "metric", group="dataset")

    @classmethod
    def from_tables(cls, tables: Sequence[Any], rows: Any = None) -> Self:
        """Takes tables of one space, each a group, with the mean over seeds as the metric.

        Args:
            tables: ``predictor.benchmarks.TabularBenchmark`` of one space and one direction, such as
                ``predictor.benchmarks.hpobench()``.
            rows: Indices of the configurations to take; all by default.

        Returns:
            The trials.

        Raises:
            InputError: If there are no tables, or spaces or directions differ.
        """
        if not len(tables):
            raise InputError("from_tables: tables must not be empty")
        space, maximize = tables[0].space, tables[0].maximize
        if any(table.space != space or table.maximize != maximize for table in tables):
            raise InputError("from_tables: all tables must have one space and one direction; read others one by one")
        rows = np.arange(len(tables[0].values)) if rows is None else np.asarray(rows)
        configs = {
            name: np.concatenate([np.asarray(table.configs[name])[rows] for table in tables]) for name in space.domains
        }
        metric = np.concatenate([np.nanmean(table.values[rows], axis=1) for table in tables])
        group = np.repeat(np.arange(len(tables)), len(rows))
        return cls.from_arrays(space, configs, metric, maximize, group=group)
