"""The evaluation protocol: many episodes, mean and 95% interval over tasks, steps and batch-norm mode named."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.fewshot._method import Method
from metajax.fewshot.episodes import Episode, Sampler, check
from metajax.types import Hyper, InputError, Key, stream


class Report(NamedTuple):
    """Scores of a metric after adaptation, over ``episodes`` tasks.

    Attributes:
        metric: what was measured.
        mean, interval: float[steps + 1], after 0, 1, ... adaptation steps, or float[1], after all of them; the interval
            is 1.96·std/√episodes over tasks.
        episodes: how many tasks.
        batch_norm: the mode, worth about 3 points on Omniglot: ``transductive``, ``support``, ``running`` or ``none``.
        diverged: the numbers of tasks whose adaptation was not finite; they are left out of the mean. Task i is
            ``sampler(task_key(key, i))``.
        train_steps, test_steps: adaptation steps in training and here.
        checkpoint: which one was judged.
    """

    metric: str
    mean: np.ndarray
    interval: np.ndarray
    episodes: int
    batch_norm: str
    diverged: tuple[int, ...]
    train_steps: int
    test_steps: int
    checkpoint: str

    def __str__(self) -> str:
        some_steps = self.test_steps or self.train_steps
        steps = f"{self.train_steps} in training, {self.test_steps} in the test" if some_steps else "none (solved)"
        some = ", ..." if len(self.diverged) > 5 else ""
        lost = f"; {len(self.diverged)} diverged and left out: tasks {list(self.diverged[:5])}{some}"
        return (
            f"{self.metric} {self.mean[-1]:.4f} ± {self.interval[-1]:.4f} (mean and 95% interval over "
            f"{self.episodes} tasks; adaptation steps: {steps}; batch norm: {self.batch_norm}; checkpoint: "
            f"{self.checkpoint}{lost if self.diverged else ''})"
        )


def task_key(key: Key, number: int | jax.Array) -> Key:
    """The key that draws task ``number`` of an evaluation with ``key``."""
    return jax.random.fold_in(key, number)


def evaluator(
    method: Method,
    sampler: Sampler,
    metric: str,
    key: Key,
    episodes: int = 600,
    batch_norm: str = "none",
    chunk: int = 50,
    checkpoint: str = "last",
    every_step: bool = True,
) -> Callable[[Hyper], Report]:
    """``hyper -> Report`` on fixed tasks, compiled once: for validation during training.

    Args:
        every_step: score the queries after each adaptation step; without it after the last alone, which is cheaper.
        method, sampler, metric, key, episodes, batch_norm, chunk, checkpoint: as in ``evaluate``.
    """
    if episodes < 1 or chunk < 1 or episodes % chunk:
        raise InputError(f"evaluate: episodes={episodes}; accepted is a positive multiple of chunk={chunk}")
    first = sampler(task_key(key, 0))
    if _is_classification(first):
        check(first)

    def one(hyper: Hyper, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        own = task_key(key, number)
        episode, judge_key = sampler(own), stream(own, "judge")
        learned = method.adapt(hyper, episode.support, stream(own, "adapt"))
        learned = learned if every_step else jax.tree.map(lambda x: x[-1:], learned)
        losses, info = jax.vmap(lambda entry: method.loss(hyper, entry, episode.query, judge_key))(learned)
        return info[metric], jnp.all(jnp.isfinite(losses))

    @jax.jit
    def many(hyper: Hyper) -> tuple[jax.Array, jax.Array]:
        numbers = jnp.arange(episodes).reshape(-1, chunk)
        return jax.lax.map(lambda part: jax.vmap(one, in_axes=(None, 0))(hyper, part), numbers)

    def report(hyper: Hyper) -> Report:
        found, healthy = many(hyper)
        scores = np.asarray(found, np.float64).reshape(episodes, -1)
        good = np.asarray(healthy).reshape(episodes) & np.isfinite(scores).all(axis=1)
        kept = scores[good] if good.any() else np.full_like(scores[:1], np.nan)
        interval = 1.96 * kept.std(axis=0) / np.sqrt(len(kept))
        lost = tuple(int(i) for i in np.flatnonzero(~good))
        steps = (method.train_steps, method.test_steps)
        return Report(metric, kept.mean(axis=0), interval, episodes, batch_norm, lost, *steps, checkpoint)

    return report


def evaluate(
    method: Method,
    hyper: Hyper,
    sampler: Sampler,
    metric: str,
    key: Key,
    episodes: int = 600,
    batch_norm: str = "none",
    chunk: int = 50,
    checkpoint: str = "last",
) -> Report:
    """Adapts to fresh tasks and scores every step of it on their queries.

    Args:
        method: ``adapt`` and ``loss`` of it are used.
        hyper: what was meta-learned, ``state.hyper``.
        sampler: of one task.
        metric: the score of a task is ``info[metric]`` of the loss.
        key: fixes the tasks.
        episodes: how many; a multiple of ``chunk``.
        batch_norm: the mode of the network, for the record.
        chunk: tasks side by side.
        checkpoint: how the weights were chosen, for the record.

    Raises:
        InputError: if ``episodes`` is not a positive multiple of ``chunk``.
        InputError: if a classification task has other labels than 0 to N-1.

    Example:
        >>> import optax
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = fewshot.maml(fewshot.squared_error(apply), optax.sgd(0.01), optax.adam(1e-3), test_steps=3)
        >>> report = evaluate(method, init(jax.random.key(0)), fewshot.episodes.sinusoid(5, 50), "mse", jax.random.key(1), 100)
        >>> report.mean.shape
        (4,)
    """
    return evaluator(method, sampler, metric, key, episodes, batch_norm, chunk, checkpoint)(hyper)


def _is_classification(episode: Episode) -> bool:
    support = episode.support
    pair = isinstance(support, tuple) and len(support) == 2 and hasattr(support[1], "dtype")
    return pair and jnp.issubdtype(support[1].dtype, jnp.integer)


def over_seeds(reports: Sequence[Report]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) of the last step's score over reports of several seeds.

    Raises:
        InputError: if there are fewer than two.
    """
    if len(reports) < 2:
        raise InputError(f"over_seeds: reports has length {len(reports)}; accepted are at least 2, of several seeds")
    last = [float(report.mean[-1]) for report in reports]
    return float(np.mean(last)), float(np.std(last, ddof=1))
