"""Where a run stands, as its folder tells it: the file that is renewed, and what `pipegraph status` makes of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts import ROOT
from streams import BEGAN_AT, FAILURE, board_after, ended, grew, outputs, started
from terminals import AtTerminal

from pipegraph.cli import main
from pipegraph.events import Event, JobFailed, StopRequested
from pipegraph.model import Counts
from pipegraph.watchers import snapshot
from pipegraph.watchers.overview import Overview
from pipegraph.watchers.snapshot import RENEW_SECONDS, SNAPSHOT, Snapshot

GONE = 1 << 22


# --- the file


def read(folder: Path) -> Overview:
    return Overview.from_json((folder / SNAPSHOT).read_text())


def test_it_is_there_at_the_first_tick_and_renewed_from_time_to_time(tmp_path: Path) -> None:
    board = board_after(grew(*outputs("a")))
    writer = Snapshot(board, str(tmp_path))
    writer.tick(100.0)
    assert read(tmp_path).running_jobs == 0

    board.see(started("a"))
    writer.see(started("a"))
    writer.tick(100.0 + 0.9 * RENEW_SECONDS)
    assert read(tmp_path).running_jobs == 0
    writer.tick(100.0 + 1.1 * RENEW_SECONDS)
    assert read(tmp_path).running_jobs == 1


def test_the_end_is_there_at_once(tmp_path: Path) -> None:
    board = board_after(grew(*outputs("a")))
    writer = Snapshot(board, str(tmp_path))
    writer.tick(100.0)
    end = ended(3.0, Counts())
    board.see(end)
    writer.see(end)

    assert read(tmp_path).ended_at == BEGAN_AT + 3.0


def test_whoever_reads_has_a_whole_one_although_it_is_renewed_meanwhile(tmp_path: Path) -> None:
    board = board_after(grew(*outputs("a")))
    writer = Snapshot(board, str(tmp_path))
    writer.tick(100.0)
    with (tmp_path / SNAPSHOT).open() as reader:
        begun = reader.read(10)
        board.see(grew(*outputs(*(f"b{n}" for n in range(100)))))
        writer.tick(200.0)

        assert Overview.from_json(begun + reader.read()).total == 1
    assert read(tmp_path).total == 101
    assert os.listdir(tmp_path) == [SNAPSHOT]


def test_on_a_slow_disk_it_is_renewed_so_seldom_that_it_costs_a_hundredth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        seconds = 0.0

        def monotonic(self) -> float:
            self.seconds += 0.5
            return self.seconds

        def time(self) -> float:
            return BEGAN_AT

    monkeypatch.setattr(snapshot, "time", Clock())
    writer = Snapshot(board_after(grew(*outputs("a"))), str(tmp_path))
    writer.tick(100.0)
    (tmp_path / SNAPSHOT).unlink()
    writer.tick(149.0)
    assert not (tmp_path / SNAPSHOT).exists()
    writer.tick(151.0)

    assert (tmp_path / SNAPSHOT).exists()


def test_a_folder_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    writer = Snapshot(board_after(grew(*outputs("a"))), str(tmp_path / "gone"))

    writer.tick(100.0)
    writer.see(ended(1.0, Counts()))


# --- pipegraph status


class Runs:
    """Folders of runs, as runs would leave them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locks = contextlib.ExitStack()

    def add(self, number: int, *events: Event, is_alive: bool = False, **facts: object) -> Path:
        """`facts`: of the overview, in place of what the events make of it; `script=None`: there is none yet."""
        folder = self.folder / "logs" / f"run_{number:04}"
        folder.mkdir(parents=True)
        log = self._locks.enter_context((folder / "ppg_run.txt").open("w"))
        if is_alive:
            fcntl.flock(log, fcntl.LOCK_EX)
        if facts.get("script", "") is not None:
            view = board_after(*events).overview(BEGAN_AT + 1.0)._replace(**{"script": f"{number}.py", **facts})
            (folder / SNAPSHOT).write_text(view.to_json())
        return folder

    def end(self) -> None:
        self._locks.close()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    one = Runs(tmp_path)
    yield one
    one.end()


def status(runs: Runs, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main(["status", str(runs.folder), *more]) == 0
    return capsys.readouterr().out


def test_the_newest_is_told_by_its_number(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (9998, 10000, 9999, 10):
        runs.add(number, ended(1.0, Counts()))

    assert status(runs, capsys).startswith("10000.py - ")


def test_a_run_that_goes_on_is_told_before_newer_ones_that_do_not(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.add(1, is_alive=True)
    runs.add(2, ended(1.0, Counts()))
    text = status(runs, capsys)

    assert text.startswith("1.py - ")
    assert "did not end" not in text


def test_a_run_that_has_ended_does_not_go_on_although_something_holds_its_log(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.add(1, ended(1.0, Counts()), is_alive=True)
    runs.add(2, ended(1.0, Counts()))

    assert status(runs, capsys).startswith("2.py - ")


@pytest.mark.parametrize(
    ("events", "is_alive", "words", "others"),
    [
        ((), False, "It did not end by itself", "was stopped"),
        ((), True, "logs: ", "did not end"),
        ((StopRequested(2, False), ended(1.0, Counts(), 2)), False, "It was stopped.", "did not end"),
        ((ended(1.0, Counts()),), False, "ended ", "was stopped"),
        (
            (grew(*outputs("a")), started("a"), JobFailed("a", FAILURE)),
            True,
            "a (analysis.py:10)",
            "Nothing has failed",
        ),
        ((grew(*outputs("a")),), True, "1 waiting", "failed"),
    ],
)
def test_how_a_run_stands_is_told(
    runs: Runs,
    capsys: pytest.CaptureFixture[str],
    events: tuple[Event, ...],
    is_alive: bool,
    words: str,
    others: str,
) -> None:
    runs.add(1, *events, is_alive=is_alive)
    text = status(runs, capsys)

    assert words in text
    assert others not in text


def test_a_run_that_has_only_just_begun_is_told_as_that(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.add(1, is_alive=True, script=None)

    assert status(runs, capsys) == "The run has only just begun.\n"
    assert status(runs, capsys, "--json") == "null\n"


def test_as_json_it_is_what_the_run_wrote(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    folder = runs.add(1, grew(*outputs("a")), is_alive=True)

    assert json.loads(status(runs, capsys, "--json")) == json.loads((folder / SNAPSHOT).read_text())


def test_of_a_run_that_ended_on_another_day_the_day_is_told(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    long_ago = time.time() - 400 * 24 * 3600
    runs.add(1, ended(1.0, Counts()), began_at=long_ago - 61, ended_at=long_ago, at=long_ago)
    text = status(runs, capsys)

    assert time.strftime("ended %Y-%m-%d %H:%M", time.localtime(long_ago)) in text
    assert "1.py - 1:01 - " in text


@pytest.mark.parametrize(
    ("host", "pid", "seconds_ago", "is_alive"),
    [
        (socket.gethostname(), os.getpid(), 1000, True),
        (socket.gethostname(), GONE, 0, False),
        ("another", GONE, 0, True),
        ("another", os.getpid(), 1000, False),
    ],
    ids=["here, runs", "here, gone", "elsewhere, of now", "elsewhere, old"],
)
def test_where_there_are_no_locks_a_process_or_the_age_of_its_word_tells(
    runs: Runs,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    pid: int,
    seconds_ago: int,
    is_alive: bool,
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    runs.add(1, host=host, pid=pid, at=time.time() - seconds_ago)
    monkeypatch.setattr(fcntl, "flock", no_locks)

    assert ("did not end" not in status(runs, capsys)) is is_alive


def look(runs: Runs, *more: str, **environment: str) -> contextlib.closing[AtTerminal]:
    command = [sys.executable, "-m", "pipegraph", "status", *more]
    return contextlib.closing(AtTerminal(command, runs.folder, **environment))


@pytest.mark.parametrize(("arguments", "kind"), [(["--once"], "xterm"), ([], "dumb"), (["--json"], "xterm")])
def test_it_is_printed_once_where_that_is_asked_for_or_nothing_can_be_drawn(
    runs: Runs, arguments: list[str], kind: str
) -> None:
    runs.add(1, grew(*outputs("a")), is_alive=True)
    with look(runs, *arguments, TERM=kind, NO_COLOR="1") as terminal:
        assert terminal.wait() == 0
        assert "1.py" in terminal.screen.text
        assert b"\x1b[K" not in terminal.screen.raw


def test_the_live_display_follows_a_run_from_its_beginning_to_its_end(runs: Runs) -> None:
    folder = runs.add(1, is_alive=True, script=None)
    with look(runs) as terminal:
        terminal.wait_for("the run has only just begun")
        view = board_after(grew(*outputs("a")), started("a")).overview(BEGAN_AT)
        (folder / SNAPSHOT).write_text(view._replace(at=time.time() - 100).to_json())
        terminal.wait_for("1 running")
        terminal.wait_for("last heard of 10")
        view = board_after(grew(*outputs("a")), ended(1.0, Counts())).overview(BEGAN_AT)
        (folder / SNAPSHOT).write_text(view.to_json())

        assert terminal.wait() == 0
        assert "last heard of" not in terminal.screen.text
        assert terminal.screen.lines[0].startswith("analysis.py - 0:01 - 2 cores - ended")


def test_ctrl_c_ends_the_live_display_and_leaves_nothing_of_it(runs: Runs) -> None:
    runs.add(1, grew(*outputs("a")), is_alive=True)
    with look(runs) as terminal:
        terminal.wait_for("1 waiting")
        terminal.process.send_signal(signal.SIGINT)

        assert terminal.wait() == 130
        assert terminal.screen.lines == []


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_pipe_that_nobody_reads_any_more_is_no_failure(runs: Runs, more: list[str]) -> None:
    runs.add(1, ended(1.0, Counts()))
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "pipegraph", "status", *more]
    found = subprocess.run(
        command, cwd=runs.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)

    assert (found.returncode, found.stderr) == (0, b"")
