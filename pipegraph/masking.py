"""Secrets in what people are shown: told by their names, and by where they stand."""

from __future__ import annotations

import functools
import re

HIDDEN = "(not shown)"
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase|code)|secret|credential|(api|private|access|signing|encryption)_?key|bearer|cookie"
    r"|tokens?(_|$)|(^|_)(pwd|auth|authorization|authentication)(_|$)"
)
_LETTER_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_QUOTED = r""" \(not\ shown\) | \\?"(?:[^"\\]|\\.)*" | \\?'(?:[^'\\]|\\.)*' """
# name=value, "name": value, and the arguments of repr; `==` compares.
_NAMED = re.compile(rf"""(?<![\w.-])([\w.-]+)(\\?["']\s*:\s*|\s*=(?!=)\s*)({_QUOTED}|[^\s,;&)}}\]'"]+)""", re.VERBOSE)
_NAMED_IN_SOURCE = re.compile(
    rf"""(?<![\w.-])([\w.-]+)(\\?["']\s*:\s*|\s*=(?!=)\s*)([bruf]?(?:{_QUOTED}))""", re.VERBOSE
)
_IN_ADDRESS = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_IN_HEADER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)


def is_secret(name: object) -> bool:
    """Whether what has this name is not to be shown."""
    return isinstance(name, str) and _is_secret(name[:200])


@functools.lru_cache(maxsize=1000)  # few names, of many jobs
def _is_secret(name: str) -> bool:
    words = _LETTER_CASE.sub("_", name).lower().replace("-", "_").replace(".", "_").strip("_")
    return _SECRET_NAME.search(words) is not None


def masked_text(text: str) -> str:
    """Text from anywhere, without the values that have the name of a secret."""
    text = _NAMED.sub(_hide, text)
    text = _IN_ADDRESS.sub(rf"\1:{HIDDEN}@", text)
    return _IN_HEADER.sub(rf"\1 {HIDDEN}", text)


def masked_source(text: str) -> str:
    """Text of a script: only what stands there as a value is a secret."""
    return _IN_ADDRESS.sub(rf"\1:{HIDDEN}@", _NAMED_IN_SOURCE.sub(_hide, text))


def _hide(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{HIDDEN}" if is_secret(found[1]) else found[0]
