"""``pipegraph status --machine``: the runs that share this machine, and what each holds."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from ..errors import shown
from ..machine.amounts import size_of
from ..machine.sharing import Amounts
from .shared import counted

if TYPE_CHECKING:
    from ..machine.looking import Share

_NOT_SHARED = 1


def show(is_json: bool) -> int:
    """Print who shares this machine now; the exit status.

    Raises
    ------
    LedgerUnusable
        What they share by can't be read.
    """
    from ..machine.looking import look
    from ..machine.place import VARIABLE, place_of

    place = place_of(os.environ)
    if place is None:
        print(f"Nothing is shared: {VARIABLE} is off.", file=sys.stderr)
        return _NOT_SHARED
    shares = look(place)
    if is_json:
        _print_json(shares)
    elif not shares:
        print(f"No run uses this machine (as far as {place.path} knows).")
    else:
        print("\n".join(lines_of(shares)))
    return 0


def _print_json(shares: list[Share]) -> None:
    import json

    keys = ("pid", "user", "host", "script", "run", "since", "slave", "waiting_seconds")
    amounts = ("capacity", "machine", "held", "wanted")
    rows = [
        {key: getattr(share, key) for key in keys}
        | {name: None if (one := getattr(share, name)) is None else one._asdict() for name in amounts}
        for share in shares
    ]
    json.dump(rows, sys.stdout, indent=2)
    print()


def lines_of(shares: list[Share]) -> list[str]:
    """A sum, and a row for each run: what it holds, of what it may use, and what its next job waits for."""
    cores = max(share.machine.cores for share in shares)
    memory_bytes = max(share.machine.memory_bytes for share in shares)
    held = Amounts(sum(share.held.cores for share in shares), sum(share.held.memory_bytes for share in shares))
    first = f"{counted(len(shares), 'run')} on {shown(shares[0].host)}, together {held.cores} of "
    first += f"{counted(cores, 'core')} and {size_of(held.memory_bytes)} of {size_of(memory_bytes)}"
    rows = [("user", "pid", "since", "cores", "memory", "waits for", "script")]
    rows += [
        (
            shown(share.user),
            str(share.pid),
            _moment(share.since),
            f"{share.held.cores} of {share.capacity.cores}",
            f"{size_of(share.held.memory_bytes)} of {size_of(share.capacity.memory_bytes)}",
            "-" if share.wanted is None else f"{_amount(share.wanted)}, for {_duration(share.waiting_seconds)}",
            shown(share.script),
        )
        for share in shares
    ]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [first, "", *("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)]


def _amount(amount: Amounts) -> str:
    texts = [counted(amount.cores, "core")] if amount.cores else []
    texts += [size_of(amount.memory_bytes)] if amount.memory_bytes else []
    return " and ".join(texts)


def _moment(since: float) -> str:
    is_today = time.strftime("%F", time.localtime(since)) == time.strftime("%F")
    return time.strftime("%H:%M" if is_today else "%F %H:%M", time.localtime(since))


def _duration(seconds: float) -> str:
    for unit, length in ("s", 1), ("min", 60):
        if seconds < 120 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 3600:.1f} h"
