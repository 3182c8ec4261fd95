"""Command lines whose errors are one line, and configs as JSON."""

import argparse
import dataclasses
from typing import Any, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose errors are one line and exit status 2. It takes the arguments of ``ArgumentParser``.

    Example:
        >>> OneLineParser(prog="demo").parse_args(["--help-me"])
        Traceback (most recent call last):
        ...
        SystemExit: 2
    """

    def error(self, message: str) -> NoReturn:
        """Prints one line and exits with status 2.

        Args:
            message: What is wrong.
        """
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def to_dict(config: Any) -> dict[str, Any]:
    """Returns a config as the plain dictionary that ``config.json`` holds.

    Args:
        config: A dataclass instance.

    Returns:
        Its fields by name.

    Example:
        >>> to_dict(dataclasses.make_dataclass("Config", ["steps"])(5))
        {'steps': 5}
    """
    return dataclasses.asdict(config)
