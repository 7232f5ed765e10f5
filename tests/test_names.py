"""Whole runs with odd names of files: made, up to date, made anew, shown safely; or refused where they are given."""

import os
import unicodedata
from pathlib import Path

import pytest
from scripts import Script

NAMES = [
    "a name  with spaces ",
    " x",
    "two\nlines",
    "carriage\rreturn",
    "a\ttab",
    'it\'s "so" `x` $HOME; *?[x]{}',
    "back\\slash\\n\\x1b",
    "\x1b[2J\x1b]0;owned\x07",
    "del\x7f",
    "one-byte escape \x9b31m",
    "next line\x85, line separator\u2028",
    "right to left \u202egnp.exe",
    "zero\u200bwidth",
    "no character \ufffe",
    "caf\u00e9",
    "cafe\u0301",
    "-rf",
    "--",
    "#%s%d{0}",
    "~",
    ".hidden",
    "file.broken",
    "one:::two",
    "three\N{DNA DOUBLE HELIX}" * 20,
    "n" * 250,
    "n" * 255,
    "\u00e9" * 127,
]

EACH = f"""
names = {NAMES!a}
ppg.new_pipegraph()
def make(output):
    with open('ran', 'a') as out:
        out.write(ascii(str(output)) + '\\n')
    print('making', output)
    with open(output, 'a') as out:
        out.write(open('content').read())
def make_two(outputs):
    for output in outputs:
        make(output)
def fail(output):
    output.write_text('half')
    raise ValueError(str(output))
for name in names:
    ppg.FileGeneratingJob('out/' + name, make).depends_on_file('in/' + name)
    both = ppg.MultiFileGeneratingJob(['one/' + name, 'two/' + name], make_two)
    both.depends_on(ppg.MultiFileInvariant(['in/' + name]))
    if os.path.exists('failing'):
        ppg.FileGeneratingJob('bad/' + name, fail, rename_broken=True)
try:
    ppg.run_pipegraph()
except ppg.RuntimeError as error:
    assert len(error.exceptions) == len(names)
"""


def whole(folder: Path, content: str) -> bool:
    """Whether all files are there, and hold this alone."""
    return {(folder / where / name).read_text() for name in NAMES for where in ("out", "one", "two")} == {content}


@pytest.fixture
def each(script: Script) -> Script:
    """A script that has made files of all these names, once."""
    (script.folder / "in").mkdir()
    (script.folder / "content").write_text("first")
    for name in NAMES:
        (script.folder / "in" / name).write_text("input")
    script.run(EACH)
    assert len(script.lines("ran")) == 3 * len(NAMES)
    assert whole(script.folder, "first")
    return script


def test_a_file_of_any_name_is_made_once_and_anew_when_its_input_of_that_name_changes(each: Script) -> None:
    each.run()
    assert len(each.lines("ran")) == 3 * len(NAMES)

    (each.folder / "content").write_text("second")
    for number, name in enumerate(NAMES):
        (each.folder / "in" / name).write_text(f"edit {number}")
    each.run()
    assert len(each.lines("ran")) == 6 * len(NAMES)
    assert whole(each.folder, "second")


def test_no_name_reaches_terminal_logs_or_status_file_as_anything_that_a_terminal_obeys(each: Script) -> None:
    (each.folder / "failing").touch()
    stderr = each.run()

    assert f"{len(NAMES)} failed" in stderr
    assert "bad/\\x1b[2J\\x1b]0;owned\\x07 raised\n    job:       FileGeneratingJob, script.py:" in each.errors
    logs = [path for path in (each.folder / "logs" / "latest").resolve().rglob("*") if path.is_file()]
    assert {"ppg_run.txt", "ppg_errors.txt", "ppg_graph.txt", "ppg_runtimes.tsv"} <= {path.name for path in logs}
    assert len([path for path in logs if path.parent.name == "failed"]) == len(NAMES)
    for path in [*logs, each.folder / "stderr.txt", each.folder / "stdout.txt", each.folder / ".pipegraph_status"]:
        obeyed = {char for char in path.read_text() if unicodedata.category(char) == "Cc"}
        assert obeyed <= {"\n", "\t"}, path
        if path.suffix == ".txt":
            assert not {"\t", "\u202e", "\u2028", "\u200b"} & set(path.read_text()), path
    lines = (each.folder / "logs" / "ppg_runtimes.tsv").read_text().splitlines()
    assert {line.count("\t") for line in lines} == {9}
    assert len(lines) == 1 + len(NAMES)


def test_what_a_failed_job_leaves_is_renamed_or_where_the_name_gets_too_long_removed(each: Script) -> None:
    (each.folder / "failing").touch()
    each.run()

    expected = {f"{name}.broken" for name in NAMES if len(name.encode()) <= 255 - len(".broken")}
    assert {path.name for path in (each.folder / "bad").iterdir()} == expected
    assert len(expected) == len(NAMES) - 3


def test_the_error_that_ends_a_script_holds_nothing_that_a_terminal_obeys(script: Script) -> None:
    stderr = script.run(
        "ppg.new_pipegraph(quiet=True)\nppg.FileGeneratingJob('\\x1b[2J', lambda: 1 / 0)\nppg.run_pipegraph()\n", 1
    )

    assert "job: \\x1b[2J (script.py:4): ZeroDivisionError" in stderr
    assert "\x1b" not in stderr


REFUSED = {
    "": "Give the file's path.",
    "zero\0byte": "Remove it.",
    "half \ud800": "Rename the file",
    os.fsdecode(b"not UTF-8 \xff"): "Rename the file",
    "n" * 256: "shorten it",
    "\u00e9" * 128: "shorten it",
    "folder/" + "n" * 256 + "/file": "shorten it",
    "folder/" * 600 + "file": "shorten it",
}


def test_a_name_that_can_not_be_is_refused_where_it_is_given(script: Script) -> None:
    stderr = script.run(
        f"""
        ppg.new_pipegraph()
        def refuse(name, mend, place, make):
            try:
                make(name)
            except ppg.JobContractError as error:
                assert mend in str(error), ascii((name, str(error)))
                assert f'script.py:{{place}}' in str(error), ascii((name, str(error)))
            else:
                raise AssertionError(f'{{name!a}} was taken')
        for name, mend in {REFUSED!a}.items():
            refuse(name, mend, 14, lambda name: ppg.FileGeneratingJob(name, lambda: None))
            refuse(name, mend, 15, lambda name: ppg.MultiFileGeneratingJob([name], lambda: None))
            refuse(name, mend, 16, lambda name: ppg.TempFileGeneratingJob(name, lambda: None))
            refuse(name, mend, 17, lambda name: ppg.FileInvariant(name))
            refuse(name, mend, 18, lambda name: ppg.MultiFileInvariant([name]))
        refuse('folder/', 'Name a file', 19, lambda name: ppg.FileGeneratingJob(name, lambda: None))
        ppg.run_pipegraph()
        """
    )

    assert "nothing to do" in stderr


def test_the_longest_path_that_there_may_be_is_made(script: Script) -> None:
    script.run(
        """
        ppg.new_pipegraph()
        path = ('d' * 200 + '/') * 20
        ppg.FileGeneratingJob(path + 'f' * (4095 - len(path)), lambda of: of.write_text('x'))
        ppg.run_pipegraph()
        """
    )
    assert len(script.started) == 1
    script.run()
    assert script.started == []


CLASHES = {
    "the name of what another job leaves broken": """
        ppg.FileGeneratingJob('file', make, rename_broken=True)
        ppg.FileGeneratingJob('file.broken', make)
        """,
    "the same, the other way round": """
        ppg.MultiFileGeneratingJob(['file.broken', 'other'], lambda: None)
        ppg.FileGeneratingJob('file', make, rename_broken=True)
        """,
    "an input that a failed job would replace": """
        ppg.FileInvariant('file.broken')
        ppg.MultiFileGeneratingJob(['other', 'file'], lambda: None, rename_broken=True)
        """,
    "the id of a job of several files": """
        ppg.MultiFileGeneratingJob(['one', 'two'], lambda: None)
        ppg.FileGeneratingJob('one:::two', make)
        """,
    "the id under which a function is watched": """
        ppg.FunctionInvariant('function', make)
        ppg.FileGeneratingJob('FIfunction', make)
        """,
    "the id under which the callback of another job is watched": """
        ppg.FileGeneratingJob('FIfile', make)
        ppg.FileGeneratingJob('file', make)
        """,
}


@pytest.mark.parametrize("clash", CLASHES)
def test_a_name_that_means_something_else_already_is_refused_with_both_places(script: Script, clash: str) -> None:
    lines = CLASHES[clash].strip().splitlines()

    stderr = script.run(
        "ppg.new_pipegraph()\ndef make(of):\n    of.write_text('x')\n"
        + "".join(line.strip() + "\n" for line in lines)
        + "ppg.run_pipegraph()\n",
        1,
    )

    assert "script.py:6" in stderr
    assert "script.py:7" in stderr
    assert "Give one of them another" in stderr or "depend on" in stderr
    assert not {"file", "file.broken", "one", "FIfile"} & {path.name for path in script.folder.iterdir()}
