"""`pipegraph why`: the script is run with its runs made dry, and what it would do is told; docs/why.rst shows it."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
from scripts import ROOT
from terminals import AtTerminal

from pipegraph import wishes
from pipegraph.cli import main

DOCUMENT = (ROOT / "docs" / "why.rst").read_text()

SCRIPT = """\
ppg.new_pipegraph()
def write(output):
    output.write_text(output.name)
a = ppg.FileGeneratingJob('a.txt', write)
a.depends_on_params(len(sys.argv))
b = ppg.FileGeneratingJob('b.txt', lambda output: output.write_text('b')).depends_on(a)
ppg.run_pipegraph()
"""


class Answer:
    def __init__(self, script, *arguments, command="why"):
        done = subprocess.run(
            [sys.executable, "-m", "pipegraph", command, *arguments],
            cwd=script.folder,
            env={name: value for name, value in script.environment.items() if name != "PYTHONDONTWRITEBYTECODE"},
            capture_output=True,
            text=True,
            check=False,
        )
        self.code, self.lines, self.errors = done.returncode, done.stdout.splitlines(), done.stderr


def test_the_script_of_the_last_run_is_asked(script):
    script.run(SCRIPT)
    (script.folder / "a.txt").unlink()

    answer = Answer(script)

    assert (answer.code, answer.errors) == (0, "")
    assert answer.lines[0] == "Jobs: 1 must run, 1 may run."
    assert [line.partition(" (")[0] for line in answer.lines if line.startswith("    ")] == ["    a.txt", "    b.txt"]
    assert not (script.folder / "a.txt").exists()


def test_no_file_is_made_by_it_not_even_of_modules_that_the_script_imports(script):
    script.write(SCRIPT.replace("ppg.new", "import other\nppg.new"))
    (script.folder / "other.py").write_text("")

    answer = Answer(script, "--script", "script.py")

    assert answer.code == 0
    assert {path.name for path in script.folder.iterdir()} == {"script.py", "other.py"}


def test_of_jobs_and_files_all_is_told(script):
    script.write(SCRIPT)

    answer = Answer(script, "--script", "script.py", "a.txt", "./b.txt", "nothing", "FIa.txt")

    assert answer.code == 1
    assert [line for line in answer.lines if not line.startswith(" ")] == [
        "a.txt (script.py:6) must run",
        "b.txt (script.py:8) must run",
        "FIa.txt (script.py:6) did not change: nothing runs because of it",
    ]
    assert "there is no such job or file\n    name: nothing\n" in answer.errors


def test_arguments_behind_two_dashes_are_the_script_s(script):
    script.run(SCRIPT)

    assert Answer(script, "a.txt").lines == ["a.txt (script.py:6) is up to date"]
    assert Answer(script, "a.txt", "--", "--json", "--").lines[1:] == [
        "    because input changed: PIa.txt",
        "        parameter 'a.txt': 1 -> 3",
    ]


def test_what_if(script):
    script.run(SCRIPT)

    answer = Answer(script, "--changed", "write", "--json")

    facts = json.loads("\n".join(answer.lines))
    assert [(each["job"], each["fate"]) for each in facts["jobs"]] == [("a.txt", "must"), ("b.txt", "may")]
    assert facts["changed"] == ["write"]


def test_json_of_one_job(script):
    script.run(SCRIPT)

    facts = json.loads("\n".join(Answer(script, "b.txt", "--json").lines))

    assert [each["job"] for each in facts["jobs"]] == ["b.txt"]


def test_what_the_script_prints_is_no_answer(script):
    script.write(SCRIPT.replace("ppg.new", "print('hello')\nppg.new"))

    answer = Answer(script, "--script", "script.py", "--json")

    assert json.loads("\n".join(answer.lines))["format"] == 1
    assert answer.errors == "hello\n"


def test_a_script_that_fails_since_nothing_was_made_is_told_of_nevertheless(script):
    script.write(SCRIPT + "open('a.txt')\n")

    answer = Answer(script, "--script", "script.py")

    assert answer.code == 0
    assert answer.lines[0] == "Jobs: 2 must run."
    assert "failed after it had asked for a run (FileNotFoundError in script.py:10)" in answer.errors


def test_of_several_runs_each_is_told(script):
    script.write(SCRIPT + "ppg.FileGeneratingJob('c.txt', write)\nppg.run_pipegraph()\nsys.exit(5)\n")

    answer = Answer(script, "--script", "script.py")

    assert [line for line in answer.lines if line.startswith("Jobs")] == ["Jobs: 2 must run.", "Jobs: 3 must run."]
    assert Answer(script, "--script", "script.py", "c.txt").lines[0] == "c.txt (script.py:10) must run"


def test_of_a_job_of_several_runs_the_last_is_told(script):
    script.write(SCRIPT + "ppg.new_pipegraph()\nppg.FileGeneratingJob('b.txt', write)\nppg.run_pipegraph()\n")

    assert Answer(script, "--script", "script.py", "b.txt").lines[0] == "b.txt (script.py:11) must run"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (None, 2, "pipegraph: can't read the script script.py: No such file or directory\n"),
        ("print(1)", 2, "script.py never called run_pipegraph()"),
        ("def f():\n    raise ValueError('no')\nf()\n", 2, '/script.py", line 5, in <module>\n    f()\n'),
        ("x = (", 2, '/script.py", line 3\n'),
        (SCRIPT.replace("depends_on(a)", "depends_on('x')"), 2, "pipegraph: depends_on was given a name"),
        (SCRIPT.replace("'b.txt'", "'a.txt'"), 2, "\n    first:  FileGeneratingJob, script.py:6\n"),
    ],
)
def test_scripts_that_can_t_be_asked(script, text, code, words):
    if text is not None:
        script.write(text)

    answer = Answer(script, "--script", "script.py")

    assert (answer.code, answer.lines) == (code, [])
    assert words in "\n" + answer.errors
    assert "/cli/" not in answer.errors


def test_where_nothing_ran_a_script_must_be_named(script):
    answer = Answer(script)

    assert answer.code == 1
    assert answer.errors == (
        "pipegraph: no run has left anything here that tells which script it was\nName it: --script SCRIPT.\n"
    )


def test_a_name_that_nothing_has_can_t_have_changed(script):
    script.run(SCRIPT)

    answer = Answer(script, "--changed", "wriet")

    assert answer.code == 2
    assert "changed names something that this graph does not have" in answer.errors


def test_nothing_of_it_is_left_in_this_process(script, monkeypatch, capsys):
    script.write(SCRIPT)
    monkeypatch.chdir(script.folder)
    before = sys.argv, list(sys.path), sys.dont_write_bytecode, wishes.current

    assert main(["why", "--script", "script.py", "--", "more"]) == 0

    assert (sys.argv, sys.path, sys.dont_write_bytecode, wishes.current) == before
    assert capsys.readouterr().out.startswith("Jobs: 2 must run.")


def test_files_that_a_job_opened_undeclared_are_hints(script):
    (script.folder / "notes.txt").write_text("n")
    script.run(
        SCRIPT.replace("output.write_text(output.name)", "output.write_text(open('notes.txt').read()); open('s', 'w')")
    )

    assert Answer(script, "a.txt").lines == [
        "a.txt (script.py:6) is up to date",
        "    hint: notes.txt was read, and is no input",
        "    hint: s was written, and is no output",
    ]
    facts = json.loads("\n".join(Answer(script, "a.txt", "--json").lines))["jobs"][0]
    assert (facts["read"], facts["written"]) == (["notes.txt"], ["s"])


@pytest.mark.parametrize("columns", [100, 50])
def test_a_terminal_shows_tables(script, columns):
    script.write(SCRIPT)
    terminal = AtTerminal([sys.executable, "-m", "pipegraph", "why", "--script", "script.py"], script.folder, columns)
    try:
        assert terminal.wait() == 0
        lines = [line.split() for line in terminal.screen.lines]
        if columns == 100:
            assert ["job", "made", "at", "time", "why"] in lines
            assert ["b.txt", "script.py:8", "?", "never", "made", "here"] in lines
        else:
            assert ["b.txt", "?", "never", "made", "here"] in lines
    finally:
        terminal.close()


# --- the document


def settled(text):
    """Without times, which differ from run to run, and cores, which differ from machine to machine."""
    return re.sub(r"\d+\.\d s|\d+ cores?|\d{4}-\d\d-\d\d [\d:.]+", "N", text)


def test_the_document_shows_what_is_printed(script):
    shutil.copytree(ROOT / "examples" / "why", script.folder, dirs_exist_ok=True)
    subprocess.run(
        [sys.executable, "analysis.py"], cwd=script.folder, env=script.environment, capture_output=True, check=True
    )
    with (script.folder / "raw" / "hela.txt").open("a") as file:
        file.write("more\n")
    os.unlink(script.folder / "report.txt")
    blocks = re.findall(r"\.\. code-block:: text\n\n((?:   .*\n|\n)+)", DOCUMENT)
    assert len(blocks) == 5

    for number, block in enumerate(map(textwrap.dedent, blocks)):
        if number == 3:
            subprocess.run([sys.executable, "analysis.py"], cwd=script.folder, env=script.environment, check=True)
            edited = (script.folder / "analysis.py").read_text().replace("aligned {reads}", "aligned, {reads.strip()}")
            (script.folder / "analysis.py").write_text(edited)
        command, _, shown = block.strip().partition("\n")
        name, *arguments = command.removeprefix("$ pipegraph ").split()
        answer = Answer(script, *arguments, command=name)

        assert answer.errors == ""
        assert settled("\n".join(answer.lines)) == settled(shown)


def test_what_is_to_be_adopted_is_told_so(script):
    script.run(SCRIPT)
    script.write(SCRIPT.replace("output.name)", "output.name * 2)"))
    assert Answer(script, "a.txt", command="adopt").code == 0

    assert Answer(script, "a.txt").lines[-1] == "    its files are adopted if they are there: then nothing is called"
    assert json.loads("\n".join(Answer(script, "a.txt", "--json").lines))["jobs"][0]["adopts"] is True
