"""Jobs that are an external program: how they fail, are ended, and are missed."""

import os
import signal
import sys
from pathlib import Path

import pytest
from scripts import wait_until

import pipegraph as ppg

BEGIN = "import pipegraph.slaves.local as local\nppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))\n"
# Itself, two children and a grandchild: all say who they are, and wait for the file `go`; then it makes its output.
FAMILY = r"""
wait() { echo $BASHPID >> pids; until [ -e go ]; do sleep 0.02; done; }
(wait) & (wait & wait) &
echo begun >> begun
wait
echo made > {output}
"""


@pytest.fixture
def errors(graph):
    """The texts of the exceptions of all jobs, by id, once they ran."""

    def run():
        with pytest.raises(ppg.RuntimeError):
            ppg.run_pipegraph()
        return {job.job_id: str(job.exception) for job in graph.jobs.values() if job.failed}

    return run


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("exit 3", {}, ["a shell command failed with exit status 3", "command: bash -euo pipefail -c 'exit 3'"]),
        (["sort", "/nothing"], {}, ["sort failed with exit status 2: sort: cannot read", "command: sort /nothing"]),
        ("kill -SEGV $$", {}, ["a shell command was killed by SIGSEGV"]),
        ("kill -9 $$", {}, ["killed by SIGKILL", "Most often the system ran out of memory"]),
        ("sh -c 'kill -9 $$'; exit 4", {}, ["exit status 137", "Most often the system ran out of memory"]),
        ("sh -c 'kill -ABRT $$'; exit 4", {}, ["exit status 134", "was killed by SIGABRT"]),
        ("yes | head -1 > {output}", {}, ["exit status 141", "as head does"]),
        ("x=no_such_program; $x", {}, ["exit status 127: bash: line 1: no_such_program: command not found"]),
        (["true"], {}, ["a job did not make its files", "missing: a/out", "command: true"]),
        ("touch {output}", {}, ["a job left an empty file", "empty:   a/out"]),
        ("rm -f {output}; mkdir {output}", {}, ["a directory instead of a file"]),
        (["cat", "x" * 200_000], {}, ["a command line is too long", "write the names to a file"]),
        (["cat"], {"cwd": "no_folder"}, ["a working directory of a command can't be opened: no_folder: No such file"]),
        ("echo bad >&2; exit 1", {"stderr": "{output}"}, ["exit status 1: bad", "stderr:"]),
        ("cat < no_file > {output}", {}, ["a file of a command can't be opened: no_file: No such file"]),
        (["script/tool"], {"inputs": "script"}, ["a program can't be started: script/tool: what its first line names"]),
        (["made/tool"], {"inputs": "tool"}, ["a program can't be started: made/tool: Permission denied"]),
        ("echo 'password=hunter222' >&2; exit 1", {}, ["password=(not shown)"]),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_failure_says_what_failed_how_and_what_to_do(graph, errors, command, arguments, said, strict):
    graph.strict = strict
    tools = {
        "tool": ppg.CommandJob("made/tool", "echo x > {output}"),
        "script": ppg.CommandJob("script/tool", "echo '#!/no/such' > {output}; chmod +x {output}"),
    }
    if "inputs" in arguments:
        arguments = {"inputs": tools[arguments["inputs"]]}
    ppg.CommandJob("a/out", command, **arguments)

    (text,) = errors().values()
    for each in [*said, "job:", "a/out (", "test_programs_failures.py:"]:
        assert each in text
    assert not Path("a/out").is_file()
    log = Path("logs/ppg_errors.txt").read_text()
    assert all(shown in log for shown in said[0].split(": ")) and "call in pipegraph" not in log


def test_what_a_failed_command_left_is_removed_or_renamed(graph, errors):
    ppg.CommandJob("gone", "echo half > {output}; exit 1")
    ppg.CommandJob("kept", "echo half > {output}; exit 1", rename_broken=True)
    errors()

    assert not Path("gone").exists() and Path("kept.broken").read_text() == "half\n"


def test_a_flood_on_stderr_is_cut_in_memory_and_kept_in_a_file(graph, errors):
    job = ppg.CommandJob("out", "head -c 20000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the end >&2; exit 1")

    assert "exit status 1: the end" in errors()["out"]
    assert len(job.stderr) < 1_000_000 and job.stderr.endswith("x\nthe end\n")
    assert Path("logs/latest/failed/0001_out.stderr.txt").stat().st_size == 20_000_009


def test_a_file_made_by_a_fork_path_and_by_a_slave_fail_alike(graph, errors):
    class Own(ppg.CommandJob):
        def run(self):
            super().run()

    ppg.CommandJob("a", ["sort", "/nothing"])
    Own("b", ["sort", "/nothing"])
    found = errors()

    assert found["a"].replace(":     a (", ":     b (").split("test_")[0] == found["b"].split("test_")[0]


# --- not installed


def test_programs_that_are_not_there_are_named_before_anything_starts(graph):
    ppg.CommandJob("first", "echo x > {output}")
    ppg.CommandJob("a", ["sortt", "x"])
    ppg.CommandJob("b", "cat x | sortt > {output}; ppg_no_such_tool")
    ppg.CommandJob("c", ["./not_here"])

    with pytest.raises(ppg.JobContractError) as error:
        ppg.run_pipegraph()
    text = str(error.value)
    assert text.startswith("3 programs are not installed: sortt, ppg_no_such_tool, ./not_here\n")
    assert "needed by a (" in text and " and 1 more; there is sort" in text
    assert f"PATH:             {os.environ['PATH']}" in text
    assert "apt-cache search sortt, conda search sortt" in text
    assert not Path("first").exists()


def test_a_program_that_should_tell_its_version_is_missed_with_the_others(graph):
    Path("in.txt").write_text("x")
    ppg.CommandJob("a.txt", "ppg_no_such_tool {input} | sortt > {output}", "in.txt", version=["ppg_no_such_tool", "-V"])

    with pytest.raises(ppg.JobContractError) as error:
        ppg.run_pipegraph()

    text = str(error.value)
    assert text.startswith("2 programs are not installed: ppg_no_such_tool, sortt\n")
    assert error.value.__context__ is None and "test_programs_failures.py:" in text


def test_a_version_that_no_target_asks_for_is_not_missed(graph):
    target = ppg.CommandJob("a.txt", "echo a > {output}")
    ppg.CommandJob("b.txt", "echo b > {output}", version=["ppg_no_such_tool", "-V"])
    target()

    assert Path("a.txt").read_text() == "a\n" and not Path("b.txt").exists()


def test_a_line_for_the_shell_that_is_given_as_a_list_is_told_from_a_missing_program(graph):
    ppg.CommandJob("a.txt", ["sort {input} > {output}"], __file__)

    with pytest.raises(ppg.JobContractError, match="A line for the shell is given as a text"):
        ppg.run_pipegraph()


def test_what_is_up_to_date_needs_no_program(script):
    (script.folder / "tool").write_text("#!/bin/sh\necho made > $1\n")
    (script.folder / "tool").chmod(0o755)
    text = BEGIN + 'ppg.CommandJob("out", ["./tool", "{output}"])\nppg.run_pipegraph()\n'
    script.run(text)
    (script.folder / "tool").unlink()

    script.run(text)
    assert script.started == []
    (script.folder / "out").unlink()
    assert "a program is not installed: ./tool" in script.run(text, code=1)


def test_a_program_that_a_job_makes_need_not_be_there_before(graph):
    tool = ppg.CommandJob("bin/tool", "printf '#!/bin/sh\\necho made > $1\\n' > {output}; chmod +x {output}")
    ppg.CommandJob("out", ["bin/tool", "{output}"], {"tool": tool})
    ppg.run_pipegraph()

    assert Path("out").read_text() == "made\n"


def test_a_generated_command_whose_program_is_not_there_fails_by_name(graph, errors):
    ppg.JobGeneratingJob("g", lambda: ppg.CommandJob("out", ["ppg_no_such_tool"]) and None)
    errors()

    assert "a program is not installed: ppg_no_such_tool" in Path("logs/ppg_errors.txt").read_text()


# --- ended


def test_a_program_that_takes_longer_than_its_timeout_is_ended_with_all_that_it_started(script):
    jobs = f"ppg.CommandJob('out', {FAMILY!r}, timeout=0.5)\nppg.CommandJob('b', 'echo x > {{output}}')\n"
    script.run(BEGIN + jobs + "ppg.run_pipegraph()\n", code=1)

    assert "a shell command took longer than its timeout of 0.5 s" in script.errors
    assert len(script.lines("pids")) == 4 and (script.folder / "b").exists()


def test_a_program_that_does_not_end_when_it_is_asked_to_is_killed(script):
    stubborn = "trap '' TERM; echo x >> begun; while true; do sleep 0.01; done"
    script.run(
        BEGIN
        + "local.LocalSlave.__init__.__defaults__ = (0.1, False)\n"
        + f"ppg.CommandJob('out', {stubborn!r}, timeout=0.3)\nppg.run_pipegraph()\n",
        code=1,
    )

    assert "took longer than its timeout of 0.3 s" in script.errors and script.lines("begun") == ["x"]


@pytest.mark.parametrize("strict", [False, True])
def test_who_ends_well_after_the_timeout_has_failed_all_the_same(script, strict):
    willing = "trap 'echo half > out; exit 0' TERM; while true; do sleep 0.01; done"
    script.environment["PIPEGRAPH_STRICT"] = str(int(strict))
    script.run(BEGIN + f"ppg.CommandJob('out', {willing!r}, timeout=0.3)\nppg.run_pipegraph()\n", code=1)

    assert "took longer than its timeout of 0.3 s" in script.errors and not (script.folder / "out").exists()


def until_begun(script, times=1):
    wait_until(lambda: len(script.lines("pids")) >= 4 * times and len(script.lines("begun")) >= times)


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def group_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[2])


def test_ctrl_c_ends_a_program_and_all_that_it_started_and_the_next_run_goes_on(script):
    script.write(BEGIN + f"ppg.CommandJob('out', {FAMILY!r})\nppg.run_pipegraph()\n")
    process = script.start()
    until_begun(script)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    script.assert_no_process_left()

    (script.folder / "go").touch()
    script.run()
    assert "started but never finished" in (script.folder / "logs/ppg_run.txt").read_text()
    assert (script.folder / "out").read_text() == "made\n"


def test_who_ends_well_because_of_ctrl_c_has_made_nothing(script):
    willing = "trap 'echo half > out; exit 0' TERM; echo x >> begun; while true; do sleep 0.01; done"
    script.write(BEGIN + f"ppg.CommandJob('out', {willing!r})\nppg.run_pipegraph()\n")
    process = script.start()
    wait_until(lambda: bool(script.lines("begun")))
    process.send_signal(signal.SIGINT)

    assert process.wait(30) != 0
    assert not (script.folder / "out").exists()
    assert "stopped     out" in (script.folder / "logs/ppg_run.txt").read_text()


def test_kill_9_of_the_master_leaves_no_program_and_no_temporary_folder(script):
    command = FAMILY.replace("wait\necho", "echo {temp} > temp; touch {temp}/x; wait\necho")
    script.write(BEGIN + f"ppg.CommandJob('out', {command!r})\nppg.run_pipegraph()\n")
    process = script.start()
    until_begun(script)
    wait_until(lambda: bool(script.lines("temp")))
    process.kill()
    process.wait()

    script.assert_no_process_left()
    wait_until(lambda: not Path(script.lines("temp")[0]).parent.exists())


LOADED = "load = ppg.DataLoadingJob('load', lambda: None)\n"


@pytest.mark.parametrize("loads", [False, True])
def test_kill_9_of_a_slave_ends_its_program_before_that_is_started_again(script, loads):
    # The folder is written to by one at a time: who finds the mark of another, that still runs, says so.
    alone = "mkdir mark || echo two >> two; trap '' TERM\n" + FAMILY.replace("echo made", "rmdir mark; echo made")
    more = LOADED if loads else "load = None\n"
    script.write(BEGIN + more + f"ppg.CommandJob('out', {alone!r}, load)\nppg.run_pipegraph()\n")
    process = script.start()
    until_begun(script)
    leader = group_of(int(script.lines("pids")[0]))
    slave = parent_of(leader)
    assert (parent_of(slave) == process.pid) is not loads
    first = [int(pid) for pid in script.lines("pids")]
    os.kill(slave, signal.SIGKILL)
    wait_until(lambda: len(script.lines("begun")) >= 2)

    assert not any(is_running(pid) for pid in first)
    (script.folder / "go").touch()
    assert process.wait(30) == 0
    assert (script.folder / "out").read_text() == "made\n"


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_who_looks_sees_what_is_printed_and_not_what_is_made_and_the_memory_of_the_program_alone(script):
    text = "x=$(head -c 3000000 /dev/zero | tr '\\0' x); echo made; echo progress >&2; "
    text += "until [ -e go ]; do sleep 0.1; done"
    script.write(
        BEGIN
        + "import pipegraph.run as run\n"
        + "def tick(self, now):\n"
        + "    self.look(5.0)\n"
        + "    for each in self._slave.look():\n"
        + "        if each.last_line:\n"
        + "            print(each.last_line, each.own_bytes, file=open('seen', 'w'))\n"
        + "            open('go', 'w')\n"
        + "run.Run._tick = tick\n"
        + "data = bytearray(b'x') * (50 << 20)\n"
        + f"ppg.CommandJob('out', {text!r}, stdout='out')\nppg.run_pipegraph()\n"
    )
    assert script.start().wait(60) == 0

    line, own_bytes = script.lines("seen")[0].split()
    assert line == "progress" and 2_000_000 < int(own_bytes) < 45_000_000


def test_a_program_that_was_left_in_the_background_is_ended_with_its_job(script):
    script.run(BEGIN + "ppg.CommandJob('out', 'sleep 1000 & echo $! > {output}')\nppg.run_pipegraph()\n")

    assert not is_running(int(script.lines("out")[0]))


def test_a_job_killed_from_outside_fails_by_name(script):
    script.write(BEGIN + f"ppg.CommandJob('out', {FAMILY!r})\nppg.run_pipegraph()\n")
    process = script.start()
    until_begun(script)
    os.kill(group_of(int(script.lines("pids")[0])), signal.SIGKILL)

    assert process.wait(30) == 1
    assert "a shell command was killed by SIGKILL" in script.errors


@pytest.mark.skipif(sys.platform != "linux", reason="Linux")
def test_large_outputs_are_read_while_other_programs_go_on_and_end(script):
    script.run(
        BEGIN
        + "ppg.CommandJob('large', 'truncate -s 400M {output}')\n"
        + "for n in range(40):\n    ppg.CommandJob(f'o{n}', ['sh', '-c', f'echo {n} > o{n}'])\n"
        + "ppg.run_pipegraph()\n"
    )

    log = (script.folder / "logs/ppg_run.txt").read_text()
    assert log.count(" made  ") == 41
    assert log.index("made        o0") < log.index("made        large")
