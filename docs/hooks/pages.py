"""Makes pages of files outside of ``docs/``.

These are a page for each public package, the notebooks with their outputs, the changelog and the guide for contributors.
"""

import html
import json
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _output(output: dict) -> str:
    """An output of a cell in Markdown: the richest of its forms."""
    if output["output_type"] == "stream":
        return f"``` {{ .text .output }}\n{_joined(output['text']).rstrip()}\n```\n"
    data = output.get("data", {})
    if "image/png" in data:
        code = "".join(_joined(data["image/png"]).split())
        return f'<img class="output" alt="figure" src="data:image/png;base64,{code}">\n'
    for kind in ("image/svg+xml", "text/html"):
        if kind in data:
            # one line: Markdown ends a block of HTML at an empty one; tables without the style of pandas get that of the site
            shown = re.sub(r"<style.*?</style>", "", " ".join(_joined(data[kind]).split()))
            plain = re.sub(r"<(table|tr)[^>]*>", r"<\1>", shown)
            return f'<div class="output">{plain}</div>\n'
    return f'<pre class="output">{html.escape(_joined(data.get("text/plain", "")))}</pre>\n'


def markdown(notebook: dict) -> str:
    """The Markdown of a notebook: its text, its code, and the outputs that it was saved with."""
    parts = []
    for cell in notebook["cells"]:
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts.append(f"```python\n{source}\n```")
            parts.extend(_output(output) for output in cell["outputs"])
    return "\n\n".join(parts) + "\n"


def public_modules() -> dict[str, list[str]]:
    """The public modules of metajax by their first part: those without an underscore anywhere in their name."""
    modules: dict[str, list[str]] = {}
    for path in sorted((ROOT / "metajax").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if len(parts) > 1 and parts[1] != "cli" and not any(part.startswith("_") for part in parts):
            modules.setdefault(parts[1], []).append(".".join(parts))
    return {first: sorted(names) for first, names in modules.items()}


def reference(names: list[str]) -> str:
    """The page of a package: the package itself, then its public modules."""
    # The methods of a space stand in private base classes.
    parts = [f"# {names[0]}\n\n::: {names[0]}\n    options:\n      inherited_members: true\n"]
    parts += [f"## {name}\n\n::: {name}\n    options:\n      heading_level: 3\n" for name in names[1:]]
    return "\n".join(parts)


def on_files(files, config):
    for first, names in public_modules().items():
        files.append(File.generated(config, f"api/{first}.md", content=reference(names)))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = markdown(json.loads(path.read_text(encoding="utf-8")))
        note = f"\n\n[Open it as a notebook]({path.name}): `jupyter lab notebooks/{path.name}`.\n"
        title, rest = text.split("\n", 1)
        files.append(File.generated(config, f"gallery/{path.stem}.md", content=title + note + rest))
        files.append(File.generated(config, f"gallery/{path.name}", abs_src_path=str(path)))
    for name in ("CHANGELOG", "CONTRIBUTING"):
        text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
        files.append(File.generated(config, f"project/{name.lower()}.md", content=text))
    return files
