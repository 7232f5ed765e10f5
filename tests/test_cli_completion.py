"""``pipegraph completion``: what a shell completes, in real shells where they are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from commands import pipegraph
from scripts import ROOT
from terminals import AtTerminal

from pipegraph.cli import main

JOBS = """
ppg.new_pipegraph()
for name in ("out/a.tsv", "out/a.bam", "out/deep/c.tsv", "other.tsv", "out/with space.tsv"):
    ppg.FileGeneratingJob(name, lambda output: output.write_text("x"))
ppg.MultiFileGeneratingJob(["pair/1.fq", "pair/2.fq"], lambda files: [file.write_text("x") for file in files])
ppg.run_pipegraph()
"""


@pytest.fixture
def bash(script):
    """A person at bash, with the command on the path."""
    script.run(JOBS)
    command = script.folder / "bin" / "pipegraph"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipegraph "$@"\n')
    command.chmod(0o755)
    terminal = AtTerminal(
        ["bash", "--norc", "--noprofile", "-i"],
        script.folder,
        columns=200,
        PATH=f"{command.parent}:/usr/bin:/bin",
        PS1="$ ",
        HISTFILE="",
        PYTHONPATH=str(ROOT),
    )
    terminal.type("bind 'set bell-style none'; source <(pipegraph completion bash); echo rea''dy\r")
    terminal.wait_for("\nready")
    try:
        yield terminal
    finally:
        terminal.close()
        script.end()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pipegraph dep\t", "$ pipegraph dependents"),
        ("pipegraph run --dr\t", "$ pipegraph run --dry-run"),
        ("pipegraph forget ot\t", "$ pipegraph forget other.tsv"),
        ("pipegraph touch out/de\tc\t", "$ pipegraph touch out/deep/c.tsv"),
        ("pipegraph inputs pai\t2\t", "$ pipegraph inputs pair/2.fq"),
        ("pipegraph -C . forget out/w\t", "$ pipegraph -C . forget out/with\\ space.tsv"),
        ("pipegraph forget out/with\\ s\t", "$ pipegraph forget out/with\\ space.tsv"),
        (
            "pipegraph run scri\t--only other.tsv out/de\tc\t",
            "$ pipegraph run script.py --only other.tsv out/deep/c.tsv",
        ),
    ],
)
def test_bash_completes_commands_options_names_and_files(bash, typed, completed):
    bash.type(typed)
    bash.wait_for(completed)


def test_names_go_to_the_next_slash(script):
    script.run(JOBS)

    assert pipegraph(script, "__names") == (0, "other.tsv\nout/\npair/\n", "")
    assert pipegraph(script, "__names", "out/a").stdout == "out/a.bam\nout/a.tsv\n"
    assert pipegraph(script, "__names", "--", "-x").stdout == ""


def test_names_where_nothing_is_known_are_none(script):
    assert pipegraph(script, "__names", "x") == (0, "", "")


def test_the_hidden_command_is_not_told_of(script):
    assert "__names" not in pipegraph(script, "--help").stdout
    assert "__names" in pipegraph(script, "completion", "bash").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_takes_its_script(shell, capsys):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    for command in ("run", "status", "inputs", "touch", "clean"):
        assert command in text
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    told = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, check=False)

    assert told.stderr == ""


def test_an_unknown_shell_is_refused(script):
    ended = pipegraph(script, "completion", "csh")

    assert ended.code == 2
    assert "invalid choice: 'csh'" in ended.stderr
