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

from metajax._compiled import compiling
from metajax.automl import _calibrate as calibrate
from metajax.automl import _descent as descent
from metajax.automl import _encoding as encoding
from metajax.automl import _network as network
from metajax.automl import _network_params as network_params
from metajax.automl import _train_state as train_state
from metajax.automl._curves import CurveWatch
from metajax.automl._metrics import ScoreFn
from metajax.automl._population_rows import Population, Sampling
from metajax.automl._program_shape import program_shape
from metajax.automl._score import score, squared_error
from metajax.automl._space import SCHEDULES
from metajax.automl._training import CURVE_POINTS, GROUP_SIZE, AllowsFn, Data, TrainingResults
from metajax.automl._training_group import TrainingGroup
from metajax.types import generator, stream

_TILE_UNITS = 512
"""A tile holds as many models as have about this number of units in all. Larger tiles save no time on a CPU."""
_MIN_TILES = 4
"""Tiles of several models are another program, which pays for this number of them. With fewer, each model is a tile."""
_PATIENCE_EPOCHS, _PATIENCE_SHARE = 16, 0.4
_SECONDS_OF_NEW_SHAPE, _SECONDS_OF_KNOWN_SHAPE = 6.0, 1.0
"""Networks start if this much time is left; compiling for a shape that was not trained yet takes most of it."""


class Plan(NamedTuple):
    """Trainings that can be done in any order or side by side.

    Attributes:
        results: The results, which the jobs fill in.
        jobs: One for each shape of networks.
    """

    results: TrainingResults
    jobs: list[Callable[[], None]]


class Options(NamedTuple):
    """How a population is trained, and what is returned of it.

    Attributes:
        keep_params: Return the parameters.
        output_rows: Return what the models predict for this many of the evaluation rows.
        group_size: Maximum number that train side by side in one program; a score does not depend on it except for rounding.
        progress: Called with the number of models of a shape, each time that one has been trained.
        sampling: How rows enter; by default every epoch is one pass, and programs are compiled for these rows.
        stop: f64[n], the share of its epochs after which each training ends and is kept. By default the evaluation rows
            choose the epoch, and a training that has not improved for long ends early.
        score_of: The score of the end; by default accuracy or R².
        allows: Whether there is time, as in ``TrainFn``; by default there always is.
        watch: Which trainings are given up; by default none is.
    """

    keep_params: bool = False
    output_rows: int = 0
    group_size: int = GROUP_SIZE
    progress: Callable[[int], None] | None = None
    sampling: Sampling | None = None
    stop: np.ndarray | None = None
    score_of: ScoreFn | None = None
    allows: AllowsFn = lambda seconds: True
    watch: CurveWatch | None = None


_DEFAULTS = Options()


def train(
    configs: dict[str, Any],
    groups: np.ndarray,
    data: Data,
    n_outputs: int,
    key: jax.Array,
    options: Options = _DEFAULTS,
) -> TrainingResults:
    """Trains every configuration, one shape after the other; the arguments are those of ``plan``."""
    planned = plan(configs, groups, data, n_outputs, key, options)
    for job in planned.jobs:
        job()
    return planned.results


def plan(
    configs: dict[str, Any],
    groups: np.ndarray,
    data: Data,
    n_outputs: int,
    key: jax.Array,
    options: Options = _DEFAULTS,
) -> Plan:
    """Plans the training of every configuration. The key of a model depends on its position alone, not on the grouping.

    Args:
        configs: Struct of arrays of the space.
        groups: i64[inputs], the feature of the space that each input column belongs to.
        data: Rows to train and to evaluate on.
        n_outputs: Number of classes, or 1.
        key: Random key of the whole population.
        options: How they are trained.
    """
    configs = {name: np.asarray(value) for name, value in configs.items()}
    sampling = options.sampling or Sampling(encoding.make_layout(np.asarray(data.x)))
    population = Population(data, sampling, n_outputs, key, options.stop is None)
    results = _empty_results(len(configs["model"]), data, options.output_rows, n_outputs)
    layout, epochs = sampling.layout, configs["epochs"]
    own_shapes = network.own_shapes(configs, layout)
    n_rows = population.steps * descent.MICRO_BATCH
    shapes = [program_shape(shape, layout, n_rows * int(e), n_outputs) for shape, e in zip(own_shapes, epochs)]
    training = _Training(configs, groups, own_shapes, population, results, sampling.known, options)
    jobs = []
    for shape in sorted(set(shapes), reverse=True):
        rows = np.array([row for row, model_shape in enumerate(shapes) if model_shape == shape])
        # so that the models of a tile stop at about the same time
        rows = rows[np.argsort(-epochs[rows], kind="stable")]
        jobs.append(functools.partial(training.train_shape, shape, rows))
    return Plan(results, jobs)


class _Training(NamedTuple):
    """What the jobs of a plan share: the arguments of ``plan``, the rows of the population, and the results."""

    configs: dict[str, Any]
    groups: np.ndarray
    own_shapes: list[network.Shape]
    population: Population
    results: TrainingResults
    known: set[Any] | None
    options: Options

    def train_shape(self, shape: network.Shape, rows: np.ndarray) -> None:
        """Trains the models of one shape, if there is time, and writes their results."""
        known_shapes = set() if self.known is None else self.known
        if not self.options.allows(_SECONDS_OF_KNOWN_SHAPE if shape in known_shapes else _SECONDS_OF_NEW_SHAPE):
            self.results.seconds[rows] = np.nan
            return
        group = self._train(shape, rows)
        known_shapes.add(shape)
        for row in rows:
            if row in group.finished:
                self._store(row, group)
            else:
                self.results.seconds[row] = np.nan
        if self.options.progress:
            self.options.progress(len(rows))

    def _train(self, shape: network.Shape, rows: np.ndarray) -> TrainingGroup:
        """Trains all models of one shape to their ends, or as long as there is time."""
        population, seconds = self.population, self.results.seconds
        start_time, compiled_before = time.perf_counter(), compiling()
        group, last_epoch = self._start_group(shape, rows)
        table = encoding.fit_table(population.layout, population.x, shape.raw, shape.bins, shape.periodic)
        seconds[rows] += (time.perf_counter() - start_time) / len(rows)
        for span in population.spans(last_epoch):
            group.run(population, table, span, seconds)
            if self.options.watch is not None:
                group.give_up({row for row in group.active() if self._is_given_up(row, group, self.options.watch)})
            if not group.tiles:
                break
            if not self.options.allows(0.0):
                group.end_early()
                break
        compiled = (compiling() - compiled_before) / max(time.perf_counter() - start_time, 1e-9)
        seconds[rows] *= max(0.0, 1.0 - compiled)
        return group

    def _start_group(self, shape: network.Shape, rows: np.ndarray) -> tuple[TrainingGroup, int]:
        """The models of one shape before their first update, and the last epoch of any of them."""
        configs, population, layout = self.configs, self.population, self.population.layout
        network_configs = network.to_network_configs(
            {k: v[rows] for k, v in configs.items()}, self.groups, layout, shape
        )
        own_params = [initial_params(configs, row, self.groups, self.own_shapes[row], population) for row in rows]
        params = [network_params.pad(p, self.own_shapes[row], shape, layout) for p, row in zip(own_params, rows)]
        states = train_state.start(params, population.n_blocks, population.n_outputs)
        epochs, stop = configs["epochs"][rows].astype(np.int32), self.options.stop
        last = epochs if stop is None else np.maximum(1, np.round(stop[rows] * epochs)).astype(np.int32)
        patience = np.maximum(_PATIENCE_EPOCHS, np.round(_PATIENCE_SHARE * epochs)).astype(np.int32)
        patience = np.where(configs["schedule"][rows] == SCHEDULES.index("constant"), _PATIENCE_EPOCHS, patience)
        limits = train_state.Limits(last, patience.astype(np.int32), np.asarray(population.selects_epoch))
        slots = int(np.clip(_TILE_UNITS // (shape.width * shape.members), 1, self.options.group_size))
        slots = slots if len(rows) >= _MIN_TILES * slots else 1
        return TrainingGroup(shape, slots, params[0], rows, network_configs, states, limits), int(last.max())

    def _is_given_up(self, row: int, group: TrainingGroup, watch: CurveWatch) -> bool:
        """Whether a model that still trains has fallen behind."""
        best_scores = _best_scores(group, row, self.population)
        return watch.gives_up(len(best_scores) / int(self.configs["epochs"][row]), float(best_scores[-1]))

    def _store(self, row: int, group: TrainingGroup) -> None:
        """Writes the results of a model into those of the population; the score of a model that diverged stays NaN."""
        population, results, epochs = self.population, self.results, int(self.configs["epochs"][row])
        params, best_outputs, best_cost, best_epoch = group.finished[row]
        y = population.y_eval
        model = self._model(row, group, params)
        if population.selects_epoch:
            outputs = best_outputs.reshape(-1, best_outputs.shape[-1])[: len(y)]
            results.stop[row] = best_epoch / epochs
        else:
            outputs = descent.predict(model, np.asarray(population.data.x_eval), population.classification)
        has_improved = np.isfinite(best_cost) and np.isfinite(outputs).all()
        reported_outputs = outputs[: results.outputs.shape[1]]
        results.outputs[row] = np.exp(reported_outputs) if population.classification else reported_outputs
        if self.options.keep_params:
            results.params[row] = model
        if not has_improved:
            return
        predicted = (np.exp(outputs) if population.classification else outputs)[None]
        if population.classification:
            results.loss[row] = calibrate.calibrated_loss(predicted, y, population.data.weights_eval)[0]
        else:
            results.loss[row] = squared_error(predicted, y, population.data.weights_eval)[0]
        last = score(predicted, y, population.classification)[0]
        results.score[row] = last if self.options.score_of is None else self.options.score_of(predicted, y)[0]
        results.curve[row] = _curve(group, row, epochs, last, population)

    def _model(self, row: int, group: TrainingGroup, params: Any) -> network.Model:
        """The model of these parameters, in its own shape; with the constants of its encoding where they are needed."""
        population, own_shape = self.population, self.own_shapes[row]
        params = descent.unflatten(params, group.template)
        cropped = network_params.crop(params, own_shape, group.shape, population.layout)
        model = network.Model(own_shape, None, cropped, None)
        if not self.options.keep_params and population.selects_epoch:
            return model
        table = encoding.fit_table(population.layout, population.x, own_shape.raw, own_shape.bins, own_shape.periodic)
        return model._replace(config=_single_config(self.configs, row, self.groups, own_shape, population), table=table)


def _single_config(
    configs: dict[str, Any], row: int, groups: np.ndarray, own_shape: network.Shape, population: Population
) -> network.NetworkConfig:
    """The configuration of one model."""
    single = {name: values[[row]] for name, values in configs.items()}
    config = network.to_network_configs(single, groups, population.layout, own_shape)
    return jax.tree.map(lambda leaf: leaf[0], config)


def initial_params(
    configs: dict[str, Any], row: int, groups: np.ndarray, own_shape: network.Shape, population: Population
):
    """The initial parameters of one model, which depend on the key of the population and its number alone."""
    config = _single_config(configs, row, groups, own_shape, population)
    rng = generator(stream(jax.random.fold_in(population.key, row), "init"))
    return network_params.init(config, rng, own_shape, population.layout, population.n_outputs)


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


def _curve(group: TrainingGroup, row: int, epochs: int, last: float, population: Population) -> np.ndarray:
    """The score of the best epoch so far, at even shares of the epochs; of a model without an evaluation only its end."""
    curve = np.full(CURVE_POINTS, np.nan)
    points = np.round(np.linspace(0, epochs, CURVE_POINTS + 1)[1:]).astype(int) - 1
    if population.selects_epoch:
        best_scores = _best_scores(group, row, population)
        curve = best_scores[np.clip(points, 0, len(best_scores) - 1)]
        if row in group.given_up:
            curve[points >= len(best_scores)] = np.nan
            return curve
    curve[-1] = last
    return curve


def _best_scores(group: TrainingGroup, row: int, population: Population) -> np.ndarray:
    """Accuracy or R² of the best epoch so far, after each epoch of a model."""
    costs, scores = np.array(group.costs[row]), np.array(group.scores[row])
    best = np.array([np.argmin(costs[:n]) for n in range(1, len(costs) + 1)])
    if population.classification:
        return scores[best]
    return 1 + scores[best] / max(float(np.var(population.y_eval)), 1e-12)
