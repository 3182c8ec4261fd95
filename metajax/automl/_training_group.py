"""Networks of one shape that train in tiles, some epochs at a time."""

import time
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax.automl import _descent as descent
from metajax.automl import _encoding as encoding
from metajax.automl import _network as network
from metajax.automl import _train_state as train_state
from metajax.automl._population_rows import Population


class Tile(NamedTuple):
    """Models that train side by side.

    Attributes:
        rows: i64[slots], their numbers; a number that occurs twice fills a slot that is not used.
        configs: Their configurations.
        state: Their training state.
        limits: When they stop.
    """

    rows: np.ndarray
    configs: network.NetworkConfig
    state: train_state.TrainState
    limits: train_state.Limits


class TrainingGroup:
    """The models of one shape, in tiles, and the recorded cost and score of each after each epoch.

    Attributes:
        costs: The cost by which epochs are compared, for each model and epoch.
        scores: The accuracy or the negative mean squared error.
        finished: The best parameters of the models that have stopped, and what is known of them.
        given_up: The models that were stopped because they fell behind.
        tiles: The models that still train.
    """

    def __init__(
        self, shape: network.Shape, slots: int, template: Any, rows: np.ndarray, configs: Any, states: Any, limits: Any
    ):
        self.shape, self.slots, self.template = shape, slots, template
        self.costs: dict[int, list[float]] = {int(row): [] for row in rows}
        self.scores: dict[int, list[float]] = {int(row): [] for row in rows}
        self.finished: dict[int, Any] = {}
        self.given_up: set[int] = set()
        self.tiles = self._tiles(rows, configs, states, limits)

    def _tiles(self, rows: np.ndarray, configs: Any, states: Any, limits: Any) -> list[Tile]:
        """Cuts models into tiles; the last one is filled with repetitions of its last model."""
        tiles = []
        for first in range(0, len(rows), self.slots):
            index = np.minimum(np.arange(first, first + self.slots), len(rows) - 1)
            take = lambda leaf, index=index: jax.device_put(np.asarray(leaf)[index])
            last_epoch, patience = take(limits.last_epoch), take(limits.patience)
            tile_limits = train_state.Limits(last_epoch, patience, limits.selects_epoch)
            tiles.append(Tile(rows[index], jax.tree.map(take, configs), jax.tree.map(take, states), tile_limits))
        return tiles

    def run(self, population: Population, tables: encoding.Table, span: train_state.Span, seconds: np.ndarray) -> None:
        """Trains every tile for a span of epochs, and takes out the models that have stopped."""
        for number, tile in enumerate(self.tiles):
            start_time = time.perf_counter()
            inputs = descent.TileInputs(
                tile.configs, self.template, tables, population.rows, tile.limits, population.dropout_seed
            )
            state, costs, scores = population.train_epochs(self.shape, population.n_outputs, tile.state, inputs, span)
            self.tiles[number] = tile._replace(state=state)
            rows, slots = np.unique(tile.rows, return_index=True)
            self._record(rows, slots, np.asarray(costs), np.asarray(scores), state)
            seconds[rows] += (time.perf_counter() - start_time) / len(rows)
        self._repack()

    def active(self) -> set[int]:
        """Returns the models that still train."""
        return {row for tile in self.tiles for row in tile.rows.tolist()} - self.finished.keys()

    def give_up(self, rows: set[int]) -> None:
        """Stops these models, as good as they are."""
        self._keep(rows)
        self.given_up |= rows & self.finished.keys()
        self._repack()

    def end_early(self) -> None:
        """Keeps what the models that still train have reached so far, where the evaluation rows have chosen an epoch."""
        self._keep(self.active())
        self.tiles = []

    def _keep(self, rows: set[int]) -> None:
        """Keeps what these models have reached so far, where the evaluation rows have chosen an epoch."""
        for tile in self.tiles:
            if not bool(tile.limits.selects_epoch):
                continue
            best_epoch = np.asarray(tile.state.best_epoch)
            for slot, row in enumerate(tile.rows.tolist()):
                if row in rows and row not in self.finished and best_epoch[slot]:
                    self.finished[row] = _best_of_slot(tile.state, slot)

    def _record(self, rows: np.ndarray, slots: np.ndarray, costs: np.ndarray, scores: np.ndarray, state: Any) -> None:
        """Appends the epochs of a call, and keeps the best parameters of models that have stopped."""
        is_active = np.asarray(state.is_active)
        has_run = np.isfinite(costs) | np.isfinite(scores)
        for row, slot in zip(rows.tolist(), slots):
            if row in self.finished:
                continue
            self.costs[row] += costs[has_run[:, slot], slot].tolist()
            self.scores[row] += scores[has_run[:, slot], slot].tolist()
            if not is_active[slot]:
                self.finished[row] = _best_of_slot(state, slot)

    def _repack(self) -> None:
        """Moves the models that still train together, if that frees a tile."""
        active = [
            [slot for slot, row in enumerate(tile.rows) if row not in self.finished and row not in tile.rows[:slot]]
            for tile in self.tiles
        ]
        n_active = sum(map(len, active))
        if -(-n_active // self.slots) == len(self.tiles):
            return
        pick = lambda field: jax.tree.map(
            lambda *leaves: np.concatenate([np.asarray(leaf)[slots] for leaf, slots in zip(leaves, active)]),
            *map(field, self.tiles),
        )
        if n_active == 0:
            self.tiles = []
            return
        selects = self.tiles[0].limits.selects_epoch
        limits = pick(lambda tile: tile.limits._replace(selects_epoch=None))._replace(selects_epoch=selects)
        self.tiles = self._tiles(
            pick(lambda tile: tile.rows), pick(lambda tile: tile.configs), pick(lambda tile: tile.state), limits
        )


def _best_of_slot(state: train_state.TrainState, slot: int) -> Any:
    """The best parameters of a model, what they predict, their cost, and their epoch."""
    best = (state.best, state.best_outputs, state.best_cost, state.best_epoch)
    return jax.tree.map(lambda leaf: np.array(np.asarray(leaf)[slot]), best)
