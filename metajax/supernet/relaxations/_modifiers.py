"""Relaxations made from other relaxations."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metajax.space import Space
from metajax.supernet._logits import choice_slices, choice_values
from metajax.supernet._protocols import Encode, Logits, Relaxation
from metajax.supernet.relaxations._mixtures import softmax_mixture
from metajax.types import InputError


def auxiliary_skip(space: Space, value: Any = "skip", relaxation: Relaxation | None = None) -> Relaxation:
    """Adds an extra skip beside every choice, whose weight falls from 1 to 0 over the search.

    Edges are sums of weighted operations, so the extra skip is an extra weight on the one that is there. (On an edge that
    halves the resolution the authors give the extra skip weights of its own.)

    Args:
        space: The space that is searched.
        value: The value of every choice that gets the extra weight.
        relaxation: The relaxation to modify, by default ``softmax_mixture()``.

    Returns:
        The modified relaxation; it decides as the given one does.

    Raises:
        InputError: If a choice does not have the value.

    References:
        Chu et al. 2021, "DARTS-: robustly stepping out of performance collapse without indicators", arXiv:2009.01027.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space = spaces.cell_space(2, ("skip", "conv3x3"))
        >>> encode = auxiliary_skip(space).judge
        >>> [encode(space, space.zeros(), Moment(p, jnp.ones(2)), jax.random.key(0)).tolist() for p in (0.0, 1.0)]
        [[[1.5, 0.5]], [[0.5, 0.5]]]
    """
    base = relaxation or softmax_mixture()
    extra = _indicator(space, value)

    def with_skip(encode: Encode) -> Encode:
        return lambda space, logits, moment, key: (
            encode(space, logits, moment, key) + (1.0 - moment.progress) * extra * moment.mask
        )

    return base._replace(train=with_skip(base.train), judge=with_skip(base.judge))


def normalized_edges(relaxation: Relaxation, into: Callable[[str], str]) -> Relaxation:
    """Lets choices that lead to one node compete by a softmax over learned logits, one for each choice.

    The strengths are products of both weights, as in the authors' code, so that a decision among the edges into a node
    counts both.

    Args:
        relaxation: The relaxation, which says how the values of one choice weigh against each other.
        into: A function ``(name of a choice) -> name of its node``.

    Returns:
        The modified relaxation, with one more logit for each choice.

    References:
        Xu et al. 2020, "PC-DARTS: partial channel connections for memory-efficient architecture search" (edge
        normalization), arXiv:1907.05737.

    Example:
        >>> from metajax.supernet import spaces
        >>> space = spaces.cell_space(3, ("skip", "conv3x3"))
        >>> edges = normalized_edges(softmax_mixture(), lambda name: name.split("_")[-1])
        >>> logits = {**space.zeros(), **edges.extra(space)}
        >>> edges.strengths(space, logits, jnp.ones(6)).tolist()  # two edges lead to node 2
        [0.5, 0.5, 0.25, 0.25, 0.25, 0.25]
    """
    own = lambda name: f"edge weight of {name}"

    def weights(space: Space, logits: Logits) -> jax.Array:
        nodes: dict[str, list[str]] = {}
        for name, _ in choice_slices(space):
            nodes.setdefault(into(name), []).append(name)
        result = jnp.ones(space.width)
        for names in nodes.values():
            shares = jax.nn.softmax(jnp.stack([logits[own(name)] for name in names]))
            for name, share in zip(names, shares):
                result = result.at[space.slices[name]].set(share)
        return result

    def scaled(encode: Encode) -> Encode:
        return lambda space, logits, moment, key: encode(space, logits, moment, key) * weights(space, logits)

    return relaxation._replace(
        train=scaled(relaxation.train),
        judge=scaled(relaxation.judge),
        strengths=lambda space, logits, mask: relaxation.strengths(space, logits, mask) * weights(space, logits),
        extra=lambda space: {own(name): jnp.zeros(()) for name, _ in choice_slices(space)},
    )


def _indicator(space: Space, value: Any) -> jax.Array:
    """Returns f32[width], 1 where a choice has this value."""
    indicator = jnp.zeros(space.width)
    for name, part in choice_slices(space):
        choices = choice_values(space, name)
        if value not in choices:
            raise InputError(
                f"auxiliary_skip: value must be a value of every choice, but {name!r} has only {choices}, got {value!r}"
            )
        indicator = indicator.at[part.start + choices.index(value)].set(1.0)
    return indicator
