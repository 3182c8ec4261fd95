"""Extensions of Griffe, which reads the sources for the pages of the API."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """A section ``Example:`` is shown as code, as Griffe shows ``Examples:``."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)


class Values(griffe.Extension):
    """The value of a constant is shown if it fits into a line: a table of methods does not."""

    def on_attribute(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        if len(str(attr.value or "")) > 100:
            attr.value = None
