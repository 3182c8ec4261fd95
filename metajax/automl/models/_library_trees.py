"""The trees of LightGBM and of XGBoost, read from the text that a model is saved as."""

import json
import re
from typing import Any

import numpy as np

from metajax.automl.models._forest import Forest, join, make_tree
from metajax.automl.models._tree_ensemble import TreeEnsemble
from metajax.types import InputError

_DEFAULT_LEFT, _MISSING_IS_NAN = 2, 8  # Bits of the decision type of LightGBM.
_LIGHTGBM_LINKS = {"regression": "identity", "binary": "sigmoid", "multiclass": "softmax"}
_XGBOOST_LINKS = {"reg:squarederror": "identity", "binary:logistic": "sigmoid", "multi:softprob": "softmax"}


def from_lightgbm(text: str) -> TreeEnsemble:
    """Returns the trees of a model in the text format of LightGBM.

    Args:
        text: The content of the model.

    Raises:
        InputError: If the model has a loss, or a kind of trees, that ``models`` does not fit.
    """
    header, *parts = re.split(r"^Tree=\d+\n", text.split("\nend of trees")[0], flags=re.MULTILINE)
    fields = _fields(header)
    objective, *options = fields["objective"].split()
    if objective not in _LIGHTGBM_LINKS or set(options) - {"sigmoid:1"} - {f"num_class:{fields['num_class']}"}:
        raise InputError(f"the loss of LightGBM must be one of {', '.join(_LIGHTGBM_LINKS)}, got {fields['objective']}")
    groups = int(fields["num_tree_per_iteration"])
    trees = [_lightgbm_tree(_fields(part)) for part in parts]
    return TreeEnsemble(join(trees), np.zeros(groups), _LIGHTGBM_LINKS[objective], groups)


def _fields(part: str) -> dict[str, str]:
    """The lines ``name=value`` of a part."""
    return dict(line.split("=", 1) for line in part.splitlines() if "=" in line)


def _lightgbm_tree(fields: dict[str, str]) -> Forest:
    """One tree. Its inner nodes come first; a child below zero is the leaf of the number that its bits say inverted."""
    if int(fields["num_cat"]) or int(fields.get("is_linear", 0)):
        raise InputError("trees of LightGBM must compare numbers with constant leaves, got categories or linear leaves")
    numbers = lambda name, kind: np.array(fields.get(name, "").split(), kind)
    value, n = numbers("leaf_value", np.float64), int(fields["num_leaves"]) - 1
    children = [numbers(name, np.int64) for name in ("left_child", "right_child")]
    left, right = (np.append(np.where(child < 0, n + ~child, child), np.zeros(n + 1, np.int64)) for child in children)
    threshold, decision = numbers("threshold", np.float64), numbers("decision_type", np.int64)
    # Where training rows had no gaps, a missing value counts as 0.
    missing_left = np.where(decision & _MISSING_IS_NAN, decision & _DEFAULT_LEFT, threshold >= 0) > 0
    pad = lambda array: np.append(array, np.zeros(n + 1, array.dtype))
    is_leaf, values = np.arange(2 * n + 1) >= n, np.append(np.zeros(n), value)
    feature = pad(numbers("split_feature", np.int64))
    return make_tree(left, right, feature, pad(threshold), pad(missing_left), values[:, None], is_leaf)


def from_xgboost(content: bytes) -> TreeEnsemble:
    """Returns the trees of a model in the JSON format of XGBoost.

    Args:
        content: The JSON.

    Raises:
        InputError: If the model has a loss, or a kind of trees, that ``models`` does not fit.
    """
    learner = json.loads(content)["learner"]
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    if objective not in _XGBOOST_LINKS or booster["name"] != "gbtree":
        raise InputError(f"the loss of XGBoost must be one of {', '.join(_XGBOOST_LINKS)}, got {objective}")
    param, link = learner["learner_model_param"], _XGBOOST_LINKS[objective]
    groups = max(1, int(param["num_class"]))
    baseline = np.array(param["base_score"].strip("[]").split(","), np.float64)
    if link == "sigmoid":  # it is a probability there
        baseline = np.log(baseline) - np.log1p(-baseline)
    trees = [_xgboost_tree(tree) for tree in booster["model"]["trees"]]
    return TreeEnsemble(join(trees), np.broadcast_to(baseline, groups), link, groups)


def _xgboost_tree(tree: dict[str, Any]) -> Forest:
    """One tree, in which a row goes to the left if its value is below the threshold."""
    if any(tree["split_type"]):
        raise InputError("trees of XGBoost must compare numbers, got categories")
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    is_leaf, condition = left < 0, np.array(tree["split_conditions"], np.float32)
    below = np.nextafter(condition, np.float32(-np.inf))  # "at most this" is "less than the threshold"
    missing_left = np.array(tree["default_left"])
    return make_tree(left, right, np.array(tree["split_indices"]), below, missing_left, condition[:, None], is_leaf)
