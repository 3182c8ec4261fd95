"""Waves of mixed model types: networks train side by side in one program, all others one after the other."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from metajax.automl import _calibrate as calibrate
from metajax.automl import _encoding as encoding
from metajax.automl import _network as network
from metajax.automl import _population as population
from metajax.automl._metrics import Metric
from metajax.automl._prepare import Prepared, passes_per_epoch
from metajax.automl._score import score, squared_error
from metajax.automl._space import NETWORKS
from metajax.automl._task import CURVE_POINTS, Data, TrainingResults
from metajax.automl.models import ModelType
from metajax.automl.models._fit import FittedMember, fit_member
from metajax.run._compiled import compiling
from metajax.space import Space
from metajax.types import generator, stream

Progress = Callable[[int], None]

# The operations that one training of a network may take: about 20 seconds of one core, or less where a budget is to hold many
# trainings.
_OPERATIONS_PER_SECOND, _MAX_SECONDS, _MIN_SECONDS = 15e9, 20.0, 0.5
_SHARE_OF_BUDGET = 1 / 60


class Trainer:
    """Trains configurations of the space of a table.

    Args:
        space: The space, networks first among the choices of ``model``.
        prepared: The table.
        group_size: Number of networks that train side by side.
        kinds: The model types beside networks.
        minutes: The budget that many trainings are to fit into, which limits the epochs of large networks; ``None`` is 20
            minutes or more.
        metric: The metric of the scores.
    """

    def __init__(
        self,
        space: Space,
        prepared: Prepared,
        group_size: int,
        kinds: Sequence[ModelType],
        minutes: float | None,
        metric: Metric,
    ):
        self._space, self._prepared, self._group_size = space, prepared, group_size
        self._kinds = {kind.name: kind for kind in kinds}
        self._metric, self._unit = metric, metric.unit(prepared.encoder.scale)
        seconds = _MAX_SECONDS if minutes is None else 60 * minutes * _SHARE_OF_BUDGET
        self._max_operations = _OPERATIONS_PER_SECOND * float(np.clip(seconds, _MIN_SECONDS, _MAX_SECONDS))
        # The final model is trained by the programs that were compiled for the search.
        search, n_final = prepared.search, min(prepared.network_rows, len(prepared.final.x))
        pad_to = population.PaddedSize(max(len(search.x), n_final), max(1, len(search.x_eval)))
        layout = encoding.make_layout(np.asarray(search.x))
        self._sampling = population.Sampling(layout, passes_per_epoch(len(search.x)), pad_to)

    def train(
        self,
        encodings: np.ndarray,
        data: Data,
        key: jax.Array,
        keep_params: bool = False,
        output_rows: int = 0,
        progress: Progress | None = None,
        stop: np.ndarray | None = None,
    ) -> TrainingResults:
        """Trains configurations; see ``TrainFn``. Networks come last, because their programs may have to be compiled.

        A configuration that is repeated is trained once, unless it is a network. The seed of a model is drawn from the key and
        its position. A fit that fails has the score NaN and is named on standard error.
        """
        encodings = np.asarray(encodings, np.float32)
        is_network = np.asarray(self._space.decode_configs(encodings)["model"]) < len(NETWORKS)
        networks, others = np.flatnonzero(is_network), np.flatnonzero(~is_network)
        results = self._empty(len(encodings), data, output_rows, encodings)
        self._train_others(others, results, data, key, keep_params, stop is None, progress)
        if len(networks):
            count = None if progress is None else lambda done: progress(len(others) + done)
            own_stop = None if stop is None else stop[networks]
            trained = self._train_networks(encodings[networks], data, key, keep_params, output_rows, count, own_stop)
            for name in ("score", "loss", "curve", "seconds", "outputs", "stop"):
                getattr(results, name)[networks] = getattr(trained, name)
            for row, params in zip(networks, trained.params):
                results.params[row] = params
        return results

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

    def _train_networks(
        self,
        encodings: np.ndarray,
        data: Data,
        key: jax.Array,
        keep_params: bool,
        output_rows: int,
        progress: Progress | None,
        stop: np.ndarray | None,
    ) -> TrainingResults:
        """Trains networks side by side; an epoch of a small table is several passes over its rows."""
        prepared, limit = self._prepared, self._prepared.network_rows
        if len(data.x) > limit:
            data = data._replace(x=data.x[:limit], y=data.y[:limit])
        started, compiled_before = time.perf_counter(), compiling()
        results = population.train(
            self._affordable(encodings, len(data.x)),
            prepared.groups,
            data,
            prepared.outputs,
            stream(key, "networks"),
            keep_params,
            output_rows,
            self._group_size,
            progress,
            self._sampling,
            stop,
            self._score,
        )
        compiled = (compiling() - compiled_before) / max(time.perf_counter() - started, 1e-9)
        seconds = results.seconds * max(0.0, 1.0 - compiled)
        return results._replace(seconds=seconds, stop=results.stop if stop is None else stop)

    def _score(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The metric of models f64[n] for f[n, rows, outputs], in units of the target."""
        return self._unit * self._metric.score(np.asarray(outputs, np.float64), np.asarray(y))

    def _affordable(self, encodings: np.ndarray, n_rows: int) -> dict[str, np.ndarray]:
        """The configurations, with fewer epochs where one training would take too long."""
        configs = {name: np.asarray(values) for name, values in self._space.decode_configs(encodings).items()}
        sampling, outputs = self._sampling, self._prepared.outputs
        shapes = network.own_shapes(configs, sampling.layout)
        rows = n_rows * sampling.passes
        per_epoch = np.array([6.0 * rows * shape.multiplications(sampling.layout, outputs) for shape in shapes])
        affordable = np.maximum(self._max_operations // per_epoch, 1).astype(int)
        return {**configs, "epochs": np.minimum(configs["epochs"], affordable)}

    def _train_others(
        self,
        rows: np.ndarray,
        results: TrainingResults,
        data: Data,
        key: jax.Array,
        keep_params: bool,
        decides: bool,
        progress: Progress | None,
    ) -> None:
        """Trains the models of these rows one after the other, and writes their results."""
        assert results.encodings is not None
        seeds = stream(key, "models")
        asked, first = results.encodings.copy(), {}
        configs = self._space.decode(asked[rows]) if len(rows) else []
        data = Data(*map(np.asarray, data))  # type: ignore[arg-type]
        for number, (row, config) in enumerate(zip(rows, configs), 1):
            same = first.setdefault(asked[row].tobytes(), row)
            if same == row:
                fitted = self._train_one(row, config, results, data, jax.random.fold_in(seeds, row), decides)
                results.params[row] = fitted if keep_params else {}
            else:
                for array in (results.score, results.loss, results.curve, results.outputs, results.encodings):
                    array[row] = array[same]
                results.params[row] = results.params[same]
            if progress:
                progress(number)

    def _train_one(
        self, row: int, config: dict[str, Any], results: TrainingResults, data: Data, key: jax.Array, decides: bool
    ) -> FittedMember | None:
        """Trains one model and writes its results into a row; returns it, or ``None`` if the fit fails."""
        started, fitted = time.perf_counter(), None
        kind, groups = self._kinds[config["model"]], self._prepared.groups
        columns = np.flatnonzero(np.isin(groups, config.get("features", groups)))
        seed = int(generator(key).integers(2**31))
        try:
            fitted = fit_member(kind, config, columns, data, seed, self._prepared.outputs, decides)
            self._store(row, config, fitted, results, data)
        except Exception as error:  # Libraries, and model types of a user, raise whatever they like. The wave goes on.
            results.outputs[row] = np.nan
            print(f"model {config['model']!r} failed ({type(error).__name__}: {error})", file=sys.stderr)
        results.seconds[row] = time.perf_counter() - started
        return fitted

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
        results.score[row] = self._score(stages[-1:], y_eval)[0]
        if classification:
            results.loss[row] = calibrate.calibrated_loss(stages[-1:], y_eval)[0]
        else:
            results.loss[row] = squared_error(stages[-1:], y_eval)[0]
        decided = {} if fitted.member is None else fitted.member.decided
        if decided:
            assert results.encodings is not None
            own = {f"{config['model']}.{name}": value for name, value in decided.items()}
            results.encodings[row] = np.asarray(self._space.encode(self._space.configs([{**config, **own}])))[0]
