"""Real terminals: pseudo-terminals, with a screen (pyte) that shows what a person would see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
from scripts import ROOT

SECONDS = 30.0
_OF_THE_TESTS = ("PYTEST_CURRENT_TEST", "NO_COLOR", "COLUMNS", "LINES")


class Screen:
    """What stands on a terminal of this size, and what was scrolled out of it."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=0.001)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""

    def feed(self, data: bytes) -> None:
        self.raw += data
        self._stream.feed(data)

    @property
    def lines(self) -> list[str]:
        """All lines, the ones above the screen, too, without blanks at their ends."""
        above = [
            "".join(cells[column].data for column in range(self.screen.columns)) for cells in self.screen.history.top
        ]
        lines = [line.rstrip() for line in (*above, *self.screen.display)]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def cursor(self) -> tuple[int, int]:
        """Row on the screen, and column."""
        return self.screen.cursor.y, self.screen.cursor.x


def set_size(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class AtTerminal:
    """A script at a terminal of its own, in a session of its own, and who sits before it."""

    def __init__(
        self, arguments: list[str], folder: Path, columns: int = 80, rows: int = 24, **environment: str
    ) -> None:
        self.screen = Screen(columns, rows)
        self.end, other = os.openpty()
        self.mode = termios.tcgetattr(other)
        set_size(other, columns, rows)
        self.process = subprocess.Popen(
            arguments,
            cwd=folder,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            # The first terminal that the leader of a session opens becomes its own.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={name: value for name, value in os.environ.items() if name not in _OF_THE_TESTS}
            | {"PYTHONPATH": str(ROOT), "PIPEGRAPH_TEST": str(folder), "TERM": "xterm-256color", **environment},
        )
        self.other = other

    def read(self, seconds: float = 0.05) -> None:
        """What it has written by then."""
        if select.select([self.end], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # hung up
                self.screen.feed(os.read(self.end, 65536))

    def wait_for(self, is_true: Callable[[], bool] | str) -> None:
        """Until that is on the screen, or true."""
        condition = is_true if callable(is_true) else (lambda: is_true in self.screen.text)
        until = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < until, f"it did not come: {is_true}\n{self.screen.text}"
            self.read()

    def type(self, text: str) -> None:
        os.write(self.end, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        set_size(self.end, columns, rows)
        self.screen.screen.resize(rows, columns)

    def clear(self, columns: int = 80, rows: int = 24) -> None:
        """A screen of this size on which nothing stands yet."""
        set_size(self.end, columns, rows)
        self.screen = Screen(columns, rows)

    def hang_up(self) -> None:
        """The window is closed: the last descriptor of this side goes."""
        os.close(self.other)
        os.close(self.end)
        self.other = self.end = -1

    def wait(self) -> int:
        """Its exit status, as subprocess has it; all that it wrote is on the screen then."""
        until = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < until, f"it does not end\n{self.screen.text}"
            if self.end >= 0:
                self.read()
            else:
                time.sleep(0.01)
        while self.end >= 0 and select.select([self.end], [], [], 0.1)[0]:
            self.read()
        return self.process.returncode

    def mode_now(self) -> list[object]:
        return termios.tcgetattr(self.other)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        for descriptor in (self.end, self.other):
            if descriptor >= 0:
                os.close(descriptor)


@contextlib.contextmanager
def at_terminal(
    folder: Path, name: str = "script.py", columns: int = 80, rows: int = 24, **environment: str
) -> Iterator[AtTerminal]:
    found = AtTerminal([sys.executable, name], folder, columns, rows, **environment)
    try:
        yield found
    finally:
        found.close()
