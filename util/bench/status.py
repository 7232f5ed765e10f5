"""What the status file costs: opening, asking, appending, memory, size. Medians of several rounds.

    python util/bench/status.py [--jobs 100000 1000000] [--repeat 3] [--where FOLDER]

Each job has three inputs and one output. ``write`` is the same number of bare ``os.write`` calls with lines of the same
lengths: what no way of appending can be faster than. Compacting is measured up to 100 000 jobs.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import measuring
from measuring import thousands

sys.path.insert(0, measuring.PACKAGE)

from pipegraph.events import Warned
from pipegraph.model import FileRecord, Trace, combine
from pipegraph.status import StatusFile

AIM_OPEN_SECONDS = 3.0
AIM_RECORD_SECONDS = 15e-6
COMPACTED_ROUNDS = 4
COMPACTED_JOBS = 100_000


def main() -> None:
    given = measuring.settings(__doc__, jobs=([100_000, 1_000_000], [50]), repeat=(3, 1), where=("", ""))
    columns = [_measured(count, given.repeat, given.where or None) for count in given.jobs]
    rows = [(name, *(_readable(name, column.get(name)) for column in columns)) for name in columns[0]]
    measuring.table(("what", *(f"{thousands(count)} jobs" for count in given.jobs)), rows)
    # Of each job there are two.
    opening = columns[-1]["open, in all"] * 1e6 / (2 * given.jobs[-1])
    record = columns[-1]["note_started"] + columns[-1]["note_made"]
    measuring.verdict(
        "opening 1 000 000 records under 3 s; a finished job's records under 15 µs",
        f"{opening:.2f} s a million, of {thousands(2 * given.jobs[-1])}; {1e6 * record:.1f} µs",
        opening < AIM_OPEN_SECONDS and record < AIM_RECORD_SECONDS,
    )


def _measured(count: int, repeat: int, where: str | None) -> dict[str, float]:
    jobs = [(f"results/sample_{number:06}.tsv", _trace(number)) for number in range(count)]
    measured: dict[str, list[float]] = {}

    def measure(name: str, calls: int, function: Callable[[], object]) -> None:
        gc.collect()
        begun = time.perf_counter()
        function()
        measured.setdefault(name, []).append((time.perf_counter() - begun) / calls)

    gc.freeze()
    for _ in range(repeat):
        with measuring.scratch(where) as directory:
            _one_round(directory, jobs, measure)
    found = {name: measuring.median(values) for name, values in measured.items()}
    with measuring.scratch(where) as directory:
        found["bytes of memory a job"], found["bytes of the file a job"] = _memory(directory, jobs)
    return found


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
    if count <= COMPACTED_JOBS:
        for _ in range(COMPACTED_ROUNDS):
            _make(status, jobs)
        status.sync()
        measure("close, with a compaction, in all", 1, status.close)
    else:
        status.close()

    wide = Trace({f"parts/part_{number:07}.tsv": "0" * 32 for number in range(10 * count)}, "1" * 32)
    status = _open(directory / "wide")
    measure("note_made, of ten times as many inputs", 1, lambda: status.note_made("wide", wide))
    measure("past, of ten times as many inputs", 1, lambda: status.past("wide"))
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


def _memory(directory: Path, jobs: list[tuple[str, Trace]]) -> tuple[float, float]:
    """Resident bytes a job that an open status file takes, in a process of its own; and those of the file."""
    path = directory / ".pipegraph_status"
    status = _open(path)
    for job, trace in jobs:
        status.note_started(job, 0.0)
        status.note_made(job, trace)
    status.close()
    taken = subprocess.run([sys.executable, "-c", _TAKEN, str(path)], check=True, capture_output=True, text=True)
    return float(taken.stdout) / len(jobs), path.stat().st_size / len(jobs)


_TAKEN = f"""
import sys
sys.path.insert(0, {measuring.PACKAGE!r})
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


def _readable(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name.startswith("bytes"):
        return f"{value:.0f}"
    return f"{value * 1e6:.2f} µs" if value < 0.001 else f"{value:.3f} s"


if __name__ == "__main__":
    main()
