"""The bottom lines of a terminal, drawn over and over; what is printed goes above them and stays.

Never waits for the terminal: one that takes nothing (Ctrl-S, a lost connection) gets the rest later. So it has a
descriptor of its own, since the one of the script is shared with the shell and has to stay as it is.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import TextIO

_MOST_BEHIND = 1 << 20
_CLOSE_SECONDS = 2.0
_ERASE_LINE = "\x1b[K"
_ERASE_BELOW = "\x1b[J"


class Region:
    """Lines at the end of a terminal.

    Parameters
    ----------
    stream
        A terminal's.
    """

    def __init__(self, stream: TextIO) -> None:
        descriptor = stream.fileno()
        self._encoding = stream.encoding or "utf-8"
        self._own = -1
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            # Not by its name, which a container may not have (ttyname(3), ENODEV).
            self._own = os.open(f"/proc/self/fd/{descriptor}", flags)
        self._descriptor = descriptor if self._own < 0 else self._own
        self._pid = os.getpid()
        self._pending = b""
        self._above: list[str] = []
        self._behind = 0
        self._lines: list[str] = []
        self._column = 0
        self._rows = 0
        self._is_gone = False

    def size(self) -> tuple[int, int]:
        """Columns and rows, as they are now."""
        try:
            columns, rows = os.get_terminal_size(self._descriptor)
        except OSError:
            return 80, 24
        return columns or 80, rows or 24

    def is_in_front(self) -> bool:
        """Whether the terminal is ours to draw on; one that is not our controlling one is."""
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return True

    def print(self, text: str) -> None:
        """Whole lines, to stay above the drawn ones."""
        self._behind += len(text)
        if self._behind < _MOST_BEHIND:
            self._above.append(text)
        self.refresh()

    def draw(self, lines: list[str], column: int) -> None:
        """Show these instead of what was drawn before, with the cursor in this column of the last one."""
        self._lines, self._column = lines, column
        self.refresh()

    def erase(self) -> None:
        """Nothing is drawn any more."""
        self.draw([], 0)

    def leave(self) -> None:
        """What is drawn stays where it is; somebody else has written below it."""
        self._lines, self._rows = [], 0

    def refresh(self) -> None:
        """Bring the terminal up to what it should show; the rest later, if it does not take all of it now."""
        if self._pending or self._is_gone:
            self._flush()
            if self._pending or self._is_gone:
                return
        to_the_top = f"\r\x1b[{self._rows - 1}A" if self._rows > 1 else "\r"
        above = "".join([line + _ERASE_LINE + "\r\n" for line in "".join(self._above).splitlines()])
        drawn = "\r\n".join([line + _ERASE_LINE for line in self._lines])
        to_the_cursor = _ERASE_BELOW + (f"\r\x1b[{self._column}C" if self._column else "\r")
        self._above, self._behind = [], 0
        self._rows = len(self._lines)
        # What is drawn has to keep its width.
        self._pending = (
            (to_the_top + above).encode(self._encoding, "backslashreplace")
            + drawn.encode(self._encoding, "replace")
            + to_the_cursor.encode()
        )
        self._flush()

    def close(self) -> None:
        """Erase what is drawn, and give the rest a moment to get out."""
        if os.getpid() == self._pid:
            self.erase()
            until = time.monotonic() + _CLOSE_SECONDS
            while (self._pending or self._above) and not self._is_gone and time.monotonic() < until:
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll(100)
                self.refresh()
        self.close_in_fork()

    def close_in_fork(self) -> None:
        """Nothing is written any more."""
        self._is_gone = True
        if self._own >= 0:
            os.close(self._own)
            self._own = -1

    def _flush(self) -> None:
        while self._pending and not self._is_gone:
            if self._own < 0 and not _takes(self._descriptor):
                return
            try:
                written = os.write(self._descriptor, self._pending)
            except BlockingIOError:
                return
            except OSError:
                self._is_gone = True
                return
            self._pending = self._pending[written:]


def _takes(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(what & select.POLLOUT for _, what in poll.poll(0))
