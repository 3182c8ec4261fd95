"""The model types that the main job searches by default."""

from metajax._optional import is_installed
from metajax.automl.models._boosted_trees import BoostedTrees
from metajax.automl.models._catboost import CatBoost
from metajax.automl.models._extra_trees import ExtraTrees
from metajax.automl.models._lightgbm import LightGBM
from metajax.automl.models._neighbors import Neighbors
from metajax.automl.models._regularized_linear import RegularizedLinear
from metajax.automl.models._types import ModelType
from metajax.automl.models._xgboost import XGBoost

BUILT_IN: dict[str, tuple[ModelType, str]] = {
    kind.name: (kind, package)
    for kind, package in (
        (BoostedTrees(), "sklearn"),
        (ExtraTrees(), "sklearn"),
        (RegularizedLinear(), "sklearn"),
        (Neighbors(), "numpy"),
        (LightGBM(), "lightgbm"),
        (XGBoost(), "xgboost"),
        (CatBoost(), "catboost"),
    )
}
"""Every model type of the package by name, and the package that fits it."""


def installed() -> tuple[ModelType, ...]:
    """Returns the model types whose packages are installed, in the order in which a search trains their defaults.

    Histogram boosting, extra trees and linear models are fitted by scikit-learn, LightGBM, XGBoost and CatBoost by the
    packages of these names (``pip install 'metajax[trees]'``). Nothing is imported before a model is fitted.

    Returns:
        The types.

    Example:
        >>> "neighbors" in [kind.name for kind in installed()]
        True
    """
    return tuple(kind for kind, package in BUILT_IN.values() if is_installed(package))
