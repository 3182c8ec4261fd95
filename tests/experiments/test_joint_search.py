"""The comparison of joint searches claims no more than its rows show."""

import json

import numpy as np

from experiments import harness
from experiments.hpo import joint_search


def test_a_difference_of_searches_counts_seeds_and_rows():
    rng = np.random.default_rng(0)
    base = (rng.random(360) < 0.95).astype(float)
    same = [np.where(rng.random((5, 360)) < 0.02, 1 - base, base) for _ in range(2)]
    low, high = joint_search.difference(*same)
    assert low < 0 < high
    worse = np.where(rng.random((5, 360)) < 0.1, 0.0, base)
    low, high = joint_search.difference(same[0], worse)
    assert 0 < low < 8 < high < 12
    # seeds that differ count: a few more rows would not tell them apart
    spread = base[None] * np.linspace(0.8, 1.0, 5)[:, None]
    low, high = joint_search.difference(np.stack([base] * 5), spread)
    assert high - low > 8


def test_no_difference_is_claimed_on_few_rows():
    mine = {"gain": 2.0, "gain_low": 0.5, "gain_high": 3.0}
    verdict = lambda rows, given: joint_search._verdict({"wine test rows": rows}, "wine", given)
    assert verdict(36.0, mine) == "no claim on 36 test rows"
    assert verdict(360.0, mine) == "+2.00 (+0.50 to +3.00)"
    assert verdict(360.0, {**mine, "gain_low": -0.5}).endswith("no difference shown")
    assert verdict(360.0, {}) == "not tested: no claim"


def test_the_table_of_joint_searches_says_what_each_could_afford():
    folder = harness.RESULTS / "joint_search"
    result, config = (json.loads((folder / f"{name}.json").read_text()) for name in ("result", "config"))
    head, _, first, second, *_ = joint_search.markdown(config, result).splitlines()
    assert "trainings afforded" in head and "hypergradients afforded" in head
    assert first.split(" | ")[3] == "" and any(word in second for word in ("no claim", " to ")), (
        "a claim has an interval"
    )
