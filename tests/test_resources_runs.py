"""What comes of what jobs say of their needs, in whole runs: threads, timeouts, attempts."""

from __future__ import annotations

import json
import re
import signal

import pytest
from commands import pipegraph
from scripts import wait_until

from pipegraph.slaves.threads import VARIABLES

NAMES = ("OMP_NUM_THREADS", "PIPEGRAPH_CORES", "PIPEGRAPH_LEDGER")
BEGIN = f"""
import json
NAMES = {NAMES!r}

def seen(output):
    output.write_text(json.dumps([os.environ.get(name) for name in NAMES]))

def attempt(name):
    with open("attempts_" + name, "a") as out:
        out.write("x\\n")
    return len(open("attempts_" + name).readlines())

def fails_until(times, name):
    def job(output):
        output.write_text("half")
        if attempt(name) < times:
            raise ValueError("not yet")
        output.write_text("whole")
    return job

ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), resources={{"gpu": 1}})
"""
END = "\nppg.run_pipegraph()\n"


@pytest.fixture
def plain(script):
    """Nobody has set anything."""
    for name in (*VARIABLES, *NAMES):
        script.environment.pop(name, None)
    return script


def told(script, name):
    return json.loads((script.folder / name).read_text())


def log_of(script):
    path = script.folder / "logs" / "ppg_run.txt"
    return path.read_text() if path.exists() else ""


# --- threads


def test_each_job_is_told_its_cores_in_callbacks_programs_and_shared_processes(plain):
    echo = ["sh", "-c", 'echo "[\\"$OMP_NUM_THREADS\\", \\"$PIPEGRAPH_CORES\\", \\"$PIPEGRAPH_LEDGER\\"]"']
    plain.run(
        BEGIN
        + f"""
ppg.FileGeneratingJob("one", seen)
ppg.FileGeneratingJob("two", seen).use_cores(2)
ppg.FileGeneratingJob("all", seen).use_cores(-1)
ppg.FileGeneratingJob("shared", seen, isolation="shared")
for cores in (1, 2, -1):
    ppg.CommandJob(f"program{{cores}}", {echo!r}, stdout=f"program{{cores}}").use_cores(cores)
"""
        + END
    )

    for name in ("one", "shared", "program1"):
        assert told(plain, name) == ["1", "1", "off"], name
    for name in ("two", "all", "program2", "program-1"):
        assert told(plain, name) == ["2", "2", "off"], name


def test_all_variables_are_set_and_the_script_keeps_its_own_environment(plain):
    everything = "def everything(output): output.write_text(json.dumps(dict(os.environ)))"
    plain.run(
        BEGIN
        + f"""
before = dict(os.environ)
{everything}
ppg.FileGeneratingJob("two", everything).use_cores(2)
ppg.run_pipegraph()
assert dict(os.environ) == before
"""
    )

    assert {name: told(plain, "two").get(name) for name in VARIABLES} == dict.fromkeys(VARIABLES, "2")


@pytest.mark.parametrize("where", ["environment", "script"])
def test_what_the_user_has_set_stays(plain, where):
    plain.environment["PIPEGRAPH_CORES"] = "2"
    if where == "environment":
        plain.environment["OMP_NUM_THREADS"] = "7"
    else:
        plain.environment["SET"] = "1"
    plain.run(
        BEGIN
        + """
if "SET" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "7"
ppg.FileGeneratingJob("one", seen)
ppg.FileGeneratingJob("two", seen).use_cores(2)
"""
        + END
    )

    assert told(plain, "one") == ["7", "1", "off"]
    assert told(plain, "two") == ["7", "2", "off"]


def test_what_a_load_or_a_generator_was_granted_is_not_for_the_jobs_after_it(plain):
    plain.run(
        BEGIN
        + """
load = ppg.DataLoadingJob("load", lambda: os.environ["OMP_NUM_THREADS"] == "2" or 1 / 0).use_cores(2)
ppg.FileGeneratingJob("after", seen).depends_on(load)
ppg.CommandJob("program", "echo $OMP_NUM_THREADS > {output}").depends_on(load)
generate = ppg.JobGeneratingJob("generate", lambda: ppg.FileGeneratingJob("generated", seen)).use_cores(2)
"""
        + END
    )

    assert told(plain, "after") == told(plain, "generated") == ["1", "1", "off"]
    assert plain.lines("program") == ["1"]


def test_what_a_load_sets_itself_is_for_the_jobs_after_it(plain):
    plain.run(
        BEGIN
        + """
def load():
    os.environ["OMP_NUM_THREADS"] = "5"

loaded = ppg.DataLoadingJob("load", load)
ppg.FileGeneratingJob("one", seen).depends_on(loaded)
ppg.FileGeneratingJob("two", seen).depends_on(loaded).use_cores(2)
"""
        + END
    )

    assert told(plain, "one")[0] == told(plain, "two")[0] == "5"


# --- timeouts


def test_a_job_over_its_time_is_ended_with_all_that_it_started(script):
    script.run(
        BEGIN
        + """
import subprocess
def slow(output):
    output.write_text("half")
    subprocess.Popen(["sleep", "1000"])
    open("begun", "a").write("x\\n")
    time.sleep(1000)

ppg.FileGeneratingJob("slow", slow).timeout(1)
ppg.FileGeneratingJob("other", seen)
"""
        + END,
        code=1,
    )

    assert "took longer than its timeout of 1 s" in script.errors
    assert script.lines("begun") == ["x"]
    assert not (script.folder / "slow").exists() and (script.folder / "other").exists()


def test_who_ends_well_after_the_timeout_has_failed_all_the_same(script):
    script.run(
        BEGIN
        + """
def willing(output):
    over = []
    signal.signal(signal.SIGTERM, lambda *ignored: over.append(1))
    while not over:
        time.sleep(0.01)
    output.write_text("whole")

ppg.FileGeneratingJob("out", willing).timeout(0.5)
"""
        + END,
        code=1,
    )

    assert "took longer than its timeout of 0.5 s" in script.errors and not (script.folder / "out").exists()


def test_a_job_over_its_time_is_tried_again(script):
    script.run(
        BEGIN
        + """
def slow_at_first(output):
    if attempt("slow") == 1:
        time.sleep(1000)
    output.write_text("whole")

ppg.FileGeneratingJob("slow", slow_at_first).timeout(2).retry(1)
"""
        + END
    )

    assert (script.folder / "slow").read_text() == "whole"
    assert "took longer than its timeout of 2 s; will be tried again" in log_of(script)


@pytest.mark.parametrize(
    "kind", ["ppg.DataLoadingJob('stays', list)", "ppg.JobGeneratingJob('stays', lambda: after('generated'))"]
)
def test_the_time_of_a_load_or_a_generator_ends_with_it_and_not_with_the_jobs_after_it(script, kind):
    """Those wait for a process that is signalled if the timer goes on."""
    script.run(
        BEGIN
        + f"""
def long(output):
    time.sleep(3)  # longer than the timeout
    output.write_text("whole")

def after(name):
    return ppg.FileGeneratingJob(name, long)

after("after").depends_on({kind}.timeout(1.5))
"""
        + END
    )

    assert (script.folder / "after").read_text() == "whole"
    assert "slave died" not in log_of(script) and script.started.count("stays") == 1


def test_a_generator_that_is_not_followed_yet_is_in_time(script):
    """It has ended, and its process is no slave yet, while what another one declared is looked at."""
    script.run(
        BEGIN
        + """
from pipegraph.slaves import LocalSlave
LocalSlave.__init__.__defaults__ = (0.1, False)  # seconds of grace

def declare():
    ppg.FileGeneratingJob("generated", seen).depends_on_file("large")

with open("large", "wb") as out:
    out.truncate(3 << 30)
ppg.JobGeneratingJob("first", declare)
ppg.JobGeneratingJob("second", lambda: ppg.FileGeneratingJob("other", seen)).timeout(0.3)
"""
        + END
    )

    assert sorted(script.started) == ["first", "generated", "other", "second"]
    assert "slave died" not in log_of(script)


def test_a_timeout_of_years_is_no_fault(script):
    script.run(BEGIN + "ppg.FileGeneratingJob('a', lambda output: time.sleep(0.5) or seen(output)).timeout(1e9)" + END)

    assert (script.folder / "a").exists() and "slave died" not in log_of(script)


# --- attempts


def test_a_job_is_tried_again_and_what_depends_on_it_waits(script):
    script.run(
        BEGIN
        + """
flaky = ppg.FileGeneratingJob("flaky", fails_until(3, "flaky")).retry(2)
ppg.FileGeneratingJob("after", lambda output: output.write_text(open("flaky").read())).depends_on(flaky)
assert not ppg.run_pipegraph()
assert flaky.was_run and not flaky.failed
"""
    )

    assert script.lines("attempts_flaky") == ["x"] * 3
    assert (script.folder / "after").read_text() == "whole"
    assert script.started == ["flaky", "flaky", "flaky", "after"]
    assert re.findall(r"will be tried again \((\d of \d)\)", log_of(script)) == ["2 of 3", "3 of 3"]
    assert re.findall(r"will be tried again \((\d of \d)\)", script.stderr) == ["2 of 3", "3 of 3"]
    head, *rows = (script.folder / "logs" / "ppg_runtimes.tsv").read_text().splitlines()
    result = head.split("\t").index("result")
    assert [row.split("\t")[result] for row in rows] == ["put off", "put off", "made", "made"]
    assert script.errors == ""


@pytest.mark.parametrize("make", ["FileGeneratingJob('a', fail)", "CommandJob('a', 'echo x >> attempts_a; exit 3')"])
@pytest.mark.parametrize("isolation", ["process", "shared"])
def test_the_last_failure_counts_and_says_how_often_it_was_tried(script, make, isolation):
    script.run(
        BEGIN
        + f"""
ppg.util.global_pipegraph.isolation = {isolation!r}
def fail(output):
    output.write_text("half")
    raise ValueError(f"number {{attempt('a')}}")

ppg.{make}.retry(1)
"""
        + END,
        code=1,
    )

    assert script.lines("attempts_a") == ["x"] * 2
    assert "(tried 2 times)" in script.stderr and "(tried 2 times)" in script.errors
    assert not (script.folder / "a").exists()
    if "fail)" in make:
        assert "number 2 (tried 2 times)" in script.errors


WAITING = """
flaky = ppg.FileGeneratingJob("flaky", fails_until(2, "flaky")).retry(1, 10_000)
ppg.FileGeneratingJob("after", seen).depends_on(flaky)
first = ppg.FileGeneratingJob("first", fails_until(2, "first")).retry(1, 1)
ppg.FileGeneratingJob("all", seen).use_cores(2).depends_on(first)
ppg.run_pipegraph()
"""


def start_and_wait_for_the_second_attempt(script):
    """All was made once, and is missing now, so that the reasons of the next run tell what is on file."""
    script.write(BEGIN + WAITING)
    for name in ("flaky", "first"):
        (script.folder / f"attempts_{name}").write_text("x\n")
    script.run()
    for name in ("flaky", "first", "all", "attempts_flaky", "attempts_first"):
        (script.folder / name).unlink()
    process = script.start()
    wait_until(lambda: (script.folder / "all").exists() and "put off     flaky" in log_of(script))
    return process


def reason_of(script, job):
    return re.search(rf"started +{job} \(\S+\) because (.*)", log_of(script))[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_waits_holds_no_cores_is_no_file_and_a_stop_ends_it_at_once(script, number):
    process = start_and_wait_for_the_second_attempt(script)  # a job of all cores ran meanwhile
    assert not (script.folder / "flaky").exists()
    process.send_signal(number)

    assert process.wait(30) != 0
    assert re.search(r"failed +flaky .*not yet\n", log_of(script)) and script.lines("attempts_flaky") == ["x"]
    script.run()
    assert "failed last time" in reason_of(script, "flaky")
    assert script.lines("attempts_flaky") == ["x", "x"]


def test_who_waited_when_the_run_was_killed_was_started_and_never_finished(script):
    process = start_and_wait_for_the_second_attempt(script)
    process.kill()
    process.wait()
    script.assert_no_process_left()
    script.run()

    assert "started but never finished" in reason_of(script, "flaky")
    assert script.lines("attempts_flaky") == ["x", "x"]


def test_status_shows_who_waits_and_until_when(script):
    process = start_and_wait_for_the_second_attempt(script)
    status = script.folder / "logs" / "latest" / "ppg_status.json"
    wait_until(lambda: status.exists() and json.loads(status.read_text()).get("put_off"))
    shown = pipegraph(script, "status", "--once").stdout
    process.send_signal(signal.SIGINT)
    process.wait(30)

    assert re.search(r"failed and will be tried again in 2 h \d\d min \(2 of 2\)", shown), shown
    assert "ValueError: not yet" in shown


def test_what_a_job_waits_on_may_be_lost_meanwhile_and_is_loaded_again(script):
    """The slave that holds the load is killed while a job that needs it waits for its second attempt."""
    script.run(
        BEGIN
        + """
held = []
def load():
    open("loads", "a").write("x\\n")
    held.append(1)

def flaky(output):
    assert held
    if attempt("flaky") == 1:
        raise ValueError("not yet")
    output.write_text("whole")

def killer(output):
    while not os.path.exists("attempts_flaky"):
        time.sleep(0.01)
    time.sleep(0.5)
    if not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(100)
    output.write_text("x")

loaded = ppg.DataLoadingJob("load", load)
ppg.FileGeneratingJob("flaky", flaky).depends_on(loaded).retry(1, 3)
ppg.FileGeneratingJob("killer", killer).depends_on(loaded)
"""
        + END
    )

    assert (script.folder / "flaky").read_text() == "whole"
    assert script.lines("loads") == ["x", "x"] and "slave died" in log_of(script)


def test_loads_and_generators_are_tried_again_too(script):
    script.run(
        BEGIN
        + """
held = []
def load():
    if attempt("load") < 2:
        raise ValueError("not yet")
    held.append(1)

def generate():
    if attempt("generate") < 2:
        raise ValueError("not yet")
    ppg.FileGeneratingJob("generated", fails_until(2, "generated")).retry(1, 0.1).timeout(60).use("gpu")

loaded = ppg.DataLoadingJob("load", load).retry(1)
ppg.FileGeneratingJob("after", lambda output: output.write_text(str(held))).depends_on(loaded)
ppg.JobGeneratingJob("generate", generate).retry(1)
"""
        + END
    )

    assert (script.folder / "after").read_text() == "[1]"
    assert (script.folder / "generated").read_text() == "whole"
    assert script.started.count("generate") == script.started.count("generated") == 2


def test_none_of_these_words_is_a_reason_to_run_again(script):
    text = "job = ppg.FileGeneratingJob('a', seen)"
    script.run(BEGIN + text + END)
    for words in (".use('gpu')", ".exclusive()", ".retry(3, 2)", ".timeout(100)", ".use_cores(2)", ""):
        script.run(BEGIN + text + words + END)
        assert script.started == [], words
