"""All watchers of a run. One that fails is dropped with a word, and costs the run nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Protocol, TextIO

from ..errors import shown
from ..events import Event
from ..model import JobSpec
from .announcements import Announcements
from .board import Board
from .logs import Logs
from .notebook import Notebook, display_of_notebook
from .progress import Progress
from .saying import say
from .snapshot import Snapshot
from .terminal import FRAME_SECONDS, Terminal
from .udp import UdpLines


class Watcher(Protocol):
    """Looks on."""

    def see(self, event: Event) -> None:
        """Something happened."""

    def tick(self, now: float) -> None:
        """About a second has passed; `now` is monotonic, in seconds."""

    def close(self) -> None:
        """The run is over."""


class Audience:
    """Shows every event to every watcher.

    Attributes
    ----------
    terminal
        The live display, if there is one; should it fail, there are plain lines.
    tick_seconds
        How often `tick` is to be called.
    """

    def __init__(
        self,
        watchers: list[Watcher],
        stream: TextIO | None = None,
        terminal: Terminal | None = None,
        logs: Logs | None = None,
        plain: Progress | None = None,
    ) -> None:
        self._watchers = watchers
        self._owners = [each for each in (terminal, logs) if each is not None]
        self._stream = stream
        self._plain = plain
        self.terminal = terminal
        self.tick_seconds = 1.0 if terminal is None else FRAME_SECONDS

    def see(self, event: Event) -> None:
        """Something happened."""
        for watcher in self._watchers:
            try:
                watcher.see(event)
            except Exception as error:
                self._drop(watcher, error)
                if watcher is self.terminal and self._plain is not None:
                    self._plain.see(event)

    def tick(self, now: float) -> None:
        """About a second has passed."""
        for watcher in self._watchers:
            try:
                watcher.tick(now)
            except Exception as error:
                self._drop(watcher, error)

    def close(self) -> None:
        """The run is over."""
        for watcher in self._watchers:
            try:
                watcher.close()
            except Exception as error:
                self._drop(watcher, error)
        self._watchers = []

    def close_in_fork(self) -> None:
        """In a slave that is forked in mid-run, which has no part in this."""
        for owner in self._owners:
            owner.close_in_fork()

    def _drop(self, watcher: Watcher, error: Exception) -> None:
        self._watchers = [each for each in self._watchers if each is not watcher]
        with contextlib.suppress(Exception):
            watcher.close()
        if watcher is self.terminal and self._plain is not None:
            self._watchers.append(self._plain)
        say(self._stream, f"pipegraph: {type(watcher).__name__} stops looking on: {type(error).__name__}: {error}\n")


class _Udp:
    """Lets the lines go out in time."""

    def __init__(self, lines: UdpLines) -> None:
        self._lines = lines

    def see(self, event: Event) -> None:
        pass

    def tick(self, now: float) -> None:
        self._lines.send()

    def close(self) -> None:
        self._lines.close()


def start_watchers(
    board: Board,
    specs: Mapping[str, JobSpec],
    log_folder: str | None,
    quiet: bool,
    dump_graph: bool = True,
    log_port: int | None = None,
) -> Audience:
    """The watchers of an ordinary run: logs, UDP, and lines on stderr.

    Parameters
    ----------
    board
        The facts, which the loop keeps.
    specs
        All jobs by id, those that come later, too: the loop keeps them.
    log_folder
        Of this run alone; None: no logs, and nothing by UDP.
    log_port
        Of this machine; None: nothing by UDP.
    """
    stream = sys.stderr
    logs: Logs | None = None
    lines: UdpLines | None = None

    def warn(text: str) -> None:
        say(stream, f"pipegraph: warning: {text}\n")

    if log_folder is not None:
        if log_port is not None:
            with contextlib.suppress(OSError):  # for who listens, and nobody may: not worth a word
                lines = UdpLines(log_port, f"{os.getpid()} {shown(os.path.basename(sys.argv[0])) or 'python'}")
        logs = Logs(
            specs,
            log_folder,
            dump_graph,
            warn,
            None if lines is None else lines.add,
        )
    if logs is not None:
        board.file_of = logs.file_of
    announcements = Announcements(board, quiet, None if logs is None else logs.directory)
    terminal = Terminal(board, announcements, stream) if _is_live(stream) and not quiet else None
    plain = Progress(board, announcements, stream, quiet)
    display = display_of_notebook()
    screen: Watcher = plain
    if terminal is not None:
        screen = terminal
    elif display is not None:
        screen = Notebook(board, announcements, quiet, display)
    # In this order: what is said of a failure names the file that the logs have made of it.
    watchers: list[Watcher] = [] if logs is None or log_folder is None else [logs, Snapshot(board, log_folder)]
    if lines is not None:
        watchers.append(_Udp(lines))
    return Audience([*watchers, screen], stream, terminal, logs, plain)


def _is_live(stream: TextIO | None) -> bool:
    """Whether this is a terminal that can be drawn on, and that a person sits before."""
    if stream is None or os.environ.get("TERM", "dumb") == "dumb" or "PYTEST_CURRENT_TEST" in os.environ:
        return False
    try:
        return stream.isatty() and os.isatty(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
