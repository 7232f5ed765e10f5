"""What a job costs after much was loaded: with huge pages and without, beside bare forks of the same process.

    python util/bench/loaded.py [--kinds objects array arrays] [--gb 2] [--jobs 200] [--repeat 3]

Loads objects (tuples of text, dicts and numbers), one array of numpy, or many small arrays of numpy; then runs one-line
jobs, over two slots. Each line is of a script of its own; with and without in turns, medians last.

    fork, whole   a bare fork, and until its child was waited for, one after the other: ms
    bare          one-line jobs in bare forks, over two slots: ms a job
    job           one-line jobs of a run: ms, from the beginning of the first one to that of the last
    page tables   what a fork has to copy, and the share of memory in huge pages after the last job
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from measuring import environment, run_script, scratch, settings

KINDS = ("objects", "array", "arrays")

SCRIPT = r"""
import gc, json, os, sys, time
import pipegraph as ppg
from pipegraph.slaves import hugepages

KIND, SIZE, JOBS, IS_HUGE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "huge"
held = {}


def load():
    began = time.perf_counter()
    if KIND == "objects":
        held["data"] = [(str(i), {"a": float(i)}, i + 1000) for i in range(SIZE // 370)]
    else:
        import numpy as np

        held["data"] = np.ones(SIZE // 8) if KIND == "array" else [np.ones(500) for _ in range(SIZE // 4100)]
    note(load=time.perf_counter() - began)


def note(**facts):
    with open("facts", "a") as out:
        out.write(json.dumps(facts) + "\n")


def memory(pid="self"):
    found = {}
    for line in open(f"/proc/{pid}/smaps_rollup"):
        name, *rest = line.split()
        found[name] = rest and rest[0]
    return int(found["Anonymous:"]) / 2**20, int(found["AnonHugePages:"]) / 2**20


def median(times):
    return sorted(times)[len(times) // 2] * 1e3


def bare():
    gc.freeze()
    forks, wholes = [], []
    for _ in range(20):
        began = time.perf_counter()
        child = os.fork()
        if child == 0:
            os._exit(0)
        forks.append(time.perf_counter() - began)
        os.waitpid(child, 0)
        wholes.append(time.perf_counter() - began)
    began = time.perf_counter()
    for i in range(82):
        if i >= 2:
            os.wait()
        if i < 80 and os.fork() == 0:
            with open(f"bare{i}", "w") as out:
                out.write("made")
            os._exit(0)
    note(fork=median(forks), whole=median(wholes), bare=(time.perf_counter() - began) / 80 * 1e3)


def gathered(*given):
    before = memory()
    done = gather(*given) if IS_HUGE else hugepages.Gathered()
    note(before=before[0], after=memory()[0], huge=memory()[1], gather=done.seconds, remark=done.remark)
    bare()
    return done


gather, hugepages.gather = hugepages.gather, gathered


def job(path):
    def make():
        with open(path, "w") as out:
            out.write("made")

    return make


def last():
    note(jobs=(time.time() - os.stat("out/0").st_mtime) / JOBS * 1e3, left=memory(os.getppid())[1])
    open("last", "w").write("made")


ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True, log_port=None)
loading = ppg.DataLoadingJob("data", load)
made = [ppg.FileGeneratingJob(f"out/{i}", job(f"out/{i}")).depends_on(loading) for i in range(JOBS)]
ppg.FileGeneratingJob("last", last).depends_on(loading, *made)
began = time.time()
ppg.run_pipegraph()
note(run=time.time() - began)
"""

COLUMNS = ("load", "gather", "before", "after", "huge", "left", "fork", "whole", "bare", "jobs", "run")
UNITS = ("s", "s", "GB", "GB", "GB", "GB", "ms", "ms", "ms", "ms", "s")


def facts_of(kind: str, given: argparse.Namespace, way: str) -> dict[str, Any]:
    """Run the script once, in a folder of its own."""
    with scratch() as folder:
        one = environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        run_script(SCRIPT, kind, int(given.gb * (1 << 30)), given.jobs, way, folder=folder, env=one)
        facts: dict[str, Any] = {}
        for line in (folder / "facts").read_text().splitlines():
            facts |= json.loads(line)
        return facts


def show(kind: str, way: str, facts: dict[str, Any]) -> None:
    """One line."""
    print(f"{kind:<8}{way:<8}" + "".join(f"{facts[column]:>9.2f}" for column in COLUMNS), facts.get("remark") or "")


def main() -> None:
    given = settings(
        __doc__,
        {"kinds": KINDS},
        kinds=(list(KINDS), ["objects"]),
        gb=(2.0, 0.1),
        jobs=(200, 20),
        repeat=(3, 1),
    )
    print(" " * 16 + "".join(f"{column:>9}" for column in COLUMNS))
    print(" " * 16 + "".join(f"{unit:>9}" for unit in UNITS), flush=True)
    for kind in given.kinds:
        found: dict[str, list[dict[str, Any]]] = {"huge": [], "small": []}
        for _ in range(given.repeat):
            for way, facts in found.items():
                facts.append(facts_of(kind, given, way))
                show(kind, way, facts[-1])
                sys.stdout.flush()
        for way, facts in found.items():
            show("median", way, {name: statistics.median(each[name] for each in facts) for name in COLUMNS})


if __name__ == "__main__":
    main()
