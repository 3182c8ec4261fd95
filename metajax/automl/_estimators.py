"""The main job as scikit-learn estimators: ``fit`` searches, ``predict`` asks the ensemble that was found."""

import contextlib
import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from metajax.automl import _ensemble as ensemble
from metajax.automl._explore import begin, explore
from metajax.automl._model import FittedModel
from metajax.automl._prepare import prepare
from metajax.automl._search import identify
from metajax.automl._settings import Config
from metajax.automl._tables import table_task
from metajax.data import tabular
from metajax.run import Fingerprint, RunDirectory, to_dict
from metajax.run._identity import to_json
from metajax.types import InputError

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError:
    raise InputError("AutoMLClassifier and AutoMLRegressor need scikit-learn: pip install 'metajax[tabular]'") from None


class _AutoML(BaseEstimator):
    """What both estimators share."""

    def __init__(
        self,
        minutes: float | None = None,
        trials: int | None = None,
        method: str = "metalearner",
        seed: int = 0,
        directory: str | None = None,
        verbose: bool = False,
    ):
        self.minutes = minutes
        self.trials = trials
        self.method = method
        self.seed = seed
        self.directory = directory
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _frame(self, X: Any, y: Any = None, reset: bool = False) -> tuple[Any, Any]:
        """A data frame and the target; arrays get the column names x0, x1, ..."""
        pd = tabular.pandas()
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if not len(X):
                raise InputError("X: found array with 0 sample(s) while a minimum of 1 is required")
            frame = X.reset_index(drop=True).rename(columns=str)
            return frame, None if y is None else column_or_1d(y, warn=True)
        options = {"reset": reset, "dtype": "numeric", "ensure_all_finite": "allow-nan"}
        if y is None:
            X = validate_data(self, X, **options)
        else:
            X, y = validate_data(self, X, y, ensure_min_samples=2, **options)
            y = column_or_1d(y, warn=True)
        if np.isinf(np.asarray(X, np.float64)).any():
            raise InputError("X: contains infinity; replace it or leave it NaN")
        return pd.DataFrame(np.asarray(X), columns=[f"x{i}" for i in range(X.shape[1])]), y

    def _search(self, frame: Any, target: np.ndarray, classes: list[str] | None) -> FittedModel:
        began = time.perf_counter()
        dataset = tabular.judge(frame, tabular.pandas().Series(target), "y", [], _task(classes))
        config = Config(
            "fit",
            task=_task(classes),
            method=self.method,
            minutes=self.minutes,
            trials=self.trials,
            baseline=False,
            seed=self.seed,
        )
        if config.method == "supernet":
            raise InputError("method='supernet' is for images, by `metajax search`; use metalearner, random or optuna")
        with contextlib.ExitStack() as stack:
            data = identify(dataset)
            where = self.directory or stack.enter_context(tempfile.TemporaryDirectory())
            place = _place(Path(where), to_dict(config), data)
            directory = stack.enter_context(RunDirectory(place, to_dict(config), resume=True, data=data))
            task = table_task(prepare(dataset, self.seed, test=False, minutes=self.minutes))
            log = begin(config, directory, task, self.verbose, began)
            found = explore(config, log)
            model, _ = ensemble.refit(found.members, task, found.key, found.temperatures)
            self.trials_ = found.waves.trials("random", "proposed")
            self.seconds_ = log.clock.seconds
            self.directory_ = str(place) if self.directory else None
            if self.directory:
                model.save(place)
            log.close()
        return model


def _place(folder: Path, config: dict[str, Any], data: Fingerprint) -> Path:
    """The directory of the run of these settings on this data, below the folder of an estimator."""
    if (folder / "config.json").is_file():
        raise InputError(
            f"directory={str(folder)!r}: is the directory of one run (of `metajax search`, or of an earlier version of "
            "metajax); an estimator keeps a run for each data set below its directory, so give another"
        )
    content = json.dumps([config, to_json(data)], sort_keys=True)
    return folder / f"run-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _task(classes: list[str] | None) -> str:
    return "regression" if classes is None else "classification"


class AutoMLClassifier(ClassifierMixin, _AutoML):
    """A classifier found by ``metajax search``: populations of networks trained at once, proposed by a meta-learner that is
    fitted while they train; the mean of eight trainings of the best.

    A fifth of the rows is held out to choose by; the final model learns from all. Numbers, text categories (of a data frame)
    and missing values are handled.

    Args:
        minutes: budget of wall time of ``fit``.
        trials: models to train; at least 16. With neither, 192; with both, whatever ends first.
        method: who proposes: ``metalearner``, ``random`` or ``optuna``.
        seed: of all randomness.
        directory: where runs are kept, each in a directory of its own below it, named after a digest of the data and the
            settings. A ``fit`` on the same data with the same settings goes on where an earlier one stopped. Other data,
            such as another fold of ``cross_validate``, is another run. By default nothing is kept.
        verbose: show progress.

    Attributes:
        classes_: labels, in the order of the columns of ``predict_proba``.
        model_: the ``FittedModel``.
        trials_: everything that was trained, as ``predictor.Trials``.
        directory_: the directory of the run, or ``None``.
        seconds_: that the search took.

    Raises:
        InputError: a ``ValueError``, on what cannot be learned: a constant target, a class with fewer than 3 rows.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> x, y = load_iris(return_X_y=True)
        >>> model = AutoMLClassifier(trials=16).fit(x, y)
        >>> model.predict_proba(x).shape, model.score(x, y) > 0.9
        ((150, 3), True)
    """

    def fit(self, X: Any, y: Any) -> "AutoMLClassifier":
        """Searches for a model.

        Args:
            X: f[n, features], NaN where missing, or a data frame.
            y: labels [n].
        """
        frame, y = self._frame(X, y, reset=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y: has the one class {self.classes_[0]!r}; at least two classes are needed")
        self.model_ = self._search(frame, codes.astype(str).astype(object), [str(c) for c in range(len(self.classes_))])
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """f64[n, classes]."""
        check_is_fitted(self, "model_")
        frame, _ = self._frame(X)
        # columns of the model are in the order of its own labels: the numbers of classes_, as text
        order = np.argsort(np.array([int(c) for c in self.model_.encoder.classes or []]))
        found = np.asarray(self.model_.predict_inputs(self.model_.encoder.inputs(frame)), np.float64)[:, order]
        return found / found.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """Labels [n]."""
        chosen = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[chosen]


class AutoMLRegressor(RegressorMixin, _AutoML):
    """A regressor found by ``metajax search``; arguments and attributes are those of ``AutoMLClassifier``, less ``classes_``.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> x, y = load_diabetes(return_X_y=True)
        >>> AutoMLRegressor(trials=16).fit(x, y).score(x, y) > 0.4
        True
    """

    def fit(self, X: Any, y: Any) -> "AutoMLRegressor":
        """Searches for a model.

        Args:
            X: f[n, features], NaN where missing, or a data frame.
            y: f[n].
        """
        frame, y = self._frame(X, y, reset=True)
        self.model_ = self._search(frame, np.asarray(y, np.float64), None)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """f64[n]."""
        check_is_fitted(self, "model_")
        frame, _ = self._frame(X)
        return self.model_.predict_inputs(self.model_.encoder.inputs(frame))
