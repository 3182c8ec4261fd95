"""The trainings of finished runs as learning meta-data, for a meta-learner of your own."""

from pathlib import Path

from metajax.predictor import Trials
from metajax.predictor import _frames as readers
from metajax.space import interop
from metajax.types import InputError


def load_trials(*directories: Path | str) -> Trials:
    """Reads every model that finished searches have trained, including those that failed.

    Each run, and each split of its rows, is a group of its own. The metric is the validation accuracy or R². The split, the
    seconds, the loss and who proposed the configuration are ``settings``.

    Args:
        *directories: The run directories of one or more finished searches over the same space.

    Returns:
        The trials, in the order of the directories.

    Raises:
        InputError: if there is no directory, a run is not finished, or the runs searched different spaces (datasets with
            another number of features, or another task).

    Example:
        After two searches over the same space, ``predictor.fit(load_trials("runs/a", "runs/b"), predictor.kernel())`` learns
        from both. A directory that holds no finished search is refused:

        >>> load_trials("runs/stopped")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        metajax.types.InputError: directories: runs/stopped is not a finished run of metajax search (needs space.json and ...
    """
    if not directories:
        raise InputError("load_trials: directories must not be empty; pass at least one directory of a finished run")
    frames, spaces, metrics = [], [], []
    for directory in map(Path, directories):
        space_file, table_file = directory / "space.json", directory / "trials.csv"
        if not (space_file.is_file() and table_file.is_file()):
            raise InputError(
                f"directories: {directory} is not a finished run of metajax search (needs space.json and trials.csv)"
            )
        spaces.append(interop.from_json(space_file.read_text(encoding="utf-8")))
        frame = readers.csv(spaces[-1], table_file)
        metrics.append(next(column for column in frame.columns if str(column).startswith("validation_")))
        frames.append(frame.assign(rows=[f"{directory}, split {split}" for split in frame["split"]]))
    if any(space != spaces[0] for space in spaces) or len(set(metrics)) > 1:
        raise InputError(
            f"directories: all runs must have searched one space by one metric, got the metrics {sorted(set(metrics))}; read "
            "them one by one"
        )
    import pandas as pd

    return Trials.from_frame(spaces[0], pd.concat(frames, ignore_index=True), metrics[0], group="rows")
