"""Death at any moment: of the master, of slaves, of jobs; by signals, by a person, by the system."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from scripts import wait_until

from pipegraph.slaves import sweep

SLOW = """
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever began the tests may ignore it
ppg.new_pipegraph(resource_coordinator=ppg.resource_coordinators.LocalSystem(2))
def note(text):
    with open('made', 'a') as out:
        out.write(text + '\\n')
def quick(of):
    of.write_text('x')
    note(str(of))
def slow(of):
    open('running', 'a').write(f'{os.getpid()}\\n')
    while not os.path.exists('go'):
        time.sleep(0.01)
    assert store.value == 1
    quick(of)
a = ppg.FileGeneratingJob('a', quick)
class Store: pass
store = Store()
load = ppg.AttributeLoadingJob('load', store, 'value', lambda: note('load') or 1).depends_on(a)
s = ppg.FileGeneratingJob('slow', slow).depends_on(load)
def gen():
    for n in range(3):
        ppg.FileGeneratingJob(f'g{n}', quick).depends_on(s)
ppg.JobGeneratingJob('gen', gen)
ppg.FileGeneratingJob('b', quick).depends_on(s)
ppg.run_pipegraph()
"""


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def until_running(script):
    wait_until(lambda: len(script.lines("running")) > 0)
    return int(script.lines("running")[-1])


def finish(script):
    """Let it go on, and see that the end is right and nothing finished was made again."""
    (script.folder / "go").touch()
    script.run(SLOW)
    made = script.lines("made")
    outputs = ["a", "b", "g0", "g1", "g2", "slow"]
    assert [(script.folder / name).read_text() for name in outputs] == ["x"] * 6
    assert sorted(name for name in made if name != "load") == outputs
    script.run()
    assert script.started == ["gen"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_the_master_leaves_no_process_and_loses_nothing_finished(script, number):
    script.write(SLOW)
    process = script.start()
    until_running(script)

    process.send_signal(number)

    code = process.wait(30)
    script.assert_no_process_left()
    assert code == -number
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in script.stderr
    if number != signal.SIGKILL:
        assert "1 stopped" in script.stderr
        assert "the next run goes on from here" in script.stderr
    finish(script)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_each_process_as_batch_systems_send_it_is_a_stop_and_no_death_of_slaves(script, number):
    script.write(SLOW)
    process = script.start()
    until_running(script)

    # The master last: whatever comes of the others has time to come of them. It looks at all of it afterwards: were it
    # to see a job's death before its own signal is sent, that would be a failure.
    process.send_signal(signal.SIGSTOP)
    for pid in sorted(script.processes(), key=lambda pid: pid == process.pid):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
    process.send_signal(signal.SIGCONT)

    code = process.wait(30)
    script.assert_no_process_left()
    assert code == -number
    assert "slave died" not in script.stderr
    finish(script)


def test_a_run_under_nohup_is_not_ended_by_a_hangup(script):
    script.write(SLOW.replace("SIG_DFL", "SIG_IGN"))
    process = script.start()
    until_running(script)

    process.send_signal(signal.SIGHUP)
    (script.folder / "go").touch()

    assert process.wait(30) == 0
    assert "stopped" not in script.stderr


def test_a_slave_that_is_killed_is_replaced_and_the_run_ends_well(script):
    script.write(SLOW)
    process = script.start()
    job = until_running(script)

    os.kill(parent_of(job), signal.SIGKILL)
    wait_until(lambda: len(script.lines("running")) == 2)
    (script.folder / "go").touch()

    assert process.wait(30) == 0
    assert "a compute slave died" in script.stderr
    finish(script)


def test_the_first_slave_that_is_killed_is_replaced_and_the_run_ends_well(script):
    script.write(SLOW)
    process = script.start()
    until_running(script)

    (keeper,) = [pid for pid in script.processes() if parent_of(pid) == process.pid]
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: len(script.lines("running")) == 2)
    (script.folder / "go").touch()

    assert process.wait(30) == 0
    finish(script)


def test_slaves_that_die_again_and_again_end_the_run_with_a_clear_error(script):
    script.write(
        """
        ppg.new_pipegraph()
        def bad():
            os.kill(os.getppid(), 9)
            time.sleep(100)
        ppg.FileGeneratingJob('bad', bad)
        ppg.run_pipegraph()
        """
    )
    process = script.start()

    assert process.wait(60) == 1
    script.assert_no_process_left()
    assert "compute slaves died again and again" in script.stderr


def test_a_job_that_is_killed_fails_by_name(script):
    script.write(SLOW)
    process = script.start()
    os.kill(until_running(script), signal.SIGKILL)

    assert process.wait(30) == 1
    assert "killed by SIGKILL" in script.errors
    (script.folder / "running").unlink()
    finish(script)


@pytest.mark.parametrize("habit", ["ignores TERM", "is halted"])
def test_a_job_that_does_not_end_by_itself_is_ended(script, habit):
    script.write(
        f"""
        ppg.new_pipegraph()
        def bad():
            if {habit!r} == 'ignores TERM':
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            open('running', 'w').write(f'{{os.getpid()}}\\n')
            if {habit!r} == 'is halted':
                os.kill(os.getpid(), signal.SIGSTOP)
            while True:
                time.sleep(0.1)
        ppg.FileGeneratingJob('bad', bad)
        ppg.run_pipegraph()
        """
    )
    process = script.start()
    until_running(script)

    process.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in script.stderr)
    process.send_signal(signal.SIGINT)

    assert process.wait(30) == -signal.SIGINT
    assert "at once" in script.stderr


def test_a_second_run_in_the_directory_is_told_who_holds_it(script):
    script.write(SLOW)
    process = script.start()
    until_running(script)

    second = subprocess.run(
        [os.sys.executable, "script.py"], cwd=script.folder, env=script.environment, capture_output=True, text=True
    )
    (script.folder / "go").touch()

    assert second.returncode == 1
    assert "StatusHeldError" in second.stderr
    assert re.search(rf"\b{process.pid}\b", second.stderr)
    assert os.uname().nodename in second.stderr
    assert process.wait(30) == 0


def test_what_the_script_started_by_itself_is_left_alone(script):
    script.run(
        """
        import subprocess
        mine = subprocess.Popen(['sleep', '100'])
        ppg.new_pipegraph()
        ppg.FileGeneratingJob('a', lambda of: of.write_text('x'))
        ppg.run_pipegraph()
        assert mine.poll() is None
        mine.kill()
        mine.wait()
        """
    )


def test_signal_handlers_of_the_script_are_put_back(script):
    script.run(
        """
        def mine(number, frame): pass
        signal.signal(signal.SIGINT, mine)
        signal.signal(signal.SIGTERM, mine)
        ppg.new_pipegraph()
        ppg.FileGeneratingJob('a', lambda of: of.write_text('x'))
        ppg.run_pipegraph()
        assert signal.getsignal(signal.SIGINT) is mine
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
        """
    )


def test_a_run_inside_a_job_is_refused(script):
    script.run(
        """
        ppg.new_pipegraph()
        def inner(of):
            of.write_text('x')
            ppg.run_pipegraph()
        ppg.FileGeneratingJob('a', inner)
        def declares(of):
            ppg.FileGeneratingJob('c', inner)
        ppg.FileGeneratingJob('b', declares)
        ppg.run_pipegraph()
        """,
        1,
    )

    assert "run_pipegraph() inside a job" in script.errors
    assert "a job was made inside a job" in script.errors


def test_jobs_made_in_a_fork_of_the_script_are_refused(script):
    stderr = script.run(
        """
        ppg.new_pipegraph()
        if os.fork() == 0:
            ppg.FileGeneratingJob('a', lambda of: None)
        os.wait()
        """
    )

    assert "in another process than the one that made the graph" in stderr


def test_a_start_is_recorded_before_the_callback_and_shown_as_the_reason(script):
    script.write(SLOW)
    process = script.start()
    until_running(script)
    process.kill()
    process.wait()
    script.assert_no_process_left()
    (script.folder / "go").touch()

    script.run()

    log = (script.folder / "logs" / "ppg_run.txt").read_text()
    assert re.search(r"started +slow .* because .*started but never finished", log)


def test_a_failure_is_recorded_and_shown_as_the_reason(script):
    text = """
        ppg.new_pipegraph()
        def make(of):
            of.write_text('x')
            assert os.path.exists('go')
        ppg.FileGeneratingJob('a', make)
        ppg.run_pipegraph()
        """
    script.run(text, 1)
    (script.folder / "go").touch()

    script.run(text)

    assert "failed last time" in (script.folder / "logs" / "ppg_run.txt").read_text()
    script.run(text)
    assert script.started == []


STUBBORN = """
ppg.new_pipegraph()
def stubborn(of):
    def on_term(number, frame):
        open('asked', 'w').close()
        time.sleep(2)
        open('late', 'w').close()
    signal.signal(signal.SIGTERM, on_term)
    open('running', 'a').write(f'{os.getpid()}\\n')
    time.sleep(100)
ppg.FileGeneratingJob('a', stubborn)
"""


def test_a_second_ctrl_c_ends_the_run_at_once(script):
    script.write(STUBBORN + "ppg.run_pipegraph()\n")
    process = script.start()
    until_running(script)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: (script.folder / "asked").exists())

    process.send_signal(signal.SIGINT)

    assert process.wait(30) == -signal.SIGINT
    script.assert_no_process_left()
    log = (script.folder / "logs" / "ppg_run.txt").read_text()
    assert re.findall("stopping .*", log) == ["stopping    signal 2", "stopping    signal 2, at once"]
    # Its grace is longer than that.
    assert not (script.folder / "late").exists()


def test_ctrl_c_raises_keyboard_interrupt_whatever_the_script_does_with_the_signal(script):
    script.write(
        "signal.signal(signal.SIGINT, lambda number, frame: print('own handler'))"
        + STUBBORN.replace("time.sleep(2)", "os._exit(1)")
        + "try:\n    ppg.run_pipegraph()\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
    )
    process = script.start()
    until_running(script)

    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 0
    assert script.lines("stdout.txt") == ["interrupted"]


def test_a_child_that_was_born_while_processes_were_listed_is_ended_too(monkeypatch):
    me = os.getpid()
    # Its parent was alive when the list was begun, and had ended when it was looked at.
    lists = iter([{7: (me, 1, "Z")}, {8: (me, 1, "S")}, {}])
    killed = []
    monkeypatch.setattr(sweep, "processes", lambda: next(lists))
    monkeypatch.setattr(sweep, "kill", killed.append)
    monkeypatch.setattr(sweep, "reap_all", lambda: None)

    sweep.kill_descendants()

    assert 8 in killed
