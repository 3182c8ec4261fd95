"""The naive way to compare two models: one prediction from both encodings at once. Here to be compared with."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.predictor._specs import Spec, compiled, compiled_apply
from metajax.predictor._trials import Trials
from metajax.space._rows import power_of_two
from metajax.types import InputError, Key, generator


@dataclasses.dataclass(frozen=True)
class PairModel:
    """A model of the relative improvement ``(p2 - p1) / p1`` from two encodings side by side.

    It is neither antisymmetric nor transitive: ``compare(a, b)`` and ``compare(b, a)`` are two opinions, and three models can
    be ordered in a circle. ``predictor.fit(..., target="log_ratio")`` cannot contradict itself, and can be searched.
    """

    spec: Spec
    params: Any
    scale: float

    def compare(self, first: Any, second: Any, context: Any = None) -> np.ndarray:
        """f[n]: the predicted relative improvement of the second over the first, larger better."""
        x = _side_by_side(first, second, context)
        return np.asarray(compiled_apply(self.spec, False)(self.params, x)[0], np.float64) * self.scale


def fit_pairs(
    trials: Trials, spec: Spec, key: Key | None = None, pairs: np.ndarray | None = None, most: int = 2048
) -> PairModel:
    """Fits a model to pairs of trials of one group.

    Args:
        trials: their metric must be above 0.
        spec: any model; it reads encoding, encoding and context.
        key: of the drawn pairs and the fit.
        pairs: int[n, 2] rows of the trials; by default at most ``most`` drawn ones.
        most: see ``pairs``.

    Raises:
        InputError: if a metric is not above 0, or there is no pair.
    """
    key = jax.random.key(0) if key is None else key
    metric = np.abs(trials.utility)
    if np.any(trials.utility * (1 if trials.maximize else -1) <= 0):
        raise InputError("fit_pairs: relative improvements need metrics above 0")
    if pairs is None:
        first, second = np.nonzero((trials.group[:, None] == trials.group[None]) & ~np.eye(len(trials), dtype=bool))
        chosen = generator(key).permutation(len(first))[:most]
        pairs = np.stack([first[chosen], second[chosen]], axis=1)
    if not len(pairs):
        raise InputError(
            f"fit_pairs: {len(trials)} trials make no pair within a group; at least two of one group are needed"
        )
    first, second = pairs.T
    gain = (metric[second] - metric[first]) / metric[first] * (1 if trials.maximize else -1)
    scale = max(float(gain.std()), 1e-12)
    x = _side_by_side(trials.encodings[first], trials.encodings[second], trials.context[first])
    size = power_of_two(len(x), 64)
    pad = lambda a: jnp.asarray(np.concatenate([a, np.zeros((size - len(a), *a.shape[1:]), np.float32)]))
    y, weight = pad((gain / scale).astype(np.float32)), pad(np.ones(len(x), np.float32))
    params = compiled(spec, False)(key, pad(x), y, weight, np.arange(x.shape[1]), None)
    return PairModel(spec, params, scale)


def _side_by_side(first: Any, second: Any, context: Any) -> np.ndarray:
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    context = (
        np.zeros((len(first), 0)) if context is None else np.broadcast_to(context, (len(first), np.shape(context)[-1]))
    )
    return np.concatenate([first, second, context.astype(np.float32)], axis=1)
