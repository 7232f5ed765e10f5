"""What files cost before a job runs: reading large ones, and stamps of a slow file system; and what growth costs.

    python util/bench_files.py [read | slow | growth | all] [--repeat 3] [--gigabytes 2]

Each figure is a median, beside what nobody can avoid, in one call. Everything happens in a temporary folder, which has
to have room for the files; they are in the page cache.

read     a second run, after all inputs have changed in time only; beside cat of the same files
slow     a second run of 2 000 jobs with an input each, where each stat takes 1 ms; beside the same without that
growth   100 generators that declare 100 jobs each, of which none has to run; beside the same jobs made up front
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

HEAD = """
import os, sys, time
import pipegraph as ppg
ppg.new_pipegraph(quiet=True, log_port=None)
"""

READ = (
    HEAD
    + """
for number in range(4):
    ppg.FileGeneratingJob(f"out{number}", lambda output: output.write_text("x")).depends_on_file(f"in{number}")
began = time.perf_counter()
ppg.run_pipegraph()
print(time.perf_counter() - began)
"""
)

SLOW = (
    HEAD
    + """
for number in range(2000):
    job = ppg.FileGeneratingJob(f"out/{number}", lambda output: output.write_text("x"))
    job.depends_on_file(f"in/{number}")
if sys.argv[1] == "slow":
    real = os.stat
    def stat(path, *rest, **more):
        if isinstance(path, str) and path.startswith(("in/", "out/")):
            time.sleep(0.001)
        return real(path, *rest, **more)
    os.stat = stat
began = time.perf_counter()
ppg.run_pipegraph()
print(time.perf_counter() - began)
"""
)

GROWTH = (
    HEAD
    + """
def make(generator):
    for number in range(100):
        job = ppg.TempFileGeneratingJob(f"out/{generator}_{number}", lambda output: output.write_text("x"))
        job.depends_on_params(generator)
began = time.perf_counter()
for generator in range(100):
    if sys.argv[1] == "front":
        make(generator)
    callback = (lambda: None) if sys.argv[1] == "front" else (lambda generator=generator: make(generator))
    ppg.JobGeneratingJob(f"generator {generator}", callback)
ppg.run_pipegraph()
print(time.perf_counter() - began)
"""
)


def call(code: str, folder: str, *arguments: str) -> tuple[float, float]:
    """Seconds as the script says, and of all processors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(done.stdout.split()[-1]), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show(what: str, found: list[tuple[float, float]]) -> float:
    """The median."""
    seconds = statistics.median(wall for wall, _ in found)
    print(f"{what:<40} {seconds:8.3f} s  {statistics.median(cpu for _, cpu in found):8.3f} s of processors")
    return seconds


def read(repeat: int, gigabytes: float) -> None:
    """Inputs changed in time only."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"in{number}") for number in range(4)]
        part = os.urandom(1 << 20)
        for file in files:
            with file.open("wb") as out:
                for _ in range(int(gigabytes * 1e9 / 4) >> 20):
                    out.write(part)
        size = sum(file.stat().st_size for file in files) / 1e9
        call(READ, folder)
        found, cats, none = [], [], []
        for _ in range(repeat):
            began = time.perf_counter()
            subprocess.run(["cat", *map(str, files)], stdout=subprocess.DEVNULL, check=True)
            cats.append((time.perf_counter() - began, 0.0))
            for file in files:
                os.utime(file)
            found.append(call(READ, folder))
            none.append(call(READ, folder))
        both = show("changed in time only", found)
        base = show("nothing changed", none)
        cat = show("cat", cats)
        print(f"{size / (both - base):.1f} GB/s beyond a run of nothing, cat {size / cat:.1f} GB/s")


def slow(repeat: int) -> None:
    """Stamps that take a millisecond each."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in").mkdir()
        for number in range(2000):
            Path(folder, "in", str(number)).write_text("x")
        call(SLOW, folder, "quick")
        found: dict[str, list[tuple[float, float]]] = {"quick": [], "slow": []}
        for _ in range(repeat):
            for how, its in found.items():
                its.append(call(SLOW, folder, how))
        for how, its in found.items():
            show(f"4 000 stamps, {how}", its)


def growth(repeat: int) -> None:
    """Jobs that come in mid-run."""
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, list[tuple[float, float]]] = {"front": [], "growth": []}
        for _ in range(repeat):
            for how, its in found.items():
                Path(folder, ".pipegraph_status").unlink(missing_ok=True)
                its.append(call(GROWTH, folder, how))
        for how, its in found.items():
            show(f"10 000 jobs and 100 generators, {how}", its)


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", nargs="?", default="all", choices=["read", "slow", "growth", "all"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "read": lambda: read(arguments.repeat, arguments.gigabytes),
        "slow": lambda: slow(arguments.repeat),
        "growth": lambda: growth(arguments.repeat),
    }
    for name, part in parts.items():
        if arguments.what in (name, "all"):
            part()


if __name__ == "__main__":
    main()
