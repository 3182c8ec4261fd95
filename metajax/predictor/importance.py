"""Which choices matter: how much of the model's variation over the space each domain explains."""

import jax
import numpy as np

from metajax.predictor.fit import Model
from metajax.predictor.specs import compiled_apply
from metajax.types import Key


def importance(model: Model, key: Key, samples: int = 512, context: object = None) -> dict[str, float]:
    """First-order and interaction share of each domain: its total Sobol index by the model, largest first.

    Jansen's estimator (1999): half the mean squared change of the prediction when one domain alone is redrawn, over the
    variance of the prediction.
    """
    a, b = jax.random.split(key)
    base, other = model.space.sample(a, samples), model.space.sample(b, samples)
    apply = compiled_apply(model.spec, False)

    def predict(configs):
        inputs = model.inputs(model.space.encode(model.space.canonical(configs)), context)
        return np.asarray(apply(model.params, inputs)[0], np.float64)

    value = predict(base)
    variance = max(float(value.var()), 1e-12)
    effect = {
        name: float(0.5 * np.mean((value - predict({**base, name: other[name]})) ** 2) / variance)
        for name in model.space.domains
    }
    return dict(sorted(effect.items(), key=lambda item: -item[1]))
