"""The evaluation protocol: many episodes, mean and 95% interval over tasks, steps and batch-norm mode named."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax.fewshot.episodes import Episode, Sampler
from metajax.types import Key, LossFn, Params


class Report(NamedTuple):
    """Scores of a metric after 0, 1, ..., steps adaptation steps, over ``episodes`` tasks.

    Attributes:
        metric: what was measured.
        mean, interval: float[steps + 1]; the interval is 1.96·std/√episodes over tasks.
        episodes: how many tasks.
        batch_norm: the mode, worth about 3 points on Omniglot: ``transductive``, ``support``, ``running`` or ``none``.
        diverged: the indices of tasks whose adaptation was not finite; they are left out of the mean.
    """

    metric: str
    mean: np.ndarray
    interval: np.ndarray
    episodes: int
    batch_norm: str
    diverged: tuple[int, ...]

    def __str__(self) -> str:
        last = len(self.mean) - 1
        lost = f", {len(self.diverged)} diverged: {list(self.diverged[:5])}" if self.diverged else ""
        return (
            f"{self.metric} {self.mean[last]:.4f} ± {self.interval[last]:.4f} (mean and 95% interval over "
            f"{self.episodes} tasks, {last} adaptation steps, batch norm: {self.batch_norm}{lost})"
        )


def evaluate(
    adapt: Callable[[Params, Any, Key], Params],
    loss: LossFn,
    params: Params,
    sampler: Sampler,
    metric: str,
    key: Key,
    episodes: int = 600,
    batch_norm: str = "none",
    chunk: int = 50,
) -> Report:
    """Adapts to fresh tasks and scores every step of it on their queries.

    Args:
        adapt: ``(params, support, key) -> params after 0..steps updates``, as ``fewshot.adapt`` makes.
        loss: its ``info[metric]`` is the score of a task.
        sampler: of one task.
        key: fixes the tasks.
        episodes: how many; a multiple of ``chunk``.
        batch_norm: the mode of the network, for the record.
        chunk: tasks side by side.

    Raises:
        ValueError: if ``episodes`` is not a positive multiple of ``chunk``.
    """
    if episodes < 1 or episodes % chunk:
        raise ValueError(f"evaluate: episodes={episodes} must be a positive multiple of chunk={chunk}")

    def one(params: Params, task_key: jax.Array) -> jax.Array:
        draw, learn = jax.random.split(task_key)
        episode: Episode = sampler(draw)
        path = adapt(params, episode.support, learn)
        return jax.vmap(lambda p: loss(p, episode.query, learn)[1][metric])(path)

    @jax.jit
    def many(params: Params, keys: jax.Array) -> jax.Array:
        folded = keys.reshape(episodes // chunk, chunk)
        return jax.lax.map(lambda part: jax.vmap(one, in_axes=(None, 0))(params, part), folded)

    scores = np.asarray(many(params, jax.random.split(key, episodes)), np.float64).reshape(episodes, -1)
    good = np.isfinite(scores).all(axis=1)
    kept = scores[good]
    if not len(kept):
        kept = np.full_like(scores[:1], np.nan)
    interval = 1.96 * kept.std(axis=0) / np.sqrt(len(kept))
    diverged = tuple(int(i) for i in np.flatnonzero(~good))
    return Report(metric, kept.mean(axis=0), interval, episodes, batch_norm, diverged)
