"""What is typed during a run: the line that is edited, and the terminal, which is left as it was found.

The terminals are real ones: each program has a session and a controlling terminal of its own, some below a shell.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import textwrap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import ROOT, wait_until

from pipegraph.keyboard import LineEditor
from pipegraph.keyboard.editor import MAX_CANDIDATES, MAX_CHARACTERS, MAX_HISTORY

WORDS = ["text", "texture", "tail", "tail -f", "überall"]
UP, DOWN, RIGHT, LEFT, DELETE = b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[3~"


def matching(text: str) -> list[str]:
    return [word for word in WORDS if word.startswith(text)]


# --- the line


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (b"why x", "why x|"),
        (b"\xc3\xbcber \xe2\x82\xac \xf0\x9f\x98\x80", "über € 😀|"),
        (b"a\xffb\xc3c\x80", "abc|"),
        (b"abc\x7f\x08", "a|"),
        (b"\x7fa", "a|"),
        (b"abc" + LEFT + b"\x7f", "a|c"),
        (b"abc" + LEFT * 9 + b"x" + RIGHT + b"y" + RIGHT * 9 + b"z", "xaybcz|"),
        (b"ab" + RIGHT * 3 + LEFT + b"x", "ax|b"),
        (b"abc\x1bOD\x1bODx\x1bOCy", "axby|c"),
        (b"abc" + LEFT * 2 + b"\x15", "|bc"),
        (b"abc" + LEFT * 2 + b"\x0b", "a|"),
        (b"one two  \x17", "one |"),
        (b"one two\x17\x17\x17", "|"),
        (b"one two" + LEFT * 4 + b"\x17", "| two"),
        (b"one two" + LEFT + b"\x17", "one |o"),
        (b"bc\x01a\x05d", "abcd|"),
        (b"bc\x1b[Ha\x1b[Fd", "abcd|"),
        (b"bc\x1bOHa\x1bOFd", "abcd|"),
        (b"bc\x1b[1~a\x1b[4~d", "abcd|"),
        (b"bc\x1b[7~a\x1b[8~d", "abcd|"),
        (b"abc\x01" + DELETE, "|bc"),
        (b"abc" + DELETE, "abc|"),
        (b"a\x00\x02\x04\x0c\x10\x1cb\xc2\x9bc\xc2\xadd", "abcd|"),
        (b"a\x1b[200~pasted text\x1b[201~b", "apasted textb|"),
        (b"a\x1b[15~\x1b[1;5C\x1b[?62;4c\x1b[<0;3;4M\x1bOPb", "ab|"),
        (b"a\x1b[[Ab", "ab|"),
        (b"a\x1btail", "atail|"),
        (b"a\x1b\x1b[Db", "b|a"),
        (b"a\x1b\x7f", "|"),
        (b"a\x1b[12", "a|"),
        (b"a\x1bOpen", "aOpen|"),
        (b"a\x1b[1\xc3\xbc", "a[1ü|"),
        (b"a\x1b[" + b"1" * 40 + b"~", "a[" + "1" * 40 + "~|"),
    ],
)
@pytest.mark.parametrize("is_cut", [False, True])
def test_keys_edit_the_line(typed: bytes, line: str, is_cut: bool) -> None:
    editor = LineEditor(matching)
    pieces = [bytes([each]) for each in typed] if is_cut else [typed]

    assert [editor.feed(piece) for piece in pieces] == [[]] * len(pieces)
    assert editor.text[: editor.cursor] + "|" + editor.text[editor.cursor :] == line


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (b"one\rtwo\nthree", ["one", "two"]),
        (b"\r\n", ["", ""]),
        (b"abc" + LEFT + b"\n", ["abc"]),
        (b"a\x1b\rb\r", ["a", "b"]),
        (b"a\x1b[1\rb\r", ["a[1", "b"]),
        (b"a\x1bO\rb\r", ["aO", "b"]),
        (b"one\rtwo\r" + UP + b"\r" + UP + UP + UP + b"\r", ["one", "two", "two", "one"]),
        (b"one\rdraft" + UP + b"!" + DOWN + b"\r", ["one", "draft"]),
        (b"one\r" + UP + b"!" + UP + DOWN + UP + b"\r", ["one", "one"]),
        (b"one\rtwo\r" + UP + UP + DOWN + b"\r", ["one", "two", "two"]),
        (b"one\r" + DOWN + b"x\r", ["one", "x"]),
        (b"one\rtwo\r" + UP + UP + b"\r" + DOWN + b"x\r", ["one", "two", "one", "x"]),
        (b"a\rb\rb\r\r" + UP + UP + b"\r", ["a", "b", "b", "", "a"]),
        (b"tex\t -n\r", ["text -n"]),
        (b"x" * (MAX_CHARACTERS + 5) + b"\r", ["x" * MAX_CHARACTERS]),
    ],
)
def test_enter_finishes_lines_and_up_recalls_them(typed: bytes, lines: list[str]) -> None:
    assert LineEditor(matching).feed(typed) == lines


PIECES = [UP, DOWN, LEFT, DELETE, b"\x1b[[A", b"\x1bO", b"\x1b[" + b"1" * 31, b"\t", b"\r", "tail ü 😀".encode()]


@given(st.lists(st.binary(max_size=6) | st.sampled_from(PIECES)), st.data())
def test_how_the_bytes_are_cut_makes_no_difference(typed: list[bytes], data: st.DataObject) -> None:
    whole, cut = LineEditor(matching), LineEditor(matching)
    text = b"".join(typed)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)))))

    expected = whole.feed(text)
    lines = [line for start, end in zip([0, *places], [*places, len(text)]) for line in cut.feed(text[start:end])]

    assert lines == expected
    assert (cut.text, cut.cursor, cut.candidates) == (whole.text, whole.cursor, whole.candidates)
    assert 0 <= cut.cursor <= len(cut.text)


def test_the_history_is_bounded() -> None:
    editor = LineEditor(matching)
    editor.feed(b"".join(b"%d\n" % number for number in range(MAX_HISTORY + 10)))

    assert editor.feed(UP * (MAX_HISTORY + 10) + b"\n") == ["10"]


@pytest.mark.parametrize(
    ("typed", "text", "candidates"),
    [
        (b"te\t", "text", ()),
        (b"text\t", "text", ("text", "texture")),
        (b"text\tu", "textu", ()),
        (b"text\t" + LEFT, "text", ()),
        (b"text\t\x1b[15~", "text", ()),
        (b"textu\t", "texture", ()),
        (b"texture\t", "texture", ()),
        (b"zzz\t", "zzz", ()),
        (b"\xc3\xbc\t", "überall", ()),
        (b"te x" + LEFT * 2 + b"\t", "text x", ()),
        (b"\t", "", ("text", "texture", "tail", "tail -f", "überall")),
    ],
)
def test_tab_completes_as_far_as_is_sure_and_offers_the_rest(
    typed: bytes, text: str, candidates: tuple[str, ...]
) -> None:
    editor = LineEditor(matching)
    editor.feed(typed)

    assert (editor.text, editor.candidates) == (text, candidates)


def test_candidates_that_would_harm_the_line_are_left_out() -> None:
    editor = LineEditor(lambda text: ["why a", "why a", "why \x1b[2J", "else", *(f"why {each}" for each in range(99))])

    editor.feed(b"why \t")

    assert len(editor.candidates) == MAX_CANDIDATES
    assert editor.candidates[:2] == ("why a", "why 0")


def test_a_completion_that_is_too_long_for_the_line_is_left_out() -> None:
    editor = LineEditor(lambda text: [text + "y" * MAX_CHARACTERS])

    editor.feed(b"x\t")

    assert editor.text == "x"


# --- the terminal

WITH_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)
"""In a new session: stdin becomes the terminal that controls it."""

PROGRAM = """
import os, select, signal, sys, termios, threading
from pipegraph.keyboard import Keyboard
from pipegraph.signals import Signals

def say(*what):
    os.write(1, ("<" + " ".join(map(str, what)) + ">\\n").encode())

def loop(is_live=True):
    '''As a run waits: for signals and for keys; what it sees it says.'''
    signals = Signals()
    keyboard = Keyboard.open(is_live, lambda text: [text + "!"])
    try:
        was = None
        while True:
            poll = select.poll()
            poll.register(signals.fileno(), select.POLLIN)
            descriptor = keyboard.fileno()
            if descriptor != -1:
                poll.register(descriptor, select.POLLIN)
            if (descriptor != -1) is not was:
                was = descriptor != -1
                say("front" if was else "behind")
            poll.poll(50)
            turned()
            signals.drain()
            if signals.received:
                raise SystemExit(signals.received[0])
            for line in keyboard.read():
                say("line", line)
                if line == "end":
                    return
                if line == "raise":
                    raise RuntimeError("raised")
                meet(line, keyboard)
            if not keyboard.is_open:
                ended(keyboard)
                return
    finally:
        keyboard.close()
        keyboard.close()
        signals.restore()

def turned(): pass
def meet(line, keyboard): pass
def ended(keyboard): say("closed", keyboard.fileno(), keyboard.read(), keyboard.is_in_front)
"""


class Terminal:
    """A terminal, and what runs in it."""

    def __init__(self, folder) -> None:
        self.master, self.slave = os.openpty()
        self.folder = folder
        self.shown = ""
        self.process: subprocess.Popen[bytes] | None = None
        # Otherwise Ctrl-C and Ctrl-Z throw away what was just printed, and the tests would wait for it in vain.
        mode = self.mode
        mode[3] |= termios.NOFLSH
        termios.tcsetattr(self.slave, termios.TCSANOW, mode)
        self.found = self.mode

    @property
    def mode(self):
        return termios.tcgetattr(self.slave)

    @property
    def is_taken(self) -> bool:
        """By us: shells that read keys have changed ICRNL as well."""
        mode = self.mode
        return not mode[3] & (termios.ICANON | termios.ECHO) and bool(mode[0] & termios.ICRNL)

    def start(self, *command: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm", "PS1": "$ ", "HISTFILE": os.devnull}
        self.process = subprocess.Popen(
            [sys.executable, "-c", WITH_TERMINAL, *command],
            cwd=self.folder,
            env=environment,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        )

    def run(self, text: str) -> None:
        """Start a program that has `loop` and `say`."""
        self.start(sys.executable, "-W", "error", "-c", PROGRAM + textwrap.dedent(text))

    def shell(self, text: str) -> None:
        """Start a shell with job control, beside a program to be started from it."""
        (self.folder / "script.py").write_text(PROGRAM + textwrap.dedent(text))
        self.start("bash", "--norc", "--noprofile", "-i")
        self.type(f"script='{sys.executable} -W error script.py'; echo re''ady\n")
        self.wait_for("ready")

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode(errors="surrogateescape"))

    def wait_for(self, text: str, seconds: float = 40.0) -> str:
        """What was shown up to and with this; the next wait looks behind it."""
        until = time.monotonic() + seconds
        while text not in self.shown:
            left = until - time.monotonic()
            assert left > 0, f"not shown: {text!r}, but: {self.shown!r}"
            if select.select([self.master], [], [], min(left, 1.0))[0]:
                self.shown += os.read(self.master, 4096).decode(errors="replace")
        before, found, self.shown = self.shown.partition(text)
        return before + found

    def wait_for_end(self) -> int:
        """Its exit code; what it prints is taken away meanwhile, since a program that can't print doesn't end."""
        assert self.process is not None
        wait_until(lambda: self.drain() or self.process.poll() is not None, "it did not end", 40.0)
        self.drain()
        return self.process.returncode

    def drain(self) -> None:
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 4096).decode(errors="replace")

    def wait_until_taken(self) -> None:
        wait_until(lambda: self.drain() or self.is_taken, "the terminal is not taken", 40.0)

    def asks(self, command: str) -> str:
        """What a command prints in the shell."""
        self.type(f"echo '<''<'; {command}; echo '>''>'\n")
        self.wait_for("<<")
        return self.wait_for(">>").removesuffix(">>").strip()

    def hang_up(self) -> None:
        for descriptor in (self.master, self.slave):
            if descriptor != -1:
                os.close(descriptor)
        self.master = self.slave = -1

    def end(self) -> None:
        """Everything in its session."""
        if self.process is not None:
            for entry in os.listdir("/proc"):
                try:
                    if entry.isdigit() and os.getsid(int(entry)) == self.process.pid:
                        os.kill(int(entry), signal.SIGKILL)
                except OSError:
                    pass
            self.process.wait()
        self.hang_up()


@pytest.fixture
def terminal(tmp_path):
    one = Terminal(tmp_path)
    try:
        yield one
    finally:
        one.end()


def test_keys_are_read_one_by_one_and_only_that_is_changed(terminal: Terminal) -> None:
    terminal.run("loop()")
    terminal.wait_for("<front>")
    taken = terminal.mode
    terminal.type("tex\x7f\x7fail\t\r")

    terminal.wait_for("<line tail!>")
    expected = terminal.found
    expected[3] &= ~(termios.ICANON | termios.ECHO)
    expected[6][termios.VMIN], expected[6][termios.VTIME] = 1, 0
    assert taken == expected
    assert not fcntl.fcntl(terminal.slave, fcntl.F_GETFL) & os.O_NONBLOCK


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize(
    ("typed", "code"),
    [("end\r", 0), ("raise\r", 1), ("\x03", signal.SIGINT), (signal.SIGTERM, signal.SIGTERM)],
    ids=["in good order", "exception", "Ctrl-C", "SIGTERM"],
)
def test_however_a_run_ends_the_terminal_is_as_it_was_found(
    terminal: Terminal, typed: str | signal.Signals, code: int, is_live: bool
) -> None:
    terminal.run(f"loop({is_live})")
    terminal.wait_for("<front>")
    assert terminal.is_taken is is_live

    if isinstance(typed, str):
        terminal.type(typed)
    else:
        terminal.process.send_signal(typed)

    assert terminal.wait_for_end() == code
    assert terminal.mode == terminal.found


def test_reading_never_waits_even_if_somebody_else_took_what_was_typed(terminal: Terminal) -> None:
    terminal.run("""
        def meet(line, keyboard): say("nothing", keyboard.read(), keyboard.is_open)
        loop()
    """)
    terminal.wait_for("<front>")
    terminal.type("read\r")

    terminal.wait_for("<nothing [] True>")


def test_an_unusual_mode_is_given_back_too(terminal: Terminal) -> None:
    mode = terminal.found
    mode[0] |= termios.IXOFF
    mode[3] &= ~(termios.ECHO | termios.ECHOE)
    mode[6][termios.VERASE], mode[6][termios.VMIN], mode[6][termios.VTIME] = b"\x08", b"\x05", b"\x07"
    termios.tcsetattr(terminal.slave, termios.TCSANOW, mode)
    found = terminal.mode
    terminal.run("loop()")
    terminal.wait_for("<front>")
    assert terminal.is_taken
    assert terminal.mode[6][termios.VTIME] == 0
    terminal.type("end\r")

    assert terminal.wait_for_end() == 0
    assert terminal.mode == found


def test_a_mode_that_another_program_left_in_between_is_not_kept(terminal: Terminal) -> None:
    terminal.run("""
        import subprocess
        def meet(line, keyboard):
            subprocess.run(["stty", "raw", "-echo"], check=True)
            say("changed")
        loop()
    """)
    terminal.wait_for("<front>")
    terminal.type("change\r")
    terminal.wait_for("<changed>")
    terminal.process.send_signal(signal.SIGTERM)

    terminal.wait_for_end()
    assert terminal.mode == terminal.found


def test_no_change_of_mode_waits_for_the_output(terminal: Terminal) -> None:
    """On a serial line or a console that Ctrl-S stopped it would wait for ever; pseudo-terminals never do."""
    terminal.run("""
        change = termios.tcsetattr
        def tcsetattr(descriptor, when, mode):
            changes.append(when)
            change(descriptor, when, mode)
        changes = []
        termios.tcsetattr = tcsetattr
        loop()
        say("at once", changes == [termios.TCSANOW] * 2)
    """)
    terminal.wait_for("<front>")
    terminal.type("end\r")

    terminal.wait_for("<at once True>")


def test_without_a_display_the_kernel_edits_the_lines(terminal: Terminal) -> None:
    terminal.run("""
        def meet(line, keyboard): say(keyboard.editor)
        loop(False)
    """)
    terminal.wait_for("<front>")
    assert terminal.mode == terminal.found
    terminal.type("tax\x7fi\x04\udcffl\n")

    terminal.wait_for("<line tail>")
    terminal.wait_for("<None>")
    terminal.type("\n")
    terminal.wait_for("<line >")
    terminal.type("\x04")
    terminal.wait_for("<closed -1 [] False>")
    assert terminal.wait_for_end() == 0


@pytest.mark.parametrize("is_live", [True, False])
def test_a_terminal_that_goes_away_closes_the_keyboard_for_good(terminal: Terminal, is_live: bool) -> None:
    terminal.run(f"""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        def say(*what):
            with open("said.txt", "a") as said:
                said.write(" ".join(map(str, what)) + "\\n")
        loop({is_live})
    """)
    said = terminal.folder / "said.txt"
    wait_until(lambda: said.exists() and said.read_text() == "front\n")

    terminal.hang_up()

    assert terminal.process.wait(40) == 0
    assert said.read_text() == "front\nclosed -1 [] False\n"


def test_what_was_typed_and_not_read_is_left_for_who_reads_next(terminal: Terminal) -> None:
    terminal.run("""
        def meet(line, keyboard):
            select.select([0], [], [])
            keyboard.close()
            say("read", sys.stdin.readline().strip())
            os._exit(0)
        loop()
    """)
    terminal.wait_for("<front>")
    terminal.type("first\r")
    terminal.wait_for("<line first>")
    terminal.type("second\r")

    terminal.wait_for("<read second>")


def test_a_fork_leaves_the_terminal_alone(terminal: Terminal) -> None:
    terminal.run("""
        def meet(line, keyboard):
            child = os.fork()
            if child == 0:
                say("child", keyboard.is_in_front, keyboard.fileno())
                keyboard.close()
                os._exit(signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL)
            say("forked", os.waitpid(child, 0)[1])
        loop()
    """)
    terminal.wait_for("<front>")
    terminal.type("fork\r")
    terminal.wait_for("<child False -1>")
    terminal.wait_for("<forked 0>")

    assert terminal.is_taken
    terminal.type("still read\r")
    terminal.wait_for("<line still read>")


def test_in_another_thread_keys_are_read_too(terminal: Terminal) -> None:
    terminal.run("""
        thread = threading.Thread(target=loop)
        thread.start()
        thread.join()
    """)
    terminal.wait_for("<front>")
    assert terminal.is_taken
    terminal.type("end\r")

    assert terminal.wait_for_end() == 0
    assert terminal.mode == terminal.found


def test_a_terminal_whose_keys_another_program_reads_is_left_to_it(terminal: Terminal) -> None:
    mode = terminal.found
    mode[3] &= ~termios.ICANON
    termios.tcsetattr(terminal.slave, termios.TCSANOW, mode)
    terminal.run("loop()")
    terminal.wait_for("<behind>")
    assert terminal.mode[3] & termios.ECHO
    mode[3] |= termios.ICANON
    termios.tcsetattr(terminal.slave, termios.TCSANOW, mode)

    terminal.wait_for("<front>")
    assert terminal.is_taken


@pytest.mark.parametrize(
    "change",
    [
        "sys.stdin = None",
        "sys.stdin.close()",
        "sys.stdin = __import__('io').StringIO()",
        "sys.stdin = object()",
        "sys.stdin = open('/dev/null')",
        "os.dup2(os.open('/dev/null', os.O_RDONLY), 0)",
        "os.close(0)",
        "os.environ['PYTEST_CURRENT_TEST'] = 'a test'",
        "sys.modules['ipykernel'] = sys",
        "os.fork() and os._exit(os.wait()[1]); os.setsid()",
    ],
)
def test_where_no_terminal_is_ours_there_is_no_keyboard(terminal: Terminal, change: str) -> None:
    terminal.run(f"""
        keyboard = Keyboard.open(True, lambda text: [])
        keyboard.close()
        {change}
        say("opened", keyboard is not None, Keyboard.open(True, lambda text: []))
    """)

    terminal.wait_for("<opened True None>")
    assert terminal.mode == terminal.found


# --- Ctrl-Z, fg, bg, &

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


@needs_bash
def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(terminal: Terminal) -> None:
    terminal.shell("meet = lambda line, keyboard: say('ready', callable(signal.getsignal(signal.SIGTSTP)))\nloop()")
    before = terminal.asks("stty -g")
    terminal.type("$script\n")
    terminal.wait_for("<front>")
    assert terminal.is_taken

    between = []
    for _ in range(2):
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        between.append(terminal.asks("stty -g"))
        terminal.type("fg\n")
        terminal.wait_until_taken()
    terminal.type("for another\r")
    terminal.wait_for("<ready True>")
    terminal.type("end\r")

    terminal.wait_for("<line end>")
    assert between == [before, before]
    assert terminal.asks("stty -g") == before


@needs_bash
def test_a_mode_that_was_set_during_ctrl_z_is_given_back(terminal: Terminal) -> None:
    terminal.shell("loop(); say('flow control', bool(termios.tcgetattr(0)[0] & termios.IXON))")
    terminal.type("$script\n")
    terminal.wait_for("<front>")
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    terminal.type("stty -ixon; fg\n")
    terminal.wait_until_taken()
    terminal.type("end\r")

    terminal.wait_for("<flow control False>")


@needs_bash
def test_in_the_background_it_neither_stops_nor_touches_the_terminal(terminal: Terminal) -> None:
    terminal.shell("turned = lambda: say('turn')\nloop()")
    before = terminal.asks("stty -g")
    terminal.type("$script & cat\n")
    terminal.wait_for("<behind>")
    for _ in range(3):
        terminal.wait_for("<turn>")
    canonical = terminal.mode[3] & termios.ICANON
    terminal.type("for cat\n\x04")
    terminal.wait_for("\nfor cat")
    between = terminal.asks("stty -g; jobs")
    terminal.type("fg\n")
    terminal.wait_for("<front>")
    assert terminal.is_taken
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    terminal.type("bg\n")
    terminal.wait_for("<behind>")
    after_bg = terminal.asks("stty -g; jobs")
    terminal.type("kill %1; wait\n")

    terminal.wait_for("Exit 15")
    assert canonical
    assert before in between
    assert "Running" in between
    assert before in after_bg
    assert "Running" in after_bg
    assert terminal.asks("stty -g") == before


@needs_bash
def test_after_a_stop_that_cannot_be_handled_it_takes_the_terminal_again(terminal: Terminal) -> None:
    terminal.shell("say('pid', os.getpid()); loop()")
    before = terminal.asks("stty -g")
    terminal.type("$script\n")
    pid = int(re.search(r"<pid (\d+)>", terminal.wait_for("<front>"))[1])
    os.killpg(os.getpgid(pid), signal.SIGSTOP)
    terminal.wait_for("Stopped")
    terminal.type("fg\n")
    terminal.wait_until_taken()
    terminal.type("end\r")

    terminal.wait_for("<line end>")
    assert terminal.asks("stty -g") == before


def test_ctrl_z_without_a_shell_to_go_back_to_changes_nothing(terminal: Terminal) -> None:
    terminal.run("loop()")
    terminal.wait_for("<front>")
    terminal.type("\x1aon\r")

    terminal.wait_for("<line on>")
    assert terminal.is_taken


@needs_bash
def test_ctrl_z_does_nothing_where_the_script_ignores_it(terminal: Terminal) -> None:
    terminal.shell("signal.signal(signal.SIGTSTP, signal.SIG_IGN)\nloop()")
    terminal.type("$script\n")
    terminal.wait_for("<front>")
    terminal.type("\x1aend\r")

    assert "Stopped" not in terminal.wait_for("<line end>")


@pytest.mark.parametrize(("own", "seen"), [("signal.SIG_IGN", "[]"), ("own_handler", "[True]")])
def test_the_scripts_own_answer_to_ctrl_z_is_respected(terminal: Terminal, own: str, seen: str) -> None:
    terminal.run(f"""
        seen = []
        def own_handler(number, frame):
            seen.append(bool(termios.tcgetattr(0)[3] & termios.ICANON))
        def continued(number, frame):
            say("continued")
        signal.signal(signal.SIGTSTP, {own})
        signal.signal(signal.SIGCONT, continued)
        files = len(os.listdir("/proc/self/fd"))
        loop()
        say("seen", seen)
        say("left open", len(os.listdir("/proc/self/fd")) - files)
        say("kept", signal.getsignal(signal.SIGTSTP) is {own}, signal.getsignal(signal.SIGCONT) is continued)
    """)
    terminal.wait_for("<front>")
    terminal.type("\x1aon\r")
    terminal.wait_for("<line on>")
    assert terminal.is_taken
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait_for("<continued>")
    terminal.type("end\r")

    terminal.wait_for(f"<seen {seen}>")
    terminal.wait_for("<left open 0>")
    terminal.wait_for("<kept True True>")
    assert terminal.mode == terminal.found


def test_ctrl_z_waits_until_a_change_of_mode_is_remembered(terminal: Terminal) -> None:
    terminal.run("""
        changing, seen = [], []
        signal.signal(signal.SIGTSTP, lambda number, frame: seen.append(bool(changing)))
        change = termios.tcsetattr
        def tcsetattr(*arguments):
            changing.append(True)
            if len(seen) < 2:
                signal.raise_signal(signal.SIGTSTP)
            change(*arguments)
            changing.clear()
        termios.tcsetattr = tcsetattr
        loop()
        say("in between", set(seen))
    """)
    terminal.wait_for("<front>")
    terminal.type("end\r")

    terminal.wait_for("<in between {False}>")
    assert terminal.wait_for_end() == 0
    assert terminal.mode == terminal.found


# --- after kill -9 of the master

KEEPER = """
import socket
from pipegraph.slaves.terminal import restore, saved_mode

def with_keeper(change=lambda: None):
    mode = saved_mode()
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        os.setsid()
        ours.close()
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        theirs.send(b"in a session of its own")
        theirs.recv(1)
        change()
        restore(mode)
        open("restored.txt", "w").close()
        os._exit(0)
    theirs.close()
    ours.recv(100)
    say("exec keeps it", os.get_inheritable(mode.descriptor))
    say("master", os.getpid())
    return ours
"""


def start_master(terminal: Terminal, text: str) -> None:
    """Below another program: the death of a session's first process would hang up the terminal."""
    (terminal.folder / "script.py").write_text(PROGRAM + KEEPER + textwrap.dedent(text))
    terminal.start("sh", "-c", '"$0" -W error script.py; read line', sys.executable)


def kill_master(terminal: Terminal) -> None:
    master = int(re.search(r"<master (\d+)>", terminal.shown)[1])
    os.kill(master, signal.SIGKILL)
    wait_until((terminal.folder / "restored.txt").exists, "the keeper is still there")


def test_after_kill_9_the_keeper_puts_the_terminal_back(terminal: Terminal) -> None:
    start_master(terminal, "held = with_keeper()\nloop()")
    terminal.wait_for("<exec keeps it False>")
    wait_until(lambda: terminal.drain() or terminal.is_taken)

    kill_master(terminal)

    assert terminal.mode == terminal.found
    terminal.wait_for("\x1b[?25h\x1b[0m")


def test_after_kill_9_a_shell_that_reads_keys_already_is_left_in_peace(terminal: Terminal) -> None:
    start_master(
        terminal,
        """
        import tty
        held = with_keeper(lambda: tty.setraw(2))
        loop()
        """,
    )
    wait_until(lambda: terminal.drain() or terminal.is_taken)

    kill_master(terminal)

    assert not terminal.mode[3] & termios.ICANON


def test_after_kill_9_a_terminal_that_ctrl_s_stopped_does_not_hold_up_the_keeper(terminal: Terminal) -> None:
    start_master(terminal, "held = with_keeper()\nloop()")
    wait_until(lambda: terminal.drain() or terminal.is_taken)
    termios.tcflow(terminal.slave, termios.TCOOFF)

    kill_master(terminal)

    assert terminal.mode == terminal.found


def test_after_kill_9_a_terminal_that_is_gone_does_not_hold_up_the_keeper(terminal: Terminal) -> None:
    start_master(terminal, "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nheld = with_keeper()\nsignal.pause()")
    wait_until(lambda: terminal.drain() or re.search(r"<master \d+>", terminal.shown))
    terminal.hang_up()

    kill_master(terminal)


@needs_bash
def test_after_kill_9_the_shell_has_its_terminal_as_before(terminal: Terminal) -> None:
    terminal.shell(KEEPER + "held = with_keeper()\nloop()")
    before = terminal.asks("stty -g")
    terminal.type("$script\n")
    wait_until(lambda: terminal.drain() or terminal.is_taken)
    kill_master(terminal)
    terminal.wait_for("Killed")

    terminal.type("echo edited by the shell xx\x7f\x7f: it'' works\n")
    terminal.wait_for("\redited by the shell : it works")
    assert terminal.asks("stty -g") == before


def test_where_stdin_is_no_terminal_nothing_is_imported_for_it() -> None:
    show = (
        "import sys, pipegraph; from pipegraph.slaves.terminal import saved_mode, restore; restore(saved_mode());"
        "print(sorted({'termios', 'pipegraph.keyboard'} & set(sys.modules)), saved_mode())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", show], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )

    assert answer.stdout == "[] None\n"
