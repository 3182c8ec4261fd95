"""Architecture search on a small cell space, against the truth of that space.

    python -m experiments.nas.nas_digits --out runs/nas_digits
    python -m experiments.nas.nas_digits --methods gdas,drnas,spos --out runs/nas_digits_more

The space is a three-node cell with five operations on each of three edges: 125 architectures, which any of the methods
searches on scikit-learn's digits. Every architecture is also trained from scratch, all by one compiled program, so that the
rank of what was found is known.

Weights learn on half of the data and the encoding on a quarter. The truth is the accuracy on the last quarter after
training on the other three, as the mean of ``truth_seeds`` trainings. Cells within one test image of each other share a
rank. Batch norm uses the statistics of the batch, everywhere.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments import harness
from experiments.harness import Result
from experiments.harness.markdown import short, table
from experiments.nas import _diagnosis, _proxies, _searching, _versions
from metajax import data, nn, plot, run, supernet
from metajax.space import Space
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the searches and of the truth."""

    methods: str = "darts-1,darts-2"
    """Names of ``supernet.METHODS``, separated by commas, or ``all``."""
    channels: int = 16
    """Channels of the network."""
    stages: int = 1
    """Stages of the network, of one cell each."""
    batch: int = 64
    """Images in a batch."""
    steps: int = 600
    """Updates of a search."""
    rate: float = 0.025
    """Learning rate of the weights in a search."""
    truth_epochs: int = 12
    """Epochs of a training from scratch."""
    truth_rate: float = 3e-2
    """Learning rate of a training from scratch."""
    truth_seeds: int = 2
    """Trainings from scratch of every architecture."""
    side_by_side: int = 5
    """Architectures that one program trains side by side."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "channels", "stages", "batch", "steps", "truth_epochs", "truth_seeds")
        unknown = [name for name in self.names if name not in supernet.METHODS]
        if unknown:
            raise InputError(f"--methods must be all, or some of {', '.join(supernet.METHODS)}, got {unknown[0]}")

    @property
    def names(self) -> list[str]:
        return list(supernet.METHODS) if self.methods == "all" else self.methods.split(",")


PRESETS = {
    "quick": {},
    "full": {"methods": "all", "steps": 2000, "truth_epochs": 30, "truth_seeds": 5},
    "tiny": {"methods": "darts-1", "channels": 4, "side_by_side": 25, "steps": 20, "truth_epochs": 1, "truth_seeds": 1},
}


def load(config: Config) -> dict[str, Any]:
    """Scikit-learn's digits."""
    return {"digits": data.digits(config.seed)}


def make_network(config: Config, space: Space) -> supernet.MakeNetwork:
    """Returns the network of the cells, as ``supernet.run`` asks for it."""

    def network(partial: Any, single_path: bool) -> nn.Functional:
        build = lambda rngs: supernet.spaces.CellNet(
            space, 10, config.channels, config.stages, stride=2, partial=partial, single_path=single_path, rngs=rngs
        )
        return nn.functional(build)

    return network


def trained(
    config: Config, space: Space, network: supernet.MakeNetwork, parts: data.Images, directory: run.RunDirectory
) -> supernet.truth.TruthTable:
    """Trains every architecture from scratch."""
    all_training = tuple(np.concatenate(pair) for pair in zip(parts.train, parts.validation))
    bar = run.Progress(int(space.size) * config.truth_seeds, label="truth")
    training = supernet.truth.TrainingSetup(config.truth_epochs, config.batch, config.truth_rate)
    truth = supernet.truth.exhaust(
        space,
        network(1, supernet.truth.trains_sequentially()),
        all_training,  # type: ignore[arg-type]
        parts.test,
        training,
        config.truth_seeds,
        jax.random.key(config.seed + 1),
        side_by_side=config.side_by_side,
        progress=lambda done, total: bar.update(done, {}),
        path=directory.path / "truth.json",
    )
    bar.close()
    return truth


def search_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Trains every architecture, searches by every method, and compares."""
    parts: data.Images = loaded["digits"]
    space = supernet.spaces.cell_space(nodes=3)

    network = make_network(config, space)
    truth = trained(config, space, network, parts, directory)
    setting = _searching.Setting(space, network, parts, config.steps, config.batch, config.rate, None, config.seed)
    true_accuracies = lambda encodings: truth.mean  # asked for every architecture, in the table's order
    metrics, configs = {"architectures": int(space.size), "best": 100 * float(truth.mean.max())}, {}
    metrics["median"] = 100 * float(np.median(truth.mean))
    encodings, tests = space.encode(space.at(truth.index)), len(parts.test[1])
    scores = np.zeros(0)
    for name in config.names:
        search_config = {**run.to_dict(config), "method": name}
        with run.RunDirectory(directory.path / name, search_config, resume=directory.resumed) as search_directory:
            outcome = _searching.search(name, setting, search_directory)
            measured = _searching.diagnosis(setting, outcome, true_accuracies, search_directory, encodings)
        index = supernet.diagnosis.index_of(space, outcome.config)
        scores = supernet.baselines.by_shared_weights(outcome.single_path, outcome.state.params)(encodings)[0]
        configs[name] = outcome.config
        label = name.replace("-", "_")
        metrics[f"{label}_rank"] = truth.rank(index, within=1 / tests)
        metrics[f"{label}_accuracy"] = 100 * float(truth.mean[index])
        metrics |= {f"{label}_{quantity}": value for quantity, value in measured.items()}
    last = config.names[-1]
    figure = plot.scatter(
        100 * scores,
        100 * truth.mean,
        f"accuracy by shared weights of {last}, %",
        "accuracy trained alone, %",
        f"All {int(space.size)} architectures, τ = {metrics[last.replace('-', '_') + '_kendall_tau']:.2f}",
        diagonal=False,
    )
    plot.save(figure, directory.path / "ranking.png")
    versions = {name: _versions.version(name) for name in config.names}
    known = {"truth": truth.accuracy.tolist(), "test_images": tests}
    return {"metrics": metrics, "found": configs, "method_versions": versions, **known}


DIGITS = ("rank", "accuracy", "kendall_tau", "discretization_gap", "skips", "entropy", "conflict", "eigenvalue")


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """Every method on the small space of which the whole truth is known."""
    m, configs, values = result["metrics"], result["found"], {}
    for name, value in m.items():
        for quantity in (*DIGITS, "kendall_tau_error"):
            if name.endswith(f"_{quantity}"):
                values.setdefault(name.removesuffix(f"_{quantity}").replace("_", "-"), {})[quantity] = value
    versions = result.get("method_versions", {})
    is_new = {n: _versions.is_current(n, {"method_version": versions.get(n, 1)}) for n in values}
    old = _versions.left_out(name for name, new in is_new.items() if not new)
    values = {n: {**scores, "rank": shared_rank(result, configs[n])} for n, scores in values.items() if is_new[n]}
    cell = lambda scores, quantity: _proxies.tau(scores) if quantity == "kendall_tau" else short(scores[quantity])
    line = lambda scores: [cell(scores, quantity) if quantity in scores else "–" for quantity in DIGITS]
    ranked = sorted(values.items(), key=lambda item: item[1]["rank"])
    rows = ([method, " / ".join(configs[method].values()), *line(scores)] for method, scores in ranked)
    good = sum(scores["rank"] <= 0.02 * m["architectures"] for scores in values.values())
    note = (
        f"There are {m['architectures']} cells of three nodes, and each is also trained alone: the best has {m['best']:.2f}%, "
        f"the median {m['median']:.2f}%. Of the {len(values)} methods, {good} found one of the best 2%. Rank 1 is the best. "
        f"Cells within one of the {n_test_images(result)} test images of each other share a rank: it is one more than the "
        "number of cells that are better by more than one image. Kendall τ of scores without any relation to the truth has a "
        f"standard error of {_diagnosis.chance(m['architectures']):.3f}. Operations are those of the edges 0-1, 0-2 and 1-2."
    )
    return f"{note}\n\n{table(['method', 'found', *(quantity.replace('_', ' ') for quantity in DIGITS)], rows)}\n{old}"


def summary(results: Sequence[Result]) -> str:
    """A section for each run, without the list of what was found, which the table has."""
    figure = lambda result: harness.figure_line(result, "ranking.png")
    return "\n".join(
        f"{harness.heading(r, with_found=False)}\n{markdown(r.config, r.result)}{figure(r)}" for r in results
    )


def shared_rank(result: dict[str, Any], cell: dict[str, str]) -> int:
    """Returns the rank of a cell by the truth in a result, shared with those within one test image."""
    space = supernet.spaces.cell_space(nodes=3)
    truth = supernet.truth.TruthTable(np.asarray(result["truth"]), np.arange(int(space.size)))
    return truth.rank(supernet.diagnosis.index_of(space, cell), within=1 / n_test_images(result))


def n_test_images(result: dict[str, Any]) -> int:
    """Returns the number of test images of a truth: the recorded one, or the least of which every accuracy is a share.

    Example:
        >>> n_test_images({"truth": [[0.25, 0.75], [1.0, 0.5]]})
        4
    """
    truth = np.asarray(result["truth"], np.float64)
    is_share = lambda n: np.allclose(truth * n, np.round(truth * n), rtol=0.0, atol=1e-3)
    return result.get("test_images") or next(n for n in range(1, 100_000) if is_share(n))


EXPERIMENT = harness.Experiment(
    "nas_digits",
    __doc__,
    Config,
    search_all,
    load,
    PRESETS,
    markdown,
    figures=("ranking.png",),
    summary=summary,
    sections=False,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
