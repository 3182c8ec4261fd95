"""What a decided configuration says of its search."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metajax.space import Space


def count_value(config: Mapping[str, Any], value: Any) -> int:
    """Returns how often a configuration takes a value. Many skips are the mark of a collapsed search.

    Args:
        config: The configuration, ``{choice: value}``.
        value: The value that is counted, such as ``"skip"``.

    Returns:
        The count.

    Example:
        >>> count_value({"edge_0_1": "skip", "edge_0_2": "skip", "edge_1_2": "conv3x3"}, "skip")
        2
    """
    return sum(chosen_value == value for chosen_value in config.values())


def index_of(space: Space, config: Mapping[str, Any]) -> int:
    """Returns the index of a configuration of a small space in ``space.at``.

    Args:
        space: The space. It is finite; all of it is encoded.
        config: A configuration of the space, ``{choice: value}``.

    Returns:
        The index, from 0 to ``space.size - 1``.

    Example:
        >>> from metajax.supernet import spaces
        >>> space = spaces.cell_space(2)
        >>> space.dicts(space.at([index_of(space, {"edge_0_1": "conv3x3"})]))
        [{'edge_0_1': 'conv3x3'}]
    """
    encoding = np.asarray(space.encode(space.configs([dict(config)])))[0]
    encodings = np.asarray(space.encode(space.at(np.arange(int(space.size)))))
    return int(np.flatnonzero((encodings == encoding).all(axis=1))[0])
