"""Whole runs on full disks and with what can't be written: a clear word, and the next run goes on."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import mounted, small_disk
from scripts import Script

HERE = """
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(1))
def make(text, *then):
    def f(output):
        with open('ran', 'a') as out:
            out.write(f'{output}\\n')
        output.write_text(text)
        for each in then:
            each()
    return f
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Script]:
    """A script on a disk of one megabyte."""
    with small_disk(tmp_path / "small", "size=1m") as folder:
        script = Script(folder)
        yield script
        script.end()


def fill(folder: Path) -> Path:
    """Leave no room at all."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return filler


def test_an_output_for_which_there_is_no_room_fails_its_job_alone(small: Script) -> None:
    text = HERE + (
        "ppg.FileGeneratingJob('big', make('x' * 2_000_000))\n"
        "ppg.FileGeneratingJob('small', make('x'))\n"
        "ppg.run_pipegraph()\n"
    )

    stderr = small.run(text, 1)
    assert "No space left on device" in stderr
    assert "big (script.py:" in stderr
    assert not (small.folder / "big").exists()
    assert small.lines("small") == ["x"]

    small.run(text.replace("2_000_000", "2_000"))
    assert small.lines("ran") == ["big", "small", "big"]


def test_a_status_file_that_can_not_grow_ends_the_run_and_the_next_goes_on(script: Script) -> None:
    text = HERE.replace("LocalSystem(1)", "LocalSystem(2), invariant_status_filename='status/here'") + (
        "jobs = [ppg.FileGeneratingJob(f'o/{i}', make('x')) for i in range(60)]\n"
        "ppg.FileGeneratingJob('end', make('end')).depends_on(jobs)\n"
        "ppg.run_pipegraph()\n"
    )
    with small_disk(script.folder / "status", "size=20k") as folder:
        stderr = script.run(text, 1)
        assert "StatusWriteError" in stderr
        assert "status/here" in stderr
        assert "No space left on device" in stderr or "the disk is full" in stderr
        ran = script.lines("ran")
        assert 5 < len(ran) < 60

        subprocess.run(["mount", "-o", "remount,size=1m", str(folder)], check=True)
        script.run()
        again = script.lines("ran")[len(ran) :]
        assert set(ran) | set(again) == {*(f"o/{i}" for i in range(60)), "end"}
        # Made, but not recorded: what was running when the disk was full, on two cores and told ahead for two.
        assert len(set(ran) & set(again)) <= 4
        script.run()
        assert len(script.lines("ran")) == len(ran) + len(again)


@pytest.mark.parametrize("isolation", ["process", "shared"])
@pytest.mark.parametrize("size", ["12k", "20k", "28k"])
def test_on_a_full_disk_made_is_what_is_on_file_and_begun_is_what_was_noted_before(
    script: Script, size: str, isolation: str
) -> None:
    text = HERE.replace("LocalSystem(1)", "LocalSystem(2), invariant_status_filename='status/here'") + (
        f"ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), isolation={isolation!r},\n"
        "    invariant_status_filename='status/here')\n"
        "jobs = [ppg.FileGeneratingJob(f'o/{i}', make(f'{i}')) for i in range(60)]\n"
        "ppg.run_pipegraph()\n"
    )
    with small_disk(script.folder / "status", f"size={size}"):
        script.run(text, 1)

        kinds: dict[str, set[str]] = {}
        for line in (script.folder / "status" / "here").read_text().splitlines()[1:]:
            _, kind, job, _ = line.split("\t")
            kinds.setdefault(kind, set()).add(job)
        log = (script.folder / "logs" / "ppg_run.txt").read_text()
        assert set(re.findall(r" made +(\S+) ", log)) == kinds.get("M", set())
        assert set(script.lines("ran") if (script.folder / "ran").exists() else ()) <= kinds.get("S", set())
        failed = set(re.findall(r" failed +(\S+) .* could not be recorded", log))
        assert failed or size != "28k"
        assert not failed & kinds.get("M", set())


@pytest.mark.parametrize("lacks", ["room", "inodes"])
def test_a_disk_that_is_full_from_the_start_is_an_error_that_says_so(script: Script, lacks: str) -> None:
    text = HERE.replace("LocalSystem(1)", "LocalSystem(1), invariant_status_filename='status/here'")
    script.write(text + "ppg.FileGeneratingJob('a', make('a'))\nppg.run_pipegraph()\n")
    with small_disk(script.folder / "status", "size=64k,nr_inodes=3") as folder:
        fillers = [fill(folder)] if lacks == "room" else [folder / "1", folder / "2"]
        for each in fillers:
            each.touch()

        stderr = script.run(code=1)
        assert "script.py" in stderr
        assert f"{folder}/here" in stderr
        assert "No space left on device" in stderr
        assert "Make room on that disk" in stderr
        assert script.lines("ran") == []

        for each in fillers:
            each.unlink()
        script.run()
        script.run()
        assert script.lines("ran") == ["a"]


def test_no_room_for_logs_is_said_and_nothing_else(script: Script) -> None:
    with small_disk(script.folder / "logs", "size=64k") as folder:
        fill(folder)
        printing = "lambda: print('x' * 100_000)"

        stderr = script.run(HERE + f"ppg.FileGeneratingJob('a', make('a', {printing}))\nppg.run_pipegraph()\n")
        assert "no logs are written" in stderr
        assert "No space left on device" in stderr
        assert script.lines("a") == ["a"]
        script.run()
        assert script.lines("ran") == ["a"]


def test_a_log_folder_that_is_read_only_is_said_and_nothing_else(script: Script) -> None:
    with small_disk(script.folder / "logs", "size=64k,ro"):
        stderr = script.run(HERE + "ppg.FileGeneratingJob('a', make('a', lambda: print('hi')))\nppg.run_pipegraph()\n")

    assert "no logs are written" in stderr
    assert "Read-only file system" in stderr
    assert script.lines("a") == ["a"]


def test_a_read_only_working_directory_is_an_error_that_says_so(small: Script) -> None:
    small.write(HERE + "ppg.FileGeneratingJob('a', make('a'))\nppg.run_pipegraph()\n")
    subprocess.run(["mount", "-o", "remount,ro", str(small.folder)], check=True)

    done = subprocess.run(
        ["timeout", "30", sys.executable, "script.py"],
        cwd=small.folder,
        env=small.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert ".pipegraph_status" in done.stderr
    assert "Run in a directory that you may write to" in done.stderr
    small.assert_no_process_left()


@contextlib.contextmanager
def unwritable(file: Path, how: str) -> Iterator[None]:
    if how == "its mode":
        if not os.getuid():
            pytest.skip("no mode binds root; run the tests as another user, too")
        file.chmod(0o444)
        yield
        file.chmod(0o644)
    elif how == "its disk":
        with mounted(file, "--bind", "-o", "ro", str(file)):
            yield
    else:
        done = subprocess.run(["chattr", "+i", file], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file can be made immutable here; run the tests as root, on ext4: {done.stderr.strip()}")
        try:
            yield
        finally:
            subprocess.run(["chattr", "-i", file], check=True)


@pytest.mark.parametrize("how", ["its mode", "its disk", "an attribute"])
def test_a_status_file_that_is_read_only_is_an_error_that_says_so(script: Script, how: str) -> None:
    first = HERE + "ppg.FileGeneratingJob('a', make('a'))\nppg.run_pipegraph()\n"
    script.run(first)
    file = script.folder / ".pipegraph_status"
    held = file.read_bytes()

    with unwritable(file, how):
        stderr = script.run(first.replace("ppg.run", "ppg.FileGeneratingJob('b', make('b'))\nppg.run"), 1)

        assert "script.py" in stderr
        assert "the status file can't be used" in stderr
        assert str(file) in stderr
        assert re.search("Permission denied|Read-only file system|Operation not permitted", stderr)
        assert "Make it readable and writable for you" in stderr
        assert script.lines("ran") == ["a"]
        assert file.read_bytes() == held

    script.run()
    script.run()
    assert script.lines("ran") == ["a", "b"]


def test_a_reader_of_stderr_that_goes_away_ends_nothing(script: Script) -> None:
    script.write(
        HERE + "for i in range(20):\n    ppg.FileGeneratingJob(f'o/{i}', make('x', lambda: time.sleep(0.02)))\n"
        "ppg.FileGeneratingJob('bad', lambda: 1 / 0)\n"
        "try:\n    ppg.run_pipegraph()\nexcept ppg.RuntimeError:\n    open('failed', 'w').close()\n"
    )
    environment = {name: value for name, value in script.environment.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=script.folder, env=environment, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(60) == 0

    script.assert_no_process_left()
    assert (script.folder / "failed").exists()
    assert sorted(script.lines("ran")) == sorted(f"o/{i}" for i in range(20))
