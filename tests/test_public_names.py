"""Every public name is annotated, documented and exported once.

A package is public through its ``__all__``; a module without an underscore is a public namespace. What a name needs:

* a function: annotations of all parameters and of the result, and a docstring with a summary, ``Args`` that names every
  parameter, ``Returns``, ``Raises`` if its body raises ``InputError``, and an example;
* a class: the same for its constructor (attributes count as arguments), and annotated, documented public methods;
* a Protocol: documented ``__call__`` or methods; an exception: a summary; a constant or alias: a docstring below it.

``python tests/test_public_names.py fewshot`` prints what one package lacks.
"""

import ast
import enum
import importlib
import inspect
import json
import pkgutil
import re
import sys
import textwrap
import typing
from functools import cache
from pathlib import Path

import pytest

import metajax

ROOT = Path(__file__).parents[1]

SHARED = {
    "METHODS": "a table of recipes by name",
    "Recipe": "an entry of METHODS",
    "load": "reads what its namespace is about from a file",
    "save": "writes what its namespace is about to a file",
    "baselines": "the namespace of what the methods of its package have to beat",
    "run": "the package of runs; `supernet.run` makes one of a search, and is called by its package's name",
    "search": "the package of searches through a model; `automl.search` is the search on data, called by its package's name",
}
"""Names that several public modules export as different objects on purpose, modules included: what they have in common."""

ALL = [
    "metajax",
    "types",
    "parallel",
    "space",
    "bilevel",
    "nn",
    "data",
    "run",
    "plot",
    "fewshot",
    "supernet",
    "hpo",
    "predictor",
    "search",
    "automl",
    "integrations",
    "testing",
]
"""The packages, from the ground; ``metajax`` stands for the names of the package itself."""


@cache
def packages():
    """Names of all modules that are public: packages and modules no part of whose name begins with an underscore."""
    names = ["metajax", "metajax.types"]
    for info in pkgutil.walk_packages(metajax.__path__, "metajax."):
        if not any(part.startswith("_") for part in info.name.split(".")) and info.name != "metajax.cli":
            names.append(info.name)
    return sorted(set(names))


def public(module):
    """The public names of a module: its ``__all__``, or what a module without one defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    defined = [n for n, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [n for n in [*defined, *documented(module.__name__)] if not n.startswith("_")]


@cache
def tree(name):
    return ast.parse(inspect.getsource(importlib.import_module(name)))


@cache
def documented(name):
    """The constants and aliases at the top of a module, with the docstring below each (``None`` if there is none)."""
    constants, body = {}, tree(name).body
    for statement, after in zip(body, [*body[1:], None]):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(targets[0], ast.Name):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            constants[targets[0].id] = after.value.value if is_text and isinstance(after.value.value, str) else None
    return constants


def origin(package, name):
    """The module in which an exported name is defined, and its name there."""
    for node in ast.walk(tree(package)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return origin(node.module, alias.name)
    return package, name


SECTION = re.compile(
    r"^(Args|Attributes|Returns|Yields|Raises|Deviations|References|Example|Examples|Note|Notes):\s*$", re.M
)


def sections(text):
    """The parts of a Google style docstring by name; ``summary`` is the first paragraph."""
    text = inspect.cleandoc(text or "")
    cuts = [(m.start(), m.end(), m.group(1)) for m in SECTION.finditer(text)]
    ends = [start for start, _, _ in cuts[1:]] + [len(text)]
    parts = {name: text[end:stop] for (_, end, name), stop in zip(cuts, ends)}
    parts["summary"] = text[: cuts[0][0] if cuts else len(text)].strip().split("\n\n")[0]
    return parts


def entries(section):
    """The names that a section of arguments or attributes describes."""
    lines = textwrap.dedent(section).splitlines()
    heads = [line.split(":")[0] for line in lines if re.match(r"^[*\w`][^:]*:", line)]
    return {re.sub(r"\(.*\)|[*`]", "", part).strip() for head in heads for part in re.split(r",| and ", head)}


def parameters(function):
    try:
        every = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p for p in every if p.name not in ("self", "cls") and not p.name.startswith("_")]


def raises_input_error(function):
    try:
        source = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):
        return False
    raised = [node.exc for node in ast.walk(source) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return any(ast.unparse(call.func).endswith("InputError") for call in raised)


def unannotated(function, result=True):
    """The parameters without annotation, and ``result`` if it has none."""
    plain = inspect.unwrap(function)
    lacking = [p.name for p in parameters(plain) if p.annotation is inspect.Parameter.empty]
    if result and inspect.signature(plain).return_annotation is inspect.Signature.empty:
        lacking.append("the result")
    return [f"no annotation of {name}" for name in lacking]


def returns(function):
    annotation = inspect.signature(inspect.unwrap(function)).return_annotation
    return annotation not in (None, "None", type(None), typing.NoReturn, "NoReturn", inspect.Signature.empty)


def of_summary(parts):
    summary = parts["summary"].replace("\n", " ")
    if not summary:
        return ["no docstring"]
    return [] if re.search(r"[.:?!)`]$", summary) else ["the summary is not a sentence"]


def of_arguments(parts, names):
    described = entries(parts.get("Args", "")) | entries(parts.get("Attributes", ""))
    missing = [name for name in names if name not in described]
    return [f"Args lacks {', '.join(missing)}"] if missing else []


def of_function(function, brief=False):
    """What a function lacks; of a method (``brief``), the example and the sections may be missing."""
    parts = sections(function.__doc__)
    lacking = unannotated(function) + of_summary(parts)
    if not parts["summary"]:
        return lacking
    refers = brief and re.search(r"[Ss]ee ``|Raises InputError", function.__doc__)  # to the protocol that it implements
    if raises_input_error(function) and "Raises" not in parts and not refers:
        lacking.append("no Raises")
    if brief:
        return lacking
    lacking += of_arguments(parts, [p.name for p in parameters(function)])
    if returns(function) and not {"Returns", "Yields"} & set(parts):
        lacking.append("no Returns")
    if ">>>" not in function.__doc__:
        lacking.append("no example")
    return lacking


def is_tuple(kind):
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def of_class(kind):
    parts = sections(vars(kind).get("__doc__"))
    lacking = of_summary(parts)
    if issubclass(kind, BaseException | enum.Enum):
        return lacking
    # methods may stand in private base classes
    bases = [base for base in kind.__mro__ if base.__module__.startswith("metajax")]
    members = {n: v for base in reversed(bases) for n, v in vars(base).items()}
    own = {n: v for n, v in members.items() if n == "__call__" or not n.startswith("_")}
    if not getattr(kind, "_is_protocol", False):
        fields = (
            list(kind._fields)
            if is_tuple(kind)
            else [p.name for p in parameters(kind.__init__) if "__init__" in members]
        )
        lacking += of_arguments(parts, fields)
        if "__init__" in members and not hasattr(kind, "__dataclass_fields__"):
            lacking += unannotated(kind.__init__, result=False)
        if ">>>" not in (kind.__doc__ or "") and not is_tuple(kind):
            lacking.append("no example")
    for name, value in own.items():
        value = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        value = value.fget if isinstance(value, property) else getattr(value, "func", value)
        if inspect.isfunction(value) and value.__module__.startswith("metajax"):
            lacking += [f".{name}: {what}" for what in of_function(value, brief=True)]
    return lacking


def lacks(package, name):
    """What a public name lacks, in words."""
    module = importlib.import_module(package)
    if not hasattr(module, name):
        return ["is not there"]
    value = getattr(module, name)
    if inspect.ismodule(value):
        return []
    home, there = origin(package, name)
    if there in documented(home):
        return [] if documented(home)[there] else ["no docstring below it"]
    if inspect.isclass(value):
        return of_class(value)
    if callable(value):
        return of_function(value)
    return ["no docstring below it"]


def report(part):
    """A line for each public name of a package that lacks something."""
    lines = []
    for package in packages():
        if (package.split(".")[1:2] or ["metajax"]) == [part]:
            if not inspect.getdoc(importlib.import_module(package)):
                lines.append(f"{package}: no docstring")
            lines += [
                f"{package}.{n}: {'; '.join(w)}"
                for n in public(importlib.import_module(package))
                if (w := lacks(package, n))
            ]
    return lines


@pytest.mark.parametrize("part", ALL)
def test_every_public_name_is_annotated_and_documented(part):
    lines = report(part)
    assert not lines, "\n" + "\n".join(lines)


def two_meanings():
    """Names that two public modules export and that are not the same object, be it a module, a function or a class."""
    users_of = {}
    for package in packages():
        module = importlib.import_module(package)
        for name in public(module):
            users_of.setdefault(name, {}).setdefault(id(getattr(module, name, None)), package)
    return {name: sorted(users.values()) for name, users in users_of.items() if len(users) > 1 and name not in SHARED}


def test_no_name_means_two_things():
    assert two_meanings() == {}


def test_shared_names_are_exported_by_several_modules():
    exported = [name for package in packages() for name in public(importlib.import_module(package))]
    assert {name for name in SHARED if exported.count(name) < 2} == set()


def shadows():
    """Exported functions and classes under the name of a public module beside them."""
    names = []
    for package in packages():
        module = importlib.import_module(package)
        beside = {info.name for info in pkgutil.iter_modules(getattr(module, "__path__", []))}
        names += [f"{package}.{n}" for n in public(module) if n in beside and not inspect.ismodule(getattr(module, n))]
    return names


def test_no_function_has_the_name_of_a_module():
    assert shadows() == []


def private_imports(source):
    """The private parts of metajax that a source imports."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "metajax" and any(part.startswith("_") and not part.startswith("__") for part in parts):
                yield name


def cells(notebook):
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            yield "\n".join(
                line for line in "".join(cell["source"]).splitlines() if not line.lstrip().startswith(("%", "!"))
            )


def users(folder):
    """The files of a folder that import something private, with what they import."""
    imports_of = {}
    for file in sorted((ROOT / folder).rglob("*.py")):
        imports_of[str(file.relative_to(ROOT))] = list(private_imports(file.read_text()))
    for file in sorted((ROOT / folder).rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in file.parts:
            imports_of[str(file.relative_to(ROOT))] = [name for cell in cells(file) for name in private_imports(cell)]
    return {file: names for file, names in imports_of.items() if names}


@pytest.mark.parametrize("folder", ["experiments", "notebooks"])
def test_only_public_names_are_used(folder):
    assert users(folder) == {}


if __name__ == "__main__":
    for part in sys.argv[1:] or ALL:
        lines = report(part)
        print("\n".join(lines), f"\n{part}: {len(lines)} names lack something", flush=True)
    if not sys.argv[1:]:
        print("two meanings:", two_meanings(), "\nprivate:", users("experiments"), users("notebooks"))
