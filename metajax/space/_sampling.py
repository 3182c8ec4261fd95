"""Random configurations, random changes of them, and their neighbors."""

import functools
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from metajax._compiled import quick_options
from metajax.space import _rows as rows
from metajax.space._domains import Categorical, Subset
from metajax.space._encoding import Encoding
from metajax.space._layout import Configs, side_by_side
from metajax.space._moves import neighbor_values
from metajax.types import InputError, Key


class Sampling(Encoding):
    """The methods of a space that draw and change configurations."""

    @cached_property
    def _draws(self) -> dict[str, slice]:
        """Returns the uniform random numbers that belong to each domain."""
        return side_by_side({name: domain.draws for name, domain in self.domains.items()})

    def sample(self, key: Key, n: int) -> Configs:
        """Draws configurations, each domain uniform (in the logarithm if it is ``log``). The method can be jitted.

        The first rows of a larger draw are those of a smaller one with the same key.

        Args:
            key: A random key.
            n: The number of configurations, an integer >= 0.

        Raises:
            InputError: If ``n`` is not a whole number from 0.

        Example:
            >>> from metajax.space import Integer, Space
            >>> space = Space({"layers": Integer(1, 3)})
            >>> sorted({config["layers"] for config in space.dicts(space.sample(jax.random.key(0), 50))})
            [1, 2, 3]
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise InputError(f"sample: n must be an integer >= 0, got {n!r}")
        if isinstance(key, Tracer):
            return self._sample(key, int(n))
        with jax.ensure_compile_time_eval():
            return rows.first(_compiled_sample()(self, key, rows.padded_size(int(n))), int(n))

    def _sample(self, key: jax.Array, n: int) -> Configs:
        # one draw for all: a draw for each domain would take long to compile
        return self._of_uniform(jax.random.uniform(key, (n, self._n_draws), dtype=jnp.float32))

    @property
    def _n_draws(self) -> int:
        """The number of uniform random numbers that a configuration is drawn by."""
        return sum(domain.draws for domain in self.domains.values())

    def _of_uniform(self, uniform: jax.Array) -> Configs:
        """The configurations that uniform random numbers, f32[n, _n_draws], stand for."""
        columns = {name: domain.draw(uniform[:, self._draws[name]]) for name, domain in self.domains.items()}
        return self.canonical(columns)

    def mutate(self, key: Key, configs: Configs, rate: float | jax.Array | None = None) -> Configs:
        """Changes each choice with a certain probability, for evolution. The method can be jitted.

        A ``Categorical`` is drawn anew, a ``Subset`` flips single items, and a ``Float`` or ``Integer`` moves by a tenth of its
        range on average.

        Args:
            key: A random key.
            configs: A struct of arrays.
            rate: The probability that a choice changes. The default changes one choice on average.
        """
        rate = 1.0 / len(self.domains) if rate is None else rate
        n = len(next(iter(configs.values())))
        if n == 0 or any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((key, configs, rate))):
            return self._mutate(key, configs, rate)
        with jax.ensure_compile_time_eval():
            size = rows.padded_size(n)
            padded = {name: rows.wider(rows.as_array(column), size) for name, column in configs.items()}
            return rows.first(_compiled_mutate(self, key, padded, rate), n)

    def _mutate(self, key: jax.Array, configs: Configs, rate: float | jax.Array) -> Configs:
        n = len(next(iter(configs.values())))
        pick_key, draw_key, noise_key = jax.random.split(key, 3)
        picked = jax.random.bernoulli(pick_key, rate, (n, len(self.domains)))
        uniform = jax.random.uniform(draw_key, (n, self.width), dtype=jnp.float32)
        noise = jax.random.normal(noise_key, (n, len(self.domains)), dtype=jnp.float32)
        return self._moved(configs, picked, uniform, noise)

    def _moved(self, configs: Configs, picked: jax.Array, uniform: jax.Array, noise: jax.Array) -> Configs:
        """The configurations with those choices changed that are picked.

        Args:
            configs: A struct of arrays of n rows.
            picked: bool[n, domains], what changes.
            uniform: f32[n, width], uniform random numbers.
            noise: f32[n, domains], standard normal random numbers.
        """
        n, result = len(picked), {}
        for i, (name, domain) in enumerate(self.domains.items()):
            current, draws = jnp.asarray(configs[name]), uniform[:, self.slices[name]]
            if isinstance(domain, Subset):
                new = domain.decode(domain.encode(jnp.logical_xor(current, draws < 1.0 / domain.n)))
            elif isinstance(domain, Categorical):
                new = domain.draw(draws)
            else:
                new = domain.decode(jnp.clip(domain.encode(current)[:, :1] + 0.1 * noise[:, i : i + 1], 0.0, 1.0))
            result[name] = jnp.where(picked[:, i].reshape((n,) + (1,) * (current.ndim - 1)), new, current)
        return self.canonical(result)

    def neighbors(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Returns all configurations one step away: another choice, the next number up or down, one item more or less.

        A ``Float`` without a grid moves by a tenth of its range. A changed parent gives new children their first values.

        Args:
            config: A plain dictionary.

        Example:
            >>> from metajax.space import Integer, Space
            >>> Space({"layers": Integer(1, 8)}).neighbors({"layers": 3})
            [{'layers': 2}, {'layers': 4}]
        """
        base, neighbors = self.configs([config]), []
        active = self.active(base)
        for name, domain in self.domains.items():
            if not bool(active[name][0]):
                continue
            for value in neighbor_values(domain, np.asarray(base[name])[0]):
                moved = dict(base)
                moved[name] = jnp.asarray(np.asarray(value)[None], base[name].dtype)
                neighbors += self.dicts(self.canonical(moved))
        return [c for i, c in enumerate(neighbors) if c not in neighbors[:i] and c != dict(config)]


@functools.cache
def _compiled_sample() -> Callable[..., Configs]:
    """``Sampling._sample``, compiled quickly: it draws little in most programs."""
    return jax.jit(Sampling._sample, static_argnums=(0, 2), compiler_options=quick_options() or None)


_compiled_mutate = jax.jit(Sampling._mutate, static_argnums=0)
