"""Data frames of trials from what other tools keep. Nothing is unpickled, nothing is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from metajax.space import Categorical, Float, Integer, Space, Subset
from metajax.types import InputError


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise InputError("reading trials needs pandas: pip install 'metajax[tabular]'") from None
    return pandas


def csv(space: Space, path: Path | str, **options: Any) -> Any:
    pd = _pandas()
    try:
        return pd.read_csv(path, dtype={n: str for n, d in space.domains.items() if isinstance(d, Subset)}, **options)
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable CSV ({error})") from error


def parquet(path: Path | str) -> Any:
    pd = _pandas()
    try:
        return pd.read_parquet(path)
    except ImportError:
        raise InputError(f"{path}: Parquet needs pyarrow: pip install pyarrow") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise InputError(f"{path}: not a readable Parquet file ({error})") from error


def optuna(storage: Any, studies: Any = None) -> tuple[Any, bool]:
    """A row for each trial with ``study``, ``metric``, ``state``, ``reported`` and ``seconds``, and whether to maximise."""
    pd = _pandas()
    try:
        import optuna
    except ImportError:
        raise InputError("from_optuna: this needs Optuna: pip install 'metajax[optuna]'") from None
    if isinstance(storage, optuna.Study):
        found = [storage]
    else:
        if isinstance(storage, str) and storage.startswith("sqlite:///"):
            path = Path(storage.removeprefix("sqlite:///"))
            if not path.is_file():
                raise InputError(f"from_optuna: {storage}: no such file")
            storage = f"sqlite:///file:{path}?mode=ro&uri=true"  # Optuna would make tables in an empty one
        try:
            there = optuna.get_all_study_names(storage)
        except Exception as error:  # of the database's driver
            raise InputError(f"from_optuna: not a readable storage ({error})") from error
        names = [studies] if isinstance(studies, str) else list(there if studies is None else studies)
        unknown = [name for name in names if name not in there]
        if unknown or not names:
            raise InputError(f"from_optuna: no study {unknown or 'at all'}; there are {sorted(there)[:20]}")
        found = [optuna.load_study(study_name=name, storage=storage) for name in names]
    if any(len(study.directions) > 1 for study in found):
        raise InputError(
            "from_optuna: studies of several objectives are not accepted; take one metric into a data frame"
        )
    directions = {study.direction.name for study in found}
    if len(directions) > 1:
        raise InputError(f"from_optuna: the studies have directions {sorted(directions)}; read them one by one")
    rows = []
    for study in found:
        for trial in study.trials:
            if not trial.state.is_finished():
                continue
            complete = trial.state.name == "COMPLETE"
            steps = trial.intermediate_values
            state = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(trial.state.name, "failed")
            seconds = trial.duration.total_seconds() if trial.duration is not None else float("nan")
            reported = steps[max(steps)] if steps else float("nan")
            rows.append(
                {"study": study.study_name, "metric": trial.value if complete else float("nan"), "state": state}
            )
            rows[-1] |= {"reported": reported, "seconds": seconds, **trial.params}
    if not rows:
        raise InputError("from_optuna: no trial has ended yet")
    return pd.DataFrame(rows), directions == {"MAXIMIZE"}


def mlflow(space: Space, metric: str, experiments: Any, uri: str | None) -> Any:
    """A row for each run with ``experiment``, ``metric`` and ``state``; MLflow keeps parameters as text."""
    _pandas()
    try:
        import mlflow
    except ImportError:
        raise InputError("from_mlflow: this needs mlflow: pip install mlflow") from None
    client = mlflow.tracking.MlflowClient(uri)
    names = [experiments] if isinstance(experiments, str) else experiments
    known = [e for e in client.search_experiments() if names is None or e.name in names]
    rows = []
    for experiment in known:
        for one in client.search_runs([experiment.experiment_id]):
            if one.info.status in ("FINISHED", "FAILED", "KILLED"):
                state = "complete" if one.info.status == "FINISHED" else "failed"
                value = one.data.metrics.get(metric, float("nan")) if state == "complete" else float("nan")
                params = {n: from_text(d, one.data.params[n]) for n, d in space.domains.items() if n in one.data.params}
                rows.append({"experiment": experiment.name, "metric": value, "state": state, **params})
    if not rows:
        raise InputError(
            f"from_mlflow: no finished run in {names or 'any experiment'}; there are {[e.name for e in known]}"
        )
    return _whole(rows, space)


def syne_tune(space: Space, path: Path | str, metric: str) -> Any:
    """The last row of each ``trial_id``, columns ``config_<name>`` as ``<name>``."""
    frame = csv(space, path)
    lacking = [c for c in ("trial_id", metric) if c not in frame.columns]
    if lacking:
        raise InputError(
            f"{path}: lacks the columns {lacking} of Syne Tune's results; it has {list(frame.columns)[:20]}"
        )
    last = frame.groupby("trial_id", sort=True).tail(1)
    names = {c: c.removeprefix("config_") for c in last.columns if c.startswith("config_")}
    return last.rename(columns={**names, metric: "metric"}).reset_index(drop=True)


def hpob(path: Path | str, space_id: str) -> tuple[Space, Any]:
    """The space of an HPO-B search space, and a row for each evaluation."""
    pd = _pandas()
    try:
        whole = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error})") from error
    if space_id not in whole:
        raise InputError(f"{path}: no search space {space_id!r}; there are {sorted(whole)[:20]}")
    rows = []
    for dataset, content in whole[space_id].items():
        x, y = np.asarray(content["X"], float), np.asarray(content["y"], float).ravel()
        if x.ndim != 2 or len(x) != len(y):
            raise InputError(
                f"{path}: {space_id}/{dataset} has X {x.shape} and y {y.shape}; accepted are rows and one value each"
            )
        rows += [
            {"dataset": dataset, "metric": v, **{f"x{i}": c for i, c in enumerate(r)}} for r, v in zip(x.clip(0, 1), y)
        ]
    width = len(rows[0]) - 2
    return Space({f"x{i}": Float(0.0, 1.0) for i in range(width)}), pd.DataFrame(rows)


def from_text(domain: Any, text: str) -> Any:
    """A value that was kept as text."""
    if isinstance(domain, Categorical):
        return next((c for c in domain.choices if str(c) == text), text)
    try:
        return float(text) if isinstance(domain, Float) else int(float(text)) if isinstance(domain, Integer) else text
    except ValueError:
        return text


def _whole(rows: list[dict[str, Any]], space: Space) -> Any:
    frame = _pandas().DataFrame(rows)
    for name in space.domains:
        if name not in frame.columns:
            frame[name] = None
    return frame
