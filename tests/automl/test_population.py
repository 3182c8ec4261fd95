"""One network is every network of the space, and a population is its members trained alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.automl import _calibrate as calibrate
from metajax.automl import _descent as descent
from metajax.automl import _encoding as encoding
from metajax.automl import _network as network
from metajax.automl import _network_params as network_params
from metajax.automl import _population as population
from metajax.automl import _population_rows as population_rows
from metajax.automl import _train_state as train_state
from metajax.automl._class_weights import log_balance
from metajax.automl._curves import CurveWatch, curve_watch
from metajax.automl._space import default_config, tabular_space
from metajax.automl._training import CURVE_POINTS
from metajax.data._row_roles import as_weights


@pytest.fixture(autouse=True)
def tiles(monkeypatch):
    """Few models fill tiles, too."""
    monkeypatch.setattr(population, "_MIN_TILES", 1)


def plain(config, params, member, inputs):
    """One member of the configured network written out in NumPy, for embedded inputs."""
    x = inputs * params["scale"][member]
    if config["model"] == "linear":
        return x @ params["linear"] + params["offset"][0]
    sigmoid = lambda z: 1 / (1 + np.exp(-z))

    def layer(z, level):
        if config["norm"] == "layer":
            z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
        if config["norm"] == "rms":
            z = z / np.sqrt((z**2).mean(-1, keepdims=True) + 1e-5)
        z = z * params["gain"][level, member] + params["bias"][level, member]
        return {
            "relu": lambda: np.maximum(z, 0),
            "tanh": lambda: np.tanh(z),
            "silu": lambda: z * sigmoid(z),
            "gelu": lambda: z * sigmoid(1.702 * z),
            "parametric": lambda: z + params["slope"][level] * (z * sigmoid(z) - z),
        }[config["activation"]]()

    h = layer(x @ params["first"], 0)
    for level in range(1, config["depth"]):
        new = layer((h * params["adapter"][level - 1, member]) @ params["hidden"][level - 1], level)
        h = h + new if config["model"] == "resnet" else new
    return h @ params["head"][member] + params["offset"][member]


def one_model(space, config, x, groups, outputs, seed=0):
    """A network of its own shape with random parameters."""
    configs = {name: np.asarray(values) for name, values in space.configs([config]).items()}
    layout = encoding.make_layout(x)
    shape = network.own_shapes(configs, layout)[0]
    coded = jax.tree.map(lambda a: a[0], network.to_network_configs(configs, groups, layout, shape))
    rng = np.random.default_rng(seed)
    params = network_params.init(coded, rng, shape, layout, outputs)
    params = jax.tree.map(lambda a: a + 0.1 * rng.normal(size=a.shape).astype(np.float32), params)
    table = encoding.fit_table(layout, x, shape.raw, shape.bins, shape.periodic)
    return network.Model(shape, coded, params, table), layout


def embedded(model, x):
    """The inputs of a model in NumPy: what ``test_encoding`` compares with formulas, without features that are not used."""
    inputs = np.asarray(encoding.encode(model.table, jnp.asarray(x))) * model.config.mask
    if not model.shape.periodic:
        return inputs
    waves = np.asarray(encoding.periodic(model.params, jnp.asarray(x[:, model.table.numeric])))
    mask = np.repeat(model.config.periodic_mask, waves.shape[1] // len(model.table.numeric))
    return np.concatenate([inputs, waves * mask], axis=1)


CASES = [
    {"model": "linear"},
    {"embedding": "none", "activation": "relu", "selection": "subset", "features": (0, 2, 3)},
    {"model": "resnet", "depth": 3, "activation": "parametric", "norm": "layer"},
    {"embedding": "periodic", "k": 8, "activation": "gelu", "norm": "rms", "selection": "subset", "features": (1, 3)},
    {"model": "resnet", "embedding": "none", "depth": 4, "k": 8, "activation": "tanh"},
]


def configured(case, classification=True):
    """The default configuration with other choices, and without those that do not exist then."""
    config = {**default_config(classification), "depth": 2, "width": 32, **case}
    if config["model"] == "linear":
        for name in ("depth", "width", "k", "activation", "norm", "dropout"):
            config.pop(name)
    return config if config["embedding"] != "periodic" else {"frequency_scale": 0.1, **config}


@pytest.mark.parametrize("case", CASES)
def test_a_network_equals_the_plain_one_in_every_shape(case):
    """Each member of an ensemble is a network of its own: its factors before and after the shared weights are a matrix."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=(30, 3)), rng.integers(0, 2, (30, 1))], axis=1).astype(np.float32)
    config = configured(case)
    model, layout = one_model(tabular_space(4, True), config, x, np.arange(4), 3)
    apply = jax.jit(network.apply)
    outputs = np.asarray(apply(model.config, model.params, model.table, x))
    assert outputs.dtype == np.float32 and len(outputs) == config.get("k", 1)
    inputs = embedded(model, x).astype(np.float64)
    for member, output in enumerate(outputs):
        np.testing.assert_allclose(output, plain(config, model.params, member, inputs), atol=3e-4)
    largest = network.Shape(True, True, True, 16, 4, 64)
    padded = network_params.pad(model.params, model.shape, largest, layout)
    configs = {name: np.asarray(v) for name, v in tabular_space(4, True).configs([config]).items()}
    coded = jax.tree.map(lambda a: a[0], network.to_network_configs(configs, np.arange(4), layout, largest))
    table = encoding.fit_table(layout, x, True, True, True)
    beside = np.asarray(apply(coded, padded, table, x))
    np.testing.assert_allclose(beside[: len(outputs)], outputs, atol=3e-4)
    jax.tree.map(np.testing.assert_array_equal, network_params.crop(padded, model.shape, largest, layout), model.params)


def test_an_ensemble_learns_by_the_mean_of_its_members_losses_and_predicts_by_their_mean_probability():
    x = np.random.default_rng(3).normal(size=(30, 3)).astype(np.float32)
    y = (np.arange(30) % 3).astype(np.int32)
    model, _ = one_model(tabular_space(3, True), configured({"k": 8, "label_smoothing": 0.1}), x, np.arange(3), 3)
    outputs = np.asarray(jax.jit(network.apply)(model.config, model.params, model.table, x), np.float64)
    log = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    target = 0.9 * np.eye(3)[y] + 0.1 / 3
    bits = jnp.zeros((2, 8, 30, 32), jnp.uint32)
    loss = descent._loss(model.params, model.config, model.table, x, jnp.asarray(y), jnp.ones(len(y)), 3, bits, 1.0)
    np.testing.assert_allclose(loss, np.mean([-(target * member).sum(1).mean() for member in log]), rtol=1e-5)
    mean = network.mean_output(model.config, jnp.asarray(outputs), True)
    np.testing.assert_allclose(np.exp(mean), np.exp(log).mean(0), atol=1e-5)


def test_dropout_is_the_same_in_every_shape_and_as_frequent_as_it_says():
    small = network.dropout_bits(jnp.uint32(7), network.Shape(True, False, False, 1, 2, 64), 128)
    large = network.dropout_bits(jnp.uint32(7), network.Shape(True, True, False, 8, 4, 128), 128)
    np.testing.assert_array_equal(small, large[:2, :1, :, :64])
    uniform = np.asarray(large, np.float64) / 2**32
    assert abs(np.mean(uniform < 0.3) - 0.3) < 0.005
    flat = uniform.reshape(4 * 8, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(32)).max() < 0.05
    other = np.asarray(network.dropout_bits(jnp.uint32(8), network.Shape(True, True, False, 8, 4, 128), 128))
    assert abs(np.corrcoef(uniform.ravel(), other.ravel())[0, 1]) < 0.01


def test_schedules_are_those_of_their_papers():
    t = np.linspace(0.06, 0.99, 30)
    fields = dict.fromkeys(network.NetworkConfig._fields, 0)
    rate = lambda kind: descent.learning_rate(
        network.NetworkConfig(**{**fields, "schedule": jnp.asarray(kind), "learning_rate": 0.5}), jnp.asarray(t)
    )
    np.testing.assert_allclose(rate(0), 0.5 * np.ones(30), rtol=1e-6)
    np.testing.assert_allclose(rate(1), 0.25 * (1 + np.cos(np.pi * t)), rtol=1e-4)
    np.testing.assert_allclose(rate(2), 0.25 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * t))), atol=1e-5)


def problem(rows=200, classes=3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 5)).astype(np.float32)
    y = np.argmax(x[:, :classes] + 0.1 * rng.normal(size=(rows, classes)), axis=1).astype(np.int32)
    half = rows // 2
    return population.Data(*map(jnp.asarray, (x[:half], y[:half], x[half:], y[half:])))


def train(configs, data, outputs=3, seed=1, **kwargs):
    space = tabular_space(5, outputs > 1)
    return population.train(
        space.configs(configs), np.arange(5), data, outputs, jax.random.key(seed), population.Options(**kwargs)
    )


FAST = {"epochs": 12, "dropout": 0.0}


def test_an_update_is_adamw_with_a_rate_for_each_kind_of_array():
    """One batch, written out: the rate of a kernel is divided by the root of its inputs, and kernels alone decay."""
    data = problem(256)
    config = configured(
        {"schedule": "constant", "epochs": 8, "batch_size": 128, "dropout": 0.0, "label_smoothing": 0.0}
    )
    one = train([config], data, keep_params=True, stop=np.array([1 / 8])).params[0]
    space, x, y = tabular_space(5, True), np.asarray(data.x), data.y
    assert len(x) == descent.MICRO_BATCH
    sampling = population_rows.Sampling(encoding.make_layout(x))
    prepared = population_rows.Population(data, sampling, 3, jax.random.key(1), False)
    configs = {name: np.asarray(v) for name, v in space.configs([config]).items()}
    start = population.initial_params(configs, 0, np.arange(5), one.shape, prepared)
    bits = jnp.zeros((2, 1, 128, 32), jnp.uint32)
    gradient = jax.grad(descent._loss)(start, one.config, one.table, data.x, y, jnp.ones(len(y)), 3, bits, 1.0)
    for name, decay, factor in (("first", 1, 80**-0.5), ("head", 1, 32**-0.5), ("bias", 0, 0.1), ("scale", 0, 6.0)):
        g, w = np.asarray(gradient[name]), start[name]
        rate = config["learning_rate"]
        expected = w - rate * (factor * g / (np.abs(g) + 1e-8) + decay * config["weight_decay"] * w)
        # where a gradient is rounding, its sign is, too
        np.testing.assert_allclose(
            one.params[name][np.abs(g) > 1e-6], expected[np.abs(g) > 1e-6], atol=1e-5, err_msg=name
        )


def test_members_do_not_see_each_other():
    """A result does not depend on the group: a model alone, and in a tile beside others that train longer."""
    data, first = problem(), configured(FAST | {"dropout": 0.3})
    beside = [configured(FAST | {"epochs": 20, "learning_rate": 0.1}), configured(FAST | {"model": "linear"})]
    whole = train([first, *beside], data, output_rows=10**6)
    assert whole.curve.shape == (3, population.CURVE_POINTS)
    np.testing.assert_allclose(whole.curve[:, -1], whole.score, atol=1e-6)
    part = train([first], data, output_rows=10**6, group_size=1)
    np.testing.assert_allclose(whole.outputs[:1], part.outputs, atol=1e-3)


def test_a_member_is_the_same_in_every_shape(monkeypatch):
    data, config = problem(), configured({"epochs": 8, "dropout": 0.3, "k": 8})
    alone = train([config], data, output_rows=10**6, keep_params=True)
    largest = lambda own, layout, rows, outputs: network.Shape(True, True, True, 8, 3, 64)
    monkeypatch.setattr(population, "program_shape", largest)
    beside = train([config], data, output_rows=10**6, keep_params=True)
    np.testing.assert_allclose(alone.outputs[0], beside.outputs[0], atol=2e-3)
    same = lambda a, b: np.testing.assert_allclose(a, b, atol=5e-3)
    jax.tree.map(same, alone.params[0].params, beside.params[0].params)


def test_unused_features_are_never_touched():
    data = problem()
    config = configured(FAST | {"selection": "subset", "features": (0, 2)})
    model = train([config], data, keep_params=True).params[0]
    x = np.asarray(data.x_eval)
    other = x.copy()
    other[:, [1, 3, 4]] = 99.0
    np.testing.assert_array_equal(descent.predict(model, x, True), descent.predict(model, other, True))


def test_early_stopping_keeps_the_best_epoch():
    """Against a loop over the costs of two models: the first improves until its last epoch, the second stops before it."""
    costs = np.array([[5, 4, 3, 2, 1, 0], [3, 2, 2, 4, 5, 1]], np.float32).T
    vectors = np.zeros((2, 1), np.float32)
    none, zeros = np.full(2, np.inf, np.float32), np.zeros(2, np.int32)
    outputs = np.zeros((2, 1, 1, 1), np.float32)
    state = train_state.TrainState(*[vectors] * 4, zeros, vectors, outputs, none, zeros, np.ones(2, bool))
    limits = train_state.Limits(np.array([5, 6]), np.array([3, 3]), np.asarray(True))
    for number, cost in enumerate(costs, 1):
        state = state._replace(params=jnp.full((2, 1), float(number)))
        state = descent._keep_best(state, jnp.full((2, 1, 1, 1), float(number)), jnp.asarray(cost), number, limits)
    assert np.asarray(state.best_epoch).tolist() == [5, 2] and not np.asarray(state.is_active).any()
    assert np.asarray(state.best)[:, 0].tolist() == np.ravel(state.best_outputs).tolist() == [5.0, 2.0]


def test_a_training_returns_its_best_epoch():
    """Noise is learned by heart: the best epoch is an early one, and training for so long alone ends in the same model."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(260, 5)).astype(np.float32)
    y = (x[:, 0] + 2.0 * rng.normal(size=260)).astype(np.float32)
    data = population.Data(*map(jnp.asarray, (x[:130], y[:130], x[130:], y[130:])))
    config = configured({"epochs": 60, "schedule": "constant", "dropout": 0.0}, False)
    chosen = train([config], data, 1, keep_params=True, output_rows=10**6)
    assert 0 < chosen.stop[0] < 0.7
    predicted = descent.predict(chosen.params[0], np.asarray(data.x_eval), False)
    np.testing.assert_allclose(predicted, chosen.outputs[0], atol=1e-4)
    again = train([config], data, 1, stop=chosen.stop)
    assert again.loss[0] == pytest.approx(chosen.loss[0], rel=1e-3)
    assert np.all(np.diff(chosen.curve[0]) >= -1e-9), "the score of the best epoch so far"


def test_a_training_that_falls_behind_is_given_up_and_the_others_are_not_touched():
    """A line does not learn a product; its curve says so, and ends."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1536, 5)).astype(np.float32)
    y = (x[:, 0] * x[:, 1]).astype(np.float32)
    data = population.Data(x[:1280], y[:1280], x[1280:], y[1280:])
    configs = [configured({"epochs": 32, **case}, False) for case in ({}, {"model": "linear", "embedding": "none"})]
    whole = train(configs, data, 1, output_rows=10**6)
    gains = np.array([0.3] * (CURVE_POINTS - 1) + [0.0])
    watched = train(configs, data, 1, output_rows=10**6, watch=CurveWatch(gains, 0.5))
    np.testing.assert_array_equal(watched.outputs[0], whole.outputs[0])
    assert watched.score[0] == whole.score[0] > 0.8
    assert np.isfinite(watched.curve[0]).all() and np.isfinite(whole.curve).all()
    assert np.isfinite(watched.curve[1]).tolist() == [True] * 2 + [False] * 6, (
        "it was looked at after eight of 32 epochs"
    )
    assert watched.curve[1, 1] == whole.curve[1, 1] == pytest.approx(watched.score[1], abs=1e-6)
    unwatched = train(configs, data, 1, stop=np.ones(2), watch=CurveWatch(gains, 0.5))
    assert np.isfinite(unwatched.score).all() and np.isfinite(unwatched.curve[:, -1]).all(), "no rows judge it"


def test_a_training_is_given_up_where_nine_of_ten_would_not_become_good_enough():
    """The bound is what is reached and the gain that nine of ten had after the same share; good enough is the median."""
    ends = np.linspace(0.5, 0.9, 9)
    curves = ends[:, None] * np.linspace(0.3, 1.0, CURVE_POINTS)
    others = np.full((3, CURVE_POINTS), 0.95)
    watch = curve_watch(np.concatenate([curves, others]), np.r_[np.ones(9, bool), np.zeros(3, bool)])
    assert watch.goal == pytest.approx(np.median([*ends, 0.95, 0.95, 0.95]))
    gain = np.sort(ends * 0.7)[-1]  # nine of nine: there is none between eight and nine
    assert watch.gains[0] == pytest.approx(gain) and watch.gains[-1] == 0
    assert watch.gives_up(1 / 8, watch.goal - gain - 1e-3) and not watch.gives_up(1 / 8, watch.goal - gain + 1e-3)
    assert not watch.gives_up(0.1, -1.0) and not watch.gives_up(1.0, -1.0), "too early to tell, and over"
    assert curve_watch(curves[:3], np.ones(3, bool)) is None
    given_up = np.where(np.arange(CURVE_POINTS) < 2, 0.1, np.nan)
    more = curve_watch(np.stack([*curves, *others, given_up]), np.r_[np.ones(9, bool), np.zeros(3, bool), True])
    np.testing.assert_array_equal(more.gains, watch.gains)  # Nobody knows what it would have gained.


def test_the_evaluation_rows_choose_nothing_where_the_epoch_is_given():
    data, config = problem(), configured(FAST)
    run = lambda d: train([config], d, keep_params=True, stop=np.array([0.5])).params[0].params
    other = data._replace(x_eval=1.0 - data.x_eval, y_eval=2 - data.y_eval)
    jax.tree.map(np.testing.assert_array_equal, run(data), run(other))


def test_heavy_rows_and_heavy_classes_decide():
    """Every row is there three times, twice as one class: only weights of rows, or of classes, say which is right."""
    rng = np.random.default_rng(0)
    x = np.tile(rng.normal(size=(120, 5)).astype(np.float32), (3, 1))
    y = np.repeat([0, 1, 1], 120).astype(np.int32)
    data = population.Data(x, y, x[:240], y[:240])
    config = configured(FAST | {"dropout": 0.0})
    mean = lambda data, weight=0.0: train_weighted(config, data, weight)
    assert mean(data)[1] > 0.6 and abs(mean(data, 1.0)[1] - mean(data, 1.0)[0]) < 0.2
    weights, _ = as_weights(np.where(y == 0, 18.0, 1.0), "weights")
    assert mean(data._replace(weights=weights, weights_eval=weights[:240]))[0] > 0.75
    np.testing.assert_allclose(np.exp(log_balance(y, 3)), [1.5, 0.75, 1.0])


def train_weighted(config, data, weight):
    """The mean probabilities that a network predicts."""
    space = tabular_space(5, True, weights_classes=True)
    configs = space.configs([{**config, "class_weight": weight}])
    out = population.train(configs, np.arange(5), data, 3, jax.random.key(0), population.Options(output_rows=10**6))
    return out.outputs[0].mean(axis=0)


def test_training_learns_whatever_the_batch_and_the_model():
    cases = ({}, {"batch_size": 512}, {"model": "linear", "embedding": "none"})
    configs = [configured({"epochs": 24, "schedule": "cosine", "dropout": 0.0, **case}) for case in cases]
    assert np.all(train(configs, problem(1200)).score > 0.85)


def test_regression_scores_are_r2():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 5)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5, 0.0, 0.0]).astype(np.float32)
    y = (y - y.mean()) / y.std()
    data = population.Data(*map(jnp.asarray, (x[:300], y[:300], x[300:], y[300:])))
    out = train([configured({"epochs": 60, "dropout": 0.0, "model": "linear"}, False)], data, 1)
    assert out.score[0] > 0.95
    assert out.loss[0] == pytest.approx((1 - out.score[0]) * float(np.var(y[300:])), rel=1e-3)


def test_the_loss_of_a_classifier_is_calibrated():
    """Smoothed so far that a model is much less sure than it is right: calibration removes most of the difference."""
    space, data = tabular_space(5, True), problem(400)
    config = configured(FAST)
    configs = {**space.configs([config, config]), "label_smoothing": np.array([0.6, 0.0], np.float32)}
    out = population.train(configs, np.arange(5), data, 3, jax.random.key(0), population.Options(output_rows=10**6))
    labels = np.asarray(data.y_eval)
    raw = -np.mean(np.log(out.outputs[:, np.arange(len(labels)), labels]), axis=1)
    assert out.loss[0] < 0.75 * raw[0]
    np.testing.assert_allclose(out.loss, calibrate.calibrated_loss(out.outputs, labels), rtol=1e-3)


def test_divergence_is_recorded_not_raised():
    data = problem()
    broken = data._replace(x=data.x.at[0, 0].set(jnp.nan))
    assert np.isnan(train([configured(FAST | {"embedding": "none"})] * 2, broken).score).all()


def test_a_table_smaller_than_a_micro_batch_trains():
    assert np.isfinite(train([configured(FAST)], problem(40)).score[0])


def test_what_a_program_has_room_for_changes_nothing():
    data = problem(100)
    layout = encoding.make_layout(np.asarray(data.x))
    run = lambda pad_to: train([configured(FAST)], data, sampling=population_rows.Sampling(layout, 1, pad_to))
    padded, plain = run(population_rows.PaddedSize(400, 700)), run(population_rows.PaddedSize(0, 0))
    np.testing.assert_array_equal(plain.curve, padded.curve)
    assert padded.loss[0] == pytest.approx(plain.loss[0], rel=1e-4)


def test_shapes_are_few_for_small_tables_and_waste_little_for_large_ones():
    space = tabular_space(10, True)
    x = np.random.default_rng(0).normal(size=(100, 10)).astype(np.float32)
    layout = encoding.make_layout(x)
    configs = {name: np.asarray(values) for name, values in space.sample(jax.random.key(0), 256).items()}
    own = network.own_shapes(configs, layout)
    rounded = lambda rows: [population.program_shape(shape, layout, rows, 3) for shape in own]
    cost = lambda shapes: sum(shape.multiplications(layout, 3) for shape in shapes)
    small, large = rounded(1000), rounded(10**9)
    assert all(shape.join(bigger) == bigger for shape, bigger in zip(own, small))
    assert len(set(small)) <= 8 < 60 < len(set(large))
    assert cost(large) < 1.25 * cost(own)


def test_compilations_do_not_grow_with_waves(monkeypatch):
    """Other models of the same shape, more of them, other numbers of epochs and other rows share the program."""
    monkeypatch.setattr(population, "_MIN_TILES", 4)
    first = lambda **other: configured(FAST | other)
    train([first()], problem())
    before = descent.train_epochs(False)._cache_size()
    train(
        [first(learning_rate=0.1, epochs=9), first(activation="relu", norm="rms", schedule="constant")],
        problem(),
        seed=2,
    )
    data = problem()
    train([first(label_smoothing=0.2, batch_size=512)] * 9, data._replace(y=2 - data.y))
    assert descent.train_epochs(False)._cache_size() == before


def test_the_space_is_large_for_any_table():
    for features, classification in ((1, True), (4, False), (5000, True)):
        assert tabular_space(features, classification).log10_size > 12
    assert tabular_space(5000, True).domains["features"].n == 128
