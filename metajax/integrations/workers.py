"""Workers: several processes, on any number of machines, train the trials of one search through a storage of Optuna.

``metajax search --storage URL`` creates a study and is its first worker; ``metajax worker URL STUDY`` is another one. The study
holds the settings of the search, so that a worker needs nothing but the storage, the name of the study and the data.
"""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metajax._optional import optional
from metajax.automl import Config, Task, Wave
from metajax.automl._load import identify, load_data
from metajax.automl._plan import SearchPlan
from metajax.automl._requirements import check_requirements
from metajax.automl._tables import load_task
from metajax.automl._task import AllowsFn
from metajax.data import tabular
from metajax.integrations._storages import explained, has_password, masked, open_storage
from metajax.integrations._study_record import FINISHED, RECORD, Record, make_record
from metajax.run import Fingerprint, Watch, read_json, write_json
from metajax.types import InputError

_optuna: Any = optional("optuna", "metajax.integrations.workers")

from metajax.integrations._worker import Worker  # noqa: E402  # needs Optuna

__all__ = ["HEARTBEAT_SECONDS", "SharedStudy", "work"]

HEARTBEAT_SECONDS = 10.0
"""The time between two signs of life of a worker. A trial is given to another worker after four of them."""
_POLL_SECONDS = 1.0
_STATUS_SECONDS = 10.0
_FILLING_SECONDS = 5.0  # A process that adds the trials of a new study, and adds none for so long, is dead.
_METHODS = ("metalearner", "random", "optuna")


class SharedStudy:
    """A study of Optuna whose trials several processes train: what ``automl.search`` takes as ``shared``.

    A trial is one configuration, trained on the split of the search. It has the score as its value, the learning curve as its
    reports, and user attributes: ``loss``, ``seconds``, ``worker`` and others. One that falls behind by the learning curves is
    pruned. A worker shows by a heartbeat that it is alive. If it dies, its trials fail, and others train them again; each
    configuration counts once.

    Args:
        storage: The URL of the storage: ``sqlite:///FILE``, ``postgresql://HOST/DATABASE``, ``mysql://HOST/DATABASE``,
            ``journal:FILE`` or ``grpc://HOST:PORT``.
        name: The name of the study.
        heartbeat_seconds: The time between two signs of life of a worker, above 0, where this process creates the study.

    Raises:
        InputError: If Optuna or a driver is not installed, or the storage is down, read-only, or of another version.

    Example:
        >>> import tempfile
        >>> from metajax import automl, run
        >>> config = automl.Config("iris", minutes=0.1)
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     shared = SharedStudy(f"sqlite:///{parent}/trials.db", "iris")
        ...     with run.RunDirectory(f"{parent}/iris", {}) as directory:
        ...         outcome = automl.search(config, directory, show=False, shared=shared)
        >>> outcome.result["metrics"]["test_accuracy"] > 0.8
        True
    """

    def __init__(self, storage: str, name: str, heartbeat_seconds: float = HEARTBEAT_SECONDS):
        if not (math.isfinite(heartbeat_seconds) and heartbeat_seconds > 0):
            raise InputError(f"heartbeat_seconds={heartbeat_seconds!r}: must be a finite number > 0")
        self._url, self._name, self._heartbeat_seconds = storage, name, heartbeat_seconds
        self._storage = open_storage(storage)
        self._worker: Worker | None = None
        _quiet()

    @classmethod
    def of_run(cls, record: Path, storage: str | None = None, study: str | None = None) -> "SharedStudy":
        """Opens the study of a run that is resumed.

        Args:
            record: The file that ``remember`` has written.
            storage: The URL of the storage; it is needed where it has a password, which is not kept.
            study: The name of the study, if it is to be checked.

        Returns:
            The study.

        Raises:
            InputError: If the run has no storage or another one, or the storage cannot be used.
        """
        if not record.is_file():
            raise InputError(
                f"storage={masked(storage or '')!r}: must be left out, because the run there has no storage"
            )
        recorded = read_json(record)
        if storage is None and recorded["has_password"]:
            raise InputError(
                f"storage: the password of {recorded['storage']} is not kept in a run; pass storage= again to resume it"
            )
        if storage is not None and masked(storage) != recorded["storage"]:
            raise InputError(f"storage={masked(storage)!r}: must be that of the run, {recorded['storage']}")
        if study not in (None, recorded["study"]):
            raise InputError(f"study={study!r}: must be that of the run, {recorded['study']!r}")
        return cls(storage or recorded["storage"], recorded["study"])

    def remember(self, directory: Path) -> None:
        """Writes the storage, without a password, and the name of the study into a run directory, for ``of_run``.

        Args:
            directory: The directory.
        """
        content = {"storage": masked(self._url), "has_password": has_password(self._url), "study": self._name}
        write_json(directory / "storage.json", content)

    def check(self, config: Config, identity: Fingerprint) -> None:
        """Checks that a search can use the study, before anything is written or trained.

        Args:
            config: The settings of the search.
            identity: The fingerprint of its data and model types.

        Raises:
            InputError: If the study is one of another search, program or version, or the storage fails.
        """
        if config.method not in _METHODS:
            raise InputError(f"method={config.method!r}: must be one of {', '.join(_METHODS)} where a storage is used")
        if "images" in identity:
            raise InputError(f"storage={masked(self._url)!r}: must be left out for images; only tables have workers")
        with explained(self._url):
            study = self._find()
            if study is not None:
                Record.of_study(study, self._name).check(config, identity, self._name)

    def _find(self) -> Any:
        """The study, or ``None``."""
        try:
            return _optuna.load_study(study_name=self._name, storage=self._storage)
        except KeyError:
            return None

    def begin(self, config: Config, task: Task, identity: Fingerprint, plan: SearchPlan) -> list[str]:
        """Creates the study with its first configurations, or joins it; ``automl.search`` calls it.

        Args:
            config: The settings of the search.
            task: The dataset.
            identity: The fingerprint of its data and model types.
            plan: How many configurations are tried.

        Returns:
            Lines for people.

        Raises:
            InputError: If the study is one of another search, program or version, or the storage fails.
        """
        self.check(config, identity)
        with explained(self._url):
            try:
                study = _optuna.create_study(study_name=self._name, storage=self._storage, direction="maximize")
                is_new = True
            except _optuna.exceptions.DuplicatedStudyError:
                study, is_new = self._find(), False
            if is_new:
                record = make_record(config, identity, task.space, plan.trials, plan.n_initial, self._heartbeat_seconds)
                study.set_user_attr(RECORD, record._asdict())
            record = Record.of_study(study, self._name)
            record.check(config, identity, self._name)
            record.check_space(task.space, study, self._name)
            self._worker = Worker(study, record, task, self._url)
            if not is_new:
                _wait_while_filled(study, record.total)
            self._worker.fill()
            study.set_user_attr(FINISHED, False)
        verb = "Created" if is_new else "Joined"
        return [
            f"{verb} the study {self._name!r}: {self._worker.status()}. On any machine that reads the same data, "
            f"`metajax worker {masked(self._url)} {self._name}` trains with this process."
        ]

    def train_next(self, allows: AllowsFn | None, is_stopped: Callable[[], bool]) -> int:
        """Trains the next trials; ``automl.search`` calls it.

        Args:
            allows: Whether there is time for a training of so many seconds; ``None`` always has.
            is_stopped: Whether this process was asked to stop; what it trains is given back then.

        Returns:
            The number of trials that were trained, 0 if none waits.
        """
        return self._begun.train_next(allows, is_stopped)

    def status(self) -> str:
        """Returns how far the trials are, in words.

        Returns:
            The number of configurations tried, the number of workers, and the best score.
        """
        return self._begun.status()

    @property
    def is_settled(self) -> bool:
        """Whether all configurations of the study are tried."""
        return self._begun.is_settled

    def results(self) -> list[Wave]:
        """Returns what all processes have trained, each configuration once.

        Returns:
            The random configurations, and those that were proposed, as waves without outputs.
        """
        return self._begun.results()

    def finish(self) -> None:
        """Tells all workers that no more trials are needed."""
        self._begun.finish()

    @property
    def _begun(self) -> Worker:
        if self._worker is None:
            raise InputError("SharedStudy: begin must be called first, as automl.search does")
        return self._worker


def _quiet() -> None:
    """Hides the lines that Optuna prints for each study and trial, unless the program has set what it prints."""
    if _optuna.logging.get_verbosity() == _optuna.logging.INFO:
        _optuna.logging.set_verbosity(_optuna.logging.WARNING)


def _wait_while_filled(study: Any, total: int | None) -> None:
    """Waits while another process adds trials to a new study, so that both do not add the same ones."""
    n_trials, changed = -1, time.monotonic()
    while time.monotonic() - changed < _FILLING_SECONDS:
        trials = study.get_trials(deepcopy=False)
        if len(trials) >= (total or math.inf) or any(trial.state.is_finished() for trial in trials):
            return
        if len(trials) != n_trials:
            n_trials, changed = len(trials), time.monotonic()
        time.sleep(_POLL_SECONDS / 4)


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
    _quiet()
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
