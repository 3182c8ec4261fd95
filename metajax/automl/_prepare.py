"""From a dataset to arrays on the device: the split, the encoder, and the rows that each stage is trained on."""

import functools
from typing import Any, NamedTuple

import numpy as np

from metajax.automl import _splits as splitting
from metajax.automl._space import MAX_FEATURES
from metajax.automl._task import MoreFoldsFn
from metajax.automl._training import Data
from metajax.data import tabular
from metajax.data.schema._show import listed

N_FOLDS = 5
"""Number of folds of a table."""
MAX_SEARCH_ROWS, MAX_FINAL_ROWS = 50_000, 200_000
"""Maximum numbers of training rows of the split by which configurations are compared, and of the final model; a budget of
minutes has fewer."""
# Comparing configurations has time for this number of rows a minute, and uses at least the second number.
_SEARCH_ROWS_PER_MINUTE, _MIN_SEARCH_ROWS = 15_000, 4_000
# Networks of the final model have time for this number of rows a minute, and use at least the second number.
_FINAL_ROWS_PER_MINUTE, _MIN_FINAL_ROWS = 30_000, 6_000
_MAX_NUMBERS_PER_MINUTE = 3e6  # Larger tables (in rows times columns) are not cross-validated.
_ROWS_PER_EPOCH = 640
"""An epoch of a smaller table consists of several passes over its rows."""


class Prepared(NamedTuple):
    """A table as the main job works on it.

    Attributes:
        search: The split by which configurations are compared: training rows, and validation rows to evaluate on.
        folds: The splits on which good configurations are trained: five folds, of which ``search`` is the first one, or, of a
            large table, one split with all rows but those to evaluate on.
        final: All rows that are learned from, and the test rows.
        everything: All rows, the test included, for what is trained after the evaluation; ``None`` where the folds learn from
            all, without a test.
        encoder: The encoder of columns and target, fitted to the rows that are learned from.
        groups: i64[inputs], for each input the item of the space's ``features`` that it belongs to.
        outputs: Number of classes, or 1 for regression.
        rows: Numbers of rows that are learned from and of test rows.
        notes: What was done to the data, for the report.
        network_rows: Maximum number of rows that a network learns from: the first ones.
        test_row_numbers: i64[test rows], the place of each test row in its table, from 0; ``None`` without a test.
        is_ordered: Whether rows are split in the order of time.
        more_folds: Other folds of the rows, by a number from 1; ``None`` where they are split once.
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
    is_ordered: bool = False
    more_folds: MoreFoldsFn | None = None

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
    dataset: tabular.Dataset,
    seed: int,
    test: bool | tabular.Dataset = True,
    minutes: float | None = None,
    folds: int | None = None,
) -> Prepared:
    """Holds a fifth of the rows of a table out as a test, 10,000 at most, and encodes and splits the others.

    Classes are spread evenly. Rows of a group stay together, and with times the rows that judge are those that come last; then
    the test is about a fifth.

    A table that is small for its budget is split into five folds. A larger one, or one with times, is split once; its
    configurations are compared by training on a part of the rows.

    Args:
        dataset: The table.
        seed: Seed of the splits.
        test: Hold test rows out, or the test rows. Without them ``final`` is evaluated on the rows that ``search`` is
            evaluated on.
        minutes: The budget, or ``None``.
        folds: The number of folds; 1 is one split. By default rows and budget decide.

    Returns:
        The encoded rows of each stage.

    Raises:
        InputError: If there are too few groups or times, or fewer rows than folds.

    Example:
        >>> from metajax.data import tabular
        >>> prepared = prepare(tabular.load("iris"), seed=0)
        >>> prepared.rows, prepared.search.x.shape, prepared.final.x.shape, len(prepared.folds)
        ((120, 30), (96, 4), (120, 4), 5)
    """
    max_search, max_network = row_limits(minutes)
    dataset = splitting.subsample(dataset, seed)
    rows = splitting.Split(np.arange(len(dataset.target)), np.zeros(0, np.int64))
    if test is True:
        rows = splitting.hold_out(dataset, seed)
    table = _TrainingTable(dataset.take(splitting.spread(dataset, rows.train, seed)))
    encoder, n_classes = table.encoder, len(dataset.classes or [0])
    if folds is None:
        folds = N_FOLDS if _is_cross_validated(table.rows.x, n_classes, minutes, max_search) else 1
    fold_data = table.folds(folds, seed)
    search, n_train = fold_data[0], len(fold_data[0].x)
    if n_train > max_search:  # otherwise it is the first fold itself, which is not trained on twice
        search = search.first(max_search)
    test_dataset = dataset.take(rows.evaluation) if isinstance(test, bool) else test
    test_rows = _Rows(search.x_eval, search.y_eval, search.weights_eval)
    if test is not False:
        targets = encoder.targets(test_dataset.target)
        test_rows = _Rows(encoder.inputs(test_dataset.columns), targets, test_dataset.roles.weights)
    notes = [
        *dataset.notes,
        *_notes_on_sizes(n_train, max_search, max_network, encoder.features),
        *_notes_on_splits(table.dataset),
    ]
    return Prepared(
        search,
        fold_data,
        _as_data(table.rows, test_rows, encoder.levels),
        _everything(table.rows, test_rows, test is not False, len(fold_data), encoder.levels),
        encoder,
        _feature_groups(encoder),
        n_classes,
        (len(table.rows.y), 0 if test is False else len(test_rows.y)),
        notes,
        max_network,
        None if test is False else test_dataset.row_numbers,
        table.dataset.roles.times is not None,
        functools.partial(table.other_folds, folds, seed) if len(fold_data) > 1 else None,
    )


def _feature_groups(encoder: tabular.Encoder) -> np.ndarray:
    """The feature of the space that each input belongs to, i64[inputs]; neighboring columns share one if there are many."""
    if encoder.features <= MAX_FEATURES:
        return encoder.groups
    return encoder.groups * MAX_FEATURES // encoder.features


def _notes_on_sizes(n_train: int, max_search: int, max_network: int, features: int) -> list[str]:
    """What a user should know of limits on rows and features."""
    notes = []
    if n_train > max_search:
        notes.append(
            f"Configurations are compared by training on {max_search:,} rows; good ones train on {n_train:,} rows."
        )
    if n_train > max_network:
        notes.append(f"Networks train on at most {max_network:,} rows.")
    if features > MAX_FEATURES:
        notes.append(f"The {features} features are chosen in {MAX_FEATURES} groups of neighboring columns.")
    return notes


class _Rows(NamedTuple):
    """Encoded rows: inputs f32[n, inputs], targets [n], and weights f64[n] or ``None``."""

    x: Any
    y: Any
    weights: Any = None

    def take(self, rows: np.ndarray) -> "_Rows":
        """Some of the rows."""
        return _Rows(*(None if part is None else part[rows] for part in self))

    def join(self, other: "_Rows") -> "_Rows":
        """The rows of both."""
        return _Rows(*(None if columns[0] is None else np.concatenate(columns) for columns in zip(self, other)))


class _TrainingTable:
    """The rows that are learned from, in spread order, and their encoder.

    Attributes:
        dataset: The rows as they were read.
        encoder: The encoder that is fitted to them.
        rows: The encoded rows.
    """

    def __init__(self, dataset: tabular.Dataset):
        assert dataset.schema is not None and dataset.columns is not None
        roles, labels = dataset.roles, dataset.target
        self.dataset = dataset
        self.encoder = tabular.Encoder.fit(dataset.schema, dataset.columns, labels, has_statistics=roles.times is None)
        inputs = self.encoder.inputs(dataset.columns, labels, roles.groups)
        self.rows = _Rows(inputs, self.encoder.targets(labels), roles.weights)

    def folds(self, folds: int, seed: int) -> list[Data]:
        """Splits the rows into folds."""
        return self._split(self.dataset, np.arange(len(self.rows.y)), folds, seed)

    def other_folds(self, folds: int, seed: int, number: int) -> list[Data]:
        """Splits the rows into other folds, which depend on a number from 1."""
        order = splitting.spread(self.dataset, np.arange(len(self.rows.y)), seed + number)
        return self._split(self.dataset.take(order), order, folds, seed + number)

    def _split(self, dataset: tabular.Dataset, order: np.ndarray, folds: int, seed: int) -> list[Data]:
        """The folds of a dataset whose rows are these rows in this order."""
        pairs = [(order[split.train], order[split.evaluation]) for split in splitting.splits(dataset, folds, seed)]
        take = self.rows.take
        return [_as_data(take(train), take(evaluation), self.encoder.levels) for train, evaluation in pairs]


def _as_data(train: _Rows, evaluation: _Rows, levels: np.ndarray) -> Data:
    """Rows on the host: the libraries of trees read them there, and networks copy what they need."""
    return Data(train.x, train.y, evaluation.x, evaluation.y, train.weights, evaluation.weights, levels)


def _everything(train: _Rows, test: _Rows, is_test: bool, folds: int, levels: np.ndarray) -> Data | None:
    """All rows, those of the test included; ``None`` where every row was learned from in some fold."""
    if is_test:
        return _as_data(train.join(test), test, levels)
    return None if folds > 1 else _as_data(train, test, levels)


def _notes_on_splits(dataset: tabular.Dataset) -> list[str]:
    """What a user should know of how rows are split."""
    assert dataset.schema is not None
    roles = dataset.roles
    if roles.times is not None:
        order = f"in the order of {roles.columns.time or 'time'}"
        return [f"Rows are split {order}: the last ones judge, and are learned from after they have."]
    notes = []
    if roles.groups is not None:
        notes.append(f"Rows with the same {roles.columns.group or 'group'} are on the same side of every split.")
    dates = [column.name for column in dataset.schema.used if column.kind == "date"]
    if dates:
        notes.append(
            f"Rows are split at random, which overestimates a model of the future (dates in {listed(dates)}); "
            "name the column by which they are to be split in order of time (time)."
        )
    return notes


def _is_cross_validated(x: np.ndarray, classes: int, minutes: float | None, max_rows: int) -> bool:
    """Whether a budget has time for training on every fold: trees take about as long as the table has numbers and classes."""
    if len(x) * (N_FOLDS - 1) // N_FOLDS > max_rows:
        return False
    numbers = x.size * (classes if classes > 2 else 1)
    return minutes is None or numbers <= _MAX_NUMBERS_PER_MINUTE * minutes


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
