"""What to do when the system refuses a file. Opens none itself."""

from __future__ import annotations

import errno
from typing import Final

MEND_NO_ROOM: Final = "Make room on that disk (or raise the quota) and run again. What was recorded before is kept."
_MEND_FILES: Final = "Raise the limit of open files (ulimit -n), or close what the script need not keep open."
_MENDS: Final = {
    errno.ENOSPC: MEND_NO_ROOM,
    errno.EDQUOT: MEND_NO_ROOM,
    errno.EFBIG: MEND_NO_ROOM,
    errno.EMFILE: _MEND_FILES,
    errno.ENFILE: _MEND_FILES,
}


def mend_for(error: OSError, otherwise: str) -> str:
    """What mends this error, whatever was wanted; else the mend for what was wanted."""
    return _MENDS.get(error.errno or 0, otherwise)
