"""The command line: ``metajax search | worker | schema | predict | export | resume | show | quickstart``."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metajax.types import InputError

_LOG = "a tracker that metrics are sent to: tensorboard, wandb, mlflow or trackio"
_STORAGE = "sqlite:///FILE, postgresql://HOST/DATABASE, mysql://HOST/DATABASE, journal:FILE or grpc://HOST:PORT"
QUICKSTART_MINUTES = 3.0
"""The budget of ``metajax quickstart``."""


def _parser() -> argparse.ArgumentParser:
    from metajax import __version__
    from metajax.run import OneLineParser

    parser = OneLineParser(prog="metajax", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"metajax {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=OneLineParser)

    _add_search(commands)
    quickstart = commands.add_parser("quickstart", help="search on scikit-learn's digits", allow_abbrev=False)
    _add_run_flags(quickstart, "runs/quickstart", f"{QUICKSTART_MINUTES:g} minutes, unless --trials is given")
    _add_worker(commands)
    _add_schema(commands)
    _add_predict(commands)
    _add_export(commands)
    for name, text in (("show", "print what a run found"), ("resume", "continue a stopped search")):
        command = commands.add_parser(name, help=text, allow_abbrev=False)
        command.add_argument("run", help="the run directory")
        if name == "resume":
            command.add_argument("--log", help=_LOG)
            command.add_argument("--storage", help="the URL of its storage, if that has a password")
    return parser


def _add_search(commands: Any) -> None:
    """Adds ``metajax search``."""
    search = commands.add_parser("search", help="find a model for a dataset", allow_abbrev=False)
    search.add_argument(
        "--data",
        required=True,
        help="digits, iris, wine, breast_cancer, diabetes, a CSV, Parquet, Feather or .npz file, or a folder of images",
    )
    search.add_argument("--target", help="the column to predict (tables)")
    search.add_argument("--test", help="a table whose rows are the test (default: a fifth of the rows is held back)")
    search.add_argument("--group", help="a column: rows with the same value are on the same side of every split")
    search.add_argument("--time", help="a column of dates or numbers: the rows that come last are the test")
    search.add_argument("--weight", help="a column that says how much each row counts")
    search.add_argument("--folds", type=int, help="number of folds (default: 5, or one split of a large table)")
    search.add_argument("--schema", help="an edited schema by which the table is read (default: it is inferred)")
    search.add_argument("--task", help="classification or regression (default: judged by the target)")
    search.add_argument("--size", type=int, help="side in pixels to which images are resized (folders)")
    search.add_argument("--storage", help=f"share the trials with workers (tables): {_STORAGE}")
    search.add_argument("--study", help="the name of the study in --storage (default: the name of the data)")
    _add_run_flags(search, "runs/search")


def _add_worker(commands: Any) -> None:
    """Adds ``metajax worker``."""
    worker = commands.add_parser("worker", help="train trials of a search that has a storage", allow_abbrev=False)
    worker.add_argument("storage", help=_STORAGE)
    worker.add_argument("study", help="the name of the study, which the search prints")
    worker.add_argument("--data", help="the path of the data on this machine (default: that of the search)")
    worker.add_argument("--test", help="the path of the test rows on this machine (default: that of the search)")
    worker.add_argument("--schema", help="the path of the schema on this machine (default: that of the search)")
    worker.add_argument("--minutes", type=float, help="end after this time (default: the minutes of the search)")


def _add_schema(commands: Any) -> None:
    """Adds ``metajax schema``."""
    schema = commands.add_parser("schema", help="print how a table is read", allow_abbrev=False)
    schema.add_argument("--data", required=True, help="a CSV, Parquet, Feather or .npz file")
    schema.add_argument("--target", help="the column to predict")
    schema.add_argument("--task", help="classification or regression (default: judged by the target)")
    schema.add_argument("--out", help="the JSON to write, to be edited and given to `metajax search --schema`")


def _add_predict(commands: Any) -> None:
    """Adds ``metajax predict``."""
    predict = commands.add_parser("predict", help="apply a found model to new rows", allow_abbrev=False)
    predict.add_argument("run", help="the run directory of a finished search")
    predict.add_argument(
        "--data", required=True, help="a table with the columns of the training data, an .npz with x, or a folder"
    )
    predict.add_argument("--out", help="the CSV to write (default: standard output)")


def _add_export(commands: Any) -> None:
    """Adds ``metajax export``."""
    export = commands.add_parser(
        "export", help="write a found model as a folder that predicts without metajax", allow_abbrev=False
    )
    export.add_argument("run", help="the run directory of a finished search")
    export.add_argument("--out", required=True, help="the folder to write: a program, a loader and a model card")


def _add_run_flags(parser: argparse.ArgumentParser, out: str, minutes: str = "none") -> None:
    """Adds the flags that every command has which searches."""
    parser.add_argument("--minutes", type=float, help=f"budget of wall time (default: {minutes})")
    parser.add_argument(
        "--trials",
        type=int,
        help="number of configurations that the search tries (default: 192, or no limit with --minutes)",
    )
    parser.add_argument(
        "--method",
        default="metalearner",
        help="what proposes the models: metalearner (default), random, optuna (its TPE), defaults (none), supernet (images)",
    )
    parser.add_argument("--metric", help="what is maximized, by scikit-learn's name (default: roc_auc, accuracy or r2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data split and of all randomness (default: 0)")
    parser.add_argument(
        "--no-baseline", action="store_true", help="do not try as many random configurations for comparison"
    )
    parser.add_argument("--log", help=_LOG)
    parser.add_argument("--out", default=out, help=f"the run directory (default: {out})")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")


def _search(
    fields: dict[str, Any],
    out: str,
    resume: bool,
    overwrite: bool,
    log: str | None = None,
    storage: str | None = None,
    study: str | None = None,
) -> None:
    """Searches, or continues a search, and prints what was found."""
    start_time = time.perf_counter()  # loading libraries counts, too
    from metajax import automl
    from metajax._compiled import compile_quickly
    from metajax.automl._load import identify, load_data
    from metajax.automl._requirements import check_requirements
    from metajax.automl._settings import is_quick
    from metajax.automl.models._threads import wait_passively
    from metajax.integrations import tracker
    from metajax.run import RunDirectory, to_dict

    if resume and overwrite:
        raise InputError("resume=True and overwrite=True exclude each other")
    config = automl.Config(**fields)
    check_requirements(config)
    shared = _shared_study(storage, study, config.data, out, resume)
    writers = [] if log is None else [tracker(log, out, to_dict(config))]
    wait_passively()
    if is_quick(config.minutes):
        compile_quickly()
    path = Path(config.data)
    if path.suffix or path.is_dir():
        fields = {**fields, "data": str(path.resolve())}
    fields |= {name: str(Path(fields[name]).resolve()) for name in ("schema", "test") if fields.get(name) is not None}
    config = automl.Config(**fields)
    loaded = load_data(config)  # before anything is written
    identity = identify(loaded)
    if shared is not None:
        shared.check(config, identity)
    with RunDirectory(out, to_dict(config), resume, overwrite, identity, writers) as directory:
        if directory.result is None:
            if shared is not None:
                shared.remember(directory.path)
            automl.search(config, directory, loaded, started=start_time, shared=shared)
        _show(directory.path)


def _shared_study(storage: str | None, study: str | None, data: str, out: str, resume: bool) -> Any:
    """Opens the storage of a search, that of the run where one is resumed; returns ``None`` for a search without one."""
    from metajax._optional import check_installed

    if study is not None and storage is None and not resume:
        raise InputError(f"study={study!r}: needs a storage; pass storage=URL as well")
    record = Path(out) / "storage.json"
    if storage is None and not (resume and record.is_file()):
        return None
    check_installed("storage:", "optuna")
    from metajax.integrations import workers

    if resume:
        return workers.SharedStudy.of_run(record, storage, study)
    assert storage is not None
    return workers.SharedStudy(storage, study or Path(data).stem)


def _work(arguments: argparse.Namespace) -> None:
    """Trains trials of a search that has a storage."""
    from metajax._optional import check_installed
    from metajax.automl.models._threads import wait_passively

    check_installed("worker:", "optuna")
    wait_passively()
    from metajax.integrations import workers

    paths = [getattr(arguments, name) for name in ("data", "test", "schema")]
    paths = [str(Path(path).resolve()) if path is not None and Path(path).exists() else path for path in paths]
    workers.work(arguments.storage, arguments.study, *paths, minutes=arguments.minutes)


def _run_options(arguments: argparse.Namespace) -> tuple[Any, ...]:
    """Returns the arguments of a search that say where it is kept and sent."""
    study = (getattr(arguments, name, None) for name in ("storage", "study"))
    return arguments.out, arguments.resume, arguments.overwrite, arguments.log, *study


def _fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of ``automl.Config``."""
    return {
        "data": getattr(arguments, "data", "digits"),
        "target": getattr(arguments, "target", None),
        "task": getattr(arguments, "task", None),
        "metric": arguments.metric,
        "method": arguments.method,
        "minutes": arguments.minutes,
        "trials": arguments.trials,
        "baseline": not arguments.no_baseline,
        "seed": arguments.seed,
        "size": getattr(arguments, "size", None),
        "schema": getattr(arguments, "schema", None),
        **{name: getattr(arguments, name, None) for name in ("test", "group", "time", "weight", "folds")},
    }


def _with_quickstart_budget(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the same arguments, with the quickstart's budget if none was asked for."""
    unlimited = fields["minutes"] is None and fields["trials"] is None
    return {**fields, "minutes": QUICKSTART_MINUTES} if unlimited else fields


def _read_config(run: str) -> dict[str, Any]:
    """Returns the config of a run."""
    from metajax.run import read_json

    path = Path(run) / "config.json"
    if not path.is_file():
        raise InputError(f"{run}: is not a run directory (no config.json)")
    return read_json(path)


def _resume(run: str, log: str | None, storage: str | None) -> None:
    """Continues a search with its own settings."""
    from metajax import automl

    fields = _read_config(run)
    try:
        automl.Config(**fields)
    except TypeError:
        raise InputError(f"{run}: is not a search; an experiment is resumed by its own --resume") from None
    _search(fields, run, resume=True, overwrite=False, log=log, storage=storage)


def _show(run: Path | str) -> None:
    """Prints what a run found, or how far it is."""
    from metajax.run import read_json

    fields = _read_config(str(run))
    path = Path(run) / "result.json"
    if not path.is_file():
        metrics_file = Path(run) / "metrics.jsonl"
        lines = metrics_file.read_text(encoding="utf-8").splitlines() if metrics_file.is_file() else []
        print(f"{run}: not finished, {len(lines)} lines of metrics; `metajax resume {run}` goes on with a search")
        print("\n".join(lines[-3:]))
        return
    result = read_json(path)
    metrics = result["metrics"]
    if "found" not in result or "data" not in fields:
        print(json.dumps(result, indent=2))
        return
    name = result["metric"]
    format_score = (lambda v: f"{100 * v:.2f}%") if name == "accuracy" else (lambda v: f"{v:.4f}")
    if "verdict" in result:  # runs of earlier versions have none
        print(result["verdict"])
    print(f"found: {', '.join(f'{k}={_format_value(v)}' for k, v in result['found'].items())}")
    line = [f"test {name}: found {format_score(metrics[f'test_{name}'])}"]
    if f"test_{name}_low" in metrics:  # runs of earlier versions have no interval
        line[0] += f" ({format_score(metrics[f'test_{name}_low'])} to {format_score(metrics[f'test_{name}_high'])})"
    if f"default_test_{name}" in metrics:
        line.append(f"default {format_score(metrics[f'default_test_{name}'])}")
    if f"random_test_{name}" in metrics:
        n_random = metrics["configurations_tried_random"]
        line.append(f"best of {n_random} at random {format_score(metrics[f'random_test_{name}'])}")
    print(", ".join(line))
    print(
        f"{metrics['configurations_tried']} configurations tried of 10^{metrics['log10_space']:.0f}, "
        f"{metrics['models_trained']} models trained, {metrics['models_failed']} failed, {metrics['seconds']:.0f} s in all"
    )
    print(result["protocol"])
    print(f"written to {run}: report.html, model.json, model.npz, trials.csv, result.json")


def _format_value(value: Any) -> str:
    """Returns a value of a configuration in a few characters."""
    if isinstance(value, list):
        return f"{len(value)} features"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _schema(data: str, target: str | None, task: str | None, out: str | None) -> None:
    """Prints how a table is read, and writes it as JSON."""
    from metajax.data import tabular
    from metajax.run import write_text

    schema = tabular.load(data, target, task).schema
    assert schema is not None
    print(schema)
    if out is not None:
        if Path(out).exists():
            raise InputError(f"--out {out}: already exists; choose a new file")
        write_text(Path(out), schema.to_json())
        print(f"written to {out}; edit it and give it to `metajax search --schema {out}`")


def _predict(run: str, data: str, out: str | None) -> None:
    """Writes the predictions of a finished search for new rows or images."""
    from metajax import automl
    from metajax.automl.models._threads import wait_passively
    from metajax.data import tabular
    from metajax.data._pictures import pixels
    from metajax.run import write_text
    from metajax.run._files import usable

    if out is not None and Path(out).exists():
        raise InputError(f"out={out!r}: already exists; choose a new file")
    wait_passively()
    model = automl.load_model(run)
    pd = tabular.pandas()
    if isinstance(model, automl.FittedModel):
        rows = tabular.read_rows(data)
        for surprise in model.encoder.schema.surprises(rows):
            print(f"Note: {surprise}.", file=sys.stderr)
        labels, probabilities = model.predict(rows)
        classes = model.encoder.classes or []
    else:
        labels, probabilities = model.predict(pixels(data, _read_config(run).get("size")))
        classes = model.classes
    frame = pd.DataFrame({"prediction": labels})
    if probabilities is not None:
        for i, label in enumerate(classes):
            frame[f"p({label})"] = probabilities[:, i].round(6)
    if out is None:
        frame.to_csv(sys.stdout, index=False)
    else:
        with usable("out", out):
            write_text(Path(out), frame.to_csv(index=False))
        print(f"{len(frame)} predictions written to {out}")


def _export(run: str, out: str) -> None:
    """Writes the model of a finished search as a folder that predicts without this library."""
    from metajax import automl

    automl.load_model(run).export(out, run)
    print(f"written to {out}: {', '.join(sorted(path.name for path in Path(out).iterdir()))}")
    print(f"`python {Path(out) / 'load.py'} DATA` predicts where metajax is not installed")


def _flags(arguments: argparse.Namespace) -> dict[str, str]:
    """Returns the flags of a command by the arguments of the library that they set."""
    positional = ("command", "run", *(("storage", "study") if arguments.command == "worker" else ()))
    flags = {name: f"--{name.replace('_', '-')}" for name in vars(arguments) if name not in positional}
    return {**flags, "path": flags.get("out", "run")}  # `path` is the argument of RunDirectory


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: The arguments; ``None`` takes those of the process.

    Returns:
        The exit status: 0, or 2 after one line for bad input.

    Example:
        >>> main(["show", "no-such-run"])
        2
    """
    from metajax import run

    arguments = _parser().parse_args(argv)
    commands: dict[str, Callable[[], None]] = {
        "search": lambda: _search(_fields(arguments), *_run_options(arguments)),
        "quickstart": lambda: _search(_with_quickstart_budget(_fields(arguments)), *_run_options(arguments)),
        "schema": lambda: _schema(arguments.data, arguments.target, arguments.task, arguments.out),
        "predict": lambda: _predict(arguments.run, arguments.data, arguments.out),
        "export": lambda: _export(arguments.run, arguments.out),
        "show": lambda: _show(arguments.run),
        "resume": lambda: _resume(arguments.run, arguments.log, arguments.storage),
        "worker": lambda: _work(arguments),
    }
    return run.main(commands[arguments.command], _flags(arguments))


if __name__ == "__main__":
    sys.exit(main())
