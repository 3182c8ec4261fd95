"""The truth of a small space: every architecture trained in one program, kept in a file."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax.nn import Functional, check_labels, label_cross_entropy
from metajax.run import write_json
from metajax.space import Space
from metajax.types import InputError


class Table(NamedTuple):
    """Scores of architectures.

    Attributes:
        accuracy: float[architectures, seeds].
        index: int[architectures], their places in ``space.at``.
        made_of: a hash of what the scores come from: space, parameters, data, training, seeds, key.
    """

    accuracy: np.ndarray
    index: np.ndarray
    made_of: str = ""

    @property
    def mean(self) -> np.ndarray:
        return self.accuracy.mean(axis=1)

    def rank(self, index: int, within: float = 0.0) -> int:
        """The rank of an architecture, 1 for the best: one more than the number of architectures that are better.

        Args:
            index: its place in ``space.at``.
            within: how much better another one may be and yet share the rank, such as one test image, ``1 / len(test)``.

        Raises:
            InputError: if the table does not have it.

        Example:
            >>> table = Table(np.array([[0.9], [0.8], [0.7]]), np.arange(3))
            >>> table.rank(1), table.rank(1, within=0.1)
            (2, 1)
        """
        places = np.flatnonzero(self.index == index)
        if not len(places):
            raise InputError(f"rank: index={index} is not in this table of {len(self.index)} architectures")
        mean = self.mean
        return 1 + int(np.sum(mean - mean[places[0]] > within + 1e-6))  # accuracies are float32


def load_table(path: str | Path) -> Table:
    """A table that ``exhaust`` kept in a file.

    Raises:
        InputError: if the file is missing, altered, or not finished.
    """
    table = _read(Path(path))
    done = int(np.isfinite(table.accuracy).sum())
    if done < table.accuracy.size:
        raise InputError(
            f"{path}: holds {done} of {table.accuracy.size} trainings; exhaust with this path goes on with it"
        )
    return table


def _read(path: Path) -> Table:
    try:
        told = json.loads(path.read_text())
        content, checksum = told["table"], told["checksum"]
        table = Table(np.array(content["accuracy"], np.float64), np.array(content["index"]), content["made_of"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no table of exhaust ({error})") from None
    if checksum != _checksum(content):
        raise InputError(f"{path}: was altered, its checksum is not that of its content; delete it to train anew")
    return table


def _write(path: Path, table: Table) -> None:
    rows = [[None if np.isnan(score) else float(score) for score in row] for row in table.accuracy]
    content = {"made_of": table.made_of, "index": table.index.tolist(), "accuracy": rows}
    write_json(path, {"checksum": _checksum(content), "table": content}, indent=None)


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _made_of(*parts: Any) -> str:
    """A hash of arrays by their content and of everything else by its text."""
    made = hashlib.sha256()
    for part in parts:
        value = np.asarray(part) if isinstance(part, np.ndarray | jax.Array) else None
        made.update(repr(part).encode() if value is None else f"{value.dtype}{value.shape}".encode() + value.tobytes())
    return made.hexdigest()


def trains_sequentially() -> bool:
    """Whether ``exhaust`` trains one architecture after the other here, so that a network of single paths pays."""
    return jax.default_backend() == "cpu"


class Training(NamedTuple):
    """How each architecture is trained: Adam with cosine decay on shuffled epochs."""

    epochs: int = 15
    batch: int = 64
    rate: float = 5e-3


def trainer(
    network: Functional, training: Training, x: jax.Array, y: jax.Array, x_test: jax.Array, y_test: jax.Array
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """``(encoding, key) -> test accuracy`` of one architecture trained from scratch; can be vmapped."""
    per_epoch = len(x) // training.batch
    if per_epoch < 1:
        raise InputError(f"batch={training.batch} is larger than the {len(x)} training examples")
    steps = training.epochs * per_epoch
    optimizer = optax.adam(optax.cosine_decay_schedule(training.rate, steps))

    def loss(params, encoding, xb, yb):
        logits = network.apply(params, xb, encoding)
        for name, labels in (("y", y), ("y_test", y_test)):
            check_labels(labels, logits.shape[-1], name)
        return jnp.mean(label_cross_entropy(logits, yb))

    def run(encoding: jax.Array, key: jax.Array) -> jax.Array:
        init_key, order_key = jax.random.split(key)
        params = network.init(init_key)

        def epoch(carry, number):
            order = jax.random.permutation(jax.random.fold_in(order_key, number), len(x))
            rows = order[: per_epoch * training.batch].reshape(per_epoch, training.batch)

            def step(carry, chosen):
                params, opt_state = carry
                grads = jax.grad(loss)(params, encoding, x[chosen], y[chosen])
                updates, opt_state = optimizer.update(grads, opt_state, params)
                return (optax.apply_updates(params, updates), opt_state), None

            return jax.lax.scan(step, carry, rows)

        (params, _), _ = jax.lax.scan(epoch, (params, optimizer.init(params)), jnp.arange(training.epochs))
        predicted = jnp.argmax(network.apply(params, x_test, encoding), axis=-1).astype(y_test.dtype)
        return jnp.mean(predicted == y_test, dtype=jnp.float32)

    return run


def exhaust(
    space: Space,
    network: Functional,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    training: Training | None = None,
    seeds: int = 1,
    key: jax.Array | None = None,
    index: Any = None,
    side_by_side: int = 25,
    progress: Callable[[int, int], None] | None = None,
    path: str | Path | None = None,
) -> Table:
    """Trains every architecture of a small space, ``side_by_side`` in a call of one compiled program, spread evenly over the
    devices that there are.

    An accelerator trains those of a call together. A CPU gains nothing from that and trains one after the other, so that a
    network of single paths computes no operation but the architecture's own.

    Args:
        space: finite and small.
        network: ``init(key)`` and ``apply(params, x, encoding)``; on a CPU best one of single paths, such as that of
            ``supernet.spaces.cell_supernet(..., single_path=True)``.
        train, test: ``(x, y)``.
        training: how; seeds differ in initialization and order, architectures of one seed share both.
        seeds: trainings of each architecture.
        key: of the whole table.
        index: the architectures to train by their index in ``space.at``; all by default.
        side_by_side: how many a call trains; fewer need less memory. With several devices, rounded up to a multiple of them.
        progress: called with (trained, total).
        path: a file that is written after every group; what it holds is not trained again.

    Raises:
        InputError: if the space has more than 100,000 configurations, seeds or side_by_side are not positive, or the file is
            altered or holds another table.
    """
    if seeds < 1 or side_by_side < 1:
        raise InputError(f"exhaust: seeds={seeds}, side_by_side={side_by_side}; accepted are positive numbers")
    if index is None:
        if space.size > 100_000:
            raise InputError(f"exhaust: the space has {space.size} configurations; accepted are at most 100000")
        index = np.arange(int(space.size))
    index = np.atleast_1d(np.asarray(index))
    encodings = np.asarray(space.encode(space.at(index)))
    training = training or Training()
    keys = jax.random.split(jax.random.key(0) if key is None else key, seeds)
    devices = jax.devices()
    size = -(-min(side_by_side, len(index)) // len(devices)) * len(devices)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), jax.eval_shape(network.init, keys[0]))
    arrays = [np.asarray(part) for part in (*train, *test, jax.random.key_data(keys))]
    made_of = _made_of(space, shapes, training, size, index, *arrays)
    table = Table(np.full((len(index), seeds), np.nan), index, made_of)
    if path is not None and Path(path).exists():
        table = _read(Path(path))
        if table.made_of != made_of:
            raise InputError(f"{path}: holds another table (other space, data, training or seeds); give another path")

    run = trainer(network, training, *map(jnp.asarray, (*train, *test)))
    one_by_one = lambda encodings, key: jax.lax.map(lambda encoding: run(encoding, key), encodings)
    some = one_by_one if trains_sequentially() else jax.vmap(run, in_axes=(0, None))
    mesh, rows = jax.sharding.Mesh(np.asarray(devices), ("rows",)), jax.sharding.PartitionSpec("rows")
    spread = jax.sharding.NamedSharding(mesh, rows)
    whole = jax.sharding.PartitionSpec()
    many = jax.jit(jax.shard_map(some, mesh=mesh, in_specs=(rows, whole), out_specs=rows, check_vma=False))
    scores, done = table.accuracy, 0
    for s in range(seeds):
        for start in range(0, len(index), size):
            part = encodings[start : start + size]
            if np.isnan(scores[start : start + size, s]).any():
                filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
                scores[start : start + size, s] = np.asarray(many(jax.device_put(filled, spread), keys[s]))[: len(part)]
                if path is not None:
                    _write(Path(path), table)
            done += len(part)
            if progress:
                progress(done, len(index) * seeds)
    return table
