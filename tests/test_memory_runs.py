"""Whole runs whose jobs need more memory than there is: in a real control group, or under a limit of a process."""

from __future__ import annotations

import json
import re
import signal

import pytest
from machine import control_group
from scripts import wait_until

LIMIT = 1 << 30
LARGE, SMALL = 280, 4  # in MiB; three of the large ones fit
PUT_OFF = r"(?:ended before memory ran out|killed by the kernel, since memory ran out)"
NO_FUEL = "killed by the kernel, since memory ran out"

BEGIN = f"""
import json, subprocess
from pathlib import Path
open(os.environ["GROUP"], "w").write(str(os.getpid()))

def log():
    path = Path("logs/ppg_run.txt")
    return path.read_text() if path.exists() else ""

def wait_for(is_true):
    until = time.monotonic() + 40
    while not is_true() and time.monotonic() < until:
        time.sleep(0.01)

def take(megabytes):
    held = []
    for _ in range(megabytes):
        held.append(bytearray(b"x") * (1 << 20))
        time.sleep(0.001)
    return held

def large(output):
    held = take({LARGE})
    if os.path.exists("hold"):  # until memory has run out once
        wait_for(lambda: " put off " in log())
    output.write_text(f"{{len(held)}} of {{output}}")

def small(output):
    output.write_text("small")

NEEDS_TOO_MUCH = "x = bytearray({2 * LIMIT})"
NEEDS_LARGE = "x = b'x' * ({LARGE} << 20); import time; time.sleep(0.1)"

def graph(cores=6, **how):
    ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(cores), **how)
"""
SIX = """
for number in range(6):
    job = ppg.FileGeneratingJob(f"out{number}", large, **HOW)
    if DECLARED:
        job.memory_needed = "300MB"
ppg.run_pipegraph()
"""
END = "\nppg.run_pipegraph()\n"


class Limited:
    """A script in a control group."""

    def __init__(self, script, group):
        self.script, self.group = script, group
        self.folder = script.folder
        script.environment["GROUP"] = str(group)

    def kills(self):
        """How many processes the kernel has killed here for want of memory."""
        for name in ("memory.oom_control", "memory.events"):
            path = self.group.parent / name
            if path.exists():
                return int(re.search(r"^oom_kill (\d+)", path.read_text(), re.MULTILINE)[1])
        raise AssertionError("the control group does not count")

    def run(self, text, code=0):
        return self.script.run(BEGIN + text, code)

    @property
    def log(self):
        path = self.folder / "logs" / "ppg_run.txt"
        return path.read_text() if path.exists() else ""

    def put_off(self):
        """Which jobs, and why."""
        return re.findall(rf"put off +(\S+) \(\S+\) because it was ({PUT_OFF})", self.log)

    def most_at_once(self):
        most = now = 0
        for word in re.findall(r"^\S+ \S+ (started|made|failed|put off|stopped) ", self.log, re.MULTILINE):
            now += 1 if word == "started" else -1
            most = max(most, now)
        return most

    def assert_six_are_right(self):
        for number in range(6):
            assert (self.folder / f"out{number}").read_text() == f"{LARGE} of out{number}"


@pytest.fixture
def limited(script):
    with control_group("memory", max=LIMIT) as group:
        try:
            yield Limited(script, group)
        finally:
            script.end()


# --- more than fits


@pytest.mark.parametrize("how", ["{}", "{'isolation': 'shared'}"])
def test_of_jobs_that_do_not_fit_the_youngest_are_ended_and_made_again_and_then_it_is_known(limited, how):
    (limited.folder / "hold").touch()
    shown = limited.run(f"graph()\nHOW, DECLARED = {how}, False" + SIX)
    told = limited.put_off()

    limited.assert_six_are_right()
    assert told
    assert all(job != "out0" for job, _ in told if limited.kills() == 0)
    assert limited.kills() <= sum(why == NO_FUEL for _, why in told)
    for job, why in told:
        assert limited.script.started.count(job) == 1 + sum(each == job for each, _ in told)
        assert re.search(
            rf"pipegraph: {job} \(script.py:\d+\) was put off and is made again when there is room\n    {why}", shown
        )
    assert re.search(
        rf"because it was {PUT_OFF}: it had \d+(\.\d)? MB of 1.1 GB when last seen; is made again", limited.log
    )
    assert "6 made" in shown
    assert limited.script.errors == ""

    kills = limited.kills()
    for number in range(6):
        (limited.folder / f"out{number}").unlink()
    (limited.folder / "hold").unlink()
    limited.run(f"graph()\nHOW, DECLARED = {how}, False" + SIX)
    limited.assert_six_are_right()
    assert limited.put_off() == []
    assert limited.kills() == kills
    assert limited.most_at_once() in (2, 3)


def test_jobs_that_declare_what_they_need_run_side_by_side_as_many_as_fit(limited):
    limited.run("graph()\nHOW, DECLARED = {}, True" + SIX)

    limited.assert_six_are_right()
    assert limited.put_off() == []
    assert limited.kills() == 0
    assert limited.most_at_once() == 3


def test_a_job_that_takes_more_than_it_declares_is_not_ended_for_ever(limited):
    (limited.folder / "hold").touch()
    limited.run(
        """
graph()
for number in range(6):
    ppg.FileGeneratingJob(f"out{number}", large).memory_needed = "20MB"
"""
        + END
    )

    limited.assert_six_are_right()
    assert 0 < len(limited.put_off()) < 20


def test_what_was_ended_for_memory_is_no_failed_attempt(limited):
    (limited.folder / "hold").touch()
    limited.run(
        """
graph()
def unlucky(output):
    large(output)
    with open("attempts_" + output.name, "a") as out:
        out.write("x")
    if len(open("attempts_" + output.name).read()) < 3:
        raise ValueError("not yet")
for number in range(6):
    ppg.FileGeneratingJob(f"out{number}", unlucky).retry(2)
"""
        + END
    )

    limited.assert_six_are_right()
    assert limited.put_off()
    assert len(re.findall(r"will be tried again \(2 of 3\)", limited.log)) == 6
    assert len(re.findall(r"will be tried again \(3 of 3\)", limited.log)) == 6


# --- more than there is

TOO_MUCH = {
    "callback": 'def big(output):\n    x = bytearray(2 << 30)\nppg.FileGeneratingJob("big", big)',
    "shared": 'def big(output):\n    x = bytearray(2 << 30)\nppg.FileGeneratingJob("big", big, isolation="shared")',
    "program": 'ppg.CommandJob("big", [sys.executable, "-c", NEEDS_TOO_MUCH], stdout="big")',
    "shell": 'ppg.CommandJob("big", f"{sys.executable} -c \'{NEEDS_TOO_MUCH}\'; exit $?", stdout="big")',
    "subprocess": "def big(output):\n    subprocess.run([sys.executable, '-c', NEEDS_TOO_MUCH], check=True)\n"
    'ppg.FileGeneratingJob("big", big)',
    "wrapped": "def big(output):\n    try:\n"
    "        subprocess.run([sys.executable, '-c', NEEDS_TOO_MUCH], check=True)\n"
    "    except Exception as error:\n        raise RuntimeError('the tool failed') from error\n"
    'ppg.FileGeneratingJob("big", big)',
    "pool": "def big(output):\n    from concurrent.futures import ProcessPoolExecutor\n"
    "    with ProcessPoolExecutor(1) as pool:\n        pool.submit(bytearray, 2 << 30).result()\n"
    'ppg.FileGeneratingJob("big", big)',
    "loading": 'ppg.DataLoadingJob("big", lambda: bytearray(2 << 30))\n'
    'ppg.FileGeneratingJob("after", small).depends_on("big")',
    "generating": 'ppg.JobGeneratingJob("big", lambda: bytearray(2 << 30))',
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_what_needs_more_than_there_is_is_tried_once_more_alone_and_named(limited, kind):
    others = "\nfor number in range(3):\n    ppg.FileGeneratingJob(f'small{number}', small)\n"
    shown = limited.run("graph(2)\n" + TOO_MUCH[kind] + others + END, code=1)

    assert limited.script.started.count("big") == 2
    assert limited.put_off() == [("big", NO_FUEL)]
    assert limited.kills() == 2
    assert "killed by the kernel, since memory ran out, also when it ran alone" in shown
    assert "1.1 GB there are" in limited.script.errors
    assert re.search(r"job: +big \(script.py:\d+\)", limited.script.errors)
    assert "Have it need less, or run it where there is more." in limited.script.errors
    assert [(limited.folder / f"small{number}").read_text() for number in range(3)] == ["small"] * 3
    assert not (limited.folder / "big").exists()


def test_it_is_not_tried_again_where_that_is_not_wanted(limited):
    shown = limited.run("graph(2, retry_out_of_memory=False)\n" + TOO_MUCH["callback"] + END, code=1)

    assert limited.script.started == ["big"]
    assert limited.kills() == 1
    assert NO_FUEL in shown
    assert "alone" not in shown


def test_a_job_that_somebody_killed_is_not_taken_for_one_that_the_kernel_did(limited):
    shown = limited.run(
        'graph(2)\nppg.FileGeneratingJob("a", lambda output: os.kill(os.getpid(), signal.SIGKILL))' + END, code=1
    )

    assert limited.script.started == ["a"]
    assert "died before it finished" in shown
    assert NO_FUEL not in shown


def test_a_limit_of_the_process_is_an_exception_like_others(script):
    script.environment["GROUP"] = "/dev/null"
    shown = script.run(
        BEGIN
        + """
import resource
graph(2)
def big(output):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    x = bytearray(2 << 30)  # the place
ppg.FileGeneratingJob("big", big)
ppg.FileGeneratingJob("small", small)
"""
        + END,
        code=1,
    )

    assert script.started.count("big") == 1
    assert "MemoryError" in shown
    assert "# the place" in script.errors
    assert (script.folder / "small").read_text() == "small"


# --- what else is there


def test_the_kernel_ends_a_program_rather_than_the_slave_that_holds_more(limited):
    shown = limited.run(
        """
graph(2)
box = {}
def load():
    open("loads", "a").write("x")
    box["data"] = b"x" * (600 << 20)
ppg.DataLoadingJob("load", load)
ppg.CommandJob("big", [sys.executable, "-c", "x = b'x' * (500 << 20)"], stdout="big").depends_on("load")
ppg.CommandJob("sooner", "cat /proc/self/oom_score_adj", stdout="sooner").depends_on("load")
ppg.FileGeneratingJob("user", lambda output: output.write_text(str(len(box["data"])))).depends_on("load")
"""
        + END,
        code=1,
    )

    assert "slave died" not in limited.log
    assert (limited.folder / "sooner").read_text() == "300\n"
    assert (limited.folder / "loads").read_text() == "x"
    assert "also when it ran alone" in shown
    assert (limited.folder / "user").read_text() == str(600 << 20)


@pytest.mark.parametrize("own", ["0", "500"])
def test_jobs_beside_a_large_slave_are_killed_first_and_never_later_than_the_script_is(script, own):
    script.environment["GROUP"] = "/dev/null"
    script.run(
        BEGIN
        + f"OWN = {own!r}\n"
        + """
Path("/proc/self/oom_score_adj").write_text(OWN)
graph(2)
box = {}
def score(output):
    output.write_text(Path("/proc/self/oom_score_adj").read_text())
def load():
    box["data"] = b"x" * (100 << 20)
def load_more():
    Path("loading").write_text(Path("/proc/self/oom_score_adj").read_text())
first = ppg.FileGeneratingJob("first", score)
large = ppg.DataLoadingJob("large", load).depends_on(first)
more = ppg.DataLoadingJob("more", load_more).depends_on(large)
ppg.FileGeneratingJob("forked", score).depends_on(more)
ppg.FileGeneratingJob("shared", score, isolation="shared").depends_on(more)
ppg.CommandJob("program", "cat /proc/self/oom_score_adj", stdout="program").depends_on(more)
ppg.FileGeneratingJob("later", score).depends_on("program", "forked", more)
"""
        + END
    )

    told = {name: int((script.folder / name).read_text()) for name in ("first", "loading")}
    later = {int((script.folder / name).read_text()) for name in ("forked", "shared", "program", "later")}
    assert set(told.values()) == {int(own)}
    assert later == {max(300, int(own))}


@pytest.mark.parametrize("retries", [True, False])
def test_a_slave_that_the_kernel_killed_again_and_again_ends_the_job_and_not_the_rest(limited, retries):
    shown = limited.run(
        f"graph(2, retry_out_of_memory={retries})"
        + """
box = {}
def load():
    box["data"] = b"x" * (600 << 20)
    Path("/proc/self/oom_score_adj").write_text("1000")  # this process is the slave soon
def big(output):
    Path("/proc/self/oom_score_adj").write_text("0")
    take(500)
ppg.DataLoadingJob("load", load)
ppg.FileGeneratingJob("big", big).depends_on("load")
ppg.FileGeneratingJob("user", lambda output: output.write_text(str(len(box["data"])))).depends_on("load")
"""
        + END,
        code=1,
    )

    assert limited.script.started.count("big") == 1 + retries
    assert limited.log.count("slave died") == 1 + retries
    assert "the kernel killed a compute slave, since memory ran out" in shown
    assert ("also when it ran alone" in shown) == retries
    assert NO_FUEL in limited.script.errors
    assert (limited.folder / "user").read_text() == str(600 << 20)


def test_memory_of_other_programs_holds_back_starts_and_ends_nobody(limited):
    (limited.folder / "hold").touch()
    shown = limited.run(
        """
hog = subprocess.Popen([sys.executable, "-c", "x = b'x' * (950 << 20); print(flush=True); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
hog.stdout.readline()
graph(4)
def first(output):
    wait_for(lambda: os.path.exists("go"))
    output.write_text("first")
def is_seen(output):
    output.write_text("second")
ppg.FileGeneratingJob("first", first).memory_needed = 1000
for number in range(3):
    ppg.FileGeneratingJob(f"later{number}", is_seen).memory_needed = "200MB"
import threading
def free():
    wait_for(lambda: "started     first" in log())
    time.sleep(1)
    open("before", "w").write(log())
    hog.communicate(b"\\n")
    wait_for(lambda: "made        later2" in log())
    open("go", "w").close()
threading.Thread(target=free).start()
ppg.run_pipegraph()
"""
    )

    assert "4 made" in shown
    assert (limited.folder / "before").read_text().count("started") == 1
    assert limited.put_off() == []
    assert limited.kills() == 0


# --- the end of a run


def test_what_was_put_off_is_made_by_the_next_run_if_this_one_ends(limited):
    (limited.folder / "hold").touch()
    for number in (signal.SIGINT, signal.SIGKILL):
        limited.script.write(BEGIN + "graph()\nHOW, DECLARED = {}, False" + SIX.replace("large,", "endless,") + "\n")
        text = (limited.folder / "script.py").read_text()
        endless = "def endless(output):\n    large(output)\n    wait_for(lambda: False)\n"
        (limited.folder / "script.py").write_text(text.replace("NEEDS_TOO_MUCH =", endless + "NEEDS_TOO_MUCH =", 1))
        process = limited.script.start()
        wait_until(lambda: limited.put_off() != [], seconds=50)
        process.send_signal(number)
        process.wait(50)
        limited.script.assert_no_process_left()
        (limited.folder / "logs" / "ppg_run.txt").unlink()

    (limited.folder / "hold").unlink()
    limited.run("graph()\nHOW, DECLARED = {}, False" + SIX)
    limited.assert_six_are_right()
    assert sorted(set(limited.script.started)) == [f"out{number}" for number in range(6)]


def test_the_loop_waits_while_jobs_that_hold_memory_end(limited):
    """And does not go round and round until then, since a look at memory would be due."""
    limited.run(
        """
import threading
from pipegraph.admission.pressure import Pressure
asked = 0
next_look = Pressure.next_look
def counted(self):
    global asked
    asked += 1
    return next_look(self)
Pressure.next_look = counted
graph(2)
def stubborn(output):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    held = take(100)
    open("there_" + output.name, "w").close()
    time.sleep(60)
ppg.FileGeneratingJob("a", stubborn)
ppg.FileGeneratingJob("b", stubborn)
def stop():
    wait_for(lambda: os.path.exists("there_a") and os.path.exists("there_b"))
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=stop).start()
try:
    ppg.run_pipegraph()
except KeyboardInterrupt:
    print(json.dumps(asked))
"""
    )

    asked = json.loads((limited.folder / "stdout.txt").read_text())
    assert 0 < asked < 2000  # in a circle, tens of thousands
