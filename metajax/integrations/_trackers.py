"""Trackers that a run sends its metrics to: TensorBoard, Weights & Biases, MLflow and Trackio."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metajax._optional import check_installed, optional
from metajax.run import Writer, read_json, write_json
from metajax.types import InputError

_PROJECT = "metajax"


class _TensorBoard:
    """Writes event files below the run."""

    def __init__(self, path: Path, config: Mapping[str, Any]):
        library = optional("tensorboardX", "log='tensorboard'")
        # Files are named by the second, and a run that is resumed in the same one would overwrite its own.
        self._writer = library.SummaryWriter(str(path / "tensorboard"), filename_suffix=f".{time.time_ns()}")

    def write(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Logged:
    """The common part of Weights & Biases and Trackio: a run with ``log`` and ``finish``."""

    _run: Any

    def write(self, metrics: Mapping[str, float], step: int) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


class _WeightsAndBiases(_Logged):
    """One run of the project ``metajax`` for each run directory, which is resumed with it."""

    def __init__(self, path: Path, config: Mapping[str, Any]):
        self._run = optional("wandb", "log='wandb'").init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=path.name,
            id=_digest(path),
            dir=str(path),
            config=dict(config),
            resume="allow",
        )


class _MLflow:
    """One run of the experiment ``metajax`` for each run directory, which is resumed with it.

    It is kept where ``MLFLOW_TRACKING_URI`` says, or in a database below the run.
    """

    def __init__(self, path: Path, config: Mapping[str, Any]):
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{path.resolve() / 'mlflow.db'}"
        self._client, id_file = optional("mlflow", "log='mlflow'").MlflowClient(uri), path / "mlflow.json"
        if id_file.is_file():
            self._id = read_json(id_file)["run"]
            self._client.update_run(self._id, status="RUNNING")
            return
        experiment = self._client.get_experiment_by_name(_PROJECT)
        number = experiment.experiment_id if experiment else self._client.create_experiment(_PROJECT)
        self._id = self._client.create_run(number, run_name=path.name).info.run_id
        for name, value in config.items():
            self._client.log_param(self._id, name, value)
        write_json(id_file, {"run": self._id})

    def write(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._client.log_metric(self._id, _plain(name), value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._id)


class _Trackio(_Logged):
    """One run of the project ``metajax`` for each run directory."""

    def __init__(self, path: Path, config: Mapping[str, Any]):
        library = optional("trackio", "log='trackio'")
        self._run = library.init(project=_PROJECT, name=path.name, config=dict(config), resume="allow")


class _Tracker(NamedTuple):
    """The package that a tracker needs, and its writer."""

    package: str
    make: Callable[[Path, Mapping[str, Any]], Writer]


_KNOWN = {
    "tensorboard": _Tracker("tensorboardX", _TensorBoard),
    "wandb": _Tracker("wandb", _WeightsAndBiases),
    "mlflow": _Tracker("mlflow", _MLflow),
    "trackio": _Tracker("trackio", _Trackio),
}
TRACKERS: dict[str, str] = {name: tracker.package for name, tracker in _KNOWN.items()}
"""The trackers by name, with the package that each needs."""


class _Lazy:
    """A tracker that begins with the first metrics, when the run directory exists."""

    def __init__(self, make: Callable[[Path, Mapping[str, Any]], Writer], path: Path, config: Mapping[str, Any]):
        self._make, self._path, self._config = make, path, config
        self._writer: Writer | None = None

    def write(self, metrics: Mapping[str, float], step: int) -> None:
        if self._writer is None:
            self._writer = self._make(self._path, self._config)
        self._writer.write(metrics, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def tracker(name: str, path: str | os.PathLike[str], config: Mapping[str, Any] | None = None) -> Writer:
    """Returns a writer of a run directory that sends its metrics to a tracker.

    Args:
        name: One of ``TRACKERS``. Weights & Biases, MLflow and Trackio are set up by their own environment variables, such as
            ``WANDB_MODE=offline`` or ``MLFLOW_TRACKING_URI``.
        path: The run directory.
        config: The config of the run, which the tracker shows.

    Returns:
        The writer, for ``run.RunDirectory(path, config, writers=[...])``. It begins with the first metrics.

    Raises:
        InputError: If there is no such tracker, or its package is not installed.

    Example:
        >>> tracker("paper", "runs/mine")
        Traceback (most recent call last):
        metajax.types.InputError: log='paper': must be one of tensorboard, wandb, mlflow, trackio
    """
    if name not in TRACKERS:
        raise InputError(f"log={name!r}: must be one of {', '.join(TRACKERS)}")
    check_installed(f"log={name!r}", TRACKERS[name])
    return _Lazy(_KNOWN[name].make, Path(path), config or {})


def _digest(path: Path) -> str:
    """An identifier of a run directory."""
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]


def _plain(name: str) -> str:
    """A name as MLflow accepts it."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name)
