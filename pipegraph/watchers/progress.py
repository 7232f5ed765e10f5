"""Plain lines on stderr: how a run goes, for whoever reads a batch system's output, a pipe, or a terminal that is dumb.

No control codes, and never a line per job. Writes nothing any more once nobody reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from ..errors import shown
from ..events import Event
from .announcements import Announcements, Line
from .board import Board
from .saying import say

_FIRST_SECONDS = 2.0
_SLOWEST_SECONDS = 60.0


class Progress:
    """Lines on a stream: what can't wait at once, and how far it is at intervals that grow."""

    def __init__(self, board: Board, announcements: Announcements, stream: TextIO | None, is_quiet: bool) -> None:
        self._board = board
        self._announcements = announcements
        self._stream = stream
        self._is_quiet = is_quiet
        self._interval = _FIRST_SECONDS
        self._next: float | None = None
        self._has_told_of_reading = False

    def see(self, event: Event) -> None:
        """Say what can't wait."""
        lines = self._announcements.lines_for(event)
        if lines:
            self.print(lines)

    def tick(self, now: float) -> None:
        """About once a second; speaks less often."""
        board = self._board
        if self._next is None:
            self._next = now + self._interval - 1.0
        if self._is_quiet:
            return
        if board.reading and not self._has_told_of_reading:
            # Before anything is known of the jobs, this is all that happens.
            self._next = min(self._next, now)
        if now < self._next:
            return
        self._interval = min(_SLOWEST_SECONDS, self._interval * 1.5)
        self._next = now + self._interval
        self._has_told_of_reading = bool(board.reading)
        running = board.running_jobs
        newest = next(reversed(running), None)
        doing = ""
        if newest is not None:
            others = f" and {len(running) - 1} more" if len(running) > 1 else ""
            doing = f", running {shown(newest)[:60]}{others}"
        if board.reading and not board.total:
            self.print([Line(f"pipegraph: {board.reading}")])
            return
        if board.reading:
            doing += f", {board.reading}"
        failed = f", {board.failed} failed" if board.failed else ""
        self.print([Line(f"pipegraph: {board.settled} of {board.total} jobs settled{failed}{doing}")])

    def close(self) -> None:
        """Nothing is owned."""

    def print(self, lines: Iterable[Line]) -> None:
        """Write these."""
        if not say(self._stream, "".join([f"{line.text}\n" for line in lines])):
            self._stream = None
