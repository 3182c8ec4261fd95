"""The parts of search methods against what they are defined to be (what all methods keep: ``test_search_contract.py``)."""

import functools

import bright_rows
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax import bilevel, fewshot, nn, supernet
from metajax.supernet._logits import log_probability
from metajax.testing import _supernet as testing
from metajax.types import InputError

SPACE = supernet.spaces.cell_space(3)


SMALL = supernet.spaces.cell_space(3, testing.OPERATIONS)
DENSE = testing._tiny_network(SMALL, 1, False)


def moment(mask=None, progress=0.5, epoch=0.0):
    return supernet.Moment(jnp.asarray(progress), jnp.ones(SPACE.width) if mask is None else mask, epoch)


def logits(seed=0, scale=1.0):
    return jax.tree.map(lambda x: scale * jax.random.normal(jax.random.key(seed), x.shape, x.dtype), SPACE.zeros())


def test_unknown_methods_are_named():
    with pytest.raises(InputError, match=r"method must be one of darts-1, .*, got 'magic'"):
        supernet.METHODS["magic"].recipe(SPACE)
    network = nn.functional(lambda rngs: supernet.spaces.CellNet(SPACE, 3, 4, 1, rngs=rngs))
    with pytest.raises(InputError, match="steps=0"):
        supernet.compose_search(SPACE, network, fewshot.cross_entropy, optax.sgd(0.1), optax.sgd(0.1), 0)


RELAXATIONS = {
    "softmax": supernet.relaxations.softmax_mixture(),
    "straight_through": supernet.relaxations.straight_through_path(),
    "concrete": supernet.relaxations.concrete_sample(),
    "dirichlet": supernet.relaxations.dirichlet_sample(),
    "exponentiated": supernet.relaxations.exponentiated_mixture(),
    "policy": supernet.relaxations.controller(3),
    "sampled": supernet.relaxations.sampled_paths(supernet.relaxations.uniform_paths(2)),
}


@functools.cache
def encodings_and_strengths(name):
    """One compiled program: what the weights learn on, what is judged, and the strengths."""
    relaxation = RELAXATIONS[name]

    def compute(seed, mask):
        given = SPACE, logits(seed), moment(mask), jax.random.key(seed)
        return (relaxation.train(*given), relaxation.judge(*given)), relaxation.strengths(SPACE, given[1], mask)

    return jax.jit(compute)


@pytest.mark.parametrize("name", RELAXATIONS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**20), pruned=st.lists(st.integers(0, 14), max_size=8))
def test_pruned_choices_weigh_nothing_and_the_others_sum_to_one(name, seed, pruned):
    mask = np.ones((3, 5), np.float32)
    for index in pruned:
        if mask[index // 5].sum() > 1:
            mask[index // 5, index % 5] = 0
    mask = mask.reshape(-1)
    both, strengths = encodings_and_strengths(name)(seed, mask)
    for encodings in map(np.asarray, both):
        assert np.all(encodings[:, mask == 0] == 0)
        np.testing.assert_allclose(encodings.reshape(-1, 3, 5).sum(-1), 1.0, atol=1e-5)
    assert np.all(np.asarray(strengths)[mask == 0] == 0)


def test_a_choice_of_which_everything_is_pruned_is_named():
    with pytest.raises(InputError, match="all values of 'edge_0_2' are pruned"):
        supernet.events.check_mask(SPACE, jnp.ones(15).at[5:10].set(0))


def test_descent_on_exponentiated_logits_is_the_multiplicative_update(x64):
    rng = np.random.default_rng(3)
    gradient, relaxation = rng.normal(size=SPACE.width), supernet.relaxations.exponentiated_mixture()
    start = {name: rng.normal(size=5) for name in SPACE.domains}
    loss = lambda h: relaxation.judge(SPACE, h, moment(), jax.random.key(0))[0] @ gradient
    slope = jax.jit(jax.grad(loss))(start)
    moved = {name: start[name] - 0.3 * np.asarray(slope[name]) for name in start}
    strengths = jax.jit(lambda h: relaxation.strengths(SPACE, h, jnp.ones(15)))
    before, after = (np.asarray(strengths(h)).reshape(3, 5) for h in (start, moved))
    expected = before * np.exp(-0.3 * gradient.reshape(3, 5))
    np.testing.assert_allclose(after, expected / expected.sum(-1, keepdims=True), rtol=1e-6)


def test_the_score_function_is_the_gradient_of_the_expected_loss():
    """A loss that adds up over edges has a known expectation; the mean over many keys must meet its gradient."""
    prices = jax.random.normal(jax.random.key(5), (SPACE.width,))
    network = nn.Functional(lambda key: jnp.zeros(()), lambda params, x, encoding: encoding @ prices + 0 * params)
    loss = lambda apply: lambda params, batch, key: (apply(params, batch), {})
    search = supernet.compose_search(
        SPACE,
        network,
        loss,
        optax.sgd(0.0),
        optax.sgd(1.0),
        10,
        supernet.relaxations.controller(4, cost=lambda loss, info: loss),
        bilevel.first_order(),
    )
    start = logits(1)

    def moved(key):
        state = search.init(key, {"arch": start})
        return search.update(state, (jnp.zeros((1,)), jnp.zeros(())))[0].logits

    mean_step = jax.jit(lambda keys: jax.tree.map(lambda x: jnp.mean(x, 0), jax.lax.map(moved, keys)))
    mean = mean_step(jax.random.split(jax.random.key(2), 4000))
    drawn_from = lambda h: jax.tree.map(lambda x: 2.5 * jnp.tanh(x / 5.0), h)
    expected = jax.grad(lambda h: SPACE.relax(drawn_from(h)) @ prices)(start)
    for name in SPACE.domains:
        np.testing.assert_allclose(start[name] - mean[name], expected[name], atol=0.04)


def test_log_probabilities_sum_to_one():
    encodings = SPACE.encode(SPACE.at(np.arange(125)))
    total = jnp.sum(jnp.exp(log_probability(SPACE, logits(), jnp.ones(15), encodings)))
    assert float(total) == pytest.approx(1.0, abs=1e-5)


@jax.jit
def drawn_fairly(seed):
    return supernet.relaxations.fair_paths()(SPACE, SPACE.zeros(), moment(), jax.random.key(seed))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_fair_paths_use_every_value_of_every_choice_once(seed):
    paths = np.asarray(drawn_fairly(seed))
    assert paths.shape == (5, 15)
    np.testing.assert_array_equal(paths.sum(0), 1)
    np.testing.assert_array_equal(paths.reshape(5, 3, 5).sum(-1), 1)


def test_the_sandwich_has_the_largest_and_the_smallest():
    paths = supernet.relaxations.sandwich_paths(2)(SPACE, SPACE.zeros(), moment(), jax.random.key(0))
    np.testing.assert_array_equal(paths[0].reshape(3, 5).argmax(-1), 4)
    np.testing.assert_array_equal(paths[1].reshape(3, 5).argmax(-1), 0)
    assert paths.shape == (4, 15)
    sizes = supernet.regularizers.cost_table(
        SPACE, {name: {"none": -1, "conv1x1": 1, "conv3x3": 9} for name in SPACE.domains}
    )
    by_size = supernet.relaxations.sandwich_paths(1, sizes)(SPACE, SPACE.zeros(), moment(), jax.random.key(0)).reshape(
        3, 3, 5
    )
    np.testing.assert_array_equal(by_size[:2].argmax(-1), [[3, 3, 3], [0, 0, 0]])


def test_the_largest_path_teaches_the_others(x64):
    """One choice scales the outputs; the loss and its gradient are those of the formula, the teacher's say is a constant."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4)), np.arange(6) % 3
    encodings = jnp.asarray([[1.0], [0.3], [0.6]])
    outputs = lambda w: lambda encoding: encoding[0] * x @ w
    cross = lambda out: jnp.mean(optax.softmax_cross_entropy_with_integer_labels(out, y))
    distilled = lambda w: supernet.distill_from_first(lambda e: (cross(outputs(w)(e)), {}), outputs(w), encodings)[0]

    def expected(w, teacher):
        others = [-jnp.sum(teacher * jax.nn.log_softmax(scale * x @ w)) / 6 for scale in (0.3, 0.6)]
        return (cross(x @ w) + sum(others)) / 3

    w = rng.normal(size=(4, 3))
    loss, slope = jax.jit(jax.value_and_grad(distilled))(w)
    loss_of_formula, slope_of_formula = jax.jit(jax.value_and_grad(expected))(w, scipy.special.softmax(x @ w, axis=-1))
    assert float(loss) == pytest.approx(float(loss_of_formula))
    np.testing.assert_allclose(slope, slope_of_formula, atol=1e-12)


def test_weights_learn_alone_while_warming_up():
    """Until then the search is that of ``weights_only``, to the bit; from then on logits move, with a fresh optimizer."""
    parts = (SMALL, DENSE, fewshot.cross_entropy, optax.sgd(0.1, momentum=0.9), optax.adam(0.1), 6)
    search = supernet.compose_search(*parts, estimator=bilevel.first_order(), warm_up=3)
    alone = supernet.compose_search(*parts, estimator=bilevel.weights_only())
    step, step_alone = jax.jit(search.update), jax.jit(alone.update)
    state, other = search.init(jax.random.key(0)), alone.init(jax.random.key(0))
    start = state
    for number in range(5):
        state, info = step(state, bright_rows.batch(number))
        if number < 3:
            other, _ = step_alone(other, bright_rows.batch(number))
            jax.tree.map(np.testing.assert_array_equal, state.logits, start.logits)
            jax.tree.map(np.testing.assert_array_equal, state.bilevel.opt_state, start.bilevel.opt_state)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), state.params, other.params)
            assert float(info["hypergradient_norm"]) == float(info["accuracy"]) == 0
        else:
            assert float(info["hypergradient_norm"]) > 0
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), state.logits, start.logits)
    assert all(0 < size <= 0.25 for size in moved.values()), "two steps of Adam"
    with pytest.raises(ValueError, match="warm_up=-1"):
        supernet.compose_search(*parts, warm_up=-1)


def test_regularizers_are_their_formulas(x64):
    h = jax.tree.map(lambda x: x.astype(jnp.float64), logits())
    encoding, mask = SPACE.relax(h), jnp.ones(15).at[jnp.asarray([0, 5, 10])].set(0)
    term = lambda regularizer: regularizer(SPACE, h, encoding, moment(mask))
    open_values = np.asarray(encoding)[np.asarray(mask) > 0]
    assert float(term(supernet.regularizers.zero_one(2.0))) == pytest.approx(-2 * np.mean((open_values - 0.5) ** 2))
    policy = supernet.relaxations.controller(2)
    p = np.asarray(policy.strengths(SPACE, h, jnp.ones(15)))
    bonus = supernet.regularizers.entropy_bonus(policy, 0.1)(SPACE, h, encoding, moment())
    assert float(bonus) == pytest.approx(0.1 * np.sum(p * np.log(p)))
    cost = supernet.regularizers.cost_table(SPACE, {"edge_0_1": {"conv3x3": 9.0, "conv1x1": 1.0}})
    expected = 9 * encoding[3] + encoding[2]
    assert float(term(supernet.regularizers.expected_cost(cost, 2.0))) == pytest.approx(2 * float(expected))
    assert float(term(supernet.regularizers.expected_cost(cost, 2.0, budget=1e3))) == 0.0
    over = float(expected) / 0.01 - 1
    assert float(term(supernet.regularizers.expected_cost(cost, 2.0, budget=0.01))) == pytest.approx(2 * over)
    with pytest.raises(InputError, match=r"must be categorical choices of the space, .*, got 'edge_9_9'"):
        supernet.regularizers.cost_table(SPACE, {"edge_9_9": {"skip": 1.0}})
    with pytest.raises(ValueError, match="'conv9x9' is not one of"):
        supernet.regularizers.cost_table(SPACE, {"edge_0_1": {"conv9x9": 1.0}})


def test_a_cost_moves_a_search_to_cheap_architectures():
    cost = supernet.regularizers.cost_table(SPACE, {name: {"conv3x3": 9.0, "conv1x1": 1.0} for name in SPACE.domains})
    network = nn.Functional(lambda key: jnp.zeros(()), lambda params, x, encoding: params)
    loss = lambda apply: lambda params, batch, key: (apply(params, batch), {})
    search = supernet.compose_search(
        SPACE,
        network,
        loss,
        optax.sgd(0.0),
        optax.adam(0.1),
        50,
        None,
        None,
        [supernet.regularizers.expected_cost(cost)],
    )
    step = lambda state, _: search.update(state, (jnp.zeros((1,)), jnp.zeros(())))
    state, _ = jax.lax.scan(step, search.init(jax.random.key(0)), None, 50)
    strengths = search.strengths(state).reshape(3, 5)
    assert np.all(strengths[:, 3] < 0.02)
    assert np.all(strengths[:, 2] < strengths[:, 0])


def test_the_auxiliary_skip_fades_and_edges_weigh_against_each_other():
    relaxation = supernet.relaxations.auxiliary_skip(SPACE)
    plain = supernet.relaxations.softmax_mixture().judge(SPACE, logits(), moment(progress=0.25), jax.random.key(0))[0]
    extra = (relaxation.judge(SPACE, logits(), moment(progress=0.25), jax.random.key(0))[0] - plain).reshape(3, 5)
    np.testing.assert_allclose(extra, 0.75 * jax.nn.one_hot(jnp.ones(3, int), 5), atol=1e-6)
    with pytest.raises(
        InputError, match=r"value must be a value of every choice, but 'edge_0_1' has only .*, got 'pool'"
    ):
        supernet.relaxations.auxiliary_skip(SPACE, "pool")
    edges = supernet.relaxations.normalized_edges(
        supernet.relaxations.softmax_mixture(), lambda name: name.rsplit("_", 1)[-1]
    )
    own = {name: jnp.asarray(value) for name, value in zip(edges.extra(SPACE), (3.0, 1.0, 0.0))}
    total = edges.judge(SPACE, {**logits(), **own}, moment(), jax.random.key(0))[0].reshape(3, 5).sum(-1)
    np.testing.assert_allclose(total, [1.0, *jax.nn.softmax(jnp.asarray([1.0, 0.0]))], atol=1e-6)  # edge 0-1 is alone


def quiet_state(mask=None, arch=None, step=5):
    core = bilevel.BilevelState(
        jnp.asarray(step), jax.random.key(0), {"arch": arch or logits()}, (), bilevel.InnerState(jnp.zeros(()), ())
    )
    return supernet.SearchState(core, jnp.ones(SPACE.width) if mask is None else mask, ())


def test_pruning_keeps_the_strongest():
    event = supernet.events.prune((0.5,), (2,))
    parts = supernet.events.EventContext(SPACE, None, supernet.relaxations.softmax_mixture(), 10)
    pruned, _, _ = event.apply(quiet_state(), (), parts, None)
    for name, part in SPACE.slices.items():
        strongest = np.sort(np.argsort(-logits()[name])[:2])
        np.testing.assert_array_equal(np.flatnonzero(pruned.mask[part]), strongest)
    early, _, _ = event.apply(quiet_state(step=4), (), parts, None)
    assert np.all(early.mask == 1)
    with pytest.raises(InputError, match="must rise between 0 and 1"):
        supernet.events.prune((0.5, 0.5), (3, 2))


def test_projection_keeps_what_is_missed_most():
    """Accuracy that depends on one value of each choice alone: whatever the logits say, those are kept."""
    needed = jnp.asarray([3, 5 + 1, 10 + 2])

    def loss(params, encoding, batch, key):
        return jnp.zeros(()), {"accuracy": jnp.sum(encoding[needed])}

    event = supernet.events.project(start=0.5, batch_size=4)
    parts = supernet.events.EventContext(
        SPACE, loss, supernet.relaxations.softmax_mixture(), 9, (jnp.zeros((8, 1)), jnp.zeros(8, jnp.int32))
    )
    apply = jax.jit(lambda state, done: event.apply(state, done, parts, None)[:2])
    state, done, opened = quiet_state(step=0), event.init(parts), []
    for step in range(1, 10):
        state, done = apply(state._replace(bilevel=state.bilevel._replace(step=jnp.asarray(step))), done)
        opened.append(int(state.mask.sum()))
    np.testing.assert_array_equal(np.flatnonzero(state.mask), needed)
    assert opened == [15, 15, 15, 11, 11, 7, 7, 7, 3]  # after half, between, at the end
    with pytest.raises(InputError, match="must have the validation part"):
        event.apply(state, done, parts._replace(validation=None), None)
    with pytest.raises(InputError, match=r"start=1\.0"):
        supernet.events.project(start=1.0)
    with pytest.raises(InputError, match=r"at least the number of choices, 3, .*, got 2"):
        event.init(parts._replace(steps=2))


@pytest.mark.parametrize(("window", "stops", "middle"), [(1, 5, 3), (3, 6, 3), (5, 7, 3)])
def test_growing_curvature_stops_a_search_and_brings_the_logits_back(window, stops, middle):
    """Two checks before, in the middle of the window: the authors' centered average."""

    def loss(params, encoding, batch, key):
        return batch * jnp.sum(jnp.square(encoding)), {}

    event = supernet.events.eigenvalue(checks=10, stop=True, window=window, delta=2, factor=1.3, first=3)
    parts = supernet.events.EventContext(SPACE, loss, supernet.relaxations.sigmoid_mixture(), 10)
    memory, seen = event.init(parts), []
    apply = jax.jit(lambda state, memory, batch: event.apply(state, memory, parts, batch))
    for step in range(10):
        arch = jax.tree.map(lambda x, step=step: x + 0.01 * step, SPACE.zeros())
        state, memory, info = apply(quiet_state(arch=arch, step=step), memory, 2.0**step)
        seen.append((float(info["stopped"]), float(state.logits["edge_0_1"][0])))
    assert [s for s, _ in seen].index(1.0) == stops
    np.testing.assert_allclose([at for _, at in seen[stops:]], 0.01 * middle, atol=1e-6)


def test_the_dominant_eigenvalue_is_that_of_the_dense_hessian(x64):
    x, y = bright_rows.informative()
    rng = np.random.default_rng(0)
    wide = lambda t: jax.tree.map(lambda a: a.astype(jnp.float64), t)
    params, start = wide(bright_rows.weights(DENSE.init)), {name: rng.normal(size=3) for name in SMALL.domains}
    loss = fewshot.cross_entropy(lambda p, x: DENSE.apply(p[0], x, SMALL.relax(p[1])))
    value = lambda h: loss((params, h), (x.astype(jnp.float64), y), jax.random.key(0))[0]
    flat, unravel = jax.flatten_util.ravel_pytree(start)
    dense = jnp.linalg.eigvalsh(jax.jit(jax.hessian(lambda v: value(unravel(v))))(flat))
    find = jax.jit(lambda h, k: supernet.diagnosis.dominant_eigenvalue(value, h, k, 9))
    assert float(find(start, jax.random.key(1))) == pytest.approx(float(dense[-1]), rel=1e-8)
    few = jax.jit(lambda h, k: supernet.diagnosis.dominant_eigenvalue(value, h, k, 6))
    assert float(few(start, jax.random.key(1))) == pytest.approx(float(dense[-1]), rel=1e-2)


def test_conflict_is_the_mean_cosine():
    directions = jnp.asarray([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    conflict = supernet.diagnosis.gradient_conflict(lambda params, e: params @ e, jnp.zeros(2), directions)
    assert float(conflict) == pytest.approx(-1 / 3, abs=1e-6)


def test_partial_channels_pass_the_others_by():
    from flax import nnx

    cell = supernet.spaces.MixedCell(SPACE, 8, partial=4, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 8))
    skips = SPACE.encode(SPACE.configs([{"edge_0_1": "none", "edge_0_2": "skip", "edge_1_2": "none"}]))[0]
    outputs = cell(x, skips)
    shuffle = lambda z: z.reshape(2, 4, 4, 4, 2).swapaxes(-1, -2).reshape(z.shape)
    empty = shuffle(jnp.concatenate([jnp.zeros_like(x[..., :2]), x[..., 2:]], -1))
    again = shuffle(jnp.concatenate([jnp.zeros_like(x[..., :2]), empty[..., 2:]], -1))
    np.testing.assert_allclose(outputs, shuffle(x) + again, atol=1e-6)
    with pytest.raises(InputError, match=r"channels must be a multiple of partial, .*got channels=6, partial=4"):
        supernet.spaces.MixedCell(SPACE, 6, partial=4, rngs=nnx.Rngs(0))


def _cellnet(single):
    build = lambda rngs: supernet.spaces.CellNet(SPACE, 3, 4, 1, stride=2, single_path=single, rngs=rngs)
    return SPACE, nn.functional(build)


def _darts(single):
    model = supernet.spaces.darts_supernet(3, 2, 3, 1, nodes=1, single_path=single)
    return model.space, model.network


@pytest.mark.parametrize(("network", "cells"), [(_cellnet, 4), pytest.param(_darts, 3, marks=pytest.mark.slow)])
def test_a_single_path_is_the_mixture_on_one_hot_encodings(network, cells):
    x, y = bright_rows.informative(16)
    space, mixed = network(False)
    params = bright_rows.weights(mixed.init)

    def slope(network):
        loss = lambda p, e: fewshot.cross_entropy(lambda p, x: network.apply(p, x, e))(p, (x, y), None)[0]
        return jax.jit(jax.value_and_grad(loss))

    first, second = slope(mixed), slope(network(True)[1])
    for encoding in space.encode(space.sample(jax.random.key(1), cells)):
        bright_rows.close(first(params, encoding), second(params, encoding), 2e-5)


def additive(encodings):
    prices = np.linspace(0.0, 1.0, SPACE.width) ** 2
    return np.asarray(encodings) @ prices, np.full(len(encodings), 2.0)


@pytest.mark.parametrize(
    ("method", "budget"),
    [
        (supernet.baselines.random_search, 400),
        (supernet.baselines.evolve, 120),
        (supernet.baselines.local_search, 60),
        (supernet.baselines.reinforce, 400),
    ],
)
def test_searches_without_gradient_find_the_best_and_keep_their_budget(method, budget):
    trail = method(SPACE, additive, jax.random.key(0), evaluations=budget)
    assert len(trail.values) == len(trail.configs) == budget
    assert set(trail.best.values()) == {"avg_pool"}  # the last value of every choice is the best
    short = method(SPACE, additive, jax.random.key(0), seconds=21.0)
    assert len(short.values) == 10
    assert short.seconds[-1] == 20.0
    with pytest.raises(InputError, match="must be given as the budget"):
        method(SPACE, additive, jax.random.key(0))
