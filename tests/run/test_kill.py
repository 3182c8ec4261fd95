"""A run killed at any instant and resumed ends in the same bits: real processes, real SIGKILLs at random moments."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TARGET = Path(__file__).with_name("target.py")


def start(out, kind, cache):
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(TARGET), str(out), kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(out, kind, cache):
    done = start(out, kind, cache)
    bits, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    return bits


def last_step(out):
    lines = (out / "metrics.jsonl").read_text().splitlines() if (out / "metrics.jsonl").exists() else []
    steps = [json.loads(line)["step"] for line in lines if line.endswith("}")]
    return steps[-1] if steps else 0


def kill_and_compare(tmp_path, kind, kills, seed):
    rng = random.Random(seed)
    whole = finish(tmp_path / "whole", kind, tmp_path / "cache")
    out, landed = tmp_path / "killed", []
    for _ in range(kills):
        before = last_step(out)
        process = start(out, kind, tmp_path / "cache")
        # half of the kills land while the run is under way, half anywhere, its start included
        if rng.random() < 0.5:
            while process.poll() is None and last_step(out) <= before:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.4))
        else:
            time.sleep(rng.uniform(0.5, 5.0))
        landed.append(process.poll() is None)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert any(landed)
    assert finish(out, kind, tmp_path / "cache") == whole
    logs = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in (d / "metrics.jsonl").open()]
        for d in (tmp_path / "whole", out)
    ]
    assert logs[0] == logs[1], "every step is logged once, with the same numbers"
    assert json.loads((out / "result.json").read_text()) == json.loads((tmp_path / "whole" / "result.json").read_text())
    return landed


@pytest.mark.slow
def test_killed_twice_ends_in_the_same_bits(tmp_path):
    kill_and_compare(tmp_path, "iterator", 2, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sampler", "iterator"])
def test_killed_twenty_times_ends_in_the_same_bits(tmp_path, kind):
    landed = kill_and_compare(tmp_path, kind, 20, seed=1)
    assert sum(landed) >= 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_before_leaving(tmp_path, number):
    out = tmp_path / "run"
    process = start(out, "sampler", tmp_path / "cache")
    while last_step(out) < 50:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "resume the run in" in errors
    saved = sorted(int(p.name) for p in (out / "checkpoints").iterdir() if p.name.isdigit())
    assert saved[-1] == last_step(out)
