"""Signals that end a run, as something that the loop can wait for; the script's own handlers are put back after it."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import Any

_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Turns signals into a readable descriptor, and puts everything back afterwards."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._handlers: dict[int, Any] = {}
        self._wakeup = -1
        try:
            self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        except ValueError:  # not the main thread: signals go elsewhere
            return
        for number in _STOPPING_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: object) -> None:
        self.received.append(number)

    def fileno(self) -> int:
        """Readable when there is something in `received`."""
        return self._reader.fileno()

    def drain(self) -> None:
        """Not readable any more."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def close_in_fork(self) -> None:
        """The process of a slave that is forked in mid-run: it has no part in this."""
        signal.set_wakeup_fd(-1)
        for number in self._handlers:
            signal.signal(number, signal.SIG_DFL)

    def restore(self) -> None:
        """As it was before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if self._handlers or self._wakeup != -1:
            signal.set_wakeup_fd(self._wakeup)
        self._reader.close()
        self._writer.close()
