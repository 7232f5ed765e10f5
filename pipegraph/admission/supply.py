"""Whom a run shares its cores with: other runs on this machine, by the ledger; or recipes of the make it runs under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..machine.capacity import Capacity, machine_cores, machine_memory
from ..machine.ledger import Capacity as OfSlave
from ..machine.ledger import Holder, Ledger
from ..machine.place import LedgerUnusable, place_of
from ..machine.sharing import Amounts
from ..machine.under_make import Borrowing


class Supply(Protocol):
    """Cores and memory are had by `claim`, and given back by `release`; for one thread, and it never waits."""

    @property
    def fault(self) -> str:
        """Why nothing is shared any more; empty while all is well."""

    def claim(self, cores: int, memory_bytes: int, is_only: bool) -> bool:
        """Take so much for a job, the only one if nothing else of this run runs; False: not now."""

    def release(self, cores: int, memory_bytes: int) -> None:
        """Give back what is not needed."""

    def others_wait(self) -> bool:
        """What is not needed for a moment should be given back before it is used again."""

    def stop_waiting(self) -> None:
        """No job waits any more for what was refused."""

    def fileno(self) -> int:
        """Readable when `attend` is to be called, and what was refused may be had; -1: nothing is waited for."""

    def next_look(self) -> float | None:
        """Monotonic time at which that is to be done at the latest."""

    def attend(self) -> None:
        """Take note."""

    def close(self) -> None:
        """Give all back."""

    def close_in_fork(self) -> None:
        """In a fork of the run's process, to which nothing of it belongs."""


class FromLedger:
    """Shared with other runs on this machine."""

    def __init__(self, ledger: Ledger, slave: str) -> None:
        self._ledger = ledger
        self._slave = slave
        self.others_wait = ledger.others_wait
        self.stop_waiting = ledger.stop_waiting
        self.fileno = ledger.fileno
        self.next_look = ledger.next_look
        self.attend = ledger.attend
        self.close = ledger.close
        self.close_in_fork = ledger.close_in_fork

    @property
    def fault(self) -> str:
        """Why nothing is shared any more."""
        return self._ledger.fault

    def claim(self, cores: int, memory_bytes: int, is_only: bool) -> bool:
        """Of this run's slave."""
        return self._ledger.claim(self._slave, cores, memory_bytes)

    def release(self, cores: int, memory_bytes: int) -> None:
        """Of this run's slave."""
        self._ledger.release(self._slave, cores, memory_bytes)


class FromMake:
    """Shared with other recipes of the make that started this run; make knows nothing of memory."""

    fault = ""

    def __init__(self, borrowing: Borrowing) -> None:
        self._borrowing = borrowing
        self._is_refused = False
        self._granted = 0
        self.next_look = borrowing.next_look
        self.close = borrowing.close
        self.close_in_fork = borrowing.close_in_fork

    def claim(self, cores: int, memory_bytes: int, is_only: bool) -> bool:
        """A job that wants more than can be had starts all the same if nothing else runs: it might wait for ever."""
        if is_only:
            self._is_refused = False
            self._granted += self._borrowing.claim_some(cores)
            return True
        self._is_refused = not self._borrowing.claim(cores)
        self._granted += 0 if self._is_refused else cores
        return not self._is_refused

    def release(self, cores: int, memory_bytes: int) -> None:
        """At once: make has other recipes."""
        given_back = min(cores, self._granted)
        self._granted -= given_back
        self._borrowing.release(given_back)

    def others_wait(self) -> bool:
        """That can't be known."""
        return False

    def stop_waiting(self) -> None:
        """Nothing is noted anywhere."""
        self._is_refused = False

    def fileno(self) -> int:
        """The pipe, while a token would be of use."""
        return self._borrowing.fileno() if self._is_refused and self.next_look() is None else -1

    def attend(self) -> None:
        """What was refused is claimed again anyway."""


def supply_of(
    environ: Mapping[str, str], script: str, run: str, capacity: Capacity
) -> tuple[Supply | None, int, LedgerUnusable | str]:
    """Whom a run shares with that begins now.

    Returns
    -------
    supply
        None: with nobody.
    cores
        That the run may use at the most.
    problem
        Why it does not share, where it should; else empty.
    """
    borrowing, reason = Borrowing.from_environment(environ)
    if borrowing is not None:
        return FromMake(borrowing), min(capacity.cores, borrowing.most or capacity.cores), ""
    place = place_of(environ)
    if place is None:
        return None, capacity.cores, reason
    holder = Holder.here(script, run)
    own = Amounts(capacity.cores, capacity.memory_bytes)
    # A script that asks for more than there is gets it.
    machine = Amounts(max(machine_cores(), own.cores), max(machine_memory(), own.memory_bytes))
    try:
        ledger = Ledger.join(place, holder, {holder.host: OfSlave(own, machine)})
    except LedgerUnusable as error:
        return None, capacity.cores, error
    return FromLedger(ledger, holder.host), capacity.cores, reason
