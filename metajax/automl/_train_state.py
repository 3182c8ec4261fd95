"""What the program that trains a tile reads and returns: rows, limits, the order of the epochs, and the training state."""

from typing import Any, NamedTuple

import jax
import numpy as np

EVAL_BLOCK = 512
"""Rows that are evaluated at once."""
CHUNK = 8
"""Maximum number of epochs of one call."""


class TrainState(NamedTuple):
    """The training state of a tile; every leaf has a leading axis of models.

    Attributes:
        params: f32[models, parameters], the parameters of each model as a vector.
        gradient: Gradients accumulated over the micro-batches of a batch.
        mean: First moment of Adam.
        square: Second moment of Adam.
        updates: i32[models], number of updates so far.
        best: The parameters after the best epoch so far.
        best_outputs: f32[models, blocks, rows, outputs], what these predict for the evaluation rows.
        best_cost: f32[models], what the best epoch was chosen by.
        best_epoch: i32[models], its number, from 1.
        is_active: bool[models], whether the model still trains.
    """

    params: Any
    gradient: Any
    mean: Any
    square: Any
    updates: Any
    best: Any
    best_outputs: Any
    best_cost: Any
    best_epoch: Any
    is_active: Any


class Rows(NamedTuple):
    """The rows that a tile is trained and judged on.

    Attributes:
        x: f32[n, inputs], training rows; those that no order names are padding.
        y: i32[n] or f32[n], their targets.
        weights: f32[n], how much each counts.
        class_balance: f32[outputs], the logarithm of the weights with which all classes count alike.
        x_eval: f32[blocks, EVAL_BLOCK, inputs], evaluation rows.
        y_eval: [blocks, EVAL_BLOCK], their targets.
        weights_eval: f32[blocks, EVAL_BLOCK], how much each counts, 0 for padding.
    """

    x: Any
    y: Any
    weights: Any
    class_balance: Any
    x_eval: Any
    y_eval: Any
    weights_eval: Any


class Limits(NamedTuple):
    """When models stop.

    Attributes:
        last_epoch: i32[models], the last epoch of each.
        patience: i32[models], after how many epochs without improvement each stops.
        selects_epoch: Whether the evaluation rows choose the epoch that is kept; otherwise it is the last one.
    """

    last_epoch: Any
    patience: Any
    selects_epoch: Any


class Span(NamedTuple):
    """The epochs of one call.

    Attributes:
        first: The number of epochs before them.
        epochs: Their number, at most ``CHUNK``.
        orders: i32[CHUNK, rows], the order of the rows in each.
        steps: The number of micro-batches of an epoch.
    """

    first: Any
    epochs: Any
    orders: Any
    steps: Any


def start(params: list[Any], n_blocks: int, outputs: int) -> TrainState:
    """Returns the training state of models before their first update, on the host."""
    n, vectors = len(params), np.stack([flatten(member) for member in params])
    zeros = lambda: np.zeros_like(vectors)
    return TrainState(
        vectors,
        zeros(),
        zeros(),
        zeros(),
        np.zeros(n, np.int32),
        vectors.copy(),
        np.zeros((n, n_blocks, EVAL_BLOCK, outputs), np.float32),
        np.full(n, np.inf, np.float32),
        np.zeros(n, np.int32),
        np.ones(n, bool),
    )


def flatten(params: Any) -> np.ndarray:
    """Returns the parameters of one model as a vector, on the host."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
