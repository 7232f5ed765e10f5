"""Which files the Python code of a job opens: an audit hook (PEP 578), which hears of each open of this process.

A hook can't be removed: it is installed once, in the first slave, is inherited by every fork, and hears nothing while
no job runs. It notes names below the project's directory only, leaves out what the job promised or declared as its
input, and modules. It can't see what other programs and workers of the job open, nor libraries that open files by
themselves (h5py, pyarrow, polars); names relative to an open directory (dir_fd) are left out: it is not told of that.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Container
from typing import Any

from ..model import NOTHING_OPENED, Opened
from .protocol import Runnable

MOST_FILES = 1000
"""Of one job."""
_TICK_SECONDS = 0.02
"""Stamps of files come from a timer, and lie less than this behind the clock (100 Hz, and some delay)."""
_MODULES = (".py", ".pyc", ".pyi")
_NO_FILES = ("/proc/", "/dev/", "/sys/")
_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
_FRESH = os.O_TRUNC | os.O_EXCL
_CHANGES = {
    "os.remove": ((0, 1, True),),
    "os.rename": ((0, 2, True), (1, 3, False)),
    "os.link": ((1, 3, False),),
    "os.symlink": ((1, 2, False),),
    "os.truncate": ((0, -1, False),),
    "os.chdir": (),
    "os.fork": (),
    "os.forkpty": (),
    "sqlite3.connect": (),
}
"""Where the name stands in what is told, where the directory that it is relative to (-1: none is), whether it goes."""


class Openings:
    """What this process, or a fork of it, opens while `is_on`; set from outside, in the project's directory.

    Parameters
    ----------
    directory
        Of the project, absolute.

    Attributes
    ----------
    job, outputs
        The job that runs, and its outputs; what it declared is not noted.
    has_forked
        It has, and whoever sets `job` sets this to false.
    is_any
        There is something for `found` to tell.
    """

    __slots__ = (
        "_below",
        "_directory",
        "_elsewhere",
        "_gone",
        "_has_moved",
        "_is_cut",
        "_last",
        "_read",
        "_written",
        "has_forked",
        "is_any",
        "is_on",
        "job",
        "outputs",
    )

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._below = directory.rstrip("/") + "/"
        installed = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__)}
        ours = [os.path.normpath(each) + "/" for each in installed]
        self._elsewhere = (*_NO_FILES, *(each for each in ours if each.startswith(self._below)))
        self.is_on = self.has_forked = False
        self.outputs: Container[str] = ()
        self.job: Runnable
        self._forget()

        # A plain function, and this much of it alone, since every event passes here: id() is one, for instance; and
        # since in the process of a job each object that is touched for the first time is a page that is copied.
        def hear(event: str, told: tuple[Any, ...]) -> None:
            try:
                if not self.is_on:
                    return
                if event == "open":
                    if told[0] not in self.outputs:
                        self._hear_open(*told)
                elif event in _CHANGES:
                    self._hear_change(event, told)
            except Exception:
                pass  # anybody may raise events, with anything in them; an error here would stop what they tell of

        sys.addaudithook(hear)

    def found(self) -> Opened:
        """What was opened, as the files are now; called once, in the project's directory."""
        read, written, gone = self._read, self._written, self._gone
        changed_ns = {path: _changed_ns(path) for path in read | written.keys() | gone}
        there = {path for path, at in changed_ns.items() if at > 0}
        opened = Opened(
            tuple(sorted(read & there)),
            tuple(sorted(path for path in written.keys() & there if changed_ns[path] != written[path])),
            tuple(sorted(path for path in read | gone if not changed_ns[path])),
            self._is_cut,
        )
        self._forget()  # this process may become a slave
        return opened if any(opened) else NOTHING_OPENED

    def _forget(self) -> None:
        self.is_any = self._has_moved = self._is_cut = False
        self._last = ""
        self._read: set[str] = set()
        self._written: dict[str, int] = {}  # when it had been changed before, if it may have been left as it was
        self._gone: set[str] = set()

    def _hear_change(self, event: str, told: tuple[Any, ...]) -> None:
        if event == "os.chdir":
            self._has_moved = True
        elif event.startswith("os.fork"):
            self.has_forked = True
        elif event == "sqlite3.connect":
            self._note(_database(told[0]), self._read)
        else:
            for name, folder, is_gone in _CHANGES[event]:
                if folder < 0 or told[folder] == -1:
                    if is_gone:
                        self._note(told[name], self._gone)
                    else:
                        self._note_written(told[name], is_surely=True)

    def _hear_open(self, path: Any, mode: str | None, flags: int) -> None:
        if flags & os.O_DIRECTORY:
            return
        if mode is None and self._may_be_relative_to_another(path):
            return
        self._last = path
        access = flags & _ACCESS
        if access != os.O_WRONLY and not (access == os.O_RDWR and flags & _FRESH):
            self._note(path, self._read)
        if access != os.O_RDONLY:
            self._note_written(path, bool(flags & _FRESH))

    def _may_be_relative_to_another(self, path: Any) -> bool:
        """It is os.open that tells, and does not tell of its dir_fd; by itself, or as the opener of an `open`."""
        if type(path) is str and not path.startswith("/"):
            if path == self._last:
                self._read.discard(path)
                self._written.pop(path, None)
            return True
        return False

    def _note(self, path: Any, among: set[str]) -> None:
        name = self._name(path)
        if not name or name in among or name in self._written or name in self.job.input_ids:
            return
        if self._has_room():
            among.add(name)

    def _note_written(self, path: Any, is_surely: bool) -> None:
        name = self._name(path)
        if name and name not in self._written and self._has_room():
            self._written[name] = 0 if is_surely else _changed_ns(self._below + name)

    def _has_room(self) -> bool:
        self.is_any = True
        self._is_cut = self._is_cut or len(self._read) + len(self._written) + len(self._gone) >= MOST_FILES
        return not self._is_cut

    def _name(self, path: Any) -> str:
        """Relative to the project; empty, if it is not to be noted."""
        if type(path) is not str:
            if not isinstance(path, (bytes, os.PathLike)):
                return ""  # a descriptor
            path = os.fsdecode(path)
        if path.endswith(_MODULES) or "/__pycache__/" in path:
            return ""
        if self._has_moved and path[:1] != "/":
            path = os.path.join(os.getcwd(), path)
        if "/." in path or "//" in path or path[:1] == ".":
            path = os.path.normpath(os.path.join(self._directory, path))
        if path[:1] == "/":
            if not path.startswith(self._below) or path.startswith(self._elsewhere):
                return ""
            path = path[len(self._below) :]
        return "" if path in self.outputs else path


def opened_by_command(job: Runnable, opened: Opened, started_at: float, has_failed: bool) -> Opened:
    """What was opened, and the files that stand in the job's command; called in the project's directory.

    Of a file that was changed since the job began nobody knows whether it was read, so that it is left to be told of
    only if another job makes it; and so is what may have been missed by a job that failed.
    """
    read, missing = set(opened.read), set(opened.missing)
    declared = {*job.outputs, *job.input_ids}
    is_cut = opened.is_cut
    for path in job.paths_in_command():
        if path in declared:
            continue
        if len(read) + len(missing) >= MOST_FILES:
            is_cut = True
            break
        try:
            found = os.stat(path)
        except OSError:
            if has_failed:
                missing.add(path)
        else:
            if stat.S_ISREG(found.st_mode) and not os.path.abspath(path).startswith(f"{sys.prefix}/"):
                (missing if found.st_ctime > started_at - _TICK_SECONDS else read).add(path)
    both = Opened(tuple(sorted(read)), opened.written, tuple(sorted(missing)), is_cut)
    return both if any(both) else NOTHING_OPENED


def _database(name: Any) -> Any:
    """The file of a name that SQLite is given (sqlite.org/uri.html); nothing, if it is in memory."""
    if name == ":memory:":
        return ""
    if isinstance(name, str) and name.startswith("file:"):
        return name[5:].partition("?")[0]
    return name


def _changed_ns(path: str) -> int:
    """When a file was changed, by the stamp that nobody can set; 0: it is not there; -1: it is no file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return 0
    return found.st_ctime_ns if stat.S_ISREG(found.st_mode) else -1
