"""What a text means to a shell: whether it needs one at all, how words are quoted, which programs it starts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from .placeholders import MARK

SHELL = ("bash", "-euo", "pipefail", "-c")
# Words without anything that a shell would make something of, and where its output or input goes.
_PLAIN = re.compile(r"\s*([\w./:@%+,=-]+(?:[ \t]+[\w./:@%+,=-]+)*)((?:[ \t]*[<>][ \t]*[\w./:@%+,=-]+)*)\s*")
_REDIRECTION = re.compile(r"([<>])\s*([^\s<>]+)")
_NUMBERED = re.compile(r"\d[<>]")
_BUILT_IN = (
    ". : alias bg bind break builtin caller case cd command compgen complete compopt continue coproc declare dirs "
    "disown do done echo elif else enable esac eval exec exit export false fc fg fi for function getopts hash "
    "help history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return "
    "select set shift shopt source suspend test then time times trap true type typeset ulimit umask unalias unset "
    "until wait while"
)
_SHELL_WORDS = frozenset(_BUILT_IN.split())


def without_shell(text: str, environment: Mapping[bytes, bytes]) -> tuple[tuple[str, ...], str, str] | None:
    """Words, stdin and stdout of a command that needs no shell, as make(1) does it; None if it does."""
    found = _PLAIN.fullmatch(text)
    if found is None:
        return None
    words = tuple(found[1].split())
    if (
        words[0] in _SHELL_WORDS
        or "=" in words[0]
        or f"BASH_FUNC_{words[0]}%%".encode() in environment
        or _NUMBERED.search(text)
    ):
        return None
    streams = dict(_REDIRECTION.findall(found[2]))
    if len(streams) < found[2].count("<") + found[2].count(">"):
        return None
    return words, streams.get("<", ""), streams.get(">", "")


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
