"""Finding and ending processes that are left over. Looks at /proc; children files are not in every kernel."""

from __future__ import annotations

import _ctypes
import contextlib
import os
import signal
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37

SLAVE_MARK = "PIPEGRAPH_SLAVE"
"""In the environment of all programs that a slave, which is not the first, and its jobs start: which one it is."""

_KILL = int(signal.SIGKILL)

_SOONER = 300
"""In thousandths of all memory: to the kernel, a process seems larger by as much (proc(5), oom_score_adj). More than a
slave is likely to hold, and less than all: a program of somebody else that has taken everything is still the first."""


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL
    _restype_ = _Int


# Without the module ctypes, which brings another library: five memory areas, to be copied by each fork.
_C = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
_prctl = _Function(_ctypes.dlsym(_C, "prctl"))


leave = _Function(_ctypes.dlsym(_C, "_exit"))
"""As `os._exit`, which looks that up in each process anew, since no process gets to call it twice: ten pages."""


def die_with_parent(parent: int, number: int = _KILL) -> None:
    """Be killed when the process that forked this one dies; end at once if it already has (prctl(2)).

    Parameters
    ----------
    number
        0: only do what is done.
    """
    _prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def be_killed_first() -> int:
    """Have the kernel, if memory runs out, kill this process and those that it starts rather than the slave.

    Returns
    -------
    int
        How it was before, for `be_killed_at`.
    """
    try:
        with open("/proc/self/oom_score_adj", "rb") as source:
            before = int(source.read())
    except (OSError, ValueError):
        return 0
    be_killed_at(max(before, _SOONER))
    return before


def be_killed_at(score: int) -> None:
    """In thousandths of all memory, by which this process seems larger to the kernel (proc(5), oom_score_adj)."""
    with contextlib.suppress(OSError):
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"%d" % score)
        finally:
            os.close(descriptor)


def outlive_parent() -> None:
    """Take `die_with_parent` back."""
    _prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


def adopt_orphans(is_wanted: bool = True) -> bool:
    """Become the parent of descendants whose parent dies (PR_SET_CHILD_SUBREAPER); says whether it was so before."""
    before = _Int(0)
    _prctl(_PR_GET_CHILD_SUBREAPER, _ctypes.byref(before), 0, 0, 0)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1 if is_wanted else 0, 0, 0, 0)
    return bool(before.value)


def processes() -> dict[int, tuple[int, int, str]]:
    """All processes: parent, session and state, by id (proc(5), stat)."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as source:
                    fields = source.read().rpartition(b")")[2].split()
            except OSError:
                continue
            found[int(name)] = (int(fields[1]), int(fields[3]), fields[0].decode())
    return found


def descendants(root: int) -> list[int]:
    """Children, their children, and so on; those that have ended and wait to be reaped are left out."""
    return _descendants(root, processes())


def _descendants(root: int, everyone: dict[int, tuple[int, int, str]], with_ended: bool = False) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in everyone.items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    stack = list(children.get(root, ()))
    while stack:
        pid = stack.pop()
        found.append(pid)
        stack.extend(children.get(pid, ()))
    return found if with_ended else [pid for pid in found if everyone[pid][2] not in ("Z", "X")]


def kill(pid: int) -> None:
    """End one process; nothing if it has ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def reap_all() -> None:
    """Collect every child that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def kill_descendants(wait_seconds: float = 10.0) -> None:
    """End everything below this process. It must be the one that adopts orphans, and have no other children."""
    until = time.monotonic() + wait_seconds
    pause = 0.0005
    while time.monotonic() < until:
        # One that has ended may have had a child that was not there yet when the list was begun.
        left = _descendants(os.getpid(), processes(), with_ended=True)
        for pid in left:
            kill(pid)
        reap_all()
        if not left:
            return
        time.sleep(pause)
        pause = min(0.05, pause * 2)


def kill_session(session: int, mark: str, spared: frozenset[int], wait_seconds: float = 10.0) -> None:
    """End those descendants of this process that are in the session, or bear the mark in their environment.

    They became children of this process when the session's leader died. What the user's script started by itself is
    in another session, or was there before, and is spared.
    """
    until = time.monotonic() + wait_seconds
    pause = 0.0005
    killed: set[int] = set()
    while time.monotonic() < until:
        everyone = processes()
        left = [
            pid
            for pid in _descendants(os.getpid(), everyone)
            if pid not in spared and (everyone[pid][1] == session or _is_marked(pid, mark))
        ]
        for pid in left:
            kill(pid)
        killed.update(left)
        ended = [
            pid
            for pid, (parent, own_session, state) in everyone.items()
            if parent == os.getpid() and state == "Z" and (own_session == session or pid in killed)
        ]
        for pid in ended:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        if not left and not ended:
            return
        time.sleep(pause)
        pause = min(0.05, pause * 2)


def kill_marked(mark: str, wait_seconds: float = 10.0) -> None:
    """End the descendants of this process that bear the mark in their environment, of which another one is parent."""
    until = time.monotonic() + wait_seconds
    pause = 0.0005
    while time.monotonic() < until:
        left = [pid for pid in descendants(os.getpid()) if _is_marked(pid, mark)]
        for pid in left:
            kill(pid)
        if not left:
            return
        time.sleep(pause)
        pause = min(0.05, pause * 2)


def new_folder() -> str:
    """A folder of our own, where programs put what does not last.

    Raises
    ------
    OSError
        There is no room for one, or nobody may write there.
    """
    name = f"pipegraph-{os.getpid()}-{os.urandom(6).hex()}"
    for above in (os.environ.get("TMPDIR"), "/tmp", "/var/tmp"):
        if above and os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK):
            path = os.path.join(above, name)
            os.mkdir(path, 0o700)
            return path
    os.mkdir(path := os.path.abspath("." + name), 0o700)
    return path


def remove_folder(path: str) -> None:
    """Remove a folder with all that is in it, as far as that can be done."""
    try:
        for name in os.listdir(path):
            each = os.path.join(path, name)
            if os.path.isdir(each) and not os.path.islink(each):
                remove_folder(each)
            else:
                os.unlink(each)
        os.rmdir(path)
    except OSError:
        pass


def remove_aside(path: str) -> None:
    """Remove a folder, if it is there; by a process of its own, if there is something in it: it may be much."""
    if not os.access(path, os.F_OK):
        return  # as of most jobs, for which an exception would cost more
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # what is left is removed with the run's folder
            actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
            os.posix_spawnp("rm", ["rm", "-rf", "--", path], os.environ, file_actions=actions, setpgroup=0)
        os.close(null)


def _is_marked(pid: int, mark: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as source:
            return os.fsencode(mark) in source.read().split(b"\0")
    except OSError:
        return False
