"""The live display of a terminal: announcements above, where the run stands below, the input line at the end.

Drawn by the loop, a few times a second, and so seldom that it costs a hundredth of a core. A run that is over at once
gets its summary only.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from ..events import Event, RunEnded
from .announcements import Announcements, Line
from .board import Board
from .region import Region

if TYPE_CHECKING:
    from rich.console import Console

FIRST_SECONDS = 0.3
"""A run that ends sooner gets no display."""
FRAME_SECONDS = 0.25
_SHARE = 0.01
_HINT = "Enter: what is running. help: what else can be asked and done."


class InputLine(Protocol):
    """What is being typed."""

    @property
    def text(self) -> str:
        """So far."""

    @property
    def cursor(self) -> int:
        """Index into it."""

    @property
    def candidates(self) -> Iterable[str]:
        """What it may be completed to, if that was asked for."""


class Terminal:
    """Draws on a terminal.

    Parameters
    ----------
    stream
        The terminal.
    monotonic, now
        Clocks in seconds: since whenever, and since 1970.

    Attributes
    ----------
    input_line
        What is being typed; None if nobody can.
    """

    def __init__(
        self,
        board: Board,
        announcements: Announcements,
        stream: TextIO,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._board = board
        self._announcements = announcements
        self._stream = stream
        self._region = Region(stream)
        self._monotonic = monotonic
        self._now = now
        self._next = monotonic() + FIRST_SECONDS
        self._console: Console | None = None
        self._is_over = False
        self.is_live = False
        self.input_line: InputLine | None = None

    def see(self, event: Event) -> None:
        """Print what can't wait."""
        lines = self._announcements.lines_for(event)
        if isinstance(event, RunEnded):
            self._is_over = True
            self._region.draw([], 0)
        if lines:
            self.print(lines)

    def tick(self, now: float) -> None:
        """Draw, if it is time to."""
        if now >= self._next:
            self.draw()

    @property
    def next_frame(self) -> float:
        """Monotonic time at which `tick` has something to do."""
        return self._next

    def draw(self) -> None:
        """Show how it is now."""
        began = self._monotonic()
        if self._is_over:
            return
        self.is_live = True
        # Behind another program (Ctrl-Z and bg, script.py &) nothing is drawn, only printed.
        if self._region.is_in_front():
            self._region.draw(*self._frame())
        else:
            self._region.leave()
        ended = self._monotonic()
        self._next = ended + max(FRAME_SECONDS, (ended - began) / _SHARE)

    def print(self, lines: Iterable[Line]) -> None:
        """Lines to stay."""
        # Nobody waits for colours in what goes well.
        lines = list(lines)
        is_plain = "rich" not in sys.modules and not any("red" in line.style for line in lines)
        if is_plain:
            self._region.print("".join([f"{line.text}\n" for line in lines]))
            return
        from rich.text import Text

        # Not wrapped: paths and places are there to be copied.
        self.show([Text(line.text, line.style) for line in lines], is_wrapped=False)

    def show(self, renderables: Iterable[Any], is_wrapped: bool = True) -> None:
        """The same for what rich can draw."""
        columns, _ = self._region.size()
        console = self._console_of(columns)
        with console.capture() as captured:
            for each in renderables:
                console.print(each, soft_wrap=not is_wrapped)
        self._region.print(captured.get())

    def leave(self) -> None:
        """What is drawn stays where it is; the next frame goes below what others have written since."""
        self._region.leave()

    def close(self) -> None:
        """The run is over."""
        self._is_over = True
        self._region.close()

    def close_in_fork(self) -> None:
        """A slave that is forked in mid-run has no part in this."""
        self._region.close_in_fork()

    def _frame(self) -> tuple[list[str], int]:
        """The lines to draw, and the cursor's column in the last one."""
        from .screen import Live, input_row

        columns, rows = self._region.size()
        width = max(1, columns - 1)  # a line that is full may or may not wrap
        console = self._console_of(width)
        typed = self.input_line
        with console.capture() as captured:
            most = max(1, min(rows // 2 + 2, rows - 3))
            console.print(Live(self._board.overview(self._now()), most), end="")
        lines = captured.get().rstrip("\n").split("\n")
        if typed is None or rows < 4:
            return lines, 0
        if typed.candidates:
            with console.capture() as captured:
                console.print("  ".join(typed.candidates), style="dim", markup=False, no_wrap=True, overflow="ellipsis")
            lines.append(captured.get().rstrip("\n"))
        with console.capture() as captured:
            row, column = input_row(typed.text, typed.cursor, width, _HINT)
            console.print(row, end="", no_wrap=True, overflow="crop")
        return [*lines, captured.get()], column

    def _console_of(self, width: int) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                file=_Encoded(self._stream.encoding), force_terminal=True, highlight=False, markup=False, emoji=False
            )
        self._console.width = width
        return self._console


class _Encoded(io.StringIO):
    """Where rich writes to; it asks which characters there are."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding
