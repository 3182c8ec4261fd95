"""Everything that is measured on a GPU, in one command, in order of worth.

    python -m experiments.benchmarks.gpu --minutes 8 --out runs/benchmarks/gpu
    python -m experiments.benchmarks.gpu --add runs/benchmarks/gpu         # keep its results, remake the table

First it checks that everything runs there. Then it measures steps of MAML, prototypical networks and the SuperNet against
PyTorch (eager, ``torch.compile``, CUDA graphs) in float32 and bfloat16; populations of 256 and 4,096 networks; the truth of
a small space; a billion configurations enumerated; and steps a second of the `paper` presets. The minutes that are left go
into a `paper` training on Omniglot, which needs its data below ``$METAJAX_DATA``.

Each measurement is a process of its own, and ``gpu.json`` is written after each. The command goes on where an earlier one
stopped, from ``gpu.json`` in ``--out`` or from the results kept for the same card. The training goes on from
``training.tar.gz``, which holds its newest checkpoint. On a machine without a GPU, ``--preset tiny`` runs all of it in
miniature.
"""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from experiments import harness
from experiments.benchmarks import compare
from metajax import run
from metajax.types import InputError

RESULTS = Path(__file__).parent / "results" / "gpu"
PAGE = Path(__file__).parent / "GPU.md"
TRAINING = ("experiments.fewshot.omniglot", "--preset", "paper", "--method", "maml")
MIN_TRAINING_SECONDS, PACKING_SECONDS = 60.0, 25.0
"""The least time for which a training starts, and the time in which it saves its state and is packed."""
MIN_JOB_SECONDS, MAX_JOB_SECONDS = 15.0, 180.0
"""The least time for which a measurement starts, and the time after which it is ended."""


class Job(NamedTuple):
    """A benchmark, and its arguments on a GPU."""

    module: str
    flags: tuple[str, ...] = ()


_MAML = ("--chunk", "0", "--rounds", "5")
_SUPERNET = ("--size", "32", "--channels", "16", "--rounds", "5")
JOBS: dict[str, Job] = {
    "checks": Job("checks"),
    "maml": Job("maml", ("--method", "maml", *_MAML)),
    "protonet": Job("maml", ("--method", "protonet", *_MAML)),
    "supernet": Job("supernet", _SUPERNET),
    "maml_bfloat16": Job("maml", ("--method", "maml", "--dtype", "bfloat16", *_MAML)),
    "protonet_bfloat16": Job("maml", ("--method", "protonet", "--dtype", "bfloat16", *_MAML)),
    "supernet_bfloat16": Job("supernet", (*_SUPERNET, "--dtype", "bfloat16")),
    "population_256": Job("population", ("--side", "16", "--alone", "2", "--rounds", "3")),
    "population_4096": Job("population", ("--side", "64", "--alone", "2", "--rounds", "3")),
    "exhaustive": Job("exhaustive", ("--alone", "2")),
    "enumerate": Job("certified"),
    "omniglot_steps": Job("paper_steps", ("--experiment", "omniglot", "--method", "maml")),
    "omniglot_steps_20w": Job("paper_steps", ("--experiment", "omniglot", "--method", "maml", "--ways", "20")),
    "nas_steps_darts-1": Job("paper_steps", ("--experiment", "nas_bench_201", "--method", "darts-1")),
    "nas_steps_gdas": Job("paper_steps", ("--experiment", "nas_bench_201", "--method", "gdas")),
}
# In miniature these flags are left out, so that the sizes of preset `tiny` hold.
_SIZES = ("--size", "--channels", "--rounds", "--side", "--alone", "--chunk")


def card() -> str:
    """Returns the accelerator as a file name, such as ``nvidia-h100-80gb-hbm3``."""
    return "-".join(jax.devices()[0].device_kind.lower().split())


class Record:
    """``gpu.json``: the results of every measurement so far on one card."""

    def __init__(self, folder: Path, device: str):
        self.path = folder / "gpu.json"
        committed = RESULTS / f"{device}.json"
        source = self.path if self.path.is_file() else committed
        self.content: dict[str, Any] = run.read_json(source) if source.is_file() else {}
        if self.content.get("card", device) != device:
            raise InputError(
                f"--out {folder} holds results of {self.content['card']}, and this is {device}; use another folder"
            )
        self.content = {"card": device, "jobs": {}, **self.content}

    def is_done(self, name: str) -> bool:
        """Returns whether a measurement is there. The checks are of the machine and its libraries, and are made every time."""
        return name != "checks" and self.content["jobs"].get(name, {}).get("status") == "ok"

    def add(self, name: str, entry: dict[str, Any]) -> None:
        self.content["jobs"][name] = entry
        run.write_json(self.path, self.content)


def environment() -> dict[str, str]:
    """Returns an environment in which JAX takes memory as it needs it, so that PyTorch finds some in the same process."""
    return {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def arguments(job: Job, tiny: bool) -> list[str]:
    """Returns the flags of a job; in miniature without its sizes."""
    if not tiny:
        return list(job.flags)
    pairs = zip(job.flags[::2], job.flags[1::2])
    return ["--preset", "tiny", *(word for pair in pairs if pair[0] not in _SIZES for word in pair)]


def measured(name: str, work: Path, tiny: bool, seconds: float) -> dict[str, Any]:
    """Runs a job in a process of its own below ``work``, for at most ``seconds``; returns its entry for the record."""
    folder, job = work / name, JOBS[name]
    call = [sys.executable, "-m", f"experiments.benchmarks.{job.module}", *arguments(job, tiny)]
    start = time.perf_counter()
    try:
        process = subprocess.run(
            [*call, "--out", str(folder), "--overwrite"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        error = (
            "" if process.returncode == 0 else "\n".join((process.stderr or process.stdout).strip().splitlines()[-5:])
        )
        status = "ok" if process.returncode == 0 else "failed"
    except subprocess.TimeoutExpired:
        status, error = "timeout", f"ended after {seconds:.0f} s"
    entry = {"status": status, "error": error[-1000:], "seconds": round(time.perf_counter() - start, 1)}
    if status == "ok":
        entry |= {"result": run.read_json(folder / "result.json"), "meta": run.read_json(folder / "meta.json")}
    return entry


def train(archive: Path, work: Path, tiny: bool, seconds: float) -> dict[str, Any]:
    """Goes on with the `paper` training for ``seconds`` below ``work``, and packs its run directory into ``archive``."""
    folder = work / "training"
    if archive.is_file():
        with tarfile.open(archive) as packed:
            packed.extractall(work, filter="data")
    small = ["--width", "4", "--tasks", "2", "--chunk", "2", "--steps", "40", "--episodes", "50"] if tiny else []
    call = [sys.executable, "-m", *TRAINING, *small, "--out", str(folder), "--resume"]
    start = time.perf_counter()
    process = subprocess.Popen(call, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, error = process.communicate(timeout=max(1.0, seconds - PACKING_SECONDS))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # the run saves its state and leaves
        try:
            _, error = process.communicate(timeout=PACKING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            _, error = process.communicate()
    entry = {"seconds": round(time.perf_counter() - start, 1), "error": "", "status": "partial"}
    if (folder / "result.json").is_file():
        entry |= {"status": "ok", "result": run.read_json(folder / "result.json")}
        entry["meta"] = run.read_json(folder / "meta.json")
    elif process.returncode not in (128 + signal.SIGTERM, -signal.SIGKILL):
        entry |= {"status": "failed", "error": "\n".join(error.strip().splitlines()[-5:])[-1000:]}
    if folder.is_dir():
        part = archive.with_name(archive.name + ".part")
        with tarfile.open(part, "w:gz") as packed:
            packed.add(folder, "training")
        part.replace(archive)
        metrics = folder / "metrics.jsonl"
        lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []
        entry["last"] = json.loads(lines[-1]) if lines else {}
    return entry


def table() -> str:
    """Returns every card's claims, and what was measured for each."""
    parts = ["# Benchmarks on GPUs\n\nMade by `python -m experiments.benchmarks.gpu --add`; no number is typed.\n"]
    files = sorted(RESULTS.glob("*.json"))
    for file in files:
        content = run.read_json(file)
        good = {name: entry for name, entry in content["jobs"].items() if "result" in entry}
        claims = [compare.Claim(**record) for entry in good.values() for record in entry["result"].get("claims", ())]
        parts.append(f"\n## {content['card']}\n\n{compare.table(claims)}")
        for name, entry in content["jobs"].items():
            parts.append(f"\n### {name}\n\n{_section(entry)}\n")
    if not files:
        parts.append("\nNot measured: no GPU was at hand.\n")
    return "".join(parts)


def _section(entry: dict[str, Any]) -> str:
    if "result" not in entry:
        last = f"; at step {entry['last']['step']:,}" if entry.get("last") else ""
        return f"{entry['status']} after {entry['seconds']:.0f} s{last}. {entry['error']}".strip()
    result, meta = entry["result"], entry["meta"]
    return f"{harness.origin(meta)}\n\n{result['protocol']}\n\n{compare.numbers(result['metrics'])}"


def add(folder: Path) -> None:
    """Keeps the results of a folder under the card's name, and remakes the table."""
    source = folder / "gpu.json"
    if not source.is_file():
        raise InputError(f"--add {folder} has no gpu.json; give the --out of a run of this command")
    RESULTS.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, RESULTS / f"{run.read_json(source)['card']}.json")
    run.write_text(PAGE, table())


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured, and where the results go."""

    minutes: float = 8.0
    """The time for all of it."""
    only: str = "all"
    """Some measurements, separated by commas."""
    out: Path = Path("runs/benchmarks/gpu")
    """Where ``gpu.json`` goes."""
    preset: Literal["paper", "tiny"] = "paper"
    """``tiny`` runs in miniature, on any device."""
    train: bool = True
    """Whether the minutes that are left go into a training."""
    add: Path | None = None
    """Keep the results of this folder and remake the table; nothing is measured."""


def measure_all(config: Config, work: Path) -> None:
    """Makes the measurements that are missing, while the minutes last; their run directories are below ``work``."""
    device, tiny, end = card(), config.preset == "tiny", time.monotonic() + 60 * config.minutes
    if jax.default_backend() != "gpu" and not tiny:
        raise InputError(
            "the benchmark must run on a GPU, but JAX runs on a CPU here; --preset tiny runs the measurements in "
            "miniature"
        )
    names = harness.selected(config.only, JOBS, "only")
    config.out.mkdir(parents=True, exist_ok=True)
    record, remaining_seconds = Record(config.out, device), lambda: end - time.monotonic()
    for name in names:
        if record.is_done(name):
            print(f"{name}: measured before", flush=True)
        elif remaining_seconds() < (1.0 if tiny else MIN_JOB_SECONDS):
            print(f"{name}: no time left", flush=True)
        else:
            entry = measured(name, work, tiny, min(remaining_seconds(), MAX_JOB_SECONDS))
            record.add(name, entry)
            print(f"{name}: {entry['status']} in {entry['seconds']} s {entry['error']}".rstrip(), flush=True)
            for claim in entry.get("result", {}).get("claims", ()):
                print(f"    {claim['what']}: {claim['value']:.4g} {claim['unit']} {claim['note']}".rstrip(), flush=True)
    if (
        config.train
        and not record.is_done("training")
        and remaining_seconds() > (1.0 if tiny else MIN_TRAINING_SECONDS)
    ):
        entry = train(config.out / "training.tar.gz", work, tiny, remaining_seconds())
        record.add("training", entry)
        print(f"training: {entry['status']} {entry.get('last', '')} {entry['error']}".rstrip(), flush=True)
    print(f"written: {record.path}; keep it with --add {config.out}")


def main(argv=None) -> int:
    config = harness.command_line(Config, argv, "gpu", __doc__ or "")

    def command() -> None:
        if config.add:
            add(config.add)
            return
        with tempfile.TemporaryDirectory() as work:
            measure_all(config, Path(work))

    return run.main(command)


if __name__ == "__main__":
    sys.exit(main())
