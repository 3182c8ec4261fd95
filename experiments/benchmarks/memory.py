"""Memory and time of two programs for the same gradient: everything kept ("full") and rematerialised ("sqrt")."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

HEADER = "steps   full MB   sqrt MB   ratio   full ms   sqrt ms   ratio   largest relative difference"


def compare(
    full: Callable[..., Any], sqrt: Callable[..., Any], args: tuple, repeats: int, steps: int
) -> dict[str, float]:
    """XLA's count of temporary bytes, medians of alternating runs, and how far the two results are apart."""
    programs = {"full": full, "sqrt": sqrt}
    compiled = {name: jax.jit(fn).lower(*args).compile() for name, fn in programs.items()}
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


def row(m: dict[str, float], steps: int) -> str:
    """A line under ``HEADER``."""
    return (
        f"{steps:5d} {m[f'bytes_full_{steps}'] / 1e6:9.2f} {m[f'bytes_sqrt_{steps}'] / 1e6:9.2f} "
        f"{m[f'memory_ratio_{steps}']:7.1f} {1e3 * m[f'seconds_full_{steps}']:9.1f} "
        f"{1e3 * m[f'seconds_sqrt_{steps}']:9.1f} {m[f'time_ratio_{steps}']:7.2f}   {m[f'difference_{steps}']:.1e}"
    )
