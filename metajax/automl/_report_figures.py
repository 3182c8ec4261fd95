"""The figures of ``report.html``, each with a caption."""

from typing import Any, NamedTuple

import numpy as np

from metajax import plot
from metajax.automl._waves import WaveHistory
from metajax.predictor import Choice, Trials, targets

_N_CURVES = 8
_N_BARS = 12


class Captioned(NamedTuple):
    """A Matplotlib figure and the sentences above it."""

    figure: Any
    caption: str


def progress(history: WaveHistory, label: str) -> Captioned:
    """The best validation score by the number of configurations tried, for the search and for random ones."""
    series = {"search": ("random", "proposed")}
    if history.count("baseline"):
        series["random configurations"] = ("random", "baseline")
    steps, starts, ends = {}, [], []
    for name, sources in series.items():
        best = np.maximum.accumulate(np.nan_to_num(history.trials(*sources).metric, nan=-np.inf))
        number = np.arange(1, len(best) + 1)
        steps[name] = np.repeat(number, 2)[1:], np.repeat(best, 2)[:-1]  # constant until a model is better
        starts.append(float(best[min(len(best) // 8, 8)]))  # The first few would stretch the axis.
        ends.append(float(best[-1]))
    figure = plot.curves(steps, "configurations tried", f"best validation {label} so far")
    low, high = min(starts), max(ends)
    margin = max(high - low, 1e-2)
    figure.axes[0].set_ylim(low - 0.05 * margin, high + 0.1 * margin)
    proposes = (
        "from then on the search proposes what to train."
        if history.count("proposed")
        else "the budget had no place for configurations that the search proposes."
    )
    caption = (
        f"The best validation {label} of a single training, by the number of configurations tried. The first "
        f"{history.count('random')} configurations are defaults and random ones; {proposes}"
    )
    if "random configurations" in series:
        caption += " Both lines share these first models."
    return Captioned(figure, caption)


def learning_curves(history: WaveHistory, label: str) -> Captioned:
    """The validation scores of the best models while they trained."""
    trials, curves = history.trials("random", "proposed"), history.curves("random", "proposed")
    order = np.argsort(-trials.utility, kind="stable")[:_N_CURVES]
    configs = trials.configs()
    share = np.linspace(0, 1, curves.shape[1] + 1)[1:]
    series = {f"{rank}: {configs[i].get('model', 'cell')}": (share, curves[i]) for rank, i in enumerate(order, 1)}
    caption = (
        f"The validation {label} of the {len(order)} best models of the search during their training, the best first. "
        "Training is counted in epochs or in trees; a model that is not trained step by step has a flat line."
    )
    return Captioned(plot.curves(series, "share of the training", f"validation {label}"), caption)


def agreement(choice: Choice, learned: Trials) -> Captioned:
    """The predicted ranks of trainings against their measured ranks."""
    target = targets.make(learned, "rank")
    measured = target.y * target.scale + target.shift
    figure = plot.scatter(choice.predicted[choice.best], measured, "predicted rank", "measured rank")
    scores = ", ".join(f"{name} {value:.2f}" for name, value in choice.r2.items())
    return Captioned(
        figure,
        "Each point is a training that the meta-learner had not seen when it predicted its rank (cross-validation). Rank 1 is "
        f"the best training, rank 0 the worst. The meta-learner's models reach these R²: {scores}; the better one is used and "
        "drawn. At an R² of 1 every prediction is exact; at 0 or below, predicting the mean rank does as well.",
    )


def importance(values: dict[str, float]) -> Captioned:
    """The choices that matter most."""
    return Captioned(
        plot.bars(dict(list(values.items())[:_N_BARS]), "share of the predicted variation"),
        "How much the rank that the meta-learner predicts varies when one choice alone is drawn anew (its total Sobol index). "
        "A long bar is a choice that is worth tuning.",
    )
