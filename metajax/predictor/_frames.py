"""Data frames of trials from files and from the records of other tools. Nothing is unpickled, and nothing is written."""

import functools
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metajax._optional import check_installed, optional
from metajax.predictor import _tabletext as tabletext
from metajax.space import Categorical, Float, Space, interop
from metajax.types import InputError


def pandas() -> Any:
    """The package pandas, or an error that says how to install it."""
    return optional("pandas", "a table of trials")


def csv(space: Space, path: Path | str, prefix: str = "") -> Any:
    """A CSV file as a data frame; columns ``<prefix><name>`` of the space are read from their text (``_tabletext``)."""
    pd = pandas()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # without index_col=False, rows with more cells than names would be shifted
            frame = pd.read_csv(path, index_col=False, low_memory=False)
            texts = pd.read_csv(path, index_col=False, dtype=str, na_filter=False)
    except pd.errors.ParserWarning as error:
        raise InputError(
            f"{path}: is not a readable CSV: a row has more cells than the header has names ({error})"
        ) from error
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: is not a readable CSV ({error})") from error
    for name, domain in space.domains.items():
        column = f"{prefix}{name}"
        if column in frame.columns:
            parse = functools.cache(tabletext.from_text(name, domain))
            values = [parse(text) for text in texts[column]]
            frame[column] = pd.Series(values, index=frame.index, dtype=object)
    return frame


def parquet(path: Path | str) -> Any:
    """A Parquet file as a data frame."""
    pd = pandas()
    check_installed(f"{path}: Parquet", "pyarrow")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise InputError(f"{path}: is not a readable Parquet file ({error})") from error


def optuna(storage: Any, studies: Any = None, space: Space | None = None) -> tuple[Space, Any, bool]:
    """The space, one row for each trial with its study, metric, state, last report and seconds, and whether to maximize."""
    pandas()
    selected = _studies(storage, studies)
    if any(len(study.directions) > 1 for study in selected):
        raise InputError(
            "from_optuna: every study must have a single objective; for several, write one to a data frame and use from_frame"
        )
    directions = {study.direction.name for study in selected}
    if len(directions) > 1:
        raise InputError(
            f"from_optuna: all studies must have one direction, got {sorted(directions)}; read them one by one"
        )
    space = interop.from_studies(selected) if space is None else space
    rows = []
    for study in selected:
        for trial in study.trials:
            if not trial.state.is_finished() or _broke_off(space, trial):
                continue
            complete = trial.state.name == "COMPLETE"
            steps = trial.intermediate_values
            config = interop.unchecked_config(space, trial.params)
            config |= {n: tabletext.cell_of(v) for n, v in config.items() if isinstance(space.domains[n], Categorical)}
            rows.append(
                {
                    **{name: value for name, value in trial.params.items() if name not in space.domains},
                    "study": study.study_name,
                    "metric": trial.value if complete else float("nan"),
                    "state": {"COMPLETE": "complete", "PRUNED": "pruned"}.get(trial.state.name, "failed"),
                    "reported": steps[max(steps)] if steps else float("nan"),
                    "seconds": trial.duration.total_seconds() if trial.duration is not None else float("nan"),
                }
            )
            _add(rows[-1], config, "from_optuna")
    if not rows:
        raise InputError("from_optuna: at least one trial must have ended, got none")
    return space, _frame(rows, space), directions == {"MAXIMIZE"}


def _broke_off(space: Space, trial: Any) -> bool:
    """Whether a trial failed before all parameters of its configuration were suggested."""
    if trial.state.name != "FAIL":
        return False
    try:
        interop.from_params(space, trial.params)
    except InputError:
        return True
    return False


def _studies(storage: Any, names: Any) -> list[Any]:
    """The studies of a storage by name, or all."""
    optuna = optional("optuna", "from_optuna")
    if isinstance(storage, optuna.Study):
        return [storage]
    if isinstance(storage, str) and storage.startswith("sqlite:///"):
        path = Path(storage.removeprefix("sqlite:///"))
        if not path.is_file():
            raise InputError(f"from_optuna: {storage}: no such file")
        storage = f"sqlite:///file:{path}?mode=ro&uri=true"  # read-only: Optuna would create tables in an empty file
    try:
        existing = optuna.get_all_study_names(storage)
    except Exception as error:  # the type depends on the driver of the database
        raise InputError(f"from_optuna: storage cannot be read ({error})") from error
    selected = [names] if isinstance(names, str) else list(existing if names is None else names)
    unknown = [name for name in selected if name not in existing]
    if unknown or not selected:
        raise InputError(f"from_optuna: the storage has no study {unknown or 'at all'}; it has {sorted(existing)[:20]}")
    return [optuna.load_study(study_name=name, storage=storage) for name in selected]


def mlflow(space: Space, metric: str, experiments: Any, uri: str | None) -> Any:
    """One row for each run of MLflow with ``experiment``, ``metric`` and ``state``; MLflow keeps parameters as text."""
    pandas()
    client = optional("mlflow", "from_mlflow").tracking.MlflowClient(uri)
    parsers = {name: tabletext.from_text(name, domain) for name, domain in space.domains.items()}
    names = [experiments] if isinstance(experiments, str) else experiments
    selected = [e for e in client.search_experiments() if names is None or e.name in names]
    rows = []
    for experiment in selected:
        for run in client.search_runs([experiment.experiment_id]):
            if run.info.status in ("FINISHED", "FAILED", "KILLED"):
                state = "complete" if run.info.status == "FINISHED" else "failed"
                value = run.data.metrics.get(metric, float("nan")) if state == "complete" else float("nan")
                params = {n: parse(run.data.params[n]) for n, parse in parsers.items() if n in run.data.params}
                rows.append({"experiment": experiment.name, "metric": value, "state": state})
                _add(rows[-1], params, "from_mlflow")
    if not rows:
        raise InputError(
            f"from_mlflow: {names or 'any experiment'} must have a finished run, but none of "
            f"{[e.name for e in selected]} has one"
        )
    return _frame(rows, space)


def syne_tune(space: Space, path: Path | str, metric: str) -> Any:
    """The last row of each ``trial_id`` of Syne Tune, with columns ``config_<name>`` renamed to ``<name>``."""
    frame = csv(space, path, "config_")
    lacking = [c for c in ("trial_id", metric) if c not in frame.columns]
    if lacking:
        raise InputError(
            f"{path}: must have the columns {lacking} of Syne Tune's results, got {list(frame.columns)[:20]}"
        )
    if "metric" in space.domains:
        raise InputError(f"{path}: no parameter of the space may be named 'metric'; rename it")
    last = frame.groupby("trial_id", sort=True).tail(1).rename(columns={metric: "metric"})
    names = {c: c.removeprefix("config_") for c in last.columns if c.startswith("config_")}
    others = [c for c in last.columns if c in names.values()]  # results with the name of a parameter
    return last.drop(columns=others).rename(columns=names).reset_index(drop=True)


def hpob(path: Path | str, space_id: str) -> tuple[Space, Any]:
    """A search space of HPO-B, and one row for each evaluation."""
    pd = pandas()
    try:
        content_by_space = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not a readable JSON file ({error})") from error
    if not isinstance(content_by_space, dict) or not isinstance(content_by_space.get(space_id), dict):
        space_ids = sorted(content_by_space)[:20] if isinstance(content_by_space, dict) else "none"
        raise InputError(f"{path}: has no search space {space_id!r}; it has {space_ids}")
    rows, width = [], None
    for dataset, content in content_by_space[space_id].items():
        try:
            x, y = np.asarray(content["X"], float), np.asarray(content["y"], float).ravel()
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: {space_id}/{dataset} has no X and y of numbers ({error!r})") from error
        if x.ndim != 2 or len(x) != len(y) or width not in (None, x.shape[1]) or not np.isfinite(x).all():
            raise InputError(
                f"{path}: in {space_id}/{dataset}, X must hold finite rows of one width and y one value for each row, "
                f"got X of shape {x.shape} and y of shape {y.shape}"
            )
        width = x.shape[1]
        rows += [
            {"dataset": dataset, "metric": v, **{f"x{i}": c for i, c in enumerate(r)}} for r, v in zip(x.clip(0, 1), y)
        ]
    if not rows or not width:
        raise InputError(f"{path}: {space_id} has no evaluations")
    return Space({f"x{i}": Float(0.0, 1.0) for i in range(width)}), pd.DataFrame(rows)


def _add(row: dict[str, Any], params: Mapping[str, Any], caller: str) -> None:
    """Adds the parameters to a row, unless a name occurs twice."""
    repeated = [name for name in params if name in row]
    if repeated:
        raise InputError(
            f"{caller}: parameters of the space may not have names of columns of the record, got {repeated}; rename them"
        )
    row.update(params)


def _frame(rows: list[dict[str, Any]], space: Space) -> Any:
    """A data frame with a column for every name of the space; values are unchanged, ``None`` where there is none."""
    pd = pandas()
    parameters = {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in space.domains}
    others = pd.DataFrame([{k: v for k, v in row.items() if k not in parameters} for row in rows])
    return pd.concat([others, pd.DataFrame(parameters)], axis=1)
