"""How numbers enter a network: each encoding against its formula."""

import jax.numpy as jnp
import numpy as np
import pytest

from metajax.automl import _encoding as encoding


def columns(rows=400):
    """A skewed number, a number of five values, and a column of two values."""
    rng = np.random.default_rng(0)
    return np.stack([np.exp(rng.normal(size=rows)), rng.integers(0, 5, rows), rng.integers(0, 2, rows)], axis=1).astype(
        np.float32
    )


def piecewise(x, edges):
    """The encoding of one column, as the paper writes it."""
    encoded = np.zeros((len(x), len(edges) - 1))
    for t, (left, right) in enumerate(zip(edges[:-1], edges[1:])):
        share = (x - left) / (right - left)
        if t > 0:
            share = np.where(x < left, 0.0, share)
        if t < len(edges) - 2:
            share = np.where(x >= right, 1.0, share)
        encoded[:, t] = share
    return encoded


def test_piecewise_linear_encoding_is_that_of_the_paper():
    x = columns()
    layout = encoding.make_layout(x)
    assert layout.bins.tolist() == [16, 4, 1]
    table = encoding.fit_table(layout, x, raw=False, bins=True, periodic=False)
    new = np.concatenate([x, [[-5.0, -1.0, 0.5], [99.0, 9.0, 2.0]]]).astype(np.float32)
    encoded = np.asarray(encoding.encode(table, jnp.asarray(new)))
    assert encoded.dtype == np.float32
    quantiles = np.quantile(x[:, 0], np.linspace(0, 1, 17))
    np.testing.assert_allclose(encoded[:, :16], piecewise(new[:, 0], quantiles), rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(encoded[:, 16:20], piecewise(new[:, 1], np.arange(5.0)), atol=1e-6)
    np.testing.assert_array_equal(encoded[:, 20], new[:, 2])


def test_raw_columns_come_first_and_pass_unchanged():
    x = columns()
    table = encoding.fit_table(encoding.make_layout(x), x, raw=True, bins=True, periodic=False)
    np.testing.assert_array_equal(encoding.encode(table, jnp.asarray(x))[:, :3], x)


def test_other_rows_have_the_same_shapes():
    """A split in which a column has one value, or half of its quantiles are equal."""
    x = columns()
    layout, other = encoding.make_layout(x), x[:100].copy()
    other[:60, 0], other[:, 1] = 1.0, 3.0
    table = encoding.fit_table(layout, other, raw=False, bins=True, periodic=False)
    encoded = np.asarray(encoding.encode(table, jnp.asarray(other)))
    assert encoded.shape == (100, 21) and np.isfinite(encoded).all()
    edges = np.unique(np.quantile(other[:, 0], np.linspace(0, 1, 17)).astype(np.float32))
    np.testing.assert_allclose(encoded[:, : len(edges) - 1], piecewise(other[:, 0], edges), atol=2e-4)
    np.testing.assert_array_equal(encoded[:, len(edges) - 1 : 16], 0.0)


def test_periodic_embedding_is_sines_and_cosines_a_linear_layer_and_a_relu():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(7, 3)).astype(np.float32)
    params = {
        "frequency": rng.normal(size=(3, 4)).astype(np.float32),
        "wave_kernel": rng.normal(size=(8, 5)).astype(np.float32),
        "wave_bias": rng.normal(size=5).astype(np.float32),
    }
    expected = np.zeros((7, 3, 5))
    for row in range(7):
        for column in range(3):
            angle = 2 * np.pi * params["frequency"][column] * x[row, column]
            waves = np.concatenate([np.sin(angle), np.cos(angle)])
            expected[row, column] = np.maximum(waves @ params["wave_kernel"] + params["wave_bias"], 0.0)
    np.testing.assert_allclose(encoding.periodic(params, jnp.asarray(x)), expected.reshape(7, 15), atol=2e-5)


@pytest.mark.parametrize(("n", "bins"), [(64, 16), (1024, 2)])
def test_wide_tables_have_fewer_bins(n, bins):
    x = np.random.default_rng(0).normal(size=(40, n)).astype(np.float32)
    layout = encoding.make_layout(x)
    assert set(layout.bins.tolist()) == {bins}
    assert layout.sizes(False, True, True) == (0, n * bins, n * min(8, 2048 // n))
