"""What trainings on other datasets predict for a new one: the warm start that ships with the package.

``prior.npz`` holds a small network, fitted by ``python -m experiments.automl.automl_prior`` to trainings of this space on
other datasets. It reads a configuration and the meta-features of a dataset, and predicts how good the configuration is
among others. It knows the networks and the model types of metajax; those of a user are never proposed by it.
"""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Float as FloatArray

from metajax._typing import checked
from metajax.automl._draw import random_encodings
from metajax.automl._prepare import Prepared
from metajax.automl._ranking import Candidates, log_seconds
from metajax.automl._space import tabular_space
from metajax.automl.models._installed import BUILT_IN
from metajax.data._home import load_npz, save_npz
from metajax.predictor import Model, metafeatures
from metajax.predictor._forms import Network
from metajax.space import Categorical, Float, Space, interop
from metajax.types import InputError, Key

__all__ = [
    "Prior",
    "common_space",
    "is_available",
    "load",
    "meta_features",
    "save",
    "to_common",
    "warm_start",
]

FILE = Path(__file__).parent / "prior.npz"
_CANDIDATES = 4096  # The number of random configurations that the prior ranks.
_STD = 1.0
"""The standard deviation of what it predicts, as a share of that of the ranks of a table: of tables that were left out it knows
little more than which half a configuration is in."""


def common_space() -> Space:
    """Returns the choices that all tables share; the features used are represented by their share.

    Returns:
        The space, with all model types of metajax, whether their packages are installed or not.

    Example:
        >>> list(common_space().domains)[-1], len(common_space().domains["model"].choices)
        ('share', 10)
    """
    full_space = tabular_space(1, True, [kind for kind, _ in BUILT_IN.values()])
    domains = {name: domain for name, domain in full_space.domains.items() if name != "features"}
    return Space(
        {**domains, "share": Float(0.0, 1.0)}, [c for c in full_space.conditions.values() if c.child != "features"]
    )


@checked
def to_common(space: Space, encodings: FloatArray[np.ndarray, "n width"]) -> FloatArray[np.ndarray, "n common"]:
    """Converts encodings of a table's space to those of ``common_space``.

    Args:
        space: The space of the table.
        encodings: Configurations of it.

    Returns:
        The same configurations in ``common_space``; choices that the table's space lacks are zero, and so is the model type
        where it is one of a user.

    Example:
        >>> import jax
        >>> space = tabular_space(4, classification=False)
        >>> encodings = np.asarray(space.encode(space.sample(jax.random.key(0), 3)))
        >>> to_common(space, encodings).shape[1] == common_space().width
        True
    """
    blocks = []
    for name, domain in common_space().domains.items():
        block = np.zeros((len(encodings), domain.width), encodings.dtype)
        if name == "share":
            selected, uses_all = encodings[:, space.slices["features"]], encodings[:, space.slices["selection"]][:, 0]
            block[:, 0] = np.maximum(selected.mean(axis=1), uses_all)
        elif name == "model":
            for common_index, own_index in _shared_types(space):
                block[:, common_index] = encodings[:, space.slices[name].start + own_index]
        elif name in space.slices:
            block[:] = encodings[:, space.slices[name]]
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def _shared_types(space: Space) -> list[tuple[int, int]]:
    """The index of each shared model type in ``common_space``, and its index in the space of a table."""
    common_types, own_types = (list(cast(Categorical, s.domains["model"]).choices) for s in (common_space(), space))
    return [(index, own_types.index(name)) for index, name in enumerate(common_types) if name in own_types]


@checked
def meta_features(prepared: Prepared) -> FloatArray[np.ndarray, " features"]:
    """Returns the meta-features of the rows that a search learns from.

    Args:
        prepared: The table.

    Returns:
        The values of ``predictor.metafeatures``, in their order.

    Example:
        >>> from metajax import automl
        >>> from metajax.data import tabular
        >>> bool(np.isfinite(meta_features(automl.prepare(tabular.load("iris"), seed=0))).all())
        True
    """
    values = metafeatures(np.asarray(prepared.search.x), np.asarray(prepared.search.y), prepared.classification)
    return np.array(list(values.values()))


class Prior(NamedTuple):
    """A fitted network that ranks configurations for a dataset.

    Attributes:
        network: The layers of the network.
        shift: f[c], subtracted from the meta-features.
        scale: f[c], by which they are divided then.

    Example:
        >>> layers = (np.ones((common_space().width + 2, 3)), np.zeros(3)), (np.ones((3, 1)), np.zeros(1))
        >>> prior = Prior(Network(layers), np.zeros(2), np.ones(2))
        >>> prior(np.zeros((5, common_space().width)), np.zeros(2)).shape
        (5,)
    """

    network: Network
    shift: np.ndarray
    scale: np.ndarray

    def __call__(self, x: np.ndarray, context: np.ndarray) -> np.ndarray:
        """Predicts the standardized rank of configurations; larger is better.

        Args:
            x: f[n, width], encodings of ``common_space``.
            context: f[c], the meta-features of the dataset.

        Returns:
            f64[n].
        """
        scaled = np.clip(np.nan_to_num((context - self.shift) / self.scale), -3.0, 3.0)
        h = np.concatenate([x, np.broadcast_to(scaled, (len(x), len(scaled)))], axis=1)
        for weights, bias in self.network.layers[:-1]:
            h = np.maximum(h @ weights + bias, 0.0)
        weights, bias = self.network.layers[-1]
        return (h @ weights + bias)[:, 0]


def save(model: Model, path: Path = FILE) -> None:
    """Writes a fitted ensemble as a prior.

    Args:
        model: A model of ``predictor.ensemble``, fitted to trials of ``common_space`` with meta-features as context.
        path: The file; by default the one that ships with the package.

    Raises:
        InputError: if the model is not an ensemble of networks.

    Example:
        >>> import tempfile
        >>> import jax
        >>> from metajax import predictor
        >>> space = common_space()
        >>> configs = space.sample(jax.random.key(0), 32)
        >>> trials = predictor.Trials.from_arrays(
        ...     space, configs, np.arange(32.0), group=np.arange(32) // 16, context=np.arange(64.0).reshape(32, 2)
        ... )
        >>> model = predictor.fit(trials, predictor.ensemble(2), "rank", jax.random.key(0))
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     save(model, Path(directory) / "prior.npz")
        ...     len(load(Path(directory) / "prior.npz").network.layers)
        2
    """
    form = model.spec.form(model.params) if model.spec.form else None
    if not isinstance(form, Network):
        raise InputError(
            f"save: model must be an ensemble of networks (predictor.ensemble), got the form {type(form).__name__}"
        )
    arrays = {f"{kind}{i}": a.astype(np.float32) for i, layer in enumerate(form.layers) for kind, a in zip("wb", layer)}
    save_npz(path, True, space=_digest(), shift=model.context_shift, scale=model.context_scale, **arrays)


def _digest() -> str:
    """A digest of the space that a prior is about."""
    return hashlib.sha256(interop.to_json(common_space()).encode()).hexdigest()[:16]


@functools.cache
def load(path: Path = FILE) -> Prior:
    """Reads a prior that ``save`` wrote.

    Args:
        path: The file; by default the one that ships with the package.

    Returns:
        The prior, a network of two layers.

    Raises:
        InputError: if the file is missing or damaged, or was fitted to trainings of another space.

    Example:
        >>> load(Path("missing.npz"))
        Traceback (most recent call last):
        metajax.types.InputError: missing.npz: no such file
    """
    names = ("shift", "scale", "w0", "b0", "w1", "b1")
    space = str(load_npz(path, ("space",))["space"])
    if space != _digest():
        raise InputError(
            f"{path}: was fitted on the space {space}, but this version searches the space {_digest()}; "
            "run the experiment automl_prior to fit a new prior"
        )
    arrays = load_npz(path, names)
    layers = (arrays["w0"], arrays["b0"]), (arrays["w1"], arrays["b1"])
    return Prior(Network(layers), arrays["shift"], arrays["scale"])


def is_available() -> bool:
    """Returns whether the package ships a prior of this space. Without one, ``warm_start`` proposes random configurations.

    Returns:
        Whether ``load`` reads it.

    Example:
        >>> is_available() in (True, False)
        True
    """
    try:
        load()
    except InputError:
        return False
    return True


@checked
def warm_start(
    space: Space,
    prepared: Prepared,
    n: int,
    key: Key,
    tried: FloatArray[np.ndarray, "tried width"],
    prior: Prior | None = None,
    seconds: np.ndarray | None = None,
) -> FloatArray[np.ndarray, "{n} width"]:
    """Proposes configurations for a dataset before any of its own trainings are known.

    The prior predicts how good many random configurations are. Those with the largest expected gain are returned, a third
    of them by their gain per second, each at a distance from those before it and from those that were tried. Without a prior of
    this space, random ones are returned.

    Args:
        space: The space of the table.
        prepared: The table.
        n: Number of configurations, at least 1.
        key: Random key.
        tried: Encodings that are not proposed again.
        prior: The prior; by default the one that ships with the package.
        seconds: f64[tried], how long each took; by default nothing is known, and all take as long as each other.

    Returns:
        Encodings, f32.

    Example:
        >>> import jax
        >>> from metajax import automl
        >>> from metajax.data import tabular
        >>> prepared = automl.prepare(tabular.load("iris"), seed=0)
        >>> space = tabular_space(4, classification=True)
        >>> tried = np.asarray(space.encode(space.configs([automl.default_config(True)])))
        >>> n, n_meta = common_space().width, len(meta_features(prepared))
        >>> layers = (np.ones((n + n_meta, 3)), np.zeros(3)), (np.ones((3, 1)), np.zeros(1))
        >>> prior = Prior(Network(layers), np.zeros(n_meta), np.ones(n_meta))
        >>> warm_start(space, prepared, 8, jax.random.key(0), tried, prior).shape == (8, space.width)
        True
    """
    candidates = random_encodings(space, key, _CANDIDATES)
    if prior is None and not is_available():
        return candidates[:n]
    predicted = (prior or load())(to_common(space, candidates), meta_features(prepared))
    costs = log_seconds(tried, seconds, candidates)
    ranked = Candidates(candidates, predicted, np.full(len(candidates), _STD), float(predicted.max()), costs)
    return ranked.spread_out(space, n, tried, candidates[:0])
