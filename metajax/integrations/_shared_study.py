"""A study of Optuna as the trials of a search that several processes train."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna

from metajax.automl import Config, Task, Wave
from metajax.automl._plan import SearchPlan
from metajax.automl._training import AllowsFn
from metajax.integrations._storages import explained, has_password, masked, open_storage
from metajax.integrations._study_record import FINISHED, RECORD, Record, make_record
from metajax.integrations._worker import Worker
from metajax.run import Fingerprint, read_json, write_json
from metajax.types import InputError

HEARTBEAT_SECONDS = 10.0
"""The time between two signs of life of a worker. A trial is given to another worker after four of them."""
_POLL_SECONDS = 0.25
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
        quiet_optuna()

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
        self._check_search(config, identity)
        with explained(self._url):
            study = self._find()
            if study is not None:
                Record.of_study(study, self._name).check(config, identity, self._name)

    def _check_search(self, config: Config, identity: Fingerprint) -> None:
        """Raises ``InputError`` for a search whose trials cannot be shared."""
        if config.method not in _METHODS:
            raise InputError(f"method={config.method!r}: must be one of {', '.join(_METHODS)} where a storage is used")
        if "images" in identity:
            raise InputError(f"storage={masked(self._url)!r}: must be left out for images; only tables have workers")

    def _find(self) -> Any:
        """The study, or ``None``."""
        try:
            return optuna.load_study(study_name=self._name, storage=self._storage)
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
        self._check_search(config, identity)
        with explained(self._url):
            try:
                study = optuna.create_study(study_name=self._name, storage=self._storage, direction="maximize")
                is_new = True
            except optuna.exceptions.DuplicatedStudyError:
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
        return self._own_worker.train_next(allows, is_stopped)

    def status(self) -> str:
        """Returns how far the trials are, in words.

        Returns:
            The number of configurations tried, the number of workers, and the best score.
        """
        return self._own_worker.status()

    @property
    def is_settled(self) -> bool:
        """Whether all configurations of the study are tried."""
        return self._own_worker.is_settled

    def results(self) -> list[Wave]:
        """Returns what all processes have trained, each configuration once.

        Returns:
            The random configurations, and those that were proposed, as waves without outputs.
        """
        return self._own_worker.results()

    def finish(self) -> None:
        """Tells all workers that no more trials are needed."""
        self._own_worker.finish()

    @property
    def _own_worker(self) -> Worker:
        if self._worker is None:
            raise InputError("SharedStudy: begin must be called first, as automl.search does")
        return self._worker


def quiet_optuna() -> None:
    """Hides the lines that Optuna prints for each study and trial, unless the program has set what it prints."""
    if optuna.logging.get_verbosity() == optuna.logging.INFO:
        optuna.logging.set_verbosity(optuna.logging.WARNING)


def _wait_while_filled(study: Any, total: int | None) -> None:
    """Waits while another process adds trials to a new study, so that both do not add the same ones."""
    n_trials, changed = -1, time.monotonic()
    while time.monotonic() - changed < _FILLING_SECONDS:
        trials = study.get_trials(deepcopy=False)
        if len(trials) >= (total or math.inf) or any(trial.state.is_finished() for trial in trials):
            return
        if len(trials) != n_trials:
            n_trials, changed = len(trials), time.monotonic()
        time.sleep(_POLL_SECONDS)
