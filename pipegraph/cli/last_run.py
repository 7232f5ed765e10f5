"""The run that goes on in a directory, watched live, or how the last one ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.text import Text

from ..errors import shown
from ..watchers.overview import Overview
from ..watchers.region import Region
from ..watchers.screen import Live, failed_answer, status_answer
from ..watchers.snapshot import RENEW_SECONDS, SNAPSHOT

_REDRAW_SECONDS = 0.5
_SHOWN_FAILED = 10
_OVERDUE_SECONDS = 10 * RENEW_SECONDS


class Found(NamedTuple):
    """A run, as its folder tells it; no overview: it has only just begun."""

    folder: Path
    is_alive: bool
    view: Overview | None


def show(directory: str, is_once: bool, is_json: bool) -> int:
    """Show it on stdout; the exit status."""
    logs = Path(directory) / "logs"
    found = newest(logs)
    if found is None:
        print(f"No run has left anything in {shown(str(logs))}.", file=sys.stderr)
        return 1
    if is_json:
        print("null" if found.view is None else found.view.to_json())
        return 0
    if found.is_alive and sys.stdout.isatty() and not is_once and os.environ.get("TERM", "dumb") != "dumb":
        found = _watch(found)
    _print(found)
    return 0


def newest(logs: Path) -> Found | None:
    """The newest of those that go on; if none does, the newest of all."""
    with contextlib.suppress(OSError):
        # By number: at ten thousand there is one digit more.
        folders = sorted(logs.glob("run_*"), key=lambda folder: (len(folder.name), folder.name), reverse=True)
        for folder in folders:
            found = _look(folder)
            if found.is_alive:
                return found
        for folder in folders:
            found = _look(folder)
            if found.view is not None:
                return found
    return None


def _look(folder: Path) -> Found:
    view = None
    with contextlib.suppress(OSError, ValueError):
        view = Overview.from_json((folder / SNAPSHOT).read_text(encoding="utf-8"))
    return Found(folder, (view is None or not view.ended_at) and _is_alive(folder, view), view)


def _is_alive(folder: Path, view: Overview | None) -> bool:
    """Whether the run goes on: it holds a lock on its log; where there are no locks, by its process or its word."""
    try:
        descriptor = os.open(folder / "ppg_run.txt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        if view is None:
            return False
        if view.host == socket.gethostname():
            return psutil.pid_exists(view.pid)
        return time.time() - view.at < _OVERDUE_SECONDS
    finally:
        os.close(descriptor)
    return False


def _watch(found: Found) -> Found:
    """Show it until it ends, or until Ctrl-C.

    Raises
    ------
    KeyboardInterrupt
        Not in the middle of a frame, so that all of it can be erased.
    """
    region = Region(sys.stdout)
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    try:
        while found.is_alive and not interrupts:
            columns, rows = region.size()
            console = Console(width=max(1, columns - 1), force_terminal=True, highlight=False)
            with console.capture() as captured:
                for line in _live(found, rows - 3):
                    console.print(line, end="")
            region.draw(captured.get().rstrip("\n").split("\n"), 0)
            time.sleep(_REDRAW_SECONDS)
            found = _look(found.folder)
    finally:
        region.close()
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt
    return found


def _live(found: Found, rows: int) -> Iterator[Live | Text]:
    view = found.view
    if view is None:
        yield Text("the run has only just begun\n")
        return
    yield Live(view._replace(at=max(view.at, time.time())), max(1, rows))
    if time.time() - view.at > _OVERDUE_SECONDS:
        yield Text(f"last heard of {int(time.time() - view.at)} s ago\n", "yellow")


def _print(found: Found) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        _tell(console, found)
    # Not written by rich, which takes a pipe that nobody reads any more (| head) for a failure.
    print(captured.get(), end="")


def _tell(console: Console, found: Found) -> None:
    view = found.view
    if view is None:
        console.print("The run has only just begun.")
        return
    # Of what ended on another day, the day is told.
    for line in status_answer(view._replace(at=time.time()) if view.ended_at else view):
        console.print(line, soft_wrap=True)
    if view.failed_jobs:
        for line in failed_answer(view.failed[:_SHOWN_FAILED], view.failed_jobs):
            console.print(line, soft_wrap=True)
    if not found.is_alive and not view.ended_at:
        console.print(
            Text("It did not end by itself: it was killed, or the machine went down. The next run goes on.", "yellow")
        )
    elif view.is_stopping:
        console.print(Text("It was stopped. What was finished is kept; the next run goes on from there.", "yellow"))
    console.print(Text(f"logs: {shown(str(found.folder))}", "dim"), soft_wrap=True)
