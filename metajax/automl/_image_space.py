"""The space of image classifiers: a cell of convolutions and its training."""

from metajax.space import Categorical, Float, Integer, Space
from metajax.supernet.spaces import cell_space

NODES = 4
"""Nodes of a cell."""
MAX_SHIFT = 3
"""Most pixels by which training images are shifted."""


def image_space() -> Space:
    """Returns an operation for each edge of a cell of four nodes, and its training: over 10^9 configurations.

    Example:
        >>> image_space().log10_size > 9
        True
    """
    return Space(
        {
            **cell_space(NODES).domains,
            "learning_rate": Float(1e-2, 1.0, log=True, grid=21),
            "weight_decay": Float(1e-5, 1e-2, log=True, grid=13),
            "label_smoothing": Float(0.0, 0.2, grid=5),
            "shift": Integer(0, MAX_SHIFT),
            "mirror": Categorical((False, True)),
            "epochs": Integer(4, 16, log=True),
        }
    )


DEFAULT = {
    **{f"edge_{i}_{j}": "conv3x3" if j == i + 1 else "skip" for j in range(1, NODES) for i in range(j)},
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "label_smoothing": 0.0,
    "shift": 0,
    "mirror": False,
    "epochs": 12,
}
"""A residual network: convolutions along the cell, skips beside them."""
