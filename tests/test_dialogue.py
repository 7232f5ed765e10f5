"""What can be typed during a run, how it is understood, and what is answered."""

import io

import pytest
from engine_world import spec_of
from streams import FAILURE, board_after, grew, made, outputs, seen, started

from pipegraph.dialogue import Dialogue
from pipegraph.dialogue.commands import COMMANDS, NotUnderstoodError, Wish, completions, jobs_meant, parse
from pipegraph.events import JobBlocked, JobFailed, JobNotNeeded, JobUpToDate
from pipegraph.model import NOTHING_PRINTED, Printed


class Wishes:
    """Stands for the loop: keeps what was wished."""

    def __init__(self):
        self.all = []
        self.printed_by = {}
        self.is_again = False

    def look(self, wait_seconds):
        self.all.append("look")

    def printed(self, job, most_bytes):
        return self.printed_by.get(job, NOTHING_PRINTED)

    def stop(self):
        self.all.append("stop")

    def abort(self):
        self.all.append("abort")

    def kill(self, job):
        self.all.append(f"kill {job}")

    def pause(self, is_wanted):
        self.all.append("pause" if is_wanted else "resume")

    def waiting_for(self, job):
        return "waits for 2 cores" if job == "out/e.txt" else ""

    def set_cores(self, cores):
        self.all.append(f"cores {cores}")

    def run_again(self):
        if self.is_again is None:
            raise ValueError("what runs is not a script")
        self.is_again = not self.is_again
        return self.is_again


class Talk:
    def __init__(self, *events):
        self.board = board_after(*events)
        self.wishes = Wishes()
        self.dialogue = Dialogue(self.board, self.wishes, None, io.StringIO(), False)

    def ask(self, line):
        self.dialogue._stream = stream = io.StringIO()
        self.dialogue.answer(line)
        return stream.getvalue()


def a_talk():
    names = ["out/a.txt", "out/b.txt", "out/c.txt", "out/d.txt", "out/e.txt", "sum.txt"]
    return Talk(
        grew(spec_of("P", "invariant"), *outputs(*names), spec_of("t", "temp"), spec_of("j", "output", ("out/b.txt",))),
        JobUpToDate("out/a.txt"),
        started("out/b.txt"),
        started("out/c.txt"),
        JobFailed("out/c.txt", FAILURE, printed=Printed("", "oh\n", 0, 3)),
        JobBlocked("sum.txt", "out/c.txt"),
        started("out/d.txt"),
        made("out/d.txt"),
        JobNotNeeded("t"),
        seen("out/b.txt", line="chr7"),
    )


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("", Wish("status")),
        ("   ", Wish("status")),
        ("status", Wish("status")),
        ("ST", None),
        ("STATUS", Wish("status")),
        ("sta", Wish("status")),
        ("sto", Wish("stop")),
        ("r", None),
        ("run", Wish("running")),
        ("res", Wish("resume")),
        ("  why   out/a b.txt  ", Wish("why", "out/a b.txt")),
        ("w", None),
        ("why", None),
        ("kill", None),
        ("waiting", Wish("waiting")),
        ("waiting x", Wish("waiting", "x")),
        ("cores 4", Wish("cores", "4")),
        ("pause now", None),
        ("reboot", None),
        ("help", Wish("help")),
        ("\u8a66", None),
    ],
)
def test_a_line_is_understood_or_refused_with_what_would_be(line, wish):
    if wish is None:
        with pytest.raises(NotUnderstoodError):
            parse(line)
    else:
        assert parse(line) == wish


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("wh", ["why "]),
        ("re", ["resume"]),
        ("s", ["status", "stop"]),
        ("why out/a", ["why out/a1", "why out/a2"]),
        ("wh out/b", ["why out/b"]),
        ("pause o", []),
        ("cores ", []),
        ("r o", []),
        ("x y", []),
    ],
)
def test_tab_completes_commands_and_jobs(text, found):
    assert completions(text, ["out/a1", "out/a2", "out/b"]) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("out/a", ["out/a"]),
        ("./out/a", ["out/a"]),
        ("out/ab", ["out/abc", "out/abd"]),
        ("bc", ["out/abc"]),
        ("t/", ["out/a", "out/abc", "out/abd"]),
        ("b", ["b/out", "b/x"]),
        ("xx", []),
    ],
)
def test_a_job_may_be_named_by_a_part_of_its_id(text, found):
    assert jobs_meant(text, ["out/a", "out/abc", "out/abd", "b/out", "b/x"]) == found
    assert jobs_meant(text, ["out/a", "out/abc", "out/abd", "b/out", "b/x"], 1) == found[:1]


def test_every_command_is_in_the_help_and_answers():
    talk = a_talk()
    text = talk.ask("help")

    for command in COMMANDS:
        assert f"{command.name} {command.argument}" in text
        assert command.help in text
        example = {"JOB": "out/b.txt", "N": "2", "[JOB]": "", "": ""}[command.argument]
        answer = talk.ask(f"{command.name} {example}")
        assert command.name == "abort" or len(answer.splitlines()) >= (2 if command.name != "failed" else 3), answer


def test_enter_looks_anew_and_tells_what_runs():
    talk = a_talk()
    text = talk.ask("")

    assert talk.wishes.all == ["look"]
    assert "out/b.txt (analysis.py:11)" in text
    assert "says: chr7" in text
    assert "1 failed, 1 blocked, 1 running, 2 waiting, 1 made, 1 up to date, 1 not needed" in text


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ("out/a.txt", "is up to date"),
        ("out/b.txt", "running\n    because never made here"),
        ("out/c.txt", "failed\n    because never made here"),
        ("out/d.txt", "made\n    because never made here"),
        ("out/e.txt", "waits for 2 cores"),
        ("j", "waits for out/b.txt"),
        ("sum.txt", "can't run because out/c.txt failed"),
        ("t", "is not needed"),
        ("P", "is an invariant"),
        ("nothing", "there is no job nothing"),
        ("out/", "out/ could be out/a.txt, out/b.txt"),
    ],
)
def test_why_says_it_of_a_job_in_whatever_state(job, words):
    assert words in a_talk().ask(f"why {job}")


def test_waiting_says_for_what():
    text = a_talk().ask("waiting")

    assert "out/e.txt waits for 2 cores" in text
    assert "j waits for out/b.txt" in text


def test_a_hundred_thousand_waiting_jobs_are_a_page():
    text = Talk(grew(*outputs(*(f"j{n}" for n in range(100_000))))).ask("waiting")

    assert len(text.splitlines()) < 25
    assert "and 99,980 more" in text


def test_failed_tells_those_first_that_block_most():
    text = a_talk().ask("failed")

    assert "out/c.txt (analysis.py:12), blocks 1" in text
    assert "ValueError: no" in text


def test_tail_shows_the_end_of_what_was_printed_and_states_of_lines_that_are_written_over():
    talk = a_talk()
    out = "".join(f"line {n}\n" for n in range(100)) + "10%\r20%\r30%\x1b[2K"
    talk.wishes.printed_by["out/b.txt"] = Printed(out, "careful\n", 10_000, 8)
    text = talk.ask("tail b.txt")

    assert "stdout of out/b.txt, 10,000 bytes" in text
    assert "line 99" in text
    assert "line 70" not in text
    assert "10%" not in text
    assert "30%\\x1b[2K" in text
    assert "careful" in text
    assert talk.wishes.all == ["look"]


def test_tail_of_a_job_that_printed_nothing_says_so():
    assert "has printed nothing" in a_talk().ask("tail out/d.txt")


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("kill out/b", "kill out/b.txt"),
        ("stop", "stop"),
        ("abort", "abort"),
        ("pause", "pause"),
        ("resume", "resume"),
        ("cores 7", "cores 7"),
    ],
)
def test_wishes_reach_the_loop(line, wish):
    talk = a_talk()
    talk.ask(line)

    assert talk.wishes.all == [wish]


@pytest.mark.parametrize(
    "line",
    ["kill out/a.txt", "kill out/e.txt", "kill zzz", "cores 0", "cores -1", "cores two", "cores 1.5", "cores 1000000"],
)
def test_what_can_not_be_done_is_answered_and_not_done(line):
    talk = a_talk()
    text = talk.ask(line)

    assert talk.wishes.all == []
    assert len(text.splitlines()) == 2


def test_tail_of_a_part_of_an_id_means_what_runs_and_else_any_job():
    talk = a_talk()
    talk.wishes.printed_by["out/b.txt"] = Printed("of b\n", "", 5, 0)
    talk.wishes.printed_by["out/d.txt"] = Printed("", "of d\n", 0, 5)

    assert "of b" in talk.ask("tail out/")
    assert "of d" in talk.ask("tail d.txt")
    assert "printed nothing" not in talk.ask("tail d.txt")


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        ("one\r\ntwo\r\n", ["one", "two"]),
        ("10 %\r20 %\r", ["20 %"]),
        ("a\tb\n", ["a       b"]),
        ("\n\none\n\n", ["", "", "one"]),
    ],
)
def test_tail_shows_lines_as_a_terminal_would(printed, lines):
    talk = a_talk()
    talk.wishes.printed_by["out/b.txt"] = Printed(printed, "", len(printed), 0)
    text = talk.ask("tail out/b.txt")

    assert [line.removeprefix("    ").rstrip() for line in text.splitlines()[2:]] == lines


def test_enter_is_answered_and_not_repeated():
    assert a_talk().ask("").startswith("analysis.py - ")
    assert a_talk().ask("status").startswith("> status\nanalysis.py - ")


def test_a_question_may_mean_too_many_jobs_to_list():
    text = Talk(grew(*outputs(*(f"j{n}" for n in range(7))))).ask("why j")

    assert "j could be j0, j1, j2, j3, j4 and others." in text


def test_what_a_job_waits_for_is_shortened():
    inputs = tuple(f"i{n}" for n in range(7))
    text = Talk(grew(*outputs(*inputs), spec_of("j", "output", inputs))).ask("why j")

    assert "waits for i0, i1, i2, i3, i4 and 2 more" in text


def test_waiting_can_be_asked_of_one_job_and_of_none():
    assert a_talk().ask("waiting j").splitlines()[1:] == ["j (script.py:1)", "    waits for out/b.txt"]
    assert "Nothing waits." in Talk(grew(*outputs("a")), JobUpToDate("a")).ask("waiting")


def test_tab_completes_what_runs_where_only_that_can_be_meant():
    talk = a_talk()

    assert talk.dialogue._complete("kill out/") == ["kill out/b.txt"]
    assert talk.dialogue._complete("tail out/") == ["tail out/b.txt"]
    assert len(talk.dialogue._complete("why out/")) == 5


def test_a_look_that_the_system_refuses_is_no_failure():
    class Refused(Wishes):
        def look(self, wait_seconds):
            raise OSError

    talk = a_talk()
    talk.dialogue._controls = Refused()

    assert "out/b.txt (analysis.py:11)" in talk.ask("running")


def test_kill_means_running_jobs_only():
    assert "there is no running job out/c.txt" in a_talk().ask("kill out/c.txt")


def test_again_can_be_taken_back_and_is_refused_where_there_is_no_script():
    talk = a_talk()

    assert "anew when this run ends" in talk.ask("again")
    assert "does not run anew" in talk.ask("again")
    talk.wishes.is_again = None
    assert "what runs is not a script" in talk.ask("again")


def test_what_is_typed_is_escaped_in_answers():
    text = a_talk().ask("why \x1b[31m[bold]x")

    assert "\x1b" not in text
    assert "[bold]x" in text


def test_a_stream_that_is_gone_is_no_failure():
    talk = a_talk()
    talk.dialogue._stream = stream = io.StringIO()
    stream.close()

    talk.dialogue.answer("status")
    talk.dialogue.answer("status")


def test_the_expected_end_is_told_where_times_are_known():
    talk = Talk(grew(*outputs("a"), seconds={"a": 60.0}), started("a"))

    assert "expected end " in talk.ask("running")
    assert "expected end ?" not in talk.ask("running")
