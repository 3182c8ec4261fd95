"""The SuperNet against edge-by-edge references, and its truth table against single trainings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax import bilevel, fewshot, nn, supernet
from metajax.supernet.spaces._cell import average_pool
from metajax.types import InputError

standardize = jax.jit(nn.standardize)


def reference_cell(cell, space, x, config):
    """One architecture edge by edge, with XLA's own convolution and pooling window."""
    c = cell.channels
    conv = lambda z, k: jax.lax.conv_general_dilated(z, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    window = lambda z: jax.lax.reduce_window(z, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    states = [x]
    for j in range(1, cell.nodes):
        total = jnp.zeros_like(x)
        for i in range(j):
            position = [t for s, t in cell.edges if s == i].index(j)
            part = slice(position * c, (position + 1) * c)
            op, z = config[f"edge_{i}_{j}"], states[i]
            if op == "skip":
                total += z
            elif op == "avg_pool":
                total += window(z) / window(jnp.ones_like(z))
            elif op in ("conv1x1", "conv3x3"):
                group = cell.conv1 if op == "conv1x1" else cell.conv3
                kernel = jnp.asarray(np.asarray(group[i].kernel[...])[..., part])
                total += standardize(conv(jax.nn.relu(z), kernel))
        states.append(total)
    return states[-1]


def test_one_hot_encodings_are_the_stand_alone_cells():
    from flax import nnx

    space = supernet.spaces.cell_space(4)
    cell = supernet.spaces.MixedCell(space, 3, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 6, 3)), jnp.float32)
    configs, mixed = space.sample(jax.random.key(1), 12), jax.jit(lambda encoding: cell(x, encoding))
    for config, encoding in zip(space.dicts(configs), space.encode(configs)):
        np.testing.assert_allclose(mixed(encoding), reference_cell(cell, space, x, config), atol=2e-5)


def test_average_pool_is_the_mean_over_what_is_inside(x64):
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 3))
    window = lambda z: jax.lax.reduce_window(z, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    mean = jax.jit(lambda x: window(x) / window(jnp.ones_like(x)))
    np.testing.assert_allclose(jax.jit(average_pool)(x), mean(x), atol=1e-12)


def test_space_sizes_and_bad_spaces():
    assert supernet.spaces.cell_space(3).size == 125
    assert supernet.spaces.cell_space(4).size == 15625
    with pytest.raises(InputError, match="operations must be among"):
        supernet.spaces.cell_space(3, ("none", "conv7x7"))
    with pytest.raises(InputError, match="nodes must be an integer >= 2, got 1"):
        supernet.spaces.cell_space(1)


def test_kendall_tau_is_scipys():
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.integers(0, 6, 30), rng.integers(0, 6, 30)
        assert supernet.diagnosis.kendall_tau(a, b) == pytest.approx(scipy_stats.kendalltau(a, b).statistic)
    assert supernet.diagnosis.kendall_tau([1, 1, 1], [1, 2, 3]) == 0.0
    with pytest.raises(InputError, match="of the same length"):
        supernet.diagnosis.kendall_tau([1], [1, 2])


def tiny(operations=supernet.spaces.OPERATIONS):
    space = supernet.spaces.cell_space(3, operations)
    network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, channels=4, stages=1, stride=2, rngs=rngs))
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 96).astype(np.int32)
    x = rng.normal(size=(96, 4, 4, 1)).astype(np.float32) * 0.3
    for i, label in enumerate(y):  # a class is where the bright row is
        x[i, label] += 2.0
    return space, network, (jnp.asarray(x), jnp.asarray(y))


@pytest.mark.slow
def test_the_truth_side_by_side_is_the_truth_alone():
    space, network, data = tiny()
    training = supernet.truth.TrainingSetup(epochs=3, batch_size=32, learning_rate=1e-2)
    table = supernet.truth.exhaust(space, network, data, data, training, index=np.arange(60, 67), side_by_side=3)
    alone = supernet.truth.exhaust(space, network, data, data, training, index=[64], side_by_side=1)
    assert table.accuracy.shape == (7, 1)
    assert table.accuracy[4, 0] == pytest.approx(alone.accuracy[0, 0], abs=0.03)
    assert table.rank(int(table.index[np.argmax(table.mean)])) == 1
    with pytest.raises(InputError, match="at most the number of training examples, 96, got 100"):
        supernet.truth.exhaust(space, network, data, data, supernet.truth.TrainingSetup(batch_size=100), index=[0])


@pytest.mark.slow
def test_a_table_is_kept_resumed_and_guarded(tmp_path):
    space, network, data = tiny()
    training, file = supernet.truth.TrainingSetup(epochs=1, batch_size=32), tmp_path / "truth.json"
    some = lambda **more: supernet.truth.exhaust(
        space,
        network,
        data,
        data,
        **{"training": training, "seeds": 2, "index": np.arange(60, 65), "side_by_side": 2, **more},
    )

    def killed(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        some(path=file, progress=killed)
    with pytest.raises(InputError, match="holds only 4 of 10 trainings"):
        supernet.truth.load_table(file)
    whole = some()
    np.testing.assert_array_equal(some(path=file).accuracy, whole.accuracy)
    loaded = supernet.truth.load_table(file)
    np.testing.assert_array_equal(loaded.accuracy, whole.accuracy)
    np.testing.assert_array_equal(loaded.index, whole.index)
    for more in ({"seeds": 3}, {"training": supernet.truth.TrainingSetup(2, 32)}, {"key": jax.random.key(9)}):
        with pytest.raises(InputError, match="holds another table"):
            some(path=file, **more)
    text = file.read_text()
    file.write_text(text.replace("0.", "0.1", 1))
    with pytest.raises(InputError, match="was altered"):
        supernet.truth.load_table(file)
    file.write_text(text[:100])
    with pytest.raises(InputError, match="is not a table of exhaust"):
        some(path=file)


@pytest.mark.slow
def test_a_table_is_the_same_on_two_devices(tmp_path):
    code = (
        "import jax, numpy as np, sys; sys.path.insert(0, sys.argv[1]);"
        "import test_supernet as t; from metajax import supernet;"
        "space, network, data = t.tiny(); assert len(jax.devices()) == int(sys.argv[2]);"
        "training = supernet.truth.TrainingSetup(1, 32);"
        "table = supernet.truth.exhaust(space, network, data, data, training, index=range(60, 65), side_by_side=3);"
        "print(table.accuracy[:, 0].tolist())"
    )

    def accuracies(devices):
        env = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
        argv = [sys.executable, "-c", code, str(Path(__file__).parent), str(devices)]
        return json.loads(subprocess.run(argv, capture_output=True, text=True, check=True, env=env).stdout)

    np.testing.assert_allclose(accuracies(2), accuracies(1), atol=0.03)


@pytest.mark.parametrize("estimator", [bilevel.first_order(), bilevel.unroll(), bilevel.finite_difference()])
def test_darts_prefers_a_working_architecture(estimator):
    """An informative task: after a short search the cell must not be empty, and validation loss must have fallen."""
    space, network, (x, y) = tiny(("none", "skip", "conv3x3"))
    descent, outer = optax.sgd(0.1, momentum=0.9), optax.adam(0.05)
    search = supernet.compose_search(space, network, fewshot.cross_entropy, descent, outer, 60, estimator=estimator)

    def step(state, key):
        rows = jax.random.randint(key, (2, 32), 0, 96)
        return search.update(state, ((x[rows[:1]], y[rows[:1]]), (x[rows[1]], y[rows[1]])))

    start = search.init(jax.random.key(0))
    state, info = jax.jit(lambda s: jax.lax.scan(step, s, jax.random.split(jax.random.key(1), 60)))(start)
    losses = np.asarray(info["outer_loss"])
    assert losses[-10:].mean() < 0.7 * losses[:5].mean()
    config = supernet.decide(space, search.strengths(state))
    paths = [[config["edge_0_2"]], [config["edge_0_1"], config["edge_1_2"]]]
    assert any("none" not in path for path in paths), f"disconnected: {config}"


def test_exact_second_order_is_the_derivative_through_the_weight_step(x64):
    space, network, (x, y) = tiny(("none", "skip", "conv3x3"))
    loss = fewshot.cross_entropy(lambda p, x: network.apply(p["w"], x, p["e"]))
    wide = lambda t: jax.tree.map(lambda a: a.astype(jnp.float64), t)
    weights, arch, x = wide(network.init(jax.random.key(0))), wide(space.zeros()), x.astype(jnp.float64)
    train, valid = (x[:32], y[:32]), (x[32:64], y[32:64])

    def outer(arch):
        encoding = space.relax(arch)
        grads = jax.grad(lambda w: loss({"w": w, "e": encoding}, train, None)[0])(weights)
        moved = jax.tree.map(lambda w, g: w - 0.1 * g, weights, grads)
        return loss({"w": moved, "e": encoding}, valid, None)[0]

    search = supernet.compose_search(space, network, fewshot.cross_entropy, optax.sgd(0.1), optax.sgd(1.0), 10)
    state = search.init(jax.random.key(0), {"arch": arch})
    core = state.bilevel._replace(inner=state.bilevel.inner._replace(params=weights))
    state, _ = jax.jit(search.update)(state._replace(bilevel=core), (jax.tree.map(lambda a: a[None], train), valid))
    outer = jax.jit(outer)
    for name in space.domains:
        for i in range(3):
            bump = lambda s, name=name, i=i: {**arch, name: arch[name] + s * np.eye(3)[i]}
            numeric = (outer(bump(1e-5)) - outer(bump(-1e-5))) / 2e-5
            assert float(-state.hyper["arch"][name][i]) == pytest.approx(float(numeric), rel=1e-4, abs=1e-7)
