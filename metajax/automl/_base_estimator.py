"""What the two scikit-learn estimators share: their arguments, the reading of X and y, and the search."""

import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import column_or_1d, validate_data

from metajax.automl._explore import explore, start
from metajax.automl._load import Loaded, identify
from metajax.automl._model import FittedModel
from metajax.automl._prepare import prepare
from metajax.automl._recorder import Callback
from metajax.automl._requirements import check_requirements
from metajax.automl._settings import Config
from metajax.automl._tables import table_task
from metajax.automl.models import ModelType
from metajax.data import tabular
from metajax.data._row_roles import as_groups, as_weights
from metajax.predictor import Trials
from metajax.run import Fingerprint, RunDirectory, to_dict
from metajax.run._identity import to_json
from metajax.types import InputError, stream

Method = Literal["metalearner", "random", "optuna", "defaults"]


class _Counting(NamedTuple):
    """The rows with a positive weight: their features, their targets and their roles."""

    frame: Any
    y: np.ndarray
    roles: tabular.RowRoles


class BaseAutoML(BaseEstimator):
    """What both estimators share."""

    model_: FittedModel
    trials_: Trials
    directory_: str | None
    seconds_: float

    def __init__(
        self,
        minutes: float | None = None,
        trials: int | None = None,
        method: Method = "metalearner",
        metric: str | None = None,
        seed: int = 0,
        directory: str | None = None,
        verbose: bool = False,
        schema: "tabular.Schema | str | None" = None,
        model_types: Sequence[ModelType] | None = None,
        folds: int | None = None,
        callbacks: Sequence[Callback] = (),
    ):
        self.minutes = minutes
        self.trials = trials
        self.method = method
        self.metric = metric
        self.seed = seed
        self.directory = directory
        self.verbose = verbose
        self.schema = schema
        self.model_types = model_types
        self.folds = folds
        self.callbacks = callbacks

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _to_frame(self, X: Any, y: Any = None, reset: bool = False) -> tuple[Any, Any]:
        """A data frame and the target. The columns of an array have the names of the training data, or x0, x1, ..."""
        pd = tabular.pandas()
        if hasattr(X, "to_pandas") or isinstance(X, pd.DataFrame):
            X = tabular.as_frame(X)
            validate_data(self, X, reset=reset, skip_check_array=True)
            if not len(X):
                raise InputError("X: found array with 0 sample(s) while a minimum of 1 is required")
            frame = X.reset_index(drop=True)
            if not reset and not hasattr(self, "feature_names_in_"):
                frame = frame.set_axis(self._names(frame.shape[1]), axis=1)
            if y is None:
                return frame, None
            y = column_or_1d(y, warn=True)
            if len(y) != len(frame):
                raise InputError(
                    f"y: must have one value for each row of X, got {len(y):,} values for {len(frame):,} rows"
                )
            return frame, _without_gaps(y)
        # What was fitted to a frame with text reads text from an array, too.
        reads_text = not reset and hasattr(self, "feature_names_in_") and np.asarray(X).dtype.kind in "OUS"
        options: dict[str, Any] = {"reset": reset, "dtype": "numeric", "ensure_all_finite": "allow-nan"}
        if reads_text:
            options = {"reset": reset, "dtype": None, "ensure_all_finite": False}
        if y is None:
            X = validate_data(self, X, **options)
        else:
            X, y = validate_data(self, X, y, ensure_min_samples=2, **options)
            y = column_or_1d(y, warn=True)
        if not reads_text and np.isinf(np.asarray(X, np.float64)).any():
            raise InputError("X: contains infinity; replace it or leave it NaN")
        return pd.DataFrame(np.asarray(X), columns=self._names(X.shape[1])), y

    def _names(self, n: int) -> list[str]:
        """The names of the columns that the estimator was fitted to."""
        return list(map(str, getattr(self, "feature_names_in_", [f"x{i}" for i in range(n)])))

    def _config(self, task: str) -> Config:
        """The search that the arguments of the estimator ask for."""
        config = Config(
            "fit",
            task=task,
            metric=self.metric,
            method=self.method,
            minutes=self.minutes,
            trials=self.trials,
            baseline=False,
            seed=self.seed,
            folds=self.folds,
        )
        if config.method == "supernet":
            raise InputError(
                "method='supernet': must be metalearner, random, optuna or defaults for tables; "
                "`metajax search` trains SuperNets on images"
            )
        return config

    def _counting(self, frame: Any, y: np.ndarray, sample_weight: Any, groups: Any) -> "_Counting":
        """What the arguments of ``fit`` say about rows; a row of weight 0 is as if it was not there."""
        arrays = {}
        for name, values in {"sample_weight": sample_weight, "groups": groups}.items():
            try:
                arrays[name] = None if values is None else np.asarray(values)
            except ValueError:  # lists of different lengths
                arrays[name] = np.zeros(0)
            if arrays[name] is not None and arrays[name].shape != (len(frame),):
                raise InputError(
                    f"{name}: must have the shape ({len(frame)},), one value for each row of X, got {arrays[name].shape}"
                )
        sample_weight, groups = arrays["sample_weight"], arrays["groups"]
        weights, unit = (None, 1.0) if sample_weight is None else as_weights(sample_weight, "sample_weight")
        numbers = None if groups is None else as_groups(groups, "groups")
        roles = tabular.RowRoles(numbers, None, weights, tabular.RowColumns("groups", None, "sample_weight"), unit)
        if weights is None or weights.all():
            return _Counting(frame, y, roles)
        counts = np.flatnonzero(weights)
        return _Counting(frame.iloc[counts].reset_index(drop=True), y[counts], roles.take(counts))

    def _search(self, frame: Any, target: np.ndarray, task: str, roles: tabular.RowRoles) -> FittedModel:
        """Searches in a run directory, a temporary one by default, and trains the selected ensemble."""
        start_time = time.perf_counter()
        schema = tabular.Schema.read(self.schema) if isinstance(self.schema, str) else self.schema
        columns = None if schema is None else tabular.Schema(schema.columns)  # y is what is predicted
        series = tabular.pandas().Series(target)
        dataset = tabular.to_dataset(frame, series, "y", [], task, columns)._replace(roles=roles)
        config = self._config(task)
        check_requirements(config, report=False)
        with contextlib.ExitStack() as stack:
            data = identify(Loaded(dataset), self.model_types)
            parent = self.directory or stack.enter_context(tempfile.TemporaryDirectory())
            path = _run_path(Path(parent), to_dict(config), data)
            directory = stack.enter_context(RunDirectory(path, to_dict(config), resume=True, data=data))
            table = prepare(dataset, self.seed, test=False, minutes=self.minutes, folds=self.folds)
            prepared = table_task(table, model_types=self.model_types, minutes=self.minutes, metric=self.metric)
            recorder = start(config, directory, prepared, self.verbose, start_time)
            recorder.callbacks = self.callbacks
            exploration = explore(config, recorder)
            key, allows = stream(exploration.key, "everything"), recorder.schedule.budget.allows
            selection = exploration.selection
            model = selection.build(prepared, selection.refit(prepared, prepared.everything, key, allows))
            assert isinstance(model, FittedModel)
            self.trials_ = exploration.history.trials("random", "proposed")
            self.seconds_ = recorder.schedule.budget.seconds
            self.directory_ = str(path) if self.directory else None
            if self.directory:
                model.save(path)
            recorder.close()
        return model


def _without_gaps(y: np.ndarray) -> np.ndarray:
    """Returns the target, and refuses one with missing values."""
    if missing := int(tabular.pandas().isna(y).sum()):
        raise InputError(f"y: contains NaN in {missing:,} rows; remove those rows")
    return y


def _run_path(parent: Path, config: dict[str, Any], data: Fingerprint) -> Path:
    """The directory of the run of these settings on this data, below the directory of an estimator."""
    if (parent / "config.json").is_file():
        raise InputError(
            f"directory={str(parent)!r}: is the directory of one run (of `metajax search`, or of an earlier version of "
            "metajax), but an estimator keeps one run for each data set below its directory; pass another directory"
        )
    content = json.dumps([config, to_json(data)], sort_keys=True)
    return parent / f"run-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
