"""How finely, and by whose clock, a file system stamps changes: can a change after reading go unseen?

Owns the rule for *racily clean* files, and what is known of each file system. Never reads a file's content.

The rule. A change made after the moment ``began`` is stamped with the file system's clock, rounded down by less
than a tick: with more than ``clock(began) - tick``. A file stamped no later than that can't change without a
change of its stamp. Any other file is *racy*: it has to be read again at the next look.

The clock in that rule is the file system's. It is the machine's own for local disks, and a server's for network
file systems, which may be an hour behind: a file that seems an hour old by the local clock may have been
written just now. So the local clock alone proves nothing, except for files older than any difference that
clocks may have (`UNKNOWN_CLOCK_NS`). For others the file system is asked: an unnamed file (where there is no
such thing: an unpredictably named one, removed at once) is written, and its stamps are compared with the local
clock. That is done once per file system and process, forks inherit the answer. Where it can't be done
(read-only) the file is racy, which costs reading it again and nothing else.

Ticks. Linux before 6.13 stamps with the time of the last timer interrupt (1 to 10 ms), some file systems with
whole or even seconds. Since then ("multigrain timestamps": ext4, xfs, btrfs, tmpfs) a change that follows a
look at the stamp is always stamped anew, also that of a new file which takes the place and inode of one that
was looked at; there, no file is racy.

What stamps can't tell, whatever the tick: stores through a shared mapping into pages that are dirty already, a
``write`` that was stamped before reading began and still copies, and a stamp that was put back on purpose
(``touch -r``).
"""

# A Path costs more than the system calls do.

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from typing import NamedTuple

SECOND_NS = 1_000_000_000

UNKNOWN_CLOCK_NS = 3600 * SECOND_NS
"""A clock that was not asked is taken to be right within an hour."""

SMALLEST_TICK_NS = 20_000_000
"""Twice the longest timer tick of Linux (100 Hz); taken for file systems that look finer, but are not exact."""

FINER_THAN_ANY_TIMER_NS = 500_000
"""Half of the shortest timer tick of Linux (1000 Hz). Stamps that lie closer together were not made by a timer."""

EXACT_CHANGES = 16
"""Changes in a row that must all be stamped anew. One such could be luck, beside other busy file systems."""

ANSWER_HOLDS_NS = 60 * SECOND_NS
"""Then the file system's clock is compared again."""

DRIFT = 1000
"""In a thousand nanoseconds two clocks come apart by at most one (ntpd(8) slews by half of that)."""

STEP_NS = 5_000_000
"""The local clock was set, or the machine slept, if it moved by more against the steady clock."""

LONGEST_WAIT_NS = 5 * SECOND_NS
"""Waiting out a tick never takes longer: a stamp further in the future is wrong."""


class Answer(NamedTuple):
    """What a file system said when it was asked.

    Attributes
    ----------
    tick_ns
        Upper bound; 0 where each change after a look is stamped anew.
    ahead_ns
        The file system's clock minus the local one: a lower bound.
    """

    device: int
    tick_ns: int
    ahead_ns: int


class _Known(NamedTuple):
    """An answer, and by which clocks it was taken."""

    tick_ns: int
    ahead_ns: int
    steady_ns: int
    local_minus_steady_ns: int


class FileClocks:
    """What is known of the clocks and ticks of all file systems; one for the process, inherited by its forks.

    Parameters
    ----------
    now_ns
        The local clock, nanoseconds since 1970.
    steady_ns
        A clock that is never set.
    ask
        Writes a short-lived file in a directory; None where that can't be done.
    """

    def __init__(
        self,
        now_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], object] = time.sleep,
        ask: Callable[[str], Answer | None] | None = None,
    ) -> None:
        self.now_ns = now_ns
        self._steady_ns = steady_ns
        self._sleep = sleep
        self._ask = ask_file_system if ask is None else ask
        self._known: dict[int, _Known] = {}
        self._silent: set[tuple[int, str]] = set()

    def is_racy(self, path: str, device: int, mtime_ns: int, began_ns: int) -> bool:
        """Whether a file with this stamp may have changed, unseen, after reading it began.

        Parameters
        ----------
        device
            `st_dev` of the file.
        began_ns
            By `now_ns`, before the stamp was looked at.
        """
        known = self._known.get(device)
        if known is None:
            if began_ns - mtime_ns >= UNKNOWN_CLOCK_NS:
                return False
        elif known.tick_ns == 0:
            return False
        if known is None or self._is_old(known):
            known = self._asked(path, device)
        return known is None or self._missing_ns(known, mtime_ns, began_ns) > 0

    def wait_until_not_racy(self, path: str, device: int, mtime_ns: int) -> None:
        """Return when reading may begin so that the file is not racy; at once if waiting would not help."""
        known = self._known.get(device)
        if known is None or self._is_old(known):
            known = self._asked(path, device)
        if known is None:
            return
        missing_ns = self._missing_ns(known, mtime_ns, self.now_ns())
        if 0 < missing_ns <= LONGEST_WAIT_NS:
            # More than what is missing: what is missing grows by the drift of the clocks.
            self._sleep(missing_ns * 1.01 / SECOND_NS)

    def learn(self, directory: str) -> None:
        """Ask the file system of a directory now, so that forks need not."""
        try:
            device = os.stat(directory).st_dev
        except OSError:
            return
        if device not in self._known:
            self._asked(os.path.join(directory, ""), device)

    def _missing_ns(self, known: _Known, mtime_ns: int, now_ns: int) -> int:
        """How much later reading would have to begin for a file not to be racy; 0 and below: it is not."""
        if known.tick_ns == 0:
            return 0
        drift_ns = (self._steady_ns() - known.steady_ns) // DRIFT
        return mtime_ns + known.tick_ns + drift_ns - (now_ns + known.ahead_ns)

    def _is_old(self, known: _Known) -> bool:
        """Whether the answer may no longer be true; whether a file system is exact never changes."""
        if known.tick_ns == 0:
            return False
        steady_ns = self._steady_ns()
        moved_ns = abs(self.now_ns() - steady_ns - known.local_minus_steady_ns)
        return moved_ns > STEP_NS or steady_ns - known.steady_ns > ANSWER_HOLDS_NS

    def _asked(self, path: str, device: int) -> _Known | None:
        # The working directory first: there we write anyway, while this may be somebody's archive of raw data.
        for directory in (os.curdir, _directory(path)):
            if (device, directory) in self._silent:
                continue
            answer = None
            try:
                if os.stat(directory).st_dev == device:
                    answer = self._ask(directory)
            except OSError:
                pass
            if answer is not None and answer.device == device:
                steady_ns = self._steady_ns()
                known = _Known(answer.tick_ns, answer.ahead_ns, steady_ns, self.now_ns() - steady_ns)
                self._known[device] = known
                return known
            self._silent.add((device, directory))
        return None


def _directory(path: str) -> str:
    try:
        return os.path.dirname(os.path.realpath(path))
    except OSError:
        return ""  # A relative path, and the working directory is gone.


def ask_file_system(directory: str) -> Answer | None:
    """Write a short-lived file and look at its stamps.

    Returns
    -------
    None where no file can be made or written.
    """
    try:
        file = _short_lived_file(directory)
    except OSError:
        return None
    try:
        os.pwrite(file, b"0", 0)
        status = os.fstat(file)
        ahead_ns = status.st_mtime_ns - time.time_ns()
        return Answer(status.st_dev, tick_ns_from(_stamps(file, status.st_mtime_ns)), ahead_ns)
    except OSError:
        return None
    finally:
        os.close(file)


def _short_lived_file(directory: str) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.open(directory, flags | os.O_TMPFILE, 0o600)
        except OSError:
            pass  # open(2): not every file system can; which error says so differs.
    path = os.path.join(directory, f".pipegraph_clock_{os.urandom(12).hex()}")
    file = os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.unlink(path)
    except OSError:
        os.close(file)
        raise
    return file


def _stamps(file: int, first_ns: int) -> list[int]:
    """Stamps of changes that each follow a look, up to the first that is not stamped anew."""
    stamps = [first_ns]
    while len(stamps) <= EXACT_CHANGES and (len(stamps) == 1 or stamps[-1] > stamps[-2]):
        os.pwrite(file, b"%d" % (len(stamps) % 2), 0)
        stamps.append(os.fstat(file).st_mtime_ns)
    return stamps


def tick_ns_from(stamps: list[int]) -> int:
    """Upper bound of the tick of a file system that gave these stamps to changes; 0 if it stamps each anew."""
    steps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    if len(steps) >= EXACT_CHANGES and 0 < min(steps) < FINER_THAN_ANY_TIMER_NS:
        return 0
    return max(SMALLEST_TICK_NS, 2 * _granularity_ns(stamps))


def _granularity_ns(stamps: list[int]) -> int:
    """The largest power of ten, up to a second, of which all stamps are multiples."""
    granularity = 1
    while granularity < SECOND_NS and all(stamp % (granularity * 10) == 0 for stamp in stamps):
        granularity *= 10
    return granularity


FILE_CLOCKS = FileClocks()
"""The process's own: a cache, nothing else."""
