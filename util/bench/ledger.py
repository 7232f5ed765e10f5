"""The ledger that runs of one machine share: what a claim costs, who gets how much, how soon who waits is woken.

    python util/bench/ledger.py [--runs 2 8 30] [--seconds 5] [--wakes 200]

Real processes, each with random short jobs that sleep, of one core most often, on a machine of which they say that it
has eight. A third of them is killed in the middle, at any instruction. Each writes down what it holds, after it took it
and before it gives it back, in a file that is read afterwards: that is how many cores were in use at once.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import measuring

CORES = 8
AIM_SECONDS = 1e-3

_HEAD = f"""
import os, random, select, sys, time
sys.path.insert(0, {measuring.PACKAGE!r})
from pipegraph.machine.ledger import Capacity, Holder, Ledger
from pipegraph.machine.place import Place
from pipegraph.machine.sharing import Amounts
amounts = Amounts({CORES}, 1 << 36)
ledger = Ledger.join(Place(sys.argv[1]), Holder.here("ledger.py", "bench"), {{"here": Capacity(amounts, amounts)}})
def wait():
    select.select([ledger], [], [], max(0.0, ledger.next_look() - time.monotonic()))
    ledger.attend()
"""

_JOBS = (
    _HEAD
    + """
audit = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(cores):
    os.write(audit, b"%d %d %d\\n" % (time.monotonic_ns(), os.getpid(), cores))
chance = random.Random(int(sys.argv[3]))
walls, cpus = [], []
print("ready", flush=True)
until = float(sys.stdin.readline())
running = []
while time.monotonic() < until:
    cores = chance.choices([1, 2, 8], [90, 9, 1])[0]
    cpu, wall = time.process_time(), time.perf_counter()
    is_granted = ledger.claim("here", cores, 0)
    walls.append(time.perf_counter() - wall)
    cpus.append(time.process_time() - cpu)
    if is_granted:
        note(cores)
        running.append((time.monotonic() + chance.random() / 20, cores))
    else:
        ends = min((at for at, _ in running), default=ledger.next_look())
        select.select([ledger], [], [], max(0.0, min(ends, ledger.next_look()) - time.monotonic()))
        ledger.attend()
    for job in [job for job in running if job[0] <= time.monotonic()]:
        running.remove(job)
        note(-job[1])
        ledger.release("here", job[1], 0)
for _, cores in running:
    note(-cores)
ledger.close()
assert not ledger.fault, ledger.fault
print(len(walls), sum(cpus) / len(cpus), sorted(walls)[len(walls) // 2], sorted(walls)[len(walls) * 99 // 100])
"""
)

_WAITS = (
    _HEAD
    + """
print("ready", flush=True)
for _ in sys.stdin:
    if not ledger.claim("here", 8, 0):
        print("waits", flush=True)
        wait()
        while not ledger.claim("here", 8, 0):
            wait()
    print(time.monotonic(), flush=True)
    sys.stdin.readline()
    print(time.monotonic(), flush=True)
    ledger.release("here", 8, 0)
"""
)


class Storm(NamedTuple):
    """Runs at once, and what became of it."""

    claims: int
    cpu_seconds: float
    wall_seconds: float
    slow_seconds: float
    most_cores: int
    least_share: float
    most_share: float
    killed: int


def main() -> None:
    given = measuring.settings(__doc__, runs=([2, 8, 30], [2, 4]), seconds=(5.0, 0.5), wakes=(200, 3), kills=(20, 2))
    storms = {}
    for count in given.runs:
        measuring.say(f"{count} runs")
        with measuring.scratch() as folder:
            storms[count] = _storm(folder, count, given.seconds)
    measuring.table(
        ("runs", "killed", "claims", "CPU µs a claim", "median µs", "99 % under µs", "cores used of 8", "of its share"),
        [
            (
                count,
                each.killed,
                measuring.thousands(each.claims),
                f"{each.cpu_seconds * 1e6:.0f}",
                f"{each.wall_seconds * 1e6:.0f}",
                f"{each.slow_seconds * 1e6:.0f}",
                each.most_cores,
                f"{each.least_share:.2f} to {each.most_share:.2f}",
            )
            for count, each in storms.items()
        ],
    )
    print()
    with measuring.scratch() as folder:
        released, killed = _after_release(folder, given.wakes), [_after_kill(folder) for _ in range(given.kills)]
    measuring.table(
        ("woken after", "median ms", "longest ms"),
        [
            (name, f"{measuring.median(found) * 1e3:.2f}", f"{max(found) * 1e3:.2f}")
            for name, found in (("a release", released), ("a kill -9", killed))
        ],
    )
    slowest, most = max(each.wall_seconds for each in storms.values()), max(each.most_cores for each in storms.values())
    measuring.verdict(
        "under 1 ms a claim; no core used twice",
        f"{slowest * 1e3:.2f} ms; {most} cores of {CORES} at once",
        slowest < AIM_SECONDS and most <= CORES,
    )


def _process(text: str, folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", text, str(folder / "ledger"), *map(str, arguments)]
    begun = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=measuring.environment()
    )
    _hear(begun)
    return begun


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    heard = process.stdout.readline().strip()
    if not heard:
        raise SystemExit(f"a run ended with {process.wait()}")
    return heard


def _tell(process: subprocess.Popen[str], line: object = "") -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _kill(*processes: subprocess.Popen[str]) -> None:
    for each in processes:
        each.kill()
        each.communicate()


def _storm(folder: Path, count: int, seconds: float) -> Storm:
    chance = random.Random(count)
    runs = [_process(_JOBS, folder, folder / "audit", number) for number in range(count)]
    began = time.monotonic()
    for run in runs:
        _tell(run, began + seconds)
    doomed, rest = runs[: count // 3], runs[count // 3 :]
    killed_at = {}
    for run in doomed:
        time.sleep(chance.random() * seconds / 3 / len(doomed))
        run.send_signal(signal.SIGSTOP)
        killed_at[run.pid] = time.monotonic_ns()
        run.kill()
        run.communicate()
    after = time.monotonic_ns()
    told = [[float(word) for word in _hear(run).split()] for run in rest]
    for run in rest:
        run.communicate()
    most, used = _replayed(folder / "audit", killed_at, after)
    share = sum(used.values()) / len(rest)
    shares = [used.get(run.pid, 0.0) / share for run in rest]
    return Storm(
        int(sum(each[0] for each in told)),
        measuring.median([each[1] for each in told]),
        measuring.median([each[2] for each in told]),
        max(each[3] for each in told),
        most,
        min(shares),
        max(shares),
        len(doomed),
    )


def _replayed(audit: Path, killed_at: dict[int, int], after: int) -> tuple[int, dict[int, float]]:
    """The most cores that were in use at once, and core-seconds of each run since a moment."""
    changes = [tuple(map(int, line.split())) for line in audit.read_text().splitlines()]
    held: dict[int, int] = {}
    for _, pid, cores in changes:
        if pid in killed_at:
            held[pid] = held.get(pid, 0) + cores
    changes += [(killed_at[pid], pid, -cores) for pid, cores in held.items()]
    # What is given back at a moment goes first: each is written down before it is given back, and after it was taken.
    changes.sort(key=lambda change: (change[0], change[2]))
    most = now = 0
    used: dict[int, float] = {}
    last_at = max(at for at, _, _ in changes)
    for at, pid, cores in changes:
        now += cores
        most = max(most, now)
        used[pid] = used.get(pid, 0.0) + cores * (last_at - max(at, after)) / 1e9
    return most, {pid: seconds for pid, seconds in used.items() if pid not in killed_at}


def _after_release(folder: Path, count: int) -> list[float]:
    one, other = (_process(_WAITS, folder) for _ in range(2))
    found = []
    _tell(one)
    _hear(one)
    for _ in range(count):
        _tell(other)
        _hear(other)
        _tell(one)
        released_at = float(_hear(one))
        found.append(float(_hear(other)) - released_at)
        one, other = other, one
    _kill(one, other)
    return found


def _after_kill(folder: Path) -> float:
    one, other = (_process(_WAITS, folder) for _ in range(2))
    _tell(one)
    _hear(one)
    _tell(other)
    _hear(other)
    killed_at = time.monotonic()
    _kill(one)
    found = float(_hear(other)) - killed_at
    _kill(other)
    return found


if __name__ == "__main__":
    main()
