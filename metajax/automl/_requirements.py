"""The optional packages that a search will need, checked before anything is trained."""

from pathlib import Path

from metajax._optional import check_installed
from metajax.automl._settings import Config
from metajax.data import tabular


def needed_packages(config: Config, report: bool = True) -> list[str]:
    """Returns the optional packages that a search imports at any point, by the names under which they are imported."""
    needed = ["pandas"]  # pandas writes the table of trials
    if config.data in tabular.BUNDLED:
        needed.append("sklearn")
    elif Path(config.data).suffix.lower() in (".parquet", ".feather", ".arrow"):
        needed.append("pyarrow")
    elif Path(config.data).is_dir():
        needed.append("PIL")
    if report:
        needed.append("matplotlib")
    if config.method == "optuna":
        needed.append("optuna")
    return needed


def check_requirements(config: Config, report: bool = True) -> None:
    """Raises an ``InputError`` that names all missing packages at once, so that none is missed after the training."""
    check_installed(f"data={config.data!r}, method={config.method!r}:", *needed_packages(config, report))
