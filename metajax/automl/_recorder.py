"""Trains waves, shows their progress, and writes their metrics."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metajax.automl._schedule import Schedule
from metajax.automl._settings import Config
from metajax.automl._training import AllowsFn, Data
from metajax.automl._wave_files import Wave, is_of_folds
from metajax.automl._waves import WaveHistory
from metajax.automl.models._threads import n_workers
from metajax.run import Progress, RunDirectory

Callback = Callable[[dict[str, Any]], bool | None]
"""Is called after each wave with what ``metrics.jsonl`` records of it; ``True`` ends the search."""


class Recorder:
    """Trains waves, shows their progress on standard error, and appends their metrics to ``metrics.jsonl``.

    It also tells the schedule how long each wave took.

    Attributes:
        directory: The run directory.
        history: The waves so far.
        schedule: What is trained next.
        is_stopped: Whether the search was asked to stop.
        callbacks: What is called after each wave.
    """

    def __init__(
        self,
        config: Config,
        directory: RunDirectory,
        history: WaveHistory,
        schedule: Schedule,
        show: bool,
        bar: bool = True,
    ):
        """``bar`` says whether a progress bar is shown where the number of trials is known."""
        self.directory, self.history, self.schedule = directory, history, schedule
        self.is_stopped: Callable[[], bool] = lambda: False
        self.callbacks: Sequence[Callback] = ()
        self._show = show
        self._progress = None
        plan = schedule.plan
        if bar and plan.trials is not None:
            total = 2 * plan.trials - plan.n_initial if config.baseline else plan.trials
            self._progress = Progress(total, label="models", show=show)
        self._n_logged = len(directory.metrics())

    def train(
        self,
        encodings: np.ndarray,
        source: str,
        r2: dict[str, float] | None = None,
        data: Sequence[Data] | None = None,
        first_split: int | None = None,
    ) -> Wave:
        """Trains the next wave and records it.

        Args:
            encodings: f32[n, width], the configurations.
            source: Why they are trained: ``random``, ``proposed``, ``promoted``, ``repeated`` or ``baseline``.
            r2: R² of each of the meta-learner's models in cross-validation, if they proposed the wave.
            data: The splits of the rows to train on; by default that of the search.
            first_split: The number of the first of them, if the splits are not the task's own.
        """
        history, start_time, is_promoted = self.history, time.perf_counter(), is_of_folds(source)
        is_saved, splits = history.next_saved() is not None, data or [history.task.search]
        progress = None if is_promoted else self._progress_callback(self._n_tried)
        wave = history.train(
            encodings,
            source,
            splits,
            progress,
            is_promoted,
            self._allows(source),
            self.is_stopped,
            not is_promoted,
            first_split,
        )
        elapsed = float(wave.seconds.sum()) / n_workers() if is_saved else time.perf_counter() - start_time
        self.schedule.record_wave(elapsed, len(wave.score), is_promoted)
        self._log(wave, r2)
        return wave

    def add(self, wave: Wave) -> None:
        """Records a wave that was trained elsewhere as the next one."""
        self.history.add(wave)
        self._log(wave, None)

    def _allows(self, source: str) -> AllowsFn:
        """Whether there is time for a training. The first one of all and the first on every fold are done in any case."""
        if source != "promoted":
            return self.schedule.allows if self.history.waves else _except_first(self.schedule.allows)
        return self.schedule.allows_late if self.history.has_promoted else lambda _: True

    @property
    def _n_tried(self) -> int:
        """Number of configurations that were tried so far."""
        return self.history.count("random", "proposed", "baseline")

    def _progress_callback(self, trained_before: int):
        """Updates the progress bar with the models trained and the best score so far."""
        bar, waves = self._progress, self.history.waves
        if bar is None:
            return None
        best = max([np.nanmax(wave.score, initial=-np.inf) for wave in waves], default=-np.inf)
        postfix = {} if best == -np.inf else {"best_validation": float(best)}
        return lambda n: bar.update(trained_before + n, postfix)

    def _log(self, wave: Wave, r2: dict[str, float] | None) -> None:
        """Appends the metrics of a wave, unless an earlier process has done so."""
        record: dict[str, Any] = {
            "step": len(self.history.waves),
            "seconds": round(self.schedule.budget.seconds, 3),
            "tried": self._n_tried,
            "trained": self.history.count(),
            "source": wave.source,
            "best": float(np.nanmax(wave.score, initial=-1.0)),
            "median": float(np.nanmedian(wave.score)) if np.isfinite(wave.score).any() else -1.0,
            "failed": int(np.isnan(wave.score).sum()),
            **{f"r2_{name}": value for name, value in (r2 or {}).items()},
        }
        if record["step"] > self._n_logged:
            self.directory.log(record)
        answers = [callback(dict(record)) for callback in self.callbacks] if len(wave.score) else []
        if any(answers):
            self.schedule.is_over = True
        if self._progress is None:
            progress = (
                f"{record['seconds']:.0f} s: {record['tried']} configurations tried, {record['trained']} models trained"
            )
            scores = f"best {record['best']:.4f}, median {record['median']:.4f}"
            last = f"; the last ones ({wave.source}): {scores}" if np.isfinite(wave.score).any() else ""
            self.say(f"{progress}{last}")

    def say(self, text: str) -> None:
        """Prints a line to standard error, if progress is shown."""
        if self._show:
            print(text, file=sys.stderr)

    def close(self) -> None:
        """Closes the progress bar."""
        if self._progress:
            self._progress.close()


def _except_first(allows: AllowsFn) -> AllowsFn:
    """Allows the first training of all, whatever the time."""
    requests: list[float] = []

    def allows_first(seconds: float) -> bool:
        requests.append(seconds)
        return len(requests) == 1 or allows(seconds)

    return allows_first
