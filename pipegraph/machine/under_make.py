"""The client of GNU make's jobserver: a run that a recipe of make started shares the cores that ``make -j`` was given.

Owns the tokens that were read: each is one core, beside the one that every recipe has without a token. Each is given
back, as the byte that it was, as soon as no job needs it, and all of them however the run ends: by an exception, by
Ctrl-C, by ``sys.exit``. After ``kill -9`` nobody can: make has fewer cores until it ends. Never changes how the pipe
behaves for others: that it does not block is so for an open file description of this process's own.

Sources: GNU make manual, "POSIX Jobserver"; proc(5), ``/proc/self/fd``; fifo(7).
"""

from __future__ import annotations

import fcntl
import os
import stat
import termios
import time
import weakref
from collections.abc import Mapping

_LOOK_AGAIN_SECONDS = 0.05


class Borrowing:
    """The cores that this run may use under make.

    Parameters
    ----------
    pipe
        An own description of the jobserver's pipe, open for both reading and writing, that does not block; owned from
        now on.
    most
        Cores that there are at the most, this process's own included; None: make does not say.

    Notes
    -----
    A claim is granted in full, or changes nothing: a run that keeps a part while it waits for the rest could wait for
    another one that does the same. Nor does it take a part and put it back: that would wake others for nothing. So a
    job of many cores waits until as many tokens are free at once; which they may never be, for instance where two runs
    under ``make -j2`` each want two. So the loop must not wait for that with nothing running: it asks `claim_some`.
    """

    def __init__(self, pipe: int, most: int | None = None) -> None:
        self.most = most
        self._pipe = pipe
        self._tokens: list[bytes] = []
        self._claimed = 0
        self._refused = 0
        # Also when the interpreter ends, or this is forgotten.
        self._end = weakref.finalize(self, _give_back_all, pipe, self._tokens, os.getpid())

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> tuple[Borrowing | None, str]:
        """Of the make that started this process.

        Returns
        -------
        borrowing
            None: there is no jobserver, or none that can be used.
        reason
            Why one that is named there can't be used, in words for the user; otherwise empty.
        """
        if not environ.get("MAKEFLAGS"):
            return None, ""
        from .makeflags import MakeFlags

        flags = MakeFlags.read(environ["MAKEFLAGS"])
        if not flags.auth:
            return None, ""
        try:
            pipe = _opened(flags.auth)
        except _Unusable as problem:
            return None, f"make's jobserver can't be used: {problem}"
        except OSError as error:
            return None, f"make's jobserver can't be used: {flags.auth}: {error.strerror}"
        return cls(pipe, flags.jobs), ""

    @property
    def held(self) -> int:
        """Tokens that make has to do without."""
        return len(self._tokens)

    def claim(self, cores: int) -> bool:
        """Have so many more cores, all or none; never blocks."""
        needed = self._claimed + cores - 1 - len(self._tokens)
        if needed > 0 and (self._inside() < needed or not self._read(needed)):
            self._refused = needed
            self._give_back_unused()
            return False
        self._refused = 0
        self._claimed += cores
        return True

    def claim_some(self, cores: int) -> int:
        """Have what there is, up to so many: at least one where nothing is claimed; never blocks.

        For a job that wants all cores, or one that was refused while nothing else of this run runs.
        """
        granted = 0
        while granted < cores and self.claim(1):
            granted += 1
        if granted:
            self._refused = 0
        return granted

    def release(self, cores: int) -> None:
        """So many are no longer needed; what was borrowed is given back at once."""
        self._claimed = max(0, self._claimed - cores)
        self._give_back_unused()

    def fileno(self) -> int:
        """Readable when a claim that was refused may be granted; to be waited for as long as `next_look` is None."""
        return self._pipe

    def next_look(self) -> float | None:
        """Monotonic time at which to claim again although nothing is readable.

        More than one token is wanted: that some are there would wake this run again and again.
        """
        return time.monotonic() + _LOOK_AGAIN_SECONDS if self._refused > 1 else None

    def close_in_fork(self) -> None:
        """In a slave: the tokens are those of the process that took them."""
        if self._end.detach() is not None:
            os.close(self._pipe)
        self._pipe = -1
        self._tokens = []
        self._claimed = self._refused = 0

    def close(self) -> None:
        """Give back all. May be called twice."""
        self._claimed = self._refused = 0
        self._end()
        self._pipe = -1

    def _inside(self) -> int:
        return int.from_bytes(fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4)), "little")

    def _read(self, needed: int) -> bool:
        """Fewer, if another client was faster."""
        for _ in range(needed):
            try:
                token = os.read(self._pipe, 1)
            except BlockingIOError:
                return False
            self._tokens.append(token)
        return True

    def _give_back_unused(self) -> None:
        while len(self._tokens) > max(0, self._claimed - 1):
            _give_back(self._pipe, self._tokens)


def _give_back(pipe: int, tokens: list[bytes]) -> None:
    token = tokens.pop()
    try:
        os.write(pipe, token)
    except BlockingIOError:
        pass  # somebody has filled it: there are enough


def _give_back_all(pipe: int, tokens: list[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return
    while tokens:
        _give_back(pipe, tokens)
    os.close(pipe)


class _Unusable(Exception):
    pass


def _opened(auth: str) -> int:
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
    kind, _, path = auth.partition(":")
    if kind == "fifo":
        try:
            found = os.stat(path)
        except FileNotFoundError:
            raise _Unusable(f"its pipe {path} is gone, as is the make that made it") from None
        if not stat.S_ISFIFO(found.st_mode):
            raise _Unusable(f"{path} is no pipe")
        return os.open(path, flags)
    numbers = auth.split(",")
    try:
        reader, writer = map(int, numbers)
    except ValueError:
        raise _Unusable(f"{auth!r} is no way to it that is known") from None
    ends = [_end(number) for number in (reader, writer)]
    if None in ends or ends[0] != ends[1]:
        # Where make closed them, other files may have got the numbers since.
        raise _Unusable("this is not run as a recipe of make that begins with + or names $(MAKE)")
    return os.open(f"/proc/self/fd/{reader}", flags)


def _end(descriptor: int) -> tuple[int, int] | None:
    """Which pipe it is; None if it is none."""
    try:
        found = os.fstat(descriptor)
    except (OSError, OverflowError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISFIFO(found.st_mode) else None
