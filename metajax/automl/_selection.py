"""The ensemble that a search ends with: a mixture of the one that scores best on held-out rows and of one of the defaults.

The more standard errors the first one is better by than the second, the larger is its weight; up to two it has none.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metajax.automl import _bags as bags
from metajax.automl import _ensemble as ensemble
from metajax.automl._metrics import best_threshold
from metajax.automl._task import EnsembleMember, Task, TrainedModel
from metajax.automl._training import AllowsFn, Data
from metajax.automl._waves import WaveHistory
from metajax.space import Space
from metajax.types import InputError, Key

_DOUBT = 2.0
"""An ensemble that is not better than that of the defaults by this number of standard errors has no weight: it was picked among
more, by the same rows, and is partly better by luck."""


class Selection(NamedTuple):
    """The ensemble that a search ends with.

    Attributes:
        bags: Its configurations, each trained on every fold.
        counts: f64[n], how often each was picked; the weight of a configuration is its share.
        temperatures: f64[n], by which the members of each divide their logits.
        n_candidates: Number of configurations that it was picked from.
        threshold: The probability from which a row is labeled as the second of two classes.
    """

    bags: list[bags.Bag]
    counts: np.ndarray
    temperatures: np.ndarray
    n_candidates: int
    threshold: float = 0.5

    def build(self, task: Task, refits: Sequence[Any] = ()) -> TrainedModel:
        """Returns the model: the members of all bags.

        Args:
            task: The task.
            refits: For each bag what was learned from more rows, or ``None``. It has half of the weight of the bag then, or all
                where it knows later rows than the others.
        """
        share_of_refit = 1.0 if task.is_ordered else 0.5
        members = []
        for i, (bag, count, temperature) in enumerate(zip(self.bags, self.counts, self.temperatures)):
            members_of_bag, encodings, refit = list(bag.members), bag.encodings, refits[i] if refits else None
            share = [1 / len(members_of_bag)] * len(members_of_bag)
            if refit is not None:
                members_of_bag, share = (
                    [*members_of_bag, refit],
                    [*((1 - share_of_refit) * np.array(share)), share_of_refit],
                )
                encodings = np.concatenate([encodings, bag.decided[None]])
            weight = count / self.counts.sum()
            members += [
                EnsembleMember(config, params, temperature, weight * member_share)
                for config, params, member_share in zip(task.space.decode(encodings), members_of_bag, share)
                if member_share
            ]
        return task.build_model(members, self.threshold)

    def refit(self, task: Task, data: Data | None, key: Key, allows: AllowsFn) -> list[Any]:
        """Trains the configurations on more rows, if there are any; returns what each has learned, or ``None``."""
        if data is None:
            return []
        encodings = np.stack([bag.decided for bag in self.bags]).astype(np.float32)
        stop = np.array([bag.stop.mean() for bag in self.bags])
        results = task.train(encodings, data, key, True, stop=stop, allows=allows)
        is_trained = np.isfinite(results.score) & np.isfinite(results.seconds)
        return [params if ok else None for params, ok in zip(results.params, is_trained)]

    def summary(self, space: Space) -> list[dict[str, Any]]:
        """Returns the configurations, those of the largest weights first, with their weights."""
        order = np.argsort(-self.counts, kind="stable")
        configs = space.decode(np.stack([self.bags[i].decided for i in order]))
        weights = self.counts[order] / self.counts.sum()
        return [{"weight": float(weight), "config": config} for weight, config in zip(weights, configs)]


def select(history: WaveHistory) -> Selection:
    r"""Picks the ensemble among the configurations that were trained on every fold, by what they predict for held-out rows.

    Two ensembles are picked: one of all configurations, and one of the defaults of the model types alone. The model is a
    mixture of both. The weight of the first one is

    $$\max\Bigl(0, \; 1 - \frac{4}{z^2}\Bigr), \qquad z = \frac{\bar d}{\mathrm{se}(d)}$$

    with the differences d of the losses of both on held-out rows. That is how James and Stein shrink a mean whose standard
    error is known, to zero where it is below two of them. On few and noisy rows the best of many configurations is the luckiest
    one. Metrics of labels, for which classes are weighted, say more than a loss; there, all configurations vote.

    Raises:
        InputError: If no training has succeeded.
    """
    task, candidates = history.task, bags.bags(history)
    candidates = [bag for bag in candidates if np.isfinite(bag.score)]
    if not candidates:
        raise InputError("search: no model could be trained on every fold of the rows; the messages above say why")
    outputs = np.stack([bag.outputs for bag in candidates], axis=1)
    targets = np.stack([np.asarray(fold.y_eval) for fold in task.folds])
    weights = None if task.folds[0].weights_eval is None else np.stack([fold.weights_eval for fold in task.folds])
    counts = _picked(outputs, targets, task, weights)
    is_default = bags.are_defaults(np.stack([bag.requested for bag in candidates]), history)
    if is_default.any() and not is_default.all() and not task.metric.by_label:
        of_defaults = np.zeros(len(counts))
        of_defaults[is_default] = _picked(outputs[:, is_default], targets, task, weights)
        share = _share_of_better(outputs, counts, of_defaults, targets, task, weights)
        counts = share * counts + (1 - share) * of_defaults
    picked = np.flatnonzero(counts)
    temperatures = ensemble.fit_temperatures(outputs[:, picked], task.classification, targets, weights)
    threshold = 0.5
    if task.metric.by_label:
        mean = ensemble.mean_of_picks(outputs[:, picked], counts[picked], targets, weights)
        threshold = best_threshold(task.metric, mean, targets.ravel(), None if weights is None else weights.ravel())
    return Selection([candidates[i] for i in picked], counts[picked], temperatures, len(candidates), threshold)


def _picked(outputs: np.ndarray, targets: np.ndarray, task: Task, weights: np.ndarray | None) -> np.ndarray:
    """How often each candidate is picked, f64[n]."""
    picks = ensemble.pick(outputs, targets, task.metric, task.classification, weights)
    return np.bincount(picks, minlength=outputs.shape[1]).astype(np.float64)


def _share_of_better(
    outputs: np.ndarray,
    counts: np.ndarray,
    of_defaults: np.ndarray,
    targets: np.ndarray,
    task: Task,
    weights: np.ndarray | None,
) -> float:
    """The weight of one ensemble beside that of the defaults; see ``select``."""
    losses = [
        ensemble.row_losses(outputs[:, picks > 0], picks[picks > 0], targets, task.classification, weights)
        for picks in (of_defaults, counts)
    ]
    gains = losses[0] - losses[1]
    share = np.full(len(gains), 1 / len(gains)) if weights is None else weights.ravel() / weights.sum()
    mean = float(share @ gains)
    error = float(np.sqrt(np.square(share) @ np.square(gains - mean)))
    if mean <= 0:
        return 0.0
    return max(0.0, 1.0 - (_DOUBT * error / mean) ** 2)
