"""Every space: the SuperNet on a one-hot encoding is the stand-alone network with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bright_rows import weights

from metajax import supernet
from metajax.types import InputError

SPACES = {
    "cells": (supernet.spaces.cell_supernet(3, 2, 2, 1, 3, nodes=3), (3, 4, 4, 3)),
    "darts": (supernet.spaces.darts_supernet(3, 2, 3, 3, nodes=1), (3, 4, 4, 3)),
    "choice_blocks": (supernet.spaces.choice_blocks_supernet(3, 2, 2, 1, 3, parents=(1, 2, 2)), (3, 4, 4, 3)),
    "chain": (supernet.spaces.chain_supernet(3, 4, layers=(1, 1), channels=(4, 6)), (3, 4, 4, 3)),
    "elastic_transformer": (
        supernet.spaces.elastic_transformer(5, 4, 3, (1, 2), (4, 8), (1, 2), (1, 2), 4),
        (3, 4, 5),
    ),
    "elastic_mlp": (supernet.spaces.elastic_mlp(5, 3, (1, 2, 4), (4, 8, 16)), (6, 5)),
    "elastic_convolution": (
        supernet.spaces.elastic_convolution(3, 4, (4, 6), (1, 2), (1, 2), (3, 5), (1, 2)),
        (3, 6, 6, 3),
    ),
}


@pytest.fixture(scope="module", params=SPACES)
def case(request):
    """A SuperNet, its weights, images, and one program: outputs and the slope of their squares' sum in the encoding."""
    model, shape = SPACES[request.param]
    params, x = weights(model.network.init), np.random.default_rng(1).normal(size=shape).astype(np.float32)

    def value(encoding):
        outputs = model.network.apply(params, x, encoding)
        return jnp.sum(outputs**2), outputs

    return model, params, x, jax.jit(jax.grad(value, has_aux=True))


def test_one_hot_encodings_are_the_stand_alone_networks(case):
    model, params, x, slope = case
    configs = model.space.sample(jax.random.key(2), 4)
    for config, encoding in zip(model.space.dicts(configs), model.space.encode(configs)):
        alone = model.build(config)
        own = model.extract(params, config)
        shapes = lambda tree: jax.tree.map(jnp.shape, tree)
        assert shapes(own) == shapes(jax.eval_shape(alone.init, jax.random.key(0)))
        np.testing.assert_allclose(slope(encoding)[1], jax.jit(alone.apply)(own, x), rtol=1e-4, atol=1e-4)


def test_relaxed_encodings_have_finite_slopes_everywhere(case):
    model, _, _, slope = case
    zeros = model.space.zeros()
    direction = slope(jax.jit(model.space.relax)(zeros))[0]
    slopes = jax.jit(jax.grad(lambda logits: model.space.relax(logits) @ direction))(zeros)
    sizes = jax.tree.map(lambda g: np.abs(g).max(), slopes)
    assert all(np.isfinite(v) and v > 0 for v in sizes.values()), sizes


def test_sizes_reach_what_the_field_speaks_of():
    assert supernet.spaces.elastic_convolution(3, 10).space.log10_size == pytest.approx(19.3, abs=0.1)
    assert supernet.spaces.elastic_mlp(4, 3, range(1, 41), range(8, 81, 8)).space.log10_size == pytest.approx(
        40, abs=0.1
    )


def test_the_spaces_of_choice_blocks():
    space = supernet.spaces.choice_blocks_space(supernet.spaces.PARENTS[3])
    assert list(space.domains)[-1] == "parents_6"
    assert space.domains["parents_2"].choices == ("0", "1")
    assert space.domains["parents_6"].choices[-1] == "4+5"
    assert supernet.spaces.choice_blocks_space((1, 2, 1)).size == 9 * 3
    with pytest.raises(InputError, match=r"two numbers or more, where that of node k is from 1 to k, got \(1, 3\)"):
        supernet.spaces.choice_blocks_space((1, 3))


def test_bad_sizes_and_configurations_are_named():
    with pytest.raises(InputError, match=r"widths must be positive integers in ascending order, got \(8, 4\)"):
        supernet.spaces.elastic_mlp(2, 2, widths=(8, 4))
    with pytest.raises(InputError, match=r"kernels must be odd integers in ascending order, got \(2, 3\)"):
        supernet.spaces.elastic_convolution(3, 2, kernels=(2, 3))
    with pytest.raises(InputError, match="must have one entry for each stage"):
        supernet.spaces.elastic_convolution(3, 2, channels=(4,), strides=(1, 2))
    with pytest.raises(ValueError, match="depth: 7 is not one of"):
        supernet.spaces.elastic_mlp(2, 2).build({"depth": 7})


def test_an_operation_that_changes_shape_is_named():
    wider = supernet.spaces.Operation(lambda key, channels: {}, lambda params, x: jnp.concatenate([x, x], axis=-1))
    with pytest.raises(InputError, match=r"'wider' turns \(2, 8, 8, 16\) into \(2, 8, 8, 32\)"):
        supernet.spaces.chain_supernet(3, 4, {"identity": supernet.spaces.identity(), "wider": wider})
