"""The parts of a Google style docstring, and code of its example without prompts."""

import ast
import builtins
import doctest
import importlib
import inspect
import re
import textwrap
from typing import Any

SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Deviations|References|Example): *$", re.MULTILINE)
ENTRY = re.compile(r"^(\*{0,2}[\w, ]+?): ", re.MULTILINE)


def parts(documented: Any) -> dict[str, str]:
    """The sections of a docstring by their names; what stands before the first one is ``text``."""
    pieces = SECTION.split(inspect.getdoc(documented) or "")
    sections = {name: textwrap.dedent(body).strip() for name, body in zip(pieces[1::2], pieces[2::2])}
    return {"text": pieces[0].strip(), **sections}


def entries(section: str) -> dict[str, str]:
    """The entries of a section of arguments, each on one line; several names may share one."""
    # Continuation lines are indented, so that an entry begins where a line is not.
    unfolded = re.sub(r"\n +", " ", section)
    found = [(match, line[match.end() :]) for line in unfolded.splitlines() if (match := ENTRY.match(line))]
    return {match[1]: meaning[:1].upper() + meaning[1:] for match, meaning in found}


def public(documented: Any) -> tuple[str, str]:
    """The public package or namespace that exports something, or else its module, and its name there."""
    package = ".".join(part for part in documented.__module__.split(".") if not part.startswith("_"))
    is_exported = hasattr(importlib.import_module(package), documented.__qualname__.split(".")[0])
    return package if is_exported else documented.__module__, documented.__qualname__


def undefined(code: str) -> list[str]:
    """The names that code reads and does not define."""
    tree, defined = ast.parse(code), set(dir(builtins))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    defined |= {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            defined.add(node.asname or node.name.split(".")[0])
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
    return sorted({node.id for node in names} - defined)


def example(documented: Any) -> str:
    """The code of an example with what it prints as comments, after the imports that its module has for it."""
    lines = []
    for each in doctest.DocTestParser().get_examples(parts(documented)["Example"]):
        lines.append(each.source.rstrip("\n"))
        lines += [f"# {line}" for line in each.want.splitlines()]
    code, namespace, imports = "\n".join(lines), inspect.getmodule(documented).__dict__, []
    for name in undefined(code):
        value = namespace[name]
        if inspect.ismodule(value):
            imports.append(f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}"))
        else:
            imports.append(f"from {public(value)[0]} import {name}")
    return "\n".join([*imports, code])


def summary(documented: Any) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join(parts(documented)["text"].split("\n\n")[0].split())


def linked(text: str) -> str:
    """Text whose arXiv identifiers are links."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5}(?:v\d+)?)", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def source(function: Any) -> str:
    """The source of a function without its docstring, and of the private functions of its module that it calls."""
    namespace = inspect.getmodule(function).__dict__
    called = [namespace[name] for name in function.__code__.co_names if name.startswith("_") and name in namespace]
    own = re.sub(r'\n +r?""".*?"""', "", textwrap.dedent(inspect.getsource(function)), count=1, flags=re.DOTALL)
    return "\n\n\n".join([own.rstrip(), *(source(each) for each in called if inspect.isfunction(each))])
