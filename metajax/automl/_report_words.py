"""The words of ``report.html``: names of models and choices, metrics explained, and numbers as people write them."""

import math
from typing import Any

_MODELS = {
    "linear": "linear network",
    "mlp": "neural network (MLP)",
    "resnet": "residual neural network",
    "boosted_trees": "boosted trees",
    "extra_trees": "extra trees",
    "neighbors": "nearest neighbors",
    "regularized_linear": "regularized linear model",
    "lightgbm": "LightGBM",
    "xgboost": "XGBoost",
    "catboost": "CatBoost",
    "cell": "convolutional network",
}
# What the choices of a space mean. Those of another model type are looked up by the part after the dot, those with a prefix
# that means something else first by their whole name.
_CHOICES = {
    "model": "type of model",
    "embedding": "how numbers are embedded",
    "frequency_scale": "scale of the frequencies of a periodic embedding",
    "depth": "hidden layers",
    "width": "units of a hidden layer",
    "k": "networks that share weights and whose predictions are averaged",
    "activation": "activation function",
    "norm": "normalization of hidden layers",
    "dropout": "probability that a unit is dropped",
    "learning_rate": "peak learning rate",
    "schedule": "schedule of the learning rate",
    "weight_decay": "weight decay",
    "batch_size": "rows of an update",
    "epochs": "passes over the rows; small tables are repeated within one",
    "selection": "whether all features are used",
    "features": "features used",
    "label_smoothing": "probability spread over all classes",
    "shift": "pixels by which training images are shifted at most",
    "mirror": "whether training images are mirrored at random",
    ".learning_rate": "share of each tree that is added",
    ".depth": "maximum depth of a tree",
    ".leaves": "maximum number of leaves of a tree",
    ".min_leaf": "minimum number of rows of a leaf",
    ".min_weight": "minimum weight of a leaf",
    ".iterations": "trees, one for each class",
    ".l2": "penalty on the values of leaves",
    ".columns": "share of the inputs that a split or a tree sees",
    ".rows": "share of the rows that a tree sees",
    ".penalty": "penalty on squared weights",
    ".neighbors": "training rows that vote",
    ".weights": "how the votes are weighted",
}
_METRICS = {
    "accuracy": "The share of rows whose class is predicted correctly.",
    "balanced_accuracy": "The share of rows whose class is predicted correctly, averaged over the classes, so that a rare "
    "class counts as much as a frequent one.",
    "roc_auc": "The probability that a random row of a class gets a higher probability of that class than a random row of "
    "another class: 1 is a perfect order, 0.5 is guessing. It says nothing about where the line between the classes is drawn.",
    "average_precision": "The precision averaged over all lines that may be drawn between the classes: 1 is perfect, the share "
    "of the second class is guessing.",
    "f1": "The harmonic mean of precision and recall of the second class: 1 is perfect, 0 is useless.",
    "f1_macro": "The harmonic mean of precision and recall, averaged over the classes: 1 is perfect, 0 is useless.",
    "neg_log_loss": "The mean logarithm of the probability that the model gives to the true class: 0 is perfect.",
    "r2": "The share of the variation of the target that the predictions explain: 1 is perfect, 0 is what always predicting "
    "the mean reaches, and below 0 is worse than that.",
}
_ERRORS = {
    "neg_mean_absolute_error": "The mean distance between prediction and truth",
    "neg_mean_squared_error": "The mean squared distance between prediction and truth",
    "neg_median_absolute_error": "The median distance between prediction and truth",
    "neg_root_mean_squared_error": "The root of the mean squared distance between prediction and truth",
}
GLOSSARY = {
    "configuration": "A model type with all of its settings.",
    "default configuration": "The model that one would take without a search.",
    "ensemble": "Several trained models whose predictions are averaged, each with a weight.",
    "fold": "A part of the rows that a model is not trained on, so that its predictions for them can be judged.",
    "validation score": "A score on rows that a model was not trained on, by which the search selects. It is too good, because "
    "it is the best of many; the test score is not.",
    "test rows": "Rows that are used for the scores of this page alone, and for nothing that was decided before.",
    "95% interval": "How far the score may be off because the number of test rows is limited: of 100 such intervals about 95 "
    "hold the score that endlessly many rows would give.",
    "bootstrap": "An interval from drawing the test rows many times anew, with replacement.",
    "meta-learner": "The model that predicts from what was tried how good another configuration would be.",
    "log-loss": "The mean negative logarithm of the probability of the true class. It decides between equal scores.",
}


def model(name: str) -> str:
    """Returns a model type in words."""
    return _MODELS.get(name, name.replace("_", " "))


def choice(name: str) -> str:
    """Returns what a choice of a space means, or "" if it is not known.

    Example:
        >>> choice("learning_rate"), choice("xgboost.depth"), choice("edge_0_2")
        ('peak learning rate', 'maximum depth of a tree', 'operation from node 0 to node 2')
    """
    kind, dot, parameter = name.rpartition(".")
    if not kind and name.startswith("edge_") and name.count("_") == 2:
        _, source, target = name.split("_")
        return f"operation from node {source} to node {target}"
    return _CHOICES.get(f"{dot}{parameter}", "")


def label(name: str) -> str:
    """Returns a short label of a choice.

    Example:
        >>> label("learning_rate"), label("xgboost.min_weight")
        ('learning rate', 'XGBoost: min weight')
    """
    kind, _, parameter = name.rpartition(".")
    return f"{model(kind)}: {parameter.replace('_', ' ')}" if kind else name.replace("_", " ")


def metric(name: str) -> str:
    """Returns a sentence on what a metric measures, or "" if it is not known."""
    if name in _ERRORS:
        return f"{_ERRORS[name]}, with a minus sign, so that larger is better."
    return _METRICS.get(name, "")


def count(n: int, noun: str) -> str:
    """Returns a number of things.

    Example:
        >>> count(1, "row"), count(1200, "row")
        ('1 row', '1,200 rows')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """Returns a time in seconds, minutes or hours.

    Example:
        >>> duration(14.2), duration(90), duration(1260), duration(9000)
        ('14 seconds', '90 seconds', '21 minutes', '2.5 hours')
    """
    if seconds < 120:
        return count(round(seconds), "second")
    return count(round(seconds / 60), "minute") if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def number(value: float, digits: int = 4) -> str:
    """Returns a number with about this many significant digits.

    Example:
        >>> number(123456.7), number(3.14159), number(-0.02), number(0), number(2e12)
        ('123,457', '3.142', '-0.0200', '0', '2e+12')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, min(digits - 1 - size, 4))}f}" if -3 <= size < 9 else f"{value:.{digits}g}"


def score(value: float, name: str, half: float = math.inf) -> str:
    """Returns a score with as many digits as its uncertainty supports.

    Args:
        value: The score.
        name: The name of its metric.
        half: Half the width of its 95% interval.

    Example:
        >>> score(0.97222, "accuracy", 0.07), score(0.90923, "roc_auc", 0.06), score(0.90923, "roc_auc", 0.002)
        ('97.2%', '0.909', '0.9092')
    """
    extra = int(half < 0.005)
    if name in ("accuracy", "balanced_accuracy"):
        return f"{100 * value:.{1 + extra}f}%"
    return number(value) if name.startswith("neg_") else f"{value:.{3 + extra}f}"


def value(choice_value: Any) -> str:
    """Returns the value of a choice."""
    if choice_value is None:
        return "–"
    if isinstance(choice_value, bool):
        return "yes" if choice_value else "no"
    if isinstance(choice_value, float):
        return f"{choice_value:.4g}"
    if isinstance(choice_value, list | tuple):
        items = ": " + ", ".join(map(str, choice_value)) if len(choice_value) <= 12 else ""
        return f"{len(choice_value)} selected{items}"
    return str(choice_value)
