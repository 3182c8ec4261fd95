"""What an architecture costs, as a differentiable function of its encoding: parameters, operations, measured latency."""

import math
import statistics
import time
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.supernet._model import SuperNet
from metajax.types import InputError

Kind = Literal["parameters", "flops", "seconds"]


class Cost(NamedTuple):
    """A cost that adds up over choices, as fitted to stand-alone networks.

    Attributes:
        constant: what every network costs.
        table: f32[width], what each value of each choice adds.
        r2: share of the variance over further networks that it explains; 1 where costs add up exactly.
        mean: of the networks that were measured.
        kind: ``parameters``, ``flops`` or ``seconds``.
    """

    constant: float
    table: np.ndarray
    r2: float
    mean: float
    kind: str

    def of(self, encoding: jax.Array) -> jax.Array:
        """The cost of f32[..., width], relaxed or not; give it to ``expected_cost``."""
        return self.constant + encoding @ jnp.asarray(self.table, encoding.dtype)


def measure_cost(config: Any, made: SuperNet, x: jax.Array, kind: Kind, repeats: int = 5) -> float:
    """The cost of one stand-alone network: its parameters, the operations of one pass over ``x``, or the median seconds of a
    compiled pass here.

    Raises:
        InputError: on another kind, or if nothing is repeated.
    """
    if kind not in ("parameters", "flops", "seconds") or repeats < 1:
        raise InputError(
            f"measure_cost: kind={kind!r}, repeats={repeats}; accepted are 'parameters', 'flops' and 'seconds', 1 or more times"
        )
    alone = made.build(config)
    if kind == "parameters":
        shapes = jax.eval_shape(alone.init, jax.random.key(0))
        return float(sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)))
    if kind == "flops":
        shapes = jax.eval_shape(alone.init, jax.random.key(0))
        told = jax.jit(alone.apply).lower(shapes, x).cost_analysis()
        return float(told["flops"])  # type: ignore[index]
    run, params, spent = jax.jit(alone.apply), alone.init(jax.random.key(0)), []
    jax.block_until_ready(run(params, x))
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(run(params, x))
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def fit_cost(
    made: SuperNet, x: jax.Array, kind: Kind = "parameters", samples: int | None = None, seed: int = 0
) -> Cost:
    """Fits what each value of each choice adds to the cost, by least squares over drawn networks, a fifth of them kept to
    judge the fit (a latency table as that of ProxylessNAS, Cai et al. 2019, arXiv:1812.00332, by regression).

    Args:
        made: the space and its stand-alone networks.
        x: an input as the networks will see it; operations and seconds are those of one pass over it.
        kind: see ``measure_cost``.
        samples: networks to measure, by default twice the width of the encoding and ten more.
        seed: of the draw.

    Raises:
        InputError: on another kind, or fewer than ten samples.

    Example:
        >>> from metajax import supernet
        >>> made = supernet.spaces.cell_supernet(10, channels=4, stages=1, depth=1, nodes=3)
        >>> cost = fit_cost(made, jnp.ones((1, 8, 8, 3)))
        >>> none, skip, conv1, conv3, pool = cost.table[made.space.slices["edge_0_1"]]
        >>> round(float(conv3 - conv1)), round(cost.r2, 3)  # 4 · 4 · (9 - 1) parameters, exactly additive
        (128, 1.0)
    """
    samples = 2 * made.space.width + 10 if samples is None else samples
    if samples < 10:
        raise InputError(f"fit_cost: samples={samples}; accepted are 10 or more")
    drawn = made.space.sample(jax.random.key(seed), samples)
    encodings = np.asarray(made.space.encode(drawn), np.float64)
    costs = np.array([measure_cost(config, made, x, kind) for config in made.space.dicts(drawn)])
    kept = samples - samples // 5
    design = np.concatenate([np.ones((samples, 1)), encodings], axis=1)
    weights = np.linalg.lstsq(design[:kept], costs[:kept], rcond=None)[0]
    wrong, spread = costs[kept:] - design[kept:] @ weights, costs[kept:] - costs[kept:].mean()
    total = float(spread @ spread)
    r2 = 1.0 - float(wrong @ wrong) / total if total else float(not wrong.any())
    return Cost(float(weights[0]), weights[1:].astype(np.float32), r2, float(costs.mean()), kind)
