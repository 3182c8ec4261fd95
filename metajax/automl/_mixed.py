"""Waves of mixed model types: networks of one shape train in one program, and workers train several models at a time."""

import contextlib
import functools
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax._compiled import compiling
from metajax.automl import _calibrate as calibrate
from metajax.automl import _descent as descent
from metajax.automl import _encoding as encoding
from metajax.automl import _network as network
from metajax.automl import _population as population
from metajax.automl import _population_rows as population_rows
from metajax.automl._curves import CurveWatch, curve_watch
from metajax.automl._metrics import Metric
from metajax.automl._prepare import Prepared, passes_per_epoch
from metajax.automl._score import score, squared_error
from metajax.automl._settings import is_quick
from metajax.automl._space import NETWORKS
from metajax.automl._training import CURVE_POINTS, AllowsFn, Data, LearningCurves, TrainingResults
from metajax.automl.models import ModelType
from metajax.automl.models._fit import FittedMember, fit_member
from metajax.automl.models._threads import side_by_side
from metajax.automl.models._time import time_limit
from metajax.space import Space
from metajax.types import generator, stream

Progress = Callable[[int], None]

# The operations that one training of a network may take: about 20 seconds of one core, or less where a budget is to hold many
# trainings.
_OPERATIONS_PER_SECOND, _MAX_SECONDS, _MIN_SECONDS = 15e9, 20.0, 0.5
_SHARE_OF_BUDGET = 1 / 25
_SHARE_OF_OTHERS = 1 / 6  # The share of a budget that one fit of a model other than a network may take.


class _Counter:
    """Adds up what several workers have done."""

    def __init__(self, progress: Progress | None):
        self._progress, self._lock, self._count = progress, threading.Lock(), 0

    def __call__(self, n: int) -> None:
        """Adds n models."""
        with self._lock:
            self._count += n
            if self._progress:
                self._progress(self._count)


class _Call(NamedTuple):
    """What all trainings of one call of ``Trainer.train`` share.

    Attributes:
        data: The rows.
        key: Random key of the call.
        keep_params: Whether parameters are returned.
        output_rows: Number of evaluation rows whose predictions are returned.
        stop: The share of its epochs after which each network ends; ``None`` where the evaluation rows choose when to stop.
        allows: Whether there is time.
        count: Counts the trained models.
    """

    data: Data
    key: jax.Array
    keep_params: bool
    output_rows: int
    stop: np.ndarray | None
    allows: AllowsFn
    count: Progress


class Trainer:
    """Trains configurations of the space of a table.

    Args:
        space: The space, networks first among the choices of ``model``.
        prepared: The table.
        group_size: Number of networks that train side by side.
        model_types: The model types beside networks.
        minutes: The budget that many trainings are to fit into, which limits the epochs of large networks; ``None`` is 20
            minutes or more.
        metric: The metric of the scores.
    """

    def __init__(
        self,
        space: Space,
        prepared: Prepared,
        group_size: int,
        model_types: Sequence[ModelType],
        minutes: float | None,
        metric: Metric,
    ):
        self._space, self._prepared, self._group_size = space, prepared, group_size
        self._model_types = {kind.name: kind for kind in model_types}
        self._metric, self._unit = metric, metric.unit(prepared.encoder.scale)
        seconds = _MAX_SECONDS if minutes is None else 60 * minutes * _SHARE_OF_BUDGET
        self._max_operations = _OPERATIONS_PER_SECOND * float(np.clip(seconds, _MIN_SECONDS, _MAX_SECONDS))
        self._max_seconds_of_others = math.inf if minutes is None else 60 * minutes * _SHARE_OF_OTHERS
        # The final model is trained by the programs that were compiled for the search.
        search, largest = prepared.search, prepared.everything or prepared.final
        n_final = min(prepared.network_rows, len(largest.x))
        pad_to = population_rows.PaddedSize(max(len(search.x), n_final), max(1, len(search.x_eval)))
        layout = encoding.make_layout(np.asarray(search.x))
        quick = is_quick(minutes)
        self._sampling = population_rows.Sampling(layout, passes_per_epoch(len(search.x)), pad_to, quick, set())
        descent.train_epochs(quick)  # before workers ask for it at the same time
        compiling()  # The counters of compilation start with the first call.
        self._slowest: dict[str, float] = {}  # seconds for each row and model type

    def train(
        self,
        encodings: np.ndarray,
        data: Data,
        key: jax.Array,
        keep_params: bool = False,
        output_rows: int = 0,
        progress: Progress | None = None,
        stop: np.ndarray | None = None,
        allows: AllowsFn | None = None,
        past_curves: LearningCurves | None = None,
    ) -> TrainingResults:
        """Trains configurations; see ``TrainFn``. The first model, networks, and then the others are handed to the workers.

        A configuration that is repeated is trained once, unless it is a network. The seed of a model is drawn from the key and
        its position. A fit that fails has the score NaN and is named on standard error. Only networks are given up: the other
        types take a fraction of their time, and most of them stop by themselves.
        """
        encodings = np.asarray(encodings, np.float32)
        is_network = self._is_network(encodings)
        network_rows, other_rows = np.flatnonzero(is_network), np.flatnonzero(~is_network)
        results, count = self._empty(len(encodings), data, output_rows, encodings), _Counter(progress)
        call = _Call(data, key, keep_params, output_rows, stop, allows or (lambda seconds: True), count)
        jobs = self._jobs_of_others(other_rows, results, call)
        planned = None
        if len(network_rows):
            own_call = call if stop is None else call._replace(stop=stop[network_rows])
            watch = (
                None if past_curves is None else curve_watch(past_curves.curve, self._is_network(past_curves.encodings))
            )
            planned = self._plan_networks(encodings[network_rows], own_call, watch)
            # The shapes take longer than other models do, and begin early.
            jobs[1:1] = planned.jobs
        side_by_side(jobs)
        if n_repeated := _copy_repeated(_first_of_same(encodings, other_rows), results):
            count(n_repeated)
        if planned is not None:
            for name in ("score", "loss", "curve", "seconds", "outputs", "stop"):
                getattr(results, name)[network_rows] = getattr(planned.results, name)
            if stop is not None:
                results.stop[network_rows] = stop[network_rows]
            for row, params in zip(network_rows, planned.results.params):
                results.params[row] = params
        return results

    def _is_network(self, encodings: np.ndarray) -> np.ndarray:
        """Which configurations are networks, bool[n]."""
        return np.asarray(self._space.decode_configs(encodings)["model"]) < len(NETWORKS)

    def _empty(self, n: int, data: Data, output_rows: int, encodings: np.ndarray) -> TrainingResults:
        """Results of models that are not trained yet."""
        return TrainingResults(
            score=np.full(n, np.nan),
            loss=np.full(n, np.nan),
            curve=np.full((n, CURVE_POINTS), np.nan),
            seconds=np.zeros(n),
            params=[{}] * n,
            outputs=np.zeros((n, min(output_rows, len(data.x_eval)), self._prepared.outputs), np.float32),
            stop=np.ones(n),
            encodings=encodings.copy(),
        )

    def _plan_networks(self, encodings: np.ndarray, call: _Call, watch: CurveWatch | None) -> population.Plan:
        """Plans the training of networks; an epoch of a small table is several passes over its rows."""
        prepared, data = self._prepared, call.data.first(self._prepared.network_rows)
        options = population.Options(
            call.keep_params,
            call.output_rows,
            self._group_size,
            call.count,
            self._sampling,
            call.stop,
            functools.partial(self._score, weights=data.weights_eval),
            call.allows,
            watch,
        )
        configs = self._affordable(encodings, len(data.x))
        key = stream(call.key, "networks")
        return population.plan(configs, prepared.groups, data, prepared.outputs, key, options)

    def _score(self, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """The metric of models f64[n] for f[n, rows, outputs], in units of the target."""
        return self._unit * self._metric.select(np.asarray(outputs, np.float64), np.asarray(y), weights)

    def _affordable(self, encodings: np.ndarray, n_rows: int) -> dict[str, np.ndarray]:
        """The configurations, with fewer epochs where one training would take too long."""
        configs = {name: np.asarray(values) for name, values in self._space.decode_configs(encodings).items()}
        sampling, outputs = self._sampling, self._prepared.outputs
        shapes = network.own_shapes(configs, sampling.layout)
        rows = n_rows * sampling.passes
        per_epoch = np.array([6.0 * rows * shape.multiplications(sampling.layout, outputs) for shape in shapes])
        affordable = np.maximum(self._max_operations // per_epoch, 1).astype(int)
        return {**configs, "epochs": np.minimum(configs["epochs"], affordable)}

    def _jobs_of_others(self, rows: np.ndarray, results: TrainingResults, call: _Call) -> list[Callable[[], None]]:
        """One job for each model of these rows that is not repeated; it trains the model and writes its results."""
        assert results.encodings is not None
        seeds, jobs = stream(call.key, "models"), []
        configs = self._space.decode(results.encodings[rows]) if len(rows) else []
        call = call._replace(data=call.data.on_host())
        first = _first_of_same(results.encodings, rows)
        for row, config in zip(rows.tolist(), configs):
            if first[row] == row:
                seed = int(generator(jax.random.fold_in(seeds, row)).integers(2**31))
                jobs.append(functools.partial(self._train_one, row, config, results, seed, call))
        return jobs

    def _train_one(self, row: int, config: dict[str, Any], results: TrainingResults, seed: int, call: _Call) -> None:
        """Trains one model and writes its results into a row, unless the time is over."""
        data, decides = call.data, call.stop is None
        model_type, groups = self._model_types[config["model"]], self._prepared.groups
        # A type that was not trained yet may take as long as any other.
        expected = self._slowest.get(model_type.name, max(self._slowest.values(), default=0.0))
        if not call.allows(expected * len(data.x)):
            results.seconds[row] = np.nan
            return
        start_time = time.perf_counter()
        columns = np.flatnonzero(np.isin(groups, config.get("features", groups)))
        try:
            with time_limit(self._max_seconds_of_others) if decides else contextlib.nullcontext():
                fitted = fit_member(model_type, config, columns, data, seed, self._prepared.outputs, decides)
            self._store(row, config, fitted, results, data)
            results.params[row] = fitted if call.keep_params else {}
        except Exception as error:  # Libraries, and model types of a user, raise whatever they like. The wave goes on.
            results.outputs[row] = np.nan
            print(f"model {config['model']!r} failed ({type(error).__name__}: {error})", file=sys.stderr)
        results.seconds[row] = time.perf_counter() - start_time
        slowest = results.seconds[row] / max(1, len(data.x))
        self._slowest[model_type.name] = max(self._slowest.get(model_type.name, 0.0), slowest)
        call.count(1)

    def _store(
        self, row: int, config: dict[str, Any], fitted: FittedMember, results: TrainingResults, data: Data
    ) -> None:
        """Writes the scores of a model, its learning curve, and its configuration with what its fit decided."""
        y_eval = np.asarray(data.y_eval)
        stages = np.stack(fitted.staged(np.asarray(data.x_eval), np.linspace(0, 1, CURVE_POINTS + 1)[1:]))
        results.outputs[row] = stages[-1, : results.outputs.shape[1]]
        if not np.isfinite(stages[-1]).all():
            return
        classification = self._prepared.classification
        results.curve[row] = score(stages, y_eval, classification)
        results.score[row] = self._score(stages[-1:], y_eval, data.weights_eval)[0]
        if classification:
            results.loss[row] = calibrate.calibrated_loss(stages[-1:], y_eval, data.weights_eval)[0]
        else:
            results.loss[row] = squared_error(stages[-1:], y_eval, data.weights_eval)[0]
        decided = {} if fitted.member is None else fitted.member.decided
        if decided:
            assert results.encodings is not None
            decisions = {f"{config['model']}.{name}": value for name, value in decided.items()}
            results.encodings[row] = np.asarray(self._space.encode(self._space.configs([{**config, **decisions}])))[0]


def _first_of_same(encodings: np.ndarray, rows: np.ndarray) -> dict[int, int]:
    """For each of these rows, the first of them with the same encoding."""
    first: dict[bytes, int] = {}
    return {int(row): first.setdefault(encodings[row].tobytes(), int(row)) for row in rows}


def _copy_repeated(first_rows: dict[int, int], results: TrainingResults) -> int:
    """Gives repeated configurations the results of the first of them, and returns how many are repeated."""
    assert results.encodings is not None
    repeated = {row: first_row for row, first_row in first_rows.items() if row != first_row}
    for row, first_row in repeated.items():
        for array in (results.score, results.loss, results.curve, results.outputs, results.encodings):
            array[row] = array[first_row]
        results.params[row] = results.params[first_row]
    return len(repeated)
