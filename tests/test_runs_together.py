"""Several runs on one machine: no core is used twice, and nobody waits for ever; however some of them end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time

import pytest
from commands import pipegraph
from machine import mounted, small_disk
from scripts import wait_until
from terminals import AtTerminal, at_terminal

from pipegraph.cli.machine import lines_of
from pipegraph.machine.looking import Share
from pipegraph.machine.sharing import Amounts

MANY = """
graph()
jobs = [job(f"{name}_{{n}}") for n in range(12)]
(SHARED / "up_{name}").touch()
wait_for("all_up")
ppg.run_pipegraph()
"""
HOLDS = """
graph()
first = [job("held_0", gate="go"), job("held_1", gate="go", behind=["begun_held_0"])]
[job(f"later_{n}", gate="end").depends_on(first) for n in range(2)]
ppg.run_pipegraph()
"""
ONE = """
graph()
job("one")
ppg.run_pipegraph()
"""


def begin_holding(runs, text=HOLDS):
    """A run whose jobs hold both cores."""
    process = runs.start("holds", text)
    runs.wait_for_begin("held_0", "held_1")
    return process


# --- side by side


@pytest.mark.parametrize("count", [2, 3])
def test_runs_side_by_side_never_use_more_cores_than_there_are(runs, count):
    names = "abc"[:count]
    processes = [runs.start(name, MANY.format(name=name)) for name in names]
    wait_until(lambda: all((runs.folder / f"up_{name}").exists() for name in names), seconds=60)
    runs.open("all_up")

    runs.assert_ended_well(*processes)
    assert runs.most_at_once() == 2
    assert len(runs.ended()) == 12 * count


def test_a_run_that_waits_goes_on_as_soon_as_jobs_of_the_other_end(runs):
    holds = begin_holding(runs)
    waits = runs.start("waits", ONE)
    runs.wait_until_waiting("waits")
    assert runs.begun() == ["held_0", "held_1"]

    runs.open("go")
    runs.wait_for_begin("one")  # while the other one has jobs that take both cores
    runs.wait_for_begin("later_0", "later_1")
    runs.open("end")
    runs.assert_ended_well(holds, waits)
    assert runs.most_at_once() == 2


def test_a_job_of_all_cores_gets_them_beside_a_stream_of_small_ones(runs):
    small = """
    graph()
    last = None
    for n in range(30):
        last = [job(f"small_{n}_{k}", gate="hold" if n == 0 else None).depends_on(last or []) for k in range(2)]
    ppg.run_pipegraph()
    """
    large = """
    graph()
    job("large", cores=2)
    ppg.run_pipegraph()
    """
    processes = [runs.start("small", small)]
    runs.wait_for_begin("small_0_0", "small_0_1")
    processes.append(runs.start("large", large))
    runs.wait_until_waiting("large")
    runs.open("hold")

    runs.assert_ended_well(*processes)
    assert runs.most_at_once() == 2
    assert runs.begun().index("large") < 50


def test_a_run_in_which_everything_is_up_to_date_waits_for_nobody(runs):
    runs.assert_ended_well(runs.start("waits", ONE))
    holds = begin_holding(runs)

    runs.assert_ended_well(runs.scripts[0].start("waits.py"))
    assert runs.begun().count("one") == 1
    runs.open("go", "end")
    runs.assert_ended_well(holds)


def test_a_paused_run_keeps_nothing_for_itself(runs):
    holds = begin_holding(runs)
    paused = runs.make("paused", ONE)
    with at_terminal(paused.folder, "paused.py", PIPEGRAPH_LEDGER=str(runs.ledger)) as terminal:
        runs.wait_until_waiting("paused")
        terminal.wait_for("> Enter: what is running")
        terminal.type("pause\r")
        wait_until(lambda: terminal.read() or runs.shares()["paused.py"].wanted is None, "it waits on", 60)
        third = runs.start("third", ONE.replace('"one"', '"other"'))
        runs.wait_until_waiting("third")
        runs.open("go")
        runs.wait_for_begin("other")
        assert "one" not in runs.begun()
        terminal.type("resume\r")
        runs.open("end")
        assert terminal.wait() == 0, terminal.screen.text
    runs.assert_ended_well(holds, third)
    assert "one" in runs.ended()


def test_memory_is_shared_as_cores_are(runs):
    text = """
    graph(memory=10**9)
    supply.machine_memory = lambda: 10**9
    job("{0}", gate="{1}", memory="600MB")
    ppg.run_pipegraph()
    """
    text = text.replace('memory="600MB")', ").memory_needed = 600 * 10**6")
    first = runs.start("first", text.format("first", "go"))
    runs.wait_for_begin("first")
    second = runs.start("second", text.format("second", "end"))
    runs.wait_until_waiting("second")
    assert runs.begun() == ["first"]

    runs.open("go", "end")
    runs.assert_ended_well(first, second)
    assert runs.most_at_once() == 1


# --- however one of them ends


def test_when_a_run_is_killed_its_jobs_end_and_its_cores_go_to_those_that_wait(runs):
    holds = begin_holding(runs)
    waits = runs.start("waits", ONE)
    runs.wait_until_waiting("waits")

    holds.kill()
    holds.wait()
    runs.assert_ended_well(waits)
    runs.scripts[0].assert_no_process_left()
    assert runs.ended() == ["one"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_when_a_run_is_stopped_its_cores_go_to_those_that_wait(runs, number):
    holds = begin_holding(runs)
    waits = runs.start("waits", ONE)
    runs.wait_until_waiting("waits")

    holds.send_signal(number)
    assert holds.wait(60) != 0
    runs.assert_ended_well(waits)
    assert runs.ended() == ["one"]


def test_a_run_that_waits_can_be_stopped(runs):
    holds = begin_holding(runs)
    waits = runs.start("waits", ONE)
    runs.wait_until_waiting("waits")

    waits.send_signal(signal.SIGINT)
    assert waits.wait(60) != 0
    assert "waits.py" not in runs.shares()
    runs.open("go", "end")
    runs.assert_ended_well(holds)


def test_a_job_that_fails_gives_its_core_back(runs):
    text = """
    graph()
    def fail(output):
        raise ValueError("on purpose")
    ppg.FileGeneratingJob("failed", fail)
    held = job("held_0", gate="go")
    job("held_1", gate="go")
    ppg.run_pipegraph()
    """
    holds = begin_holding(runs, text)
    runs.open("go")

    assert holds.wait(60) != 0
    runs.assert_ended_well(runs.start("waits", ONE))


# --- where the ledger can't be had, or is lost


def one_alone(runs, ledger):
    """What a run says that names this ledger; it does its work."""
    script = runs.make("alone", ONE, PIPEGRAPH_LEDGER=str(ledger))
    runs.assert_ended_well(script.start("alone.py"))
    assert runs.ended() == ["one"]
    log = (script.folder / "logs" / "ppg_run.txt").read_text()
    said = [line for line in log.splitlines() if "can't be shared" in line]
    assert len(said) == 1, log
    assert script.stderr.count("can't be shared") == 1
    return said[0]


def test_without_the_folder_the_run_says_so_and_goes_on_by_itself(runs):
    said = one_alone(runs, runs.folder / "nowhere")

    assert f"ledger: {runs.folder}/nowhere; because: No such file or directory" in said
    assert said.endswith("Make it, open to all who share it (mkdir -m 1777). Or unset PIPEGRAPH_LEDGER.")


def test_a_file_in_the_place_of_the_folder_is_named(runs):
    (runs.folder / "file").touch()
    said = one_alone(runs, runs.folder / "file")

    assert "it is a link or a file, not a folder" in said
    assert said.endswith("Have it removed, or name another folder in PIPEGRAPH_LEDGER.")


def test_a_full_disk_is_named(runs):
    with small_disk(runs.folder / "full", "size=4k,mode=1777") as full:
        (full / "big").write_bytes(bytes(4096))
        said = one_alone(runs, full)

    assert "because: No space left on device" in said
    assert "Free some space there." in said


def test_a_disk_that_is_read_only_is_named(runs):
    with mounted(runs.folder / "fixed", "-t", "tmpfs", "-o", "ro,mode=1777", "pipegraph_test") as fixed:
        said = one_alone(runs, fixed)

    assert "because: Read-only file system" in said


def test_runs_go_on_sharing_when_the_table_is_removed(runs):
    holds = begin_holding(runs)
    for path in runs.ledger.iterdir():
        path.unlink()
    waits = runs.start("waits", ONE)
    wait_until(lambda: "waits.py" in runs.shares(), seconds=60)
    runs.open("go")
    runs.wait_for_begin("later_0")
    wait_until(lambda: set(runs.shares()) >= {"holds.py"}, "it has no row again", 60)

    runs.open("end")
    runs.assert_ended_well(holds, waits)
    assert "can't be shared" not in runs.scripts[0].stderr + runs.scripts[1].stderr


def test_off_shares_with_nobody(runs):
    holds = begin_holding(runs)

    runs.assert_ended_well(runs.start("alone", ONE, PIPEGRAPH_LEDGER="off"))
    runs.open("go", "end")
    runs.assert_ended_well(holds)


# --- other ways to run


def test_more_cores_at_the_keyboard_are_more_than_the_machine_has(runs):
    script = runs.make("more", 'graph()\n[job(f"held_{n}", gate="go") for n in range(4)]\nppg.run_pipegraph()\n')
    with at_terminal(script.folder, "more.py", PIPEGRAPH_LEDGER=str(runs.ledger)) as terminal:
        runs.wait_for_begin("held_0", "held_1")
        terminal.wait_for("> Enter: what is running")
        terminal.type("cores 4\r")
        wait_until(lambda: terminal.read() or len(runs.begun()) == 4, "they do not begin", 60)
        share = runs.shares()["more.py"]
        assert (share.capacity.cores, share.machine.cores, share.held.cores) == (4, 4, 4)
        runs.open("go")
        assert terminal.wait() == 0


def test_a_run_inside_of_a_job_does_not_wait_for_the_run_around_it(runs):
    text = """
    import subprocess
    graph()
    def work(output):
        note("+", "held_0")
        subprocess.run([sys.executable, "inner.py"], cwd=SHARED / "inner", check=True)
        output.write_text("made")
        note("-", "held_0")
    ppg.FileGeneratingJob("out/outer", work)
    job("held_1", gate="inner_done")
    ppg.run_pipegraph()
    """
    script = runs.make("outer", text)
    inner = """
    graph()
    last = [job(f"inner_{n}") for n in range(3)]
    ppg.run_pipegraph()
    (SHARED / "inner_done").touch()
    """
    runs.make("inner", inner)

    runs.assert_ended_well(script.start("outer.py"))
    witness = [(mark, name) for mark, name, *_ in runs.witness() if name.startswith("inner")]
    assert sorted(name for mark, name in witness if mark == "-") == ["inner_0", "inner_1", "inner_2"]
    # The job has one core, whatever the script in it says.
    assert [mark for mark, _ in witness] == ["+", "-"] * 3


def test_graphs_after_each_other_share_each_time(runs):
    text = """
    for turn in range(2):
        graph()
        job(f"turn_{turn}", gate=f"go_{turn}")
        job(f"beside_{turn}", gate=f"go_{turn}")
        ppg.run_pipegraph()
    """
    process = runs.start("turns", text)
    for turn in range(2):
        runs.wait_for_begin(f"turn_{turn}", f"beside_{turn}")
        assert [share.held.cores for share in runs.shares().values()] == [2]
        runs.open(f"go_{turn}")
    runs.assert_ended_well(process)


# --- to look at them


def share_of(script, held, wanted=None, waiting_seconds=0.0, capacity=(8, 16 * 10**9), **more):
    amounts = [
        Amounts(*capacity),
        Amounts(64, 256 * 10**9),
        Amounts(*held),
        None if wanted is None else Amounts(*wanted),
    ]
    values = {"pid": 7, "user": "anna", "since": 0.0, **more}
    rest = {"host": "box", "script": script, "run": "r", "slave": "box", "waiting_seconds": waiting_seconds}
    return Share(**values, **rest, **dict(zip(("capacity", "machine", "held", "wanted"), amounts)))


def test_what_each_run_holds_and_waits_for_stands_in_columns(monkeypatch):
    today = time.time()
    monkeypatch.setattr(time, "strftime", lambda how, when=None: "D" if how == "%F" else how)
    found = lines_of(
        [
            share_of("/home/anna/a.py", (6, 2 * 10**9), since=today),
            share_of("b.py", (0, 0), (1, 5 * 10**8), 119.0, pid=12345, user="bartholomew"),
            share_of("c.py", (58, 10**9), (8, 0), 120.0, capacity=(64, 10**9)),
            share_of("d\x1b.py", (0, 0), (0, 10**9), 9000.0),
        ]
    )

    assert found == [
        "4 runs on box, together 64 of 64 cores and 3 GB of 256 GB",
        "",
        "user         pid    since  cores     memory            waits for                     script",
        "anna         7      %H:%M  6 of 8    2 GB of 16 GB     -                             /home/anna/a.py",
        "bartholomew  12345  %H:%M  0 of 8    0 bytes of 16 GB  1 core and 500 MB, for 119 s  b.py",
        "anna         7      %H:%M  58 of 64  1 GB of 1 GB      8 cores, for 2 min            c.py",
        "anna         7      %H:%M  0 of 8    0 bytes of 16 GB  1 GB, for 2.5 h               d\\x1b.py",
    ]


def test_a_run_of_another_day_says_so():
    day = 86400.0
    now = time.time()

    assert lines_of([share_of("a.py", (1, 0), since=now - 3 * day)])[3].split()[2:4] == [
        time.strftime("%F", time.localtime(now - 3 * day)),
        time.strftime("%H:%M", time.localtime(now - 3 * day)),
    ]
    assert len(lines_of([share_of("a.py", (1, 0), since=now)])[3].split()[2]) == 5


def test_off_is_said_where_it_disturbs_no_json(runs):
    ended = pipegraph(runs.make("look", "", PIPEGRAPH_LEDGER="off"), "status", "--machine", "--json")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == "Nothing is shared: PIPEGRAPH_LEDGER is off.\n"


def test_on_a_terminal_the_same_lines_are_shown(runs):
    holds = begin_holding(runs)
    command = ["-m", "pipegraph", "status", "--machine"]
    terminal = AtTerminal([sys.executable, *command], runs.folder, columns=200, PIPEGRAPH_LEDGER=str(runs.ledger))
    with contextlib.closing(terminal):
        assert terminal.wait() == 0
        lines = terminal.screen.lines
    assert lines[0].startswith(f"1 run on {os.uname().nodename}, together 2 of 2 cores")
    assert lines[3].endswith("/holds/holds.py")
    runs.open("go", "end")
    runs.assert_ended_well(holds)


def test_the_runs_of_a_machine_can_be_looked_at(runs):
    assert "No run uses this machine" in pipegraph(runs.make("look", ""), "status", "--machine").stdout
    holds = begin_holding(runs)
    waits = runs.start("waits", ONE)
    runs.wait_until_waiting("waits")

    shown = pipegraph(runs.scripts[0], "status", "--machine")
    assert (shown.code, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[0].startswith(f"2 runs on {os.uname().nodename}, together 2 of 2 cores and 0 bytes of ")
    assert re.search(rf" {holds.pid} .*  2 of 2  0 bytes of .*B  - +{runs.folder}/holds/holds\.py$", lines[3])
    assert re.search(rf" {waits.pid} .*  0 of 2 .*B  1 core, for \d+ s +{runs.folder}/waits/waits\.py$", lines[4])
    rows = json.loads(pipegraph(runs.scripts[0], "status", "--machine", "--json").stdout)
    assert [(row["pid"], row["held"]["cores"]) for row in rows] == [(holds.pid, 2), (waits.pid, 0)]
    assert rows[0]["wanted"] is None and rows[1]["wanted"]["cores"] == 1
    runs.open("go", "end")
    runs.assert_ended_well(holds, waits)
