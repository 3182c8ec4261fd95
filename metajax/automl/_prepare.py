"""From a dataset to arrays on the device: the split, the encoder, and the rows that each stage learns from."""

from typing import Any, NamedTuple

import numpy as np

from metajax.automl._space import MAX_FEATURES
from metajax.automl._task import Data
from metajax.data import tabular

N_FOLDS = 5
"""Number of folds of a table."""
MAX_SEARCH_ROWS, MAX_FINAL_ROWS = 50_000, 200_000
"""Maximum numbers of training rows of the split by which configurations are compared, and of the final model; a budget of
minutes has fewer."""
_MAX_ROWS = 250_000  # Larger datasets are subsampled to this size before anything else.
# Rows a minute that comparing configurations has time for, and the least.
_SEARCH_ROWS_PER_MINUTE, _MIN_SEARCH_ROWS = 15_000, 4_000
# Rows a minute that networks of the final model have time for, and the least.
_FINAL_ROWS_PER_MINUTE, _MIN_FINAL_ROWS = 30_000, 6_000
_MAX_NUMBERS_PER_MINUTE = 3e6  # of a table that is cross-validated
_MAX_TEST_ROWS = 10_000
_MAX_EVALUATION_ROWS = 10_000  # of a table that is not cross-validated
_ROWS_PER_EPOCH = 640  # Smaller tables are passed over several times in what counts as one epoch.
_MIN_ROWS_PER_CLASS = 3


class Prepared(NamedTuple):
    """A table as the main job works on it.

    Attributes:
        search: The split by which configurations are compared: training rows, and validation rows to evaluate on.
        folds: The splits on which good configurations are trained: five folds, of which ``search`` is the first one, or, of a
            large table, one split with all rows but those to evaluate on.
        final: All rows that are learned from, and the test rows.
        everything: All rows, the test included, for what is trained after the evaluation; ``None`` without a test.
        encoder: The encoder of columns and target, fitted to the rows that are learned from.
        groups: i64[inputs], for each input the item of the space's ``features`` that it belongs to.
        outputs: Number of classes, or 1 for regression.
        rows: Numbers of rows that are learned from and of test rows.
        notes: What was done to the data, for the report.
        network_rows: Maximum number of rows that a network learns from: the first ones.
        test_row_numbers: i64[test rows], the place of each test row in its table, from 0; ``None`` without a test.
    """

    search: Data
    folds: list[Data]
    final: Data
    everything: Data | None
    encoder: tabular.Encoder
    groups: np.ndarray
    outputs: int
    rows: tuple[int, int]
    notes: list[str]
    network_rows: int = MAX_FINAL_ROWS
    test_row_numbers: np.ndarray | None = None

    @property
    def classification(self) -> bool:
        """Whether the target is a class."""
        return self.encoder.classes is not None

    @property
    def features(self) -> int:
        """The number of features that the space chooses among."""
        return int(self.groups.max()) + 1


def row_limits(minutes: float | None) -> tuple[int, int]:
    """Returns the maximum numbers of training rows that comparing configurations and that final networks have time for."""
    if minutes is None:
        return MAX_SEARCH_ROWS, MAX_FINAL_ROWS
    clip = lambda rows, low, high: int(min(max(rows, low), high))
    return (
        clip(_SEARCH_ROWS_PER_MINUTE * minutes, _MIN_SEARCH_ROWS, MAX_SEARCH_ROWS),
        clip(_FINAL_ROWS_PER_MINUTE * minutes, _MIN_FINAL_ROWS, MAX_FINAL_ROWS),
    )


def prepare(
    dataset: tabular.Dataset, seed: int, test: bool | tabular.Dataset = True, minutes: float | None = None
) -> Prepared:
    """Holds a fifth of the rows of a table out as a test, 10,000 at most, and encodes and splits the others.

    Classes are spread evenly.

    A table that is small for its budget is split into five folds. A larger one is split once; its configurations are compared
    by training on a part of the rows.

    Args:
        dataset: The table.
        seed: Seed of the splits.
        test: Hold test rows out, or the test rows. Without them ``final`` is evaluated on the rows that ``search`` is
            evaluated on.
        minutes: The budget, or ``None``.

    Returns:
        The encoded rows of each stage.

    Example:
        >>> from metajax.data import tabular
        >>> prepared = prepare(tabular.load("iris"), seed=0)
        >>> prepared.rows, prepared.search.x.shape, prepared.final.x.shape, len(prepared.folds)
        ((120, 30), (96, 4), (120, 4), 5)
    """
    max_search, max_network = row_limits(minutes)
    dataset = _subsample(dataset, seed)
    learned, held_out = np.arange(len(dataset.target)), np.zeros(0, np.int64)
    if test is True:
        learned, held_out = _hold_out(dataset, seed)
    schema, columns = dataset.schema, dataset.columns
    assert schema is not None and columns is not None
    learned = _spread(dataset, learned, seed)
    target = dataset.target[learned]
    encoder = tabular.Encoder.fit(schema, columns.take(learned), target)
    x, y = encoder.inputs(columns.take(learned), target), encoder.targets(target)
    notes, n = list(dataset.notes), len(learned)
    if n * (N_FOLDS - 1) // N_FOLDS <= max_search and _is_cross_validated(x, len(dataset.classes or [0]), minutes):
        folds = split_folds(x, y, N_FOLDS)
        search = folds[0]
    else:
        size = min(n // N_FOLDS, _MAX_EVALUATION_ROWS)
        folds = [_as_data(x[size:], y[size:], x[:size], y[:size])]
        search = folds[0]
        if n - size > max_search:
            search = Data(search.x[:max_search], search.y[:max_search], search.x_eval, search.y_eval)
            notes.append(
                f"Configurations are compared by training on {max_search:,} rows; good ones train on {n - size:,} rows."
            )
    if len(folds[0].x) > max_network:
        notes.append(f"Networks train on at most {max_network:,} rows.")
    if isinstance(test, tabular.Dataset):
        held_out = np.arange(len(test.target))
        test_rows = encoder.inputs(test.columns), encoder.targets(test.target)
    elif test:
        test_rows = encoder.inputs(columns.take(held_out)), encoder.targets(dataset.target[held_out])
    else:
        test_rows = search.x_eval, search.y_eval
    final = _as_data(x, y, *test_rows)
    everything = None
    if test is not False:
        everything = _as_data(np.concatenate([x, test_rows[0]]), np.concatenate([y, test_rows[1]]), *test_rows)
    groups = encoder.groups
    if encoder.features > MAX_FEATURES:
        groups = groups * MAX_FEATURES // encoder.features
        notes.append(f"The {encoder.features} features are chosen in {MAX_FEATURES} groups of neighboring columns.")
    outputs = len(dataset.classes) if dataset.classes is not None else 1
    tested = test if isinstance(test, tabular.Dataset) else dataset
    numbers = None if test is False or tested.row_numbers is None else tested.row_numbers[held_out]
    rows = n, len(held_out)
    return Prepared(search, folds, final, everything, encoder, groups, outputs, rows, notes, max_network, numbers)


def _is_cross_validated(x: np.ndarray, classes: int, minutes: float | None) -> bool:
    """Whether a budget has time for training on every fold: trees take about as long as the table has numbers and classes."""
    numbers = x.size * (classes if classes > 2 else 1)
    return minutes is None or numbers <= _MAX_NUMBERS_PER_MINUTE * minutes


def _as_data(*arrays: Any) -> Data:
    """Rows on the host: the libraries of trees read them there, and networks copy what they need."""
    return Data(*map(np.asarray, arrays))  # type: ignore[arg-type]


def _hold_out(dataset: tabular.Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are learned from, and a fifth of all rows as a test, or fewer of a large table."""
    share = min(0.2, _MAX_TEST_ROWS / len(dataset.target))
    train, validation, test = tabular.split(dataset, seed, (0.8 - share / 2, 0.2 - share / 2))
    return np.concatenate([train, validation]), test


def _spread(dataset: tabular.Dataset, rows: np.ndarray, seed: int) -> np.ndarray:
    """The rows in a random order in which each class is spread evenly."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(rows)
    if dataset.classes is None:
        return rows
    place = np.zeros(len(rows))
    for label in np.unique(dataset.target[rows].astype(str)):
        own = np.flatnonzero(dataset.target[rows].astype(str) == label)
        place[own] = (np.arange(len(own)) + rng.random()) / len(own)
    return rows[np.argsort(place, kind="stable")]


def _subsample(dataset: tabular.Dataset, seed: int) -> tabular.Dataset:
    """At most about ``_MAX_ROWS`` rows of a dataset, with at least three of each class."""
    n = len(dataset.target)
    if n <= _MAX_ROWS:
        return dataset
    order = np.random.default_rng(seed).permutation(n)
    if dataset.classes is None:
        index = order[:_MAX_ROWS]
    else:
        labels = dataset.target[order]
        rare = np.concatenate([np.flatnonzero(labels == name)[:_MIN_ROWS_PER_CLASS] for name in dataset.classes])
        index = order[np.union1d(np.arange(_MAX_ROWS), rare)]
    notes = [*dataset.notes, f"The search uses {len(index):,} of the {n:,} rows, drawn at random."]
    return dataset.take(np.sort(index))._replace(notes=notes)


def split_folds(x: np.ndarray, y: np.ndarray, n: int) -> list[Data]:
    """Returns n splits of rows in spread order; each evaluates on every n-th row, and all on as many.

    Splits of the same sizes share compiled programs. Less than n rows are evaluated on by no split.
    """
    every, size = np.arange(len(x)), len(x) // n
    splits = []
    for first in range(n):
        held_out = every[first::n][:size]
        rest = np.delete(every, held_out)
        splits.append(_as_data(x[rest], y[rest], x[held_out], y[held_out]))
    return splits


def passes_per_epoch(rows: int) -> int:
    """Returns how many passes over the rows count as one epoch.

    Small tables are passed over several times, so that every model gets some hundred updates.
    """
    return max(1, round(_ROWS_PER_EPOCH / max(rows, 1)))


def describe_data(dataset: tabular.Dataset, prepared: Prepared) -> dict[str, Any]:
    """Returns the dataset in a few plain values, for ``result.json`` and the report."""
    return {
        "target": dataset.name,
        "task": "classification" if prepared.classification else "regression",
        "classes": prepared.outputs if prepared.classification else None,
        "labels": prepared.encoder.classes,
        "features": prepared.encoder.features,
        "inputs": len(prepared.groups),
        "rows": dict(zip(("learned", "test"), prepared.rows)),
        "folds": len(prepared.folds),
        "columns": prepared.encoder.schema.described(),
        "notes": prepared.notes,
    }
