"""The master's side of processes that jobs share: which worker has got which orders, and what becomes of those it left.

A worker has a queue, a pair of sockets, into which the master writes; the master keeps the end that is read, too. So it
can take back what has not been begun: what it gets is nobody else's, and what it does not get has been begun. It
owns no cores: a job that was told ahead waits behind another one, on whose core it begins, or here, until `go`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from ..events import Event, JobBegan, JobFailed, JobStopped
from ..model import JobId, JobSpec
from . import messages
from .deaths import not_started
from .protocol import Order


class Forebear(Protocol):
    """The slave that forks a worker."""

    running: dict[int, JobSpec]
    outbox: messages.Outbox


class _Worker:
    """One process, seen from the master."""

    __slots__ = (
        "began_at",
        "cpu_seconds",
        "has_reported",
        "is_leaving",
        "is_stopped",
        "number",
        "other_end",
        "outbox",
        "slave",
        "tokens",
    )

    def __init__(self, number: int, slave: Forebear, end: messages.End, other_end: messages.End) -> None:
        self.number = number
        self.slave = slave
        self.outbox = messages.Outbox(end)
        self.other_end = other_end
        # In its hands or in its queue, the first to begin first.
        self.tokens: list[int] = []
        self.began_at = 0.0
        self.cpu_seconds = 0.0
        self.has_reported = self.is_leaving = self.is_stopped = False

    def close(self) -> None:
        self.outbox.close()
        self.other_end.close()


class Workers:
    """All workers of a run.

    Parameters
    ----------
    current
        The slave that new ones are forked from.
    next_number
        For a worker, from the numbers that jobs get as tokens.
    tell
        Takes what happened.
    """

    def __init__(
        self, current: Callable[[], Forebear], next_number: Callable[[], int], tell: Callable[[Event], None]
    ) -> None:
        self._current = current
        self._next_number = next_number
        self._tell = tell
        self._workers: dict[int, _Worker] = {}
        self._worker_of: dict[int, _Worker] = {}
        self._slave_of: dict[int, Forebear] = {}
        # Told ahead, with nobody to wait behind; the oldest first.
        self._held: list[Order] = []
        # Those that have cores: they run, or are to be begun at once by whoever gets them.
        self._begun: set[int] = set()

    # --- what the run wants

    def start(self, spec: JobSpec, order: Order, is_ahead: bool) -> None:
        """Have a job run, at once or when its turn comes."""
        slave = self._current()
        slave.running[order.token] = spec
        self._slave_of[order.token] = slave
        if is_ahead:
            self._held.append(order)  # it is the youngest
            self._place_held()
        else:
            self._begin(order)

    def go(self, token: int) -> bool:
        """A core is free for a job that was told ahead; false if it is none of a worker's."""
        if token not in self._slave_of:
            return False
        self._begun.add(token)
        for order in self._held:
            if order.token == token:
                self._held.remove(order)
                self._begin(order)
                return True
        taken = self._take_back_one(self._worker_of[token])
        if taken is not None:
            if taken.token != token:  # which has just been begun; its core is that of the job that this one waited for
                self._tell(JobBegan(taken.job))
            self._begin(taken)
        return True

    def stop(self, jobs: list[JobId] | None, read_reports: Callable[[], None]) -> list[int]:
        """Drop what has not begun, of these jobs or all; the workers that have one of them in their hands."""
        orders, self._held = self._held, []
        for worker in self._workers.values():
            orders += self._take_back(worker)
        # Whoever has taken an order has reported on the one before: now it is known what each has in its hands.
        read_reports()
        left = []
        for order in orders:
            if jobs is None or order.job in jobs:
                self._remove(order.token)
                self._tell(JobStopped(order.job, has_begun=False))
            else:
                left.append(order)
        stopped = []
        for worker in self._workers.values():
            if worker.tokens and (jobs is None or worker.slave.running[worker.tokens[0]].id in jobs):
                worker.is_stopped = worker.is_leaving = True
                stopped.append(worker.number)
        self._rehome(left)
        return stopped

    def close(self, slave: Forebear) -> None:
        """What this slave holds in memory is not what later jobs are to find: its workers end when they are done."""
        unsent = []
        for worker in self._workers.values():
            if worker.slave is slave and not worker.is_leaving:
                worker.is_leaving = True
                while (order := self._unsent(worker)) is not None:
                    unsent.append(order)
                worker.outbox.close()
        self._rehome([*self._held, *unsent])

    def runs(self, token: int) -> tuple[int, float]:
        """The number of the worker that has this job in its hands, and since when; 0: none has."""
        worker = self._worker_of.get(token)
        return (worker.number, worker.began_at) if worker is not None and worker.tokens[0] == token else (0, 0.0)

    @property
    def are_there(self) -> bool:
        """There is one that may have something to tell."""
        return bool(self._workers)

    @property
    def are_behind(self) -> bool:
        """There is something that could not be sent yet."""
        return any(worker.outbox.unsent for worker in self._workers.values())

    def flush(self) -> None:
        """Send what there is room for now."""
        for worker in self._workers.values():
            worker.outbox.flush()

    # --- what happened

    def reported(self, token: int, cpu_seconds: float) -> tuple[int, Forebear, JobSpec, bool] | None:
        """A job's end was told: worker, slave, job, whether it was stopped; None if it is counted as lost."""
        worker = self._worker_of.get(token)
        if worker is None:
            return None
        spec = worker.slave.running[token]
        self._remove(token)
        worker.cpu_seconds += cpu_seconds
        worker.has_reported = True
        worker.began_at = time.time()
        return worker.number, worker.slave, spec, worker.is_stopped

    def go_on(self, number: int, is_leaving: bool) -> None:
        """The worker that reported has begun its next job, or ends; called when the report has been told of."""
        worker = self._workers[number]
        left = []
        if is_leaving:
            worker.is_leaving = True
            left = self._take_back(worker)
        following = left[0].token if left else worker.tokens[0] if worker.tokens else 0
        if following:
            self._begun.add(following)
            self._tell(JobBegan(self._slave_of[following].running[following].id))
        if is_leaving:
            self._rehome(left)
        elif self._held:
            self._place_held()

    def ended(self, number: int, status: int) -> None:
        """A worker is no more; its slave waits for the word on what it had in its hands."""
        worker = self._workers.pop(number, None)
        if worker is None:
            return
        left = self._take_back(worker)
        if not worker.tokens and left and status and not worker.has_reported and left[0].token in self._begun:
            # It did not live to begin anything. Another one may not, either.
            worker.tokens.append(left.pop(0).token)
        token, job = 0, ""
        for token in worker.tokens:
            job = worker.slave.running[token].id
            self._worker_of.pop(token, None)
            self._slave_of.pop(token, None)
            self._begun.discard(token)
        worker.slave.outbox.say(("had", number, token, job, worker.began_at, worker.cpu_seconds))
        worker.close()
        self._rehome(left)

    def not_begun(self, number: int, error_number: int) -> bool:
        """A worker could not be forked; false if this is the number of none."""
        worker = self._workers.pop(number, None)
        if worker is None:
            return False
        left = self._take_back(worker)
        worker.close()
        if left:
            self._fail(left.pop(0), error_number)
        self._rehome(left)
        return True

    def forget(self, slave: Forebear) -> None:
        """It is no more, and neither are its workers; nor is what it was running, all of it."""
        for number, worker in list(self._workers.items()):
            if worker.slave is slave:
                worker.close()
                del self._workers[number]
        lost = [token for token, holder in self._slave_of.items() if holder is slave]
        for token in lost:
            del self._slave_of[token]
            self._worker_of.pop(token, None)
            self._begun.discard(token)
        self._held = [order for order in self._held if order.token in self._slave_of]

    # --- who gets what

    def _begin(self, order: Order) -> None:
        """By one that has nothing to do, or by a new one."""
        self._begun.add(order.token)
        slave = self._current()
        for worker in self._workers.values():
            if not worker.tokens and not worker.is_leaving and worker.slave is slave:
                break
        else:
            try:
                worker = self._new_worker(slave)
            except OSError as error:
                self._fail(order, error.errno)
                return
        worker.began_at = time.time()
        self._give(worker, order)
        if self._held:
            self._place_held()

    def _new_worker(self, slave: Forebear) -> _Worker:
        ours, theirs = messages.pair()
        try:
            other_end = messages.End(fileno=os.dup(theirs.fileno()))
        except OSError:
            ours.close()
            theirs.close()
            raise
        worker = _Worker(self._next_number(), slave, ours, other_end)
        self._workers[worker.number] = worker
        slave.outbox.say(("worker", worker.number), theirs)
        return worker

    def _place_held(self) -> None:
        """Behind what runs, where least waits already."""
        slave = self._current()
        busy = [
            worker
            for worker in self._workers.values()
            if worker.tokens and not worker.is_leaving and worker.slave is slave
        ]
        while busy and self._held:
            self._give(min(busy, key=lambda worker: len(worker.tokens)), self._held.pop(0))

    def _give(self, worker: _Worker, order: Order) -> None:
        token = order.token
        self._move(token, worker.slave)
        worker.tokens.append(token)
        self._worker_of[token] = worker
        worker.outbox.say(tuple(order))

    def _move(self, token: int, slave: Forebear) -> None:
        before = self._slave_of[token]
        if before is not slave:
            slave.running[token] = before.running.pop(token)
            self._slave_of[token] = slave

    def _rehome(self, orders: list[Order]) -> None:
        """What has been taken back: what has a core is begun at once, the rest waits as before."""
        if not orders:
            return
        slave = self._current()
        held = {order.token: order for order in (*self._held, *orders)}
        self._held = []
        for token in sorted(held):
            # The slave before may end now, and would seem to have been running it.
            self._move(token, slave)
            if token in self._begun:
                self._begin(held[token])
            else:
                self._held.append(held[token])
        self._place_held()

    def _take_back(self, worker: _Worker) -> list[Order]:
        """All that it has not begun, the oldest first."""
        found = []
        while (order := self._take_back_one(worker)) is not None:
            found.append(order)
        return found

    def _take_back_one(self, worker: _Worker) -> Order | None:
        try:
            received = messages.receive(worker.other_end)
        except messages.Gone:
            received = None
        if received is None:
            return self._unsent(worker)
        return self._without(worker, Order._make(received[0]))

    def _unsent(self, worker: _Worker) -> Order | None:
        if not worker.outbox.unsent:
            return None
        return self._without(worker, Order._make(worker.outbox.unsent.popleft()[0]))

    def _without(self, worker: _Worker, order: Order) -> Order:
        worker.tokens.remove(order.token)
        del self._worker_of[order.token]
        return order

    def _fail(self, order: Order, error_number: int | None) -> None:
        self._remove(order.token)
        self._tell(JobFailed(order.job, not_started(error_number)))

    def _remove(self, token: int) -> None:
        slave = self._slave_of.pop(token)
        del slave.running[token]
        self._begun.discard(token)
        worker = self._worker_of.pop(token, None)
        if worker is not None:
            worker.tokens.remove(token)
