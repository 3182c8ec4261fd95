"""The evaluation protocol: mean and 95% interval over many episodes, with adaptation steps and batch-norm mode named."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.fewshot._method import Method
from metajax.fewshot.episodes import Episode, Sampler, check
from metajax.parallel import Devices, Placement, mesh
from metajax.types import Hyper, InputError, Key, stream


class Report(NamedTuple):
    """Scores of a metric after adaptation, over many tasks.

    Attributes:
        metric: Name of the metric.
        mean: float[steps + 1], the mean over tasks after 0, 1, ... adaptation steps; or float[1], after all of them.
        interval: Half of the 95% interval, 1.96·std/√episodes over tasks, of the shape of ``mean``.
        episodes: Number of tasks.
        batch_norm: The batch-norm mode, worth about 3 points on Omniglot: ``transductive``, ``support``, ``running`` or
            ``none``.
        diverged: The numbers of tasks whose adaptation was not finite; they are left out of the mean. Task i is
            ``sampler(task_key(key, i))``.
        train_steps: Adaptation steps in training.
        test_steps: Adaptation steps in the evaluation.
        checkpoint: The rule by which the evaluated checkpoint was chosen.
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
        """The score with everything that a reader needs to compare it."""
        has_steps = self.test_steps or self.train_steps
        steps = f"{self.train_steps} in training, {self.test_steps} in the test" if has_steps else "none (solved)"
        ellipsis = ", ..." if len(self.diverged) > 5 else ""
        left_out = f"; {len(self.diverged)} diverged and left out: tasks {list(self.diverged[:5])}{ellipsis}"
        return (
            f"{self.metric} {self.mean[-1]:.4f} ± {self.interval[-1]:.4f} (mean and 95% interval over "
            f"{self.episodes} tasks; adaptation steps: {steps}; batch norm: {self.batch_norm}; checkpoint: "
            f"{self.checkpoint}{left_out if self.diverged else ''})"
        )


def task_key(key: Key, number: int | jax.Array) -> Key:
    """Returns the key that draws a task of an evaluation, to look at a task that ``Report.diverged`` names.

    Args:
        key: The key of the evaluation.
        number: Number of the task, >= 0.

    Returns:
        The key, for the evaluation's sampler.

    Example:
        >>> from metajax.fewshot import episodes
        >>> episodes.sinusoid(5, 5)(task_key(jax.random.key(1), 7)).support[0].shape
        (5, 1)
    """
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
    devices: Devices | None = None,
) -> Callable[[Hyper], Report]:
    """Makes an evaluation on fixed tasks that is compiled once, for validation during training.

    Args:
        method: The method; its ``adapt`` and ``loss`` are used.
        sampler: Sampler of one task.
        metric: The score of a task is ``info[metric]`` of the loss.
        key: Key that fixes the tasks.
        episodes: Number of tasks, a positive multiple of ``chunk``.
        batch_norm: The batch-norm mode of the network, for the record.
        chunk: Number of tasks that are computed side by side, >= 1.
        checkpoint: The rule by which the weights were chosen; it is only printed.
        every_step: Score the queries after each adaptation step. ``False`` scores them after the last one alone, which is
            cheaper.
        devices: The devices that share each chunk of tasks: how many, ``"all"``, a list, or a mesh of one axis. ``None`` is
            one device.

    Returns:
        A function ``hyper -> Report``.

    Raises:
        InputError: If ``episodes`` is not a positive multiple of ``chunk``, or the number of devices does not divide ``chunk``.
        InputError: If a classification task has other labels than 0 to N-1.

    Example:
        >>> import optax
        >>> from metajax import fewshot
        >>> method = fewshot.maml(fewshot.squared_error(lambda w, x: w * x), optax.sgd(0.01), optax.adam(1e-3))
        >>> judge = evaluator(method, fewshot.episodes.sinusoid(5, 50), "mse", jax.random.key(1), 100)
        >>> judge(jnp.array(0.0)).mean.shape
        (2,)
    """
    if episodes < 1 or chunk < 1 or episodes % chunk:
        raise InputError(f"evaluate: episodes={episodes} must be a positive multiple of chunk={chunk}")
    placement = None if devices is None else Placement(mesh(devices))
    if placement is not None and chunk % placement.mesh.size:
        raise InputError(
            f"evaluate: the number of devices must divide chunk={chunk}, got {placement.mesh.size} devices"
        )
    first_episode = sampler(task_key(key, 0))
    if _is_classification(first_episode):
        check(first_episode)

    def score_task(hyper: Hyper, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        episode_key = task_key(key, number)
        episode, judge_key = sampler(episode_key), stream(episode_key, "judge")
        learned = method.adapt(hyper, episode.support, stream(episode_key, "adapt"))
        learned = learned if every_step else jax.tree.map(lambda x: x[-1:], learned)
        losses, info = jax.vmap(lambda entry: method.loss(hyper, entry, episode.query, judge_key))(learned)
        return info[metric], jnp.all(jnp.isfinite(losses))

    def score_chunk(hyper: Hyper, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.vmap(score_task, in_axes=(None, 0))(hyper, numbers)

    @jax.jit
    def score_tasks(hyper: Hyper) -> tuple[jax.Array, jax.Array]:
        numbers = jnp.arange(episodes).reshape(-1, chunk)
        if placement is None:
            return jax.lax.map(lambda chunk_numbers: score_chunk(hyper, chunk_numbers), numbers)
        shared = placement.over_own_part(score_chunk)
        return placement.constrain_whole(jax.lax.map(lambda chunk_numbers: shared(hyper, chunk_numbers), numbers))

    def report(hyper: Hyper) -> Report:
        results, healthy = score_tasks(hyper if placement is None else placement.replicate(hyper))
        scores = np.asarray(results, np.float64).reshape(episodes, -1)
        is_finite = np.asarray(healthy).reshape(episodes) & np.isfinite(scores).all(axis=1)
        valid = scores[is_finite] if is_finite.any() else np.full_like(scores[:1], np.nan)
        interval = 1.96 * valid.std(axis=0) / np.sqrt(len(valid))
        diverged = tuple(int(i) for i in np.flatnonzero(~is_finite))
        steps = (method.train_steps, method.test_steps)
        return Report(metric, valid.mean(axis=0), interval, episodes, batch_norm, diverged, *steps, checkpoint)

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
    devices: Devices | None = None,
) -> Report:
    """Adapts to fresh tasks, and scores every step of the adaptation on their queries.

    Args:
        method: The method; its ``adapt`` and ``loss`` are used.
        hyper: The meta-learned parameters, ``state.hyper``.
        sampler: Sampler of one task.
        metric: The score of a task is ``info[metric]`` of the loss.
        key: Key that fixes the tasks.
        episodes: Number of tasks, a positive multiple of ``chunk``.
        batch_norm: The batch-norm mode of the network, for the record.
        chunk: Number of tasks that are computed side by side, >= 1.
        checkpoint: The rule by which the weights were chosen; it is only printed.
        devices: The devices that share each chunk of tasks: how many, ``"all"``, a list, or a mesh of one axis. ``None`` is
            one device.

    Returns:
        The report; printed, it names the whole protocol.

    Raises:
        InputError: If ``episodes`` is not a positive multiple of ``chunk``, or the number of devices does not divide ``chunk``.
        InputError: If a classification task has other labels than 0 to N-1.

    Example:
        >>> import optax
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = fewshot.maml(fewshot.squared_error(apply), optax.sgd(0.01), optax.adam(1e-3), test_steps=3)
        >>> report = evaluate(method, init(jax.random.key(0)), fewshot.episodes.sinusoid(5, 50), "mse", jax.random.key(1), 100)
        >>> report.mean.shape
        (4,)
    """
    return evaluator(method, sampler, metric, key, episodes, batch_norm, chunk, checkpoint, devices=devices)(hyper)


def _is_classification(episode: Episode) -> bool:
    """Whether a support is a pair of inputs and integer labels."""
    support = episode.support
    pair = isinstance(support, tuple) and len(support) == 2 and hasattr(support[1], "dtype")
    return pair and jnp.issubdtype(support[1].dtype, jnp.integer)


def over_seeds(reports: Sequence[Report]) -> tuple[float, float]:
    """Returns mean and standard deviation (n - 1) of the last step's score over several seeds.

    Args:
        reports: The reports of at least two seeds.

    Returns:
        Mean and standard deviation.

    Raises:
        InputError: If there are fewer than two reports.

    Example:
        >>> report = Report("accuracy", np.array([0.9]), np.array([0.01]), 600, "none", (), 1, 1, "last")
        >>> mean, std = over_seeds([report, report._replace(mean=np.array([0.94]))])
        >>> round(mean, 3), round(std, 3)
        (0.92, 0.028)
    """
    if len(reports) < 2:
        raise InputError(f"over_seeds: reports must have the reports of at least 2 seeds, got {len(reports)}")
    final_scores = [float(report.mean[-1]) for report in reports]
    return float(np.mean(final_scores)), float(np.std(final_scores, ddof=1))
