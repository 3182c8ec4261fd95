"""Tables from scikit-learn's generators and two of our own, for ``experiments.automl.automl_prior``."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from metajax.data import tabular


class Draw(NamedTuple):
    """What a generator is given: its random numbers, the rows, the noise, and the seed of scikit-learn's generator."""

    rng: np.random.Generator
    rows: int
    noise: float
    seed: int


def _clusters(draw: Draw, classes: int, clusters: int, flipped: float, weights: list[float] | None) -> Any:
    from sklearn import datasets

    features = int(draw.rng.choice([8, 16]))
    return datasets.make_classification(
        draw.rows,
        features,
        n_informative=features // 2,
        n_redundant=features // 4,
        n_classes=classes,
        n_clusters_per_class=int(draw.rng.integers(1, clusters)),
        class_sep=float(draw.rng.uniform(0.6, 1.6)),
        flip_y=flipped,
        weights=weights,
        random_state=draw.seed,
    )[:2]


def _sklearn(name: str, *args: Any, **kwargs: Any) -> Any:
    from sklearn import datasets

    return getattr(datasets, f"make_{name}")(*args, **kwargs)[:2]


def _moons(draw: Draw) -> Any:
    return _sklearn("moons", draw.rows, noise=0.1 + 0.3 * draw.noise, random_state=draw.seed)


def _circles(draw: Draw) -> Any:
    return _sklearn("circles", draw.rows, noise=0.05 + 0.2 * draw.noise, factor=0.6, random_state=draw.seed)


def _quantiles(draw: Draw) -> Any:
    return _sklearn("gaussian_quantiles", n_samples=draw.rows, n_features=6, n_classes=3, random_state=draw.seed)


def _linear(draw: Draw) -> Any:
    return _sklearn("regression", draw.rows, 12, n_informative=6, noise=50 * draw.noise, random_state=draw.seed)


def _sparse(draw: Draw) -> Any:
    return _sklearn("sparse_uncorrelated", draw.rows, 10, random_state=draw.seed)


def _friedman(draw: Draw, number: int) -> Any:
    x, y = _sklearn(f"friedman{number}", draw.rows, random_state=draw.seed)
    return x, y + draw.noise * 0.5 * np.std(y) * draw.rng.normal(size=draw.rows)


def _steps(draw: Draw) -> Any:
    x = draw.rng.uniform(-1, 1, size=(draw.rows, 6))
    noise = 0.3 * draw.noise * draw.rng.normal(size=draw.rows)
    return x, np.sign(x[:, 0]) + 2.0 * (x[:, 1] > 0.3) * (x[:, 2] > 0) + noise


GENERATORS: dict[str, Callable[[Draw], Any]] = {
    "clusters": lambda draw: _clusters(draw, 2, 4, 0.01, None),
    "clusters of many classes": lambda draw: _clusters(draw, 6, 3, 0.01, None),
    "moons": _moons,
    "circles": _circles,
    "quantiles": _quantiles,
    "linear": _linear,
    "sparse": _sparse,
    "friedman1": lambda draw: _friedman(draw, 1),
    "friedman2": lambda draw: _friedman(draw, 2),
    "friedman3": lambda draw: _friedman(draw, 3),
    "noisy labels": lambda draw: _clusters(draw, 2, 4, 0.2, [0.85]),
    "steps": _steps,
}
"""What makes the columns and the target of a table, by name; the order is that of the seeds."""
REGRESSION = ("linear", "sparse", "friedman1", "friedman2", "friedman3", "steps")
INDEX = {name: i for i, name in enumerate(GENERATORS)}


def dataset(generator: str, number: int) -> tabular.Dataset:
    """Generates one table. There are few sizes, so that few programs are compiled."""
    rng = np.random.default_rng((INDEX[generator], number))
    seed, rows = int(rng.integers(2**31)), int(rng.choice([300, 800, 1500]))
    useless = int(rng.choice([0, 4, 16]))
    noise = float(rng.choice([0.05, 0.3, 1.0]))
    x, y = GENERATORS[generator](Draw(rng, rows, noise, seed))
    x = np.concatenate([x, rng.normal(size=(len(x), useless))], axis=1)[:, rng.permutation(x.shape[1] + useless)]
    pd = tabular.pandas()
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])
    if generator in REGRESSION:
        return tabular.to_dataset(frame, pd.Series(y), "y", [], "regression")
    return tabular.to_dataset(frame, pd.Series(y.astype(str)), "y", [], "classification")
