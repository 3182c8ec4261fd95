"""Every experiment runs from its command line at a tiny size, and resumes."""

import dataclasses
import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from experiments.benchmarks import unroll_memory
from experiments.fewshot import classify, inner_rates, maml_versions, navigation, omniglot, sinusoid
from experiments.nas import _bench_201, _proxies, _versions, nas_bench_201, nas_darts, nas_digits, nas_trivial
from metajax import data, fewshot, supernet
from metajax.types import InputError


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """Programs are kept on disk for these tests, so that a resumed run, and the next run of the same sizes, find them there."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }

    def switch(values):
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()  # which looks at the settings once

    before = {name: jax.config.values[name] for name in settings}
    switch(settings)
    yield
    switch(before)


def result(path):
    return json.loads((path / "result.json").read_text())


def test_sinusoid(tmp_path, capsys):
    out = tmp_path / "r"
    argv = ["--steps", "200", "--episodes", "50", "--test_steps", "2", "--out", str(out)]
    assert sinusoid.EXPERIMENT.main(argv) == 0
    assert "adaptation steps: 5 in training, 2 in the test; batch norm: none" in capsys.readouterr().out
    first = result(out)["metrics"]
    assert first["mse"] < first["mse_after_0"]
    assert (out / "adaptation.png").stat().st_size > 10_000
    assert sinusoid.EXPERIMENT.main(argv) == 2, "an existing run is refused"
    assert sinusoid.EXPERIMENT.main([*argv, "--resume"]) == 0
    assert result(out)["metrics"] == first


@pytest.mark.slow
@pytest.mark.parametrize("method", ["maml", "meta-sgd"])
def test_sinusoids_by_the_protocol_of_meta_sgd(tmp_path, method):
    out = tmp_path / "r"
    argv = ["--preset", "meta-sgd-paper", "--method", method, "--steps", "200", "--episodes", "50", "--out", str(out)]
    assert sinusoid.EXPERIMENT.main(argv) == 0
    written = result(out)
    assert {"mse_5_shot", "mse_10_shot", "mse_20_shot"} <= set(written["metrics"])
    assert written["metrics"]["mse_5_shot"] == written["metrics"]["mse"]
    assert written["protocol"].startswith("5 shots, 100 queries")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve classes of eight noisy pictures, easy to tell apart."""
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(12, 1, 16, 16)) + 0.1 * rng.normal(size=(12, 8, 16, 16))
    file = tmp_path_factory.mktemp("data") / "pictures.npz"
    np.savez(file, images=(255 * np.clip(images, 0, 1)).astype(np.uint8))
    return file


def few(file, out, *more):
    fixed = ["--ways", "2", "--queries", "2", "--steps", "25", "--episodes", "50", "--width", "4", "--tasks", "2"]
    own = ["--data", str(file), "--train_queries", "2", "--train_ways", "2", "--chunk", "1", "--out", str(out)]
    return classify.EXPERIMENT.main([*fixed, *own, *more])


@pytest.mark.parametrize(
    "method",
    [pytest.param(m, marks=[] if m == "protonet" else [pytest.mark.slow]) for m in fewshot.METHODS],
)
def test_every_method_runs_by_one_command(tmp_path, pictures, method, capsys):
    assert few(pictures, tmp_path / "r", "--method", method) == 0
    text = capsys.readouterr().out
    assert "batch norm: transductive; checkpoint: best on validation tasks" in text
    metrics = result(tmp_path / "r")["metrics"]
    assert 0 <= metrics["accuracy"] <= 100
    assert metrics["interval"] >= 0


def test_prototypical_networks_train_and_are_tested_with_running_statistics(tmp_path, pictures, capsys):
    argv = ["--batch-norm", "running", "--train-ways", "6", "--pool", "--no-cosine", "--halve-every", "20"]
    assert few(pictures, tmp_path / "r", *argv) == 0
    assert "batch norm: running; checkpoint: best on validation tasks" in capsys.readouterr().out


@pytest.mark.slow
def test_minutes_plan_the_steps_and_a_resumed_run_keeps_them(tmp_path, pictures):
    out, argv = tmp_path / "r", ["--method", "protonet", "--minutes", "0.1", "--rotations"]
    argv += ["--shots", "1,2", "--batch-norm", "support"]
    assert few(pictures, out, *argv) == 0
    first = result(out)
    assert first["metrics"]["steps"] == json.loads((out / "plan.json").read_text())["steps"] >= 20
    assert few(pictures, out, *argv, "--resume") == 0
    assert result(out)["metrics"] == first["metrics"]
    assert "2-way 1,2-shot" in first["protocol"]
    assert "batch norm: support" in first["protocol"]


@pytest.mark.slow
def test_features_of_scikit_learn_and_another_domain(tmp_path, pictures, capsys):
    assert few("sklearn:digits", tmp_path / "d", "--method", "protonet", "--size", "16") == 0
    assert few(pictures, tmp_path / "x", "--test-data", "sklearn:digits") == 2
    assert "with (8, 8, 1); give --size or other data" in capsys.readouterr().err
    other = tmp_path / "other.npz"
    np.savez(other, images=np.load(pictures)["images"][::-1])
    assert few(pictures, tmp_path / "x", "--test-data", str(other)) == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--method", "magic"], "--method must be one of maml, fomaml"),
        (["--ways", "5"], "validation classes: --ways 5 must be between 2 and the number of classes, 2"),
        (["--queries", "9"], "--queries 9 must be >= 1 and together at most 8"),
        (["--shots", "1,2,3"], "one for each of --ways 2, got 3 numbers"),
        (["--shots", "x"], "--shots must be an integer >= 1, or one for each way"),
        (["--tasks", "3", "--chunk", "2"], "--tasks must be a multiple of --chunk 2, got 3"),
        (["--data", "nowhere"], "--data nowhere: must be one of omniglot, mini-imagenet"),
        (["--minutes", "0"], "--minutes must be positive, got 0.0"),
        (["--method", "maml", "--batch-norm", "running"], "because maml has no running statistics"),
        (["--halve-every", "5"], "--halve-every must be a positive number of steps and needs --no-cosine, got 5"),
    ],
)
def test_bad_few_shot_settings_are_one_line_and_nothing_is_written(tmp_path, pictures, argv, message, capsys):
    try:
        status = few(pictures, tmp_path / "r", *argv)
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_omniglot_presets_know_the_method_and_the_ways():
    assert omniglot.preset("cpu", {})["method"] == "maml"
    assert omniglot.preset("quick", {"method": "protonet"})["steps"] == 3 * omniglot.SOLVED[0] // 10
    inductive = classify.Config(**omniglot.preset("cpu-inductive", {}))
    assert (inductive.method, inductive.batch_norm, inductive.train_ways) == ("protonet", "running", 60)
    with pytest.raises(InputError, match=r"--method must be one of maml, fomaml.* with --preset paper, got r2d2"):
        omniglot.preset("paper", {"method": "r2d2"})


def paper(method, ways=5, shots="1"):
    settings = {"method": method, "ways": ways, "shots": shots}
    return classify.Config(**{**omniglot.preset("paper", settings), **settings})


def test_papers_presets_translate_the_loss_of_the_authors_code():
    """MAML's code divides the sum over N·K examples by K, which is N times the mean; other codes take the mean."""
    for method in ("maml", "fomaml", "anil"):
        for shots in ("1", "5"):
            assert paper(method, 5, shots).inner_rate == 0.4 * 5
            assert paper(method, 20, shots).inner_rate == 0.1 * 20
    few, many = paper("maml"), paper("maml", 20)
    settings = lambda c: (
        c.inner_steps,
        c.test_steps,
        c.tasks,
        c.steps,
        c.train_queries,
        c.outer_rate,
        c.cosine,
        c.pool,
    )
    assert settings(few) == (1, 3, 32, 60_000, 15, 1e-3, False, False)
    assert settings(many) == (5, 5, 16, 60_000, 15, 1e-3, False, False)
    assert not few.adapt_norms and few.width == 64
    assert settings(paper("maml++"))[:4] == (5, 5, 8, 50_000)
    plus = paper("maml++", 20)
    assert (plus.inner_rate, plus.pool, plus.leak, plus.cosine, plus.train_queries) == (0.1, True, 0.01, True, 1)
    assert [paper(m).inner_rate for m in ("imaml", "boil", "cavia")] == [0.1, 0.5, 1.0]
    reptile = paper("reptile", 20, "5")
    assert (reptile.inner_rate, reptile.inner_steps, reptile.train_queries, reptile.steps) == (5e-4, 10, 5, 200_000)
    proto = paper("protonet")
    assert (proto.train_ways, proto.train_queries, proto.batch_norm, proto.halve_every) == (60, 5, "running", 2000)


def test_batch_norms_do_not_adapt_in_the_paper_of_maml():
    """Its code keeps the shift of batch norms out of the weights that take inner steps, and has no scale."""
    some = data.from_array(np.zeros((5, 4, 16, 16), np.uint8))
    parts = data.ClassSplit(some, some, some)
    support = (jnp.zeros((5, 16, 16, 1)), jnp.arange(5))

    def adapted(adapt_norms):
        config = dataclasses.replace(paper("maml"), width=4, adapt_norms=adapt_norms)
        method = classify.build(config, parts, 100)
        return jax.eval_shape(lambda key: method.adapt(method.init_params(key), support, key), jax.random.key(0))

    for adapt_norms in (False, True):
        learned = adapted(adapt_norms)
        assert all((learned["body"]["norms"][i]["scale"] is not None) == adapt_norms for i in range(4))
        assert learned["head"]["kernel"].shape == (4, 4, 5)


def test_maml_plus_plus_sees_as_many_tasks_as_maml():
    for preset in ("quick", "cpu", "equal-tasks"):
        for ways in (5, 20):
            seen = []
            for method in ("maml", "maml++"):
                settings = {"method": method, "ways": ways}
                config = classify.Config(**{**omniglot.preset(preset, settings), **settings})
                seen.append(config.steps * config.tasks)
            assert seen[0] == seen[1]


def test_the_outer_rate_of_maml_plus_plus_is_annealed_to_a_hundredth():
    rate = paper("maml++").recipe().schedule(1000)
    assert float(rate(0)) == pytest.approx(1e-3)
    assert float(rate(500)) == pytest.approx((1e-3 + 1e-5) / 2)
    assert float(rate(1000)) == pytest.approx(1e-5)
    halved = paper("protonet").recipe().schedule(1000)
    assert [float(halved(step)) for step in (0, 1999, 2000, 4000)] == pytest.approx([1e-3, 1e-3, 5e-4, 2.5e-4])
    assert paper("maml").recipe().schedule(1000) == 1e-3


def test_versions_of_maml_are_compared_with_intervals(tmp_path, monkeypatch):
    """The table of three seeds; trainings that are finished are not repeated."""
    trained = []

    def train(config, directory, loaded):
        trained.append((config.method, config.inner_steps, config.seed))
        score = {"maml": 97.0, "maml++": 98.0}[config.method] + 0.1 * config.seed * (config.method == "maml++")
        return {"metrics": {"accuracy": score, "interval": 0.3, "seconds": 60.0}, "protocol": "as it is"}

    monkeypatch.setattr(classify, "EXPERIMENT", dataclasses.replace(classify.EXPERIMENT, run=train))
    argv = ["--out", str(tmp_path / "r"), "--seeds", "3"]
    assert maml_versions.EXPERIMENT.main(argv) == 0
    versions = [("maml", 1), ("maml", 5), ("maml++", 5)]
    assert trained == [(*version, seed) for seed in (0, 1, 2) for version in versions]
    written = result(tmp_path / "r")
    assert written["metrics"]["difference_to_maml-5"] == pytest.approx(1.1)
    assert written["metrics"]["interval_over_seeds_to_maml-5"] == pytest.approx(4.303 * 0.1 / np.sqrt(3), rel=1e-3)
    text = maml_versions.markdown({}, written)
    assert "MAML++ is above maml." in text
    assert "MAML++ is above maml-5." in text
    assert maml_versions.EXPERIMENT.main([*argv, "--resume"]) == 0
    assert len(trained) == 9
    written["metrics"]["difference_to_maml"] = 0.1
    assert "no difference is shown" in maml_versions.markdown({}, written)


@pytest.mark.slow
def test_omniglot(tmp_path, capsys):
    if not (data.home() / "omniglot" / "omniglot28.npz").is_file():
        pytest.skip("omniglot/omniglot28.npz is not below METAJAX_DATA")
    argv = ["--steps", "50", "--episodes", "50", "--width", "8", "--tasks", "4"]
    assert omniglot.EXPERIMENT.main([*argv, "--out", str(tmp_path / "r")]) == 0
    assert "batch norm: transductive" in capsys.readouterr().out
    assert result(tmp_path / "r")["metrics"]["accuracy"] > 25


def test_omniglot_without_the_data_says_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    monkeypatch.setattr(importlib.import_module("metajax.data._omniglot"), "_URL", "https://localhost:1/")
    assert omniglot.EXPERIMENT.main(["--out", str(tmp_path / "r")]) == 2
    error = capsys.readouterr().err
    assert "put the file of https://localhost:1/images_background.zip at" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_nas_digits(tmp_path, capsys):
    out = tmp_path / "r"
    assert nas_digits.EXPERIMENT.main(["--preset", "tiny", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "rank" in text
    assert "Kendall τ" in text
    metrics = result(out)["metrics"]
    assert metrics["architectures"] == 125
    assert 1 <= metrics["darts_1_rank"] <= 125
    assert (out / "ranking.png").is_file()
    assert nas_digits.EXPERIMENT.main(["--preset", "tiny", "--out", str(out), "--resume"]) == 0
    assert result(out)["metrics"] == metrics


@pytest.fixture(scope="module")
def bench201():
    try:
        supernet.truth.load_oracle()
    except InputError as missing:
        pytest.skip(f"needs the table of NAS-Bench-201: {missing}")


@pytest.mark.parametrize("method", ["random", "evolution", "local-search", "reinforce"])
def test_searches_of_the_table(tmp_path, bench201, method):
    out = tmp_path / "r"
    assert nas_bench_201.EXPERIMENT.main(["--method", method, "--budget", "2000", "--out", str(out)]) == 0
    written = result(out)
    assert written["metrics"]["simulated_seconds"] <= 2000
    assert written["metrics"]["evaluations"] > 5
    assert written["metrics"]["cifar10_test"] > 85
    assert written["metrics"]["rank"] == supernet.truth.load_oracle().rank(written["arch"])


def test_trivial_answers_are_those_of_the_published_table(tmp_path, bench201):
    assert nas_trivial.EXPERIMENT.main(["--out", str(tmp_path / "r")]) == 0
    m = result(tmp_path / "r")["metrics"]
    assert m["random_cifar10_test"] == pytest.approx(87.06, abs=0.01)
    assert m["random_cifar10_deviation"] == pytest.approx(12.93, abs=0.01)
    assert m["convolutions_cifar10_test"] == pytest.approx(93.20, abs=0.01)
    assert m["conv3x3_cifar10_test"] == pytest.approx(93.76, abs=0.01)
    assert m["conv3x3_is_largest"]
    assert m["parameters_kendall_tau"] == pytest.approx(0.577, abs=0.001)


@pytest.fixture(scope="module")
def cifar10():
    try:
        data.cifar10(0, 8)
    except InputError as missing:
        pytest.skip(f"needs CIFAR-10: {missing}")


@pytest.mark.slow
def test_a_search_on_cifar_is_looked_up(tmp_path, bench201, cifar10):
    out, argv = tmp_path / "r", ["--size", "8", "--channels", "4", "--batch", "16", "--out", str(tmp_path / "r")]
    assert nas_bench_201.EXPERIMENT.main(["--method", "drnas", "--steps", "50", *argv]) == 0
    written = result(out)
    assert written["metrics"]["cifar10_test"] == pytest.approx(supernet.truth.load_oracle().query(written["arch"]))
    assert {"cifar100_test", "imagenet16_test", "seconds", "kendall_tau", "discretization_gap"} <= set(
        written["metrics"]
    )
    assert "8 x 8, C=4, N=1, 50 steps of 16" in written["protocol"]
    assert set(written["history"]) >= {"step", "entropy", "skips", "conflict", "cifar10_test"}
    assert (out / "diagnosis.png").stat().st_size > 10_000
    costly = [
        "--method",
        "darts-1",
        "--steps",
        "25",
        "--cost",
        "parameters",
        "--cost_weight",
        "1",
        *argv,
        "--overwrite",
    ]
    assert nas_bench_201.EXPERIMENT.main(costly) == 0
    assert result(out)["metrics"]["cost_r2"] > 0.99
    assert "1 x expected parameters added" in result(out)["protocol"]


@pytest.mark.slow
@pytest.mark.parametrize("method", _proxies.NAMES)
def test_proxies_rank_drawn_cells(tmp_path, bench201, cifar10, method):
    argv = [
        "--drawn",
        "8",
        "--size",
        "8",
        "--channels",
        "4",
        "--cells",
        "1",
        "--batch",
        "16",
        "--out",
        str(tmp_path / "r"),
    ]
    assert nas_bench_201.EXPERIMENT.main(["--method", method, *argv]) == 0
    written = result(tmp_path / "r")
    assert written["metrics"]["evaluations"] == len(written["scores"]) == 8
    assert -1 <= written["metrics"]["kendall_tau"] <= 1
    assert 0 < written["metrics"]["kendall_tau_error"] < 1
    assert written["method_version"] == _versions.version(method)


@pytest.mark.slow
def test_cells_are_searched_drawn_and_trained(tmp_path, cifar10, capsys):
    out, again = tmp_path / "r", tmp_path / "again"
    assert nas_darts.EXPERIMENT.main(["--preset", "tiny", "--out", str(out)]) == 0
    text, first = capsys.readouterr().out, result(out)
    assert "10^3.6 mixtures, 10^3.4 pairs of cells" in text
    assert "batch norm: transductive" in text
    assert {"test_accuracy", "parameters", "search_seconds", "train_seconds", "skips"} <= set(first["metrics"])
    cells = supernet.spaces.from_genotype(first["genotype"])
    for cell in ("normal", "reduce"):
        drawing = (out / f"{cell}.svg").read_text()
        assert all(op in drawing for name, op in cells.items() if name.startswith(cell))
    assert nas_darts.EXPERIMENT.main(["--preset", "tiny", "--out", str(out), "--resume"]) == 0
    same = ("test_accuracy", "parameters", "search_seconds", "skips")
    assert [result(out)["metrics"][n] for n in same] == [first["metrics"][n] for n in same]
    flags = ["--preset", "tiny", "--genotype", first["genotype"], "--out", str(again)]
    assert nas_darts.EXPERIMENT.main(flags) == 0
    assert result(again)["metrics"]["test_accuracy"] == first["metrics"]["test_accuracy"]
    assert "cells given" in result(again)["protocol"]


def test_without_the_prepared_table_validation_accuracies_of_the_package_count(tmp_path, monkeypatch):
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    assert _bench_201.judge(nas_bench_201.Config("drnas"))[1] == "val200_seeds"
    with pytest.raises(InputError, match=r"nasbench201\.npz: no such file"):
        _bench_201.judge(nas_bench_201.Config("random"))
    (tmp_path / "nasbench201").mkdir()
    (tmp_path / "nasbench201" / "nasbench201.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        _bench_201.judge(nas_bench_201.Config("drnas"))


def test_bad_architecture_searches_are_one_line(tmp_path, capsys):
    for main, argv, message in (
        (nas_bench_201.EXPERIMENT.main, ["--method", "magic"], "--method must be one of darts-1, darts-2"),
        (
            nas_bench_201.EXPERIMENT.main,
            ["--cost", "money"],
            "--cost must be one of parameters, flops, seconds, --cost-weight positive",
        ),
        (
            nas_bench_201.EXPERIMENT.main,
            ["--cost", "flops", "--method", "spos"],
            "takes a gradient in the encoding, got --method spos",
        ),
        (nas_bench_201.EXPERIMENT.main, ["--channels", "0"], "--channels must be at least 1, got 0"),
        (nas_darts.EXPERIMENT.main, ["--method", "spos"], "--method must be one of darts-1"),
        (
            nas_darts.EXPERIMENT.main,
            ["--layers", "2"],
            "--layers must be at least 3, got 2",
        ),
        (
            nas_darts.EXPERIMENT.main,
            ["--genotype", "x"],
            "from_genotype: text must have normal=[(operation, source), ...]",
        ),
        (nas_digits.EXPERIMENT.main, ["--methods", "gdas,magic"], "--methods must be all, or some of darts-1, darts-2"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main([*argv, "--out", str(tmp_path / "r")])
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_navigation(tmp_path, capsys):
    sizes = ["--steps", "20", "--tasks", "2", "--trajectories", "4", "--width", "8", "--test_goals", "4"]
    assert navigation.EXPERIMENT.main([*sizes, "--out", str(tmp_path / "r")]) == 0
    metrics = result(tmp_path / "r")["metrics"]
    assert {"maml_after_1", "pre_trained_after_3", "oracle_after_0", "random_after_0"} <= set(metrics)
    assert (tmp_path / "r" / "returns.png").is_file()
    assert "oracle" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "argv", "message"),
    [
        (sinusoid, ["--episodes", "60"], "--episodes must be a multiple of 50, got 60"),
        (omniglot, ["--data", "x"], "--data must be omniglot in this experiment, got x"),
        (nas_digits, ["--steps", "0"], "--steps must be at least 1, got 0"),
        (sinusoid, ["--min-frequency", "2"], "--min-frequency and --max-frequency must be positive"),
        (inner_rates, ["--rates", "x"], "--rates must be numbers separated by commas, got x"),
        (maml_versions, ["--seeds", "1"], "--seeds must be at least 2, got 1"),
        (unroll_memory, ["--longest", "3"], "longest must be 64, 256 or 1024"),
    ],
)
def test_bad_settings_are_one_line(module, argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        module.EXPERIMENT.main(argv)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in error
    assert error.count("\n") == 1
