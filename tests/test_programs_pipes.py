"""Pipes that are started without a shell, as jobs: how they end, are ended, and are looked at."""

import signal
from pathlib import Path

import pytest
from scripts import wait_until

import pipegraph as ppg

BEGIN = "import pipegraph.slaves.local as local\nppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))\n"
# One that says who it is and what it started, and waits for the file `go`.
MEMBER = """#!/bin/sh
sleep 1000 < /dev/null > /dev/null 2>&1 &
echo $$ $! >> pids
until [ -e go ]; do sleep 0.02; done
cat
"""
STUBBORN = "#!/bin/sh\ntrap '' TERM\necho $$ >> pids\nwhile :; do sleep 0.01; done\n"


def write_member(folder, text=MEMBER, name="member"):
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def begun(script, count):
    wait_until(lambda: len(script.lines("pids")) >= count)
    return [int(pid) for line in script.lines("pids") for pid in line.split()]


def group_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[2])


def are_gone(pids):
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.fixture
def failed(graph):
    def run(text, **arguments):
        job = ppg.CommandJob("out", text, **arguments)
        with pytest.raises(ppg.RuntimeError):
            ppg.run_pipegraph()
        assert not Path("out").exists()
        return job, str(job.exception)

    return run


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("text", "exit_code", "said"),
    [
        (
            "yes | head -1 > {output}",
            141,
            ["a pipe failed with exit status 141", "as head does", "yes: SIGPIPE | head: 0"],
        ),
        ("cat nothing | sort > {output}", 1, ["exit status 1: cat: nothing: No such", "parts:   cat: 1 | sort: 0"]),
        ("/bin/false | cat nothing | sort > {output}", 1, ["parts:   false: 1 | cat: 1 | sort: 0"]),
        ("./member KILL | cat > {output}", 137, ["exit status 137", "ran out of memory", "member: SIGKILL | cat: 0"]),
        ("cat < nothing | sort > {output}", None, ["a file of a command can't be opened: nothing: No such file"]),
        ("./no_program | sort > {output}", 127, ["a program is not installed: ./no_program"]),
        ("sleep 1000 | ./no_program > {output}", 127, ["a program is not installed: ./no_program"]),
        ("./bad | sort > {output}", 126, ["a program can't be started: ./bad: what its first line names"]),
        ("sort nothing 2>&1 | cat > {output}", 2, ["parts:   sort: 2 | cat: 0"]),
        ("sort nothing 2> /dev/null", 2, ["sort failed with exit status 2\n"]),
    ],
)
def test_a_failed_pipe_says_how_each_part_ended(graph, failed, strict, text, exit_code, said):
    graph.strict = strict
    write_member(Path(), "#!/bin/sh\nkill -$1 $$\n")
    write_member(Path(), "#!/no/such/program\n", "bad")
    job, message = failed(text, timeout=60)

    assert all(each in message for each in [*said, "command: ", "out ("])
    assert exit_code is None or job.exception.exit_code == exit_code


def test_that_a_part_is_ended_since_nobody_reads_on_may_be_expected(graph):
    job = ppg.CommandJob("out", "yes | head -1 > {output}", exit_codes=(0, 141))
    ppg.run_pipegraph()

    assert job.was_run and Path("out").read_text() == "y\n"


def test_what_parts_print_is_that_of_the_job(graph):
    Path("in").write_text("b\na\n")
    job = ppg.CommandJob("out", "cat in nothing | sort", exit_codes=(1,), stdout="{output}")
    shown = ppg.CommandJob("log", "sort in | tr a-z A-Z 2> {output}", empty_ok=True)
    both = ppg.CommandJob(["a", "b"], "sort nothing | cat", exit_codes=(2,), stdout="a", stderr="b", empty_ok=True)
    ppg.run_pipegraph()

    assert job.stdout == "" and "cat: nothing: No such file" in job.stderr and Path("out").read_text() == "a\nb\n"
    assert shown.stdout == "A\nB\n" and Path("log").read_text() == ""
    assert both.stderr == "" and "sort: cannot read: nothing" in Path("b").read_text()


@pytest.mark.parametrize("strict", [False, True])
def test_a_megabyte_goes_through_a_pipe_and_a_fork_reads_it(graph, strict):
    graph.strict = strict
    Path("in").write_bytes(b"0123456789abcdef" * 200_000)
    job = ppg.CommandJob("out", "cat in | tr 0-9 a-j | cat > {output}")
    again = ppg.CommandJob("size", "cat {input} | wc -c > {output}", job)
    ppg.run_pipegraph()

    assert Path("out").read_bytes() == b"abcdefghijabcdef" * 200_000 and again.was_run
    assert job.runtime > 0


def test_parts_that_end_at_any_time_and_in_any_order_are_waited_for(graph):
    write_member(Path(), "#!/bin/sh\n[ $1 = read ] && cat > /dev/null\nsleep $2\nexit $3\n")
    texts = {
        "first": ("./member go 0 0 | ./member read 0.2 0 > {output}", True),
        "last": ("./member go 0.2 0 | ./member go 0 0 > {output}", True),
        "middle": ("./member go 0.1 0 | ./member go 0 0 | ./member go 0.2 0 > {output}", True),
        "early": ("./member go 0 5 | ./member go 0.2 0 > {output}", False),
        "late": ("./member go 0.2 5 | ./member go 0 0 > {output}", False),
        "other": ("./member go 0.2 0 | ./member go 0 5 > {output}", False),
    }
    jobs = {}
    for number in range(4):
        for name, (text, is_good) in texts.items():
            jobs[ppg.CommandJob(f"{name}{number}", text, empty_ok=True)] = is_good
            jobs[ppg.CommandJob(f"{name}{number} alone", ["cp", "member", "{output}"])] = True
    with pytest.raises(ppg.RuntimeError):
        ppg.run_pipegraph()

    assert {job.job_id: not job.failed for job in jobs} == {job.job_id: is_good for job, is_good in jobs.items()}


PIPE = "./member | ./member | ./member > {output}"


def test_ctrl_c_ends_all_of_a_pipe_and_the_next_run_goes_on(script):
    write_member(script.folder)
    script.write(BEGIN + f"ppg.CommandJob('out', {PIPE!r}, empty_ok=True)\nppg.run_pipegraph()\n")
    process = script.start()
    pids = begun(script, 3)
    assert len({group_of(pid) for pid in pids}) == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    script.assert_no_process_left()

    (script.folder / "go").touch()
    script.run()
    assert "started but never finished" in (script.folder / "logs/ppg_run.txt").read_text()
    assert (script.folder / "out").exists()


def test_kill_9_of_the_master_leaves_no_part_of_a_pipe(script):
    write_member(script.folder)
    script.write(BEGIN + f"ppg.CommandJob('out', {PIPE!r})\nppg.run_pipegraph()\n")
    process = script.start()
    begun(script, 3)
    process.kill()
    process.wait()

    script.assert_no_process_left()


def test_a_pipe_that_takes_longer_than_its_timeout_is_ended_with_all_that_its_parts_started(script):
    write_member(script.folder)
    job = f"ppg.CommandJob('out', {PIPE!r}, timeout=0.5)\nppg.CommandJob('b', 'echo x > {{output}}')\n"
    script.run(BEGIN + job + "ppg.run_pipegraph()\n", code=1)

    assert "a pipe took longer than its timeout of 0.5 s" in script.errors
    assert are_gone(begun(script, 3)) and (script.folder / "b").exists()


@pytest.mark.parametrize("text", ["/bin/true | ./member > {output}", "./member | /bin/true > {output}"])
def test_a_part_that_does_not_end_when_it_is_asked_to_is_killed_though_others_ended_long_ago(script, text):
    write_member(script.folder, STUBBORN)
    script.run(
        BEGIN
        + "local.LocalSlave.__init__.__defaults__ = (0.1, False)\n"
        + f"ppg.CommandJob('out', {text!r}, timeout=0.3)\nppg.run_pipegraph()\n",
        code=1,
    )

    assert "a pipe took longer than its timeout of 0.3 s" in script.errors and are_gone(begun(script, 1))


def test_what_a_part_left_in_the_background_is_ended_when_all_parts_have(script):
    write_member(script.folder, "#!/bin/sh\nsleep 1000 < /dev/null > /dev/null &\necho $! >> pids\n")
    gone = "while kill -0 $(cat pids); do sleep 0.02; done; echo x > {output}"
    script.run(
        BEGIN
        + "job = ppg.CommandJob('out', './member | sort | cat > {output}', empty_ok=True)\n"
        + f"ppg.CommandJob('gone', {gone!r}, job, timeout=20)\nppg.run_pipegraph()\n"
    )

    assert are_gone(begun(script, 1)) and script.lines("gone") == ["x"]


def test_a_part_that_leaves_the_group_is_ended_with_it_at_the_end_of_the_run(script):
    write_member(script.folder)
    (script.folder / "go").touch()
    script.run(
        BEGIN + "ppg.CommandJob('out', './member | setsid ./member > {output}', empty_ok=True)\nppg.run_pipegraph()\n"
    )

    assert len(begun(script, 2)) == 4


def test_a_look_counts_all_parts_of_a_pipe_and_sees_what_the_last_prints(script):
    write_member(script.folder, "#!/bin/sh\necho $1\necho $$ >> pids\nuntil [ -e go ]; do sleep 0.02; done\ncat\n")
    script.write(
        BEGIN
        + "import pipegraph.run as run\n"
        + "def tick(self, now):\n"
        + "    self.look(5.0)\n"
        + "    for each in self._slave.look():\n"
        + "        if each.last_line == 'last' and each.processes >= 4:\n"
        + "            open('go', 'w')\n"
        + "run.Run._tick = tick\n"
        + "ppg.CommandJob('out', './member first | ./member last', timeout=60, empty_ok=True)\nppg.run_pipegraph()\n"
    )
    script.start().wait(60)

    assert (script.folder / "go").exists()
