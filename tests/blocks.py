"""The Python blocks of a Markdown page, executed in order in one namespace.

The info string of a block may have classes, as in ``{ .python .slow }``:

* ``slow``: the block takes long; only the slow tests execute it.
* ``needs-NAME``: the block needs the package NAME, and is skipped where that is not installed.
* ``raises``: the block shows an error. It must raise one, and the last line of the text block that follows begins with its
  type.
"""

import contextlib
import importlib.util
import io
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, its further classes, its text, and the line at which the text begins."""

    language: str
    classes: frozenset[str]
    code: str
    line: int

    @property
    def missing(self) -> list[str]:
        """The packages that the block needs and that are not installed."""
        needed = [name.removeprefix("needs-") for name in self.classes if name.startswith("needs-")]
        return [name for name in needed if importlib.util.find_spec(name) is None]


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    text = page.read_text()
    result = []
    for match in FENCE.finditer(text):
        words = match["info"].strip(" {}").replace(".", " ").split()
        language, classes = (words[0], frozenset(words[1:])) if words else ("", frozenset())
        line = text[: match.start()].count("\n") + 2
        result.append(Block(language, classes, textwrap.dedent(match["code"]), line))
    return result


def python_blocks(page: Path) -> list[Block]:
    """The Python blocks of a page."""
    return [block for block in blocks(page) if block.language in ("python", "py")]


def execute(page: Path, slow: bool) -> tuple[int, list[str]]:
    """Executes the blocks of a page.

    Args:
        page: the Markdown file.
        slow: whether to execute the blocks that take long, too. A block after a slow one that needs its names is slow, too.

    Returns:
        The number of executed blocks, and the reasons for which others were skipped.
    """
    namespace: dict = {"__name__": page.stem}
    executed, skipped = 0, []
    for block in python_blocks(page):
        if "slow" in block.classes and not slow:
            skipped.append(f"line {block.line}: slow")
        elif block.missing:
            skipped.append(f"line {block.line}: needs {', '.join(block.missing)}")
        else:
            # newlines before the code, so that a traceback shows the line of the page
            code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")
            with contextlib.redirect_stdout(io.StringIO()):
                if "raises" in block.classes:
                    _raises(code, namespace, page, block)
                else:
                    exec(code, namespace)
            executed += 1
    return executed, skipped


def _raises(code, namespace: dict, page: Path, block: Block) -> None:
    """Executes a block that must raise the error that the next text block names."""
    following = next(b for b in blocks(page) if b.line > block.line)
    shown = following.code.strip().splitlines()[-1]
    raised = "nothing"
    try:
        exec(code, namespace)
    except Exception as error:
        raised = type(error).__name__
    assert shown.startswith(raised), f"{page.name}:{block.line} raised {raised}, not {shown!r}"
