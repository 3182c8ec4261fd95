"""A search space: named domains, conditions between them, its size, sampling, neighbors and enumeration."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from metajax.space import _encoding as encoding
from metajax.space import _relax as relax
from metajax.space import _rows as rows
from metajax.space._domains import Categorical, Domain, Float, Integer, Subset
from metajax.space._moves import first_value, neighbor_values
from metajax.types import InputError

Configs = dict[str, Any]
"""A struct of arrays: name -> array[n] (array[n, k] for a ``Subset``, and for an ``Integer`` of more than 32 bits)."""


class Condition(NamedTuple):
    """``child`` exists only where ``parent`` takes one of ``values``."""

    child: str
    parent: str
    values: tuple[Any, ...]


class Space:
    """Named choices, and which of them depend on which.

    A child that is inactive has no value: its part of the encoding is zero, its column holds the domain's first value,
    and it does not multiply the size. Every child has one condition, on a ``Categorical`` or ``Integer`` parent, so
    that the conditions form a forest and the size is exact.

    Args:
        domains: name -> domain, in the order of the encoding.
        conditions: each ``Condition(child, parent, values)``, or a tuple of the three.

    Raises:
        InputError: if a name is not text, a value is not a domain, or a condition names what does not exist or closes a circle.

    Example:
        >>> space = Space({"op": Categorical(("skip", "conv")), "kernel": Integer(1, 3)}, [("kernel", "op", ("conv",))])
        >>> space.size, space.width
        (4, 3)
        >>> space.decode(space.encode(space.at([0, 3])))
        [{'op': 'skip'}, {'op': 'conv', 'kernel': 3}]
    """

    def __init__(
        self, domains: Mapping[str, Domain], conditions: Sequence[Condition | tuple[str, str, tuple[Any, ...]]] = ()
    ):
        if not isinstance(domains, Mapping) or not domains:
            raise InputError("Space: domains is empty; give at least one name and domain")
        for name, domain in domains.items():
            if not isinstance(name, str) or not name:
                raise InputError(f"Space: {name!r} is not a name; accepted is text that is not empty")
            if not isinstance(domain, Domain):
                raise InputError(f"Space: {name} is {domain!r}; accepted are Categorical, Float, Integer and Subset")
        self.domains: dict[str, Domain] = dict(domains)
        self.conditions: dict[str, Condition] = {}
        for given in conditions:
            try:
                child, parent, values = given
            except (TypeError, ValueError):
                raise InputError(f"Space: condition {given!r}; accepted is (child, parent, values)") from None
            self._add(child, parent, values)
        self.order = self._topological()
        self._sizes = self._tree_sizes()
        self.width = sum(d.width for d in self.domains.values())
        self.slices = _slices(self.domains, "width")
        self._draws = _slices(self.domains, "draws")

    def _add(self, child: str, parent: str, values: Any) -> None:
        for name in (child, parent):
            if not isinstance(name, str) or name not in self.domains:
                raise InputError(f"Space: condition on {name!r}, which is not a domain; there are {list(self.domains)}")
        domain = self.domains[parent]
        if not isinstance(domain, Categorical | Integer):
            raise InputError(f"Space: parent {parent!r} is a {type(domain).__name__}; accepted: Categorical, Integer")
        if child in self.conditions:
            raise InputError(f"Space: {child!r} has two conditions; put all values of its one parent into one")
        what = f"Space: the condition of {child!r} on {parent!r}"
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise InputError(f"{what} has the values {values!r}; accepted is a tuple of values of the parent")
        own = [domain.to_python(domain.from_python(value, f"{what}: {parent}")) for value in values]
        if not own:
            raise InputError(f"{what} has no values")
        self.conditions[child] = Condition(child, parent, tuple(dict.fromkeys(own)))

    def _topological(self) -> list[str]:
        """The names, every parent before its children, otherwise in the order of the space."""
        order: dict[str, None] = {}
        for name in self.domains:
            path = [name]
            while path[-1] in self.conditions and self.conditions[path[-1]].parent not in order:
                path.append(self.conditions[path[-1]].parent)
                if len(path) > len(self.domains):
                    circle = path[: path.index(path[0], 1) + 1] if path[0] in path[1:] else path
                    raise InputError(f"Space: the conditions form a circle: {' -> '.join(circle[:20])}")
            order.update(dict.fromkeys(reversed(path)))
        return list(order)

    def __repr__(self) -> str:
        return f"Space({len(self.domains)} domains, width {self.width}, 10^{self.log10_size:.1f} configurations)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and (list(self.domains.items()), self.conditions) == (
            list(other.domains.items()),
            other.conditions,
        )

    def __hash__(self) -> int:
        return hash((tuple(self.domains.items()), tuple(self.conditions.values())))

    # -- size and enumeration -------------------------------------------------------------------------------------

    def children(self, name: str) -> list[str]:
        return [c.child for c in self.conditions.values() if c.parent == name]

    def _runs(self, name: str) -> list[tuple[int, int, list[str]]]:
        """The values of a domain in order, as runs ``(first value, number of values, children that exist there)``."""
        domain, size = self.domains[name], self.domains[name].size
        below: dict[int, list[str]] = {}
        for child in self.children(name):
            for value in self.conditions[child].values:
                place = value - domain.low if isinstance(domain, Integer) else domain.from_python(value, name)
                below.setdefault(int(place), []).append(child)
        runs, start = [], 0
        for place in sorted(below):
            if place > start:
                runs.append((start, place - start, []))
            runs.append((place, 1, below[place]))
            start = place + 1
        return [*runs, (start, int(size) - start, [])] if start < size else runs

    def _tree_sizes(self) -> dict[str, int | float]:
        """How many configurations of itself and of all that depends on it each domain has: products over children that exist
        together, sums over the values of the parent."""
        sizes: dict[str, int | float] = {}
        parents = {condition.parent for condition in self.conditions.values()}
        for name in reversed(self.order):
            sizes[name] = (
                sum(_times(count, *(sizes[child] for child in below)) for _, count, below in self._runs(name))
                if name in parents
                else self.domains[name].size
            )
        return sizes

    @property
    def roots(self) -> list[str]:
        return [name for name in self.domains if name not in self.conditions]

    @property
    def size(self) -> int | float:
        """How many distinct configurations there are: an exact ``int``, or ``inf`` with a ``Float`` without grid."""
        return _times(*(self._sizes[name] for name in self.roots))

    @property
    def log10_size(self) -> float:
        size = self.size
        return math.inf if size == math.inf else math.log10(size)

    def at(self, index: Any) -> Configs:
        """The configurations at these mixed-radix indices, ``0 <= index < size`` (any size of whole number).

        Raises:
            InputError: if the space is infinite, or an index is not a whole number inside it.
        """
        size = self.size
        if size == math.inf:
            floats = [n for n, d in self.domains.items() if d.size == math.inf]
            raise InputError(f"Space.at: the space is infinite; give a grid to {floats}")
        given = np.atleast_1d(np.asarray(index))
        if (
            given.size
            and given.dtype.kind not in "iu"
            and not all(isinstance(i, int | np.integer) for i in given.tolist())
        ):
            raise InputError(f"Space.at: index {given.ravel()[:5].tolist()}; accepted are whole numbers")
        if given.size and (min(given) < 0 or max(given) >= size):
            raise InputError(f"Space.at: index outside 0..{size - 1}")
        given = given.astype(np.int64 if size < 2**62 else object)
        columns = {n: np.repeat(d.at(np.array([0])), len(given), axis=0) for n, d in self.domains.items()}
        self._fill(columns, given)
        return columns

    def _fill(self, columns: Configs, index: np.ndarray) -> None:
        """Writes the rows; the first name is the fastest digit."""
        parts = [(self.roots, index, np.arange(len(index)))]
        while parts:
            names, index, rows_ = parts.pop()
            for name in names:
                radix = self._sizes[name]
                digit, index = index % radix, index // radix
                start = 0
                for first, count, below in self._runs(name):
                    branch = _times(*(self._sizes[child] for child in below))
                    inside = (digit >= start) & (digit < start + count * branch)
                    here, chosen = digit[inside] - start, rows_[inside]
                    start += count * branch
                    if len(chosen):
                        columns[name][chosen] = self.domains[name].at(first + here // branch)
                        if below:
                            parts.append((below, here % branch, chosen))

    # -- sampling and moving --------------------------------------------------------------------------------------

    def sample(self, key: jax.Array, n: int) -> Configs:
        """Draws ``n`` configurations, each domain uniform (in the logarithm if it is ``log``); can be jitted."""
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise InputError(f"sample: n is {n!r}; accepted are whole numbers from 0")
        if isinstance(key, Tracer):
            return self._sample(key, n)
        with jax.ensure_compile_time_eval():  # the first rows of many are those of few
            return rows.first(_compiled_sample(self, key, rows.room(n)), n)

    def _sample(self, key: jax.Array, n: int) -> Configs:
        # one draw for all: a draw for each domain would take long to compile
        uniform = jax.random.uniform(key, (n, sum(d.draws for d in self.domains.values())), dtype=jnp.float32)
        columns = {name: domain.draw(uniform[:, self._draws[name]]) for name, domain in self.domains.items()}
        return self.canonical(columns)

    def active(self, configs: Configs) -> dict[str, jax.Array]:
        """For each name, bool[n]: does the domain exist in this configuration?"""
        n = len(next(iter(configs.values())))
        result: dict[str, jax.Array] = {}
        for name in self.order:
            if name not in self.conditions:
                result[name] = jnp.ones(n, bool)
                continue
            _, parent, values = self.conditions[name]
            domain = self.domains[parent]
            accepted = jnp.asarray(np.asarray([domain.from_python(v, parent) for v in values], np.int32))
            column = jnp.asarray(configs[parent])
            if domain.shape:  # digits of a number of more than 32 bits
                equal = jnp.any(jnp.all(column[:, None] == accepted, axis=-1), axis=-1)
            else:
                equal = jnp.isin(column, accepted)
            result[name] = result[parent] & equal
        return {name: result[name] for name in self.domains}

    def canonical(self, configs: Configs) -> Configs:
        """The same configurations with every inactive column at its domain's first value."""
        active, result = self.active(configs), {}
        for name, domain in self.domains.items():
            column = jnp.asarray(configs[name])
            first = jnp.asarray(first_value(domain), column.dtype)
            mask = active[name].reshape((-1,) + (1,) * (column.ndim - 1))
            result[name] = jnp.where(mask, column, first)
        return result

    def mutate(self, key: jax.Array, configs: Configs, rate: float | None = None) -> Configs:
        """Redraws each choice with probability ``rate`` (default: one choice on average); for evolution. Can be jitted.

        A ``Subset`` flips single items, a ``Float`` or ``Integer`` moves by a tenth of its range on average.
        """
        n = len(next(iter(configs.values())))
        rate = 1.0 / len(self.domains) if rate is None else rate
        pick_key, draw_key, noise_key = jax.random.split(key, 3)
        picked = jax.random.bernoulli(pick_key, rate, (n, len(self.domains)))
        uniform = jax.random.uniform(draw_key, (n, self.width), dtype=jnp.float32)
        noise = 0.1 * jax.random.normal(noise_key, (n, len(self.domains)), dtype=jnp.float32)
        result = {}
        for i, (name, domain) in enumerate(self.domains.items()):
            old, drawn = jnp.asarray(configs[name]), uniform[:, self.slices[name]]
            if isinstance(domain, Subset):
                new = domain.decode(domain.encode(jnp.logical_xor(old, drawn < 1.0 / domain.n)))
            elif isinstance(domain, Categorical):
                new = domain.draw(drawn)
            else:
                new = domain.decode(jnp.clip(domain.encode(old)[:, :1] + noise[:, i : i + 1], 0.0, 1.0))
            result[name] = jnp.where(picked[:, i].reshape((n,) + (1,) * (old.ndim - 1)), new, old)
        return self.canonical(result)

    def neighbors(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All configurations one step away: another choice, the next number up or down, one item more or less.

        A ``Float`` without grid moves by a tenth of its range. A changed parent gives new children their first values.
        """
        base, found = self.configs([config]), []
        for name, domain in self.domains.items():
            if not bool(self.active(base)[name][0]):
                continue
            for value in neighbor_values(domain, np.asarray(base[name])[0]):
                moved = dict(base)
                moved[name] = jnp.asarray(np.asarray(value)[None], base[name].dtype)
                found += self.dicts(self.canonical(moved))
        return [c for i, c in enumerate(found) if c not in found[:i] and c != dict(config)]

    # -- encodings and plain dictionaries -------------------------------------------------------------------------

    def encode(self, configs: Configs) -> jax.Array:
        """f32[n, width]: one-hot, unit interval, multi-hot; inactive parts are zero. Can be jitted."""
        return encoding.encode(self, configs)

    def decode_configs(self, encodings: Any) -> Configs:
        """The nearest configurations to any encodings f32[n, width], as a struct of arrays. Can be jitted."""
        return encoding.decode(self, encodings)

    def decode(self, encodings: Any) -> list[dict[str, Any]]:
        """The nearest configurations to any encodings f32[n, width], as plain dictionaries without inactive names."""
        return self.dicts(self.decode_configs(encodings))

    def dicts(self, configs: Configs) -> list[dict[str, Any]]:
        """Plain dictionaries of plain values, without inactive names."""
        active = {
            k: np.asarray(v) for k, v in _active(self, {k: jnp.asarray(configs[k]) for k in self.domains}).items()
        }
        columns = {name: np.asarray(configs[name]) for name in self.domains}
        n = len(next(iter(columns.values())))
        return [
            {name: d.to_python(columns[name][i]) for name, d in self.domains.items() if active[name][i]}
            for i in range(n)
        ]

    def configs(self, dicts: Sequence[Mapping[str, Any]]) -> Configs:
        """A struct of arrays from plain dictionaries.

        Raises:
            InputError: naming the row, the domain, what was given and what is accepted.
        """
        columns: dict[str, list[Any]] = {name: [] for name in self.domains}
        if not isinstance(dicts, Iterable) or isinstance(dicts, Mapping | str):
            raise InputError(f"configs: {dicts!r}; accepted is a list of dictionaries")
        for row, given in enumerate(dicts):
            if not isinstance(given, Mapping):
                raise InputError(f"configuration {row}: {given!r}; accepted is a dictionary of names and values")
            unknown = [name for name in given if name not in self.domains]
            if unknown:
                raise InputError(f"configuration {row}: unknown {unknown}; accepted are {list(self.domains)}")
            plain: dict[str, Any] = {}
            for name in self.order:
                domain, condition = self.domains[name], self.conditions.get(name)
                if condition is not None and not (
                    condition.parent in plain and plain[condition.parent] in condition.values
                ):
                    columns[name].append(first_value(domain))
                    continue
                if name not in given:
                    raise InputError(f"configuration {row}: {name} is missing")
                columns[name].append(domain.from_python(given[name], f"configuration {row}: {name}"))
                plain[name] = domain.to_python(columns[name][-1]) if self.children(name) else None
        dtypes = {Categorical: np.int32, Integer: np.int32, Float: np.float32, Subset: bool}
        return {
            n: jnp.asarray(np.asarray(c, dtypes[type(self.domains[n])]).reshape((-1, *self.domains[n].shape)))
            for n, c in columns.items()
        }

    def relax(self, logits: Mapping[str, Any], rule: Any = "softmax", key: jax.Array | None = None) -> jax.Array:
        """One relaxed encoding f32[width] from logits; see ``metajax.space._relax``."""
        return relax.relax(self, logits, rule, key)

    def values(self, encoding: jax.Array) -> dict[str, jax.Array]:
        """Each name's value in a relaxed encoding f32[width]; see ``metajax.space._relax.values``."""
        return relax.values(self, encoding)

    def logits(self, config: Mapping[str, Any], margin: float = 0.01) -> dict[str, jax.Array]:
        """Logits to begin a search at a configuration; see ``metajax.space._relax.logits``."""
        return relax.logits(self, config, margin)

    def zeros(self) -> dict[str, jax.Array]:
        """Logits of the uniform relaxed configuration: name -> zeros, ready for ``relax``."""
        return {
            name: jnp.zeros(() if isinstance(d, Float | Integer) else (d.width,), jnp.float32)
            for name, d in self.domains.items()
        }


_compiled_sample = jax.jit(Space._sample, static_argnums=(0, 2))
_active = rows.padded(Space.active)


def _slices(domains: Mapping[str, Domain], of: str) -> dict[str, slice]:
    """Where each domain's columns are, side by side."""
    ends = np.cumsum([0, *(getattr(d, of) for d in domains.values())])
    return {name: slice(int(a), int(b)) for name, a, b in zip(domains, ends[:-1], ends[1:])}


def _times(*factors: int | float) -> int | float:
    """The product; infinite if a factor is (a large whole number times infinity would overflow)."""
    return math.inf if math.inf in factors else math.prod(factors)
