"""What a command job is told to run: read from what a script says, and made into what is started.

Owns what placeholders of files stand for, and the line that a person can paste. What is known only when the job starts
stays marked (see `placeholders`). Starts nothing.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from ..explanations import Explanation, Part
from ..invariants.parameters import fingerprint_parameters
from ..masking import HIDDEN, is_secret, masked_text
from ..model import Grant
from ..placeholders import FILES, LATE, NAMES, filled, marked, numbers_of, replaced, unmarked
from ..programs import Launch
from ..shell import SHELL, Command, is_understood, programs_in, quoted, without_shell, words_in
from .base import Job, OutputFile

Keyed = Mapping[str, Sequence[str]]
"""Paths, by the key or the number under which placeholders know them."""

Refuse = Callable[[str, Iterable[tuple[str, object]], str], NoReturn]
"""Raises an error of this headline, these facts and this mend."""

_SHOWN_ON_ONE_LINE = 100
_PROJECT = marked("project")


class Recipe(NamedTuple):
    """All that counts of a command.

    Attributes
    ----------
    command
        Words, or the text of a shell.
    folder
        Where it works, below which paths are not; empty: where the run does.
    environment
        What differs from that of the script; None: not set.
    """

    command: tuple[str, ...] | str
    folder: str = ""
    environment: tuple[tuple[str, str | None], ...] = ()
    stdout: str = ""
    stderr: str = ""
    exit_codes: tuple[int, ...] = (0,)

    def launch(self, granted: Grant, directory: str, environment: Mapping[bytes, bytes]) -> Launch:
        """Ready to be started in this directory, which is the project's, with these variables and those of its own."""
        values: dict[str, str] = {}
        if self.environment or "\0" in "".join(self.command):
            values = {"project": directory, "temp": granted.folder, **numbers_of(granted)}
        if self.environment:
            own = {os.fsencode(name): value for name, value in self.environment}
            environment = {name: value for name, value in environment.items() if name not in own}
            environment |= {
                name: os.fsencode(filled(value, values)) for name, value in own.items() if value is not None
            }
        if values and self._needs_folder:
            os.makedirs(granted.folder, 0o700, exist_ok=True)
        text = ""
        if isinstance(self.command, str):
            text = self.command
            if "\0" in text:
                text = filled(text, {name: shlex.quote(value) for name, value in values.items()})
            commands = None if self.folder else without_shell(text)
            if commands is None or not is_understood(commands, environment):
                commands = (Command((*SHELL, text)),)
                text = ""
        else:
            commands = (Command(tuple([filled(word, values) for word in self.command])),)
        launch = Launch(commands, environment, text, self.folder, self.stdout, self.stderr, self.exit_codes)
        if granted.access is None:
            return launch
        from ..machine.jobserver import Access, for_program

        environment, opens = for_program(Access._make(granted.access), environment)
        return launch._replace(environment=environment, opens=opens)

    @property
    def _needs_folder(self) -> bool:
        return marked("temp") in "".join([*self.command, *(value or "" for _, value in self.environment)])

    def line(self, directory: str) -> str:
        """One line to paste into a terminal in the project's directory, without secrets; numbers are still marked."""
        values = {"project": shlex.quote(directory), "temp": '"$temp"'}
        if not isinstance(self.command, str):
            line = " ".join("".join(_quoted_parts(word, values)) for word in self.command)
        elif self._is_one_program:
            line = filled(self.command, values).strip()
        else:
            line = f"{' '.join(SHELL)} {quoted(filled(self.command, values))}"
        line = masked_text(line)
        variables = [f"-u {quoted(name)}" for name, value in self.environment if value is None]
        for name, value in self.environment:
            if value is not None:
                shown = quoted(HIDDEN) if is_secret(name) else "".join(_quoted_parts(value, values))
                variables.append(f"{quoted(name)}={shown}")
        if not all(each.partition("=")[0].isidentifier() for each in variables):
            variables.insert(0, "env")
        line = " ".join([*variables, line])
        if self.folder:
            line = f"(cd {quoted(self.folder)} && {line})"
        if self.stdout:
            line += f" > {quoted(self.stdout)}"
        if self.stderr:
            line += " 2>&1" if self.stderr == self.stdout else f" 2> {quoted(self.stderr)}"
        return f"export temp=$(mktemp -d); {line}" if self._needs_folder else line

    @property
    def _is_one_program(self) -> bool:
        """The text needs no shell, nor what a shell is told of pipes; on one line."""
        if self.folder or not isinstance(self.command, str) or "\n" in self.command.strip():
            return False
        commands = without_shell(_probe(self.command))
        return commands is not None and len(commands) == 1

    @property
    def program(self) -> str:
        """The first of the words, to be started from the project's directory, by who has another PATH."""
        name = self.command[0]
        if "/" in name:
            return name.replace(_PROJECT, ".") if name.startswith(_PROJECT) else os.path.join(self.folder, name)
        path = dict(self.environment).get("PATH")
        if path is None:
            return name
        import shutil

        return shutil.which(name, path=path) or name

    def programs(self) -> list[str]:
        """What has to be installed, as far as that can be seen."""
        if not isinstance(self.command, str):
            return [] if "\0" in self.command[0] else [self.command[0]]
        found = programs_in(self.command)
        return found if not self.folder and without_shell(_probe(self.command)) else [*found, SHELL[0]]

    def paths(self, directory: str) -> Iterator[str]:
        """Words, and what follows a ``=`` in them, as if they were paths; those below the project's directory."""
        if isinstance(self.command, str):
            words: Sequence[str] = words_in(self.command)
        else:
            words = self.command if "/" in self.command[0] else self.command[1:]
        below, project = directory.rstrip("/") + "/", f"{_PROJECT}/"
        for word in words:
            for name in (word, word.partition("=")[2]) if "=" in word else (word,):
                if name.startswith(project):
                    name = name[len(project) :]
                elif self.folder:
                    name = os.path.join(self.folder, name)
                if name[:1] in "/." or "/." in name or "//" in name:
                    name = os.path.normpath(os.path.join(directory, name))
                    name = name[len(below) :] if name.startswith(below) else ""
                if name and "\0" not in name:
                    yield name

    def explanation(self) -> Explanation:
        """What of it counts, for people to compare."""
        if isinstance(self.command, str):
            text = self.command
        else:
            text = " ".join(map(quoted, self.command))
            if len(text) > _SHOWN_ON_ONE_LINE:
                text = "\n".join(map(quoted, self.command))
        parts = [
            ("shell command" if isinstance(self.command, str) else "command", text, False),
            ("working directory of the command", self.folder, False),
            ("stdout of the command", self.stdout, False),
            ("stderr of the command", self.stderr, False),
            ("expected exit status", ", ".join(map(str, self.exit_codes)), False),
        ]
        for name, value in self.environment:
            parts.append((f"environment variable {name}", "(not set)" if value is None else value, is_secret(name)))
        return Explanation(tuple(_part(*each) for each in parts if each[1]))

    def fingerprint(self) -> str:
        """Of all of it."""
        return fingerprint_parameters(tuple(self))


def read_recipe(
    command: str | Sequence[Any],
    outputs: Keyed,
    inputs: Keyed,
    folder: str,
    environment: Mapping[str, Any],
    streams: Mapping[str, Any],
    exit_codes: tuple[int, ...],
    refuse: Refuse,
) -> Recipe:
    """What a script says of a command, with its files' names in it.

    Parameters
    ----------
    streams
        ``stdout`` and ``stderr``, as given.
    """
    reader = _Reader({"output": outputs, "input": inputs}, bool(folder), refuse)
    words: tuple[str, ...] | str
    if isinstance(command, str):
        words = reader.text(command, " ".join, shlex.quote)
        is_empty = not words.strip()
    else:
        words = tuple([word for each in command for word in reader.words(each)])
        is_empty = not words or not words[0]
    if is_empty:
        refuse("a command without a program", [("command", repr(command))], "Name one.")
    return Recipe(
        words,
        folder,
        tuple(
            (reader.name(name), None if value is None else reader.word(value)) for name, value in environment.items()
        ),
        reader.stream("stdout", streams["stdout"]),
        reader.stream("stderr", streams["stderr"]),
        exit_codes,
    )


class _Reader:
    """Puts the names of files where placeholders stand for them."""

    def __init__(self, files: Mapping[str, Keyed], is_elsewhere: bool, refuse: Refuse) -> None:
        self._files = files
        self._is_elsewhere = is_elsewhere
        self._refuse = refuse

    def words(self, given: Any) -> Iterable[str]:
        """The arguments that one element of a list becomes: several, if it is a placeholder of several files."""
        if isinstance(given, str) and given.startswith("{"):
            found: list[str] = []

            def keep(paths: Iterable[str]) -> str:
                found.extend(paths)
                return "\0"

            if self.text(str(given), keep, str) == "\0":
                return found
        return (self.word(given),)

    def word(self, given: Any) -> str:
        """One argument, or value of a variable."""
        if isinstance(given, (Job, OutputFile)):
            self._refuse(
                "a job as an argument of a command",
                [("argument", repr(given))],
                "Give it as one of the inputs, and say {input} or {input[key]} here.",
            )
        if isinstance(given, bool) or not isinstance(given, (str, os.PathLike, int, float)):
            self._refuse(
                "an argument that is neither text, nor a path, nor a number",
                [("argument", f"{given!r:.80} ({type(given).__name__})")],
                "Convert it to text.",
            )
        text = str(given)
        return self.text(text, self._only, str) if isinstance(given, str) else self._checked(text)

    def name(self, given: Any) -> str:
        """Of a variable."""
        if not isinstance(given, str) or not given or "=" in given:
            self._refuse("a variable of a name that there can't be", [("name", repr(given))], "Give text without `=`.")
        return self._checked(given)

    def stream(self, name: str, given: Any) -> str:
        """The output to which stdout or stderr goes."""
        if given is None:
            return ""
        path = os.path.normpath(self.word(given).removeprefix(f"{_PROJECT}/"))
        there = [each for paths in self._files["output"].values() for each in paths]
        if path not in there:
            self._refuse(
                f"{name} goes to a file that is no output of the job",
                [(name, path), *(("output", each) for each in there)],
                f'Add it to the outputs. For the only one, say {name}="{{output}}".',
            )
        return path

    def text(self, text: str, joined: Callable[[Iterable[str]], str], quote: Callable[[str], str]) -> str:
        """Text with names in the place of the placeholders."""

        def value(name: str, key: str | None) -> str:
            if name in FILES:
                return joined([self._shown(path, quote) for path in self._paths(text, name, key)])
            if name in LATE and key is None:
                return marked(name)
            return self._refuse_placeholder(text, name, key)

        return replaced(self._checked(text), value)

    def _checked(self, text: str) -> str:
        try:
            is_passable = b"\0" not in os.fsencode(text)
        except UnicodeEncodeError:
            is_passable = False
        if not is_passable:
            self._refuse(
                "text that no program can be given",
                [("text", ascii(text)[:1000])],
                "Leave out zero bytes, and halves of characters.",
            )
        return text

    def _refuse_placeholder(self, text: str, name: str, key: str | None) -> NoReturn:
        written = f"{{{name}}}" if key is None else f"{{{name}[{key}]}}"
        self._refuse(
            f"a command with a placeholder that there is not: {written}",
            [("command", text), ("there are", " ".join(f"{{{each}}}" for each in NAMES))],
            f"For {written} itself, write {{{written}}}.",
        )

    def _paths(self, text: str, name: str, key: str | None) -> list[str]:
        one = name.removesuffix("s")
        groups = self._files[one]
        there = [("command", text), (f"{one}s", ", ".join(f"{{{one}[{each}]}}" for each in groups) or "none")]
        if key is not None:
            key = key.strip("'\"")
            if key not in groups:
                self._refuse(f"a command with an {one} that the job does not have: {key}", there, "Name one of these.")
            return list(map(_plain, groups[key]))
        if name == one and len(groups) != 1:
            mend = f"Say {{{one}s}} for all, or one by its key or number." if groups else f"Give the job {one}s."
            self._refuse(f"a command with {{{one}}}, of which the job has {len(groups) or 'none'}", there, mend)
        return [_plain(path) for group in groups.values() for path in group]

    def _shown(self, path: str, quote: Callable[[str], str]) -> str:
        return f"{_PROJECT}/{quote(path)}" if self._is_elsewhere and path[0] != "/" else quote(path)

    def _only(self, paths: Iterable[str]) -> str:
        paths = list(paths)
        if len(paths) != 1:
            self._refuse(
                "a command with several files inside of one argument"
                if paths
                else "a command with no file for its place",
                [("files", ", ".join(paths) or "none")],
                "Let the placeholder be an argument of its own, or name one of them.",
            )
        return paths[0]


def _plain(path: str) -> str:
    """The path so that no program takes it for an option, nor awk(1) for a variable that is set."""
    return f"./{path}" if path.startswith("-") or "=" in path.partition("/")[0] else path


def _probe(text: str) -> str:
    """The text as it might be, to see whether it needs a shell."""
    return filled(text, dict.fromkeys((*LATE, "project"), "1"))


def _quoted_parts(word: str, values: Mapping[str, str]) -> list[str]:
    """Marks that stand for what a shell has to replace are not quoted."""
    parts = []
    for name in ("project", "temp"):
        before, mark, word = word.partition(marked(name))
        if mark:
            parts += [quoted(before) if before else "", values[name]]
        else:
            word = before
    return [*parts, quoted(word)] if word or not parts else parts


def _part(name: str, text: str, is_hidden: bool) -> Part:
    text = unmarked(text)
    shown = HIDDEN if is_hidden else masked_text(text)
    return Part(name, shown, "" if shown == text else fingerprint_parameters(text))
