"""The certified best configuration of a learned model: time, nodes and gap by size of the space and of the model, and what
searches without a certificate find.

    python -m experiments.predictor.certify --out runs/certify

Spaces of 7 to 16 choices of 10 values each (10^7 to 10^16 configurations). The meta-learner, two networks of one hidden layer,
is trained on 1,000 trials of a function with additive and pairwise parts and noise; ``units`` is that of both together.
Certify runs for at most ``seconds``; its gap is what the bound leaves open. The other methods search the same model; their
column is how far below the certificate they end. Both are in deviations of the trials' metric. Enumeration is run up to
10^``enumerate``; "of peak" is its share of the machine's matrix multiplications, at two operations for each unit and
configuration.

Expect about 2 s for 10^13 configurations and 3 s to enumerate 10^9; 6 minutes on 2 cores.
"""

import dataclasses
import functools
from collections.abc import Mapping
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
    """``choices`` and ``units`` are lists; ``enumerate`` is the largest exponent that is enumerated."""

    choices: str = "7,9,11,13,15,16"
    units: str = "32,64"
    draws: int = 3
    seconds: float = 60.0
    enumerate: int = 9
    seed: int = 0

    def __post_init__(self):
        numbers = [n for n in f"{self.choices},{self.units}".split(",")]
        if not all(n.isdigit() and int(n) >= 2 for n in numbers) or self.draws < 1 or self.seconds <= 0:
            raise InputError(
                f"--choices {self.choices} --units {self.units}: accepted are whole numbers from 2, joined by commas"
            )


PRESETS = {"paper": {}, "tiny": {"choices": "4,5", "units": "8", "draws": 1, "seconds": 5.0}}


def trained(choices: int, units: int, seed: int) -> predictor.Model:
    """A space of 10^choices configurations and a model of it."""
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
    """One for each width, so that it is compiled once."""
    return _SPECS.setdefault(units, predictor.mlp(hidden=(units // 2,)))


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every size."""
    most = compare.peak()

    def work(cell):
        model = trained(cell["choices"], cell["units"], config.seed + cell["draw"])
        proof = search.maximize(model, search.Certify(config.seconds), k=1)
        told = {
            "certify_seconds": proof.seconds,
            "nodes": proof.evaluated,
            "gap": proof.gap / model.scale,
            "value": float(proof.values[0]),
        }
        for name, method in METHODS.items():
            if name == "enumerate" and cell["choices"] > config.enumerate:
                continue
            for _ in range(2):  # the second time it is compiled
                found = search.maximize(model, method, k=1, key=jax.random.key(cell["draw"]))
            told[f"{name}_below"] = float(proof.values[0] - found.values[0]) / model.scale
            told[f"{name}_seconds"] = found.seconds
            if name == "enumerate":
                told["enumerate_of_peak"] = 2 * cell["units"] * found.evaluated / found.seconds / most
        return told

    numbers = lambda text: [int(n) for n in text.split(",")]
    cells = [
        {"choices": c, "units": u, "draw": d}
        for u in numbers(config.units)
        for c in numbers(config.choices)
        for d in range(config.draws)
    ]
    records = harness.measure(directory, cells, work, "certify")
    metrics: dict[str, float] = {}
    curves = {}
    for units in numbers(config.units):
        for choices in numbers(config.choices):
            some = [r for r in records if (r["units"], r["choices"]) == (units, choices)]
            names = [n for n in some[0] if n not in ("choices", "units", "draw", "seconds")]
            for name in names:
                metrics[f"{units}_units_{choices}_{name}"] = float(np.median([r[name] for r in some]))
            metrics[f"{units}_units_{choices}_certify_seconds_worst"] = max(r["certify_seconds"] for r in some)
            metrics[f"{units}_units_{choices}_gap_worst"] = max(r["gap"] for r in some)
        sizes = [10.0**c for c in numbers(config.choices)]
        curves[f"certify, {units} units"] = (
            sizes,
            [metrics[f"{units}_units_{c}_certify_seconds"] for c in numbers(config.choices)],
        )
        counted = [c for c in numbers(config.choices) if c <= config.enumerate]
        curves[f"enumerate, {units} units"] = (
            [10.0**c for c in counted],
            [metrics[f"{units}_units_{c}_enumerate_seconds"] for c in counted],
        )
    figure = plot.curves(curves, "configurations", "seconds")
    figure.axes[0].set(xscale="log", yscale="log")
    plot.save(figure, directory.path / "times.png")
    protocol = (
        f"Medians of {config.draws} models, worst in brackets; certify within {config.seconds:g} s; seconds of the other "
        f"methods without compilation; matrix products reach {most / 1e9:.0f} GFLOP/s here."
    )
    return {"metrics": metrics, "protocol": protocol, "records": records}


def markdown(config: dict, result: dict) -> str:
    """Certificates by size, and what the others miss."""
    given, m = Config(**config), result["metrics"]
    others = [name for name in METHODS if name != "enumerate"]
    head = ["units", "configurations", "certify, s", "nodes", "gap", "enumerate, s (of peak)"]
    head += [f"{name} below, in s" for name in others]
    rows = []
    for units in given.units.split(","):
        for choices in given.choices.split(","):
            get = functools.partial(lambda begin, name: m.get(begin + name), f"{units}_units_{choices}_")
            counted = get("enumerate_seconds")
            cells = [
                units,
                f"10^{choices}",
                f"{get('certify_seconds'):.2f} ({get('certify_seconds_worst'):.2f})",
                f"{get('nodes'):,.0f}",
                f"{get('gap'):.3g} ({get('gap_worst'):.3g})",
                "–" if counted is None else f"{counted:.2f} ({100 * get('enumerate_of_peak'):.0f}%)",
                *(f"{get(f'{name}_below'):.3f}, {get(f'{name}_seconds'):.2f}" for name in others),
            ]
            rows.append(cells)
    return table(head, rows)


CLOSED = 1e-3
"""A gap below it is an optimum, up to rounding."""


def statement(results: Results) -> list[str]:
    """How large a space can be searched with a proof."""
    m = results["certify"].metrics
    worst = {k.removesuffix("_gap_worst"): v for k, v in m.items() if k.endswith("_gap_worst")}
    closed = [name for name, gap in worst.items() if gap < CLOSED]
    top = max(closed, key=lambda name: [int(part) for part in name.split("_units_")][::-1])
    units, exponent = top.split("_units_")
    return [
        f"A search with a certificate proves the optimum of a model of {units} units among 10^{exponent} configurations in "
        f"{m[f'{top}_certify_seconds']:.0f} seconds (median). Of the {len(worst)} sizes of models and spaces, "
        f"{len(worst) - len(closed)} had a model that was not closed in time."
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
)

if __name__ == "__main__":
    EXPERIMENT.exit()
