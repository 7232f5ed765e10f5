"""What loaded data costs when many jobs read it at the same time: which kinds stay shared by fork, and which do not.

    python util/bench/shared_memory.py                 the table of docs/cached.rst
    python util/bench/shared_memory.py --jobs 10 --gigabytes 0.2 array objects

Each kind is loaded once, by a CachedAttributeLoadingJob, and read whole by each of the jobs. When all have read, each
looks at its own memory (proc(5), smaps_rollup: Private_Dirty and Pss). The sum of Pss counts each page once, however
many processes share it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy
import pandas

import pipegraph as ppg

BYTES_OF_A_TUPLE = 120
BYTES_OF_A_TEXT = 66


def array(size):
    return numpy.ones(size // 8)


def frame(size):
    return pandas.DataFrame(numpy.ones((size // 8 // 20, 20)), columns=[f"c{number}" for number in range(20)])


def objects(size):
    return [(number + 1000, number / 3) for number in range(size // BYTES_OF_A_TUPLE)]


def texts(size):
    names = [f"name {number}" for number in range(size // BYTES_OF_A_TEXT)]
    return pandas.DataFrame({"name": pandas.Series(names, dtype=object)})


def arrow_texts(size):
    return pandas.DataFrame({"name": texts(size)["name"].astype("string[pyarrow]")})


def categories(size):
    names = numpy.array([f"name {number}" for number in range(1000)])
    return pandas.DataFrame({"name": pandas.Categorical.from_codes(numpy.arange(size // 2) % 1000, names)})


READ = {
    "array": lambda data: data.sum(),
    "frame": lambda data: data.sum().sum(),
    "memmap": lambda data: data.sum(),
    "objects": lambda data: sum(second for _, second in data),
    "texts": lambda data: (data["name"] == "name 7").sum(),
    "arrow_texts": lambda data: (data["name"] == "name 7").sum(),
    "categories": lambda data: data["name"].cat.codes.to_numpy().sum(),
}
LARGE = ("array", "frame", "memmap", "categories")
"""What stays shared; the others would take the memory that they cost times the number of jobs."""


def memory_of(pid: int | str) -> dict[str, int]:
    """Bytes, by proc(5)'s names."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines)}


def measure(kind: str, size: int, jobs: int) -> tuple[float, float]:
    """Megabytes: what each job has of its own, and all of them and the slave together."""
    ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(jobs + 1), quiet=True, log_port=None)
    box = SimpleNamespace(data=None)
    everybody = multiprocessing.Barrier(jobs)
    if kind == "memmap":
        load: ppg.Job = ppg.MemMappedDataLoadingJob(
            "cache", lambda: array(size), lambda data: setattr(box, "data", data), float
        )
    else:
        load = ppg.CachedAttributeLoadingJob("cache", box, "data", lambda: globals()[kind](size))
    load.ignore_code_changes()

    def read(of):
        READ[kind](box.data)
        everybody.wait()
        found = memory_of("self"), memory_of(os.getppid())
        everybody.wait()
        of.write_text(json.dumps(found))

    for number in range(jobs):
        ppg.FileGeneratingJob(f"job_{number}", read).depends_on(load).ignore_code_changes()
    ppg.run_pipegraph()
    found = [json.loads(Path(f"job_{number}").read_text()) for number in range(jobs)]
    own = sum(job["Private_Dirty"] for job, _ in found) / jobs
    together = found[0][1]["Pss"] + sum(job["Pss"] for job, _ in found)
    return own / 1e6, together / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=list(READ), help=", ".join(READ))
    parser.add_argument("--jobs", type=int, default=50, help="of the kinds that stay shared (50); of others a fifth")
    parser.add_argument(
        "--gigabytes", type=float, default=1.0, help="of the kinds that stay shared (1); others a fifth"
    )
    parser.add_argument("--quick", action="store_true", help="2 jobs, 10 MB: does it still work?")
    options = parser.parse_args()
    if options.quick:
        options.jobs, options.gigabytes = 2, 0.01
    print(f"{'kind':12} {'data MB':>8} {'jobs':>5} {'own MB of a job':>16} {'all together MB':>16}")
    for kind in options.kinds:
        jobs, size = options.jobs, int(options.gigabytes * 1e9)
        if kind not in LARGE:
            jobs, size = max(1, jobs // 5), size // 5
        with tempfile.TemporaryDirectory(dir=".") as folder:
            back = os.getcwd()
            os.chdir(folder)
            try:
                own, together = measure(kind, size, jobs)
            finally:
                os.chdir(back)
        print(f"{kind:12} {size / 1e6:8.0f} {jobs:5} {own:16.1f} {together:16.0f}", flush=True)


if __name__ == "__main__":
    main()
