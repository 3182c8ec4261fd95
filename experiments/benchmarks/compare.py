"""Programs that do the same work, timed in turn, and what is claimed of their times.

A benchmark measures with ``alternate``, states its claims as ``Claim``, and is an experiment by ``benchmark``;
``experiments.benchmarks.all`` makes one table of all claims.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import harness
from experiments.harness import markdown
from metajax import run
from metajax.types import InputError


class Claim(NamedTuple):
    """A goal, and what was measured.

    Attributes:
        what: What is claimed.
        goal: The number to reach.
        value: The measured number, a median over rounds.
        low: The lower quartile over rounds; ``value`` where there are no rounds.
        high: The upper quartile.
        most: Whether the goal is an upper bound of ``value``.
        unit: The unit of ``value``; a ratio has none.
        note: The fastest peer, or what else a reader has to know.
    """

    what: str
    goal: float
    value: float
    low: float
    high: float
    most: bool = False
    unit: str = ""
    note: str = ""

    @property
    def met(self) -> bool:
        return self.value <= self.goal if self.most else self.value >= self.goal


class Measured(NamedTuple):
    """What a benchmark returns: its numbers, its claims, how both came about, and a figure if it draws one.

    Without claims only ``protocol`` is shown, which then says what was measured.
    """

    metrics: dict[str, float]
    claims: list[Claim]
    protocol: str


def alternate(
    programs: Mapping[str, Callable[[], Any]], rounds: int, min_seconds: float = 0.0
) -> dict[str, np.ndarray]:
    """Returns the seconds of one call of every program in every round, by name: f64[rounds].

    Each program is called once before, which compiles it. A round calls all of them, one after the other, in an order that
    moves on by one from round to round.

    Args:
        programs: Callables that return when their work is done.
        rounds: The number of rounds.
        min_seconds: The seconds for which a program is called again and again in a round, for work that takes microseconds.
    """
    calls = {}
    for name, program in programs.items():
        program()
        calls[name] = 1
        if min_seconds:
            calls[name] = max(1, round(min_seconds / once(program)))
    names, durations = list(programs), {name: [] for name in programs}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            program = programs[name]
            start = time.perf_counter()
            for _ in range(calls[name]):
                program()
            durations[name].append((time.perf_counter() - start) / calls[name])
    return {name: np.array(values) for name, values in durations.items()}


def once(program: Callable[[], Any]) -> float:
    """Returns the seconds of one call."""
    start = time.perf_counter()
    program()
    return time.perf_counter() - start


def against(seconds: Mapping[str, np.ndarray], ours: str = "metajax") -> tuple[str, np.ndarray]:
    """Returns the fastest peer by its median, and its time over ours in every round.

    Raises:
        InputError: If no peer ran.
    """
    peers = [name for name in seconds if name != ours]
    if not peers:
        raise InputError(
            "a comparison must have at least one peer, but none ran; install PyTorch with the extra metajax[peers]"
        )
    fastest = min(peers, key=lambda name: np.median(seconds[name]))
    return fastest, seconds[fastest] / seconds[ours]


def claim(what: str, goal: float, ratios: np.ndarray, **more: Any) -> Claim:
    """Returns a claim on the median of what every round measured, with its quartiles."""
    low, value, high = np.percentile(ratios, [25, 50, 75])
    return Claim(what, goal, float(value), float(low), float(high), **more)


def times(seconds: Mapping[str, np.ndarray], unit: float = 1e3, suffix: str = "ms") -> dict[str, float]:
    """Returns medians as metrics."""
    return {f"{name} {suffix}": unit * float(np.median(values)) for name, values in seconds.items()}


def ready(run: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """Returns a call that waits for its result."""
    return lambda: jax.block_until_ready(run(*args))


def difference(ours: Any, theirs: Any) -> float:
    """Returns the largest difference of two trees of arrays, relative to the largest entry."""
    leaves = jax.tree.leaves
    pairs = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(leaves(ours), leaves(theirs))]
    return max(np.abs(a - b).max() for a, b in pairs) / max(max(np.abs(b).max() for _, b in pairs), 1e-30)


def check_difference(difference: float, tolerance: float, what: str) -> float:
    """Returns a difference if it is small enough that the programs do the same work.

    Raises:
        AssertionError: If it is not; the times of the programs say nothing then.
    """
    assert difference <= tolerance, f"{what}: the programs differ by {difference:.2g}, of at most {tolerance:g} allowed"
    return difference


def peak(n: int = 1024, rounds: int = 7) -> float:
    """Returns the operations a second of the machine's matrix product in float32, the best of some rounds."""
    x = jax.random.normal(jax.random.key(0), (n, n))
    product = jax.jit(lambda a: a @ a)
    seconds = alternate({"product": ready(product, x)}, rounds, 0.2)["product"]
    return 2 * n**3 / float(seconds.min())


def table(claims: Sequence[Claim]) -> str:
    """Returns a table with one row for each claim."""
    return markdown.table(["claim", "goal", "measured", "quartiles", "met", ""], map(_row, claims))


def numbers(metrics: Mapping[str, float]) -> str:
    """Returns the metrics in words, without those of the table."""
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if not name.startswith("ratio"))


def _row(record: Claim) -> list[str]:
    sign = "≤" if record.most else "≥"
    unit = record.unit and f" {record.unit}"
    spread = "" if record.low == record.high else f"{record.low:.3g} – {record.high:.3g}"
    met = "yes" if record.met else "no"
    return [record.what, f"{sign} {record.goal:g}{unit}", f"{record.value:.3g}{unit}", spread, met, record.note]


def benchmark(
    name: str,
    doc: str | None,
    config: type,
    presets: Mapping[str, Mapping[str, Any]],
    measure: Callable[[Any], Measured],
    draw: Callable[[dict[str, Any], dict[str, Any], Path], None] | None = None,
) -> harness.Experiment:
    """Returns a benchmark as an experiment: it measures, and its table has a row for every claim."""

    def run_once(settings: Any, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
        measured = measure(settings)
        ratios = {}
        if measured.claims:
            first = measured.claims[0]
            ratios = {"ratio": first.value, "ratio_low": first.low, "ratio_high": first.high}
        claims = [one_claim._asdict() for one_claim in measured.claims]
        return {"metrics": {**ratios, **measured.metrics}, "claims": claims, "protocol": measured.protocol}

    out = f"runs/benchmarks/{name}"
    return harness.Experiment(name, doc, config, run_once, presets=presets, table=_claims_table, draw=draw, out=out)


def _claims_table(config: dict[str, Any], result: dict[str, Any]) -> str:
    """The claims and the other numbers of a result; nothing where only the protocol says what was measured."""
    claims = [Claim(**record) for record in result["claims"]]
    return f"{table(claims)}\n\n{numbers(result['metrics'])}" if claims else ""
