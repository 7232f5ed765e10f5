"""What a person reads on stderr where there is no display, and that whoever looks on costs the run nothing."""

import io
import json
import sys
import time
import types

import pytest
from notebooks import executed, kinds
from streams import FAILURE, began, ended, grew, outputs, started

from pipegraph.events import GraphGrew, JobBlocked, JobFailed, JobStopped, JobUpToDate, SlaveDied, StopRequested, Warned
from pipegraph.model import Counts, Printed
from pipegraph.watchers import Audience
from pipegraph.watchers.announcements import SHOWN_FAILURES, SHOWN_WARNINGS, Announcements
from pipegraph.watchers.board import Board
from pipegraph.watchers.notebook import Notebook, display_of_notebook
from pipegraph.watchers.progress import Progress


class Plain:
    """The plain lines of a run."""

    def __init__(self, stream=None, is_quiet=False, log_directory="logs"):
        self.stream = io.StringIO() if stream is None else stream
        self.specs = {}
        self.board = Board(self.specs)
        self.board.file_of = lambda job: f"logs/failed/{job}.txt"
        self.progress = Progress(self.board, Announcements(self.board, is_quiet, log_directory), self.stream, is_quiet)

    def see(self, *events):
        for event in events:
            if isinstance(event, GraphGrew):
                self.specs.update({spec.id: spec for spec in event.jobs})
            self.board.see(event)
            self.progress.see(event)
        return self

    @property
    def lines(self):
        return self.stream.getvalue().splitlines()


def test_progress_says_little_however_many_jobs():
    names = [f"a{n}" for n in range(10_000)]
    plain = Plain().see(grew(*outputs(*names)), *map(JobUpToDate, names))
    for second in range(100):
        plain.progress.tick(float(second))
    plain.see(ended(100.0, Counts(up_to_date=10_000)))

    assert 3 < len(plain.lines) < 12
    assert plain.lines[-1] == "pipegraph: 10000 up to date in 1 min 40 s"


def test_progress_says_how_far_it_is_and_what_runs():
    plain = Plain().see(grew(*outputs("a", "b", "c", "d")), JobUpToDate("a"), started("b"), started("c"))
    plain.progress.tick(0.0)
    plain.progress.tick(1.0)

    assert plain.lines == ["pipegraph: 1 of 4 jobs settled, running c and 1 more"]


def test_progress_says_how_many_failed():
    plain = Plain().see(grew(*outputs("a", "b")), JobFailed("a", FAILURE))
    plain.progress.tick(0.0)
    plain.progress.tick(1.0)

    assert plain.lines[-1] == "pipegraph: 1 of 2 jobs settled, 1 failed"


def test_a_run_of_a_day_says_a_line_a_minute():
    plain = Plain().see(grew(*outputs("a")))
    for second in range(0, 24 * 3600, 10):
        plain.progress.tick(float(second))

    assert 24 * 60 * 0.9 < len(plain.lines) < 24 * 60 * 1.1


def test_an_id_that_is_no_text_is_written_all_the_same():
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    Plain(stream).see(Warned("see \udcff"))

    assert stream.buffer.getvalue() == b"pipegraph: warning: see \\udcff\n"


def test_progress_names_the_first_failures_and_counts_the_rest():
    names = [f"a{n}" for n in range(100)]
    plain = Plain().see(grew(*outputs(*names, "b")), *(JobFailed(name, FAILURE) for name in names))
    plain.see(JobBlocked("b", "a50"), ended(1.0, Counts(failed=100, blocked=1, failed_ids=tuple(names))))
    text = "\n".join(plain.lines)

    assert text.count("ValueError: no") == SHOWN_FAILURES
    assert "    failed: a50 (analysis.py:60), blocking 1 job\n    failed: a0" in text
    assert "and 90 more" in text
    assert "details: logs/ppg_errors.txt" in text
    assert text.count("more jobs failed") == 1


@pytest.mark.parametrize(("failed", "more"), [(SHOWN_FAILURES, []), (SHOWN_FAILURES + 1, ["    and 1 more"])])
def test_how_many_more_failed_is_said_where_there_are_more(failed, more):
    names = [f"a{n}" for n in range(failed)]
    plain = Plain().see(grew(*outputs(*names)), *(JobFailed(name, FAILURE) for name in names))
    plain.see(ended(1.0, Counts(failed=failed, failed_ids=tuple(names))))

    assert [line for line in plain.lines if line.startswith("    and ")] == more


def test_where_there_are_no_logs_no_line_leads_there():
    plain = Plain(log_directory=None)
    plain.see(grew(*outputs("a")), JobFailed("a", FAILURE), ended(1.0, Counts(failed=1, failed_ids=("a",))))

    assert plain.lines[-1] == "    failed: a (analysis.py:10)"


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        (Printed("out\n", "err\n", 4, 4), "err"),
        (Printed("out\n", "", 4, 0), "out"),
        (Printed("x" * 300 + "\n", "", 301, 0), "x" * 200),
        (Printed("\n\n", "", 2, 0), None),
    ],
)
def test_the_last_line_that_a_failed_job_printed_is_told_shortened(printed, line):
    plain = Plain().see(grew(*outputs("a")), JobFailed("a", FAILURE, printed=printed))
    found = [text for text in plain.lines if "last line printed" in text]

    assert found == ([] if line is None else [f"    last line printed: {line}"])


def test_a_failure_is_told_with_its_place_its_last_words_and_its_file():
    plain = Plain().see(grew(*outputs("a")), JobFailed("a", FAILURE, printed=Printed("", "one\nlast \x1b[1m\n", 0, 9)))

    assert plain.lines == [
        "pipegraph: failed a (analysis.py:10)",
        "    ValueError: no",
        "    at s.py:7  x = y",
        "    last line printed: last \\x1b[1m",
        "    all of it: logs/failed/a.txt",
    ]


def test_warnings_are_counted_from_some_point_on():
    plain = Plain().see(*(Warned(f"w{n}", mend="do") for n in range(100)))

    assert len(plain.lines) == 2 * SHOWN_WARNINGS + 1


def test_a_stop_says_what_was_stopped_what_was_not_begun_and_that_it_goes_on():
    names = [f"a{n}" for n in range(10)]
    plain = Plain().see(grew(*outputs(*names)), *(started(name) for name in names[:8]))
    plain.see(StopRequested(2, False), *(JobStopped(name) for name in names[:8]))
    plain.see(ended(3.0, Counts(stopped=8), stopped_by=2))

    assert plain.lines == [
        "pipegraph: stopping, ending running jobs (again: at once)",
        "pipegraph: 8 stopped in 3.0 s",
        "    stopped: a0, a1, a2, a3, a4 and 3 more",
        "    not begun: 2 jobs",
        "    What was finished is kept; the next run goes on from here.",
    ]


def test_a_run_that_was_asked_to_end_says_so_although_nothing_was_stopped():
    plain = Plain().see(grew(*outputs("a", "b")), StopRequested(0, False), JobUpToDate("a"))
    plain.see(ended(3.0, Counts(made=1)))

    assert plain.lines[1:] == [
        "    not begun: 1 job",
        "    What was finished is kept; the next run goes on from here.",
    ]


def test_a_second_stop_says_that_nobody_is_waited_for():
    plain = Plain().see(StopRequested(2, False), StopRequested(2, True))

    assert plain.lines[1] == "pipegraph: stopping, ending running jobs at once"


def test_what_was_stopped_before_it_began_is_not_named():
    plain = Plain().see(grew(*outputs("a", "b")), started("a"), started("b"))
    plain.see(JobStopped("a"), JobStopped("b", has_begun=False), ended(1.0, Counts(stopped=1), stopped_by=2))

    assert plain.lines[1:3] == ["    stopped: a", "    not begun: 1 job"]


def test_a_run_that_was_stopped_says_so_also_if_nothing_ran_and_if_it_is_quiet():
    plain = Plain(is_quiet=True).see(grew(*outputs("a")), ended(1.0, Counts(), stopped_by=15))

    assert plain.lines == [
        "pipegraph: nothing to do in 1.0 s",
        "    not begun: 1 job",
        "    What was finished is kept; the next run goes on from here.",
    ]


def test_a_quiet_run_tells_of_failures_only():
    good, bad = Plain(is_quiet=True), Plain(is_quiet=True)
    good.see(grew(*outputs("a")), JobUpToDate("a"), ended(1.0, Counts(up_to_date=1)))
    bad.see(grew(*outputs("a")), JobFailed("a", FAILURE), ended(1.0, Counts(failed=1, failed_ids=("a",))))
    for plain in (good, bad):
        for second in range(1000):
            plain.progress.tick(float(second))

    assert good.lines == []
    assert bad.lines[-3].startswith("pipegraph: 1 failed in")


def test_a_dead_slave_is_told():
    assert Plain().see(SlaveDied(1, 1)).lines == [
        "pipegraph: a compute slave died; what it was running is started again"
    ]


def test_progress_falls_silent_when_nobody_reads():
    stream = io.StringIO()
    stream.close()
    plain = Plain(stream)

    plain.see(ended(1.0, Counts(made=1)), ended(1.0, Counts(made=1)))


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
def test_progress_does_not_try_again_where_nobody_reads(error):
    class Gone(io.StringIO):
        tried = 0

        def write(self, text):
            self.tried += 1
            raise error

    stream = Gone()
    Plain(stream).see(Warned("one"), Warned("two"))

    assert stream.tried == 1


def test_a_watcher_that_fails_at_a_tick_or_at_the_end_is_told_and_the_others_go_on():
    class Bad:
        def __init__(self, fails_at):
            self.calls = []
            for name in ("see", "tick", "close"):
                setattr(self, name, lambda *_, name=name: self.calls.append(name) or (name == fails_at and 1 / 0))

    stream, bad = io.StringIO(), [Bad("tick"), Bad("close"), Bad("never")]
    audience = Audience(list(bad), stream)
    audience.tick(1.0)
    audience.tick(2.0)
    audience.see(JobUpToDate("a"))
    audience.close()
    audience.close()

    assert [each.calls for each in bad] == [
        ["tick", "close"],
        ["tick", "tick", "see", "close", "close"],
        ["tick", "tick", "see", "close"],
    ]
    assert stream.getvalue() == "pipegraph: Bad stops looking on: ZeroDivisionError: division by zero\n" * 2


def test_a_watcher_that_fails_is_dropped_with_one_word():
    class Bad:
        def see(self, event):
            raise ValueError("oh")

        tick = see

        def close(self):
            raise OSError

    stream = io.StringIO()
    audience = Audience([Bad()], stream)
    for _ in range(3):
        audience.see(JobUpToDate("a"))
    audience.close()

    assert stream.getvalue() == "pipegraph: Bad stops looking on: ValueError: oh\n"


# --- in a notebook


class Cell:
    """Stands for IPython's display: keeps what the one output shows."""

    def __init__(self):
        self.shown = []

    def __call__(self, content, raw, display_id):
        assert not self.shown
        self.update(content, raw)
        return self

    def update(self, content, raw):
        self.shown.append(content["text/plain"])


def a_notebook(is_quiet=False):
    plain = Plain(is_quiet=is_quiet)
    plain.board.see(began())
    cell = Cell()
    plain.progress = Notebook(plain.board, Announcements(plain.board, is_quiet, "logs"), is_quiet, cell)
    return plain, cell


def test_a_cell_shows_failures_and_where_the_run_stands_and_at_the_end_its_summary():
    notebook, cell = a_notebook()
    notebook.see(grew(*outputs("a", "b")), JobFailed("a", FAILURE), started("b"))
    notebook.progress.tick(time.monotonic() + 10)
    assert "failed a (analysis.py:10)" in cell.shown[-1]
    assert "1 of 2" in cell.shown[-1]
    notebook.see(ended(1.0, Counts(failed=1, failed_ids=("a",))))
    notebook.progress.tick(time.monotonic() + 20)

    assert "1 of 2" not in cell.shown[-1]
    assert len(cell.shown) == 3


def test_a_cell_of_a_quiet_run_shows_failures_only():
    notebook, cell = a_notebook(is_quiet=True)
    notebook.see(grew(*outputs("a", "b")), started("b"))
    notebook.progress.tick(time.monotonic() + 10)
    assert cell.shown == []
    notebook.see(JobFailed("a", FAILURE))

    assert "failed a (analysis.py:10)" in cell.shown[-1]
    assert "of 2" not in cell.shown[-1]


def test_a_cell_does_not_grow_for_ever():
    notebook, cell = a_notebook()
    for number in range(220):
        notebook.see(SlaveDied(number, 1))

    assert cell.shown[-1].count("a compute slave died") == 200


@pytest.mark.parametrize(
    ("shell", "is_notebook"), [("ZMQInteractiveShell", True), ("TerminalInteractiveShell", False), (None, False)]
)
def test_a_notebook_is_known_by_its_shell(monkeypatch, shell, is_notebook):
    module = types.ModuleType("IPython")
    module.get_ipython = lambda: None if shell is None else type(shell, (), {})()
    module.display = types.SimpleNamespace(display=print)
    monkeypatch.setitem(sys.modules, "IPython", module)

    assert (display_of_notebook() is not None) is is_notebook


def test_a_cell_of_a_notebook_has_one_output_that_is_renewed_in_place(script):
    first, second = executed(
        script,
        """
import time
import pipegraph as ppg
from pipegraph.keyboard import Keyboard

keyboards, opened = [], Keyboard.open
Keyboard.open = lambda *arguments: keyboards.append(opened(*arguments)) or keyboards[-1]
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))

def bad(output):
    print("nearly <there>")
    raise ValueError("no good")

def slow(output):
    time.sleep(2.5)
    output.write_text("made")

ppg.FileGeneratingJob("out/bad", bad)
ppg.FileGeneratingJob("out/slow", slow)
print("before")
try:
    ppg.run_pipegraph()
except ppg.RuntimeError:
    print("caught", keyboards)
""",
        """
ppg.FileGeneratingJob("out/more", lambda output: output.write_text("more"))
try:
    ppg.run_pipegraph()
except ppg.RuntimeError:
    print("caught again")
""",
    )
    outputs, messages = first
    shown = [content["data"] for kind, content in messages if kind.endswith("display_data")]
    last = outputs[1]["data"]["text/plain"]

    assert kinds(outputs) == [("stream", "before\n"), ("display_data", ""), ("stream", "caught [None]\n")]
    assert [kind for kind, _ in messages].count("display_data") == 1
    assert any("1 of 2" in each["text/plain"] and "1 failed \u00b7 1 running" in each["text/plain"] for each in shown)
    assert len(shown) >= 4  # the failure, two seconds, the end
    assert last.startswith("pipegraph: failed out/bad (")
    assert "ValueError: no good" in last
    assert "all of it: logs/run_0001/failed/0001_out_bad.txt" in last
    assert "pipegraph: 1 made, 1 failed in " in last
    assert last.endswith("    details: logs/ppg_errors.txt\n")
    assert "nearly &lt;there&gt;" in outputs[1]["data"]["text/html"]
    assert "\\u001b" not in json.dumps(messages)

    outputs, messages = second
    assert kinds(outputs) == [("display_data", ""), ("stream", "caught again\n")]
    assert "1 made, 1 up to date, 1 failed" in outputs[0]["data"]["text/plain"]


def test_interrupting_the_kernel_ends_the_run_in_order_and_the_next_cell_works(script):
    interrupted, after = executed(
        script,
        """
import time
import pipegraph as ppg
ppg.new_pipegraph()

def wait(output):
    open("interrupt", "w").close()
    time.sleep(600)

ppg.FileGeneratingJob("out/wait", wait)
ppg.run_pipegraph()
""",
        """
ppg.new_pipegraph()
ppg.FileGeneratingJob("out/more", lambda output: output.write_text("more"))
ppg.run_pipegraph()
print("goes on")
""",
    )
    shown, error = interrupted[0]

    assert shown["data"]["text/plain"].startswith("pipegraph: stopping, ending running jobs (again: at once)\n")
    assert "    stopped: out/wait\n" in shown["data"]["text/plain"]
    assert error["ename"] == "KeyboardInterrupt"
    assert kinds(after[0]) == [("display_data", ""), ("stream", "goes on\n")]
    assert "1 made" in after[0][0]["data"]["text/plain"]


def test_a_display_that_fails_is_followed_by_plain_lines():
    class Broken:
        def see(self, event):
            raise ValueError("oh")

        tick = see

        def close(self):
            pass

    plain = Plain()
    broken = Broken()
    audience = Audience([broken], plain.stream, broken, None, plain.progress)
    for event in (grew(*outputs("a")), JobFailed("a", FAILURE), ended(1.0, Counts(failed=1))):
        if isinstance(event, GraphGrew):
            plain.specs.update({spec.id: spec for spec in event.jobs})
        plain.board.see(event)
        audience.see(event)

    assert plain.lines[0] == "pipegraph: Broken stops looking on: ValueError: oh"
    assert plain.lines[1] == "pipegraph: failed a (analysis.py:10)"
    assert sum(line.startswith("pipegraph: 1 failed in") for line in plain.lines) == 1
