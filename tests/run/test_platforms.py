"""Runs on platforms that lack what Linux has: `os.sched_getaffinity` (macOS, Windows) and `fcntl` (Windows)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metajax import run
from metajax.run import _lock
from metajax.types import InputError

ROOT = Path(__file__).parents[2]

HOLD = """
import sys, time
from metajax import run
with run.RunDirectory(sys.argv[1], {}):
    print("held", flush=True)
    time.sleep(60)
"""

WINDOWS = """
import errno, os, signal, sys
sys.modules["fcntl"] = None
for name in ("sched_getaffinity", "fork"):
    delattr(os, name)
import metajax
from metajax import run
with run.RunDirectory(sys.argv[1], {"seed": 0}) as directory:
    directory.log({"step": 1})
with run.RunDirectory(sys.argv[1], {"seed": 0}, resume=True) as directory:
    print(directory.metrics(), run.hardware())
"""


class Regions:
    """What `msvcrt` offers for locking, kept in a set of files."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self):
        self.locked = set()

    def locking(self, number, mode, size):
        file = os.fstat(number).st_ino
        if mode == self.LK_UNLCK:
            self.locked.remove(file)
        elif file in self.locked:
            raise PermissionError("the region is locked")
        else:
            self.locked.add(file)


def test_a_run_works_without_fcntl_and_affinity(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS, str(tmp_path / "r")], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[{'step': 1}]") and "core" in done.stdout


def test_windows_locks_a_region_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(_lock, "fcntl", None)
    monkeypatch.setattr(_lock, "msvcrt", Regions())
    for _ in range(2):  # the lock is released when the run is closed, and the directory can be taken again
        with (
            run.RunDirectory(tmp_path / "r", {}, resume=True),
            pytest.raises(InputError, match="another process is writing"),
        ):
            run.RunDirectory(tmp_path / "r", {}, resume=True)
    assert (tmp_path / "r" / ".lock").is_file()


def test_a_killed_process_leaves_no_lock(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "r")], stdout=subprocess.PIPE, cwd=ROOT)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with pytest.raises(InputError, match="another process is writing"):
        run.RunDirectory(tmp_path / "r", {}, resume=True)
    holder.kill()
    holder.communicate()
    run.RunDirectory(tmp_path / "r", {}, resume=True).close()


def test_a_directory_with_only_a_lock_counts_as_empty(tmp_path):
    _lock.Lock(tmp_path / ".lock").release()
    with run.RunDirectory(tmp_path, {}) as directory:
        assert not directory.resumed


def test_no_other_module_asks_for_what_other_platforms_lack():
    for file in [*(ROOT / "metajax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]:
        text = file.read_text()
        assert "import fcntl" not in text or file.name == "_lock.py", file
        assert "sched_getaffinity(0)" not in text or 'hasattr(os, "sched_getaffinity")' in text, file
