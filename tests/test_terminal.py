"""The live display on a real terminal: what is announced stays above, what is drawn is renewed below."""

import contextlib
import os
import select
import subprocess
import termios
import threading
import time

import pytest
from streams import BEGAN_AT, FAILURE, board_after, ended, grew, many, outputs, started
from terminals import Screen, set_size

from pipegraph.events import JobFailed, StopRequested, Warned
from pipegraph.model import Counts
from pipegraph.watchers.announcements import Announcements
from pipegraph.watchers.region import Region
from pipegraph.watchers.terminal import FIRST_SECONDS, FRAME_SECONDS, Terminal


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Typed:
    text, cursor, candidates = "", 0, ()


class Sitting:
    """A terminal, a display on it, and its screen."""

    def __init__(self, board, columns=80, rows=24, encoding="utf-8"):
        self.end, self.other = os.openpty()
        set_size(self.other, columns, rows)
        self.screen = Screen(columns, rows)
        self.stream = os.fdopen(os.dup(self.other), "w", encoding=encoding, errors="backslashreplace")
        self.clock = Clock()
        self.board = board
        self.terminal = Terminal(board, Announcements(board, False, "logs"), self.stream, self.clock, lambda: BEGAN_AT)

    def read(self):
        while select.select([self.end], [], [], 0)[0]:
            self.screen.feed(os.read(self.end, 65536))
        return self.screen

    def later(self, seconds=10.0):
        self.clock.now += seconds
        self.terminal.tick(self.clock.now)
        return self.read()

    def see(self, *events):
        for event in events:
            self.board.see(event)
            self.terminal.see(event)
        return self.read()

    def resize(self, columns, rows):
        set_size(self.other, columns, rows)
        self.screen.screen.resize(rows, columns)

    def close(self):
        self.terminal.close()
        self.stream.close()
        for descriptor in (self.end, self.other):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def sit():
    made = []

    def begin(*events, **how):
        made.append(Sitting(board_after(*events), **how))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def test_a_run_that_is_over_at_once_gets_its_summary_and_no_display(sit):
    here = sit(grew(*outputs("a")))
    assert not here.later(FIRST_SECONDS / 2).raw
    here.see(ended(0.1, Counts(made=1)))

    assert here.later().lines == ["pipegraph: 1 made in 0.1 s"]
    here.terminal.close()
    assert here.read().lines == ["pipegraph: 1 made in 0.1 s"]


def test_the_display_is_renewed_in_place(sit):
    here = sit(grew(*outputs("a", "b")))
    for job in ("a", "b"):
        here.later()
        here.board.see(started(job))
    screen = here.later()

    assert screen.text.count("analysis.py") == 1
    assert "2 running" in screen.text
    assert len(screen.lines) == 6


def test_announcements_stay_above_it(sit):
    names = [f"a{n}" for n in range(40)]
    here = sit(grew(*outputs(*names)))
    here.later()
    for name in names[:8]:
        here.see(started(name), JobFailed(name, FAILURE))
        here.later()
    screen = here.see(Warned("careful"))

    text = screen.text
    assert [name for name in names if f"failed {name} " in text] == names[:8]
    assert text.index("careful") < text.index("analysis.py \u00b7")
    assert text.count("analysis.py \u00b7") == 1


def test_at_the_end_the_display_is_gone_and_the_summary_stands(sit):
    here = sit(grew(*outputs("a")), started("a"))
    here.later()
    here.see(StopRequested(2, False), ended(9.0, Counts(stopped=1), 2))
    assert here.later().lines[-1].startswith("    What was finished is kept")
    here.terminal.close()
    screen = here.read()

    assert screen.lines[0].startswith("pipegraph: stopping")
    assert screen.lines[-1].startswith("    What was finished is kept")
    assert "running" not in "\n".join(screen.lines[1:])
    assert screen.cursor == (len(screen.lines), 0)
    assert not screen.screen.cursor.hidden


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50), (40, 10), (20, 5), (10, 3), (5, 2), (1, 1)])
def test_the_display_never_makes_the_screen_scroll(sit, columns, rows):
    here = sit(*many(1000, 30, 0), columns=columns, rows=rows)
    here.board.cores = 64
    here.terminal.input_line = Typed()
    here.later()
    screen = here.later()

    assert not screen.screen.history.top
    assert len(screen.lines) <= max(1, min(rows - 1, rows // 2 + 3))
    assert max(map(len, screen.lines)) <= max(1, columns - 1)
    assert screen.cursor[0] < rows


def test_a_terminal_that_changes_its_size_is_followed_and_nothing_announced_is_lost(sit):
    here = sit(*many(1000, 30, 0), columns=120, rows=40)
    here.see(Warned("before"))
    for columns, rows in ((120, 45), (60, 45), (200, 50), (30, 50)):
        here.resize(columns, rows)
        here.later()
        here.see(Warned(f"now{columns}"))
    text = here.later().text

    assert all(word in text for word in ("before", "now120", "now60", "now200", "now30"))
    assert max(map(len, here.screen.screen.display)) <= 30


def test_what_is_typed_stands_in_the_last_line_with_the_cursor_in_it(sit):
    here = sit(grew(*outputs("a")))
    here.terminal.input_line = Typed()
    screen = here.later()
    assert screen.lines[-1].startswith("> Enter")
    assert screen.cursor == (len(screen.lines) - 1, 2)

    here.terminal.input_line.text, here.terminal.input_line.cursor = "why out/a", 4
    here.terminal.input_line.candidates = ["why out/a1", "why out/a2"]
    screen = here.later()
    assert screen.lines[-2:] == ["why out/a1  why out/a2", "> why out/a"]
    assert screen.cursor == (len(screen.lines) - 1, 6)


def test_a_terminal_that_takes_nothing_holds_up_nobody_and_gets_the_rest_later(sit):
    here = sit(*many(1000, 30, 0))
    for number in range(300):  # far more than a terminal holds
        here.terminal.print([])
        here.terminal._region.print(f"announced {number}\n" + "x" * 70 + "\n")
        here.clock.now += 10
        here.terminal.tick(here.clock.now)
    until = time.monotonic() + 20
    while "announced 299" not in here.read().text:
        assert time.monotonic() < until
        here.clock.now += 10
        here.terminal.tick(here.clock.now)

    found = [line for line in here.screen.lines if line.startswith("announced")]
    assert found == [f"announced {number}" for number in range(300)]


def test_a_terminal_that_is_gone_ends_the_drawing_and_nothing_else(sit):
    here = sit(*many(100, 3, 0))
    here.later()
    os.close(here.end)
    here.clock.now += 10
    here.terminal.tick(here.clock.now)
    here.board.see(JobFailed("x", FAILURE))
    here.terminal.see(JobFailed("x", FAILURE))
    here.terminal.close()


def test_a_terminal_that_is_gone_is_not_waited_for_at_the_end(sit, monkeypatch):
    here = sit(*many(100, 3, 0))
    os.close(here.end)
    here.clock.now += 10
    here.terminal.tick(here.clock.now)
    monkeypatch.delattr(select, "poll")

    here.terminal.close()


def test_without_utf_8_what_is_drawn_keeps_its_width_and_what_is_announced_its_letters(sit):
    here = sit(grew(*outputs("out/\u8a66.txt" * 10)), columns=60, encoding="ascii")
    here.board.see(started("out/\u8a66.txt" * 10))
    here.later()
    screen = here.see(Warned("see out/\u8a66.txt"))

    assert "see out/\\u8a66.txt" in screen.text
    assert "0.0 s" not in screen.text
    assert all(ord(letter) < 128 for letter in screen.text)
    assert not screen.screen.history.top


def test_what_is_announced_has_its_colour_and_is_there_to_be_copied(sit):
    here = sit()
    path = "/".join(["a_long_name"] * 20)
    here.see(Warned(path))

    assert f"\x1b[33mpipegraph: warning: {path}\x1b[0m".encode() in here.screen.raw


def test_no_color_is_respected(sit, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    here = sit(*many(100, 3, 1))
    here.later()
    here.see(JobFailed("x", FAILURE), ended(1.0, Counts(failed=1)))

    assert b"\x1b[3" not in here.screen.raw
    assert b"\x1b[9" not in here.screen.raw


def test_it_is_drawn_so_seldom_that_it_costs_a_hundredth(sit):
    """A frame that takes long puts off the next."""
    here = sit(*many(10, 1, 0))
    inner = here.terminal._frame

    def slow_frame():
        here.clock.now += 0.1
        return inner()

    here.terminal._frame = slow_frame
    here.later()

    assert here.terminal.next_frame - here.clock.now == pytest.approx(10.0)
    here.terminal._frame = inner
    here.later(10.1)
    assert here.terminal.next_frame - here.clock.now == pytest.approx(FRAME_SECONDS)


def test_a_fork_does_not_draw(sit):
    here = sit(*many(10, 1, 0))
    here.later()
    before = len(here.read().raw)
    pid = os.fork()
    if pid == 0:
        here.terminal.close()
        os._exit(0)
    os.waitpid(pid, 0)

    assert len(here.read().raw) == before


def test_the_scripts_own_descriptor_stays_as_it_was(sit):
    here = sit(*many(10, 1, 0))
    here.later()

    assert os.get_blocking(here.stream.fileno())


@contextlib.contextmanager
def a_region(columns=80, rows=24, encoding="utf-8", reads_from=None):
    """A region, and what its terminal has got."""
    end, other = os.openpty()
    set_size(other, columns, rows)
    with os.fdopen(other, "w", encoding=encoding) as stream:
        region = Region(stream)

        def read():
            found = b""
            while select.select([end], [], [], 0)[0]:
                found += os.read(end, 65536)
            return found

        yield region, read
        region.close_in_fork()
    os.close(end)


def until_shown(region, read, word):
    """What came up to and with this."""
    shown, give_up_at = read(), time.monotonic() + 20
    while word not in shown:
        assert time.monotonic() < give_up_at
        region.refresh()
        shown += read()
    return shown


def test_of_more_than_a_terminal_may_be_behind_the_rest_is_dropped_and_then_it_goes_on():
    with a_region() as (region, read):
        for number in range(4000):
            region.print(f"{number:04}" + "x" * 996 + "\n")
        shown = until_shown(region, read, b"1046x")  # a million letters
        give_up_at = time.monotonic() + 20
        while b"goes on" not in shown:
            assert time.monotonic() < give_up_at
            region.print("goes on\n")
            shown += read()

        assert b"3999x" not in shown


def test_what_was_printed_is_counted_only_until_it_is_out():
    with a_region() as (region, read):
        for number in range(1500):
            region.print(f"{number:04}" + "x" * 996 + "\n")
            until_shown(region, read, f"{number:04}x".encode())


def test_at_the_end_a_slow_terminal_gets_what_is_left():
    with a_region() as (region, read):
        for number in range(100):
            region.print(f"{number} " + "x" * 1000 + "\n")
        shown = []
        reader = threading.Thread(target=lambda: [shown.append(read()) or time.sleep(0.001) for _ in range(200)])
        reader.start()
        region.close()
        reader.join()

        assert b"\n99 xxx" in b"".join(shown)


def test_at_the_end_a_terminal_that_takes_nothing_is_not_waited_for_for_ever():
    with a_region() as (region, read):
        for _ in range(100):
            region.print("x" * 1000 + "\n")
        region.close()

        assert read().count(b"x" * 1000) < 100


def test_programs_that_the_script_starts_do_not_get_the_descriptor():
    with a_region() as (region, _):
        name = os.ttyname(region._own)
        inherited = subprocess.run(
            ["ls", "-l", "/proc/self/fd"], stdin=subprocess.DEVNULL, capture_output=True, text=True, close_fds=False
        )

    assert "/dev/null" in inherited.stdout
    assert f"{name}\n" not in inherited.stdout


def test_a_region_leaves_no_descriptor_behind():
    before = len(os.listdir("/proc/self/fd"))
    with a_region():
        assert len(os.listdir("/proc/self/fd")) == before + 3

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_terminal_of_no_size_is_taken_for_an_ordinary_one():
    with a_region(0, 0) as (region, _):
        assert region.size() == (80, 24)
    with a_region(100, 50) as (region, _):
        assert region.size() == (100, 50)


def test_what_is_drawn_keeps_its_width_in_any_encoding_and_what_is_printed_its_letters():
    with a_region(encoding="ascii") as (region, read):
        region.print("\u8a66\n")
        region.draw(["\u8a66"], 0)
        shown = read()

    assert b"\\u8a66" in shown
    assert shown.count(b"\\u8a66") == 1
    assert b"?" in shown


def test_where_others_wrote_below_it_the_next_frame_goes_below_that():
    screen = Screen()
    with a_region() as (region, read):
        region.draw(["one", "two"], 0)
        screen.feed(read() + b"\r\nfrom elsewhere\r\n")
        region.leave()
        region.draw(["three", "four"], 0)
        screen.feed(read())

    assert screen.lines == ["one", "two", "from elsewhere", "three", "four"]


@pytest.fixture
def refused(monkeypatch):
    """No terminal can be opened anew."""

    def refuse(*arguments, **more):
        raise OSError

    monkeypatch.setattr(os, "open", refuse)
    yield
    monkeypatch.undo()


def test_a_region_whose_terminal_can_not_be_opened_anew_draws_on_the_scripts_own(refused):
    with a_region() as (region, read):
        region.draw(["one", "two"], 1)

        assert b"one" in read()
        region.close()
        assert read()


@pytest.mark.timeout(20)
def test_a_scripts_own_descriptor_is_not_written_to_while_it_takes_nothing(refused):
    with a_region() as (region, read):
        termios.tcflow(region._descriptor, termios.TCOOFF)  # Ctrl-S
        region.print("later\n")
        assert not read()
        termios.tcflow(region._descriptor, termios.TCOON)

        assert until_shown(region, read, b"later")


@pytest.mark.timeout(20)
def test_a_terminal_without_a_name_here_holds_up_nobody(monkeypatch):
    """As in a container that was given the terminal of its host (ttyname(3), ENODEV)."""

    def refuse(descriptor):
        raise OSError

    monkeypatch.setattr(os, "ttyname", refuse)
    with a_region() as (region, read):
        for _ in range(100):
            region.print("x" * 1000 + "\n")

        assert 0 < read().count(b"x" * 1000) < 100
