"""What stands in a command for something that is known later: files when it is declared, cores when it starts.

As text ``{output}``, ``{input[reads]}``, ``{cores}``; or as these objects, which are such text: ``["-@", cores]``,
``f"-@{cores}"``, ``input["reads"]``. Owns the names, how they are found in a text, and how late ones are filled in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from .model import Grant

FILES = ("output", "outputs", "input", "inputs")
LATE = ("cores", "memory", "memory_mb", "memory_gb", "temp")
"""Known when the job starts."""
NAMES = (*FILES, *LATE)

# Not behind a dollar, where it is the shell's.
_MIB, _GIB = 1 << 20, 1 << 30
_PLACEHOLDER = re.compile(
    r"(?<!\$)(?:\{\{(?P<literal>[A-Za-z_]\w*(?:\[[^\]{}]*\])?)\}\}|\{(?P<name>[A-Za-z_]\w*)(?:\[(?P<key>[^\]{}]*)\])?\})"
)
# No argument of a program can hold a zero byte.
MARK = re.compile("\0(\\w+)\0")


class Placeholder(str):
    """Text that stands for something; with a key, for one of several."""

    __slots__ = ()

    def __getitem__(self, key: object) -> Placeholder:
        return Placeholder(f"{self.removesuffix('}')}[{key}]}}")


output = Placeholder("{output}")
outputs = Placeholder("{outputs}")
input = Placeholder("{input}")  # noqa: A001 - what it is called in the text
inputs = Placeholder("{inputs}")
cores = Placeholder("{cores}")
memory = Placeholder("{memory}")
memory_mb = Placeholder("{memory_mb}")
memory_gb = Placeholder("{memory_gb}")
temp = Placeholder("{temp}")


def marked(name: str) -> str:
    """What stands for something known late, in text that has been looked through."""
    return f"\0{name}\0"


def replaced(text: str, value_of: Callable[[str, str | None], str]) -> str:
    """The text with a value for each placeholder, and ``{word}`` where ``{{word}}`` stood.

    Parameters
    ----------
    value_of
        Given the name and the key, or None if there is none; may raise.
    """

    def value(found: re.Match[str]) -> str:
        return f"{{{found['literal']}}}" if found["literal"] else value_of(found["name"], found["key"])

    return _PLACEHOLDER.sub(value, text) if "{" in text else text


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with values for what is known now; what has none stays marked."""
    if "\0" not in text:
        return text
    return MARK.sub(lambda found: values.get(found[1], found[0]), text)


def numbers_of(granted: Grant) -> dict[str, str]:
    """What placeholders of cores and memory stand for."""
    bytes_ = granted.memory_bytes
    return {
        "cores": str(granted.cores),
        "memory": str(bytes_),
        "memory_mb": str(max(1, bytes_ // _MIB)),
        "memory_gb": str(max(1, bytes_ // _GIB)),
    }


def unmarked(text: str) -> str:
    """As it is written: ``{cores}``."""
    return MARK.sub(r"{\1}", text)
