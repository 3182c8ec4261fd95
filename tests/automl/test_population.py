"""The masked network is every network of the space, and a population is its members trained alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.automl import _calibrate as calibrate
from metajax.automl import _network as network
from metajax.automl import _population as population
from metajax.automl._space import MAX_WIDTH, default_config, tabular_space


def plain(config, params, x, features):
    """The configured network written out in NumPy, on the units and features it uses only."""
    used = np.array(config["features"] if config["selection"] == "subset" else range(features))
    x = x[:, used]
    if config["model"] == "linear":
        return x @ params["linear"][used] + params["offset"]
    w, sigmoid = config["width"], lambda z: 1 / (1 + np.exp(-z))
    act = {
        "relu": lambda z: np.maximum(z, 0),
        "tanh": np.tanh,
        "silu": lambda z: z * sigmoid(z),
        "gelu": lambda z: z * sigmoid(1.702 * z),
    }[config["activation"]]

    def layer(z, level):
        if config["norm"] == "layer":
            z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
        if config["norm"] == "rms":
            z = z / np.sqrt((z**2).mean(-1, keepdims=True) + 1e-5)
        return act(z * params["scale"][level, :w] + params["bias"][level, :w])

    h = layer(x @ params["first"][used, :w], 0)
    for level in range(1, config["depth"]):
        new = layer(h @ params["hidden"][level - 1, :w, :w], level)
        h = h + new if config["model"] == "residual" else new
    return h @ params["head"][:w] + params["offset"]


def test_every_masked_network_equals_the_plain_one():
    space = tabular_space(6, classification=True)
    configs = space.sample(jax.random.key(0), 20)
    coded = network.to_network_configs(configs, jnp.arange(6))
    x = jax.random.normal(jax.random.key(1), (7, 6))
    keys = jax.random.split(jax.random.key(2), 20)
    params = jax.jit(jax.vmap(network.init, (0, 0, None)), static_argnums=2)(coded, keys, 3)
    rng = np.random.default_rng(3)
    params = {k: np.asarray(p) + 0.1 * rng.normal(size=p.shape).astype(np.float32) for k, p in params.items()}
    outputs = np.asarray(jax.jit(jax.vmap(network.apply, (0, 0, None)))(coded, params, x))
    for i, config in enumerate(space.dicts(configs)):
        own = {name: value[i].astype(np.float64) for name, value in params.items()}
        np.testing.assert_allclose(outputs[i], plain(config, own, np.asarray(x), 6), atol=2e-4)


def problem(rows=200, classes=3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 5)).astype(np.float32)
    y = np.argmax(x[:, :classes] + 0.1 * rng.normal(size=(rows, classes)), axis=1).astype(np.int32)
    half = rows // 2
    return population.Data(*map(jnp.asarray, (x[:half], y[:half], x[half:], y[half:])))


def test_members_do_not_see_each_other():
    space, data = tabular_space(5, True), problem()
    configs = space.sample(jax.random.key(0), 11)
    whole = population.train(configs, np.arange(5), data, 3, jax.random.key(1), keep_params=True)
    assert whole.score.shape == (11,)
    assert whole.curve.shape == (11, population.CURVE_POINTS)
    np.testing.assert_allclose(whole.curve[:, -1], whole.score, atol=1e-6)
    # the first three again, in a group of another composition
    part = population.train(
        {k: v[:3] for k, v in configs.items()}, np.arange(5), data, 3, jax.random.key(1), keep_params=True
    )
    np.testing.assert_allclose(whole.score[:3], part.score, atol=0.021)
    used = int(configs["width"][1])  # beyond its width there are only units of larger models
    np.testing.assert_allclose(whole.params[1]["head"][:used], part.params[1]["head"][:used], atol=2e-2)


def test_unused_units_and_features_are_never_touched():
    space, data = tabular_space(5, True), problem()
    config = {**default_config(True), "width": 9, "selection": "subset", "features": (0, 2), "weight_decay": 1e-5}
    out = population.train(space.configs([config]), np.arange(5), data, 3, jax.random.key(1), keep_params=True)
    fresh = network.init(
        jax.tree.map(lambda a: a[0], network.to_network_configs(space.configs([config]), jnp.arange(5))),
        jax.random.key(0),
        3,
    )
    assert fresh["first"].shape == (5, MAX_WIDTH)
    x = np.asarray(data.x_eval)
    other = x.copy()
    other[:, [1, 3, 4]] = 99.0
    one = jax.tree.map(lambda a: a[0], network.to_network_configs(space.configs([config]), jnp.arange(5)))
    np.testing.assert_array_equal(network.apply(one, out.params[0], x), network.apply(one, out.params[0], other))


def test_training_learns_and_larger_batches_make_fewer_updates():
    space, data = tabular_space(5, True), problem(1200)
    base = {**default_config(True), "epochs": 24, "learning_rate": 1e-2}
    rows = [base, {**base, "batch_size": 256}, {**base, "model": "linear"}]
    for row in rows[2:]:
        for name in ("depth", "width", "activation", "norm", "dropout"):
            row.pop(name)
    out = population.train(space.configs(rows), np.arange(5), data, 3, jax.random.key(1))
    assert np.all(out.score > 0.85)


def test_regression_scores_are_r2():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5, 0.0]).astype(np.float32)
    y = (y - y.mean()) / y.std()
    data = population.Data(*map(jnp.asarray, (x[:200], y[:200], x[200:], y[200:])))
    space = tabular_space(4, classification=False)
    config = {**default_config(False), "learning_rate": 1e-2, "epochs": 24}
    out = population.train(space.configs([config]), np.arange(4), data, 1, jax.random.key(0))
    assert out.score[0] > 0.95
    assert out.loss[0] == pytest.approx((1 - out.score[0]) * float(np.var(y[200:])), rel=1e-3)


def test_the_loss_of_a_classifier_is_calibrated():
    """Smoothed so far that a model gives its class a probability of .6 and is right nine times of ten.

    By its raw loss it is far worse than a model without smoothing. Calibration removes 82% of that difference.
    """
    space, data = tabular_space(5, True), problem(400)
    config = {**default_config(True), "learning_rate": 1e-2}
    configs = {**space.configs([config, config]), "label_smoothing": np.array([0.6, 0.0], np.float32)}
    out = population.train(configs, np.arange(5), data, 3, jax.random.key(0), output_rows=10**6)
    labels = np.asarray(data.y_eval)
    raw = -np.mean(np.log(out.outputs[:, np.arange(len(labels)), labels]), axis=1)
    assert raw[0] > 2 * raw[1], "the case that is constructed"
    assert out.loss[0] < 0.6 * raw[0], "0.44 of the raw loss; without calibration all of it"
    assert raw[0] - out.loss[0] > 0.7 * (raw[0] - out.loss[1])
    np.testing.assert_allclose(out.loss, calibrate.calibrated_loss(out.outputs, labels), rtol=1e-3)


def test_divergence_is_recorded_not_raised():
    space, data = tabular_space(5, True), problem()
    broken = data._replace(x=data.x.at[0, 0].set(jnp.nan))
    out = population.train(space.configs([default_config(True)] * 2), np.arange(5), broken, 3, jax.random.key(0))
    assert np.isnan(out.score).all()


def test_a_table_smaller_than_a_micro_batch_trains():
    out = population.train(
        tabular_space(5, True).configs([default_config(True)]), np.arange(5), problem(40), 3, jax.random.key(0)
    )
    assert np.isfinite(out.score[0])


def test_a_member_is_the_same_in_every_shape():
    """Trained beside larger ones, and so in larger arrays; with dropout."""
    space, data = tabular_space(5, True), problem()
    small = {**default_config(True), "width": 16, "depth": 1, "dropout": 0.3}
    large = {**default_config(True), "width": 128, "depth": 4}
    run = lambda *configs: population.train(
        space.configs(configs), np.arange(5), data, 3, jax.random.key(1), keep_params=True, output_rows=10**6
    )
    alone, beside = run(small), run(small, large)
    assert [network.SHAPES[i] for i in network.shapes(space.configs([small, large]))] == [(32, 4), (128, 4)]
    np.testing.assert_allclose(alone.outputs[0], beside.outputs[0], atol=1e-3)
    for name, values in alone.params[0].items():
        np.testing.assert_allclose(values, beside.params[0][name] * (values != 0), atol=1e-3, err_msg=name)


def test_what_a_program_has_room_for_changes_nothing():
    space, data = tabular_space(5, True), problem(100)
    run = lambda pad_to: population.train(
        space.configs([default_config(True)]), np.arange(5), data, 3, jax.random.key(1), pad_to=pad_to
    )
    np.testing.assert_array_equal(run(population.PaddedSize(0, 0)).curve, run(population.PaddedSize(400, 60)).curve)


def test_compilations_do_not_grow_with_waves():
    space, data, already = tabular_space(5, True), problem(), population._train_epochs._cache_size()
    train = lambda n, seed: population.train(
        space.sample(jax.random.key(seed), n), np.arange(5), data, 3, jax.random.key(0)
    )
    train(40, 0)
    before = population._train_epochs._cache_size()
    assert before <= len(network.SHAPES) + already
    train(9, 1)
    train(17, 2)
    assert population._train_epochs._cache_size() == before


def test_the_space_is_large_for_any_table():
    for features, classification in ((1, True), (4, False), (5000, True)):
        assert tabular_space(features, classification).log10_size > 12
    assert tabular_space(5000, True).domains["features"].n == 128
