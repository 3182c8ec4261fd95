"""What the architecture searches have in common: from the name of a method and some images to an architecture."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from metajax import data, fewshot, nn, plot, run, supernet
from metajax.space import Space
from metajax.types import stream

EVOLVED = 500
"""SuperNet evaluations of methods that decide by evolution (single-path methods)."""
JUDGED = 2000
"""Validation images by which the SuperNet judges an architecture."""


class Setting(NamedTuple):
    """What is searched, on what, for how long.

    Attributes:
        space: of architectures.
        network: ``(partial, single_path) -> Functional``, with the ``partial`` of a recipe.
        parts: images; weights learn on the training part, the encoding on the validation part.
        steps, batch, rate: of the search; ``rate`` is that of the weights.
        pad: pixels by which training images are shifted; ``None`` leaves them as they are.
        seed: of everything.
        warm_up: share of the search in which weights learn alone, at least; a method may ask for more.
        decide: ``(space, strengths, threshold) -> configuration``.
        more: regularizers beside those of the method, such as an expected cost.
    """

    space: Space
    network: Callable[[Any, bool], nn.Functional]
    parts: data.Images
    steps: int
    batch: int = 64
    rate: float = 0.025
    pad: int | None = None
    seed: int = 0
    warm_up: float = 0.0
    decide: Callable[[Space, Any, float], dict[str, Any]] = supernet.decide
    more: Sequence[supernet.Regularizer] = ()


class Outcome(NamedTuple):
    """What a search ended with.

    Attributes:
        state: of the search.
        found: the configuration.
        strengths: f32[width], by which it was decided.
        mixture, path: ``(params, encoding) -> accuracy`` on validation images, of any encoding and of a one-hot one.
    """

    state: supernet.SearchState
    found: dict[str, Any]
    strengths: np.ndarray
    mixture: Callable[[Any, jax.Array], jax.Array]
    path: Callable[[Any, jax.Array], jax.Array]


def made(method: str, setting: Setting) -> tuple[supernet.Search, supernet.Recipe, nn.Functional]:
    """The search of a method by name."""
    recipe = supernet.recipe(method, setting.space)
    network = setting.network(recipe.partial, recipe.single_path)
    descent = optax.sgd(recipe.weight_rate(setting.rate, setting.steps), momentum=0.9, nesterov=True)
    clip = optax.identity() if recipe.differentiates_learning else optax.clip_by_global_norm(5.0)
    optimizer = optax.chain(clip, optax.add_decayed_weights(recipe.weight_decay), descent)
    epoch = max(1, len(setting.parts.train[1]) // (setting.batch * recipe.inner_steps))
    search = recipe.build(
        setting.space,
        network,
        fewshot.cross_entropy,
        optimizer,
        setting.steps,
        epoch,
        setting.warm_up,
        setting.more,
    )
    return search, recipe, network


def sampler(setting: Setting, inner_steps: int = 1) -> Callable[[jax.Array], Any]:
    """``key -> (inner batches [inner_steps, batch, ...], outer batch, validation part)``, drawn on the device."""

    def draw(key, part):
        rows = jax.random.randint(key, (setting.batch,), 0, len(part[1]))
        return part[0][rows], part[1][rows]

    def sample(train, validation, key):
        first, second, third = jax.random.split(key, 3)

        def inner(draw_key, move_key):
            x, y = draw(draw_key, train)
            return (x if setting.pad is None else data.flip_and_crop(x, move_key, setting.pad)), y

        if inner_steps == 1:
            batches = jax.tree.map(lambda a: a[None], inner(first, third))
        else:
            keys = zip(jax.random.split(first, inner_steps), jax.random.split(third, inner_steps))
            batches = jax.tree.map(lambda *a: jnp.stack(a), *(inner(*pair) for pair in keys))
        return batches, draw(second, validation), validation

    return Partial(sample, *(jax.tree.map(jnp.asarray, part) for part in setting.parts[:2]))


def search(
    method: str,
    setting: Setting,
    directory: run.RunDirectory,
    watch: Callable[[dict[str, Any]], dict[str, float]] | None = None,
    evaluations: int = 10,
    show: bool = True,
) -> Outcome:
    """Searches, resumably, and decides.

    Args:
        watch: numbers to log about the configuration that would be decided now; nothing is chosen by them.
    """
    made_search, recipe, network = made(method, setting)
    alone = setting.network(recipe.partial, True)
    chunk, pull = min(25, setting.steps), conflict(setting, alone)

    def evaluate(state):
        found = setting.decide(setting.space, made_search.strengths(state), recipe.threshold)
        told = {"skips": float(supernet.diagnosis.count(found, "skip")), "conflict": float(pull(state.params))}
        return {**told, **(watch(found) if watch else {})}

    state = run.train(
        made_search.learner,
        made_search.init(jax.random.key(setting.seed)),
        sampler(setting, recipe.inner_steps),
        setting.steps,
        directory,
        chunk=chunk,
        evaluate=evaluate,
        evaluate_every=max(chunk, setting.steps // evaluations // chunk * chunk),
        label=method,
        show=show,
    )
    supernet.events.alive(setting.space, state.mask)
    path = accuracy(alone, setting.parts.validation)
    strengths = np.asarray(made_search.strengths(state))
    if recipe.decide == "strengths":
        found = setting.decide(setting.space, strengths, recipe.threshold)
    else:
        found = by_accuracy(setting.space, recipe, state, supernet.baselines.by_shared_weights(path, state.params))
        strengths = np.asarray(setting.space.encode(setting.space.configs([found]))[0])
    return Outcome(state, found, strengths, accuracy(network, setting.parts.validation), path)


def by_accuracy(space: Space, recipe: supernet.Recipe, state: supernet.SearchState, judge: Any) -> dict[str, Any]:
    """The architecture with the highest accuracy by the shared weights, of those that evolution or the logits propose."""
    key = stream(state.key, "decide")
    if recipe.decide == "evolve":
        return supernet.baselines.evolve(space, judge, key, evaluations=EVOLVED, population=50, tournament=10).best
    moment = supernet.Moment(jnp.ones(()), state.mask)
    draw = jax.jit(jax.vmap(lambda key: recipe.relaxation.judge(space, state.logits, moment, key)[0]))
    return supernet.baselines.best_of(space, judge, draw(jax.random.split(key, supernet.SAMPLED))).best


def conflict(setting: Setting, network: nn.Functional, paths: int = 4) -> Callable[[Any], jax.Array]:
    """``params -> mean cosine`` between the gradients of a few drawn architectures on a batch of training images."""
    encodings = setting.space.encode(setting.space.sample(jax.random.key(setting.seed), paths))
    batch = tuple(jnp.asarray(a[: setting.batch]) for a in setting.parts.train)

    def run(params, encodings, batch):
        loss = lambda params, e: fewshot.cross_entropy(lambda p, x: network.apply(p, x, e))(params, batch, _NO_KEY)[0]
        return supernet.diagnosis.conflict(loss, params, encodings)

    compiled = jax.jit(run)
    return lambda params: compiled(params, encodings, batch)


def history(directory: run.RunDirectory) -> dict[str, list[float]]:
    """What a search logged wherever it was evaluated, as columns: what it would have decided, and its diagnosis."""
    records = [record for record in directory.metrics() if "skips" in record]
    kept = [name for name in _COLUMNS if records and name in records[0]]
    return {name: [record[name] for record in records] for name in kept}


_DIAGNOSIS = ("step", "accuracy", "entropy", "eigenvalue", "skips", "conflict", "hypergradient_norm")
_COLUMNS = (*_DIAGNOSIS, "cifar10_test", "cifar10_validation")
_NO_KEY = jax.random.key(0)  # the loss draws nothing


def figure(columns: dict[str, list[float]], title: str) -> Any:
    """The diagnosis of a search over its steps, one panel for each column."""
    names = [name for name in columns if name != "step"]
    made, axes = plot.subplots(len(names), 2.9, 2.6)
    for ax, name in zip(axes, names):
        ax.plot(columns["step"], columns[name], color=plot.ACCENT)
        ax.set(xlabel="step", title=name.replace("_", " "))
    made.suptitle(title, fontsize=10)
    return made


def accuracy(network: nn.Functional, part: tuple[Any, Any]) -> Callable[[Any, jax.Array], jax.Array]:
    """``(params, encoding) -> accuracy`` on the first ``JUDGED`` images, in batches, by which batch norm goes."""
    size = min(250, len(part[1]))
    count = min(JUDGED, len(part[1])) // size
    batches = jax.tree.map(lambda a: jnp.asarray(a[: count * size]).reshape(count, size, *a.shape[1:]), part)

    def of(batches, params, encoding):
        right = lambda xy: jnp.argmax(network.apply(params, xy[0], encoding), axis=-1) == xy[1]
        return jnp.mean(jax.lax.map(right, batches), dtype=jnp.float32)

    return Partial(of, batches)


def diagnosis(
    setting: Setting,
    outcome: Outcome,
    truth: Callable[[Any], np.ndarray],
    directory: run.RunDirectory,
    encodings: Any = None,
) -> dict[str, float]:
    """How far the SuperNet can be trusted: Kendall's τ with the truth and its standard error, the discretization gap in points,
    skips, and what the search logged of itself at its end.

    Args:
        truth: encodings f32[n, width] -> true scores.
        directory: of the search.
        encodings: of the architectures for τ; by default 100 that are drawn.
    """
    space, params = setting.space, outcome.state.params
    key = stream(outcome.state.key, "judge")
    if encodings is None:
        encodings = space.encode(space.sample(key, 100))
    judge = supernet.baselines.by_shared_weights(outcome.path, params)
    decided = space.encode(space.configs([outcome.found]))
    relaxed, one_hot = outcome.mixture(params, jnp.asarray(outcome.strengths)), judge(decided)[0][0]
    last = directory.metrics()[-1]
    scores, true = judge(encodings)[0], truth(encodings)
    return {
        "kendall_tau": supernet.diagnosis.kendall_tau(scores, true),
        "kendall_tau_error": supernet.diagnosis.kendall_tau_error(scores, true),
        "discretization_gap": 100 * float(relaxed - one_hot),
        "skips": supernet.diagnosis.count(outcome.found, "skip"),
        **{name: last[name] for name in ("entropy", "conflict", "eigenvalue") if name in last},
    }
