"""Waves: populations trained one after another, each saved when it is done, so that a kill costs at most one wave."""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from metajax.automl._task import GROUP_SIZE, Data, Task, TrainingResults
from metajax.data._home import load_npz, save_npz
from metajax.predictor import Trials
from metajax.types import InputError

MAX_OUTPUT_ROWS = 2000
"""Maximum number of evaluation rows for which a wave keeps what its best models predict."""
_OUTPUT_INDEX_IN_FILES = "kept"  # the name of ``output_index`` in the files of a run


class Wave(NamedTuple):
    """One trained population: what other libraries call a batch of trials.

    Attributes:
        encodings: f32[n, width], the configurations, with what their trainings decided.
        asked: f32[n, width], the configurations that were to be trained.
        split: i64[n], the split of the rows on which each was trained and evaluated: 0 is that of the search, the others
            count the task's folds from 1.
        score: f64[n], accuracy or R².
        loss: f64[n], calibrated log-loss or mean squared error.
        curve: f64[n, CURVE_POINTS], learning curves.
        seconds: f64[n], training time.
        source: Who proposed the wave: ``random``, ``proposed``, ``final`` or ``baseline``.
        outputs: f32[m, rows, outputs], what some of the models predict for the evaluation rows.
        output_index: i64[m], the rows of ``encodings`` that ``outputs`` belong to.
        stop: f64[n], the share of its epochs after which each training was best.
    """

    encodings: np.ndarray
    asked: np.ndarray
    split: np.ndarray
    score: np.ndarray
    loss: np.ndarray
    curve: np.ndarray
    seconds: np.ndarray
    source: str
    outputs: np.ndarray
    output_index: np.ndarray
    stop: np.ndarray


class SavedWave(NamedTuple):
    """A wave that an earlier process saved.

    Attributes:
        source: Who proposed it.
        size: Number of its trainings.
    """

    source: str
    size: int


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
        >>> encodings = task.space.encode(task.space.sample(jax.random.key(1), 4))
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     history = WaveHistory(Path(directory), task, jax.random.key(0))
        ...     wave = history.train(encodings, "random", [task.search])
        >>> wave.score.shape, len(history.trials("random"))
        ((4,), 4)
    """

    def __init__(self, directory: Path, task: Task, key: jax.Array):
        directory.mkdir(exist_ok=True)
        self._directory, self._key = directory, key
        self.task = task
        self.waves: list[Wave] = []

    def train(
        self,
        encodings: np.ndarray | jax.Array,
        source: str,
        data: Sequence[Data],
        progress: Callable[[int], None] | None = None,
        keep_all_outputs: bool = False,
    ) -> Wave:
        """Trains these configurations as the next wave, or reads the wave back if its file holds just these.

        Args:
            encodings: f[n, width], encodings of the task's space.
            source: Who proposed them.
            data: The splits of the rows; each configuration is trained once on each, and the wave holds them in that order.
            progress: Called with the number of models trained so far.
            keep_all_outputs: Keep what all models predict for all evaluation rows. By default this is kept of the first
                model and of the ``GROUP_SIZE`` best, for ``MAX_OUTPUT_ROWS`` rows.

        Returns:
            The wave.
        """
        file = self._next_file()
        configurations = np.asarray(encodings, np.float32)
        repeated = np.tile(configurations, (len(data), 1))
        wave = self._read(file)
        if wave is None or wave.source != source or not np.array_equal(wave.asked, repeated):
            results = self._train_splits(configurations, data, progress, keep_all_outputs)
            index = np.arange(len(results.score)) if keep_all_outputs else _best_and_first(results)
            split = [0 if part is self.task.search else 1 + i for i, part in enumerate(data)]
            wave = Wave(
                encodings=repeated if results.encodings is None else results.encodings,
                asked=repeated,
                split=np.repeat(split, len(configurations)),
                score=results.score,
                loss=results.loss,
                curve=results.curve,
                seconds=results.seconds,
                source=source,
                outputs=results.outputs[index],
                output_index=index,
                stop=results.stop,
            )
            arrays = wave._asdict()
            arrays[_OUTPUT_INDEX_IN_FILES] = arrays.pop("output_index")
            save_npz(file, **arrays)
        self.waves.append(wave)
        return wave

    def _train_splits(
        self,
        encodings: np.ndarray,
        data: Sequence[Data],
        progress: Callable[[int], None] | None,
        keep_all_outputs: bool,
    ) -> TrainingResults:
        """Trains the configurations on every split; the results of all splits, one after the other.

        The evaluation rows of the search decide when a training stops. On other splits it stops where it was best so far, so
        that a score there is that of the final training.
        """
        key, n = jax.random.fold_in(self._key, len(self.waves)), len(encodings)
        known = self.mean_stop(encodings) if self.waves else np.ones(n)
        parts = [
            self.task.train(
                encodings,
                part,
                jax.random.fold_in(key, i),
                output_rows=len(part.x_eval) if keep_all_outputs else MAX_OUTPUT_ROWS,
                progress=None if progress is None else functools.partial(_count_from, progress, i * n),
                stop=None if part is self.task.search else known,
            )
            for i, part in enumerate(data)
        ]
        column = lambda name: np.concatenate([getattr(part, name) for part in parts])
        names = ["score", "loss", "curve", "seconds", "outputs", "stop"]
        if parts[0].encodings is not None:
            names.append("encodings")
        return TrainingResults(params=[], **{name: column(name) for name in names})

    def next_saved(self) -> SavedWave | None:
        """Returns the next wave if an earlier process saved it and its file is not damaged."""
        wave = self._read(self._next_file())
        return None if wave is None else SavedWave(wave.source, len(wave.score))

    def _next_file(self) -> Path:
        return self._directory / f"{len(self.waves):04d}.npz"

    @staticmethod
    def _read(file: Path) -> Wave | None:
        if not file.is_file():
            return None
        names = [_OUTPUT_INDEX_IN_FILES if name == "output_index" else name for name in Wave._fields]
        try:
            arrays = load_npz(file, tuple(names))
        except InputError as error:
            print(f"{error}; this wave is trained again", file=sys.stderr)
            file.rename(file.with_name(f"{file.name}.damaged"))
            return None
        arrays["output_index"] = arrays.pop(_OUTPUT_INDEX_IN_FILES)
        return Wave(**{**arrays, "source": str(arrays["source"])})

    def count(self, *sources: str) -> int:
        """Returns the number of models that these sources trained; without sources, the number of all models."""
        return sum(len(wave.score) for wave in self.waves if not sources or wave.source in sources)

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

    def outputs(self, *sources: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns what models of these sources predicted for the evaluation rows, as far as it was kept.

        Returns:
            i64[m], the numbers of the models among the trials of these sources, and f32[m, rows, outputs].
        """
        selected = [wave for wave in self.waves if wave.source in sources]
        starts = np.cumsum([0, *(len(wave.score) for wave in selected)])
        index = np.concatenate([start + wave.output_index for start, wave in zip(starts, selected)])
        return index, np.concatenate([wave.outputs for wave in selected])

    def mean_stop(self, encodings: np.ndarray) -> np.ndarray:
        """Returns the mean share f64[n] of a training after which each configuration was best, over all of its trainings."""
        known, stop = (np.concatenate([getattr(wave, name) for wave in self.waves]) for name in ("encodings", "stop"))
        is_same = [np.all(known == np.asarray(encoding, np.float32), axis=1) for encoding in encodings]
        return np.array([stop[same].mean() if same.any() else 1.0 for same in is_same])

    def curves(self, *sources: str) -> np.ndarray:
        """Returns the learning curves f64[n, CURVE_POINTS] of the trials of these sources."""
        return np.concatenate([wave.curve for wave in self.waves if wave.source in sources])


def _count_from(progress: Callable[[int], None], start: int, done: int) -> None:
    """Reports the models of one split as models of the whole wave."""
    progress(start + done)


def _best_and_first(results: TrainingResults) -> np.ndarray:
    """The numbers i64[m] of the first model (the default, in the first wave) and of the best group."""
    order = np.lexsort((results.loss, -np.nan_to_num(results.score, nan=-np.inf)))
    return np.union1d([0], order[:GROUP_SIZE])
