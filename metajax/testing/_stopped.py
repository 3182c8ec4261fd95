"""One training twice, as a whole and with a stop: seeds side by side, in the compiled loop of ``metajax.run``."""

import functools
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from metajax import run
from metajax.run import _loop
from metajax.types import Learner


class Seeds(NamedTuple):
    """States of several seeds, stacked."""

    step: jax.Array
    states: Any


class _Replay:
    """Batches as an iterator whose position can be saved."""

    def __init__(self, batches: Sequence[Any]):
        self.batches, self.position = batches, 0

    def __next__(self) -> Any:
        self.position += 1
        return self.batches[self.position - 1]

    def __iter__(self) -> Iterator[Any]:
        return self

    def get_state(self) -> dict[str, int]:
        return {"position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def uninterrupted_and_resumed(learner: Learner, starts: Sequence[Any], batches: Sequence[Any]) -> tuple[Seeds, Seeds]:
    """Trains seeds side by side on all batches: at once, and with a stop, a checkpoint and a resume in the middle.

    A single compiled program does all of it.

    Args:
        learner: The learner.
        starts: The state of each seed before the first step.
        batches: An even number of batches.

    Returns:
        The states after the last step, of the whole training and of the resumed one.
    """
    stacked = Seeds(jnp.zeros((), jnp.int32), jax.tree.map(lambda *x: jnp.stack(x), *starts))
    stacked = jax.device_put(stacked, jax.devices()[0])  # as restored states are, for which JAX would compile again

    def update_all(state: Seeds, batch: Any) -> tuple[Seeds, Any]:
        states, info = jax.vmap(learner.update, in_axes=(0, None))(state.states, batch)
        return Seeds(state.step + 1, states), jax.tree.map(lambda x: x.mean(axis=0), info)

    seeds, half = learner._replace(update=update_all), len(batches) // 2

    def train(steps: int, *where: run.RunDirectory) -> Seeds:
        return run.train(seeds, stacked, _Replay(batches), steps, *where, chunk=half, show=False)

    compiled = functools.cache(_loop.compiled_chunk)
    with mock.patch.object(_loop, "compiled_chunk", compiled), tempfile.TemporaryDirectory() as folder:
        uninterrupted = train(len(batches))
        with run.RunDirectory(f"{folder}/r", {}) as directory:
            train(half, directory)
        with run.RunDirectory(f"{folder}/r", {}, resume=True) as directory:
            return uninterrupted, train(len(batches), directory)
