"""A small space with everything in it, all of its configurations, and random models."""

import itertools

import numpy as np

from metajax.predictor._forms import Network, Pairs
from metajax.search._groups import groups
from metajax.space import Categorical, Float, Integer, Space, Subset

SPACE = Space(
    {
        "a": Categorical(("x", "y", "z")),
        "b": Integer(1, 4),
        "s": Subset(3, nonempty=True),
        "c": Categorical(("p", "q")),
        "d": Float(0.0, 1.0, grid=4),
    },
    [("c", "a", ("x", "y")), ("s", "c", ("p",))],
)


def every(parts):
    """int[n, groups]: all assignments of a small space; limits are not looked at."""
    product = np.array(list(itertools.product(*(range(len(group.rows)) for group in parts))))
    keep = np.ones(len(product), bool)
    for i, group in enumerate(parts):
        if group.parent >= 0:
            exists = np.isin(product[:, group.parent], group.accepted)
            keep &= np.where(exists, product[:, i] < group.others, product[:, i] == group.absent)
    return product[keep]


PARTS = groups(SPACE)
ALL = every(PARTS)
ENCODINGS = sum(PARTS[i].rows[ALL[:, i]] for i in range(len(PARTS)))
COLUMN = {group.name: i for i, group in enumerate(PARTS)}
ITEMS = [i for i, group in enumerate(PARTS) if group.name == "s"]
FILLED = ~((ALL[:, COLUMN["c"]] == 0) & (ALL[:, ITEMS].sum(axis=1) == 0))


def random_form(rng, kind):
    """A model and the same in plain NumPy."""
    width = SPACE.width
    if kind == "pairs":
        pairs = rng.normal(size=(width, width))
        pairs = np.triu(pairs, 1) + np.triu(pairs, 1).T
        form = Pairs(float(rng.normal()), rng.normal(size=width), pairs)
        return form, lambda x: form.constant + x @ form.linear + 0.5 * np.einsum("nw,wx,nx->n", x, pairs, x)
    sizes = [width, *rng.integers(1, 9, size=1 if kind == "one" else 2), 1]
    layers = tuple((rng.normal(size=(a, b)), rng.normal(size=b)) for a, b in zip(sizes[:-1], sizes[1:]))

    def run(x):
        for i, (weights, bias) in enumerate(layers):
            x = (np.maximum(x, 0) if i else x) @ weights + bias
        return x[:, 0]

    return Network(layers), run
