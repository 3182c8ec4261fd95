"""Searching billions of configurations through a learned model: all of them, or with a certificate.

    python -m experiments.benchmarks.certified --out runs/benchmarks/certified

Models and spaces are those of ``experiments.predictor.certify``: choices of ten values, a network of 64 hidden units
trained on 1,000 trials. There is no peer that does either, so the numbers are seconds, compilation apart, medians over
models drawn anew. "Of peak" counts two operations for each unit and configuration.
"""

import dataclasses

import jax
import numpy as np

from experiments import harness
from experiments.benchmarks import compare
from experiments.predictor import certify
from metajax import search


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the spaces and of the model."""

    enumerate: int = 9
    """Exponent of the space that is enumerated."""
    least: int = 9
    """Smallest exponent that is certified."""
    units: int = 64
    """Units of the model."""
    draws: int = 3
    """Models of each size."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "enumerate", "least", "draws")
        harness.check_at_least(self, 2, "units")


PRESETS = {"paper": {}, "tiny": {"enumerate": 4, "least": 4, "units": 8, "draws": 1}}


def measure(config: Config) -> compare.Measured:
    """Measures the seconds of the enumeration and of the certificate."""
    peak, metrics, claims = compare.peak(), {}, []
    enumeration_seconds = []
    for draw in range(config.draws):
        model = certify.trained(config.enumerate, config.units, config.seed + draw)
        for _ in range(2):  # the second time it is compiled
            result = search.maximize(model, search.Enumerate(), k=1, key=jax.random.key(draw))
        enumeration_seconds.append(result.seconds)
    share = 2 * config.units * 10.0**config.enumerate / np.array(enumeration_seconds) / peak
    sizes = f"10^{config.enumerate} configurations, {config.units} units"
    claims.append(compare.claim(f"enumerate {sizes}", 10.0, np.array(enumeration_seconds), most=True, unit="s"))
    claims.append(compare.claim(f"enumerate {sizes}: share of the matrix product's peak", 0.3, share))
    metrics |= {"enumerate s": float(np.median(enumeration_seconds)), "peak GFLOP/s": peak / 1e9}
    for extra, goal in ((0, 2.0), (2, 10.0), (4, 60.0)):
        size, seconds, gaps = config.least + extra, [], []
        for draw in range(config.draws):
            model = certify.trained(size, config.units, config.seed + draw)
            search.maximize(model, search.Certify(seconds=1.0), k=1)
            proof = search.maximize(model, search.Certify(seconds=2 * goal), k=1)
            seconds.append(proof.seconds)
            gaps.append(proof.gap / model.scale)
        note = f"largest gap left {max(gaps):.2g}"
        claims.append(
            compare.claim(f"certify 10^{size} configurations", goal, np.array(seconds), most=True, unit="s", note=note)
        )
        metrics |= {f"certify 10^{size} s": float(np.median(seconds)), f"certify 10^{size} worst s": max(seconds)}
    protocol = f"medians of {config.draws} models of {config.units} units; compilation apart"
    return compare.Measured(metrics, claims, protocol)


EXPERIMENT = compare.benchmark("certified", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
