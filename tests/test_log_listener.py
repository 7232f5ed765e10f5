"""Log lines by UDP: what a run sends, to where, and what the listener shows of it."""

import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import ROOT, Script, wait_until

import pipegraph as ppg
from pipegraph.watchers.udp import DATAGRAM_BYTES, UdpLines

ONE_JOB = """
ppg.new_pipegraph(log_port=%s)
ppg.FileGeneratingJob('a', lambda of: of.write_text('x'))
ppg.run_pipegraph()
"""


@pytest.fixture
def ear():
    """A socket that hears what is sent to its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.settimeout(0)
        yield one


def port_of(ear):
    return ear.getsockname()[1]


def heard(ear):
    """What has arrived: on this machine that is all that was sent."""
    parts = []
    try:
        while True:
            parts.append(ear.recv(65536))
    except BlockingIOError:
        return b"".join(parts).decode()


# --- what is sent


def test_lines_arrive_by_udp_in_bounded_datagrams_each_with_who_speaks(ear):
    lines = UdpLines(port_of(ear), "7 s.py")
    for n in range(100):
        lines.add(f"line {n} {'ä' * 50}\n")
    lines.add("x" * 3 * DATAGRAM_BYTES + "\n")
    lines.close()

    datagrams = []
    while True:
        try:
            datagrams.append(ear.recv(65536))
        except BlockingIOError:
            break
    assert len(datagrams) >= 3
    assert max(map(len, datagrams)) <= DATAGRAM_BYTES
    text = b"".join(datagrams).decode()
    assert all(line.startswith("[7 s.py] ") for line in text.splitlines())
    assert [line.split()[3] for line in text.splitlines()[:-1]] == [str(n) for n in range(100)]
    assert text.endswith("x…\n")


def test_nobody_need_listen(ear):
    port = port_of(ear)
    ear.close()
    lines = UdpLines(port, "7 s.py")
    for _ in range(3):
        lines.add("line\n")
        lines.send()
    lines.close()


def test_a_run_sends_the_lines_of_its_log_to_the_port_of_the_script(script: Script, ear):
    script.run(ONE_JOB % port_of(ear))

    who = f"[{script.begun[-1].pid} script.py] "
    log = (script.folder / "logs" / "ppg_run.txt").read_text()
    assert heard(ear) == "".join(who + line + "\n" for line in log.splitlines())


def test_the_environment_goes_before_the_script(script: Script, ear):
    script.environment["PIPEGRAPH_LOG_PORT"] = str(port_of(ear))
    script.run(ONE_JOB % "None")
    assert "made        a" in heard(ear)

    script.environment["PIPEGRAPH_LOG_PORT"] = "off"
    script.run(ONE_JOB % port_of(ear))
    assert heard(ear) == ""

    script.environment["PIPEGRAPH_LOG_PORT"] = ""
    script.run(ONE_JOB % port_of(ear))
    assert "up to date  a" in heard(ear)


def test_without_a_port_nothing_is_sent(script: Script):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        try:
            ear.bind(("127.0.0.1", 5005))
        except OSError:
            pytest.skip("somebody else listens on port 5005")
        ear.settimeout(0)
        script.run(ONE_JOB % "None")
        assert f"[{script.begun[-1].pid} script.py]" not in heard(ear)
        script.run(ONE_JOB.replace("log_port=%s", ""))
        assert f"[{script.begun[-1].pid} script.py]" in heard(ear)


@pytest.mark.parametrize("port", [0, -1, 65536, True, "5005", 5005.0])
def test_what_is_no_port_is_an_error_that_says_where(port, monkeypatch):
    monkeypatch.delenv("PIPEGRAPH_LOG_PORT", raising=False)
    with pytest.raises(ppg.JobContractError, match=r"log_port is not a port\n.*\n +where: +.*test_log_listener.py:\d+"):
        ppg.new_pipegraph(log_port=port)


@pytest.mark.parametrize("text", ["0", "65536", "-5", "none", "5005 5006", "²"])
def test_what_is_no_port_in_the_environment_is_an_error_that_names_it(text, monkeypatch):
    monkeypatch.setenv("PIPEGRAPH_LOG_PORT", text)
    with pytest.raises(ppg.JobContractError, match="PIPEGRAPH_LOG_PORT is not a port"):
        ppg.new_pipegraph()


# --- what is shown


class Listener:
    """The script, and where it prints to."""

    def __init__(self, folder: Path, *arguments: str, terminal: bool = False, **environment: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._terminal, stdout = pty.openpty() if terminal else (-1, os.open(folder / "out", os.O_CREAT | os.O_WRONLY))
        self._path = folder / "out"
        self._read = b""
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "util" / "log_listener.py"), "--port", str(self.port), *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "TERM": "xterm", **environment},
            # What a shell has put in the background ignores it, and so would this.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(stdout)
        if terminal:
            os.set_blocking(self._terminal, False)
        assert self.process.stderr is not None
        assert b"listening on port" in self.process.stderr.readline()

    @property
    def text(self) -> str:
        if self._terminal < 0:
            return self._path.read_text()
        with contextlib.suppress(BlockingIOError):
            self._read += os.read(self._terminal, 65536)
        return self._read.decode()

    def hear(self, *lines: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto("".join(line + "\n" for line in lines).encode(), ("127.0.0.1", self.port))

    def shows(self, *lines: str) -> list[str]:
        """Of these lines, sent in one datagram with a last one that is always shown."""
        last = "[9 one job.py] 2026-01-01 10:00:00 failed      last job because it raised"
        self.hear(*lines, last)
        wait_until(lambda: "last job" in self.text)
        return [line for line in self.text.splitlines() if "last job" not in line]

    def close(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(10)
        assert self.process.stderr is not None
        assert self.process.stderr.read() == b""
        self.process.stderr.close()
        if self._terminal >= 0:
            os.close(self._terminal)
        return code


@pytest.fixture
def listen(tmp_path):
    begun = []

    def start(*arguments, **more):
        begun.append(Listener(tmp_path, *arguments, **more))
        return begun[-1]

    yield start
    assert [each.close() for each in begun] == [0] * len(begun)


TIME = "2026-11-21 10:36:17"
MADE = f"[12 one.py] {TIME} made        out/a (one.py:7) in 0.100 s"
FAILED = f"[12 one.py] {TIME} failed      out/b (one.py:8) because it raised: ValueError: out/a"
UP_TO_DATE = f"[345 two.py] {TIME} up to date  out/a (two.py:7)"
WARNING = f"[345 two.py] {TIME} warning     out/c (two.py:9) is failed  "
DIED = f"[345 two.py] {TIME} slave died  process 7, 1 in a row"
ALL = [MADE, FAILED, UP_TO_DATE, WARNING, DIED]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ALL),
        (["--run", "9 one job.py", "--job", "last"], []),
        (["--run", "one"], [MADE, FAILED]),
        (["--job", "job"], []),
        (["--job", ""], ALL),
        (["--only", "failed"], [FAILED]),
        (["--only", "failed, up to date"], [FAILED, UP_TO_DATE]),
        (["--errors-only"], [FAILED, WARNING, DIED]),
    ],
)
def test_lines_are_chosen_by_run_job_and_event(listen, arguments, expected):
    assert listen(*arguments).shows(*ALL) == expected


def test_a_job_is_looked_for_in_what_a_line_is_about_and_not_in_its_reasons(listen):
    other = f"[12 one.py] {TIME} started     x (one.py:8) because input changed: last job"

    listener = listen("--job", "last job")
    assert listener.shows(other, MADE) == []
    assert "started" not in listener.text


def test_an_event_that_there_is_not_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "util" / "log_listener.py"), "--only", "made,faild"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "no such event: faild" in done.stderr


def test_what_a_terminal_would_obey_is_escaped_and_strangers_are_shown(listen):
    assert listen().shows("made a \x1b[31m \u202e", "[red]x[/red]") == ["made a \\x1b[31m \\u202e", "[red]x[/red]"]


def test_on_a_terminal_each_run_has_a_colour_of_its_own(listen):
    listener = listen(terminal=True)
    wait_until(lambda: listener.hear(MADE, UP_TO_DATE, FAILED, "last job") or "last job" in listener.text)

    begins = {line.partition("[12")[0].partition("[345")[0] for line in listener.text.split("\r\n")}
    begins -= {"last job", ""}
    assert len(begins) == 2
    assert all(begin.startswith("\x1b[3") for begin in begins)


def test_no_color_is_respected(listen):
    listener = listen(terminal=True, NO_COLOR="1")
    wait_until(lambda: listener.hear(MADE, UP_TO_DATE, "last job") or "last job" in listener.text)

    assert "\x1b" not in listener.text
    assert MADE in listener.text


def test_only_this_machine_is_heard(listen):
    listener = listen()
    port = f":{listener.port:04X} "

    heard_on = [line.split()[1] for line in Path("/proc/net/udp").read_text().splitlines() if port in line + " "]
    assert heard_on == [f"0100007F:{listener.port:04X}"]


def test_a_second_listener_is_told_and_a_reader_that_goes_away_ends_it_quietly(listen):
    first = listen()
    script = [sys.executable, str(ROOT / "util" / "log_listener.py"), "--port"]
    second = subprocess.run([*script, str(first.port)], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "Another listener?" in second.stderr

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    third = subprocess.Popen([*script, str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered)
    third.stderr.readline()
    third.stdout.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(f"{MADE}\n".encode(), ("127.0.0.1", port))
    assert third.wait(10) == 0
    assert third.stderr.read() == b""
    third.stderr.close()


def test_it_shows_a_run(script: Script, listen):
    listener = listen("--only", "made")
    script.environment["PIPEGRAPH_LOG_PORT"] = str(listener.port)
    script.run(ONE_JOB % "5005")

    wait_until(lambda: "made        a (script.py:" in listener.text)
    assert "started" not in listener.text
