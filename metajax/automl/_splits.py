"""Which rows are learned from and which judge: at random, by groups that stay together, or in the order of time."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from metajax.data import tabular
from metajax.types import InputError

_MAX_ROWS = 250_000  # Larger datasets are subsampled to this size before anything else.
_MAX_TEST_ROWS = 10_000
_MAX_EVALUATION_ROWS = 10_000
"""The maximum number of evaluation rows of a table that is not cross-validated."""
_TEST_SHARE, _EVALUATION_SHARE = 1 / 5, 1 / 5
_MIN_ROWS_PER_CLASS = 3
_MIN_ROWS_PER_FOLD = 2
_MIN_EARLIER_SHARE = 0.5
"""The minimum share of the rows in the order of time that precede the evaluation rows."""
_MAX_STRATIFIED_GROUPS = 1_000
"""With more groups, splits are not stratified: chance spreads the classes evenly, and stratifying takes long."""


class Split(NamedTuple):
    """Numbers of rows.

    Attributes:
        train: i64[n], the rows to train on.
        evaluation: i64[m], the rows to evaluate on.
    """

    train: np.ndarray
    evaluation: np.ndarray


def subsample(dataset: tabular.Dataset, seed: int) -> tabular.Dataset:
    """Returns at most about ``_MAX_ROWS`` rows of a dataset, with at least three of each class."""
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


def hold_out(dataset: tabular.Dataset, seed: int) -> Split:
    """Returns the rows that are learned from, and a fifth of all rows as a test, or fewer of a large table.

    Groups stay together; in the order of time, the test is what comes last. Otherwise classes are spread evenly.
    """
    roles, n = dataset.roles, len(dataset.target)
    share = min(_TEST_SHARE, _MAX_TEST_ROWS / n)
    if roles.times is not None:
        return _latest(roles, round(n * share), seed)
    if roles.groups is not None:
        return _one_of_groups(dataset, round(n * share), seed)
    train, validation, test = tabular.split(dataset, seed, (0.8 - share / 2, 0.2 - share / 2))
    return Split(np.concatenate([train, validation]), test)


def spread(dataset: tabular.Dataset, rows: np.ndarray, seed: int) -> np.ndarray:
    """Returns the rows in a random order in which each class is spread evenly."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(rows)
    if dataset.classes is None:
        return rows
    position = np.zeros(len(rows))
    for label in np.unique(dataset.target[rows].astype(str)):
        of_class = np.flatnonzero(dataset.target[rows].astype(str) == label)
        position[of_class] = (np.arange(len(of_class)) + rng.random()) / len(of_class)
    return rows[np.argsort(position, kind="stable")]


def splits(dataset: tabular.Dataset, folds: int, seed: int) -> list[Split]:
    """Splits rows in spread order, each time into some to train and some to evaluate on.

    In the order of time there is one split, whose evaluation rows come last. All splits have the same number of evaluation
    rows, so that they share compiled programs: of folds of groups, which differ in size, the larger ones lose rows and the
    smaller ones repeat some.

    Args:
        dataset: The rows.
        folds: Their number; 1 is one split. There are no more than groups.
        seed: Seed of how groups are distributed.

    Raises:
        InputError: If there is only one group, too many rows are of the last time, or there are fewer rows than folds.
    """
    roles, n = dataset.roles, len(dataset.target)
    size = min(max(1, int(n * _EVALUATION_SHARE)), _MAX_EVALUATION_ROWS)
    if folds > n // _MIN_ROWS_PER_FOLD:
        raise InputError(f"folds={folds}: must be at most {n // _MIN_ROWS_PER_FOLD} for {n:,} training rows")
    if roles.times is not None:
        return [_latest(roles, size, seed)]
    if roles.groups is not None:
        if folds == 1:
            return [_one_of_groups(dataset, size, seed)]
        parts = _by_group(dataset, folds, seed)
        middle = int(np.median([len(part.evaluation) for part in parts]))
        return [Split(part.train, np.resize(part.evaluation, middle)) for part in parts]
    if folds == 1:
        return [Split(np.arange(size, n), np.arange(size))]
    return every_nth(n, folds)


def every_nth(rows: int, folds: int) -> list[Split]:
    """Returns splits of rows in spread order; each evaluates on every n-th row, and all on the same number.

    Fewer than ``folds`` rows are evaluated on by no split.
    """
    all_rows, size = np.arange(rows), rows // folds
    held_out = [all_rows[first::folds][:size] for first in range(folds)]
    return [Split(np.delete(all_rows, rows_of), rows_of) for rows_of in held_out]


def _labels(dataset: tabular.Dataset) -> np.ndarray | None:
    return None if dataset.classes is None else dataset.target.astype(str)


def _latest(roles: tabular.RowRoles, size: int, seed: int) -> Split:
    """The last rows in the order of time, about ``size`` of them: rows of the same time stay together."""
    times = roles.times
    assert times is not None
    order = np.argsort(times, kind="stable")
    starts = np.flatnonzero(np.diff(times[order]) > 0) + 1  # the rows at which a new time begins
    target_size = len(times) - size
    first = int(starts[np.argmin(np.abs(starts - target_size))]) if len(starts) else 0
    if first < len(times) * _MIN_EARLIER_SHARE:
        raise InputError(
            f"time={roles.columns.time!r}: at least half of the training rows must precede the validation rows, but only "
            f"{first:,} of {len(times):,} do, because the last times are shared by many rows"
        )
    return Split(np.sort(order[:first]), _limited(np.sort(order[first:]), seed))


def _limited(rows: np.ndarray, seed: int) -> np.ndarray:
    """The rows, or as many of them, drawn at random, as are evaluated on at most."""
    if len(rows) <= _MAX_EVALUATION_ROWS:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(rows)[:_MAX_EVALUATION_ROWS])


def _one_of_groups(dataset: tabular.Dataset, size: int, seed: int) -> Split:
    """A split by groups with about ``size`` evaluation rows."""
    parts = _by_group(dataset, max(2, round(len(dataset.target) / size)), seed)
    nearest = min(parts, key=lambda part: abs(len(part.evaluation) - size))
    return Split(nearest.train, _limited(nearest.evaluation, seed))


def _by_group(dataset: tabular.Dataset, folds: int, seed: int) -> list[Split]:
    """Splits by groups, into as many parts as there are folds, or groups."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    groups, labels = dataset.roles.groups, _labels(dataset)
    assert groups is not None
    distinct_groups, group_index = np.unique(groups, return_inverse=True)
    group_index = group_index.ravel()
    if len(distinct_groups) < 2:
        raise InputError("group: must have at least 2 groups among the training rows to compare models, got 1")
    folds = min(folds, len(distinct_groups))
    splitter: Any = GroupKFold(folds, shuffle=True, random_state=seed)
    largest_class = 0 if labels is None else int(np.unique(labels, return_counts=True)[1].max())
    if largest_class >= folds and len(distinct_groups) <= _MAX_STRATIFIED_GROUPS:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn warns of classes with fewer rows than folds
        parts = [Split(*part) for part in splitter.split(group_index, labels, group_index)]
    return [part for part in parts if len(part.train) and len(part.evaluation)]
