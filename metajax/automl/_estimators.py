"""The main job as scikit-learn estimators: ``fit`` searches, ``predict`` asks the selected ensemble."""

import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from metajax.automl._explore import explore, start
from metajax.automl._load import Loaded, identify
from metajax.automl._metrics import labels
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

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError:
    raise InputError("AutoMLClassifier and AutoMLRegressor need scikit-learn: pip install 'metajax[tabular]'") from None

if TYPE_CHECKING:
    import pandas as pd

Method = Literal["metalearner", "random", "optuna", "defaults"]


class _Counting(NamedTuple):
    """The rows that count: their features, their targets, and what is said about them."""

    frame: Any
    y: np.ndarray
    roles: tabular.RowRoles


class _AutoML(BaseEstimator):
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
                raise InputError(f"y: has {len(y):,} values for the {len(frame):,} rows of X; accepted are as many")
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
                "method='supernet' is for images, by `metajax search`; use metalearner, random, optuna or defaults"
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
                    f"{name}: has the shape {arrays[name].shape} for {len(frame):,} rows; accepted are arrays of one value for "
                    "each"
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
        started = time.perf_counter()
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
            recorder = start(config, directory, prepared, self.verbose, started)
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
        raise InputError(f"y: contains NaN in {missing:,} rows; leave those rows out")
    return y


def _run_path(parent: Path, config: dict[str, Any], data: Fingerprint) -> Path:
    """The directory of the run of these settings on this data, below the directory of an estimator."""
    if (parent / "config.json").is_file():
        raise InputError(
            f"directory={str(parent)!r}: is the directory of one run (of `metajax search`, or of an earlier version of "
            "metajax); an estimator keeps a run for each data set below its directory, so give another"
        )
    content = json.dumps([config, to_json(data)], sort_keys=True)
    return parent / f"run-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


class AutoMLClassifier(ClassifierMixin, _AutoML):
    """A scikit-learn classifier that searches for its own model.

    ``fit`` trains networks, trees and other model types, proposed by a meta-learner that is fitted to the trainings so far.
    The model is an ensemble of the best configurations, each trained on every fold of the rows, so that it learns from all.
    Data frames may hold numbers, categories, dates, text and missing values; each column
    is read as its ``data.tabular.Schema`` says.

    Args:
        minutes: Budget of wall time of ``fit``, above 0; ``None`` is no limit.
        trials: Number of configurations to try, at least 16. With neither ``minutes`` nor ``trials`` it is 192; with both,
            the search ends at whatever is reached first.
        method: Who proposes what to train: ``metalearner``, ``random``, ``optuna``, or nobody: ``defaults`` searches nothing.
        metric: What is maximized, by the name of scikit-learn's scorer. By default it is ``roc_auc`` for two classes and
            ``accuracy`` for more.
        seed: Seed of the split and of all randomness, from 0 to 2147483647.
        directory: Where runs are kept, each in a directory of its own below this one, named after a digest of the data and
            the settings. A ``fit`` on the same data with the same settings goes on where an earlier one stopped. Other data,
            such as another fold of ``cross_validate``, is another run. By default nothing is kept.
        verbose: Show progress on standard error.
        schema: How the columns of X are read: a ``data.tabular.Schema``, or the path of its JSON. By default it is inferred.
        model_types: What is searched beside networks; by default ``models.installed()``.
        folds: The number of folds on which good configurations are trained, from 1 (one split) to 20. By default it is 5, or 1
            where the table is large for the budget.
        callbacks: Called after each wave of trainings with a dictionary of ``seconds``, ``tried``, ``trained``, ``source``,
            ``best`` and ``median``; one that returns ``True`` ends the search with the model so far.

    Attributes:
        classes_: The labels, in the order of the columns of ``predict_proba``.
        model_: The ``FittedModel``.
        trials_: Everything that was trained, as ``predictor.Trials``.
        directory_: The directory of the run, or ``None``.
        seconds_: Seconds that the search took.

    Raises:
        InputError: by ``fit``, where nothing can be learned: a constant target, or a class with fewer than 3 rows. It is a
            ``ValueError``.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> x, y = load_iris(return_X_y=True)
        >>> model = AutoMLClassifier(minutes=0.1).fit(x, y)
        >>> model.predict_proba(x).shape, model.score(x, y) > 0.9
        ((150, 3), True)
    """

    classes_: np.ndarray

    def fit(
        self,
        X: "ArrayLike | pd.DataFrame",
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Searches for a model.

        Args:
            X: f[n, features], NaN where a value is missing, or a data frame.
            y: [n], labels.
            sample_weight: f[n], how much each row counts, in training and in the metric.
            groups: [n], values that say which rows belong together: they are on the same side of every split.

        Returns:
            The estimator.

        Raises:
            InputError: if nothing can be learned from the data, or an argument of the estimator is not accepted.
        """
        frame, y = self._to_frame(X, y, reset=True)
        check_classification_targets(y)
        frame, y, roles = self._counting(frame, np.asarray(y), sample_weight, groups)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y: has the one class {self.classes_[0]!r}; at least two classes are needed")
        labels_of = codes.astype(str).astype(object)
        self.model_ = self._search(frame, labels_of, "classification", roles)
        return self

    def predict_proba(self, X: "ArrayLike | pd.DataFrame") -> np.ndarray:
        """Returns the probabilities of the classes.

        Args:
            X: f[n, features], or a data frame with the columns of the training data.

        Returns:
            f64[n, classes], in the order of ``classes_``.
        """
        check_is_fitted(self, "model_")
        frame, _ = self._to_frame(X)
        # The columns of the model are in the order of its own labels, which are the numbers of classes_ as text.
        order = np.argsort(np.array([int(label) for label in self.model_.encoder.classes or []]))
        probabilities = np.asarray(self.model_.predict_inputs(self.model_.encoder.inputs(frame)), np.float64)[:, order]
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def predict(self, X: "ArrayLike | pd.DataFrame") -> np.ndarray:
        """Returns the most probable labels; of two classes, those that the threshold for ``metric`` says.

        Args:
            X: f[n, features], or a data frame with the columns of the training data.

        Returns:
            [n], labels of ``classes_``.
        """
        check_is_fitted(self, "model_")
        return self.classes_[labels(self.predict_proba(X), self.model_.threshold)]


class AutoMLRegressor(RegressorMixin, _AutoML):
    """A scikit-learn regressor that searches for its own model.

    It searches as ``AutoMLClassifier`` does, by R² on held-out rows.

    Args:
        minutes: Budget of wall time of ``fit``, above 0; ``None`` is no limit.
        trials: Number of configurations to try, at least 16. With neither ``minutes`` nor ``trials`` it is 192; with both,
            the search ends at whatever is reached first.
        method: Who proposes what to train: ``metalearner``, ``random``, ``optuna``, or nobody: ``defaults`` searches nothing.
        metric: What is maximized, by the name of scikit-learn's scorer. By default it is ``r2``.
        seed: Seed of the split and of all randomness, from 0 to 2147483647.
        directory: Where runs are kept, as in ``AutoMLClassifier``. By default nothing is kept.
        verbose: Show progress on standard error.
        schema: How the columns of X are read: a ``data.tabular.Schema``, or the path of its JSON. By default it is inferred.
        model_types: What is searched beside networks; by default ``models.installed()``.
        folds: The number of folds on which good configurations are trained, from 1 (one split) to 20. By default it is 5, or 1
            where the table is large for the budget.
        callbacks: Called after each wave of trainings with a dictionary of ``seconds``, ``tried``, ``trained``, ``source``,
            ``best`` and ``median``; one that returns ``True`` ends the search with the model so far.

    Attributes:
        model_: The ``FittedModel``.
        trials_: Everything that was trained, as ``predictor.Trials``.
        directory_: The directory of the run, or ``None``.
        seconds_: Seconds that the search took.

    Raises:
        InputError: by ``fit``, where nothing can be learned, such as from a constant target. It is a ``ValueError``.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> x, y = load_diabetes(return_X_y=True)
        >>> AutoMLRegressor(minutes=0.1).fit(x, y).score(x, y) > 0.4
        True
    """

    def fit(
        self,
        X: "ArrayLike | pd.DataFrame",
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Searches for a model.

        Args:
            X: f[n, features], NaN where a value is missing, or a data frame.
            y: f[n], values.
            sample_weight: f[n], how much each row counts, in training and in the metric.
            groups: [n], values that say which rows belong together: they are on the same side of every split.

        Returns:
            The estimator.

        Raises:
            InputError: if nothing can be learned from the data, or an argument of the estimator is not accepted.
        """
        frame, y = self._to_frame(X, y, reset=True)
        frame, y, roles = self._counting(frame, np.asarray(y, np.float64), sample_weight, groups)
        self.model_ = self._search(frame, y, "regression", roles)
        return self

    def predict(self, X: "ArrayLike | pd.DataFrame") -> np.ndarray:
        """Returns the predicted values.

        Args:
            X: f[n, features], or a data frame with the columns of the training data.

        Returns:
            f64[n], in the units of the target.
        """
        check_is_fitted(self, "model_")
        frame, _ = self._to_frame(X)
        return self.model_.predict_inputs(self.model_.encoder.inputs(frame))
