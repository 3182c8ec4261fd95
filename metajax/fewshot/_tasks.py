"""An update is given several tasks, along a leading axis."""

import jax
import jax.numpy as jnp

from metajax.fewshot.episodes import Episode
from metajax.types import InputError


def with_tasks(episodes: Episode) -> Episode:
    """Refuses an episode of one task where many with a leading axis are expected: its examples would count as tasks.

    Args:
        episodes: What ``update`` was given.

    Returns:
        The same.

    Raises:
        InputError: If leading axes differ, or the second part of ``(x, y)`` has no axis of examples beside that of tasks.

    Example:
        >>> from metajax.fewshot.episodes import Episode
        >>> x, y = jnp.zeros((5, 3)), jnp.zeros(5)
        >>> with_tasks(Episode((x, y), (x, y)))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        metajax.types.InputError: update: the support has y of shape (5,), which is one task; accepted are several with ...
    """
    shapes = {name: [jnp.shape(leaf) for leaf in jax.tree.leaves(part)] for name, part in episodes._asdict().items()}
    accepted = "accepted are several with a leading axis, as episodes.tasks(sampler, n) draws them"
    leading = {shape[:1] for own in shapes.values() for shape in own}
    if len(leading) > 1 or () in leading:
        listed = "; ".join(f"{name} {', '.join(map(str, own))}" for name, own in shapes.items())
        raise InputError(f"update: the leading axes of the episode differ ({listed}); {accepted}")
    for name, part in episodes._asdict().items():
        is_supervised = isinstance(part, tuple) and len(part) == 2 and not hasattr(part, "_fields")
        if is_supervised and len(shapes[name]) == 2 and len(shape := shapes[name][1]) < 2:
            raise InputError(f"update: the {name} has y of shape {shape}, which is one task; {accepted}")
    return episodes
