"""DARTS on a small cell space, against the truth of that space (Liu et al. 2019, arXiv:1806.09055).

The space is a three-node cell with five operations on each of three edges: 125 architectures, searched on
scikit-learn's digits by first-order and exact second-order DARTS. Then every architecture is trained from scratch, side
by side in one vmapped program, so that the rank of what was found is known.

    python -m experiments.nas_digits --out runs/nas_digits

Weights learn on half of the data, the encoding on a quarter; the truth is the accuracy on the last quarter after
training on the other three, mean of ``truth_seeds`` trainings. Batch norm: statistics of the batch, everywhere.
"""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel, data, fewshot, nn, plot, run, supernet
from metajax.types import InputError

METHODS = {"darts_1": bilevel.first_order, "darts_2": bilevel.unroll}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the search and of the truth."""

    channels: int = 16
    stages: int = 1
    batch: int = 64
    steps: int = 600
    weight_rate: float = 0.025
    arch_rate: float = 3e-3
    truth_epochs: int = 12
    truth_rate: float = 3e-2
    truth_seeds: int = 2
    side_by_side: int = 5
    seed: int = 0

    def __post_init__(self):
        if min(self.channels, self.stages, self.batch, self.steps, self.truth_epochs, self.truth_seeds) < 1:
            raise InputError("channels, stages, batch, steps, truth_epochs and truth_seeds must be positive")


PRESETS = {
    "quick": {},
    "full": {"steps": 2000, "truth_epochs": 30, "truth_seeds": 5},
    "tiny": {"channels": 2, "side_by_side": 25, "steps": 20, "truth_epochs": 1, "truth_seeds": 1},
}


def search(name: str, config: Config, space, network, parts: data.Images, directory: run.RunDirectory, show: bool):
    """One DARTS search; returns the final state."""
    learner = supernet.darts(
        space,
        network,
        fewshot.cross_entropy,
        # the derivative through clipping by norm is NaN at a zero gradient, so there is none here
        optax.chain(
            optax.add_decayed_weights(3e-4),
            optax.sgd(optax.cosine_decay_schedule(config.weight_rate, config.steps, 0.04), momentum=0.9),
        ),
        optax.chain(optax.add_decayed_weights(1e-3), optax.adam(config.arch_rate, b1=0.5)),
        METHODS[name](),
    )

    def sampler(key):
        draw = lambda k, part: jax.tree.map(
            lambda a: jnp.asarray(a)[jax.random.randint(k, (config.batch,), 0, len(part[1]))], part
        )
        a, b = jax.random.split(key)
        return jax.tree.map(lambda t: t[None], draw(a, parts.train)), draw(b, parts.validation)

    state = learner.init(jax.random.key(config.seed), {"arch": space.zeros()})
    with run.RunDirectory(
        directory.path / name, {**run.to_dict(config), "method": name}, resume=directory.resumed
    ) as inside:
        return run.train(learner, state, sampler, config.steps, inside, chunk=50, label=name, show=show)


def experiment(config: Config, directory: run.RunDirectory, show: bool = True):
    """Searches, trains everything, compares; returns the metrics and the architectures found."""
    parts = data.digits(config.seed)
    x, y = (np.concatenate(pair) for pair in zip(parts.train, parts.validation))
    both = (x, y)
    space = supernet.cell_space(nodes=3)
    network = nn.functional(
        lambda rngs: supernet.CellNet(space, 10, config.channels, config.stages, stride=2, rngs=rngs)
    )
    states = {name: search(name, config, space, network, parts, directory, show) for name in METHODS}

    bar = run.Progress(int(space.size) * config.truth_seeds, label="truth", show=show)
    training = supernet.Training(config.truth_epochs, config.batch, config.truth_rate)
    table = supernet.exhaust(
        space,
        network,
        both,
        parts.test,
        training,
        config.truth_seeds,
        jax.random.key(config.seed + 1),
        side_by_side=config.side_by_side,
        progress=lambda done, total: bar.update(done, {}),
    )
    bar.close()

    encodings = space.encode(space.at(table.index))
    metrics, found, scores = {"architectures": int(space.size), "best": 100 * float(table.mean.max())}, {}, {}
    metrics["median"] = 100 * float(np.median(table.mean))
    for name, state in states.items():
        config_found = supernet.discretise(space, state.hyper["arch"])
        at = supernet.index_of(space, config_found)
        again = supernet.exhaust(space, network, both, parts.test, training, 1, jax.random.key(config.seed + 2), [at])
        scores[name] = supernet.supernet_scores(
            network, state.inner.params, encodings, *map(jnp.asarray, parts.validation)
        )
        found[name] = config_found
        metrics[f"{name}_rank"] = table.rank(at)
        metrics[f"{name}_accuracy"] = 100 * float(table.mean[at])
        metrics[f"{name}_retrained"] = 100 * float(again.accuracy[0, 0])
        metrics[f"{name}_kendall_tau"] = supernet.kendall_tau(scores[name], table.mean)
    figure = plot.scatter(
        100 * scores["darts_2"],
        100 * table.mean,
        "SuperNet's accuracy, % (validation, shared weights)",
        "true accuracy, % (test, trained alone)",
        f"All {int(space.size)} architectures, τ = {metrics['darts_2_kendall_tau']:.2f}",
        diagonal=False,
    )
    plot.save(figure, directory.path / "ranking.png")
    directory.finish({"metrics": metrics, "found": found, "truth": table.accuracy.tolist()})
    return metrics, found


def main(argv=None) -> int:
    config, options = run.parse(Config, PRESETS, argv, __doc__, "nas_digits", "runs/nas_digits")

    def command():
        with run.RunDirectory(options.out, run.to_dict(config), options.resume, options.overwrite) as directory:
            metrics, found = experiment(config, directory)
        print(
            f"{metrics['architectures']} architectures, truth: best {metrics['best']:.2f}%, median {metrics['median']:.2f}%"
        )
        for name in METHODS:
            print(
                f"{name}: {found[name]}\n  rank {metrics[f'{name}_rank']} of {metrics['architectures']}, accuracy "
                f"{metrics[f'{name}_accuracy']:.2f}%, retrained with another seed {metrics[f'{name}_retrained']:.2f}%, "
                f"Kendall τ of SuperNet against truth {metrics[f'{name}_kendall_tau']:.3f} (batch norm: transductive)"
            )
        print(f"written to {options.out}: result.json, ranking.png")

    return run.main(command)


if __name__ == "__main__":
    sys.exit(main())
