"""Waves: populations trained one after another, each saved when it is done, so that a kill costs at most one wave."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax.automl._task import GROUP, Data, Task
from metajax.data._home import load_npz, save_npz
from metajax.predictor import Trials
from metajax.types import InputError


class Wave(NamedTuple):
    """One trained population: encodings f32[n, width], on which split i64[n] of the rows each was trained and judged (0 is the
    search's, others are numbers of the task's folds from 1), its outcome, who proposed it, and what some of its models say of
    the judging rows: f32[m, rows, outputs] of the models with the numbers ``kept`` i64[m]."""

    encodings: np.ndarray
    split: np.ndarray
    score: np.ndarray
    loss: np.ndarray
    curve: np.ndarray
    seconds: np.ndarray
    source: str
    outputs: np.ndarray
    kept: np.ndarray


KEPT_ROWS = 2000
"""Of so many judging rows it is kept what the best models of a wave say."""


class Saved(NamedTuple):
    """Where a wave on the disk comes from, and how many trainings it has."""

    source: str
    size: int


class Waves:
    """Trains waves, or reads back the ones that an earlier process finished.

    The randomness of a wave depends on the seed and its number alone, so a resumed search repeats an uninterrupted one. A
    damaged file is named on standard error, and its wave is trained again.
    """

    def __init__(self, path: Path, task: Task, key: jax.Array):
        self.path = path
        self.path.mkdir(exist_ok=True)
        self.task, self.space, self.key = task, task.space, key
        self.done: list[Wave] = []

    def run(self, encodings: Any, source: str, data: Sequence[Data], progress: Any = None, whole: bool = False) -> Wave:
        """Trains these configurations as the next wave, once on each of ``data`` (the wave holds them in that order).

        What its models say of the judging rows is kept of all if ``whole``, else of the first and of the best group, on
        ``KEPT_ROWS``.
        """
        number, each = len(self.done), len(encodings)
        file = self._file()
        encodings = np.tile(np.asarray(encodings, np.float32), (len(data), 1))
        wave = self._read(file)
        if wave is None or wave.source != source or not np.array_equal(wave.encodings, encodings):
            key = jax.random.fold_in(self.key, number)
            outcomes = [
                self.task.train(
                    encodings[:each],
                    part,
                    jax.random.fold_in(key, i),
                    outputs_of=len(part.x_judge) if whole else KEPT_ROWS,
                    progress=None if progress is None else lambda n, i=i: progress(i * each + n),
                )
                for i, part in enumerate(data)
            ]
            join = lambda name: np.concatenate([getattr(outcome, name) for outcome in outcomes])
            score, loss, said = join("score"), join("loss"), join("outputs")
            order = np.lexsort((loss, -np.nan_to_num(score, nan=-np.inf)))
            kept = np.arange(len(score)) if whole else np.union1d([0], order[:GROUP])
            split = np.repeat([0 if part is self.task.search else 1 + i for i, part in enumerate(data)], each)
            wave = Wave(encodings, split, score, loss, join("curve"), join("seconds"), source, said[kept], kept)
            save_npz(file, **wave._asdict())
        self.done.append(wave)
        return wave

    def saved(self) -> "Saved | None":
        """The next wave, if an earlier process made it and its file is not damaged."""
        wave = self._read(self._file())
        return None if wave is None else Saved(wave.source, len(wave.score))

    def _file(self) -> Path:
        return self.path / f"{len(self.done):04d}.npz"

    @staticmethod
    def _read(file: Path) -> Wave | None:
        if not file.is_file():
            return None
        try:
            saved = load_npz(file, Wave._fields)
        except InputError as error:
            print(f"{error}; this wave is trained again", file=sys.stderr)
            file.rename(file.with_name(f"{file.name}.damaged"))
            return None
        return Wave(**{**saved, "source": str(saved["source"])})

    def count(self, *sources: str) -> int:
        """How many models these sources trained; without sources, how many were trained in all."""
        return sum(len(w.score) for w in self.done if not sources or w.source in sources)

    def trials(self, *sources: str) -> Trials:
        """Everything tried by these sources, in order; each split of the rows is a group, for scores on different rows are not
        repetitions."""
        chosen = [w for w in self.done if w.source in sources]
        column = lambda name: np.concatenate([getattr(w, name) for w in chosen])
        return Trials.from_arrays(
            self.space,
            self.space.decode_configs(column("encodings")),
            column("score"),
            maximize=True,
            group=column("split"),
            settings={
                "split": column("split"),
                "loss": column("loss"),
                "seconds": column("seconds"),
                "source": np.concatenate([np.full(len(w.score), w.source) for w in chosen]),
            },
        )

    def said(self, *sources: str) -> tuple[np.ndarray, np.ndarray]:
        """The numbers i64[m] of the trials of these sources of which outputs were kept, and those f32[m, rows, outputs]."""
        chosen = [w for w in self.done if w.source in sources]
        begins = np.cumsum([0, *(len(w.score) for w in chosen)])
        return np.concatenate([b + w.kept for b, w in zip(begins, chosen)]), np.concatenate([w.outputs for w in chosen])

    def curves(self, *sources: str) -> np.ndarray:
        return np.concatenate([w.curve for w in self.done if w.source in sources])
