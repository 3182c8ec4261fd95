"""A queue of trials in a study of Optuna: every entry is trained by one living worker at a time, and counts once.

An entry is one configuration that is to be tried. Mostly it has one trial. If the worker of a trial dies, the trial fails, and
another trial of the same entry waits for the next worker. Any process may add a trial to an entry that has none: of the trials
of an entry that are alive at the same time only the one of the lowest number is trained.
"""

import contextlib
import threading
import time
from collections.abc import Iterable
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

ENTRY = "entry"
"""The user attribute of a trial that names its entry."""
FAILED = "failed"
"""The user attribute of a trial whose training has failed. Other failed trials were not trained to the end."""
SOURCE = "source"
"""The user attribute that says why a configuration is tried: ``random`` or ``proposed``."""
_REASON = "not trained"
_BEAT = "metajax:heartbeat"
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class Heartbeat:
    """Shows that the worker of some trials is alive, from a thread of its own.

    Each beat changes a number of the trial. Others watch whether it changes, so that clocks of machines need not agree.

    Args:
        storage: The storage.
        seconds: The time between two beats.
    """

    def __init__(self, storage: Any, seconds: float):
        self._storage, self._seconds = storage, seconds
        self._trials: dict[int, int] = {}
        self._lock, self._is_over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="metajax-heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def add(self, trial_id: int) -> None:
        """Begins to beat for a trial."""
        with self._lock:
            self._trials[trial_id] = 0

    def discard(self, trial_id: int) -> None:
        """Ends to beat for a trial."""
        with self._lock:
            self._trials.pop(trial_id, None)

    def _run(self) -> None:
        while not self._is_over.wait(self._seconds):
            with self._lock:
                trials = {trial_id: count + 1 for trial_id, count in self._trials.items()}
                self._trials.update(trials)
            for trial_id, count in trials.items():
                # A trial that was told, or given to another worker, needs no beat; an error of the storage is raised where the
                # worker itself uses it.
                with contextlib.suppress(Exception):
                    self._storage.set_trial_system_attr(trial_id, _BEAT, count)


class TrialQueue:
    """The entries of a study.

    Args:
        study: The ``optuna.Study``.
        grace: A trial is given to another worker after this many seconds without a heartbeat.
        total: The number of entries; ``None`` adds one whenever none waits.
        worker: The name of this worker.
        attributes: The user attributes of entries that are added when none waits.
    """

    def __init__(
        self,
        study: optuna.Study,
        grace: float,
        total: int | None,
        worker: str,
        attributes: dict[str, Any] | None = None,
    ):
        self._study, self._storage = study, study._storage
        self._grace, self._total, self._worker = grace, total, worker
        self._beats: dict[int, tuple[Any, float]] = {}  # by trial: the last beat that was seen, and when it changed
        self._own: set[int] = set()
        self._n_added, self._attributes = 0, attributes or {}

    def trials(self) -> list[Any]:
        """Returns all trials of the study in order of their numbers, as the storage has them now. They are not copied."""
        return self._study.get_trials(deepcopy=False)

    def fill(self, entries: Iterable[tuple[str, dict[str, Any], dict[str, Any]]]) -> None:
        """Adds those of some entries that have no trial yet.

        Args:
            entries: The name of each, the parameters that are fixed, and further user attributes.
        """
        existing = {trial.user_attrs.get(ENTRY) for trial in self.trials()}
        for entry, params, attributes in entries:
            if entry not in existing:
                self._study.enqueue_trial(params, user_attrs={ENTRY: entry, **attributes})

    def take(self) -> optuna.Trial | None:
        """Returns the next trial, which runs from now on; ``None`` if none waits."""
        while True:
            waiting = [
                trial for trial in self.trials() if trial.state == TrialState.WAITING and ENTRY in trial.user_attrs
            ]
            for trial in waiting:
                if self._claim(trial):
                    self._own.add(trial._trial_id)
                    return optuna.Trial(self._study, trial._trial_id)
            if self._total is not None:
                return None
            if not waiting:
                self._n_added += 1
                entry = {ENTRY: f"{self._worker}/{self._n_added}", **self._attributes}
                self._study.enqueue_trial({}, user_attrs=entry)

    def _claim(self, trial: Any) -> bool:
        """Whether a waiting trial is this worker's now."""
        try:
            if not self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                return False
        except UpdateFinishedTrialError:
            return False
        entry = trial.user_attrs[ENTRY]
        others = [t for t in self.trials() if t.user_attrs.get(ENTRY) == entry and t.number < trial.number]
        if any(_is_alive(other) or _is_done(other) for other in others):
            self._fail(trial._trial_id, "another trial has its entry")
            return False
        return True

    def _fail(self, trial_id: int, reason: str) -> bool:
        """Fails a trial that was not trained to the end; returns whether it was running until now."""
        self._own.discard(trial_id)
        with contextlib.suppress(UpdateFinishedTrialError):
            self._storage.set_trial_user_attr(trial_id, _REASON, reason)
            return self._storage.set_trial_state_values(trial_id, TrialState.FAIL)
        return False

    def give_back(self, trial: optuna.Trial) -> None:
        """Lets another worker train a trial of this one."""
        self._fail(trial._trial_id, "its worker has stopped")
        self._revive()

    def release(self, trial: optuna.Trial) -> None:
        """Forgets a trial that was told."""
        self._own.discard(trial._trial_id)

    def recover(self) -> int:
        """Gives trials of dead workers to others; returns their number.

        A worker is dead if this process has seen no beat of it for the grace.
        """
        now, n_lost = time.monotonic(), 0
        running = [trial for trial in self.trials() if trial.state == TrialState.RUNNING and ENTRY in trial.user_attrs]
        for trial in running:
            beat = trial.system_attrs.get(_BEAT)
            if trial._trial_id in self._own or self._beats.get(trial._trial_id, (None, -1.0))[1] < 0:
                self._beats[trial._trial_id] = beat, now
            last, changed = self._beats[trial._trial_id]
            if beat != last:
                self._beats[trial._trial_id] = beat, now
            elif now - changed > self._grace:
                n_lost += self._fail(trial._trial_id, "its worker died")
        self._revive()
        return n_lost

    def _revive(self) -> None:
        """Adds a trial to every entry that has none that is alive or done."""
        latest: dict[str, Any] = {}
        has_trial: set[str] = set()
        for trial in self.trials():
            if (entry := trial.user_attrs.get(ENTRY)) is None:
                continue
            if _is_alive(trial) or _is_done(trial):
                has_trial.add(entry)
            elif entry not in latest or trial.params:  # one that was dropped has none
                latest[entry] = trial
        for entry, trial in latest.items():
            if entry not in has_trial:
                params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
                attributes = {name: trial.user_attrs[name] for name in (ENTRY, SOURCE) if name in trial.user_attrs}
                self._study.enqueue_trial(params, user_attrs=attributes)

    def done(self) -> list[Any]:
        """Returns the trial of each entry that is done, in order of their numbers."""
        by_entry: dict[str, Any] = {}
        for trial in self.trials():
            if ENTRY in trial.user_attrs and _is_done(trial):
                by_entry.setdefault(trial.user_attrs[ENTRY], trial)
        return list(by_entry.values())

    @property
    def is_settled(self) -> bool:
        """Whether all entries are done."""
        return self._total is not None and len(self.done()) >= self._total


def _is_alive(trial: Any) -> bool:
    """Whether a trial waits or runs."""
    return trial.state in (TrialState.WAITING, TrialState.RUNNING)


def _is_done(trial: Any) -> bool:
    """Whether a trial was trained to its end, or its training has failed."""
    return trial.state in _DONE or (trial.state == TrialState.FAIL and bool(trial.user_attrs.get(FAILED)))
