"""Relaxations: logits -> weights that a gradient can flow through.

A rule is ``rule(logits, key=None) -> weights`` over the last axis. The functions here make rules, so that a temperature is set
once: ``gumbel_softmax(temperature=0.5)``. A deterministic rule ignores the key.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.space._temperature import checked_temperature
from metajax.types import InputError, Key

Temperature = float | Float[Array, ""]
"""A positive number, or a scalar array where it changes while a compiled program runs."""

ChoiceLogits = Float[AnyArray, "*batch choices"]
"""One number for each choice, over the last axis."""

ChoiceWeights = Float[Array, "*batch choices"]
"""The weights of the choices, of the shape of the logits."""


@runtime_checkable
class Rule(Protocol):
    """A function from logits to weights."""

    def __call__(self, logits: ChoiceLogits, /, key: Key | None = None) -> ChoiceWeights:
        """Returns weights of the shape of the logits.

        Args:
            logits: One number for each choice, over the last axis.
            key: A random key, which the random rules need and the others ignore.
        """
        ...


def _need(key: Key | None, name: str) -> Key:
    """Refuses a random rule without a key."""
    if key is None:
        raise InputError(f"relax: the rule {name!r} is random and needs a key; pass key=jax.random.key(...)")
    return key


def softmax(temperature: Temperature = 1.0) -> Rule:
    """Makes the rule of DARTS: the mixture ``softmax(logits / temperature)``.

    Args:
        temperature: A smaller one brings the mixture nearer to the largest logit.

    Returns:
        A deterministic rule.

    Raises:
        InputError: If the temperature is not above 0, as far as it is known.

    References:
        Liu, Simonyan and Yang, DARTS: Differentiable architecture search, ICLR 2019, arXiv:1806.09055.

    Example:
        >>> softmax()(jnp.zeros(4)).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    checked_temperature(temperature, "softmax: temperature")

    @checked
    def rule(logits: ChoiceLogits, key: Key | None = None) -> ChoiceWeights:
        return jax.nn.softmax(logits / temperature, axis=-1)

    return rule


def gumbel_softmax(temperature: Temperature = 1.0) -> Rule:
    """Makes the rule of SNAS: a sample of the concrete distribution, ``softmax((logits + Gumbel noise) / temperature)``.

    Args:
        temperature: A smaller one brings the sample nearer to one choice.

    Returns:
        A random rule.

    Raises:
        InputError: If the temperature is not above 0, as far as it is known.

    References:
        Jang, Gu and Poole, Categorical reparameterization with Gumbel-softmax, ICLR 2017, arXiv:1611.01144.
        Xie et al., SNAS: Stochastic neural architecture search, ICLR 2019, arXiv:1812.09926.

    Example:
        >>> weights = gumbel_softmax(temperature=0.1)(jnp.array([5.0, 0.0, 0.0]), jax.random.key(0))
        >>> weights.round(3).tolist()
        [1.0, 0.0, 0.0]
    """
    checked_temperature(temperature, "gumbel_softmax: temperature")

    @checked
    def rule(logits: ChoiceLogits, key: Key | None = None) -> ChoiceWeights:
        noise = jax.random.gumbel(_need(key, "gumbel_softmax"), logits.shape, logits.dtype)
        return jax.nn.softmax((logits + noise) / temperature, axis=-1)

    return rule


def straight_through(temperature: Temperature = 1.0) -> Rule:
    """Makes the rule of GDAS: one-hot weights in the forward pass, the gradient of ``gumbel_softmax`` in the backward pass.

    Args:
        temperature: The temperature of the Gumbel-softmax.

    Returns:
        A random rule, whose weights are exactly one-hot.

    Raises:
        InputError: If the temperature is not above 0, as far as it is known.

    References:
        Dong and Yang, Searching for a robust neural architecture in four GPU hours, CVPR 2019, arXiv:1910.04465.

    Example:
        >>> straight_through()(jnp.array([0.0, 9.0, 0.0]), jax.random.key(0)).tolist()
        [0.0, 1.0, 0.0]
    """
    checked_temperature(temperature, "straight_through: temperature")
    soft_rule = gumbel_softmax(temperature)

    @checked
    def rule(logits: ChoiceLogits, key: Key | None = None) -> ChoiceWeights:
        soft = soft_rule(logits, _need(key, "straight_through"))
        hard = jax.nn.one_hot(jnp.argmax(soft, axis=-1), logits.shape[-1], dtype=logits.dtype)
        return hard + (soft - jax.lax.stop_gradient(soft))  # the bracket is exactly zero, so this is exactly one-hot

    return rule


def dirichlet() -> Rule:
    """Makes the rule of DrNAS: a sample of a Dirichlet distribution with the concentration ``elu(logits) + 1``.

    Concentrations are at least 0.001.

    Returns:
        A random rule, whose weights sum to 1.

    References:
        Chen et al., DrNAS: Dirichlet neural architecture search, ICLR 2021, arXiv:2006.10355.

    Example:
        >>> weights = dirichlet()(jnp.zeros(3), jax.random.key(0))
        >>> round(float(weights.sum()), 5)
        1.0
    """

    @checked
    def rule(logits: ChoiceLogits, key: Key | None = None) -> ChoiceWeights:
        concentration = jnp.maximum(jax.nn.elu(logits) + 1.0, 1e-3)
        return jax.random.dirichlet(_need(key, "dirichlet"), concentration, dtype=logits.dtype)

    return rule


def sparsemax() -> Rule:
    """Makes the rule that projects the logits onto the simplex, in the Euclidean norm. Weights can be exactly zero.

    Returns:
        A deterministic rule.

    References:
        Martins and Astudillo, From softmax to sparsemax, ICML 2016, arXiv:1602.02068.

    Example:
        >>> sparsemax()(jnp.array([2.0, 1.5, -1.0])).tolist()
        [0.75, 0.25, 0.0]
    """

    @checked
    def rule(logits: ChoiceLogits, key: Key | None = None) -> ChoiceWeights:
        ordered = -jnp.sort(-logits, axis=-1)
        rank = jnp.arange(1, logits.shape[-1] + 1, dtype=logits.dtype)
        total = jnp.cumsum(ordered, axis=-1)
        support = 1 + rank * ordered > total
        count = jnp.sum(support, axis=-1, keepdims=True)
        threshold = (jnp.take_along_axis(total, count - 1, axis=-1) - 1) / count.astype(logits.dtype)
        return jnp.maximum(logits - threshold, 0.0)

    return rule


def sigmoid(temperature: Temperature = 1.0) -> Rule:
    """Makes the rule of Fair DARTS: independent weights ``sigmoid(logits / temperature)`` that do not compete.

    Args:
        temperature: A smaller one brings each weight nearer to 0 or 1.

    Returns:
        A deterministic rule, whose weights need not sum to 1.

    Raises:
        InputError: If the temperature is not above 0, as far as it is known.

    References:
        Chu et al., Fair DARTS: Eliminating unfair advantages in differentiable architecture search, ECCV 2020,
        arXiv:1911.12126.

    Example:
        >>> sigmoid()(jnp.zeros(2)).tolist()
        [0.5, 0.5]
    """
    checked_temperature(temperature, "sigmoid: temperature")

    @checked
    def rule(logits: ChoiceLogits, key: Key | None = None) -> ChoiceWeights:
        return jax.nn.sigmoid(logits / temperature)

    return rule


RULES: dict[str, Callable[[], Rule]] = {
    "softmax": softmax,
    "gumbel_softmax": gumbel_softmax,
    "straight_through": straight_through,
    "dirichlet": dirichlet,
    "sparsemax": sparsemax,
    "sigmoid": sigmoid,
}
"""The functions that make rules, by name."""


def resolve(rule: str | Rule) -> Rule:
    """Returns the rule that has a name, with its default temperature, or a rule as it is.

    Args:
        rule: A name in ``RULES``, or a rule.

    Returns:
        The rule.

    Raises:
        InputError: If no rule has the name.

    Example:
        >>> resolve("softmax")(jnp.zeros(2)).tolist()
        [0.5, 0.5]
    """
    if callable(rule):
        return rule
    if rule not in RULES:
        raise InputError(f"relax: rule must be one of {list(RULES)} or a function (logits, key), got {rule!r}")
    return RULES[rule]()
