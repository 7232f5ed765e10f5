"""What is drawn, from recorded runs: whole screens, as they were looked at once and found good (tests/screens/)."""

import time
from pathlib import Path

import pytest
from engine_world import spec_of
from rich.console import Console
from streams import BEGAN_AT, board_after, ended, grew, many, outputs, seen, started

from pipegraph.errors import shown
from pipegraph.estimates import Estimate
from pipegraph.model import Counts
from pipegraph.watchers.overview import FailedJob, RunningJob
from pipegraph.watchers.screen import Live, clock, failed_answer, input_row, running_answer, status_answer

SCREENS = Path(__file__).parent / "screens"
CORES = 64


class Paper:
    """Stands for a terminal's stream; rich asks it for its encoding."""

    def __init__(self, encoding="utf-8"):
        self.encoding = encoding
        self.text = ""

    def write(self, text):
        self.text += text.encode(self.encoding, "replace").decode(self.encoding)

    def flush(self):
        pass


def drawn(renderable, width, encoding="utf-8", colours=None):
    paper = Paper(encoding)
    console = Console(file=paper, width=width, color_system=colours, force_terminal=True, highlight=False, markup=False)
    console.print(renderable)
    return "\n".join(line.rstrip() for line in paper.text.splitlines()) + "\n"


def in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture(autouse=True)
def zone_of_before():
    yield
    time.tzset()


def a_run(jobs, running, failed, now=BEGAN_AT + 3725):
    board = board_after(*many(jobs, running, failed))
    board.cores = CORES
    return board.overview(now)


@pytest.mark.parametrize(
    ("width", "rows", "jobs", "running", "failed"),
    [
        (80, 12, 10, 2, 0),
        (80, 14, 1000, 30, 3),
        (80, 14, 100_000, 64, 0),
        (200, 27, 1000, 12, 3),
        (200, 27, 100_000, 64, 12),
        (40, 7, 1000, 3, 1),
        (24, 3, 1000, 3, 1),
        (80, 1, 1000, 3, 1),
        (80, 2, 1000, 3, 1),
        (80, 5, 1000, 3, 1),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_live_display_is_as_it_was_found_good(monkeypatch, width, rows, jobs, running, failed, encoding):
    in_utc(monkeypatch)
    text = drawn(Live(a_run(jobs, running, failed), rows), width, encoding)

    # To take a new look: delete the file, run this once, read the screen.
    golden = SCREENS / f"{width}x{rows}_{jobs}_jobs_{encoding}.txt"
    if not golden.exists():
        golden.write_text(text, encoding="utf-8")
        pytest.fail(f"there was no {golden}; now there is: read it")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [*range(1, 130), 200, 500])
def test_no_line_is_longer_than_the_terminal_and_no_more_lines_than_there_is_room_for(width):
    view = a_run(100, 9, 1)
    for rows in range(1, 15):
        lines = drawn(Live(view, rows), width).splitlines()

        assert len(lines) <= rows
        assert max(map(len, lines)) <= width


def test_what_comes_from_outside_is_escaped_and_never_taken_for_markup():
    evil = "out/\x1b[31m[bold]x[/bold]\n.txt"
    board = board_after(grew(*outputs(evil)), started(evil), seen(evil, line="\x1b]0;title\x07[red]say"))
    view = board.overview(BEGAN_AT + 2)
    pages = [
        drawn(Live(view, 10), 100),
        *(drawn(line, 100) for line in status_answer(view)),
        *(drawn(line, 100) for line in failed_answer([], 0)),
    ]

    for page in pages:
        assert "\x1b" not in page
        assert "\x07" not in page
    assert "[bold]x[/bold]\\n.txt" in pages[0]
    assert "[red]say" in pages[0]


def test_wide_characters_keep_the_columns_in_place():
    names = ["out/\u8a66\u6599\u8a66\u6599\u8a66\u6599.txt", "out/plain_name.txt"]
    view = board_after(grew(*outputs(*names)), *(started(name) for name in names)).overview(BEGAN_AT + 61)
    lines = drawn(Live(view, 10), 70).splitlines()

    from rich.cells import cell_len

    rows = [line for line in lines if "1:01" in line and "out/" in line]
    assert len({cell_len(row[: row.index("1:01")]) for row in rows}) == 1


def test_enter_tells_of_each_running_job_since_when_cores_memory_process_host_and_expected_end(monkeypatch):
    in_utc(monkeypatch)
    board = board_after(grew(*outputs("a"), seconds={"a": 100.0}), started("a"), seen("a", line="reading chr7"))
    text = "".join(drawn(line, 200) for line in status_answer(board.overview(BEGAN_AT + 60)))

    for part in (
        "a (analysis.py:10)",
        "since 08:00:00 (1:00)",
        "expected end 08:01:40",
        "1 core",
        "1.2 GB",
        "process 5000 on server",
        "says: reading chr7",
        "about 40.0 s left (times known)",
    ):
        assert part in text


def test_nothing_running_is_said():
    view = board_after(grew(*outputs("a"))).overview(BEGAN_AT)

    assert "Nothing is running." in "".join(drawn(line, 80) for line in running_answer(view))


def test_what_has_ended_is_told_as_that():
    board = board_after(grew(*outputs("a")), started("a"))
    board.see(ended(65.0, Counts(stopped=1)))
    text = "".join(drawn(line, 80) for line in status_answer(board.overview(BEGAN_AT + 9999)))

    assert "1:05" in text
    assert "ended" in text
    assert "running" not in text


@pytest.mark.parametrize(
    ("facts", "words", "others"),
    [
        ({}, "looking at what changed", "of 10"),
        ({"is_decided": True}, "0 of 10", "looking"),
        ({"is_decided": True}, "no times known yet", "left"),
        ({"is_decided": True, "estimate": Estimate(90.0, 4, 0)}, "about 1 min 30 s left (times known)", "guess"),
        ({"is_decided": True, "estimate": Estimate(90.0, 0, 4)}, "about 1 min 30 s left (a guess)", "known"),
        ({"is_decided": True, "estimate": Estimate(90.0, 3, 1)}, "left (75 % of times known)", "guess"),
        ({"is_decided": True, "estimate": Estimate(90.0, 4, 0), "is_stopping": True}, "stopping", "left"),
        ({"is_decided": True, "estimate": Estimate(0.0, 0, 0), "waiting": 0}, "0 of 10", "left"),
        ({"is_paused": True}, "paused: nothing is started (resume)", "stopping"),
        ({"is_stopping": True}, "stopping", "ended"),
        ({"is_stopping": True, "ended_at": BEGAN_AT + 1}, "ended 08:00:01", "stopping"),
        ({"is_again": True}, "runs again afterwards", "paused"),
        ({"cores": 1}, "1 core ", "cores"),
        ({"cores": 3}, "3 cores", "x"),
        ({"generators": 1, "waiting": 9}, "1 generator", "generators"),
        ({"generators": 1, "is_decided": True}, "1 of 10", "0 of"),
        ({"generators": 2}, "2 generators", "x"),
        ({"waiting": 0}, "nothing to do yet", "waiting"),
        ({"stopped": 4}, "4 stopped", "stopping"),
        ({"script": "\x1b[31m.py"}, "\\x1b[31m.py", "\x1b"),
    ],
)
def test_the_state_of_a_run_is_told_in_these_words(monkeypatch, facts, words, others):
    in_utc(monkeypatch)
    view = board_after().overview(BEGAN_AT + 1)._replace(**{"total": 10, "waiting": 10, **facts})
    page = drawn(Live(view, 10), 110)

    assert words in page
    assert others not in page


def seen_as(**facts):
    """A running job as Enter shows it."""
    job = RunningJob("a", "s.py:1", BEGAN_AT, 2)._replace(**facts)
    view = board_after().overview(BEGAN_AT + 10)._replace(running=(job,), running_jobs=1)
    return "".join(drawn(line, 200) for line in running_answer(view))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "since 08:00:00 (0:10), expected end ?, 2 cores\n"),
        ({"expected_seconds": 86_400.0}, "expected end 2027-01-16 08:00"),
        ({"pid": 7, "processes": 1}, "process 7 on server"),
        ({"pid": 7, "processes": 2}, "process 7 and 1 other on server"),
        ({"pid": 7, "processes": 3}, "process 7 and 2 others on server"),
        ({"pid": 7, "own_bytes": 50_000_000}, "50.0 MB"),
        ({"last_line": "chr\x1b[1m"}, "says: chr\\x1b[1m"),
        ({"place": ""}, "a\n"),
    ],
)
def test_of_a_running_job_all_that_is_known_is_told(monkeypatch, facts, words):
    in_utc(monkeypatch)

    assert words in seen_as(**facts)


def test_running_jobs_that_are_not_listed_are_counted():
    job = RunningJob("a", "s.py:1", BEGAN_AT, 1)
    view = board_after().overview(BEGAN_AT)._replace(running=(job,), running_jobs=1001)

    assert "and 1,000 more" in "".join(drawn(line, 80) for line in running_answer(view))
    assert "more" not in "".join(drawn(line, 80) for line in running_answer(view._replace(running_jobs=1)))


def test_memory_is_told_of_jobs_that_were_seen():
    names = ["a", "b"]
    board = board_after(grew(*outputs(*names)), *(started(name) for name in names), seen("a"))
    rows = drawn(Live(board.overview(BEGAN_AT), 10), 70).splitlines()[-2:]

    assert rows[0].endswith("1.2 GB")
    assert rows[1].endswith("1")  # its cores


def test_failed_jobs_are_told_with_place_reason_and_file_and_the_rest_is_counted():
    job = FailedJob("\x1ba", "\x1b.py:1", "ValueError: \x1b", 1000, "logs/\x1b.txt")
    lines = [drawn(line, 80).rstrip() for line in failed_answer([job], 2)]

    assert lines == [
        "\\x1ba (\\x1b.py:1), blocks 1,000",
        "    ValueError: \\x1b",
        "    logs/\\x1b.txt",
        "and 1 more: logs/ppg_errors.txt",
    ]
    alone = [drawn(line, 80).rstrip() for line in failed_answer([job._replace(blocked=0, file="")], 1)]
    assert alone == ["\\x1ba (\\x1b.py:1)", "    ValueError: \\x1b"]


def test_a_hundred_percent_is_said_only_when_nothing_is_left():
    names = [f"a{number}" for number in range(1000)]
    board = board_after(grew(*(spec_of(name, "output") for name in names)))
    from pipegraph.events import JobUpToDate

    for name in names[:-1]:
        board.see(JobUpToDate(name))
    assert "99 %" in drawn(Live(board.overview(BEGAN_AT), 10), 100)
    board.see(JobUpToDate(names[-1]))
    assert "100 %" in drawn(Live(board.overview(BEGAN_AT), 10), 100)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0:00"),
        (0, "0:00"),
        (7.9, "0:07"),
        (754, "12:34"),
        (3723, "1:02:03"),
        (172_799, "47:59:59"),
        (172_800, "2 d 00 h"),
    ],
)
def test_lengths_of_time_are_short(seconds, text):
    assert clock(seconds) == text


def test_no_colour_means_no_control_codes(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    coloured = drawn(Live(a_run(100, 3, 1), 10), 80, colours="standard")

    assert "\x1b[3" not in coloured


@pytest.mark.parametrize("text", ["", "tail out/x", "x" * 300, "\u8a66" * 100, "a\x1bb"])
@pytest.mark.parametrize("width", [1, 5, 20, 80])
def test_the_cursor_is_always_in_the_input_line(text, width):
    for cursor in {0, len(text) // 2, len(text)}:
        row, column = input_row(text, cursor, width, "hint")

        assert 2 <= column <= max(3, width)
        assert "\x1b" not in row.plain
        assert row.plain.startswith("> hint" if not text else "> ")
        assert row.plain[2:].endswith("hint" if not text else shown(text[cursor:]))


def test_what_is_typed_is_moved_so_that_what_stands_before_the_cursor_is_seen():
    row, column = input_row("0123456789", 8, 8, "hint")

    assert (row.plain, column) == ("> 3456789", 7)
