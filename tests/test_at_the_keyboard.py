"""Runs as a person meets them: a real script at a real terminal, watched, questioned, stopped and run again."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
from scripts import HEAD, wait_until
from terminals import AtTerminal, at_terminal

from pipegraph.watchers.overview import Overview

HINT = "> Enter: what is running"

# Jobs named slow_N run until the file go_N is there; `done` counts what each of them did.
SLOW = """
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))

def slow(output):
    print("begun", output.name, flush=True)
    while not os.path.exists(f"go_{output.name[-1]}"):
        time.sleep(0.01)
    with open("done", "a") as done:
        done.write(output.name + "\\n")
    output.write_text("made")

jobs = [ppg.FileGeneratingJob(f"out/slow_{n}", slow) for n in range(4)]
last = ppg.FileGeneratingJob("out/last", lambda output: output.write_text("last")).depends_on(jobs)
ppg.run_pipegraph()
print("the script went on")
"""


def go(script, *numbers):
    for number in numbers:
        (script.folder / f"go_{number}").touch()


def begin(script, text=SLOW, **how):
    script.write(text)
    return at_terminal(script.folder, **how)


def shown_until(terminal, *words):
    for word in words:
        terminal.wait_for(word)


def test_a_run_can_be_watched_and_asked_and_ends_with_its_summary(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running", "0 of 5")
        terminal.type("\r")
        shown_until(terminal, "out/slow_0 (script.py:", "says: begun slow_1", f"on {os.uname().nodename}")
        assert re.search(r"since \d\d:\d\d:\d\d \(0:\d\d\), expected end \?, 1 core, <?\d", terminal.screen.text)
        process = int(re.findall(r"process (\d+) on", terminal.screen.text)[-1])
        assert process in script.processes()
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0
        assert "pipegraph: 5 made in " in terminal.screen.text
        assert terminal.screen.text.endswith("the script went on")
        assert HINT not in terminal.screen.text
        assert terminal.mode_now() == terminal.mode


QUESTIONS = [
    ("help", ["kill JOB", "cores N", "for JOB any part"]),
    ("waiting", ["out/slow_2 waits for 1 core", "out/last waits for out/slow_0"]),
    ("why out/last", ["out/last (script.py:", "waits for out/slow_0, out/slow_1"]),
    ("why slow_0", ["running", "because never made here"]),
    ("tail slow_1", ["stdout of out/slow_1, 13 bytes", "begun slow_1"]),
    ("ta\tout/slow_1", ["stdout of out/slow_1"]),
    ("tail slow_2\x7f1", ["stdout of out/slow_1"]),
    ("failed", ["Nothing has failed."]),
    ("nonsense", ["no such command: nonsense"]),
    ("running", ["out/slow_1 (script.py:"]),
]


def test_questions_are_answered_while_it_runs(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        wait_until(lambda: len(script.processes()) >= 4)
        for line, words in QUESTIONS:
            terminal.clear()
            terminal.type(f"{line}\r")
            shown_until(terminal, *words)
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0


def test_what_is_typed_stays_while_the_display_is_renewed(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.type("why out/la")
        shown_until(terminal, "> why out/la")
        terminal.wait_for(lambda: re.search(r"0:0[1-9] \S 2 cores", terminal.screen.text))
        terminal.type("st\r")
        shown_until(terminal, "waits for out/slow_0, out/slow_1")
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0


def test_a_job_can_be_killed_and_everything_else_goes_on(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.type("kill out/slow_0\r")
        shown_until(terminal, "a job was ended on request")
        go(script, 1, 2, 3)

        assert terminal.wait() == 1
        assert "3 made, 1 failed, 1 blocked" in terminal.screen.text
        assert "failed: out/slow_0 (script.py:14), blocking 1 job" in terminal.screen.text
    assert not (script.folder / "out/slow_0").exists()
    go(script, 0)
    script.run(SLOW)
    assert sorted(script.lines("done")) == ["slow_0", "slow_1", "slow_2", "slow_3"]


def test_what_a_job_printed_that_has_ended_can_still_be_asked_for(script):
    with begin(script) as terminal:
        go(script, 0)
        shown_until(terminal, HINT, "1 of 5")
        terminal.type("tail slow_0\r")
        shown_until(terminal, "stdout of out/slow_0, 13 bytes, its end:", "    begun slow_0")
        go(script, 1, 2, 3)

        assert terminal.wait() == 0


def test_pause_starts_nothing_and_resume_goes_on(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.type("pause\r")
        shown_until(terminal, "paused: nothing is started until resume")
        go(script, 0, 1, 2, 3)
        shown_until(terminal, "2 of 5", "paused: nothing is started (resume)")
        terminal.type("waiting\r")
        shown_until(terminal, "out/slow_2 waits for its turn")
        assert script.lines("done") == ["slow_0", "slow_1"] or script.lines("done") == ["slow_1", "slow_0"]
        terminal.type("resume\r")

        assert terminal.wait() == 0
    assert len(script.lines("done")) == 4


def test_cores_can_be_added_and_taken_away(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.type("cores 3\r")
        shown_until(terminal, "3 running", "3 cores")
        terminal.type("cores 1\r")
        shown_until(terminal, "1 core from now on")
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0


def test_stop_lets_running_jobs_finish_and_the_next_run_goes_on(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.type("stop\r")
        shown_until(terminal, "stopping: nothing more is started; 2 running jobs may finish")
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == -signal.SIGINT
        assert "pipegraph: 2 made in" in terminal.screen.text
        assert "not begun: 3 jobs" in terminal.screen.text
        assert "the next run goes on from here" in terminal.screen.text
        assert "the script went on" not in terminal.screen.text
        assert terminal.mode_now() == terminal.mode
    script.run(SLOW)
    assert sorted(script.lines("done")) == ["slow_0", "slow_1", "slow_2", "slow_3"]


def test_again_runs_the_edited_script_when_this_run_ends(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.type("again\r")
        shown_until(terminal, "runs anew when this run ends", "runs again afterwards")
        script.write(SLOW.replace('"the script went on"', '"the new script went on"'))
        terminal.type("stop\r")
        shown_until(terminal, "stopping: nothing more is started")
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0
        assert terminal.screen.text.endswith("the new script went on")
        assert "3 made, 2 up to date" in terminal.screen.text
        assert terminal.mode_now() == terminal.mode
    assert len(script.lines("done")) == 4


def test_again_can_be_taken_back_and_a_ctrl_c_does_so(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.type("again\ragain\r")
        shown_until(terminal, "the script does not run anew")
        terminal.clear()
        shown_until(terminal, HINT)
        assert "runs again afterwards" not in terminal.screen.text
        terminal.type("again\r")
        shown_until(terminal, "runs again afterwards")
        terminal.type("\x03")

        assert terminal.wait() == -signal.SIGINT
        assert terminal.screen.text.count("2 stopped in") == 1


def test_again_keeps_options_and_arguments(script):
    text = HEAD + "print(sys.argv, sys.warnoptions)\n" + SLOW
    command = [sys.executable, "-W", "ignore", "-c", text, "an argument"]
    with contextlib.closing(AtTerminal(command, script.folder)) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.type("again\r")
        shown_until(terminal, "runs again afterwards")
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0
        assert terminal.screen.lines.count("['-c', 'an argument'] ['ignore']") == 2
        assert terminal.screen.text.endswith("the script went on")


def test_again_is_refused_where_there_is_no_script(script):
    script.write(SLOW)
    with contextlib.closing(AtTerminal([sys.executable, "-q"], script.folder, PYTHON_BASIC_REPL="1")) as terminal:
        shown_until(terminal, ">>>")
        terminal.type("exec(open('script.py').read())\n")
        shown_until(terminal, HINT, "2 running")
        terminal.type("again\r")
        shown_until(terminal, "what runs is not a script: run it yourself again.")
        go(script, 0, 1, 2, 3)
        shown_until(terminal, "the script went on")
        terminal.type("exit()\n")

        assert terminal.wait() == 0


def test_ctrl_c_ends_the_run_and_keeps_what_was_finished(script):
    with begin(script) as terminal:
        go(script, 0)
        shown_until(terminal, HINT, "1 of 5")
        terminal.type("\x03")

        assert terminal.wait() == -signal.SIGINT  # which a shell calls 130
        text = terminal.screen.text
        assert "pipegraph: stopping, ending running jobs (again: at once)" in text
        assert re.search(r"1 made, 2 stopped in .*\n +stopped: out/slow_\d, out/slow_\d\n +not begun: 2 jobs\n", text)
        assert "What was finished is kept; the next run goes on from here." in text
        assert terminal.mode_now() == terminal.mode
    script.assert_no_process_left()
    go(script, 1, 2, 3)
    assert "4 made, 1 up to date" in script.run(SLOW)
    assert script.lines("done").count("slow_0") == 1


STUBBORN = """
ppg.new_pipegraph()

def stubborn(output):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("begun", flush=True)
    time.sleep(600)

ppg.FileGeneratingJob("out/stubborn", stubborn)
ppg.run_pipegraph()
"""


OBEDIENT = STUBBORN.replace("signal.SIG_IGN", "lambda *_: (open('told', 'w').close(), os._exit(3))")


def test_a_job_is_killed_as_a_shell_would_do_it_so_that_it_can_clean_up(script):
    with begin(script, OBEDIENT) as terminal:
        shown_until(terminal, HINT, "begun")
        terminal.type("kill stub\r")

        assert terminal.wait() == 1
        assert "a job was ended on request" in terminal.screen.text
    assert (script.folder / "told").exists()


def test_a_job_that_was_killed_when_the_run_is_stopped_is_stopped_and_has_not_failed(script):
    with begin(script, STUBBORN) as terminal:
        shown_until(terminal, HINT, "begun")
        terminal.type("kill stub\r")
        shown_until(terminal, "ending out/stubborn")
        terminal.type("\x03")
        shown_until(terminal, "ending running jobs (again: at once)")
        terminal.type("\x03")

        assert terminal.wait() == -signal.SIGINT
        assert "1 stopped" in terminal.screen.text
        assert "failed" not in terminal.screen.text


def test_a_second_ctrl_c_waits_for_nobody(script):
    with begin(script, STUBBORN) as terminal:
        shown_until(terminal, HINT, "begun")
        terminal.type("\x03")
        shown_until(terminal, "ending running jobs (again: at once)")
        terminal.type("\x03")
        shown_until(terminal, "ending running jobs at once")

        assert terminal.wait() == -signal.SIGINT
        assert terminal.mode_now() == terminal.mode
    script.assert_no_process_left()


def test_abort_is_as_ctrl_c(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.type("abort\r")

        assert terminal.wait() == -signal.SIGINT
        assert "2 stopped" in terminal.screen.text
    script.assert_no_process_left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_of_a_batch_system_ends_it_in_order(script, number):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.process.send_signal(number)

        assert terminal.wait() == -number  # which a shell calls 143, 129
        assert "2 stopped" in terminal.screen.text
        assert terminal.mode_now() == terminal.mode
    script.assert_no_process_left()


def test_a_script_whose_own_handler_comes_back_does_not_go_on_as_if_all_were_made(script):
    text = SLOW.replace(
        "ppg.run_pipegraph()", "signal.signal(signal.SIGTERM, lambda *_: print('mine'))\nppg.run_pipegraph()"
    )
    with begin(script, text) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.process.send_signal(signal.SIGTERM)

        assert terminal.wait() == 128 + signal.SIGTERM
        assert "mine" in terminal.screen.text
        assert "the script went on" not in terminal.screen.text


def test_a_closed_terminal_loses_nothing_and_leaves_no_process(script):
    with begin(script) as terminal:
        go(script, 0)
        shown_until(terminal, HINT, "1 of 5")
        terminal.hang_up()

        assert terminal.wait() == -signal.SIGHUP
    script.assert_no_process_left()
    go(script, 1, 2, 3)
    assert "4 made, 1 up to date" in script.run(SLOW)
    assert script.lines("done").count("slow_0") == 1


def test_after_kill_9_the_terminal_is_as_it_was_found(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        assert terminal.mode_now() != terminal.mode
        # In a shell's session the shell would outlive it; here the session's first process is the script itself.
        terminal.process.send_signal(signal.SIGKILL)
        terminal.wait()
    script.assert_no_process_left()


def test_after_kill_9_below_a_shell_the_shell_is_usable(script):
    script.write(SLOW)
    script.write(
        f"import subprocess\nsubprocess.run([{sys.executable!r}, 'script.py'])\nprint('killed')\ninput('next: ')\n",
        "shell.py",
    )
    with at_terminal(script.folder, "shell.py") as terminal:
        shown_until(terminal, HINT, "2 running")
        status = Overview.from_json(next((script.folder / "logs").glob("run_*/ppg_status.json")).read_text())
        assert terminal.mode_now() != terminal.mode
        os.kill(status.pid, signal.SIGKILL)
        shown_until(terminal, "next:")

        terminal.wait_for(lambda: terminal.mode_now() == terminal.mode)
        terminal.type("\r")
        assert terminal.wait() == 0
    script.assert_no_process_left()


# --- where there is no terminal, or one that can do less


def plain_run(script, text=SLOW, **environment):
    script.write(text)
    go(script, 0, 1, 2, 3)
    with at_terminal(script.folder, **environment) as terminal:
        assert terminal.wait() == 0
        return terminal.screen


def test_a_dumb_terminal_gets_plain_lines_and_answers(script):
    with begin(script, TERM="dumb") as terminal:
        wait_until(lambda: len(script.processes()) >= 4)
        terminal.wait_for("pipegraph: 0 of 5 jobs settled, running out/slow_1 and 1 more")
        terminal.type("waiting\n")
        shown_until(terminal, "out/slow_2 waits for 1 core")
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0
        assert b"\x1b" not in terminal.screen.raw


def test_inside_pytest_there_is_no_display(script):
    go(script, 0, 1, 2, 3)
    script.write(
        f"def test_run():\n{textwrap.indent(HEAD + textwrap.dedent(SLOW), '    ')}\n    time.sleep(0)\n", "test_it.py"
    )
    script.write(
        "import pytest; sys.exit(pytest.main(['-s', '-p', 'no:cacheprovider', '--color=no', 'test_it.py']))",
        "script.py",
    )
    with at_terminal(script.folder) as terminal:
        assert terminal.wait() == 0
        assert "5 made" in terminal.screen.text
        assert b"\x1b" not in terminal.screen.raw


@pytest.mark.parametrize("system", ["LocalSystem(2), interactive=False", "LocalSystem(2, interactive=False)"])
def test_a_run_that_is_not_interactive_leaves_the_keyboard_alone(script, system):
    with begin(script, SLOW.replace("LocalSystem(2)", system)) as terminal:
        shown_until(terminal, "2 running")
        assert terminal.mode_now() == terminal.mode
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0
        assert HINT not in terminal.screen.text


def test_a_quiet_run_shows_no_display_and_reads_no_keys(script):
    with begin(script, SLOW.replace("LocalSystem(2)", "LocalSystem(2), quiet=True")) as terminal:
        # Written for the second time: long after a display would have been there.
        terminal.wait_for(lambda: seconds_of_snapshot(script) > 1.0)
        assert terminal.mode_now() == terminal.mode
        terminal.type("help\n")
        terminal.wait_for("help")  # echoed by the kernel
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0
        assert terminal.screen.raw == b"help\r\nthe script went on\r\n"


QUICK = """
ppg.new_pipegraph()
ppg.FileGeneratingJob("out", lambda output: output.write_text("x") if os.path.exists("good") else 1 / 0)
try:
    ppg.run_pipegraph()
except ppg.RuntimeError:
    pass
print("rich" in sys.modules)
"""


def test_a_failure_is_red_and_nobody_waits_for_colours_where_all_goes_well(script):
    bad = plain_run(script, QUICK)
    (script.folder / "good").touch()
    good = plain_run(script, QUICK)

    assert b"\x1b[1;31mpipegraph: failed out (script.py:5)" in bad.raw
    assert good.lines[0].startswith("pipegraph: 1 made in")
    assert good.lines[1:] == ["False"]
    assert b"\x1b[1" not in good.raw


def test_output_to_a_file_has_no_control_codes_although_there_is_a_terminal(script):
    script.write(SLOW)
    go(script, 0, 1, 2, 3)
    script.write(
        "import subprocess\nwith open('err', 'w') as err: subprocess.run([sys.executable, 'script.py'], stderr=err)",
        "outer.py",
    )
    with at_terminal(script.folder, "outer.py") as terminal:
        assert terminal.wait() == 0
    assert "\x1b" not in (script.folder / "err").read_text()
    assert "5 made" in (script.folder / "err").read_text()


# --- below a shell, and where the terminal changes


def begin_shell(script, text=SLOW):
    """An interactive bash, which knows the script as $run."""
    script.write(text)
    shell = AtTerminal(["bash", "--norc", "--noprofile", "-i"], script.folder, PS1="$ ", HISTFILE=os.devnull)
    shell.type(f"run='{sys.executable} script.py'; echo $((1000 + 1)) here\n")
    shell.wait_for("1001 here")
    return contextlib.closing(shell)


def said(shell, command):
    """What a command prints in the shell."""
    shell.type(f"echo $((2000 + 2))'<'; {command}; echo $((3000 + 3))'>'\n")
    shell.wait_for(lambda: re.search("3003>", shell.screen.text))
    return shell.screen.text.rpartition("2002<")[2].partition("3003>")[0].strip()


def seconds_of_snapshot(script):
    path = script.folder / "logs/latest/ppg_status.json"
    view = Overview.from_json(path.read_text()) if path.exists() else None
    return view.at - view.began_at if view else 0.0


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


@needs_bash
def test_ctrl_z_and_fg_bring_the_display_back_while_jobs_went_on(script):
    with begin_shell(script) as shell:
        mode = said(shell, "stty -g")
        shell.clear()
        shell.type("$run\n")
        shown_until(shell, HINT, "2 running")
        shell.type("\x1a")
        shown_until(shell, "Stopped")
        assert said(shell, "stty -g") == mode
        go(script, 0)
        wait_until(lambda: script.lines("done") == ["slow_0"])
        shell.type("echo $((4000 + 4)) meanwhile\n")
        shown_until(shell, "4004 meanwhile")
        shell.type("fg\n")
        shown_until(shell, "1 of 5")
        shell.wait_for(lambda: shell.screen.lines[-1].startswith(HINT))
        assert "\n4004 meanwhile\n" in shell.screen.text
        shell.type("why out/last\r")
        shown_until(shell, "waits for out/slow_1")
        go(script, 1, 2, 3)
        shown_until(shell, "pipegraph: 5 made in", "the script went on")

        assert said(shell, "stty -g") == mode
        assert "4004 meanwhile\n" in shell.screen.text
        shell.type("exit\n")
        assert shell.wait() == 0


@needs_bash
def test_in_the_background_there_are_announcements_only(script):
    slow = SLOW.replace("LocalSystem(2)", "LocalSystem(5)")  # whoever has no dependent starts last
    with begin_shell(
        script, slow.replace("jobs = [", "ppg.FileGeneratingJob('bad', lambda: 1 / 0)\njobs = [")
    ) as shell:
        shell.clear()
        shell.type("$run &\n")
        shown_until(shell, "pipegraph: failed bad (script.py:")
        # Written for the second time: long after a display would have been there.
        wait_until(lambda: seconds_of_snapshot(script) > 1.0)
        assert "Running" in said(shell, "jobs")
        assert HINT not in shell.screen.text
        assert "of 6" not in shell.screen.text
        shell.type("fg\n")
        shown_until(shell, HINT, "1 of 6")
        go(script, 0, 1, 2, 3)
        shown_until(shell, "5 made, 1 failed in")

        assert "Stopped" not in shell.screen.text
        shell.type("exit\n")
        shell.wait()


def test_a_change_of_the_terminals_size_is_followed(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running", "begun slow_1")
        for columns, rows in ((120, 40), (30, 10), (100, 30)):
            terminal.clear(columns, rows)
            # One line goes from one side to the other.
            terminal.wait_for(lambda width=columns - 1: width in map(len, terminal.screen.lines))
            terminal.wait_for(lambda: terminal.screen.lines[-1].startswith("> "))
            assert max(map(len, terminal.screen.lines)) == columns - 1
            assert len(terminal.screen.lines) < rows
            assert terminal.screen.text.count("script.py") == 1
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0
        assert terminal.screen.text.count("pipegraph: 5 made in") == 1


def test_a_thousand_failures_are_a_page(script):
    text = """
        ppg.new_pipegraph()

        def fail(output):
            1 / 0 if int(output.name) < 20 else os._exit(7)

        for n in range(1000):
            ppg.FileGeneratingJob(f"out/{n}", fail)
        try:
            ppg.run_pipegraph()
        except ppg.RuntimeError:
            print("caught")
    """
    with begin(script, text) as terminal:
        assert terminal.wait() == 0

    lines = terminal.screen.lines
    summary = next(number for number, line in enumerate(lines) if line.startswith("pipegraph: 1000 failed in "))
    assert lines[-1] == "caught"
    assert sum(line.startswith("pipegraph: failed out/") for line in lines) == 10
    assert lines.count("pipegraph: more jobs failed; they are only counted from here on") == 1
    assert 10 < len(lines) - 1 - summary <= 20
    assert len(lines) < 80


def test_behind_a_pipe_there_are_plain_lines_and_the_terminal_is_as_it_was(script):
    script.write(SLOW)
    command = f"{sys.executable} script.py 2>&1 | cat"
    with contextlib.closing(AtTerminal(["sh", "-c", command], script.folder)) as terminal:
        shown_until(terminal, "pipegraph: 0 of 5 jobs settled, running out/slow_1 and 1 more")
        assert terminal.mode_now() == terminal.mode
        go(script, 0, 1, 2, 3)

        assert terminal.wait() == 0
        assert "pipegraph: 5 made in" in terminal.screen.text
        assert terminal.screen.text.endswith("the script went on")
        assert b"\x1b" not in terminal.screen.raw
        assert terminal.mode_now() == terminal.mode


# --- from another terminal


def status(script, *arguments, folder=None):
    command = [sys.executable, "-m", "pipegraph", "status", *arguments]
    return subprocess.run(
        command, cwd=folder or script.folder, env=script.environment, capture_output=True, text=True, timeout=60
    )


def test_another_terminal_sees_the_run_and_then_its_end(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        path = script.folder / "logs/latest/ppg_status.json"
        terminal.wait_for(lambda: Overview.from_json(path.read_text()).running_jobs == 2)
        once = status(script)
        assert (once.returncode, once.stderr) == (0, "")
        assert "out/slow_0 (script.py:" in once.stdout
        assert "2 running, 3 waiting" in once.stdout
        assert "\x1b" not in once.stdout
        assert Overview.from_json(status(script, "--json").stdout).running_jobs == 2
        script.write(
            "import runpy; sys.argv = ['pipegraph', 'status']; runpy.run_module('pipegraph', run_name='__main__')",
            "look.py",
        )
        with at_terminal(script.folder, "look.py") as other:
            other.wait_for("2 running")
            go(script, 0, 1, 2, 3)
            assert terminal.wait() == 0
            assert other.wait() == 0
            assert "5 made" in other.screen.text
            assert "ended" in other.screen.text
    assert "5 made" in status(script).stdout


def test_a_run_that_was_killed_is_told_as_that(script):
    with begin(script) as terminal:
        shown_until(terminal, HINT, "2 running")
        terminal.process.kill()
        terminal.wait()
    script.assert_no_process_left()

    assert "It did not end by itself" in status(script).stdout


def test_where_no_run_was_status_says_so(script):
    found = status(script)

    assert found.returncode == 1
    assert "No run has left anything in logs" in found.stderr


def test_a_run_in_another_directory_is_asked_for_by_its_path(script, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    script.run("ppg.new_pipegraph()\nppg.FileGeneratingJob('a', lambda of: of.write_text('a'))\nppg.run_pipegraph()")
    there, here = status(script, str(script.folder), folder=elsewhere), status(script, folder=elsewhere)

    assert (there.returncode, there.stderr) == (0, "")
    assert "1 made" in there.stdout
    assert f"logs: {script.folder}/logs/run_0001" in there.stdout
    assert here.returncode == 1
    assert list(elsewhere.iterdir()) == []
