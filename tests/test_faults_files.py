"""Whole runs whose files are links, or whose clocks and file systems tell half the truth: what is made, what is not."""

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from machine import disk_with_whole_seconds, preload, small_disk
from scripts import Script

COPY = """
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))
def copy(output):
    with open('ran', 'a') as out:
        out.write(f'{output}\\n')
    with open(output, 'a') as out:
        out.write(open('input.txt').read())
copied = ppg.FileGeneratingJob('out/copy', copy)
copied.depends_on_file('input.txt')
def count(output):
    with open('ran', 'a') as out:
        out.write(f'{output}\\n')
    output.write_text(f"{len(open('out/copy').read())}")
ppg.FileGeneratingJob('count', count).depends_on(copied)
ppg.run_pipegraph()
"""


@pytest.fixture
def copied(script: Script) -> Script:
    """A script that has copied its input, once."""
    (script.folder / "input.txt").write_text("first")
    script.run(COPY)
    assert script.lines("ran") == ["out/copy", "count"]
    return script


def moved_and_linked(output: Path, elsewhere: Path) -> Path:
    target = elsewhere / "moved"
    shutil.move(output, target)
    output.symlink_to(target)
    return target


def with_another_name(output: Path, elsewhere: Path) -> Path:
    target = output.with_name("another name")
    os.link(output, target)
    return target


def within_a_moved_folder(output: Path, elsewhere: Path) -> Path:
    shutil.move(output.parent, elsewhere / "moved")
    output.parent.symlink_to(elsewhere / "moved")
    return elsewhere / "moved" / output.name


@pytest.mark.parametrize("link", [moved_and_linked, with_another_name])
def test_a_linked_output_is_up_to_date_and_made_anew_without_touching_what_the_link_leads_to(
    copied: Script, link: Callable[[Path, Path], Path]
) -> None:
    output = copied.folder / "out" / "copy"
    with small_disk(copied.folder / "elsewhere", "size=64k") as elsewhere:
        other = link(output, elsewhere)
        copied.run()
        assert copied.started == []
        assert other.samefile(output)

        (copied.folder / "input.txt").write_text("second")
        copied.run()
        assert copied.started == ["out/copy", "count"]
        assert output.read_text() == "second"
        assert not output.is_symlink()
        assert other.read_text() == "first"
        copied.run()
        assert copied.started == []


def test_outputs_in_a_folder_that_was_moved_and_linked_back_stay_there(copied: Script) -> None:
    output = copied.folder / "out" / "copy"
    with small_disk(copied.folder / "elsewhere", "size=64k") as elsewhere:
        other = within_a_moved_folder(output, elsewhere)
        copied.run()
        assert copied.started == []

        (copied.folder / "input.txt").write_text("second")
        copied.run()
        assert copied.started == ["out/copy", "count"]
        assert other.read_text() == output.read_text() == "second"


def test_what_changes_behind_a_link_is_a_changed_output(copied: Script) -> None:
    output = copied.folder / "out" / "copy"
    target = moved_and_linked(output, copied.folder)
    copied.run()
    target.write_text("edite")

    copied.run()
    assert copied.started == ["out/copy"]
    assert "output changed since it was made" in (copied.folder / "logs" / "ppg_run.txt").read_text()
    assert output.read_text() == "first"
    assert target.read_text() == "edite"


def test_a_link_whose_target_is_gone_is_a_missing_output(copied: Script) -> None:
    moved_and_linked(copied.folder / "out" / "copy", copied.folder).unlink()

    copied.run()
    assert copied.started == ["out/copy"]
    assert (copied.folder / "out" / "copy").read_text() == "first"
    assert not (copied.folder / "moved").exists()


@pytest.mark.parametrize("leads_to", ["nothing", "a file", "itself"])
def test_a_link_that_was_there_before_the_job_first_ran_is_replaced_and_not_followed(
    script: Script, leads_to: str
) -> None:
    target = script.folder / "target"
    if leads_to == "a file":
        target.write_text("precious")
    (script.folder / "out").mkdir()
    (script.folder / "out" / "copy").symlink_to("copy" if leads_to == "itself" else target)
    (script.folder / "input.txt").write_text("first")

    script.run(COPY)
    assert (script.folder / "out" / "copy").read_text() == "first"
    assert not (script.folder / "out" / "copy").is_symlink()
    assert script.lines("target") == (["precious"] if leads_to == "a file" else [])
    script.run()
    assert script.started == []


def test_an_output_that_a_job_makes_as_a_link_counts_by_what_it_leads_to(script: Script) -> None:
    text = """
    ppg.new_pipegraph()
    def make(output):
        with open('ran', 'a') as out:
            out.write(f'{output}\\n')
        output.symlink_to('data')
    ppg.FileGeneratingJob('made', make)
    ppg.run_pipegraph()
    """
    (script.folder / "data").write_text("first")
    script.run(text)
    script.run()
    assert script.lines("ran") == ["made"]

    (script.folder / "data").write_text("other")
    script.run()
    assert script.lines("ran") == ["made", "made"]
    assert (script.folder / "data").read_text() == "other"

    (script.folder / "data").unlink()
    assert "a job did not make its files" in script.run(code=1)
    assert not (script.folder / "made").is_symlink()


def test_a_failed_job_takes_away_its_link_and_leaves_what_others_call_their_own(copied: Script) -> None:
    output = copied.folder / "out" / "copy"
    other = with_another_name(output, copied.folder)
    (copied.folder / "input.txt").write_text("second")
    whole = (copied.folder / "script.py").read_text()
    failing = whole.replace(
        "'a') as out:\n        out.write(open",
        "'a') as out:\n        out.write('part')\n        1 / 0\n        out.write(open",
    )

    stderr = copied.run(failing.partition("import pipegraph as ppg\n")[2], 1)
    assert "ZeroDivisionError" in stderr
    assert not output.exists()
    assert other.read_text() == "first"


# --- clocks

CLOCK = """
static long long *offset;
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    FILE *file = clock == CLOCK_REALTIME ? fopen(getenv("TEST_CLOCK"), "r") : NULL;
    if (file) {
        long seconds = 0;
        if (fscanf(file, "%ld", &seconds) == 1) now->tv_sec += seconds;
        fclose(file);
    }
    return done;
}
"""

CLOCK_STEPS = """
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))
def make(step):
    def make(output):
        with open('ran', 'a') as out:
            out.write(f'{output}\\n')
        output.write_text(open('input.txt').read())
        if step:
            with open(os.environ['TEST_CLOCK'], 'w') as out:
                out.write(step)
            assert abs(time.time() - output.stat().st_mtime - int(step)) < 100
    return make
one = ppg.FileGeneratingJob('one', make('-36000'))
two = ppg.FileGeneratingJob('two', make('36000')).depends_on(one)
three = ppg.FileGeneratingJob('three', make('')).depends_on(two)
for each in one, two, three:
    each.depends_on_file('input.txt')
ppg.run_pipegraph()
"""


@pytest.mark.parametrize("disk", [nullcontext, disk_with_whole_seconds])
def test_a_clock_that_is_set_during_runs_hides_no_edit_and_remakes_nothing(
    script: Script, disk: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    preload(script, CLOCK)
    (script.folder / "here").mkdir()
    with disk(script.folder / "here"):
        here = Script(script.folder / "here")
        clock = here.folder / "clock"
        source = here.folder / "input.txt"
        here.environment |= {"LD_PRELOAD": script.environment["LD_PRELOAD"], "TEST_CLOCK": str(clock)}
        source.write_text("first")

        here.run(CLOCK_STEPS)
        assert here.started == ["one", "two", "three"]
        for number, seconds in enumerate((-36_000, 1_000_000)):
            clock.write_text(str(seconds))
            here.run()
            assert here.started == []
            with source.open("r+") as file:
                file.write(f"{number:5}")
            here.run()
            assert here.started == ["one", "two", "three"]
            assert here.lines("three") == here.lines("input.txt")
        here.end()


@pytest.mark.parametrize("hours", [-48, 48])
def test_an_edit_or_output_stamped_hours_away_is_noticed_or_left_alone_like_any_other(
    copied: Script, hours: int
) -> None:
    source = copied.folder / "input.txt"
    output = copied.folder / "out" / "copy"
    stamp = source.stat().st_mtime + hours * 3600
    os.utime(output, (stamp, stamp))
    copied.run()
    assert copied.started == []

    source.write_text("other")
    os.utime(source, (stamp, stamp))
    copied.run()
    assert copied.started == ["out/copy", "count"]
    copied.run()
    assert copied.started == []


# --- coarse stamps

SAME_TICK = """
from pathlib import Path
def runs():
    ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True)
    def copy(output):
        with open('ran', 'a') as out:
            out.write('copy\\n')
        output.write_text(open('input.txt').read())
    ppg.FileGeneratingJob('copy', copy).depends_on_file('input.txt')
    ppg.run_pipegraph()
    ran = open('ran').read()
    os.unlink('ran')
    return ran
def put(path, text):
    with open(path, 'r+') as out:
        out.write(text)
def stamp():
    now = os.stat(REWRITTEN)
    return now.st_mtime_ns, now.st_size, now.st_ino
Path('input.txt').write_text('0000')
number = 0
while True:
    number += 1
    put('input.txt', f'{number:04}')
    open('ran', 'w').close()
    assert runs() == 'copy\\n'
    before = stamp()
    put(REWRITTEN, 'edit')
    if stamp() == before:
        break
open('ran', 'w').close()
assert runs() == 'copy\\n', 'it was not noticed'
assert Path('copy').read_text() == Path('input.txt').read_text() != f'{number - 1:04}'
"""


@pytest.mark.parametrize("rewritten", ["input.txt", "copy"])
def test_a_rewrite_of_the_same_size_that_a_coarse_stamp_hides_is_noticed(script: Script, rewritten: str) -> None:
    with disk_with_whole_seconds(script.folder / "coarse") as folder:
        coarse = Script(folder)

        # Written within the second in which the run read it: the script tries until it is.
        coarse.run(SAME_TICK.replace("REWRITTEN", repr(rewritten)))

        coarse.end()


# --- network file systems

STALE = """
ssize_t read(int file, void *data, size_t size) {
    static ssize_t (*real)(int, void *, size_t);
    static int seen = 0;
    if (!real) real = dlsym(RTLD_NEXT, "read");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    /* Not what the callbacks read: they wait for what they open. */
    if (strstr(path, "stale") && fcntl(file, F_GETFL) & O_NONBLOCK && seen++ < atoi(getenv("TEST_STALE"))) {
        errno = ESTALE;
        return -1;
    }
    return real(file, data, size);
}
"""

STALE_FILES = """
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(1))
def make(output):
    with open('ran', 'a') as out:
        out.write(f'{output}\\n')
    output.write_text('x')
ppg.FileGeneratingJob('output.stale', make)
ppg.FileGeneratingJob('other', make).depends_on_file('input.stale')
ppg.FileGeneratingJob('beside', make)
ppg.run_pipegraph()
"""


def test_a_file_handle_that_is_stale_once_costs_nothing(script: Script) -> None:
    preload(script, STALE)
    script.environment["TEST_STALE"] = "1"
    (script.folder / "input.stale").write_text("x")

    script.run(STALE_FILES)
    assert sorted(script.lines("ran")) == ["beside", "other", "output.stale"]
    for name in ("input.stale", "output.stale"):
        (script.folder / name).touch()
    script.run()
    assert len(script.lines("ran")) == 3


def test_a_file_handle_that_stays_stale_fails_its_own_job_by_name(script: Script) -> None:
    preload(script, STALE)
    script.environment["TEST_STALE"] = "1000000"
    (script.folder / "input.stale").write_text("x")

    stderr = script.run(STALE_FILES, 1)
    assert "Stale file handle" in stderr
    assert "failed output.stale (script.py:" in stderr
    assert "failed input.stale (script.py:" in stderr
    assert sorted(script.lines("ran")) == ["beside", "output.stale"]
    script.environment["TEST_STALE"] = "0"
    script.run()
    assert sorted(script.started) == ["other", "output.stale"]
