"""The trainings of finished runs as learning meta-data, for a meta-learner of one's own."""

from pathlib import Path

from metajax.predictor import Trials
from metajax.predictor import _readers as readers
from metajax.space import interop
from metajax.types import InputError


def trials(*directories: Path | str) -> Trials:
    """Every model that finished runs of ``metajax search`` have trained, each run and each split of its rows a group: the
    configuration and its validation accuracy or R²; failed ones too. Split, seconds, loss and source are ``settings``.

    Raises:
        InputError: if there is none, one is not finished, or they searched different spaces (data of another number of
            features, or another task).
    """
    if not directories:
        raise InputError("trials: give at least one directory of a finished run")
    frames, spaces, metrics = [], [], []
    for directory in map(Path, directories):
        files = directory / "space.json", directory / "trials.csv"
        if not all(file.is_file() for file in files):
            raise InputError(
                f"trials: {directory} is not a finished run of metajax search (needs space.json and trials.csv)"
            )
        spaces.append(interop.from_json(files[0].read_text()))
        frame = readers.csv(spaces[-1], files[1])
        metrics.append(next(c for c in frame.columns if str(c).startswith("validation_")))
        frames.append(frame.assign(rows=[f"{directory}, split {split}" for split in frame["split"]]))
    if any(space != spaces[0] for space in spaces) or len(set(metrics)) > 1:
        raise InputError(
            f"trials: the runs searched different spaces or by {sorted(set(metrics))}; read them one by one"
        )
    import pandas as pd

    return Trials.from_frame(spaces[0], pd.concat(frames, ignore_index=True), metrics[0], group="rows")
