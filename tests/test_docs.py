"""The documentation: its code runs, its commands exist, its numbers come from results, every public package has a page."""

import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import blocks, execute, python_blocks

import metajax

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
name = lambda page: str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [p for p in PAGES if python_blocks(p)], ids=name)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    execute(page, slow=False)


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("page", [p for p in PAGES if any("slow" in b.classes for b in python_blocks(p))], ids=name)
def test_the_long_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, skipped = execute(page, slow=True)
    if skipped:
        pytest.skip("; ".join(skipped))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_commands_of_a_page_exist(page):
    """Commands are not executed, because most take minutes: their modules and verbs are looked up."""
    from metajax import cli

    text = "\n".join(block.code for block in blocks(page) if block.language == "bash")
    for module in re.findall(r"python -m (experiments[\w.]*)", text):
        assert importlib.util.find_spec(module) is not None, module
    for verb in re.findall(r"^metajax (\w+)", text, re.MULTILINE):
        assert verb in (cli.__doc__ or ""), verb


PACKAGES = "automl|bilevel|data|fewshot|hpo|nn|plot|predictor|run|search|space|supernet|testing|types"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name)
def test_the_names_in_the_text_of_a_page_exist(page):
    text = page.read_text()
    for match in re.finditer(rf"`(?:metajax\.)?(({PACKAGES})(?:\.[A-Za-z_]\w*)+)", text):
        if text[match.end()] not in "`([, {":  # a path such as data/x.npz
            continue
        names = match[1].split(".")
        value = metajax
        for part in names:
            assert hasattr(value, part), match[1]
            value = getattr(value, part)


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) <= 900
    for link in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (ROOT / link).exists(), link


def test_the_readme_and_ci_agree_on_the_two_commands():
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("pip install")]
    script = (ROOT / ".ci" / "run").read_text()
    assert len(commands) == 2
    assert [line for line in script.splitlines() if line.startswith("pip install")] == commands


QUOTED = {  # what README says, and where it was measured
    "98.9%": ("{:.1f}%", "Omniglot, all methods / protonet, transductive / 5-way 1-shot"),
    "38 minutes": ("{2:.0f} minutes", "Omniglot, all methods / protonet, transductive / 5-way 1-shot"),
    "Kendall τ of 0.77": ("Kendall τ of {:.2f}", "predict_nas_bench_201 / kernel on paths / 78"),
    "predictor has 0.55": ("predictor has {:.2f}", "predict_nas_bench_201 / PINAT (Lu et al. 2023), published / 78"),
    "19 seconds": ("{:.0f} seconds", "certify / 64, 10^16 / certify, s"),
}


@pytest.mark.parametrize("quoted", QUOTED)
def test_the_readme_quotes_what_was_measured(quoted):
    assert quoted in " ".join((ROOT / "README.md").read_text().split())
    form, reference = QUOTED[quoted]
    measured = hook("measured")
    cell = measured.filled(f"{{{{ {reference} }}}}", measured.results())
    numbers = [float(number) for number in re.findall(r"[\d.]+(?= \(|$| min)|^[\d.]+", cell)]
    assert form.format(*numbers) == quoted, cell


def test_the_readme_quotes_the_ranks_that_were_measured():
    readme, results = " ".join((ROOT / "README.md").read_text().split()), hook("measured").results()
    told = re.search(r"On (\d+) new tables, .*?mean ranks \(1 is best\) are: (.*?)\. metajax", results["In one page"])
    assert told is not None
    ranks = dict(part.rsplit(" ", 1) for part in told[2].split(", "))
    rounded = {name: f"{float(rank):.1f}" for name, rank in ranks.items()}
    quoted = (
        f"On {told[1]} tables, with a minute for each search, the main job has the mean rank {rounded['metajax']} among "
        f"{len(ranks)}; AutoGluon has {rounded['autogluon']}, FLAML {rounded['flaml']}, and the defaults of CatBoost, "
        f"LightGBM and histogram boosting have {rounded['catboost']}, {rounded['lightgbm']} and {rounded['boosting']}."
    )
    assert quoted in readme
    line = re.search(r"Search on (\d+) tabular benchmarks .*", results["In one page"])
    assert line is not None and line[1] == "12" and "after 25 trials on twelve tables" in readme
    regret = {name: float(re.search(rf"\b{name} ([\d.]+) ±", line[0])[1]) for name in ("transfer", "tpe")}
    assert 0.35 < regret["transfer"] / regret["tpe"] < 0.5 and "less than half of the regret of TPE" in readme


def test_the_readme_counts_the_goals_that_are_met():
    met = re.search(r"(\d+ of \d+ goals) are met", (ROOT / "experiments" / "benchmarks" / "RESULTS.md").read_text())
    assert met is not None
    assert met[1] in (ROOT / "README.md").read_text()


def hook(stem):
    spec = importlib.util.spec_from_file_location(stem, DOCS / "hooks" / f"{stem}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", [p for p in PAGES if "{{ " in p.read_text()], ids=name)
def test_the_measured_numbers_of_a_page_are_found(page):
    measured = hook("measured")
    text = measured.filled(page.read_text(), measured.results())
    assert "{{ " not in re.sub(r"\{\{ (methods|settings): ", "", text)


def test_a_number_that_was_not_measured_is_refused():
    measured = hook("measured")
    results = {"study": "| method | seconds |\n|---|---|\n| ours | 3 |\n"}
    assert measured.filled("{{ study / ours / seconds }} s", results) == "3 s"
    for reference in ("{{ study / theirs / seconds }}", "{{ study / ours / minutes }}", "{{ other / ours / seconds }}"):
        with pytest.raises(measured.Unknown):
            measured.filled(reference, results)


def test_every_public_package_has_a_page():
    pages = hook("pages").public_modules()
    walked = pkgutil.walk_packages(metajax.__path__, "metajax.")
    public = {module.name for module in walked if not any(part.startswith("_") for part in module.name.split("."))}
    assert {name for names in pages.values() for name in names} == public - {"metajax.cli"}
    navigation = (ROOT / "mkdocs.yml").read_text()
    index = (DOCS / "api" / "index.md").read_text()
    for first in pages:
        assert f"api/{first}.md" in navigation, first
        assert f"({first}.md)" in index, first


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "site" / "api" / "bilevel" / "index.html").exists()
