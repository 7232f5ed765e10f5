"""Lines for whoever reads stderr, and no harm if nobody does."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def say(stream: TextIO | None, text: str) -> bool:
    """Write whole lines, if anybody reads; whether that may be so.

    What can't be encoded is written as backslash escapes.
    """
    if stream is None:
        return False
    data = text.encode("utf-8", "backslashreplace")
    belongs_to_process = stream is sys.__stderr__
    try:
        stream.flush()
        if not belongs_to_process:
            stream.write(data.decode())
            stream.flush()
            return True
        # Not through it: what nobody reads would stay in it, and Python would end with status 120 for that.
        data = data.decode().encode(stream.encoding, "backslashreplace")
        while data:
            data = data[os.write(stream.fileno(), data) :]
    except (OSError, ValueError):
        return False
    return True
