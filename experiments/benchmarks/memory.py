"""Memory and time of unrolled hypergradients by inner steps: everything kept ("full") and rematerialised ("sqrt")."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metajax import bilevel, run
from metajax.bilevel import inner

HEADER = "steps   full MB   sqrt MB   ratio   full ms   sqrt ms   ratio   largest relative difference"


def compare(problem: bilevel.Problem, args: tuple, repeats: int) -> dict[str, float]:
    """XLA's count of temporary bytes, medians of alternating runs, and how far the two gradients are apart.

    Args:
        args: of the hypergradient: ``(hyper, start, inner_batches, outer_batch, key)``.
    """
    steps = inner.length(args[2])
    gradient = lambda remat: lambda *args: bilevel.unroll(remat)(problem)(*args).grad
    compiled = {n: jax.jit(gradient(r)).lower(*args).compile() for n, r in (("full", None), ("sqrt", "sqrt"))}
    results = {name: jax.tree.leaves(fn(*args)) for name, fn in compiled.items()}
    # relative to the largest entry of all: a parameter may have no gradient but rounding, as a bias before batch norm
    largest = max(float(jnp.max(jnp.abs(x))) for x in results["full"])
    apart = max(float(jnp.max(jnp.abs(x - y))) for x, y in zip(results["full"], results["sqrt"]))
    seconds: dict[str, list[float]] = {name: [] for name in compiled}
    for _ in range(repeats):
        for name, fn in compiled.items():
            began = time.perf_counter()
            jax.block_until_ready(fn(*args))
            seconds[name].append(time.perf_counter() - began)
    counted: Any = {name: fn.memory_analysis() for name, fn in compiled.items()}
    memory = {name: found.temp_size_in_bytes for name, found in counted.items()}
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        f"bytes_full_{steps}": memory["full"],
        f"bytes_sqrt_{steps}": memory["sqrt"],
        f"memory_ratio_{steps}": memory["full"] / memory["sqrt"],
        f"seconds_full_{steps}": median["full"],
        f"seconds_sqrt_{steps}": median["sqrt"],
        f"time_ratio_{steps}": median["sqrt"] / median["full"],
        f"difference_{steps}": apart / largest,
    }


def table(directory: run.RunDirectory, measure: Callable[[int], dict[str, float]], steps: Sequence[int]) -> None:
    """Measures at each number of steps, prints a line for each, writes the result."""
    metrics: dict[str, float] = {}
    print(HEADER)
    for n in steps:
        m = measure(n)
        print(
            f"{n:5d} {m[f'bytes_full_{n}'] / 1e6:9.2f} {m[f'bytes_sqrt_{n}'] / 1e6:9.2f} "
            f"{m[f'memory_ratio_{n}']:7.1f} {1e3 * m[f'seconds_full_{n}']:9.1f} "
            f"{1e3 * m[f'seconds_sqrt_{n}']:9.1f} {m[f'time_ratio_{n}']:7.2f}   {m[f'difference_{n}']:.1e}",
            flush=True,
        )
        metrics |= m
    directory.finish({"metrics": metrics})
