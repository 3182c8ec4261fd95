"""The rows of a population, in the form that its programs read."""

from typing import Any, NamedTuple

import jax
import numpy as np

from metajax.automl import _descent as descent
from metajax.automl import _encoding as encoding
from metajax.automl import _train_state as train_state
from metajax.automl._class_weights import log_balance
from metajax.automl._training import Data
from metajax.types import generator, stream


class PaddedSize(NamedTuple):
    """What programs are compiled for; calls with fewer rows share them.

    Attributes:
        rows: Number of training rows.
        eval_rows: Number of evaluation rows.
    """

    rows: int
    eval_rows: int


_UNPADDED = PaddedSize(0, 0)


class Sampling(NamedTuple):
    """How rows enter a training.

    Attributes:
        layout: The layout of encoded rows.
        passes: Number of passes over the rows that count as one epoch.
        pad_to: What programs are compiled for.
        compiles_quickly: Whether they are to be compiled quickly rather than to run fast.
        known: The shapes that were trained so far, to which calls add.
    """

    layout: encoding.Layout
    passes: int = 1
    pad_to: PaddedSize = _UNPADDED
    compiles_quickly: bool = False
    known: set[Any] | None = None


class Population:
    """What the tiles of a population share: the rows, in the form that the programs read."""

    def __init__(self, data: Data, sampling: Sampling, n_outputs: int, key: jax.Array, selects_epoch: bool):
        self.data, self.layout, self.n_outputs, self.key = data, sampling.layout, n_outputs, key
        self.x, self.y_eval = np.asarray(data.x), np.asarray(data.y_eval)
        self.classification = np.issubdtype(self.y_eval.dtype, np.integer)
        self.selects_epoch = selects_epoch
        self.dropout_seed = np.uint32(generator(stream(key, "dropout")).integers(2**32))
        self.passes, pad_to = sampling.passes, sampling.pad_to
        self.train_epochs = descent.train_epochs(sampling.compiles_quickly)
        micro = descent.MICRO_BATCH
        self.steps = max(1, len(self.x) * self.passes // micro)
        self.padded_order = max(self.steps, pad_to.rows * self.passes // micro) * micro
        n_eval = max(pad_to.eval_rows, len(self.y_eval) if selects_epoch else 1)
        self.n_blocks = -(-n_eval // train_state.EVAL_BLOCK)
        n_used = len(self.y_eval) if selects_epoch else 0
        y, balance = np.asarray(data.y), np.zeros(n_outputs)
        if self.classification:
            balance = log_balance(y, n_outputs)
        rows = (
            _pad(self.x, pad_to.rows),
            _pad(y, pad_to.rows),
            _pad(_counts(data.weights, len(y)), pad_to.rows),
            balance.astype(np.float32),
            self._blocks(np.asarray(data.x_eval)[:n_used]),
            self._blocks(self.y_eval[:n_used]),
            self._blocks(_counts(data.weights_eval, len(self.y_eval))[:n_used]),
        )
        self.rows = train_state.Rows(*map(jax.device_put, rows))

    def _blocks(self, array: np.ndarray) -> np.ndarray:
        """Cuts evaluation rows into blocks, with padding."""
        padded = _pad(array, self.n_blocks * train_state.EVAL_BLOCK)
        return padded.reshape(self.n_blocks, train_state.EVAL_BLOCK, *array.shape[1:])

    def spans(self, epochs: int):
        """The order of the rows in each epoch. It is drawn on the host, where nothing is compiled for the number of rows."""
        rng, n = generator(stream(self.key, "rows")), self.steps * descent.MICRO_BATCH
        for first in range(0, epochs, train_state.CHUNK):
            orders = np.zeros((train_state.CHUNK, self.padded_order), np.int32)
            count = min(train_state.CHUNK, epochs - first)
            for order in orders[:count]:
                permutations = np.concatenate([rng.permutation(len(self.x)) for _ in range(self.passes)])
                order[:n] = np.resize(permutations, n)
            yield train_state.Span(np.int32(first), np.int32(count), orders, np.int32(self.steps))


def _counts(weights: np.ndarray | None, n: int) -> np.ndarray:
    """How much rows count, f32[n]: 1 where nothing is said."""
    return np.ones(n, np.float32) if weights is None else np.asarray(weights, np.float32)


def _pad(array: np.ndarray, n: int) -> np.ndarray:
    """Appends rows of zeros."""
    return np.pad(array, [(0, max(0, n - len(array)))] + [(0, 0)] * (array.ndim - 1))
