"""Functions that were made by the same code, and differ in plain values only: what one was found to be is good for all.

A script that makes its callbacks in a loop has thousands of these. Owns a short cut, and no rule: the text of the first
is taken apart, and must end in what is put together here for it. What is not plain takes the long way each time.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import NamedTuple

from .findings import Followed, Seen
from .values import digest, scalar_text

_new = tuple.__new__

_DESCRIBED = ("=0;S", "=0;L")
"""Begins the text of a callback that goes by what is written in it, or by its code: not by its name."""


class Head(NamedTuple):
    """Of functions that are alike.

    Attributes
    ----------
    of
        Their code and globals: an id is good while its owner lives.
    text
        What is the same in the texts of all.
    """

    of: tuple[object, object]
    text: str
    unwatched: tuple[str, ...]
    remarks: tuple[str, ...]


def seen_before(function: Callable[..., object] | None, follow: bool, followed: Followed) -> Seen | None:
    """What is known of a function, if one like it was met; else None."""
    if type(function) is not FunctionType:
        return None
    head = followed.heads.get((id(function.__code__), id(function.__globals__), follow))
    if head is None:
        return None
    carried = _carried(function)
    if carried is None:
        return None
    seen = digest(head.text + carried), head.unwatched, head.remarks, None
    return _new(Seen, seen)  # What `Seen` does, in a third of the time: there may be a million.


def remember(function: Callable[..., object] | None, follow: bool, followed: Followed, text: str, seen: Seen) -> None:
    """Keep what was found out about a function for those that are like it."""
    if type(function) is not FunctionType or not text.startswith(_DESCRIBED):
        return
    carried = _carried(function)
    if carried is not None and text.endswith(carried):
        of = function.__code__, function.__globals__
        head = Head(of, text[: -len(carried)], seen.unwatched, seen.remarks)
        followed.heads[id(of[0]), id(of[1]), follow] = head


def _carried(function: FunctionType) -> str | None:
    """Text of what it has beside its code, if that is plain; as `encoding.FunctionEncoder` has it."""
    if function.__kwdefaults__ or hasattr(function, "__wrapped__"):
        return None
    text = ""
    defaults, cells = function.__defaults__, function.__closure__
    if defaults:
        code = function.__code__
        text = f"D{len(defaults)}:"
        for name, value in zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults):
            plain = scalar_text(value)
            if plain is None:
                return None
            text += f"{len(name)}:{name}{plain}"
    if cells:
        text += f"C{len(cells)}:"
        try:
            for cell in cells:
                plain = scalar_text(cell.cell_contents)
                if plain is None:
                    return None
                text += plain
        except ValueError:
            return None  # Not assigned yet.
    return text + "."
