"""Configs are frozen dataclasses. This module turns one into a command line and into JSON."""

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from metajax.types import InputError

C = TypeVar("C")


class Options(NamedTuple):
    """Where a run is written, and what to do if a run is there already.

    Attributes:
        out: The run directory.
        resume: Whether to continue the run in it.
        overwrite: Whether to replace the run in it.
    """

    out: str
    resume: bool = False
    overwrite: bool = False


class OneLineParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose errors are one line and exit status 2. It takes the arguments of ``ArgumentParser``.

    Example:
        >>> OneLineParser(prog="demo").parse_args(["--help-me"])
        Traceback (most recent call last):
        ...
        SystemExit: 2
    """

    def error(self, message: str) -> typing.NoReturn:
        """Prints one line and exits with status 2.

        Args:
            message: What is wrong.
        """
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def parse(
    config_class: type[C],
    presets: Mapping[str, Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]]],
    argv: Sequence[str] | None = None,
    description: str | None = None,
    prog: str | None = None,
    default_out: str = "runs/run",
) -> tuple[C, Options]:
    """Reads a config and the run options from a command line.

    Every field of the dataclass is a flag (``--inner_steps 5`` or ``--inner-steps 5``). A flag overrides the preset, and the
    preset overrides the default of the field. ``--preset``, ``--out``, ``--resume`` and ``--overwrite`` always exist.

    Args:
        config_class: A frozen dataclass with fields of type int, float, str, bool or ``T | None`` of those.
        presets: Name -> the values that the preset changes, or a function from the values of the command line to them. The
            first is the default.
        argv: The arguments; ``None`` takes those of the process.
        description: The text of ``--help``.
        prog: The name of the program.
        default_out: The run directory without ``--out``.

    Returns:
        The config and the options.

    Raises:
        SystemExit: With status 2 after one line, if an argument is wrong.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Config:
        ...     steps: int = 100
        ...     rate: float = 0.1
        >>> config, options = parse(Config, {"quick": {"steps": 5}}, ["--rate", "0.5", "--out", "runs/a"])
        >>> config.steps, config.rate, options.out
        (5, 0.5, 'runs/a')
    """
    parser = OneLineParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    names = list(presets)
    if names:
        parser.add_argument("--preset", choices=names, default=names[0], help=f"default: {names[0]}")
    parser.add_argument("--out", default=default_out, help=f"the run directory (default: {default_out})")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in --out")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    fields, hints = dataclasses.fields(config_class), typing.get_type_hints(config_class)  # type: ignore[arg-type]
    for field in fields:
        flags = list(dict.fromkeys([f"--{field.name.replace('_', '-')}", f"--{field.name}"]))
        kind = _reader(hints[field.name])
        parser.add_argument(
            *flags, dest=field.name, type=kind, default=argparse.SUPPRESS, metavar=kind.__name__.upper()
        )
    flags = vars(parser.parse_args(argv))
    options = Options(flags.pop("out"), flags.pop("resume"), flags.pop("overwrite"))
    if options.resume and options.overwrite:
        parser.error("--resume and --overwrite exclude each other")
    preset = presets.get(flags.pop("preset", ""), {})
    try:
        values = {**(preset if isinstance(preset, Mapping) else preset(flags)), **flags}
        return config_class(**values), options
    except InputError as error:  # of the __post_init__ of the dataclass
        parser.error(str(error))


def _reader(hint: Any) -> Any:
    """Returns the function that reads a value of this type from text."""
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType) and type(None) in arguments:
        (inner,) = [a for a in arguments if a is not type(None)]
        read = _reader(inner)

        def optional(text: str):
            return None if text.lower() == "none" else read(text)

        optional.__name__ = getattr(read, "__name__", "value")
        return optional
    if hint is bool:

        def boolean(text: str) -> bool:
            if text.lower() not in ("true", "false"):
                raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
            return text.lower() == "true"

        return boolean
    if hint in (int, float, str):
        return hint
    raise TypeError(f"config: fields of type {hint} have no command-line form; use int, float, str, bool or T | None")


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
