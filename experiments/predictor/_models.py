"""The models of ``experiments.predictor.predict_nas_bench_201``."""

import jax
import jax.numpy as jnp

from metajax import predictor, supernet

SPACE = supernet.spaces.cell_space()


def hamming(decay: float = 0.25, ridge: float = 0.03) -> predictor.Spec:
    """Returns kernel ridge regression with ``exp(-decay · choices that differ)``, of one-hot encodings."""

    def gram(x, z):
        square = jnp.sum(x**2, -1)[:, None] + jnp.sum(z**2, -1)[None] - 2 * x @ z.T
        return jnp.exp(-0.5 * decay * square)

    def fit(key, x, y, weight, blocks, start=None):
        factor = jax.scipy.linalg.cho_factor(gram(x, x) + jnp.diag(ridge / jnp.maximum(weight, 1e-6)), lower=True)
        return {"x": x, "alpha": jax.scipy.linalg.cho_solve(factor, y * (weight > 0))}

    def apply(params, x):
        mean = gram(x, params["x"]) @ params["alpha"]
        return mean, jnp.ones_like(mean)

    return predictor.Spec("hamming", fit, apply)


PATHS = predictor.architectures.path_features(SPACE)
KERNEL, TIED = predictor.kernel(), predictor.kernel(tied=True)
MODELS = {
    "ridge, value": (predictor.ridge(), "value", ()),
    "ridge": (predictor.ridge(), "rank", ()),
    "ridge of order 2": (predictor.ridge(2), "rank", ()),
    "Hamming kernel, fixed": (hamming(), "rank", ()),
    "kernel": (KERNEL, "rank", ()),
    "kernel, tied": (TIED, "rank", ()),
    "kernel, chosen": ((KERNEL, TIED), "rank", ()),
    "ensemble": (predictor.ensemble(), "rank", ()),
    "graph": (predictor.architectures.graph_network(SPACE), "rank", ()),
    "ridge on paths": (predictor.with_features(predictor.ridge(), PATHS), "rank", ()),
    "ensemble on paths": (predictor.with_features(predictor.ensemble(), PATHS), "rank", ()),
    "kernel on paths, value": (predictor.with_features(predictor.kernel(), PATHS), "value", ()),
    "kernel on paths": (predictor.with_features(KERNEL, PATHS), "rank", ()),
    "kernel on paths, chosen": (tuple(predictor.with_features(spec, PATHS) for spec in (KERNEL, TIED)), "rank", ()),
    "kernel on paths + size": (predictor.with_features(predictor.kernel(), PATHS), "rank", ("params_M",)),
    "kernel on paths + 12 epochs": (predictor.with_features(predictor.kernel(), PATHS), "rank", ("val12",)),
}
"""By name: the specification (or several, of which cross-validation of the trained cells chooses one), the target, and the
columns of the table that are known before training."""
