"""Where the logits of a space lie in its encoding, and what the relaxations need of them."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.space import Categorical, Space
from metajax.supernet._protocols import Logits, Relaxation
from metajax.types import Key


def choice_slices(space: Space) -> list[tuple[str, slice]]:
    """Returns the name of every categorical choice and its slice of an encoding."""
    return [(name, space.slices[name]) for name, domain in space.domains.items() if isinstance(domain, Categorical)]


def choice_runs(space: Space) -> list[tuple[slice, tuple[int, int] | None]]:
    """Returns the columns of an encoding in runs of neighboring choices with the same number of values.

    Each run has its columns and ``(choices, values)``, or ``None`` where the columns belong to no choice. What is computed for
    a run at once is compiled once, not for every choice.
    """
    values = lambda name: space.domains[name].width if isinstance(space.domains[name], Categorical) else None
    runs = []
    for number, run in itertools.groupby(space.domains, values):
        names = list(run)
        columns = slice(space.slices[names[0]].start, space.slices[names[-1]].stop)
        runs.append((columns, None if number is None else (len(names), number)))
    return runs


def map_choices(
    space: Space, function: Callable[..., jax.Array], vector: jax.Array, *more_vectors: jax.Array
) -> jax.Array:
    """Returns f32[width]: ``function`` of the columns of each choice; the columns of no choice are those of ``vector``."""
    parts = []
    for columns, shape in choice_runs(space):
        if shape is None:
            parts.append(vector[columns])
        else:
            blocks = [x[columns].reshape(shape) for x in (vector, *more_vectors)]
            parts.append(jax.vmap(function)(*blocks).reshape(-1))
    return jnp.concatenate(parts)


def choice_values(space: Space, name: str) -> tuple[Any, ...]:
    """Returns the values of a categorical choice."""
    return space.domains[name].choices  # type: ignore[union-attr]


@checked
def masked_logits(space: Space, logits: Logits, mask: Float[AnyArray, " {space.width}"]) -> Logits:
    """Sets the logits of pruned values to -1e9."""
    part = dict(choice_slices(space))
    return {
        name: jnp.where(mask[part[name]] > 0, value, -1e9) if name in part else value for name, value in logits.items()
    }


@checked
def log_probability(
    space: Space,
    logits: Logits,
    mask: Float[AnyArray, " {space.width}"],
    encodings: Float[AnyArray, "paths {space.width}"],
) -> Float[Array, " paths"]:
    """Returns f32[paths], the log-probability of one-hot encodings under the softmax of the logits."""
    total = jnp.zeros(encodings.shape[0], encodings.dtype)
    open_logits = masked_logits(space, logits, mask)
    for name, part in choice_slices(space):
        total = total + encodings[:, part] @ jax.nn.log_softmax(open_logits[name])
    return total


def initial_logits(space: Space, key: Key, relaxation: Relaxation) -> Logits:
    """Returns random initial logits, with those that the relaxation has beside the space's."""
    zeros: dict[str, Any] = {**space.zeros(), **(relaxation.extra(space) if relaxation.extra else {})}
    keys, scale = jax.random.split(key, len(zeros)), relaxation.scale
    return {n: v + scale * jax.random.normal(k, v.shape, v.dtype) for (n, v), k in zip(zeros.items(), keys)}
