"""The terminal's input mode for as long as a run goes on: taken while we are in front, given back as it was found.

Owns its handlers of SIGTSTP and SIGCONT. Never changes nor reads the terminal of another process group: either would
stop us (SIGTTOU, SIGTTIN). A line that was begun and not finished is gone with the run; what was typed and not yet read
stays in the kernel, for who reads next.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from typing import Any

from .editor import LineEditor

_READ_BYTES = 4096
_LOCAL_FLAGS, _CHARACTERS = 3, 6
_JOB_CONTROL = (signal.SIGTSTP, signal.SIGCONT)


class Keyboard:
    """What is typed, as lines, from a loop that polls.

    Attributes
    ----------
    is_open
        False for good after `close`, end-of-file, or the end of the terminal.
    editor
        The unfinished line; None where the kernel edits it.
    on_return
        Called when the process goes on after a stop: others have written to the terminal since.
    """

    def __init__(self, descriptor: int, editor: LineEditor | None) -> None:
        self.is_open = True
        self.editor = editor
        self.on_return: Callable[[], None] = lambda: None
        self._descriptor = descriptor
        self._pid = os.getpid()
        self._found: list[Any] | None = None
        self._is_taken = False
        self._unfinished = b""
        self._handlers: dict[int, Any] = {}
        self._set_handlers()
        self._take()

    @classmethod
    def open(cls, is_live: bool, complete: Callable[[str], list[str]]) -> Keyboard | None:
        """The keyboard of the terminal that the script's stdin is; None if there is none that is ours to read.

        Parameters
        ----------
        is_live
            A display shows `editor`: keys are read one by one, and not echoed. Otherwise the terminal stays as it is.
        complete
            See `LineEditor`.
        """
        if "PYTEST_CURRENT_TEST" in os.environ or "ipykernel" in sys.modules:
            return None
        try:
            if sys.stdin.fileno() != 0:
                return None
            # Refused for what is no terminal, or not that of our session: there, nobody says whose turn it is.
            os.tcgetpgrp(0)
            # Opened anew, since not to block is a property of the open file, which descriptor 0 shares with the shell.
            # Waiting first would not do: whoever else is in front (a pager behind a pipe) may read in between.
            descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except Exception:  # None, closed, or an object of somebody else's: nothing that it raises is our business
            return None
        return cls(descriptor, LineEditor(complete) if is_live else None)

    @property
    def is_in_front(self) -> bool:
        """Whether this process may read the terminal and set its mode now; False in forks of the one that opened it."""
        if self._descriptor == -1 or os.getpid() != self._pid:
            return False
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # hung up
            self._let_go()
            return False

    def fileno(self) -> int:
        """What to poll for reading, or -1 while it is not ours to read.

        Ask before each wait: no signal tells a process that runs in the background that it was brought to the front,
        so it is here that the terminal is taken then.
        """
        self._take()
        return self._descriptor if self._is_taken and self.is_in_front else -1

    def read(self) -> list[str]:
        """The lines that were finished since; never waits. Of a lot that was typed, a part: poll tells of the rest."""
        if self.fileno() == -1:
            return []
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:  # hung up
            data = b""
        if not data:
            self.close()
            return []
        if self.editor is not None:
            return self.editor.feed(data)
        *lines, rest = (self._unfinished + data).split(b"\n")
        self._unfinished = rest[:_READ_BYTES]
        return [line.decode("utf-8", "ignore") for line in lines]

    def close(self) -> None:
        """Leave the terminal as it was found, unless somebody else is in front; then it has the mode of that one."""
        self.is_open = False
        self._give_back()
        self._let_go()

    def _take(self) -> None:
        if self._is_taken or not self.is_open:
            return
        with _undisturbed():
            if not self.is_in_front:
                return
            try:
                if self._found is None:
                    found = termios.tcgetattr(self._descriptor)
                    if not found[_LOCAL_FLAGS] & termios.ICANON:
                        return  # somebody beside us (a pager behind a pipe) reads keys, and will put its mode back
                    self._found = found
                if self.editor is not None:
                    self._set(_key_by_key(self._found))
                self._is_taken = True
            except termios.error:
                self._let_go()

    def _give_back(self) -> None:
        with _undisturbed():
            if self._is_taken and self._found is not None and self.is_in_front:
                try:
                    if self.editor is not None:
                        self._set(self._found)
                except termios.error:
                    pass  # hung up
                # It is found anew after a Ctrl-Z: the user may have changed it in the shell.
                self._found = None
            self._is_taken = False

    def _set(self, mode: list[Any]) -> None:
        # At once: waiting for the output (TCSADRAIN) never ends on a terminal that Ctrl-S stopped, and only matters
        # to modes that change the output.
        termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)

    def _let_go(self) -> None:
        self.is_open = self._is_taken = False
        for number, before in self._handlers.items():
            if signal.getsignal(number) in (self._stop, self._go_on):
                signal.signal(number, before)
        self._handlers = {}
        if self._descriptor != -1:
            os.close(self._descriptor)
            self._descriptor = -1

    # --- Ctrl-Z and fg

    def _set_handlers(self) -> None:
        for number, handler in zip(_JOB_CONTROL, (self._stop, self._go_on)):
            before = signal.getsignal(number)
            # Ignored: Ctrl-Z is to do nothing. None: set by C code, and can't be put back.
            if before is not None and before is not signal.SIG_IGN:
                self._handlers[number] = before
                try:
                    signal.signal(number, handler)
                except ValueError:  # not the main thread
                    self._handlers = {}
                    return

    def _stop(self, number: int, frame: Any) -> None:
        self._give_back()
        before = self._handlers.get(number, signal.SIG_DFL)
        if callable(before):
            before(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            # Stops here, until SIGCONT; not at all where no shell could send one (an orphaned process group).
            signal.raise_signal(number)
            if self._handlers:
                signal.signal(number, self._stop)
        self._take()

    def _go_on(self, number: int, frame: Any) -> None:
        # After SIGSTOP, which can't be handled, the shell has set a mode of its own.
        before = self._handlers.get(number)
        self._is_taken = False
        self._take()
        self.on_return()
        if callable(before):
            before(number, frame)


def _key_by_key(found: list[Any]) -> list[Any]:
    """The mode "cbreak" made of another: Ctrl-C, Ctrl-Z and the like stay with the kernel."""
    mode = [*found[:_CHARACTERS], list(found[_CHARACTERS])]
    mode[_LOCAL_FLAGS] &= ~(termios.ICANON | termios.ECHO)
    mode[_CHARACTERS][termios.VMIN] = 1
    mode[_CHARACTERS][termios.VTIME] = 0
    return mode


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """No Ctrl-Z between looking who is in front, setting the mode, and remembering that it was set."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _JOB_CONTROL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
