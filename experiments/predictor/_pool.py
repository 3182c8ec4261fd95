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
        initial: int[runs, some], the first rows of each run.
        budget: The number of rows of a run.
        key: The key of the candidates that are drawn.
        target: ``value`` standardizes what was seen; ``rank`` takes normal quantiles of its ranks.
    """
    rows = np.zeros((len(initial), budget), np.int32)
    done = initial.shape[1]
    every = (jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), jnp.asarray(blocks))
    if not done:
        initial, done = np.full((len(initial), 1), int(_first(spec, every[0], every[2]))), 1
    rows[:, :done] = initial
    while done < budget:
        size = max(16, 1 << max(done, 1).bit_length())
        end = min(budget, size)
        keys = jax.random.split(jax.random.fold_in(key, done), len(rows))
        padded = np.zeros((len(rows), size), np.int32)
        padded[:, :done] = rows[:, :done]
        tried = _stage(spec, acquisition, target, size, every, jnp.asarray(padded), done, jnp.arange(done, end), keys)
        rows[:, :end] = np.asarray(tried)[:, :end]
        done = end
    return rows


@functools.partial(jax.jit, static_argnums=0)
def _first(spec, x, blocks):
    nothing = jnp.zeros(1, x.dtype)
    return jnp.argmax(spec.apply(spec.fit(jax.random.key(0), x[:1], nothing, nothing, blocks), x)[0])


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _stage(spec, acquisition, target, size, table, rows, done, steps, keys):
    x, y, blocks = table

    def seen(tried, n):
        weight = (jnp.arange(size) < n).astype(x.dtype)
        return weight, _standard(y[tried], weight, target)

    def run(initial):
        tried, key = initial
        weight, goal = seen(tried, done)
        params = spec.fit(stream(key, "fit"), x[tried], goal, weight, blocks)

        def step(carry, n):
            tried, params = carry
            weight, goal = seen(tried, n)
            own = jax.random.fold_in(key, n)
            params = spec.fit(stream(own, "fit"), x[tried], goal, weight, blocks, params)
            best = jnp.max(jnp.where(weight > 0, goal, -jnp.inf))
            top = tried[jnp.argmax(jnp.where(weight > 0, goal, -jnp.inf))]
            some = jnp.arange(len(x))
            if len(x) > SUBSET:
                drawn = jax.random.choice(stream(own, "subset"), len(x), (SUBSET,), replace=True)
                near = jax.lax.top_k(-jnp.sum(jnp.abs(x - x[top]), axis=1), 64)[1]
                some = jnp.concatenate([drawn, near])
            mean, std = spec.apply(params, x[some])
            score = acquire(acquisition, mean, std, best, key=stream(own, "acquire"))
            is_tried = jnp.isin(some, jnp.where(weight > 0, tried, -1))
            tried = tried.at[n].set(some[jnp.argmax(jnp.where(is_tried, -jnp.inf, score))].astype(tried.dtype))
            return (tried, params), None

        return jax.lax.scan(step, (tried, params), steps)[0][0]

    return jax.lax.map(run, (rows, keys))


def _standard(y: jax.Array, weight: jax.Array, target: str) -> jax.Array:
    number = jnp.maximum(jnp.sum(weight), 1.0)
    if target == "rank":
        below = jnp.sum(jnp.where(y[None] < y[:, None], weight[None], 0.0), axis=1)
        same = jnp.sum(jnp.where(y[None] == y[:, None], weight[None], 0.0), axis=1)
        return weight * jax.scipy.stats.norm.ppf(
            jnp.clip((below + 0.5 * same) / number, 0.5 / number, 1 - 0.5 / number)
        )
    mean = jnp.sum(weight * y) / number
    std = jnp.sqrt(jnp.sum(weight * (y - mean) ** 2) / number)
    return weight * (y - mean) / jnp.where(std > 1e-9, std, 1.0)


def regrets(y: Any, rows: np.ndarray) -> np.ndarray:
    """Returns the normalized regrets f[runs, budget]: (optimum - best so far) / (optimum - median of the table)."""
    y = np.asarray(y, np.float64)
    return (y.max() - np.maximum.accumulate(y[rows], axis=1)) / (y.max() - np.median(y))
