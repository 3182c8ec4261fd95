"""Hyperparameters by gradient: every component and every estimator against central differences, and what they are for."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from differences import central_difference, ravel

from metajax import bilevel, hpo, nn
from metajax.hpo import IndexedBatch
from metajax.space import Categorical, Float, Space
from metajax.types import stream

N, CLASSES = 12, 3
COMPONENTS = {
    "example_weights": ("weights", lambda params: hpo.example_weights(N)),
    "class_weights": ("weights", lambda params: hpo.class_weights(CLASSES)),
    "meta_weight_net": ("weights", lambda params: hpo.meta_weight_net(5)),
    "label_smoothing": ("labels", lambda params: hpo.label_smoothing()),
    "label_smoothing_by_class": ("labels", lambda params: hpo.label_smoothing(CLASSES)),
    "label_correction": ("labels", lambda params: hpo.label_correction(N, CLASSES)),
    "l2": ("penalty", lambda params: hpo.l2(start=-2.0)),
    "l2_by_parameter": ("penalty", lambda params: hpo.l2(params, start=-2.0)),
    "l2_by_layer": ("penalty", lambda params: hpo.l2({"layers": {0: 0.0, 1: 0.0}}, start=-2.0)),
    "polynomial_loss": ("loss", lambda params: hpo.polynomial_loss()),
    "learned_loss": ("loss", lambda params: hpo.learned_loss(4)),
    "augmentation": ("inputs", lambda params: hpo.augmentation()),
}


@functools.cache
def mlp(features):
    """One network for all tests: the program that draws its parameters is compiled once."""
    return nn.functional(lambda rngs: nn.MLP(features, (5,), CLASSES, jnp.tanh, rngs=rngs))


def network(features=4):
    net = mlp(features)
    return net if not jax.config.jax_enable_x64 else nn.Functional(lambda key: to64(net.init(key)), net.apply)


def data(seed, shape=(4,), n=N):
    x = np.random.default_rng(seed).normal(size=(n, *shape))
    return IndexedBatch(*map(jnp.asarray, (x, np.arange(n) % CLASSES, np.arange(n))))


def stacked(batch, steps):
    return jax.tree.map(lambda a: np.broadcast_to(a, (steps, *np.shape(a))), batch)


def training(name, optimizer=None):
    slot, make = COMPONENTS[name]
    shape = (4, 4, 1) if name == "augmentation" else (4,)
    net = network(16) if name == "augmentation" else network()
    flat = nn.Functional(net.init, lambda params, x: net.apply(params, x.reshape(len(x), -1)))
    component = make(net.init(jax.random.key(9)))
    problem = hpo.training_problem(flat, optimizer or optax.sgd(0.5), CLASSES, **{slot: component})
    return problem, data(0, shape), data(1, shape)


def to64(tree):
    return jax.tree.map(lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def assert_derivative(fn, hyper, *args, rtol, atol):
    """The gradient of a compiled estimator is that of central differences."""
    grad = fn(hyper, *args).grad
    expected = central_difference(lambda h: fn(h, *args).value, hyper)
    np.testing.assert_allclose(ravel(grad)[0], ravel(expected)[0], rtol=rtol, atol=atol)
    assert np.any(ravel(grad)[0] != 0)


@pytest.mark.parametrize("name", COMPONENTS)
def test_each_component_has_the_derivative_of_central_differences(x64, name):
    problem, train, held = training(name)
    hyper = to64(problem.init(jax.random.key(0)))
    if name == "augmentation":
        hyper["inputs"].pop("flip")  # mirrored or not is a jump
        problem = hpo.training_problem(flat_network(), optax.sgd(0.5), CLASSES, inputs=hpo.augmentation(flips=False))
    moved = jax.tree.map(lambda x: np.asarray(x) + 0.1 * np.sin(np.arange(x.size)).reshape(x.shape), hyper)
    steps = 1 if name == "meta_weight_net" else 3  # it takes the losses that it sees as constants
    fn, batches = jax.jit(bilevel.unroll()(problem.problem)), stacked(train, steps)
    assert_derivative(fn, moved, None, batches, held, jax.random.key(2), rtol=2e-4, atol=1e-7)


def flat_network():
    net = network(16)
    return nn.Functional(net.init, lambda params, x: net.apply(params, x.reshape(len(x), -1)))


def value(problem, hyper, train, held):
    """The outer loss after three steps."""
    return float(
        jax.jit(bilevel.unroll()(problem.problem))(hyper, None, stacked(train, 3), held, jax.random.key(2)).value
    )


@functools.cache
def value_without_components():
    return value(hpo.training_problem(network(), optax.sgd(0.5), CLASSES), {}, data(0), data(1))


@pytest.mark.parametrize("name", ["polynomial_loss", "learned_loss"])
def test_a_component_begins_as_if_it_were_not_there(name):
    problem, train, held = training(name)
    initial = value(problem, problem.init(jax.random.key(0)), train, held)
    assert initial == pytest.approx(value_without_components(), rel=1e-5)


def test_an_augmentation_of_no_strength_is_none():
    problem, train, held = training("augmentation")
    hyper = {"inputs": jax.tree.map(lambda x: np.full_like(x, -40.0), problem.init(jax.random.key(0))["inputs"])}
    plain = hpo.training_problem(flat_network(), optax.sgd(0.5), CLASSES)
    assert value(problem, hyper, train, held) == pytest.approx(value(plain, {}, train, held), rel=1e-5)


def test_regression_and_unknown_slots():
    net = nn.functional(lambda rngs: nn.MLP(4, (5,), 1, rngs=rngs))
    problem = hpo.training_problem(net, optax.sgd(0.1), None, weights=hpo.example_weights(N))
    batch = data(0)._replace(y=np.ones(N, np.float32))
    fn = jax.jit(bilevel.unroll()(problem.problem))
    hypergradient = fn(problem.init(jax.random.key(0)), None, stacked(batch, 2), batch, jax.random.key(1))
    assert np.isfinite(hypergradient.value) and "accuracy" not in hypergradient.info
    with pytest.raises(ValueError, match=r"components must be among inputs, .*, got 'sample_weights'"):
        hpo.training_problem(net, optax.sgd(0.1), None, sample_weights=hpo.example_weights(N))


# -- estimators -------------------------------------------------------------------------------------------------------


def loop(update, logged="outer_loss", max_steps=256):
    """``(state, n) -> (state after n updates, what was logged of each)``: one program for every n."""

    @jax.jit
    def run(state, n):
        def body(i, carry):
            state, values = carry
            state, info = update(state)
            return state, values.at[i].set(info[logged])

        return jax.lax.fori_loop(0, n, body, (state, jnp.zeros(max_steps)))

    return run


@pytest.mark.parametrize("name", hpo.ESTIMATORS)
def test_every_named_estimator_drives_a_learner(name):
    """Jitted, in a loop, and resumed from the middle in the same bits."""
    problem, train, held = training("l2_by_layer")
    settings = {"neumann": {"step_size": 0.1}, "identity": {"step_size": 0.1}, "evolution": {"population": 4}}
    estimator = hpo.make_estimator(name, **settings.get(name, {}))
    learner = bilevel.learner(problem.problem, estimator, optax.adam(0.1), 2, warm_start=True)
    start = learner.init(jax.random.key(0), problem.init(jax.random.key(0)))
    batch = stacked(train, 2), held
    run = loop(lambda state: learner.update(state, batch))
    whole, losses = run(start, 6)
    again, _ = run(run(start, 3)[0], 3)
    jax.tree.map(np.testing.assert_array_equal, whole.hyper, again.hyper)
    assert np.all(np.isfinite(losses[:6]))
    moved = any(float(jnp.max(jnp.abs(a - b))) > 0 for a, b in zip(*map(jax.tree.leaves, (whole.hyper, start.hyper))))
    assert moved == (name != "first-order"), "a penalty acts through learning alone"


def test_an_implicit_estimator_refuses_a_learning_rate():
    problem, train, held = training("l2", lambda h: hpo.sgd(jnp.exp(h["rate"])))
    hyper = {**problem.init(jax.random.key(0)), "rate": jnp.asarray(-1.0)}
    args = (hyper, None, stacked(train, 2), held, jax.random.key(0))
    for name in ("cg", "neumann", "identity"):
        with pytest.raises(
            ValueError, match=r"hyper\['rate'\] must enter the inner or the outer loss, but it reaches neither"
        ):
            jax.eval_shape(hpo.make_estimator(name)(problem.problem), *args)
    hypergradient = jax.jit(hpo.make_estimator("forward")(problem.problem))(*args)
    assert float(hypergradient.grad["rate"]) != 0
    with pytest.raises(ValueError, match=r"name must be one of unroll, .*, got 'adjoint'"):
        hpo.make_estimator("adjoint")


# -- rates ------------------------------------------------------------------------------------------------------------


def test_one_rate_for_every_step_is_that_of_the_loop(x64):
    rates, target = jnp.array([0.3, 0.0, 0.7, 0.2]), jnp.array([1.0, -2.0])
    optimizer = hpo.sgd(hpo.interpolated_schedule(rates, 4), momentum=0.5, weight_decay=0.1)
    w = v = jnp.zeros(2)
    state, params = optimizer.init(w), w
    for rate in rates:
        v = 0.5 * v + (w - target) + 0.1 * w
        w = w - rate * v
        updates, state = optimizer.update(params - target, state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params, w, rtol=1e-12)
    with pytest.raises(ValueError, match="one axis of 1 to steps=3 values"):
        hpo.interpolated_schedule(rates, 3)


@pytest.mark.parametrize("rate", ["scalar", "schedule", "layer", "parameter"])
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_rates_of_every_shape_are_differentiated(x64, kind, rate):
    plain, train, held = training("l2")
    params = plain.problem.inner.init({}, jax.random.key(0))
    shapes = {
        "scalar": jnp.asarray(-2.0),
        "schedule": jnp.array([-2.0, -1.0, -3.0]),
        "layer": {"layers": {0: jnp.asarray(-2.0), 1: jnp.asarray(-1.0)}},
        "parameter": jax.tree.map(lambda w: jnp.full(w.shape, -2.0, jnp.float64), params),
    }

    def optimizer(h):
        value = jax.tree.map(jnp.exp, h["rate"])
        value = hpo.interpolated_schedule(value, 3) if rate == "schedule" else value
        return hpo.sgd(value, weight_decay=value) if kind == "sgd" else hpo.adam(value, weight_decay=0.1)

    problem = plain.problem._replace(inner=dataclasses.replace(plain.problem.inner, optimizer=optimizer))
    hyper = {**to64(plain.init(jax.random.key(0))), "rate": shapes[rate]}
    fn = jax.jit(bilevel.unroll()(problem))
    assert_derivative(fn, hyper, None, stacked(train, 3), held, jax.random.key(2), rtol=1e-4, atol=1e-8)


def test_adam_is_that_of_optax():
    params = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}
    grads = jax.tree.map(lambda w: jnp.cos(w), params)
    ours, theirs = hpo.adam(0.1, weight_decay=0.01), optax.adamw(0.1, weight_decay=0.01, eps_root=1e-8)
    a, b = (o.update(grads, o.init(params), params)[0] for o in (ours, theirs))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), a, b)


# -- online, several levels, distillation, joint ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_hypergradient_descent_is_the_derivative_of_one_step(x64, kind):
    """Against ``unroll`` over one step, with the next batch as the outer one."""
    plain, train, held = training("l2")
    loss = lambda params, batch, key: plain.problem.inner.loss({"penalty": jnp.asarray(-9.0)}, params, batch, key)
    optimizer = lambda h: getattr(hpo, kind)(jnp.exp(h))
    learner = hpo.hypergradient_descent(lambda key: to64(network().init(key)), loss, optimizer, optax.sgd(0.5))
    state = learner.init(jax.random.key(0), jnp.asarray(-1.0))
    update = jax.jit(learner.update)
    first, _ = update(state, train)
    second, _ = update(first, held)
    weights_loss = lambda h, w, b, key: loss(w, b, key)
    problem = bilevel.Problem(bilevel.Inner.descent(weights_loss, lambda h, key: state.params, optimizer), weights_loss)
    hypergradient = jax.jit(bilevel.unroll()(problem))(
        jnp.asarray(-1.0), None, stacked(train, 1), held, jax.random.key(0)
    )
    assert float(first.hyper) == -1.0
    assert float(second.hyper) == pytest.approx(-1.0 - 0.5 * float(hypergradient.grad), rel=1e-12)


def test_hypergradient_descent_finds_a_rate_and_resumes():
    bowl = lambda w, batch, key: (0.5 * jnp.sum(w**2), {})
    learner = hpo.hypergradient_descent(
        lambda key: jnp.ones(3),
        bowl,
        lambda h: hpo.sgd(jnp.exp(h)),
        optax.chain(optax.scale_by_sign(), optax.scale(-0.05)),
    )
    start = learner.init(jax.random.key(0), jnp.log(1e-3))
    run = loop(lambda state: learner.update(state, ()), "loss")
    end, losses = run(start, 200)
    assert float(losses[199]) < 1e-6 < float(0.5 * 3 * (1 - 1e-3) ** 400)
    jax.tree.map(np.testing.assert_array_equal, end.hyper, run(run(start, 80)[0], 120)[0].hyper)


def test_a_third_level_has_the_derivative_of_central_differences(x64):
    weighted, train, held = training("example_weights", optax.sgd(0.5))
    make = lambda h: bilevel.learner(weighted.problem, bilevel.unroll(), optax.sgd(jnp.exp(h)), 2, warm_start=False)
    begin = to64(weighted.init(jax.random.key(0)))

    def judged(h, state, batch, key):
        hypergradient = bilevel.unroll()(weighted.problem)(state.hyper, None, stacked(train, 3), batch, key)
        return hypergradient.value, {}

    batches = stacked((stacked(train, 2), held), 3)
    batches = stacked(batches, 1)
    for remat in (True, False):
        third = bilevel.Problem(hpo.nested_inner(make, lambda h: begin, remat), judged)
        fn = jax.jit(bilevel.through_solution()(third))
        at = lambda h, fn=fn: fn(h, None, batches, held, jax.random.key(3))
        h = jnp.asarray(2.0)
        slope = (at(h + 1e-5).value - at(h - 1e-5).value) / 2e-5
        assert float(at(h).grad) == pytest.approx(float(slope), rel=1e-5)
        assert float(slope) != 0


def test_distilled_examples_teach_what_all_do():
    """Three synthetic points, one for each of three clusters."""
    key = jax.random.key(0)
    centers = jnp.array([[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    y = jnp.arange(60) % CLASSES
    x = centers[y] + 0.5 * jax.random.normal(stream(key, "noise"), (60, 4))
    problem = hpo.distillation_problem(network(), (4,), CLASSES)
    learner = bilevel.learner(problem.problem, bilevel.unroll(), optax.adam(0.1), 10, warm_start=False)
    state = learner.init(key, problem.init(stream(key, "hyper")))
    batch = jnp.arange(10), IndexedBatch(x, y, jnp.arange(60))
    _, info = jax.jit(lambda s: jax.lax.scan(lambda c, _: learner.update(c, batch), s, None, 300))(state)
    # each step learns from other initial weights, from some of which it fails: the mean over many says what was learned
    assert float(info["accuracy"][:20].mean()) < 0.7 and float(info["accuracy"][-100:].mean()) > 0.85


def test_hyper_cleaning_finds_the_wrong_labels():
    """A third of the labels wrong; each estimator that fits finds nearly all of them."""
    key = jax.random.key(0)
    centers = 2.0 * jnp.eye(4)[:CLASSES]
    a, b, c, d = jax.random.split(key, 4)
    y = jax.random.randint(a, (90,), 0, CLASSES)
    wrong = jnp.arange(90) < 30
    labels = jnp.where(wrong, (y + 1) % CLASSES, y)
    train = IndexedBatch(centers[y] + 0.5 * jax.random.normal(b, (90, 4)), labels, jnp.arange(90))
    y2 = jax.random.randint(c, (90,), 0, CLASSES)
    held = IndexedBatch(centers[y2] + 0.5 * jax.random.normal(d, (90, 4)), y2, jnp.arange(90))
    linear = nn.functional(lambda rngs: nn.MLP(4, (), CLASSES, rngs=rngs))
    cleaning = hpo.training_problem(
        linear, optax.sgd(0.5), CLASSES, weights=hpo.example_weights(90), penalty=hpo.l2(start=-4.0)
    )
    learn = cleaning.problem.inner.loss
    fixed_penalty = lambda h, *rest: learn({**h, "penalty": jnp.asarray(-4.0)}, *rest)
    fixed = cleaning.problem._replace(inner=dataclasses.replace(cleaning.problem.inner, loss=fixed_penalty))
    for name in ("unroll", "truncated", "cg", "neumann", "identity"):
        learner = bilevel.learner(fixed, hpo.make_estimator(name), optax.adam(0.3), 10, warm_start=True)
        state = learner.init(key, {"weights": cleaning.init(key)["weights"]})
        batch = stacked(train, 10), held
        state, _ = jax.jit(lambda s, u=learner.update, b=batch: jax.lax.scan(lambda c, _: u(c, b), s, None, 60))(state)
        is_suspect = jax.nn.sigmoid(state.hyper["weights"]) < 0.5
        agreed = float(jnp.mean(is_suspect == wrong))
        assert agreed > 0.9, (name, agreed)


def test_a_joint_space_has_the_derivative_of_central_differences(x64):
    space = Space(
        {
            "unit": Categorical(("tanh", "relu", "none")),
            "learning_rate": Float(1e-2, 1.0, log=True),
            "weight_decay": Float(0.0, 0.1),
        }
    )

    def loss(choice, w, batch, key):
        unit = choice.values["unit"]
        z = batch.x @ w["a"]
        h = unit[0] * jnp.tanh(z) + unit[1] * jax.nn.softplus(z) + unit[2] * z
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(h @ w["b"], batch.y)), {}

    def init(key):
        return {"a": jax.random.normal(key, (4, 5), jnp.float64), "b": jnp.ones((5, CLASSES)) / 5}

    def optimizer(values):
        return hpo.sgd(values["learning_rate"], weight_decay=values["weight_decay"])

    joint = hpo.joint_problem(space, init, loss, loss, optimizer)
    hyper = to64(space.logits({"learning_rate": 0.3, "unit": "relu"}))
    fn = jax.jit(bilevel.unroll()(joint.relaxed))
    assert_derivative(fn, hyper, None, stacked(data(0), 3), data(1), jax.random.key(2), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_an_augmentation_refuses_widths_without_slope(start):
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        hpo.augmentation(start=start)


def test_augmented_images_move_by_what_was_learned():
    """A shift alone moves the bright pixel; the flip alone mirrors."""
    policy = hpo.augmentation()
    apply = jax.jit(policy.apply)
    off = jax.tree.map(lambda x: jnp.full_like(x, -60.0), policy.init(jax.random.key(0)))
    image = jnp.zeros((64, 9, 9, 1)).at[:, 4, 2, 0].set(1.0)
    mirrored = apply({**off, "flip": jnp.asarray(60.0)}, image, jax.random.key(1))
    np.testing.assert_allclose(mirrored, image[:, :, ::-1], atol=1e-5)
    shifted = apply({**off, "shift_x": jnp.asarray(0.0)}, image, jax.random.key(1))
    columns = jnp.sum(shifted[..., 0], axis=1)
    assert float(jnp.std(jnp.argmax(columns, axis=1))) > 0.5, "images move along x"
    np.testing.assert_allclose(jnp.argmax(jnp.sum(shifted[..., 0], axis=2), axis=1), 4)  # and not along y
    assert set(hpo.augmentation_strengths(off)) == {*off} and hpo.augmentation_strengths(off)["shift_x"] < 1e-9
