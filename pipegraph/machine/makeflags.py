"""MAKEFLAGS: what make says of itself to the programs that it starts, read and written. Pure.

Sources: GNU make manual, "Communicating Options to a Sub-make" and "Integrating GNU make"; what make 4.3 and 4.4.1
write and accept.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# A backslash takes what follows it along. Blanks are what make takes for them.
_WORD = re.compile(r"(?:\\.|[^ \t])+", re.DOTALL)
# Letters before the j are options that take no value: in `-Oj` and `-fj` it is one.
_JOBS = re.compile(r"(-?[BLRSbdehikmnpqrstvw]*)j(\d*)")
_LONG_JOBS = re.compile(r"--jobs(?:=(\d*))?")
# The name before make 4.2, and the one since.
_AUTH = re.compile(r"--jobserver-(?:fds|auth)=(.*)", re.DOTALL)
# What make would take for a variable, or for the end of a word.
_PLAIN = re.compile(r"[A-Za-z0-9_./+,@%:~-]+")


class MakeFlags(NamedTuple):
    """The parts of MAKEFLAGS that a jobserver does not concern, and what is said of one.

    Attributes
    ----------
    letters
        Options of one letter, without a dash, as they stand first; may be empty.
    options
        The others, each as one word; backslashes still stand before what they protect.
    definitions
        Variables that were set on the command line, as options are.
    auth
        How to reach the jobserver: ``fifo:PATH``, or ``R,W``; empty: there is none.
    jobs
        How many run side by side; None: not said, or as many as there are.
    """

    letters: str = ""
    options: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    auth: str = ""
    jobs: int | None = None

    @classmethod
    def read(cls, text: str) -> MakeFlags:
        """Take apart what make, or a person, has put there; never raises. Of several jobservers the last counts."""
        words = _WORD.findall(text)
        definitions: list[str] = []
        if "--" in words:
            end = words.index("--")
            words, definitions = words[:end], words[end + 1 :]
        letters = ""
        if words and not words[0].startswith("-") and "=" not in words[0]:
            letters = words.pop(0)
        found = cls()
        if match := _JOBS.fullmatch(letters):
            letters, found = match[1], found._replace(jobs=_number(match[2]))
            words = words if match[2] else _without_number(words)
        options: list[str] = []
        while words:
            word = words.pop(0)
            if match := _AUTH.fullmatch(word):
                found = found._replace(auth=match[1])
            elif match := _LONG_JOBS.fullmatch(word):
                found = found._replace(jobs=_number(match[1] or _leading(words)))
                words = words if match[1] else _without_number(words)
            elif word.startswith("-") and (match := _JOBS.fullmatch(word)):
                found = found._replace(jobs=_number(match[2] or _leading(words)))
                words = words if match[2] else _without_number(words)
                if match[1] != "-":
                    options.append(match[1])
            elif "=" in word and not word.startswith("-"):
                definitions.append(word)
            else:
                options.append(word)
        return found._replace(letters=letters, options=tuple(options), definitions=tuple(definitions))

    def without_jobserver(self) -> MakeFlags:
        """For programs that can't reach it: make would warn, and use one core."""
        return self._replace(auth="", jobs=None)

    def with_jobserver(self, auth: str, jobs: int) -> MakeFlags:
        """For programs that share in this one, of as many cores."""
        return self._replace(auth=auth, jobs=jobs)

    def __str__(self) -> str:
        """The first word is letters, or empty: make takes it for them."""
        words = [self.letters]
        if self.jobs is not None:
            words.append(f"-j{self.jobs}")
        if self.auth:
            # Those before 4.2 know that name alone, and those since take either.
            if not self.auth.startswith("fifo:"):
                words.append(f"--jobserver-fds={self.auth}")
            words.append(f"--jobserver-auth={self.auth}")
        words += self.options
        if self.definitions:
            words += ["--", *self.definitions]
        return " ".join(words) if len(words) > 1 or self.letters else ""


def is_plain(path: str) -> bool:
    """It can stand in MAKEFLAGS as it is, for all who read that: some undo backslashes and dollars, and some do not."""
    return _PLAIN.fullmatch(path) is not None


def _number(digits: str) -> int | None:
    return int(digits) if digits else None


def _leading(words: list[str]) -> str:
    return words[0] if words and words[0].isdecimal() else ""


def _without_number(words: list[str]) -> list[str]:
    return words[1:] if _leading(words) else words
