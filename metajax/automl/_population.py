"""A population of configurations trained in tiles: a few models at once in one compiled program.

Each model is computed in a shape that is little larger than its own, so that none pays for the size of another. The tiles
of a shape train in turn, some epochs each; when models have stopped, the others move together, so that stopped models cost
nothing.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax.automl import _calibrate as calibrate
from metajax.automl import _descent as descent
from metajax.automl import _encoding as encoding
from metajax.automl import _network as network
from metajax.automl import _network_params as network_params
from metajax.automl._metrics import ScoreFn
from metajax.automl._score import score, squared_error
from metajax.automl._space import MAX_DEPTH, SCHEDULES, WIDTHS
from metajax.automl._task import CURVE_POINTS, GROUP_SIZE, AllowsFn, Data, TrainingResults
from metajax.run._compiled import compiling
from metajax.types import generator, stream

_TILE_UNITS = 512  # A tile holds as many models as have about this many units side by side; more save nothing on a CPU.
_SECONDS_PER_MULTIPLICATION = 6 / 15e9  # of a training step, measured on one core that other work shared
_MIN_TILES = 4
"""Tiles of several models are another program, which pays for this number of them. With fewer, each model is a tile."""
_MAX_WASTE_SECONDS, _MAX_WASTE_SHARE = 1.0, 0.25
"""A model may be computed in a larger shape if that takes no more additional seconds, or no larger share: compiling takes
about two seconds for each shape, and some models share it."""
_PATIENCE_EPOCHS, _PATIENCE_SHARE = 16, 0.4
_SECONDS_OF_NEW_SHAPE, _SECONDS_OF_KNOWN_SHAPE = 6.0, 1.0
"""Networks are begun if so much time is left; compiling for a shape that was not trained yet takes most of it."""


class PaddedSize(NamedTuple):
    """What programs are compiled for; calls with fewer rows share them.

    Attributes:
        rows: Number of training rows.
        eval_rows: Number of evaluation rows.
    """

    rows: int
    eval_rows: int


_UNPADDED = PaddedSize(0, 0)


class Sampling(NamedTuple):
    """How rows enter a training.

    Attributes:
        layout: The layout of encoded rows.
        passes: Number of passes over the rows that count as one epoch.
        pad_to: What programs are compiled for.
        compiles_quickly: Whether they are to be compiled quickly rather than to run fast.
        known: The shapes that were trained so far, to which calls add.
    """

    layout: encoding.Layout
    passes: int = 1
    pad_to: PaddedSize = _UNPADDED
    compiles_quickly: bool = False
    known: set[Any] | None = None


def program_shape(own: network.Shape, layout: encoding.Layout, rows: int, outputs: int) -> network.Shape:
    """Returns the shape in which a model is computed, by its own shape and the rows that it trains on in all.

    Models of small tables are rounded up to few shapes, because compiling would take longer than training. Large ones are
    hardly rounded. The shape depends on nothing else, so all waves of a search share their programs.
    """
    every = network.Shape(True, True, bool(len(layout.numeric)), own.members, own.levels, own.width)
    levels = 2 if own.levels <= 2 else MAX_DEPTH
    wide = min(w for w in (128, WIDTHS[-1]) if own.width <= w)
    middle = min(w for w in (64, 256, WIDTHS[-1]) if own.width <= w)
    coarse_to_fine = (
        every._replace(levels=MAX_DEPTH, width=wide),
        every._replace(levels=levels, width=middle),
        own._replace(levels=levels, width=middle),
        own._replace(levels=levels),
    )
    cost = lambda shape: _SECONDS_PER_MULTIPLICATION * rows * shape.multiplications(layout, outputs)
    limit = cost(own) + max(_MAX_WASTE_SECONDS, _MAX_WASTE_SHARE * cost(own))
    return next((shape for shape in coarse_to_fine if cost(shape) <= limit), own)


class _Population:
    """What the tiles of a population share: the rows, in the form that the programs read."""

    def __init__(self, data: Data, sampling: Sampling, n_outputs: int, key: jax.Array, selects_epoch: bool):
        self.data, self.layout, self.n_outputs, self.key = data, sampling.layout, n_outputs, key
        self.x, self.y_eval = np.asarray(data.x), np.asarray(data.y_eval)
        self.classification = np.issubdtype(self.y_eval.dtype, np.integer)
        self.selects_epoch = selects_epoch
        self.dropout_seed = np.uint32(generator(stream(key, "dropout")).integers(2**32))
        self.passes, pad_to = sampling.passes, sampling.pad_to
        self.train_epochs = descent.train_epochs(sampling.compiles_quickly)
        micro = descent.MICRO_BATCH
        self.steps = max(1, len(self.x) * self.passes // micro)
        self.padded_order = max(self.steps, pad_to.rows * self.passes // micro) * micro
        n_eval = max(pad_to.eval_rows, len(self.y_eval) if selects_epoch else 1)
        self.n_blocks = -(-n_eval // descent.EVAL_BLOCK)
        used = len(self.y_eval) if selects_epoch else 0
        rows = (
            _pad(self.x, pad_to.rows),
            _pad(np.asarray(data.y), pad_to.rows),
            self._blocks(np.asarray(data.x_eval)[:used]),
            self._blocks(self.y_eval[:used]),
            self._blocks(np.ones(used, np.float32)),
        )
        self.rows = descent.Rows(*map(jax.device_put, rows))

    def _blocks(self, array: np.ndarray) -> np.ndarray:
        """Cuts evaluation rows into blocks, with padding."""
        padded = _pad(array, self.n_blocks * descent.EVAL_BLOCK)
        return padded.reshape(self.n_blocks, descent.EVAL_BLOCK, *array.shape[1:])

    def spans(self, epochs: int):
        """The order of the rows in each epoch. It is drawn on the host, where nothing is compiled for the number of rows."""
        rng, n = generator(stream(self.key, "rows")), self.steps * descent.MICRO_BATCH
        for first in range(0, epochs, descent.CHUNK):
            orders = np.zeros((descent.CHUNK, self.padded_order), np.int32)
            count = min(descent.CHUNK, epochs - first)
            for order in orders[:count]:
                drawn = np.concatenate([rng.permutation(len(self.x)) for _ in range(self.passes)])
                order[:n] = np.resize(drawn, n)
            yield descent.Span(np.int32(first), np.int32(count), orders, np.int32(self.steps))


def _pad(array: np.ndarray, n: int) -> np.ndarray:
    """Appends rows of zeros."""
    return np.pad(array, [(0, max(0, n - len(array)))] + [(0, 0)] * (array.ndim - 1))


class _Tile(NamedTuple):
    """Models that train side by side.

    Attributes:
        rows: i64[slots], their numbers; a number that occurs twice fills a slot that is not used.
        configs: Their configurations.
        state: Their training state.
        limits: When they stop.
    """

    rows: np.ndarray
    configs: network.NetworkConfig
    state: descent.TrainState
    limits: descent.Limits


class _Shelf:
    """The models of one shape, in tiles, and the recorded cost and score of each after each epoch."""

    def __init__(
        self, shape: network.Shape, slots: int, like: Any, rows: np.ndarray, configs: Any, states: Any, limits: Any
    ):
        self.shape, self.slots, self.like = shape, slots, like
        self.costs: dict[int, list[float]] = {int(row): [] for row in rows}
        self.scores: dict[int, list[float]] = {int(row): [] for row in rows}
        self.done: dict[int, Any] = {}
        self.tiles = self._cut(rows, configs, states, limits)

    def _cut(self, rows: np.ndarray, configs: Any, states: Any, limits: Any) -> list[_Tile]:
        """Cuts models into tiles; the last one is filled with repetitions of its last model."""
        tiles = []
        for first in range(0, len(rows), self.slots):
            index = np.minimum(np.arange(first, first + self.slots), len(rows) - 1)
            take = lambda leaf, index=index: jax.device_put(np.asarray(leaf)[index])
            last_epoch, patience = take(limits.last_epoch), take(limits.patience)
            own = descent.Limits(last_epoch, patience, limits.selects_epoch)
            tiles.append(_Tile(rows[index], jax.tree.map(take, configs), jax.tree.map(take, states), own))
        return tiles

    def run(self, population: _Population, tables: encoding.Table, span: descent.Span, seconds: np.ndarray) -> None:
        """Trains every tile for a span of epochs, and takes out the models that have stopped."""
        for number, tile in enumerate(self.tiles):
            started = time.perf_counter()
            state, costs, scores = population.train_epochs(
                self.shape,
                population.n_outputs,
                tile.configs,
                self.like,
                tile.state,
                tables,
                population.rows,
                span,
                tile.limits,
                population.dropout_seed,
            )
            self.tiles[number] = tile._replace(state=state)
            rows, slots = np.unique(tile.rows, return_index=True)
            self._record(rows, slots, np.asarray(costs), np.asarray(scores), state)
            seconds[rows] += (time.perf_counter() - started) / len(rows)
        self._repack()

    def end_early(self) -> None:
        """Keeps what the models that still train have reached so far, where the evaluation rows have chosen an epoch."""
        for tile in self.tiles:
            if not bool(tile.limits.selects_epoch):
                continue
            state = tile.state
            kept = (state.best, state.best_outputs, state.best_cost, state.best_epoch)
            for slot, row in enumerate(tile.rows.tolist()):
                if row not in self.done and int(state.best_epoch[slot]):
                    self.done[row] = jax.tree.map(lambda leaf, slot=slot: np.array(np.asarray(leaf)[slot]), kept)
        self.tiles = []

    def _record(self, rows: np.ndarray, slots: np.ndarray, costs: np.ndarray, scores: np.ndarray, state: Any) -> None:
        """Appends the epochs of a call, and keeps the best parameters of models that have stopped."""
        is_active = np.asarray(state.is_active)
        ran = np.isfinite(costs) | np.isfinite(scores)
        for row, slot in zip(rows.tolist(), slots):
            if row in self.done:
                continue
            self.costs[row] += costs[ran[:, slot], slot].tolist()
            self.scores[row] += scores[ran[:, slot], slot].tolist()
            if not is_active[slot]:
                kept = (state.best, state.best_outputs, state.best_cost, state.best_epoch)
                self.done[row] = jax.tree.map(lambda leaf, slot=slot: np.array(np.asarray(leaf)[slot]), kept)

    def _repack(self) -> None:
        """Moves the models that still train together, if that frees a tile."""
        active = [
            [slot for slot, row in enumerate(tile.rows) if row not in self.done and row not in tile.rows[:slot]]
            for tile in self.tiles
        ]
        n_active = sum(map(len, active))
        if -(-n_active // self.slots) == len(self.tiles):
            return
        pick = lambda of: jax.tree.map(
            lambda *leaves: np.concatenate([np.asarray(leaf)[slots] for leaf, slots in zip(leaves, active)]),
            *map(of, self.tiles),
        )
        if n_active == 0:
            self.tiles = []
            return
        selects = self.tiles[0].limits.selects_epoch
        limits = pick(lambda tile: tile.limits._replace(selects_epoch=None))._replace(selects_epoch=selects)
        self.tiles = self._cut(
            pick(lambda tile: tile.rows), pick(lambda tile: tile.configs), pick(lambda tile: tile.state), limits
        )


class Plan(NamedTuple):
    """Trainings that can be done in any order or side by side.

    Attributes:
        results: The results, which the jobs fill in.
        jobs: One for each shape of networks.
    """

    results: TrainingResults
    jobs: list[Callable[[], None]]


def train(
    configs: dict[str, Any], groups: np.ndarray, data: Data, n_outputs: int, key: jax.Array, **options: Any
) -> TrainingResults:
    """Trains every configuration, one shape after the other; the arguments are those of ``plan``."""
    planned = plan(configs, groups, data, n_outputs, key, **options)
    for job in planned.jobs:
        job()
    return planned.results


def plan(
    configs: dict[str, Any],
    groups: np.ndarray,
    data: Data,
    n_outputs: int,
    key: jax.Array,
    keep_params: bool = False,
    output_rows: int = 0,
    group_size: int = GROUP_SIZE,
    progress: Callable[[int], None] | None = None,
    sampling: Sampling | None = None,
    stop: np.ndarray | None = None,
    score_of: ScoreFn | None = None,
    allows: AllowsFn | None = None,
) -> Plan:
    """Plans the training of every configuration. The key of a model depends on its position alone, not on the grouping.

    Args:
        configs: Struct of arrays of the space.
        groups: i64[inputs], the feature of the space that each input column belongs to.
        data: Rows to train and to evaluate on.
        n_outputs: Number of classes, or 1.
        key: Random key of the whole population.
        keep_params: Return the parameters.
        output_rows: Return what the models predict for this many of the evaluation rows.
        group_size: Maximum number that train side by side in one program; a score does not depend on it but for rounding.
        progress: Called with the number of models of a shape, each time that one has been trained.
        sampling: How rows enter; by default every epoch is one pass, and programs are compiled for these rows.
        stop: f64[n], the share of its epochs after which each training ends and is kept. By default the evaluation rows
            choose the epoch, and a training that has not improved for long ends early.
        score_of: The score of the end; by default accuracy or R².
        allows: Whether there is time, as in ``TrainFn``; by default there always is.
    """
    configs = {name: np.asarray(value) for name, value in configs.items()}
    sampling = sampling or Sampling(encoding.make_layout(np.asarray(data.x)))
    population = _Population(data, sampling, n_outputs, key, stop is None)
    results = _empty_results(len(configs["model"]), data, output_rows, n_outputs)
    layout, epochs = sampling.layout, configs["epochs"]
    own = network.own_shapes(configs, layout)
    n_rows = population.steps * descent.MICRO_BATCH
    shapes = [program_shape(shape, layout, n_rows * int(e), n_outputs) for shape, e in zip(own, epochs)]
    has_time = allows or (lambda seconds: True)

    def train_shape(shape: network.Shape) -> None:
        rows = np.array([row for row, other in enumerate(shapes) if other == shape])
        # so that the models of a tile stop at about the same time
        rows = rows[np.argsort(-epochs[rows], kind="stable")]
        known = set() if sampling.known is None else sampling.known
        if not has_time(_SECONDS_OF_KNOWN_SHAPE if shape in known else _SECONDS_OF_NEW_SHAPE):
            results.seconds[rows] = np.nan
            return
        shelf = _train_shape(shape, rows, configs, groups, own, population, group_size, results.seconds, stop, has_time)
        known.add(shape)
        for row in rows:
            if row in shelf.done:
                _store(
                    results, row, int(epochs[row]), own[row], shelf, population, configs, groups, keep_params, score_of
                )
            else:
                results.seconds[row] = np.nan
        if progress:
            progress(len(rows))

    order = sorted(set(shapes), reverse=True)
    return Plan(results, [functools.partial(train_shape, shape) for shape in order])


def _train_shape(shape, rows, configs, groups, own, population, group_size, seconds, stop, has_time) -> _Shelf:
    """Trains all models of one shape to their ends, or as long as there is time."""
    layout, started, compiled_before = population.layout, time.perf_counter(), compiling()
    network_configs = network.to_network_configs({k: v[rows] for k, v in configs.items()}, groups, layout, shape)
    params = [initial_params(configs, row, groups, own[row], population) for row in rows]
    params = [network_params.pad(member, own[row], shape, layout) for member, row in zip(params, rows)]
    states = descent.start(params, population.n_blocks, population.n_outputs)
    epochs = configs["epochs"][rows].astype(np.int32)
    last = epochs if stop is None else np.maximum(1, np.round(stop[rows] * epochs)).astype(np.int32)
    patience = np.maximum(_PATIENCE_EPOCHS, np.round(_PATIENCE_SHARE * epochs)).astype(np.int32)
    patience = np.where(configs["schedule"][rows] == SCHEDULES.index("constant"), _PATIENCE_EPOCHS, patience)
    limits = descent.Limits(last, patience.astype(np.int32), np.asarray(population.selects_epoch))
    slots = int(np.clip(_TILE_UNITS // (shape.width * shape.members), 1, group_size))
    slots = slots if len(rows) >= _MIN_TILES * slots else 1
    shelf = _Shelf(shape, slots, params[0], rows, network_configs, states, limits)
    table = encoding.fit_table(layout, population.x, shape.raw, shape.bins, shape.periodic)
    seconds[rows] += (time.perf_counter() - started) / len(rows)
    for span in population.spans(int(last.max())):
        shelf.run(population, table, span, seconds)
        if not shelf.tiles:
            break
        if not has_time(0.0):
            shelf.end_early()
            break
    compiled = (compiling() - compiled_before) / max(time.perf_counter() - started, 1e-9)
    seconds[rows] *= max(0.0, 1.0 - compiled)
    return shelf


def initial_params(configs: dict[str, Any], row: int, groups: np.ndarray, own: network.Shape, population: _Population):
    """The initial parameters of one model, which depend on the key of the population and its number alone."""
    one = network.to_network_configs({k: v[[row]] for k, v in configs.items()}, groups, population.layout, own)
    rng = generator(stream(jax.random.fold_in(population.key, row), "init"))
    return network_params.init(
        jax.tree.map(lambda leaf: leaf[0], one), rng, own, population.layout, population.n_outputs
    )


def _empty_results(n: int, data: Data, output_rows: int, n_outputs: int) -> TrainingResults:
    """Results of models that are not trained yet."""
    return TrainingResults(
        score=np.full(n, np.nan),
        loss=np.full(n, np.nan),
        curve=np.full((n, CURVE_POINTS), np.nan),
        seconds=np.zeros(n),
        params=[{}] * n,
        outputs=np.zeros((n, min(output_rows, len(data.x_eval)), n_outputs), np.float32),
        stop=np.ones(n),
    )


def _store(results, row, epochs, own, shelf, population, configs, groups, keep_params, score_of) -> None:
    """Writes the results of a model into those of the population; the score of a model that diverged stays NaN."""
    params, kept_outputs, best_cost, best_epoch = shelf.done[row]
    y = population.y_eval
    params = descent.unflatten(params, shelf.like)
    model = network.Model(own, None, network_params.crop(params, own, shelf.shape, population.layout), None)
    if keep_params or not population.selects_epoch:
        one = network.to_network_configs({k: v[[row]] for k, v in configs.items()}, groups, population.layout, own)
        config = jax.tree.map(lambda leaf: leaf[0], one)
        table = encoding.fit_table(population.layout, population.x, own.raw, own.bins, own.periodic)
        model = model._replace(config=config, table=table)
    if population.selects_epoch:
        outputs = kept_outputs.reshape(-1, kept_outputs.shape[-1])[: len(y)]
        results.stop[row] = best_epoch / epochs
    else:
        outputs = descent.predict(model, np.asarray(population.data.x_eval), population.classification)
    has_improved = np.isfinite(best_cost) and np.isfinite(outputs).all()
    shown = outputs[: results.outputs.shape[1]]
    results.outputs[row] = np.exp(shown) if population.classification else shown
    if keep_params:
        results.params[row] = model
    if not has_improved:
        return
    predicted = (np.exp(outputs) if population.classification else outputs)[None]
    if population.classification:
        results.loss[row] = calibrate.calibrated_loss(predicted, y)[0]
    else:
        results.loss[row] = squared_error(predicted, y)[0]
    last = score(predicted, y, population.classification)[0]
    results.score[row] = last if score_of is None else score_of(predicted, y)[0]
    results.curve[row] = _curve(shelf.costs[row], shelf.scores[row], epochs, last, population)


def _curve(costs, scores, epochs, last, population: _Population) -> np.ndarray:
    """The score of the best epoch so far, at even shares of the epochs; of a model without an evaluation only its end."""
    curve = np.full(CURVE_POINTS, np.nan)
    if population.selects_epoch:
        best = np.array([np.argmin(costs[:n]) for n in range(1, len(costs) + 1)])
        kept = np.array(scores)[best]
        if not population.classification:
            kept = 1 + kept / max(float(np.var(population.y_eval)), 1e-12)
        points = np.round(np.linspace(0, epochs, CURVE_POINTS + 1)[1:]).astype(int) - 1
        curve = kept[np.clip(points, 0, len(kept) - 1)]
    curve[-1] = last
    return curve
