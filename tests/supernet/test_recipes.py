"""What makes each method itself: its schedule, its radius, its formula, its sign, as in the authors' code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bright_rows import weights
from flax import nnx

from metajax import bilevel, data, nn, supernet
from metajax.space import rules
from metajax.supernet._logits import initial_logits
from metajax.supernet._parts import steps_in_epoch
from metajax.supernet.events._project import in_batches, projection_steps
from metajax.supernet.regularizers._disturbances import on_simplex
from metajax.types import InputError

SPACE = supernet.spaces.cell_space(3)
ONES = jnp.ones(SPACE.width)
KEY = jax.random.key(0)


def moment(progress=0.5, mask=ONES, epoch=0.0):
    return supernet.Moment(jnp.asarray(progress), mask, epoch)


def logits(seed=0):
    return jax.tree.map(lambda x: jax.random.normal(jax.random.key(seed), x.shape, x.dtype), SPACE.zeros())


def plain_search(recipe, apply, steps=10, **more):
    """A search of a network that is a formula: ``apply(weight, encoding)`` is its loss."""
    network = nn.Functional(lambda key: jnp.zeros(()), lambda params, x, encoding: apply(params, encoding))
    loss = lambda apply: lambda params, batch, key: (apply(params, batch), {"accuracy": -apply(params, batch)})
    return recipe.build(SPACE, network, loss, optax.sgd(0.0), steps=steps, **more)


NO_BATCH = (jnp.zeros((1,)), jnp.zeros(()))


def first_update(recipe, grads, hyper, steps=10**6):
    """What the optimizer of the logits makes of a gradient at its first step."""
    optimizer = recipe.make_logits_optimizer(steps)
    return optimizer.update(grads, optimizer.init(hyper), hyper)[0]


# FairDARTS


def test_fair_darts_searches_without_none_from_one_half():
    recipe = supernet.METHODS["fair-darts"].recipe(SPACE)
    search = plain_search(recipe, lambda w, encoding: jnp.sum(encoding) + w)
    state = search.init(KEY)
    encoding = recipe.relaxation.judge(SPACE, state.logits, moment(mask=state.mask), KEY)[0].reshape(3, 5)
    np.testing.assert_array_equal(encoding[:, 0], 0)
    np.testing.assert_array_equal(encoding[:, 1:], 0.5)
    state, _ = jax.jit(search.update)(state, NO_BATCH)
    assert all(float(value[0]) == 0 and np.all(value[1:] < 0) for value in state.logits.values())
    # a space that has no ``none`` is searched as it is
    assert (
        supernet.METHODS["fair-darts"].recipe(supernet.spaces.cell_space(3, ("skip", "conv3x3"))).excluded_values == ()
    )


def test_fair_darts_takes_adam_at_3e_3_with_momentum_9():
    recipe, hyper = supernet.METHODS["fair-darts"].recipe(SPACE), {"a": jnp.asarray([2.0, -1.0])}
    reference = optax.adam(3e-3, b1=0.9)
    grads = [{"a": jnp.asarray(g)} for g in ([1.0, -2.0], [-3.0, 0.5])]
    optimizer = recipe.make_logits_optimizer(10**6)
    opt_state, reference_state = optimizer.init(hyper), reference.init(hyper)
    for grad in grads:
        updates, opt_state = optimizer.update(grad, opt_state, hyper)
        decayed = jax.tree.map(lambda g, h: g + 1e-3 * h, grad, hyper)
        expected, reference_state = reference.update(decayed, reference_state, hyper)
        np.testing.assert_allclose(updates["a"], expected["a"], rtol=1e-6)


def test_fair_darts_keeps_operations_above_the_threshold():
    strengths = np.zeros(15, np.float32)
    strengths[[3, 4, 5 + 1, 10 + 2]] = [0.9, 0.95, 0.84, 0.86]
    threshold = supernet.METHODS["fair-darts"].recipe(SPACE).threshold
    config = supernet.decide(SPACE, strengths, threshold)
    assert config == {"edge_0_1": "avg_pool", "edge_0_2": "none", "edge_1_2": "conv1x1"}

    space = supernet.spaces.darts_space(2)  # of two edges into a node, those above; of three, the two strongest
    values = np.zeros(space.width, np.float32)
    for name, value in {"0_2": 0.9, "1_2": 0.8, "0_3": 0.95, "1_3": 0.99, "2_3": 0.9}.items():
        values[space.slices[f"normal_{name}"].start + 4] = value
    edges = [name for name, op in supernet.spaces.derive(space, values, threshold).items() if op != "none"]
    assert edges == ["normal_0_2", "normal_0_3", "normal_1_3"]


# beta-DARTS


def test_beta_decay_counts_epochs_whatever_the_length_of_the_search():
    h = logits()
    mean = np.mean([np.log(np.sum(np.exp(v))) for v in h.values()])
    for progress in (0.01, 1.0):
        term = supernet.regularizers.beta_decay()(SPACE, h, ONES, moment(progress, epoch=37.9))
        assert float(term) == pytest.approx(0.5 * 37 * mean, rel=1e-6)


def test_an_epoch_is_a_pass_over_the_training_part():
    images = lambda n: (np.zeros((n, 2, 2, 1), np.float32), np.zeros(n, np.int32))
    parts = data.Images(images(40), images(40), images(40))
    apply = lambda params, x, encoding: jnp.zeros((x.shape[0], 2)) + params
    network = lambda partial, single_path: nn.Functional(lambda key: jnp.zeros(()), apply)
    loss = lambda apply: lambda params, batch, key: (jnp.mean(apply(params, batch[0])), {})
    epoch = steps_in_epoch(parts.train, 20)
    assert (epoch, steps_in_epoch(parts.train, 20, inner_steps=4)) == (2, 1)
    search = supernet.METHODS["beta-darts"].build(SPACE, network, loss, steps=1000, steps_per_epoch=epoch)
    step = jax.jit(lambda s, b: search.update(s, b)[1]["outer_loss"])
    state, sample = search.init(KEY), supernet.sampler(parts, 20)
    core = lambda number: state._replace(bilevel=state.bilevel._replace(step=jnp.asarray(number, jnp.int32)))
    losses = [float(step(core(number), sample(KEY))) for number in (1, 3, 5)]
    flat = np.mean([float(jax.nn.logsumexp(v)) for v in state.logits.values()])
    np.testing.assert_allclose(np.diff(losses), 0.5 * flat, rtol=1e-4)  # an epoch has two steps


# SmoothDARTS


def test_random_smoothing_goes_from_3_to_30_percent_on_the_simplex():
    encoding, disturb = SPACE.relax(logits()), supernet.METHODS["s-darts-random"].recipe(SPACE).disturb
    for progress, radius in ((0.0, 0.03), (0.5, 0.165), (1.0, 0.3)):
        disturbed = disturb(SPACE, None, encoding, moment(progress), KEY)
        noise = radius * jax.random.uniform(KEY, encoding.shape, encoding.dtype, -1.0, 1.0)
        clipped = np.clip(np.asarray(encoding + noise), 0, 1).reshape(3, 5)
        np.testing.assert_allclose(disturbed.reshape(3, 5), clipped / clipped.sum(1, keepdims=True), atol=1e-6)


def test_what_leaves_the_simplex_is_clipped_to_it():
    outside = jnp.asarray([-1.0, -2.0, -0.5, -3.0, -0.7, *[0.5] * 5, 2.0, -1.0, 0.0, 1.0, 0.0])
    projected = on_simplex(SPACE, outside).reshape(3, 5)
    np.testing.assert_allclose(projected, [[0, 0, 1, 0, 0], [0.2] * 5, [0.5, 0, 0, 0.5, 0]], atol=1e-7)


def test_the_adversary_takes_seven_signed_steps_from_a_random_start():
    encoding, radius = SPACE.relax(logits()), 0.165
    slope = jax.random.normal(jax.random.key(5), (15,))
    loss = lambda e: e @ slope + jnp.sum(e**2)
    disturbed = supernet.METHODS["s-darts-adversarial"].recipe(SPACE).disturb(SPACE, loss, encoding, moment(0.5), KEY)

    center = np.asarray(encoding, np.float64)

    def project(moved):
        blocks = np.clip(center + np.clip(moved - center, -radius, radius), 0, 1).reshape(3, 5)
        return (blocks / blocks.sum(1, keepdims=True)).reshape(-1)

    at = project(center + radius * np.asarray(jax.random.uniform(KEY, (15,), jnp.float32, -1.0, 1.0)))
    for _ in range(7):
        at = project(at + 2 * radius / 7 * np.sign(np.asarray(slope) + 2 * at))
    np.testing.assert_allclose(disturbed, at, atol=1e-5)
    assert float(loss(disturbed)) > float(loss(encoding))
    peak = lambda e: -jnp.sum(jnp.abs(e - encoding))  # no disturbance is worse than none
    same = supernet.METHODS["s-darts-adversarial"].recipe(SPACE).disturb(SPACE, peak, encoding, moment(0.5), KEY)
    np.testing.assert_allclose(same, encoding, atol=1e-7)
    with pytest.raises(InputError, match="steps must be an integer >= 1, got 0"):
        supernet.regularizers.adversarial_disturbance(steps=0)


def test_a_disturbance_is_undone_after_the_step_of_the_weights():
    prices = jnp.tile(jnp.linspace(-1.0, 1.0, 5), 3)
    recipe = supernet.Recipe(disturb=supernet.regularizers.adversarial_disturbance(0.2, 0.2))
    search = plain_search(recipe, lambda w, encoding: encoding @ prices + w)
    state = search.init(KEY)
    _, info = jax.jit(search.update)(state, NO_BATCH)
    assert float(info["outer_loss"]) == pytest.approx(float(SPACE.relax(state.logits) @ prices), abs=1e-5)
    assert float(info["inner_loss"]) > float(info["outer_loss"]) + 0.1


# DrNAS


@pytest.mark.parametrize("method", ["drnas", "drnas-pruned"])
def test_drnas_regularizes_raw_logits_inside_adam(method):
    recipe, hyper = supernet.METHODS[method].recipe(SPACE), {"a": jnp.asarray([2.0, -1e-6, 0.0])}
    assert recipe.regularizers == ()
    updates = first_update(recipe, jax.tree.map(jnp.zeros_like, hyper), hyper)["a"]
    np.testing.assert_allclose(updates, [-3e-4, 3e-4 * 1e-9 / (1e-9 + 1e-8), 0.0], rtol=1e-3)


def test_progressive_drnas_rests_its_logits_at_the_beginning_of_each_half():
    recipe = supernet.METHODS["drnas-pruned"].recipe(SPACE)
    assert recipe.warm_up == 0.1
    steps, warm_up, hyper = 100, 10, {"a": jnp.asarray(1.0)}
    optimizer = recipe.make_logits_optimizer(steps, warm_up)
    state, moved = optimizer.init(hyper), []
    update = jax.jit(lambda s: optimizer.update({"a": jnp.asarray(1.0)}, s, hyper))
    for step in range(warm_up, steps):
        updates, state = update(state)
        if float(updates["a"]) == 0:
            moved.append(step)
    assert moved == list(range(50, 60))


def test_a_network_that_may_grow_is_at_first_the_narrow_one():
    sizes = {"channels": 8, "stages": 2, "stride": 2}
    build = lambda partial: nn.functional(
        lambda rngs: supernet.spaces.CellNet(SPACE, 3, **sizes, partial=partial, rngs=rngs)
    )
    grown, narrow, wide = build((4, 2)), build(4), build(2)

    def cut(kernel, like):  # of every edge's kernel, what the narrow network has
        if kernel.shape == like.shape:
            return kernel
        edges = kernel.shape[-1] // kernel.shape[-2]
        c = like.shape[-2]
        return kernel.reshape(*kernel.shape[:-1], edges, -1)[..., :c, :, :c].reshape(like.shape)

    params = jax.tree.map(np.asarray, weights(grown.init))
    cut_params = jax.tree.map(cut, params, jax.eval_shape(narrow.init, KEY))
    x, encoding = np.random.default_rng(1).normal(size=(2, 8, 8, 1)).astype(np.float32), SPACE.relax(logits())
    outputs = lambda network, params, *more: jax.jit(network.apply)(params, x, encoding, *more)
    of_narrow, of_wide = outputs(narrow, cut_params), outputs(wide, params)
    assert np.abs(of_narrow - of_wide).max() > 1e-2
    grow = jax.jit(grown.apply)
    np.testing.assert_allclose(grow(params, x, encoding, False), of_narrow, atol=1e-5)
    np.testing.assert_allclose(grow(params, x, encoding, True), of_wide, atol=1e-5)
    np.testing.assert_allclose(grow(params, x, encoding), of_wide, atol=1e-5)
    with pytest.raises(InputError, match=r"channels=6, partial=\(4, 2\)"):
        supernet.spaces.CellNet(SPACE, 3, channels=6, partial=(4, 2), rngs=nnx.Rngs(0))


def test_new_channels_are_copies_of_old_ones_in_weights_and_moments():
    network = nn.functional(lambda rngs: supernet.spaces.CellNet(SPACE, 3, 16, 1, partial=(4, 2), rngs=rngs))
    params = weights(network.init)
    inner = bilevel.InnerState(params, optax.sgd(0.1, momentum=0.9).init(params)[0]._replace(trace=params))
    core = bilevel.BilevelState(jnp.asarray(5), KEY, {"arch": logits()}, (), inner)
    state = supernet.SearchState(core, ONES, ())
    parts = supernet.events.EventContext(SPACE, None, supernet.relaxations.softmax_mixture(), 10)
    event = supernet.events.widen(0.5, 4, 2)
    apply = jax.jit(lambda state: event.apply(state, (), parts, None)[0])
    now = apply(state).bilevel.inner
    kernel = lambda tree: np.asarray(tree["stages"][0][0]["conv3"][0]["kernel"]).reshape(3, 3, 8, 2, 8)
    old, new = kernel(params), kernel(now.params)
    for edge in range(2):
        np.testing.assert_array_equal(new[:, :, :4, edge, :4], old[:, :, :4, edge, :4])
        same_in = lambda r, i, edge=edge: np.array_equal(new[:, :, r, edge, :4], old[:, :, i, edge, :4])
        same_out = lambda r, i, edge=edge: np.array_equal(new[:, :, :4, edge, r], old[:, :, :4, edge, i])
        rows, columns = ([next(i for i in range(4) if same(r, i)) for r in range(8)] for same in (same_in, same_out))
        np.testing.assert_array_equal(new[:, :, :, edge], old[:, :, :, edge][:, :, rows][..., columns])
    np.testing.assert_array_equal(kernel(now.opt_state.trace), new)  # the same channels
    np.testing.assert_array_equal(now.params["stem"]["kernel"], params["stem"]["kernel"])
    early = apply(state._replace(bilevel=core._replace(step=jnp.asarray(4))))
    np.testing.assert_array_equal(kernel(early.bilevel.inner.params), old)
    with pytest.raises(InputError, match="share=0"):
        supernet.events.widen(0, 4, 2)


# DARTS-PT


def test_a_removed_operation_leaves_the_weights_of_the_others():
    """Were they made to sum to one again, the sum over the cell would be 3 and the worst would be kept."""
    prices = jnp.linspace(1.0, 2.0, 15)

    def loss(params, encoding, batch, key):
        return jnp.zeros(()), {"accuracy": jnp.where(jnp.sum(encoding) < 2.9, 1.0, -1.0) * (encoding @ prices)}

    event = supernet.events.project(0.5, batch_size=2)
    parts = supernet.events.EventContext(
        SPACE, loss, supernet.relaxations.softmax_mixture(), 3, (jnp.zeros((4, 1)), jnp.zeros(4, jnp.int32))
    )
    core = bilevel.BilevelState(jnp.asarray(3), KEY, {"arch": SPACE.zeros()}, (), bilevel.InnerState(jnp.zeros(()), ()))
    state, _, _ = event.apply(supernet.SearchState(core, ONES, ()), event.init(parts), parts, None)
    decided = [name for name, part in SPACE.slices.items() if state.mask[part].sum() == 1]
    assert len(decided) == 1
    assert int(jnp.argmax(state.mask[SPACE.slices[decided[0]]])) == 4  # the dearest: without it accuracy is lowest


def test_projection_has_five_epochs_between_at_a_tenth_of_the_rate():
    recipe = supernet.METHODS["darts-pt"].recipe(supernet.spaces.cell_space())
    assert recipe.epochs == 125
    steps = 1250  # ten an epoch
    np.testing.assert_array_equal(
        projection_steps(steps, recipe.tune_from, 6), [1000, 1050, 1100, 1150, 1200, 1250, 1251]
    )
    rate = recipe.weights_schedule(0.025, steps)
    assert float(rate(0)) == pytest.approx(0.025)
    assert float(rate(999)) == pytest.approx(0.001, rel=1e-2)
    assert float(rate(1000)) == float(rate(1249)) == pytest.approx(0.0025)
    plain = supernet.METHODS["darts-1"].recipe(SPACE).weights_schedule(0.025, steps)
    assert float(plain(1249)) == pytest.approx(0.001, rel=1e-2)


def test_projection_sees_the_whole_validation_part():
    x, y = in_batches((np.zeros((25_000, 1)), np.zeros(25_000)), 250)
    assert x.shape == (100, 250, 1)
    assert y.size == 25_000
    images = lambda n: (np.zeros((n, 2, 2, 1), np.float32), np.zeros(n, np.int32))
    inner, outer, validation = supernet.sampler(data.Images(images(9), images(7), images(3)), 4)(KEY)
    assert (inner[0].shape[:2], len(outer[1]), len(validation[1])) == ((1, 4), 4, 7)


# ENAS


def test_the_controller_is_bounded_and_rewarded_by_accuracy():
    relaxation = supernet.METHODS["enas"].recipe(SPACE).relaxation
    strong = jax.tree.map(lambda x: x.at[0].set(100.0), SPACE.zeros())
    p = relaxation.strengths(SPACE, strong, ONES)[:5]
    np.testing.assert_allclose(p, jax.nn.softmax(2.5 * jnp.tanh(jnp.asarray([20.0, 0, 0, 0, 0]))), rtol=1e-5)
    assert float(relaxation.score.cost(jnp.asarray(7.0), {"accuracy": jnp.asarray(0.25)})) == -0.25
    with pytest.raises(InputError, match="number=1"):
        supernet.relaxations.controller(1)


def test_the_controller_learns_from_accuracy_not_from_the_loss():
    """Loss and accuracy disagree: the values with the higher accuracy become likelier."""
    accuracies = jnp.tile(jnp.asarray([0.0, 0.0, 0.0, 0.0, 1.0]), 3)
    network = nn.Functional(lambda key: jnp.zeros(()), lambda params, x, encoding: encoding @ accuracies + 0 * params)
    loss = lambda apply: lambda params, batch, key: (apply(params, batch), {"accuracy": apply(params, batch)})
    search = supernet.METHODS["enas"].build(SPACE, network, loss, optax.sgd(0.0), steps=200)
    step = lambda state, _: (search.update(state, NO_BATCH)[0], None)
    state, _ = jax.jit(lambda s: jax.lax.scan(step, s, None, 200))(search.init(KEY))
    assert all(float(value[4]) > float(value[:4].max()) for value in state.logits.values())


def test_enas_chooses_among_a_hundred_drawn_architectures():
    recipe = supernet.METHODS["enas"].recipe(SPACE)
    search, seen = plain_search(recipe, lambda w, encoding: jnp.sum(encoding) + w), []
    prices = np.linspace(0, 1, 15)

    def judge(encodings):
        seen.append(np.asarray(encodings))
        return np.asarray(encodings) @ prices, np.zeros(len(encodings))

    config = recipe.choose(search, search.init(KEY), judge)
    assert seen[0].shape == (100, 15)
    best = seen[0][np.argmax(seen[0] @ prices)]
    assert config == SPACE.decode(best[None])[0]


# the others


def test_edges_of_pc_darts_are_decided_with_their_weights():
    space = supernet.spaces.darts_space(2)
    relaxation = supernet.METHODS["pc-darts"].recipe(space).relaxation
    shapes = jax.eval_shape(lambda key: initial_logits(space, key, relaxation), KEY)
    h = {name: np.zeros(like.shape, like.dtype) for name, like in shapes.items()}
    for name in space.domains:
        h[name][4] = 1.0
    for source, weight in enumerate((2.0, -2.0, 1.0)):
        h[f"edge weight of normal_{source}_3"] = np.float32(weight)
    strengths = jax.jit(lambda h: relaxation.strengths(space, h, jnp.ones(space.width)))
    cells = supernet.spaces.derive(space, strengths(h))
    assert [name for name in cells if name.startswith("normal") and name.endswith("_3") and cells[name] != "none"] == [
        "normal_0_3",
        "normal_2_3",
    ]
    loss = lambda h: jnp.sum(relaxation.judge(space, h, supernet.Moment(0.5, jnp.ones(space.width)), KEY)[0] ** 2)
    slope = jax.jit(jax.grad(loss))(h)
    assert float(jnp.abs(slope["edge weight of normal_0_3"])) > 0  # they are learned


def test_the_smallest_path_of_the_sandwich_is_a_network_that_learns():
    recipe = supernet.METHODS["sandwich"].recipe(SPACE)
    largest, smallest = recipe.relaxation.train(SPACE, SPACE.zeros(), moment(), KEY)[:2]
    assert set(SPACE.decode(largest[None])[0].values()) == {"conv3x3"}
    assert set(SPACE.decode(smallest[None])[0].values()) == {"skip"}
    network = nn.functional(lambda rngs: supernet.spaces.CellNet(SPACE, 3, 4, 1, single_path=True, rngs=rngs))
    params, x = weights(network.init), np.random.default_rng(1).normal(size=(4, 4, 4, 1)).astype(np.float32)
    slope = jax.jit(jax.grad(lambda p: jnp.sum(network.apply(p, x, smallest)[:, 0] * jnp.arange(4.0))))(params)
    assert float(jnp.abs(slope["stem"]["kernel"]).max()) > 1e-3


def test_idarts_takes_four_weight_steps_for_each_step_of_the_logits():
    recipe = supernet.METHODS["idarts"].recipe(SPACE)
    assert recipe.inner_steps == 4
    images = lambda n: (np.arange(4 * n, dtype=np.float32).reshape(n, 2, 2, 1), np.arange(n, dtype=np.int32))
    parts = data.Images(images(9), images(7), images(3))
    (x, y), _, _ = supernet.sampler(parts, 4, recipe.inner_steps)(KEY)
    assert x.shape == (4, 4, 2, 2, 1)
    assert len({tuple(row) for row in np.asarray(y)}) > 1
    np.testing.assert_array_equal(x[..., 0, 0, 0], 4 * y)


@pytest.mark.parametrize(("name", "start", "end"), [("gdas", 10.0, 0.1), ("snas", 1.0, 0.03)])
def test_temperatures_fall_as_published(name, start, end):
    judge = supernet.METHODS[name].recipe(SPACE).relaxation.judge
    rule = rules.straight_through if name == "gdas" else rules.gumbel_softmax
    jacobian = jax.jit(jax.jacobian(lambda h, progress: judge(SPACE, h, moment(progress), KEY)[0]))
    expected = jax.jit(jax.jacobian(lambda h, temperature: SPACE.relax(h, rule(temperature), KEY)))
    close = functools.partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-3)
    for progress in (0.0, 0.5, 1.0):
        jax.tree.map(close, jacobian(logits(), progress), expected(logits(), start + (end - start) * progress))


def test_values_that_are_not_searched_are_named():
    apply = lambda w, encoding: jnp.sum(encoding)
    with pytest.raises(InputError, match="no choice has 'pool'"):
        plain_search(supernet.Recipe(excluded_values=("pool",)), apply)
    with pytest.raises(InputError, match="excludes all of 'edge_0_1'"):
        plain_search(supernet.Recipe(excluded_values=supernet.spaces.OPERATIONS), apply)
    with pytest.raises(InputError, match="steps_per_epoch=0"):
        plain_search(supernet.Recipe(), apply, steps_per_epoch=0)
