"""The commands that can be typed during a run: their names, what they take, and how a line is understood. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple


class Command(NamedTuple):
    """One command."""

    name: str
    argument: str
    help: str


COMMANDS = (
    Command("help", "", "this list"),
    Command("status", "", "where the run stands; so does Enter"),
    Command("running", "", "each running job: since when, memory, process, expected end"),
    Command("waiting", "[JOB]", "jobs that have not begun, and what they wait for"),
    Command("failed", "", "failed jobs, those first that block most"),
    Command("why", "JOB", "why a job runs, ran, waits, or does not run"),
    Command("tail", "JOB", "the end of what a job has printed so far"),
    Command("kill", "JOB", "end a running job; it fails, and everything else goes on"),
    Command("stop", "", "start nothing more, let running jobs finish, then end"),
    Command("abort", "", "end running jobs now, then end; as Ctrl-C does"),
    Command("pause", "", "start nothing until resume; running jobs go on"),
    Command("resume", "", "start jobs again"),
    Command("cores", "N", "use so many cores from now on"),
    Command("again", "", "run the script anew when this run ends; once more: do not"),
)
_BY_NAME = {command.name: command for command in COMMANDS}


class Wish(NamedTuple):
    """A line that was understood."""

    name: str
    argument: str = ""


class NotUnderstoodError(Exception):
    """A line that was not; its text says what would be."""


def parse(line: str) -> Wish:
    """What a line asks for; an empty one asks for the status. Names may be shortened while only one fits.

    Raises
    ------
    NotUnderstoodError
        It is no command, or could be several, or its argument is missing or one too many.
    """
    word, _, argument = line.strip().partition(" ")
    argument = argument.strip()
    if not word:
        return Wish("status")
    word = word.lower()
    fitting = [word] if word in _BY_NAME else [name for name in _BY_NAME if name.startswith(word)]
    if not fitting:
        raise NotUnderstoodError(f"no such command: {word}. help lists them.")
    if len(fitting) > 1:
        raise NotUnderstoodError(f"{word} could be {' or '.join(fitting)}.")
    command = _BY_NAME[fitting[0]]
    if argument and not command.argument:
        raise NotUnderstoodError(f"{command.name} takes nothing behind it.")
    if not argument and command.argument and not command.argument.startswith("["):
        raise NotUnderstoodError(f"{command.name} {command.argument}: {command.help}.")
    return Wish(command.name, argument)


def completions(text: str, job_ids: Iterable[str]) -> list[str]:
    """Whole lines that begin like this one: of commands, and behind one that takes a job, of jobs."""
    word, space, argument = text.lstrip().partition(" ")
    if not space:
        return [name + (" " if command.argument else "") for name, command in _BY_NAME.items() if name.startswith(word)]
    fitting = [name for name in _BY_NAME if name.startswith(word)]
    if len(fitting) != 1 or "JOB" not in _BY_NAME[fitting[0]].argument:
        return []
    argument = argument.lstrip()
    return [f"{fitting[0]} {job}" for job in job_ids if job.startswith(argument)]


def jobs_meant(text: str, job_ids: Iterable[str], most: int = 10) -> list[str]:
    """The jobs that a word may mean: the one of that name, or those whose ids begin with it, or else contain it."""
    ids = list(job_ids)
    if text in ids:
        return [text]
    normal = os.path.normpath(text)
    if normal in ids:
        return [normal]
    return [job for job in ids if job.startswith(text)][:most] or [job for job in ids if text in job][:most]
