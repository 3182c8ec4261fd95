"""The space that the main job searches: model type, its shape, its training, and the features used."""

from metajax.space import Categorical, Float, Integer, Space, Subset

MODELS = ("linear", "mlp", "residual")
ACTIVATIONS = ("relu", "gelu", "silu", "tanh")
NORMS = ("none", "layer", "rms")
BATCHES = (64, 128, 256)
MAX_WIDTH, MAX_DEPTH, MAX_EPOCHS = 128, 4, 24
MAX_FEATURES = 128
_NETWORKS = ("mlp", "residual")


def tabular_space(features: int, classification: bool) -> Space:
    """The search space for a table with this many columns.

    Features beyond ``MAX_FEATURES`` are chosen in groups. Rates lie on fine grids, so that the size is a number: over
    10^12 for any table.

    Example:
        >>> tabular_space(4, classification=True).log10_size > 12
        True
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


def default_config(classification: bool) -> dict:
    """What one would take without a search: two layers of 64 ReLUs, AdamW, all features."""
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
