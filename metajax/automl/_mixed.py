"""Waves of mixed model types: networks train side by side in one program, all others one after the other."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from metajax.automl import _calibrate as calibrate
from metajax.automl import _population as population
from metajax.automl._prepare import Prepared, passes_per_epoch
from metajax.automl._space import MAX_EPOCHS, MODELS
from metajax.automl._task import CURVE_POINTS, Data, TrainingResults
from metajax.automl.models import ModelType
from metajax.automl.models._fit import FittedMember, fit_member
from metajax.run._compiled import compiling
from metajax.space import Space
from metajax.types import generator, stream

Progress = Callable[[int], None]


class Trainer:
    """Trains configurations of the space of a table.

    Args:
        space: The space, networks first among the choices of ``model``.
        prepared: The table.
        group_size: Number of networks that train side by side.
        kinds: The model types beside networks.
    """

    def __init__(self, space: Space, prepared: Prepared, group_size: int, kinds: Sequence[ModelType]):
        self._space, self._prepared, self._group_size = space, prepared, group_size
        self._kinds = {kind.name: kind for kind in kinds}

    def train(
        self,
        encodings: np.ndarray,
        data: Data,
        key: jax.Array,
        keep_params: bool = False,
        output_rows: int = 0,
        progress: Progress | None = None,
    ) -> TrainingResults:
        """Trains configurations; see ``TrainFn``. Networks come last, because their programs may have to be compiled.

        A configuration that is repeated is trained once, unless it is a network. The seed of a model is drawn from the key and
        its position. A fit that fails has the score NaN and is named on standard error.
        """
        encodings = np.asarray(encodings, np.float32)
        is_network = np.asarray(self._space.decode_configs(encodings)["model"]) < len(MODELS)
        networks, others = np.flatnonzero(is_network), np.flatnonzero(~is_network)
        results = self._empty(len(encodings), data, output_rows, encodings)
        self._train_others(others, results, data, key, keep_params, progress)
        if len(networks):
            count = None if progress is None else lambda done: progress(len(others) + done)
            trained = self._train_networks(encodings[networks], data, key, keep_params, output_rows, count)
            for name in ("score", "loss", "curve", "seconds", "outputs"):
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
    ) -> TrainingResults:
        """Trains networks side by side; an epoch of a small table is several passes over its rows."""
        prepared, limit = self._prepared, self._prepared.network_rows
        if len(data.x) > limit:
            data = data._replace(x=data.x[:limit], y=data.y[:limit])
        configs, passes = self._space.decode_configs(encodings), passes_per_epoch(len(prepared.search.x))
        configs = {**configs, "epochs": configs["epochs"] * passes}
        # The final model is trained by the programs that were compiled for the search.
        pad_to = population.PaddedSize(
            max(len(prepared.search.x), min(limit, len(prepared.final.x))), MAX_EPOCHS * passes
        )
        started, compiled_before = time.perf_counter(), compiling()
        results = population.train(
            configs,
            prepared.groups,
            data,
            prepared.outputs,
            stream(key, "networks"),
            keep_params,
            output_rows,
            self._group_size,
            progress,
            pad_to,
        )
        compiled = (compiling() - compiled_before) / max(time.perf_counter() - started, 1e-9)
        return results._replace(seconds=results.seconds * max(0.0, 1.0 - compiled))

    def _train_others(
        self,
        rows: np.ndarray,
        results: TrainingResults,
        data: Data,
        key: jax.Array,
        keep_params: bool,
        progress: Progress | None,
    ) -> None:
        """Trains the models of these rows one after the other, and writes their results."""
        assert results.encodings is not None
        decides, seeds = data is self._prepared.search, stream(key, "models")
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
        results.curve[row] = population.score(stages, y_eval, classification)
        results.score[row] = results.curve[row, -1]
        if classification:
            results.loss[row] = calibrate.calibrated_loss(stages[-1:], y_eval)[0]
        else:
            results.loss[row] = population.squared_error(stages[-1:], y_eval)[0]
        decided = {} if fitted.member is None else fitted.member.decided
        if decided:
            assert results.encodings is not None
            own = {f"{config['model']}.{name}": value for name, value in decided.items()}
            results.encodings[row] = np.asarray(self._space.encode(self._space.configs([{**config, **own}])))[0]
