"""A run that make started takes no more cores than make has, and gives back each, however it ends."""

from __future__ import annotations

import fcntl
import gc
import os
import select
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
from builds import SECONDS, Witness, make_for, wait

from pipegraph.machine.under_make import Borrowing

ROOT = Path(__file__).parent.parent
STYLES = ["fifo", "descriptors"]


class Pipe:
    """A jobserver's pipe, as the make that owns it sees it."""

    def __init__(self, folder: Path, tokens: bytes) -> None:
        self.path = str(folder / "pipe")
        os.mkfifo(self.path)
        self.end = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        os.write(self.end, tokens)

    def inside(self) -> bytes:
        """What is there; it stays there."""
        try:
            found = os.read(self.end, 10_000)
        except BlockingIOError:
            return b""
        os.write(self.end, found)
        return found


@pytest.fixture
def pipe(tmp_path):
    made = []

    def make(tokens):
        made.append(Pipe(tmp_path, tokens))
        return made[-1]

    yield make
    for each in made:
        os.close(each.end)


@pytest.fixture
def borrow():
    """From a pipe; sees that nothing stays open."""
    made = []
    files = len(os.listdir("/proc/self/fd"))

    def from_pipe(pipe, jobs="-j4"):
        borrowing, reason = Borrowing.from_environment({"MAKEFLAGS": f" {jobs} --jobserver-auth=fifo:{pipe.path}"})
        assert borrowing is not None, reason
        made.append(borrowing)
        return borrowing

    yield from_pipe
    for each in made:
        each.close()
        each.close()
    assert len(os.listdir("/proc/self/fd")) <= files + 1  # that of the pipe itself, which may have been made later


# --- claims


def test_the_first_core_is_the_runs_own(pipe, borrow):
    source = pipe(b"")
    borrowing = borrow(source)

    assert borrowing.claim(1)
    assert not borrowing.claim(1)
    borrowing.release(1)
    assert borrowing.claim(1)
    assert borrowing.held == 0


def test_each_further_core_is_a_token_and_goes_back_as_it_was(pipe, borrow):
    source = pipe(b"abc")
    borrowing = borrow(source)

    assert borrowing.claim(1)
    assert source.inside() == b"abc"
    assert borrowing.claim(2)
    assert source.inside() == b"c"
    borrowing.release(1)
    assert sorted(source.inside()) == sorted(b"bc") or sorted(source.inside()) == sorted(b"ac")
    borrowing.release(2)

    assert sorted(source.inside()) == sorted(b"abc")


def test_a_claim_is_granted_in_full_or_changes_nothing(pipe, borrow):
    source = pipe(b"ab")
    borrowing = borrow(source)

    assert not borrowing.claim(4)
    assert (source.inside(), borrowing.held) == (b"ab", 0)
    assert borrowing.claim(3)
    assert (source.inside(), borrowing.held) == (b"", 2)


def test_what_another_client_was_faster_with_leaves_nothing_half_taken(pipe, borrow, monkeypatch):
    source = pipe(b"a")
    borrowing = borrow(source)
    monkeypatch.setattr(borrowing, "_inside", lambda: 2)  # there were two when it looked

    assert not borrowing.claim(3)

    assert (source.inside(), borrowing.held) == (b"a", 0)
    assert borrowing.claim(2)


def test_two_runs_that_want_more_than_is_left_do_not_hold_each_other_up(pipe, borrow):
    source = pipe(b"ab")
    one, other = borrow(source), borrow(source)
    assert one.claim(2)
    assert not other.claim(3)
    assert one.claim(1)

    one.release(3)

    assert other.claim(3)


def test_a_job_that_could_wait_for_ever_gets_what_there_is(pipe, borrow):
    source = pipe(b"")
    borrowing = borrow(source)
    assert not borrowing.claim(2)

    assert borrowing.claim_some(2) == 1
    assert borrowing.claim_some(2) == 0


def test_a_job_that_wants_all_gets_no_more_than_it_asked_for(pipe, borrow):
    source = pipe(b"abcde")
    borrowing = borrow(source)

    assert borrowing.claim_some(4) == 4

    assert source.inside() == b"de"


def test_a_refused_run_is_woken_by_a_token(pipe, borrow):
    source = pipe(b"")
    borrowing = borrow(source)
    assert borrowing.claim(1)
    assert not borrowing.claim(1)
    waiting = select.poll()
    waiting.register(borrowing.fileno(), select.POLLIN)
    assert borrowing.next_look() is None
    assert not waiting.poll(0)

    os.write(source.end, b"+")

    assert waiting.poll(0)
    assert borrowing.claim(1)


def test_a_run_that_wants_several_looks_again_and_is_not_woken_by_each(pipe, borrow):
    source = pipe(b"a")
    borrowing = borrow(source)

    assert not borrowing.claim(3)

    until = borrowing.next_look()
    assert until is not None and until > time.monotonic() - SECONDS
    os.write(source.end, b"b")
    assert borrowing.claim(3)
    assert borrowing.next_look() is None


def test_a_thousand_tokens(pipe, borrow):
    source = pipe(bytes(range(250)) * 4)
    borrowing = borrow(source, "-j1001")

    assert borrowing.most == 1001
    assert borrowing.claim(1001)
    assert not borrowing.claim(1)
    borrowing.release(1001)

    assert sorted(source.inside()) == sorted(bytes(range(250)) * 4)


def test_a_pipe_that_is_full_keeps_no_run_waiting(pipe, borrow):
    source = pipe(b"a")
    borrowing = borrow(source)
    assert borrowing.claim(2)
    try:
        while True:
            os.write(source.end, b"x" * 4096)
    except BlockingIOError:
        pass

    borrowing.release(2)

    assert borrowing.held == 0


# --- ends


def test_all_goes_back_when_it_is_closed_or_forgotten(pipe, borrow):
    source = pipe(b"ab")
    borrowing = borrow(source)
    assert borrowing.claim(3)
    borrowing.close()
    assert sorted(source.inside()) == sorted(b"ab")
    files = len(os.listdir("/proc/self/fd"))
    forgotten, _ = Borrowing.from_environment({"MAKEFLAGS": f" --jobserver-auth=fifo:{source.path}"})
    assert forgotten.claim(3)
    assert source.inside() == b""

    del forgotten
    gc.collect()

    assert sorted(source.inside()) == sorted(b"ab")
    assert len(os.listdir("/proc/self/fd")) == files


@pytest.mark.parametrize("way", ["close_in_fork", "close", "forgotten", "exit"])
def test_a_fork_gives_nothing_back(pipe, borrow, way):
    source = pipe(b"ab")
    borrowing = borrow(source)
    number = borrowing.fileno()
    assert borrowing.claim(3)

    pid = os.fork()
    if pid == 0:
        try:
            if way == "close_in_fork":
                borrowing.close_in_fork()
                borrowing.release(3)
                borrowing.close()
            elif way == "close":
                borrowing.close()
            elif way == "exit":
                weakref.finalize._exitfunc()
            else:
                del borrowing
                gc.collect()
            is_open = os.path.exists(f"/proc/self/fd/{number}")
            os._exit(1 if is_open and way == "close_in_fork" else 0)
        except BaseException:
            os._exit(2)

    assert wait(pid) == 0
    assert source.inside() == b""
    borrowing.release(3)
    assert sorted(source.inside()) == sorted(b"ab")


# --- what can't be used


@pytest.mark.parametrize("flags", ["", "k", " -j1", " -j", " -j4 -- X=1", " -- --jobserver-auth=3,4"])
def test_without_a_jobserver_there_is_nothing_to_say(flags):
    assert Borrowing.from_environment({"MAKEFLAGS": flags}) == (None, "")
    assert Borrowing.from_environment({}) == (None, "")


@pytest.mark.parametrize(
    ("auth", "reason"),
    [
        ("fifo:{folder}/gone", "is gone"),
        ("fifo:{folder}/file", "is no pipe"),
        ("fifo:", "is gone"),
        ("-2,-2", "recipe of make that begins with +"),
        ("700,701", "recipe of make that begins with +"),
        ("99999999999999999999,4", "recipe of make that begins with +"),
        ("{file},{file}", "recipe of make that begins with +"),
        ("{reader},{file}", "recipe of make that begins with +"),
        ("{reader},{other}", "recipe of make that begins with +"),
        ("3", "is no way to it"),
        ("3,4,5", "is no way to it"),
        ("three,four", "is no way to it"),
        ("", ""),
    ],
)
def test_what_is_no_jobserver_is_told_and_left_alone(tmp_path, auth, reason):
    (tmp_path / "file").write_text("")
    file = os.open(tmp_path / "file", os.O_RDWR)
    reader, writer = os.pipe()
    reader_of_another, other = os.pipe()
    files = os.listdir("/proc/self/fd")
    auth = auth.format(folder=tmp_path, file=file, reader=reader, other=other)

    borrowing, said = Borrowing.from_environment({"MAKEFLAGS": f" -j2 --jobserver-auth={auth}"})

    assert borrowing is None
    assert reason in said and bool(reason) == said.startswith("make's jobserver can't be used: ")
    assert "\n" not in said
    assert os.listdir("/proc/self/fd") == files
    for each in (file, reader, writer, reader_of_another, other):
        os.close(each)


def test_how_the_pipe_behaves_for_others_stays_as_it_was():
    reader, writer = os.pipe()
    os.write(writer, b"ab")

    borrowing, _ = Borrowing.from_environment({"MAKEFLAGS": f" -j3 --jobserver-auth={reader},{writer}"})
    assert borrowing.claim(3)
    assert not borrowing.claim(1)

    assert not fcntl.fcntl(reader, fcntl.F_GETFL) & os.O_NONBLOCK
    assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK
    borrowing.close()
    assert sorted(os.read(reader, 10)) == sorted(b"ab")
    os.close(reader)
    os.close(writer)


# --- under a real make

CLIENT = """\
import os, signal, sys, time
from pipegraph.machine.under_make import Borrowing
borrowing, reason = Borrowing.from_environment(os.environ)
"""


def run_make(style: str, folder: Path, recipe: str, client: str, *words: str, targets: str = "all") -> tuple[int, str]:
    """What make returned, and all that it and the client said."""
    make = make_for(style)
    (folder / "client.py").write_text(CLIENT + client)
    (folder / "Makefile").write_text(f"{targets}:\n\t{recipe}{sys.executable} client.py $@\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ran = subprocess.run(
        [make, "--no-print-directory", *words, *targets.split()],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return ran.returncode, ran.stdout


@pytest.mark.parametrize("style", STYLES)
def test_a_recipe_of_make_may_use_as_many_cores_as_make(tmp_path, style):
    client = "print(borrowing.most, borrowing.claim(4), borrowing.claim(3), borrowing.claim(1))\n"

    code, said = run_make(style, tmp_path, "@+", client, "-j3")

    assert (code, said) == (0, "3 False True False\n")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(3)", 2),
        ("raise ValueError('as planned')", 2),
        ("raise KeyboardInterrupt", None),
        ("borrowing.close()", 0),
        ("pass", 0),
    ],
)
def test_make_gets_back_all_however_the_run_ends(tmp_path, style, end, code):
    """make counts them when it ends, and says if some are missing."""
    returned, said = run_make(style, tmp_path, "@+", f"assert borrowing.claim(3)\n{end}\n", "-j3")

    assert code is None or returned == code
    assert "jobserver tokens" not in said


@pytest.mark.parametrize("style", STYLES)
def test_make_would_say_that_some_are_missing(tmp_path, style):
    """What the test above relies on; and nobody can give back what a killed run held."""
    client = "assert borrowing.claim(3)\nos.kill(os.getpid(), signal.SIGKILL)\n"

    _, said = run_make(style, tmp_path, "@+", client, "-j3")

    assert "jobserver tokens" in said


@pytest.mark.parametrize("style", STYLES)
def test_runs_and_recipes_side_by_side_never_use_more_than_make_has(tmp_path, style):
    """Three runs, each with four jobs, under make -j3."""
    witness = Witness(tmp_path, together=3)
    client = f"""\
import select, subprocess
running, left = [], 4
while left or running:
    while left and borrowing.claim(1):
        running.append(subprocess.Popen(["sh", {str(witness.script)!r}]))
        left -= 1
    ended = [each for each in running if each.poll() is not None]
    for each in ended:
        running.remove(each)
        borrowing.release(1)
    if not ended:
        time.sleep(0.01)
"""

    code, said = run_make(style, tmp_path, "@+", client, "-j3", targets="one two three")

    assert (code, said) == (0, "")
    assert (witness.begun(), witness.most_at_once()) == (12, 3)


def test_a_recipe_without_plus_is_told_so(tmp_path):
    code, said = run_make("descriptors", tmp_path, "@", "print(borrowing, reason)\n", "-j3")

    assert code == 0
    assert said == (
        "None make's jobserver can't be used: this is not run as a recipe of make that begins with + or names $(MAKE)\n"
    )


def test_a_recipe_of_a_newer_make_needs_no_plus(tmp_path):
    code, said = run_make("fifo", tmp_path, "@", "print(borrowing.claim(3), reason)\n", "-j3")

    assert (code, said) == (0, "True \n")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("word", ["-j1", "-j", "-k"])
def test_a_make_that_shares_nothing_is_no_jobserver(tmp_path, style, word):
    code, said = run_make(style, tmp_path, "@+", "print(borrowing, [reason])\n", word)

    assert (code, said) == (0, "None ['']\n")


@pytest.mark.parametrize("style", STYLES)
def test_ctrl_c_gives_back_all(tmp_path, style):
    """As far as make is there to take it: this process alone gets the signal."""
    client = "assert borrowing.claim(3)\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(100)\n"

    _, said = run_make(style, tmp_path, "-@+", client, "-j3")

    assert "KeyboardInterrupt" in said
    assert "jobserver tokens" not in said
