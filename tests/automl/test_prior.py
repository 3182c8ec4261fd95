"""The shipped warm start: it reads every table's space, and what it proposes is better than chance where it was not fitted."""

import jax
import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("sklearn")

from metajax.automl import prepare, prior, table_task
from metajax.automl._ensemble import PICKS, pick
from metajax.automl._metrics import metric
from metajax.automl._space import default_of_type, tabular_space
from metajax.automl.models._installed import BUILT_IN
from metajax.data import tabular
from metajax.predictor._forms import Network
from metajax.space import Float
from metajax.types import InputError

shipped = pytest.mark.skipif(not prior.is_available(), reason="the package ships no prior of this space")


def made_up(n_meta):
    """A prior of random weights."""
    rng, n = np.random.default_rng(0), prior.common_space().width + n_meta
    layers = (rng.normal(size=(n, 8)), np.zeros(8)), (rng.normal(size=(8, 1)), np.zeros(1))
    return prior.Prior(Network(layers), np.zeros(n_meta), np.ones(n_meta))


def test_a_prior_of_another_space_is_refused_by_name(tmp_path):
    arrays = {f"{kind}{i}": np.zeros(1) for i in range(2) for kind in "wb"}
    path = tmp_path / "prior.npz"
    np.savez(path, space="0123456789abcdef", shift=np.zeros(1), scale=np.ones(1), **arrays)
    with pytest.raises(
        InputError,
        match=r"prior.npz: was fitted on the space 0123456789abcdef, but this version searches the space [0-9a-f]{16};",
    ):
        prior.load(path)


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_a_warm_start_is_of_the_space_and_spread(name):
    prepared = prepare(tabular.load(name), 0)
    task = table_task(prepared)
    tried = np.asarray(task.space.encode(task.space.sample(jax.random.key(0), 8)))
    of = made_up(len(prior.meta_features(prepared)))
    start = lambda: prior.warm_start(task.space, prepared, 8, jax.random.key(1), tried, of)
    proposed = start()
    assert proposed.shape == (8, task.space.width) and len(np.unique(proposed, axis=0)) == 8
    np.testing.assert_array_equal(proposed, start())
    back = task.space.encode(task.space.decode_configs(proposed))
    np.testing.assert_allclose(back, proposed, atol=1e-6)


def test_a_model_type_is_read_by_its_name():
    """Whatever other types the space of a table has, and in whatever order."""

    class Own:
        name = "own"

        def domains(self, features, classification):
            return {"x": Float(0.0, 1.0)}

        def default_config(self, classification):
            return {"x": 0.5}

    catboost, trees = BUILT_IN["catboost"][0], BUILT_IN["boosted_trees"][0]
    space = tabular_space(5, False, [catboost, Own(), trees])
    configs = [default_of_type(kind, False) for kind in (catboost, trees, Own())]
    encodings = np.asarray(space.encode(space.configs(configs)))
    common = prior.common_space()
    read = common.decode(prior.to_common(space, encodings[:2]))
    assert [config["model"] for config in read] == ["catboost", "boosted_trees"]
    assert read[0]["catboost.depth"] == 6 and read[1]["boosted_trees.leaves"] == 31
    assert all(config["share"] == 1.0 for config in read)
    assert not prior.to_common(space, encodings[2:])[:, common.slices["model"]].any()


@shipped
def test_on_real_tables_it_ranks_better_than_chance():
    """24 trainings of wine, to which it was not fitted: the best quarter by its ranking is better than their median.

    Networks are left out, because most of their time would be compilation.
    """
    task = table_task(prepare(tabular.load("wine"), 0))
    drawn = np.asarray(task.space.encode(task.space.sample(jax.random.key(2), 64)))
    is_network = [config["model"] in ("linear", "mlp", "resnet") for config in task.space.decode(drawn)]
    encodings = drawn[~np.array(is_network)][:24]
    outcome = task.train(encodings, task.search, jax.random.key(3))
    meta = prior.meta_features(prepare(tabular.load("wine"), 0))
    predicted = prior.load()(prior.to_common(task.space, encodings), meta)
    loss = np.nan_to_num(outcome.loss, nan=1e9)
    assert np.median(loss[np.argsort(-predicted)[:6]]) < np.median(loss)


def test_selection_mixes_what_errs_in_different_places():
    """Two candidates that are sure and wrong on opposite halves, and a third that is worse: those two share the ensemble."""
    goals = np.tile(np.arange(40) % 2, (2, 1))
    sure, unsure = np.eye(2)[goals[0]] * 0.98 + 0.01, np.full((40, 2), 0.5)
    a, b, bad = sure.copy(), sure.copy(), 1 - sure
    a[:10], b[20:30] = unsure[:10], unsure[20:30]
    picks = pick(np.stack([[a, b, bad]] * 2).astype(np.float32), goals, metric("accuracy", 2, True), True)
    assert len(picks) == PICKS and set(picks) == {0, 1}
