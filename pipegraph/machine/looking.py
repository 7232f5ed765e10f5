"""A look at the ledger from outside: who shares this machine, and what each holds and waits for. Changes nothing."""

from __future__ import annotations

import time
from typing import NamedTuple

from .place import Place, unusable
from .sharing import Amounts
from .table import Table


class Share(NamedTuple):
    """What one run has of one slave.

    Attributes
    ----------
    pid
        As its own processes see it, which may be in a container.
    since
        When it joined, as time.time().
    capacity
        What the run may use at most.
    machine
        What it says is there for all runs together.
    wanted
        What its next job waits for; None if it does not wait.
    waiting_seconds
        For how long by now.
    """

    pid: int
    user: str
    host: str
    script: str
    run: str
    since: float
    slave: str
    capacity: Amounts
    machine: Amounts
    held: Amounts
    wanted: Amounts | None
    waiting_seconds: float


def look(place: Place) -> list[Share]:
    """Who shares this machine now, whoever came first first; empty if nobody does. Not to join, and without the lock.

    Raises
    ------
    LedgerUnusable
        There is something else in its place, or it may not be read.
    """
    table = Table.open_to_look(place)
    if table is None:
        return []
    try:
        return sorted(_shares(table), key=lambda share: share.since)
    except OSError as error:
        raise unusable(table.path, error) from error
    finally:
        table.close()


def _shares(table: Table) -> list[Share]:
    now = time.monotonic()
    found = []
    rows = table.rows()
    if None in rows.values():
        # It was written just then.
        rows = table.rows()
    for number, row in rows.items():
        who = table.who(number)
        # Damaged ones are written again by their runs.
        if row is None or who is None or not table.is_alive(number):
            continue
        found.append(
            Share(
                row.pid,
                who.user,
                who.host,
                who.script,
                who.run,
                who.since,
                who.slave,
                Amounts(row.cores, row.memory_bytes),
                Amounts(row.machine_cores, row.machine_memory_bytes),
                Amounts(row.held_cores, row.held_bytes),
                Amounts(row.wanted_cores, row.wanted_bytes) if row.is_waiting else None,
                max(0.0, now - row.since) if row.is_waiting else 0.0,
            )
        )
    return found
