"""``pipegraph run``: a script as python runs it, and what may be asked of its runs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
from commands import pipegraph
from scripts import wait_until
from terminals import AtTerminal

LETTERS = """
ppg.new_pipegraph()

def write(output):
    output.write_text(output.name)
    with open("began.txt", "a") as began:
        began.write(f"{output}\\n")

a = ppg.FileGeneratingJob("out/a.tsv", write)
b = ppg.FileGeneratingJob("out/b.tsv", write).depends_on(a)
c = ppg.FileGeneratingJob("out/deep/c.tsv", write)
"""
RUN = "ppg.run_pipegraph()\n"


def begun(script):
    """The jobs that began since this was asked last."""
    lines = script.lines("began.txt")
    (script.folder / "began.txt").unlink(missing_ok=True)
    return sorted(lines)


# --- as python does


SHOW = """
import sys
main = sys.modules["__main__"]
names = sorted(set(vars(main)) - {"sys", "main", "names"})
print(sys.argv, sys.path[0], __file__, __name__, __spec__, __package__, type(__loader__).__name__, __cached__)
print(sys._getframe().f_code.co_filename, main.__dict__ is globals(), __annotations__, names)
print(sorted({"rich", "psutil", "asyncio"} & set(sys.modules)))
"""


@pytest.mark.parametrize("given", ["show.py", "./show.py", "sub/../show.py", "sub/link.py"])
def test_a_script_sees_what_it_sees_under_python(script, given):
    (script.folder / "show.py").write_text(SHOW)
    (script.folder / "sub").mkdir()
    (script.folder / "sub" / "link.py").symlink_to("../show.py")
    command = [sys.executable, given, "-n", "--only", "x"]
    python = subprocess.run(command, cwd=script.folder, env=script.environment, capture_output=True, text=True)
    ended = pipegraph(script, "run", given, "--", "-n", "--only", "x")

    assert python.returncode == 0
    assert ended == (0, python.stdout, "")


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    raise ValueError('no')\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    f()\n",
        "def f(:\n    pass\n",
        "import no_such_module\n",
        "raise SystemExit('enough')\n",
        "raise SystemExit(7)\n",
        "import sys; sys.excepthook = lambda *what: print('own', what[0]); 1 / 0\n",
        "import atexit; atexit.register(print, 'at the end'); print('before', end='')\n",
        "# -*- coding: latin-1 -*-\nprint(ascii('\xe4'))\n",
        "import pipegraph as ppg\nppg.FileGeneratingJob(3, lambda: None)\n",
    ],
)
def test_a_script_ends_as_it_does_under_python(script, text):
    (script.folder / "script.py").write_bytes(text.encode("latin-1"))
    command = [sys.executable, "script.py"]
    python = subprocess.run(command, cwd=script.folder, env=script.environment, capture_output=True, text=True)
    ended = pipegraph(script, "run", "script.py")
    if "there is no graph yet" in python.stderr:
        assert ended.code == 2
        assert ended.stderr.startswith("pipegraph: there is no graph yet\n")
        return

    assert ended == (python.returncode, python.stdout, python.stderr)


def test_the_log_and_places_name_the_script_as_under_python(script):
    script.write(LETTERS + RUN)
    script.run()
    told = named_lines(script)
    pipegraph(script, "run", "script.py", "--force", "**")

    assert named_lines(script) == told
    assert any("script.py:12" in line for line in told)


def named_lines(script):
    """Those of the log that name the script, in any order, without what differs from run to run."""
    lines = [line for line in script.lines("logs/ppg_run.txt") if "script.py" in line]
    settled = (line.split(" ", 2)[2].partition("because")[0] for line in lines)
    return sorted(re.sub(r"process \d+| in \d+\.\d+ s", "", line) for line in settled)


# --- how it ends


def test_a_failed_job_is_told_once_without_a_traceback(script):
    script.write("ppg.new_pipegraph()\nppg.FileGeneratingJob('out', lambda: 1 / 0)\nppg.run_pipegraph()\n")
    ended = pipegraph(script, "run", "script.py")

    assert ended.code == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("ZeroDivisionError: division by zero") == 1
    assert ended.stderr.rstrip().endswith("details: logs/ppg_errors.txt")


def test_a_wrong_graph_ends_with_2_and_the_place(script):
    script.write("ppg.new_pipegraph()\nppg.FileGeneratingJob('../out', print)\n")
    ended = pipegraph(script, "run", "script.py")

    assert ended.code == 2
    assert ended.stderr.startswith("pipegraph: an output outside the working directory\n")
    assert "script.py:4" in ended.stderr


def test_a_status_file_that_a_run_holds_ends_with_3_and_names_it(script):
    script.write(
        """
        ppg.new_pipegraph()
        def wait(output):
            open("waits", "w").close()
            signal.pause()
        ppg.FileGeneratingJob("out", wait)
        ppg.run_pipegraph()
        """
    )
    holder = script.start()
    wait_until((script.folder / "waits").exists)
    ended = pipegraph(script, "run", "script.py")
    holder.send_signal(signal.SIGTERM)
    holder.wait()

    assert ended.code == 3
    assert ended.stderr.startswith("pipegraph: another run holds the status file\n")
    assert str(holder.pid) in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "SCRIPT"),
        (["run", "nowhere.py"], "can't read the script nowhere.py: No such file"),
        (["run", "."], "can't read the script .: Is a directory"),
        (["run", "a\x1b[31m\n.py"], "the script a\\x1b[31m\\n.py"),
        (["run", "a.py", "-j", "0"], "a number of at least 1, not '0'"),
        (["run", "a.py", "-k", "--fail-fast"], "not allowed with"),
        (["run", "a.py", "b"], "unrecognized arguments: b"),
        (["-C", "nowhere", "run", "a.py"], "can't go to nowhere: No such file"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "COMMAND"),
    ],
)
def test_wrong_arguments_end_with_2_and_a_word_on_what_is_wrong(script, arguments, words):
    ended = pipegraph(script, *arguments)

    assert ended.code == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


# --- wishes


def test_a_dry_run_makes_nothing_and_ends_the_script_where_something_would_be_made(script):
    script.write(LETTERS + RUN + "print('went on')\n")
    ended = pipegraph(script, "run", "script.py", "-n")

    assert ended.code == 0
    assert "out/a.tsv" in ended.stdout
    assert "went on" not in ended.stdout
    assert begun(script) == []
    script.run()
    ended = pipegraph(script, "run", "script.py", "--dry-run")
    assert ended.stdout.endswith("went on\n")


@pytest.mark.parametrize(
    ("only", "made"),
    [
        (["out/b.tsv"], ["out/a.tsv", "out/b.tsv"]),
        (["out/*.tsv"], ["out/a.tsv", "out/b.tsv"]),
        (["**.tsv"], ["out/a.tsv", "out/b.tsv", "out/deep/c.tsv"]),
        (["./out/a.tsv", "out/deep/?.tsv"], ["out/a.tsv", "out/deep/c.tsv"]),
        (["out/[!b-z].tsv"], ["out/a.tsv"]),
    ],
)
def test_only_what_is_wanted_is_made(script, only, made):
    script.write(LETTERS + RUN)

    assert pipegraph(script, "run", "script.py", "--only", *only).code == 0
    assert begun(script) == made


@pytest.mark.parametrize("name", ["out/b.tsv", "./out/b.tsv", "out/[b].tsv", "ABSOLUTE"])
def test_what_is_forced_is_made_again_and_nothing_else(script, name):
    script.write(LETTERS + RUN)
    script.run()
    begun(script)
    name = str(script.folder / "out/b.tsv") if name == "ABSOLUTE" else name

    assert pipegraph(script, "run", "script.py", "-f", name).code == 0
    assert begun(script) == ["out/b.tsv"]
    assert "forced" in (script.folder / "logs/ppg_run.txt").read_text()


GENERATED = (
    LETTERS
    + """
def declare():
    ppg.FileGeneratingJob("made/d.tsv", write)
ppg.JobGeneratingJob("letters", declare)
ppg.run_pipegraph()
"""
)


@pytest.mark.parametrize(
    ("option", "pattern", "made"),
    [
        ("--force", "made/*", ["made/d.tsv"]),
        ("--only", "made/*", ["made/d.tsv"]),
        ("--only", "**/[ad].tsv", ["made/d.tsv", "out/a.tsv"]),
    ],
)
def test_patterns_reach_what_generators_declare(script, option, pattern, made):
    script.write(GENERATED)
    if option == "--force":
        script.run()
        begun(script)

    assert pipegraph(script, "run", "script.py", option, pattern).code == 0
    assert begun(script) == made


@pytest.mark.parametrize("text", [LETTERS + RUN, GENERATED], ids=["plain", "with a generator"])
@pytest.mark.parametrize(
    ("option", "headline"),
    [("--only", "no job makes a target"), ("--force", "no job of this run is what is to be forced")],
)
def test_a_name_that_nobody_has_ends_with_2_and_the_nearest(script, text, option, headline):
    script.write(text)
    ended = pipegraph(script, "run", "script.py", option, "out/a.tsw")

    assert ended.code == 2
    assert f"pipegraph: {headline}\n" in ended.stderr
    assert "nearest: out/a.tsv\n" in ended.stderr
    if text != GENERATED:
        assert begun(script) == []  # what is wrong is said before anything is made


FAILING = """
ppg.new_pipegraph()
def fail():
    while not os.path.exists("runs"):
        time.sleep(0.01)
    raise ValueError("no")
def finish(output):
    open("runs", "w").close()
    while not os.path.exists("logs/latest/failed"):
        time.sleep(0.01)
    output.write_text("all of it")
def write(output):
    output.write_text("late")
ppg.FileGeneratingJob("fails", fail)
ppg.FileGeneratingJob("finishes", finish)
for number in range(30):
    ppg.FileGeneratingJob(f"late_{number}", write)
ppg.run_pipegraph()
"""


def test_fail_fast_starts_nothing_more_and_lets_what_runs_finish(script):
    script.write(FAILING)
    ended = pipegraph(script, "run", "script.py", "--fail-fast", "-j", "2")

    assert ended.code == 1
    assert (script.folder / "finishes").read_text() == "all of it"
    assert list(script.folder.glob("late_*")) == []
    assert "not begun: 30 jobs" in ended.stderr
    assert pipegraph(script, "run", "script.py", "-k", "-j", "2").code == 1
    assert len(list(script.folder.glob("late_*"))) == 30


def test_fail_fast_starts_no_short_job_ahead(script):
    script.write(
        """
        ppg.new_pipegraph()
        def write(output):
            if output.name == "job_200":
                raise ValueError("no")
            output.write_text("x")
        for number in range(400):
            ppg.FileGeneratingJob(f"job_{number:03}", write)
        ppg.run_pipegraph()
        """
    )
    ended = pipegraph(script, "run", "script.py", "--fail-fast", "-j1")

    assert ended.code == 1
    assert [path.name for path in sorted(script.folder.glob("job_*"))] == [f"job_{number:03}" for number in range(200)]


def test_the_error_of_a_run_that_was_cut_short_does_not_say_that_all_else_was_done(script):
    text = FAILING.replace(
        "ppg.run_pipegraph()\n", "try:\n    ppg.run_pipegraph()\nexcept ppg.RuntimeError as e:\n    "
    )
    script.write(text + "print(e)\n")
    ended = pipegraph(script, "run", "script.py", "--fail-fast", "-j", "2")

    assert ended.code == 0
    assert "Nothing more was started; what was finished is kept." in ended.stdout


@pytest.mark.parametrize("option", ["-c3", "-j3", "--cores=3"])
def test_cores_go_before_those_of_the_script(script, option):
    script.write(
        """
        ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(max_cores_to_use=1))
        ppg.FileGeneratingJob("out", lambda output: output.write_text("x")).use_cores(3)
        ppg.run_pipegraph()
        """
    )

    assert pipegraph(script, "run", "script.py", option).code == 0
    assert "3 cores" in (script.folder / "logs/ppg_run.txt").read_text()


# --- stopped, and run again

WAITING = """
ppg.new_pipegraph()
def wait(output):
    open("waits", "w").close()
    signal.pause()
ppg.FileGeneratingJob("out", wait)
ppg.run_pipegraph()
"""


def test_ctrl_c_ends_it_with_130_and_no_traceback(script):
    script.write(WAITING)
    terminal = AtTerminal([sys.executable, "-m", "pipegraph", "run", "script.py"], script.folder)
    try:
        terminal.wait_for((script.folder / "waits").exists)
        terminal.type("\x03")

        assert terminal.wait() == 130
        assert "What was finished is kept; the next run goes on from here." in terminal.screen.text
        assert "Traceback" not in terminal.screen.text
    finally:
        terminal.close()


def test_sigterm_ends_it_as_it_ends_a_script(script):
    script.write(WAITING)
    with subprocess.Popen(
        [sys.executable, "-m", "pipegraph", "run", "script.py"],
        cwd=script.folder,
        env=script.environment,
        stderr=subprocess.PIPE,
    ) as process:
        wait_until((script.folder / "waits").exists)
        process.send_signal(signal.SIGTERM)
        process.communicate()

    assert process.returncode == -signal.SIGTERM  # a shell says 143


def test_again_runs_the_same_command_from_where_it_was_given(script):
    below = script.folder / "below"
    below.mkdir()
    (below / "script.py").write_text(
        "import os, sys, time\nimport pipegraph as ppg\n"
        "with open('argv.txt', 'a') as told:\n    print(sys.argv, os.getcwd(), file=told)\n"
        "ppg.new_pipegraph()\n"
        "def wait(output):\n"
        "    while not os.path.exists('go'):\n        time.sleep(0.01)\n"
        "    output.write_text('x')\n"
        "ppg.FileGeneratingJob('out', wait)\nppg.run_pipegraph()\n"
    )
    command = [sys.executable, "-m", "pipegraph", "-C", "below", "run", "script.py", "-j1", "--", "-x"]
    terminal = AtTerminal(command, script.folder)
    try:
        terminal.wait_for("> Enter")
        terminal.type("again\r")
        terminal.wait_for("anew")
        (below / "go").touch()

        assert terminal.wait() == 0, terminal.screen.text
        assert script.lines("below/argv.txt") == [f"['script.py', '-x'] {below}"] * 2
    finally:
        terminal.close()
