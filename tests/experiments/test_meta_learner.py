"""The experiments on the meta-learner run from their command lines at a tiny size, resume, and make their tables."""

import importlib.util

import jax
import numpy as np
import pytest

from experiments import harness
from experiments.hpo import hyper_cleaning
from experiments.predictor import _pool as pool
from experiments.predictor import _tabular, certify, pairwise, predict_nas_bench_201, search_tabular, transfer_oboe
from metajax import data, predictor, run, supernet
from metajax.types import InputError


def test_hyper_cleaning_says_what_the_validation_images_alone_give():
    accuracies = {"oracle": 91.3, "validation alone": 90.9, "unroll": 91.0, "pes": 90.2}
    metrics = {f"{name} accuracy": value for name, value in accuracies.items()}
    text = hyper_cleaning.markdown({}, {"metrics": {**metrics, "unroll accuracy deviation": 0.21}})
    assert "| unroll | 91.00 ± 0.21 |" in text and "these alone give 90.90" in text
    assert "-0.70 points (`pes`) to +0.10 (`unroll`)" in text and "gains +0.40 points" in text


def test_cells_are_drawn_uniformly_and_copies_of_trained_ones_are_not_unseen():
    """As in PINAT's code: a kind of cell that has many copies is drawn more often."""
    unique = np.array([0] * 90 + [1] * 9 + [2])
    rows_seen = []
    for seed in range(200):
        rows, unseen = predict_nas_bench_201.split(unique, 2, np.random.default_rng(seed))
        rows_seen += unique[rows].tolist()
        assert len(set(rows.tolist())) == 2 and not set(unique[rows]) & set(unique[unseen])
        assert set(unique[rows]) | set(unique[unseen]) == {0, 1, 2}
    assert 0.85 < np.mean(np.array(rows_seen) == 0) < 0.95


def test_look_ups_are_marked_and_left_out_of_a_mean():
    rows = [("hpobench", "a", 0.5), ("fcnet", "b", 0.3), ("nasbench201", "cifar10", 0.1)]
    records = [
        {"method": m, "family": f, "table": t, "regret_1": r, "regret_10": r, "seconds": 1.0}
        for m in ("kernel", "transfer")
        for f, t, r in rows
    ]
    text = search_tabular.markdown({"methods": "kernel,transfer"}, {"records": records})
    assert "| transfer † | 3 | 0.300" in text and "| kernel | 3 | 0.300" in text
    assert "| transfer | 2 | 0.400" in text, "without the tables that are looked up"
    assert "| nasbench201 cifar10 | 0.100 | 0.100 † |" in text and "| hpobench a | 0.500 | 0.500 |" in text


def test_a_missing_package_is_named_before_the_work_and_not_missed_by_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert search_tabular.EXPERIMENT.main(["--preset", "tiny", "--methods", "gp", "--out", str(tmp_path / "r")]) == 2
    assert "pip install optuna" in capsys.readouterr().err
    record = {"method": "gp", "family": "hpobench", "table": "a", "regret_1": 0.5, "seconds": 1.0}
    assert "0.500" in search_tabular.markdown({"methods": "gp"}, {"records": [record]})


def test_missing_data_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path / "none"))
    for experiment in (predict_nas_bench_201, transfer_oboe, pairwise):
        assert experiment.EXPERIMENT.main(["--preset", "tiny", "--out", str(tmp_path / experiment.__name__)]) == 2
        assert "no such file" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"hpolib\.npz: no such file"):
        predictor.benchmarks.fcnet()


def test_bad_options_are_named():
    for make, text in (
        (lambda: predict_nas_bench_201.Config(models="linear"), "--models must be all, or .* got linear"),
        (lambda: search_tabular.Config(methods="bohb"), "--methods must be all, or .* got bohb"),
        (lambda: transfer_oboe.Config(folds=1), "--folds must be >= 2"),
        (lambda: pairwise.Config(sources="mnist"), "--sources must be all, or .* got mnist"),
        (lambda: certify.Config(choices="many"), "got --choices many"),
    ):
        with pytest.raises(InputError, match=text):
            make()


def test_measurements_are_kept_one_by_one(tmp_path):
    done = []

    def work(cell):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(cell["n"])
        return {"square": cell["n"] ** 2}

    cells = [{"n": n} for n in range(4)]
    with run.RunDirectory(tmp_path / "r", {}) as directory, pytest.raises(KeyboardInterrupt):
        harness.measure(directory, cells, work, show=False)
    done = []
    with run.RunDirectory(tmp_path / "r", {}, resume=True) as directory:
        records = harness.measure(directory, cells, work, show=False)
    assert done == [2, 3] and [r["square"] for r in records] == [0, 1, 4, 9]


def test_a_pool_is_searched_without_repeats_and_beats_random():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(400, 2)).astype(np.float32)
    y = -((x - 0.3) ** 2).sum(axis=1)
    initial = rng.integers(400, size=(3, 4))
    rows = pool.search(predictor.kernel(steps=20), "ei", x, y, np.arange(2), initial, 15, jax.random.key(0))
    assert rows.shape == (3, 15) and np.array_equal(rows[:, :4], initial)
    assert all(len(set(row[4:]) | set(row[:4])) == len(set(row[:4])) + 11 for row in rows)
    drawn = pool.regrets(y, rng.integers(400, size=(200, 15)))[:, -1]
    assert pool.regrets(y, rows)[:, -1].mean() < np.quantile(drawn, 0.2)


def test_the_tables_that_are_read_are_whole():
    if not (data.home() / "hpo_tabular" / "hpobench.npz").is_file():
        pytest.skip("needs hpo_tabular/hpobench.npz below $METAJAX_DATA")
    table = predictor.benchmarks.hpobench()[0]
    assert table.values.shape == (30_000, 5) and table.space.size == 30_000
    rows = {tuple(row) for row in np.asarray(table.space.encode(table.configs)).tolist()}
    assert len(rows) == 30_000
    if supernet.truth.oracle_path().is_file():
        assert _tabular.cells()[0].values.shape == (15_625, 3)
