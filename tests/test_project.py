"""The project as a whole: floors, documents that run, style, types."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "types": 0,
    **dict.fromkeys(("space", "bilevel", "nn", "data", "run", "plot"), 1),
    **dict.fromkeys(("fewshot", "supernet", "hpo", "predictor"), 2),
    "search": 3,
    "automl": 4,
    "testing": 4,
    "cli": 5,
}


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "metajax":
                yield from (f"metajax.{alias.name}" for alias in node.names)
            else:
                yield node.module


def modules():
    return sorted((ROOT / "metajax").rglob("*.py"))


@pytest.mark.parametrize("file", modules(), ids=lambda f: str(f.relative_to(ROOT)))
def test_a_module_imports_only_from_floors_below(file):
    part = file.relative_to(ROOT / "metajax").parts[0].removesuffix(".py")
    if part == "__init__":
        return
    for name in imports(file):
        pieces = name.split(".")
        if pieces[0] == "metajax" and len(pieces) > 1 and pieces[1] != part:
            assert FLOORS[pieces[1]] < FLOORS[part], f"{part} imports {name}"
        if part in ("types", "space", "bilevel"):
            assert pieces[0] not in ("flax", "orbax")
        if pieces[0] == "orbax":
            assert file.name == "checkpoint.py"
        assert pieces[0] not in ("pickle", "cloudpickle", "dill", "joblib"), "nothing is ever unpickled"


def test_files_stay_small():
    for file in modules():
        assert len(file.read_text().splitlines()) <= 400, file


def test_import_is_light():
    code = "import sys, metajax; print([m for m in ('flax', 'orbax', 'pandas', 'sklearn', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_ruff_passes():
    pytest.importorskip("ruff")
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *arguments, str(ROOT)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.slow
def test_pyright_passes():
    """Slow because pyright may fetch its own Node first; skipped where that cannot be had."""
    done = subprocess.run([sys.executable, "-m", "pyright"], capture_output=True, text=True, cwd=ROOT)
    if "errors" not in done.stdout:
        pytest.skip(f"pyright could not start: {(done.stderr or done.stdout)[-200:]}")
    assert done.returncode == 0, done.stdout[-2000:]


def test_no_document_has_unfilled_marks():
    for file in [*modules(), *(ROOT / "experiments").rglob("*.py"), ROOT / "README.md"]:
        assert "RESULT_" + "LINE" not in file.read_text(), file
