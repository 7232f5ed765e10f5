"""The host of GNU make's jobserver: programs that a job starts take cores that the run can spare, and give them back.

A job holds its cores as any job does: the first is what the protocol calls the implicit token. Each further core that
may be used is one byte in a named pipe: a program reads one before it uses a core, and writes it back after. Owns that
pipe, and how many bytes were put into it; knows nothing of what runs, and decides nothing about it: the loop says how
many cores are to spare. The pipe is there as long as a job uses it. With the last of them it is removed, and with it
all that killed programs had taken, or faulty ones had written too many: the next job begins with a new one.

Programs share if they are left to choose how many they run at once: ``make``, ``ninja``, ``cargo build``. Who says
``make -j8`` gets eight, and with ``make -j`` all there are: make warns then that this is *forced in submake*.

Notes
-----
What can't be done: a token that is taken can't be called back, and bytes are not told apart (make itself writes back
other ones than it read). So what a killed program held is missed until the last job that shares has ended; a program
that writes too many has them used by others until the host looks and finds more than it put in.

Sources: GNU make manual, "POSIX Jobserver"; ninja manual, "GNU Jobserver support" (1.13 and later: ``fifo:`` alone);
the Rust crate ``jobserver``, which cargo and rustc use; GCC manual, ``-flto`` (named pipes since 13); fifo(7), pipe(7).
"""

from __future__ import annotations

import enum
import fcntl
import os
import re
import termios
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

_TOKEN = b"+"
_FIRST_DESCRIPTOR = 40
"""Scripts number theirs from 3 to 9, and shells take those from 10 on for themselves."""

_FIRST_WITH_FIFO = (4, 4)
_OTHER_WAYS = ("CARGO_MAKEFLAGS", "MFLAGS")
"""Variables in which another jobserver may be named; cargo looks there first."""


class Style(enum.Enum):
    """How programs are told where the pipe is."""

    FIFO = "fifo"
    """By its path: make 4.4, ninja 1.13, cargo, gcc 13. It works through everything that a job may start."""

    DESCRIPTORS = "descriptors"
    """By the numbers of open files: every make, gcc and cargo. Who starts a program must hand them on."""


class Access(NamedTuple):
    """What a job's process needs to know to take part; of plain values, so that it can be sent.

    Attributes
    ----------
    path
        Of the named pipe.
    has_descriptors
        The style is `Style.DESCRIPTORS`.
    jobs
        How many cores the job may use at the most.
    """

    path: str
    has_descriptors: bool
    jobs: int


def style_of_make(program: str = "make") -> Style:
    """What the make on the PATH understands; by asking it, which takes some milliseconds."""
    import subprocess

    try:
        asked = subprocess.run([program, "--version"], capture_output=True, text=True, errors="replace")
    except OSError:
        return Style.FIFO
    version = re.match(r"GNU Make (\d+)\.(\d+)", asked.stdout)
    if version is None or (int(version[1]), int(version[2])) >= _FIRST_WITH_FIFO:
        return Style.FIFO
    return Style.DESCRIPTORS


class Lending:
    """The run's side of one jobserver.

    The loop tells it of each job that wants to share, and says, whenever that changes, how many cores are to spare.

    Parameters
    ----------
    folder
        For the pipe: the run's own. Where MAKEFLAGS can't hold its path, it is in a folder of its own below ``/tmp``.
    most
        Cores that may be lent at once: those of the run, but one.
    style
        None: as the make on the PATH wants it, which is asked at the first job that shares.
    """

    def __init__(self, folder: str, most: int, style: Style | None = None) -> None:
        self._folder = folder
        self._most = most
        self._style = style
        self._jobs: set[str] = set()
        self._own_folder = ""
        self._pipe = -1
        self._path = ""
        self._pipes_made = 0
        self._offered = 0
        self._lent = 0

    @property
    def lent(self) -> int:
        """Cores that the run must not use now: programs have taken them, or may at any moment."""
        return self._lent

    @property
    def is_owed(self) -> bool:
        """More is lent than the run has to spare: `fileno` is to be waited for, and then `offer` called again."""
        return self._lent > self._offered

    def fileno(self) -> int:
        """Readable when programs gave back what is owed; -1: nobody shares. Another number for each pipe."""
        return self._pipe

    def begin(self, job: str) -> Access:
        """A job is about to be started, or told ahead, that shares; nothing is lent by that alone.

        Raises
        ------
        OSError
            There can be no pipe: the job can be started without.
        """
        if self._pipe < 0:
            self._open()
        self._jobs.add(job)
        return Access(self._path, self._style is Style.DESCRIPTORS, self._most + 1)

    def end(self, job: str) -> None:
        """It ended, however it did, and nothing is left of its process group. After the last, nothing is lent."""
        self._jobs.discard(job)
        if not self._jobs:
            self._close_pipe()

    def offer(self, cores: int) -> int:
        """So many cores are to spare now, those among them that programs have taken already.

        Never blocks. What nobody has taken is taken back at once; what programs hold stays lent (`is_owed`).

        Returns
        -------
        int
            The cores that programs use right now; more, if the loop has been told of fewer. Until the next call it may
            become as many as `lent`.
        """
        if self._pipe < 0:
            return 0
        self._offered = max(0, min(cores, self._most))
        if self._lent < self._offered:
            try:
                self._lent += os.write(self._pipe, _TOKEN * (self._offered - self._lent))
            except BlockingIOError:
                pass  # a program has filled it with something: found below
        elif self._lent > self._offered:
            self._lent -= self._take_out(self._lent - self._offered)
        return self.used()

    def used(self) -> int:
        """Cores that programs have taken, and not yet given back. What was put in by others is taken out."""
        if self._pipe < 0:
            return 0
        inside = self._inside()
        if inside > self._lent:
            self._take_out(inside - self._lent)
            inside = min(self._lent, self._inside())
        return self._lent - inside

    def close_in_fork(self) -> None:
        """In a slave, which is not the host: the pipe stays."""
        if self._pipe >= 0:
            os.close(self._pipe)
        self._pipe = -1
        self._own_folder = ""
        self._offered = self._lent = 0

    def close(self) -> None:
        """At the run's end: no pipe is left. May be called twice."""
        self._jobs.clear()
        self._close_pipe()
        if self._own_folder:
            os.rmdir(self._own_folder)
            self._own_folder = ""

    def _open(self) -> None:
        if self._style is None:
            self._style = style_of_make()
        from .makeflags import is_plain

        if not is_plain(self._folder) and not self._own_folder:
            import tempfile

            self._own_folder = tempfile.mkdtemp(prefix="pipegraph-", dir="/tmp")
        self._pipes_made += 1
        path = os.path.join(os.path.abspath(self._own_folder or self._folder), f"jobserver-{self._pipes_made}")
        os.mkfifo(path, 0o600)
        try:
            # Open at both ends: nobody who opens it waits, and nobody who reads or writes finds the other end gone.
            self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            os.unlink(path)
            raise
        self._path = path

    def _close_pipe(self) -> None:
        if self._pipe < 0:
            return
        os.close(self._pipe)
        self._pipe = -1
        self._offered = self._lent = 0
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass

    def _inside(self) -> int:
        return int.from_bytes(fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4)), "little")

    def _take_out(self, most: int) -> int:
        try:
            return len(os.read(self._pipe, most))
        except BlockingIOError:
            return 0


class Joined:
    """What a job's process has open for its programs.

    Attributes
    ----------
    descriptors
        Inheritable; empty where the path is enough.
    """

    def __init__(self, environment: MutableMapping[str, str], descriptors: tuple[int, ...]) -> None:
        self.descriptors = descriptors
        self._environment = environment
        self._before = {name: environment.get(name) for name in ("MAKEFLAGS", *_OTHER_WAYS)}
        self._identity = (0, 0)
        self._undo: Callable[[], None] | None = None
        if descriptors:
            status = os.fstat(descriptors[0])
            self._identity = status.st_dev, status.st_ino
            self._undo = self._handed_on_by_subprocess()

    def leave(self) -> None:
        """As it was before, for a process that goes on after the job."""
        for name, value in self._before.items():
            if value is None:
                self._environment.pop(name, None)
            else:
                self._environment[name] = value
        if self._undo is not None:
            self._undo()
        for each in self._still_open():
            os.close(each)

    def _still_open(self) -> list[int]:
        """The job may have closed them, and opened something else by the same number."""
        found = []
        for descriptor in self.descriptors:
            try:
                status = os.fstat(descriptor)
            except OSError:
                continue
            if (status.st_dev, status.st_ino) == self._identity:
                found.append(descriptor)
        return found

    def _handed_on_by_subprocess(self) -> Callable[[], None]:
        """From now on, in this process; returns what ends it."""
        import subprocess

        begin = subprocess.Popen.__init__

        def begin_with_descriptors(started: Any, *args: Any, **settings: Any) -> None:
            # Eight arguments by position: close_fds is one of them.
            if len(args) < 8 and settings.get("close_fds", True):
                settings["pass_fds"] = (*settings.get("pass_fds", ()), *self._still_open())
            begin(started, *args, **settings)

        def undo() -> None:
            subprocess.Popen.__init__ = begin  # type: ignore[method-assign]

        subprocess.Popen.__init__ = begin_with_descriptors  # type: ignore[method-assign, assignment]
        return undo


def open_in_job(access: Access, environment: MutableMapping[str, str]) -> Joined:
    """Take part, in the process of a job that is Python: called before the job's callback.

    Parameters
    ----------
    environment
        That of the programs, `os.environ`: it is changed.

    Notes
    -----
    Where descriptors are needed, they are handed on by ``os.system``, ``os.posix_spawn`` and the like as all that is
    inheritable, and by `subprocess` since it is told here to: it closes all others, and make would warn of that, where
    nobody might look, and use one core.

    Raises
    ------
    OSError
        The pipe is gone, since the run has ended; or there are no descriptors left.
    """
    descriptors: tuple[int, ...] = ()
    if access.has_descriptors:
        descriptors = _opened(access.path)
    joined = Joined(environment, descriptors)
    for name in _OTHER_WAYS:
        environment.pop(name, None)
    environment["MAKEFLAGS"] = _flags(access, environment.get("MAKEFLAGS", ""), descriptors)
    return joined


_FileAction = tuple[int, int, str, int, int]


def for_program(access: Access, environment: Mapping[bytes, bytes]) -> tuple[dict[bytes, bytes], list[_FileAction]]:
    """What a program needs that is started by posix_spawn(3), without a fork of Python: environment and file actions.

    The actions come after those for the standard streams. They open the pipe in the program's own process; nothing has
    to be open in the one that starts it, and none of them waits.
    """
    descriptors: tuple[int, ...] = ()
    actions: list[_FileAction] = []
    if access.has_descriptors:
        descriptors = reader, writer = _FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + 1
        # Opening one end waits for the other, unless somebody has it open: at first, this process itself.
        actions = [
            (os.POSIX_SPAWN_OPEN, writer, access.path, os.O_RDWR, 0),
            (os.POSIX_SPAWN_OPEN, reader, access.path, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, writer, access.path, os.O_WRONLY, 0),
        ]
    before = os.fsdecode(environment.get(b"MAKEFLAGS", b""))
    others = {os.fsencode(name) for name in _OTHER_WAYS}
    changed = {name: value for name, value in environment.items() if name not in others}
    changed[b"MAKEFLAGS"] = os.fsencode(_flags(access, before, descriptors))
    return changed, actions


def _flags(access: Access, before: str, descriptors: tuple[int, ...]) -> str:
    from .makeflags import MakeFlags

    auth = ",".join(map(str, descriptors)) or f"fifo:{access.path}"
    return str(MakeFlags.read(before).with_jobserver(auth, access.jobs))


def _opened(path: str) -> tuple[int, int]:
    """Each job's are its own: a program that makes them non-blocking (make 4.3 does) changes nothing for others."""
    with_both_ends = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    opened = [with_both_ends]
    found: list[int] = []
    try:
        for flags in (os.O_RDONLY, os.O_WRONLY):
            opened.append(os.open(path, flags | os.O_CLOEXEC))
            found.append(fcntl.fcntl(opened[-1], fcntl.F_DUPFD, _FIRST_DESCRIPTOR))
    except OSError:
        opened += found
        raise
    finally:
        for each in opened:
            os.close(each)
    return found[0], found[1]
