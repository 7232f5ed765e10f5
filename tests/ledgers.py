"""Runs that share a ledger, as processes of their own that do what they are told, a line each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from scripts import ROOT

from pipegraph.machine.ledger import Capacity, Holder, Ledger
from pipegraph.machine.place import Place
from pipegraph.machine.sharing import Amounts

CORES = 4
GIGABYTE = 10**9
CAPACITY = {"here": Capacity(Amounts(CORES, 8 * GIGABYTE), Amounts(CORES, 8 * GIGABYTE))}

RUN = """
import os, select, sys, time
from ledgers import join, Place
from pipegraph.machine.place import LedgerUnusable
if len(sys.argv) > 4:
    # Only here: another user may not read where Python is.
    os.setgroups([])
    os.setgid(int(sys.argv[4]))
    os.setuid(int(sys.argv[4]))
ledger = join(Place(sys.argv[1], sys.argv[2] == "shared"), sys.argv[3])
def until_claimed(cores, memory=0):
    began = time.monotonic()
    looks = 0
    while not ledger.claim("here", cores, memory):
        looks += 1
        woken = select.select([ledger], [], [], 60)[0]
        ledger.attend()
        if not woken:
            return "not woken"
    return "claimed"
def fork():
    # As a job that a slave left behind: it has all descriptors, and nobody tells it.
    pid = os.fork()
    if not pid:
        os.close(0); os.close(1)
        time.sleep(600)
        os._exit(0)
    return pid
def claim(cores, memory=0):
    return ledger.claim("here", cores, memory)
def release(cores, memory=0):
    return ledger.release("here", cores, memory)
print("ready", flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


def join(place: Place, script: str = "script.py", **more) -> Ledger:
    return Ledger.join(place, Holder(script, "run_1", "anna", "host"), CAPACITY, **more)


class Process:
    """A run in a process of its own."""

    def __init__(self, place: Place, script: str = "script.py", uid: int | None = None, text: str = RUN) -> None:
        users = [] if uid is None else [str(uid)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
        self.popen = subprocess.Popen(
            [sys.executable, "-c", text, place.path, "shared" if place.is_shared else "", script, *users],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.hear() == "ready"

    def tell(self, line: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def hear(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.hear()

    def claim(self, cores: int, memory_bytes: int = 0) -> bool:
        return self.ask(f"claim({cores}, {memory_bytes})") == "True"

    def kill(self) -> None:
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                pass
