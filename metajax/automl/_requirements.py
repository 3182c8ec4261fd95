"""The optional packages that a search will need, checked before anything is trained."""

from pathlib import Path

from metajax._optional import check_installed, is_installed
from metajax.automl._settings import Config
from metajax.data import tabular


def needed_packages(config: Config, report: bool = True) -> dict[str, str]:
    """Returns the optional packages that a search imports at any point, each with the setting that needs it.

    Args:
        config: The settings of the search.
        report: Whether the search writes a report, which has figures.

    Returns:
        The setting, such as ``method='optuna'``, by the name under which the package is imported; the empty text for a package
        that every search needs.
    """
    needed = {"pandas": "", **({"matplotlib": ""} if report else {})}  # pandas writes the table of trials
    data = f"data={config.data!r}"
    if config.data in tabular.BUNDLED:
        needed["sklearn"] = data
    elif Path(config.data).suffix.lower() in (".parquet", ".feather", ".arrow"):
        needed["pyarrow"] = data
    elif Path(config.data).is_dir():
        needed["PIL"] = data
    if config.method == "optuna":
        needed["optuna"] = "method='optuna'"
    return needed


def check_requirements(config: Config, report: bool = True) -> None:
    """Raises an ``InputError`` that names all missing packages at once, so that none is missed after the training."""
    missing = {name: setting for name, setting in needed_packages(config, report).items() if not is_installed(name)}
    settings = ", ".join(setting for setting in missing.values() if setting)
    check_installed(f"a search with {settings}" if settings else "a search", *missing)
