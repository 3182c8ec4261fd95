"""Other datasets as the tasks of meta-learning."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax.predictor import targets
from metajax.predictor._trials import Trials
from metajax.types import InputError, Key, stream


class Tasks(NamedTuple):
    """Datasets as tasks, padded to the size of the largest.

    Attributes:
        x: f32[tasks, rows, width], encodings.
        y: f32[tasks, rows], targets, standardized within each task.
        rows: int[tasks], number of trials of each.
    """

    x: jax.Array
    y: jax.Array
    rows: jax.Array


def tasks_of(trials: Trials, target: str, name: str) -> Tasks:
    """The groups of the trials as tasks; ``name`` is that of the caller, for errors."""
    groups, sizes = np.unique(trials.group, return_counts=True)
    if len(groups) < 2 or sizes.min() < 4:
        raise InputError(
            f"{name}: trials must have at least 2 groups (datasets) of at least 4 trials each, got {len(groups)} groups, the "
            f"smallest with {sizes.min()} trials"
        )
    # Each group is standardized alone: in a common scale, rounding would erase a dataset of small numbers.
    target_values = trials.utility if target == "value" else targets.make(trials, target).y
    largest = int(sizes.max())
    x = np.zeros((len(groups), largest, trials.space.width), np.float32)
    y = np.zeros((len(groups), largest), np.float32)
    for i, group in enumerate(groups):
        in_group = trials.group == group
        x[i, : sizes[i]] = trials.encodings[in_group]
        y[i, : sizes[i]] = targets.standardized(target_values[in_group]).y
    return Tasks(jnp.asarray(x), jnp.asarray(y), jnp.asarray(sizes))


def draw(tasks: Tasks, key: Key, number: int, rows: int) -> tuple[jax.Array, jax.Array]:
    """Random trials f32[number, rows, width] and targets f32[number, rows] of random datasets, with replacement."""
    task_key, row_key = jax.random.split(key)
    task = jax.random.randint(task_key, (number,), 0, len(tasks.rows))
    row = jax.random.randint(row_key, (number, rows), 0, tasks.rows[task][:, None])
    return tasks.x[task[:, None], row], tasks.y[task[:, None], row]


def clipped(learning_rate: float) -> optax.GradientTransformation:
    """Adam on clipped gradients."""
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(learning_rate))


def run(learner: Any, key: Key, steps: int) -> Any:
    """The state after ``steps`` updates, each with a key of its own."""

    @jax.jit
    def run_steps(key):
        keys = jax.random.split(stream(key, "steps"), steps)
        return jax.lax.scan(
            lambda state, k: (learner.update(state, k)[0], None), learner.init(stream(key, "state")), keys
        )[0]

    return run_steps(key)
