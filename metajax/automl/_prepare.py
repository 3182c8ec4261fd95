"""From a dataset to arrays on the device: split, encoder, and the rows that each phase learns from."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from metajax.automl._space import MAX_FEATURES
from metajax.automl._task import Data
from metajax.data import tabular

SEARCH_ROWS, FINAL_ROWS = 20_000, 100_000
"""The search trains and judges on at most so many rows, the final model on at most so many; fewer in a budget of minutes."""


class Prepared(NamedTuple):
    """What the main job works on.

    Attributes:
        search: rows to train on and validation rows to be judged on.
        final: training and validation rows together, and the test rows.
        encoder: fitted on the training rows.
        groups: for each input, the item of the space's ``features`` it belongs to.
        outputs: classes, or 1.
        rows: how many rows are in training, validation and test.
        notes: for the report.
    """

    search: Data
    final: Data
    encoder: tabular.Encoder
    groups: np.ndarray
    outputs: int
    rows: tuple[int, int, int]
    notes: list[str]

    @property
    def classification(self) -> bool:
        return self.encoder.classes is not None

    @property
    def features(self) -> int:
        return int(self.groups.max()) + 1


def limits(minutes: float | None) -> tuple[int, int]:
    """Rows of the search and of the final model that a budget has time for."""
    if minutes is None:
        return SEARCH_ROWS, FINAL_ROWS
    within = lambda each, least, most: int(min(max(each * minutes, least), most))
    return within(4_000, 2_000, SEARCH_ROWS), within(6_000, 3_000, FINAL_ROWS)


def prepare(dataset: tabular.Dataset, seed: int, test: bool = True, minutes: float | None = None) -> Prepared:
    """Splits 60/20/20 (classes spread evenly), fits the encoder on the training rows, and encodes everything.

    Without a test the split is 80/20, and the rows of ``final`` to be judged on are those of the validation. Of many rows
    a part is taken, with a note: what a budget of minutes has time for, and never more than fits in memory.
    """
    most, most_final = limits(minutes)
    if len(dataset.target) > _WHOLE:
        rows = np.sort(_spread(dataset, _WHOLE, seed))
        note = f"{len(rows):,} of {len(dataset.target):,} rows were drawn"
        dataset = dataset._replace(
            frame=dataset.frame.iloc[rows].reset_index(drop=True),
            target=dataset.target[rows],
            notes=[*dataset.notes, note],
        )
    train, validation, held = tabular.split(dataset, seed, (0.6, 0.2) if test else (0.8, 0.2))
    rows = lambda index: (dataset.frame.iloc[index], dataset.target[index])
    encoder = tabular.Encoder.fit(*rows(train), dataset.classes)
    arrays = {}
    for name, index in (("train", train), ("validation", validation), ("test", held if test else validation)):
        frame, target = rows(index)
        arrays[name] = (encoder.inputs(frame), encoder.targets(target))
    notes = list(dataset.notes)
    both = [np.concatenate([a, b]) for a, b in zip(arrays["train"], arrays["validation"])]
    if len(train) > most:
        notes.append(f"the search trains on {most:,} of {len(train):,} training rows")
    if len(both[0]) > most_final:
        notes.append(f"the final model trains on {most_final:,} of {len(both[0]):,} rows")
        drawn = np.random.default_rng(seed).permutation(len(both[0]))[:most_final]
        both = [a[drawn] for a in both]
    first = lambda part, n: [a[:n] for a in arrays[part]]
    search = Data(*map(jnp.asarray, (*first("train", most), *first("validation", most // 2))))
    final = Data(*map(jnp.asarray, (*both, *arrays["test"])))
    groups = encoder.groups
    if encoder.features > MAX_FEATURES:
        groups = groups * MAX_FEATURES // encoder.features
        notes.append(f"{encoder.features} features are chosen in {MAX_FEATURES} groups of neighbors")
    outputs = len(dataset.classes) if dataset.classes is not None else 1
    return Prepared(search, final, encoder, groups, outputs, (len(train), len(validation), len(held)), notes)


_WHOLE = 250_000


def _spread(dataset: tabular.Dataset, n: int, seed: int) -> np.ndarray:
    """About n row numbers at random, at least three of each class."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(dataset.target))
    if dataset.classes is None:
        return order[:n]
    labels = dataset.target[order]
    rare = np.concatenate([np.flatnonzero(labels == c)[:3] for c in dataset.classes])
    return order[np.union1d(np.arange(n), rare)]


def folds(search: Data) -> list[Data]:
    """Other splits of the search's rows into training and validation, as large as the first, so that nothing is compiled
    again: the validation parts do not overlap, and together they hold (almost) every row."""
    # on the host, where nothing has to be compiled for the numbers of rows
    x, y = (np.concatenate([a, b]) for a, b in ((search.x, search.x_judge), (search.y, search.y_judge)))
    order = np.random.default_rng(0).permutation(len(x))
    size = len(search.x_judge)
    made = []
    for start in range(0, len(x) - size + 1, size):
        judge = order[start : start + size]
        rest = np.concatenate([order[:start], order[start + size :]])
        made.append(Data(*map(jnp.asarray, (x[rest], y[rest], x[judge], y[judge]))))
    return made


def epoch_scale(rows: int) -> int:
    """How many passes count as one epoch: small tables repeat, so that every model gets some hundred updates."""
    return max(1, round(640 / max(rows, 1)))


def describe(dataset: tabular.Dataset, prepared: Prepared) -> dict[str, Any]:
    """The dataset in a few plain values, for the result and the report."""
    return {
        "target": dataset.name,
        "task": "classification" if prepared.classification else "regression",
        "classes": prepared.outputs if prepared.classification else None,
        "features": prepared.encoder.features,
        "inputs": len(prepared.groups),
        "rows": dict(zip(("train", "validation", "test"), prepared.rows)),
        "notes": prepared.notes,
    }
