"""What a person reads: logs, lines on stderr, datagrams."""

import io
import signal
import socket
import subprocess
import sys

import pytest
from engine_world import spec_of
from scripts import ROOT, wait_until

from pipegraph.errors import shown
from pipegraph.events import GraphGrew, JobBlocked, JobFailed, JobUpToDate, RunEnded
from pipegraph.model import Counts, Failure, FailureKind, Frame, Printed
from pipegraph.watchers import Audience, describe_failure
from pipegraph.watchers.logs import KEPT_RUNS, Logs
from pipegraph.watchers.progress import SHOWN_FAILURES, Progress
from pipegraph.watchers.udp import DATAGRAM_BYTES, UdpLines

FAILURE = Failure(
    FailureKind.RAISED,
    "builtins.ValueError",
    "no\nsecond line",
    (Frame("s.py", 7, "f", "x = y", (("x", "1"), ("api_token", "'abc'"))),),
)


def grew(*specs):
    return GraphGrew(specs, (), None, {}, {}, {}, {})


def by_id(*names):
    return {name: spec_of(name, "output") for name in names}


def logs_in(folder, warned=None):
    return Logs(by_id("a", "b"), str(folder), True, (warned if warned is not None else []).append, lambda line: None)


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "a\udc80b", "a\u202eb", "a\x00b", "a\x9bb"])
def test_what_a_terminal_would_obey_is_escaped(text):
    assert "\\" in shown(text)
    assert shown(text).isprintable()
    shown(text).encode()


def test_ordinary_text_stands_as_it_is():
    assert shown("Grün/µ b.txt") == "Grün/µ b.txt"


def test_a_failure_is_told_with_place_trace_variables_and_the_last_words():
    text = describe_failure(spec_of("a", "output"), FAILURE, Printed("out\n", "err\n", 4, 4, "", "logs/all"))

    for part in ("a raised", "script.py:1", "ValueError: no", "second line", "s.py:7 in f", "x = 1", "err", "logs/all"):
        assert part in text
    assert "abc" not in text


def test_logs_of_earlier_runs_are_numbered_and_bounded_and_other_files_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    for n in range(KEPT_RUNS + 5):
        logs = logs_in(tmp_path)
        logs.see(grew(spec_of("a", "output")))
        logs.see(JobUpToDate(f"a{n}"))
        logs.close()

    numbers = sorted(int(path.name.split(".")[1]) for path in tmp_path.glob("ppg_run.*.txt"))
    assert numbers == list(range(5, KEPT_RUNS + 5))
    assert f"a{KEPT_RUNS + 3}" in (tmp_path / f"ppg_run.{KEPT_RUNS + 4}.txt").read_text()
    assert (tmp_path / "mine.txt").exists()


def test_a_file_in_the_place_of_the_logs_costs_one_warning(tmp_path):
    (tmp_path / "logs").write_text("x")
    warned = []
    logs = logs_in(tmp_path / "logs", warned)
    for _ in range(3):
        logs.see(JobUpToDate("a"))
    logs.close()

    assert len(warned) == 1


def test_the_graph_and_the_errors_are_written(tmp_path):
    logs = logs_in(tmp_path / "deep" / "logs")
    logs.see(grew(spec_of("a", "output", ("b",)), spec_of("b", "output")))
    logs.see(JobFailed("a", FAILURE))
    logs.close()

    folder = tmp_path / "deep" / "logs"
    assert "a\n    needs b\n" in (folder / "ppg_graph.txt").read_text()
    assert "ValueError: no" in (folder / "ppg_errors.txt").read_text()
    assert (folder / "ppg_runtimes.tsv").read_text().splitlines()[1].endswith("failed")


def test_progress_says_little_however_many_jobs():
    stream = io.StringIO()
    progress = Progress({}, stream, False, "logs")
    progress.see(grew(*(spec_of(f"a{n}", "output") for n in range(10_000))))
    for n in range(10_000):
        progress.see(JobUpToDate(f"a{n}"))
    for second in range(100):
        progress.tick(float(second))
    progress.see(RunEnded(0.0, 100.0, Counts(up_to_date=10_000)))

    lines = stream.getvalue().splitlines()
    assert 3 < len(lines) < 12
    assert lines[-1] == "pipegraph: 10000 up to date in 1 min 40 s"


def test_progress_names_the_first_failures_and_counts_the_rest():
    stream = io.StringIO()
    names = [f"a{n}" for n in range(100)]
    progress = Progress(by_id(*names), stream, False, "logs")
    progress.see(grew(*(spec_of(name, "output") for name in names)))
    for name in names:
        progress.see(JobFailed(name, FAILURE))
    progress.see(JobBlocked("b", "a50"))
    progress.see(RunEnded(0.0, 1.0, Counts(failed=100, blocked=1, failed_ids=tuple(names))))

    text = stream.getvalue()
    assert text.count("ValueError: no") == SHOWN_FAILURES
    assert "failed: a50 (script.py:1), blocking 1 job" in text
    assert "and 90 more" in text


def test_progress_falls_silent_when_nobody_reads():
    stream = io.StringIO()
    stream.close()
    progress = Progress({}, stream, False, None)

    progress.see(RunEnded(0.0, 1.0, Counts(made=1)))
    progress.see(RunEnded(0.0, 1.0, Counts(made=1)))


def test_a_watcher_that_fails_is_dropped_with_one_word():
    class Bad:
        def see(self, event):
            raise ValueError("oh")

        tick = close = see

    stream = io.StringIO()
    audience = Audience([Bad()], stream)
    for _ in range(3):
        audience.see(JobUpToDate("a"))
    audience.close()

    assert stream.getvalue() == "pipegraph: Bad stops looking on: ValueError: oh\n"


def test_lines_arrive_by_udp_in_bounded_datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        lines = UdpLines(listener.getsockname()[1])
        for n in range(1000):
            lines.add(f"line {n} {'x' * 50}\n")
        lines.close()
        listener.settimeout(5)
        first = listener.recv(65536)

    assert first.startswith(b"line 0 ")
    assert len(first) <= DATAGRAM_BYTES


def test_the_log_listener_prints_escapes_and_ends_quietly(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "out"
    with out.open("w") as stdout:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "util" / "log_listener.py"), "--port", str(port)],
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def arrived():
            sender.sendto(b"made a \x1b[31m\n", ("127.0.0.1", port))
            return "made a \\x1b[31m\n" in out.read_text()

        wait_until(arrived)
    process.send_signal(signal.SIGINT)

    assert process.wait(10) == 0
