"""Networks as two plain functions each: what is traced and compiled is small."""

import jax
import jax.numpy as jnp

from metajax import nn
from metajax.nn._layers import moments


def dense(features, out, activation=lambda x: x):
    """A layer."""

    def init(key):
        return {"kernel": jax.random.normal(key, (features, out)) * features**-0.5, "bias": jnp.zeros(out)}

    return nn.Functional(init, lambda p, x: activation(x @ p["kernel"] + p["bias"]))


def scaled(layer, activation=lambda x: x):
    """A layer with a scale of its outputs below the name of a norm."""
    init = lambda key: {"layer": layer.init(key), "norm": {"scale": jnp.ones_like(layer.init(key)["bias"])}}
    return nn.Functional(init, lambda p, x: activation(layer.apply(p["layer"], x) * p["norm"]["scale"]))


def normed(body):
    """A body with a batch norm in front of it: of the batch, of its first ``reference`` examples, or of given statistics."""

    def apply(p, x, reference=None, report=False, statistics=None):
        own = moments(x[:reference])
        mean, variance = own if statistics is None else statistics[0]
        y = body.apply(p, (x - mean) * jax.lax.rsqrt(variance + 1e-5))
        return (y, (own,)) if report else y

    return nn.Functional(body.init, apply)
