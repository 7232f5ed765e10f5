"""What the status file costs: opening, asking, appending, memory. Medians of several rounds.

    python util/bench_status.py [--jobs 100000] [--rounds 5] [--directory .]

Files are made in a temporary directory below ``--directory`` and removed. ``write`` is the same number of bare
``os.write`` calls with lines of the same lengths: what no way of appending can be faster than.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipegraph.events import Warned
from pipegraph.model import FileRecord, Trace, combine
from pipegraph.status import StatusFile

MANY_INPUTS = 1_000_000
COMPACTED_ROUNDS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", default=None)
    arguments = parser.parse_args()
    jobs = [(f"results/sample_{number:06}.tsv", _trace(number)) for number in range(arguments.jobs)]
    measured: dict[str, list[float]] = {}

    def measure(name: str, calls: int, function: Callable[[], object]) -> None:
        gc.collect()
        begun = time.perf_counter()
        function()
        measured.setdefault(name, []).append((time.perf_counter() - begun) / calls)

    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            _one_round(Path(directory), jobs, measure)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        bytes_a_job = _memory(Path(directory), jobs)

    print(f"{arguments.jobs} jobs (S and M each, 3 inputs, 1 output), median of {arguments.rounds}")
    for name, values in measured.items():
        print(f"  {name:<34} {_readable(statistics.median(values))}")
    print(f"  {'memory after opening':<34} {bytes_a_job:8.0f} bytes a job")


def _one_round(directory: Path, jobs: list[tuple[str, Trace]], measure: Callable[..., None]) -> None:
    path = directory / ".pipegraph_status"
    count = len(jobs)
    status = _open(path)
    measure("note_started", count, lambda: _start(status, jobs))
    measure("note_made", count, lambda: _make(status, jobs))
    measure("sync", 1, status.sync)
    status.close()

    lines = path.read_bytes().splitlines(keepends=True)
    bare = os.open(directory / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    measure("write, bare (of a record)", len(lines), lambda: [os.write(bare, line) for line in lines])
    os.close(bare)

    opened: list[StatusFile] = []
    measure("open, in all", 1, lambda: opened.append(_open(path)))
    status = opened[0]
    measure("past", count, lambda: _ask(status, jobs))
    for _ in range(COMPACTED_ROUNDS):
        _make(status, jobs)
    status.sync()
    measure("close, with a compaction, in all", 1, status.close)

    wide = Trace({f"parts/part_{number:07}.tsv": "0" * 32 for number in range(MANY_INPUTS)}, "1" * 32)
    status = _open(directory / "wide")
    measure("note_made, of 1 000 000 inputs", 1, lambda: status.note_made("wide", wide))
    measure("past, of 1 000 000 inputs", 1, lambda: status.past("wide"))
    status.close()


def _start(status: StatusFile, jobs: list[tuple[str, Trace]]) -> None:
    for job, _ in jobs:
        status.note_started(job, 1763690000.123456)


def _make(status: StatusFile, jobs: list[tuple[str, Trace]]) -> None:
    for job, trace in jobs:
        status.note_made(job, trace)


def _ask(status: StatusFile, jobs: list[tuple[str, Trace]]) -> None:
    # Nothing is kept: a hundred thousand traces at once would measure the machine's memory.
    for job, _ in jobs:
        status.past(job)


def _trace(number: int) -> Trace:
    path = f"results/sample_{number:06}.tsv"
    inputs = {f"{name}_{path}": combine([name, path]) for name in ("FI", "PI", "raw")}
    fingerprint = combine([path])
    output = FileRecord(path, fingerprint, fingerprint, 1234, 1763690000123456789, 123456, False)
    return Trace(inputs, fingerprint, (output,), 0.123456, 20_000_000, 1763690000.123456)


def _memory(directory: Path, jobs: list[tuple[str, Trace]]) -> float:
    """Resident bytes a job that an open status file takes, in a process of its own."""
    path = directory / ".pipegraph_status"
    status = _open(path)
    for job, trace in jobs:
        status.note_started(job, 0.0)
        status.note_made(job, trace)
    status.close()
    taken = subprocess.run([sys.executable, "-c", _TAKEN, str(path)], check=True, capture_output=True, text=True)
    return float(taken.stdout) / len(jobs)


_TAKEN = f"""
import sys
sys.path.insert(0, {sys.path[0]!r})
from pipegraph.status import StatusFile
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096
before = resident()
status = StatusFile.open(sys.argv[1], print)
print(resident() - before)
"""


def _open(path: Path) -> StatusFile:
    return StatusFile.open(path, _complain)


def _complain(warned: Warned) -> None:
    print(warned.headline, file=sys.stderr)


def _readable(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1e6:8.2f} microseconds"
    return f"{seconds:8.3f} seconds"


if __name__ == "__main__":
    main()
