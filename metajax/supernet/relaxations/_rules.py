"""From a relaxation rule of ``metajax.space`` to the encodings of a search."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.space import Space, rules
from metajax.supernet._logits import choice_slices, masked_logits
from metajax.supernet._protocols import Encode, Logits, Moment
from metajax.types import Key


def encode_by_rule(rule_at: Callable[[jax.Array], rules.Rule]) -> Encode:
    """Returns one encoding by a rule that may depend on the progress; pruned values weigh nothing.

    What a sample gave to pruned values goes to the others, so that the weights of a choice keep their sum.
    """

    @checked
    def encode(space: Space, logits: Logits, moment: Moment, key: Key) -> Float[Array, "paths {space.width}"]:
        encoding = space.relax(masked_logits(space, logits, moment.mask), rule_at(moment.progress), key)
        scale = jnp.ones(space.width, encoding.dtype)
        for _, part in choice_slices(space):
            whole, remaining = jnp.sum(encoding[part]), jnp.sum(encoding[part] * moment.mask[part])
            scale = scale.at[part].set(jnp.where(remaining > 0, whole / jnp.where(remaining > 0, remaining, 1.0), 1.0))
        return (encoding * moment.mask * scale)[None]

    return encode


@checked
def probabilities(
    space: Space, logits: Logits, mask: Float[AnyArray, " {space.width}"]
) -> Float[Array, " {space.width}"]:
    """Returns f32[width], the softmax of the logits of the open values of every choice."""
    return space.relax(masked_logits(space, logits, mask), "softmax") * mask
