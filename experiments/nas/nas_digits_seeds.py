"""How far what a search decides on the small cell space depends on its seed, and how close its decisions were.

    python -m experiments.nas.nas_digits_seeds --out runs/nas_digits_seeds

Each method searches the space of ``nas_digits`` with several seeds, on the images and with the truth of that experiment's
committed result, so that only the search differs. A decision takes the strongest operation of each edge. Its margin is the
difference between the strongest and the second operation, on the edge where it is smallest. FairDARTS keeps every operation
whose sigmoid is above 0.85. The last column says how many these are on an edge; this space takes one of them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments import harness
from experiments.harness.markdown import table
from experiments.nas import _searching, nas_digits
from metajax import data, run, supernet
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the searches; the network, the batch and the images are those of the truth."""

    methods: str = "darts-1,fair-darts,idarts,s-darts-random,s-darts-adversarial,beta-darts"
    """Names of ``supernet.METHODS``, separated by commas."""
    seeds: int = 3
    """Searches of each method."""
    steps: int = 1000
    """Updates of a search."""
    rate: float = 0.025
    """Learning rate of the weights in a search."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "seeds", "steps")
        unknown = [name for name in self.names if name not in supernet.METHODS]
        if unknown:
            raise InputError(f"--methods must be some of {', '.join(supernet.METHODS)}, got {unknown[0]}")

    @property
    def names(self) -> list[str]:
        return self.methods.split(",")


PRESETS = {"paper": {}, "tiny": {"methods": "darts-1", "seeds": 2, "steps": 4}}


def load(config: Config) -> dict[str, Any]:
    """The images and the truth of ``nas_digits``."""
    known = harness.read(harness.RESULTS / "nas_digits")
    return {"digits": data.digits(known.config["seed"]), "truth": np.asarray(known.result["truth"])}


def search_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Searches by every method with every seed."""
    known = harness.read(harness.RESULTS / "nas_digits")
    of = nas_digits.Config(**known.config)
    space = supernet.spaces.cell_space(nodes=3)

    network = nas_digits.make_network(of, space)
    kept_from = supernet.METHODS["fair-darts"].recipe(space).threshold

    def search(cell: harness.Cell) -> dict[str, Any]:
        name, seed = cell["method"], cell["seed"]
        setting = _searching.Setting(space, network, loaded["digits"], config.steps, of.batch, config.rate, None, seed)
        own = {**run.to_dict(config), **cell}
        with run.RunDirectory(directory.path / f"{name}_{seed}", own, resume=directory.resumed) as inside:
            outcome = _searching.search(name, setting, inside, show=False)
        rank = nas_digits.shared_rank(known.result, outcome.config)
        edges = [outcome.strengths[block] for block in space.slices.values()]
        return {"rank": rank, "found": outcome.config, **closeness(edges, kept_from)}

    cells = [{"method": name, "seed": seed} for name in config.names for seed in range(config.seeds)]
    searches = harness.measure(directory, cells, search, "searches")
    metrics = {f"{each['method']} {each['seed']} rank": each["rank"] for each in searches}
    protocol = (
        f"{config.seeds} seeds, {config.steps} steps, {of.channels} channels, on the images and the truth of nas_digits "
        f"({len(loaded['truth'])} cells)"
    )
    return {"metrics": metrics, "searches": searches, "protocol": protocol}


def closeness(edges: list[np.ndarray], kept_from: float) -> dict[str, Any]:
    """Returns the smallest margin of the strongest operation over edges, and how many of each edge are kept.

    Example:
        >>> closeness([np.array([0.5, 0.25, 0.25]), np.array([0.9, 0.0, 0.9])], kept_from=0.85)
        {'margin': 0.0, 'kept': [0, 2]}
    """
    strongest_two = [np.sort(edge)[-2:] for edge in edges]
    margins = [float(first - second) for second, first in strongest_two]
    return {"margin": min(margins), "kept": [int(np.sum(edge > kept_from)) for edge in edges]}


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """A row for each search."""
    rows = [
        [
            *(each["method"], str(each["seed"]), str(each["rank"])),
            *(" / ".join(each["found"].values()), f"{each['margin']:.3f}"),
            ", ".join(map(str, each["kept"])) if each["method"] == "fair-darts" else "–",
        ]
        for each in result["searches"]
    ]
    return table(["method", "seed", "rank", "found", "margin", "kept"], rows)


EXPERIMENT = harness.Experiment("nas_digits_seeds", __doc__, Config, search_all, load, PRESETS, markdown)

if __name__ == "__main__":
    EXPERIMENT.exit()
