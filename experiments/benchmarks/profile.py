"""Where the time of the benchmarks' programs goes, by kind of operation.

    python -m experiments.benchmarks.profile --out runs/benchmarks/profile

The steps of MAML, of the SuperNet and of the sinusoid, as the other benchmarks time them, are compiled once more so that
XLA records every operation it runs (on a CPU; it costs a few percent). Operations of two threads may overlap, so shares are
of the sum of all. A product or a convolution that XLA fused with other work counts as one.
"""

import collections
import dataclasses
import gzip
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import harness
from experiments.benchmarks import compare, maml, search_steps, sinusoid_steps
from experiments.benchmarks import supernet as mixed_step
from experiments.harness import markdown
from metajax.types import InputError

KINDS = ("products", "convolutions", "sums", "elementwise", "moved")
_RECORDED = {"xla_cpu_enable_xprof_traceme": True}
_TELLING = (("dot", "products"), ("convolution", "convolutions"), ("reduce", "sums"), ("reduce-window", "sums"))
_MOVING = {"bitcast", "broadcast", "concatenate", "constant", "copy", "dynamic-slice", "dynamic-update-slice", "gather"}
_MOVING |= {
    "get-tuple-element",
    "iota",
    "pad",
    "parameter",
    "reshape",
    "reverse",
    "scatter",
    "slice",
    "transpose",
    "tuple",
}
_HOLDING = {"while", "conditional", "call"}


@dataclasses.dataclass(frozen=True)
class Config:
    """Which programs are profiled."""

    only: str = "all"
    """Names of programs, separated by commas, or all."""
    tiny: bool = False
    """Small programs, for a test."""


PRESETS = {"paper": {}, "tiny": {"only": "sinusoid", "tiny": True}}


def programs(tiny: bool) -> dict[str, Callable[[], tuple[Any, tuple[Any, ...], int]]]:
    """Returns by name: a function to compile, its arguments, and the number of steps of a call."""
    sized = lambda module, **settings: module.Config(
        **(module.PRESETS["tiny"] if tiny else {}), **({} if tiny else settings)
    )

    def of_maml(method: str):
        config = dataclasses.replace(sized(maml), method=method)
        learner, params = maml.ours(config)
        return learner.update, (learner.init(jax.random.key(0), params), maml.episodes(config)), 1

    def of_search(name: str, **sizes: int):
        config = sized(search_steps, **sizes)
        search, prepared = search_steps.searches(config)[name], mixed_step.batches(config, config.steps)
        return partial(jax.lax.scan, search.update), (search.init(jax.random.key(0)), prepared), config.steps

    def of_sinusoid():
        config = sized(sinusoid_steps)
        method, state, episodes = sinusoid_steps.ours(config)
        return partial(jax.lax.scan, method.update), (state, episodes), config.steps

    large, small = {"size": 32, "channels": 16}, {"size": 16, "channels": 8}
    return {
        **{name: lambda name=name: of_maml(name) for name in ("maml", "anil", "protonet")},
        "sinusoid": of_sinusoid,
        "SuperNet 32 x 32": lambda: of_search("darts-1", **large),
        "SuperNet 16 x 16": lambda: of_search("darts-1", **small),
        "GDAS 16 x 16": lambda: of_search("gdas", **small),
    }


def kinds(program: str) -> dict[str, str]:
    """Returns the kind of every operation of a compiled program, which is given as its text, by the operation's name.

    Example:
        >>> kinds('''
        ... %inside (p: f32[3]) -> f32[3] {
        ...   ROOT %neg = f32[3]{0} negate(%p)
        ... }
        ... ENTRY %main (x: f32[3]) -> f32[3] {
        ...   %fused = f32[3]{0} fusion(%x), kind=kLoop, calls=%inside
        ...   ROOT %copied = f32[3]{0} copy(%fused)
        ... }''')
        {'neg': 'elementwise', 'fused': 'elementwise', 'copied': 'moved'}
    """
    opcodes: dict[str, set[str]] = collections.defaultdict(set)
    operations: dict[str, tuple[str, str | None]] = {}
    computation = ""
    for line in program.splitlines():
        if begins := re.match(r"(?:ENTRY )?%([\w.\-]+) \(.*\{$", line):
            computation = begins[1]
        elif match := re.match(r"\s+(?:ROOT )?%([\w.\-]+) = (?:\(.*?\)|\S+) ([\w\-]+)\(", line):
            opcodes[computation].add(match[2])
            called = re.search(r"calls=%([\w.\-]+)", line) if match[2] == "fusion" else None
            operations[match[1]] = match[2], called and called[1]
    codes_by_name = {name: opcodes[called] if called else {code} for name, (code, called) in operations.items()}
    return {name: _kind(codes) for name, codes in codes_by_name.items() if not codes & _HOLDING}


def _kind(codes: set[str]) -> str:
    telling = [kind for code, kind in _TELLING if code in codes]
    return telling[0] if telling else "moved" if codes <= _MOVING else "elementwise"


def recorded(run: Callable[[], Any]) -> collections.Counter[str]:
    """Returns the seconds of everything that ran, by name."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            run()
        (path,) = Path(folder).rglob("perfetto_trace.json.gz")
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    seconds: collections.Counter[str] = collections.Counter()
    for event in events:
        if event.get("ph") == "X":
            seconds[event["name"]] += event["dur"] / 1e6
    return seconds


def shares(function: Callable[..., Any], args: tuple[Any, ...], steps: int) -> dict[str, float]:
    """Returns the milliseconds of a step, the operations that ran in it, and the share of each kind in %.

    Raises:
        InputError: where XLA records no operations.
    """
    compiled = jax.jit(function, compiler_options=_RECORDED).lower(*args).compile()
    run = compare.ready(compiled, *args)
    seconds_per_call = float(np.median(compare.alternate({"step": run}, 3)["step"]))
    kind_by_name, seconds = kinds(compiled.as_text() or ""), recorded(run)
    sums = {kind: sum(t for name, t in seconds.items() if kind_by_name.get(name) == kind) for kind in KINDS}
    total = sum(sums.values())
    if not total:
        raise InputError("profile must run on a CPU: XLA recorded no operations on this device")
    return {"ms a step": 1e3 * seconds_per_call / steps, **{kind: 100 * t / total for kind, t in sums.items()}}


def table(shares_by_program: Mapping[str, Mapping[str, float]]) -> str:
    """Returns a table with a line for each program."""
    head = ["program", "ms a step", *(f"{kind} %" for kind in KINDS)]
    return markdown.table(
        head,
        (
            [name, *(f"{program_shares[c]:.3g}" for c in ("ms a step", *KINDS))]
            for name, program_shares in shares_by_program.items()
        ),
    )


def measure(config: Config) -> compare.Measured:
    """Profiles one program after the other."""
    every = programs(config.tiny)
    names = harness.selected(config.only, every, "only")
    measured = {name: shares(*every[name]()) for name in names}
    protocol = (
        "products, convolutions, sums (reductions), elementwise work, and data moved: copies, patches, transpositions"
    )
    metrics = {
        f"{name}, {quantity}": value
        for name, program_shares in measured.items()
        for quantity, value in program_shares.items()
    }
    return compare.Measured(metrics, [], f"{protocol}\n\n{table(measured)}")


EXPERIMENT = compare.benchmark("profile", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
