"""Every configuration of a finite space through a network of one hidden layer, faster than it could be written down.

The space is cut in two. A configuration's hidden units are then ``a + b``, the share of its prefix and that of its suffix, and
since ``relu(a + b) = a + max(b, -a)``, its value is ``const[prefix] ± Σ_u max(|w_u| b_u, -|w_u| a_u)``: a comparison and an
addition for each unit, over arrays that stay in the cache. Of each suffix only the best of a chunk of prefixes is kept, so that
memory does not grow with the space; the few chunks that can hold one of the k best are looked at again in float64.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.predictor._forms import Network
from metajax.search._blocks import Sums, blocks, cut
from metajax.search._groups import Group, Limits
from metajax.types import InputError

_FLOATS = 262_144  # suffixes times units: what stays in the cache
_CHUNK = 2048  # prefixes between two looks at what was found


class Enumerated(NamedTuple):
    """int[k, groups] values taken, best first; their f64[k] values; how many configurations there are."""

    taken: np.ndarray
    values: np.ndarray
    number: int


def enumerate_all(network: Network, parts: Sequence[Group], keep: Limits, k: int = 1) -> Enumerated:
    """The k best of all configurations, exactly: in float64, with the error of float32 allowed for on the way. Chunks are
    spread over the local devices.

    Args:
        network: of one hidden layer.
        parts: the groups of the space.
        keep: its rules; a budget is not kept.
        k: how many.

    Raises:
        InputError: if the network is deeper, or groups that depend on each other have over 10^6 combinations.
    """
    if len(network.layers) != 2:
        raise InputError(f"enumerate: {len(network.layers) - 1} hidden layers; accepted is one (certify takes two)")
    (first, bias), (second, last) = network.layers
    rising = np.argsort(second[:, 0] < 0, kind="stable")  # units of positive weight first
    first, bias, weight = first[:, rising], bias[rising], second[rising, 0]
    size, units = np.abs(weight), len(weight)
    whole = blocks(parts, keep)
    inner, outer = cut([len(block.taken) for block in whole], max(64, _FLOATS // units))
    worth = [part.rows @ first for part in parts]
    suffixes, prefixes = (Sums(parts, [whole[i] for i in some], worth, units) for some in (inner, outer))
    every = np.arange(suffixes.size)
    b = suffixes.values(every)
    at_once = 1 << max(0, min(2, (512 // units).bit_length() - 1))
    columns = jnp.asarray(_pad((b * size).astype(np.float32), -(-len(b) // 16) * 16).T)
    reach = sum((np.abs(w).max(axis=0) for w in worth), np.abs(bias))
    margin = 8 * (units + len(parts)) * 2.0**-24 * float(reach @ size + abs(last[0]))

    best = _Best(k, margin)
    devices: list[Any] = jax.local_devices()
    best_of = _compiled(devices[0].platform)
    waiting: list[tuple[int, jax.Array]] = []
    copies = [jax.device_put(columns, device) for device in devices]
    for turn, start in enumerate(range(0, prefixes.size, _CHUNK)):
        a = prefixes.values(np.arange(start, min(start + _CHUNK, prefixes.size))) + bias
        rows = np.empty((_CHUNK, units + 1), np.float32)
        np.multiply(a, -size, out=rows[: len(a), :units], casting="same_kind")
        rows[: len(a), units] = a @ weight + last[0]
        rows[len(a) :] = rows[0]  # fills the chunk
        place = turn % len(devices)
        sent = jax.device_put(rows, devices[place])
        waiting.append((start, best_of(copies[place], sent, int((weight >= 0).sum()), at_once)))
        if len(waiting) > 2 * len(devices):
            best.look(*waiting.pop(0), number=len(b))
    for item in waiting:
        best.look(*item, number=len(b))

    taken, values = np.zeros((0, len(parts)), np.int64), np.zeros(0)
    found = best.finalists()
    for start in sorted({start for start, _ in found}):
        index = np.arange(start, min(start + _CHUNK, prefixes.size))
        a, named = prefixes.values(index) + bias, prefixes.taken(index)
        for s in sorted(s for chunk, s in found if chunk == start):
            value = np.maximum(a + b[s], 0.0) @ weight + last[0]
            top = np.argsort(-value, kind="stable")[:k]
            rows = np.maximum(named[top], suffixes.taken(every[s : s + 1]))
            taken, values = np.concatenate([taken, rows]), np.concatenate([values, value[top]])
        order = np.argsort(-values, kind="stable")[:k]
        taken, values = taken[order], values[order]
    return Enumerated(taken, values, prefixes.size * suffixes.size)


class _Best:
    """(chunk, suffix) pairs that can hold one of the k best: no k others are better by more than the margin."""

    def __init__(self, k: int, margin: float):
        self.k, self.margin = k, margin
        self.values, self.pairs = np.zeros(0, np.float32), np.zeros((0, 2), np.int64)

    @property
    def least(self) -> float:
        k = self.k
        return -np.inf if len(self.values) < k else float(np.partition(self.values, -k)[-k]) - 2 * self.margin

    def look(self, start: int, best: jax.Array, number: int) -> None:
        found = np.asarray(best)[:number]
        good = np.flatnonzero(found >= self.least)
        if len(good):
            pairs = np.stack([np.full(len(good), start), good], axis=1)
            self.values, self.pairs = np.concatenate([self.values, found[good]]), np.concatenate([self.pairs, pairs])
            kept = self.values >= self.least
            self.values, self.pairs = self.values[kept], self.pairs[kept]

    def finalists(self) -> list[tuple[int, int]]:
        return [(int(start), int(s)) for start, s in self.pairs]


def _pad(rows: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([rows, np.zeros((length - len(rows), rows.shape[1]), rows.dtype)])


# XLA takes half of an AVX-512 register unless it is told otherwise; whole ones are up to a quarter faster here
_WIDE = {"xla_cpu_prefer_vector_width": 512}


@functools.cache
def _compiled(platform: str) -> Any:
    return jax.jit(_best_of, static_argnums=(2, 3), compiler_options=_WIDE if platform == "cpu" else None)


def _best_of(columns: jax.Array, rows: jax.Array, positive: int, at_once: int) -> jax.Array:
    """f32[suffixes]: the best over prefixes; columns f32[units, suffixes], rows f32[prefixes, units + 1]."""

    def body(i, best):
        for row in jax.lax.dynamic_slice_in_dim(rows, i * at_once, at_once):
            total = row[-1]
            for u, column in enumerate(columns):
                # not jnp.maximum, whose care for NaN costs three instructions in place of one
                larger = jnp.where(column > row[u], column, row[u])
                total = total + larger if u < positive else total - larger
            best = jnp.where(total > best, total, best)
        return best

    return jax.lax.fori_loop(0, len(rows) // at_once, body, jnp.full(columns.shape[1], -jnp.inf, columns.dtype))
