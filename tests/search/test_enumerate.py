"""Enumeration agrees with looking at every configuration one by one, and says what it cannot do."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import ALL, COLUMN, ENCODINGS, FILLED, PARTS, SPACE, random_form

from metajax import predictor, search
from metajax.predictor import _forms
from metajax.search._blocks import largest_product
from metajax.search._groups import groups, limits
from metajax.search._prefixes import enumerate_all
from metajax.search._tree import certify
from metajax.space import Categorical, Space, Subset
from metajax.types import InputError


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 7), forbid=st.booleans())
def test_the_k_best_are_those_of_looking_at_all(seed, k, forbid):
    form, plain = random_form(np.random.default_rng(seed), "one")
    rules = [{"a": "x", "b": 2}] if forbid else []
    allowed = FILLED & ~(forbid & (ALL[:, COLUMN["a"]] == 0) & (ALL[:, COLUMN["b"]] == 1))
    best = enumerate_all(form, PARTS, limits(SPACE, PARTS, rules), k)
    assert best.number == allowed.sum()
    truth = np.sort(plain(ENCODINGS[allowed]))[::-1][:k]
    np.testing.assert_allclose(best.values, truth, rtol=1e-9, atol=1e-9)
    rows = sum(PARTS[i].rows[best.assignments[:, i]] for i in range(len(PARTS)))
    np.testing.assert_allclose(plain(rows), best.values, rtol=1e-9, atol=1e-9)
    assert len({tuple(row) for row in best.assignments}) == k


@pytest.mark.optimized
def test_many_chunks_and_wide_networks():
    space = Space({f"x{i}": Categorical(tuple(range(7))) for i in range(8)})
    rng, parts = np.random.default_rng(0), groups(space)
    for units in (3, 300):
        layers = (
            (rng.normal(size=(space.width, units)), rng.normal(size=units)),
            (rng.normal(size=(units, 1)), np.ones(1)),
        )
        best = enumerate_all(_forms.Network(layers), parts, limits(space, parts), 5)
        proof = certify(_forms.Network(layers), parts, limits(space, parts), 5)
        assert best.number == space.size == 7**8
        assert np.all(best.values <= proof.upper)
        if proof.finished:
            np.testing.assert_allclose(best.values, proof.values)


def test_maximize_takes_the_fast_way_where_there_is_one():
    space = Space({f"x{i}": Categorical((0, 1, 2)) for i in range(5)} | {"s": Subset(4, nonempty=True)})
    tried = space.sample(jax.random.key(0), 60)
    gain = [sum(v for v in c.values() if isinstance(v, int)) - len(c["s"]) for c in space.dicts(tried)]
    trials = predictor.Trials.from_arrays(space, tried, gain)
    model = predictor.fit(trials, predictor.ensemble(2, (16,), steps=100), "value")
    fast = search.maximize(model, search.Enumerate(), k=4)
    every = model.predict(space.at(np.arange(space.size)))[0]
    assert fast.evaluated == space.size and fast.gap == 0.0
    np.testing.assert_allclose(fast.values, np.sort(every)[::-1][:4], rtol=1e-9)
    without = search.maximize(model, search.Enumerate([{"x0": fast.configs[0]["x0"]}]))
    assert without.configs[0]["x0"] != fast.configs[0]["x0"] and without.values[0] <= fast.values[0]


def test_what_cannot_be_enumerated_is_named():
    form, _ = random_form(np.random.default_rng(0), "two")
    with pytest.raises(InputError, match="must have one hidden layer, got 2"):
        enumerate_all(form, PARTS, limits(SPACE, PARTS))
    space = Space({"s": Subset(40, nonempty=True), "x": Categorical("ab")})
    one = _forms.Network(((np.ones((41 + 1, 2)), np.zeros(2)), (np.ones((2, 1)), np.zeros(1))))
    with pytest.raises(InputError, match="depend on each other"):
        enumerate_all(one, groups(space), limits(space, groups(space)))


def test_cut_finds_the_largest_product():
    assert largest_product([10, 6, 7, 50], 70) == ([0, 2], [1, 3])
    assert largest_product([100, 200], 64) == ([], [0, 1])


@pytest.mark.slow
def test_chunks_are_spread_over_devices():
    code = """
import jax, numpy as np
from metajax.predictor._forms import Network
from metajax.search._prefixes import enumerate_all
from metajax.search._groups import groups, limits
from metajax.space import Categorical, Space
assert len(jax.local_devices()) == 3
space = Space({f"x{i}": Categorical(tuple(range(8))) for i in range(8)})
rng, parts = np.random.default_rng(0), groups(space)
net = Network(((rng.normal(size=(64, 6)), rng.normal(size=6)), (rng.normal(size=(6, 1)), np.zeros(1))))
print(repr(enumerate_all(net, parts, limits(space, parts), 3).values.tolist()))
"""
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    space = Space({f"x{i}": Categorical(tuple(range(8))) for i in range(8)})
    rng, parts = np.random.default_rng(0), groups(space)
    net = _forms.Network(((rng.normal(size=(64, 6)), rng.normal(size=6)), (rng.normal(size=(6, 1)), np.zeros(1))))
    assert json.loads(done.stdout) == enumerate_all(net, parts, limits(space, parts), 3).values.tolist()
