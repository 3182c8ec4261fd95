"""Which choices matter: the share of the variance of the prediction over the space that each domain explains."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import ArrayLike

from metajax.predictor._model import Model
from metajax.types import InputError, Key, stream

_CONSTANT = 1e-5
"""Standard deviation of standardized predictions below which a model is constant up to rounding in float32."""


def importance(
    model: Model, key: Key, samples: int = 512, context: ArrayLike | Sequence[Any] | None = None
) -> dict[str, float]:
    """Estimates how much each domain matters to the prediction: its total Sobol index.

    The index is the share of the variance of the prediction over the space that a domain explains, alone and in all
    interactions it is part of, so that the indices can sum to more than 1. Jansen's estimator is half the mean squared change
    of the prediction if one domain alone is redrawn, divided by the variance of the prediction.

    Args:
        model: A fitted predictor.
        key: Random key for the configurations.
        samples: Number of random configurations, at least 2; the error falls with its square root.
        context: f[c], the context of the model, if it has any.

    Returns:
        The index of each domain by name, largest first; all 0 if the prediction does not vary.

    Raises:
        InputError: If ``samples`` is below 2.

    References:
        Jansen, Analysis of variance designs for model output, 1999.

    Example:
        >>> import jax
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> space = Space({"rate": Float(0, 1), "unused": Float(0, 1)})
        >>> configs = space.sample(jax.random.key(0), 40)
        >>> trials = predictor.Trials.from_arrays(space, configs, configs["rate"])
        >>> shares = predictor.importance(predictor.fit(trials, predictor.ridge(), "value"), jax.random.key(1))
        >>> list(shares), shares["rate"] > 0.9
        (['rate', 'unused'], True)
    """
    if samples < 2:
        raise InputError(f"importance: samples must be an integer >= 2, got {samples}")
    base, other = (model.space.sample(stream(key, name), samples) for name in ("base", "other"))

    def predict(configs):
        return model.scores(model.space.encode(model.space.canonical(configs)), context)[0]

    value = predict(base)
    deviation = float(value.std()) if model.scale else 0.0
    if deviation < _CONSTANT:
        return dict.fromkeys(model.space.domains, 0.0)
    effect = {
        name: float(0.5 * np.mean(((value - predict({**base, name: other[name]})) / deviation) ** 2))
        for name in model.space.domains
    }
    return dict(sorted(effect.items(), key=lambda item: -item[1]))
