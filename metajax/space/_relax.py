"""Relaxed encodings of a whole space: the way from logits to an encoding that a gradient can flow through, and back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from metajax.space._domains import Categorical, Float, Integer, Subset
from metajax.space.rules import Rule, resolve
from metajax.types import InputError

if TYPE_CHECKING:
    from metajax.space._space import Space


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
