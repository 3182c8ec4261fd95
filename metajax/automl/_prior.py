"""What trainings on other datasets say of a new one: the warm start that is shipped with the package.

``prior.npz`` holds a small network, fitted by ``python -m experiments.automl.automl_prior`` to trainings of this space on
generated datasets, that reads a configuration and the meta-features of a dataset and says how good the configuration will be
among others.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from metajax.automl._prepare import Prepared
from metajax.automl._propose import Pool
from metajax.automl._space import tabular_space
from metajax.data._home import load_npz, save_npz
from metajax.predictor import Model, metafeatures
from metajax.predictor._forms import Network
from metajax.space import Float, Space
from metajax.types import InputError

FILE = Path(__file__).parent / "prior.npz"
CANDIDATES = 4096


def common_space() -> Space:
    """The choices that spaces of all tables share; of the features used, their share."""
    whole = tabular_space(1, classification=True)
    domains = {name: domain for name, domain in whole.domains.items() if name != "features"}
    return Space({**domains, "share": Float(0.0, 1.0)}, [c for c in whole.conditions.values() if c.child != "features"])


def common(space: Space, encodings: np.ndarray) -> np.ndarray:
    """Encodings of a table's space as those of ``common_space``."""
    blocks = []
    for name, domain in common_space().domains.items():
        if name == "share":
            chosen, all_of_them = encodings[:, space.slices["features"]], encodings[:, space.slices["selection"]][:, 0]
            blocks.append(np.maximum(chosen.mean(axis=1), all_of_them)[:, None])
        elif name in space.slices:
            blocks.append(encodings[:, space.slices[name]])
        else:
            blocks.append(np.zeros((len(encodings), domain.width), encodings.dtype))
    return np.concatenate(blocks, axis=1)


def describe(prepared: Prepared) -> np.ndarray:
    """Meta-features f64[c] of the rows that a search learns from."""
    found = metafeatures(np.asarray(prepared.search.x), np.asarray(prepared.search.y), prepared.classification)
    return np.array(list(found.values()))


class Warm(NamedTuple):
    """The fitted network, and how it reads meta-features."""

    network: Network
    shift: np.ndarray
    scale: np.ndarray

    def __call__(self, x: np.ndarray, context: np.ndarray) -> np.ndarray:
        """f64[n]: the standardized rank of configurations f[n, width] of ``common_space``; larger is better."""
        scaled = np.clip(np.nan_to_num((context - self.shift) / self.scale), -3.0, 3.0)
        h = np.concatenate([x, np.broadcast_to(scaled, (len(x), len(scaled)))], axis=1)
        for weights, bias in self.network.layers[:-1]:
            h = np.maximum(h @ weights + bias, 0.0)
        weights, bias = self.network.layers[-1]
        return (h @ weights + bias)[:, 0]


def save(model: Model, path: Path = FILE) -> None:
    """Writes the formula of a fitted ensemble."""
    form = model.spec.form(model.params) if model.spec.form else None
    if not isinstance(form, Network):
        raise InputError(f"model: has the form {type(form).__name__}; accepted is an ensemble of networks")
    arrays = {f"{kind}{i}": a.astype(np.float32) for i, layer in enumerate(form.layers) for kind, a in zip("wb", layer)}
    save_npz(path, True, shift=model.context_shift, scale=model.context_scale, **arrays)


@functools.cache
def load(path: Path = FILE) -> Warm:
    """Reads what ``save`` wrote: two layers."""
    found = load_npz(path, ("shift", "scale", "w0", "b0", "w1", "b1"))
    return Warm(Network(((found["w0"], found["b0"]), (found["w1"], found["b1"]))), found["shift"], found["scale"])


def warm_start(space: Space, prepared: Prepared, n: int, key: jax.Array, tried: np.ndarray) -> np.ndarray:
    """Encodings f32[n, width] that promise most on this dataset before its own trainings say anything: the best by the prior of
    many random configurations, each some way from those before it and from what was tried."""
    drawn = np.asarray(space.encode(space.sample(key, CANDIDATES)))
    ranked = drawn[np.argsort(-load()(common(space, drawn), describe(prepared)), kind="stable")]
    pool, picked = Pool(space, ranked[:512], tried), []
    for _ in range(n):
        row = pool.take()
        picked.append(ranked[len(picked)] if row is None else row)
        pool.keep_from(picked[-1])
    return np.stack(picked)
