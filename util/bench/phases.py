"""Where a script's own process spends its processor time, by parts of pipegraph: looks at the stack at each tick.

A script that is measured imports this file. Which part a moment belongs to is told by the innermost frame whose module
is listed below; a call into the system belongs to who called.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from types import FrameType

TICK_SECONDS = 0.001

PHASES = (
    ("invariants/files", "stats"),
    ("invariants/clock", "stats"),
    ("invariants/look", "stats"),
    ("status/survey", "stats"),
    ("status/reading", "stats"),
    ("status/glance", "stats"),
    ("invariants/", "fingerprints"),
    ("status/", "status file"),
    ("engine/", "deciding"),
    ("coordinator", "deciding"),
    ("watchers/", "logs"),
    ("slaves/", "slaves"),
    ("jobs/", "construction"),
    ("graph", "construction"),
    ("cycles", "construction"),
    ("targets", "construction"),
    ("uniqueness", "construction"),
    ("run", "the loop and the rest"),
    ("script", "the loop and the rest"),
    ("undeclared", "the loop and the rest"),
    ("caches", "the loop and the rest"),
    ("results/", "the loop and the rest"),
    ("", None),
)
"""The beginning of a module's path in the package; None: whoever called it."""

ORDER = (
    "construction",
    "job specs, circles",
    "fingerprints",
    "stats",
    "status file",
    "deciding",
    "logs",
    "slaves",
    "imports",
    "the loop and the rest",
    "the script's own",
)

found: Counter[str] = Counter()
_phase_of_file: dict[str, str | None] = {}
_began = _used = 0.0


def begin() -> None:
    """Look from now on."""
    global _began, _used
    _began, _used = time.perf_counter(), time.process_time()
    signal.signal(signal.SIGPROF, _look)
    signal.setitimer(signal.ITIMER_PROF, TICK_SECONDS, TICK_SECONDS)


def end() -> None:
    """Look no more, and print the seconds of each part, in order, and those without work."""
    seconds, used = time.perf_counter() - _began, time.process_time() - _used
    signal.setitimer(signal.ITIMER_PROF, 0)
    looks = sum(found.values()) or 1
    print(*(f"{used * found[name] / looks:.6f}" for name in ORDER), max(0.0, seconds - used))


def _look(number: int, frame: FrameType | None) -> None:
    found[_phase(frame)] += 1


def _phase(frame: FrameType | None) -> str:
    name = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib"):
            return "imports"
        if not name and file not in _phase_of_file:
            _phase_of_file[file] = _of_file(file)
        name = name or _phase_of_file[file] or ""
        if name and name != "construction":
            return name
        if name and file.endswith("pipegraph/script.py"):
            return "job specs, circles"
        frame = frame.f_back
    return name or "the script's own"


def _of_file(file: str) -> str | None:
    _, is_ours, module = file.rpartition("/pipegraph/")
    if not is_ours:
        return None
    return next(phase for start, phase in PHASES if module.startswith(start))
