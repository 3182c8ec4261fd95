"""Workers: several processes, on any number of machines, train the trials of one search through a storage of Optuna.

``metajax search --storage URL`` creates a study and is its first worker; ``metajax worker URL STUDY`` is another one. The study
holds the settings of the search, so that a worker needs nothing but the storage, the name of the study and the data.
"""

import math
import sys
import time
from typing import Any

from metajax._optional import optional
from metajax.automl import Config
from metajax.automl._load import identify, load_data
from metajax.automl._requirements import check_requirements
from metajax.automl._tables import load_task
from metajax.data import tabular
from metajax.integrations._storages import explained, open_storage
from metajax.integrations._study_record import Record
from metajax.run import Watch
from metajax.types import InputError

_optuna: Any = optional("optuna", "metajax.integrations.workers")

from metajax.integrations._shared_study import HEARTBEAT_SECONDS, SharedStudy, quiet_optuna  # noqa: E402  # needs Optuna
from metajax.integrations._worker import Worker  # noqa: E402

__all__ = ["HEARTBEAT_SECONDS", "SharedStudy", "work"]

_POLL_SECONDS = 1.0
_STATUS_SECONDS = 10.0


def work(
    storage: str,
    study: str,
    data: str | None = None,
    test: str | None = None,
    schema: str | None = None,
    minutes: float | None = None,
    show: bool = True,
) -> int:
    """Trains trials of a study until its search is finished: what ``metajax worker`` runs.

    Args:
        storage: The URL of the storage, as in ``SharedStudy``.
        study: The name of the study, which a search has created.
        data: The path of the data on this machine; by default that of the search.
        test: The path of the test rows on this machine; by default that of the search.
        schema: The path of the schema on this machine; by default that of the search.
        minutes: End after this time; by default after the minutes of the search, if it has any.
        show: Show progress on standard error.

    Returns:
        The number of trials that this process has trained.

    Raises:
        InputError: If the storage cannot be used, has no such study, or the study is of other data, of another version or of
            other model types. Nothing has been trained then.

    Example:
        >>> work("sqlite:///no_such.db", "iris")
        Traceback (most recent call last):
        metajax.types.InputError: storage='sqlite:///no_such.db': the file must exist, because a search creates it
    """
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise InputError(f"minutes={minutes:g}: must be a finite number > 0")
    say = (lambda text: print(text, file=sys.stderr)) if show else (lambda text: None)
    worker, config = _join(storage, study, {"data": data, "test": test, "schema": schema})
    limit = config.minutes if minutes is None else minutes
    end = math.inf if limit is None else time.monotonic() + 60 * limit
    say(f"Worker {worker.name} has joined the study {study!r}: {worker.status()}.")
    said = time.monotonic()
    with Watch() as watch:
        is_stopped = lambda: watch.signal is not None
        while not is_stopped() and time.monotonic() < end and not worker.is_finished:
            n_trained = worker.train_next(lambda seconds: time.monotonic() + seconds < end, is_stopped)
            if time.monotonic() - said > _STATUS_SECONDS:
                said = time.monotonic()
                say(f"{worker.status()}; {worker.n_trained} by this one")
            if not n_trained and not is_stopped():
                time.sleep(_POLL_SECONDS)
    reason = "was asked to stop" if is_stopped() else "is done" if worker.is_finished else "has no time left"
    say(f"Worker {worker.name} {reason}, and has trained {worker.n_trained} configurations: {worker.status()}.")
    return worker.n_trained


def _join(storage: str, name: str, paths: dict[str, str | None]) -> tuple[Worker, Config]:
    """Reads the study and the data, and checks that they belong together."""
    quiet_optuna()
    opened = open_storage(storage, must_exist=True)
    with explained(storage):
        names = _optuna.get_all_study_names(opened)
        if name not in names:
            raise InputError(f"study={name!r}: must be a study of the storage, which has {', '.join(names) or 'none'}")
        study = _optuna.load_study(study_name=name, storage=opened)
        record = Record.of_study(study, name)
    config = Config(**{**record.config, **{key: path for key, path in paths.items() if path is not None}})
    check_requirements(config)
    loaded = load_data(config)
    record.check(config, identify(loaded), name)
    assert isinstance(loaded.dataset, tabular.Dataset)  # searches of images create no study
    task, _ = load_task(loaded.dataset, loaded.test, config)
    with explained(storage):
        record.check_space(task.space, study, name)
        study.set_user_attr("last worker", time.strftime("%Y-%m-%d %H:%M:%S"))  # a storage that is read-only fails here
    return Worker(study, record, task, storage), config
