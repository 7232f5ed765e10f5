"""Which files jobs open is noted, and judged by who makes them."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest
from scripts import Script

import pipegraph as ppg
from pipegraph.events import GraphGrew
from pipegraph.graph import Graph
from pipegraph.model import NOTHING_OPENED, JobSpec, Opened, Place, Role
from pipegraph.slaves.opened import MOST_FILES, opened_by_command
from pipegraph.undeclared import Fault, Judge, Verdict

# What a job does, and what is to be told of it: read, written. "in.txt" is its input, "data" is declared by nobody.
HINTS = {
    "opens": ("open('data')", "data", ""),
    "absolute": ("open(os.path.abspath('data'))", "data", ""),
    "bytes": ("open(b'data')", "data", ""),
    "path": ("Path('data').read_text()", "data", ""),
    "unnormalised": ("open('./sub/..//data')", "data", ""),
    "from a folder below": ("(os.chdir('sub'), open('../data'), open('within'))", "data, sub/within", ""),
    "through the folder above": ("open(f'../{Path().resolve().name}/data')", "data", ""),
    "a low open": ("os.open(os.path.abspath('data'), os.O_RDONLY)", "data", ""),
    "an opener": ("open(os.path.abspath('data'), opener=lambda path, flags: os.open(path, flags))", "data", ""),
    "a database": ("sqlite3.connect('data').close()", "data", ""),
    "a database by address": ("sqlite3.connect('file:data?mode=ro', uri=True).close()", "data", ""),
    "a thread": ("run_in_thread(lambda: open('data'))", "data", ""),
    "writes": ("open('new', 'w')", "", "new"),
    "appends": ("open('log', 'a').write('x')", "", "log"),
    "changes": ("change('both')", "both", "both"),
    "reads back": ("(open('back', 'w+').write('x'), open('back').read())", "", "back"),
    "renames to": ("(open('first', 'w'), os.rename('first', 'second'))", "", "second"),
    "moves a file of others": ("os.replace('movable', 'moved')", "", "moved"),
    "links": ("os.symlink('data', 'link')", "", "link"),
    "truncates": ("os.truncate('long', 1)", "", "long"),
    "many names of one": ("[open(name) for name in ('data', './data', os.path.abspath('data'))]", "data", ""),
    # --- nothing to tell
    "input": ("open('in.txt')", "", ""),
    "output": ("open('o/output', 'w').write('x')", "", ""),
    "outside": ("open('/etc/passwd')", "", ""),
    "device": ("open('/dev/null', 'w')", "", ""),
    "process": ("open('/proc/self/status')", "", ""),
    "descriptor": ("open(os.open('/etc/passwd', os.O_RDONLY))", "", ""),
    "relative to an open folder": ("os.open('data', os.O_RDONLY, dir_fd=os.open('sub', os.O_RDONLY))", "", ""),
    "an opener of an open folder": ("open('data', opener=in_sub)", "", ""),
    "module": ("__import__('own_module')", "", ""),
    "not there": ("Path('absent').exists() or suppressed(lambda: open('absent'))", "", ""),
    "folder": ("suppressed(lambda: open('sub'))", "", ""),
    "temporary": ("(open('gone', 'w'), os.remove('gone'))", "", ""),
    "appends nothing": ("open('untouched', 'a')", "", ""),
    "could change": ("open('in.txt', 'r+')", "", ""),
    "in memory": ("sqlite3.connect(':memory:').close()", "", ""),
    "own log": ("open('logs/ppg_run.txt')", "", ""),
    "own status": ("open('.pipegraph_status')", "", ""),
    "somebody's event": ("(sys.audit('open'), sys.audit('open', [], {}, None), sys.audit('os.rename'))", "", ""),
}

JOBS = """
    import sqlite3, threading, contextlib
    from pathlib import Path

    def run_in_thread(function):
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()

    def suppressed(function):
        with contextlib.suppress(OSError):
            function()

    def in_sub(path, flags):
        return os.open(path, flags, dir_fd=os.open("sub", os.O_RDONLY))

    def change(name):
        with open(name, "r+") as file:
            file.write("changed")

    os.makedirs("sub", exist_ok=True)
    for name in ("data", "sub/data", "sub/within", "in.txt", "both", "movable", "long", "untouched"):
        Path(name).write_text("some text")
    Path("sub/data").write_text("")
    Path("data").write_bytes(b"")
    Path("own_module.py").write_text("")
    time.sleep(0.02)  # a change within a tick of the file system's clock can't be seen

    ppg.new_pipegraph()
    ppg.FileGeneratingJob("in.txt", lambda output: output.write_text("in"))
    for name, what in DOES.items():
        def function(output, what=what, home=os.getcwd()):
            eval(what)
            os.chdir(home)
            output.write_text("x")
        ppg.FileGeneratingJob(f"o/{name}", function).depends_on("in.txt")
    ppg.run_pipegraph()
    """


def undeclared(log: str) -> dict[str, tuple[str, str]]:
    """What the log tells, by job."""
    found = {}
    for job, told in re.findall(r" undeclared  (.*?) \(script.py:\d+\) (.*)", log):
        read = re.search(r"read, and no input: ([^;]*)", told)
        written = re.search(r"written, and no output: ([^;]*)", told)
        found[job] = (read[1] if read else "", written[1] if written else "")
    return found


def test_every_way_of_opening_a_file_is_noted_as_what_it_is(script: Script) -> None:
    does = {name: what for name, (what, _, _) in HINTS.items()}
    stderr = script.run(f"    DOES = {does!r}\n" + JOBS)

    expected = {f"o/{name}": (read, written) for name, (_, read, written) in HINTS.items() if read or written}
    assert undeclared((script.folder / "logs/ppg_run.txt").read_text()) == expected
    assert "does not depend on" not in stderr


def test_a_missing_dependency_is_a_warning_with_the_mend_once(script: Script) -> None:
    stderr = script.run(
        """
        ppg.new_pipegraph()
        ppg.FileGeneratingJob("a.txt", lambda output: output.write_text("a"))
        def read(output):
            for _ in range(3):
                while not (os.path.exists("a.txt") and os.path.getsize("a.txt")):
                    time.sleep(0.001)
                output.write_text(open("a.txt").read())
        ppg.FileGeneratingJob("b.txt", read)
        ppg.run_pipegraph()
        """
    )

    assert stderr.count("warning") == 1
    assert "b.txt (script.py:11) reads a.txt, which another job (script.py:5) makes, and does not depend" in stderr
    assert "job.depends_on('a.txt')" in stderr
    assert "2 made" in stderr


def test_a_job_that_fails_because_the_file_was_not_there_yet_is_told_who_makes_it(script: Script) -> None:
    stderr = script.run(
        """
        ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(1))
        ppg.FileGeneratingJob("b.txt", lambda output: output.write_text(open("a.txt").read()))
        ppg.FileGeneratingJob("a.txt", lambda output: output.write_text("a"))
        ppg.run_pipegraph()
        """,
        1,
    )

    assert "b.txt (script.py:5) reads a.txt, which another job (script.py:6) makes" in stderr


def test_in_strict_mode_a_missing_dependency_fails_the_job_and_its_output_is_put_away(script: Script) -> None:
    text = """
        ppg.new_pipegraph(strict=True)
        ppg.FileGeneratingJob("a.txt", lambda output: output.write_text("a"))
        def read(output):
            while not (os.path.exists("a.txt") and os.path.getsize("a.txt")):
                time.sleep(0.001)
            output.write_text(open("a.txt").read())
        ppg.FileGeneratingJob("b.txt", read, rename_broken=True)
        ppg.run_pipegraph()
        """
    script.run(text, 1)

    assert "JobContractError: a job reads a.txt, which another job (script.py:5) makes" in script.stderr
    assert "made by: a.txt (FileGeneratingJob, script.py:5)" in script.errors
    assert not (script.folder / "b.txt").exists()
    assert (script.folder / "b.txt.broken").exists()

    script.run(text.replace("rename_broken=True)", 'rename_broken=True).depends_on("a.txt")'))
    assert script.started == ["b.txt"]


def test_reading_through_loaded_data_is_no_fault_and_a_loader_answers_for_what_it_reads(script: Script) -> None:
    stderr = script.run(
        """
        ppg.new_pipegraph()
        ppg.FileGeneratingJob("a.txt", lambda output: output.write_text("a"))
        ppg.FileGeneratingJob("z.txt", lambda output: output.write_text("z"))
        def load():
            open("a.txt").read()
            while not (os.path.exists("z.txt") and os.path.getsize("z.txt")):
                time.sleep(0.001)
            open("z.txt").read()
        loader = ppg.DataLoadingJob("load", load).depends_on("a.txt")
        job = ppg.FileGeneratingJob("b.txt", lambda output: output.write_text(open("a.txt").read()))
        job.depends_on(loader)
        ppg.run_pipegraph()
        """
    )

    assert stderr.count("warning") == 1
    assert "load (script.py:12) reads z.txt" in stderr
    assert not undeclared((script.folder / "logs/ppg_run.txt").read_text())


def test_generated_jobs_are_judged_as_others_are(script: Script) -> None:
    stderr = script.run(
        """
        ppg.new_pipegraph()
        def declare():
            ppg.MultiFileGeneratingJob(["g1", "g2"], lambda files: [each.write_text("x") for each in files])
            def read(output):
                while not (os.path.exists("g2") and os.path.getsize("g2")):
                    time.sleep(0.001)
                output.write_text(open("g2").read())
            ppg.FileGeneratingJob("reader", read)
            ppg.FileGeneratingJob("good", lambda output: output.write_text(open("g1").read())).depends_on("g1")
        ppg.JobGeneratingJob("gen", declare)
        ppg.run_pipegraph()
        """
    )

    assert stderr.count("warning") == 1
    assert "reader (script.py:11) reads g2, which g1:::g2 (script.py:6) makes" in stderr


def test_what_is_left_out_of_the_run_makes_nothing_and_is_a_hint(script: Script) -> None:
    stderr = script.run(
        """
        ppg.new_pipegraph()
        open("a.txt", "w").write("a")
        ppg.FileGeneratingJob("a.txt", lambda output: output.write_text("a")).prune()
        ppg.FileGeneratingJob("b.txt", lambda output: output.write_text(open("a.txt").read()))
        ppg.run_pipegraph()
        """
    )

    assert "does not depend on" not in stderr
    assert undeclared((script.folder / "logs/ppg_run.txt").read_text()) == {"b.txt": ("a.txt", "")}


def test_more_files_than_are_kept_are_told_to_be_more(script: Script) -> None:
    script.run(
        """
        ppg.new_pipegraph()
        def many(output):
            os.mkdir("d")
            for i in range(1200):
                open(f"d/{i:04}", "w").close()
            output.write_text("x")
        ppg.FileGeneratingJob("out", many)
        ppg.run_pipegraph()
        """
    )

    log = (script.folder / "logs/ppg_run.txt").read_text()
    assert "written, and no output: d/0000, d/0001," in log
    assert "d/0019 and 980 more; and perhaps more" in log


def test_as_many_inputs_as_there_are_leave_room_for_what_is_none(script: Script) -> None:
    script.run(
        """
        from pathlib import Path
        ppg.new_pipegraph()
        os.mkdir("d")
        names = ["data", *(f"d/{i:04}" for i in range(1100))]
        for name in names:
            Path(name).touch()
        def read(output):
            output.write_text("x".join(Path(name).read_text() for name in names[::-1]))
        job = ppg.FileGeneratingJob("out", read)
        for name in names[1:]:
            job.depends_on_file(name)
        ppg.run_pipegraph()
        """
    )

    log = (script.folder / "logs/ppg_run.txt").read_text()
    assert undeclared(log) == {"out": ("data", "")}
    assert "perhaps more" not in log


def test_what_a_slave_opens_between_jobs_is_no_job_s(script: Script) -> None:
    script.run(
        """
        open("data", "w").write("x")
        ppg.new_pipegraph()
        loader = ppg.DataLoadingJob("load", lambda: None)
        loader.cleanup = lambda: open("cleaned", "w").write(open("data").read())
        first = ppg.FileGeneratingJob("a", lambda output: output.write_text("a")).depends_on(loader)
        def wait(output):
            while not os.path.exists("cleaned"):
                time.sleep(0.001)
            output.write_text("b")
        second = ppg.FileGeneratingJob("b", wait).depends_on(first)
        ppg.FileGeneratingJob("c", lambda output: output.write_text("c")).depends_on(second)
        ppg.run_pipegraph()
        """
    )

    assert script.started == ["load", "a", "b", "c"]
    assert undeclared((script.folder / "logs/ppg_run.txt").read_text()) == {}


def test_what_a_loader_opened_is_told_of_it_alone(script: Script) -> None:
    script.run(
        """
        open("data", "w").write("x")
        ppg.new_pipegraph()
        loader = ppg.DataLoadingJob("load", lambda: open("data").read())
        ppg.FileGeneratingJob("a", lambda output: output.write_text("a")).depends_on(loader)
        ppg.run_pipegraph()
        """
    )

    assert undeclared((script.folder / "logs/ppg_run.txt").read_text()) == {"load": ("data", "")}


# --- the judge


def spec(job: str, *inputs: str, outputs: tuple[str, ...] | None = None, role: Role = Role.OUTPUT) -> JobSpec:
    outputs = (job,) if outputs is None else outputs
    return JobSpec(job, role, "FileGeneratingJob", Place("script.py", 1), outputs, inputs)


def judged(job: str, opened: Opened, *specs: JobSpec, edges: tuple[tuple[str, str], ...] = ()) -> Verdict:
    jobs = {each.id: each for each in specs}
    judge = Judge(jobs, lambda path: None, ("logs/",))
    judge.grow(GraphGrew(specs, edges, None, {}, {}, {}, {}))
    return judge.judge(jobs[job], opened)


def read(*paths: str) -> Opened:
    return Opened(paths)


LOADER = spec("load", "far", outputs=(), role=Role.EPHEMERAL)._replace(in_memory=True)
GENERATOR = spec("gen", "far", outputs=(), role=Role.GENERATOR)
WATCHED = spec("watched", role=Role.INVARIANT)
MULTI = spec("m1:::m2", outputs=("m1", "m2"))


@pytest.mark.parametrize(
    ("specs", "path", "expected"),
    [
        pytest.param((spec("b", "far"), spec("far")), "far", None, id="a direct input"),
        pytest.param((spec("b", LOADER.id), LOADER, spec("far")), "far", None, id="through loaded data"),
        pytest.param((spec("b", GENERATOR.id), GENERATOR, spec("far")), "far", None, id="through a generator"),
        pytest.param((spec("b", "watched"), WATCHED), "watched", None, id="a watched file"),
        pytest.param((spec("b", MULTI.id), MULTI), "m2", None, id="one of several files of an input"),
        pytest.param((spec("b", "m2"), MULTI), "m2", None, id="one file that is the input"),
        pytest.param((spec("b", "m1"), MULTI), "m2", "hint", id="the other file of an input"),
        pytest.param((spec("b", "mid"), spec("mid", "far"), spec("far")), "far", "hint", id="upstream of an input"),
        pytest.param((spec("b"), WATCHED), "watched", "hint", id="watched by another"),
        pytest.param((spec("b"),), "far", "hint", id="made by nobody"),
        pytest.param((spec("b"), spec("far")), "far", Fault.NOT_UPSTREAM, id="made by another"),
        pytest.param((spec("b"), MULTI), "m2", Fault.NOT_UPSTREAM, id="made by another with several"),
        pytest.param((spec("b"), spec("far", "b")), "far", Fault.CIRCULAR, id="made from it"),
        pytest.param((spec("b")._replace(is_final=True), spec("far")), "far", "hint", id="a final job, after all"),
    ],
)
def test_a_file_that_is_read_is_judged_by_who_makes_it(specs: tuple[JobSpec, ...], path: str, expected: object) -> None:
    verdict = judged("b", read(path), *specs)

    assert [each.fault for each in verdict.faults] == ([expected] if isinstance(expected, Fault) else [])
    assert verdict.hints == (read(path) if expected == "hint" else NOTHING_OPENED)


def test_an_input_that_was_added_by_a_generator_counts() -> None:
    jobs = spec("b"), spec("far")

    assert judged("b", read("far"), *jobs).faults
    assert judged("b", read("far"), *jobs, edges=(("b", "far"),)) == Verdict()


def test_a_file_of_another_job_that_is_not_there_is_a_fault_and_of_nobody_nothing() -> None:
    opened = Opened(missing=("far", "absent"))
    verdict = judged("b", opened, spec("b"), spec("far"))

    assert [(each.path, each.fault) for each in verdict.faults] == [("far", Fault.NOT_UPSTREAM)]
    assert verdict.hints is NOTHING_OPENED
    assert judged("b", opened, spec("b", "far"), spec("far")) == Verdict()


def test_writing_what_another_job_makes_is_a_fault_also_downstream_of_it() -> None:
    verdict = judged("b", Opened(("far",), ("far", "own")), spec("b", "far"), spec("far"))

    assert [each.fault for each in verdict.faults] == [Fault.OVERWRITTEN]
    assert verdict.hints == Opened((), ("own",))
    assert "writes far, which another job (script.py:1) makes, too" in verdict.faults[0].headline


def test_several_files_of_one_other_job_are_one_fault() -> None:
    verdict = judged("b", read("m1", "m2"), spec("b"), MULTI)

    assert len(verdict.faults) == 1


def test_a_long_chain_of_which_each_reads_the_first_is_judged_in_linear_time() -> None:
    count = 3_000
    chain = [spec("j0"), *(spec(f"j{i}", f"j{i - 1}") for i in range(1, count))]
    jobs = {each.id: each for each in chain}
    looks = 0

    class Counting(dict[str, JobSpec]):
        def get(self, name: str, default: object = None) -> JobSpec | None:  # type: ignore[override]
            nonlocal looks
            looks += 1
            return super().get(name)

    judge = Judge(Counting(jobs), lambda path: None, ())
    judge.grow(GraphGrew(tuple(chain), (), None, {}, {}, {}, {}))
    hinted = sum(judge.judge(each, read("j0")).hints == read("j0") for each in chain[2:])

    assert hinted == count - 2
    assert looks < 20 * count


COMMANDS = """
    ppg.new_pipegraph(strict={strict})
    os.makedirs("bin", exist_ok=True)
    for name in ("in.txt", "notes.txt", "bin/tool.sh", "own.txt"):
        Path(name).write_text("cat $1")
    first = ppg.CommandJob("o/first", "cat {{input}} > {{output}}", "in.txt")
    ppg.CommandJob("o/text", "cat notes.txt ./in.txt {{input}} | tee o/log > {{output}} 2> o/err", first)
    tool = ["bash", "bin/tool.sh", "{{input}}", "--x=notes.txt", ".", "/etc/passwd"]
    ppg.CommandJob("o/list", tool, first, stdout="{{output}}")
    ppg.CommandJob("o/elsewhere", "tail ../notes.txt tool.sh {{input}} > {{output}}", first, cwd="bin")
    ppg.CommandJob("o/large", "(cat notes.txt; head -c 2000000 /dev/zero) > {{output}}")
    ppg.CommandJob("o/shared", ["cat", "notes.txt", "{{input}}"], "own.txt", stdout="{{output}}").share("results")
    declared = ["in.txt", "own.txt"]
    ppg.CommandJob("o/declared", ["cat", *declared], declared, stdout="{{output}}").share("results")
    ppg.run_pipegraph()
    """


@pytest.mark.parametrize("strict", [False, True])
def test_files_that_stand_in_a_command_are_noted(script: Script, strict: bool) -> None:
    stderr = script.run("    from pathlib import Path\n" + COMMANDS.format(strict=strict))

    assert undeclared((script.folder / "logs/ppg_run.txt").read_text()) == {
        "o/text": ("in.txt, notes.txt", ""),
        "o/list": ("bin/tool.sh, notes.txt", ""),
        "o/elsewhere": ("bin/tool.sh, notes.txt", ""),
        "o/large": ("notes.txt", ""),
        "o/shared": ("notes.txt", ""),
    }
    assert stderr.count("is not kept") == 1 and "o/shared (script.py:15) its result is not kept" in stderr


@pytest.mark.parametrize(
    ("reader", "maker", "code"),
    [
        ("until [ -s o/made ]; do sleep 0.02; done; cat o/made > {output}", "echo x > {output}", 0),
        (
            "cat o/made > {output} || { touch go; exit 1; }",
            "until [ -e go ]; do sleep 0.02; done; echo x > {output}",
            1,
        ),
    ],
)
def test_a_command_that_names_the_file_of_another_job_is_warned_of_though_it_was_not_there_yet(
    script: Script, reader: str, maker: str, code: int
) -> None:
    stderr = script.run(
        f"""
        ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))
        ppg.CommandJob("o/reader", {reader!r})
        ppg.CommandJob("o/made", {maker!r})
        ppg.run_pipegraph()
        """,
        code,
    )

    assert "o/reader (script.py:5) reads o/made, which another job (script.py:6) makes" in stderr


def test_of_a_command_files_that_are_not_there_count_if_it_failed_declared_and_installed_ones_never_and_many_are_cut(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.txt" for number in range(MOST_FILES + 1)]
    for name in names:
        Path(name).touch()
    Path("venv/bin").mkdir(parents=True)
    Path("venv/bin/tool").touch()
    monkeypatch.setattr(sys, "prefix", os.path.abspath("venv"))
    missing = ppg.CommandJob("a", ["venv/bin/tool", "no/such.txt", "{input}"], names[0])
    started_at = time.time() + 1.0  # not within a tick of what was touched

    assert opened_by_command(missing, NOTHING_OPENED, started_at, has_failed=False) is NOTHING_OPENED
    assert opened_by_command(missing, NOTHING_OPENED, started_at, has_failed=True) == Opened(missing=("no/such.txt",))
    many = opened_by_command(ppg.CommandJob("b", ["cat", *names]), NOTHING_OPENED, started_at, has_failed=False)
    assert many.is_cut and len(many.read) == MOST_FILES
    declared = ppg.CommandJob("c", ["cat", "{inputs}"], names)
    assert opened_by_command(declared, NOTHING_OPENED, started_at, has_failed=False) is NOTHING_OPENED
