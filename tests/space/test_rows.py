"""Rows go through programs that are made for powers of two; nobody can tell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.space import Categorical, Float, Integer, Space, Subset
from metajax.space import _rows as rows

SPACE = Space(
    {
        "model": Categorical(("linear", "network")),
        "width": Integer(1, 9),
        "rate": Float(1e-3, 1.0, log=True),
        "features": Subset(4, nonempty=True),
    },
    [("width", "model", ("network",))],
)


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("n", [1, 64, 65])
def test_padded_and_traced_agree(n):
    key = jax.random.key(n)
    configs = SPACE.sample(key, n)
    same(configs, jax.jit(SPACE.sample, static_argnums=1)(key, n))
    encodings = SPACE.encode(configs)
    assert encodings.shape == (n, SPACE.width) and encodings.dtype == jnp.float32
    same(encodings, jax.jit(SPACE.encode)(configs))
    same(SPACE.decode_configs(encodings), jax.jit(SPACE.decode_configs)(encodings))
    assert len(SPACE.dicts(configs)) == n


def test_no_rows_stay_no_rows():
    none = {name: column[:0] for name, column in SPACE.sample(jax.random.key(0), 1).items()}
    assert SPACE.encode(none).shape == (0, SPACE.width)
    assert SPACE.dicts(none) == []


def test_constants_inside_of_a_compiled_program():
    configs = SPACE.sample(jax.random.key(0), 3)
    scaled = jax.jit(lambda scale: scale * SPACE.encode(configs))(2.0)
    np.testing.assert_allclose(scaled, 2.0 * np.asarray(SPACE.encode(configs)))


def test_plain_lists_are_rows_too():
    configs = SPACE.sample(jax.random.key(0), 5)
    lists = {name: np.asarray(column).tolist() for name, column in configs.items()}
    same(SPACE.encode(lists), SPACE.encode(configs))
    assert SPACE.dicts(lists) == SPACE.dicts(configs)


def test_few_sizes_are_compiled():
    assert [rows.padded_size(n) for n in (1, 64, 65, 1000, 1025)] == [64, 64, 256, 1024, 4096]
    assert rows.padded_size(10**6) == 10**6, "many rows are not doubled"
    SPACE.sample(jax.random.key(0), 5)
    from metajax.space._sampling import _compiled_sample

    before = _compiled_sample()._cache_size()
    for n in range(1, 30):
        SPACE.sample(jax.random.key(n), n)
    assert _compiled_sample()._cache_size() == before
