"""Programs that do the same work, timed in turn, and what is claimed of their times.

Every benchmark measures with ``alternate``, states its claims as ``Claim`` and runs by ``command``; ``all`` makes one table
of them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import harness
from experiments.harness import markdown
from metajax import plot, run


class Claim(NamedTuple):
    """A goal and what was measured.

    Attributes:
        what: is claimed.
        goal: number to reach.
        value: measured, median over rounds.
        low, high: quartiles over rounds; ``value`` where there are none.
        most: the goal is the most that ``value`` may be, not the least.
        unit: of ``value``; a ratio has none.
        note: the fastest peer, or what else a reader has to know.
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

    Without claims nothing but ``protocol`` is shown, which then says what was measured."""

    metrics: dict[str, float]
    claims: list[Claim]
    protocol: str
    figure: Any = None


def alternate(programs: Mapping[str, Callable[[], Any]], rounds: int, least: float = 0.0) -> dict[str, np.ndarray]:
    """Seconds of one call of every program in every round, by name: f64[rounds].

    Each is called once before, which compiles it. A round calls all of them, one after the other, in an order that moves on
    by one from round to round.

    Args:
        programs: callables that return when their work is done.
        least: seconds that a program is called again and again in a round, for work that takes microseconds.
    """
    calls = {}
    for name, program in programs.items():
        program()
        calls[name] = 1
        if least:
            began = time.perf_counter()
            program()
            calls[name] = max(1, round(least / (time.perf_counter() - began)))
    names, taken = list(programs), {name: [] for name in programs}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            program = programs[name]
            began = time.perf_counter()
            for _ in range(calls[name]):
                program()
            taken[name].append((time.perf_counter() - began) / calls[name])
    return {name: np.array(values) for name, values in taken.items()}


def once(program: Callable[[], Any]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    program()
    return time.perf_counter() - began


def against(seconds: Mapping[str, np.ndarray], ours: str = "metajax") -> tuple[str, np.ndarray]:
    """The fastest peer by its median, and its time over ours in every round."""
    fastest = min((name for name in seconds if name != ours), key=lambda name: np.median(seconds[name]))
    return fastest, seconds[fastest] / seconds[ours]


def claim(what: str, goal: float, ratios: np.ndarray, **more: Any) -> Claim:
    """The median and the quartiles of what every round measured."""
    low, value, high = np.percentile(ratios, [25, 50, 75])
    return Claim(what, goal, float(value), float(low), float(high), **more)


def times(seconds: Mapping[str, np.ndarray], unit: float = 1e3, suffix: str = "ms") -> dict[str, float]:
    """Medians as metrics."""
    return {f"{name} {suffix}": unit * float(np.median(values)) for name, values in seconds.items()}


def ready(run: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """A call that waits for its result."""
    return lambda: jax.block_until_ready(run(*args))


def difference(ours: Any, theirs: Any) -> float:
    """The largest difference of two trees of arrays, relative to the largest entry."""
    leaves = jax.tree.leaves
    pairs = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(leaves(ours), leaves(theirs))]
    return max(np.abs(a - b).max() for a, b in pairs) / max(max(np.abs(b).max() for _, b in pairs), 1e-30)


def same(difference: float, most: float, what: str) -> float:
    """Passes a difference on if the programs do the same work.

    Raises:
        AssertionError: if they do not: their times say nothing then.
    """
    assert difference <= most, f"{what}: the programs differ by {difference:.2g}, of at most {most:g} allowed"
    return difference


def peak(n: int = 1024, rounds: int = 7) -> float:
    """Operations a second of the machine's matrix product in float32, the best of some rounds."""
    x = jax.random.normal(jax.random.key(0), (n, n))
    product = jax.jit(lambda a: a @ a)
    seconds = alternate({"product": ready(product, x)}, rounds, 0.2)["product"]
    return 2 * n**3 / float(seconds.min())


def table(claims: Sequence[Claim]) -> str:
    """One row for each claim."""
    return markdown.table(["claim", "goal", "measured", "quartiles", "met", ""], map(_row, claims))


def numbers(metrics: Mapping[str, float]) -> str:
    """What was measured, but for what the table says."""
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if not name.startswith("ratio"))


def _row(made: Claim) -> list[str]:
    sign = "≤" if made.most else "≥"
    unit = made.unit and f" {made.unit}"
    spread = "" if made.low == made.high else f"{made.low:.3g} – {made.high:.3g}"
    met = "yes" if made.met else "no"
    return [made.what, f"{sign} {made.goal:g}{unit}", f"{made.value:.3g}{unit}", spread, met, made.note]


def benchmark(
    name: str,
    doc: str | None,
    config: type,
    presets: Mapping[str, Mapping[str, Any]],
    measure: Callable[[Any], Measured],
) -> harness.Experiment:
    """Returns a benchmark as an experiment: it measures, and its table has a row for every claim."""

    def run_once(settings: Any, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
        measured = measure(settings)
        ratios = {}
        if measured.claims:
            first = measured.claims[0]
            ratios = {"ratio": first.value, "ratio_low": first.low, "ratio_high": first.high}
        if measured.figure is not None:
            plot.save(measured.figure, directory.path / f"{name}.png")
        claims = [each._asdict() for each in measured.claims]
        return {"metrics": {**ratios, **measured.metrics}, "claims": claims, "protocol": measured.protocol}

    return harness.Experiment(name, doc, config, run_once, presets=presets, table=_told, out=f"runs/benchmarks/{name}")


def _told(config: dict[str, Any], result: dict[str, Any]) -> str:
    """The claims and the other numbers of a result; nothing where only the protocol says what was measured."""
    claims = [Claim(**each) for each in result["claims"]]
    return f"{table(claims)}\n\n{numbers(result['metrics'])}" if claims else ""
