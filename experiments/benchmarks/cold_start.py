"""How long a new process takes to begin: the import, and the first meta-step of MAML.

    python -m experiments.benchmarks.cold_start --out runs/benchmarks/cold_start

Every number is of processes of its own. The import is ``import metajax`` minus ``import jax``, in turn. Parts of metajax
are loaded when they are first used, so all of them together stand beside it, minus jax, Flax and optax. The first step is
MAML of exact second order on Conv-4 (five inner steps), from the call of the jitted function to its result: traced,
compiled and run. It is measured with an empty cache of compiled programs, and again with what the first process kept.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from experiments import harness
from experiments.benchmarks import compare

BELOW = "jax, flax.nnx, optax"
ALL = (
    "metajax.bilevel, metajax.fewshot, metajax.supernet, metajax.hpo, metajax.predictor, metajax.search, metajax.automl"
)
FIRST = """
import time, jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
from experiments.benchmarks import maml
config = maml.Config()
method, params = maml.ours(config)
state, episodes = jax.block_until_ready((method.init(jax.random.key(0), params), maml.episodes(config)))
start = time.perf_counter()
jax.block_until_ready(jax.jit(method.update)(state, episodes))
print(time.perf_counter() - start)
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """How often a new process begins."""

    imports: int = 7
    """Processes that import."""
    rounds: int = 2
    """Processes that take a first step, with and without a cache."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "imports", "rounds")


PRESETS = {"paper": {}, "tiny": {"imports": 1, "rounds": 1}}


def process(code: str, cache: str | None = None) -> tuple[float, str]:
    """Returns the seconds of a Python process, and what it printed."""
    unset = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment = {**unset, "METAJAX_COMPILED": "0", **({"JAX_COMPILATION_CACHE_DIR": cache} if cache else {})}
    start = time.perf_counter()
    completed = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return time.perf_counter() - start, completed.stdout


def measure(config: Config) -> compare.Measured:
    """Measures imports, then first steps."""
    imports = {name: (lambda name=name: process(f"import {name}")) for name in ("jax", "metajax", ALL, BELOW)}
    seconds = compare.alternate(imports, config.imports)
    import_overhead, parts = seconds["metajax"] - seconds["jax"], seconds[ALL] - seconds[BELOW]
    cold, warm = [], []
    for _ in range(config.rounds):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(float(process(FIRST, cache)[1]))
            warm.append(float(process(FIRST, cache)[1]))
    claims = [
        compare.claim("import metajax over import jax", 0.3, import_overhead, most=True, unit="s"),
        compare.claim("import of every part of metajax over jax, Flax and optax", 0.3, parts, most=True, unit="s"),
        compare.claim("first MAML step, nothing compiled before", 12.0, np.array(cold), most=True, unit="s"),
        compare.claim("first MAML step of the next process", 12.0, np.array(warm), most=True, unit="s"),
    ]
    protocol = f"processes of their own: {config.imports} imports, {config.rounds} first steps"
    return compare.Measured(compare.times(seconds, suffix="import ms"), claims, protocol)


EXPERIMENT = compare.benchmark("cold_start", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
