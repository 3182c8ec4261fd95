"""Spaces and their encodings, by properties over random spaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax.space import Categorical, Float, Integer, Space, Subset, interop, rules

quick = settings(max_examples=4, deadline=None)  # every space compiles its own programs: few, but of many domains


@st.composite
def domains(draw, finite=False):
    kind = draw(st.sampled_from(["categorical", "integer", "subset", "float"]))
    if kind == "categorical":
        return Categorical(tuple(f"c{i}" for i in range(draw(st.integers(1, 4)))))
    if kind == "integer":
        low = draw(st.integers(1, 5))
        return Integer(low, low + draw(st.integers(0, 4)), log=draw(st.booleans()))
    if kind == "subset":
        return Subset(draw(st.integers(1, 3)), nonempty=draw(st.booleans()))
    low = draw(st.floats(1e-3, 1.0))
    grid = draw(st.integers(2, 4)) if finite or draw(st.booleans()) else None
    return Float(low, low * draw(st.floats(1.5, 100.0)), log=draw(st.booleans()), grid=grid)


@st.composite
def spaces(draw, finite=False):
    parts = {f"d{i}": draw(domains(finite)) for i in range(draw(st.integers(3, 6)))}
    conditions = []
    for i in range(1, len(parts)):
        parent = f"d{draw(st.integers(0, i - 1))}"
        domain = parts[parent]
        if isinstance(domain, Categorical | Integer) and draw(st.booleans()):
            values = [domain.to_python(domain.at(np.array([v]))[0]) for v in range(domain.size)]
            chosen = draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
            conditions.append((f"d{i}", parent, tuple(chosen)))
    return Space(parts, conditions)


@quick
@given(spaces(), st.integers(0, 2**31))
def test_encode_and_decode_are_inverse(space, seed):
    configs = space.sample(jax.random.key(seed), 5)
    encodings = space.encode(configs)
    assert encodings.shape == (5, space.width) and encodings.dtype == jnp.float32
    assert np.min(encodings) >= 0 and np.max(encodings) <= 1 + 1e-6
    again = space.decode_configs(encodings)
    for name in space.domains:
        np.testing.assert_allclose(again[name], configs[name], rtol=1e-4)
    dicts = space.decode(encodings)
    np.testing.assert_allclose(space.encode(space.configs(dicts)), encodings, atol=1e-4)


@quick
@given(spaces(finite=True))
def test_enumeration_reaches_every_configuration_once(space):
    size = min(space.size, 400)
    dicts = space.dicts(space.at(np.arange(size)))
    assert len({repr(d) for d in dicts}) == size
    np.testing.assert_allclose(space.encode(space.configs(dicts)), space.encode(space.at(np.arange(size))), atol=1e-5)
    with pytest.raises(ValueError, match="index must be between 0 and"):
        space.at(space.size)


@quick
@given(spaces(), st.integers(0, 2**31))
def test_inactive_parts_are_zero_and_moves_stay_inside(space, seed):
    configs = space.sample(jax.random.key(seed), 6)
    for config in (configs, space.mutate(jax.random.key(seed + 1), configs, rate=0.5)):
        encodings, active = np.asarray(space.encode(config)), jax.tree.map(np.asarray, space.active(config))
        for name, part in space.slices.items():
            assert not np.any(encodings[:, part][~active[name]])
        for row in space.dicts(config):
            for name, value in row.items():
                space.domains[name].from_python(value, name)


@quick
@given(spaces())
def test_json_gives_the_same_space_back(space):
    again = interop.from_json(interop.to_json(space))
    assert again == space and hash(again) == hash(space) and again.size == space.size


def test_size_is_exact_and_large():
    assert Space({"a": Categorical("xyz"), "b": Subset(100), "c": Integer(1, 7)}).size == 3 * 2**100 * 7
    big = Space({"b": Subset(100, nonempty=True), "c": Integer(0, 9)})
    index = 2**100 * 7 + 12345678901234567890
    (config,) = big.dicts(big.at([index]))
    digit, rest = index % (2**100 - 1), index // (2**100 - 1)
    assert config["c"] == rest and sum(1 << i for i in config["b"]) == digit + 1
    assert Space({"x": Float(0.0, 1.0)}).size == float("inf")


def test_neighbors_are_one_step_away():
    space = Space(
        {"op": Categorical(("skip", "conv")), "kernel": Integer(1, 3), "f": Subset(2, nonempty=True)},
        [("kernel", "op", ("conv",))],
    )
    neighbors = space.neighbors({"op": "conv", "kernel": 2, "f": (0,)})
    assert {"op": "skip", "f": (0,)} in neighbors
    assert {"op": "conv", "kernel": 3, "f": (0,)} in neighbors
    assert {"op": "conv", "kernel": 2, "f": (0, 1)} in neighbors
    assert len(neighbors) == 4  # the empty subset is excluded


@pytest.mark.parametrize("name", rules.RULES)
def test_rules_stay_in_the_simplex_or_cube_and_have_gradients(name):
    rule, key = rules.resolve(name), jax.random.key(0)
    both = jax.jit(lambda z: (rule(z, key), jax.jacrev(rule)(z, key)))
    logits = np.array([0.3, -0.2, 0.5, 0.0], np.float32)
    weights, jacobian = map(np.asarray, both(logits))
    assert weights.shape == logits.shape and weights.dtype == logits.dtype
    assert np.all((weights >= 0) & (weights <= 1))
    if name != "sigmoid":
        assert weights.sum() == pytest.approx(1.0, abs=1e-5)
    grad = np.arange(4.0) @ jacobian
    assert np.all(np.isfinite(grad)) and np.abs(grad).sum() > 0
    for extreme in (np.zeros(4, np.float32), np.array([80.0, -80.0, 0.0, 0.0], np.float32)):
        assert np.all(np.isfinite(both(extreme)[1]))


def test_straight_through_is_one_hot_and_random_rules_need_a_key():
    weights = rules.straight_through()(jnp.zeros(5), jax.random.key(1))
    assert sorted(weights.tolist()) == [0, 0, 0, 0, 1]
    with pytest.raises(ValueError, match="'gumbel_softmax' is random and needs a key"):
        rules.gumbel_softmax()(jnp.zeros(3))


def test_sparsemax_is_the_projection(x64):
    z = jnp.asarray(np.random.default_rng(0).normal(size=6))
    w = rules.sparsemax()(z)
    others = np.random.default_rng(1).dirichlet(np.ones(6), size=5000)
    assert float(jnp.sum((w - z) ** 2)) <= np.min(np.sum((others - np.asarray(z)) ** 2, axis=1)) + 1e-12


def test_relax_of_a_sharp_configuration_is_its_encoding():
    space = Space(
        {"op": Categorical(("skip", "conv")), "kernel": Integer(1, 3), "rate": Float(0.0, 1.0), "f": Subset(3)},
        [("kernel", "op", ("conv",)), ("f", "kernel", (2, 3))],
    )
    for index, logit in ((0, -60.0), (1, 60.0)):
        config = {"op": index, "kernel": 3 if index else 1, "rate": 0.0, "f": [True, False, True]}
        batch = {k: jnp.asarray([v]) for k, v in config.items()}
        logits = {
            "op": jnp.array([-logit, logit]) / 2,
            "kernel": jnp.asarray(logit),
            "rate": jnp.asarray(-60.0),
            "f": jnp.array([60.0, -60.0, 60.0]),
        }
        expected = space.encode(space.canonical(batch))[0]
        np.testing.assert_allclose(space.relax(logits), expected, atol=1e-6)
    assert space.relax(space.zeros()).shape == (space.width,)
    with pytest.raises(ValueError, match="but lacks 'kernel'"):
        space.relax({"op": jnp.zeros(2)})
    with pytest.raises(ValueError, match=r"rule must be one of .*, got 'argmax'"):
        space.relax(space.zeros(), "argmax")


def test_optuna_and_configspace():
    space = Space(
        {"op": Categorical(("a", "b")), "rate": Float(1e-4, 1.0, log=True), "k": Integer(1, 5), "f": Subset(2)},
        [("k", "op", ("b",))],
    )
    pytest.importorskip("optuna")
    back = interop.from_optuna(interop.to_optuna(space))
    assert back.domains["rate"] == space.domains["rate"] and set(back.domains) == {"op", "rate", "k", "f/0", "f/1"}
    pytest.importorskip("ConfigSpace")
    other = interop.to_configspace(space)
    assert len(list(other.values())) == 5 and len(other.conditions) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Categorical(()), "at least one choice"),
        (lambda: Categorical(("a", "a")), "are equal"),
        (lambda: Float(1.0, 0.0), "low <= high"),
        (lambda: Float(0.0, 1.0, log=True), "low must be positive"),
        (lambda: Integer(3, 1), "low <= high"),
        (lambda: Subset(0), "from 1 to"),
        (lambda: Space({}), "domains must have"),
        (lambda: Space({"a": 3}), "a must be a Categorical.*, got 3"),
        (lambda: Space({"a": Categorical("xy")}, [("b", "a", ("x",))]), "must be on names of the space, .*, got 'b'"),
        (lambda: Space({"a": Categorical("xy"), "b": Subset(2)}, [("b", "a", ("z",))]), "'z' is not one of"),
        (
            lambda: Space({"a": Categorical("xy"), "b": Float(0, 1)}, [("a", "b", (0.5,))]),
            "parent 'b' must be .*, got Float",
        ),
        (lambda: Space({"a": Integer(1, 2), "b": Integer(1, 2)}, [("a", "b", (1,)), ("b", "a", (1,))]), "circle"),
        (lambda: Space({"a": Categorical("xy")}).configs([{"a": "z"}]), "configuration 0: a: 'z' is not one of"),
        (lambda: Space({"a": Categorical("xy")}).configs([{}]), "must have a value of a"),
        (lambda: Space({"a": Categorical("xy")}).configs([{"a": "x", "q": 1}]), r"names among .*, got \['q'\]"),
        (lambda: Space({"a": Float(0, 1)}).at(0), "must be finite"),
        (lambda: Space({"a": Categorical("xy")}).decode(np.zeros((1, 3))), "width 2, as the space, got 3"),
        (lambda: interop.from_json("{}"), "must be the JSON of a space"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
