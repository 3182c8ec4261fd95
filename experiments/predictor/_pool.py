"""Searches over a table in which the outcome of every candidate is known: one compiled program for all of their steps."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.predictor import Spec
from metajax.search import acquire
from metajax.types import stream

SUBSET = 8192
"""Candidates that are looked at in a step. They are drawn anew, beside the neighbors of the best one."""


def search(
    spec: Spec,
    acquisition: str,
    x: np.ndarray,
    y: np.ndarray,
    blocks: np.ndarray,
    initial: np.ndarray,
    budget: int,
    key: jax.Array,
    target: str = "value",
) -> np.ndarray:
    """Returns the rows that every run tries: int[runs, budget].

    A run tries the initial rows first; without any, the row of the largest mean before anything is seen.

    Args:
        spec: The model. It is fitted anew to what was seen before each step, from its last hyperparameters.
        acquisition: A name of ``search.acquire``.
        x: f32[n, d], what the model reads of each candidate.
        y: f[n], larger is better. The model sees it only where it was tried.
        blocks: int[d], as ``Spec.fit`` takes them.
        initial: int[runs, k], the first k rows of each run.
        budget: The number of rows of a run.
        key: The key of the candidates that are drawn.
        target: ``value`` standardizes what was seen; ``rank`` takes normal quantiles of its ranks.
    """
    rows = np.zeros((len(initial), budget), np.int32)
    n_tried = initial.shape[1]
    table = (jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), jnp.asarray(blocks))
    if not n_tried:
        initial, n_tried = np.full((len(initial), 1), int(_first(spec, table[0], table[2]))), 1
    rows[:, :n_tried] = initial
    while n_tried < budget:
        size = max(16, 1 << max(n_tried, 1).bit_length())
        end = min(budget, size)
        keys = jax.random.split(jax.random.fold_in(key, n_tried), len(rows))
        padded = np.zeros((len(rows), size), np.int32)
        padded[:, :n_tried] = rows[:, :n_tried]
        tried_rows = _stage(
            spec, acquisition, target, size, table, jnp.asarray(padded), n_tried, jnp.arange(n_tried, end), keys
        )
        rows[:, :end] = np.asarray(tried_rows)[:, :end]
        n_tried = end
    return rows


@functools.partial(jax.jit, static_argnums=0)
def _first(spec, x, blocks):
    nothing = jnp.zeros(1, x.dtype)
    return jnp.argmax(spec.apply(spec.fit(jax.random.key(0), x[:1], nothing, nothing, blocks), x)[0])


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _stage(spec, acquisition, target, size, table, rows, n_tried, steps, keys):
    x, y, blocks = table

    def observed(tried_rows, n):
        weight = (jnp.arange(size) < n).astype(x.dtype)
        return weight, _standard(y[tried_rows], weight, target)

    def run(initial):
        tried_rows, key = initial
        weight, targets = observed(tried_rows, n_tried)
        params = spec.fit(stream(key, "fit"), x[tried_rows], targets, weight, blocks)

        def step(carry, n):
            tried_rows, params = carry
            weight, targets = observed(tried_rows, n)
            step_key = jax.random.fold_in(key, n)
            params = spec.fit(stream(step_key, "fit"), x[tried_rows], targets, weight, blocks, params)
            best = jnp.max(jnp.where(weight > 0, targets, -jnp.inf))
            top = tried_rows[jnp.argmax(jnp.where(weight > 0, targets, -jnp.inf))]
            candidates = jnp.arange(len(x))
            if len(x) > SUBSET:
                random_candidates = jax.random.choice(stream(step_key, "subset"), len(x), (SUBSET,), replace=True)
                near = jax.lax.top_k(-jnp.sum(jnp.abs(x - x[top]), axis=1), 64)[1]
                candidates = jnp.concatenate([random_candidates, near])
            mean, std = spec.apply(params, x[candidates])
            score = acquire(acquisition, mean, std, best, key=stream(step_key, "acquire"))
            is_tried = jnp.isin(candidates, jnp.where(weight > 0, tried_rows, -1))
            tried_rows = tried_rows.at[n].set(
                candidates[jnp.argmax(jnp.where(is_tried, -jnp.inf, score))].astype(tried_rows.dtype)
            )
            return (tried_rows, params), None

        return jax.lax.scan(step, (tried_rows, params), steps)[0][0]

    return jax.lax.map(run, (rows, keys))


def _standard(y: jax.Array, weight: jax.Array, target: str) -> jax.Array:
    number = jnp.maximum(jnp.sum(weight), 1.0)
    if target == "rank":
        below = jnp.sum(jnp.where(y[None] < y[:, None], weight[None], 0.0), axis=1)
        equal = jnp.sum(jnp.where(y[None] == y[:, None], weight[None], 0.0), axis=1)
        return weight * jax.scipy.stats.norm.ppf(
            jnp.clip((below + 0.5 * equal) / number, 0.5 / number, 1 - 0.5 / number)
        )
    mean = jnp.sum(weight * y) / number
    std = jnp.sqrt(jnp.sum(weight * (y - mean) ** 2) / number)
    return weight * (y - mean) / jnp.where(std > 1e-9, std, 1.0)


def regrets(y: Any, rows: np.ndarray) -> np.ndarray:
    """Returns the normalized regrets f[runs, budget]: (optimum - best so far) / (optimum - median of the table)."""
    y = np.asarray(y, np.float64)
    return (y.max() - np.maximum.accumulate(y[rows], axis=1)) / (y.max() - np.median(y))
