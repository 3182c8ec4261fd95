"""The naive way to compare two configurations: one prediction from both encodings. It is here to be compared with."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float64

from metajax._typing import checked
from metajax.predictor._spec import Spec, compiled, compiled_apply
from metajax.predictor._trials import Trials
from metajax.space._rows import power_of_two
from metajax.types import InputError, Key, generator


@dataclasses.dataclass(frozen=True)
class PairModel:
    """A model of the relative improvement ``(p2 - p1) / p1`` from two encodings side by side; ``fit_pairs`` makes one.

    It is neither antisymmetric nor transitive: ``compare(a, b)`` and ``compare(b, a)`` are two opinions, and three
    configurations can be ordered in a circle. ``predictor.fit(..., target="log_ratio")`` cannot contradict itself, and can be
    searched.

    Attributes:
        spec: The spec.
        params: Its parameters.
        scale: Standard deviation of the relative improvements, which are scaled for the fit.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> space = Space({"x": Float(0.0, 1.0)})
        >>> trials = predictor.Trials.from_arrays(space, [{"x": i / 9} for i in range(10)], [1 + i / 9 for i in range(10)])
        >>> pair = predictor.fit_pairs(trials, predictor.ridge(2))
        >>> bool(pair.compare([[0.2]], [[0.8]])[0] > 0)
        True
    """

    spec: Spec
    params: Any
    scale: float

    @checked
    def compare(
        self,
        first: ArrayLike | Sequence[Any],
        second: ArrayLike | Sequence[Any],
        context: ArrayLike | Sequence[Any] | None = None,
    ) -> Float64[np.ndarray, " n"]:
        """Predicts the relative improvement of the second over the first.

        Args:
            first: Encodings f[n, width].
            second: Encodings f[n, width].
            context: f[c] or f[n, c], if the trials had any.

        Returns:
            f64[n], larger better.
        """
        x = _side_by_side(first, second, context)
        return np.asarray(compiled_apply(self.spec, False)(self.params, x)[0], np.float64) * self.scale


def fit_pairs(
    trials: Trials, spec: Spec, key: Key | None = None, pairs: np.ndarray | None = None, max_pairs: int = 2048
) -> PairModel:
    """Fits a model to pairs of trials of one dataset.

    Args:
        trials: The learning meta-data; metrics must be above 0.
        spec: Any spec; it reads the first encoding, the second encoding and the context.
        key: Random key for the pairs and the fit; ``jax.random.key(0)`` by default.
        pairs: int[n, 2], rows of the trials; by default random pairs within a group.
        max_pairs: Maximum number of random pairs.

    Returns:
        The fitted model.

    Raises:
        InputError: If a metric is not above 0, or there is no pair.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> space = Space({"x": Float(0.0, 1.0)})
        >>> trials = predictor.Trials.from_arrays(space, [{"x": i / 9} for i in range(10)], [1 + i / 9 for i in range(10)])
        >>> pair = predictor.fit_pairs(trials, predictor.ridge(2))
        >>> there, back = pair.compare([[0.2]], [[0.8]]), pair.compare([[0.8]], [[0.2]])
        >>> bool(there[0] > 0 > back[0]), bool(abs(there[0] + back[0]) > 1e-3)  # it contradicts itself
        (True, True)
    """
    key = jax.random.key(0) if key is None else key
    metric = np.abs(trials.utility)
    if np.any(trials.utility * (1 if trials.maximize else -1) <= 0):
        raise InputError(
            "fit_pairs: all metrics must be > 0, because the target is their relative improvement; use predictor.fit instead"
        )
    if pairs is None:
        first, second = np.nonzero((trials.group[:, None] == trials.group[None]) & ~np.eye(len(trials), dtype=bool))
        subset = generator(key).permutation(len(first))[:max_pairs]
        pairs = np.stack([first[subset], second[subset]], axis=1)
    if not len(pairs):
        raise InputError(
            f"fit_pairs: at least two trials must share a group, got no such pair among {len(trials)} trials"
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
    """f32[n, columns]: two encodings and the context, as the spec reads them."""
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    context = (
        np.zeros((len(first), 0)) if context is None else np.broadcast_to(context, (len(first), np.shape(context)[-1]))
    )
    return np.concatenate([first, second, context.astype(np.float32)], axis=1)
