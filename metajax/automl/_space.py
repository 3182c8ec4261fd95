"""The space that the main job searches for a table: model type, its shape, its training, and the features used."""

from collections.abc import Sequence
from typing import Any

from metajax.automl.models import ModelType
from metajax.space import Categorical, Float, Integer, Space, Subset
from metajax.types import InputError

MODELS = ("linear", "mlp", "residual")
"""The networks, which are the first choices of ``model``; the other model types follow."""
ACTIVATIONS = ("relu", "gelu", "silu", "tanh")
NORMS = ("none", "layer", "rms")
BATCHES = (64, 128, 256)
MAX_WIDTH, MAX_DEPTH, MAX_EPOCHS = 128, 4, 24
MAX_FEATURES = 128
_NETWORKS = ("mlp", "residual")


def tabular_space(features: int, classification: bool, model_types: Sequence[ModelType] = ()) -> Space:
    """Returns the search space for a table.

    It holds the model type (linear, multilayer perceptron, residual network, and those given), for networks their depth,
    width, activation, normalization, dropout and training, for other types their own hyperparameters, and which features are
    used. Features beyond 128 are chosen in groups of neighboring columns. Rates lie on fine grids, so that the size of the
    space is a number: over 10^12 for any table.

    Args:
        features: Number of columns of the table, at least 1.
        classification: Whether the target is a class, which adds label smoothing.
        model_types: Model types beside the networks, such as ``models.installed()``. The names of their hyperparameters begin
            with the name of the type and a dot.

    Returns:
        The space.

    Raises:
        InputError: if two model types have the same name.

    Example:
        >>> from metajax.automl import models
        >>> space = tabular_space(4, classification=True, model_types=models.installed())
        >>> list(space.domains)[:4], space.log10_size > 12, "neighbors.weights" in space.domains
        (['model', 'depth', 'width', 'activation'], True, True)
    """
    names = [*MODELS, *(kind.name for kind in model_types)]
    if len(set(names)) < len(names):
        raise InputError(
            f"model_types: {names[len(MODELS) :]} repeat a name of each other or of {list(MODELS)}; rename one"
        )
    domains = {
        "model": Categorical(tuple(names)),
        "depth": Integer(1, MAX_DEPTH),
        "width": Integer(8, MAX_WIDTH, log=True),
        "activation": Categorical(ACTIVATIONS),
        "norm": Categorical(NORMS),
        "dropout": Float(0.0, 0.5, grid=26),
        "learning_rate": Float(3e-4, 5e-2, log=True, grid=101),
        "weight_decay": Float(1e-5, 1.0, log=True, grid=51),
        "batch_size": Categorical(BATCHES),
        "epochs": Integer(4, MAX_EPOCHS, log=True),
        "selection": Categorical(("all", "subset")),
        "features": Subset(min(features, MAX_FEATURES), nonempty=True, share=0.8),
    }
    if classification:
        domains["label_smoothing"] = Float(0.0, 0.2, grid=21)
    conditions = [(name, "model", _NETWORKS) for name in ("depth", "width", "activation", "norm", "dropout")]
    if model_types:
        training = ("learning_rate", "weight_decay", "batch_size", "epochs", "label_smoothing")
        conditions += [(name, "model", MODELS) for name in training if name in domains]
    for kind in model_types:
        own = {f"{kind.name}.{name}": domain for name, domain in kind.domains(features, classification).items()}
        domains |= own
        conditions += [(name, "model", (kind.name,)) for name in own]
    return Space(domains, [*conditions, ("features", "selection", ("subset",))])


def default_config(classification: bool) -> dict[str, Any]:
    """Returns the network that one would take without a search: two layers of 64 ReLUs, AdamW, all features.

    Every search trains it among its first models.

    Args:
        classification: Whether the target is a class.

    Returns:
        A configuration of ``tabular_space``.

    Example:
        >>> config = default_config(classification=True)
        >>> config["model"], config["depth"], config["width"], config["activation"]
        ('mlp', 2, 64, 'relu')
    """
    config = {
        "model": "mlp",
        "depth": 2,
        "width": 64,
        "activation": "relu",
        "norm": "none",
        "dropout": 0.0,
        "learning_rate": 1e-3,
        "weight_decay": 1e-2,
        "batch_size": 64,
        "epochs": 20,
        "selection": "all",
    }
    return {**config, "label_smoothing": 0.0} if classification else config


def default_of_type(kind: ModelType, classification: bool) -> dict[str, Any]:
    """Returns the default configuration of a model type in the space of a table, with all features."""
    own = {f"{kind.name}.{name}": value for name, value in kind.default_config(classification).items()}
    return {"model": kind.name, **own, "selection": "all"}
