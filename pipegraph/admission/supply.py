"""Whom a run shares its cores with: other runs on this machine, by the ledger; or recipes of the make it runs under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from ..machine.capacity import Capacity, machine_cores, machine_memory
from ..machine.ledger import Capacity as OfSlave
from ..machine.ledger import Holder, Ledger
from ..machine.place import LedgerUnusable, place_of
from ..machine.sharing import Amounts

if TYPE_CHECKING:
    from ..machine.under_make import Borrowing


class Supply(Protocol):
    """Cores and memory are had by `claim`, and given back by `release`; for one thread, and it never waits."""

    @property
    def fault(self) -> str:
        """Why nothing is shared any more; empty while all is well."""

    @property
    def waiting_for(self) -> str:
        """What a job waits for that was refused, in words."""

    def set_cores(self, cores: int) -> None:
        """This run may use so many from now on."""

    def claim(self, cores: int, memory_bytes: int, is_only: bool) -> int | None:
        """Take so much for a job; which is the only one if nothing else of this run runs.

        Returns
        -------
        int or None
            How many cores were taken: perhaps fewer than asked for if it is the only one. None: it can't start now.
        """

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

    waiting_for = "waits for what other runs on this machine hold"

    def __init__(self, ledger: Ledger, slave: str, run: Amounts) -> None:
        self._ledger = ledger
        self._slave = slave
        self._run = run
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

    def set_cores(self, cores: int) -> None:
        """More than there are, too."""
        self._run = self._run._replace(cores=cores)
        self._ledger.set_capacity(self._slave, _capacity(self._run))

    def claim(self, cores: int, memory_bytes: int, is_only: bool) -> int | None:
        """Of this run's slave, all or nothing."""
        return cores if self._ledger.claim(self._slave, cores, memory_bytes) else None

    def release(self, cores: int, memory_bytes: int) -> None:
        """Of this run's slave."""
        self._ledger.release(self._slave, cores, memory_bytes)


class FromMake:
    """Shared with other recipes of the make that started this run; make knows nothing of memory."""

    fault = ""
    waiting_for = "waits for what other recipes of make hold"

    def __init__(self, borrowing: Borrowing) -> None:
        self._borrowing = borrowing
        self._is_refused = False
        self.close = borrowing.close
        self.close_in_fork = borrowing.close_in_fork

    def set_cores(self, cores: int) -> None:
        """Make does not get more by that."""

    def claim(self, cores: int, memory_bytes: int, is_only: bool) -> int | None:
        """A job that wants more than can be had starts all the same if nothing else runs: it might wait for ever."""
        granted = self._borrowing.claim_some(cores) if is_only else cores if self._borrowing.claim(cores) else None
        self._is_refused = granted is None
        return granted

    def release(self, cores: int, memory_bytes: int) -> None:
        """The next in line is for make to choose."""
        self._borrowing.release(cores)

    def others_wait(self) -> bool:
        """That can't be known."""
        return False

    def stop_waiting(self) -> None:
        """Nothing is noted anywhere."""
        self._is_refused = False

    def fileno(self) -> int:
        """The pipe, while a token would be of use."""
        return self._borrowing.fileno() if self._is_refused and self.next_look() is None else -1

    def next_look(self) -> float | None:
        """More than one token is wanted: that some are there would wake this run again and again."""
        return self._borrowing.next_look() if self._is_refused else None

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
    borrowing: Borrowing | None = None
    reason = ""
    if environ.get("MAKEFLAGS"):
        from ..machine.under_make import Borrowing  # most runs are not started by make

        borrowing, reason = Borrowing.from_environment(environ)
    if borrowing is not None:
        return FromMake(borrowing), min(capacity.cores, borrowing.most or capacity.cores), ""
    place = place_of(environ)
    if place is None:
        return None, capacity.cores, reason
    holder = Holder.here(script, run)
    run_amounts = Amounts(capacity.cores, capacity.memory_bytes)
    try:
        ledger = Ledger.join(place, holder, {holder.host: _capacity(run_amounts)})
    except LedgerUnusable as error:
        return None, capacity.cores, error
    return FromLedger(ledger, holder.host, run_amounts), capacity.cores, reason


def _capacity(run: Amounts) -> OfSlave:
    """Who asks for more than there is gets it."""
    machine = Amounts(max(machine_cores(), run.cores), max(machine_memory(), run.memory_bytes))
    return OfSlave(run, machine)
