"""`pipegraph diff`: what has changed since jobs were made, or had when they were made last."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from scripts import Script
from terminals import AtTerminal

HELPING = "FACTOR = 2\n\n\ndef deep(x):\n    return x * FACTOR\n\n\ndef middle(x):\n    return deep(x) + 1\n"
ANALYSIS = """
import helping
ppg.new_pipegraph(quiet=True)
def make(number):
    def write(output): output.write_text(f"{helping.middle(number)}")
    return write
first = ppg.FileGeneratingJob("out/first.txt", make(1))
second = ppg.FileGeneratingJob("out/second.txt", make(2)).depends_on(first)
third = ppg.FileGeneratingJob("third.txt", lambda output: output.write_text("3")).depends_on(second)
first.depends_on_params([1, {"a": 2}])
ppg.run_pipegraph()
"""


@pytest.fixture
def analysis(script: Script) -> Script:
    (script.folder / "helping.py").write_text(HELPING)
    script.run(ANALYSIS)
    return script


def edit(script: Script, name: str, old: str, new: str) -> None:
    path: Path = script.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def diff(script: Script, *arguments: str) -> tuple[int, list[str], str]:
    command = [sys.executable, "-m", "pipegraph", "diff", *arguments]
    done = subprocess.run(command, cwd=script.folder, env=script.environment, capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_nothing_has_changed(analysis: Script) -> None:
    assert diff(analysis) == (0, ["Nothing has changed: no job must run."], "")
    assert diff(analysis, "third.txt")[1] == ["third.txt (script.py:11): nothing has changed"]


def test_of_jobs_that_are_asked_for_each_is_told(analysis: Script) -> None:
    edit(analysis, "helping.py", "FACTOR = 2", "FACTOR = 30")

    assert diff(analysis, "out/first.txt", "out/second.txt")[1][3:] == [
        "out/second.txt (script.py:10)",
        "    input changed: FIout/second.txt",
        "        the same as of out/first.txt",
    ]


def test_the_changed_line_of_a_helper_is_shown_once_for_all_jobs(analysis: Script) -> None:
    edit(analysis, "helping.py", "x * FACTOR", "x * FACTOR - 1")

    assert diff(analysis) == (
        0,
        textwrap.dedent(
            """\
            out/first.txt (script.py:9)
                input changed: FIout/first.txt
                    --- helping.deep before
                    +++ helping.deep now
                    @@ -1,2 +1,2 @@
                     def deep(x):
                    -    return x * FACTOR
                    +    return x * FACTOR - 1
            the same as of out/first.txt: out/second.txt"""
        ).splitlines(),
        "",
    )


def test_a_job_that_only_may_run_says_what_it_hangs_on(analysis: Script) -> None:
    edit(analysis, "helping.py", "FACTOR = 2", "FACTOR = 30")

    assert diff(analysis, "third.txt")[1] == [
        "third.txt (script.py:11): nothing so far; it runs if out/second.txt changes"
    ]


def test_jobs_are_asked_for_by_pattern_beginning_and_path(analysis: Script) -> None:
    edit(analysis, "script.py", '{"a": 2}', '{"a": 5}')
    told = [
        "out/first.txt (script.py:9)",
        "    input changed: PIout/first.txt",
        "        parameter 'out/first.txt'[1]['a']: 2 -> 5",
    ]

    for name in ("out/f*", "out/fi", "./out/first.txt", str(analysis.folder / "out" / "first.txt")):
        assert diff(analysis, name) == (0, told, "")


def test_the_last_making_is_told_without_the_script(analysis: Script) -> None:
    assert diff(analysis, "--last", "out/first.txt")[1][1:] == ["    never made here"]

    edit(analysis, "script.py", '{"a": 2}', '{"a": 5}')
    analysis.run()
    (analysis.folder / "script.py").unlink()
    code, lines, _ = diff(analysis, "--last", "out/first.txt", "third.txt")

    assert code == 0
    assert lines[1:3] == ["    input changed: PIout/first.txt", "        parameter 'out/first.txt'[1]['a']: 2 -> 5"]
    assert lines[-1] == "    never made here"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--last"], 2, "of which jobs?"),
        (["--last", "nothing"], 1, "nothing of that name is known here"),
        (["out/frist.txt"], 1, "there is no such job or file\n    name:    out/frist.txt\n    nearest: out/first.txt"),
        (["PIout/first.txt"], 1, "this is an input, and no job"),
        (["--script", "absent.py"], 2, "can't read the script absent.py"),
    ],
)
def test_what_can_not_be_answered_is_told(analysis: Script, arguments: list[str], code: int, words: str) -> None:
    found, lines, errors = diff(analysis, *arguments)

    assert (found, lines) == (code, [])
    assert words in errors
    assert "Traceback" not in errors


def test_on_a_terminal_lines_that_went_are_red_and_new_ones_green(analysis: Script) -> None:
    edit(analysis, "helping.py", "x * FACTOR", "x * FACTOR - 1")
    terminal = AtTerminal([sys.executable, "-m", "pipegraph", "diff"], analysis.folder)
    try:
        assert terminal.wait() == 0
        found = terminal.screen.screen
        rows = [(row, text.index("return x") - 5) for row, text in enumerate(found.display) if "return x" in text]
        colors = {found.buffer[row][column].data: found.buffer[row][column].fg for row, column in rows}
    finally:
        terminal.close()

    assert colors == {"-": "red", "+": "green"}
