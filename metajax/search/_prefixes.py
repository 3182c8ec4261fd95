"""Every configuration of a finite space through a network with one hidden layer, faster than they could be written down.

The space is cut in two. The hidden units of a configuration are then ``a + b``, the share of its prefix and that of its suffix.
Since ``relu(a + b) = a + max(b, -a)``, its value is ``const[prefix] ± Σ_u max(|w_u| b_u, -|w_u| a_u)``: a comparison and an
addition for each unit, over arrays that stay in the cache. For each suffix only the best of a chunk of prefixes is kept, so
that memory does not grow with the space. The few chunks that can hold one of the k best are evaluated again in float64.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from metajax.parallel import Devices, mesh
from metajax.predictor._forms import Network
from metajax.search._blocks import Sums, blocks, largest_product
from metajax.search._groups import Group, Limits
from metajax.types import InputError

_CACHED_FLOATS = 262_144
"""Number of suffixes times number of units that stays in the cache."""
_CHUNK = 2048
"""Number of prefixes that are evaluated between two checks of the results."""


class Enumerated(NamedTuple):
    """The outcome of an enumeration.

    Attributes:
        assignments: int[k, groups], the values of the best configurations.
        values: f64[k], best first.
        number: Number of configurations of the space.
    """

    assignments: Integer[np.ndarray, "k groups"]
    values: Float[np.ndarray, " k"]
    number: int


def enumerate_all(
    network: Network, parts: Sequence[Group], constraints: Limits, k: int = 1, devices: Devices = "all"
) -> Enumerated:
    """The k best of all configurations, exactly: values are float64, and the error of float32 on the way is allowed for.

    Chunks are spread over the devices of this process; over hosts, every process does all.

    Args:
        network: A network with one hidden layer.
        parts: The groups of the space.
        constraints: The forbidden combinations; a budget is ignored.
        k: Number of configurations.
        devices: The devices that share the work.

    Raises:
        InputError: If the network is deeper, or groups that depend on each other have over 10^6 combinations.
    """
    if len(network.layers) != 2:
        raise InputError(
            f"Enumerate: the network must have one hidden layer, got {len(network.layers) - 1}; use search.Certify for two"
        )
    halves = _Halves(network, parts, constraints)
    local_devices = [device for device in mesh(devices).devices.ravel() if device.process_index == jax.process_index()]
    return _finalists(halves, _scan(halves, k, local_devices), k)


class _Halves:
    """A space that is cut into prefixes and suffixes, and their shares of the hidden units.

    Attributes:
        prefixes, suffixes: The two products of blocks.
        bias, weight, constant: Bias f64[units] of the hidden layer, weight f64[units] and constant of the output. Units of
            positive weight come first.
        suffix_units: f64[suffixes, units], the shares of the suffixes.
        margin: A bound on the error of float32.
    """

    def __init__(self, network: Network, parts: Sequence[Group], constraints: Limits):
        (first, bias), (second, last) = network.layers
        rising = np.argsort(second[:, 0] < 0, kind="stable")
        first, self.bias, self.weight = first[:, rising], bias[rising], second[rising, 0]
        self.constant, self.groups, units = last[0], len(parts), len(self.weight)
        all_blocks = blocks(parts, constraints)
        sizes = [len(block.assignments) for block in all_blocks]
        inner, outer = largest_product(sizes, max(64, _CACHED_FLOATS // units))
        shares = [part.rows @ first for part in parts]
        self.suffixes, self.prefixes = (
            Sums(parts, [all_blocks[i] for i in half], shares, units) for half in (inner, outer)
        )
        self.suffix_units = self.suffixes.values(np.arange(self.suffixes.size))
        reach = sum((np.abs(share).max(axis=0) for share in shares), np.abs(self.bias))
        self.margin = 8 * (units + len(parts)) * 2.0**-24 * float(reach @ np.abs(self.weight) + abs(self.constant))

    def chunk(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of a chunk of prefixes, and f64[prefixes, units] their hidden units without a suffix."""
        index = np.arange(start, min(start + _CHUNK, self.prefixes.size))
        return index, self.prefixes.values(index) + self.bias


def _scan(halves: _Halves, k: int, devices: Sequence[Any]) -> "_Best":
    """The chunks and suffixes that can hold one of the k best, by float32 over all prefixes and suffixes."""
    size, units, n_suffixes = np.abs(halves.weight), len(halves.weight), len(halves.suffix_units)
    at_once = 1 << max(0, min(2, (512 // units).bit_length() - 1))
    columns = jnp.asarray(_pad((halves.suffix_units * size).astype(np.float32), -(-n_suffixes // 16) * 16).T)
    best = _Best(k, halves.margin)
    best_of = _compiled(devices[0].platform)
    waiting: list[tuple[int, jax.Array]] = []
    copies = [jax.device_put(columns, device) for device in devices]
    for turn, start in enumerate(range(0, halves.prefixes.size, _CHUNK)):
        _, a = halves.chunk(start)
        rows = np.empty((_CHUNK, units + 1), np.float32)
        np.multiply(a, -size, out=rows[: len(a), :units], casting="same_kind")
        rows[: len(a), units] = a @ halves.weight + halves.constant
        rows[len(a) :] = rows[0]  # fills the chunk
        device = turn % len(devices)
        sent = jax.device_put(rows, devices[device])
        waiting.append((start, best_of(copies[device], sent, int((halves.weight >= 0).sum()), at_once)))
        if len(waiting) > 2 * len(devices):
            best.look(*waiting.pop(0), number=n_suffixes)
    for item in waiting:
        best.look(*item, number=n_suffixes)
    return best


def _finalists(halves: _Halves, best: "_Best", k: int) -> Enumerated:
    """The k best by float64, out of the chunks and suffixes that can hold them."""
    assignments, values = np.zeros((0, halves.groups), np.int64), np.zeros(0)
    pairs = [(int(start), int(suffix)) for start, suffix in best.pairs]
    for start in sorted({start for start, _ in pairs}):
        index, a = halves.chunk(start)
        prefix_assignments = halves.prefixes.assignments(index)
        for suffix in sorted(s for chunk, s in pairs if chunk == start):
            value = np.maximum(a + halves.suffix_units[suffix], 0.0) @ halves.weight + halves.constant
            top = np.argsort(-value, kind="stable")[:k]
            rows = np.maximum(prefix_assignments[top], halves.suffixes.assignments(np.array([suffix])))
            assignments, values = np.concatenate([assignments, rows]), np.concatenate([values, value[top]])
        order = np.argsort(-values, kind="stable")[:k]
        assignments, values = assignments[order], values[order]
    return Enumerated(assignments, values, halves.prefixes.size * halves.suffixes.size)


class _Best:
    """Pairs (chunk, suffix) that can hold one of the k best: no k others are better by more than the margin."""

    def __init__(self, k: int, margin: float):
        self.k, self.margin = k, margin
        self.values, self.pairs = np.zeros(0, np.float32), np.zeros((0, 2), np.int64)

    @property
    def threshold(self) -> float:
        """The value that a pair needs."""
        k = self.k
        return -np.inf if len(self.values) < k else float(np.partition(self.values, -k)[-k]) - 2 * self.margin

    def look(self, start: int, best: jax.Array, number: int) -> None:
        """Takes the best values of a chunk into account, f32[suffixes] with padding."""
        values = np.asarray(best)[:number]
        good = np.flatnonzero(values >= self.threshold)
        if len(good):
            pairs = np.stack([np.full(len(good), start), good], axis=1)
            self.values, self.pairs = np.concatenate([self.values, values[good]]), np.concatenate([self.pairs, pairs])
            remaining = self.values >= self.threshold
            self.values, self.pairs = self.values[remaining], self.pairs[remaining]


def _pad(rows: np.ndarray, length: int) -> np.ndarray:
    """The rows, filled up with zeros."""
    return np.concatenate([rows, np.zeros((length - len(rows), rows.shape[1]), rows.dtype)])


# By default XLA uses half of an AVX-512 register; whole ones are up to a quarter faster here.
_WIDE = {"xla_cpu_prefer_vector_width": 512}


@functools.cache
def _compiled(platform: str) -> Any:
    """``_best_of``, compiled for a platform."""
    return jax.jit(_best_of, static_argnums=(2, 3), compiler_options=_WIDE if platform == "cpu" else None)


def _best_of(columns: jax.Array, rows: jax.Array, positive: int, at_once: int) -> jax.Array:
    """f32[suffixes]: the best over prefixes; columns f32[units, suffixes], rows f32[prefixes, units + 1]."""

    def body(i, best):
        for row in jax.lax.dynamic_slice_in_dim(rows, i * at_once, at_once):
            total = row[-1]
            for u, column in enumerate(columns):
                # jnp.maximum takes care of NaN, which costs three instructions in place of one
                larger = jnp.where(column > row[u], column, row[u])
                total = total + larger if u < positive else total - larger
            best = jnp.where(total > best, total, best)
        return best

    return jax.lax.fori_loop(0, len(rows) // at_once, body, jnp.full(columns.shape[1], -jnp.inf, columns.dtype))
