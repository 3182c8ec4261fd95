"""A page for each method, made of what the code and the results say.

The mathematics, the paper, the arguments and what differs from the paper are those of a docstring; settings are those of the
recipe; the numbers are rows of the results. A page lists the methods of a family by ``{{ methods: FAMILY }}``,
and the settings of the few-shot methods by ``{{ settings: fewshot }}``. A method's name in code is made a link to its page.
"""

import inspect
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File

sys.path[:0] = [str(Path(__file__).parent)]

import docparts  # noqa: E402
import measured  # noqa: E402
from families import FAMILIES, Entry, valued  # noqa: E402

from metajax import fewshot  # noqa: E402


def arguments_of(documented) -> str:
    """A table of the arguments of a function or the fields of a class, with their defaults."""
    sections = docparts.parts(documented)
    defaults = {name: each.default for name, each in inspect.signature(documented).parameters.items()}
    shown = {inspect.Parameter.empty: "needed"}
    rows = ["| argument | default | what it is |", "|---|---|---|"]
    for name, meaning in docparts.entries(sections.get("Args") or sections.get("Attributes", "")).items():
        default = defaults.get(name, inspect.Parameter.empty)
        is_plain = isinstance(default, type | int | float | str | bool | tuple | None)
        text = shown.get(default, f"`{default!r}`") if is_plain else valued(default)
        rows.append(f"| `{name}` | {'' if name.startswith('*') else text} | {meaning} |")
    return "\n".join(rows) if len(rows) > 2 else ""


def page(family: str, entry: Entry) -> str:
    """The page of a method in Markdown."""
    sections = docparts.parts(entry.documented)
    function = entry.function or entry.documented
    arguments = arguments_of(function)
    found = measured.rows(entry.rows, measured.results(), entry.sections)
    parts = [
        f"# `{entry.name}`\n\n{sections['text']}",
        f"## Paper\n\n{entry.papers or 'None: it is a method of this project or of textbooks.'}",
        f"## What differs from the paper\n\n{entry.differs or 'Nothing that is known.'}" if entry.papers else "",
        f"## Use\n\n{entry.use}" if entry.use else "",
        f"## Settings\n\n{entry.settings or 'It has none.'}" if entry.settings or not arguments else "",
        f"## Arguments of `{'.'.join(docparts.public(function))}`\n\n{arguments}" if arguments else "",
        f"## Measured here\n\n{found or 'No result below `experiments/results/` is of this method.'}",
        f"## Example\n\n```{{ .python .slow }}\n{docparts.example(entry.documented)}\n```"
        if "Example" in sections
        else "",
        f"[Its family](../{family}.md) · [Choosing](../../choosing/{FAMILIES[family].choosing}.md) · "
        f"[API](../../api/{FAMILIES[family].package}.md)",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def pages() -> dict[str, str]:
    """All pages by their addresses below ``docs/``."""
    return {
        f"methods/{name}/{entry.file}": page(name, entry)
        for name, family in FAMILIES.items()
        for entry in family.entries()
    }


def listed(name: str, at: str) -> str:
    """A table of the methods of a family, with links from the page at an address."""
    rows = ["| method | what it does | paper |", "|---|---|---|"]
    for entry in FAMILIES[name].entries():
        papers = "; ".join(dict.fromkeys(re.findall(r"\[arXiv:[^)]*\)", entry.papers))) or "–"
        link = f"[`{entry.name}`]({_way(at, f'methods/{name}/{entry.file}')})"
        rows.append(f"| {link} | {docparts.summary(entry.documented)} | {papers} |")
    return "\n".join(rows)


def _way(at: str, to: str) -> str:
    """The relative address of a page for the page at an address."""
    return "../" * at.count("/") + to


def on_config(config):
    for item in next(each["Methods"] for each in config["nav"] if "Methods" in each):
        if isinstance(item, dict):
            ((title, intro),) = item.items()
            if (name := Path(intro).stem) in FAMILIES:
                own = [{entry.name: f"methods/{name}/{entry.file}"} for entry in FAMILIES[name].entries()]
                item[title] = [intro, *own]
    return config


def on_files(files, config):
    for address, text in pages().items():
        files.append(File.generated(config, address, content=text))
    return files


def side_by_side() -> str:
    """The settings of all few-shot methods for tasks of five ways."""
    rows = [
        "| method | inner rate | steps: training, test | tasks | train ways | options |",
        "|---|---|---|---|---|---|",
    ]
    for name, recipe in ((name, recipe.for_ways(5)) for name, recipe in fewshot.METHODS.items()):
        steps = f"{recipe.inner_steps}, {recipe.test_steps}" if recipe.test_steps else "none"
        cells = (f"`{name}`", valued(recipe.inner_rate or None), steps, recipe.tasks, recipe.train_ways)
        rows.append(f"| {' | '.join(map(str, cells))} | {valued(recipe.options)} |")
    return "\n".join(rows)


def crossed(markdown: str, address: str) -> str:
    """A page's text in which methods in code, such as ``search.Certify(seconds=10)``, are links to their pages."""
    folder, name = Path(address).parent.name, Path(address).stem
    families = [key for key, each in FAMILIES.items() if name == (each.choosing if folder == "choosing" else key)]
    ways = {each.name: f"methods/{key}/{each.file}" for key in families for each in FAMILIES[key].entries()}

    def link(match: re.Match[str]) -> str:
        called = match[1].split("(")[0]
        names = [
            called,
            called.removeprefix("predictor."),
            called.removeprefix("search."),
            called.removeprefix("bilevel."),
            called.removeprefix("hpo."),
        ]
        known = next((each for each in names if each in ways), None)
        return f"[{match[0]}]({_way(address, ways[known])})" if known else match[0]

    text = re.split(r"(^```.*?^```|^#[^\n]*$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if i % 2 else re.sub(r"(?<!\[)`([^`\n]+)`", link, part) for i, part in enumerate(text))


def on_page_markdown(markdown, page, config, files):
    address = page.file.src_uri
    markdown = markdown.replace("{{ settings: fewshot }}", side_by_side())
    markdown = re.sub(r"\{\{ methods: (\w+) \}\}", lambda match: listed(match[1], address), markdown)
    is_ours = address.count("/") == 1 and address.startswith(("methods/", "choosing/"))
    return crossed(markdown, address) if is_ours else markdown
