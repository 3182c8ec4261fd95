"""Which choices matter: how much of the model's variation over the space each domain explains."""

import numpy as np

from metajax.predictor._fit import Model
from metajax.types import InputError, Key, stream

_LEAST = 1e-5
"""Deviation of predictions, relative to that of the trials, below which a model is constant up to rounding in float32."""


def importance(model: Model, key: Key, samples: int = 512, context: object = None) -> dict[str, float]:
    """Estimates the total Sobol index of each domain by the model: its first-order share of the variance of the prediction
    and that of all interactions it is part of. Largest first; all 0 where the prediction does not vary, as with equal metrics.

    Jansen's estimator (1999): half the mean squared change of the prediction when one domain alone is redrawn, over the
    variance of the prediction.

    Args:
        model: a fitted predictor.
        key: of the drawn configurations.
        samples: number of configurations drawn; the error falls with its root.
        context: of the model, if it has any.

    Raises:
        InputError: if ``samples`` is below 2.

    Example:
        >>> import jax
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> space = Space({"rate": Float(0, 1), "unused": Float(0, 1)})
        >>> configs = space.sample(jax.random.key(0), 40)
        >>> trials = predictor.Trials.from_arrays(space, configs, configs["rate"])
        >>> found = importance(predictor.fit(trials, predictor.ridge(), "value"), jax.random.key(1))
        >>> list(found), found["rate"] > 0.9
        (['rate', 'unused'], True)
    """
    if samples < 2:
        raise InputError(f"importance: samples={samples}; accepted are whole numbers >= 2")
    base, other = (model.space.sample(stream(key, name), samples) for name in ("base", "other"))

    def predict(configs):
        return model.scores(model.space.encode(model.space.canonical(configs)), context)[0]

    value = predict(base)
    deviation = float(value.std()) if model.scale else 0.0
    if deviation < _LEAST:
        return dict.fromkeys(model.space.domains, 0.0)
    effect = {
        name: float(0.5 * np.mean(((value - predict({**base, name: other[name]})) / deviation) ** 2))
        for name in model.space.domains
    }
    return dict(sorted(effect.items(), key=lambda item: -item[1]))
