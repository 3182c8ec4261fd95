"""Configs are frozen dataclasses; this turns one into a command line and into JSON."""

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from metajax.types import InputError

C = TypeVar("C")


class Options(NamedTuple):
    """Where a run is written, and what to do if something is there already."""

    out: str
    resume: bool = False
    overwrite: bool = False


class OneLineParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose errors are one line and exit status 2."""

    def error(self, message: str) -> typing.NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def parse(
    config_class: type[C],
    presets: Mapping[str, Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]]],
    argv: Sequence[str] | None = None,
    description: str | None = None,
    prog: str | None = None,
    default_out: str = "runs/run",
) -> tuple[C, Options]:
    """A config and the run options from a command line.

    Every field of the dataclass is a flag (``--inner_steps 5`` or ``--inner-steps 5``) and overrides the preset, which
    overrides the field's default. ``--preset``, ``--out``, ``--resume`` and ``--overwrite`` are always there.

    Args:
        config_class: a frozen dataclass with fields of type int, float, str, bool or ``T | None`` of those.
        presets: name -> values that it changes, or a function to them from what the command line gives; the first is
            the default.
        argv: the arguments; ``None`` takes the process's.

    Raises:
        SystemExit: with status 2 and one line on a bad argument.
    """
    parser = OneLineParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    names = list(presets)
    if names:
        parser.add_argument("--preset", choices=names, default=names[0], help=f"default: {names[0]}")
    parser.add_argument("--out", default=default_out, help=f"the run directory (default: {default_out})")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    fields, hints = dataclasses.fields(config_class), typing.get_type_hints(config_class)  # type: ignore[arg-type]
    for field in fields:
        flags = list(dict.fromkeys([f"--{field.name.replace('_', '-')}", f"--{field.name}"]))
        kind = _reader(hints[field.name])
        parser.add_argument(
            *flags, dest=field.name, type=kind, default=argparse.SUPPRESS, metavar=kind.__name__.upper()
        )
    given = vars(parser.parse_args(argv))
    options = Options(given.pop("out"), given.pop("resume"), given.pop("overwrite"))
    if options.resume and options.overwrite:
        parser.error("--resume and --overwrite exclude each other")
    preset = presets.get(given.pop("preset", ""), {})
    try:
        values = {**(preset if isinstance(preset, Mapping) else preset(given)), **given}
        return config_class(**values), options
    except InputError as error:  # a dataclass may check itself in __post_init__
        parser.error(str(error))


def _reader(hint: Any) -> Any:
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
    """The config as a plain dictionary, as written to ``config.json``."""
    return dataclasses.asdict(config)
