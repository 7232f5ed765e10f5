"""Where the ledger is: the folder that runs share, and whether it may be trusted.

Owns the choice of the folder and its checks; reads and writes nothing in it. The default depends on the user and the
machine only, never on the environment: runs from a terminal, from cron and from a batch system have to find the same.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from typing import Final, NamedTuple

from ..errors import PyPipeGraphError

VARIABLE: Final = "PIPEGRAPH_LEDGER"
"""Names a folder that several users share, or says ``off``."""

_FOLDERS: Final = ("/dev/shm", "/tmp")
_OTHER_FOLDER: Final = f"Name another folder in {VARIABLE}, or set it to off."
_REMOVE: Final = f"Have it removed, or name another folder in {VARIABLE}."
_MENDS: Final = {
    errno.ENOSPC: f"Free some space there. Or name another folder in {VARIABLE}.",
    errno.EDQUOT: f"Free some space there. Or name another folder in {VARIABLE}.",
    errno.ENOENT: f"Make it, open to all who share it (mkdir -m 1777). Or unset {VARIABLE}.",
}


class LedgerUnusable(PyPipeGraphError):
    """This run can't share cores and memory with others; it goes on without."""


class Place(NamedTuple):
    """A folder for a ledger.

    Attributes
    ----------
    path
        Absolute.
    is_shared
        It is there, and several users may write to it. Otherwise it is this user's alone, and is made if need be.
    """

    path: str
    is_shared: bool = False


def place_of(environment: Mapping[str, str]) -> Place | None:
    """Where the ledger is, as far as the environment says otherwise than usual; None: nothing is to be shared."""
    named = environment.get(VARIABLE, "").strip()
    if named == "off":
        return None
    if named:
        return Place(os.path.abspath(named), is_shared=True)
    usable = (folder for folder in _FOLDERS if os.access(folder, os.W_OK | os.X_OK))
    return Place(os.path.join(next(usable, _FOLDERS[-1]), f"pipegraph-{os.geteuid()}"))


def open_folder(place: Place) -> int:
    """A descriptor of the folder, which only names what is in it (O_PATH in open(2)).

    Raises
    ------
    LedgerUnusable
        It can't be had; or it is for this user alone, and somebody else could have made it, or could change it.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        if place.is_shared:
            return os.open(place.path, flags)
        try:
            os.mkdir(place.path, 0o700)
        except FileExistsError:
            pass
        folder = os.open(place.path, flags | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise unusable(place.path, "it is a link or a file, not a folder", _REMOVE) from error
        raise unusable(place.path, error) from error
    found = os.fstat(folder)
    if found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o022:
        return folder
    os.close(folder)
    if found.st_uid != os.geteuid():
        raise unusable(place.path, f"it belongs to another user (uid {found.st_uid})", _REMOVE)
    raise unusable(place.path, "others may write to it", f"Close it to them: chmod 700 {place.path}")


def unusable(path: str, because: OSError | str, mend: str = "") -> LedgerUnusable:
    """What to say, and what to do about it."""
    if isinstance(because, OSError):
        mend = mend or _MENDS.get(because.errno or 0, "")
        because = "it is a link" if because.errno == errno.ELOOP else because.strerror or str(because)
    return LedgerUnusable(
        "cores and memory can't be shared with other runs on this machine",
        [("ledger", path), ("because", because)],
        mend or _OTHER_FOLDER,
    )
