"""Disturbances of the encoding under which the weights learn, so that the outer loss becomes smooth in the encoding."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import checked
from metajax.space import Space
from metajax.supernet._logits import map_choices
from metajax.supernet._protocols import Disturb, Moment
from metajax.types import InputError, Key, Scalar


def radius_at(progress: Any, start: float, end: float) -> Any:
    """Returns the radius of a disturbance, which grows linearly over the search."""
    return start + (end - start) * progress


@checked
def on_simplex(space: Space, encoding: Float[Array, " {space.width}"]) -> Float[Array, " {space.width}"]:
    """Clips each choice's weights to [0, 1] and divides them by their sum; where nothing is left, the largest becomes 1."""

    def project(weights: jax.Array) -> jax.Array:
        block = jnp.clip(weights, 0.0, 1.0)
        largest = jax.nn.one_hot(jnp.argmax(weights), block.shape[0], dtype=block.dtype)
        total = jnp.sum(block)
        return jnp.where(total > 0, block / jnp.where(total > 0, total, 1.0), largest)

    return map_choices(space, project, encoding)


def random_disturbance(start: float = 0.03, end: float = 0.3) -> Disturb:
    """Adds uniform noise to the encoding and clips it to the simplex.

    Args:
        start: The radius at the first step.
        end: The radius at the last step; it grows linearly (by steps, in the authors' code by epochs).

    Returns:
        The disturbance.

    References:
        Chen and Hsieh 2020, "Stabilizing differentiable architecture search via perturbation-based regularization"
        (SmoothDARTS, random smoothing), arXiv:2002.05283.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(2), Moment(1.0, jnp.ones(5))
        >>> moved = random_disturbance()(space, None, jnp.full(5, 0.2), moment, jax.random.key(0))
        >>> round(float(moved.sum()), 4), bool(jnp.abs(moved - 0.2).max() > 0.05)
        (1.0, True)
    """

    @checked
    def disturb(
        space: Space,
        loss: Callable[[jax.Array], Scalar] | None,
        encoding: Float[Array, " {space.width}"],
        moment: Moment,
        key: Key,
    ) -> Float[Array, " {space.width}"]:
        radius = radius_at(moment.progress, start, end)
        noise = radius * jax.random.uniform(key, encoding.shape, encoding.dtype, -1.0, 1.0)
        return on_simplex(space, encoding + noise * moment.mask)

    return disturb


def adversarial_disturbance(start: float = 0.03, end: float = 0.3, steps: int = 7) -> Disturb:
    """Moves the encoding within a box around it to where the training loss is large.

    Signed gradient ascent begins at a random point of the box and takes steps of ``2 · radius / steps``, each clipped to the
    box and to the simplex. Where the loss did not grow, the encoding stays as it was. The outer gradient takes the
    disturbance as a constant. The authors attack with the running statistics of batch norm; here they are the batch's.

    Args:
        start: The radius of the box at the first step.
        end: The radius of the box at the last step; it grows linearly.
        steps: The number of steps of the ascent, at least 1.

    Returns:
        The disturbance.

    Raises:
        InputError: If ``steps`` is below 1.

    References:
        Chen and Hsieh 2020 (SmoothDARTS, adversarial training), arXiv:2002.05283.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(2), Moment(1.0, jnp.ones(5))
        >>> moved = adversarial_disturbance()(space, lambda e: e[3], jnp.full(5, 0.2), moment, jax.random.key(0))
        >>> int(moved.argmax())  # towards the larger loss
        3
    """
    if steps < 1:
        raise InputError(f"adversarial_disturbance: steps must be an integer >= 1, got {steps}")

    @checked
    def disturb(
        space: Space,
        loss: Callable[[jax.Array], Scalar],
        encoding: Float[Array, " {space.width}"],
        moment: Moment,
        key: Key,
    ) -> Float[Array, " {space.width}"]:
        radius = radius_at(moment.progress, start, end)
        center = jax.lax.stop_gradient(encoding)
        within_radius = lambda moved: on_simplex(
            space, center + jnp.clip(moved - center, -radius, radius) * moment.mask
        )

        def ascend(_, moved):
            return within_radius(moved + 2.0 * radius / steps * jnp.sign(jax.grad(loss)(moved)))

        noise = radius * jax.random.uniform(key, encoding.shape, encoding.dtype, -1.0, 1.0)
        moved = jax.lax.fori_loop(0, steps, ascend, within_radius(center + noise))
        moved = jnp.where(loss(moved) >= loss(center), moved, center)
        return encoding + jax.lax.stop_gradient(moved - center)

    return disturb
