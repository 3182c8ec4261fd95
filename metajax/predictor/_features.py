"""Other columns that a model reads, computed from the encoding: differentiable, so that searches by gradient go through."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.predictor._specs import Spec
from metajax.space import Categorical, Space
from metajax.types import InputError


class Features(NamedTuple):
    """Columns computed from encodings.

    Attributes:
        name: for tables.
        apply: f[n, width] -> f[n, columns], pure.
        blocks: int[columns]: columns of one number share a length scale.
        width: of the encodings.
    """

    name: str
    apply: Callable[[jax.Array], jax.Array]
    blocks: np.ndarray
    width: int


def on(features: Features, spec: Spec, keep: bool = False) -> Spec:
    """A model that reads features in place of the encoding, or beside it with ``keep``; columns of context stay.

    Example:
        >>> from metajax.predictor import kernel
        >>> space = Space({f"edge_{i}_{j}": Categorical(("none", "skip", "conv")) for i, j in ((0, 1), (0, 2), (1, 2))})
        >>> on(paths(space), kernel()).name
        'kernel on paths'
    """

    def read(x):
        encoding, context = x[:, : features.width], x[:, features.width :]
        return jnp.concatenate([features.apply(encoding), *([encoding] if keep else []), context], axis=1)

    def number(blocks):
        encoding, context = blocks[: features.width], blocks[features.width :]
        first = int(features.blocks.max()) + 1
        columns = jnp.asarray(features.blocks, blocks.dtype)
        # columns that are left out leave their numbers unused, which no model minds
        return jnp.concatenate([columns, *([encoding + first] if keep else []), context + first])

    def fit(key, x, y, weight, blocks, start=None):
        return spec.fit(key, read(x), y, weight, number(jnp.asarray(blocks)), start)

    name = f"{spec.name} on {features.name}" + (" and choices" if keep else "")
    return Spec(name, fit, lambda params, x: spec.apply(params, read(x)), most=spec.most)


class Cell(NamedTuple):
    """A cell in an encoding: operations on the edges of a directed graph from node 0 to its last node.

    Attributes:
        edges: ``[(source, target, columns), ...]`` by target, columns one for each operation.
        operations: their names.
    """

    edges: list[tuple[int, int, np.ndarray]]
    operations: tuple[Any, ...]

    @property
    def nodes(self) -> int:
        return 1 + max(target for _, target, _ in self.edges)


def cell(space: Space, prefix: str = "edge_") -> Cell:
    """The cell of a space whose domains ``{prefix}{source}_{target}`` are ``Categorical`` with the same choices.

    Raises:
        InputError: if there are none, they differ, or an edge leads backwards.
    """
    edges, choices = [], set()
    for name, domain in space.domains.items():
        ends = name.removeprefix(prefix).split("_")
        if not name.startswith(prefix) or len(ends) != 2 or not all(e.isdigit() for e in ends):
            continue
        if not isinstance(domain, Categorical) or not int(ends[0]) < int(ends[1]):
            raise InputError(f"cell: {name} is {domain}; accepted is a Categorical on an edge that leads forwards")
        choices.add(domain.choices)
        part = space.slices[name]
        edges.append((int(ends[0]), int(ends[1]), np.arange(part.start, part.stop)))
    if len(choices) != 1:
        raise InputError(
            f"cell: edges named {prefix}0_1 with one list of operations are needed; found {sorted(choices)}"
        )
    return Cell(sorted(edges, key=lambda e: (e[1], e[0])), choices.pop())


def paths(
    space: Space,
    prefix: str = "edge_",
    absent: Any = "none",
    identity: Any = "skip",
    longest: int = 3,
) -> Features:
    """A cell by its paths from input to output (White et al. 2021, arXiv:1910.11858), as words of operations without the
    identity, so that cells which compute the same look alike: how often each word occurs; for each operation, and for all
    together, how many paths have it 0, 1, 2, ... times; and whether any has. Counts are sums of products of the encoding:
    the expected counts of a relaxed cell.

    Args:
        space: has domains ``{prefix}{source}_{target}``; others are not looked at.
        prefix: of the edges' names.
        absent: the operation that cuts a path.
        identity: the operation that changes nothing.
        longest: words keep their last operations, at most so many; there are (operations - 2)^longest of them.

    Raises:
        InputError: if the space has no cell, no operation is left, or ``longest`` is below 1.
    """
    found = cell(space, prefix)
    kinds = [o for o in found.operations if o not in (absent, identity)]
    if not kinds or longest < 1:
        raise InputError(f"paths: operations {kinds}, longest={longest}; accepted are at least one of each")
    groups = [{k} for k in range(len(kinds))] + [set(range(len(kinds)))]
    words = [w for length in range(longest + 1) for w in itertools.product(range(len(kinds)), repeat=length)]
    place = {word: i for i, word in enumerate(words)}
    # longer[k][i]: the word i with one more operation at its end
    longer = [np.array([place[(*w, k)[-longest:]] for w in words]) for k in range(len(kinds))]
    column = {o: i for i, o in enumerate(found.operations)}
    count = np.zeros((len(words), len(groups), longest + 1), np.float32)
    for i, word in enumerate(words):
        for g, group in enumerate(groups):
            count[i, g, sum(k in group for k in word)] = 1.0
    count = count.reshape(len(words), -1)

    def apply(x):
        nodes = [jnp.zeros((len(x), len(words)), x.dtype).at[:, 0].set(1.0)]
        for target in range(1, found.nodes):
            total = jnp.zeros((len(x), len(words)), x.dtype)
            for source, end, columns in found.edges:
                if end != target:
                    continue
                weights = x[:, columns]
                if identity in column:
                    total = total + weights[:, column[identity], None] * nodes[source]
                for k, kind in enumerate(kinds):
                    total = total.at[:, longer[k]].add(weights[:, column[kind], None] * nodes[source])
            nodes.append(total)
        counts = nodes[-1] @ jnp.asarray(count, x.dtype)
        return jnp.concatenate([nodes[-1], counts, jnp.minimum(counts, 1.0)], axis=1)

    each = 1 + np.repeat(np.arange(len(groups)), longest + 1)
    return Features("paths", apply, np.concatenate([np.zeros(len(words), np.int64), each, each]), space.width)
