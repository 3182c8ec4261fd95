"""Models of cells, the graphs of architecture search: as counts of paths, and by a graph network."""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.predictor._features import Features
from metajax.predictor._networks import trained
from metajax.predictor._spec import Spec
from metajax.space import Categorical, Space
from metajax.types import InputError

__all__ = ["CellGraph", "cell_graph", "graph_network", "path_features"]


class CellGraph(NamedTuple):
    """A cell in an encoding: operations on the edges of a directed graph, from node 0 to the last node.

    Attributes:
        edges: ``[(source, target, columns), ...]``, sorted by target; ``columns`` of the encoding, one for each operation.
        operations: The names of the operations.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Categorical, Space
        >>> cell = predictor.architectures.cell_graph(Space({"edge_0_1": Categorical(("none", "conv"))}))
        >>> cell.operations, [(source, target) for source, target, _ in cell.edges]
        (('none', 'conv'), [(0, 1)])
    """

    edges: list[tuple[int, int, np.ndarray]]
    operations: tuple[Any, ...]

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return 1 + max(target for _, target, _ in self.edges)


def cell_graph(space: Space, prefix: str = "edge_") -> CellGraph:
    """Finds the cell of a space, whose edges are domains ``{prefix}{source}_{target}`` with the same choices.

    Args:
        space: The space; other domains are ignored.
        prefix: Prefix of the names of the edges.

    Returns:
        The cell.

    Raises:
        InputError: If there are no edges, their choices differ, or an edge leads backwards.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Categorical, Space
        >>> edges = {name: Categorical(("none", "conv")) for name in ("edge_0_1", "edge_0_2", "edge_1_2")}
        >>> predictor.architectures.cell_graph(Space(edges)).nodes
        3
    """
    edges, choices = [], set()
    for name, domain in space.domains.items():
        ends = name.removeprefix(prefix).split("_")
        if not name.startswith(prefix) or len(ends) != 2 or not all(e.isdigit() for e in ends):
            continue
        if not isinstance(domain, Categorical) or not int(ends[0]) < int(ends[1]):
            raise InputError(
                f"cell_graph: {name} must be a Categorical on an edge from a node to a later one, got {domain}"
            )
        choices.add(domain.choices)
        part = space.slices[name]
        edges.append((int(ends[0]), int(ends[1]), np.arange(part.start, part.stop)))
    if len(choices) != 1:
        raise InputError(
            f"cell_graph: the space must have edges named like {prefix}0_1 that share one list of operations, got the "
            f"lists {sorted(choices)}"
        )
    return CellGraph(sorted(edges, key=lambda e: (e[1], e[0])), choices.pop())


def path_features(
    space: Space,
    prefix: str = "edge_",
    absent: Any = "none",
    identity: Any = "skip",
    longest: int = 3,
) -> Features:
    r"""Describes a cell by its paths from input to output, so that cells which compute the same look alike.

    With the weight $x_{ij,o}$ of operation o on the edge from node i to j, the count of a word is

    $$n(o_1 \dots o_k) = \sum_{0 = i_0 < i_1 < \dots < i_k} \; \prod_{l=1}^{k} x_{i_{l-1} i_l, o_l}$$

    A path is a word of operations, without the identity. The columns count how often each word occurs; for each operation,
    and for all together, how many paths have it 0, 1, 2, ... times; and whether any path has. Counts are sums of products of
    the encoding, so that those of a relaxed cell are expected counts.

    Args:
        space: A space with domains ``{prefix}{source}_{target}``; other domains are ignored.
        prefix: Prefix of the names of the edges.
        absent: The operation that cuts a path.
        identity: The operation that changes nothing.
        longest: Words keep at most this number of their last operations; there are (operations - 2)^longest longest words.

    Returns:
        The features ``"paths"`` for ``predictor.with_features``.

    Raises:
        InputError: If the space has no cell, no operation is left, or ``longest`` is below 1.

    Deviations:
        BANANAS encodes whether a path exists. Here words leave the identity out, are cut to their last operations, and are
        counted; counts of operations in a path stand beside them.

    References:
        White, Neiswanger and Savani, BANANAS: Bayesian optimization with neural architectures for neural architecture
        search, 2021, arXiv:1910.11858.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Categorical, Space
        >>> operations = Categorical(("none", "skip", "conv"))
        >>> space = Space({name: operations for name in ("edge_0_1", "edge_0_2", "edge_1_2")})
        >>> same = [
        ...     {"edge_0_1": "conv", "edge_0_2": "none", "edge_1_2": "skip"},
        ...     {"edge_0_1": "skip", "edge_0_2": "none", "edge_1_2": "conv"},
        ... ]
        >>> first, second = predictor.architectures.path_features(space).apply(space.encode(space.configs(same)))
        >>> bool((first == second).all())  # one convolution, before or after the identity
        True
    """
    graph = cell_graph(space, prefix)
    operations = [o for o in graph.operations if o not in (absent, identity)]
    if not operations or longest < 1:
        raise InputError(
            "path_features: the space must have at least one operation besides absent and identity, and longest must be >= 1, "
            f"got operations {operations} and longest={longest}"
        )
    sequences = [w for length in range(longest + 1) for w in itertools.product(range(len(operations)), repeat=length)]
    index = {sequence: i for i, sequence in enumerate(sequences)}
    # longer[k][i] is the index of sequence i with operation k appended
    longer = [np.array([index[(*w, k)[-longest:]] for w in sequences]) for k in range(len(operations))]
    column = {o: i for i, o in enumerate(graph.operations)}
    count = _occurrences(sequences, len(operations), longest)

    def apply(x):
        nodes = [jnp.zeros((len(x), len(sequences)), x.dtype).at[:, 0].set(1.0)]
        for target in range(1, graph.nodes):
            total = jnp.zeros((len(x), len(sequences)), x.dtype)
            for source, end, columns in graph.edges:
                if end != target:
                    continue
                weights = x[:, columns]
                if identity in column:
                    total = total + weights[:, column[identity], None] * nodes[source]
                for k, operation in enumerate(operations):
                    total = total.at[:, longer[k]].add(weights[:, column[operation], None] * nodes[source])
            nodes.append(total)
        counts = nodes[-1] @ jnp.asarray(count, x.dtype)
        return jnp.concatenate([nodes[-1], counts, jnp.minimum(counts, 1.0)], axis=1)

    block_of_column = 1 + np.repeat(np.arange(len(operations) + 1), longest + 1)
    return Features(
        "paths",
        apply,
        np.concatenate([np.zeros(len(sequences), np.int64), block_of_column, block_of_column]),
        space.width,
    )


def _occurrences(sequences: list[tuple[int, ...]], n_operations: int, longest: int) -> np.ndarray:
    """f32[sequences, (operations + 1) * (longest + 1)]: whether each operation, and all together, occur 0, 1, ... times."""
    occurs = np.zeros((len(sequences), n_operations + 1, longest + 1), np.float32)
    for i, sequence in enumerate(sequences):
        for operation in range(n_operations):
            occurs[i, operation, sequence.count(operation)] = 1.0
        occurs[i, n_operations, len(sequence)] = 1.0
    return occurs.reshape(len(sequences), -1)


def graph_network(
    space: Space,
    prefix: str = "edge_",
    hidden: int = 32,
    members: int = 4,
    steps: int = 400,
    learning_rate: float = 1e-2,
    weight_decay: float = 3e-3,
) -> Spec:
    r"""An ensemble of graph networks on a cell, with messages along the edges of the cell itself.

    The state of node j sums the messages of the nodes before it, from a learned state $h_0$:

    $$h_j = \sum_{i < j} \sum_o x_{ij,o} \, \mathrm{relu}(W_o^\top h_i + b_o)$$

    A linear head reads the
    last node and what is not the cell (other choices, context). One function serves all edges, so that a cell learned in one
    place is known in another. Relaxed cells are read as they are.

    Args:
        space: A space with a cell; see ``cell_graph``.
        prefix: Prefix of the names of the edges.
        hidden: Width of the state of a node.
        members: Number of networks from different initializations; their spread is part of the deviation.
        steps: Full-batch updates; the learning rate falls to zero by a cosine.
        learning_rate: Initial learning rate of AdamW.
        weight_decay: Weight decay of AdamW.

    Returns:
        The spec ``"graph"``.

    Raises:
        InputError: If the space has no cell.

    Deviations:
        Wen et al. put operations on nodes, pass messages both ways in layers, and average the nodes. Here operations are on
        edges, as in NAS-Bench-201, messages pass once from input to output, and the last node is read.

    References:
        Wen et al., Neural predictor for neural architecture search, 2020, arXiv:1912.00848.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Categorical, Space
        >>> space = Space({f"edge_{i}_{j}": Categorical(("none", "conv")) for i, j in ((0, 1), (0, 2), (1, 2))})
        >>> predictor.architectures.graph_network(space, steps=10).name
        'graph'
    """
    cell = cell_graph(space, prefix)
    edge_columns = {int(c) for _, _, columns in cell.edges for c in columns}

    def initial(key: jax.Array, columns: int, dtype: Any) -> Any:
        operations, n_other_columns = len(cell.operations), columns - len(edge_columns)
        draw = lambda i, *shape: jax.random.normal(jax.random.fold_in(key, i), shape, dtype)
        return {
            "input": draw(0, hidden),
            "kernel": draw(1, operations, hidden, hidden) * (2 / hidden) ** 0.5,
            "bias": jnp.zeros((operations, hidden), dtype),
            "head": draw(2, hidden + n_other_columns) * (hidden + n_other_columns) ** -0.5,
            "constant": jnp.zeros((), dtype),
        }

    def forward(params: Any, x: jax.Array) -> jax.Array:
        nodes = [jnp.broadcast_to(params["input"], (len(x), hidden))]
        for target in range(1, cell.nodes):
            total = jnp.zeros((len(x), hidden), x.dtype)
            for source, end, columns in cell.edges:
                if end == target:
                    messages = jax.nn.relu(jnp.einsum("nh,ohk->nok", nodes[source], params["kernel"]) + params["bias"])
                    total = total + jnp.einsum("no,nok->nk", x[:, columns], messages)
            nodes.append(total)
        other_columns = jnp.asarray([c for c in range(x.shape[1]) if c not in edge_columns], jnp.int32)
        return jnp.concatenate([nodes[-1], x[:, other_columns]], axis=1) @ params["head"] + params["constant"]

    return trained("graph", initial, forward, members, steps, learning_rate, weight_decay)
