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


def programs_in(text: str) -> list[str]:
    """Names of programs that a text for the shell starts, as far as it can be seen; rather too few than one too many.

    Paths are left out: the text may change the folder, or make the program.
    """
    if _UNREADABLE.search(text):
        return []
    words = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
    words.whitespace = " \t"
    words.wordchars += "@%+,:{}$!^[]"
    found: list[str] = []
    begins = True
    is_target = False
    try:
        for word in words:
            if (word[0] in "<>" and "(" not in word) or word == "&>":
                is_target = True
            elif word[0] in "();|&\n<>":
                begins, is_target = word[-1] != ")", False
            elif is_target:
                is_target = False
            elif begins:
                if "=" in word or word in _BEFORE_A_COMMAND:
                    continue
                begins = False
                if word not in _SHELL_WORDS and not _NO_NAME.search(word):
                    found.append(word)
    except ValueError:
        return []  # quotes that don't end: bash will say so
    return list(dict.fromkeys(found))
