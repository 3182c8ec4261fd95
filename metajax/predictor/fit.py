"""Fitting the meta-learner to trials, fine-tuning it on new ones, and choosing between models by cross-validation."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.predictor import targets
from metajax.predictor.specs import Spec, compiled, compiled_apply
from metajax.predictor.trials import Trials
from metajax.space import Space
from metajax.space.rows import power_of_two
from metajax.types import InputError, Key, generator


@dataclasses.dataclass(frozen=True)
class Model:
    """A fitted predictor of how good a configuration is.

    Attributes:
        space: of the configurations.
        spec: what was fitted.
        params: its parameters.
        target: ``value``, ``rank`` or ``log_ratio``.
        shift, scale: of the target.
        context_shift, context_scale: of the context's columns.
        maximize: the direction of the metric.
    """

    space: Space
    spec: Spec
    params: Any
    target: str
    shift: float
    scale: float
    context_shift: np.ndarray
    context_scale: np.ndarray
    maximize: bool

    def inputs(self, encodings: Any, context: Any = None) -> jax.Array:
        """Encodings [n, width] and a context [c] or [n, c] side by side, as the model reads them."""
        encodings = jnp.asarray(encodings)
        if encodings.ndim != 2 or encodings.shape[1] != self.space.width:
            raise InputError(f"predict: encodings have shape {encodings.shape}, accepted is (n, {self.space.width})")
        c = len(self.context_shift)
        if (context is None) != (c == 0):
            raise InputError(f"predict: the model was fitted with {c} columns of context; give context accordingly")
        if c == 0:
            return encodings
        scaled = (jnp.asarray(context, jnp.float32) - self.context_shift) / self.context_scale
        scaled = jnp.where(jnp.isfinite(scaled), scaled, 0.0)  # what is not known is the mean, as in fitting
        return jnp.concatenate([encodings, jnp.broadcast_to(scaled, (len(encodings), c))], axis=1)

    def score(self, encodings: Any, context: Any = None) -> tuple[jax.Array, jax.Array]:
        """Mean and deviation of the standardised target, larger better; differentiable and jittable."""
        return self.spec.apply(self.params, self.inputs(encodings, context))

    def predict(self, encodings: Any, context: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation in the units of the target: of the metric for ``value``, of the rank in (0, 1) for
        ``rank``, of log(p/p̄) for ``log_ratio``."""
        mean, std = compiled_apply(self.spec, False)(self.params, self.inputs(encodings, context))
        mean = np.asarray(mean, np.float64) * self.scale + self.shift
        sign = -1.0 if self.target == "value" and not self.maximize else 1.0
        return sign * mean, np.asarray(std, np.float64) * self.scale

    def compare(self, first: Any, second: Any, context: Any = None) -> np.ndarray:
        """log(p2/p1) by the model, h(x2) - h(x1): antisymmetric, and adds up along chains (``log_ratio`` only)."""
        if self.target != "log_ratio":
            raise InputError(f"compare needs target='log_ratio', this model has {self.target!r}")
        sign = 1.0 if self.maximize else -1.0
        return sign * (self.predict(second, context)[0] - self.predict(first, context)[0])


class _Table(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    blocks: np.ndarray
    shift: float
    scale: float
    context_shift: np.ndarray
    context_scale: np.ndarray


def _table(trials: Trials, target: str, room: int) -> _Table:
    """Inputs and targets, padded with rows of weight 0 to a power of two from ``room``, so that few sizes are compiled."""
    goal = targets.make(trials, target)
    known = np.where(np.isfinite(trials.context), trials.context, np.nan)
    with np.errstate(all="ignore"):
        shift = np.nan_to_num(np.nanmean(known, axis=0)) if known.shape[1] else np.zeros(0)
        scale = np.nan_to_num(np.nanstd(known, axis=0)) if known.shape[1] else np.zeros(0)
    scale = np.where(scale > 0, scale, 1.0)
    context = np.nan_to_num((known - shift) / scale)
    x = np.concatenate([trials.encodings, context.astype(np.float32)], axis=1)
    n, size = len(x), power_of_two(len(x), room)
    pad = lambda a: np.concatenate([a, np.zeros((size - n, *a.shape[1:]), a.dtype)])
    blocks = [i for i, name in enumerate(trials.space.domains) for _ in range(trials.space.domains[name].width)]
    blocks += [len(trials.space.domains) + i for i in range(context.shape[1])]
    return _Table(
        pad(x),
        pad(goal.y.astype(np.float32)),
        pad(np.ones(n, np.float32)),
        np.asarray(blocks),
        goal.shift,
        goal.scale,
        shift.astype(np.float32),
        scale.astype(np.float32),
    )


def fit(
    trials: Trials,
    spec: Spec,
    target: str = "rank",
    key: Key | None = None,
    start: Model | None = None,
    room: int = 64,
) -> Model:
    """Fits a model to trials.

    Args:
        trials: at least one; with one or with equal metrics the model predicts the mean. Of more than ``spec.most`` a part
            is drawn, with a warning.
        spec: ``predictor.kernel()``, ``ensemble()``, ``ridge()``, ``mlp()``.
        target: ``value``, ``rank`` or ``log_ratio``.
        key: for random initialisations.
        start: a model of the same spec to fine-tune.
        room: trials up to this number share a compiled program; a power of two.

    Example:
        >>> from metajax.space import Float
        >>> from metajax.predictor import kernel
        >>> space = Space({"x": Float(0.0, 1.0)})
        >>> trials = Trials.from_arrays(space, [{"x": i / 9} for i in range(10)], [-(i / 9 - 0.5) ** 2 for i in range(10)])
        >>> mean, std = fit(trials, kernel(), "value").predict([[0.5], [1.0]])
        >>> bool(mean[0] > mean[1])
        True
    """
    key = jax.random.key(0) if key is None else key
    if len(trials) > spec.most:
        warnings.warn(
            f"fit: {len(trials):,} trials; {spec.name} takes {spec.most:,} of them, drawn at random with the best of all",
            stacklevel=2,
        )
        rows = generator(key).permutation(len(trials))[: spec.most]
        trials = trials.take(np.union1d(rows[1:], [trials.best]))
    table = _table(trials, target, room)
    begun = start.params if start is not None and start.spec == spec else None
    params = compiled(spec, False)(key, table.x, table.y, table.weight, table.blocks, begun)
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


class Choice(NamedTuple):
    """The outcome of a cross-validation: the best model and its name, R² of each on rows it did not see, and those
    predictions."""

    spec: Spec
    best: str
    r2: dict[str, float]
    predicted: dict[str, np.ndarray]


def choose(
    trials: Trials,
    specs: Sequence[Spec],
    target: str = "rank",
    key: Key | None = None,
    folds: int = 5,
    room: int = 64,
) -> Choice:
    """Cross-validates models, by group if there are at least as many groups as folds, else by configuration.

    Rows with the same configuration always fall into one fold, so that repeated trainings do not leak. ``room`` is as in
    ``fit``.

    Raises:
        InputError: if there are fewer distinct configurations than folds.
    """
    table, n = _table(trials, target, room), len(trials)
    key = jax.random.key(0) if key is None else key
    groups = np.unique(trials.group)
    if len(groups) >= folds:
        units = np.searchsorted(groups, trials.group)
    else:
        units = np.unique(trials.encodings, axis=0, return_inverse=True)[1].ravel()
    number = units.max() + 1
    if number < folds:
        raise InputError(f"choose: {number} distinct configurations cannot make {folds} folds")
    fold_of_unit = generator(jax.random.fold_in(key, 1)).permutation(number) % folds
    fold = fold_of_unit[units]
    weights = np.zeros((folds, len(table.weight)), np.float32)
    weights[:, :n] = fold[None] != np.arange(folds)[:, None]
    r2, predicted = {}, {}
    for spec in specs:
        params = compiled(spec, True)(key, table.x, table.y, weights, table.blocks, None)
        means = np.asarray(compiled_apply(spec, True)(params, table.x)[0], np.float64)[:, :n]
        out = means[fold, np.arange(n)]
        y = table.y[:n]
        r2[spec.name] = float(1 - np.mean((out - y) ** 2) / max(np.var(y), 1e-12))
        predicted[spec.name] = out * table.scale + table.shift
    spec = max(specs, key=lambda s: r2[s.name])
    return Choice(spec, spec.name, r2, predicted)
