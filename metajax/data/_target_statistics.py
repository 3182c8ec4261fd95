"""The mean target of each level of a category, such that no row sees its own target."""

import numpy as np

_FOLDS = 5
_PRIOR_ROWS = 10.0  # The mean of all rows counts as much as this many rows of a level.
MAX_OUTPUTS = 10
"""Classes whose share is a statistic; a target of more classes has those of its first ones."""


def outcomes(target: np.ndarray, n_classes: int | None) -> np.ndarray:
    """Returns the numbers to average, f64[n, outputs]: standardized values, or whether a row is of each class.

    Two classes need one column.

    Args:
        target: i[n] class numbers, or f[n] standardized values.
        n_classes: The number of classes, or ``None`` for values.
    """
    if n_classes is None:
        return np.asarray(target, np.float64)[:, None]
    labels = range(1, 2) if n_classes == 2 else range(min(n_classes, MAX_OUTPUTS))
    return np.stack([np.asarray(target) == label for label in labels], axis=1).astype(np.float64)


def statistics(codes: np.ndarray, outcome: np.ndarray, n_levels: int) -> np.ndarray:
    """Returns the smoothed means of levels, f64[n_levels + 1, outputs]; the last is that of a level that was not seen.

    Args:
        codes: i[n], the level of each row; -1 is none.
        outcome: f64[n, outputs], as ``outcomes`` returns it.
        n_levels: The number of levels.
    """
    level_indices = np.where(codes < 0, n_levels, codes)
    sums = np.stack([np.bincount(level_indices, column, n_levels + 1) for column in outcome.T], axis=1)
    counts = np.bincount(level_indices, minlength=n_levels + 1)[:, None]
    prior = outcome.mean(axis=0) if len(outcome) else np.zeros(outcome.shape[1])
    return (sums + _PRIOR_ROWS * prior) / (counts + _PRIOR_ROWS)


def out_of_fold(codes: np.ndarray, outcome: np.ndarray, n_levels: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Returns the statistic of each training row, f64[n, outputs], from the rows of the four other fifths only.

    Args:
        codes: i[n], as in ``statistics``.
        outcome: f64[n, outputs], as in ``statistics``.
        n_levels: The number of levels.
        groups: i64[n], numbers of groups whose rows are in the same fifth, or ``None``.
    """
    rng = np.random.default_rng(0)
    if groups is None:
        fold = rng.permutation(len(codes)) % _FOLDS
    else:
        present, group_indices = np.unique(groups, return_inverse=True)
        fold = (rng.permutation(len(present)) % _FOLDS)[group_indices.ravel()]
    values = np.empty_like(outcome)
    for number in range(_FOLDS):
        held_out = fold == number
        values[held_out] = statistics(codes[~held_out], outcome[~held_out], n_levels)[codes[held_out]]
    return values
