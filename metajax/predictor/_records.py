"""Learning meta-data that others have collected: whole tables of trainings, read from prepared ``.npz`` files.

Where the files go, below ``$METAJAX_DATA``: ``hpo_tabular/hpobench.npz`` (the MLP tables of HPOBench, Eggensperger et al. 2021,
arXiv:2109.06716), ``hpo_tabular/hpolib.npz`` (the FCNet tables, Klein and Hutter 2019, arXiv:1905.04970) and
``oboe/oboe_joined_metafeatures.npz`` (Yang et al. 2019, arXiv:1808.03233, with OpenML's meta-features).
"""

import json
import re
from typing import Any, NamedTuple

import numpy as np

from metajax.data._home import home, load_npz
from metajax.space import Categorical, Integer, Space
from metajax.types import InputError


class Table(NamedTuple):
    """Every configuration of a finite space on one dataset.

    Attributes:
        name: of the dataset.
        space: ordered hyperparameters are ``Integer``, the place of their value in its list; others ``Categorical``.
        configs: the rows, a struct of arrays.
        values: f64[rows, seeds], the metric of each training.
        maximize: its direction.
    """

    name: str
    space: Space
    configs: dict[str, np.ndarray]
    values: np.ndarray
    maximize: bool


def hpobench() -> list[Table]:
    """Eight tables of 30,000 configurations of an MLP, balanced validation accuracy of 5 trainings each.

    Raises:
        InputError: if the file is missing or altered.
    """
    return _grids("hpobench.npz", "val_acc", True)


def fcnet() -> list[Table]:
    """Four tables of 62,208 configurations of a two-layer network for regression, validation error (mean squared) of 4
    trainings each.

    Raises:
        InputError: if the file is missing or altered.
    """
    return _grids("hpolib.npz", "val_loss", False)


def _grids(file: str, column: str, maximize: bool) -> list[Table]:
    path = _file("hpo_tabular", file)
    found = load_npz(path, ("config_index", "param_names", "space_json", "datasets", column))
    names = [str(n) for n in found["param_names"]]
    index, values = found["config_index"].astype(np.int32), found[column]
    try:
        lists = json.loads(str(found["space_json"]))
        sizes = [len(lists[name]) for name in names]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: altered; space_json is not lists of values for {names} ({error!r})") from error
    if values.shape[:2] != (len(found["datasets"]), np.prod(sizes)) or index.shape != (values.shape[1], len(names)):
        raise InputError(f"{path}: altered; {column} {values.shape} does not fit the grid of {sizes}")
    domain = lambda values: Categorical(values) if isinstance(values[0], str) else Integer(0, len(values) - 1)
    space = Space({name: domain(lists[name]) for name in names})
    configs = {name: index[:, i] for i, name in enumerate(names)}
    return [
        Table(str(dataset), space, configs, values[i].astype(np.float64), maximize)
        for i, dataset in enumerate(found["datasets"])
    ]


class Oboe(NamedTuple):
    """Errors of 219 configurations of 12 scikit-learn model types on 415 OpenML datasets.

    Attributes:
        space: ``algorithm``, and its hyperparameters where it is chosen, each with the values that occur.
        configs: the 219 configurations, a struct of arrays.
        error: f64[415, 219], balanced error.
        meta: f64[415, 48], NaN where unknown.
        meta_names: of the columns.
        names: of the datasets.
        family: int[415]; datasets of one family (``fri_c0_250_5``, ``fri_c1_500_10``, ...) share the first word of their
            name, and must not be on both sides of a split.
    """

    space: Space
    configs: dict[str, Any]
    error: np.ndarray
    meta: np.ndarray
    meta_names: list[str]
    names: list[str]
    family: np.ndarray


def oboe() -> Oboe:
    """The collection of Oboe. Raises InputError if the file is missing or altered."""
    path = _file("oboe", "oboe_joined_metafeatures.npz")
    found = load_npz(path, ("metafeatures", "metafeature_names", "balanced_error", "configs_json", "name"))
    conditions, dicts = [], []
    try:
        rows = [json.loads(str(text)) for text in found["configs_json"]]
        for row in rows:
            own = {f"{row['algorithm']}_{name}": str(value) for name, value in row["hyperparameters"].items()}
            dicts.append({"algorithm": row["algorithm"], **own})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: altered; configs_json is not configurations ({error!r})") from error
    domains: dict[str, Any] = {"algorithm": Categorical(sorted({row["algorithm"] for row in rows}))}
    for name in sorted({name for row in dicts for name in row if name != "algorithm"}):
        domains[name] = Categorical(sorted({row[name] for row in dicts if name in row}, key=_size))
        conditions.append((name, "algorithm", (name.split("_")[0],)))
    if (
        found["balanced_error"].shape != (len(found["name"]), len(rows))
        or not np.isfinite(found["balanced_error"]).all()
    ):
        raise InputError(f"{path}: altered; balanced_error {found['balanced_error'].shape} has gaps or another shape")
    space = Space(domains, conditions)
    names = [str(name) for name in found["name"]]
    first = [re.split(r"[-_\d(. ]", name)[0].lower() for name in names]
    return Oboe(
        space,
        {name: np.asarray(column) for name, column in space.configs(dicts).items()},
        found["balanced_error"].astype(np.float64),
        found["metafeatures"],
        [str(name) for name in found["metafeature_names"]],
        names,
        np.unique(first, return_inverse=True)[1].ravel(),
    )


def _size(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _file(folder: str, name: str) -> Any:
    path = home() / folder / name
    if not path.is_file():
        raise InputError(f"{path}: no such file; put the prepared table there (see the README, Data)")
    return path
