"""From a relaxation rule of ``metajax.space`` to the encodings of a search."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.space import Space, rules
from metajax.supernet._logits import map_choices, masked_logits
from metajax.supernet._protocols import Encode, Logits, Moment
from metajax.types import Key


def encode_by_rule(rule_at: Callable[[jax.Array], rules.Rule]) -> Encode:
    """Returns one encoding by a rule that may depend on the progress; pruned values weigh nothing.

    What a sample gave to pruned values goes to the others, so that the weights of a choice keep their sum.
    """

    @checked
    def encode(space: Space, logits: Logits, moment: Moment, key: Key) -> Float[Array, "paths {space.width}"]:
        encoding = space.relax(masked_logits(space, logits, moment.mask), rule_at(moment.progress), key)
        return map_choices(space, _keep_sum, encoding * moment.mask, encoding)[None]

    return encode


def _keep_sum(open_weights: jax.Array, weights: jax.Array) -> jax.Array:
    """Scales the weights of a choice's open values to the sum of all its weights, unless no value is open."""
    total, remaining = jnp.sum(weights), jnp.sum(open_weights)
    return open_weights * jnp.where(remaining > 0, total / jnp.where(remaining > 0, remaining, 1.0), 1.0)


@checked
def probabilities(
    space: Space, logits: Logits, mask: Float[AnyArray, " {space.width}"]
) -> Float[Array, " {space.width}"]:
    """Returns f32[width], the softmax of the logits of the open values of every choice."""
    return space.relax(masked_logits(space, logits, mask), "softmax") * mask
