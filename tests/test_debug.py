"""`pipegraph debug` and `pipegraph check --twice`: one job of a script, called by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest
from scripts import Script, wait_until

SCRIPT = """
    import json
    from pathlib import Path

    ppg.new_pipegraph()
    loaded = {}

    def fail(output):
        value = {"loaded": loaded["x"], "temporary": Path("t.txt").read_text()}
        output.write_text("half")
        json.loads("{broken")

    def work(output):
        print("working")
        Path(output).write_text(Path("t.txt").read_text() + str(loaded["x"]) + "".join(sys.argv[1:]))

    a = ppg.FileGeneratingJob("a.txt", lambda output: output.write_text("a"))
    t = ppg.TempFileGeneratingJob("t.txt", lambda output: output.write_text("t of " + Path("a.txt").read_text()))
    t.depends_on(a)
    load = ppg.DataLoadingJob("load", lambda: loaded.update(x=3))
    if WITH_FAILING:
        ppg.FileGeneratingJob("bad.txt", fail).depends_on(t, load)
    ppg.FileGeneratingJob("good.txt", work).depends_on(t, load)
    ppg.FileGeneratingJob("none.txt", lambda output: None)
    ppg.FileGeneratingJob("after.txt", lambda output: None).depends_on("none.txt")
    ppg.FileGeneratingJob("other.txt", lambda output: output.write_text("other"))
    ppg.JobGeneratingJob("gen", lambda: None)
    ppg.run_pipegraph()
    """


def command(script: Script, *arguments: str, typed: str = "", path: str | None = None) -> tuple[int, str, str]:
    environment = script.environment if path is None else {**script.environment, "PATH": path}
    ended = subprocess.run(
        [sys.executable, "-m", "pipegraph", *arguments],
        cwd=script.folder,
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    script.assert_no_process_left()
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def declared(script: Script) -> Script:
    script.write("    WITH_FAILING = True\n" + SCRIPT)
    return script


def test_a_job_that_fails_opens_the_debugger_in_the_users_own_code(declared: Script) -> None:
    code, out, err = command(declared, "debug", "bad.txt", "--script", "script.py", typed="p value\nq\n")

    assert code == 1
    assert "script.py(14)fail()" in out.partition("(Pdb)")[0].splitlines()[-2]
    assert "{'loaded': 3, 'temporary': 't of a'}" in out
    assert "in fail" in err
    assert "pipegraph/cli" not in err
    assert "It failed. Nothing was recorded, and what was there before still is." in err
    assert {path.name for path in declared.folder.glob("*.txt")} == {"a.txt"}


def test_a_job_that_goes_well_says_so_and_is_not_recorded(declared: Script) -> None:
    code, out, err = command(declared, "debug", "good.txt", "--script", "script.py", "--", "x", "--strace")

    assert code == 0
    assert out == "working\n"
    assert "It went well. Nothing was recorded" in err
    assert (declared.folder / "good.txt").read_text() == "t of a3x--strace"
    assert not (declared.folder / "other.txt").exists()
    declared.run(code=1)
    assert (
        "started     good.txt (script.py:26) because never made here"
        in (declared.folder / "logs/ppg_run.txt").read_text()
    )


def test_without_a_name_the_script_is_that_of_the_last_run(declared: Script) -> None:
    assert "Name it: --script" in command(declared, "debug", "good.txt")[2]
    declared.run(code=1)

    assert command(declared, "debug", "good.txt")[0] == 0


def test_a_temporary_file_that_is_kept_and_still_right_is_used_and_stays(declared: Script) -> None:
    declared.run(code=1)
    assert (declared.folder / "t.txt").exists()

    _, _, err = command(declared, "debug", "bad.txt", typed="q\n")

    assert "making t.txt" not in err
    assert "loading load" in err
    assert (declared.folder / "t.txt").exists()


def test_a_name_that_no_job_has_runs_nothing_and_tells_the_nearest(declared: Script) -> None:
    code, _, err = command(declared, "debug", "goood.txt", "--script", "script.py")

    assert code == 1
    assert "declares no job goood.txt" in err
    assert "nearest: good.txt" in err
    assert "generator" in err
    assert not (declared.folder / "a.txt").exists()


def test_a_job_that_leaves_no_file_is_told_so(declared: Script) -> None:
    code, _, err = command(declared, "debug", "none.txt", "--script", "script.py")

    assert code == 1
    assert "missing: none.txt" in err


def test_an_input_that_can_not_be_made_ends_it(declared: Script) -> None:
    code, _, err = command(declared, "debug", "after.txt", "--script", "script.py")

    assert code == 1
    assert "failed none.txt" in err
    assert "calling" not in err


def test_a_script_that_is_not_there_is_told(declared: Script) -> None:
    code, _, err = command(declared, "debug", "good.txt", "--script", "absent.py")

    assert code == 2
    assert err == "pipegraph: can't read the script absent.py: No such file or directory\n"
    assert "Traceback" not in err


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_strace_shows_what_programs_open_too(script: Script) -> None:
    script.run(
        """
        import subprocess
        open("notes", "w").write("n")
        ppg.new_pipegraph()
        ppg.FileGeneratingJob("in.txt", lambda output: output.write_text("in"))
        def work(output):
            subprocess.check_call("cat notes in.txt > scratch; mv scratch scratch2; touch gone; rm gone", shell=True)
            output.write_text("x")
        ppg.FileGeneratingJob("out.txt", work).depends_on("in.txt")
        def fail(output):
            raise ValueError("no")
        ppg.FileGeneratingJob("bad.txt", fail)
        ppg.run_pipegraph()
        """,
        1,
    )
    code, out, err = command(script, "debug", "out.txt", "--strace")

    assert code == 0
    assert out == (
        "read, below this directory:\n    in.txt\n    notes    (no input of it)\n"
        "written, below this directory:\n    out.txt\n    scratch2    (no output of it)\n"
    )
    assert "strace:" not in err
    code, _, err = command(script, "debug", "bad.txt", "--strace")
    assert code == 1
    assert "ValueError: no" in err


def test_without_strace_it_says_how_to_get_it(declared: Script) -> None:
    code, _, err = command(declared, "debug", "good.txt", "--strace", path="")

    assert code == 2
    assert "apt install strace" in err


# --- twice


REPEATED = """
    import random
    from pathlib import Path
    ppg.new_pipegraph()
    def wait():
        if os.path.exists("o/wait.aside_by_pipegraph") and not os.path.exists("go"):
            Path("waits").touch()
            while True:
                time.sleep(0.01)
        Path("o/wait").write_text("same")
    def once():
        if os.path.exists("o/once.aside_by_pipegraph"):
            raise ValueError("only once")
        Path("o/once").write_text("same")
    ppg.FileGeneratingJob("o/path", lambda output: output.write_text("same"))
    ppg.FileGeneratingJob("o/own", lambda: Path("o/own").write_text("same"))
    ppg.MultiFileGeneratingJob({"a": "o/a", "b": "p/b"}, lambda files: [files[each].write_text(each) for each in "ab"])
    ppg.MultiFileGeneratingJob(["o/c", "p/d"], lambda files: [each.write_text("same") for each in files])
    ppg.FileGeneratingJob("o/random", lambda output: output.write_text(f"same {random.random()}"))
    ppg.FileGeneratingJob("o/random own", lambda: Path("o/random own").write_text(f"same {random.random()}"))
    ppg.FileGeneratingJob("o/set", lambda output: output.write_text(" ".join({str(i) for i in range(99)})))
    ppg.FileGeneratingJob("o/long", lambda o: o.write_text("x" * 3_000_000 + "y" * os.path.exists("o/long")))
    ppg.FileGeneratingJob("o/wrong path", lambda output: Path("o/wrong path").write_text("same"))
    ppg.TempFileGeneratingJob("t", lambda output: output.write_text("same"))
    ppg.FileGeneratingJob("o/wait", wait)
    ppg.FileGeneratingJob("o/once", once)
    ppg.run_pipegraph()
    """


@pytest.fixture
def repeated(script: Script) -> Script:
    script.write(REPEATED)
    script.environment.pop("PYTHONHASHSEED", None)
    return script


@pytest.mark.parametrize(
    ("job", "code", "words"),
    [
        ("o/path", 0, "o/path: equal, 4 bytes"),
        ("o/own", 0, "o/own: equal, 4 bytes"),
        ("p/b", 0, "o/a: equal, 1 bytes\np/b: equal, 1 bytes"),
        ("o/c", 0, "o/c: equal, 4 bytes\np/d: equal, 4 bytes"),
        ("o/random", 1, "o/random: differs from byte "),
        ("o/random own", 1, "o/random own: differs from byte "),
        ("o/set", 1, "o/set: differs from byte "),
        ("o/long", 1, "differs from byte 3,000,000 on: its end, then b'y'; 3,000,000 and 3,000,001 bytes"),
        ("o/wrong path", 2, ""),
        ("o/once", 1, ""),
        ("t", 2, ""),
    ],
)
def test_a_job_is_made_again_and_compared_and_is_left_as_it_was(
    repeated: Script, job: str, code: int, words: str
) -> None:
    told = command(repeated, "check", "--twice", job, "--script", "script.py")

    assert told[0] == code, told
    assert words in told[1]
    assert ("Not reproducible" in told[1]) is (code == 1 and job != "o/once")
    left = {path.name for path in repeated.folder.iterdir()}
    assert not [name for name in left if "twice" in name]
    if code < 2:
        assert "1 up to date" in command(repeated, "check", "--twice", job)[2]


def test_a_comparison_that_is_ended_puts_back_what_was_made(repeated: Script) -> None:
    process = begin_to_wait(repeated)
    process.send_signal(signal.SIGTERM)
    process.wait(20)

    assert process.returncode == 128 + signal.SIGTERM
    assert (repeated.folder / "o/wait").read_text() == "same"
    assert not list(repeated.folder.glob("**/*twice*"))


def test_what_a_killed_comparison_left_is_put_back_by_the_next(repeated: Script) -> None:
    process = begin_to_wait(repeated)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)
    assert (repeated.folder / "o/wait.aside_by_pipegraph").read_text() == "same"

    (repeated.folder / "go").touch()
    code, out, err = command(repeated, "check", "--twice", "o/wait")

    assert code == 0
    assert "o/wait: put back, from a comparison that was killed" in err
    assert "1 up to date" in err
    assert out == "o/wait: equal, 4 bytes\n"


def begin_to_wait(script: Script) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipegraph", "check", "--twice", "o/wait", "--script", "script.py"],
        cwd=script.folder,
        env=script.environment,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    script.begun.append(process)
    wait_until((script.folder / "waits").exists)
    return process


@pytest.mark.parametrize(("old", "code"), [('output.write_text("other")', 0), ("1 / 0", 1)])
def test_the_good_file_of_an_earlier_run_survives(script: Script, old: str, code: int) -> None:
    text = """
    ppg.new_pipegraph(quiet=True)
    ppg.FileGeneratingJob("other.txt", lambda output: output.write_text("good"))
    ppg.run_pipegraph()
    """
    script.run(text)
    script.write(text.replace('output.write_text("good")', old))

    assert command(script, "debug", "other.txt", typed="q\n")[0] == code
    assert (script.folder / "other.txt").read_text() == "good"
    assert (script.folder / "other.txt.debug").exists() == (code == 0)
    script.run(text)
    assert script.started == []
