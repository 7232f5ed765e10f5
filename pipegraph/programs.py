"""Starting external programs without forking Python, and how their failures are put into words.

Knows nothing of jobs' classes and of slaves, both of which use it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from .errors import JobDiedException, shown
from .masking import masked_text
from .model import Grant, Place
from .placeholders import filled, numbers_of
from .shell import SHELL

_TAIL_BYTES = 10_000
_TAIL_LINES = 10
_SIGNALS = tuple(
    map(int, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ))
)
"""What slaves, or Python itself, ignore; programs would inherit that."""


class Launch(NamedTuple):
    """A command that is ready to be started.

    Attributes
    ----------
    words
        The program and its arguments.
    exit_codes
        What is no failure.
    folder
        Where it works; empty: where the run does.
    stdin, stdout, stderr
        Paths; empty: nothing is read, and what is printed is kept as that of other jobs is.
    """

    words: tuple[str, ...]
    environment: Mapping[bytes, bytes]
    folder: str = ""
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    exit_codes: tuple[int, ...] = (0,)


class Named(Protocol):
    """What messages need to know of a job."""

    job_id: str
    place: Place
    granted: Grant

    @property
    def command_line(self) -> str:
        """To be pasted into a terminal; numbers are still marked."""


def keep_from_programs() -> None:
    """Nothing that this process has open is inherited by programs, but for the standard streams."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the one that listed them
                os.set_inheritable(int(name), False)


def start(launch: Launch, stdout: int, stderr: int, has_own_group: bool = True) -> int:
    """Its process id. What this process has open is not inherited, if it is marked so (PEP 446).

    Parameters
    ----------
    stdout, stderr
        Descriptors, for what does not go to files.

    Raises
    ------
    OSError
        It can't be started, or a file can't be opened.
    """
    opened: list[int] = []
    directory = -1
    try:
        actions: list[Any] = []
        streams = ((launch.stdin or os.devnull, -1), (launch.stdout, stdout), (launch.stderr, stderr))
        for number, (path, given) in enumerate(streams):
            if path and not (number == 2 and path == launch.stdout):
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
                opened.append(os.open(path, flags | os.O_CLOEXEC, 0o666))
            actions.append((os.POSIX_SPAWN_DUP2, opened[-1] if path else given, number))
        program = launch.words[0]
        if "/" not in program and launch.environment.get(b"PATH") != os.environb.get(b"PATH"):
            import shutil

            where = launch.environment.get(b"PATH", os.defpath.encode())
            program = shutil.which(program, path=os.fsdecode(where)) or program
        if launch.folder:
            # posix_spawn(3) has no standard way for this. This process has one thread.
            directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            os.chdir(launch.folder)
        return os.posix_spawnp(
            program,
            launch.words,
            launch.environment,
            file_actions=actions,
            setpgroup=0 if has_own_group else os.getpgrp(),
            setsigmask=(),
            setsigdef=_SIGNALS,
        )
    finally:
        if directory >= 0:
            os.fchdir(directory)
            os.close(directory)
        for each in opened:
            os.close(each)


def not_started(job: Named, launch: Launch, error: OSError) -> JobDiedException:
    """Why a program can't even begin."""
    program = launch.words[0]
    facts = _facts(job)
    if error.errno == errno.E2BIG:
        return JobDiedException(
            "a command line is too long",
            [*facts[:1], ("command", f"{line_of(job)[:200]}…")],
            "Linux takes arguments of 128 KiB each, and of 2 MiB together as a rule: write the names to a file in a "
            "job of its own, and give that file to the program.",
            127,
        )
    if error.filename and error.filename in (launch.folder, launch.stdin, launch.stdout, launch.stderr):
        what = "working directory" if error.filename == launch.folder else "file"
        headline = f"a {what} of a command can't be opened: {error.filename}: {error.strerror}"
        return JobDiedException(headline, facts)
    why = error.strerror
    if error.errno == errno.ENOENT:
        import shutil

        where = os.fsdecode(launch.environment.get(b"PATH", os.defpath.encode()))
        if shutil.which(program if "/" not in program else os.path.join(launch.folder, program), path=where) is None:
            return JobDiedException(f"a program is not installed: {program}", facts, mend_for_missing(program), 127)
        why = "what its first line names, behind #!, is not there"
    return JobDiedException(f"a program can't be started: {program}: {why}", facts, "", 126)


def mend_for_missing(program: str) -> str:
    """How to look for it."""
    if " " in program:
        return "A list is a program and its arguments, each for itself. A line for the shell is given as a text."
    if "/" in program:
        return "Is the path right, as seen from the folder in which the command runs, and is the file executable?"
    search = f"apt-cache search {program}, conda search {program}"
    return f"Correct its name, install it ({search}), or put its folder on the PATH."


def failure_of(job: Named, launch: Launch, exit_code: int, stderr: int, overtime: float = 0.0) -> JobDiedException:
    """How a program failed, in words.

    Parameters
    ----------
    exit_code
        Below 0: the negated number of the signal.
    stderr
        A descriptor of a file, where its stderr went; it may be in a file of the job instead.
    overtime
        The seconds that it was given, if it took longer; else 0.
    """
    last = _last_lines(launch.stderr, stderr)
    what = "a shell command" if launch.words[: len(SHELL)] == SHELL else os.path.basename(launch.words[0])
    mend = _MENDS.get(exit_code, "")
    if overtime:
        headline, mend = f"{what} took longer than its timeout of {overtime:g} s", "It was ended. Raise timeout=…"
    elif exit_code < 0:
        headline = f"{what} was killed by {_signal_name(-exit_code)}"
    else:
        headline = f"{what} failed with exit status {exit_code}"
        if exit_code > 128 and not mend:
            mend = f"Shells say so where a program of theirs was killed by {_signal_name(exit_code - 128)}."
    facts = _facts(job)
    if launch.exit_codes != (0,):
        facts.append(("expected", f"exit status {', '.join(map(str, launch.exit_codes))}"))
    if last and not overtime:
        headline += f": {last[-1].strip()[:300]}"
    if last and launch.stderr:  # which is removed; otherwise it is shown as that of other jobs
        facts.append(("stderr", "\n" + "\n".join(f"        {line}" for line in last)))
    return JobDiedException(headline, facts, mend, exit_code)


_OUT_OF_MEMORY = "Most often the system ran out of memory. Raise memory_needed, or run fewer at once."
_MENDS = {
    -int(signal.SIGKILL): _OUT_OF_MEMORY,
    128 + int(signal.SIGKILL): _OUT_OF_MEMORY,
    126: "A program was found and could not be executed: is it executable, and for this machine?",
    127: "A shell says so where a program is not installed. Is it called so, and on the PATH?",
    128 + int(signal.SIGPIPE): "Something in a pipe ended before it had read all, as head does; where that is right: "
    "exit_codes=(0, 141), or `… || true`.",
}


def _facts(job: Named) -> list[tuple[str, object]]:
    return [("job", f"{job.job_id} ({job.place})"), ("command", line_of(job))]


def line_of(job: Named) -> str:
    """To be pasted into a terminal."""
    return shown(filled(job.command_line, numbers_of(job.granted)))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_lines(path: str, descriptor: int) -> list[str]:
    try:
        if path:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            data = os.pread(descriptor, _TAIL_BYTES, max(0, os.fstat(descriptor).st_size - _TAIL_BYTES))
        finally:
            if path:
                os.close(descriptor)
    except OSError:
        return []
    lines = data.decode("utf-8", "backslashreplace").replace("\r", "\n").split("\n")
    return [masked_text(line)[:1000] for line in lines if line.strip()][-_TAIL_LINES:]
