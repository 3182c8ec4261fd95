"""Every benchmark, one after the other, and their table ``experiments/benchmarks/RESULTS.md``.

    python -m experiments.benchmarks.all                          # everything, 17 minutes on 2 cores
    python -m experiments.benchmarks.all --only maml,population   # some of it; the others keep their results
    python -m experiments.benchmarks.all --table                  # remake the table and figures from the results kept

Each runs in a process of its own and keeps its result below ``experiments/benchmarks/results/``. It needs a quiet machine
and the extra ``peers``. It exits with status 1 if a benchmark failed, after the others.
"""

import dataclasses
import importlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from experiments import harness
from experiments.benchmarks import compare
from metajax import run

RESULTS = Path(__file__).parent / "results"
# name -> its module and arguments
JOBS: dict[str, tuple[str, ...]] = {
    "maml": ("maml", "--method", "maml"),
    "fomaml": ("maml", "--method", "fomaml"),
    "anil": ("maml", "--method", "anil"),
    "meta-sgd": ("maml", "--method", "meta-sgd"),
    "protonet": ("maml", "--method", "protonet"),
    "sinusoid": ("sinusoid_steps",),
    "supernet_large": ("supernet", "--size", "32", "--channels", "16"),
    "supernet_small": ("supernet", "--size", "16", "--channels", "8"),
    "search_steps_large": ("search_steps", "--size", "32", "--channels", "16"),
    "search_steps_small": ("search_steps", "--size", "16", "--channels", "8"),
    "population": ("population",),
    "exhaustive": ("exhaustive",),
    "unroll_memory": ("unroll_memory",),
    "maml_memory": ("maml_memory",),
    "certified": ("certified",),
    "cold_start": ("cold_start",),
    "checkpoints": ("checkpoints",),
    "scaling": ("scaling",),
    "devices": ("devices",),
    "profile": ("profile",),
}
_CONVOLUTIONS = (
    "PyTorch's convolutions (oneDNN) read images in place; here they are matrix products of patches, which have to be made, "
    "and the products of a support set's few images run well below the peak. The rest is batch norm and its derivatives (see "
    "profile). Tried without gain: several tasks at once, unrolled inner steps (a little faster, a third more compilation), "
    "forward over reverse mode, huge pages, XLA's own convolutions and oneDNN's flags. Next: a native convolution through "
    "XLA's foreign function interface."
)
# why a goal is missed, what was tried, and what to try next
REASONS: dict[str, str] = {
    **dict.fromkeys(("maml", "fomaml", "anil", "meta-sgd", "protonet"), _CONVOLUTIONS),
    "sinusoid": "A step is dozens of operations of microseconds each, one after the other, two thirds of their time in "
    "products of 10 x 40 by 40 x 40 for every task (see profile); one core is as fast as two. Tried without gain: operands "
    "turned beforehand, sums of outer products, one flat Adam. Next: one kernel for a layer of all tasks.",
    "supernet_large": "Values of a stage do not fit into the cache nearest to a core, so that sums, batch norm and patches, "
    "more than half of the time (see profile), wait for memory. Next: stages computed some images at a time where batch norm "
    "allows, or a native convolution that adds up batch norm's statistics while its output is at hand.",
    "search_steps_small": "Stem, reductions, batch norm and optimizer are the same for both, and a quarter of the mixed step; "
    "at 32 x 32, in search_steps_large, convolutions weigh more.",
    "exhaustive": "On a CPU the arithmetic of a training is the same in both; what one program for all cells saves is "
    "compilation. On an accelerator small trainings side by side would fill it.",
    "maml_memory": "What is left is the pass over the query's images, which rematerialized inner steps do not make smaller.",
    "scaling": "Not profiled. Perhaps that twice as many operations share one wider convolution, whose values leave the cache.",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    only: str = "all"
    """Some benchmarks, separated by commas."""
    out: Path = Path("runs/benchmarks")
    """Where the runs go."""
    table: bool = False
    """Remake the table and the figures alone."""


def table() -> str:
    """Returns all claims in the order of ``JOBS``, then what was measured for each."""
    folders = [RESULTS / name for name in JOBS if (RESULTS / name / "result.json").is_file()]
    results = {folder: run.read_json(folder / "result.json") for folder in folders}
    claims = [compare.Claim(**record) for result in results.values() for record in result["claims"]]
    head = (
        "# Benchmarks\n\nMade by `python -m experiments.benchmarks.all` from `experiments/benchmarks/results/`; no number is "
        "typed. Ratios are medians over rounds in which all programs run in turn, with the quartiles beside. "
        f"{sum(record.met for record in claims)} of {len(claims)} goals are met. On GPUs: [GPU.md](GPU.md).\n\n"
    )
    missing = [name for name in JOBS if RESULTS / name not in folders]
    absent = f"\nNot measured: {', '.join(missing)}.\n" if missing else ""
    sections = [_section(folder, result) for folder, result in results.items()]
    return head + compare.table(claims) + "\n" + absent + "".join(sections)


def draw() -> None:
    """Draws the figures of the results that are kept, of what ``result.json`` says."""
    for name, (module, *_) in JOBS.items():
        folder, experiment = RESULTS / name, importlib.import_module(f"experiments.benchmarks.{module}").EXPERIMENT
        if experiment.draw and (folder / "result.json").is_file():
            experiment.draw(run.read_json(folder / "config.json"), run.read_json(folder / "result.json"), folder)


def _section(folder: Path, result: dict[str, Any]) -> str:
    claims = [compare.Claim(**record) for record in result["claims"]]
    meta, module = run.read_json(folder / "meta.json"), f"experiments.benchmarks.{JOBS[folder.name][0]}"
    renamed = "" if module in meta["command"].split() else f". The module is now `{module}`"
    parts = [f"\n## {folder.name}", harness.origin(meta) + renamed, result["protocol"]]
    if claims:
        parts.append(compare.numbers(result["metrics"]))
    if not all(record.met for record in claims) and folder.name in REASONS:
        parts.append(f"Missed, because: {REASONS[folder.name]}")
    shown = [f"![Growth of the cost](results/{folder.name}/scaling.png)"] if (folder / "scaling.png").is_file() else []
    return "\n\n".join([*parts, *shown]) + "\n"


def main(argv=None) -> int:
    config = harness.command_line(Config, argv, "all", __doc__ or "")
    failed: list[str] = []

    def command():
        names = [] if config.table else harness.selected(config.only, JOBS, "only")
        start = time.perf_counter()
        for name in names:
            print(f"== {name}", flush=True)
            module, *flags = JOBS[name]
            folder = config.out / name
            call = [
                sys.executable,
                "-m",
                f"experiments.benchmarks.{module}",
                *flags,
                "--out",
                str(folder),
                "--overwrite",
            ]
            if subprocess.run(call, check=False).returncode:
                failed.append(name)
        for name in names:  # in the end, so that every run is of the tree as it was
            if name not in failed:
                harness.add(config.out / name, (f"{JOBS[name][0]}.png",), RESULTS)
        draw()
        run.write_text(RESULTS.parent / "RESULTS.md", table())
        took = f" after {(time.perf_counter() - start) / 60:.0f} minutes" if names else ""
        print(
            f"written: experiments/benchmarks/RESULTS.md{took}" + (f"; failed: {', '.join(failed)}" if failed else "")
        )

    return run.main(command) or (1 if failed else 0)


if __name__ == "__main__":
    sys.exit(main())
