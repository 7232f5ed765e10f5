"""Which scripts declare which jobs, over runs of whole scripts; and the wish that what is there be adopted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from scripts import Script, wait_until

from pipegraph.graph import Graph
from pipegraph.model import ReasonKind, Role
from pipegraph.status import StatusFile
from pipegraph.status.knowledge import Knowledge

WRITE = """
    ppg.new_pipegraph()
    def write(output):
        output.write_text("x")
    """


@pytest.fixture
def script(tmp_path):
    one = Script(tmp_path)
    yield one
    one.end()


def knowledge(script: Script) -> Knowledge:
    return Knowledge.read(script.folder / ".pipegraph_status")


def scripts_of(script: Script) -> dict[str, tuple[str, ...]]:
    found = knowledge(script)
    return {job: found.known(job).scripts for job in found.jobs()}


def run_as(script: Script, name: str, text: str, code: int | None = 0) -> None:
    script.write(text, name)
    assert script.start(name).wait(60) == code, script.stderr
    script.assert_no_process_left()


def lines_of_kind(script: Script, kind: str) -> int:
    lines = (script.folder / ".pipegraph_status").read_text().splitlines()
    return sum(line.split("\t")[1:2] == [kind] for line in lines)


KINDS = (
    WRITE
    + """
    temporary = ppg.TempFileGeneratingJob("temporary", write)
    loaded = ppg.DataLoadingJob("load", lambda: None)
    def generate():
        ppg.FileGeneratingJob("generated", write)
    ppg.JobGeneratingJob("generate", generate)
    ppg.FileGeneratingJob("a", write).depends_on(temporary, loaded, ppg.ParameterInvariant("p", 1))
    ppg.MultiFileGeneratingJob(["b", "c"], lambda files: [write(each) for each in files])
    ppg.run_pipegraph()
"""
)


def test_each_job_but_invariants_is_declared_by_its_script_and_a_second_run_writes_none_again(script):
    script.run(KINDS)

    found = knowledge(script)
    declared = {job: found.known(job) for job in found.jobs()}
    assert {job: (known.class_name, known.role) for job, known in declared.items()} == {
        "temporary": ("TempFileGeneratingJob", Role.EPHEMERAL),
        "load": ("DataLoadingJob", Role.EPHEMERAL),
        "generate": ("JobGeneratingJob", Role.GENERATOR),
        "generated": ("FileGeneratingJob", Role.OUTPUT),
        "a": ("FileGeneratingJob", Role.OUTPUT),
        "b:::c": ("MultiFileGeneratingJob", Role.OUTPUT),
    }
    assert {known.scripts for known in declared.values()} == {("script.py",)}
    script.run()
    assert lines_of_kind(script, "D") == 6


def test_a_job_of_another_class_is_declared_anew(script):
    script.run(WRITE + 'ppg.FileGeneratingJob("a", write)\n    ppg.run_pipegraph()')

    script.run(WRITE + 'ppg.MultiFileGeneratingJob(["a"], lambda files: write(files[0]))\n    ppg.run_pipegraph()')

    assert knowledge(script).known("a").class_name == "MultiFileGeneratingJob"


def test_what_a_script_declares_no_more_is_gone_unless_another_script_declares_it(script):
    both = WRITE + "for name in {}: ppg.FileGeneratingJob(name, write)\n    ppg.run_pipegraph()"
    run_as(script, "one.py", both.format(["a", "b"]))
    run_as(script, "two.py", both.format(["b", "c"]))
    assert scripts_of(script) == {"a": ("one.py",), "b": ("one.py", "two.py"), "c": ("two.py",)}

    run_as(script, "one.py", both.format(["d"]))

    assert scripts_of(script) == {"a": (), "b": ("two.py",), "c": ("two.py",), "d": ("one.py",)}
    found = knowledge(script)
    assert [job for job in sorted(found.jobs()) if found.known(job).is_gone] == ["a"]
    assert found.known("a").past.trace is not None, "that it was made is not forgotten"
    run_as(script, "one.py", both.format(["a"]))
    assert scripts_of(script) == {"a": ("one.py",), "b": ("two.py",), "c": ("two.py",), "d": ()}
    assert script.started == [], "what comes back is up to date"


def test_what_a_generator_declares_no_more_is_gone(script):
    text = WRITE + (
        """
    ppg.JobGeneratingJob("generate", lambda: [ppg.FileGeneratingJob(name, write) for name in {}])
    ppg.run_pipegraph()
"""
    )
    script.run(text.format(["a", "b"]))

    script.run(text.format(["b"]))

    assert scripts_of(script) == {"a": (), "b": ("script.py",), "generate": ("script.py",)}


INCOMPLETE = {
    "targets": 'ppg.FileGeneratingJob("new", write)\n    ppg.run_pipegraph(targets=["new"])',
    "pruned": 'ppg.FileGeneratingJob("new", write).prune()\n    ppg.run_pipegraph()',
    "pruned by a generator": """
    def generate():
        ppg.FileGeneratingJob("new", write).prune()
    ppg.JobGeneratingJob("generate", generate)
    ppg.run_pipegraph()
""",
    "dry": 'ppg.FileGeneratingJob("new", write)\n    ppg.run_pipegraph(dry_run=True)',
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_a_run_that_does_not_get_to_all_that_a_script_declares_makes_nothing_gone(script, name):
    script.run(WRITE + 'ppg.FileGeneratingJob("a", write)\n    ppg.run_pipegraph()')

    script.run(WRITE + INCOMPLETE[name])

    assert scripts_of(script)["a"] == ("script.py",)


@pytest.mark.parametrize(
    "end",
    [
        'raise ValueError("wrong")',
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)",
        "os.kill(os.getppid(), signal.SIGINT); time.sleep(60)",
    ],
    ids=["failed", "died", "stopped", "interrupted"],
)
def test_a_run_that_fails_or_is_stopped_makes_nothing_gone(script, end):
    script.run(WRITE + 'ppg.FileGeneratingJob("a", write)\n    ppg.run_pipegraph()')
    text = f"""
    ppg.new_pipegraph()
    run = os.getpid()
    def end(output):
        {end.replace("os.getppid()", "run")}
    ppg.FileGeneratingJob("new", end)
    try:
        ppg.run_pipegraph()
    except BaseException:
        pass
"""

    script.run(text, code=None)

    assert scripts_of(script) == {"a": ("script.py",), "new": ("script.py",)}


def test_a_run_that_is_killed_makes_nothing_gone(script):
    script.run(WRITE + 'ppg.FileGeneratingJob("a", write)\n    ppg.run_pipegraph()')
    script.write("""
    ppg.new_pipegraph()
    def wait(output):
        open("waits", "w").close()
        time.sleep(60)
    ppg.FileGeneratingJob("new", wait)
    ppg.run_pipegraph()
""")
    process = script.start()
    wait_until((script.folder / "waits").exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    script.assert_no_process_left()

    assert scripts_of(script) == {"a": ("script.py",), "new": ("script.py",)}


def test_all_runs_of_a_process_declare_together(script):
    several = """
    def write(output):
        output.write_text("x")
    for names in {}:
        ppg.new_pipegraph()
        for name in names:
            ppg.FileGeneratingJob(name, write)
        ppg.run_pipegraph()
    ppg.FileGeneratingJob("late", write)
    ppg.run_pipegraph()
"""
    script.run(several.format(["ab", "bc", "d"]))
    assert scripts_of(script) == dict.fromkeys([*"abcd", "late"], ("script.py",))
    script.run()
    assert scripts_of(script) == dict.fromkeys([*"abcd", "late"], ("script.py",))

    script.run(several.format(["b", "d"]))

    assert scripts_of(script) == {"a": (), "c": (), **dict.fromkeys([*"bd", "late"], ("script.py",))}


def test_a_failure_in_one_graph_of_a_process_keeps_the_next_from_making_its_jobs_gone(script):
    two = """
    def write(output):
        output.write_text("x" * {})
    def generate():
        ppg.FileGeneratingJob("a", write)
    graph = ppg.new_pipegraph()
    ppg.JobGeneratingJob("generate", generate).depends_on(ppg.FileGeneratingJob("first", write))
    try:
        ppg.run_pipegraph()
    except ppg.RuntimeError:
        pass
    ppg.new_pipegraph()
    ppg.FileGeneratingJob("b", lambda output: output.write_text("x"))
    ppg.run_pipegraph()
"""
    script.run(two.format("1"))

    script.run(two.format("0"))

    assert set(scripts_of(script).values()) == {("script.py",)}


def test_no_graph_is_taken_for_one_that_is_gone():
    marks = [Graph(lambda *given: None).mark for _ in range(100)]

    assert len(set(marks)) == 100


def test_a_whole_run_of_a_graph_makes_up_for_one_of_some_targets(script):
    text = WRITE + 'ppg.FileGeneratingJob("a", write)\n    {}\n    ppg.run_pipegraph()'
    script.run(text.format('ppg.FileGeneratingJob("b", write)'))

    script.run(text.format('ppg.run_pipegraph(targets=["a"])'))

    assert scripts_of(script) == {"a": ("script.py",), "b": ()}


# --- adopting what is there

ADOPTING = """
    ppg.new_pipegraph()
    def make(*_):
        with open("called", "a") as out:
            out.write("x")
        for name in names:
            open(name, "w").write("made")
    names = ["a"]
    job = ppg.FileGeneratingJob("a", make).depends_on(ppg.ParameterInvariant("p", 1))
    ppg.FileGeneratingJob("end", lambda output: output.write_text(open("a").read())).depends_on(job)
    ppg.run_pipegraph()
"""
MULTI = ADOPTING.replace('["a"]', '["a", "b"]').replace('FileGeneratingJob("a",', "MultiFileGeneratingJob(names,")


def wish(script: Script, job: str = "a") -> None:
    with StatusFile.open(script.folder / ".pipegraph_status", print) as status:
        status.note_adopt(job, 1.0)


def calls(script: Script) -> int:
    return len("".join(script.lines("called")))


@pytest.mark.parametrize(
    ("text", "job", "edit"),
    [
        (ADOPTING, "a", lambda folder: (folder / "a").write_text("by hand")),
        (ADOPTING.replace('"p", 1', '"p", 2'), "a", lambda folder: None),
        (ADOPTING.replace('"p", 1', '"p", 2'), "a", lambda folder: (folder / "a").write_text("by hand")),
        (MULTI.replace('"p", 1', '"p", 2'), "a:::b", lambda folder: (folder / "b").write_text("by hand")),
    ],
    ids=["changed by hand", "input changed", "both", "several files"],
)
def test_what_is_there_is_adopted_once_whatever_the_reasons(script, text, job, edit):
    script.run(MULTI if job != "a" else ADOPTING)
    assert calls(script) == 1
    edit(script.folder)
    wish(script, job)
    status = script.folder / ".pipegraph_status"
    recorded = status.stat().st_size

    script.run(text)

    assert calls(script) == 1
    assert f"\tS\t{job}\t" not in status.read_text()[recorded:], "killed in between, the wish must stand"
    assert script.lines("end") == script.lines("a")
    log = (script.folder / "logs" / "ppg_run.txt").read_text()
    assert "; its files are there and are adopted" in log
    trace = knowledge(script).past(job).trace
    assert trace is not None
    assert {reason.kind for reason in trace.reasons} <= {ReasonKind.OUTPUT_CHANGED, ReasonKind.INPUT_CHANGED}
    assert not knowledge(script).is_to_be_adopted(job)
    script.run()
    assert script.started == []
    script.run(text.replace('"p", 1', '"p", 3').replace('"p", 2', '"p", 3'))
    assert calls(script) == 2, "a wish is for one run"


@pytest.mark.parametrize(
    ("text", "job", "edit"),
    [
        (ADOPTING, "a", lambda folder: (folder / "a").unlink()),
        (ADOPTING, "a", lambda folder: (folder / "a").write_text("")),
        (MULTI, "a:::b", lambda folder: (folder / "b").unlink()),
    ],
    ids=["missing", "empty", "one of several missing"],
)
def test_what_is_not_all_there_is_made_and_the_wish_is_over(script, text, job, edit):
    script.run(text)
    edit(script.folder)
    wish(script, job)

    script.run()

    assert calls(script) == 2
    assert not knowledge(script).is_to_be_adopted(job)


def test_what_is_up_to_date_ends_the_wish(script):
    script.run(ADOPTING)
    wish(script)
    script.run()
    assert script.started == []

    script.run(ADOPTING.replace('"p", 1', '"p", 2'))

    assert calls(script) == 2


def test_what_was_never_made_here_is_adopted_if_it_is_wished(script):
    (script.folder / "a").write_text("by hand")
    wish(script)

    script.run(ADOPTING)

    assert (calls(script), script.lines("end")) == (0, ["by hand"])


def test_what_was_never_made_here_and_is_not_all_there_is_made(script):
    (script.folder / "a").write_text("by hand")
    wish(script, "a:::b")

    script.run(MULTI)

    assert (calls(script), script.lines("end")) == (1, ["made"])


def test_a_job_without_files_is_not_adopted(script):
    wish(script, "load")

    script.run("""
    ppg.new_pipegraph()
    def load():
        open("called", "a").write("x")
    loading = ppg.DataLoadingJob("load", load)
    ppg.FileGeneratingJob("a", lambda output: output.write_text("x")).depends_on(loading)
    ppg.run_pipegraph()
""")

    assert calls(script) == 1


def test_what_was_begun_and_killed_is_not_adopted_by_a_wish_of_before(script):
    text = ADOPTING.replace('            out.write("x")\n', '            out.write("x")\n        {}\n')
    script.run(text.format("pass"))
    (script.folder / "a").unlink()
    wish(script)
    script.write(text.format('open("a", "w").write("half"); open("waits", "w").close(); time.sleep(60)'))
    process = script.start()
    wait_until((script.folder / "waits").exists)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    script.assert_no_process_left()
    (script.folder / "a").write_text("half")

    script.run(text.format("pass"))

    assert script.lines("end") == ["made"]


def test_a_wish_outlasts_a_run_that_never_got_to_the_job(script):
    script.run(ADOPTING)
    (script.folder / "a").write_text("by hand")
    wish(script)
    blocked = ADOPTING.replace(
        "    ppg.run_pipegraph()",
        '    job.depends_on(ppg.FileGeneratingJob("bad", lambda output: 1 / 0))\n    ppg.run_pipegraph()',
    )
    script.run(blocked, code=1)
    assert knowledge(script).is_to_be_adopted("a")

    script.run(ADOPTING)

    assert (calls(script), script.lines("end")) == (1, ["by hand"])


def test_a_forced_job_is_made_whatever_is_wished(script, monkeypatch):
    script.run(ADOPTING)
    wish(script)
    forced = ADOPTING.replace(
        "    ppg.run_pipegraph()",
        "    specs = job.specs\n    job.specs = lambda: [each._replace(forced=each.id == 'a') for each in specs()]\n"
        "    ppg.run_pipegraph()",
    )

    script.run(forced)

    assert calls(script) == 2


@pytest.mark.parametrize(("end", "code"), [("1 / 0", 1), ("os.kill(os.getpid(), 9)", -9), ("os._exit(0)", 0)])
def test_what_a_later_run_of_the_script_declares_is_not_gone_when_the_script_ends_in_between(script, end, code):
    text = (
        WRITE
        + """
    for name in ["a", "b"]:
        ppg.FileGeneratingJob(name, write)
        ppg.run_pipegraph()
        END
    """
    )
    run_as(script, "one.py", text.replace("END", "pass"))
    run_as(script, "one.py", text.replace("END", end), code)

    assert scripts_of(script) == {"a": ("one.py",), "b": ("one.py",)}


def test_scripts_that_run_through_one_helping_module_are_two_scripts(script):
    (script.folder / "helping.py").write_text("import pipegraph as ppg\ndef go(): ppg.run_pipegraph()\n")
    text = WRITE + "import helping\n    ppg.FileGeneratingJob('NAME', write)\n    helping.go()"
    run_as(script, "one.py", text.replace("NAME", "a"))
    run_as(script, "two.py", text.replace("NAME", "b"))

    assert scripts_of(script) == {"a": ("one.py",), "b": ("two.py",)}


@pytest.mark.parametrize("arguments", [["-c", "{}"], ["-"]])
def test_what_is_typed_and_not_typed_again_is_not_gone(script, arguments):
    text = """import pipegraph as ppg
ppg.new_pipegraph(quiet=True)
for name in {!r}:
    ppg.FileGeneratingJob(name, lambda output: output.write_text("x"))
ppg.run_pipegraph()
"""
    for names in ("ab", "a"):
        typed = text.format(names)
        command = [sys.executable, *(each.replace("{}", typed) for each in arguments)]
        subprocess.run(command, cwd=script.folder, env=script.environment, check=True, input=typed, text=True)

    assert len(scripts_of(script)) == 2
    assert all(scripts_of(script).values())


def test_a_child_of_the_script_that_ends_makes_nothing_gone(script):
    script.run(WRITE + 'ppg.FileGeneratingJob("a", write)\n    ppg.run_pipegraph()')
    script.run(
        WRITE
        + """
    ppg.FileGeneratingJob("new", write)
    ppg.run_pipegraph()
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    os._exit(0)
"""
    )

    assert scripts_of(script) == {"a": ("script.py",), "new": ("script.py",)}


def test_what_is_typed_again_and_again_is_declared_once(script):
    text = WRITE + 'ppg.FileGeneratingJob("a", write)\n    ppg.run_pipegraph()'
    script.write(text, "one.py")
    typed = "exec(compile(open('one.py').read(), '/tmp/ipykernel_{}/1.py', 'exec'))"
    for number in range(3):
        command = [sys.executable, "-c", typed.format(number)]
        subprocess.run(command, cwd=script.folder, env=script.environment, check=True, capture_output=True)

    assert scripts_of(script) == {"a": ("<interactive>",)}
    assert lines_of_kind(script, "D") == 1


READING_AGAIN = """
from pipegraph.status.store import StatusFile
fair = StatusFile._line
def _line(status, where):
    with open("read_again", "a") as out:
        out.write("x\\n")
    return fair(status, where)
StatusFile._line = _line
ppg.new_pipegraph(quiet=True)
def declare(name):
    return lambda: ppg.FileGeneratingJob(name, lambda output: output.write_text("x")) if name else None
for name in ("first", "second", ""):
    ppg.JobGeneratingJob(f"declares {name}", declare(name))
ppg.run_pipegraph()
"""


def test_records_are_read_from_the_file_once_for_as_long_as_generators_declare_jobs(script: Script) -> None:
    script.run(READING_AGAIN)
    (script.folder / "read_again").unlink(missing_ok=True)
    script.run()

    assert sorted(script.started) == ["declares ", "declares first", "declares second"]
    assert script.lines("read_again") == []
