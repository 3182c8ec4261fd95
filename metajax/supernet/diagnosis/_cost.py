"""What an architecture costs, as a differentiable function of its encoding: parameters, operations, measured latency."""

import math
import statistics
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from metajax._typing import AnyArray, checked
from metajax.supernet._model import SuperNet
from metajax.types import InputError

Kind = Literal["parameters", "flops", "seconds"]


class Cost(NamedTuple):
    """A cost that adds up over choices, as fitted to stand-alone networks.

    ``fit_cost`` makes it.

    Attributes:
        constant: The part of the cost that every network has.
        table: The cost that each value of each choice adds, f32[width].
        r2: The share of the variance over further networks that the cost explains; 1 where costs add up exactly.
        mean: The mean cost of the networks that were measured.
        kind: The kind of cost: ``parameters``, ``flops`` or ``seconds``.

    Example:
        >>> float(Cost(10.0, np.array([0.0, 5.0]), 1.0, 12.5, "parameters").of(jnp.asarray([0.5, 0.5])))
        12.5
    """

    constant: float
    table: Float32[np.ndarray, " width"]
    r2: float
    mean: float
    kind: str

    @checked
    def of(self, encoding: Float[AnyArray, "*batch width"]) -> Float[Array, "*batch"]:
        """Returns the cost of encodings f32[..., width], relaxed or not; give it to ``regularizers.expected_cost``."""
        return self.constant + jnp.asarray(encoding) @ jnp.asarray(self.table, encoding.dtype)


def measure_cost(config: Mapping[str, Any], supernet: SuperNet, x: jax.Array, kind: Kind, repeats: int = 5) -> float:
    """Measures the cost of one stand-alone network.

    Args:
        config: A configuration of the space.
        supernet: The space and its stand-alone networks.
        x: An input as the network will see it.
        kind: The kind of cost. ``"parameters"`` counts the parameters, ``"flops"`` counts the operations of one pass over
            ``x``, and ``"seconds"`` is the median time of a compiled pass on this machine.
        repeats: The number of passes that are timed, at least 1.

    Returns:
        The cost.

    Raises:
        InputError: If the kind is another one, or ``repeats`` is below 1.

    Example:
        >>> from metajax.supernet import spaces
        >>> net = spaces.elastic_mlp(4, 3, depths=(1, 2), widths=(8, 16))
        >>> measure_cost({"depth": 1, "width_0": 8}, net, jnp.ones((1, 4)), "parameters")  # 4 · 8 + 8 + 8 · 3 + 3
        67.0
    """
    if kind not in ("parameters", "flops", "seconds") or repeats < 1:
        raise InputError(
            "measure_cost: kind must be 'parameters', 'flops' or 'seconds' and repeats an integer >= 1, got "
            f"kind={kind!r}, repeats={repeats}"
        )
    alone = supernet.build(config)
    if kind == "parameters":
        shapes = jax.eval_shape(alone.init, jax.random.key(0))
        return float(sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)))
    if kind == "flops":
        shapes = jax.eval_shape(alone.init, jax.random.key(0))
        analysis = jax.jit(alone.apply).lower(shapes, x).cost_analysis()
        return float(analysis["flops"])  # type: ignore[index]
    run, params, durations = jax.jit(alone.apply), alone.init(jax.random.key(0)), []
    jax.block_until_ready(run(params, x))
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(params, x))
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def fit_cost(
    supernet: SuperNet, x: jax.Array, kind: Kind = "parameters", samples: int | None = None, seed: int = 0
) -> Cost:
    """Fits what each value of each choice adds to the cost, by least squares over drawn networks.

    A fifth of the networks does not take part in the fit and judges it. This is a latency table as that of ProxylessNAS, by
    regression.

    Args:
        supernet: The space and its stand-alone networks.
        x: An input as the networks will see it; operations and seconds are those of one pass over it.
        kind: The kind of cost, see ``measure_cost``.
        samples: The number of networks to measure, at least 10; by default twice the width of the encoding and ten more.
        seed: The seed of the draw.

    Returns:
        The cost as a function of the encoding.

    Raises:
        InputError: If the kind is another one, or there are fewer than ten samples.

    References:
        Cai et al. 2019, "ProxylessNAS: direct neural architecture search on target task and hardware", arXiv:1812.00332.

    Example:
        >>> from metajax.supernet import spaces
        >>> net = spaces.cell_supernet(10, channels=4, stages=1, depth=1, nodes=3)
        >>> cost = fit_cost(net, jnp.ones((1, 8, 8, 3)))
        >>> none, skip, conv1, conv3, pool = cost.table[net.space.slices["edge_0_1"]]
        >>> round(float(conv3 - conv1)), round(cost.r2, 3)  # 4 · 4 · (9 - 1) parameters, exactly additive
        (128, 1.0)
    """
    space = supernet.space
    samples = 2 * space.width + 10 if samples is None else samples
    if samples < 10:
        raise InputError(f"fit_cost: samples must be an integer >= 10, got {samples}")
    configs = space.sample(jax.random.key(seed), samples)
    encodings = np.asarray(space.encode(configs), np.float64)
    costs = np.array([measure_cost(config, supernet, x, kind) for config in space.dicts(configs)])
    fitted = samples - samples // 5
    design = np.concatenate([np.ones((samples, 1)), encodings], axis=1)
    weights = np.linalg.lstsq(design[:fitted], costs[:fitted], rcond=None)[0]
    residual, spread = costs[fitted:] - design[fitted:] @ weights, costs[fitted:] - costs[fitted:].mean()
    total = float(spread @ spread)
    r2 = 1.0 - float(residual @ residual) / total if total else float(not residual.any())
    return Cost(float(weights[0]), weights[1:].astype(np.float32), r2, float(costs.mean()), kind)
