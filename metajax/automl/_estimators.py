"""The main job as scikit-learn estimators: ``fit`` searches, ``predict`` asks the selected ensemble."""

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from metajax.automl._metrics import labels
from metajax.types import InputError

try:
    from sklearn.base import ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise InputError("AutoMLClassifier and AutoMLRegressor need scikit-learn: pip install 'metajax[tabular]'") from None

from metajax.automl._base_estimator import BaseAutoML

if TYPE_CHECKING:
    import pandas as pd


class AutoMLClassifier(ClassifierMixin, BaseAutoML):
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
            InputError: If nothing can be learned from the data, or an argument of the estimator is outside its range.
        """
        frame, y = self._to_frame(X, y, reset=True)
        check_classification_targets(y)
        frame, y, roles = self._counting(frame, np.asarray(y), sample_weight, groups)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y: must have at least two classes, got one class, {self.classes_[0]!r}")
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


class AutoMLRegressor(RegressorMixin, BaseAutoML):
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
            InputError: If nothing can be learned from the data, or an argument of the estimator is outside its range.
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
