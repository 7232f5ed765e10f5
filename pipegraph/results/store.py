"""The folder that holds results: each whole or not at all, under its key, with a manifest of what it should be.

::

    pipegraph-results.txt       says that this is one, and by which rules
    GROUP/KEY/                  a result: 0, 1, … (the files in the order of their paths), manifest.json, and used-UID,
                                touched whenever that user's jobs took it
    GROUP/KEY.lock              while somebody makes it, or removes it: who that is (`lock`)
    building/GROUP.KEY.…        results that are being put, and what is being removed; renamed as a whole
    damaged/GROUP.KEY.…         results that were not any more what was put

Everything gets the folder's own mode: a folder that a group may write to makes results that the group may use, and
remove. Whoever may write into it can give others what results they like; but nothing in it is ever run or unpickled.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..invariants import files
from ..model import FileRecord
from .lock import Lock
from .transfer import is_own, transfer

MARK = "pipegraph-results.txt"
_MARK_TEXT = (
    "pipegraph-results 1\n\nResults of jobs, kept by their inputs' digest. `pipegraph results FOLDER` lists them, and "
    "removes\nthose that are not used any more. Do not edit them: some are hard links to the files of projects.\n"
)
_MANIFEST = "manifest.json"
USED = "used-"
BUILDING, DAMAGED = "building", "damaged"
_EVERYBODY_READS = 0o444
_EXECUTABLE = 0o111


class Damaged(Exception):
    """A result is not any more what was put."""


class Manifest(NamedTuple):
    """What a result should be, and where it came from.

    Attributes
    ----------
    files
        Of each its path in the project that made it, size in bytes, and content's fingerprint.
    made_at
        Seconds since 1970.
    seconds
        Wall time of the callback.
    """

    job: str
    class_name: str
    function: str
    directory: str
    host: str
    user: str
    made_at: float
    seconds: float
    files: tuple[tuple[str, int, str], ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(size for _, size, _ in self.files)


class Store:
    """One folder of results."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    # --- a job takes and puts

    def take(self, group: str, key: str, outputs: Sequence[str]) -> tuple[Manifest, list[FileRecord]] | None:
        """Bring a result into these files, which are not there; None if there is none.

        Raises
        ------
        Damaged
            It is not what was put; nothing was brought.
        OSError
            It can't be brought.
        """
        entry = self._entry(group, key)
        records: list[FileRecord] = []
        try:
            manifest = read_manifest(entry)
            if len(manifest.files) != len(outputs):
                raise Damaged
            for number, (path, (_, size, content)) in enumerate(zip(outputs, manifest.files)):
                kept = f"{entry}/{number}"
                found = os.lstat(kept)
                if not stat.S_ISREG(found.st_mode) or found.st_size != size:
                    raise Damaged
                transfer(kept, path, _mode_here(found.st_mode), may_link=True)
                records.append(files.read(path, True))
                if records[-1].content != content:
                    raise Damaged
        except BaseException as error:
            for path in outputs:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            if isinstance(error, FileNotFoundError):
                if os.path.lexists(f"{entry}/{_MANIFEST}"):
                    raise Damaged from None
                return None
            raise
        self._note_use(entry)
        return manifest, records

    def lock(self, group: str, key: str, note: dict[str, str]) -> Lock:
        """The right to make, to put or to remove this result, which only one process has; to be taken.

        Raises
        ------
        OSError
            The folder is not to be had, or not to be used: it holds something else, or is a newer version's.
        """
        self._prepare()
        self._make_folder(os.path.join(self.folder, group))
        return Lock(self._entry(group, key) + ".lock", self._folder_mode & 0o666, note)

    def put(self, group: str, key: str, manifest: Manifest, is_synced: bool = True) -> None:
        """Keep these files; needs the lock. What is there under the key already is replaced.

        Parameters
        ----------
        is_synced
            It outlasts a power cut. Without that it may be found damaged afterwards, and made anew.

        Raises
        ------
        OSError
            Nothing was put.
        """
        entry = self._entry(group, key)
        building = self._aside(BUILDING, group, key)
        sync = _sync if is_synced else _leave
        self._make_folder(building)
        try:
            for number, (path, _, _) in enumerate(manifest.files):
                mode = os.stat(path).st_mode & _EXECUTABLE | _EVERYBODY_READS
                transfer(path, f"{building}/{number}", mode & self._folder_mode, may_link=is_own(path))
                sync(f"{building}/{number}")
            with open(f"{building}/{_MANIFEST}", "x", encoding="utf-8") as out:
                json.dump(manifest._asdict(), out, indent=1)
            os.chmod(f"{building}/{_MANIFEST}", self._folder_mode & _EVERYBODY_READS)
            sync(f"{building}/{_MANIFEST}")
            self._note_use(building)
            sync(building)
            self._set_aside(BUILDING, group, key)
            os.rename(building, entry)
            sync(os.path.dirname(entry))
        finally:
            self.remove_leftovers(group, key)

    def remove(self, group: str, key: str) -> None:
        """Remove a result; needs the lock."""
        self._set_aside(BUILDING, group, key)
        self.remove_leftovers(group, key)

    def set_aside_damaged(self, group: str, key: str) -> str:
        """What is there under the key is not to be used; where it is now. Needs the lock."""
        return self._set_aside(DAMAGED, group, key)

    def remove_leftovers(self, group: str, key: str) -> None:
        """What processes that were killed were putting or removing under this key; needs the lock."""
        with contextlib.suppress(OSError):
            for name in os.listdir(os.path.join(self.folder, BUILDING)):
                if name.startswith(f"{group}.{key}."):
                    shutil.rmtree(os.path.join(self.folder, BUILDING, name), ignore_errors=True)

    # --- inside

    def _entry(self, group: str, key: str) -> str:
        return os.path.join(self.folder, group, key)

    def _aside(self, where: str, group: str, key: str) -> str:
        folder = os.path.join(self.folder, where)
        self._make_folder(folder)
        return os.path.join(folder, f"{group}.{key}.{os.urandom(8).hex()}")

    def _set_aside(self, where: str, group: str, key: str) -> str:
        aside = self._aside(where, group, key)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._entry(group, key), aside)
        return aside

    @property
    def _folder_mode(self) -> int:
        return stat.S_IMODE(os.stat(self.folder).st_mode)

    def _prepare(self) -> None:
        """Make it a store, if it is empty."""
        os.makedirs(self.folder, exist_ok=True)
        path = os.path.join(self.folder, MARK)
        try:
            with open(path, encoding="utf-8", errors="replace") as mark:
                if mark.readline() != _MARK_TEXT.splitlines(keepends=True)[0]:
                    raise OSError(errno.EINVAL, "made by a newer version of pipegraph", self.folder)
        except FileNotFoundError:
            if any(not name.startswith(MARK) for name in os.listdir(self.folder)):
                raise OSError(errno.ENOTEMPTY, "it holds other things than results", self.folder) from None
            new = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
            with open(new, "x", encoding="utf-8") as out:
                out.write(_MARK_TEXT)
            os.chmod(new, self._folder_mode & 0o666)
            os.rename(new, path)

    def _make_folder(self, path: str) -> None:
        try:
            os.mkdir(path)
        except FileExistsError:
            return
        os.chmod(path, self._folder_mode)  # whatever the umask is

    def _note_use(self, entry: str) -> None:
        """Times of access are not kept everywhere."""
        with contextlib.suppress(OSError):  # a folder that is only to be read
            path = f"{entry}/{USED}{os.geteuid()}"
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
            os.utime(path)


def read_manifest(entry: str) -> Manifest:
    """Raises FileNotFoundError, Damaged."""
    with open(f"{entry}/{_MANIFEST}", "rb") as source:
        data = source.read()
    try:
        values: dict[str, Any] = json.loads(data)
        values["files"] = tuple((str(path), int(size), str(content)) for path, size, content in values["files"])
        return Manifest(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged from error


def _mode_here(kept: int) -> int:
    """Of a file in a project, if it is not linked: as an ordinary new file."""
    mask = os.umask(0o077)
    os.umask(mask)
    return (0o666 | (kept & _EXECUTABLE)) & ~mask


def _leave(path: str) -> None:
    """It gets to the disk when the kernel finds it time."""


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
