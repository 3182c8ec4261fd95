"""Learning meta-data that others have collected: whole tables of trainings, read from prepared ``.npz`` files.

The files are read from below ``$METAJAX_DATA``:

* ``hpo_tabular/hpobench.npz``: the MLP tables of HPOBench (Eggensperger et al. 2021, arXiv:2109.06716);
* ``hpo_tabular/hpolib.npz``: the FCNet tables (Klein and Hutter 2019, arXiv:1905.04970);
* ``oboe/oboe_joined_metafeatures.npz``: the collection of Oboe (Yang et al. 2019, arXiv:1808.03233) with the meta-features of
  OpenML.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metajax.data._home import home, load_npz
from metajax.space import Categorical, Integer, Space
from metajax.types import InputError

__all__ = ["Oboe", "TabularBenchmark", "fcnet", "hpobench", "oboe"]


class TabularBenchmark(NamedTuple):
    """Every configuration of a finite space, trained on one dataset.

    Attributes:
        name: Name of the dataset.
        space: The space. Ordered hyperparameters are ``Integer``, the index of their value in its list; others ``Categorical``.
        configs: All configurations, a struct of arrays.
        values: f64[configurations, seeds], the metric of each training.
        maximize: Whether a larger metric is better.

    Example:
        >>> from metajax import predictor
        >>> space = Space({"layers": Integer(1, 3)})
        >>> errors = np.array([[0.3, 0.2], [0.1, 0.1], [0.2, 0.4]])
        >>> table = predictor.benchmarks.TabularBenchmark("mine", space, space.at(range(3)), errors, maximize=False)
        >>> predictor.Trials.from_tables([table]).metric.round(2).tolist()
        [0.25, 0.1, 0.3]
    """

    name: str
    space: Space
    configs: dict[str, np.ndarray]
    values: np.ndarray
    maximize: bool


def hpobench() -> list[TabularBenchmark]:
    """Reads the MLP tables of HPOBench.

    Returns:
        Eight tables of 30,000 configurations of an MLP, with the balanced validation accuracy of 5 trainings each.

    Raises:
        InputError: If the file is missing or altered.

    References:
        Eggensperger et al., HPOBench: a collection of reproducible multi-fidelity benchmark problems for HPO, 2021,
        arXiv:2109.06716.

    Example:
        >>> tables = hpobench()  # doctest: +SKIP
        >>> len(tables), int(tables[0].space.size)  # doctest: +SKIP
        (8, 30000)
    """
    return _grids("hpobench.npz", "val_acc", True)


def fcnet() -> list[TabularBenchmark]:
    """Reads the FCNet tables.

    Returns:
        Four tables of 62,208 configurations of a two-layer network for regression, with the validation error (mean squared)
        of 4 trainings each.

    Raises:
        InputError: If the file is missing or altered.

    References:
        Klein and Hutter, Tabular benchmarks for joint architecture and hyperparameter optimization, 2019, arXiv:1905.04970.

    Example:
        >>> [int(table.space.size) for table in fcnet()]  # doctest: +SKIP
        [62208, 62208, 62208, 62208]
    """
    return _grids("hpolib.npz", "val_loss", False)


def _grids(file: str, column: str, maximize: bool) -> list[TabularBenchmark]:
    """The tables of one prepared file of grids."""
    path = _file("hpo_tabular", file)
    arrays = load_npz(path, ("config_index", "param_names", "space_json", "datasets", column))
    names = [str(n) for n in arrays["param_names"]]
    index, values = arrays["config_index"].astype(np.int32), arrays[column]
    try:
        lists = json.loads(str(arrays["space_json"]))
        sizes = [len(lists[name]) for name in names]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is altered: space_json does not hold lists of values for {names} ({error!r})"
        ) from error
    if values.shape[:2] != (len(arrays["datasets"]), np.prod(sizes)) or index.shape != (values.shape[1], len(names)):
        raise InputError(f"{path}: is altered: {column} {values.shape} does not fit the grid of {sizes}")
    domain = lambda values: Categorical(values) if isinstance(values[0], str) else Integer(0, len(values) - 1)
    space = Space({name: domain(lists[name]) for name in names})
    configs = {name: index[:, i] for i, name in enumerate(names)}
    return [
        TabularBenchmark(str(dataset), space, configs, values[i].astype(np.float64), maximize)
        for i, dataset in enumerate(arrays["datasets"])
    ]


class Oboe(NamedTuple):
    """Errors of 219 configurations of 12 model types of scikit-learn on 415 datasets of OpenML.

    Attributes:
        space: ``algorithm`` and, where it is chosen, its hyperparameters, each with the values that occur.
        configs: The 219 configurations, a struct of arrays.
        error: f64[415, 219], balanced error.
        meta: f64[415, 48], meta-features, NaN where unknown.
        meta_names: Names of the meta-features.
        names: Names of the datasets.
        family: int[415]. Datasets of one family (``fri_c0_250_5``, ``fri_c1_500_10``, ...) share the first word of their
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
    """Reads the collection of Oboe.

    Returns:
        The configurations, their errors and the meta-features of the datasets.

    Raises:
        InputError: If the file is missing or altered.

    References:
        Yang et al., OBOE: collaborative filtering for AutoML model selection, 2019, arXiv:1808.03233.

    Example:
        >>> collection = oboe()  # doctest: +SKIP
    """
    path = _file("oboe", "oboe_joined_metafeatures.npz")
    arrays = load_npz(path, ("metafeatures", "metafeature_names", "balanced_error", "configs_json", "name"))
    conditions, dicts = [], []
    try:
        rows = [json.loads(str(text)) for text in arrays["configs_json"]]
        for row in rows:
            hyperparameters = {
                f"{row['algorithm']}_{name}": str(value) for name, value in row["hyperparameters"].items()
            }
            dicts.append({"algorithm": row["algorithm"], **hyperparameters})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is altered: configs_json does not hold configurations ({error!r})") from error
    domains: dict[str, Any] = {"algorithm": Categorical(sorted({row["algorithm"] for row in rows}))}
    for name in sorted({name for row in dicts for name in row if name != "algorithm"}):
        domains[name] = Categorical(sorted({row[name] for row in dicts if name in row}, key=_size))
        conditions.append((name, "algorithm", (name.split("_")[0],)))
    if (
        arrays["balanced_error"].shape != (len(arrays["name"]), len(rows))
        or not np.isfinite(arrays["balanced_error"]).all()
    ):
        raise InputError(
            f"{path}: is altered: balanced_error {arrays['balanced_error'].shape} has gaps or another shape"
        )
    space = Space(domains, conditions)
    names = [str(name) for name in arrays["name"]]
    first = [re.split(r"[-_\d(. ]", name)[0].lower() for name in names]
    return Oboe(
        space,
        {name: np.asarray(column) for name, column in space.configs(dicts).items()},
        arrays["balanced_error"].astype(np.float64),
        arrays["metafeatures"],
        [str(name) for name in arrays["metafeature_names"]],
        names,
        np.unique(first, return_inverse=True)[1].ravel(),
    )


def _size(text: str) -> tuple[bool, float, str]:
    """A key that sorts numbers by size, before other texts."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _file(folder: str, name: str) -> Path:
    """The path of a prepared file that exists."""
    path = home() / folder / name
    if not path.is_file():
        raise InputError(f"{path}: no such file; put the prepared table there (see the README, Data)")
    return path
