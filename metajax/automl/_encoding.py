"""How the inputs of a table enter a network: as they are, in bins of their quantiles, or as sines and cosines.

The piecewise-linear encoding of a number has one output for each bin: 0 below the bin, 1 above it, and the share of the bin
inside (Gorishniy et al. 2022, arXiv:2203.05556, section 3.2.1). The first output is not bounded below and the last one is not
bounded above. Columns of at most two values pass unchanged.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax._typing import AnyArray

MAX_BINS = 16
"""Maximum number of bins of a column."""
FREQUENCIES, PERIODIC_OUTPUTS = 16, 8
"""Number of learned frequencies of a column, and what a linear layer makes of their sines and cosines."""
# Wide tables have fewer bins and outputs a column, so that all columns together have about this many.
_MAX_OUTPUTS = 2048


class Layout(NamedTuple):
    """What fixes the shapes of encoded rows: the same for all splits of the rows of a table.

    Attributes:
        bins: i64[inputs], the number of bins of each column; 1 for a column of at most two values.
        periodic_outputs: The number of outputs of a periodic embedding for each column.
    """

    bins: np.ndarray
    periodic_outputs: int

    @property
    def numeric(self) -> np.ndarray:
        """The columns i64[m] that are embedded: those of more than two values."""
        return np.flatnonzero(self.bins > 1)

    def sizes(self, raw: bool, bins: bool, periodic: bool) -> tuple[int, int, int]:
        """The numbers of inputs of a network from each kind of encoding."""
        return (
            raw * len(self.bins),
            bins * int(self.bins.sum()),
            periodic * len(self.numeric) * self.periodic_outputs,
        )


class Table(NamedTuple):
    """The constants of an encoding, fitted to training rows; ``clip((x[column] - left) / width, low, high)`` is applied.

    Attributes:
        column: i32[outputs], the column that each output reads.
        left: f32[outputs], the left edge of its bin.
        width: f32[outputs], the width of its bin.
        low: f32[outputs], the lower bound of the output: 0, or minus infinity.
        high: f32[outputs], the upper bound: 1, or infinity, or 0 for a bin that no value can be in.
        numeric: i32[m], the columns of the periodic embedding.
    """

    column: AnyArray
    left: AnyArray
    width: AnyArray
    low: AnyArray
    high: AnyArray
    numeric: AnyArray


def make_layout(x: np.ndarray) -> Layout:
    """Decides the number of bins of every column by the rows f32[n, inputs] of a table."""
    distinct = np.array([len(np.unique(column)) for column in np.asarray(x).T])
    n_numeric = max(1, int(np.sum(distinct > 2)))
    limit = int(np.clip(_MAX_OUTPUTS // n_numeric, 2, MAX_BINS))
    outputs = int(np.clip(_MAX_OUTPUTS // n_numeric, 1, PERIODIC_OUTPUTS))
    return Layout(np.where(distinct > 2, np.minimum(distinct - 1, limit), 1), outputs)


def fit_table(layout: Layout, x: np.ndarray, raw: bool, bins: bool, periodic: bool) -> Table:
    """Fits the encoding to training rows f32[n, inputs]: raw columns first, then bins.

    Bins are between quantiles. A column of few values has one quantile more than once; its encoding has outputs that are
    zero then, so that all splits of the rows have the same shapes.
    """
    n_inputs = len(layout.bins)
    unbounded = lambda n: (np.zeros(n), np.ones(n), np.full(n, -np.inf), np.full(n, np.inf))
    parts = [(np.arange(n_inputs), *unbounded(n_inputs))] if raw else []
    for column in range(n_inputs) if bins else ():
        edges = _edges(x[:, column], int(layout.bins[column]))
        n, n_used = int(layout.bins[column]), max(len(edges) - 1, 1)
        left, width, low, high = unbounded(n)
        if n > 1 and len(edges) > 1:
            left[:n_used], width[:n_used] = edges[:-1], np.diff(edges)
            low[1:n_used], high[: n_used - 1] = 0.0, 1.0
        low[n_used:], high[n_used:] = 0.0, 0.0
        parts.append((np.full(n, column), left, width, low, high))
    columns = [np.concatenate(values) for values in zip(*parts)]
    numeric = layout.numeric if periodic else np.zeros(0)
    left, width, low, high = (values.astype(np.float32) for values in columns[1:])
    return Table(columns[0].astype(np.int32), left, width, low, high, numeric.astype(np.int32))


def _edges(values: np.ndarray, n_bins: int) -> np.ndarray:
    """The distinct edges of at most this many bins: all values if they are few, else quantiles."""
    distinct = np.unique(values)
    if len(distinct) <= n_bins + 1:
        return distinct
    return np.unique(np.quantile(values, np.linspace(0.0, 1.0, n_bins + 1)).astype(np.float32))


def encode(table: Table, x: jax.Array) -> jax.Array:
    """Returns the raw columns and bins f32[n, outputs] of rows f32[n, inputs]."""
    return jnp.clip((x[:, table.column] - table.left) / table.width, table.low, table.high)


def periodic(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """Returns the periodic embedding f32[n, m * outputs] of columns f32[n, m].

    Sines and cosines of learned frequencies enter a linear layer that all columns share, and a ReLU: PLR(lite) of Gorishniy
    et al. (2022).
    """
    angle = 2 * jnp.pi * x[..., None] * params["frequency"]
    waves = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
    return jax.nn.relu(waves @ params["wave_kernel"] + params["wave_bias"]).reshape(x.shape[0], -1)
