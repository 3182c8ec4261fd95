"""Trains waves, shows their progress, and writes their metrics."""

import contextlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from metajax.automl._schedule import Schedule
from metajax.automl._settings import Config
from metajax.automl._task import Data
from metajax.automl._waves import Wave, WaveHistory
from metajax.run import Progress, RunDirectory


class Recorder:
    """Trains waves, shows their progress on standard error, and appends their metrics to ``metrics.jsonl``.

    It also tells the schedule how long each wave took.

    Attributes:
        directory: The run directory.
        history: The waves so far.
        schedule: What is trained next.
    """

    def __init__(self, config: Config, directory: RunDirectory, history: WaveHistory, schedule: Schedule, show: bool):
        self.directory, self.history, self.schedule = directory, history, schedule
        self._show = show
        self._progress = None
        plan = schedule.plan
        if plan.trials is not None:
            total = 2 * plan.trials - plan.n_initial if config.baseline else plan.trials
            self._progress = Progress(total, label="models", show=show)
        self._n_logged = len(directory.metrics())

    def train(
        self,
        encodings: np.ndarray,
        source: str,
        r2: dict[str, float] | None = None,
        data: Sequence[Data] | None = None,
    ) -> Wave:
        """Trains the next wave and records it.

        Args:
            encodings: f32[n, width], the configurations.
            source: Who proposed them: ``random``, ``proposed``, ``final`` or ``baseline``.
            r2: R² of each of the meta-learner's models in cross-validation, if they proposed the wave.
            data: The splits of the rows to train on; by default that of the search.
        """
        history, durations = self.history, self.schedule.durations
        trained_before = history.count()
        fraction = len(encodings) * len(data or [0]) / self.schedule.plan.wave_size
        is_saved = history.next_saved() is not None
        splits, progress = data or [history.task.search], self._progress_callback(trained_before)
        with contextlib.nullcontext() if is_saved else durations.measure_wave(fraction):
            wave = history.train(encodings, source, splits, progress, keep_all_outputs=source == "final")
        if is_saved:
            durations.record_wave(float(wave.seconds.sum()), fraction)
        self._log(wave, trained_before, r2)
        return wave

    def _progress_callback(self, trained_before: int):
        """Updates the progress bar with the models trained and the best score so far."""
        bar, waves = self._progress, self.history.waves
        if bar is None:
            return None
        best = max([np.nanmax(wave.score, initial=-np.inf) for wave in waves], default=-np.inf)
        shown = {} if best == -np.inf else {"best_validation": float(best)}
        return lambda n: bar.update(trained_before + n, shown)

    def _log(self, wave: Wave, trained_before: int, r2: dict[str, float] | None) -> None:
        """Appends the metrics of a wave, unless an earlier process has done so."""
        record: dict[str, Any] = {
            "step": len(self.history.waves),
            "seconds": round(self.schedule.budget.seconds, 3),
            "trained": trained_before + len(wave.score),
            "source": wave.source,
            "best": float(np.nanmax(wave.score, initial=-1.0)),
            "median": float(np.nanmedian(wave.score)) if np.isfinite(wave.score).any() else -1.0,
            "failed": int(np.isnan(wave.score).sum()),
            **{f"r2_{name}": value for name, value in (r2 or {}).items()},
        }
        if record["step"] > self._n_logged:
            self.directory.log(record)
        if self._progress is None:
            self.say(
                f"{record['trained']} models trained; the last wave ({wave.source}): best {record['best']:.4f}, "
                f"median {record['median']:.4f}"
            )

    def say(self, text: str) -> None:
        """Prints a line to standard error, if progress is shown."""
        if self._show:
            print(text, file=sys.stderr)

    def close(self) -> None:
        """Closes the progress bar."""
        if self._progress:
            self._progress.close()
