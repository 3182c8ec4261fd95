"""Histogram gradient boosting, fitted by scikit-learn."""

from typing import Any

import numpy as np

from metajax.automl._score import log_losses
from metajax.automl._training import Data
from metajax.automl.models._boosting import PATIENCE, boosting_domains, decided_iterations, max_iterations
from metajax.automl.models._forest import Forest, join, make_tree
from metajax.automl.models._time import is_limited, seconds_left, time_is_over
from metajax.automl.models._tree_ensemble import TreeEnsemble
from metajax.automl.models._types import Member
from metajax.space import Domain, Integer

_MAX_UNWATCHED, _ITERATIONS_OF_LARGE, _ITERATIONS_OF_SMALL = 2_000_000, 10, 50
"""Tables with more numbers (times the classes) are fitted some iterations at a time, with a look at the clock between."""
_SHORT_SECONDS = 5.0
"""With less time than this, smaller tables are fitted in this way, too."""


class BoostedTrees:
    """Histogram gradient boosting (Ke et al. 2017) by scikit-learn.

    The default configuration is that of scikit-learn: 100 trees of 31 leaves at a rate of 0.1. On the rows of the search, the
    number of iterations is not that of the configuration but the one with the least loss on the evaluation rows.
    """

    name = "boosted_trees"

    def domains(self, features: int, classification: bool) -> dict[str, Domain]:
        """Returns the domains of the hyperparameters."""
        return {**boosting_domains(), "leaves": Integer(4, 128, log=True), "min_leaf": Integer(1, 100, log=True)}

    def default_config(self, classification: bool) -> dict[str, Any]:
        """Returns the defaults of scikit-learn."""
        return {"learning_rate": 0.1, "iterations": 100, "l2": 0.0, "columns": 1.0, "leaves": 31, "min_leaf": 20}

    def fit(self, config: dict[str, Any], data: Data, seed: int, classification: bool, outputs: int) -> Member:
        """Fits the trees."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        stops_early = len(data.x_eval) > 0
        kind: Any = HistGradientBoostingClassifier if classification else HistGradientBoostingRegressor
        model = kind(
            learning_rate=config["learning_rate"],
            max_iter=max_iterations(config["iterations"], data, outputs),
            max_leaf_nodes=config["leaves"],
            min_samples_leaf=config["min_leaf"],
            l2_regularization=config["l2"],
            max_features=config["columns"],
            early_stopping=stops_early,
            n_iter_no_change=PATIENCE,
            random_state=seed,
        )
        if not stops_early:
            return from_sklearn(model.fit(data.x, data.y, data.weights), classification)
        is_large = data.x.size * max(outputs, 1) > _MAX_UNWATCHED
        if (is_limited() and is_large) or seconds_left() < _SHORT_SECONDS:
            at_a_time = _ITERATIONS_OF_LARGE if is_large else _ITERATIONS_OF_SMALL
            best = _fit_by_parts(model, data, classification, at_a_time)
        else:
            validation = {"X_val": data.x_eval, "y_val": data.y_eval, "sample_weight_val": data.weights_eval}
            model.fit(data.x, data.y, data.weights, **validation)
            best = max(1, int(np.argmax(model.validation_score_)))
        member = from_sklearn(model, classification)
        groups, link = member.settings["groups"], member.settings["link"]
        member = TreeEnsemble(member.forest.first(best * groups), member.baseline, link, groups)
        member.decided = decided_iterations(best)
        return member

    def from_arrays(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Member:
        """Returns the member that was saved."""
        return TreeEnsemble.from_arrays(arrays, settings)


def _fit_by_parts(model: Any, data: Data, classification: bool, at_a_time: int) -> int:
    """Fits some iterations at a time, as long as there is time; returns the number of the best one."""
    last, losses = model.max_iter, []
    model.set_params(warm_start=True, early_stopping=False)
    while len(losses) < last and not (losses and time_is_over()):
        model.set_params(max_iter=min(last, len(losses) + at_a_time)).fit(data.x, data.y, data.weights)
        stages = model.staged_predict_proba(data.x_eval) if classification else model.staged_predict(data.x_eval)
        losses = [_loss(stage, data.y_eval, data.weights_eval, classification) for stage in stages]
        if len(losses) - int(np.argmin(losses)) > PATIENCE:
            break
    return 1 + int(np.argmin(losses))


def _loss(outputs: np.ndarray, y: Any, weights: Any, classification: bool) -> float:
    """Weighted log-loss or mean squared error."""
    if classification:
        return float(np.average(log_losses(outputs, y), weights=weights))
    return float(np.average((outputs - y) ** 2, weights=weights))


def from_sklearn(model: Any, classification: bool) -> TreeEnsemble:
    """Returns the trees of a fitted histogram gradient boosting model of scikit-learn, without categorical inputs."""
    trees = [_tree(predictor.nodes) for stage in model._predictors for predictor in stage]
    groups = len(model._predictors[0])
    link = "identity" if not classification else "sigmoid" if groups == 1 else "softmax"
    return TreeEnsemble(join(trees), model._baseline_prediction.ravel(), link, groups)


def _tree(nodes: np.ndarray) -> Forest:
    """The arrays of one tree of scikit-learn."""
    return make_tree(
        nodes["left"].astype(np.int64),
        nodes["right"].astype(np.int64),
        nodes["feature_idx"],
        nodes["num_threshold"],
        nodes["missing_go_to_left"],
        nodes["value"][:, None],
        nodes["is_leaf"],
    )
