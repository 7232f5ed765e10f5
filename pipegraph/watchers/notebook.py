"""The display inside Jupyter: one output of the cell, renewed in place. No keyboard, no control codes."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from typing import Any

from ..events import Event, RunEnded
from .announcements import Announcements, Line
from .board import Board

_FRAME_SECONDS = 1.0
_WIDTH = 100
_ROWS = 16
_KEPT_LINES = 200


def display_of_notebook() -> Callable[..., Any] | None:
    """IPython's function, if this is a notebook."""
    module = sys.modules.get("IPython")
    if module is None or type(module.get_ipython()).__name__ != "ZMQInteractiveShell":
        return None
    display: Callable[..., Any] = module.display.display
    return display


class Notebook:
    """Shows announcements, and below them where the run stands."""

    def __init__(self, board: Board, announcements: Announcements, is_quiet: bool, display: Callable[..., Any]) -> None:
        self._board = board
        self._announcements = announcements
        self._is_quiet = is_quiet
        self._display = display
        self._handle: Any = None
        self._lines: list[Line] = []
        self._next = time.monotonic() + _FRAME_SECONDS
        self._is_over = False

    def see(self, event: Event) -> None:
        """Keep what can't wait, and show it."""
        lines = self._announcements.lines_for(event)
        self._lines += lines[: _KEPT_LINES - len(self._lines)]
        self._is_over = self._is_over or isinstance(event, RunEnded)
        if lines:
            self._show()

    def tick(self, now: float) -> None:
        """Renew the display, about once a second."""
        if now >= self._next and not self._is_over and not self._is_quiet:
            self._show()
            self._next = now + _FRAME_SECONDS

    def close(self) -> None:
        """Nothing is owned."""

    def _show(self) -> None:
        import html

        from rich.console import Console
        from rich.text import Text

        from .screen import Live

        console = Console(file=io.StringIO(), width=_WIDTH, force_jupyter=False, color_system=None, highlight=False)
        with console.capture() as captured:
            for line in self._lines:
                console.print(Text(line.text), soft_wrap=True)
            if not self._is_over and not self._is_quiet:
                console.print(Live(self._board.overview(time.time()), _ROWS))
        text = captured.get()
        content = {"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>"}
        if self._handle is None:
            self._handle = self._display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
