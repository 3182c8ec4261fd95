"""Zero-cost proxies on NAS-Bench-201: drawn cells are scored at their initial weights, and nothing is trained.

The proxies are those of ``supernet.diagnosis`` and, as the trivial one, the number of parameters. Their networks are those
of the benchmark, five cells a stage; where the authors' settings differ, it is said here:

* the authors of most proxies (Abdelfattah et al. 2021) take images of 32 x 32; preset ``quick`` takes 16 x 16;
* initial weights are truncated normals of deviation 1/√fan-in for all cells, not PyTorch's uniform ones, and one draw is
  shared by the cells; TE-NAS, which ``ntk`` is from, draws Kaiming normals three times;
* the batch has 64 images (Abdelfattah et al.), 128 for ``naswot`` (Mellor et al. 2021), and 16 for ``ntk``, where TE-NAS takes
  72, because its time grows with their square.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.harness import _grid as grid
from metajax import data, run, supernet
from metajax.supernet import diagnosis as proxies
from metajax.types import stream

SCORES: dict[str, Callable[..., jax.Array]] = {
    "gradient-norm": proxies.gradient_norm,
    "snip": proxies.snip,
    "grasp": proxies.grasp,
    "synflow": lambda apply, loss, params, x, y: proxies.synflow(apply, params, x),
    "jacobian": lambda apply, loss, params, x, y: proxies.jacobian_covariance(apply, params, x),
    "ntk": lambda apply, loss, params, x, y: proxies.ntk_condition(apply, params, x),
    "naswot": lambda apply, loss, params, x, y: proxies.naswot(apply, params, x),
}
NAMES = (*SCORES, "parameters")
IMAGES = {"naswot": 128, "ntk": 16}
"""Images in the batch, where that is not the ``batch`` of the experiment's config."""


class Scored(NamedTuple):
    """What a proxy says of the drawn cells.

    Attributes:
        configs: the cells.
        scores: float[drawn], larger is better; -inf where a score is not finite.
        seconds: float[drawn], that each took; the first one's are mostly compilation.
    """

    configs: list[dict[str, Any]]
    scores: np.ndarray
    seconds: np.ndarray

    @property
    def best(self) -> dict[str, Any]:
        return self.configs[int(np.argmax(self.scores))]


def images(config: Any) -> int:
    """How many images the proxy of a config sees."""
    return {config.method: config.batch, **IMAGES}[config.method]


def protocol(config: Any) -> str:
    """What was scored, and by which inputs."""
    seen = f"{images(config)} images of CIFAR-10 at {config.size} x {config.size}; batch norm: transductive"
    seen = {"synflow": "an input of ones; no batch norm", "parameters": "no input"}.get(config.method, seen)
    network = f"C={config.channels}, N={config.cells}"
    return f"best of {config.drawn} drawn cells by {config.method} at initial weights, {network}; {seen}"


def score(config: Any, directory: run.RunDirectory, show: bool = True) -> Scored:
    """Scores ``config.drawn`` cells, which are the same for every proxy; a resumed run goes on where it stopped."""
    space, key = supernet.spaces.cell_space(), jax.random.key(config.seed)
    drawn = space.sample(stream(key, "cells"), config.drawn)
    configs, encodings = space.dicts(drawn), space.encode(drawn)
    batch = None
    if config.method != "parameters":
        batch = tuple(part[: images(config)] for part in data.cifar10(config.seed, config.size).train)
        directory.bind_data(run.fingerprint(images=batch))
    value = _scorer(config, batch, stream(key, "weights"))
    work = lambda cell: {"score": value(configs[cell["cell"]], encodings[cell["cell"]])}
    cells = [{"cell": i} for i in range(config.drawn)]
    with jax.enable_x64(True):  # eigenvalues and flows span more than float32 holds; networks stay in float32
        records = grid.measure(directory, cells, work, config.method, show)
    scores = np.array([record["score"] for record in records], np.float64)
    seconds = np.array([record["seconds"] for record in records])
    return Scored(configs, np.where(np.isfinite(scores), scores, -np.inf), seconds)


def _scorer(config: Any, batch: Any, key: jax.Array) -> Callable[[dict[str, Any], jax.Array], float]:
    """``(config, encoding) -> score`` of a cell; without a batch, its number of parameters."""
    sizes = (10, config.channels, 3, config.cells)
    if batch is None:
        alone = supernet.spaces.cell_supernet(*sizes)
        params = alone.network.init(key)
        return lambda cell, encoding: float(sum(leaf.size for leaf in jax.tree.leaves(alone.extract(params, cell))))
    x, y = (jnp.asarray(part) for part in batch)
    network = supernet.spaces.layered_cells(*sizes, normalized=config.method != "synflow")
    loss = lambda out, y: jnp.mean(optax.softmax_cross_entropy_with_integer_labels(out, y))

    @jax.jit
    def value(params, encoding):
        return SCORES[config.method](lambda p, x: network.apply(p, x, encoding), loss, params, x, y)

    layers = network.init(key)
    return lambda cell, encoding: float(value(layers, encoding))
