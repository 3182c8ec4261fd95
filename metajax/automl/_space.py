"""The space that the main job searches for a table: model type, its shape, its training, and the features used."""

from typing import Any

from metajax.space import Categorical, Float, Integer, Space, Subset

NETWORKS = ("linear", "mlp", "resnet")
"""The model types that are trained by gradient descent."""
MODELS = NETWORKS
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


def tabular_space(features: int, classification: bool) -> Space:
    """Returns the search space for a table.

    It holds the model type (linear, multilayer perceptron, residual network), how numbers are embedded, the depth, width,
    activation, normalization and dropout of the network, and the number ``k`` of members that share its weights. A level of
    an ensemble has at most ``2048 / k`` units. It also holds the settings of the training, and which features are used.
    Features beyond 128 are chosen in groups of neighboring columns. Rates lie on fine grids, so that the size of the space is
    a number: over 10^12 for any table.

    Args:
        features: Number of columns of the table, at least 1.
        classification: Whether the target is a class, which adds label smoothing.

    Returns:
        The space.

    Example:
        >>> space = tabular_space(4, classification=True)
        >>> list(space.domains)[:4], space.log10_size > 12
        (['model', 'embedding', 'frequency_scale', 'depth'], True)
    """
    domains = {
        "model": Categorical(MODELS),
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
    conditions = [(name, "model", _DEEP) for name in ("depth", "width", "k", "activation", "norm", "dropout")]
    return Space(
        domains,
        [*conditions, ("frequency_scale", "embedding", ("periodic",)), ("features", "selection", ("subset",))],
    )


def default_config(classification: bool) -> dict[str, Any]:
    """Returns the configuration that one would take without a search.

    Every search trains it first and reports its test score beside that of the selected model.

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
