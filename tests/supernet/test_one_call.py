"""One call searches with a method: what it trains on, what it logs, how it decides, and that it resumes."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bright_rows import informative

from metajax import fewshot, nn, run, supernet
from metajax.testing import _supernet as testing
from metajax.types import InputError

SPACE = supernet.spaces.cell_space(3, testing.OPERATIONS)
X, Y = informative()
PARTS = (X[:64], Y[:64]), (X[64:], Y[64:])
STEPS = 3


def network(partial, single_path):
    return testing._tiny_network(SPACE, partial, single_path)


def search(method="gdas", **more):
    settings = {"steps": STEPS, "batch_size": 8} | more
    return supernet.run(method, SPACE, network, fewshot.cross_entropy, PARTS, **settings)


def test_it_is_the_methods_own_search_on_its_own_batches():
    """The same as building the method and training it by hand, with the augmentation on training images alone."""
    brighter = lambda x, key: x + jax.random.uniform(key)
    outcome = search(augment=brighter, seed=3)
    built = supernet.METHODS["gdas"].build(
        SPACE, network, fewshot.cross_entropy, steps=STEPS, steps_per_epoch=64 // 8, learning_rate=0.025
    )
    sample = supernet.sampler(PARTS, 8, augment=brighter)
    state = run.train(built.learner, built.init(jax.random.key(3)), sample, STEPS, chunk=STEPS, show=False)
    jax.tree.map(np.testing.assert_array_equal, outcome.state.params, state.params)
    np.testing.assert_array_equal(outcome.strengths, built.strengths(state))
    assert outcome.config == supernet.decide(SPACE, outcome.strengths)
    x, y = PARTS[1]
    apply = network(1, False).apply
    right = jnp.argmax(apply(state.params, x, jnp.asarray(outcome.strengths)), axis=-1) == y
    assert float(outcome.mixture(state.params, jnp.asarray(outcome.strengths))) == pytest.approx(float(right.mean()))


def test_a_resumed_search_decides_the_same_and_logs_what_it_would_have_decided(tmp_path):
    seen = []

    def evaluate(state, config):
        seen.append((int(state.step), config))
        return {"skips": supernet.diagnosis.count_value(config, "skip")}

    with run.RunDirectory(tmp_path / "run", {}) as directory:
        whole = search("gaea", directory=directory, evaluate=evaluate)
        assert directory.metrics()[-1]["skips"] == supernet.diagnosis.count_value(seen[-1][1], "skip")
    assert seen[-1] == (STEPS, whole.config)
    with run.RunDirectory(tmp_path / "run", {}, resume=True) as directory:
        again = search("gaea", directory=directory, evaluate=evaluate)
    assert again.config == whole.config
    np.testing.assert_array_equal(again.strengths, whole.strengths)


def test_a_method_that_decides_by_accuracies_ends_in_one_hot_strengths():
    outcome = search("enas")
    np.testing.assert_array_equal(outcome.strengths, SPACE.encode(SPACE.configs([outcome.config]))[0])
    best = float(outcome.single_path(outcome.state.params, jnp.asarray(outcome.strengths)))
    every = SPACE.encode(SPACE.at(np.arange(27)))
    values = supernet.baselines.by_shared_weights(outcome.single_path, outcome.state.params)(every)[0]
    assert best >= np.quantile(values, 0.5)  # the best of 100 draws among 27 architectures


def test_a_recipe_of_ones_own_runs_with_an_optimizer_of_ones_own():
    recipe = supernet.Recipe(supernet.relaxations.sigmoid_mixture())
    outcome = search(supernet.SupernetMethod("of my own", lambda space: recipe), weights_optimizer=optax.sgd(0.0))
    first = network(1, False).init
    assert outcome.config.keys() == SPACE.domains.keys()
    stays = search(recipe, weights_optimizer=optax.sgd(0.0), steps=1)
    jax.tree.map(np.testing.assert_array_equal, outcome.state.params, stays.state.params)
    assert jax.tree.structure(outcome.state.params) == jax.tree.structure(first(jax.random.key(0)))


def test_a_method_builds_with_the_arguments_of_its_recipe():
    method = supernet.METHODS["gdas"]
    assert inspect.signature(method.build) == inspect.signature(method.recipe(SPACE).build)
    one, other = (
        build(space=SPACE, network=network, loss=fewshot.cross_entropy, steps=4).init(jax.random.key(0))
        for build in (method.build, method.recipe(SPACE).build)
    )
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)
    with pytest.raises(TypeError, match="missing a required argument: 'loss'"):
        method.build(SPACE, network, steps=4)  # type: ignore[call-arg]


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(InputError, match=r"method must be one of darts-1, .*, got 'magic'"):
        search("magic")
    with pytest.raises(InputError, match="method must be a name of METHODS, a SupernetMethod or a Recipe"):
        search(supernet.relaxations.sigmoid_mixture)
    with pytest.raises(InputError, match="got 1 parts"):
        supernet.run("gdas", SPACE, network, fewshot.cross_entropy, PARTS[:1], steps=1)
    with pytest.raises(InputError, match="batch_size=0"):
        search(batch_size=0)
    whole = nn.Functional(*network(1, False))
    with pytest.raises(InputError, match="a method with partial=4 channels"):
        supernet.METHODS["pc-darts"].build(SPACE, whole, fewshot.cross_entropy, steps=1)
