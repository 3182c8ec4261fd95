"""Relaxed encodings of a whole space: the way from logits to an encoding that a gradient can flow through, and back."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping as jt

from metajax._typing import AnyArray, checked
from metajax.space._domains import Categorical, Domain, Float, Integer, Subset
from metajax.space._layout import Layout
from metajax.space.rules import Rule, resolve
from metajax.types import InputError, Key


class Relaxation(Layout):
    """The methods of a space that lead from logits to a relaxed encoding and back."""

    def zeros(self) -> dict[str, jt.Float[jax.Array, "..."]]:
        """Returns the logits of the uniform relaxed configuration: zeros by name, in the shapes that ``relax`` takes.

        A ``Categorical`` and a ``Subset`` have one logit for each choice or item, a ``Float`` and an ``Integer`` have a scalar.
        """
        return {name: jnp.zeros(_logits_shape(domain), jnp.float32) for name, domain in self.domains.items()}

    @checked
    def relax(
        self, logits: Mapping[str, Any], rule: str | Rule = "softmax", key: Key | None = None
    ) -> jt.Float[jax.Array, " {self.width}"]:
        """Returns one relaxed encoding.

        The rule acts on the categorical blocks; numbers and subsets pass through a sigmoid. The block of a conditional domain
        is multiplied by the weight with which its parent activates it, so that a one-hot parent gives exactly the encoding of
        a configuration. The activation by an ``Integer`` parent is one at accepted values and falls linearly to zero within one
        step (or within what float32 can distinguish, where that is more).

        Args:
            logits: Name -> array[k] for ``Categorical`` and ``Subset``, a scalar for ``Float`` and ``Integer``; ``zeros`` gives
                the shapes.
            rule: A name in ``rules.RULES``, or a function ``(logits, key) -> weights``.
            key: A random key, which the random rules need.

        Raises:
            InputError: If a name is missing, a shape is wrong, or a random rule has no key.

        Example:
            >>> from metajax.space import Categorical, Float, Space
            >>> space = Space({"unit": Categorical(("tanh", "relu")), "rate": Float(0.0, 1.0)})
            >>> space.relax({"unit": jnp.zeros(2), "rate": 0.0}).tolist()
            [0.5, 0.5, 0.5]
        """
        plain = self._unconditional(logits, resolve(rule), key)
        if not self.conditions:
            return plain
        blocks, weight = {name: plain[part] for name, part in self.slices.items()}, {}
        for name in self.order:
            weight[name] = jnp.ones(())
            if name in self.conditions:
                _, parent, values = self.conditions[name]
                weight[name] = weight[parent] * _activation(self.domains[parent], blocks[parent], values)
        return jnp.concatenate([blocks[name] * weight[name] for name in self.domains])

    def _unconditional(self, logits: Mapping[str, Any], rule: Rule, key: Key | None) -> jax.Array:
        """Returns the relaxed encoding of a space without its conditions.

        Neighboring choices with the same number of options share one call of the rule. A SuperNet has dozens of them, and a
        call for each would make up most of its compiled program.
        """
        blocks, index = [], 0
        for width, run in itertools.groupby(self.domains.items(), _options):
            names, start = [name for name, _ in run], index
            index += len(names)
            block_logits = [_checked_logits(logits, name, self.domains) for name in names]
            if width is not None:
                keys = None if key is None else jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(start, index))
                blocks.append(jax.vmap(rule)(jnp.stack(block_logits), keys).reshape(-1))
                continue
            for name, value in zip(names, block_logits):  # a relaxed number says nothing of its last digits
                block = jnp.atleast_1d(jax.nn.sigmoid(value))
                blocks.append(jnp.pad(block, (0, self.domains[name].width - block.size)))
        return jnp.concatenate(blocks)

    @checked
    def values(self, encoding: jt.Float[AnyArray, " {self.width}"]) -> dict[str, jt.Float[jax.Array, "..."]]:
        """Returns the value of every name in a relaxed encoding. The result is differentiable.

        A ``Float`` or ``Integer`` has a number in its own units, between its bounds and off its grid; a ``Categorical`` has
        the weights of its choices, a ``Subset`` the shares of its items. The part of an inactive domain is zero, and so at the
        lower bound of a number.

        Args:
            encoding: A relaxed encoding, as ``relax`` returns it.

        Example:
            >>> from metajax.space import Float, Space
            >>> space = Space({"rate": Float(1e-4, 1.0, log=True)})
            >>> round(float(space.values(space.relax(space.zeros()))["rate"]), 6)
            0.01
        """
        blocks = {name: jnp.asarray(encoding)[part] for name, part in self.slices.items()}
        return {
            name: domain.scale(blocks[name][0]) if isinstance(domain, Float | Integer) else blocks[name]
            for name, domain in self.domains.items()
        }

    def logits(self, config: Mapping[str, Any], margin: float = 0.01) -> dict[str, jt.Float[jax.Array, "..."]]:
        """Returns logits with which a search begins at a configuration, or at a part of one.

        Args:
            config: Plain values. A number gets the logit that ``relax`` turns into it; the logit of a chosen option or item is
                one above the others. Names that are left out have the logits of ``zeros``.
            margin: A number at its bound begins this far inside, as a share of the range, because the sigmoid has no slope at
                its ends.

        Raises:
            InputError: If a name or a value does not belong to the space.

        Example:
            >>> from metajax.space import Categorical, Float, Space
            >>> space = Space({"unit": Categorical(("tanh", "relu")), "rate": Float(1e-4, 1.0, log=True)})
            >>> start = space.logits({"rate": 0.1})
            >>> round(float(space.values(space.relax(start))["rate"]), 4), start["unit"].tolist()
            (0.1, [0.0, 0.0])
        """
        unknown = [name for name in config if name not in self.domains]
        if unknown:
            raise InputError(f"logits must have entries for names among {list(self.domains)} only, got {unknown[0]!r}")
        result = self.zeros()
        for name, value in config.items():
            domain = self.domains[name]
            block = domain.encode(jnp.asarray(domain.from_python(value, f"logits: {name}")))
            if isinstance(domain, Float | Integer):
                unit = jnp.clip(block[0], margin, 1 - margin)
                result[name] = jnp.log(unit) - jnp.log1p(-unit)
            else:
                result[name] = block
        return result


def _options(item: tuple[str, Domain]) -> int | None:
    """Returns the number of options of a choice, and ``None`` for a number or a subset."""
    return item[1].width if isinstance(item[1], Categorical) else None


def _checked_logits(logits: Mapping[str, Any], name: str, domains: Mapping[str, Domain]) -> jax.Array:
    """Returns the logits of one domain; it raises an ``InputError`` if they are missing or have another shape."""
    if name not in logits:
        raise InputError(f"relax: logits must have an entry for each of {list(domains)}, but lacks {name!r}")
    values, shape = jnp.asarray(logits[name]), _logits_shape(domains[name])
    if values.shape != shape:
        raise InputError(f"relax: logits[{name!r}] must have the shape {shape}, got {values.shape}")
    return values


def _logits_shape(domain: Domain) -> tuple[int, ...]:
    return (domain.width,) if isinstance(domain, Categorical | Subset) else ()


def _activation(domain: Any, block: jax.Array, values: tuple[Any, ...]) -> jax.Array:
    """Returns the weight with which a relaxed parent takes one of the values."""
    if isinstance(domain, Categorical):
        return sum((block[domain.from_python(v, "condition")] for v in values), jnp.zeros((), block.dtype))
    value, step = domain.scale(block[0]), max(1.0, 2.0**-20 * max(abs(domain.low), abs(domain.high)))
    return jnp.clip(sum((jnp.maximum(1.0 - jnp.abs(value - v) / step, 0.0) for v in values), jnp.zeros(())), 0.0, 1.0)
