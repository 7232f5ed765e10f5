"""The ledger: what this run holds of the cores and the memory that it shares with other runs on the machine.

Owns the truth about this run, and its rows in the table, one for each slave: it writes them again at every look, should
they have been damaged, and takes new ones where the table was removed. Every change is one look at all rows under the
table's lock. Who may take what is decided in `sharing`. There is no daemon: whoever changes something wakes whom that
lets go on, and tidies up after those that were killed.

Whatever goes wrong later than in `Ledger.join` ends the sharing, not the run: it is told once, as `Ledger.fault`, and
every claim is granted from then on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

from xxhash import xxh3_64_intdigest

from .place import LedgerUnusable, Place, unusable
from .sharing import Amounts, Claimant, rest_seconds, share_cores, takers
from .table import Row, Table, Who
from .waking import Process, Waking

SlaveName: TypeAlias = str

LOOK_SECONDS: Final = 1.0
"""How often a run that waits looks, also when nobody wakes it."""

UNSEEN_SECONDS: Final = 10.0
"""Nothing is kept for a run that waits and has not looked for so long: it is stopped."""

_LOCK_SECONDS: Final = 0.25
_RETRY_SECONDS: Final = 0.05
_STUCK_SECONDS: Final = 5.0


class Capacity(NamedTuple):
    """Of a slave: what this run may use at most, and what is there for all runs together."""

    run: Amounts
    machine: Amounts


class Holder(NamedTuple):
    """Who runs, for people to read."""

    script: str
    run: str
    user: str
    host: str

    @classmethod
    def here(cls, script: str, run: str) -> Holder:
        """This user, on this machine."""
        import pwd

        user = str(os.geteuid())
        with suppress(KeyError):
            user = pwd.getpwuid(os.geteuid()).pw_name
        return cls(script, run, user, os.uname().nodename)


class Ledger:
    """This run's part in it, from `join` to `close`. For one thread.

    Attributes
    ----------
    fault
        Why nothing is shared any more, and what to do about it, in one line; empty while all is well.
    """

    def __init__(
        self, place: Place, holder: Holder, capacity: Mapping[SlaveName, Capacity], clock: Callable[[], float]
    ) -> None:
        self.fault = ""
        self._place = place
        self._holder = holder
        self._clock = clock
        self._joined_at = time.time()
        process = Process.current()
        self._pid = process.pid
        self._row_of = {
            slave: Row(xxh3_64_intdigest(slave.encode(errors="surrogateescape")), *process, *run, *machine)
            for slave, (run, machine) in capacity.items()
        }
        self._written_of = dict(self._row_of)
        self._number_of: dict[SlaveName, int] = {}
        self._waiting = 0
        self._looked_at = clock()
        self._stuck_since: float | None = None
        self._waking = Waking()
        self._table: Table | None = None

    @classmethod
    def join(
        cls,
        place: Place,
        holder: Holder,
        capacity: Mapping[SlaveName, Capacity],
        clock: Callable[[], float] = time.monotonic,
    ) -> Ledger:
        """Take part.

        Parameters
        ----------
        clock
            CLOCK_MONOTONIC in seconds, which all processes of a machine have in common.

        Raises
        ------
        LedgerUnusable
            With the reason, and what to do about it.
        """
        try:
            ledger = cls(place, holder, capacity, clock)
        except OSError as error:
            raise unusable(place.path, error) from error
        try:
            ledger._enter()
        except OSError as error:
            ledger.close_in_fork()
            raise unusable(place.path, error) from error
        except LedgerUnusable:
            ledger.close_in_fork()
            raise
        return ledger

    # --- to take and to give back

    def claim(self, slave: SlaveName, cores: int, memory_bytes: int) -> bool:
        """Take so much for a job; False: not now, and it is noted that this run waits for it."""
        self._want(slave, cores, memory_bytes)
        return self._settle(slave) or bool(self.fault)

    def wait_for(self, slave: SlaveName, cores: int, memory_bytes: int) -> None:
        """Note that this run waits for so much, without taking it."""
        self._want(slave, cores, memory_bytes)
        self._settle()

    def stop_waiting(self) -> None:
        """No job is queued any more."""
        if any(row.is_waiting for row in self._row_of.values()):
            for slave, row in self._row_of.items():
                self._row_of[slave] = row._replace(is_waiting=False)
            self._settle()

    def release(self, slave: SlaveName, cores: int, memory_bytes: int) -> None:
        """Give back what ended jobs held, and wake who waits for it."""
        row = self._row_of[slave]
        held_cores, held_bytes = max(0, row.held_cores - cores), max(0, row.held_bytes - memory_bytes)
        self._row_of[slave] = row._replace(held_cores=held_cores, held_bytes=held_bytes)
        self._settle()

    def others_wait(self) -> bool:
        """Whether another run waits; then what ended jobs held is to be given back rather than used again."""
        if self._table is None:
            return False
        try:
            return self._table.waiting() > self._waiting
        except OSError as error:
            self._fail(error)
            return False

    def set_capacity(self, slave: SlaveName, capacity: Capacity) -> None:
        """From now on; what is held stays held."""
        run, machine = capacity
        self._row_of[slave] = self._row_of[slave]._replace(
            cores=run.cores,
            memory_bytes=run.memory_bytes,
            machine_cores=machine.cores,
            machine_memory_bytes=machine.memory_bytes,
        )
        self._settle()

    # --- to be woken

    def fileno(self) -> int:
        """To be polled: readable when `attend` is to be called, and `claim` to be tried again."""
        return self._waking.fileno()

    def next_look(self) -> float | None:
        """When to do that at the latest, as time.monotonic(); None while there is nothing to wait for."""
        if self._table is None:
            return None
        if self._stuck_since is not None:
            return self._looked_at + _RETRY_SECONDS
        waiting = [row for row in self._row_of.values() if row.is_waiting]
        rests = [row.rests_until for row in waiting if row.rests_until > self._looked_at]
        return min([self._looked_at + LOOK_SECONDS, *rests]) if waiting else None

    def attend(self) -> None:
        """Take note of wakes, and look whether all is right."""
        self._waking.drain()
        self._settle()

    # --- to leave

    def close_in_fork(self) -> None:
        """In a fork of the run's process, which is no part of it: close all descriptors, change nothing. Idempotent."""
        self._waking.close()
        if self._table is not None:
            self._table.close()
            self._table = None

    def close(self) -> None:
        """Give everything back, and wake who waits for it. Idempotent."""
        if self._table is not None and self._pid == os.getpid():
            for slave, row in self._row_of.items():
                self._row_of[slave] = row._replace(held_cores=0, held_bytes=0, is_waiting=False)
            self._settle()
        self.close_in_fork()

    # --- the one way in which the table is changed

    def _want(self, slave: SlaveName, cores: int, memory_bytes: int) -> None:
        """A run keeps its place in the line until it is granted something, also if another job is to be next."""
        row = self._row_of[slave]
        since = row.since if row.is_waiting else self._clock()
        self._row_of[slave] = row._replace(is_waiting=True, wanted_cores=cores, wanted_bytes=memory_bytes, since=since)

    def _settle(self, claimed: SlaveName = "") -> bool:
        """Bring the table up to date; whether this run now holds what it wanted of the slave that it claimed."""
        to_wake: list[int] = []
        is_granted = False
        try:
            if self._table is not None:
                is_granted = self._under_lock(self._table, claimed, to_wake)
        except (OSError, LedgerUnusable) as error:
            self._fail(error)
        for token in to_wake:
            self._waking.wake(token)
        return is_granted

    def _under_lock(self, table: Table, claimed: SlaveName, to_wake: list[int], has_entered: bool = False) -> bool:
        if not table.lock(_LOCK_SECONDS if self._stuck_since is None else 0.0):
            self._note_stuck(table)
            return False
        self._stuck_since = None
        try:
            if table.is_in_place:
                return self._look(table, claimed, to_wake)
        finally:
            table.unlock()
        # Logging out removes a user's files in /dev/shm (RemoveIPC in logind.conf(5)), while runs go on.
        if has_entered:
            raise unusable(table.path, "somebody removes it again and again")
        return self._under_lock(self._enter(), claimed, to_wake, has_entered=True)

    def _look(self, table: Table, claimed: SlaveName, to_wake: list[int]) -> bool:
        """Everything that happens under the lock: see all rows, take, tidy up, tell."""
        now = self._clock()
        rows = {number: row for number, row in table.rows().items() if number not in self._number_of.values()}
        self._rest(rows, now)
        is_granted = claimed in self._row_of and self._take(claimed, rows, now)
        if not is_granted and self._clear_ended(table, rows):
            is_granted = claimed in self._row_of and self._take(claimed, rows, now)
        for slave, number in self._number_of.items():
            table.write(number, self._row_of[slave])
        self._written_of = dict(self._row_of)
        self._waiting = sum(row.is_waiting for row in self._row_of.values())
        table.write_waiting(self._waiting + sum(row.is_waiting for row in rows.values() if row is not None))
        if not is_granted:
            for number in self._to_be_woken(rows, now):
                who = table.who(number)
                if who is not None:
                    to_wake.append(who.token)
        return is_granted

    def _rest(self, rows: Mapping[int, Row | None], now: float) -> None:
        """Since the last look this run held what it held then: was it more than its share, while others waited?"""
        for slave, row in self._row_of.items():
            before, rests_until = self._written_of[slave], row.rests_until
            neighbours = _of_slave(row.slave, rows).values() if before.held_cores else ()
            waiting_since = min((each.since for each in neighbours if each.is_waiting), default=now)
            seconds = now - max(waiting_since, self._looked_at)
            if seconds > 0:
                everybody = [before, *neighbours]
                share = share_cores(_total(everybody).cores, _claimants(everybody, now))
                more_seconds = rest_seconds(before.held_cores, share, seconds)
                if more_seconds:
                    # The time in which it held so much was no rest.
                    rests_until = now + max(0.0, rests_until - self._looked_at) + more_seconds
            self._row_of[slave] = row._replace(looked_at=now, rests_until=rests_until)
        self._looked_at = now

    def _take(self, slave: SlaveName, rows: Mapping[int, Row | None], now: float) -> bool:
        """What this run wants, if it may."""
        row = self._row_of[slave]
        if self._number_of[slave] not in self._takers(slave, rows, now):
            return False
        held_cores, held_bytes = row.held_cores + row.wanted_cores, row.held_bytes + row.wanted_bytes
        self._row_of[slave] = row._replace(held_cores=held_cores, held_bytes=held_bytes, is_waiting=False)
        return True

    def _clear_ended(self, table: Table, rows: dict[int, Row | None]) -> bool:
        """Of runs that ended without a word: what they held, if this one waits, and that they wait. Any?"""
        before = len(rows)
        is_waiting = any(row.is_waiting for row in self._row_of.values())
        if is_waiting:
            self._waking.watch(row.process for row in rows.values() if row is not None)
        for number, row in list(rows.items()):
            if not is_waiting and row is not None and not row.is_waiting:
                continue
            if not table.is_alive(number) or (row is not None and row.process in self._waking.ended):
                table.clear(number)
                del rows[number]
        return len(rows) < before

    def _to_be_woken(self, rows: Mapping[int, Row | None], now: float) -> list[int]:
        """Who may take something now, and whose row is damaged: only its run knows what is to be in it."""
        found = [number for number, row in rows.items() if row is None]
        for slave in self._row_of:
            found += [number for number in self._takers(slave, rows, now) if number in rows]
        return found

    def _takers(self, slave: SlaveName, rows: Mapping[int, Row | None], now: float) -> list[int]:
        """The numbers of the rows, this run's too, of those that wait and may take what they want."""
        mine = self._row_of[slave]
        # In one order, whoever looks.
        row_of = dict(sorted({self._number_of[slave]: mine, **_of_slave(mine.slave, rows)}.items()))
        if not any(row.is_waiting for row in row_of.values()):
            return []
        neighbours = list(row_of.values())
        numbers = list(row_of)
        return [numbers[at] for at in takers(_total(neighbours), _claimants(neighbours, now), now)]

    # --- the table itself

    def _enter(self) -> Table:
        """Open the table, and have rows there."""
        if self._table is not None:
            self._table.close()
        table = self._table = Table.open(self._place)
        if not table.lock(_STUCK_SECONDS):
            raise _stuck(table)
        try:
            for slave, row in self._row_of.items():
                number = table.take_row(Who(self._waking.token, self._joined_at, *self._holder, slave))
                if number is None:
                    raise unusable(table.path, "too many runs use it", "Wait until some have ended.")
                table.write(number, row)
                self._number_of[slave] = number
        finally:
            table.unlock()
        return table

    def _note_stuck(self, table: Table) -> None:
        """Another process has the lock, and does not move: it is noted later what happened here, but not much later."""
        self._looked_at = self._clock()
        if self._stuck_since is None:
            self._stuck_since = self._looked_at
        elif self._looked_at - self._stuck_since > _STUCK_SECONDS:
            raise _stuck(table)

    def _fail(self, error: OSError | LedgerUnusable) -> None:
        """From now on the run is by itself."""
        if isinstance(error, OSError):
            error = unusable(self._table.path if self._table is not None else self._place.path, error)
        facts = "; ".join(f"{name}: {value}" for name, value in error.facts)
        self.fault = f"{error.headline}, this run goes on without that: {facts}. {error.mend}"
        if self._table is not None:
            self._table.close()
            self._table = None


def _of_slave(slave: int, rows: Mapping[int, Row | None]) -> dict[int, Row]:
    """Rows of one slave that are not damaged."""
    return {number: row for number, row in rows.items() if row is not None and row.slave == slave}


def _total(rows: list[Row]) -> Amounts:
    """What is there, by who says most: who may use less says of the machine what others do, or does not know."""
    return Amounts(max(row.machine_cores for row in rows), max(row.machine_memory_bytes for row in rows))


def _claimants(rows: list[Row], now: float) -> list[Claimant]:
    return [row.claimant(now - UNSEEN_SECONDS) for row in rows]


def _stuck(table: Table) -> LedgerUnusable:
    pid = table.locked_by()
    return unusable(table.path, f"process {pid or 'unknown'} holds its lock, and does not move", "Continue or end it.")
