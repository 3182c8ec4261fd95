"""A graph network for cells: nodes are what their edges bring, edges are what their operation makes of a node."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax.predictor._features import cell
from metajax.predictor._specs import Spec, trained
from metajax.space import Space


def graph(
    space: Space,
    prefix: str = "edge_",
    hidden: int = 32,
    members: int = 4,
    steps: int = 400,
    rate: float = 1e-2,
    decay: float = 3e-3,
) -> Spec:
    """An ensemble of graph networks on a cell, as in a neural predictor (Wen et al. 2020, arXiv:1912.00848), messages along
    the cell's own edges: ``h_j = Σ_i Σ_o x[i, j, o] relu(h_i W_o + b_o)`` from a learned ``h_0``; a linear head reads the
    last node and what is not the cell (other choices, context). One function for all edges, so that a cell learnt at one
    place is known at another; relaxed cells are read as they are.

    Args:
        space: has a cell, as of ``predictor.cell``.
        prefix: of the edges' names.
        hidden: width of a node.
        members: networks from different initializations; their spread is part of the deviation.
        steps, rate, decay: of AdamW on all rows, the rate falling by a cosine.

    Example:
        >>> from metajax.space import Categorical
        >>> graph(Space({f"edge_{i}_{j}": Categorical(("none", "conv")) for i, j in ((0, 1), (0, 2), (1, 2))})).name
        'graph'
    """
    found = cell(space, prefix)
    inside = {int(c) for _, _, columns in found.edges for c in columns}

    def initial(key: jax.Array, columns: int, dtype: Any) -> Any:
        operations, others = len(found.operations), columns - len(inside)
        draw = lambda i, *shape: jax.random.normal(jax.random.fold_in(key, i), shape, dtype)
        return {
            "input": draw(0, hidden),
            "kernel": draw(1, operations, hidden, hidden) * (2 / hidden) ** 0.5,
            "bias": jnp.zeros((operations, hidden), dtype),
            "head": draw(2, hidden + others) * (hidden + others) ** -0.5,
            "constant": jnp.zeros((), dtype),
        }

    def forward(params: Any, x: jax.Array) -> jax.Array:
        nodes = [jnp.broadcast_to(params["input"], (len(x), hidden))]
        for target in range(1, found.nodes):
            total = jnp.zeros((len(x), hidden), x.dtype)
            for source, end, columns in found.edges:
                if end == target:
                    made = jax.nn.relu(jnp.einsum("nh,ohk->nok", nodes[source], params["kernel"]) + params["bias"])
                    total = total + jnp.einsum("no,nok->nk", x[:, columns], made)
            nodes.append(total)
        others = jnp.asarray([c for c in range(x.shape[1]) if c not in inside], jnp.int32)
        return jnp.concatenate([nodes[-1], x[:, others]], axis=1) @ params["head"] + params["constant"]

    optimizer = lambda count: optax.adamw(optax.cosine_decay_schedule(rate, count), weight_decay=decay)
    return trained("graph", initial, forward, members, steps, optimizer)
