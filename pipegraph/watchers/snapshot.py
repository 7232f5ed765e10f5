"""Where the run stands, in a file of its folder, for `pipegraph status` in another terminal or on another machine.

Renewed every second or two by a rename, so that a reader always finds a whole one; more seldom on a slow disk.
"""

from __future__ import annotations

import contextlib
import os
import time

from ..events import Event, RunEnded
from .board import Board

SNAPSHOT = "ppg_status.json"
RENEW_SECONDS = 2.0
_SHARE = 0.01


class Snapshot:
    """Writes the file; `folder` is the run's own. One that can't be written is no failure."""

    def __init__(self, board: Board, folder: str) -> None:
        self._board = board
        self._path = os.path.join(folder, SNAPSHOT)
        self._next = 0.0

    def see(self, event: Event) -> None:
        """The end is written at once."""
        if isinstance(event, RunEnded):
            self._write()

    def tick(self, now: float) -> None:
        """Renew it, if it is time to."""
        if now >= self._next:
            began = time.monotonic()
            self._write()
            self._next = now + max(RENEW_SECONDS, (time.monotonic() - began) / _SHARE)

    def close(self) -> None:
        """Nothing is owned."""

    def _write(self) -> None:
        part = f"{self._path}.part"
        # What becomes of the logs is said by their own watcher.
        with contextlib.suppress(OSError):
            with open(part, "w", encoding="utf-8") as out:
                out.write(self._board.overview(time.time()).to_json())
            os.rename(part, self._path)
