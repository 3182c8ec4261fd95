"""The pages of methods that the documentation generates: every method has one, it says what it has to, and its code runs."""

import importlib
import sys
from pathlib import Path

import pytest
from blocks import execute, python_blocks

from metajax import fewshot, hpo, supernet

HOOKS = Path(__file__).parents[1] / "docs" / "hooks"

pytest.importorskip("mkdocs")


@pytest.fixture(scope="module", autouse=True)
def hooks():
    """The folder of the hooks is importable, as it is for MkDocs."""
    sys.path.insert(0, str(HOOKS))
    yield
    sys.path.remove(str(HOOKS))


def hook(name):
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def pages():
    """All pages by their addresses."""
    return hook("methods").pages()


def named():
    """The methods that the packages have by name, and what was published of ``hpo``."""
    published = [name for name in hpo.__all__ if "References:" in (getattr(hpo, name).__doc__ or "") and name != "adam"]
    return [*fewshot.METHODS, *supernet.METHODS, *hpo.ESTIMATORS, *published]


def test_every_method_has_a_page(pages):
    titles = {text.splitlines()[0] for text in pages.values()}
    assert len(titles) == len(pages)
    assert {f"# `{name}`" for name in named()} <= titles


@pytest.mark.parametrize("name", named())
def test_a_page_has_mathematics_papers_settings_and_code(pages, name):
    text = next(text for text in pages.values() if text.startswith(f"# `{name}`\n"))
    has = {part: part in text for part in ("\n$$", "https://arxiv.org/abs/", "## What differs from", "```python\n")}
    assert all(has.values()), has
    assert "## Settings\n" in text or "## Arguments of " in text


def test_results_reach_the_page_of_their_method(pages):
    text = pages["methods/heads/protonet.md"]
    assert "### Omniglot, all methods" in text
    assert "| protonet | transductive |" in text
    assert "| maml | transductive |" not in text


def test_the_rows_of_results_that_match():
    measured, rows = hook("measured"), "| method | seconds |\n|---|---|\n| ours | 3 |\n| theirs | 5 |\n"
    wide = "| size | ours | b | c | d | e |\n|---|---|---|---|---|---|\n| 8 | 1 | 2 | 3 | 4 | 5 |\n"
    known = {
        "study": f"`python study.py`, commit abc123, 2 cores of X, jax 1\n\nWhat was asked.\n\n{rows}",
        "sizes": wide,
    }
    text = measured.rows("ours", known)
    assert "What was asked." in text and "Measured by `python study.py` at commit abc123, 2 cores of X." in text
    assert "| ours | 3 |" in text and "theirs" not in text
    assert "| size | ours |\n|---|---|\n| 8 | 1 |" in text
    assert measured.rows("ours", known, ("sizes",)).count("###") == 1
    assert measured.rows("nobody's", known) == ""


def test_an_example_has_the_imports_that_it_needs():
    docparts = hook("docparts")
    for documented in (fewshot.maml, fewshot.cavia, supernet.baselines.evolve):
        code = docparts.example(documented)
        assert docparts.undefined(code) == []
        assert ">>>" not in code
    assert "from metajax.fewshot import maml\n" in docparts.example(fewshot.maml)


def test_method_names_in_a_page_become_links():
    crossed = hook("methods").crossed
    page = "choosing/search.md"
    assert (
        crossed("`search.Certify(seconds=60)`", page) == "[`search.Certify(seconds=60)`](../methods/search/certify.md)"
    )
    kept = "# `Certify`\n```python\nx = `Certify`\n```\n[`Certify`](x.md) and `maximize`"
    assert crossed(kept, page) == kept


def of_pages(chosen):
    """The addresses of pages; those of one family after the other."""
    sys.path.insert(0, str(HOOKS))
    families = hook("families").FAMILIES
    sys.path.remove(str(HOOKS))
    return [
        f"methods/{name}/{entry.file}" for name, family in families.items() for entry in chosen(list(family.entries()))
    ]


@pytest.mark.parametrize("address", of_pages(lambda entries: entries[:1]))
def test_the_short_code_of_a_page_runs(pages, tmp_path, monkeypatch, address):
    """Of the first page of each family; all of them are among the slow tests."""
    run(pages[address], tmp_path, monkeypatch, slow=False)


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("address", of_pages(lambda entries: entries))
def test_all_code_of_a_page_runs(pages, tmp_path, monkeypatch, address):
    run(pages[address], tmp_path, monkeypatch, slow=True)


def run(text, tmp_path, monkeypatch, slow):
    page = tmp_path / "page.md"
    page.write_text(text)
    monkeypatch.chdir(tmp_path)
    assert python_blocks(page)
    execute(page, slow=slow)
