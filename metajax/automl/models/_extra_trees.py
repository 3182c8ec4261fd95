"""Extremely randomized trees, fitted by scikit-learn."""

from typing import Any

import numpy as np

from metajax.automl._training import Data
from metajax.automl.models._forest import Forest, join, make_tree
from metajax.automl.models._threads import n_threads
from metajax.automl.models._time import is_limited, time_is_over
from metajax.automl.models._tree_ensemble import TreeEnsemble
from metajax.automl.models._types import Member
from metajax.space import Categorical, Domain, Integer

_TREES = 100  # This is the default of scikit-learn.
_MAX_LEAVES = 4_000
"""The maximum number of leaves of a tree. Larger tables get larger leaves, so that the model does not grow with the table."""
_SHARES = {"sqrt": "sqrt", "quarter": 0.25, "half": 0.5, "all": 1.0}

_TREES_AT_A_TIME = 10  # The time is checked after this number of trees.


class ExtraTrees:
    """Extremely randomized trees (Geurts, Ernst and Wehenkel 2006) by scikit-learn: the mean of 100 random trees."""

    name = "extra_trees"

    def domains(self, features: int, classification: bool) -> dict[str, Domain]:
        """Returns the domains of the hyperparameters."""
        return {"columns": Categorical(tuple(_SHARES)), "min_leaf": Integer(1, 50, log=True)}

    def default_config(self, classification: bool) -> dict[str, Any]:
        """Returns the defaults of scikit-learn."""
        return {"columns": "sqrt" if classification else "all", "min_leaf": 1}

    def fit(self, config: dict[str, Any], data: Data, seed: int, classification: bool, outputs: int) -> Member:
        """Fits the trees."""
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        kind = ExtraTreesClassifier if classification else ExtraTreesRegressor
        model = kind(
            n_estimators=_TREES,
            max_features=_SHARES[config["columns"]],
            min_samples_leaf=max(config["min_leaf"], len(data.x) // _MAX_LEAVES),
            n_jobs=n_threads(),
            random_state=seed,
        )
        if is_limited():
            model.set_params(warm_start=True, n_estimators=0)
            while model.n_estimators < _TREES and not (model.n_estimators and time_is_over()):
                model.set_params(n_estimators=min(_TREES, model.n_estimators + _TREES_AT_A_TIME))
                model.fit(data.x, data.y, data.weights)
        else:
            model.fit(data.x, data.y, data.weights)
        return from_sklearn(model)

    def from_arrays(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Member:
        """Returns the member that was saved."""
        return TreeEnsemble.from_arrays(arrays, settings)


def from_sklearn(model: Any) -> TreeEnsemble:
    """Returns the trees of a fitted forest of scikit-learn."""
    forest = join([_tree(estimator.tree_) for estimator in model.estimators_])
    return TreeEnsemble(forest, np.zeros(forest.value.shape[1]), "mean")


def _tree(tree: Any) -> Forest:
    """The arrays of one tree of scikit-learn."""
    left = tree.children_left
    arrays = left, tree.children_right, tree.feature, tree.threshold, tree.missing_go_to_left, tree.value[:, 0]
    return make_tree(*arrays, left < 0)
