"""The table: a small file with a row for each slave of each run, and the locks that keep it right.

Owns the file's format, the lock under which it is changed, and who is alive. Decides nothing. Read and written by
pread(2) and pwrite(2), not mapped: where a file was cut short or its disk is full these fail with a word, where a
mapping kills the process (SIGBUS). A row lies in one page and is written at once, which no kill tears.

Two kinds of kernel lock, both far behind the file's end. The table's belongs to the process (fcntl(2), F_SETLK): forks
do not have it, no death leaves it behind. A row's says that its run lives; it belongs to the open file (F_OFD_SETLK),
so that a look at the table by the same process does not end it (closing any descriptor of a file drops all locks of
the first kind). A fork that still has the open file keeps it, which is for others to find out (waking.py).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
import zlib
from contextlib import suppress
from typing import Final, NamedTuple

from .place import Place, open_folder, unusable
from .sharing import Amounts, Claimant
from .waking import Process

MOST_ROWS: Final = 1000
ROW_BYTES: Final = 512
_VERSION: Final = 1
_MAGIC: Final = b"pipegrLG"
_HEADER: Final = struct.Struct("<8sIII")  # magic, version, bytes a row, checksum
_WAITING_AT: Final = 64
_ROWS_AT: Final = 512
_NUMBERS: Final = struct.Struct("<I" + "Q" + "QiQ" + "IQIQ" + "IQ" + "?IQd" + "dd")  # checksum, then as Row has them
_NUMBERS_BYTES: Final = 128
_LONGEST_FILE: Final = _ROWS_AT + MOST_ROWS * ROW_BYTES
_NO_NUMBERS: Final = bytes(_NUMBERS_BYTES)
_WHO: Final = struct.Struct("<IQdH")  # checksum, as Who has them, bytes of the texts
_LONGEST_BYTES: Final = (100, 60, 60, 60, 60)
_LOCK_AT: Final = 1 << 40
_LIVES_AT: Final = _LOCK_AT + 1
_LOCK: Final = struct.Struct("hhqqi")  # struct flock, fcntl(2)
_TAKEN: Final = (errno.EAGAIN, errno.EACCES)
_OTHER_VERSION: Final = "Use the same version of pipegraph in all runs, or remove it when no run uses it."
_SHORTEST_SLEEP, _LONGEST_SLEEP = 2e-5, 2e-3


class Row(NamedTuple):
    """What a run says of one slave. All times are CLOCK_MONOTONIC of this machine.

    Attributes
    ----------
    slave
        A digest of its name.
    namespace, pid, started_ticks
        Its process.
    cores, memory_bytes, machine_cores, machine_memory_bytes
        What the run may use, and what it says is there in all.
    looked_at
        When it last looked, if it waits: for who does not look (since it is stopped) nothing is kept.
    """

    slave: int
    namespace: int
    pid: int
    started_ticks: int
    cores: int
    memory_bytes: int
    machine_cores: int
    machine_memory_bytes: int
    held_cores: int = 0
    held_bytes: int = 0
    is_waiting: bool = False
    wanted_cores: int = 0
    wanted_bytes: int = 0
    since: float = 0.0
    looked_at: float = 0.0
    rests_until: float = 0.0

    @property
    def process(self) -> Process:
        """Whose it is."""
        return Process(self.namespace, self.pid, self.started_ticks)

    def claimant(self, looked_after: float) -> Claimant:
        """As the arithmetic sees it; it waits only if it looked since."""
        is_waiting = self.is_waiting and self.looked_at >= looked_after
        wanted = Amounts(self.wanted_cores, self.wanted_bytes) if is_waiting else None
        held = Amounts(self.held_cores, self.held_bytes)
        return Claimant(self.cores, held, wanted, self.since, self.rests_until)


class Who(NamedTuple):
    """Whose row it is. Texts are cut where they are too long: paths lose their beginning.

    Attributes
    ----------
    token
        By which it is woken.
    since
        When it joined, by the wall clock; only to be shown.
    """

    token: int
    since: float
    script: str
    run: str
    user: str
    host: str
    slave: str


class Table:
    """An open table. Not for several threads: the lock belongs to the process.

    Attributes
    ----------
    path
        Of the file.
    """

    def __init__(self, descriptor: int, path: str) -> None:
        self.path = path
        self._descriptor = descriptor
        found = os.fstat(descriptor)
        self._identity = found.st_dev, found.st_ino
        self._mine: dict[int, bytes] = {}
        # Most rows are as they were at the last look.
        self._seen: dict[int, tuple[bytes, Row | None]] = {}

    @classmethod
    def open(cls, place: Place) -> Table:
        """Open it for a run, made if need be.

        Raises
        ------
        LedgerUnusable
            With the reason.
        """
        name = _file_name()
        path = os.path.join(place.path, name)
        folder = open_folder(place)
        try:
            descriptor = _opened(name, folder, place.is_shared)
        except OSError as error:
            raise unusable(path, error) from error
        finally:
            os.close(folder)
        return cls._checked(descriptor, path, may_mend=True)

    @classmethod
    def open_to_look(cls, place: Place) -> Table | None:
        """Open it for reading only; None if there is none.

        Raises
        ------
        LedgerUnusable
            It may not be read, or is none.
        """
        path = os.path.join(place.path, _file_name())
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(path, error) from error
        return cls._checked(descriptor, path)

    @classmethod
    def _checked(cls, descriptor: int, path: str, may_mend: bool = False) -> Table:
        table = cls(descriptor, path)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise unusable(path, "it is no file", "Remove it.")
            table._check_header(may_mend)
        except BaseException as error:
            table.close()
            if isinstance(error, OSError):
                raise unusable(path, error) from error
            raise
        return table

    def close(self) -> None:
        """Rows whose lives this open file holds are free then, unless a fork has it too. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # --- the lock

    def lock(self, patience_seconds: float) -> bool:
        """Have the table for this process alone; False if another had it all that time."""
        sleep_seconds, until = _SHORTEST_SLEEP, 0.0
        while True:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCK_AT)
                return True
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            now = time.monotonic()
            until = until or now + patience_seconds
            if now >= until:
                return False
            # Not F_SETLKW: who has it may be stopped (SIGSTOP).
            time.sleep(sleep_seconds)
            sleep_seconds = min(2 * sleep_seconds, _LONGEST_SLEEP)

    def unlock(self) -> None:
        """Give it back."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _LOCK_AT)

    def locked_by(self) -> int:
        """The process that has it; 0: nobody, or nobody that can be seen from here."""
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _LOCK_AT, 1, 0)
        kind, _, _, _, pid = _LOCK.unpack(fcntl.fcntl(self._descriptor, fcntl.F_GETLK, asked))
        return pid if kind != fcntl.F_UNLCK else 0

    # --- rows; but for `waiting` and `rows` under the lock

    @property
    def is_in_place(self) -> bool:
        """Whether others find it; not if it was removed or replaced."""
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def waiting(self) -> int:
        """How many rows wait, as far as the last who changed the table knew."""
        return int.from_bytes(os.pread(self._descriptor, 4, _WAITING_AT), "little")

    def write_waiting(self, waiting: int) -> None:
        """For `waiting`; with the whole header, in case that somebody damaged it."""
        self._put(_header().ljust(_WAITING_AT, b"\0") + waiting.to_bytes(4, "little"), 0)

    def rows(self) -> dict[int, Row | None]:
        """Each that is not free; None: it is damaged."""
        data = os.pread(self._descriptor, min(os.fstat(self._descriptor).st_size, _LONGEST_FILE), 0)
        found: dict[int, Row | None] = {}
        for number, at in enumerate(range(_ROWS_AT, len(data), ROW_BYTES)):
            numbers = data[at : at + _NUMBERS_BYTES]
            if numbers == _NO_NUMBERS[: len(numbers)]:
                continue
            seen, row = self._seen.get(number, (b"", None))
            if numbers != seen:
                row = _row(number, numbers)
                self._seen[number] = numbers, row
            found[number] = row
        return found

    def take_row(self, who: Who) -> int | None:
        """The number of a row that is this open file's until it is closed; None: all are taken."""
        for number in range(MOST_ROWS):
            # The kernel would grant again what this open file has.
            if number not in self._mine and self._take_life(number):
                self._mine[number] = _packed(number, who)
                return number
        return None

    def write(self, number: int, row: Row) -> None:
        """Change a row that was taken, all at once."""
        numbers = _NUMBERS.pack(0, *row).ljust(_NUMBERS_BYTES, b"\0")
        checksum = zlib.crc32(numbers[4:], number).to_bytes(4, "little")
        self._put(checksum + numbers[4:] + self._mine[number], _ROWS_AT + number * ROW_BYTES)

    def who(self, number: int) -> Who | None:
        """Whose row it is; None: damaged."""
        at = _ROWS_AT + number * ROW_BYTES + _NUMBERS_BYTES
        data = os.pread(self._descriptor, ROW_BYTES - _NUMBERS_BYTES, at)
        if len(data) < _WHO.size:
            return None
        checksum, token, since, length = _WHO.unpack_from(data)
        if checksum != zlib.crc32(data[4 : _WHO.size + length], number):
            return None
        texts = [text.decode(errors="replace") for text in data[_WHO.size : _WHO.size + length].split(b"\0")]
        return Who(token, since, *texts) if len(texts) == len(_LONGEST_BYTES) else None

    # --- lives

    def is_alive(self, number: int) -> bool:
        """Whether the run of a row, not this one's, is there; or a fork that has its open file."""
        return self._are_lives(number, 1)

    def clear(self, number: int) -> None:
        """Its run has ended: what it held is free."""
        self._put(_NO_NUMBERS, _ROWS_AT + number * ROW_BYTES)

    def _put(self, data: bytes, at: int) -> None:
        if os.pwrite(self._descriptor, data, at) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _check_header(self, may_mend: bool) -> None:
        """That it is a table of this version; one that is damaged, and that nobody uses, may begin anew."""
        header = os.pread(self._descriptor, _HEADER.size, 0).ljust(_HEADER.size, b"\0")
        magic, version, _, checksum = _HEADER.unpack(header)
        if magic != _MAGIC:
            raise unusable(self.path, "it is not a ledger", "Remove it, if nobody needs it.")
        if header == _header():
            return
        if checksum == zlib.crc32(header[:-4]):
            raise unusable(self.path, f"it is of another version of pipegraph (format {version})", _OTHER_VERSION)
        if not may_mend or self._are_lives(0, MOST_ROWS):
            raise unusable(self.path, "it is damaged", "Runs that use it mend it at their next claim: try again.")
        os.ftruncate(self._descriptor, 0)
        self.write_waiting(0)

    def _are_lives(self, first: int, count: int) -> bool:
        """Whether another open file has the lock of one of these rows."""
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _LIVES_AT + first, count, 0)
        kind: int = _LOCK.unpack(fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, asked))[0]
        return kind != fcntl.F_UNLCK

    def _take_life(self, number: int) -> bool:
        wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _LIVES_AT + number, 1, 0)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, wanted)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise
        return True


def _row(number: int, numbers: bytes) -> Row | None:
    """None: damaged."""
    if len(numbers) < _NUMBERS_BYTES:
        return None
    checksum, *fields = _NUMBERS.unpack_from(numbers)
    return Row._make(fields) if checksum == zlib.crc32(numbers[4:], number) else None


def _packed(number: int, who: Who) -> bytes:
    """Up to the end of the row: so it has all its place on the disk from the first time on."""
    texts = b"\0".join(
        text.encode(errors="replace").replace(b"\0", b"?")[-longest:] for text, longest in zip(who[2:], _LONGEST_BYTES)
    )
    data = _WHO.pack(0, *who[:2], len(texts)) + texts
    return (zlib.crc32(data[4:], number).to_bytes(4, "little") + data[4:]).ljust(ROW_BYTES - _NUMBERS_BYTES, b"\0")


def _file_name() -> str:
    """Of the table of this machine since it began: several may share a folder of a network file system."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as source:
            return f"ledger-{source.read().strip().decode()}"
    except OSError:
        return f"ledger-{os.uname().nodename}"


def _header() -> bytes:
    known = _HEADER.pack(_MAGIC, _VERSION, ROW_BYTES, 0)[:-4]
    return known + zlib.crc32(known).to_bytes(4, "little")


def _opened(name: str, folder: int, is_shared: bool) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        # Apart from making it: with O_CREAT, a sticky folder refuses another user's file (proc(5), protected_regular).
        with suppress(FileNotFoundError):
            return os.open(name, flags, dir_fd=folder)
        _make(name, folder, is_shared)


def _make(name: str, folder: int, is_shared: bool) -> None:
    """Whole from the first moment on: nobody finds it without its header, or with another mode."""
    found = os.fstat(folder)
    mode = stat.S_IMODE(found.st_mode) & 0o666 if is_shared else 0o600
    new = f".{name}-{os.urandom(8).hex()}"
    descriptor = os.open(new, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    try:
        if is_shared:
            with suppress(OSError):
                os.fchown(descriptor, -1, found.st_gid)
        os.fchmod(descriptor, mode)
        if os.pwrite(descriptor, _header().ljust(_ROWS_AT, b"\0"), 0) < _ROWS_AT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with suppress(FileExistsError):
            os.link(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(descriptor)
        os.unlink(new, dir_fd=folder)
