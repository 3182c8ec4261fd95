"""The check that an update gets several tasks, along a leading axis."""

import jax
import jax.numpy as jnp

from metajax.fewshot.episodes import Episode
from metajax.types import InputError


def with_tasks(episodes: Episode) -> Episode:
    """Refuses an episode of one task where a leading axis of tasks is expected, because its examples would count as tasks.

    Args:
        episodes: The argument of ``update``.

    Returns:
        The same episodes.

    Raises:
        InputError: If leading axes differ, or the second part of ``(x, y)`` has no axis of examples beside that of tasks.

    Example:
        >>> from metajax.fewshot.episodes import Episode
        >>> x, y = jnp.zeros((5, 3)), jnp.zeros(5)
        >>> with_tasks(Episode((x, y), (x, y)))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        metajax.types.InputError: update: support must have a leading axis of tasks, as episodes.tasks(sampler, n) ...
    """
    shapes = {name: [jnp.shape(leaf) for leaf in jax.tree.leaves(part)] for name, part in episodes._asdict().items()}
    required = "must have a leading axis of tasks, as episodes.tasks(sampler, n) returns it"
    leading = {shape[:1] for part_shapes in shapes.values() for shape in part_shapes}
    if len(leading) > 1 or () in leading:
        listed = "; ".join(f"{name} {', '.join(map(str, part_shapes))}" for name, part_shapes in shapes.items())
        raise InputError(f"update: all arrays of the episodes {required}, but their axes differ ({listed})")
    for name, part in episodes._asdict().items():
        is_supervised = isinstance(part, tuple) and len(part) == 2 and not hasattr(part, "_fields")
        if is_supervised and len(shapes[name]) == 2 and len(shape := shapes[name][1]) < 2:
            raise InputError(f"update: {name} {required}, got y of shape {shape}, which is one task")
    return episodes
