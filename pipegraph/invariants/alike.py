"""Functions that were made by the same code, and differ in plain values only: what one was found to be is good for all.

A script that makes its callbacks in a loop has thousands of these. Owns a short cut, and no rule: the text of the first
is taken apart, and must end in what is put together here for it. What is not plain takes the long way each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import NamedTuple

from ..explanations import Explanation, Part
from ..masking import is_secret
from .findings import Followed, Seen
from .shown import value_parts
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


class Account(NamedTuple):
    """Of functions that are alike: what is the same in the explanations of all.

    Attributes
    ----------
    of
        As that of a `Head`.
    parts
        In front of those of what a function has beside its code.
    """

    of: tuple[object, object]
    parts: tuple[Part, ...]
    shared: tuple[tuple[Part, ...], ...]


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


def explained_before(
    function: Callable[..., object] | None, follow: bool, followed: Followed, seen: Seen
) -> Seen | None:
    """`seen` with its explanation, if a function like this was explained; else None."""
    if type(function) is not FunctionType:
        return None
    account = followed.accounts.get((id(function.__code__), id(function.__globals__), follow))
    if account is None:
        return None
    return seen._replace(explanation=Explanation((*account.parts, *_carried_parts(function)), account.shared))


def remember_explained(
    function: Callable[..., object] | None, follow: bool, followed: Followed, explanation: Explanation | None
) -> None:
    """Keep how a function was explained for those that are like it."""
    if type(function) is not FunctionType or explanation is None or _carried(function) is None:
        return
    carried = tuple(_carried_parts(function))
    own = explanation.parts[: len(explanation.parts) - len(carried)]
    if (*own, *carried) == explanation.parts:
        of = function.__code__, function.__globals__
        followed.accounts[id(of[0]), id(of[1]), follow] = Account(of, own, explanation.shared)


def _carried_parts(function: FunctionType) -> Iterator[Part]:
    """Of what it has beside its code, all of it plain; as `encoding.FunctionEncoder` has them."""
    code, defaults = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    values = [(f"default of '{name}'", name, value) for name, value in zip(names, defaults)]
    for name, cell in zip(code.co_freevars, function.__closure__ or ()):
        values.append((f"closure variable '{name}'", name, cell.cell_contents))
    for label, name, value in values:
        yield from value_parts(label, value, _digest_of, is_secret(name))


def _digest_of(value: object) -> str:
    return digest(scalar_text(value) or "")


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
