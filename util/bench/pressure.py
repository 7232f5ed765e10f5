"""Jobs that need more memory than a control group allows: kills by the kernel, jobs ended, seconds, most memory.

    python util/bench/pressure.py [--jobs 12] [--megabytes 300] [--limit 1024] [--cores 6] [--repeat 1]

Each of these jobs takes its memory within a third of a second or so, and holds it for as long again. The first run
knows nothing of them; the second one knows what the first one learnt, its outputs removed; or each job declares what
it needs. With the watch, and without: then jobs start as before, and only the kernel ends any. Makes a control group,
which needs root; elsewhere it says so.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import measuring
from measuring import median

SCRIPT = """
import os, sys, time
import pipegraph as ppg
from pipegraph.admission import pressure

group, jobs, megabytes, cores, is_declared, is_watched = sys.argv[1], *map(int, sys.argv[2:])
open(group, "w").write(str(os.getpid()))
if not is_watched:
    pressure.Pressure.next_look = lambda self: float("inf")
    pressure.Pressure.room = lambda self, now: None

def take(output):
    held = []
    for _ in range(megabytes):
        held.append(b"x" * (1 << 20))
        time.sleep(0.001)
    time.sleep(0.3)
    output.write_text(str(len(held)))

ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(cores), quiet=True)
for number in range(jobs):
    job = ppg.FileGeneratingJob(f"out{number}", take)
    if is_declared:
        job.memory_needed = (megabytes + 20) << 20
ppg.run_pipegraph()
assert all(open(f"out{number}").read() == str(megabytes) for number in range(jobs))
"""


@contextlib.contextmanager
def control_group(limit: int) -> Iterator[Path | None]:
    """Of so many bytes, and no swap; None: it can't be had."""
    version_1 = Path("/sys/fs/cgroup/memory")
    is_first = version_1.is_dir()
    group = (version_1 if is_first else Path("/sys/fs/cgroup")) / f"pipegraph_bench_{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        limits = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes") if is_first else ("memory.max",)
        for name in limits:
            if (group / name).exists():
                (group / name).write_text(str(limit))
        if (group / "memory.swap.max").exists():
            (group / "memory.swap.max").write_text("0")
        yield group
    except OSError:
        yield None
    finally:
        while (group / "cgroup.procs").read_text():
            time.sleep(0.01)
        group.rmdir()


def kills(group: Path) -> int:
    """How many processes the kernel has killed there for want of memory."""
    for name in ("memory.oom_control", "memory.events"):
        if (group / name).exists():
            return int(dict(line.split() for line in (group / name).read_text().splitlines())["oom_kill"])
    return 0


def most(group: Path) -> int:
    """Bytes that were used at once, since it was set back; 0: it is not counted."""
    for name in ("memory.max_usage_in_bytes", "memory.peak"):
        if (group / name).exists():
            return int((group / name).read_text())
    return 0


def main() -> None:
    """Measure, and print a row for each kind of run."""
    given = measuring.settings(
        __doc__, jobs=(12, 3), megabytes=(300, 60), limit=(1024, 256), cores=(6, 3), repeat=(3, 1)
    )

    def run(is_declared: bool, is_watched: bool) -> list[tuple[float, ...]]:
        found = []
        with measuring.scratch() as folder:
            for _ in range(1 if is_declared else 2):
                for path in folder.glob("out*"):
                    path.unlink()
                with control_group(given.limit << 20) as group:
                    if group is None:
                        return []
                    numbers = given.jobs, given.megabytes, given.cores, int(is_declared), int(is_watched)
                    took = measuring.run_script(SCRIPT, group / "cgroup.procs", *numbers, folder=folder)
                    log = (folder / "logs" / "ppg_run.txt").read_text()
                    ended = log.count("because it was ended before memory ran out")
                    found.append((kills(group), ended, took.seconds, most(group) / 2**20))
        return found

    ways = {"watched": True, "not watched": False}
    kinds = {f"{way}, {kind}": (kind, watched) for way, watched in ways.items() for kind in ("learnt", "declared")}
    found = measuring.in_turns(
        given.repeat,
        {
            name: lambda kind=kind, watched=watched: run(kind == "declared", watched)
            for name, (kind, watched) in kinds.items()
        },
    )
    if not all(found["watched, learnt"]):
        print("no control group that limits memory can be made in /sys/fs/cgroup:\nrun this as root")
        return
    rows = []
    known_kills = 0.0
    for way in ways:
        for name, rounds in (
            ("first run", [each[0] for each in found[f"{way}, learnt"]]),
            ("second run", [each[1] for each in found[f"{way}, learnt"]]),
            ("declared", [each[0] for each in found[f"{way}, declared"]]),
        ):
            killed, ended, seconds, used = zip(*rounds)
            if way == "watched" and name != "first run":
                known_kills += sum(killed) + sum(ended)
            rows.append((way, name, f"{sum(killed)}", f"{sum(ended)}", f"{median(seconds):.1f}", f"{max(used):.0f}"))
    measuring.table(("way", "run", "killed by the kernel", "ended", "seconds", "most MB"), rows)
    measuring.verdict("nothing killed or ended where memory is known", f"{known_kills:.0f}", not known_kills)


if __name__ == "__main__":
    main()
