"""What is recorded of what jobs took: processor time, what was read and written, and memory, of real processes."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scripts import Script
from test_slaves import PLACE, Bench, bench, exists  # noqa: F401

from pipegraph.events import JobSucceeded
from pipegraph.model import Trace
from pipegraph.slaves import memory
from pipegraph.slaves.traffic import text_of, traffic
from pipegraph.status.knowledge import Knowledge

MEGABYTE = 1 << 20
HEAD = """
import subprocess
MEGABYTE = 1 << 20

def program(megabytes):
    code = f"kept = bytearray(b'x') * ({megabytes} << 20)"
    subprocess.run([sys.executable, "-c", code], check=True)

def end(output):
    time.sleep(1.1)  # what takes less is not measured
    output.write_text("x")

ppg.new_pipegraph()
"""


def traces_of(script: Script, text: str) -> dict[str, Trace]:
    """What is recorded once this has run."""
    script.run(HEAD + text + "\nppg.run_pipegraph()\n")
    knowledge = Knowledge.read(script.folder / ".pipegraph_status")
    found = {job: knowledge.past(job).trace for job in knowledge.jobs()}
    return {job: trace for job, trace in found.items() if trace is not None}


# --- memory


def test_what_was_measured_is_never_nothing(script: Script) -> None:
    traces = traces_of(
        script,
        """
ppg.FileGeneratingJob("measured", lambda output: (time.sleep(0.12), output.write_text("x")))
ppg.FileGeneratingJob("short", lambda output: output.write_text("x"))
""",
    )

    assert 0 < traces["measured"].peak_bytes < 50 * MEGABYTE
    assert traces["short"].peak_bytes == 0 or traces["short"].seconds >= 0.1  # on a machine that is that slow


NEEDS = {
    "a program that was waited for": ("program(300)", 300),
    "a program of a program": (
        f"""subprocess.run(["sh", "-c", "{sys.executable} -c 'own = bytearray(300 << 20)'; true"], check=True)""",
        300,
    ),
    "what was given back": ("own = bytearray(b'x') * (300 * MEGABYTE); del own", 300),
    "an array": ("import numpy; own = numpy.ones(300 * MEGABYTE // 8); del own", 300),
}


@pytest.mark.parametrize("seconds", [0.12, 1.1])
@pytest.mark.parametrize("isolation", ["process", "shared"])
@pytest.mark.parametrize("need", NEEDS)
def test_the_most_memory_that_a_job_or_a_program_of_it_had_is_recorded(
    script: Script, need: str, isolation: str, seconds: float
) -> None:
    if "numpy" in NEEDS[need][0]:
        pytest.importorskip("numpy")
    text, megabytes = NEEDS[need]
    if "\n" not in text:
        text = f"\n    {text}"
    traces = traces_of(
        script,
        f"""
def run(output):{text}
    time.sleep({seconds})
    output.write_text("x")

ppg.FileGeneratingJob("a", run, isolation={isolation!r})
""",
    )

    assert megabytes - 50 < traces["a"].peak_bytes / MEGABYTE < megabytes + 150


def test_what_a_fork_of_a_job_inherited_is_not_counted_at_its_end(bench: Bench) -> None:  # noqa: F811
    def run() -> None:
        own = bytearray(b"x") * (200 * MEGABYTE)
        if not os.fork():
            more = bytearray(b"x") * (150 * MEGABYTE)
            os._exit(0 if more else 1)
        os.wait()
        del own
        time.sleep(1.1)

    spec = bench.add("a", run)
    bench.slave.begin()
    bench.slave.start(spec)
    (ended,) = [each for each in bench.until(JobSucceeded("a")) if isinstance(each, JobSucceeded)]

    assert 180 < ended.usage.peak_bytes / MEGABYTE < 270


@pytest.mark.parametrize("isolation", ["process", "shared"])
def test_what_a_fork_of_a_job_inherited_is_not_counted_again(script: Script, isolation: str) -> None:
    traces = traces_of(
        script,
        f"""
def run(output):
    own = bytearray(b"x") * (400 * MEGABYTE)
    forks = []
    for _ in range(3):
        forks.append(os.fork())
        if not forks[-1]:
            more = bytearray(b"x") * (60 * MEGABYTE)
            end(output)
            os._exit(0)
    for each in forks:
        os.waitpid(each, 0)
    end(output)

ppg.FileGeneratingJob("a", run, isolation={isolation!r})
""",
    )

    # With what the forks had of their own, if somebody looked.
    assert 380 < traces["a"].peak_bytes / MEGABYTE < 700


def test_what_a_slave_had_loaded_is_not_that_of_a_job_nor_of_its_program(script: Script) -> None:
    traces = traces_of(
        script,
        """
class Store: pass
store = Store()

def load():
    time.sleep(1.1)
    return bytearray(b"x") * (400 * MEGABYTE)

def run(output):
    program(10)
    end(output)

load = ppg.AttributeLoadingJob("load", store, "large", load)
ppg.FileGeneratingJob("a", run).depends_on(load)
ppg.FileGeneratingJob("b", lambda output: (os.fork() or os._exit(0), os.wait(), end(output))).depends_on(load)
ppg.CommandJob("c", "sleep 1.1; echo x > {output}").depends_on(load)
""",
    )

    assert 350 < traces["load"].peak_bytes / MEGABYTE < 600
    assert all(traces[job].peak_bytes / MEGABYTE < 100 for job in "abc")


def test_a_job_that_shares_a_process_is_not_charged_with_what_others_took_there(script: Script) -> None:
    traces = traces_of(
        script,
        """
def first(output):
    own = bytearray(b"x") * (300 * MEGABYTE)
    del own
    with open(output, "wb") as out:
        out.write(bytes(100 * MEGABYTE))
    print(os.getpid(), file=open("first.pid", "w"))

def second(output):
    end(output)
    print(os.getpid(), file=open("second.pid", "w"))

ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(1), isolation="shared")
first = ppg.FileGeneratingJob("first", first)
ppg.FileGeneratingJob("second", second).depends_on(first)
""",
    )

    assert script.lines("first.pid") == script.lines("second.pid")
    assert traces["second"].peak_bytes < 100 * MEGABYTE
    assert traces["second"].written_bytes < 10 * MEGABYTE


@pytest.mark.parametrize("command", ["{python} work.py > {{output}}", "{python} work.py | cat > {{output}}"])
def test_what_a_program_took_is_recorded(script: Script, command: str) -> None:
    (script.folder / "work.py").write_text(
        "import time, sys\nkept = bytearray(b'x') * (300 << 20)\ndel kept\ntime.sleep(1.1)\n"
        "while time.process_time() < 0.3: pass\nsys.stdout.buffer.write(bytes(20 << 20))\n"
    )

    trace = traces_of(script, f"ppg.CommandJob('a', {command.format(python=sys.executable)!r})")["a"]

    assert 280 < trace.peak_bytes / MEGABYTE < 450
    assert 0.3 <= trace.cpu_seconds < 30
    assert 20 <= trace.written_bytes / MEGABYTE < 100


def test_what_was_seen_of_a_job_while_it_ran_counts(bench: Bench) -> None:  # noqa: F811
    """A program smaller than the process that started it: at its end, its size is not known."""

    def run() -> None:
        large = bytearray(b"x") * (300 * MEGABYTE)
        code = "k = bytearray(b'x') * (200 << 20); open('runs', 'w'); import time, os\n"
        code += "while not os.path.exists('go'): time.sleep(0.002)"
        assert large
        subprocess.run([sys.executable, "-c", code], check=True)

    spec = bench.add("a", run)
    bench.slave.begin()
    bench.slave.start(spec)
    exists("runs")
    bench.slave.ask_who(20.0)
    (seen,) = bench.slave.look()
    Path("go").touch()
    (ended,) = [each for each in bench.until(JobSucceeded("a")) if isinstance(each, JobSucceeded)]

    assert 480 < seen.own_bytes / MEGABYTE < 650
    assert ended.usage.peak_bytes >= seen.own_bytes
    assert ended.usage.peak_bytes < 650 * MEGABYTE


def test_a_childs_largest_size_is_believed_only_where_it_can_be_its_own() -> None:
    most = memory.most_bytes()

    assert most > 0
    assert memory.most_of_programs(most, False) == 0
    assert memory.most_of_programs(most + most // 10, False) == 0
    assert memory.most_of_programs(10 * most, False) == 10 * most
    assert memory.most_of_programs(most, True) == 0
    assert 7 * most < memory.most_of_programs(10 * most, True) < 9 * most


# --- processor time, bytes


@pytest.mark.parametrize("isolation", ["process", "shared"])
def test_what_a_job_and_what_it_waited_for_read_and_wrote_is_recorded(script: Script, isolation: str) -> None:
    (script.folder / "in").write_bytes(bytes(30 * MEGABYTE))

    traces = traces_of(
        script,
        f"""
def run(output):
    with open("in", "rb") as source:
        data = source.read()
    subprocess.run(["dd", "if=in", "of=out", "bs=1M"], check=True, stderr=subprocess.DEVNULL)
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    end(output)

ppg.FileGeneratingJob("a", run, isolation={isolation!r})
""",
    )

    trace = traces["a"]
    assert 60 <= trace.read_bytes / MEGABYTE < 120
    assert 30 <= trace.written_bytes / MEGABYTE < 90
    assert 0.3 <= trace.cpu_seconds < 30
    with (script.folder / "logs" / "ppg_runtimes.tsv").open(newline="") as source:
        (row,) = csv.DictReader(source, delimiter="\t")
    assert int(row["read_bytes"]) == trace.read_bytes
    assert int(row["written_bytes"]) == trace.written_bytes
    assert int(row["peak_bytes"]) == trace.peak_bytes


def test_of_a_short_job_nothing_is_recorded_but_its_time(script: Script) -> None:
    traces = traces_of(script, "ppg.FileGeneratingJob('a', lambda output: output.write_text('x'))")

    trace = traces["a"]
    assert trace.seconds > 0
    assert (trace.cpu_seconds, trace.peak_bytes, trace.read_bytes, trace.written_bytes) == (0, 0, 0, 0)
    assert b'"",["never made' not in (script.folder / ".pipegraph_status").read_bytes()


@pytest.mark.parametrize("end", ["sys.path.clear(); sys.meta_path.clear(); sys.modules.pop('resource', None)"])
def test_a_job_that_leaves_nothing_to_measure_with_succeeds(script: Script, end: str) -> None:
    traces = traces_of(
        script,
        f"""
def run(output):
    end(output)
    {end}

ppg.FileGeneratingJob("a", run)
""",
    )

    assert traces["a"].seconds >= 1.1


def test_the_larger_of_what_was_asked_for_and_what_came_from_disks_counts() -> None:
    before = b"rchar: 10\nwchar: 5\nsyscr: 1\nsyscw: 1\nread_bytes: 0\nwrite_bytes: 100\ncancelled_write_bytes: 0\n"
    now = b"rchar: 30\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 101\ncancelled_write_bytes: 0\n"

    assert traffic(now) == (4096, 101)
    assert traffic(now, before) == (4096, 4)
    assert traffic(before, now) == (0, 0)
    assert traffic(b"") == (0, 0)


def test_a_program_that_has_ended_still_tells_what_it_wrote_and_of_nobody_nothing_is_told() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import os; os.write(1, bytes(5000))"], stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    text = text_of(process.pid)
    process.wait()

    assert traffic(text)[1] >= 5000
    assert text_of(1 << 22) == b""
