"""From one-hot inputs to numbers and levels, for libraries that read categories as they are."""

import numpy as np


def numbers_and_levels(x: np.ndarray, levels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Takes rows apart.

    Args:
        x: f32[n, inputs], rows in which categories are one-hot.
        levels: i64[inputs], as in ``Data.levels``.

    Returns:
        f32[n, k], the inputs that are not levels, and i64[n, c], for each category the index of a row's level among its inputs.

    Example:
        >>> x = np.array([[0.5, 0, 1, 0], [0.1, 0, 0, 1]], np.float32)
        >>> numbers, levels = numbers_and_levels(x, np.array([-1, 7, 7, 7]))
        >>> numbers.tolist() == x[:, :1].tolist(), levels.tolist()
        (True, [[1], [2]])
    """
    if levels is None:
        return x, np.zeros((len(x), 0), np.int64)
    categories = np.unique(levels[levels >= 0])
    level_index = np.zeros((len(x), len(categories)), np.int64)
    for i, category in enumerate(categories):
        level_index[:, i] = np.argmax(x[:, levels == category], axis=1)
    return np.ascontiguousarray(x[:, levels < 0]), level_index
