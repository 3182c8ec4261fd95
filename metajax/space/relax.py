"""Relaxations: logits -> weights that a gradient can flow through.

A rule is ``rule(logits, key=None) -> weights`` over the last axis. The functions here make rules, so that a temperature
is set once: ``gumbel_softmax(temperature=0.5)``. A deterministic rule ignores the key.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from metajax.space.domains import Categorical, Float, Integer, Subset
from metajax.types import InputError

if TYPE_CHECKING:
    from metajax.space.space import Space

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


def relax(space: "Space", logits: Mapping[str, Any], rule: str | Rule = "softmax", key: jax.Array | None = None):
    """One relaxed encoding f32[width].

    ``rule`` acts on the categorical blocks; numbers and subsets pass through a sigmoid. The block of a conditional
    domain is multiplied by the weight with which its parent activates it, so that a one-hot parent gives exactly the
    encoding of a configuration. An ``Integer`` parent's activation is one at accepted values and falls linearly to zero
    within one step (within what float32 can tell, where that is more).

    Args:
        logits: name -> array[k] for ``Categorical`` and ``Subset``, a scalar for ``Float`` and ``Integer``;
            ``space.zeros()`` gives the shapes.
        rule: a name in ``RULES`` or a function ``(logits, key) -> weights``.
        key: needed by the random rules.

    Raises:
        InputError: if a name is missing or a shape is wrong.
    """
    apply, blocks, weight = resolve(rule), {}, {}
    for i, name in enumerate(space.domains):
        domain = space.domains[name]
        if name not in logits:
            raise InputError(f"relax: logits lacks {name!r}; the space has {list(space.domains)}")
        given = jnp.asarray(logits[name])
        shape = (domain.width,) if isinstance(domain, Categorical | Subset) else ()
        if given.shape != shape:
            raise InputError(f"relax: logits[{name!r}] has shape {given.shape}, accepted is {shape}")
        part = None if key is None else jax.random.fold_in(key, i)
        blocks[name] = apply(given, part) if isinstance(domain, Categorical) else jnp.atleast_1d(jax.nn.sigmoid(given))
        if isinstance(domain, Integer):  # what is not said of the last digits is zero
            blocks[name] = jnp.pad(blocks[name], (0, domain.width - 1))
    for name in space.order:
        weight[name] = jnp.ones(())
        if name in space.conditions:
            _, parent, values = space.conditions[name]
            weight[name] = weight[parent] * _activation(space.domains[parent], blocks[parent], values)
    return jnp.concatenate([blocks[name] * weight[name] for name in space.domains])


def values(space: "Space", encoding: jax.Array) -> dict[str, jax.Array]:
    """What a relaxed encoding f32[width] says of every name, differentiable: numbers in their own units, between their bounds
    and off their grid; for ``Categorical`` the weights of its options, for ``Subset`` the shares of its items.

    The part of a domain that is inactive is zero, and so at its lower bound.

    Example:
        >>> from metajax.space import Float, Space
        >>> space = Space({"rate": Float(1e-4, 1.0, log=True)})
        >>> round(float(space.values(space.relax(space.zeros()))["rate"]), 6)
        0.01
    """
    blocks = {name: encoding[part] for name, part in space.slices.items()}
    return {
        name: domain.scale(blocks[name][0]) if isinstance(domain, Float | Integer) else blocks[name]
        for name, domain in space.domains.items()
    }


def logits(space: "Space", config: Mapping[str, Any], margin: float = 0.01) -> dict[str, jax.Array]:
    """Logits to begin a search at a configuration, or at a part of one; names that it lacks are at zero, as in ``zeros``.

    Args:
        config: plain values. A number is where ``relax`` arrives at, a chosen option or item is one above the others.
        margin: a number at its bound begins this far inside, as a share of the range: the sigmoid has no slope at the end.

    Raises:
        InputError: if a name or a value is not of the space.

    Example:
        >>> from metajax.space import Categorical, Float, Space
        >>> space = Space({"unit": Categorical(("tanh", "relu")), "rate": Float(1e-4, 1.0, log=True)})
        >>> start = space.logits({"rate": 0.1})
        >>> round(float(space.values(space.relax(start))["rate"]), 4), start["unit"].tolist()
        (0.1, [0.0, 0.0])
    """
    unknown = [name for name in config if name not in space.domains]
    if unknown:
        raise InputError(f"logits: unknown {unknown[0]!r}; the space has {list(space.domains)}")
    found = space.zeros()
    for name, value in config.items():
        domain = space.domains[name]
        block = domain.encode(jnp.asarray(domain.from_python(value, f"logits: {name}")))
        if isinstance(domain, Float | Integer):
            unit = jnp.clip(block[0], margin, 1 - margin)
            found[name] = jnp.log(unit) - jnp.log1p(-unit)
        else:
            found[name] = block
    return found


def _activation(domain: Any, block: jax.Array, values: tuple[Any, ...]) -> jax.Array:
    if isinstance(domain, Categorical):
        return sum((block[domain.from_python(v, "condition")] for v in values), jnp.zeros((), block.dtype))
    value, step = domain.scale(block[0]), max(1.0, 2.0**-20 * max(abs(domain.low), abs(domain.high)))
    return jnp.clip(sum((jnp.maximum(1.0 - jnp.abs(value - v) / step, 0.0) for v in values), jnp.zeros(())), 0.0, 1.0)
