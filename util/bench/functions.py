"""What fingerprints of callbacks cost: many jobs that share a few functions, each with its own closure value.

    python util/bench/functions.py [--jobs 100000] [--functions 20] [--helpers 20] [--repeat 3]

Each function uses helpers, classes and constants by name. Measured is what a run adds: the fingerprints of all jobs,
from nothing; and beside it the same with nothing followed.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import measuring

sys.path.insert(0, measuring.PACKAGE)

from pipegraph.invariants.functions import Followed, look_at_function

MODULE = """
LIMIT = 10
class Table:
    def __init__(self, rows): self.rows = rows
    def total(self): return sum(self.rows) + LIMIT
"""
HELPER = "def helper_{0}(value): return helper_{1}(value + {0}) if value < LIMIT else Table([value]).total()\n"
FUNCTION = """
def make_{0}(sample):
    def callback(output):
        value = helper_{1}({0})
        output.write_text(f"{{sample}} {{value}}")
    return callback
"""


def main() -> None:
    given = measuring.settings(__doc__, jobs=(100_000, 40), functions=(20, 4), helpers=(20, 4), repeat=(3, 1))
    text = MODULE + "".join(HELPER.format(at, (at + 1) % given.helpers) for at in range(given.helpers))
    text += "".join(FUNCTION.format(at, at % given.helpers) for at in range(given.functions))
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        (Path(folder) / "bench_callbacks.py").write_text(text)
        module = importlib.import_module("bench_callbacks")
        began = time.perf_counter()
        look_at_function(module.make_0("sample"))
        print(f"  the first look, with the file read and parsed: {1e3 * (time.perf_counter() - began):.1f} ms")
        makers = [getattr(module, f"make_{at}") for at in range(given.functions)]
        callbacks = [makers[at % given.functions](f"sample {at}") for at in range(given.jobs)]
        for follow in (True, False):
            found = []
            for _ in range(given.repeat):
                followed = Followed()
                began = time.perf_counter()
                different = {look_at_function(each, follow, followed).fingerprint for each in callbacks}
                found.append(1e6 * (time.perf_counter() - began) / given.jobs)
                assert len(different) == given.jobs
            print(f"  follow={follow!s:<5} {statistics.median(found):5.1f} us a job ({given.jobs} jobs)")


if __name__ == "__main__":
    main()
