"""Programs that jobs start share the cores that the run can spare, and give them back, whatever becomes of them."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from builds import Witness, make_for, makefile, newer_ninja, start, wait
from scripts import wait_until

from pipegraph.machine import jobserver
from pipegraph.machine.jobserver import Access, Lending, Style, for_program, open_in_job, style_of_make

STYLES = {"fifo": Style.FIFO, "descriptors": Style.DESCRIPTORS}


@pytest.fixture
def lend(tmp_path):
    """Makes hosts, and sees that nothing of them is left."""
    made = []
    files = len(os.listdir("/proc/self/fd"))
    folder = tmp_path / "run"
    folder.mkdir()

    def make(most=3, style=Style.FIFO):
        made.append(Lending(str(folder), most, style))
        return made[-1]

    yield make
    for each in made:
        each.close()
        each.close()
    assert os.listdir(folder) == []
    assert len(os.listdir("/proc/self/fd")) == files


@contextlib.contextmanager
def client(access):
    """A program's own way to the pipe."""
    pipe = os.open(access.path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield pipe
    finally:
        os.close(pipe)


def is_readable(descriptor, milliseconds=0):
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(milliseconds))


# --- the count


def test_nothing_is_there_before_a_job_wants_to_share(lend, tmp_path):
    lending = lend()

    assert lending.offer(3) == 0
    assert (lending.lent, lending.fileno(), lending.used()) == (0, -1, 0)
    assert os.listdir(tmp_path / "run") == []


def test_as_many_can_be_taken_as_are_offered(lend):
    lending = lend()
    access = lending.begin("job")

    lending.offer(2)

    with client(access) as pipe:
        assert len(os.read(pipe, 10)) == 2
        with pytest.raises(BlockingIOError):
            os.read(pipe, 1)
        assert lending.used() == 2


def test_never_more_is_lent_than_the_run_can(lend):
    lending = lend(most=3)
    access = lending.begin("job")

    lending.offer(100)

    with client(access) as pipe:
        assert len(os.read(pipe, 200)) == lending.lent == 3


def test_offering_the_same_again_adds_nothing(lend):
    lending = lend()
    access = lending.begin("job")
    lending.offer(2)

    with client(access) as pipe:
        os.read(pipe, 1)
        assert lending.offer(2) == 1
        assert lending.offer(2) == 1

        assert len(os.read(pipe, 10)) == 1


def test_what_nobody_has_taken_is_taken_back_at_once(lend):
    lending = lend()
    access = lending.begin("job")
    lending.offer(3)
    with client(access) as pipe:
        os.read(pipe, 1)

        assert lending.offer(0) == 1

        assert (lending.lent, lending.is_owed) == (1, True)
        with pytest.raises(BlockingIOError):
            os.read(pipe, 1)


def test_what_is_owed_wakes_the_run_when_it_comes_back_and_stays(lend):
    lending = lend()
    access = lending.begin("job")
    lending.offer(3)
    with client(access) as pipe:
        token = os.read(pipe, 2)
        lending.offer(1)
        assert lending.is_owed
        assert not is_readable(lending.fileno())

        os.write(pipe, token[:1])

        assert is_readable(lending.fileno())
        assert lending.offer(1) == 1
        assert not lending.is_owed
        assert not is_readable(lending.fileno())


def test_a_run_that_has_less_to_spare_than_is_taken_lends_nothing_new(lend):
    lending = lend()
    access = lending.begin("job")
    lending.offer(3)
    with client(access) as pipe:
        os.read(pipe, 3)
        lending.offer(-2)

        assert lending.offer(1) == 3
        assert not is_readable(pipe)


def test_what_a_killed_program_had_taken_is_there_for_the_next_job(lend):
    lending = lend()
    access = lending.begin("killed")
    lending.offer(3)
    taker = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.read(os.open({access.path!r}, os.O_RDWR), 2); os.kill(os.getpid(), 9)"]
    )
    assert taker.wait(60) == -signal.SIGKILL
    assert lending.used() == 2

    lending.end("killed")
    assert (lending.lent, lending.is_owed, lending.used()) == (0, False, 0)
    access = lending.begin("next")
    assert lending.offer(3) == 0

    with client(access) as pipe:
        assert len(os.read(pipe, 10)) == 3


def test_a_job_that_ends_takes_nothing_from_one_that_still_runs(lend):
    lending = lend()
    access = lending.begin("one")
    assert lending.begin("other") == access
    lending.offer(3)
    with client(access) as pipe:
        os.read(pipe, 2)
        lending.end("one")

        assert lending.offer(3) == 2
        assert os.path.exists(access.path)


def test_a_program_that_outlived_its_job_has_no_part_in_the_next_ones_cores(lend):
    lending = lend()
    access = lending.begin("one")
    with client(access) as pipe:
        lending.end("one")
        assert lending.begin("next").path != access.path
        lending.offer(2)

        assert not is_readable(pipe)
        os.write(pipe, b"+++++")

        assert lending.used() == 0
        assert lending.lent == 2


def test_tokens_that_were_never_lent_are_taken_out(lend):
    lending = lend()
    access = lending.begin("job")
    lending.offer(2)
    with client(access) as pipe:
        os.write(pipe, b"+" * 5)

        assert lending.used() == 0

        assert len(os.read(pipe, 100)) == 2


def test_a_pipe_that_a_program_filled_is_emptied(lend):
    lending = lend()
    access = lending.begin("job")
    with client(access) as pipe:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(pipe, b"x" * 4096)

        lending.offer(3)
        lending.offer(3)

        assert (lending.lent, len(os.read(pipe, 1 << 20))) == (3, 3)


def test_a_thousand_tokens(lend):
    lending = lend(most=1000)
    access = lending.begin("job")
    lending.offer(1000)

    with client(access) as pipe:
        assert len(os.read(pipe, 2000)) == 1000
        assert lending.offer(10) == 1000
        os.write(pipe, b"+" * 1000)
        assert lending.offer(10) == 0
        assert len(os.read(pipe, 2000)) == 10


def test_a_pipe_that_holds_less_than_is_offered_counts_what_it_holds(lend):
    import fcntl

    lending = lend(most=10_000)
    access = lending.begin("job")
    fcntl.fcntl(lending.fileno(), 1031, 4096)  # F_SETPIPE_SZ
    lending.offer(10_000)

    with client(access) as pipe:
        assert len(os.read(pipe, 20_000)) == lending.lent == 4096


def test_a_slave_forked_in_mid_run_leaves_the_pipe_to_the_run(lend):
    lending = lend()
    access = lending.begin("job")
    lending.offer(2)
    pid = os.fork()
    if pid == 0:
        lending.close_in_fork()
        files = os.listdir("/proc/self/fd")
        held = [each for each in files if os.path.exists(f"/proc/self/fd/{each}")]
        is_closed = not any(os.path.samefile(f"/proc/self/fd/{each}", access.path) for each in held)
        lending.end("job")
        lending.close()
        os._exit(0 if is_closed else 1)

    assert wait(pid) == 0
    with client(access) as pipe:
        assert len(os.read(pipe, 10)) == 2


def test_the_pipe_is_for_this_user_alone(lend):
    access = lend().begin("job")

    found = os.stat(access.path).st_mode
    assert stat.S_ISFIFO(found)
    assert stat.S_IMODE(found) == 0o600


@pytest.mark.parametrize("name", ["with blank", "dollar$HOME", "back\\slash", "größe", "quote'"])
def test_a_folder_that_makeflags_cannot_name_is_replaced(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    lending = Lending(str(folder), 3, Style.FIFO)
    access = lending.begin("job")
    own = Path(access.path).parent

    assert own.parent == Path("/tmp")
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    lending.close()
    assert not own.exists()


def test_a_pipe_that_somebody_removed_is_no_trouble_at_the_end(lend):
    lending = lend()
    os.unlink(lending.begin("job").path)

    lending.end("job")

    assert os.path.exists(lending.begin("next").path)


def test_a_folder_that_is_gone_is_an_error_of_the_system(tmp_path):
    lending = Lending(str(tmp_path / "gone"), 3, Style.FIFO)

    with pytest.raises(FileNotFoundError):
        lending.begin("job")

    assert lending.offer(3) == 0
    lending.close()


# --- which style


@pytest.mark.parametrize(
    ("said", "style"),
    [
        ("GNU Make 4.4.1", Style.FIFO),
        ("GNU Make 4.10", Style.FIFO),
        ("GNU Make 5.0", Style.FIFO),
        ("GNU Make 4.3", Style.DESCRIPTORS),
        ("GNU Make 3.82", Style.DESCRIPTORS),
        ("something else", Style.FIFO),
    ],
)
def test_the_style_is_what_the_make_there_understands(tmp_path, said, style):
    program = tmp_path / "make"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)

    assert style_of_make(str(program)) is style


def test_without_make_the_style_is_the_one_that_works_through_everything(tmp_path):
    assert style_of_make(str(tmp_path / "make")) is Style.FIFO


def test_make_is_asked_at_the_first_job_and_once(lend, monkeypatch):
    asked = []
    monkeypatch.setattr(jobserver, "style_of_make", lambda: asked.append(1) or Style.DESCRIPTORS)
    lending = lend(style=None)
    assert asked == []
    for _ in range(2):
        assert lending.begin("job").has_descriptors
        lending.end("job")

    assert asked == [1]


# --- in a job


def test_other_jobservers_are_out_of_the_way_in_a_job_and_back_after_it(lend):
    environment = {"MAKEFLAGS": "k -j9 --jobserver-auth=8,9 -- X=1", "CARGO_MAKEFLAGS": "-j", "A": "a"}
    before = dict(environment)
    access = lend().begin("job")

    joined = open_in_job(access, environment)
    inside = dict(environment)
    joined.leave()

    assert inside == {"MAKEFLAGS": f"k -j4 --jobserver-auth=fifo:{access.path} -- X=1", "A": "a"}
    assert environment == before


def test_in_a_job_descriptors_are_open_for_its_programs_and_closed_after_it(lend):
    lending = lend(style=Style.DESCRIPTORS)
    access = lending.begin("job")
    lending.offer(2)
    begin, files = subprocess.Popen.__init__, len(os.listdir("/proc/self/fd"))
    environment = {}

    joined = open_in_job(access, environment)
    reader, writer = joined.descriptors
    script = f"import os; token = os.read({reader}, 1); os.write({writer}, token)"
    subprocess.run([sys.executable, "-c", script], check=True)
    by_shell = os.system(f"test -p /proc/self/fd/{reader} && test -p /proc/self/fd/{writer}")
    joined.leave()

    assert by_shell == 0
    assert f"--jobserver-auth={reader},{writer}" in environment.get("MAKEFLAGS", "") or environment == {}
    assert subprocess.Popen.__init__ is begin
    assert len(os.listdir("/proc/self/fd")) == files
    assert lending.used() == 0


def test_numbers_that_a_job_used_for_something_else_are_left_alone(lend, tmp_path):
    joined = open_in_job(lend(style=Style.DESCRIPTORS).begin("job"), {})
    reader, writer = joined.descriptors
    own = os.open(tmp_path, os.O_RDONLY)
    os.dup2(own, reader)
    os.close(writer)

    inside = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True, check=True).stdout.split()
    joined.leave()

    assert str(reader) not in inside
    assert os.path.samestat(os.fstat(reader), os.stat(tmp_path))
    os.close(own)
    os.close(reader)


def test_a_job_without_descriptors_left_keeps_none(lend, monkeypatch):
    access = lend(style=Style.DESCRIPTORS).begin("job")
    files = len(os.listdir("/proc/self/fd"))
    really = os.open

    def no_writer(path, flags, *rest):
        if flags & os.O_ACCMODE == os.O_WRONLY:
            raise OSError(24, "Too many open files")
        return really(path, flags, *rest)

    monkeypatch.setattr(os, "open", no_writer)
    with pytest.raises(OSError):
        open_in_job(access, {})
    monkeypatch.undo()

    assert len(os.listdir("/proc/self/fd")) == files


def test_a_program_started_after_the_run_ended_does_not_wait_for_it(tmp_path):
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    variables, actions = for_program(Access(path, True, 4), dict(os.environb))

    pid = os.posix_spawnp("true", ["true"], variables, file_actions=actions)

    assert wait(pid) == 0


# --- with real programs


@pytest.mark.parametrize("way", ["python", "program"])
@pytest.mark.parametrize("style", STYLES)
def test_make_runs_as_many_recipes_as_it_may_and_never_more(lend, tmp_path, style, way):
    make = make_for(style)
    lending = lend(style=STYLES[style])
    access = lending.begin("job")
    lending.offer(2)
    witness = Witness(tmp_path, together=3)
    makefile(tmp_path, witness)

    code = wait(start(way, access, [make], tmp_path, tmp_path / "out"))

    assert (code, (tmp_path / "out").read_text()) == (0, "")
    assert (witness.begun(), witness.most_at_once()) == (10, 3)
    assert lending.used() == 0


@pytest.mark.parametrize("style", STYLES)
def test_two_makes_at_once_share(lend, tmp_path, style):
    make = make_for(style)
    lending = lend(style=STYLES[style])
    witness = Witness(tmp_path, together=4)
    pids = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        makefile(tmp_path / name, witness, targets=6)
        pids.append(start("program", lending.begin(name), [make], tmp_path / name, tmp_path / "out"))
    lending.offer(2)

    assert [wait(pid) for pid in pids] == [0, 0]

    assert (witness.begun(), witness.most_at_once()) == (12, 4)
    assert lending.used() == 0


@pytest.mark.parametrize("style", STYLES)
def test_a_make_that_is_killed_costs_the_next_nothing(lend, tmp_path, style):
    make = make_for(style)
    lending = lend(style=STYLES[style])
    access = lending.begin("killed")
    lending.offer(2)
    (tmp_path / "Makefile").write_text("all: a b c d\na b c d:\n\t@echo + >> begun; sleep 1000\n")
    pid = start("program", access, [make], tmp_path, tmp_path / "out")
    wait_until(lambda: lending.used() == 2)
    os.killpg(pid, signal.SIGKILL)
    assert wait(pid) == -signal.SIGKILL
    lending.end("killed")
    witness = Witness(tmp_path, together=3)
    makefile(tmp_path, witness)
    access = lending.begin("next")
    lending.offer(2)

    assert wait(start("program", access, [make], tmp_path, tmp_path / "out")) == 0

    assert (witness.begun(), witness.most_at_once()) == (10, 3)


@pytest.mark.parametrize("style", STYLES)
def test_a_busy_make_gives_back_what_is_owed(lend, tmp_path, style):
    make = make_for(style)
    lending = lend(style=STYLES[style])
    access = lending.begin("job")
    lending.offer(3)
    # Each recipe waits until it is told to go on.
    names = [f"t{number}" for number in range(6)]
    (tmp_path / "Makefile").write_text(
        f"all: {' '.join(names)}\n{' '.join(names)}:\n\t@echo + >> begun; while [ ! -e go ]; do sleep 0.02; done\n"
    )
    pid = start("program", access, [make], tmp_path, tmp_path / "out")
    wait_until(lambda: lending.used() == 3)
    assert lending.offer(0) == 3
    assert lending.is_owed

    (tmp_path / "go").touch()
    while lending.is_owed:
        assert is_readable(lending.fileno(), 60_000)
        lending.offer(0)

    assert wait(pid) == 0
    assert lending.lent == 0
    assert (tmp_path / "begun").read_text().count("+") == 6


@pytest.mark.parametrize("way", ["python", "program"])
def test_ninja_runs_as_many_commands_as_it_may_and_never_more(lend, tmp_path, way):
    ninja = newer_ninja()
    lending = lend()
    access = lending.begin("job")
    lending.offer(2)
    witness = Witness(tmp_path, together=3)
    edges = "".join(f"build t{number}: stamp\n" for number in range(10))
    (tmp_path / "build.ninja").write_text(f"rule stamp\n  command = sh {witness.script} && touch $out\n{edges}")

    code = wait(start(way, access, [ninja], tmp_path, tmp_path / "out"))

    assert code == 0, (tmp_path / "out").read_text()
    assert (witness.begun(), witness.most_at_once()) == (10, 3)
    assert lending.used() == 0


@pytest.mark.parametrize("style", STYLES)
def test_cargo_runs_as_many_compilers_as_it_may_and_never_more(lend, tmp_path, style):
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("no cargo here")
    lending = lend(style=STYLES[style])
    access = lending.begin("job")
    lending.offer(1)
    witness = Witness(tmp_path, together=2)
    members = [f"part{number}" for number in range(4)]
    (tmp_path / "Cargo.toml").write_text(f'[workspace]\nresolver = "2"\nmembers = {members}\n'.replace("'", '"'))
    for name in members:
        (tmp_path / name / "src").mkdir(parents=True)
        (tmp_path / name / "Cargo.toml").write_text(
            f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n'
        )
        (tmp_path / name / "src" / "lib.rs").write_text("pub fn one() -> u32 { 1 }\n")
    wrapper = tmp_path / "wrapper.sh"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *"--crate-name part"*) sh {witness.script};; esac\nexec "$@"\n')
    wrapper.chmod(0o755)
    settings = {"RUSTC_WRAPPER": str(wrapper), "CARGO_TARGET_DIR": str(tmp_path / "target")}

    code = wait(start("python", access, [cargo, "build", "--offline"], tmp_path, tmp_path / "out", settings))

    said = (tmp_path / "out").read_text()
    assert code == 0, said
    assert "jobserver" not in said
    assert (witness.begun(), witness.most_at_once()) == (4, 2)
    assert lending.used() == 0


@pytest.mark.parametrize("way", ["python", "program"])
def test_gcc_optimizes_as_many_parts_as_it_may_at_link_time_and_never_more(lend, tmp_path, way):
    gcc, make = shutil.which("gcc"), make_for("descriptors")
    if gcc is None:
        pytest.skip("no gcc here")
    lending = lend(style=Style.DESCRIPTORS)
    access = lending.begin("job")
    lending.offer(2)
    witness = Witness(tmp_path, together=3)
    for name in "abcde":
        (tmp_path / f"{name}.c").write_text(f"int {name}(int x) {{ return x * {ord(name)}; }}\n")
    (tmp_path / "main.c").write_text("int a(int), e(int);\nint main(void) { return a(0) + e(0); }\n")
    # gcc has make run the parts, as this says; each by a shell that tells of it.
    shell, wrapped = tmp_path / "shell.sh", tmp_path / "make.sh"
    shell.write_text(f'#!/bin/sh\nsh {witness.script}\nexec /bin/sh "$@"\n')
    wrapped.write_text(f'#!/bin/sh\nexec {make} SHELL={shell} "$@"\n')
    for each in (shell, wrapped):
        each.chmod(0o755)
    sources = ["main.c", *(f"{name}.c" for name in "abcde")]
    command = [gcc, "-flto=jobserver", "-flto-partition=1to1", *sources, "-o", "linked"]

    code = wait(start(way, access, command, tmp_path, tmp_path / "out", {"MAKE": str(wrapped)}))

    assert (code, (tmp_path / "out").read_text()) == (0, "")
    # Of each part there are two lines.
    assert (witness.begun(), witness.most_at_once()) == (12, 3)
    assert lending.used() == 0


def test_make_keeps_the_flags_and_variables_that_the_user_gave(lend, tmp_path):
    make = make_for("descriptors")
    lending = lend(style=Style.DESCRIPTORS)
    (tmp_path / "Makefile").write_text("all: bad good\nbad: ; @false\ngood: ; @echo '[$(X)]'\n")
    environment = {"MAKEFLAGS": r"k -j7 -- X=a\ b$$$$c"}

    code = wait(start("program", lending.begin("job"), [make], tmp_path, tmp_path / "out", environment))

    said = (tmp_path / "out").read_text()
    assert code == 2
    assert "[a b" in said
    assert "warning" not in said


def test_no_folder_is_left_in_tmp(tmp_path, monkeypatch):
    """Beside those that other programs make there."""
    made = []
    really = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **settings: made.append(really(**settings)) or made[-1])
    folder = tmp_path / "with blank"
    folder.mkdir()
    lending = Lending(str(folder), 3, Style.FIFO)
    for _ in range(3):
        lending.begin("job")
        lending.end("job")
    lending.close()

    assert len(made) == 1
    assert not os.path.exists(made[0])
