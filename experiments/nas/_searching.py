"""What the experiments with SuperNets share: a search that logs its diagnosis, and the figures of it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax import data, fewshot, plot, run, supernet
from metajax.space import Space
from metajax.supernet.regularizers import Regularizer
from metajax.types import stream


class Setting(NamedTuple):
    """What is searched, on which images, and for how long.

    Attributes:
        space: The space of architectures.
        network: ``(partial, single_path) -> Functional``.
        parts: The images. Weights learn on the training part, the encoding on the validation part.
        steps: The updates of the whole search.
        batch: The images in a batch.
        rate: The learning rate of the weights.
        pad: The pixels by which training images are shifted at most. ``None`` leaves images as they are.
        seed: The seed of all randomness.
        warm_up: The share of the search in which weights learn alone, at least. A method may ask for more.
        decide: ``(space, strengths, threshold) -> configuration``.
        regularizers: Terms beside those of the method, such as an expected cost.
    """

    space: Space
    network: supernet.MakeNetwork
    parts: data.Images
    steps: int
    batch: int = 64
    rate: float = 0.025
    pad: int | None = None
    seed: int = 0
    warm_up: float = 0.0
    decide: Callable[[Space, Any, float], dict[str, Any]] = supernet.decide
    regularizers: Sequence[Regularizer] = ()

    @property
    def augment(self) -> Callable[[jax.Array, jax.Array], jax.Array] | None:
        """Mirrors and shifts training images."""
        pad = self.pad
        return None if pad is None else lambda x, key: data.flip_and_crop(x, key, pad)


def search(
    method: str,
    setting: Setting,
    directory: run.RunDirectory,
    watch: Callable[[dict[str, Any]], dict[str, float]] | None = None,
    show: bool = True,
) -> supernet.Outcome:
    """Searches, decides, and logs on the way what would be decided. A search can be resumed.

    Args:
        method: A name of ``supernet.METHODS``.
        setting: What is searched.
        directory: The directory of metrics and checkpoints.
        watch: ``config -> numbers`` to log about what would be decided now. Nothing is chosen by them.
        show: Whether to show the progress bar.
    """
    recipe = supernet.METHODS[method].recipe(setting.space)
    measure_conflict = conflict(setting, recipe.network(setting.network, single_path=True))

    def evaluate(state: supernet.SearchState, config: dict[str, Any]) -> dict[str, float]:
        skips = float(supernet.diagnosis.count_value(config, "skip"))
        logged = {"skips": skips, "conflict": float(measure_conflict(state.params))}
        return {**logged, **(watch(config) if watch else {})}

    return supernet.run(
        method,
        setting.space,
        setting.network,
        fewshot.cross_entropy,
        setting.parts,
        steps=setting.steps,
        learning_rate=setting.rate,
        batch_size=setting.batch,
        seed=setting.seed,
        directory=directory,
        warm_up=setting.warm_up,
        regularizers=setting.regularizers,
        augment=setting.augment,
        decide_by=setting.decide,
        evaluate=evaluate,
        show=show,
    )


def conflict(setting: Setting, network: Any, paths: int = 4) -> Callable[[Any], jax.Array]:
    """Returns ``params -> mean cosine`` between the gradients of drawn architectures on a batch of training images."""
    encodings = setting.space.encode(setting.space.sample(jax.random.key(setting.seed), paths))
    batch = tuple(jnp.asarray(a[: setting.batch]) for a in setting.parts.train)

    def mean_cosine(params, encodings, batch):
        loss = lambda params, e: fewshot.cross_entropy(lambda p, x: network.apply(p, x, e))(params, batch, _NO_KEY)[0]
        return supernet.diagnosis.gradient_conflict(loss, params, encodings)

    compiled = jax.jit(mean_cosine)
    return lambda params: compiled(params, encodings, batch)


def history(directory: run.RunDirectory) -> dict[str, list[float]]:
    """Returns what a search logged at its evaluations, as columns: what would be decided, and the diagnosis."""
    records = [record for record in directory.metrics() if "skips" in record]
    columns = [name for name in _COLUMNS if records and name in records[0]]
    return {name: [record[name] for record in records] for name in columns}


_DIAGNOSIS = ("step", "accuracy", "entropy", "eigenvalue", "skips", "conflict", "hypergradient_norm")
_COLUMNS = (*_DIAGNOSIS, "cifar10_test", "cifar10_validation")
_NO_KEY = jax.random.key(0)  # the loss draws nothing


def figure(columns: dict[str, list[float]], title: str) -> Any:
    """Draws the diagnosis of a search over its steps, with one panel for each column."""
    names = [name for name in columns if name != "step"]
    panels, axes = plot.subplots(len(names), 2.9, 2.6)
    for ax, name in zip(axes, names):
        ax.plot(columns["step"], columns[name], color=plot.ACCENT)
        ax.set(xlabel="step", title=name.replace("_", " "))
    panels.suptitle(title, fontsize=10)
    return panels


def diagnosis(
    setting: Setting,
    outcome: supernet.Outcome,
    truth: Callable[[Any], np.ndarray],
    directory: run.RunDirectory,
    encodings: Any = None,
) -> dict[str, float]:
    """Measures how far a SuperNet can be trusted.

    Returns Kendall's τ with the truth and its standard error, the discretization gap in points, the skips, and what the
    search logged of itself at its end.

    Args:
        setting: What was searched.
        outcome: The end of the search.
        truth: ``encodings f32[n, width] -> true scores``.
        directory: The directory of the search.
        encodings: The architectures for τ. The default are 100 that are drawn.
    """
    space, params = setting.space, outcome.state.params
    key = stream(outcome.state.key, "judge")
    if encodings is None:
        encodings = space.encode(space.sample(key, 100))
    evaluate = supernet.baselines.by_shared_weights(outcome.single_path, params)
    decided = space.encode(space.configs([outcome.config]))
    relaxed, one_hot = outcome.mixture(params, jnp.asarray(outcome.strengths)), evaluate(decided)[0][0]
    last = directory.metrics()[-1]
    scores, true = evaluate(encodings)[0], truth(encodings)
    return {
        "kendall_tau": supernet.diagnosis.kendall_tau(scores, true),
        "kendall_tau_error": supernet.diagnosis.kendall_tau_error(scores, true),
        "discretization_gap": 100 * float(relaxed - one_hot),
        "skips": supernet.diagnosis.count_value(outcome.config, "skip"),
        **{name: last[name] for name in ("entropy", "conflict", "eigenvalue") if name in last},
    }
