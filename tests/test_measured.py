"""How pages of the documentation refer to results: what each form of a reference says, and when it fails the build."""

import importlib
import sys
from pathlib import Path

import pytest

HOOKS = Path(__file__).parents[1] / "docs" / "hooks"
STUDY = """
`python -m study`, commit 0123abc, 2 cores of X, jax 0.10, 2026-01-01

three seeds; means

| method | error | seconds |
|---|---|---|
| a | 0.30 ± 0.05 | 9 |
| b | 0.32 ± 0.01 | 20 |
| c | 0.50 ± 0.02 | 2 |
| d | – | 1 |
"""


@pytest.fixture(scope="module")
def measured():
    sys.path.insert(0, str(HOOKS))
    yield importlib.import_module("measured")
    sys.path.remove(str(HOOKS))


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("study / a / error", "0.30 ± 0.05"),
        (
            "order: study / error / least",
            "Smallest: **a** with 0.30 ± 0.05. Not told apart from it: b (0.32 ± 0.01). Next: c (0.50 ± 0.02).",
        ),
        ("order: study / seconds", "Largest: **b** with 20. Next: a (9)."),
        ("order: study / seconds / where [cd]", "Largest: **c** with 2. Next: d (1)."),
        ("range: study / error / where [ac]", "0.30 to 0.50"),
        ("said: study / three", "Three seeds; means."),
        ("holds: study / error / a < c", ""),
        ("holds: study / error / b ~ a", ""),
        ("holds: study / seconds / b > a", ""),
    ],
)
def test_what_a_reference_says(measured, reference, text):
    assert measured.filled(f"{{{{ {reference} }}}}", {"study": STUDY}) == text


@pytest.mark.parametrize(
    "reference",
    [
        "holds: study / error / c < a",
        "holds: study / error / a < b",  # not told apart
        "holds: study / error / a < e",
        "order: study / minutes",
        "said: study / four",
        "said: study",
        "found: nothing",
        "study / a",
    ],
)
def test_a_reference_that_does_not_hold_fails_the_build(measured, reference):
    with pytest.raises(measured.Unknown):
        measured.filled(f"{{{{ {reference} }}}}", {"study": STUDY})


def test_a_table_names_what_measured_it(measured):
    text = measured.filled("{{ table: study / method, seconds / where a }}", {"study": STUDY})
    assert text.startswith("| method | seconds |\n|---|---|\n| a | 9 |\n")
    assert "Measured by `python -m study` at commit 0123abc, 2 cores of X." in text


def test_the_sentences_of_an_experiment(measured):
    assert measured.filled("{{ found: certify }}", {}).startswith("- A search with a certificate")
