"""The space that the main job searches for a table: model type, its shape, its training, and the features used."""

from collections.abc import Sequence
from typing import Any

from metajax.automl._class_weights import CHOICE
from metajax.automl.models import ModelType
from metajax.space import Categorical, Float, Integer, Space, Subset
from metajax.types import InputError

NETWORKS = ("linear", "mlp", "resnet")
"""The model types that are trained by gradient descent: the first choices of ``model``; the other model types follow."""
EMBEDDINGS = ("none", "piecewise", "periodic")
ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "parametric")
NORMS = ("none", "layer", "rms")
SCHEDULES = ("constant", "cosine", "coslog4")
MEMBERS = (1, 8, 16)
WIDTHS = (32, 64, 128, 256, 512)
MAX_UNITS = 2048
"""Maximum number of units of a level, over all members: a wider ensemble is trained with fewer units a member."""
BATCHES = (128, 256, 512)
MAX_DEPTH, MAX_EPOCHS = 4, 256
MAX_FEATURES = 128
_DEEP = ("mlp", "resnet")
_TRAINING = ("embedding", "learning_rate", "schedule", "weight_decay", "batch_size", "epochs", "label_smoothing")


def tabular_space(
    features: int, classification: bool, model_types: Sequence[ModelType] = (), weights_classes: bool = False
) -> Space:
    """Returns the search space for a table.

    It holds the model type (linear, multilayer perceptron, residual network, and those given). For networks it holds how
    numbers are embedded, the depth, width, activation, normalization and dropout, the number ``k`` of members that share
    weights (a level has at most ``2048 / k`` units then), and the settings of the training; for other types their own
    hyperparameters. It also holds which features are used; those beyond 128 are chosen in groups of neighboring columns. Rates
    lie on fine grids, so that the size of the space is a number: over 10^12 for any table.

    Args:
        features: Number of columns of the table, at least 1.
        classification: Whether the target is a class, which adds label smoothing.
        model_types: Model types beside the networks, such as ``models.installed()``. The names of their hyperparameters begin
            with the name of the type and a dot.
        weights_classes: Whether it is searched how much more rare classes count in training, which metrics ask for that judge
            every class alike.

    Returns:
        The space.

    Raises:
        InputError: if two model types have the same name.

    Example:
        >>> from metajax.automl import models
        >>> space = tabular_space(4, classification=True, model_types=models.installed())
        >>> list(space.domains)[:4], space.log10_size > 12, "neighbors.weights" in space.domains
        (['model', 'embedding', 'frequency_scale', 'depth'], True, True)
    """
    names = [*NETWORKS, *(kind.name for kind in model_types)]
    if len(set(names)) < len(names):
        raise InputError(
            f"model_types: names must be unique and differ from {list(NETWORKS)}, got {names[len(NETWORKS) :]}; rename one"
        )
    domains = {
        "model": Categorical(tuple(names)),
        "embedding": Categorical(EMBEDDINGS),
        "frequency_scale": Float(0.02, 2.0, log=True, grid=21),
        "depth": Integer(1, MAX_DEPTH),
        "width": Categorical(WIDTHS),
        "k": Categorical(MEMBERS),
        "activation": Categorical(ACTIVATIONS),
        "norm": Categorical(NORMS),
        "dropout": Float(0.0, 0.5, grid=26),
        "learning_rate": Float(2e-3, 2e-1, log=True, grid=101),
        "schedule": Categorical(SCHEDULES),
        "weight_decay": Float(1e-4, 1.0, log=True, grid=51),
        "batch_size": Categorical(BATCHES),
        "epochs": Integer(8, MAX_EPOCHS, log=True),
        "selection": Categorical(("all", "subset")),
        "features": Subset(min(features, MAX_FEATURES), nonempty=True, share=0.8),
    }
    if classification:
        domains["label_smoothing"] = Float(0.0, 0.2, grid=21)
    if weights_classes:
        domains[CHOICE] = Float(0.0, 1.0, grid=5)
    conditions = [(name, "model", _DEEP) for name in ("depth", "width", "k", "activation", "norm", "dropout")]
    if model_types:
        conditions += [(name, "model", NETWORKS) for name in _TRAINING if name in domains]
    for kind in model_types:
        type_domains = {
            f"{kind.name}.{name}": domain for name, domain in kind.domains(features, classification).items()
        }
        domains |= type_domains
        conditions += [(name, "model", (kind.name,)) for name in type_domains]
    conditions += [("frequency_scale", "embedding", ("periodic",)), ("features", "selection", ("subset",))]
    return Space(domains, conditions)


def default_config(classification: bool) -> dict[str, Any]:
    """Returns the network that one would take without a search.

    Every search trains it among its first models.

    Args:
        classification: Whether the target is a class.

    Returns:
        A configuration of ``tabular_space``.

    Example:
        >>> config = default_config(classification=True)
        >>> config["model"], config["embedding"], config["depth"], config["width"]
        ('mlp', 'piecewise', 2, 128)
    """
    config = {
        "model": "mlp",
        "embedding": "piecewise",
        "depth": 2,
        "width": 128,
        "k": 1,
        "activation": "silu",
        "norm": "layer",
        "dropout": 0.1,
        "learning_rate": 0.04,
        "schedule": "coslog4",
        "weight_decay": 0.02,
        "batch_size": 256,
        "epochs": 64,
        "selection": "all",
    }
    return {**config, "label_smoothing": 0.1} if classification else config


def default_of_type(kind: ModelType, classification: bool) -> dict[str, Any]:
    """Returns the default configuration of a model type in the space of a table, with all features."""
    type_defaults = {f"{kind.name}.{name}": value for name, value in kind.default_config(classification).items()}
    return {"model": kind.name, **type_defaults, "selection": "all"}
