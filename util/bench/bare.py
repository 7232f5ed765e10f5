"""What nobody who forks can avoid: a loop of fork, callback, _exit and waitpid over two slots, in the order of a graph.

A script that is measured: ``bare.py SHAPE JOBS [recorded]``. It prints the seconds, and the processor seconds of itself
and its children. With ``recorded`` each child also hashes what it wrote, and the loop writes a line for each job.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable

import graphs

SLOTS = 2


def spent() -> float:
    """Processor seconds so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def go(jobs: list[Callable[[], None]], waiting: list[int], dependents: list[list[int]], is_recorded: bool) -> None:
    """Each job in a fork, once its inputs are there."""
    if is_recorded:
        from xxhash import xxh3_128_hexdigest
    record = os.open("records", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    running: dict[int, int] = {}
    ready = deque(number for number, count in enumerate(waiting) if not count)
    while ready or running:
        while ready and len(running) < SLOTS:
            number = ready.popleft()
            pid = os.fork()
            if pid == 0:
                jobs[number]()
                if is_recorded:
                    with open(f"o/{number}", "rb") as made:
                        content = xxh3_128_hexdigest(made.read())
                    os.write(record, f"made o/{number} {content} {time.time()}\n".encode())
                os._exit(0)
            running[pid] = number
        pid, status = os.waitpid(-1, 0)
        assert status == 0
        number = running.pop(pid)
        for each in dependents[number]:
            waiting[each] -= 1
            if not waiting[each]:
                ready.append(each)


def main() -> None:
    """Measure it."""
    shape, count = sys.argv[1], int(sys.argv[2])
    inputs = [inputs for _, inputs in graphs.graph(shape, count)]
    jobs = [graphs.callback(number) for number in range(len(inputs))]
    dependents: list[list[int]] = [[] for _ in inputs]
    for number, names in enumerate(inputs):
        for name in names:
            dependents[name].append(number)
    waiting = [len(names) for names in inputs]
    del inputs
    os.makedirs("o")
    gc.freeze()
    gc.disable()
    began, used = time.perf_counter(), spent()
    go(jobs, waiting, dependents, "recorded" in sys.argv)
    print(time.perf_counter() - began, spent() - used)


if __name__ == "__main__":
    main()
