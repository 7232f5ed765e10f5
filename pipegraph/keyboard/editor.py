"""The line that is being typed: bytes in, finished lines out. Never touches a terminal, a clock or the screen.

How the bytes are cut makes no difference. An escape sequence is swallowed only when it is whole, and an ESC that turns
out not to begin one is dropped alone: a lone ESC costs nothing of what comes after it, however late. So a pasted text
is taken as typed, without the brackets that some terminals put around it.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable

MAX_CHARACTERS = 2000
MAX_CANDIDATES = 50
MAX_HISTORY = 200

# CSI and SS3 of ECMA-48, as xterm sends keys; the second bracket is the Linux console's, for F1 to F5.
_BEGUN_CSI = r"\[\[?[0-?]{0,32}[ -/]{0,4}"
_KEY = re.compile(rf"\x1b(?:{_BEGUN_CSI}[@-Z\\-~]|O[A-DFHP-S])|(?!\x1b(?:{_BEGUN_CSI}|O)?\Z).", re.DOTALL)


class LineEditor:
    """One line and its cursor, the lines before it, and what could complete it.

    Parameters
    ----------
    complete
        Asked at Tab with the text up to the cursor; gives what that text could become.
    """

    def __init__(self, complete: Callable[[str], list[str]]) -> None:
        self._complete = complete
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._begun = ""
        self._text = ""
        self._cursor = 0
        self._candidates: tuple[str, ...] = ()
        self._history: deque[str] = deque(maxlen=MAX_HISTORY)
        self._lines_back = 0
        self._draft = ""

    @property
    def text(self) -> str:
        """What stands in the unfinished line; printable characters only."""
        return self._text

    @property
    def cursor(self) -> int:
        """Where the next character goes: an index into `text`, not a column."""
        return self._cursor

    @property
    def candidates(self) -> tuple[str, ...]:
        """What the last key, a Tab, could not decide between; at most `MAX_CANDIDATES`."""
        return self._candidates

    def feed(self, data: bytes) -> list[str]:
        """Take what was typed; the lines that it finished, without their ends."""
        lines = []
        typed = self._begun + self._decoder.decode(data)
        at = 0
        while found := _KEY.match(typed, at):
            at = found.end()
            key = found[0]
            self._candidates = ()
            if key in "\r\n":
                lines.append(self._finish())
            elif key in _ACTIONS:
                _ACTIONS[key](self)
            elif key.isprintable() and len(self._text) < MAX_CHARACTERS:
                self._replace(self._cursor, self._cursor, key)
        self._begun = typed[at:]
        return lines

    def _replace(self, start: int, end: int, text: str) -> None:
        self._text = self._text[:start] + text + self._text[end:]
        self._cursor = start + len(text)

    def _finish(self) -> str:
        line = self._text
        if line and (not self._history or self._history[-1] != line):
            self._history.append(line)
        self._lines_back = 0
        self._replace(0, len(line), "")
        return line

    def _erase_before(self) -> None:
        self._replace(max(0, self._cursor - 1), self._cursor, "")

    def _erase_at(self) -> None:
        self._replace(self._cursor, self._cursor + 1, "")

    def _erase_to_start(self) -> None:
        self._replace(0, self._cursor, "")

    def _erase_to_end(self) -> None:
        self._replace(self._cursor, len(self._text), "")

    def _erase_word(self) -> None:
        before = self._text[: self._cursor].rstrip(" ")
        self._replace(before.rfind(" ") + 1, self._cursor, "")

    def _go_to_start(self) -> None:
        self._cursor = 0

    def _go_to_end(self) -> None:
        self._cursor = len(self._text)

    def _go_left(self) -> None:
        self._cursor = max(0, self._cursor - 1)

    def _go_right(self) -> None:
        self._cursor = min(len(self._text), self._cursor + 1)

    def _recall_older(self) -> None:
        self._recall(self._lines_back + 1)

    def _recall_newer(self) -> None:
        self._recall(self._lines_back - 1)

    def _recall(self, lines_back: int) -> None:
        if not 0 <= lines_back <= len(self._history):
            return
        if self._lines_back == 0:
            self._draft = self._text
        self._lines_back = lines_back
        self._replace(0, len(self._text), self._history[-lines_back] if lines_back else self._draft)

    def _complete_line(self) -> None:
        before = self._text[: self._cursor]
        fitting = [each for each in dict.fromkeys(self._complete(before)) if each.startswith(before)]
        fitting = [each for each in fitting if each.isprintable()]
        common = _common_start(fitting)
        if len(common) > len(before):
            if len(self._text) - len(before) + len(common) <= MAX_CHARACTERS:
                self._replace(0, self._cursor, common)
        elif len(fitting) > 1:
            self._candidates = tuple(fitting[:MAX_CANDIDATES])


def _common_start(texts: list[str]) -> str:
    first, last = min(texts, default=""), max(texts, default="")
    return next((first[:at] for at, char in enumerate(first) if not last.startswith(char, at)), first)


_ACTIONS: dict[str, Callable[[LineEditor], None]] = {
    "\t": LineEditor._complete_line,
    "\x7f": LineEditor._erase_before,
    "\b": LineEditor._erase_before,
    "\x1b[3~": LineEditor._erase_at,
    "\x15": LineEditor._erase_to_start,
    "\x0b": LineEditor._erase_to_end,
    "\x17": LineEditor._erase_word,
    **dict.fromkeys(("\x01", "\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~"), LineEditor._go_to_start),
    **dict.fromkeys(("\x05", "\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~"), LineEditor._go_to_end),
    **dict.fromkeys(("\x1b[D", "\x1bOD"), LineEditor._go_left),
    **dict.fromkeys(("\x1b[C", "\x1bOC"), LineEditor._go_right),
    **dict.fromkeys(("\x1b[A", "\x1bOA"), LineEditor._recall_older),
    **dict.fromkeys(("\x1b[B", "\x1bOB"), LineEditor._recall_newer),
}
"""Backspace, Delete, Ctrl-U, -K, -W, -A, -E; the arrows, Home and End as terminals of several families send them."""
