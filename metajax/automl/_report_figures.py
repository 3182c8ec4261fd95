"""The figures of ``report.html``, each with a caption."""

from typing import Any, NamedTuple

import numpy as np

from metajax import plot
from metajax.automl import _report_words as words
from metajax.automl._waves import WaveHistory
from metajax.predictor import Choice, Trials, targets

_SIZE = (4.6, 3.2)  # The size of line figures in inches, about as wide as a phone.
_MANY = 32  # configurations
_N_CURVES = 8
_N_BARS = 12
_META_LEARNERS = {"ensemble": "an ensemble of networks", "kernel": "a Gaussian process"}


class Captioned(NamedTuple):
    """A Matplotlib figure and the sentences above it."""

    figure: Any
    caption: str


def progress(history: WaveHistory, label: str) -> Captioned:
    """The best validation score by the number of configurations tried, for the search and for random ones."""
    from matplotlib.ticker import MaxNLocator

    series = {"search": ("random", "proposed")}
    if history.count("baseline"):
        series["random configurations"] = ("random", "baseline")
    steps, starts, ends = {}, [], []
    for name, sources in series.items():
        best = np.maximum.accumulate(np.nan_to_num(history.trials(*sources).metric, nan=-np.inf))
        number = np.arange(1, len(best) + 1)
        steps[name] = np.repeat(number, 2)[1:], np.repeat(best, 2)[:-1]  # constant until a model is better
        first = min(len(best) // 8, 8) if len(best) >= _MANY else 0
        starts.append(float(best[first]))  # The first few of many would stretch the axis.
        ends.append(float(best[-1]))
    figure = plot.curves(steps, "configurations tried", label)
    low, high = min(starts), max(ends)
    margin = max(high - low, 1e-2 * max(abs(high), 1.0))
    middle = (low + high) / 2
    figure.axes[0].set_ylim(middle - 0.6 * margin, middle + 0.6 * margin)
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.set_size_inches(*_SIZE)
    proposes = (
        "from then on the search proposes what to train."
        if history.count("proposed")
        else "the budget had no place for configurations that the search proposes."
    )
    caption = (
        f"The best validation score so far ({label} of a single training), by the number of configurations tried. The first "
        f"{words.count(history.count('random'), 'configuration')} are defaults and random ones; {proposes}"
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
    name = lambda i: words.model(configs[i].get("model", "cell"))
    series = {f"{rank}: {name(i)}": (share, curves[i]) for rank, i in enumerate(order, 1)}
    models = (
        f"the {len(order)} best models of the search during their training, the best first"
        if len(order) > 1
        else ("the model of the search during its training")
    )
    caption = (
        f"The validation score ({label}) of {models}. Training is counted in epochs or in trees; a model that is not trained "
        "step by step has a flat line."
    )
    figure = plot.curves(series, "share of the training", label)
    if len(order) > 1:  # Below the axes, so that a phone shows the figure large enough to read.
        figure.axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, fontsize=9)
    figure.set_size_inches(_SIZE[0], _SIZE[1] + 0.2 * ((len(order) + 1) // 2) * (len(order) > 1))
    return Captioned(figure, caption)


def agreement(choice: Choice, trials: Trials) -> Captioned:
    """The predicted ranks of trainings against their measured ranks."""
    target = targets.make(trials, "rank")
    measured_ranks = target.y * target.scale + target.shift
    figure = plot.scatter(choice.predicted[choice.best], measured_ranks, "predicted rank", "measured rank")
    scores = ", ".join(f"{_META_LEARNERS.get(name, name)} {value:.2f}" for name, value in choice.r2.items())
    return Captioned(
        figure,
        "Each point is a training that the meta-learner had not seen when it predicted its rank (cross-validation). Rank 1 is "
        f"the best training, rank 0 the worst. The meta-learner's models reach these R²: {scores}; the better one is used and "
        "drawn. At an R² of 1 every prediction is exact; at 0 or below, predicting the mean rank does as well.",
    )


def importance(values: dict[str, float]) -> Captioned:
    """The choices that matter most."""
    shares = {words.label(name): value for name, value in list(values.items())[:_N_BARS]}
    figure = plot.bars(shares, "share of the predicted variation")
    figure.set_size_inches(_SIZE[0], figure.get_size_inches()[1])
    return Captioned(
        figure,
        "How much the rank that the meta-learner predicts varies when one choice alone is drawn anew (its total Sobol index). "
        "A long bar is a choice that is worth tuning.",
    )
