"""Command-line flags from a config dataclass, by tyro: names, types, defaults, choices and help come from its fields."""

import contextlib
import dataclasses
import io
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, TypeVar

import tyro

from metajax.types import InputError

C = TypeVar("C")
Preset = Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]]
"""The values that a preset sets, or a function to them from the values that the command line gives."""


class Options(NamedTuple):
    """Where a run is written, and what happens if a run is there already."""

    out: str
    resume: bool = False
    overwrite: bool = False


def parse(
    config: type[C],
    presets: Mapping[str, Preset],
    argv: Sequence[str] | None,
    prog: str,
    description: str = "",
    out: str = "",
) -> tuple[C, Options]:
    """Returns the config of an experiment and the options of its run.

    Every field of the config is a flag (``--warm-up`` and ``--warm_up`` are the same). A flag wins over the preset, and the
    preset wins over the default of the field.

    Args:
        config: A frozen dataclass. It may check its values and raise ``InputError``.
        presets: The first one is the default.
        argv: The arguments. ``None`` takes those of the process.
        prog: The name of the experiment.
        description: The text above the flags in ``--help``.
        out: The default run directory; ``runs/<prog>`` if it is empty.

    Raises:
        SystemExit: With status 2 and one line on standard error, if an argument is bad.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parsed = command_line(_command(config, presets, out or f"runs/{prog}"), arguments, prog, description)
    options = Options(parsed.run.out, parsed.run.resume, parsed.run.overwrite)
    if options.resume and options.overwrite:
        fail(prog, "--resume and --overwrite exclude each other")
    flag_values = {name: getattr(parsed.experiment, name) for name in _fields_with_flags(config, arguments)}
    preset = presets[parsed.run.preset] if presets else {}
    try:
        values = preset if isinstance(preset, Mapping) else preset(flag_values)
        return config(**{**values, **flag_values}), options
    except InputError as error:
        fail(prog, str(error))


def command_line(parameters: type[C], argv: Sequence[str] | None, prog: str, description: str = "") -> C:
    """Returns an instance of a dataclass whose fields are the flags of a command; errors are one line and status 2."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                parameters,
                prog=prog,
                description=textwrap.dedent(description),
                args=argv,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if stop.code:
            fail(prog, _one_line(printed.getvalue()))
        raise


def by_argument(parameters: type) -> dict[str, str]:
    """Returns the flags of a command by the arguments that they set, for ``run.main``.

    Args:
        parameters: The dataclass whose fields are flags.

    Example:
        >>> by_argument(dataclasses.make_dataclass("Config", ["warm_up"]))["warm_up"]
        '--warm-up'
    """
    names = [*(field.name for field in dataclasses.fields(parameters)), *Options._fields]
    return {"path": "--out", **{name: f"--{name.replace('_', '-')}" for name in names}}


def fail(prog: str, message: str) -> NoReturn:
    """Ends the process with one line and status 2.

    Raises:
        SystemExit: Always.
    """
    print(f"{prog}: {message} (see --help)", file=sys.stderr)
    raise SystemExit(2)


def _command(config: type, presets: Mapping[str, Preset], out: str) -> Any:
    """The dataclass of a command: the options of the run, and the settings without the checks of the config.

    The settings are checked later, when the values of the preset are known.
    """
    unchecked = type(config.__name__, (config,), {"__post_init__": lambda self: None, "__doc__": config.__doc__})
    unchecked = dataclasses.dataclass(frozen=True)(unchecked)
    helped = lambda kind, text: Annotated[kind, tyro.conf.arg(help=text)]
    switch = lambda text: Annotated[bool, tyro.conf.arg(help=text), tyro.conf.FlagCreatePairsOff]
    fields: list[Any] = []
    if presets:
        names = tuple(presets)
        kind = helped(Literal[names], "The named settings. A flag wins over its preset.")
        fields.append(("preset", kind, dataclasses.field(default=names[0])))
    fields += [
        ("out", helped(str, "The run directory."), dataclasses.field(default=out)),
        ("resume", switch("Go on from the last checkpoint in the run directory."), dataclasses.field(default=False)),
        ("overwrite", switch("Replace the run in the run directory."), dataclasses.field(default=False)),
    ]
    run = dataclasses.make_dataclass("Run", fields, frozen=True)
    return dataclasses.make_dataclass("Command", [("run", run), ("experiment", unchecked)], frozen=True)


def _fields_with_flags(config: type, arguments: Sequence[str]) -> list[str]:
    """The fields whose flags are among the arguments.

    Example:
        >>> @dataclasses.dataclass
        ... class Config:
        ...     warm_up: float = 0.0
        ...     pool: bool = False
        ...     seed: int = 0
        >>> _fields_with_flags(Config, ["--warm-up", "0.1", "--no-pool"])
        ['warm_up', 'pool']
    """
    flags = {word.split("=")[0].removeprefix("--").replace("-", "_") for word in arguments if word.startswith("--")}
    return [f.name for f in dataclasses.fields(config) if {f.name, f"no_{f.name}"} & flags]


def _one_line(box: str) -> str:
    """The message of an error that tyro prints in a box, which may have several lines.

    Example:
        >>> print(_one_line("╭─ Error ─╮\\n│ --seed:   │\\n│ no number │\\n│ ───────── │\\n│ See help  │"))
        --seed: no number
    """
    rows = [line.strip("│ \n") for line in box.splitlines()[1:]]
    end = next((i for i, row in enumerate(rows) if row.startswith("──")), len(rows))
    return " ".join(row for row in rows[:end] if row)
