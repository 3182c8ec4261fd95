"""Every test runs with strict dtype promotion; warnings are errors (pyproject.toml)."""

import gc
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("METAJAX_COMPILED", "0")  # tests leave the home alone

import jax
import optax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
# compiled programs keep millions of objects alive, which are not worth walking again and again
gc.set_threshold(100_000, 50, 100)


@pytest.fixture
def x64():
    """Float64, for checking derivatives."""
    with jax.enable_x64(True):
        yield


def _standard_promotion(function):
    def wrapped(*args, **kwargs):
        with jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return wrapped


# optax (0.2.8) mixes floats and int32 counts in its own arithmetic, which strict promotion refuses; it alone is let off.
for _module in (optax.tree_utils, optax.tree):
    for _name in ("tree_bias_correction", "bias_correction"):
        if hasattr(_module, _name):
            setattr(_module, _name, _standard_promotion(getattr(_module, _name)))
_cosine = optax.cosine_decay_schedule
optax.cosine_decay_schedule = lambda *args, **kwargs: _standard_promotion(_cosine(*args, **kwargs))
