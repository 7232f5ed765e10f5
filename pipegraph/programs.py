"""Starting external programs without forking Python, and how their failures are put into words.

Knows nothing of jobs' classes and of slaves, both of which use it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from .errors import JobDiedException, shown
from .masking import masked_text
from .model import Grant, Place
from .placeholders import filled, numbers_of
from .shell import SHELL, TWINS, Command

_TAIL_BYTES = 10_000
_TAIL_LINES = 10
_SIGNALS = tuple(
    map(int, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ))
)
"""What slaves, or Python itself, ignore; programs would inherit that."""


class Launch(NamedTuple):
    """Programs that are ready to be started.

    Attributes
    ----------
    commands
        One, or the parts of a pipe.
    text
        The text for a shell that means the same; empty: it was not given as one.
    exit_codes
        What is no failure.
    folder
        Where they work; empty: where the run does.
    stdout, stderr
        Paths, for what the commands don't redirect; empty: it is kept as what other jobs print.
    opens
        What is open to each, beside the standard streams: file actions of posix_spawn(3).
    """

    commands: tuple[Command, ...]
    environment: Mapping[bytes, bytes]
    text: str = ""
    folder: str = ""
    stdout: str = ""
    stderr: str = ""
    exit_codes: tuple[int, ...] = (0,)
    opens: Sequence[tuple[int, int, str, int, int]] = ()


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


def start(launch: Launch, stdout: int, stderr: int, has_own_group: bool = True) -> tuple[int, ...]:
    """The process ids, in the order of the pipe, and of their start; the first one's is that of the group.

    What this process has open is not inherited, if it is marked so (PEP 446). Nobody else gets the id of the group as
    long as the first was not reaped.

    Parameters
    ----------
    stdout, stderr
        Descriptors, for what does not go to files.

    Raises
    ------
    OSError
        It can't be started, or a file can't be opened; of a pipe no part is left.
    """
    commands = launch.commands
    if launch.text and not all(map(_are_files, commands)):
        commands = (Command((*SHELL, launch.text)),)
    opened: list[int] = []
    directory = -1
    try:
        streams = _open_streams(launch, commands, stdout, stderr, opened)
        if launch.folder:
            # posix_spawn(3) has no standard way for this. This process has one thread.
            directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            os.chdir(launch.folder)
        group = 0 if has_own_group else os.getpgrp()
        if len(commands) == 1:
            return (_spawn(launch, commands[0].words, streams[0], group),)
        return _spawn_all(launch, commands, streams, group)
    finally:
        if directory >= 0:
            os.fchdir(directory)
            os.close(directory)
        for each in opened:
            os.close(each)


_Streams = tuple[int, int, int]


def _are_files(command: Command) -> bool:
    """Opening them does not wait for another process, nor is it one of this process's own that is meant."""
    for path in command[1:]:
        # Asked first, since an exception for each new file would cost more. What is missing fails when it is opened.
        if path and path[0] != "&" and path != os.devnull and os.access(path, os.F_OK, follow_symlinks=False):
            mode = os.lstat(path).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                return False
    return True


def _open_streams(
    launch: Launch, commands: tuple[Command, ...], stdout: int, stderr: int, opened: list[int]
) -> list[_Streams]:
    """For each command; all are opened before the first is started, since one of them may be missing."""
    if launch.stdout and not commands[-1].stdout:
        stdout = _open(launch.stdout, opened)
    if launch.stderr:
        stderr = stdout if launch.stderr == launch.stdout else _open(launch.stderr, opened)
    found: list[_Streams] = []
    reader = -1
    for command in commands:
        stdin, usual = reader, stdout
        if command.stdin or reader < 0:
            stdin = _open(command.stdin or os.devnull, opened, os.O_RDONLY)
        if len(found) < len(commands) - 1:
            reader, usual = os.pipe()
            opened += (reader, usual)
        out, err = usual, stderr
        if command.stdout:
            out = stderr if command.stdout == "&2" else _open(command.stdout, opened)
        if command.stderr == "&1":
            err = usual
        elif command.stderr:
            err = out if command.stderr == command.stdout else _open(command.stderr, opened)
        found.append((stdin, out, err))
    return found


def _open(path: str, opened: list[int], flags: int = os.O_WRONLY | os.O_CREAT | os.O_TRUNC) -> int:
    opened.append(os.open(path, flags | os.O_CLOEXEC, 0o666))
    return opened[-1]


def _spawn_all(launch: Launch, commands: tuple[Command, ...], streams: list[_Streams], group: int) -> tuple[int, ...]:
    pids: list[int] = []
    try:
        for command, each in zip(commands, streams):
            pids.append(_spawn(launch, command.words, each, group or (pids[0] if pids else 0)))
    except BaseException:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        if pids and not group:
            os.killpg(pids[0], signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        raise
    return tuple(pids)


def _spawn(launch: Launch, words: tuple[str, ...], streams: _Streams, group: int) -> int:
    program = words[0]
    if launch.text and program in TWINS:
        program = TWINS[program]
    elif "/" not in program and launch.environment.get(b"PATH") != os.environb.get(b"PATH"):
        program = _found(program, launch) or program
    try:
        return os.posix_spawnp(
            program,
            words,
            launch.environment,
            file_actions=[
                *[(os.POSIX_SPAWN_DUP2, each, number) for number, each in enumerate(streams)],
                *launch.opens,
            ],
            setpgroup=group,
            setsigmask=(),
            setsigdef=_SIGNALS,
        )
    except OSError as error:
        if error.errno != errno.ENOEXEC or not launch.text or program == SHELL[0]:
            raise
        # A script that does not say what reads it: a shell does so by itself.
        path = program if "/" in program else _found(program, launch) or program
        return _spawn(launch, (SHELL[0], path, *words[1:]), streams, group)


def _found(program: str, launch: Launch) -> str | None:
    import shutil

    return shutil.which(program, path=os.fsdecode(launch.environment.get(b"PATH", os.defpath.encode())))


def exit_code_of(codes: tuple[int, ...]) -> int:
    """Of a pipe, as ``pipefail`` has it: that of the last part that failed. Signals are told as by bash then."""
    if len(codes) == 1:
        return codes[0]
    for code in reversed(codes):
        if code:
            return code if code > 0 else 128 - code
    return 0


def not_started(job: Named, launch: Launch, error: OSError) -> JobDiedException:
    """Why a program can't even begin."""
    names = [each.words[0] for each in launch.commands]
    program = next((each for each in names if error.filename and f"/{error.filename}".endswith(f"/{each}")), names[0])
    facts = _facts(job)
    if error.errno == errno.E2BIG:
        return JobDiedException(
            "a command line is too long",
            [*facts[:1], ("command", f"{line_of(job)[:200]}…")],
            "Linux takes arguments of 128 KiB each, and of 2 MiB together as a rule: write the names to a file in a "
            "job of its own, and give that file to the program.",
            127,
        )
    files = [path for each in launch.commands for path in each[1:] if path]
    if error.filename and error.filename in (launch.folder, launch.stdout, launch.stderr, *files):
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


def failure_of(
    job: Named, launch: Launch, codes: tuple[int, ...], stderr: int, overtime: float = 0.0
) -> JobDiedException:
    """How programs failed, in words.

    Parameters
    ----------
    codes
        The exit code of each; below 0: the negated number of the signal.
    stderr
        A descriptor of a file, where its stderr went; it may be in a file of the job instead.
    overtime
        The seconds that it was given, if it took longer; else 0.
    """
    last = _last_lines(launch.stderr, stderr)
    exit_code = exit_code_of(codes)
    names = [os.path.basename(each.words[0]) for each in launch.commands]
    if len(codes) < len(names) or launch.commands[0].words[: len(SHELL)] == SHELL:
        what = "a shell command"
    else:
        what = "a pipe" if len(names) > 1 else names[0]
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
    if len(codes) > 1:
        facts.append(("parts", " | ".join(f"{name}: {_end_of(code)}" for name, code in zip(names, codes))))
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


def _end_of(code: int) -> str:
    return _signal_name(-code) if code < 0 else str(code)


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
