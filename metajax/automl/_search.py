"""The main job: read the data, search, and report."""

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metajax._optional import is_installed
from metajax.automl import _bags as bags
from metajax.automl._explore import Exploration, explore, start
from metajax.automl._image_model import ImageModel
from metajax.automl._images import image_task
from metajax.automl._load import Dataset, Loaded, identify, load_data, of_data
from metajax.automl._model import FittedModel
from metajax.automl._prepare import describe_data
from metajax.automl._recorder import Callback, Recorder
from metajax.automl._requirements import check_requirements
from metajax.automl._result import SearchOutcome, finish
from metajax.automl._selection import select
from metajax.automl._settings import Config
from metajax.automl._shared import SharedTrials, explore_shared
from metajax.automl._tables import load_task
from metajax.automl._task import Task
from metajax.automl._timing import ENDING_SECONDS
from metajax.automl._waves import Stopped
from metajax.automl.models import ModelType
from metajax.automl.models._installed import BUILT_IN
from metajax.data import tabular
from metajax.data.schema._show import listed
from metajax.run import Interrupted, RunDirectory, Watch, read_json, write_text
from metajax.run._identity import short_digest


class _Described(NamedTuple):
    """A task, and its dataset in a few plain values for the report."""

    task: Task
    data: dict[str, Any]


def _make_task(
    loaded: Loaded, config: Config, directory: RunDirectory, model_types: Sequence[ModelType] | None
) -> _Described:
    """Splits and encodes a dataset; the schema of a table is written."""
    dataset, test = loaded
    if isinstance(dataset, tabular.Dataset):
        task, prepared = load_task(dataset, test, config, model_types)
        write_text(directory.path / "schema.json", prepared.encoder.schema.to_json())
        return _Described(task, describe_data(dataset, prepared))
    task, rows, shape, notes = image_task(dataset, config.seed, config.metric)
    data = {
        "target": "label",
        "task": "classification",
        "classes": len(dataset.classes),
        "labels": list(dataset.classes),
        "features": math.prod(shape),
        "inputs": list(shape),
        "rows": dict(zip(("learned", "test"), rows)),
        "folds": len(task.folds),
        "notes": notes,
    }
    return _Described(task, data)


def search(
    config: Config,
    directory: RunDirectory,
    dataset: Dataset | Loaded | None = None,
    show: bool = True,
    model_types: Sequence[ModelType] | None = None,
    callbacks: Sequence[Callback] = (),
    started: float | None = None,
    shared: SharedTrials | None = None,
) -> SearchOutcome:
    """Searches a model for a dataset, in a run directory.

    The search tries the default of every model type and random configurations on one split of the rows, trains promising ones
    on every fold, fits a meta-learner to all, tries what that proposes, and repeats until the trials or the minutes are spent.
    The model is an ensemble that is picked by what the trainings of the folds predict for the rows that they were not trained
    on. It is evaluated on test rows beside the default configuration and the best random one. The search writes the model,
    ``trials.csv``, ``report.html`` and ``result.json``. A run that was stopped goes on where it stopped and ends in the same
    result.

    Args:
        config: What to search, and for how long.
        directory: An open run directory.
        dataset: The dataset; by default it and the test rows are read as ``config`` says.
        show: Show progress on standard error.
        model_types: What is searched for a table beside networks; by default ``models.installed()``.
        callbacks: Called after each wave of trainings with what ``metrics.jsonl`` records of it, such as ``seconds``, ``tried``
            and ``best``; one that returns ``True`` ends the search with the model so far.
        started: ``time.perf_counter()`` of when the minutes began, such as the start of the process; by default they begin now.
        shared: Trials that other processes train as well, as ``integrations.workers.SharedStudy`` has them; tables only. By
            default this process trains everything.

    Returns:
        The result as it was written, and the model.

    Raises:
        InputError: if nothing can be learned from the data, or if the directory holds a run of other data. Nothing has been
            trained then.
        Interrupted: after SIGTERM or Ctrl-C; the best model so far is written then.

    Example:
        >>> import tempfile
        >>> from metajax import run
        >>> config = Config("iris", minutes=0.1)
        >>> with tempfile.TemporaryDirectory() as parent, run.RunDirectory(Path(parent) / "iris", {}) as directory:
        ...     outcome = search(config, directory, show=False)
        >>> outcome.result["metrics"]["test_accuracy"] > 0.8
        True
    """
    started = time.perf_counter() if started is None else started
    check_requirements(config)
    loaded = dataset if isinstance(dataset, Loaded) else load_data(config, dataset)
    identity = identify(loaded, model_types)
    directory.bind_data(identity)
    task, data = _make_task(loaded, config, directory, model_types)
    data["digest"] = short_digest(of_data(loaded))
    recorder = start(config, directory, task, show, started, ENDING_SECONDS, shared is None)
    recorder.callbacks = callbacks
    is_default = model_types is None and isinstance(loaded.dataset, tabular.Dataset)
    joined = [] if shared is None else shared.begin(config, task, identity, recorder.schedule.plan)
    for line in [*_introduction(data, task), *(_not_searched() if is_default else []), *joined]:
        recorder.say(line)
    exploration = _explore_until_stopped(config, recorder, shared)
    recorder.say("Evaluating the ensemble and the configurations it is compared with on the test rows.")
    outcome = finish(config, directory, data, exploration, recorder)
    recorder.close()
    return outcome


def _explore_until_stopped(config: Config, recorder: Recorder, shared: SharedTrials | None) -> Exploration:
    """Searches. After SIGTERM or Ctrl-C it writes the best model so far; resuming continues the search."""
    with Watch() as watch:
        recorder.is_stopped = lambda: watch.signal is not None
        try:
            return explore(config, recorder) if shared is None else explore_shared(config, recorder, shared)
        except Stopped:
            path, history = recorder.directory.path, recorder.history
            has_model = bool(bags.bags(history))
            if has_model:
                select(history).build(history.task).save(path)
    recorder.close()
    outcome = f"the model so far is in {path}" if has_model else "there is no model yet"
    message = f"stopped after {history.count()} trainings: {outcome}; `metajax resume {path}` goes on"
    print(message, file=sys.stderr)
    assert watch.signal is not None
    raise Interrupted(watch.signal, message)


def _introduction(data: dict[str, Any], task: Task) -> list[str]:
    """The lines that are printed before the search begins."""
    shape = data["inputs"]
    inputs = f"{data['features']} features" if isinstance(shape, int) else f"images of {' x '.join(map(str, shape))}"
    rows = data["rows"]
    return [
        f"Searching a model for {data['target']!r}: {rows['learned']} rows to learn from and {rows['test']} test rows, "
        f"{inputs}; the space has 10^{task.space.log10_size:.0f} configurations.",
        *(f"Note: {note}" for note in data["notes"]),
    ]


def _not_searched() -> list[str]:
    """Says which libraries would add model types to the search of a table."""
    missing_packages = [package for _, package in BUILT_IN.values() if not is_installed(package)]
    if not missing_packages:
        return []
    return [
        f"Note: {listed(missing_packages)} would be searched, too, if installed: pip install 'metajax[tabular,trees]'."
    ]


def load_model(directory: Path | str, model_types: Sequence[ModelType] = ()) -> FittedModel | ImageModel:
    """Reads the model of a finished search.

    Args:
        directory: The run directory.
        model_types: The model types of your own that the search was given.

    Returns:
        The model of a table or of images.

    Raises:
        InputError: if the run has no model, or it is damaged or of another format.

    Example:
        >>> load_model("no_such_run")
        Traceback (most recent call last):
        metajax.types.InputError: no_such_run: holds no model (model.json is missing); pass the directory of a finished search
    """
    path = Path(directory) / "model.json"
    content = read_json(path) if path.is_file() else {}
    if content.get("kind") == "images":
        return ImageModel.load(Path(directory), content)
    return FittedModel.load(directory, model_types)
