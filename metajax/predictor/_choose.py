"""Choosing between models by cross-validation."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from metajax.predictor._fit import tabulate
from metajax.predictor._spec import Spec, compiled, compiled_apply
from metajax.predictor._trials import Trials
from metajax.types import InputError, Key, generator, stream


class Choice(NamedTuple):
    """The outcome of a cross-validation.

    Attributes:
        spec: The best spec.
        best: Its name.
        r2: R² of each spec on the trials that it was not fitted to, by name; 0 if all targets are the same.
        predicted: f64[n], these predictions in the units of the target (larger better), by name.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> configs = [{"x": i / 29} for i in range(30)]
        >>> trials = predictor.Trials.from_arrays(Space({"x": Float(0.0, 1.0)}), configs, [c["x"] for c in configs])
        >>> choice = predictor.choose(trials, [predictor.ridge(penalty=1e-3)], "value")
        >>> bool(np.abs(choice.predicted["ridge1"] - trials.metric).max() < 0.01)
        True
    """

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
    padded_size: int = 64,
) -> Choice:
    """Chooses between models by cross-validation.

    Folds hold out whole datasets if there are at least as many datasets (groups) as folds, else configurations. Trials of
    one configuration are always in one fold, so that repeated trainings do not leak.

    Args:
        trials: The learning meta-data.
        specs: The models to compare; their names must differ.
        target: What the models learn; see ``fit``.
        key: Random key for the folds and initial parameters; ``jax.random.key(0)`` by default.
        folds: Number of folds, at least 2.
        padded_size: See ``fit``.

    Returns:
        The spec with the largest R², and R² and held-out predictions of all.

    Raises:
        InputError: If there are fewer distinct configurations than folds.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> configs = [{"x": i / 29} for i in range(30)]
        >>> bump = [-((c["x"] - 0.5) ** 2) for c in configs]
        >>> trials = predictor.Trials.from_arrays(Space({"x": Float(0.0, 1.0)}), configs, bump)
        >>> choice = predictor.choose(trials, [predictor.ridge(), predictor.kernel()], "value")
        >>> choice.best, choice.r2["kernel"] > 0.9
        ('kernel', True)
    """
    table, n = tabulate(trials, target, padded_size), len(trials)
    key = jax.random.key(0) if key is None else key
    groups = np.unique(trials.group)
    if len(groups) >= folds:
        units = np.searchsorted(groups, trials.group)
    else:
        units = np.unique(trials.encodings, axis=0, return_inverse=True)[1].ravel()
    number = units.max() + 1
    if number < folds:
        raise InputError(f"choose: folds must be at most the number of distinct configurations ({number}), got {folds}")
    fold_of_unit = generator(stream(key, "folds")).permutation(number) % folds
    fold = fold_of_unit[units]
    weights = np.zeros((folds, len(table.weight)), np.float32)
    weights[:, :n] = fold[None] != np.arange(folds)[:, None]
    r2, predicted = {}, {}
    for spec in specs:
        params = compiled(spec, True)(key, table.x, table.y, weights, table.blocks, None)
        means = np.asarray(compiled_apply(spec, True)(params, table.x)[0], np.float64)[:, :n]
        held_out_predictions = means[fold, np.arange(n)]
        y = table.y[:n]
        r2[spec.name] = float(1 - np.mean((held_out_predictions - y) ** 2) / np.var(y)) if table.scale else 0.0
        predicted[spec.name] = held_out_predictions * table.scale + table.shift
    spec = max(specs, key=lambda s: r2[s.name])
    return Choice(spec, spec.name, r2, predicted)
