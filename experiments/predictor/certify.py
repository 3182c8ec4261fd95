"""The certified best configuration of a learned model: time, nodes and gap by the size of the space and of the model.

    python -m experiments.predictor.certify --out runs/certify

The spaces have 7 to 16 choices of 10 values each (10^7 to 10^16 configurations). The meta-learner, two networks of one
hidden layer, is trained on 1,000 trials of a function with additive and pairwise parts and noise; ``units`` counts the
units of both. ``certify`` runs for at most ``seconds``, and its gap is what the bound leaves open. Searches without a
certificate search the same model; their column says how far below the certificate they end. Both are in deviations of the
trials' metric. Enumeration is run up to 10^``enumerate``; "of peak" is its share of the machine's matrix products, at two
operations for each unit and configuration.

Expect about 2 s for 10^13 configurations and 3 s to enumerate 10^9. The experiment takes 6 minutes on 2 cores.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import harness
from experiments.benchmarks import compare
from experiments.harness import Results
from experiments.harness.markdown import table
from metajax import plot, predictor, run, search
from metajax.space import Categorical, Space
from metajax.types import InputError

METHODS = {
    "enumerate": search.Enumerate(),
    "gradient": search.Gradient(),
    "reinforce": search.Reinforce(),
    "evolve": search.Evolve(),
    "random": search.Random(),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the spaces and of the models."""

    choices: str = "7,9,11,13,15,16"
    """Choices of ten values in a space, a list."""
    units: str = "32,64"
    """Units of the model, a list."""
    draws: int = 3
    """Models of each size."""
    seconds: float = 60.0
    """Limit of a certificate."""
    enumerate: int = 9
    """The largest exponent that is enumerated."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        numbers = f"{self.choices},{self.units}".split(",")
        if not all(n.isdigit() and int(n) >= 2 for n in numbers) or self.draws < 1 or self.seconds <= 0:
            raise InputError(
                "--choices and --units must be integers >= 2 separated by commas, --draws >= 1 and --seconds > 0, got "
                f"--choices {self.choices} --units {self.units} --draws {self.draws} --seconds {self.seconds}"
            )

    @property
    def all_choices(self) -> list[int]:
        return [int(n) for n in self.choices.split(",")]

    @property
    def all_units(self) -> list[int]:
        return [int(n) for n in self.units.split(",")]


PRESETS = {"paper": {}, "tiny": {"choices": "4,5", "units": "8", "draws": 1, "seconds": 5.0}}


def trained(choices: int, units: int, seed: int) -> predictor.Model:
    """Returns a model that is trained on a space of 10^choices configurations."""
    space = Space({f"choice_{i}": Categorical(tuple(range(10))) for i in range(choices)})
    rng = np.random.default_rng((seed, choices))
    configs = space.sample(jax.random.key(seed), 1000)
    x = np.asarray(space.encode(configs), np.float64)
    pairs = rng.normal(size=(space.width, space.width)) / choices**0.5
    metric = (
        x @ rng.normal(size=space.width) + 0.5 * np.einsum("nv,vw,nw->n", x, pairs, x) + 0.3 * rng.normal(size=len(x))
    )
    trials = predictor.Trials.from_arrays(space, configs, metric)
    return predictor.fit(trials, _spec(units), "value", jax.random.key(seed))


_SPECS: dict[int, predictor.Spec] = {}


def _spec(units: int) -> predictor.Spec:
    """One specification for each width, so that it is compiled once."""
    return _SPECS.setdefault(units, predictor.mlp(hidden=(units // 2,)))


def measure_one(config: Config, cell: harness.Cell, peak: float) -> dict[str, Any]:
    """The certificate of one model, and what the other methods find in it.

    Args:
        config: The config of the experiment.
        cell: The choices, the units and the number of the draw.
        peak: The operations a second of the machine's matrix product.
    """
    model = trained(cell["choices"], cell["units"], config.seed + cell["draw"])
    proof = search.maximize(model, search.Certify(config.seconds), k=1)
    record = {
        "certify_seconds": proof.seconds,
        "nodes": proof.evaluated,
        "gap": proof.gap / model.scale,
        "value": float(proof.values[0]),
    }
    for name, method in METHODS.items():
        if name == "enumerate" and cell["choices"] > config.enumerate:
            continue
        for _ in range(2):  # the second time it is compiled
            best = search.maximize(model, method, k=1, key=jax.random.key(cell["draw"]))
        record[f"{name}_below"] = float(proof.values[0] - best.values[0]) / model.scale
        record[f"{name}_seconds"] = best.seconds
        if name == "enumerate":
            record["enumerate_of_peak"] = 2 * cell["units"] * best.evaluated / best.seconds / peak
    return record


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every size of the space and of the model."""
    peak = compare.peak()
    sizes = itertools.product(config.all_units, config.all_choices, range(config.draws))
    cells = [{"choices": choices, "units": units, "draw": draw} for units, choices, draw in sizes]
    records = harness.measure(directory, cells, lambda cell: measure_one(config, cell, peak), "certify")
    metrics: dict[str, float] = {}
    for units, choices in itertools.product(config.all_units, config.all_choices):
        draws, label = (
            [r for r in records if (r["units"], r["choices"]) == (units, choices)],
            f"{units}_units_{choices}",
        )
        for name in (n for n in draws[0] if n not in ("choices", "units", "draw", "seconds")):
            metrics[f"{label}_{name}"] = float(np.median([r[name] for r in draws]))
        metrics[f"{label}_certify_seconds_worst"] = max(r["certify_seconds"] for r in draws)
        metrics[f"{label}_gap_worst"] = max(r["gap"] for r in draws)
    protocol = (
        f"Medians of {config.draws} models, worst in brackets; certify within {config.seconds:g} s; seconds of the other "
        f"methods without compilation; matrix products reach {peak / 1e9:.0f} GFLOP/s here."
    )
    return {"metrics": metrics, "protocol": protocol, "records": records}


def draw(config: dict[str, Any], result: dict[str, Any], directory: Path) -> None:
    """Draws the seconds of the certificate and of the enumeration by the size of the space."""
    settings, metrics, curves = Config(**config), result["metrics"], {}
    for units in settings.all_units:
        for name, sizes in (
            ("certify", settings.all_choices),
            ("enumerate", [c for c in settings.all_choices if c <= settings.enumerate]),
        ):
            seconds = [metrics[f"{units}_units_{c}_{name}_seconds"] for c in sizes]
            curves[f"{name}, {units} units"] = ([10.0**c for c in sizes], seconds)
    figure = plot.curves(curves, "configurations", "seconds")
    figure.axes[0].set(xscale="log", yscale="log")
    plot.save(figure, directory / "times.png")


def markdown(config: dict, result: dict) -> str:
    """Certificates by size, and what the other searches miss."""
    settings, m = Config(**config), result["metrics"]
    others = [name for name in METHODS if name != "enumerate"]
    head = ["units", "configurations", "certify, s", "nodes", "gap", "enumerate, s (of peak)"]
    head += [f"{name} below, in s" for name in others]
    rows = []
    for units in settings.units.split(","):
        for choices in settings.choices.split(","):
            get = functools.partial(lambda begin, name: m.get(begin + name), f"{units}_units_{choices}_")
            enumerate_seconds = get("enumerate_seconds")
            cells = [
                units,
                f"10^{choices}",
                f"{get('certify_seconds'):.2f} ({get('certify_seconds_worst'):.2f})",
                f"{get('nodes'):,.0f}",
                f"{get('gap'):.3g} ({get('gap_worst'):.3g})",
                "–"
                if enumerate_seconds is None
                else f"{enumerate_seconds:.2f} ({100 * get('enumerate_of_peak'):.0f}%)",
                *(f"{get(f'{name}_below'):.3f}, {get(f'{name}_seconds'):.2f}" for name in others),
            ]
            rows.append(cells)
    return table(head, rows)


CLOSED = 1e-3
"""A gap below it is an optimum, up to rounding."""


def statement(results: Results) -> list[str]:
    """How large a space can be searched with a proof."""
    m = results["certify"].metrics
    largest_gaps = {k.removesuffix("_gap_worst"): v for k, v in m.items() if k.endswith("_gap_worst")}
    closed = [name for name, gap in largest_gaps.items() if gap < CLOSED]
    top = max(closed, key=lambda name: [int(part) for part in name.split("_units_")][::-1])
    units, exponent = top.split("_units_")
    return [
        f"A search with a certificate proves the optimum of a model of {units} units among 10^{exponent} configurations in "
        f"{m[f'{top}_certify_seconds']:.0f} seconds (median). Of {len(largest_gaps)} sizes, {len(largest_gaps) - len(closed)} "
        "had a model that was not closed in time."
    ]


EXPERIMENT = harness.Experiment(
    "certify",
    __doc__,
    Config,
    measure_all,
    presets=PRESETS,
    table=markdown,
    statement=statement,
    figures=("times.png",),
    draw=draw,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
