"""Waves: populations trained one after another, each saved when it is done, so that a kill costs at most one wave."""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from metajax.automl._task import Task
from metajax.automl._training import GROUP_SIZE, AllowsFn, Data, LearningCurves, TrainingResults
from metajax.automl._wave_files import SavedWave, Wave, WaveFiles
from metajax.predictor import Trials


class Stopped(Exception):
    """A search was asked to stop while a wave was trained; the wave is not saved, and resuming trains it again."""


class _Request(NamedTuple):
    """The trainings of a wave: each configuration once on each split.

    Attributes:
        encodings: f32[n, width], the configurations.
        source: Why they are trained.
        data: The splits of the rows.
        numbers: The number of each split.
    """

    encodings: np.ndarray
    source: str
    data: Sequence[Data]
    numbers: Sequence[int]

    @property
    def repeated(self) -> np.ndarray:
        """The configuration of each training, f32[splits · n, width]."""
        return np.tile(self.encodings, (len(self.data), 1))


class WaveHistory:
    """Trains waves, or reads back the waves that an earlier process finished, and holds all of them.

    The randomness of a wave depends on the key and its number alone, so a resumed search repeats an uninterrupted one. A
    damaged file is named on standard error, and its wave is trained again.

    Args:
        directory: The directory of the files, one for each wave. It is created if it does not exist.
        task: The task that models are trained for.
        key: Random key of all trainings.

    Attributes:
        task: The task.
        waves: The waves so far.

    Example:
        >>> import tempfile, jax
        >>> from metajax import automl
        >>> from metajax.data import tabular
        >>> task = automl.table_task(automl.prepare(tabular.load("iris"), seed=0))
        >>> encodings = task.space.encode(task.space.configs([task.default]))
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     history = WaveHistory(Path(directory), task, jax.random.key(0))
        ...     wave = history.train(encodings, "random", [task.search])
        >>> wave.score.shape, len(history.trials("random"))
        ((1,), 1)
    """

    def __init__(self, directory: Path, task: Task, key: jax.Array):
        self._key, self._files = key, WaveFiles(directory, task)
        self.task = task
        self.waves: list[Wave] = []

    def train(
        self,
        encodings: np.ndarray | jax.Array,
        source: str,
        data: Sequence[Data],
        progress: Callable[[int], None] | None = None,
        keep_all: bool = False,
        allows: AllowsFn | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
        gives_up: bool = False,
        first_split: int | None = None,
    ) -> Wave:
        """Trains these configurations as the next wave, or reads the wave back if its file holds just these.

        Args:
            encodings: f[n, width], encodings of the task's space.
            source: Why they are trained.
            data: The splits of the rows; each configuration is trained once on each, and the wave holds them in that order.
            progress: Called with the number of models trained so far.
            keep_all: Keep what all models have learned and predict for the evaluation rows. By default this is kept of the
                first model and of the ``GROUP_SIZE`` best.
            allows: Whether there is time for a training, as in ``TrainFn``. The wave holds those that were trained.
            is_stopped: Whether the search was asked to stop; then no training starts.
            gives_up: Give up trainings that fall behind by the learning curves of the waves before.
            first_split: The number of the first split, if the splits are not the task's own.

        Returns:
            The wave.

        Raises:
            Stopped: If the search was asked to stop before the wave was done.
        """
        number = len(self.waves)
        numbers = [first_split + i if first_split else self.task.number_of(part) for i, part in enumerate(data)]
        request = _Request(np.asarray(encodings, np.float32), source, data, numbers)
        wave = self._files.load(number)
        if wave is None or wave.source != source or not _is_part(wave.requested, request.repeated):
            goes_on = lambda seconds: not is_stopped() and (allows is None or allows(seconds))
            wave = self._train_splits(request, progress, keep_all, goes_on, gives_up)
            if is_stopped():
                raise Stopped
            self._files.save(number, wave)
        self.waves.append(wave)
        return wave

    def add(self, wave: Wave) -> None:
        """Adds a wave that was trained elsewhere as the next one, and saves it."""
        self._files.save(len(self.waves), wave)
        self.waves.append(wave)

    def _train_splits(
        self,
        request: _Request,
        progress: Callable[[int], None] | None,
        keep_all: bool,
        allows: AllowsFn,
        gives_up: bool,
    ) -> Wave:
        """Trains the configurations on every split, several splits at a time where the task can."""
        encodings, data, repeated = request.encodings, request.data, request.repeated
        key, counts = jax.random.fold_in(self._key, len(self.waves)), [0] * len(data)
        past_curves = self._learning_curves() if gives_up else None

        def train_on(i: int) -> TrainingResults:
            part = data[i]
            own_key = jax.random.fold_in(key, i)
            count = functools.partial(_count, progress, counts, i)
            rows = len(part.x_eval)
            return self.task.train(encodings, part, own_key, True, rows, count, allows=allows, past_curves=past_curves)

        if self.task.trains_side_by_side and len(data) > 1:
            with ThreadPoolExecutor(len(data)) as pool:
                parts = list(pool.map(train_on, range(len(data))))
        else:
            parts = [train_on(i) for i in range(len(data))]
        column = lambda name: np.concatenate([getattr(part, name) for part in parts])
        trained_rows = np.flatnonzero(np.isfinite(column("seconds")))
        values = {name: column(name)[trained_rows] for name in ("score", "loss", "curve", "seconds", "stop")}
        output_index = np.arange(len(trained_rows)) if keep_all else _best_and_first(values["score"], values["loss"])
        params, rows = [member for part in parts for member in part.params], trained_rows[output_index]
        return Wave(
            encodings=(repeated if parts[0].encodings is None else column("encodings"))[trained_rows],
            requested=repeated[trained_rows],
            split=np.repeat(request.numbers, len(encodings))[trained_rows],
            source=request.source,
            outputs=column("outputs")[rows],
            output_index=output_index,
            members=[params[row] for row in rows],
            **values,
        )

    def _learning_curves(self) -> LearningCurves | None:
        """The learning curves on the split of the search so far."""
        waves = [wave for wave in self.waves if not wave.is_of_folds]
        if not waves:
            return None
        return LearningCurves(*(np.concatenate([getattr(w, name) for w in waves]) for name in LearningCurves._fields))

    def next_saved(self) -> SavedWave | None:
        """Returns the next wave if an earlier process saved it and its file is not damaged."""
        return self._files.summary(len(self.waves))

    def upcoming(self, source: str) -> SavedWave | None:
        """Returns the next wave of this source, if an earlier process saved it.

        It may come after one of promoted configurations.
        """
        for ahead in (0, 1):
            saved = self._files.summary(len(self.waves) + ahead)
            if saved is not None and saved.source == source:
                return saved
        return None

    def count(self, *sources: str) -> int:
        """Returns the number of models that these sources trained; without sources, the number of all models."""
        return sum(len(wave.score) for wave in self.waves if not sources or wave.source in sources)

    @property
    def has_promoted(self) -> bool:
        """Whether a wave of promoted configurations was trained, with whatever success."""
        return any(wave.source == "promoted" for wave in self.waves)

    def trials(self, *sources: str) -> Trials:
        """Returns the trainings of these sources as trials, in order.

        Each split of the rows is a group of its own, because scores on different rows are not repetitions.
        """
        selected = [wave for wave in self.waves if wave.source in sources]
        column = lambda name: np.concatenate([getattr(wave, name) for wave in selected])
        return Trials.from_arrays(
            self.task.space,
            self.task.space.decode_configs(column("encodings")),
            column("score"),
            maximize=True,
            group=column("split"),
            settings={
                "split": column("split"),
                "loss": column("loss"),
                "stop": column("stop"),
                "seconds": column("seconds"),
                "source": np.concatenate([np.full(len(wave.score), wave.source) for wave in selected]),
            },
        )

    def curves(self, *sources: str) -> np.ndarray:
        """Returns the learning curves f64[n, CURVE_POINTS] of the trials of these sources."""
        return np.concatenate([wave.curve for wave in self.waves if wave.source in sources])


def _count(progress: Callable[[int], None] | None, counts: list[int], index: int, n_trained: int) -> None:
    """Reports the models of one split as models of the whole wave."""
    counts[index] = n_trained
    if progress:
        progress(sum(counts))


def _is_part(saved: np.ndarray, requested: np.ndarray) -> bool:
    """Whether the saved configurations are the requested ones, or the part of them for which there was time."""
    rows = [row.tobytes() for row in requested]
    return all(row.tobytes() in rows for row in saved) and (len(saved) > 0 or not len(requested))


def _best_and_first(score: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """The numbers i64[m] of the first model (the default, in the first wave) and of the best group."""
    return np.union1d(np.arange(min(1, len(score))), best_first(score, loss)[:GROUP_SIZE])


def best_first(score: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Returns the numbers i64[n] of trainings in the order of their scores, equal ones by loss; failed ones come last."""
    return np.lexsort((loss, -np.nan_to_num(score, nan=-np.inf)))
