"""Zero-cost proxies on NAS-Bench-201: drawn cells are scored at their initial weights, and nothing is trained.

The proxies are those of ``supernet.diagnosis`` and, as the trivial one, the number of parameters. Their networks are those
of the benchmark, with five cells a stage. The settings differ from those of the authors in three points:

* The authors of most proxies (Abdelfattah et al. 2021) take images of 32 x 32 pixels; preset ``quick`` takes 16 x 16.
* Initial weights are truncated normals of deviation 1/√fan-in for all cells, not PyTorch's uniform ones, and the cells
  share one draw. TE-NAS, which ``ntk`` is from, draws Kaiming normals three times.
* The batch has 64 images (Abdelfattah et al.), 128 for ``naswot`` (Mellor et al. 2021), and 16 for ``ntk``, because its
  time grows with their square; TE-NAS takes 72.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.harness import Result, Results
from experiments.harness.markdown import table
from experiments.harness.words import listed
from experiments.nas import _tables
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
"""Images in the batch of proxies that do not take the ``batch`` of the config."""


class Scored(NamedTuple):
    """The scores of the drawn cells.

    Attributes:
        configs: The cells.
        scores: float[drawn]. Larger is better; a score that is not finite is -inf.
        seconds: float[drawn]. The first one's are mostly compilation.
    """

    configs: list[dict[str, Any]]
    scores: np.ndarray
    seconds: np.ndarray

    @property
    def best(self) -> dict[str, Any]:
        return self.configs[int(np.argmax(self.scores))]


def images(config: Any) -> int:
    """Returns how many images the proxy of a config sees."""
    return {config.method: config.batch, **IMAGES}[config.method]


def protocol(config: Any) -> str:
    """Returns what was scored, and by which inputs."""
    input_words = f"{images(config)} images of CIFAR-10 at {config.size} x {config.size}; batch norm: transductive"
    input_words = {"synflow": "an input of ones; no batch norm", "parameters": "no input"}.get(
        config.method, input_words
    )
    network = f"C={config.channels}, N={config.cells}"
    return f"best of {config.drawn} drawn cells by {config.method} at initial weights, {network}; {input_words}"


def batch(config: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images that a proxy sees."""
    x, y = data.cifar10(config.seed, config.size).train
    return x[: images(config)], y[: images(config)]


def score(config: Any, directory: run.RunDirectory) -> Scored:
    """Scores ``config.drawn`` cells, which are the same for every proxy. A resumed run goes on where it stopped."""
    space, key = supernet.spaces.cell_space(), jax.random.key(config.seed)
    cells = space.sample(stream(key, "cells"), config.drawn)
    configs, encodings = space.dicts(cells), space.encode(cells)
    value = _scorer(config, None if config.method == "parameters" else batch(config), stream(key, "weights"))
    work = lambda cell: {"score": value(configs[cell["cell"]], encodings[cell["cell"]])}
    cells = [{"cell": i} for i in range(config.drawn)]
    with jax.enable_x64(True):  # eigenvalues and flows span more than float32 holds; networks stay in float32
        records = harness.measure(directory, cells, work, config.method)
    scores = np.array([record["score"] for record in records], np.float64)
    seconds = np.array([record["seconds"] for record in records])
    return Scored(configs, np.where(np.isfinite(scores), scores, -np.inf), seconds)


def _scorer(config: Any, batch: Any, key: jax.Array) -> Callable[[dict[str, Any], jax.Array], float]:
    """Returns ``(config, encoding) -> score`` of a cell; without a batch, its number of parameters."""
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


def table_of(runs: Iterable[Result], trivial: dict[str, Any] | None = None) -> str:
    """Returns the section on what scores at initial weights are worth, beside the number of parameters."""
    current, old = _tables.current(runs, ("proxy",))
    scored = sorted(current, key=lambda result: -result.metrics["kendall_tau"])
    if not scored:
        return f"## NAS-Bench-201: zero-cost proxies\n{old}" if old else ""
    rows = []
    for result in scored:
        m, method = result.metrics, result.config["method"]
        name = f"{method} (trivial)" if method == "parameters" else method
        accuracies = [f"{m[f'{dataset}_test']:.2f}" for dataset in _tables.DATASETS]
        rows.append([name, tau(m), str(m["evaluations"]), *accuracies, f"{m['seconds_a_cell']:.2f}"])
    head = ["proxy", "Kendall τ", "cells", "CIFAR-10 of the best", "CIFAR-100", "ImageNet16-120", "seconds a cell"]
    sizes = sorted({_tables.size(result) for result in scored if result.config["method"] != "parameters"})
    note = (
        "Every proxy scores the same drawn cells at initial weights with one batch; nothing is trained "
        f"({'; '.join(sizes)}). Kendall τ is against the table's test accuracy on CIFAR-10, with its standard error over cells "
        "(jackknife). The accuracies are those of the cell with the best score, and the time is the median of a cell."
    )
    summary = (
        f"\nOver all {trivial['cells']:,} cells, the number of parameters has τ {tau(trivial, 'parameters_kendall_tau')}.\n"
        if trivial
        else ""
    )
    return f"## NAS-Bench-201: zero-cost proxies\n\n{note}\n\n{table(head, rows)}\n{summary}{old}"


def statement(results: Results) -> list[str]:
    """How proxies rank cells, against the number of parameters."""
    runs, _ = _tables.current(_tables.on_the_benchmark(results), ("proxy",))
    scored = {result.config["method"]: result.metrics for result in runs}
    parameters = scored.pop("parameters")
    score = lambda m: f"{m['kendall_tau']:.2f} ± {m['kendall_tau_error']:.2f}"
    best = max(scored, key=lambda name: scored[name]["kendall_tau"])
    gap = lambda m: m["kendall_tau"] - parameters["kendall_tau"]
    errors = lambda m: m["kendall_tau_error"] + parameters["kendall_tau_error"]
    above = [name for name, m in scored.items() if gap(m) > 0]
    clear = [name for name in above if gap(scored[name]) > errors(scored[name])]
    return [
        f"Zero-cost proxies rank {parameters['evaluations']} untrained cells. The best, {best}, has a Kendall τ of "
        f"{score(scored[best])}; the number of parameters alone has {score(parameters)}. Of the {len(scored)} proxies, "
        f"{len(above)} are above it ({listed(above)}), by more than both standard errors: "
        f"{listed(clear)}."
    ]


def tau(metrics: dict[str, Any], name: str = "kendall_tau") -> str:
    """Returns τ, with its standard error where that is known.

    Example:
        >>> tau({"kendall_tau": 0.5, "kendall_tau_error": 0.03}), tau({"kendall_tau": 0.5})
        ('0.500 ± 0.030', '0.500')
    """
    error = metrics.get(f"{name}_error")
    return f"{metrics[name]:.3f}" + (f" ± {error:.3f}" if error is not None else "")
