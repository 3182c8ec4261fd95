"""Errors of the library in the words of the command line."""

import ast
import pathlib

import pytest

import metajax
from metajax import automl, cli
from metajax.data import tabular
from metajax.types import InputError


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("trials=3: accepted are whole numbers from 16", "--trials 3: accepted are whole numbers from 16"),
        ("data='a b.csv': no such file", "--data 'a b.csv': no such file"),
        (
            "task='regression': images; use task='classification'",
            "--task regression: images; use --task classification",
        ),
        ("target: is needed with a CSV", "--target: is needed with a CSV"),
        ("column size: has 2 infinite values", "column size: has 2 infinite values"),
        ("x.csv: has a header but no rows", "x.csv: has a header but no rows"),
    ],
)
def test_arguments_become_flags(message, told):
    assert cli.in_flags(message) == told


def test_the_library_speaks_of_arguments():
    with pytest.raises(InputError, match=r"^trials=3: accepted are whole numbers from 16"):
        automl.Config("digits", trials=3)
    with pytest.raises(InputError, match=r"^minutes=-1: accepted"):
        automl.Config("digits", minutes=-1)
    with pytest.raises(InputError, match=r"^data='mars': accepted"):
        tabular.load("mars")


def test_no_error_of_the_searching_library_names_a_flag():
    """Only the command line has flags: no text below ``automl`` or of tables and pictures holds one."""
    root = pathlib.Path(metajax.__file__).parent
    files = [*(root / "automl").glob("*.py"), root / "data" / "tabular.py", root / "data" / "pictures.py"]
    for file in files:
        for raised in (n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Raise)):
            assert "--" not in ast.unparse(raised), f"{file.name}:{raised.lineno}"
