"""Relaxations: logits -> weights that a gradient can flow through.

A rule is ``rule(logits, key=None) -> weights`` over the last axis. The functions here make rules, so that a temperature
is set once: ``gumbel_softmax(temperature=0.5)``. A deterministic rule ignores the key.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from metajax.types import InputError

Rule = Callable[..., jax.Array]


def _need(key: jax.Array | None, name: str) -> jax.Array:
    if key is None:
        raise InputError(f"relax: the rule {name!r} is random; give key=jax.random.key(...)")
    return key


def softmax(temperature: float = 1.0) -> Rule:
    """The mixture of DARTS (Liu et al. 2019, arXiv:1806.09055).

    Example:
        >>> softmax()(jnp.zeros(4)).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    return lambda logits, key=None: jax.nn.softmax(logits / temperature, axis=-1)


def gumbel_softmax(temperature: float | jax.Array = 1.0) -> Rule:
    """A sample of the concrete distribution (Jang et al. 2017, arXiv:1611.01144; SNAS, arXiv:1812.09926)."""

    def rule(logits, key=None):
        noise = jax.random.gumbel(_need(key, "gumbel_softmax"), logits.shape, logits.dtype)
        return jax.nn.softmax((logits + noise) / temperature, axis=-1)

    return rule


def straight_through(temperature: float | jax.Array = 1.0) -> Rule:
    """One-hot forward, Gumbel-softmax gradient backward (GDAS, Dong and Yang 2019, arXiv:1910.04465)."""
    soft_rule = gumbel_softmax(temperature)

    def rule(logits, key=None):
        soft = soft_rule(logits, _need(key, "straight_through"))
        hard = jax.nn.one_hot(jnp.argmax(soft, axis=-1), logits.shape[-1], dtype=logits.dtype)
        return hard + (soft - jax.lax.stop_gradient(soft))  # the bracket is exactly zero, so this is exactly one-hot

    return rule


def dirichlet() -> Rule:
    """A sample of a Dirichlet with concentration elu(logits) + 1 (DrNAS, Chen et al. 2021, arXiv:2006.10355)."""

    def rule(logits, key=None):
        concentration = jnp.maximum(jax.nn.elu(logits) + 1.0, 1e-3)
        return jax.random.dirichlet(_need(key, "dirichlet"), concentration, dtype=logits.dtype)

    return rule


def sparsemax() -> Rule:
    """The Euclidean projection onto the simplex (Martins and Astudillo 2016, arXiv:1602.02068).

    Example:
        >>> sparsemax()(jnp.array([2.0, 1.5, -1.0])).tolist()
        [0.75, 0.25, 0.0]
    """

    def rule(logits, key=None):
        ordered = -jnp.sort(-logits, axis=-1)
        rank = jnp.arange(1, logits.shape[-1] + 1, dtype=logits.dtype)
        total = jnp.cumsum(ordered, axis=-1)
        support = 1 + rank * ordered > total
        count = jnp.sum(support, axis=-1, keepdims=True)
        threshold = (jnp.take_along_axis(total, count - 1, axis=-1) - 1) / count.astype(logits.dtype)
        return jnp.maximum(logits - threshold, 0.0)

    return rule


def sigmoid(temperature: float = 1.0) -> Rule:
    """Independent weights that do not compete (FairDARTS, Chu et al. 2020, arXiv:1911.12126)."""
    return lambda logits, key=None: jax.nn.sigmoid(logits / temperature)


RULES: dict[str, Callable[[], Rule]] = {
    "softmax": softmax,
    "gumbel_softmax": gumbel_softmax,
    "straight_through": straight_through,
    "dirichlet": dirichlet,
    "sparsemax": sparsemax,
    "sigmoid": sigmoid,
}


def resolve(rule: str | Rule) -> Rule:
    """A rule from its name, or the rule itself."""
    if callable(rule):
        return rule
    if rule not in RULES:
        raise InputError(f"relax: unknown rule {rule!r}; accepted are {list(RULES)} or a function (logits, key)")
    return RULES[rule]()
