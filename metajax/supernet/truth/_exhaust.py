"""The truth of a small space: every architecture trained in one program."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import ArrayLike

from metajax.nn import Functional
from metajax.parallel import Devices, is_first, mesh
from metajax.space import Space
from metajax.supernet.truth._table import TruthTable, hash_of, read_table, write_table
from metajax.supernet.truth._training import TrainingSetup, trainer
from metajax.types import InputError, Key

MAX_ARCHITECTURES = 100_000
"""Maximum number of architectures that are trained if no ``index`` is given."""


def trains_sequentially() -> bool:
    """Returns whether ``exhaust`` trains one architecture after the other here, so that a network of single paths pays.

    Returns:
        True on a CPU, False elsewhere.

    Example:
        >>> trains_sequentially() == (jax.default_backend() == "cpu")
        True
    """
    return jax.default_backend() == "cpu"


def exhaust(
    space: Space,
    network: Functional,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    training: TrainingSetup | None = None,
    seeds: int = 1,
    key: Key | None = None,
    index: ArrayLike | None = None,
    side_by_side: int = 25,
    progress: Callable[[int, int], None] | None = None,
    path: str | Path | None = None,
    devices: Devices = "all",
) -> TruthTable:
    """Trains every architecture of a small space from scratch, in groups of one compiled program.

    The architectures of a group are spread evenly over the devices. An accelerator trains those of a group together. A CPU
    gains nothing from that and trains one after the other, so that a network of single paths computes no operation but the
    architecture's own.

    Args:
        space: The space, which must be finite and small.
        network: The network, with ``init(key)`` and ``apply(params, x, encoding)``. On a CPU it is best one of single paths,
            such as that of ``supernet.spaces.cell_supernet(..., single_path=True)``.
        train: The examples to learn from, ``(x, y)``.
        test: The examples to be judged on, ``(x, y)``.
        training: The training of each architecture, by default ``TrainingSetup()``. Seeds differ in initialization and order;
            architectures of one seed share both.
        seeds: The number of trainings of each architecture, at least 1.
        key: The key of the whole table; by default ``jax.random.key(0)``.
        index: The architectures to train by their index in ``space.at``; all by default.
        side_by_side: The number of architectures of a group, at least 1; fewer need less memory. With several devices, it is
            rounded up to a multiple of them.
        progress: A function that is called with (trained, total) after every group.
        path: The file that is written after every group; the results that it holds are not trained again.
        devices: The devices that share each group: how many, all, a list, or a mesh of one axis.

    Returns:
        The table of test accuracies.

    Raises:
        InputError: If the space has more than 100,000 configurations, seeds or side_by_side are not positive, or the file is
            altered or holds another table.

    Example:
        >>> from metajax.supernet import spaces
        >>> net, x, y = spaces.elastic_mlp(1, 2, (1,), (2, 4)), jnp.linspace(-1, 1, 64)[:, None], jnp.arange(64) // 32
        >>> exhaust(net.space, net.network, (x, y), (x, y), TrainingSetup(1, batch_size=16)).accuracy.shape
        (2, 1)
    """
    if seeds < 1 or side_by_side < 1:
        raise InputError(
            f"exhaust: seeds and side_by_side must be integers >= 1, got seeds={seeds}, side_by_side={side_by_side}"
        )
    rows = _rows(space, index)
    training = training or TrainingSetup()
    keys = jax.random.split(jax.random.key(0) if key is None else key, seeds)
    over = mesh(devices)
    size = -(-min(side_by_side, len(rows)) // over.size) * over.size
    shapes = jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), jax.eval_shape(network.init, keys[0]))
    arrays = [np.asarray(part) for part in (*train, *test, jax.random.key_data(keys))]
    table = _begun_table(path, rows, seeds, hash_of(space, shapes, _Text(training), size, rows, *arrays))
    train_group = _compiled_group(
        trainer(network, training, *map(jnp.asarray, (*train, *test))), over, jax.random.key_impl(keys)
    )
    encodings = np.asarray(space.encode(space.at(rows)))
    scores, n_trained = table.accuracy, 0
    for s in range(seeds):
        for start in range(0, len(rows), size):
            part = encodings[start : start + size]
            if np.isnan(scores[start : start + size, s]).any():
                filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
                scores[start : start + size, s] = np.asarray(train_group(filled, keys[s]))[: len(part)]
                if path is not None and is_first():
                    write_table(Path(path), table)
            n_trained += len(part)
            if progress:
                progress(n_trained, len(rows) * seeds)
    return table


class _Text:
    """The text of a training in the hash of a table; it stays as it was when the first tables were written."""

    def __init__(self, training: TrainingSetup):
        self.training = training

    def __repr__(self) -> str:
        epochs, batch_size, learning_rate = self.training
        return f"Training(epochs={epochs!r}, batch={batch_size!r}, rate={learning_rate!r})"


def _rows(space: Space, index: ArrayLike | None) -> np.ndarray:
    """Returns the indices of the architectures that are trained."""
    if index is None:
        if space.size > MAX_ARCHITECTURES:
            raise InputError(
                f"exhaust: space must have at most {MAX_ARCHITECTURES} configurations, got {space.size}; use index to "
                "train some of them"
            )
        index = np.arange(int(space.size))
    return np.atleast_1d(np.asarray(index))


def _begun_table(path: str | Path | None, rows: np.ndarray, seeds: int, made_of: str) -> TruthTable:
    """Returns the table of the file if it has one, else one without scores."""
    if path is None or not Path(path).exists():
        return TruthTable(np.full((len(rows), seeds), np.nan), rows, made_of)
    table = read_table(Path(path))
    if table.made_of != made_of:
        raise InputError(
            f"{path} holds another table (of another space, data, training or number of seeds); use another path"
        )
    return table


def _compiled_group(
    run: Callable[[jax.Array, Key], jax.Array], mesh: Mesh, impl: Any
) -> Callable[[np.ndarray, Key], jax.Array]:
    """Returns ``(encodings, key) -> accuracies``, spread over the devices of a mesh."""
    one_by_one = lambda encodings, key: jax.lax.map(lambda encoding: run(encoding, key), encodings)
    several = one_by_one if trains_sequentially() else jax.vmap(run, in_axes=(0, None))
    (axis,) = mesh.axis_names
    by_row, replicated = PartitionSpec(axis), PartitionSpec()
    spread_over = jax.shard_map(several, mesh=mesh, in_specs=(by_row, replicated), out_specs=by_row, check_vma=False)
    compiled = jax.jit(
        lambda encodings, key_data: spread_over(encodings, jax.random.wrap_key_data(key_data, impl=impl)),
        in_shardings=(NamedSharding(mesh, by_row), NamedSharding(mesh, replicated)),
        out_shardings=NamedSharding(mesh, replicated),
    )
    return lambda encodings, key: compiled(encodings, np.asarray(jax.random.key_data(key)))
