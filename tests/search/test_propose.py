"""Asking and telling: it finds, survives failures, goes on from a file to the same, and starts from other datasets."""

import jax
import numpy as np
import pytest

from metajax import predictor, search
from metajax.space import Categorical, Float, Integer, Space, Subset
from metajax.types import InputError

SPACE = Space(
    {"x": Float(0.0, 1.0), "op": Categorical(("a", "b", "c")), "n": Integer(1, 5), "s": Subset(3, nonempty=True)},
    [("n", "op", ("a", "b"))],
)

pytestmark = pytest.mark.optimized  # its searches compute for longer than they compile


def worth(config):
    return (
        -((config["x"] - 0.3) ** 2) + (config["op"] == "b") - 0.1 * abs(config.get("n", 0) - 4) - 0.1 * len(config["s"])
    )


def run(proposer, steps, batch=1, failing=()):
    for _ in range(steps):
        configs = proposer.ask(batch)
        at = len(proposer.configs)
        metrics = [float("nan") if at + i in failing else worth(c) for i, c in enumerate(configs)]
        proposer.tell(configs, metrics)
    return proposer


@pytest.mark.parametrize(
    "acquisition", ["ei", *(pytest.param(a, marks=pytest.mark.slow) for a in search.ACQUISITIONS if a != "ei")]
)
def test_every_acquisition_beats_random(acquisition):
    """On average over seeds: one run of 18 trials may be luck."""
    reached, lucky = [], []
    for seed in range(1 if acquisition == "ei" else 3):
        strategy = search.Acquisition(acquisition)
        found = run(search.Proposer(SPACE, strategy=strategy, n_initial=6, key=jax.random.key(seed)), 6, batch=3)
        reached.append(worth(found.best))
        lucky.append(max(worth(c) for c in SPACE.dicts(SPACE.sample(jax.random.key(seed + 1), 18))))
        assert len({str(c) for c in found.configs}) == 18, "nothing is asked twice"
    assert np.mean(reached) > np.mean(lucky)


def test_saved_and_loaded_it_asks_for_the_same(tmp_path):
    straight = run(search.Proposer(SPACE, n_initial=4, key=jax.random.key(3)), 7)
    broken = run(search.Proposer(SPACE, n_initial=4, key=jax.random.key(3)), 5)
    broken.save(tmp_path / "state.json")
    again = search.Proposer(SPACE, n_initial=4, key=jax.random.key(3)).load(tmp_path / "state.json")
    assert run(again, 2).configs == straight.configs
    asked = again.ask(2)  # asked, not yet told, then killed
    again.save(tmp_path / "state.json")
    third = search.Proposer(SPACE, n_initial=4, key=jax.random.key(3)).load(tmp_path / "state.json")
    assert third.waiting == asked
    third.tell(asked, [1.0, 2.0], seconds=[3.0, float("nan")])
    third.save(tmp_path / "state.json")
    fourth = search.Proposer(SPACE, n_initial=4, key=jax.random.key(3)).load(tmp_path / "state.json")
    assert fourth.seconds[-2] == 3.0 and np.isnan(fourth.seconds).sum() == len(fourth.seconds) - 1
    np.testing.assert_array_equal(fourth.trials.settings["seconds"], fourth.seconds)
    assert not {str(c) for c in third.ask(2)} & {str(c) for c in asked}


def test_failures_are_survived_and_avoided():
    proposer = run(search.Proposer(SPACE, n_initial=5), 12, failing={0, 1, 6, 7})
    assert np.isnan(proposer.metrics).sum() == 4
    assert proposer.trials.best not in (0, 1, 6, 7)
    first = search.Proposer(SPACE, n_initial=2)
    run(first, 4, failing=set(range(4)))
    assert len(first.ask()) == 1, "with nothing but failures it goes on at random"


def test_earlier_datasets_come_first():
    configs = SPACE.sample(jax.random.key(5), 80)
    metric = [worth(c) for c in SPACE.dicts(configs)]
    earlier = predictor.Trials.from_arrays(SPACE, configs, metric, group=np.arange(80) % 2)
    warm = search.Proposer(SPACE, n_initial=3, earlier=earlier).ask(3)
    assert min(worth(c) for c in warm) > np.quantile(metric, 0.8)


def test_a_trust_region_stays_near_the_best():
    proposer = run(search.Proposer(SPACE, strategy=search.Acquisition(radius=1), n_initial=6), 6)
    best = proposer.best
    for config in proposer.ask(5):
        assert sum(config.get(name) != best.get(name) for name in SPACE.domains) <= 1


def test_a_space_that_is_used_up_is_repeated():
    small = Space({"op": Categorical(("a", "b"))})
    proposer = search.Proposer(small, n_initial=1)
    for config in (asked := proposer.ask(5)):
        proposer.tell([config], [1.0 + (config["op"] == "a")])
    assert len(asked) == 5 and proposer.best == {"op": "a"}


def test_bad_input_is_named(tmp_path):
    with pytest.raises(InputError, match=r"name must be one of 'mean', .* got 'pi'"):
        search.Acquisition("pi")
    proposer = search.Proposer(SPACE)
    with pytest.raises(InputError, match="metrics must have one value for each of the 2 configurations, got 1"):
        proposer.tell(proposer.ask(2), [1.0])
    with pytest.raises(
        InputError, match="seconds must be None or have one value for each of the 2 configurations, got 1"
    ):
        proposer.tell(proposer.ask(2), [1.0, 2.0], seconds=[1.0])
    with pytest.raises(InputError, match="tell: configuration 0: op: 'z' is not one of"):
        proposer.tell([{"x": 0.5, "op": "z", "s": (0,)}], [1.0])
    assert not proposer.configs
    (tmp_path / "state.json").write_text('{"space": 1')
    with pytest.raises(InputError, match=r"is not a file saved by Proposer\.save"):
        proposer.load(tmp_path / "state.json")
    search.Proposer(Space({"x": Float(0.0, 1.0)})).save(tmp_path / "state.json")
    with pytest.raises(InputError, match="another space"):
        proposer.load(tmp_path / "state.json")


def test_equal_metrics_of_any_size_are_survived():
    proposer = search.Proposer(SPACE, n_initial=6)
    for _ in range(3):
        configs = proposer.ask(3)
        proposer.tell(configs, [1e300] * 3)
    assert len({str(c) for c in proposer.configs}) == 9
    assert proposer.model is not None and proposer.model.predict(proposer.configs)[0] == pytest.approx(0.5)


def test_a_population_is_spread_out_and_the_better_model_is_chosen_and_tuned():
    specs = predictor.ensemble(2, (8,), steps=60), predictor.ridge(2)
    proposer = search.Proposer(SPACE, specs, search.DiverseBatch((0.0, 1.0)), n_initial=12, fine_tune=True)
    for _ in range(2):
        configs = proposer.ask(12)
        assert len({str(c) for c in configs}) == 12
        # trained with a choice that is fixed: the table of what was trained is told as a struct of arrays
        trained = SPACE.configs([{**c, "s": (0,)} for c in configs])
        proposer.tell(trained, [worth(c) for c in SPACE.dicts(trained)], configs)
        assert not proposer.waiting and len(proposer.configs) == len(proposer.metrics)
    configs = proposer.ask(12)
    assert set(proposer.r2) == {"ensemble", "ridge2"}
    assert proposer.model is not None and proposer.model.spec.name == max(
        proposer.r2, key=lambda name: proposer.r2[name]
    )
    encodings = np.asarray(SPACE.encode(SPACE.configs(configs)))
    apart = np.abs(encodings[:, None] - encodings[None]).sum(axis=-1)[~np.eye(12, dtype=bool)]
    assert apart.min() > 0.05


@pytest.mark.parametrize("name", ["random", "optuna"])
def test_others_stand_behind_the_same_protocol(name):
    if name == "optuna":
        pytest.importorskip("optuna")
    proposer = search.OptunaProposer(SPACE) if name == "optuna" else search.RandomProposer(SPACE)
    with pytest.raises(InputError, match="no result has been recorded yet"):
        proposer.trials  # noqa: B018
    run(proposer, 4, batch=3, failing={1})
    assert len(proposer.configs) == 12 and not proposer.waiting
    assert worth(proposer.best) == max(m for m in proposer.metrics if np.isfinite(m))
    assert proposer.ask(2) != proposer.ask(2), "what is asked for and not told is not asked for again"
    with pytest.raises(InputError, match="ask: n must be an integer >= 1, got 0"):
        proposer.ask(0)
