"""Whom a run shares with, and what it is told of it: recipes of make by a pipe, other runs by the ledger, or nobody."""

from __future__ import annotations

import os
import select
import time

import pytest

from pipegraph.admission.supply import FromLedger, FromMake, supply_of
from pipegraph.machine.capacity import Capacity, machine_cores, machine_memory
from pipegraph.machine.looking import look
from pipegraph.machine.place import Place
from pipegraph.machine.under_make import Borrowing

CAPACITY = Capacity(4, "", 10**9, "")


@pytest.fixture
def pipe(tmp_path):
    """Of a make that has these tokens to give."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    yield end
    os.close(end)


@pytest.fixture
def of_make(pipe, tmp_path):
    borrowing, _ = Borrowing.from_environment({"MAKEFLAGS": f"-j4 --jobserver-auth=fifo:{tmp_path}/pipe"})
    supply = FromMake(borrowing)
    yield supply
    supply.close()


@pytest.fixture
def share(tmp_path):
    """Runs that share a ledger."""
    made = []

    def join(capacity=CAPACITY):
        supply, cores, problem = supply_of({"PIPEGRAPH_LEDGER": str(tmp_path)}, "a.py", f"run_{len(made)}", capacity)
        assert isinstance(supply, FromLedger) and cores == capacity.cores and problem == ""
        made.append(supply)
        return supply

    yield join
    for supply in made:
        supply.close()


def is_readable(descriptor, seconds=0.0):
    return bool(select.select([descriptor], [], [], seconds)[0])


# --- make


def test_the_pipe_is_waited_for_while_a_token_would_help(of_make, pipe):
    assert of_make.fileno() == -1
    assert of_make.claim(1, 0, True) == 1
    assert of_make.fileno() == -1
    assert of_make.claim(1, 0, False) is None
    assert not is_readable(of_make.fileno())
    os.write(pipe, b"a")
    assert is_readable(of_make.fileno())
    assert of_make.claim(1, 0, False) == 1
    assert of_make.fileno() == -1


def test_several_tokens_are_looked_for_now_and_then_for_one_would_wake_it_again_and_again(of_make, pipe):
    assert of_make.claim(1, 0, True) == 1
    assert of_make.next_look() is None
    os.write(pipe, b"a")
    assert of_make.claim(2, 0, False) is None
    assert of_make.fileno() == -1
    assert of_make.next_look() > time.monotonic() - 1
    of_make.stop_waiting()
    assert (of_make.next_look(), of_make.fileno()) == (None, -1)


def test_what_waits_no_more_is_not_woken(of_make, pipe):
    of_make.claim(1, 0, True)
    of_make.claim(1, 0, False)
    of_make.stop_waiting()
    os.write(pipe, b"a")

    assert of_make.fileno() == -1


def test_the_only_job_has_what_there_is_and_says_how_much(of_make, pipe):
    os.write(pipe, b"a")

    assert of_make.claim(4, 0, True) == 2
    assert not is_readable(pipe)
    of_make.release(2, 0)
    assert os.read(pipe, 9) == b"a"


def test_a_job_that_needs_no_more_than_memory_is_not_refused(of_make):
    of_make.claim(1, 0, True)

    assert of_make.claim(0, 10**9, False) == 0
    assert not of_make.others_wait()


def test_make_says_how_many_cores_a_run_may_use(pipe, tmp_path):
    for jobs, expected in (("-j2", 2), ("-j9", 4), ("", 4)):
        flags = {"MAKEFLAGS": f" {jobs} --jobserver-auth=fifo:{tmp_path}/pipe"}
        supply, cores, problem = supply_of(flags, "a.py", "run", CAPACITY)
        assert isinstance(supply, FromMake) and problem == ""
        assert cores == expected
        supply.close()


# --- the ledger


def test_a_run_holds_what_it_has_claimed_and_not_given_back(share, tmp_path):
    supply = share()
    assert supply.claim(3, 10**8, True) == 3
    supply.release(1, 10**7)

    (seen,) = look(Place(str(tmp_path), True))
    assert (seen.held.cores, seen.held.memory_bytes) == (2, 9 * 10**7)
    supply.close()
    assert look(Place(str(tmp_path), True)) == []


def test_who_is_refused_is_woken_when_the_other_gives_back(share):
    cores = max(4, machine_cores())
    first, second = share(CAPACITY._replace(cores=cores)), share()
    assert first.claim(cores, 0, True) == cores
    assert second.claim(1, 0, True) is None
    assert first.others_wait() and not second.others_wait()
    assert not is_readable(second.fileno())
    assert second.next_look() is not None

    first.release(1, 0)
    assert is_readable(second.fileno(), 20.0)
    second.attend()
    assert not is_readable(second.fileno())
    assert second.claim(1, 0, True) == 1
    assert not first.others_wait()


def test_who_is_refused_is_woken_when_the_other_leaves(share):
    cores = max(4, machine_cores())
    first, second = share(CAPACITY._replace(cores=cores)), share()
    first.claim(cores, 0, True)
    second.claim(1, 0, True)

    first.close()
    assert is_readable(second.fileno(), 20.0)
    assert second.claim(1, 0, True) == 1


def test_who_waits_no_more_is_not_waited_for(share):
    cores = max(4, machine_cores())
    first, second = share(CAPACITY._replace(cores=cores)), share()
    first.claim(cores, 0, True)
    second.claim(1, 0, True)
    second.stop_waiting()
    first.release(0, 0)

    assert not first.others_wait()


def test_more_than_there_is_is_there_for_who_asks(share, tmp_path):
    more = machine_cores() + 3
    supply = share(CAPACITY._replace(cores=more, memory_bytes=machine_memory() + 1))
    assert supply.claim(more, 0, True) == more
    supply.set_cores(more + 2)
    assert supply.claim(2, 0, False) == 2
    supply.set_cores(1)

    (seen,) = look(Place(str(tmp_path), True))
    assert seen.capacity == (1, machine_memory() + 1)
    assert seen.machine == (machine_cores(), machine_memory() + 1)
    assert seen.held.cores == more + 2


def test_a_fork_that_closes_it_has_nothing_open_and_changes_nothing(share, tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    supply = share()
    supply.claim(2, 0, True)
    pid = os.fork()
    if not pid:
        supply.close_in_fork()
        os._exit(len(os.listdir("/proc/self/fd")) - before)
    assert os.waitpid(pid, 0)[1] == 0

    (seen,) = look(Place(str(tmp_path), True))
    assert seen.held.cores == 2


# --- nobody


def test_off_is_nobody():
    assert supply_of({"PIPEGRAPH_LEDGER": "off"}, "a.py", "run", CAPACITY) == (None, 4, "")


def test_why_nothing_is_shared_is_said(tmp_path):
    supply, cores, problem = supply_of({"PIPEGRAPH_LEDGER": str(tmp_path / "no")}, "a.py", "run", CAPACITY)

    assert (supply, cores) == (None, 4)
    assert "No such file or directory" in str(problem)


def test_a_jobserver_that_cant_be_used_is_named_and_the_ledger_used_instead(tmp_path):
    environment = {"MAKEFLAGS": "-j4 --jobserver-auth=fifo:/nowhere", "PIPEGRAPH_LEDGER": str(tmp_path)}
    supply, _, problem = supply_of(environment, "a.py", "run", CAPACITY)
    assert isinstance(supply, FromLedger)
    supply.close()

    assert "/nowhere is gone" in problem
