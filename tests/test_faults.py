"""Whole runs on full disks and in read-only folders: a clear word, and the next run goes on."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
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
def mount() -> Iterator[Callable[[Path, str], None]]:
    mounted: list[Path] = []

    def mount(folder: Path, options: str) -> None:
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "pipegraph_test", str(folder)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("a small tmpfs can't be mounted here: run the tests as root to have a truly full disk")
        mounted.append(folder)

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small(tmp_path: Path, mount: Callable[[Path, str], None]) -> Iterator[Script]:
    """A script on a disk of one megabyte."""
    mount(tmp_path / "small", "size=1m")
    script = Script(tmp_path / "small")
    yield script
    script.end()


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


def test_a_status_file_that_can_not_grow_ends_the_run_and_the_next_goes_on(
    script: Script, mount: Callable[[Path, str], None]
) -> None:
    mount(script.folder / "status", "size=8k")
    text = HERE.replace("LocalSystem(1)", "LocalSystem(2), invariant_status_filename='status/here'") + (
        "jobs = [ppg.FileGeneratingJob(f'o/{i}', make('x')) for i in range(60)]\n"
        "ppg.FileGeneratingJob('end', make('end')).depends_on(jobs)\n"
        "ppg.run_pipegraph()\n"
    )

    stderr = script.run(text, 1)
    assert "StatusWriteError" in stderr
    assert "status/here" in stderr
    assert "No space left on device" in stderr or "the disk is full" in stderr
    ran = script.lines("ran")
    assert 5 < len(ran) < 60

    subprocess.run(["mount", "-o", "remount,size=1m", str(script.folder / "status")], check=True)
    script.run()
    again = script.lines("ran")[len(ran) :]
    assert set(ran) | set(again) == {*(f"o/{i}" for i in range(60)), "end"}
    # Made, but not recorded: what was running when the disk was full, on two cores and told ahead for two.
    assert len(set(ran) & set(again)) <= 4
    script.run()
    assert len(script.lines("ran")) == len(ran) + len(again)


def test_no_room_for_logs_is_said_and_nothing_else(script: Script, mount: Callable[[Path, str], None]) -> None:
    mount(script.folder / "logs", "size=4k")
    text = HERE + "ppg.FileGeneratingJob('a', make('a'))\nppg.run_pipegraph()\n"
    (script.folder / "logs" / "filler").write_bytes(b"x" * 4096)

    stderr = script.run(text)
    assert "no logs are written" in stderr
    assert "No space left on device" in stderr
    assert script.lines("a") == ["a"]
    script.run()
    assert script.lines("ran") == ["a"]


def test_a_log_folder_that_is_read_only_is_said_and_nothing_else(
    script: Script, mount: Callable[[Path, str], None]
) -> None:
    mount(script.folder / "logs", "size=64k,ro")

    stderr = script.run(HERE + "ppg.FileGeneratingJob('a', make('a', lambda: print('hi')))\nppg.run_pipegraph()\n")

    assert "no logs are written" in stderr
    assert "Read-only file system" in stderr
    assert script.lines("a") == ["a"]


def test_a_read_only_working_directory_is_an_error_that_says_so(
    script: Script, mount: Callable[[Path, str], None]
) -> None:
    folder = script.folder / "fixed"
    mount(folder, "size=64k")
    (folder / "script.py").write_text("")
    fixed = Script(folder)
    fixed.write(HERE + "ppg.FileGeneratingJob('a', make('a'))\nppg.run_pipegraph()\n")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

    done = subprocess.run(
        ["timeout", "30", sys.executable, "script.py"],
        cwd=folder,
        env=fixed.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert ".pipegraph_status" in done.stderr
    fixed.assert_no_process_left()


def test_too_many_open_files_fail_jobs_by_name_and_spoil_nothing(script: Script) -> None:
    text = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem({cores}))
def make(output):
    with open('ran', 'a') as out:
        out.write(f'{{output}}\\n')
    time.sleep({seconds})
    output.write_text('x')
for i in range(60):
    ppg.FileGeneratingJob(f'o/{{i}}', make)
ppg.run_pipegraph()
"""

    stderr = script.run(text.format(cores=60, seconds=0.5), 1)
    assert "its process could not be started: Too many open files" in script.errors
    assert "failed" in stderr
    made = script.lines("ran")
    assert 0 < len(made) < 60

    script.run(text.format(cores=4, seconds=0))
    # The number is another, so the code of all jobs is.
    script.run(text.format(cores=4, seconds=0))
    assert script.started == []
    assert sorted(set(script.lines("ran"))) == sorted(f"o/{i}" for i in range(60))


def test_a_reader_of_stderr_that_goes_away_ends_nothing(script: Script) -> None:
    script.write(
        HERE + "for i in range(20):\n    ppg.FileGeneratingJob(f'o/{i}', make('x', lambda: time.sleep(0.02)))\n"
        "ppg.FileGeneratingJob('bad', lambda: 1 / 0)\n"
        "try:\n    ppg.run_pipegraph()\nexcept ppg.RuntimeError:\n    open('failed', 'w').close()\n"
    )
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=script.folder, env=script.environment, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(60) == 0

    script.assert_no_process_left()
    assert (script.folder / "failed").exists()
    assert sorted(script.lines("ran")) == sorted(f"o/{i}" for i in range(20))
