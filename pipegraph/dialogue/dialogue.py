"""The conversation with whoever sits before the run. Owns the keyboard; asks the board, and wishes of the loop.

Nothing typed can fail a run: what is not understood is answered, what fails is said.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TextIO

from ..errors import shown
from ..keyboard import Keyboard
from ..model import JobId, Printed
from ..watchers.board import Board, JobState
from ..watchers.terminal import FIRST_SECONDS, Terminal
from .commands import COMMANDS, NotUnderstoodError, completions, jobs_meant, parse

_SHOWN_WAITING = 20
_SHOWN_INPUTS = 5
_TAIL_BYTES = 16_000
_TAIL_LINES = 20


class Controls(Protocol):
    """What the loop can do for whoever asks."""

    def look(self, wait_seconds: float) -> None:
        """See what runs, as it is now."""

    def printed(self, job: JobId, most_bytes: int) -> Printed:
        """The end of what a job has printed, so far or in all."""

    def stop(self) -> None:
        """Start nothing more, let running jobs finish, end."""

    def abort(self) -> None:
        """End running jobs, and then the run, as a Ctrl-C does."""

    def kill(self, job: JobId) -> None:
        """End a running job, which fails."""

    def pause(self, is_wanted: bool) -> None:
        """Start nothing, or go on starting."""

    def set_cores(self, cores: int) -> None:
        """Use so many from now on."""

    def waiting_for(self, job: JobId) -> str:
        """What a job waits for that could start otherwise, in words; empty: that is not known."""

    def run_again(self) -> bool:
        """Whether the script is run anew when this run ends, which this call turns around.

        Raises
        ------
        ValueError
            It can't be.
        """


class Dialogue:
    """Reads what is typed, and answers.

    Parameters
    ----------
    terminal
        The live display; None: answers go to `stream`, as they are.
    """

    def __init__(
        self, board: Board, controls: Controls, terminal: Terminal | None, stream: TextIO | None, is_wanted: bool
    ) -> None:
        self._board = board
        self._controls = controls
        self._terminal = terminal
        self._stream = stream
        self._is_wanted = is_wanted
        self._begin_at = time.monotonic() + FIRST_SECONDS
        self._keyboard: Keyboard | None = None
        self._answers: dict[str, Callable[[str], Iterable[Any]]] = {
            "help": self._help,
            "status": self._status,
            "running": self._running,
            "waiting": self._waiting,
            "failed": self._failed,
            "why": self._why,
            "tail": self._tail,
            "kill": self._kill,
            "stop": self._stop,
            "abort": self._abort,
            "pause": lambda argument: self._pause(True),
            "resume": lambda argument: self._pause(False),
            "cores": self._cores,
            "again": self._again,
        }

    def tick(self, now: float) -> None:
        """Listen as soon as there is a display, or a run that takes its time; not for one that is over at once."""
        if not self._is_wanted or now < self._begin_at:
            return
        self._is_wanted = False
        self._keyboard = Keyboard.open(self._terminal is not None, self._complete)
        if self._keyboard is not None and self._terminal is not None:
            self._terminal.input_line = self._keyboard.editor
            self._keyboard.on_return = self._terminal.leave
            self._terminal.draw()

    def fileno(self) -> int:
        """Readable when something was typed; -1: nothing to wait for."""
        return -1 if self._keyboard is None else self._keyboard.fileno()

    def attend(self) -> None:
        """Something was typed: answer what is finished, show the rest."""
        keyboard = self._keyboard
        if keyboard is None:
            return
        for line in keyboard.read():
            self.answer(line)
        if self._terminal is not None:
            if not keyboard.is_open:
                self._terminal.input_line = None
            self._terminal.draw()

    def answer(self, line: str) -> None:
        """Do what one line asks for."""
        from rich.text import Text

        if line.strip():
            self._say([Text(f"> {shown(line)}", "dim")])
        try:
            wish = parse(line)
            self._say(list(self._answers[wish.name](wish.argument)))
        except NotUnderstoodError as error:
            self._say([Text(shown(str(error)), "yellow")])

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._keyboard is not None:
            if self._terminal is not None:
                self._terminal.input_line = None
            self._keyboard.close()

    # --- answers

    def _help(self, argument: str) -> Iterable[Any]:
        from rich.text import Text

        width = max(len(f"{command.name} {command.argument}") for command in COMMANDS)
        for command in COMMANDS:
            usage = f"{command.name} {command.argument}"
            yield Text.assemble("    ", (f"{usage:<{width}}", "cyan"), f"  {command.help}")
        yield Text("    Names may be shortened; for JOB any part of an id does that only one has.", "dim")

    def _status(self, argument: str) -> Iterable[Any]:
        from ..watchers.screen import status_answer

        return status_answer(self._seen())

    def _running(self, argument: str) -> Iterable[Any]:
        from ..watchers.screen import running_answer

        return running_answer(self._seen())

    def _failed(self, argument: str) -> Iterable[Any]:
        from ..watchers.screen import failed_answer

        return failed_answer(self._board.failures(_SHOWN_WAITING), self._board.failed)

    def _waiting(self, argument: str) -> Iterable[Any]:
        from rich.text import Text

        if argument:
            yield from self._why(argument)
            return
        board = self._board
        for number, job in enumerate(board.jobs_in(JobState.WAITING)):
            if number == _SHOWN_WAITING:
                yield Text(f"and {board.waiting - number:,} more", "dim")
                return
            yield Text.assemble((shown(job), "cyan"), f" {self._what_for(job)}")
        if not board.waiting:
            yield Text("Nothing waits.", "dim")

    def _why(self, argument: str) -> Iterable[Any]:
        from rich.text import Text

        board = self._board
        job = self._job(argument, board.jobs(), board.specs)
        spec = board.specs[job]
        state = board.state_of(job)
        yield Text.assemble((shown(job), "cyan"), (f" ({shown(str(spec.place))})", "dim"))
        if state is None:
            yield Text("    is an invariant: it is watched, and never runs")
        elif state is JobState.WAITING:
            yield Text(f"    {self._what_for(job)}")
        elif state is JobState.BLOCKED:
            yield Text(f"    can't run because {shown(board.culprit_of[job])} failed")
        elif state is JobState.UP_TO_DATE:
            yield Text("    is up to date: there is no reason to run it")
        elif state is JobState.NOT_NEEDED:
            yield Text("    is not needed by any job that runs")
        else:
            yield Text(f"    {state.value}")
        for reason in board.reasons_of.get(job, ()):
            yield Text(f"    because {shown(str(reason))}")

    def _tail(self, argument: str) -> Iterable[Any]:
        from rich.text import Text

        board = self._board
        job = self._job(argument, board.running_jobs, board.jobs())
        if board.state_of(job) is JobState.RUNNING:
            self._controls.look(0.15)
        printed = self._controls.printed(job, _TAIL_BYTES)
        if not printed.stdout and not printed.stderr:
            yield Text(f"{shown(job)} has printed nothing.", "dim")
        for name, text, size in (
            ("stdout", printed.stdout, printed.stdout_bytes),
            ("stderr", printed.stderr, printed.stderr_bytes),
        ):
            if text:
                yield Text(f"{name} of {shown(job)}, {size:,} bytes, its end:", "dim")
                lines = [line.rpartition("\r")[2] or line for line in text.rstrip().replace("\r\n", "\n").split("\n")]
                for line in lines[-_TAIL_LINES:]:
                    yield Text(f"    {shown(line.expandtabs())}")

    def _kill(self, argument: str) -> Iterable[Any]:
        from rich.text import Text

        job = self._job(argument, self._board.running_jobs, what="running job")
        self._controls.kill(job)
        yield Text(f"ending {shown(job)}", "yellow")

    def _stop(self, argument: str) -> Iterable[Any]:
        from rich.text import Text

        self._controls.stop()
        running = len(self._board.running_jobs)
        yield Text(
            f"stopping: nothing more is started; {running} running job{'s' * (running != 1)} may finish", "yellow"
        )

    def _abort(self, argument: str) -> Iterable[Any]:
        self._controls.abort()
        return ()

    def _pause(self, is_wanted: bool) -> Iterable[Any]:
        from rich.text import Text

        self._controls.pause(is_wanted)
        yield Text("paused: nothing is started until resume" if is_wanted else "starting jobs again", "yellow")

    def _cores(self, argument: str) -> Iterable[Any]:
        from rich.text import Text

        if not argument.isdecimal() or not 1 <= int(argument) <= 100_000:
            raise NotUnderstoodError(f"cores takes a whole number of at least 1, not {argument}.")
        self._controls.set_cores(int(argument))
        yield Text(f"{int(argument)} core{'s' * (int(argument) != 1)} from now on; what runs goes on")

    def _again(self, argument: str) -> Iterable[Any]:
        from rich.text import Text

        try:
            is_wanted = self._controls.run_again()
        except ValueError as error:
            raise NotUnderstoodError(str(error)) from error
        yield Text("the script runs anew when this run ends" if is_wanted else "the script does not run anew", "yellow")

    # --- what answers are made of

    def _seen(self) -> Any:
        with contextlib.suppress(OSError):
            self._controls.look(0.15)
        return self._board.overview(time.time())

    def _what_for(self, job: JobId) -> str:
        names = self._board.waits_for(job)
        if not names:
            return shown(self._controls.waiting_for(job)) or "waits for its turn"
        more = f" and {len(names) - _SHOWN_INPUTS:,} more" if len(names) > _SHOWN_INPUTS else ""
        return f"waits for {', '.join(map(shown, names[:_SHOWN_INPUTS]))}{more}"

    def _job(self, text: str, *among: Iterable[JobId], what: str = "job") -> JobId:
        """The one job that is meant; what stands in the first of these goes before what stands in the next."""
        found: list[JobId] = []
        for ids in among:
            found = jobs_meant(text, ids)
            if len(found) == 1:
                return found[0]
            if found:
                raise NotUnderstoodError(f"{text} could be {', '.join(found[:5])}{' and others' * (len(found) > 5)}.")
        raise NotUnderstoodError(f"there is no {what} {text}.")

    def _complete(self, text: str) -> list[str]:
        board = self._board
        word = text.split(" ", 1)[0]
        ids: Iterable[JobId] = board.running_jobs if word in ("tail", "kill") else board.jobs()
        return completions(text, ids)

    def _say(self, renderables: list[Any]) -> None:
        if not renderables:
            return
        if self._terminal is not None:
            self._terminal.show(renderables)
        elif self._stream is not None:
            try:
                from rich.console import Console

                console = Console(file=self._stream, highlight=False, markup=False, emoji=False)
                for each in renderables:
                    console.print(each, soft_wrap=True)
                self._stream.flush()
            except (OSError, ValueError):
                self._stream = None
