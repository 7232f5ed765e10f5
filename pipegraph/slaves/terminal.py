"""The terminal after ``kill -9`` of the master: as it was before, by the one that is left.

The keeper is in another session, so no job control stops it. Nothing is imported where stdin is no terminal.
"""

from __future__ import annotations

import os
import select
from typing import Any, NamedTuple

_CONTROL, _LOCAL = 3, 3
_SHOW_CURSOR_END_COLOURS = b"\x1b[?25h\x1b[0m"


class Mode(NamedTuple):
    """How a terminal was.

    Attributes
    ----------
    descriptor
        The terminal: a duplicate, closed on exec. Master and keeper have one each, and each closes its own.
    attributes
        As `termios.tcgetattr` gives them.
    """

    descriptor: int
    attributes: list[Any]


def saved_mode() -> Mode | None:
    """How the terminal on stdin is now; None if there is none."""
    if not os.isatty(0):
        return None
    import fcntl
    import termios

    try:
        attributes = termios.tcgetattr(0)
        # Above 2: what is 0 to 2 is replaced in the keeper, also where it is closed here.
        return Mode(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3), attributes)
    except (OSError, termios.error):
        return None


def restore(mode: Mode | None) -> None:
    """In the keeper: undo what a master that died without a word had done to the terminal. Never waits for it."""
    if mode is not None:
        import termios

        try:
            now = termios.tcgetattr(mode.descriptor)
            # Read key by key, and nothing else: a shell that was quicker reads keys, too, but shells have changed the
            # input flags as well (readline, zsh, fish: ICRNL), and the mode from before would break their editing.
            if not now[_LOCAL] & termios.ICANON and now[:_CONTROL] == mode.attributes[:_CONTROL]:
                termios.tcsetattr(mode.descriptor, termios.TCSANOW, mode.attributes)
        except termios.error:
            pass  # the terminal is gone, too
    # Not on a terminal that Ctrl-S stopped: writing would wait for Ctrl-Q.
    if os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb":
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        if poll.poll(0) == [(2, select.POLLOUT)]:
            try:
                os.write(2, _SHOW_CURSOR_END_COLOURS)
            except OSError:
                pass
