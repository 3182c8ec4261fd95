"""Fitting the meta-learner to trials, fine-tuning it on new ones, and choosing between models by cross-validation."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.predictor import targets
from metajax.predictor._specs import Spec, compiled, compiled_apply
from metajax.predictor._trials import Trials
from metajax.space import Space
from metajax.space._rows import power_of_two
from metajax.types import InputError, Key, generator, stream


@dataclasses.dataclass(frozen=True)
class Model:
    """A fitted predictor of how good a configuration is.

    Attributes:
        space: of the configurations.
        spec: what was fitted.
        params: its parameters.
        target: ``value``, ``rank`` or ``log_ratio``.
        shift: of the target, which is standardized for the fit.
        scale: of the target; 0 where all trials had the same, and then the model predicts just that.
        context_shift: of the context's columns.
        context_scale: of the context's columns; infinite for a column that was constant, which says nothing.
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

    @property
    def direction(self) -> float:
        """1.0 where a larger prediction is better, -1.0 where a smaller one is: for the value and the log-ratio of a metric
        that is minimized. Ranks are always larger for better."""
        return -1.0 if self.target != "rank" and not self.maximize else 1.0

    def inputs(self, configs: Any, context: Any = None) -> jax.Array:
        """Encodings [n, width] and a context [c] or [n, c] side by side, as the model reads them.

        Args:
            configs: encodings f[n, width], a list of plain dictionaries, or a struct of arrays.
            context: of each row or of all; with the columns that the model was fitted with.

        Raises:
            InputError: if configurations are outside the space, or shapes do not fit.
        """
        encodings = _encodings(self.space, configs)
        if encodings.ndim != 2 or encodings.shape[1] != self.space.width:
            raise InputError(f"predict: encodings have shape {encodings.shape}, accepted is (n, {self.space.width})")
        c = len(self.context_shift)
        if (context is None) != (c == 0):
            raise InputError(f"predict: the model was fitted with {c} columns of context; give context accordingly")
        if c == 0:
            return encodings
        given = np.shape(context)
        if given not in ((c,), (1, c), (len(encodings), c)):
            raise InputError(f"predict: context has shape {given}, accepted is ({c},) or ({len(encodings)}, {c})")
        scaled = (jnp.asarray(context, jnp.float32) - self.context_shift) / self.context_scale
        scaled = jnp.where(jnp.isfinite(scaled), scaled, 0.0)  # what is not known is the mean, as in fitting
        return jnp.concatenate([encodings, jnp.broadcast_to(scaled, (len(encodings), c))], axis=1)

    def score(self, encodings: Any, context: Any = None) -> tuple[jax.Array, jax.Array]:
        """Mean and deviation of the standardized target, larger better; differentiable and jittable."""
        return self.spec.apply(self.params, self.inputs(encodings, context))

    def predict(self, configs: Any, context: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Predicts configurations in the units of the target.

        These are the units and the direction of the metric for ``value``, the rank in (0, 1), larger better, for ``rank``,
        and log(p/p̄) for ``log_ratio``. The mean of a model with a formula (``ridge``, ``mlp``, ``ensemble``) is computed in
        float64, so that it agrees with what ``search.Certify`` proves.

        Args:
            configs: encodings f[n, width], a list of plain dictionaries such as ``Found.configs``, or a struct of arrays.
            context: f[c] or f[n, c], if the model was fitted with any.

        Returns:
            Mean f64[n] and deviation f64[n]. Where all trials had the same metric, that one and 0.

        Raises:
            InputError: if configurations are outside the space, or shapes do not fit.
        """
        mean, std = self.scores(configs, context)
        return self.in_units(mean), std * self.scale

    def scores(self, configs: Any, context: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """As ``score``, on the host in float64, of what ``predict`` takes."""
        x = self.inputs(configs, context)
        mean, std = compiled_apply(self.spec, False)(self.params, x)
        if self.spec.form is not None:
            mean = self.spec.form(self.params).value(np.asarray(x, np.float64))
        return np.asarray(mean, np.float64), np.asarray(std, np.float64)

    def in_units(self, score: Any) -> np.ndarray:
        """f64: standardized scores, larger better, in the units and the direction of ``predict``."""
        score = np.asarray(score, np.float64)
        scaled = score * self.scale if self.scale else np.where(np.isfinite(score), 0.0, score)
        return self.direction * (scaled + self.shift)

    def compare(self, first: Any, second: Any, context: Any = None) -> np.ndarray:
        """log(p2/p1) by the model, h(x2) - h(x1): antisymmetric, and adds up along chains (``log_ratio`` only)."""
        if self.target != "log_ratio":
            raise InputError(f"compare needs target='log_ratio', this model has {self.target!r}")
        return self.predict(second, context)[0] - self.predict(first, context)[0]


def _encodings(space: Space, configs: Any) -> jax.Array:
    """f32[n, width] of configurations in any form."""
    if isinstance(configs, Mapping):
        return space.encode(dict(configs))
    if isinstance(configs, list | tuple) and configs and isinstance(configs[0], Mapping):
        try:
            return space.encode(space.configs(configs))
        except ValueError as error:
            raise InputError(f"predict: {error}") from error
    return jnp.asarray(configs)


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
    shift, scale = _moments(trials.context)
    context = np.nan_to_num((trials.context - shift) / scale, nan=0.0, posinf=0.0, neginf=0.0)
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
        shift,
        scale,
    )


def _moments(context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f32[c] means and deviations of the known values of each column, infinite deviations where they are all the same: what
    never varied says nothing, and a model must not be led by what it is later."""
    known = np.where(np.isfinite(context), context, np.nan).astype(np.float64)
    shift, scale = np.zeros(known.shape[1]), np.full(known.shape[1], np.inf)
    for j, column in enumerate(known.T):
        some = column[np.isfinite(column)]
        if len(some):
            shift[j] = some.mean()
            scale[j] = some.std() if np.ptp(some) > 0 else np.inf
    return shift.astype(np.float32), scale.astype(np.float32)


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
        trials: at least one; with one or with equal metrics the model predicts just that. Of more than ``spec.most`` a part
            is drawn, with a warning.
        spec: ``predictor.kernel()``, ``ensemble()``, ``ridge()``, ``mlp()``.
        target: ``value``, ``rank`` or ``log_ratio``.
        key: for random initializations.
        start: a model of the same spec to fine-tune.
        room: trials up to this number share a compiled program; a power of two.

    Raises:
        InputError: on an unknown target, or metrics that it does not take.
        FloatingPointError: if the fit ends in parameters that are not finite.

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
        rows = generator(stream(key, "rows")).permutation(len(trials))[: spec.most]
        trials = trials.take(np.union1d(rows[1:], [trials.best]))
    table = _table(trials, target, room)
    begun = start.params if start is not None and start.spec == spec else None
    params = compiled(spec, False)(key, table.x, table.y, table.weight, table.blocks, begun)
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


class Choice(NamedTuple):
    """The outcome of a cross-validation: the best model and its name, R² of each on rows it did not see (0 where all targets
    are the same), and those predictions."""

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
    fold_of_unit = generator(stream(key, "folds")).permutation(number) % folds
    fold = fold_of_unit[units]
    weights = np.zeros((folds, len(table.weight)), np.float32)
    weights[:, :n] = fold[None] != np.arange(folds)[:, None]
    r2, predicted = {}, {}
    for spec in specs:
        params = compiled(spec, True)(key, table.x, table.y, weights, table.blocks, None)
        means = np.asarray(compiled_apply(spec, True)(params, table.x)[0], np.float64)[:, :n]
        out = means[fold, np.arange(n)]
        y = table.y[:n]
        r2[spec.name] = float(1 - np.mean((out - y) ** 2) / np.var(y)) if table.scale else 0.0
        predicted[spec.name] = out * table.scale + table.shift
    spec = max(specs, key=lambda s: r2[s.name])
    return Choice(spec, spec.name, r2, predicted)
