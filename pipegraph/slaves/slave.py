"""The slave's own loop: what the master tells it to do, and what it tells the master of each end.

Single-threaded. It waits in one place, for messages and dead children alike. Owns what was told ahead, the files that
jobs print into, and the socket to the master; what runs is kept by `Processes`, and forks begin in `Forks`. The fork of
a job that changed the slave becomes a slave itself: it leaves all that its forebear was doing by `Succession`.
"""

from __future__ import annotations

import errno
import gc
import operator
import os
import select
import signal
import time

from ..explanations import Explanation
from ..model import MEASURED_FROM_SECONDS, NOTHING_PRINTED, Fingerprint, Grant, JobId
from ..programs import Launch, keep_from_programs
from . import messages, sweep
from .capture import Slot
from .child import FAILED, Told, packed, put_away
from .forks import Forks
from .launched import NotBegun, begin, told_of_end, told_of_overtime
from .memory import most_of_programs
from .opened import Openings
from .processes import Child, Pipe, Processes, Worker
from .protocol import Order, Runnable, Surroundings

# As Order._make, which is written in Python, and asks for the length.
_new_tuple = tuple.__new__


_LONGEST_WAIT_SECONDS = 1e6

_hear = operator.is_
"""A child has ended: there is nothing to do but to wake up. No function in Python, of which more would be touched."""


class Slave:
    """One slave, from its first message to its last child.

    Parameters
    ----------
    gathered_bytes
        As of `Forks`, of the slave before; 0: there was none.
    """

    def __init__(
        self, around: Surroundings, control: messages.End, openings: Openings, gathered_bytes: int = 0
    ) -> None:
        # Looked up for each job: an attribute of this object costs a tenth of one of a named tuple.
        self._job, self._is_strict = around.workload.job, around.is_strict
        self._around = around
        self._control = control
        self._forks = Forks(around, control.fileno(), openings, gathered_bytes)
        self._processes = Processes(around.grace_seconds)
        # Those that have ended, by number, until the master tells what they were running.
        self._ended_workers: dict[int, Worker] = {}
        # What was told ahead, to begin when others end, by token.
        self._ahead: dict[int, Order] = {}
        self._slots: list[Slot] = []
        self._known: set[type[Runnable]] = set()
        self._slot_folders = tuple(each for each in (around.log_directory, around.folder) if each)
        self._environment: dict[bytes, bytes] = {}
        self._is_retired = False
        self._is_ending = False
        self.is_told = False
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _hear)

    def work(self) -> None:
        """Until the master says so, or is gone; a slave that was succeeded: until its last job ended."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_reader, select.POLLIN)
        wake, kill_at = self._wake_reader, self._processes.kill_at
        while not self._is_ending and not (self._is_retired and self._is_idle()):
            until = self._milliseconds_left() if kill_at else None
            for descriptor, _ in poll.poll(until):
                if descriptor == wake:
                    self._reap()
                else:
                    self._obey()
            if kill_at:
                self._processes.kill_overdue()

    def _milliseconds_left(self) -> float:
        """Until somebody is overdue; poll(2) takes no more than some weeks."""
        seconds = min(self._processes.kill_at.values()) - time.monotonic()
        return 1000 * min(max(0.0, seconds), _LONGEST_WAIT_SECONDS)

    def _is_idle(self) -> bool:
        return not (self._ahead or self._ended_workers or self._processes.are_there)

    # --- what the master says

    def _obey(self) -> None:
        # One at a time: to ask for one that is not there takes longer than to wait for it.
        try:
            received = messages.receive(self._control)
        except messages.Gone:
            self._is_ending = True
            return
        if received is None:
            return
        message, descriptor = received
        word = message[0]
        if word == "start":
            self._start(_new_tuple(Order, message[1:]), descriptor)
        elif word == "ahead":
            self._ahead[message[2]] = _new_tuple(Order, message[1:])
        elif word == "go":
            if message[1] in self._ahead:
                self._start_ahead(message[1])
        elif word == "worker":
            self._start_worker(message[1], descriptor)
        elif word == "had":
            self._finish_worker(*message[1:])
        elif word == "stop":
            self._stop(*message[1:])
        elif word == "release":
            self._around.workload.job(message[1]).release()
            self._forks.note_release()
        elif word == "in time":
            self._processes.note_in_time(message[1])
        elif word == "succeeded":
            self._slots += self._processes.let_go(message[1])
        elif word == "read":
            self._read(message[1], message[2])
        elif word == "who":
            self._tell(("who", self._forks.inherited_bytes, self._processes.who()))
        elif word == "put away":
            job = self._around.workload.job(message[1])
            put_away(job.outputs, job.rename_broken)
        elif word == "retire":
            self._is_retired = True
        elif word == "end":
            self.is_told = True
            self._is_ending = True

    def _start(self, order: Order, successor_end: int | None = None) -> None:
        job_id, token, is_adopted, cores, memory_bytes, _, address, _, access = order
        job = self._job(job_id)
        if type(job) not in self._known:
            self._get_to_know(job)
        if address is not None:
            from ..results import claim  # noqa: F401  # Once, and not in the process of each such job.
        slot = launch = None
        started_at = time.time()
        try:
            if job.changes_slave and successor_end is None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # it was sent, and there was no room for it
            slot = self._slots.pop() if self._slots else Slot(self._slot_folders)
            if job.is_program:
                folder = os.path.join(self._around.folder, f"temp_{token}")
                job.granted = Grant(cores, memory_bytes, folder, access)
                if not is_adopted and address is None and not self._is_strict:
                    launch = job.launch(self._environment_of_programs(cores))
            pids = () if launch is None else self._begin(job, launch, slot)
            if not pids:
                child = Child(job, self._forks.job(job, slot, order, successor_end), slot, token, started_at)
            else:
                pipe = Pipe(pids) if len(pids) > 1 else None
                child = Child(job, pids[0], slot, token, started_at, launch, None, pipe)
            self._processes.add(child)
        except NotBegun as failed:
            assert slot is not None
            self._slots.append(slot)
            self._tell(("ended", token, 0, FAILED, False, started_at, 0.0, None, packed(failed.told)))
        except OSError as error:
            if slot is not None:
                self._slots.append(slot)
            self._tell(("not started", token, error.errno))
            if successor_end is not None:
                os.close(successor_end)

    def _begin(self, job: Runnable, launch: Launch, slot: Slot) -> tuple[int, ...]:
        """Programs inherit whom the kernel would kill; this one is to live, with all that it holds."""
        if not self._forks.is_large:
            return begin(job, launch, slot)
        before = sweep.be_killed_first()
        try:
            return begin(job, launch, slot)
        finally:
            sweep.be_killed_at(before)

    def _get_to_know(self, job: Runnable) -> None:
        """Ask for what its process asks for: where an attribute of a class is found is remembered, in a page each."""
        self._known.add(type(job))
        for name in ("outputs", "is_generator", "is_program", "run", "empty_ok", *vars(job)):
            getattr(job, name, None)

    def _environment_of_programs(self, cores: int) -> dict[bytes, bytes]:
        """Looked up once: what changes this process is followed by another slave."""
        if not self._environment:
            keep_from_programs()
            self._environment = dict(os.environb)
        return self._around.threads.of_program(self._environment, cores)

    def _start_ahead(self, token: int) -> None:
        self._start(self._ahead.pop(token))

    def _read(self, token: int, requests: list[tuple[str, int]]) -> None:
        try:
            self._processes.add_reader(token, self._forks.reader(requests, token))
        except OSError:
            self._tell(("read", token, None))

    def _start_worker(self, number: int, queue_end: int | None) -> None:
        slot = None
        try:
            if queue_end is None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # it was sent, and there was no room for it
            slot = self._slots.pop() if self._slots else Slot(self._slot_folders)
            self._processes.add_worker(number, self._forks.worker(queue_end, slot), slot)
        except OSError as error:
            if slot is not None:
                self._slots.append(slot)
            self._tell(("not started", number, error.errno))
        finally:
            if queue_end is not None:
                os.close(queue_end)

    def _finish_worker(
        self, number: int, token: int, job_id: JobId, started_at: float, reported_seconds: float
    ) -> None:
        """What the master says of a worker that has ended: which job died with it; token 0: none."""
        worker = self._ended_workers.pop(number)
        if token:
            job = self._around.workload.job(job_id)
            child = Child(job, worker.pid, worker.slot, token, started_at)
            child.stopped, child.status = worker.stopped, worker.status
            child.cpu_seconds = max(0.0, worker.cpu_seconds - reported_seconds)
            self._finish(child)
        else:
            try:
                worker.slot.take(None)
                self._slots.append(worker.slot)
            except OSError:
                worker.slot.close()

    def _stop(self, jobs: list[JobId] | None, is_urgent: bool, workers: list[int]) -> None:
        for token, order in list(self._ahead.items()):
            if jobs is None or order.job in jobs:
                del self._ahead[token]
                self._tell(("dropped", token))
        self._processes.stop(jobs, is_urgent, workers)

    # --- what the children do

    def _reap(self) -> None:
        os.read(self._wake_reader, 4096)  # what is left wakes again
        while (ended := self._processes.reap()) is not None:
            if isinstance(ended, Child):
                self._finish(ended)
            elif isinstance(ended, Worker):
                # What it had in its hands is for the master to say.
                self._ended_workers[ended.number] = ended
                self._tell(("worker ended", ended.number, ended.status))
            else:
                self._tell(("read", ended.token, os.waitstatus_to_exitcode(ended.status)))

    def _finish(self, child: Child) -> None:
        exit_code = os.waitstatus_to_exitcode(child.status) if child.status else 0
        cpu_seconds = child.cpu_seconds
        report = None
        if child.launch is not None and not child.stopped:
            told = self._told_of_program(child, exit_code)
            if told is None:
                return
            report = packed(told)
            exit_code = 0 if told[0] is None else FAILED
        elif child.is_overdue and not child.stopped:
            report = packed(told_of_overtime(child.job, exit_code, child.started_at))
            exit_code = FAILED
        next_token = next(iter(self._ahead), 0)
        if next_token:
            self._start_ahead(next_token)
        if child.before is not None:
            cpu_seconds += child.before[2]
        if exit_code == FAILED:
            # One failure is seldom alone: what puts them into words need not be imported by each.
            from . import failures  # noqa: F401
        elif exit_code or (child.launch is not None and child.stopped):
            put_away(child.job.outputs, child.job.rename_broken)
        if child.job.is_program:
            sweep.remove_aside(child.job.granted.folder)
        printed = self._take(child.slot, child.job, bool(exit_code))
        how = (child.stopped, child.started_at, cpu_seconds, printed, report)
        self._tell(("ended", child.token, next_token, exit_code, *how))

    def _told_of_program(self, child: Child, exit_code: int) -> Told | None:
        """What to report; None: a fork of this slave reads what it made, and reports."""
        job, launch, pipe = child.job, child.launch, child.pipe
        assert launch is not None
        codes = (exit_code,) if pipe is None else tuple([pipe.codes[pid] for pid in pipe.pids])
        seconds = time.monotonic() - child.began
        peak = most_of_programs(child.peak_bytes, False) if seconds >= MEASURED_FROM_SECONDS else 0
        used = (child.started_at, seconds, child.cpu_seconds, peak, *child.traffic)
        overtime = job.timeout_seconds if child.is_overdue else 0.0
        told = told_of_end(job, launch, codes, child.slot.stderr, used, overtime)
        if told is None:
            try:
                order = Order(job.job_id, child.token, is_adopted=True)
                pid = self._forks.job(job, child.slot, order, None, used)
                self._processes.add(Child(job, pid, child.slot, child.token, child.started_at, before=used))
            except OSError as error:
                put_away(job.outputs, job.rename_broken)
                self._slots.append(child.slot)
                self._tell(("not started", child.token, error.errno))
        return told

    def _take(self, slot: Slot, job: Runnable, has_failed: bool) -> tuple[object, ...] | None:
        keep_as = None
        if has_failed and (directory := self._around.log_directory) is not None:
            keep_as = directory, job.job_id
        try:
            printed = slot.take(keep_as)
        except OSError:
            slot.close()
            return None
        self._slots.append(slot)
        return None if printed is NOTHING_PRINTED else tuple(printed)

    def _tell(self, message: tuple[object, ...]) -> None:
        try:
            messages.send(self._control, message)
        except messages.Gone:
            self._is_ending = True
        except OSError:
            # What is too large for a datagram takes a descriptor; jobs that ended left two each.
            if not self._slots:
                raise
            self._slots.pop().close()
            self._tell(message)

    # --- in a fork that changed the slave

    def successor(self, control: messages.End) -> Slave:
        """Explain what the master asks for, wait for its word, then take over, with what was loaded here."""
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.close(null)
        try:
            word, *said = messages.said(control)
            if word == "explain":
                messages.send(control, ("explained", *self._explained(*said)))
                word, *said = messages.said(control)
        except messages.Gone:
            os._exit(0)
        if word != "adopt":
            os._exit(0)
        os.environ[sweep.SLAVE_MARK] = said[0]
        self._control.detach()
        os.close(self._wake_reader)
        os.close(self._wake_writer)
        ended = [worker.slot for worker in self._ended_workers.values()]
        for each in (*self._slots, *self._processes.slots(), *ended):
            each.close()
        gc.freeze()
        around = self._around._replace(terminal=None)  # closed when it was forked
        return Slave(around, control, self._forks.openings, self._forks.gathered_bytes)

    def _explained(self, generator: JobId, wanted: dict[Fingerprint, JobId]) -> tuple[JobId, bytes]:
        """What these fingerprints, each of an invariant, are taken of, while what the generator assigned counts."""
        import pickle

        found: dict[Fingerprint, Explanation | None] = {}
        for fingerprint, invariant in wanted.items():
            try:
                found[fingerprint] = self._around.workload.explain(invariant)
            except Exception:
                found[fingerprint] = None  # what was declared is good all the same
        return generator, pickle.dumps(found, 5)
