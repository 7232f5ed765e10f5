"""The files of a run in logs/: what they hold, which are kept, and that they can't hold up or end a run."""

import contextlib
import os
import re
import shutil
import time
import types
from pathlib import Path

import pandas as pd
import pytest
from engine_world import spec_of
from scripts import Script, wait_until

from pipegraph.events import GraphGrew, JobFailed, JobStarted, JobStopped, JobSucceeded, JobsUpToDate, JobUpToDate
from pipegraph.model import NO_USAGE, NOTHING_PRINTED, Failure, FailureKind, Printed, Reason, ReasonKind, Usage
from pipegraph.script import _new_log_folder
from pipegraph.watchers import logs as module
from pipegraph.watchers.logs import KEPT_BYTES, KEPT_RUNS, Logs

FAILURE = Failure(FailureKind.RAISED, "builtins.ValueError", "no\nsecond line")
NAMES = ["ppg_changes.txt", "ppg_errors.txt", "ppg_graph.txt", "ppg_run.txt", "ppg_runtimes.tsv"]
ONE_JOB = "ppg.new_pipegraph()\nppg.FileGeneratingJob('a', lambda of: of.write_text('x'))\nppg.run_pipegraph()\n"


class Jobs(dict):
    """All jobs that one can think of."""

    def get(self, name, default=None):
        return spec_of(name, "output")


class Run:
    """The logs of one run in a folder of all."""

    def __init__(self, directory, number=1):
        self.folder = directory / f"run_{number:04}"
        self.warned = []
        self.lines = []
        self.logs = Logs(Jobs(), str(self.folder), True, self.warned.append, self.lines.append)

    def text(self, name):
        return (self.folder / name).read_text()

    def start(self, job, *reasons, at=1e9):
        self.logs.see(JobStarted(job, reasons or (Reason(ReasonKind.NEVER_MADE),), 1, at))

    def fail(self, job, printed=NOTHING_PRINTED, usage=NO_USAGE):
        self.start(job)
        self.logs.see(JobFailed(job, FAILURE, usage, printed))


@pytest.fixture
def run(tmp_path):
    one = Run(tmp_path)
    yield one
    one.logs.close()


def runs_in(directory):
    return sorted(int(path.name[4:]) for path in directory.glob("run_*"))


# --- what they hold


def test_all_files_are_there_from_the_start_and_the_plain_names_lead_to_them(tmp_path, run):
    assert sorted(path.name for path in run.folder.iterdir()) == NAMES
    assert os.readlink(tmp_path / "latest") == "run_0001"
    for name in NAMES:
        assert os.readlink(tmp_path / name) == f"latest/{name}"
        assert (tmp_path / name).samefile(run.folder / name)
    assert run.logs.directory == str(tmp_path)


def test_the_graph_and_the_errors_are_written(run):
    a, b = spec_of("a", "output", ("b",)), spec_of("b", "output")
    run.logs.see(GraphGrew((a, b), (("c", "a"),), None, {}, {}, {}, {}))
    run.fail("a")
    run.logs.close()

    assert run.text("ppg_graph.txt") == "a\n    needs b\nb\nc\n    needs a\n"
    assert "ValueError: no\n    file:      " in run.text("ppg_errors.txt")
    assert "second line" in run.text("ppg_errors.txt")


def test_each_line_goes_to_who_listens_as_it_stands_in_the_file(run):
    run.start("a")
    run.logs.see(JobUpToDate("b"))
    run.logs.close()

    assert "".join(run.lines) == run.text("ppg_run.txt")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d started     a \(\S+\) because never made here\n", run.lines[0])


def test_of_many_that_are_up_to_date_each_has_the_line_that_it_has_alone(tmp_path, run):
    run.logs.see(JobsUpToDate(("a", "two\nlines")))
    run.logs.see(JobUpToDate("a"))
    run.logs.see(JobUpToDate("two\nlines"))
    run.logs.close()

    lines = [line[20:] for line in run.text("ppg_run.txt").splitlines()]
    assert lines[:2] == lines[2:]
    assert [line.split("(")[0] for line in lines[:2]] == ["up to date  a ", "up to date  two\\nlines "]
    assert "".join(run.lines) == run.text("ppg_run.txt")


def test_nobody_need_listen(tmp_path):
    logs = Logs(Jobs(), str(tmp_path / "run_0001"), True, print, None)
    logs.see(JobsUpToDate(("a",)))
    logs.see(JobStarted("b", (), 1, 1e9))
    logs.close()

    assert len((tmp_path / "run_0001" / "ppg_run.txt").read_text().splitlines()) == 2


IDS = {
    "plain": "plain",
    "two\nlines": "two\\nlines",
    "a\ttab": "a\\ttab",
    '"quoted" at the start': '"quoted" at the start',
    'a "quote" inside': 'a "quote" inside',
    "it's": "it's",
    "Grün\udc80": "Grün\\udc80",
    "a\\b": "a\\b",
    "a\x1b": "a\\x1b",
}


def test_run_times_are_a_table_that_pandas_reads_whatever_the_ids(run):
    for job in IDS:
        run.start(job, Reason(ReasonKind.INPUT_CHANGED, job), Reason(ReasonKind.FORCED))
        run.logs.see(JobSucceeded(job, (), Usage(1_700_000_000.0126, 2.5, 1.25, 4096, 7, 8)))
    run.logs.close()

    table = pd.read_csv(run.folder / "ppg_runtimes.tsv", sep="\t")
    assert list(table.columns) == [
        "job",
        "start",
        "end",
        "seconds",
        "cpu_seconds",
        "peak_bytes",
        "read_bytes",
        "written_bytes",
        "result",
        "reason",
    ]
    assert list(table.job) == list(IDS.values())
    assert list(table.reason) == [f"input changed: {job}; forced" for job in table.job]
    assert set(table.result) == {"made"}
    used = table.seconds, table.cpu_seconds, table.peak_bytes, table.read_bytes, table.written_bytes
    assert set(zip(*used)) == {(2.5, 1.25, 4096, 7, 8)}
    for column, moment in (("start", 1_700_000_000.013), ("end", 1_700_000_002.513)):
        assert {each.timestamp() for each in pd.to_datetime(table[column])} == {moment}


def test_moments_are_local_time_with_its_offset(run, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    module._second.cache_clear()
    try:
        run.start("a")
        run.logs.see(JobSucceeded("a", (), Usage(1_700_000_000.9996, 1.0)))
        run.logs.close()
    finally:
        monkeypatch.undo()
        time.tzset()
        module._second.cache_clear()

    assert "\t2023-11-15T03:58:21.000+05:45\t2023-11-15T03:58:22.000+05:45\t" in run.text("ppg_runtimes.tsv")


def test_failed_and_stopped_jobs_have_run_times_and_what_never_started_has_none(run):
    run.fail("failed", usage=Usage(1_700_000_000.0, 1.0))
    run.fail("not begun by its slave")
    run.start("stopped")
    run.logs.see(JobStopped("stopped"))
    run.logs.see(JobFailed("needs more cores than there are", FAILURE))
    run.logs.close()

    rows = [line.split("\t") for line in run.text("ppg_runtimes.tsv").splitlines()[1:]]
    assert [(row[0], row[8]) for row in rows] == [
        ("failed", "failed"),
        ("not begun by its slave", "failed"),
        ("stopped", "stopped"),
    ]
    assert all(row[1].startswith("2001-09-09T") for row in rows[1:])  # as it was told to start


# --- failed jobs


def test_a_failed_job_has_a_file_with_all_there_is(run):
    out = "".join(f"line {n}\n" for n in range(1000))
    run.fail("dir/the job", Printed(out, "err\n", len(out), 4))

    path = run.logs.file_of("dir/the job")
    assert path == str(run.folder / "failed" / "0001_dir_the_job.txt")
    text = run.text("failed/0001_dir_the_job.txt")
    assert re.match(r"\S+ \S+ dir/the job raised\n", text)
    assert "line 0\n" in text
    assert "line 999\n" in text
    assert "its end" not in text
    errors = run.text("ppg_errors.txt")
    assert "line 0\n" not in errors
    assert "line 999\n" in errors
    assert f"file:      {path}" in errors
    assert run.logs.file_of("another") == ""


def test_long_output_stands_beside_the_file_of_its_job(run):
    kept = run.folder / "ppg_output_a.stderr.txt"
    kept.write_text("all of it")
    run.fail("a", Printed("", "its end", 0, 300_000, "", str(kept)))

    beside = run.folder / "failed" / "0001_a.stderr.txt"
    assert beside.read_text() == "all of it"
    assert not kept.exists()
    assert f"all of it in {beside}, its end:" in run.text("ppg_errors.txt")
    assert f"all of it in {beside}, its end:" in run.text("failed/0001_a.txt")


def test_more_failures_than_the_bound_get_no_files(run, monkeypatch):
    monkeypatch.setattr(module, "FAILED_FILES", 3)
    for n in range(5):
        run.fail(f"a{n}")
    run.logs.close()

    assert len(list((run.folder / "failed").iterdir())) == 3
    assert run.logs.file_of("a3") == ""
    assert "a4 raised" in run.text("ppg_errors.txt")


def test_the_file_of_errors_is_bounded_and_still_names_each_failure(run, monkeypatch):
    monkeypatch.setattr(module, "ERRORS_BYTES", 1000)
    for n in range(100):
        run.fail(f"a{n}", Printed("x" * 100, "", 100))
    run.logs.close()

    text = run.text("ppg_errors.txt")
    assert len(text) < 12_000
    assert re.search(r"^\S+ \S+ a99 \(\S+\) raised: ValueError: no$", text, re.MULTILINE)


# --- when it is written


def test_lines_are_collected_until_the_next_tick_and_a_failure_is_written_at_once(run):
    run.logs.see(JobUpToDate("a"))
    assert run.text("ppg_run.txt") == ""

    run.logs.tick(0.0)
    assert "up to date  a" in run.text("ppg_run.txt")

    run.logs._not_before = 0.0
    run.fail("b")
    assert "failed      b" in run.text("ppg_run.txt")
    assert "b raised" in run.text("ppg_errors.txt")


class SlowDisk:
    """A clock that only writing moves."""

    def __init__(self, monkeypatch, seconds):
        self.now = 1000.0
        self.lost = 0.0
        self.sizes = []
        self._seconds = seconds
        self._write = os.write
        clock = types.SimpleNamespace(**{**vars(time), "monotonic": lambda: self.now})
        monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(module.os, "write", self.write)

    def write(self, descriptor, data):
        self.now += self._seconds
        self.lost += self._seconds
        self.sizes.append(len(data))
        return self._write(descriptor, data)


def test_a_slow_file_system_costs_at_most_a_twentieth_of_the_run(run, monkeypatch):
    disk = SlowDisk(monkeypatch, 0.5)
    began = disk.now
    for n in range(2000):
        run.fail(f"a{n % 7}")
        run.logs.tick(disk.now)
        disk.now += 1.0

    assert 10 < disk.lost < 0.05 * (disk.now - began) + 10


def test_even_on_a_slow_file_system_memory_is_bounded_and_each_write_too(run, monkeypatch):
    disk = SlowDisk(monkeypatch, 10.0)
    monkeypatch.setattr(module, "_COLLECTED", 5 << 20)
    job = "x" * 100_000
    for _ in range(200):
        run.logs.see(JobUpToDate(job))
        run.logs.tick(disk.now)
        assert run.logs._size <= 6 << 20
    run.logs.close()

    assert max(disk.sizes) == 1 << 20
    assert run.text("ppg_run.txt").count("up to date") == 200


def test_the_log_of_a_run_that_is_killed_holds_what_happened_a_second_before(script: Script):
    script.write(
        """
        ppg.new_pipegraph()
        ppg.FileGeneratingJob('a', lambda of: time.sleep(1000))
        ppg.run_pipegraph()
        """
    )
    process = script.start()
    log = script.folder / "logs" / "ppg_run.txt"
    wait_until(lambda: log.exists() and "started     a " in log.read_text())
    process.kill()
    process.wait()
    script.assert_no_process_left()

    assert "started     a " in log.read_text()


# --- faults


def test_a_file_in_the_place_of_the_logs_costs_one_warning(tmp_path):
    (tmp_path / "logs").write_text("x")
    run = Run(tmp_path / "logs")
    for _ in range(3):
        run.fail("a")
    run.logs.tick(0.0)
    run.logs.close()

    assert len(run.warned) == 1
    assert "Not a directory" in run.warned[0]
    assert len(run.lines) == 6
    assert (tmp_path / "logs").read_text() == "x"


@pytest.mark.parametrize("fails", ["write", "open"])
def test_a_write_that_fails_costs_one_warning_and_all_further_logs(run, monkeypatch, fails):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, fails, refuse)
    for n in range(3):
        run.fail(f"a{n}")
        run.logs.tick(0.0)
    monkeypatch.undo()
    run.fail("b")
    run.logs.close()

    assert len(run.warned) == 1
    assert "No space left on device. The run goes on." in run.warned[0]
    assert "failed      b" not in run.text("ppg_run.txt")
    assert not run.logs._collected
    assert len(run.lines) == 8


def test_without_symbolic_links_the_logs_are_in_their_folder_and_nothing_is_said(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module.os, "symlink", refuse)
    run = Run(tmp_path)
    run.fail("a")
    run.logs.close()

    assert run.warned == []
    assert run.logs.directory == str(run.folder)
    assert [path.name for path in tmp_path.iterdir()] == ["run_0001"]
    assert "failed      a" in run.text("ppg_run.txt")


# --- which are kept


def test_each_run_has_a_folder_and_latest_leads_to_the_last(script: Script):
    for _ in range(3):
        script.run(ONE_JOB)

    logs = script.folder / "logs"
    assert runs_in(logs) == [1, 2, 3]
    assert os.readlink(logs / "latest") == "run_0003"
    for number, expected in enumerate(("made  ", "up to date", "up to date"), 1):
        assert expected in (logs / f"run_{number:04}" / "ppg_run.txt").read_text()


def test_a_second_run_in_a_notebook_has_a_folder_of_its_own(graph):
    graph.run(False)
    graph.run(False)

    assert runs_in(Path("logs")) == [1, 2]


def test_two_runs_at_once_get_two_folders_and_neither_removes_the_others(script: Script):
    for name in ("first", "second"):
        script.write(
            f"""
            ppg.new_pipegraph(invariant_status_filename='status_{name}')
            def make(of):
                while not os.path.exists('go'):
                    time.sleep(0.01)
                of.write_text('x')
            ppg.FileGeneratingJob('{name}', make)
            ppg.run_pipegraph()
            """,
            f"{name}.py",
        )
    processes = [script.start("first.py"), script.start("second.py")]
    logs = [script.folder / "logs" / f"run_000{n}" / "ppg_run.txt" for n in (1, 2)]
    wait_until(lambda: all(log.exists() and "started" in log.read_text() for log in logs))
    (script.folder / "go").touch()

    assert [process.wait(30) for process in processes] == [0, 0]
    assert sorted(re.findall(r" made {8}(\w+) ", "".join(log.read_text() for log in logs))) == ["first", "second"]
    assert all("run ended" in log.read_text() for log in logs)


def test_the_number_of_a_run_is_what_mkdir_leaves_free(tmp_path, monkeypatch):
    (tmp_path / "run_0001").mkdir()
    monkeypatch.setattr(os, "listdir", lambda folder: [])  # as if the other had begun after the look

    assert _new_log_folder(str(tmp_path)) == str(tmp_path / "run_0002")
    assert (tmp_path / "run_0002").is_dir()


def test_a_run_that_can_not_begin_leaves_no_folder_and_latest_leads_to_the_one_that_goes_on(script: Script):
    script.write("ppg.new_pipegraph()\nppg.FileGeneratingJob('a', lambda of: time.sleep(1000))\nppg.run_pipegraph()\n")
    first = script.start()
    logs = script.folder / "logs"
    wait_until(lambda: (logs / "ppg_run.txt").exists() and "started" in (logs / "ppg_run.txt").read_text())
    second = script.start()

    assert second.wait(30) == 1
    assert "StatusHeldError" in script.stderr
    assert runs_in(logs) == [1]
    assert os.readlink(logs / "latest") == "run_0001"
    first.terminate()
    first.wait()


def test_twenty_earlier_runs_are_kept_and_what_is_not_ours_stays(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    (tmp_path / "run_0000_of_mine").mkdir()
    for number in range(1, KEPT_RUNS + 7):
        run = Run(tmp_path, number)
        run.fail("a")
        if number == 2:
            (run.folder / "notes.txt").write_text("mine")
        if number == 3:
            (run.folder / "failed" / "mine").write_text("mine")
        if number == 20:
            (run.folder / "ppg_run.txt").unlink()  # whatever else has such a name
        run.logs.close()

    assert {path.name for path in tmp_path.glob("run_0*")} == {
        "run_0000_of_mine",
        *(f"run_{number:04}" for number in range(2, KEPT_RUNS + 7) if number != 4),
    }
    assert [path.name for path in (tmp_path / "run_0002").rglob("*")] == ["notes.txt"]
    assert [path.name for path in (tmp_path / "run_0003").rglob("*")] == ["failed", "mine"]
    assert len(list((tmp_path / "run_0020").iterdir())) == 5
    assert (tmp_path / "mine.txt").read_text() == "x"
    assert (tmp_path / "run_0000_of_mine").is_dir()


def test_what_goes_beyond_the_size_are_the_oldest_and_the_latest_does_not_count(tmp_path):
    for number in (1, 2, 3):
        run = Run(tmp_path, number)
        run.fail("a")
        run.logs.close()
    os.truncate(tmp_path / "run_0002" / "failed" / "0001_a.txt", KEPT_BYTES - 100_000)

    run = Run(tmp_path, 4)
    os.truncate(run.folder / "ppg_run.txt", KEPT_BYTES)
    run.logs.close()
    assert runs_in(tmp_path) == [1, 2, 3, 4]

    os.truncate(tmp_path / "run_0004" / "ppg_run.txt", 200_000)
    Run(tmp_path, 5).logs.close()
    assert runs_in(tmp_path) == [3, 4, 5]


def test_a_run_that_goes_on_keeps_its_logs_however_old(tmp_path):
    going = Run(tmp_path, 1)
    for number in range(2, KEPT_RUNS + 4):
        Run(tmp_path, number).logs.close()

    assert runs_in(tmp_path) == [1, *range(3, KEPT_RUNS + 4)]
    going.logs.close()
    Run(tmp_path, KEPT_RUNS + 4).logs.close()
    assert runs_in(tmp_path) == [*range(4, KEPT_RUNS + 5)]


def test_the_files_of_versions_without_folders_get_one(tmp_path):
    names = ["ppg_run.txt", "ppg_errors.txt", "ppg_run.7.txt", "ppg_runtimes.7.tsv", "ppg_output_a_00ff.stdout.txt"]
    for name in names:
        (tmp_path / name).write_text(name)
    (tmp_path / "ppg_mine.txt").write_text("x")
    run = Run(tmp_path)
    run.fail("a")
    run.logs.close()

    old = tmp_path / "run_0000"
    assert {path.name: path.read_text() for path in old.iterdir()} == {name: name for name in names}
    assert (tmp_path / "ppg_mine.txt").read_text() == "x"
    assert "failed      a" in (tmp_path / "ppg_run.txt").read_text()


@pytest.mark.parametrize("name", ["latest", "ppg_run.txt"])
@pytest.mark.parametrize("is_link", [True, False])
def test_links_and_files_of_others_under_our_names_stay(tmp_path, name, is_link):
    theirs = tmp_path / name
    if is_link:
        theirs.symlink_to("elsewhere")
    elif name == "latest":
        theirs.mkdir()
    else:
        (tmp_path / "run_0000").write_text("in the way of putting it away")
        theirs.write_text("theirs")
    before = theirs.lstat().st_ino
    run = Run(tmp_path)
    run.logs.close()

    assert theirs.lstat().st_ino == before
    assert run.logs.directory == str(run.folder)
    assert run.warned == []


def test_links_are_turned_and_never_missing(tmp_path, monkeypatch):
    Run(tmp_path).logs.close()
    for name in ("symlink", "unlink", "rename"):
        original = getattr(os, name)

        def watched(*arguments, original=original):
            with contextlib.suppress(FileNotFoundError):
                original(*arguments)
            assert all(os.path.islink(tmp_path / each) for each in ("latest", *NAMES))

        monkeypatch.setattr(module.os, name, watched)
    run = Run(tmp_path, 2)
    run.logs.close()

    assert os.readlink(tmp_path / "latest") == "run_0002"
    assert {path.name for path in tmp_path.iterdir()} == {"latest", "run_0001", "run_0002", *NAMES}


def test_a_copy_that_did_not_keep_links_is_mended(tmp_path):
    folder = tmp_path / "logs"
    for number in (1, 2):
        one = Run(folder, number)
        one.logs.see(JobUpToDate("a"))
        one.logs.close()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)  # follows links
    assert not (copy / "latest").is_symlink()
    for number in (3, 4):
        Run(copy, number).logs.close()

        assert os.readlink(copy / "latest") == f"run_{number:04}"
        assert (copy / "ppg_run.txt").is_symlink()
    assert "up to date" in (copy / "run_0000" / "ppg_run.txt").read_text()
