"""One proposal in milliseconds: a Gaussian process whose prior is from other studies, and two thousand candidates."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax._compiled import quick_options
from metajax.predictor import kernel
from metajax.predictor.priors import transfer
from metajax.search import acquire
from metajax.space import Space
from metajax.space._rows import power_of_two
from metajax.types import Key, stream

_POOL, _TOP, _LISTED = 1024, 16, 64
_LARGE, _OTHERS = 256, 64
_RATES = (0.1, 0.3)  # at which a choice of a good configuration changes
_MIN_ROWS = 64
_COLUMN_STEP = 16  # Numbers of columns are rounded up to a multiple of it.
_KERNEL = kernel(steps=30, learning_rate=0.2, tuning_rows=128)  # A hundred trials tell the length scales well enough.


class Table(NamedTuple):
    """Trials of one study.

    Attributes:
        encodings: f32[n, width], their configurations.
        utility: f64[n], how good each was, without outliers, in any unit; larger is better.
    """

    encodings: np.ndarray
    utility: np.ndarray

    def padded(self, minimum: int = _MIN_ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns encodings, standardized utilities, and weights, with rows up to a power of two from ``minimum`` on."""
        n = len(self.utility)
        size = power_of_two(max(n, 1), minimum)
        x, y, weight = (np.zeros(shape, np.float32) for shape in ((size, self.encodings.shape[1]), size, size))
        if n:
            centered = self.utility - self.utility.mean()
            x[:n], y[:n], weight[:n] = self.encodings, centered / max(float(centered.std()), 1e-9), 1.0
        return x, y, weight


class Sources(NamedTuple):
    """The knowledge from other studies: the fitted kernel of each, stacked; no leaves without other studies.

    Attributes:
        number: Their number.
        params: Their parameters.
    """

    number: int
    params: Any


def learn(space: Space, tables: Sequence[Table]) -> Sources:
    """Fits a kernel to each of some studies of a space."""
    if not tables:
        return Sources(0, ())
    size, key = power_of_two(max(len(table.utility) for table in tables), _MIN_ROWS), jax.random.key(0)
    blocks = _padded_blocks(space)
    padded = [table._replace(encodings=_padded_columns(table.encodings, len(blocks))).padded(size) for table in tables]
    fitted = [_compiled_kernel()(key, *arrays, blocks) for arrays in padded]
    return Sources(len(tables), jax.tree.map(lambda *leaves: jnp.stack(leaves), *fitted))


def propose(space: Space, sources: Sources, table: Table, key: Key) -> np.ndarray:
    """Returns encodings f32[k, width] of what to try next, the most promising first.

    Args:
        space: The space.
        sources: The knowledge from other studies.
        table: The trials so far. Those that are still running may be among them, at a guessed utility.
        key: Random key of this proposal.
    """
    top, has_trials = np.zeros((_TOP, space.width), np.float32), len(table.utility) > 0
    if has_trials:
        top = np.resize(table.encodings[np.argsort(-table.utility, kind="stable")[:_TOP]], top.shape)
    pool = np.asarray(_drawing_program(space)(_random_numbers(key, _columns_of_draws(space)), top, has_trials))
    blocks = _padded_blocks(space)
    pad = lambda encodings: _padded_columns(encodings, len(blocks))
    trials = table._replace(encodings=pad(table.encodings)).padded()
    score = _scoring_program(sources.number)
    return pool[np.asarray(score(key, *trials, blocks, pad(pool), pad(top), has_trials, sources.params))]


def _padded_blocks(space: Space) -> np.ndarray:
    """The domain of each column, int[m], for a number of columns that many spaces share; further columns have one of none."""
    blocks = space.domain_of_column
    padding = np.full(_rounded_up(len(blocks)) - len(blocks), len(blocks))
    return np.concatenate([blocks, padding]).astype(np.int32)


def _rounded_up(columns: int) -> int:
    """A number of columns that many spaces share."""
    return -(-columns // _COLUMN_STEP) * _COLUMN_STEP


def _padded_columns(encodings: np.ndarray, columns: int) -> np.ndarray:
    """Encodings with zeros in further columns, which changes no distance."""
    return np.pad(encodings, ((0, 0), (0, columns - encodings.shape[1])))


def _columns_of_draws(space: Space) -> int:
    """The random numbers of a row of ``_drawing_program``, rounded up to a number that many spaces share."""
    return _rounded_up(max(space._n_draws, 2 * len(space.domains) + space.width))


@functools.partial(jax.jit, static_argnums=1)
def _random_numbers(key: Key, columns: int) -> jax.Array:
    """Uniform random numbers, f32[2 * _POOL, columns]. Spaces share this program: random bits take long to compile."""
    return jax.random.uniform(stream(key, "draw"), (2 * _POOL, columns), dtype=jnp.float32)


@functools.lru_cache(maxsize=64)
def _drawing_program(space: Space) -> Callable[..., jax.Array]:
    """Makes candidates of random numbers: random ones, and changes of the best trials; compiled once for each space."""
    n_domains, n_draws, width = len(space.domains), space._n_draws, space.width
    rates = np.repeat(np.array(_RATES, np.float32), _POOL // len(_RATES))[:, None]

    def draw(uniform, top, has_trials):
        random_encodings = space.encode(space._of_uniform(uniform[:_POOL, :n_draws]))
        picked, moves, changes = jnp.split(uniform[_POOL:, : 2 * n_domains + width], (n_domains, 2 * n_domains), axis=1)
        parents = space.decode_configs(jnp.tile(top, (_POOL // _TOP, 1)))
        normal = jax.scipy.special.ndtri(jnp.maximum(moves, jnp.finfo(jnp.float32).tiny))
        changed = space.encode(space._moved(parents, picked < rates, changes, normal))
        return jnp.concatenate([random_encodings, jnp.where(has_trials, changed, random_encodings)])

    return jax.jit(draw, compiler_options=quick_options() or None)


@functools.lru_cache(maxsize=64)
def _scoring_program(n_sources: int) -> Callable[..., jax.Array]:
    """Fits the model and returns the indices of the best candidates; spaces of similar width share the compiled program.

    It is compiled once for each power of two of the trials.
    """
    spec = transfer(n_sources) if n_sources else _KERNEL

    def columns(params, x):
        """The prior's mean and factors in front of the encoding, as ``priors.transfer`` reads them."""
        if not n_sources:
            return x
        means = jax.vmap(lambda kernel_params: _KERNEL.apply(kernel_params, x)[0])(params)
        common = jnp.mean(means, axis=0)
        return jnp.concatenate([common[:, None], (means - common).T, x], axis=1)

    def run(key, x, y, weight, blocks, pool, top, has_trials, params):
        fitted = spec.fit(stream(key, "fit"), columns(params, x), y, weight, blocks, None)
        # A deviation costs as much as the square of the trials: only candidates of a large mean, and some others, have one.
        inputs = columns(params, jnp.concatenate([pool, top]))
        means = spec.apply(fitted, inputs)[0]
        large = jax.lax.top_k(means[: len(pool)], _LARGE)[1]
        candidates = jnp.concatenate([large, jnp.arange(_OTHERS)])
        mean, std = spec.apply(fitted, inputs[candidates])
        score = jnp.where(has_trials, acquire("ei", mean, std, jnp.max(means[len(pool) :])), mean)
        return candidates[jax.lax.top_k(score, _LISTED)[1]]

    return jax.jit(run, compiler_options=quick_options() or None)


@functools.cache
def _compiled_kernel() -> Callable[..., Any]:
    return jax.jit(_KERNEL.fit, compiler_options=quick_options() or None)
