"""Several runs that share the cores and the memory of a machine: real processes, killed at any moment."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from ledgers import CAPACITY, CORES, GIGABYTE, Process, join
from scripts import wait_until

from pipegraph.machine.ledger import LOOK_SECONDS, UNSEEN_SECONDS, Holder, Ledger
from pipegraph.machine.looking import look
from pipegraph.machine.place import Place
from pipegraph.machine.sharing import Amounts
from pipegraph.machine.table import ROW_BYTES, Row, Table, Who

WHO = Who(2**64 - 1, 1.5, "script.py", "run_1", "anna", "host", "here")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))

    yield

    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(str(tmp_path / "ledger"))


@pytest.fixture
def runs(place: Place) -> Iterator[Callable[..., Process]]:
    begun: list[Process] = []

    def begin(*arguments: object) -> Process:
        begun.append(Process(place, *arguments))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


@pytest.fixture
def ledgers(place: Place) -> Iterator[Callable[..., Ledger]]:
    """Several in this process, which is told what time it is."""
    joined: list[Ledger] = []

    def begin(**more) -> Ledger:
        joined.append(join(place, **more))
        return joined[-1]

    yield begin
    for each in joined:
        each.close()


def is_woken(ledger: Ledger, seconds: float = 0.0) -> bool:
    return bool(select.select([ledger], [], [], seconds)[0])


# --- to take and to give back


def test_a_run_that_is_alone_gets_everything_and_no_more(ledgers) -> None:
    run = ledgers()

    assert [run.claim("here", 1, 0) for _ in range(CORES + 1)] == [True] * CORES + [False]
    assert not run.others_wait()


def test_two_runs_together_get_no_more_than_there_is(ledgers) -> None:
    one, other = ledgers(), ledgers()

    assert one.claim("here", 3, 0)
    assert not other.claim("here", 2, 0)
    assert other.claim("here", 1, 0)


def test_memory_is_shared_as_cores_are(ledgers) -> None:
    one, other = ledgers(), ledgers()

    assert one.claim("here", 1, 7 * GIGABYTE)
    assert not other.claim("here", 1, 2 * GIGABYTE)
    one.release("here", 1, 7 * GIGABYTE)
    assert other.claim("here", 1, 2 * GIGABYTE)


def test_who_waits_is_seen_by_others_and_woken_by_a_release(ledgers) -> None:
    one, other = ledgers(), ledgers()
    assert one.claim("here", CORES, 0)
    assert not one.others_wait()

    assert not other.claim("here", 1, 0)
    assert one.others_wait()
    assert not other.others_wait()
    assert not is_woken(other)

    one.release("here", 1, 0)
    assert is_woken(other, 60)
    other.attend()
    assert not is_woken(other)
    assert other.claim("here", 1, 0)
    assert not one.others_wait()


def test_what_ends_goes_to_the_newcomer_until_both_have_their_share(ledgers) -> None:
    old, new = ledgers(), ledgers()
    for _ in range(CORES):
        assert old.claim("here", 1, 0)
    assert not old.claim("here", 1, 0)
    assert not new.claim("here", 1, 0)

    for _ in range(CORES // 2):
        old.release("here", 1, 0)
        assert not old.claim("here", 1, 0)
        assert new.claim("here", 1, 0)
        assert not new.claim("here", 1, 0)
    old.release("here", 1, 0)
    assert not new.claim("here", 1, 0)
    assert old.claim("here", 1, 0)


def test_cores_are_kept_for_a_large_claim_that_is_first(ledgers) -> None:
    small, large = ledgers(), ledgers()
    for _ in range(CORES):
        assert small.claim("here", 1, 0)
    assert not large.claim("here", CORES, 0)

    for _ in range(CORES):
        small.release("here", 1, 0)
        assert not small.claim("here", 1, 0)
    assert is_woken(large, 60)
    assert large.claim("here", CORES, 0)


def test_after_all_cores_a_run_rests_as_long_as_it_had_them(ledgers) -> None:
    now = [time.monotonic()]
    large, small = ledgers(clock=lambda: now[0]), ledgers(clock=lambda: now[0])
    assert large.claim("here", CORES, 0)
    assert not small.claim("here", 1, 0)
    for _ in range(4):
        now[0] += 5
        small.attend()
    large.release("here", CORES, 0)
    assert not large.claim("here", CORES, 0)

    for turn in range(3):
        assert [small.claim("here", 1, 0) for _ in range(CORES)] == [True] * CORES, turn
        assert large.next_look() <= now[0] + LOOK_SECONDS
        now[0] += 6
        large.attend()
        small.release("here", CORES, 0)
    assert small.claim("here", 1, 0)
    now[0] += 3
    large.attend()
    assert not small.claim("here", 1, 0)
    small.release("here", 1, 0)
    assert large.claim("here", CORES, 0)


def test_who_stops_waiting_or_leaves_lets_others_pass_and_wakes_them(ledgers) -> None:
    holder, large, small = ledgers(), ledgers(), ledgers()
    for leave in (large.stop_waiting, large.close):
        assert holder.claim("here", 2, 0)
        assert not large.claim("here", CORES, 0)
        assert not small.claim("here", 1, 0)
        small.attend()
        assert not is_woken(small)

        leave()
        assert is_woken(small, 60)
        assert small.claim("here", 1, 0)
        small.release("here", 1, 0)
        holder.release("here", 2, 0)
        small.attend()


def test_to_wait_is_not_to_take(ledgers) -> None:
    one, other = ledgers(), ledgers()

    one.wait_for("here", 1, 0)
    assert other.others_wait()
    assert look_held(one) == []
    assert one.next_look() is not None
    one.stop_waiting()
    assert not other.others_wait()
    assert one.next_look() is None


def look_held(ledger: Ledger) -> list[int]:
    return [share.held.cores for share in look(ledger._place) if share.held.cores]


def test_the_machine_is_as_large_as_the_largest_that_any_run_says(place: Place, ledgers) -> None:
    few = Ledger.join(
        place, ledgers()._holder, {"here": CAPACITY["here"]._replace(run=Amounts(1, 0), machine=Amounts(1, 0))}
    )
    try:
        whole = ledgers()
        assert whole.claim("here", 3, 0)
        assert few.claim("here", 1, 0)
        assert not whole.claim("here", 1, 0)
    finally:
        few.close()


def test_slaves_are_counted_apart(place: Place) -> None:
    capacity = dict.fromkeys(("here", "there"), CAPACITY["here"])
    one = Ledger.join(place, Holder.here("script.py", "run"), capacity)
    other = Ledger.join(place, Holder.here("script.py", "run"), {"there": CAPACITY["here"]})
    try:
        assert one.claim("here", CORES, 0)
        assert one.claim("there", CORES - 1, 0)
        assert other.claim("there", 1, 0)
        assert not other.claim("there", 1, 0)
        assert {(share.slave, share.held.cores) for share in look(place)} == {
            ("here", CORES),
            ("there", CORES - 1),
            ("there", 1),
        }
    finally:
        one.close()
        other.close()


def test_for_one_that_is_stopped_nothing_is_kept(ledgers) -> None:
    now = [time.monotonic()]
    stopped, other = ledgers(clock=lambda: now[0]), ledgers(clock=lambda: now[0])
    assert other.claim("here", 1, 0)
    assert not stopped.claim("here", CORES, 0)
    now[0] += 0.1
    assert not other.claim("here", 1, 0)

    now[0] += UNSEEN_SECONDS + 1
    assert other.claim("here", 1, 0)
    stopped.attend()
    assert not other.claim("here", 1, 0)


def test_a_clock_that_jumps_back_takes_nobody_the_place_for_ever(ledgers) -> None:
    now = [time.monotonic()]
    one, other = ledgers(clock=lambda: now[0]), ledgers(clock=lambda: now[0])
    assert one.claim("here", CORES, 0)
    assert not other.claim("here", CORES, 0)
    now[0] -= 1000
    one.release("here", CORES, 0)

    assert other.claim("here", CORES, 0)
    other.release("here", CORES, 0)
    assert one.claim("here", CORES, 0)


# --- to look


def test_a_look_tells_who_holds_and_who_waits_and_is_no_part(place: Place, ledgers) -> None:
    assert look(place) == []
    one, other = ledgers(script="a.py"), ledgers(script="b" * 300 + ".py")
    one.claim("here", 3, GIGABYTE)
    other.claim("here", 2, 0)
    shares = look(place)

    assert [(share.held, share.wanted) for share in shares] == [
        (Amounts(3, GIGABYTE), None),
        (Amounts(0, 0), Amounts(2, 0)),
    ]
    assert shares[0][:5] == (os.getpid(), "anna", "host", "a.py", "run_1")
    assert shares[1].script.endswith("bbb.py")
    assert shares[0].capacity == Amounts(CORES, 8 * GIGABYTE)
    assert 0 <= shares[1].waiting_seconds < 100
    assert abs(time.time() - shares[0].since) < 100
    # Closing what was looked at ends nobody's life: it is another open file of the same process.
    assert len(look(place)) == 2


def test_a_look_leaves_out_who_was_killed(place: Place, runs) -> None:
    one, other = runs("a.py"), runs("b.py")
    assert one.claim(1)
    one.kill()

    assert [share.script for share in look(place)] == ["b.py"]
    assert other.claim(CORES)


# --- ends


def test_what_a_killed_run_held_wakes_who_waits_for_it(runs) -> None:
    killed, waiting = runs(), runs()
    assert killed.claim(CORES)
    waiting.tell(f"until_claimed({CORES})")
    wait_until(lambda: killed.ask("ledger.others_wait()") == "True")

    killed.kill()
    assert waiting.hear() == "claimed"


def test_a_large_claim_of_one_that_is_killed_is_not_kept_for(runs) -> None:
    holder, killed, waiting = runs(), runs(), runs()
    assert holder.claim(1)
    assert not killed.claim(CORES)
    waiting.tell("until_claimed(1)")
    wait_until(lambda: holder.ask("ledger._table.waiting()") == "2")

    killed.kill()
    assert waiting.hear() == "claimed"


def test_a_fork_that_is_left_with_the_descriptors_keeps_nothing(runs) -> None:
    killed, waiting = runs(), runs()
    assert killed.claim(CORES)
    fork = int(killed.ask("fork()"))
    try:
        waiting.tell(f"until_claimed({CORES})")
        wait_until(lambda: killed.ask("ledger.others_wait()") == "True")
        killed.kill()

        assert waiting.hear() == "claimed"
        late = runs()
        waiting.ask(f"release({CORES})")
        assert late.claim(CORES)
    finally:
        os.kill(fork, signal.SIGKILL)


def test_a_fork_closes_its_descriptors_and_changes_nothing(place: Place, ledgers) -> None:
    one, other = ledgers(), ledgers()
    assert one.claim("here", CORES, 0)
    for leave in (one.close_in_fork, one.close):
        pid = os.fork()
        if not pid:
            leave()
            leave()
            os._exit(0 if one._table is None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

        assert not other.claim("here", 1, 0)
    one.release("here", 1, 0)
    assert is_woken(other, 60)
    assert other.claim("here", 1, 0)


def test_an_end_wakes_once_also_where_a_fork_has_the_descriptors(ledgers, runs) -> None:
    one, waiting = runs(), ledgers()
    assert one.claim(1)
    assert not waiting.claim("here", CORES, 0)
    fork = os.fork()
    if not fork:
        signal.pause()
    try:
        one.kill()
        assert is_woken(waiting, 60)
        waiting.attend()

        assert not is_woken(waiting)
        assert waiting.claim("here", CORES, 0)
    finally:
        os.kill(fork, signal.SIGKILL)
        os.waitpid(fork, 0)


def test_an_id_of_a_process_that_is_another_now_is_nobody(place: Place, ledgers, runs) -> None:
    """Its row is kept alive by a fork; the process that has its id began at another time."""
    one = runs()
    waiting = ledgers()
    assert one.claim(CORES)
    assert not waiting.claim("here", 1, 0)
    with raw_table(place) as table:
        (number,) = (number for number, row in table.rows().items() if row.held_cores)
        row = table.rows()[number]
        overwrite(table, number, row._replace(started_ticks=row.started_ticks - 1))

    assert waiting.claim("here", 1, 0)


def test_a_run_in_another_container_lives_as_long_as_its_lock(place: Place, ledgers, runs) -> None:
    """Ids of processes mean nothing there."""
    one = runs()
    waiting = ledgers()
    assert one.claim(CORES)
    with raw_table(place) as table:
        (number,) = (number for number, row in table.rows().items() if row.held_cores)
        overwrite(table, number, table.rows()[number]._replace(namespace=1, pid=2**22 + 1))

    assert not waiting.claim("here", 1, 0)
    one.kill()
    assert waiting.claim("here", 1, 0)


def raw_table(place: Place):
    return contextlib.closing(Table.open(place))


def overwrite(table: Table, number: int, row: Row) -> None:
    """As if another run had its place."""
    table._mine[number] = b""
    table.write(number, row)


def test_the_lock_of_one_that_is_killed_while_it_has_it_is_free(runs) -> None:
    killed, other = runs(), runs()
    assert killed.claim(2)
    assert killed.ask("ledger._table.lock(0)") == "True"
    assert not other.claim(1)
    assert other.ask("ledger.next_look() is not None") == "True"
    assert other.ask("ledger.fault") == ""

    killed.kill()
    assert other.claim(CORES)


def test_one_that_is_stopped_while_it_has_the_lock_ends_the_sharing_not_the_run(runs) -> None:
    stopped, other = runs(), runs()
    assert stopped.ask("ledger._table.lock(0)") == "True"
    wait_until(lambda: other.claim(CORES + 1))

    fault = other.ask("ledger.fault")
    assert f"process {stopped.popen.pid} holds its lock, and does not move" in fault
    assert other.claim(CORES)
    assert other.ask("ledger.others_wait(), ledger.next_look()") == "(False, None)"
    other.ask("release(1)")
    assert other.ask("ledger.close()") == "None"


def test_two_graphs_of_one_process_join_one_after_the_other(ledgers) -> None:
    first = ledgers()
    assert first.claim("here", CORES, 0)
    first.close()
    first.close()

    second = ledgers()
    assert second.claim("here", CORES, 0)


STORM = """
import fcntl, os, random, select, sys, time
from ledgers import join, Place, CORES
ledger = join(Place(sys.argv[1], sys.argv[2] == "shared"))
chance = random.Random(int(sys.argv[3]))
witnesses = [os.open(f"{sys.argv[1]}/core-{number}", os.O_RDWR | os.O_CREAT, 0o600) for number in range(CORES)]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(chance.randint(5, 15)):
    wanted = chance.choice([1, 1, 1, 2, CORES])
    while not ledger.claim("here", wanted, 0):
        select.select([ledger], [], [], max(0, ledger.next_look() - time.monotonic()))
        ledger.attend()
    assert not ledger.fault, ledger.fault
    mine = []
    for witness in witnesses:
        try:
            if len(mine) < wanted:
                fcntl.lockf(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mine.append(witness)
        except OSError:
            pass
    assert len(mine) == wanted, "a core is used twice"
    time.sleep(chance.random() / 500)
    for witness in mine:
        fcntl.lockf(witness, fcntl.LOCK_UN)
    ledger.release("here", wanted, 0)
ledger.close()
print("done", flush=True)
"""


@pytest.mark.parametrize("count", [2, 8, 30])
def test_no_core_is_used_twice_and_nothing_is_lost_whoever_is_killed(place: Place, ledgers, count: int) -> None:
    """Each core that is held is a lock on a file, too; some are stopped at any instruction, and then killed."""
    chance = random.Random(count)
    begun = [Process(place, str(number), text=STORM) for number in range(count)]
    try:
        for each in begun:
            each.tell("go")
        killed = begun[: count // 2]
        for each in killed:
            select.select([], [], [], chance.random() / 50)
            each.popen.send_signal(signal.SIGSTOP)
            select.select([], [], [], chance.random() / 50)
            each.kill()

        assert [each.hear() for each in begun[count // 2 :]] == ["done"] * (count - count // 2)
        last = ledgers()
        assert last.claim("here", CORES, 0)
        assert not last.others_wait()
    finally:
        for each in begun:
            each.end()


def test_a_row_lies_in_one_page_and_holds_what_is_written(tmp_path) -> None:
    with raw_table(Place(str(tmp_path / "ledger"))) as table:
        assert 4096 % ROW_BYTES == 0
        row = Row(2**64 - 1, 2, 3, 4, 5, 6, 7, 8, 9, 2**63, True, 12, 13, 1.5, 2.5, 3.5)
        number = table.take_row(WHO)
        assert number == 0
        table.write(number, row)

        assert table.rows() == {0: row}
        assert table.who(0) == WHO
