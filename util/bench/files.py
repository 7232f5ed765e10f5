"""Files: hashing beside reading from the page cache; large inputs changed in time only; stats that take a millisecond.

    python util/bench/files.py [--gigabytes 2] [--files 1000] [--repeat 5] [--where FOLDER]
    python util/bench/files.py --gigabytes 20 --files 0 --repeat 1

The files are made in a temporary folder of ``--where``, and are in the page cache when they are read (the machine must
have the memory). How many bytes a run reads is told by proc(5), io, of the script with its slaves and jobs. The slow
stats are those of a library that is loaded before all others (LD_PRELOAD; needs gcc), for paths in the working
directory only; without gcc, os.stat of the script's own process is slowed, which misses whoever calls the system
otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import measuring
from measuring import median, ratio, thousands

CHUNK_BYTES = 1 << 20
STAT_SECONDS = 0.001
PROCESSES = 2

SCRIPT = """
import os, sys, time
slow = os.environ.get("SLOW_STATS_BY_PYTHON")
if slow:
    stat = os.stat
    def slow_stat(path, **more):
        if type(path) is not int and not os.path.isabs(path):
            time.sleep(float(slow))
        return stat(path, **more)
    os.stat = slow_stat
import pipegraph as ppg

def bytes_read():
    with open("/proc/self/io") as io:
        return int(io.readline().split()[1])

count = int(sys.argv[1])
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True, log_port=None)
for number in range(count):
    job = ppg.FileGeneratingJob(f"o/{number}", lambda of: of.write_text("made"))
    job.depends_on(ppg.FileInvariant(f"in/{number}"))
before, began = bytes_read(), time.perf_counter()
ppg.run_pipegraph()
print(time.perf_counter() - began, bytes_read() - before)
"""

HASH = """
import os, sys, time
from xxhash import xxh3_128
from pipegraph.invariants import files
how, paths = sys.argv[1], sys.argv[2:]

def read(path):
    buffer = bytearray(1 << 20)
    file = os.open(path, os.O_RDONLY)
    while os.readv(file, [buffer]):
        pass
    os.close(file)

def hash_memory(path):
    digest, buffer = xxh3_128(), bytes(1 << 20)
    for _ in range(os.path.getsize(path) >> 20):
        digest.update(buffer)

began = time.perf_counter()
if how == "at once":
    for path in paths:
        if os.fork() == 0:
            files.read(path)
            os._exit(0)
    for _ in paths:
        assert os.wait()[1] == 0
else:
    for path in paths:
        {"read": read, "hash": hash_memory, "ours": files.read}[how](path)
print(time.perf_counter() - began)
"""

SLOW = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

static void wait_for(const char *path) {
    const char *seconds = getenv("SLOW_STATS");
    if (!seconds || !path || path[0] == '/' || path[0] == 0) return;
    double wanted = atof(seconds);
    struct timespec pause = {(time_t)wanted, (long)((wanted - (time_t)wanted) * 1e9)};
    nanosleep(&pause, NULL);
}
#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
int stat(const char *path, struct stat *found) { REAL(stat); wait_for(path); return real(path, found); }
int lstat(const char *path, struct stat *found) { REAL(lstat); wait_for(path); return real(path, found); }
int stat64(const char *path, struct stat64 *found) { REAL(stat64); wait_for(path); return real(path, found); }
int lstat64(const char *path, struct stat64 *found) { REAL(lstat64); wait_for(path); return real(path, found); }
int fstatat(int at, const char *path, struct stat *found, int flags) {
    REAL(fstatat); wait_for(path); return real(at, path, found, flags);
}
int fstatat64(int at, const char *path, struct stat64 *found, int flags) {
    REAL(fstatat64); wait_for(path); return real(at, path, found, flags);
}
int statx(int at, const char *path, int flags, unsigned mask, struct statx *found) {
    REAL(statx); wait_for(path); return real(at, path, flags, mask, found);
}
"""


def write(path: Path, size: int) -> None:
    """A file of so many bytes, none of them a hole."""
    path.parent.mkdir(exist_ok=True)
    chunk = os.urandom(CHUNK_BYTES)
    with path.open("wb") as out:
        for _ in range(max(1, size // CHUNK_BYTES)):
            out.write(chunk)


def hashing(gigabytes: float, repeat: int, where: str | None) -> float:
    """A row for each way to go over a file; how many times reading it takes to hash it."""
    with measuring.scratch(where) as folder:
        paths = [folder / "in" / str(number) for number in range(PROCESSES)]
        for path in paths:
            write(path, int(gigabytes * 1e9 / PROCESSES))
        size = sum(path.stat().st_size for path in paths)

        def run(how: str) -> float:
            return measuring.run_script(HASH, how, *paths, folder=folder, name="hash.py").printed[0]

        ways: dict[str, Callable[[], float]] = {
            "read from the page cache": lambda: run("read"),
            "hash of memory (xxh3-128)": lambda: run("hash"),
            "fingerprints, one after the other": lambda: run("ours"),
            f"fingerprints, in {PROCESSES} processes": lambda: run("at once"),
        }
        found = measuring.in_turns(repeat, ways)
    read = found["read from the page cache"]
    rows = [(name, f"{size / 1e9 / median(times):.1f}", f"{ratio(times, read):.2f}") for name, times in found.items()]
    measuring.table((f"{size / 1e9:.1f} GB", "GB/s", "times reading"), rows)
    print()
    return ratio(found["fingerprints, one after the other"], read)


def inputs(gigabytes: float, repeat: int, where: str | None) -> float:
    """A row for each run; how often the bytes of an input that changed in time only were read."""
    rows, most = [], 0.0
    for count in (1, 4):
        found, size = touched(count, gigabytes, repeat, where)
        name = f"{count} of {size / count / 1e9:.1f} GB"
        bare = median([each[0] for each in found["bare"]])
        rows.append((f"{name}, bare hash in {count} process{'es' * (count > 1)}", f"{bare:.2f}", ""))
        for what in ("time changed", "nothing changed"):
            seconds, read = zip(*found[what])
            rows.append((f"{name}, {what}", f"{median(seconds):.2f}", f"{median(read) / size:.2f}"))
            most = max(most, median(read) / size)
    measuring.table(("inputs", "seconds", "times read"), rows)
    print()
    return most


def touched(count: int, gigabytes: float, repeat: int, where: str | None) -> tuple[dict[str, list[list[float]]], int]:
    """Seconds and bytes read of each run, and how many bytes there are."""
    with measuring.scratch(where) as folder:
        paths = [folder / "in" / str(number) for number in range(count)]
        for path in paths:
            write(path, int(gigabytes * 1e9 / count))

        def run(is_touched: bool) -> list[float]:
            if is_touched:
                for path in paths:
                    os.utime(path)
                time.sleep(0.02)  # older than the file system's tick, so that it may be believed when it is read
            return measuring.run_script(SCRIPT, count, folder=folder).printed

        def hashed() -> list[float]:
            return measuring.run_script(HASH, "at once", *paths, folder=folder, name="hash.py").printed

        run(True)
        run(False)
        ways = {"bare": hashed, "time changed": lambda: run(True), "nothing changed": lambda: run(False)}
        return measuring.in_turns(repeat, ways), sum(path.stat().st_size for path in paths)


def slow_stats(files: int, repeat: int, where: str | None) -> float:
    """A row for each latency; how many stats at once that makes."""
    with measuring.scratch(where) as folder:
        for number in range(files):
            write(folder / "in" / str(number), 1)
        way = "a library"
        slow = {"LD_PRELOAD": str(folder / "slow.so"), "SLOW_STATS": str(STAT_SECONDS)}
        if shutil.which("gcc"):
            (folder / "slow.c").write_text(SLOW)
            subprocess.run(
                ["gcc", "-shared", "-fPIC", "-O2", "-o", "slow.so", "slow.c", "-ldl"], cwd=folder, check=True
            )
        else:
            way, slow = "os.stat alone", {"SLOW_STATS_BY_PYTHON": str(STAT_SECONDS)}
        for _ in range(2):
            measuring.run_script(SCRIPT, files, folder=folder)

        def run(**more: str) -> float:
            env = measuring.environment(**more)
            return measuring.run_script(SCRIPT, files, folder=folder, env=env).printed[0]

        found = measuring.in_turns(repeat, {"as it is": run, "1 ms a stat": lambda: run(**slow)})
    more = measuring.difference(found["1 ms a stat"], found["as it is"])
    at_once = 2 * files * STAT_SECONDS / max(more, 1e-9)
    rows: list[tuple[str, str, str]] = [(name, f"{median(times):.2f}", "") for name, times in found.items()]
    rows[1] = (f"{rows[1][0]} ({way})", rows[1][1], f"{at_once:.1f}")
    measuring.table((f"{thousands(files)} inputs and outputs each, up to date", "seconds", "at once"), rows)
    return at_once


def main() -> None:
    """Measure, and print three tables."""
    given = measuring.settings(__doc__, gigabytes=(2.0, 0.004), files=(1_000, 20), repeat=(5, 1), where=("", ""))
    where = given.where or None
    times = hashing(given.gigabytes, given.repeat, where)
    most = inputs(given.gigabytes, given.repeat, where)
    at_once = slow_stats(given.files, given.repeat, where) if given.files else 0.0
    measuring.verdict(
        "hashing as fast as reading; an input changed in time read once; slow stats in parallel",
        f"{times:.2f} times reading, {most:.2f} times read, {at_once:.1f} stats at once",
        times < 1.5 and 0.99 < most < 1.1 and (not given.files or at_once > 4),
    )


if __name__ == "__main__":
    main()
