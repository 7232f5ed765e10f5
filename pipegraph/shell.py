"""What a text means to a shell: whether it needs one at all, how words are quoted, which programs it starts."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from .placeholders import MARK

SHELL = ("bash", "-euo", "pipefail", "-c")
_ODD = r"\0-\x08\x0b-\x1f\x7f"  # bash has its own use for some of them
_WORD = rf"""(?:[\w./:@%+,=-]|'[^'{_ODD}]*'|"[^"$`\\!{_ODD}]*")+"""
_STEP = re.compile(
    rf"(?:(?P<stream>[012]?[<>])(?P<target>&[12]|[ \t]*{_WORD})|(?P<word>{_WORD}))"
    r"(?:[ \t]+(?:\\\n[ \t]*)*|(?=[|<>])|\Z)|(?P<pipe>\|)(?![|&])(?:[ \t\n]|\\\n)*"
)
"""Of words of which a shell makes nothing, with files and pipes: one word, where a stream goes, or the end of one."""
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)["]""")
_BUILT_IN = (
    ". : alias bg bind break builtin caller case cd command compgen complete compopt continue coproc declare dirs "
    "disown do done echo elif else enable esac eval exec exit export false fc fg fi for function getopts hash "
    "help history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return "
    "select set shift shopt source suspend test then time times trap true type typeset ulimit umask unalias unset "
    "until wait while"
)
_SHELL_WORDS = frozenset(_BUILT_IN.split())
_SHOWING = frozenset(("env", "printenv"))
"""Programs that show what bash adds to the environment."""
TWINS = {"echo": "/bin/echo", "false": "/bin/false", "true": "/bin/true"}
"""Programs that do with plain words what the built-in commands of their names do. Not in pipes: a built-in command has
written before the next part could end without having read."""
_OTHER_SHELLS = frozenset((b"BASH_ENV", b"BASHOPTS", b"SHELLOPTS", b"EXECIGNORE", b"BASH_COMPAT"))
"""Variables that make bash understand a text otherwise (bash(1), Shell Variables)."""


class Command(NamedTuple):
    """A program alone, or as a part of a pipe.

    Attributes
    ----------
    stdin, stdout, stderr
        Paths; empty: where it goes if nothing is said; ``&1``, ``&2``: where stdout or stderr would go.
    """

    words: tuple[str, ...]
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""


def without_shell(text: str) -> tuple[Command, ...] | None:
    """The parts of a pipe, or a command alone, that can be started without a shell, as make(1) does it; None if not."""
    text = text.strip(" \t\n")
    found: list[Command] = []
    words: list[str] = []
    streams = ["", "&1", "&2"]
    at, end = 0, len(text)
    while at < end:
        step = _STEP.match(text, at)
        if step is None:
            return None
        at = step.end()
        stream, target, word, is_end = step.groups()
        if word:
            if word.isdigit() and text[step.end("word") : at + 1] in ("<", ">"):
                return None  # the number of a stream
            words.append(_unquoted(word))
        elif stream:
            if not _redirect(streams, stream, target) or (found and streams[0]):
                return None
        elif is_end:
            # A part that does not write to the pipe, or read from it, may end before or after the other one sees that.
            if streams[1] != "&1" or not _is_plain(words, streams) or words[0] in TWINS:
                return None
            found.append(Command(tuple(words), streams[0], "", streams[2] if streams[2] != "&2" else ""))
            words, streams = [], ["", "&1", "&2"]
    if not _is_plain(words, streams) or (found and words[0] in TWINS):
        return None
    stdin, stdout, stderr = streams
    found.append(Command(tuple(words), stdin, stdout if stdout != "&1" else "", stderr if stderr != "&2" else ""))
    return tuple(found)


def _unquoted(word: str) -> str:
    return _QUOTED.sub(lambda found: found[1] or found[2] or "", word) if "'" in word or '"' in word else word


def _redirect(streams: list[str], stream: str, target: str) -> bool:
    """Note where a stream goes; whether that is understood."""
    is_input = stream[-1] == "<"
    number = int(stream[:-1] or not is_input)
    if is_input is not (number == 0):
        return False
    if target[0] == "&":
        streams[number] = streams[int(target[1])]
        return not is_input
    path = _unquoted(target.lstrip(" \t"))
    if path != "/dev/null" and (path in streams or path.startswith(("/dev/", "/proc/", "&"))):
        return False
    is_first = streams[number][:1] in ("", "&")
    streams[number] = path
    return is_first and path != ""


def _is_plain(words: list[str], streams: list[str]) -> bool:
    """Whether this is a program, of which a shell would make nothing else."""
    if not words or (streams[2] == "&1" and streams[1] != "&1"):
        return False
    name = words[0]
    if name in TWINS:
        return len(words) == 1 or (name == "echo" and words[1][:1] != "-" and "\\" not in "".join(words))
    return name not in _SHELL_WORDS and name not in _SHOWING and name[:1] not in ("", "%") and "=" not in name


def is_understood(commands: tuple[Command, ...], environment: Mapping[bytes, bytes]) -> bool:
    """Whether bash, with these variables, would understand the commands as they are written here."""
    if b"~" in environment.get(b"PATH", b"~") or not _OTHER_SHELLS.isdisjoint(environment):
        return False
    for command in commands:
        name = command.words[0]
        if f"BASH_FUNC_{name}%%".encode("utf-8", "surrogateescape") in environment:
            return False
        if name in TWINS and not os.access(TWINS[name], os.X_OK):
            return False
    return True


def quoted(text: str) -> str:
    """For a shell, on one line; what is marked as known later, numbers, stays so."""
    probe = MARK.sub("0", text)
    if shlex.quote(probe) == probe:
        return text
    if probe.isprintable():
        return "'" + text.replace("'", "'\\''") + "'"
    return "$'" + "".join(each if each == "\0" else _in_dollar_quotes(each) for each in text) + "'"


def _in_dollar_quotes(each: str) -> str:
    if each.isprintable():
        return "\\" + each if each in "\\'" else each
    escaped = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(each)
    return escaped or "".join(f"\\x{byte:02x}" for byte in each.encode("utf-8", "surrogateescape"))


_UNREADABLE = re.compile(
    r"<<|\[\[|\(\(|=\(|\b(?:case|function|alias|source|eval|module|conda|mamba|hash)\b|(?:^|[\s;&|(])\.\s|\bPATH=|\(\s*\)"
)
"""Where these stand, a word that looks like a command may be something else, or be defined by the text itself."""
_BEFORE_A_COMMAND = frozenset(("if", "then", "else", "elif", "do", "while", "until", "!", "time", "{"))
_NO_NAME = re.compile(r"[^\w.+-]")


_TOKEN = re.compile(
    r"""(?P<word>(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s;&|<>()'"\\])+)|(?P<operator>[;&|<>()\n]+)|(?P<unended>['"\\])""",
    re.DOTALL,
)
_COMMENT = re.compile(r"(?:^|(?<=[\s;&|]))#.*", re.MULTILINE)


def words_in(text: str) -> list[str]:
    """Words of a text for the shell without their quotes, but for those that it writes to by ``>``.

    None of a text that goes to another folder, where they would be other files.
    """
    found: list[str] = []
    is_target = False
    for token in _TOKEN.finditer(_COMMENT.sub("", text)):
        word, operator = token["word"], token["operator"]
        if token["unended"] or word in ("cd", "pushd"):
            return []
        if word and not is_target:
            found += shlex.split(word) if any(each in word for each in "\\'\"") else [word]
        is_target = bool(operator) and ">" in operator
    return found


def programs_in(text: str) -> list[str]:
    """Names of programs that a text for the shell starts, as far as it can be seen; rather too few than one too many.

    Paths are left out: the text may change the folder, or make the program.
    """
    if _UNREADABLE.search(text):
        return []
    found: list[str] = []
    begins, is_target = True, False
    for token in _TOKEN.finditer(_COMMENT.sub("", text)):
        word, operator = token["word"], token["operator"]
        if token["unended"]:
            return []  # bash will say so
        if operator:
            is_target = operator[-1] in "<>" or operator.endswith((">&", "<&"))
            begins = not is_target and operator[-1] != ")"
        elif is_target:
            is_target = False
        elif begins and "=" not in word and word not in _BEFORE_A_COMMAND:
            begins = False
            if word not in _SHELL_WORDS and not _NO_NAME.search(word):
                found.append(word)
    return list(dict.fromkeys(found))
