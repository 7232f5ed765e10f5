"""Files that take long to read, or lie on a slow file system: read by others, side by side, once; nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import preload
from scripts import Script, wait_until

from pipegraph.invariants import files, waiting
from pipegraph.invariants.waiting import Patience, side_by_side
from pipegraph.model import FileRecord, JobSpec, Place, Role, Watch
from pipegraph.slaves import messages, reading
from pipegraph.status import StatusFile
from pipegraph.status.reading import Reading
from pipegraph.status.survey import Survey, changed_inputs

LARGE = 20_000_000
LONG_AGO = (1_000_000_000, 1_000_000_000)


def large_file(path: Path, size: int = LARGE, mark: bytes = b"a") -> None:
    """Mostly a hole; so old that its time tells of every change."""
    with path.open("wb") as out:
        out.write(mark)
        out.truncate(size)
    os.utime(path, LONG_AGO)


# --- side by side


def test_each_gets_its_own_result_or_error_whatever_the_order_in_which_they_end() -> None:
    last = threading.Event()

    def call(number: int) -> int:
        if number == 0:
            assert last.wait(30)
        if number == 3:
            last.set()
        if number == 1:
            raise FileNotFoundError(number)
        return number * number

    found = side_by_side(call, [0, 1, 2, 3])

    assert [type(each) for each in found] == [int, FileNotFoundError, int, int]
    assert [found[0], *found[2:]] == [0, 4, 9]
    assert threading.active_count() == 1


def test_another_error_than_of_the_system_is_raised_and_leaves_no_thread() -> None:
    with pytest.raises(ValueError, match="null byte"):
        side_by_side(os.stat, ["a\0b"] * 100)

    assert threading.active_count() == 1


def test_where_no_thread_can_be_begun_all_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert side_by_side(str, [1, 2, 3]) == ["1", "2", "3"]


def test_one_slow_answer_among_quick_ones_makes_no_file_system_slow_and_many_do() -> None:
    patience = Patience()

    for _ in range(5):
        patience.spend(10 * waiting.LAG_SECONDS)
    assert not patience.is_over
    for _ in range(1000):
        patience.spend(0.0)
    for _ in range(30):
        patience.spend(0.001)
        patience.spend(0.000_001)

    assert patience.is_over


# --- a survey that waits

PLACE = Place("script.py", 7)


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StatusFile]:
    monkeypatch.chdir(tmp_path)
    with StatusFile.open("status", lambda warned: None) as one:
        yield one


def watching(*paths: str, watch: Watch = Watch.CONTENT) -> JobSpec:
    return JobSpec(":::".join(paths), Role.INVARIANT, "FileInvariant", PLACE, paths, watch=watch)


def survey_of(status: StatusFile, *specs: JobSpec, by: Reading | None = None) -> Survey:
    return Survey(specs, (), None, status, lambda job, text: False, by or Reading(is_alone=False))


def test_a_large_file_is_waited_for_and_asked_for_once_for_all_that_name_it(status: StatusFile) -> None:
    large_file(Path("large"))
    Path("small").write_text("text")
    looks = Reading(is_alone=False)
    survey = survey_of(status, watching("large"), watching("large", "small"), watching("small"), by=looks)

    survey.go_on()
    assert survey.is_through
    assert not survey.is_done
    assert looks.ask(survey.awaited()) == [("large", LARGE)]
    other = survey_of(status, watching("large", "other"), by=looks)
    Path("other").write_text("text")
    other.go_on()
    assert looks.ask(other.awaited()) == []
    survey.note(looks.note([files.read("large")], []))

    assert survey.is_done
    assert survey.arrival().measured == {
        name: survey_alone(status, name) for name in ("large", "large:::small", "small")
    }
    assert not other.is_done
    other.note(["large"])
    assert other.is_done


def survey_alone(status: StatusFile, name: str) -> str:
    one = survey_of(status, watching(*name.split(":::")), by=Reading())
    one.go_on()
    return one.arrival().measured[name]


def test_what_was_read_in_a_run_is_not_read_again_for_what_comes_later(status: StatusFile) -> None:
    large_file(Path("large"))
    looks = Reading(is_alone=False)
    Path("small").write_text("text")
    survey = survey_of(status, watching("large", "small"), by=looks)
    survey.go_on()
    looks.ask(survey.awaited())
    survey.note(looks.note([files.read("large")], []))
    looks.forget()

    later = survey_of(status, watching("large", "other"), by=looks)
    Path("other").write_text("text")
    later.go_on()

    assert later.is_done


def test_a_file_that_could_not_be_read_is_unmeasured_with_the_reason(status: StatusFile) -> None:
    large_file(Path("large"))
    looks = Reading(is_alone=False)
    survey = survey_of(status, watching("large"), by=looks)
    survey.go_on()
    looks.ask(survey.awaited())

    survey.note(looks.note([], [OSError(5, "the disk is broken", "large")]))

    assert survey.is_done
    assert "reason:   the disk is broken" in survey.arrival().unmeasured["large"].message


def test_of_several_large_files_each_is_kept_as_soon_as_it_was_read(status: StatusFile) -> None:
    names = ("first", "second")
    for name in names:
        large_file(Path(name))
    looks = Reading(is_alone=False)
    survey = survey_of(status, watching(*names), by=looks)
    survey.go_on()
    looks.ask(survey.awaited())
    survey.note(looks.note([files.read("first")], []))

    later = Reading(is_alone=False)
    again = survey_of(status, watching(*names), by=later)
    again.go_on()

    assert later.ask(again.awaited()) == [("second", LARGE)]


def test_however_small_files_are_one_survey_reads_only_so_long(status: StatusFile, monkeypatch) -> None:
    monkeypatch.setattr("pipegraph.status.reading.AT_ONCE_SECONDS", 0.0)
    Path("small").write_text("text")
    looks = Reading(is_alone=False)
    survey = survey_of(status, watching("small"), by=looks)

    survey.go_on()

    assert looks.ask(survey.awaited()) == [("small", -1)]


@pytest.fixture
def slow_stat(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that asked for a stamp of a file here."""
    asked: list[int] = []
    real = os.stat

    def stat(path: object, *rest: object, **more: object) -> os.stat_result:
        if str(path).startswith("input"):
            asked.append(threading.get_ident())
            time.sleep(0.001)
        return real(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    return asked


def test_on_a_slow_file_system_stamps_are_asked_for_side_by_side_and_the_answers_are_the_same(
    status: StatusFile, slow_stat: list[int]
) -> None:
    names = [f"input{number}" for number in range(300)]
    for name in names:
        Path(name).write_text(name)
        os.utime(name, LONG_AGO)
    specs = [watching(name) for name in names] + [watching(*names[:10]), watching(names[0] + "t", watch=Watch.TIME)]
    first = survey_of(status, *specs, by=Reading())
    first.go_on()
    slow_stat.clear()
    os.unlink(names[250])
    Path(names[251]).write_text("changed")

    again = survey_of(status, *specs, by=Reading())
    again.go_on()

    assert len(set(slow_stat)) > 1
    before, now = first.arrival(), again.arrival()
    assert set(now.unmeasured) - set(before.unmeasured) == {names[250]}
    assert {name for name in now.measured if now.measured[name] != before.measured[name]} == {names[251]}
    assert threading.active_count() == 1
    slow_stat.clear()
    assert changed_inputs(specs, status) == [(names[250], names[250])]
    assert len(set(slow_stat)) > 1


def test_a_stamp_that_was_asked_for_ahead_is_not_believed_by_a_later_survey(
    status: StatusFile, slow_stat: list[int]
) -> None:
    names = [f"input{number}" for number in range(100)]
    for name in names:
        Path(name).write_text(name)
        os.utime(name, LONG_AGO)
    specs = [watching(name) for name in names]
    looks = Reading()
    for _ in range(2):
        before = survey_of(status, *specs, by=looks)
        before.go_on()
    Path(names[99]).write_text("changed")

    later = survey_of(status, *specs, by=looks)
    later.go_on()

    assert later.arrival().measured[names[99]] != before.arrival().measured[names[99]]


# --- the process that reads


def received(end: socket.socket) -> tuple[dict[str, FileRecord], dict[str, str]]:
    records: dict[str, FileRecord] = {}
    errors: dict[str, str] = {}
    while (got := messages.receive(end)) is not None:
        word, token, found, unread, _, _ = got[0]
        assert (word, token) == ("read", 7)
        records.update({each[0]: FileRecord._make(each) for each in found})
        errors.update({path: text for _, text, path in unread})
    return records, errors


@pytest.mark.parametrize("is_slow", [False, True])
def test_small_and_large_files_and_what_is_none_are_told_of_each(tmp_path, monkeypatch, is_slow: bool) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reading, "_QUICK_SECONDS", -1.0 if is_slow else 1.0)
    Path("small").write_text("text")
    large_file(Path("large"))
    large_file(Path("unknown"))
    os.mkfifo("fifo")
    os.mkdir("folder")
    names = ["small", "gone", "fifo", "folder", "unknown", "large"]
    ours, theirs = messages.pair()

    reading.read_files([(name, LARGE if name == "large" else -1) for name in names], theirs, 7)

    records, errors = received(ours)
    assert records == {name: files.read(name) for name in ("small", "large", "unknown")}
    assert errors == {
        "gone": "No such file or directory",
        "fifo": "Is a FIFO, not a regular file",
        "folder": "Is a directory, not a file",
    }
    ours.close()
    theirs.close()


def test_small_files_are_read_by_one_process_and_each_very_large_one_by_its_own() -> None:
    requests = [("a", 1 << 30), ("b", 30_000_000), *((f"c{number}", 100) for number in range(600)), ("d", -1)]

    found = [[name for name, _ in share] for share in reading.shares(requests)]

    assert found == [["d", *(f"c{number}" for number in range(600)), "b"], ["a"]]
    assert [len(share) for share in reading.shares((f"{number}", 1) for number in range(2500))] == [1000, 1000, 500]


# --- whole runs

HELD = """
#include <string.h>
#include <sys/uio.h>
/* Notes who reads which large file; one whose name ends in "slow" is not read while there is a file "hold". */
ssize_t readv(int file, const struct iovec *parts, int count) {
    static ssize_t (*real)(int, const struct iovec *, int);
    if (!real) real = dlsym(RTLD_NEXT, "readv");
    char link[64], name[4097];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length > 4 && !lseek(file, 0, SEEK_CUR)) {
        name[length] = 0;
        FILE *out = fopen("reads", "a");
        fprintf(out, "%d %s\\n", getpid(), strrchr(name, '/') + 1);
        fclose(out);
        while (!memcmp(name + length - 4, "slow", 4) && !access("hold", F_OK)) usleep(2000);
    }
    return real(file, parts, count);
}
"""

USE = """
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), log_port=None)
for name in sorted(name for name in os.listdir() if name.startswith('large')):
    ppg.FileGeneratingJob('out/' + name, lambda output: output.write_text('x')).depends_on_file(name)
ppg.run_pipegraph()
"""

GROW = """
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), log_port=None)
def make(output):
    output.write_text('x')
def grow():
    with open('grown', 'a') as out:
        out.write(f'{os.getpid()}\\n')
    ppg.FileGeneratingJob('out/of_slow', make).depends_on_file('large_slow')
ppg.JobGeneratingJob('grow', grow)
first = ppg.FileGeneratingJob('out/first', make)
ppg.FileGeneratingJob('out/second', make).depends_on(first)
ppg.run_pipegraph()
"""


class Held:
    """A script some of whose large files can't be read for as long as is wished."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.folder = script.folder
        preload(script, HELD)
        self.hold()

    def hold(self) -> None:
        (self.folder / "reads").unlink(missing_ok=True)
        (self.folder / "hold").touch()

    def let_go(self) -> None:
        (self.folder / "hold").unlink()

    def readers(self, name: str = "large_slow") -> list[int]:
        """Processes that began to read a file."""
        return [int(line.split()[0]) for line in self.script.lines("reads") if line.split()[1:] == [name]]

    def wait_for_reader(self, number: int = 1, name: str = "large_slow") -> int:
        wait_until(lambda: len(self.readers(name)) >= number, f"nobody reads {name}")
        return self.readers(name)[number - 1]

    def is_measured(self, name: str) -> bool:
        status = self.folder / ".pipegraph_status"
        return status.exists() and f"\tI\t{name}\t" in status.read_text()

    def exists(self, name: str) -> bool:
        return (self.folder / name).exists()


@pytest.fixture
def held(script: Script) -> Held:
    large_file(script.folder / "large_slow", mark=b"slow")
    return Held(script)


def test_ctrl_c_while_a_file_is_read_ends_the_run_and_what_was_read_is_kept(held: Held) -> None:
    for number in range(3):
        large_file(held.folder / f"large_{number}", 150_000_000, b"%d" % number)
    large_file(held.folder / "large_slow", 140_000_000)
    held.script.write(USE)
    process = held.script.start()
    held.wait_for_reader()
    wait_until(lambda: all(held.is_measured(f"large_{number}") for number in range(3)))

    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    held.script.assert_no_process_left()
    held.let_go()
    (held.folder / "reads").unlink()
    held.script.run()

    assert [len(held.readers(f"large_{number}")) for number in range(3)] == [0, 0, 0]
    assert len(held.readers()) == 1
    assert len(held.script.started) == 4


def test_the_run_says_what_is_being_read_and_the_log_what_was(held: Held) -> None:
    large_file(held.folder / "large_slow", 200_000_000)
    held.script.write(USE)
    process = held.script.start()
    wait_until(lambda: "pipegraph: reading 1 file, 0 bytes of 200 MB" in held.script.stderr)
    held.let_go()

    assert process.wait(60) == 0
    assert " read        large_slow (200 MB)\n" in (held.folder / "logs" / "ppg_run.txt").read_text()


def test_when_a_process_that_reads_is_killed_another_one_reads(held: Held) -> None:
    held.script.write(USE)
    process = held.script.start()
    os.kill(held.wait_for_reader(), signal.SIGKILL)
    held.wait_for_reader(2)
    held.let_go()

    assert process.wait(60) == 0
    assert held.exists("out/large_slow")
    assert held.exists("large_slow")
    held.script.assert_no_process_left()


def test_a_file_that_two_processes_died_of_is_not_measured_and_all_else_goes_on(held: Held) -> None:
    large_file(held.folder / "large_1", mark=b"1")
    large_file(held.folder / "large_2", mark=b"2")
    held.script.write(USE)
    process = held.script.start()
    os.kill(held.wait_for_reader(), signal.SIGKILL)
    os.kill(held.wait_for_reader(2), signal.SIGKILL)

    assert process.wait(60) == 1
    assert "the process that was to read it ended before it had, twice (killed by signal 9)" in held.script.errors
    assert held.exists("large_slow")
    assert not held.exists("out/large_slow")
    assert held.exists("out/large_1")
    assert held.exists("out/large_2")
    held.script.assert_no_process_left()


def test_when_the_slave_is_killed_while_files_are_read_the_next_one_has_them_read(held: Held) -> None:
    held.script.write(USE)
    process = held.script.start()
    os.kill(parent_of(held.wait_for_reader()), signal.SIGKILL)
    held.wait_for_reader(2)
    held.let_go()

    assert process.wait(60) == 0
    assert held.script.started == ["out/large_slow"]
    assert not alive(held.readers()[0])
    held.script.assert_no_process_left()


def test_a_killed_script_leaves_nobody_that_reads(held: Held) -> None:
    held.script.write(USE)
    process = held.script.start()
    held.wait_for_reader()

    process.kill()
    process.wait()

    held.script.assert_no_process_left()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("what", ["removed", "replaced", "cut"])
def test_a_file_that_changes_while_it_is_read_makes_its_job_again_and_the_run_says_so(held: Held, what: str) -> None:
    held.script.write(USE)
    process = held.script.start()
    held.wait_for_reader()
    file = held.folder / "large_slow"
    if what == "cut":
        with file.open("r+b") as out:
            out.truncate(1000)
    else:
        file.unlink()
    if what == "replaced":
        file.write_text("another")
    held.let_go()

    assert process.wait(60) == 0
    if what != "cut":  # that was seen while it was read
        assert "an input file changed during the run: large_slow" in held.script.stderr
    file.write_text("the last")
    held.script.run()
    assert held.script.started == ["out/large_slow"]
    held.script.run()
    assert held.script.started == []


def test_an_output_changed_in_time_only_is_read_by_another_process_and_nothing_is_made(held: Held) -> None:
    (held.folder / "large_slow").unlink()
    held.let_go()
    held.script.run(
        """
        ppg.new_pipegraph(log_port=None)
        def make(output):
            with open(output, 'wb') as out:
                out.truncate(20_000_000)
        ppg.FileGeneratingJob('made_slow', make)
        ppg.run_pipegraph()
        """
    )
    os.utime(held.folder / "made_slow", LONG_AGO)
    held.hold()

    process = held.script.start()
    reader = held.wait_for_reader(name="made_slow")
    assert reader != process.pid
    held.let_go()
    assert process.wait(60) == 0
    assert held.script.started == []
    held.script.run()
    assert held.script.started == []

    assert held.readers("made_slow") == [reader]


def test_other_jobs_go_on_while_what_a_generator_declared_is_read(held: Held) -> None:
    held.script.write(GROW)
    process = held.script.start()
    held.wait_for_reader()
    wait_until(lambda: held.exists("out/second"))
    assert not held.exists("out/of_slow")
    held.let_go()

    assert process.wait(60) == 0
    assert held.exists("out/of_slow")
    assert len(held.script.lines("grown")) == 1
    held.script.assert_no_process_left()


def test_ctrl_c_while_what_a_generator_declared_is_read_ends_the_run(held: Held) -> None:
    held.script.write(GROW)
    process = held.script.start()
    held.wait_for_reader()
    wait_until(lambda: held.exists("out/second"))

    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    held.script.assert_no_process_left()
    log = (held.folder / "logs" / "ppg_run.txt").read_text()
    assert " stopped     grow " in log
    assert " lost " not in log
    held.let_go()
    held.script.run()

    assert held.exists("out/of_slow")


GROW_TWICE = GROW.replace(
    "ppg.run_pipegraph()",
    """
def build():
    with open('built', 'a') as out:
        out.write(f'{os.getpid()}\\n')
    job = ppg.FileGeneratingJob('out/built_on_it', make)
    job.depends_on(ppg.util.global_pipegraph.jobs['out/of_slow'])
ppg.JobGeneratingJob('later', build)
ppg.run_pipegraph()
""",
)


def sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def wait_for_both(held: Held, master: int) -> int:
    """Until both generators wait for what one of them declared; the process that reads it."""
    reader = held.wait_for_reader()
    wait_until(lambda: held.script.lines("built") and held.exists("out/second"))
    later = int(held.script.lines("built")[-1])
    # Its callback never sleeps, and the master does not while there is something that it was told.
    wait_until(lambda: sleeps(later) and sleeps(master))
    return reader


def log_of(held: Held) -> str:
    return (held.folder / "logs" / "ppg_run.txt").read_text()


def test_a_generator_builds_on_another_whose_jobs_are_still_read_and_ends_after_it(held: Held) -> None:
    held.script.write(GROW_TWICE)
    process = held.script.start()
    wait_for_both(held, process.pid)
    assert " made        grow " not in log_of(held)
    assert " made        later " not in log_of(held)
    held.let_go()

    assert process.wait(60) == 0
    assert held.exists("out/built_on_it")
    assert [len(held.script.lines(name)) for name in ("grown", "built")] == [1, 1]
    log = log_of(held)
    assert log.index(" made        grow ") < log.index(" made        later ")
    held.script.assert_no_process_left()


def test_ctrl_c_while_two_generators_wait_for_what_is_read_ends_both(held: Held) -> None:
    held.script.write(GROW_TWICE)
    process = held.script.start()
    wait_for_both(held, process.pid)

    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    held.script.assert_no_process_left()
    log = log_of(held)
    assert " stopped     grow " in log
    assert " stopped     later " in log
    assert " lost " not in log
    held.let_go()
    held.script.run()

    assert held.exists("out/built_on_it")


def test_what_was_built_on_a_generator_whose_jobs_can_not_be_recorded_is_no_failure_and_nothing_is_lost(
    held: Held,
) -> None:
    full = """
from pipegraph.errors import StatusWriteError
from pipegraph.status.store import StatusFile
def refuse(*ignored):
    raise StatusWriteError('no room', [], '')
StatusFile.note_measured = refuse
"""
    held.script.write(full + GROW_TWICE)
    process = held.script.start()
    wait_for_both(held, process.pid)
    held.let_go()

    assert process.wait(60) == 1
    assert "no room" in held.script.stderr
    assert "not in the graph" not in held.script.stderr + log_of(held)
    assert " stopped     later " in log_of(held)
    assert not held.exists("out/of_slow")
    held.script.write(GROW_TWICE)
    held.script.run()
    assert sorted(held.script.started) == ["grow", "later", "out/built_on_it", "out/of_slow"]


@pytest.mark.parametrize("who", ["grown", "built", "the first slave"])
def test_what_dies_while_two_generators_wait_is_done_again_in_the_same_order(held: Held, who: str) -> None:
    held.script.write(GROW_TWICE)
    process = held.script.start()
    reader = wait_for_both(held, process.pid)

    os.kill(parent_of(reader) if who == "the first slave" else int(held.script.lines(who)[0]), signal.SIGKILL)
    wait_until(lambda: len(held.script.lines("built")) == 2)
    held.let_go()

    assert process.wait(60) == 0
    assert held.exists("out/built_on_it")
    assert held.exists("out/second")
    assert len(held.script.lines("grown")) == (1 if who == "built" else 2)
    held.script.assert_no_process_left()


@pytest.mark.parametrize("who", ["the fork of the generator", "the first slave"])
def test_what_dies_while_a_generators_growth_is_read_costs_no_more_than_the_generator(held: Held, who: str) -> None:
    held.script.write(GROW)
    process = held.script.start()
    reader = held.wait_for_reader()
    generator = int(held.script.lines("grown")[0])

    os.kill(generator if who == "the fork of the generator" else parent_of(reader), signal.SIGKILL)
    wait_until(lambda: len(held.script.lines("grown")) == 2)
    held.let_go()

    assert process.wait(60) == 0
    assert held.exists("out/of_slow")
    assert held.exists("out/second")
    held.script.assert_no_process_left()


def test_ten_files_of_one_invariant_and_of_several_are_read_once(held: Held) -> None:
    held.let_go()
    for number in range(4):
        large_file(held.folder / f"large_{number}", mark=b"%d" % number)
    names = [f"large_{number}" for number in range(4)]

    held.script.run(
        f"""
        ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), log_port=None)
        job = ppg.FileGeneratingJob('out', lambda output: output.write_text('x'))
        job.depends_on(ppg.MultiFileInvariant({names}), ppg.MultiFileInvariant({names[:2]}))
        job.depends_on_file('large_0')
        ppg.run_pipegraph()
        """
    )

    assert [len(held.readers(name)) for name in names] == [1, 1, 1, 1]
