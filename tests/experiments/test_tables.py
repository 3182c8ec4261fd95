"""Tables and the first page say what the results say: no training, only text."""

import importlib
import json
import pkgutil
import warnings

import pytest

from experiments import harness, tables
from experiments.fewshot import omniglot, sinusoid
from experiments.hpo import hyper_cleaning
from experiments.nas import _diagnosis, _proxies, _tables, _versions, nas_digits
from experiments.predictor import transfer_oboe

CELL = {"steps": 2000, "batch": 64, "size": 16, "channels": 8, "cells": 1, "seed": 0}
TRIVIAL = {
    **{f"{name}_{dataset}_test": 90.0 for name in ("random", "convolutions", "best") for dataset in ("cifar100", "imagenet16")},
    **{f"conv3x3_{dataset}_test": 71.0 for dataset in ("cifar100", "imagenet16")},
    **{"random_cifar10_test": 87.0, "random_cifar10_deviation": 13.0, "convolutions_cifar10_test": 93.2},
    **{"conv3x3_cifar10_test": 93.8, "best_cifar10_test": 94.4, "cells": 15_625, "share_above_conv3x3": 0.011},
    **{"parameters_kendall_tau": 0.577, "parameters_kendall_tau_error": 0.003},
}  # fmt: skip


@pytest.fixture
def finish(tmp_path):
    """Writes the files of a finished run, and reads them."""

    def write(name, config, metrics, command="x --preset quick", **more):
        folder = tmp_path / name
        folder.mkdir()
        meta = {"command": command, "commit": "0" * 40, "dirty": False, "hardware": "h", "versions": {"jax": "1"}}
        meta["started"] = "2026-01-01"
        for file, content in (("config", config), ("meta", meta), ("result", {"metrics": metrics, **more})):
            (folder / f"{file}.json").write_text(json.dumps(content))
        return harness.read(folder)

    return write


def test_few_shot_tables_stand_beside_published_numbers(finish):
    config = {"method": "maml", "ways": 5, "shots": "1", "data": "omniglot"}
    score = lambda accuracy, seconds: {"accuracy": accuracy, "interval": 0.3, "seconds": seconds}
    runs = [
        finish("a", config, score(90.0, 60)),
        finish("b", config, score(97.0, 600), "x --preset cpu"),
    ]
    table = omniglot.summary(runs)
    assert "| maml | transductive | 97.00 ± 0.30 (cpu, 10 min) | 98.7 ± 0.4 | not measured | 99.9 ± 0.1 |" in table
    assert "| protonet | running | not measured | 98.8 |" in table
    for name, mode in (("d", "transductive"), ("e", "running")):
        own = {**config, "method": "protonet", "batch_norm": mode}
        runs.append(finish(name, own, score(96.0, 60), "x --preset cpu-inductive --out y"))
    table = omniglot.summary(runs)
    assert "| protonet | running | 96.00 ± 0.30 (cpu-inductive, 1 min) | 98.8 |" in table
    assert "| protonet | transductive | 96.00 ± 0.30 (cpu-inductive, 1 min) | – |" in table
    runs.append(finish("c", config, score(98.0, 600), "x --preset cpu"))
    assert "| maml | transductive | 97.50, std 0.71 of 2 seeds (cpu) |" in omniglot.summary(runs)
    wave = {f"{n}_{k}_shot": 0.5 for n in ("mse", "interval") for k in (5, 10, 20)}
    row = sinusoid.summary([finish("s", {"method": "maml", "shots": 5, "even": True}, {"seconds": 9, **wave})])
    assert "| maml | 5 shots | 0.500 ± 0.500 | 0.500 ± 0.500 | 0.500 ± 0.500 | 1.13 ± 0.18 | 9 |" in row


def searches(finish, method, *scores, command="x --preset quick", **more):
    """Runs of a method on NAS-Bench-201, one a score."""
    rest = {"cifar100_test": 70.0, "imagenet16_test": 45.0, "seconds": 60.0, "params_M": 1.0}
    metrics = lambda score: {"cifar10_test": score, **rest, **more.get("metrics", {})}
    version = {"method_version": more["version"]} if "version" in more else {}
    make = lambda i, score: finish(
        f"nas201_{method}_{i}", {"method": method, **CELL}, metrics(score), command, **version
    )
    return [make(i, score) for i, score in enumerate(scores)]


def test_searches_stand_below_the_trivial_answers_with_their_cost(finish):
    """Published numbers, of searches of 50 epochs and more, stand beside no short search."""
    cells = searches(finish, "gdas", 93.0, 94.0)
    cells += searches(finish, "random", 93.6, metrics={"simulated_seconds": 11_000, "evaluations": 9})
    text = _tables.methods(cells, TRIVIAL)
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|---"))
    assert lines[first + 1].startswith("| a random cell | – | – | – | – | – | 87.00 ± 13.00 | – |")
    assert "| gdas | quick | 2 | 2,000 | 128,000 | 1.0 | 93.50 ± 0.71 | – | 70.00 ± 0.00 | – |" in text
    assert "| random | table | 1 | – | 0 | 1.0 | 93.60 | 93.70 ± 0.36 | 70.00 | – |" in text
    assert "`quick`: 16 x 16 pixels, 8 channels, 1 cells a stage" in text
    assert "reach 93.80% on CIFAR-10 without a search. Of the 1 SuperNet rows, none is above it." in text
    paper = _tables.methods(searches(finish, "darts-minus", 95.0, command="x --preset paper"), TRIVIAL)
    assert "| darts-minus | paper | 1 | 2,000 | 128,000 | 1.0 | 95.00 | 93.80 ± 0.40 |" in paper
    assert "above it are darts-minus 95.00." in paper
    assert "Not measured: random, reinforce" in paper


def test_results_of_earlier_versions_are_left_out_and_named(finish, monkeypatch):
    monkeypatch.setitem(_versions.VERSIONS, "drnas", 2)
    monkeypatch.setitem(_versions.VERSIONS, "naswot", 2)
    old = searches(finish, "drnas", 93.0, 94.0) + searches(finish, "gdas", 92.0)
    text = _tables.methods(old)
    assert "| drnas |" not in text
    assert "Left out, because an earlier version of the method made them: drnas (2 runs)." in text
    assert "naswot" not in text
    again = searches(finish, "enas", 93.0, version=_versions.version("enas"))
    assert "| enas | quick | 1 |" in _tables.methods(again)
    m = {"evaluations": 300, "kendall_tau": 0.61, "kendall_tau_error": 0.03, "seconds_a_cell": 0.42}
    scored = searches(finish, "naswot", 92.5, metrics=m)
    assert _proxies.table_of(old) == ""
    assert "naswot (1 run)" in _proxies.table_of(scored)
    scored = searches(finish, "parameters", 92.5, metrics=m)
    text = _proxies.table_of(scored, TRIVIAL)
    assert "| parameters (trivial) | 0.610 ± 0.030 | 300 | 92.50 | 70.00 | 45.00 | 0.42 |" in text
    assert "Over all 15,625 cells, the number of parameters has τ 0.577 ± 0.003." in text


def test_searches_are_diagnosed_in_tables(finish, tmp_path):
    story = {"step": [1, 2], "eigenvalue": [0.1, 0.3], "skips": [1, 4], "cifar10_test": [90.0, 54.3]}
    m = {"skips": 4, "entropy": 0.5, "eigenvalue": 0.25, "cifar10_test": 54.3, "params_M": 0.07, "kendall_tau": 0.1}
    more = {"arch": "|skip_connect~0|+|none~0|none~1|", "history": story}
    runs = [finish("nas201_darts-1_0", {"method": "darts-1", **CELL}, m, **more)]
    told = _diagnosis.section(runs)
    assert "| darts-1 | 0 | `/skip_connect~0/+/none~0/none~1/` | 4 | 0.5 | 0.25 | – | – | 0.100 |" in told
    assert "have a standard error of 0.068" in told
    assert "(results/collapse.png)" in told
    _diagnosis.overview(runs, tmp_path)
    assert (tmp_path / "collapse.png").stat().st_size > 10_000
    config = {"method": "gdas", **CELL, "cost": "flops", "cost_weight": 0.1}
    priced = _tables.cost([finish("nas201_cost", config, {**m, "cost": 5.0, "mean_cost": 10}, **more)])
    assert "| gdas | flops | 0.1 | 0 | 0.50 | 0.070 | 54.30 |" in priced


def test_methods_on_the_small_space_share_ranks_within_one_test_image(finish, monkeypatch):
    """The best cell is 1.5 of 100 images better than that of spos, or less than one of 50."""
    monkeypatch.setitem(_versions.VERSIONS, "enas", 2)
    truth = [[0.5, 0.52]] * 125
    truth[0], truth[3], truth[4], truth[15] = [0.99, 0.98], [0.97, 0.97], [0.96, 0.96], [0.92, 0.94]
    metrics = {"architectures": 125, "best": 98.0, "median": 51.0}
    for name in ("darts_1", "spos", "enas"):
        metrics |= {f"{name}_rank": 99, f"{name}_accuracy": 97.0, f"{name}_skips": 1}
    cell = lambda *operations: dict(zip(("edge_0_1", "edge_0_2", "edge_1_2"), operations))
    cells = {"darts-1": cell("none", "conv3x3", "none"), "spos": cell("conv3x3", "none", "none")}
    cells["enas"] = cells["spos"]
    folder = finish("nas_digits", {}, metrics, found=cells, truth=truth)
    assert nas_digits.n_test_images({"truth": truth}) == 100, "the least number that fits"
    lines = nas_digits.summary([folder]).splitlines()
    rows = [line for line in lines if line.startswith(("| spos", "| darts-1", "| enas"))]
    assert rows == [
        "| spos | conv3x3 / none / none | 2 | 97 | – | – | 1 | – | – | – |",
        "| darts-1 | none / conv3x3 / none | 4 | 97 | – | – | 1 | – | – | – |",
    ]
    text = "\n".join(lines)
    assert "Cells within one of the 100 test images of each other share a rank" in text
    assert "Of the 2 methods, 1 found one of the best 2%" in text
    assert "earlier version of the method made them: enas (1 run)" in text
    folder = finish("nas_digits_50", {}, metrics, found=cells, truth=truth, test_images=50)
    assert "| spos | conv3x3 / none / none | 1 |" in nas_digits.summary([folder])


def runs(**metrics):
    return {name: harness.Result(name, {}, {"metrics": m}, {}) for name, m in metrics.items()}


def test_the_first_page_follows_the_numbers():
    """The same statement says above or below, as the numbers are."""
    metrics = lambda score: {"metrics": {"cifar10_test": score, "seconds": 60.0}}
    search = lambda score: harness.Result("nas201_gdas_0", {"method": "gdas"}, metrics(score), {})
    bars = {**TRIVIAL, "cells": 1}
    for score, word in ((93.5, "Methods above it: none"), (94.0, "Methods above it: gdas")):
        sentences = _tables.supernets({**runs(nas201_trivial=bars), "nas201_gdas_0": search(score)})
        assert f"gdas with {score:.2f}%" in sentences[0]
        assert word in sentences[1]
    m = {"none accuracy": 88.0, "oracle accuracy": 92.0, "cg accuracy": 91.0, "cg search_seconds": 24.0}
    for alone, word in ((91.1, "level with"), (90.0, "above"), (91.9, "below")):
        (sentence,) = hyper_cleaning.statement(runs(hyper_cleaning={**m, "validation alone accuracy": alone}))
        assert f"{word} training on the clean validation images alone ({alone:.2f}%)" in sentence
    regret = {"transfer_0": 5.0, "nearest_0": 4.0, "transfer_5": 1.0, "nearest_5": 2.0}
    for p, word in ((0.3, "not shown to differ from"), (0.01, "worse than")):
        (sentence,) = transfer_oboe.statement(runs(transfer_oboe={**regret, "nearest_0_p": p, "nearest_5_p": 0.001}))
        assert f"5.00, {word} nearest (4.00, p = {p})" in sentence
        assert "1.00, better than nearest (2.00, p = 0.001)" in sentence


def test_the_first_page_names_what_is_missing():
    page = tables.page([])
    assert "Not on this page, because a result is missing: maml versions, navigation, omniglot, sinusoid," in page
    assert "###" not in page
    broken = tables.page(list(runs(navigation={"seconds": 1.0}).values()))
    assert "navigation" in broken.split("missing:")[1]


def test_a_result_without_what_its_table_shows_by_now_is_a_line(finish):
    result = finish("predict_nas_bench_201", {}, {"old": 1.0})
    text = tables.section(result, harness.owner(result.name))
    assert "An earlier version of the experiment made this result, without '" in text


@pytest.fixture(scope="module")
def committed():
    return harness.committed()


def test_the_committed_results_make_a_document_that_begins_with_one_page(committed):
    text = tables.document(committed)
    start = text.index("## In one page")
    page = text[start : text.index("\n## ", start)]
    assert start < 200
    assert page.count("###") == len(harness.PILLARS)
    assert "because a result is missing" not in page
    assert len(page.split()) < 900, "one page"
    assert text.count("\n## ") > 20
    assert "An earlier version of the experiment made this result" not in text


def test_a_run_that_no_table_can_be_made_of_is_not_copied(tmp_path, capsys):
    """The results that are kept stay as they are, and the error says what to do."""
    folder = tmp_path / "quickstart_9"
    folder.mkdir()
    for name, content in {"config": {}, "meta": {}, "result": {"metrics": {"seconds": 1.0}}}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    assert tables.main(["--add", str(folder)]) == 2
    assert "needs all of its results again" in capsys.readouterr().err
    assert not (harness.RESULTS / "quickstart_9").exists()


def test_every_experiment_makes_the_tables_of_its_committed_results(committed):
    """A result belongs to one experiment, whose table reads it as it was written."""
    for experiment in harness.experiments():
        own = [result for result in committed if harness.owner(result.name) is experiment]
        for result in own:
            assert "|---" in experiment.table(result.config, result.result), result.name
        if experiment.summary and own:
            assert experiment.summary(own).startswith("## ")
    assert all(harness.owner(result.name) for result in committed), "a result that no experiment owns"


def test_figures_are_drawn_anew_from_committed_results(committed, tmp_path):
    """Of every experiment that can, without training."""
    drawn = {}
    for result in committed:
        experiment = harness.owner(result.name)
        if experiment.draw and experiment.name not in drawn:
            drawn[experiment.name] = tmp_path / experiment.name
            drawn[experiment.name].mkdir()
            experiment.draw(result.config, result.result, drawn[experiment.name])
            found = {path.name for path in drawn[experiment.name].iterdir()}
            assert found == set(experiment.figures), experiment.name
    assert len(drawn) >= 5


def test_every_public_module_of_a_pillar_exports_an_experiment_of_its_name():
    names = []
    for pillar in harness.PILLARS:
        package = importlib.import_module(f"experiments.{pillar}")
        modules = [m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")]
        assert [each.name for each in harness.discover(package.__name__)] == modules
        names += modules
    names += [each.name for each in harness.discover("experiments.benchmarks")]
    assert len(set(names)) == len(names), "two experiments share a name"
    for experiment in harness.experiments():
        assert experiment.title and "python -m experiments." in (experiment.doc or ""), experiment.name


def test_the_list_of_experiments_is_up_to_date():
    text = (tables.FOLDER / "README.md").read_text()
    assert tables.listing(harness.pillars()) in text, "python -m experiments.tables remakes it"


def test_the_template_of_the_readme_is_an_experiment(tmp_path, monkeypatch, capsys):
    """It runs from its command line, resumes, and makes its table."""
    pytest.importorskip("sklearn")
    text = (tables.FOLDER / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "widths.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    template = importlib.import_module("widths")
    argv = ["--preset", "tiny", "--out", str(tmp_path / "r")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # four units do not converge
        assert template.EXPERIMENT.main(argv) == 0
    assert "| 4 units | " in capsys.readouterr().out
    assert template.EXPERIMENT.main([*argv, "--resume"]) == 0
    assert "| 4 units | " in tables.section(harness.read(tmp_path / "r"), template.EXPERIMENT)
