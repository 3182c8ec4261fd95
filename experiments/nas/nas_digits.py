"""Architecture search on a small cell space, against the truth of that space.

The space is a three-node cell with five operations on each of three edges: 125 architectures, searched on
scikit-learn's digits by any of the methods. Every architecture is also trained from scratch, all by one compiled
program, so that the rank of what was found is known.

    python -m experiments.nas.nas_digits --out runs/nas_digits
    python -m experiments.nas.nas_digits --methods gdas,drnas,spos --out runs/nas_digits_more

Weights learn on half of the data, the encoding on a quarter; the truth is the accuracy on the last quarter after
training on the other three, mean of ``truth_seeds`` trainings. Cells within one test image of each other share a rank.
Batch norm: statistics of the batch, everywhere.
"""

import dataclasses
import sys

import jax
import numpy as np

from experiments.nas import method_versions, searching
from metajax import data, nn, plot, run, supernet
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the searches and of the truth; ``methods`` are names of ``supernet.METHODS``, or ``all``."""

    methods: str = "darts-1,darts-2"
    channels: int = 16
    stages: int = 1
    batch: int = 64
    steps: int = 600
    rate: float = 0.025
    truth_epochs: int = 12
    truth_rate: float = 3e-2
    truth_seeds: int = 2
    side_by_side: int = 5
    seed: int = 0

    def __post_init__(self):
        if min(self.channels, self.stages, self.batch, self.steps, self.truth_epochs, self.truth_seeds) < 1:
            raise InputError("channels, stages, batch, steps, truth_epochs and truth_seeds must be positive")
        unknown = [name for name in self.names if name not in supernet.METHODS]
        if unknown:
            raise InputError(f"--methods {unknown[0]}: accepted are {', '.join(supernet.METHODS)}, or all")

    @property
    def names(self) -> list[str]:
        return list(supernet.METHODS) if self.methods == "all" else self.methods.split(",")


PRESETS = {
    "quick": {},
    "full": {"methods": "all", "steps": 2000, "truth_epochs": 30, "truth_seeds": 5},
    "tiny": {"methods": "darts-1", "channels": 4, "side_by_side": 25, "steps": 20, "truth_epochs": 1, "truth_seeds": 1},
}


def experiment(config: Config, directory: run.RunDirectory, show: bool = True):
    """Trains everything, searches, compares; returns the metrics and the architectures found."""
    parts = data.digits(config.seed)
    directory.bind_data(run.fingerprint(digits=parts))
    both = tuple(np.concatenate(pair) for pair in zip(parts.train, parts.validation))
    space = supernet.spaces.cell_space(nodes=3)

    def network(partial: int = 1, single_path: bool = False) -> nn.Functional:
        build = lambda rngs: supernet.spaces.CellNet(
            space, 10, config.channels, config.stages, stride=2, partial=partial, single_path=single_path, rngs=rngs
        )
        return nn.functional(build)

    bar = run.Progress(int(space.size) * config.truth_seeds, label="truth", show=show)
    training = supernet.truth.Training(config.truth_epochs, config.batch, config.truth_rate)
    table = supernet.truth.exhaust(
        space,
        network(single_path=supernet.truth.trains_sequentially()),
        both,  # type: ignore[arg-type]
        parts.test,
        training,
        config.truth_seeds,
        jax.random.key(config.seed + 1),
        side_by_side=config.side_by_side,
        progress=lambda done, total: bar.update(done, {}),
        path=directory.path / "truth.json",
    )
    bar.close()

    place = searching.Setting(space, network, parts, config.steps, config.batch, config.rate, None, config.seed)
    true = lambda encodings: table.mean  # asked for every architecture, in the table's order
    metrics, found = {"architectures": int(space.size), "best": 100 * float(table.mean.max())}, {}
    metrics["median"] = 100 * float(np.median(table.mean))
    encodings, tests = space.encode(space.at(table.index)), len(parts.test[1])
    scores = np.zeros(0)
    for name in config.names:
        own = {**run.to_dict(config), "method": name}
        with run.RunDirectory(directory.path / name, own, resume=directory.resumed) as inside:
            outcome = searching.search(name, place, inside, show=show)
            told = searching.diagnosis(place, outcome, true, inside, encodings)
        at = supernet.diagnosis.index_of(space, outcome.config)
        scores = supernet.baselines.by_shared_weights(outcome.single_path, outcome.state.params)(encodings)[0]
        found[name] = outcome.config
        label = name.replace("-", "_")
        metrics[f"{label}_rank"] = table.rank(at, within=1 / tests)
        metrics[f"{label}_accuracy"] = 100 * float(table.mean[at])
        metrics |= {f"{label}_{what}": value for what, value in told.items()}
    last = config.names[-1]
    figure = plot.scatter(
        100 * scores,
        100 * table.mean,
        f"accuracy by shared weights of {last}, %",
        "accuracy trained alone, %",
        f"All {int(space.size)} architectures, τ = {metrics[last.replace('-', '_') + '_kendall_tau']:.2f}",
        diagonal=False,
    )
    plot.save(figure, directory.path / "ranking.png")
    versions = {name: method_versions.version(name) for name in config.names}
    truth = {"truth": table.accuracy.tolist(), "test_images": tests}
    directory.finish({"metrics": metrics, "found": found, "method_versions": versions, **truth})
    return metrics, found


def main(argv=None) -> int:
    config, options = run.parse(Config, PRESETS, argv, __doc__, "nas_digits", "runs/nas_digits")

    def command():
        with run.RunDirectory(options.out, run.to_dict(config), options.resume, options.overwrite) as directory:
            metrics, found = experiment(config, directory)
        print(
            f"{metrics['architectures']} architectures, truth: best {metrics['best']:.2f}%, median {metrics['median']:.2f}%"
        )
        for name in config.names:
            label = name.replace("-", "_")
            print(
                f"{name}: {found[name]}\n  rank {metrics[f'{label}_rank']} of {metrics['architectures']}, accuracy "
                f"{metrics[f'{label}_accuracy']:.2f}%, Kendall τ of SuperNet against truth "
                f"{metrics[f'{label}_kendall_tau']:.3f} (batch norm: transductive)"
            )
        print(f"written to {options.out}: result.json, ranking.png")

    return run.main(command)


if __name__ == "__main__":
    sys.exit(main())
