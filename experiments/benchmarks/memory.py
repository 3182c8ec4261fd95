"""Memory and time of unrolled hypergradients by inner steps: everything kept ("full") and rematerialized ("sqrt")."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import compare
from metajax import bilevel


def full_and_sqrt(problem: bilevel.Problem, args: tuple, repeats: int) -> dict[str, float]:
    """Returns XLA's count of temporary bytes, the medians of alternating runs, and the difference of the two gradients.

    Args:
        args: of the hypergradient: ``(hyper, start, inner_batches, outer_batch, key)``.
    """
    steps = len(jax.tree.leaves(args[2])[0])
    gradient = lambda remat: lambda *args: bilevel.unroll(remat)(problem)(*args).grad
    compiled = {n: jax.jit(gradient(r)).lower(*args).compile() for n, r in (("full", None), ("sqrt", "sqrt"))}
    results = {name: jax.tree.leaves(fn(*args)) for name, fn in compiled.items()}
    # relative to the largest entry of all: a parameter may have no gradient but rounding, as a bias before batch norm
    largest = max(float(jnp.max(jnp.abs(x))) for x in results["full"])
    largest_difference = max(float(jnp.max(jnp.abs(x - y))) for x, y in zip(results["full"], results["sqrt"]))
    seconds: dict[str, list[float]] = {name: [] for name in compiled}
    for _ in range(repeats):
        for name, fn in compiled.items():
            began = time.perf_counter()
            jax.block_until_ready(fn(*args))
            seconds[name].append(time.perf_counter() - began)
    counted: Any = {name: fn.memory_analysis() for name, fn in compiled.items()}
    memory = {name: analysis.temp_size_in_bytes for name, analysis in counted.items()}
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        f"bytes_full_{steps}": memory["full"],
        f"bytes_sqrt_{steps}": memory["sqrt"],
        f"memory_ratio_{steps}": memory["full"] / memory["sqrt"],
        f"seconds_full_{steps}": median["full"],
        f"seconds_sqrt_{steps}": median["sqrt"],
        f"time_ratio_{steps}": median["sqrt"] / median["full"],
        f"difference_{steps}": largest_difference / largest,
    }


def measured(
    measure: Callable[[int], dict[str, float]], steps: Sequence[int], goals: tuple[float, float]
) -> compare.Measured:
    """Measures at each number of steps and claims the last: ``goals`` are how many times less memory it takes at
    least, and how many times the time at most."""
    metrics: dict[str, float] = {}
    for n in steps:
        metrics |= measure(n)
    last, claims = steps[-1], []
    for quantity, name, goal in zip(("times less memory", "times the time"), ("memory_ratio", "time_ratio"), goals):
        value = metrics[f"{name}_{last}"]
        text = f"hypergradient through {last} steps, rematerialized: {quantity}"
        claims.append(compare.Claim(text, goal, value, value, value, most=name == "time_ratio"))
    protocol = "Bytes are XLA's count of a program's temporaries, seconds medians of runs in turn; both gradients agree"
    return compare.Measured(metrics, claims, protocol)
