"""Paths and graph networks of cells: what computes the same looks the same, and gradients are right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax import predictor, supernet
from metajax.space import Categorical, Float, Space
from metajax.types import InputError

SPACE = supernet.spaces.cell_space()
PATHS = predictor.architectures.path_features(SPACE)


def test_paths_are_counted_as_by_hand():
    config = dict.fromkeys(SPACE.domains, "none") | {
        "edge_0_1": "conv3x3",
        "edge_1_3": "avg_pool",
        "edge_0_3": "skip",
        "edge_1_2": "skip",
        "edge_2_3": "conv3x3",
    }
    # words of three kinds (conv1x1, conv3x3, avg_pool), shorter first: "", 3 of one, 9 of two, 27 of three
    counts = np.asarray(PATHS.apply(SPACE.encode(SPACE.configs([config]))))[0]
    words = {0: 1.0, 4 + 3 * 1 + 2: 1.0, 4 + 3 * 1 + 1: 1.0}  # skip; conv3x3 avg_pool; conv3x3 conv3x3
    np.testing.assert_allclose(counts[:40], [words.get(i, 0.0) for i in range(40)])
    of_conv3x3 = counts[40 + 4 : 40 + 8]  # how many paths have it 0, 1, 2, 3 times
    np.testing.assert_allclose(of_conv3x3, [1.0, 1.0, 1.0, 0.0])
    assert len(counts) == len(PATHS.blocks) == 40 + 2 * 4 * 4


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 15_624), st.integers(0, 15_624))
def test_cells_that_compute_the_same_have_the_same_paths(a, b):
    first, second = SPACE.dicts(SPACE.at([a, b]))
    same = supernet.truth.canonical_form(first) == supernet.truth.canonical_form(second)
    features = np.asarray(PATHS.apply(SPACE.encode(SPACE.at([a, b]))))
    assert not same or np.array_equal(features[0], features[1])


def test_relaxed_counts_are_expected_counts():
    logits = jax.tree.map(lambda z: jax.random.normal(jax.random.key(0), z.shape), SPACE.zeros())
    relaxed = SPACE.relax(logits)
    share = {name: np.asarray(jax.nn.softmax(z)) for name, z in logits.items()}
    expected = {
        name: np.random.default_rng(i).choice(5, 40_000, p=p / p.sum()) for i, (name, p) in enumerate(share.items())
    }
    mean = np.asarray(PATHS.apply(SPACE.encode(expected)))[:, :56].mean(axis=0)
    np.testing.assert_allclose(np.asarray(PATHS.apply(relaxed[None]))[0, :56], mean, atol=0.02)


@pytest.mark.parametrize(
    "spec",
    [
        predictor.with_features(predictor.kernel(), PATHS, keep_encoding=True),
        predictor.architectures.graph_network(SPACE, steps=100),
    ],
)
def test_gradients_agree_with_differences(spec):
    trials = predictor.Trials.from_arrays(
        SPACE, SPACE.sample(jax.random.key(0), 40), np.random.default_rng(0).normal(size=40)
    )
    model = predictor.fit(trials, spec, "value")
    x = SPACE.relax(jax.tree.map(lambda z: 0.3 * jax.random.normal(jax.random.key(1), z.shape), SPACE.zeros()))
    value = jax.jit(lambda x: model.score(x[None])[0][0])
    direction = jax.random.normal(jax.random.key(2), x.shape)
    slope = jnp.vdot(jax.grad(value)(x), direction)
    difference = (value(x + 1e-2 * direction) - value(x - 1e-2 * direction)) / 2e-2
    np.testing.assert_allclose(slope, difference, rtol=0.05, atol=1e-2)


def test_a_graph_network_learns_what_edges_share():
    """Worth is the number of paths, which one function of a node explains."""
    space = supernet.spaces.cell_space(operations=("none", "skip"))
    every = space.at(np.arange(space.size))
    worth = np.asarray(
        predictor.architectures.path_features(supernet.spaces.cell_space()).apply(
            SPACE.encode({n: np.where(np.asarray(c) == 1, 1, 0) for n, c in every.items()})
        )
    )[:, 0]
    rows = np.random.default_rng(0).permutation(64)[:40]
    trials = predictor.Trials.from_arrays(space, {n: np.asarray(c)[rows] for n, c in every.items()}, worth[rows])
    mean = predictor.fit(trials, predictor.architectures.graph_network(space), "value").predict(space.encode(every))[0]
    rest = np.setdiff1d(np.arange(64), rows)
    assert np.corrcoef(mean[rest], worth[rest])[0, 1] > 0.95


def test_context_and_other_choices_stay():
    space = Space({**SPACE.domains, "rate": Float(0.0, 1.0)})
    configs = space.sample(jax.random.key(0), 60)
    context = np.random.default_rng(0).normal(size=(60, 2))
    metric = np.asarray(configs["rate"]) + context[:, 1]
    trials = predictor.Trials.from_arrays(space, configs, metric, context=context)
    for spec in (
        predictor.with_features(predictor.ridge(), predictor.architectures.path_features(space), keep_encoding=True),
        predictor.architectures.graph_network(space, steps=200),
    ):
        mean, _ = predictor.fit(trials, spec, "value").predict(trials.encodings, context)
        assert np.corrcoef(mean, metric)[0, 1] > 0.9


def test_spaces_without_a_cell_are_refused():
    with pytest.raises(InputError, match="edges named like edge_0_1"):
        predictor.architectures.path_features(Space({"x": Float(0.0, 1.0)}))
    with pytest.raises(InputError, match="from a node to a later one"):
        predictor.architectures.cell_graph(Space({"edge_1_0": Categorical("ab")}))
    with pytest.raises(InputError, match="operations"):
        predictor.architectures.path_features(Space({"edge_0_1": Categorical(("none", "skip"))}))
