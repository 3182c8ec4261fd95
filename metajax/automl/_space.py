"""The space that the main job searches for a table: model type, its shape, its training, and the features used."""

from typing import Any

from metajax.space import Categorical, Float, Integer, Space, Subset

MODELS = ("linear", "mlp", "residual")
ACTIVATIONS = ("relu", "gelu", "silu", "tanh")
NORMS = ("none", "layer", "rms")
BATCHES = (64, 128, 256)
MAX_WIDTH, MAX_DEPTH, MAX_EPOCHS = 128, 4, 24
MAX_FEATURES = 128
_NETWORKS = ("mlp", "residual")


def tabular_space(features: int, classification: bool) -> Space:
    """Returns the search space for a table.

    It holds the model type (linear, multilayer perceptron, residual network), its depth, width, activation, normalization and
    dropout, the settings of its training, and which features it uses. Features beyond 128 are chosen in groups of
    neighboring columns. Rates lie on fine grids, so that the size of the space is a number: over 10^12 for any table.

    Args:
        features: Number of columns of the table, at least 1.
        classification: Whether the target is a class, which adds label smoothing.

    Returns:
        The space.

    Example:
        >>> space = tabular_space(4, classification=True)
        >>> list(space.domains)[:4], space.log10_size > 12
        (['model', 'depth', 'width', 'activation'], True)
    """
    domains = {
        "model": Categorical(MODELS),
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
    return Space(domains, [*conditions, ("features", "selection", ("subset",))])


def default_config(classification: bool) -> dict[str, Any]:
    """Returns the configuration that one would take without a search: two layers of 64 ReLUs, AdamW, all features.

    Every search trains it first and reports its test score beside that of the selected model.

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
