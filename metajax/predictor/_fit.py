"""Fitting a model to trials, from scratch or from an earlier model."""

import warnings
from typing import NamedTuple

import jax
import numpy as np

from metajax.predictor import targets
from metajax.predictor._model import Model
from metajax.predictor._spec import Spec, compiled
from metajax.predictor._trials import Trials
from metajax.space._rows import power_of_two
from metajax.types import Key, generator, stream


def fit(
    trials: Trials,
    spec: Spec,
    target: str = "rank",
    key: Key | None = None,
    start: Model | None = None,
    padded_size: int = 64,
) -> Model:
    """Fits a model to trials.

    Args:
        trials: The learning meta-data, at least one trial. With one trial, or with equal metrics, the model predicts just
            that. More than ``spec.max_rows`` trials are subsampled, with a warning.
        spec: What to fit: ``predictor.kernel()``, ``ensemble()``, ``ridge()``, ``mlp()``, ...
        target: What the model learns: ``"rank"`` within the dataset (robust to outliers and units), ``"value"`` of the
            metric, or its ``"log_ratio"``; see ``predictor.targets``.
        key: Random key for initial parameters; ``jax.random.key(0)`` by default.
        start: A model to fine-tune. It is used if it has the same spec, else the fit starts from scratch.
        padded_size: Tables of up to this number of trials share one compiled program; a power of two.

    Returns:
        The fitted model.

    Raises:
        InputError: If the target is unknown, or does not take these metrics.
        FloatingPointError: If the fit ends in parameters that are not finite.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> space = Space({"x": Float(0.0, 1.0)})
        >>> configs = [{"x": i / 9} for i in range(10)]
        >>> trials = predictor.Trials.from_arrays(space, configs, [-((c["x"] - 0.5) ** 2) for c in configs])
        >>> mean, std = predictor.fit(trials, predictor.kernel(), "value").predict([{"x": 0.5}, {"x": 1.0}])
        >>> bool(mean[0] > mean[1])
        True
    """
    key = jax.random.key(0) if key is None else key
    if len(trials) > spec.max_rows:
        warnings.warn(
            f"fit: {len(trials):,} trials; {spec.name} takes {spec.max_rows:,} of them, at random with the best one",
            stacklevel=2,
        )
        rows = generator(stream(key, "rows")).permutation(len(trials))[: spec.max_rows]
        trials = trials.take(np.union1d(rows[1:], [trials.best]))
    table = tabulate(trials, target, padded_size)
    initial = start.params if start is not None and start.spec == spec else None
    params = compiled(spec, False)(key, table.x, table.y, table.weight, table.blocks, initial)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise FloatingPointError(f"fit: {spec.name} ended in parameters that are not finite, on {len(trials)} trials")
    return Model(
        trials.space,
        spec,
        params,
        target,
        table.shift,
        table.scale,
        table.context_shift,
        table.context_scale,
        trials.maximize,
    )


class Table(NamedTuple):
    """Inputs, targets and weights of a fit, with padding, and what undoes the standardization."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    blocks: np.ndarray
    shift: float
    scale: float
    context_shift: np.ndarray
    context_scale: np.ndarray


def tabulate(trials: Trials, target: str, padded_size: int) -> Table:
    """Standardized inputs and targets, padded with rows of weight 0.

    The size is a power of two, at least ``padded_size``, so that few sizes are compiled.
    """
    standardized = targets.make(trials, target)
    shift, scale = _moments(trials.context)
    context = np.nan_to_num((trials.context - shift) / scale, nan=0.0, posinf=0.0, neginf=0.0)
    x = np.concatenate([trials.encodings, context.astype(np.float32)], axis=1)
    n, size = len(x), power_of_two(len(x), padded_size)
    pad = lambda a: np.concatenate([a, np.zeros((size - n, *a.shape[1:]), a.dtype)])
    context_blocks = len(trials.space.domains) + np.arange(context.shape[1])
    return Table(
        pad(x),
        pad(standardized.y.astype(np.float32)),
        pad(np.ones(n, np.float32)),
        np.concatenate([trials.space.domain_of_column, context_blocks]),
        standardized.shift,
        standardized.scale,
        shift,
        scale,
    )


def _moments(context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations f32[c] of the known values of each column.

    The deviation of a constant column is infinite: what never varied says nothing, and a model must not be led by what it is
    later.
    """
    finite = np.where(np.isfinite(context), context, np.nan).astype(np.float64)
    shift, scale = np.zeros(finite.shape[1]), np.full(finite.shape[1], np.inf)
    for j, column in enumerate(finite.T):
        values = column[np.isfinite(column)]
        if len(values):
            shift[j] = values.mean()
            scale[j] = values.std() if np.ptp(values) > 0 else np.inf
    return shift.astype(np.float32), scale.astype(np.float32)
