"""What a space accepts, it keeps exactly; what it cannot keep, it refuses when it is made."""

import json
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metajax.space import Categorical, Float, Integer, Space, Subset, interop
from metajax.types import InputError

few = settings(max_examples=30, deadline=None)


def there_and_back(domain, values):
    """Plain values through an array, the encoding and back."""
    column = jnp.asarray(
        np.stack([np.asarray(domain.from_python(value, "x")) for value in values]).astype(
            domain.at(np.array([0])).dtype
        )
    )
    block = domain.encode(column)
    assert block.shape == (len(values), domain.width) and block.dtype == jnp.float32
    assert float(block.min()) >= 0 and float(block.max()) <= 1 + 1e-5
    return [domain.to_python(value) for value in np.asarray(domain.decode(block))]


@st.composite
def integers(draw):
    low = draw(st.integers(-(2**63), 2**63 - 1) | st.integers(-1000, 1000))
    span = draw(st.sampled_from([0, 5, 2**12, 2**17, 2**21, 2**24 + 1, 2**31, 2**45, 2**64]))
    log = draw(st.booleans())
    low = max(1, abs(low) - 1) if log else low
    return Integer(low, min(low + draw(st.integers(0, span)), 2**63 - 1), log)


@few
@given(integers(), st.lists(st.floats(0, 1), min_size=8, max_size=8))
@example(Integer(0, 2**25), [0.5] * 8)
@example(Integer(10**18, 10**18 + 3, log=True), [0.5] * 8)
@example(Integer(1, 2**63 - 1, log=True), [0.01, 0.3, 0.9, 1.0, 0.0, 0.1, 0.2, 0.5])
def test_every_whole_number_comes_back(domain, shares):
    values = [domain.low, domain.high, min(16777217, domain.high), min(domain.low + 1, domain.high)]
    values = [max(v, domain.low) for v in values]
    values += [min(domain.high, domain.low + math.floor(s * (domain.size - 1))) for s in shares]
    if domain.log:
        values += [min(domain.high, max(domain.low, int(domain.low * (domain.high / domain.low) ** s))) for s in shares]
    else:
        values += values[:8]
    assert there_and_back(domain, values) == values


def test_values_of_domains_at_the_edge_of_one_column():
    def some(domain):  # as many of each, so that they share programs; the last are the closest
        index = np.r_[
            np.linspace(0, domain.size - 1, 5000).astype(int), np.arange(max(0, domain.size - 15_000), domain.size)
        ]
        return domain.at(np.resize(index, 20_000))

    for domain in (
        Integer(0, 2**21 - 1),
        Integer(-(2**20), 2**20 - 1),
        Integer(1, 2**17 - 1, True),
        Integer(2**31 - 7, 2**31 - 1),
    ):
        assert domain.width == 1
        column = some(domain)
        np.testing.assert_array_equal(domain.decode(domain.encode(jnp.asarray(column))), column)
    for domain in (Integer(0, 2**21), Integer(1, 2**17, log=True)):
        assert domain.width == 2
        column = some(domain)
        np.testing.assert_array_equal(domain.decode(domain.encode(jnp.asarray(column))), column)


def test_a_relaxed_wide_number_is_the_nearest():
    for domain, expected in ((Integer(0, 2**40), 2**39), (Integer(1, 2**40, log=True), 2**20)):
        space = Space({"x": domain})
        relaxed = space.relax(space.zeros())
        assert relaxed.shape == (domain.width,)
        (config,) = space.decode(relaxed)
        assert config["x"] == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(space.values(relaxed)["x"], expected, rtol=1e-4)
        noisy = np.asarray(relaxed) + np.array([0, *[0.1] * (domain.width - 1)], np.float32)
        assert space.decode(noisy)[0]["x"] == config["x"], "what is not a code says nothing"


def test_what_ordinary_spaces_are_encoded_as():
    space = Space(
        {
            "model": Categorical(("linear", "network")),
            "width": Integer(8, 512, log=True),
            "depth": Integer(1, 7),
            "rate": Float(1e-4, 1.0, log=True),
            "drop": Float(0.0, 0.5, grid=26),
            "f": Subset(3),
        },
        [("width", "model", ("network",))],
    )
    configs = [
        {"model": "network", "width": 100, "depth": 3, "rate": 0.003, "drop": 0.1, "f": (0, 2)},
        {"model": "linear", "depth": 7, "rate": 0.5, "drop": 0.5, "f": ()},
    ]
    expected = [
        [0, 1, 0.6073094, 2 / 6, 0.36928034, 0.2, 1, 0, 1],
        [1, 0, 0, 1, 0.9247425, 1, 0, 0, 0],
    ]
    np.testing.assert_allclose(space.encode(space.configs(configs)), expected, atol=2e-7)
    half = space.decode(np.full((1, 9), 0.5))
    assert half == [
        {"model": "linear", "depth": 4, "rate": pytest.approx(0.01), "drop": pytest.approx(0.24), "f": (0, 1, 2)}
    ]


@st.composite
def floats(draw):
    log = draw(st.booleans())
    size = st.floats(1e-35, 1e35)
    low = draw(size) if log else draw(size | st.just(0.0)) * draw(st.sampled_from([-1, 1]))
    high = max(low + draw(size), low * draw(st.floats(1.5, 1e3)), low / 2)
    grid = draw(st.none() | st.integers(2, 400))
    try:
        return Float(low, high, log, grid)
    except InputError:
        return Float(1e-37, 1e37, log, grid)


@few
@given(floats(), st.lists(st.floats(0, 1), min_size=16, max_size=16))
@example(Float(-4.2e37, 4.2e37), [i / 15 for i in range(16)])
@example(Float(0.0, 1.0, grid=11), [i / 15 for i in range(16)])
def test_floats_come_back_to_float32_and_points_of_a_grid_exactly(domain, shares):
    if domain.grid is not None:
        index = [round(s * (domain.grid - 1)) for s in shares]
        points = [domain.to_python(v) for v in domain.at(np.asarray(index))]
        assert points[0] != points[1] or index[0] == index[1]
        assert there_and_back(domain, points) == points
        return
    if domain.log:
        values = [min(max(domain.low ** (1 - s) * domain.high**s, domain.low), domain.high) for s in shares]
        slack = [1e-6 * max(1, abs(math.log(domain.low)), abs(math.log(domain.high))) * v for v in values]
    else:
        values = [min(domain.low + s * (domain.high - domain.low), domain.high) for s in shares]
        slack = [1e-6 * max(abs(domain.low), abs(domain.high))] * 16
    for value, back, near in zip(values, there_and_back(domain, values), slack):
        assert domain.low <= back <= domain.high and abs(back - value) <= near


def test_grids_are_written_as_people_write_them():
    space = Space({"x": Float(0.0, 1.0, grid=11), "y": Float(0.1, 10.0, log=True, grid=3)})
    every = space.dicts(space.at(np.arange(space.size)))
    assert [c["x"] for c in every[:11]] == [i / 10 for i in range(11)]
    assert [c["y"] for c in every[::11]] == [0.1, pytest.approx(1.0, rel=1e-15), 10.0]
    assert space.decode(space.encode(space.configs(every))) == every


@pytest.mark.parametrize(
    "domain",
    [
        Integer(0, 2),
        Integer(0, 2**16),
        Integer(-(2**31), 2**31 - 1),
        Integer(-(2**63), 2**63 - 1),
        Integer(10**15, 10**15 + 6),
        Float(0.0, 1.0, grid=5),
        Float(-4.2e37, 4.2e37),
        Integer(1, 4, log=True),
        Integer(10**15, 2 * 10**15, log=True),
    ],
    ids=str,
)
def test_draws_are_in_range_and_even(domain):
    space = Space({"x": domain})
    values = np.array([c["x"] for c in space.dicts(space.sample(jax.random.key(0), 6000))], object)
    assert min(values) >= domain.low and max(values) <= domain.high
    if domain == Integer(1, 4, log=True):
        edges = [(math.log(k + 0.5) - math.log(0.5)) / math.log(9) for k in range(5)]
        expected = np.diff(edges)
    elif domain.log:
        unit = np.log(values.astype(float) / domain.low) / math.log(2)
        assert np.abs(np.sort(unit) - np.linspace(0, 1, 6000)).max() < 0.022
        return
    elif domain.size < 10:
        expected = np.full(int(domain.size), 1 / int(domain.size))
    else:
        unit = np.array([float(v - domain.low) / float(domain.high - domain.low) for v in values])
        assert np.abs(np.sort(unit) - np.linspace(0, 1, 6000)).max() < 0.022  # Kolmogorov, far in the tail
        if isinstance(domain, Integer):
            assert abs(np.mean([v % 2 for v in values]) - 0.5) < 0.03, "the last digit too"
        return
    shares = np.array([np.mean([v == k for v in values]) for k in sorted(set(values))])
    assert np.abs(shares - expected).max() < 0.03


def test_size_is_in_closed_form():
    start = time.monotonic()
    wide = Integer(1, 10**9)
    space = Space(
        {"n": wide, "a": Integer(0, 6), "b": Categorical("xyz"), "c": Subset(100)},
        [("a", "n", (3, 10**9)), ("b", "n", (3,)), ("c", "b", ("y",))],
    )
    assert space.size == (10**9 - 2) + 7 + 7 * (2 + 2**100)
    assert Space({"n": Integer(-(2**63), 2**63 - 1), "x": Categorical("ab")}, [("x", "n", (5,))]).size == 2**64 + 1
    last, first = space.dicts(space.at([space.size - 1, 0]))
    assert first == {"n": 1} and last == {"n": 10**9, "a": 6}
    assert space.dicts(space.at([2])) == [{"n": 3, "a": 0, "b": "x"}]
    assert Space({"s": Subset(2000), "x": Float(0, 1)}).size == math.inf
    deep = Space({f"d{i}": Integer(0, 1) for i in range(3000)}, [(f"d{i + 1}", f"d{i}", (1,)) for i in range(2999)])
    assert deep.size == 3001 and [deep.at([3000])[f"d{i}"][0] for i in (0, 2999)] == [1, 1]
    assert time.monotonic() - start < 20


def test_conditions_on_wide_and_on_logarithmic_numbers():
    for parent in (Integer(0, 2**62), Integer(1, 100, log=True), Integer(-5, 2**31)):
        space = Space({"n": parent, "x": Integer(1, 3)}, [("x", "n", (77, 9))])
        configs = [{"n": 77, "x": 2}, {"n": 78}, {"n": 9, "x": 3}]
        encodings = space.encode(space.configs(configs))
        assert space.decode(encodings) == configs
        moved = space.neighbors({"n": 77, "x": 2})
        assert {"n": 76} in moved and {"n": 78} in moved and {"n": 77, "x": 3} in moved and len(moved) == 4
    space = Space({"n": Integer(1, 100, log=True), "x": Float(0, 1)}, [("x", "n", (10,))])
    assert float(space.relax(space.zeros())[1]) == pytest.approx(0.5, abs=1e-4), "10 is in the middle of 1 to 100"


def test_programs_stay_bounded():
    from metajax.space._sampling import _compiled_sample

    space = Space({"n": Integer(0, 2**50), "m": Integer(0, 9)})
    space.sample(jax.random.key(0), 3)
    before = _compiled_sample()._cache_size()
    for n in (1, 7, 64):
        space.decode(space.encode(space.sample(jax.random.key(n), n)))
    assert _compiled_sample()._cache_size() == before
    configs = space.sample(jax.random.key(1), 5)
    np.testing.assert_array_equal(jax.jit(space.encode)(configs), space.encode(configs))
    mutated = space.dicts(space.mutate(jax.random.key(2), configs, rate=1.0))
    assert all(0 <= c["n"] <= 2**50 for c in mutated)


def test_choices_are_told_apart():
    mixed = Categorical((None, "", "1", 1, 2.5, False, ("a", (1, None)), "null"))
    assert there_and_back(mixed, list(mixed.choices)) == list(mixed.choices)
    assert mixed.from_python(["a", [1, None]], "x") == 6, "a list is what JSON makes of a tuple"
    assert mixed.from_python(np.float64(1.0), "x") == 3
    for other in (True, 0, "2.5", (1,), {}, float("nan")):
        with pytest.raises(InputError, match="is not one of"):
            mixed.from_python(other, "x")
    space = Space({"a": mixed, "b": Categorical((("x", 1), ("x", 2)))}, [("b", "a", (None, ["a", [1, None]]))])
    assert interop.from_json(interop.to_json(space)) == space
    assert [type(c) for c in Categorical(np.array([1, 2])).choices] == [int, int]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(1e39, 1e40), "as float32, got"),
        (lambda: Float(-1e308, 1e308), "as float32, got"),
        (lambda: Float(-3e38, 3e38), "high - low"),
        (lambda: Float(1e-300, 1, log=True), "as float32, got"),
        (lambda: Float(float("nan"), 1), "low must be a finite number, got nan"),
        (lambda: Float(0, float("inf")), "high must be .*, got inf"),
        (lambda: Float(0, 10**400), "a finite number"),
        (lambda: Float(True, 2), "low must be a finite number, got True"),
        (lambda: Float("0", 1), "low must be a finite number, got '0'"),
        (lambda: Float(0, 1, log="no"), "log must be True or False, got 'no'"),
        (lambda: Float(0, 1, grid=1), "at least 2"),
        (lambda: Float(0, 1, grid=2.5), "grid must be an integer, got 2.5"),
        (lambda: Float(0, 1, grid=10**9), "coarser grid"),
        (lambda: Float(1.0, 1.0 + 1e-6), "are only about"),
        (lambda: Float(1e30, 1.0001e30, log=True), "are only about"),
        (lambda: Float(0.5, 0.5, grid=3), "low < high must hold with a grid of 3 points"),
        (lambda: Integer(0, 2**63), r"2\^63 - 1"),
        (lambda: Integer(0.5, 3), "low must be an integer, got 0.5"),
        (lambda: Integer(False, 3), "low must be an integer, got False"),
        (lambda: Integer(float("nan"), 3), "low must be an integer, got nan"),
        (lambda: Integer("a", 3), "low must be an integer, got 'a'"),
        (lambda: Integer(0, float("inf")), "high must be .*, got inf"),
        (lambda: Categorical((1, 1.0)), "1 and 1.0 are equal"),
        (lambda: Categorical((True, 1)), "True and 1 are equal"),
        (lambda: Categorical((0, "a", (0,), (False,))), "are equal"),
        (lambda: Categorical(([1], [2])), "give a tuple"),
        (lambda: Categorical((float("nan"), 1)), "NaN"),
        (lambda: Categorical((max, min)), "must be None, bool"),
        (lambda: Categorical({"a", "b"}), "no order"),
        (lambda: Categorical(3), "must be a list"),
        (lambda: Categorical(range(10**12)), "from 1 to 1000000"),
        (lambda: Subset(10**12), "from 1 to 1000000"),
        (lambda: Subset(2.5), "n must be an integer, got 2.5"),
        (lambda: Subset(3, nonempty=1), "nonempty must be True or False, got 1"),
        (lambda: Subset(3, share=1.0), "between 0 and 1"),
        (lambda: Space({3: Integer(0, 1)}), "a name must be text"),
        (lambda: Space({"a": Integer(0, 1)}, [("a", "a", (1,))]), "a circle, got a -> a"),
        (lambda: Space({"a": Integer(0, 1)}, [("a", "b")]), "a condition must be"),
        (lambda: Space({"a": Integer(0, 1), "b": Integer(0, 1)}, [("a", "b", 1)]), "must have a tuple"),
        (lambda: Space({"a": Categorical("xy"), "b": Integer(0, 1)}, [("b", "a", "x")]), "must have a tuple"),
        (lambda: Space({"a": Integer(0, 1), "b": Integer(0, 1)}, [("a", "b", (True,))]), "not a whole number"),
        (lambda: Space({"a": Integer(0, 1)}).at(0.5), "index must be an integer"),
        (lambda: Space({"a": Integer(0, 1)}).sample(jax.random.key(0), -1), "n must be an integer >= 0, got -1"),
        (lambda: Space({"a": Integer(0, 2**60)}).configs([{"a": 2.0**55}]), "give an int"),
        (lambda: Space({"a": Subset(3)}).configs([{"a": 1}]), "not a subset"),
        (lambda: Space({"a": Subset(3)}).configs([{"a": (0, float("nan"))}]), "not a subset"),
        (lambda: Space({"a": Integer(0, 1)}).configs([3]), "configuration 0 must be a dictionary .*, got 3"),
    ],
)
def test_what_cannot_be_kept_is_refused_when_it_is_made(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_damaged_json_is_refused_in_one_line():
    space = Space(
        {"op": Categorical(("skip", "conv", None)), "k": Integer(1, 5), "r": Float(0, 1), "f": Subset(3)},
        [("k", "op", ("conv",))],
    )
    text = interop.to_json(space)
    whole = json.loads(text)
    damaged = ["", "[]", "3", "null", text[:-9], text * 2, '{"domains": {}, "conditions": []}', "[" * 100_000]
    damaged += [text.replace('"k": {', '"r": {', 1), text.replace('"high": 5', '"high": 1' + "0" * 5000)]
    damaged += [text.replace('["skip", "conv", null]', '"skip"'), text.replace('"n": 3', '"n": 1e15')]
    for key in ("kind", "low", "choices"):
        damaged.append(json.dumps({**whole, "domains": {n: {**d, key: [1]} for n, d in whole["domains"].items()}}))
    damaged += [
        json.dumps({**whole, "conditions": c}) for c in (3, [3], [["k", "op"]], [["k", "op", ["no"]]], [[[], "op", []]])
    ]
    for bad in damaged:
        with pytest.raises(InputError) as caught:
            interop.from_json(bad)
        assert str(caught.value).startswith("from_json: ") and "\n" not in str(caught.value)


def test_optuna_constants_and_steps():
    od = pytest.importorskip("optuna").distributions
    space = interop.from_optuna(
        {
            "half": od.FloatDistribution(0.5, 0.5),
            "log": od.FloatDistribution(0.1, 0.1, log=True),
            "stepped": od.FloatDistribution(2.0, 2.0, step=0.5),
            "one": od.IntDistribution(7, 7),
            "by": od.IntDistribution(4, 4, step=2),
            "choice": od.CategoricalDistribution((None, "1", 1)),
            "tens": od.IntDistribution(0, 40, step=10),
        }
    )
    assert space.size == 3 * 5
    every = space.dicts(space.at(np.arange(15)))
    assert every[0] == {"half": 0.5, "log": 0.1, "stepped": 2.0, "one": 7, "by": 4, "choice": None, "tens": 0}
    assert space.decode(space.encode(space.at(np.arange(15)))) == every
    assert all(config in every for config in space.dicts(space.sample(jax.random.key(0), 20)))
    assert interop.from_optuna(interop.to_optuna(space)).size == 15
    with pytest.raises(InputError, match=r"at most .* steps, got 100000001"):
        interop.from_optuna({"x": od.IntDistribution(0, 10**9, step=10)})
    with pytest.raises(InputError, match="'f/0' is the name of two"):
        interop.to_optuna(Space({"f": Subset(2), "f/0": Integer(0, 1)}))
    with pytest.raises(InputError, match=r"2\^53"):
        interop.to_optuna(Space({"f": Integer(0, 2**60)}))
