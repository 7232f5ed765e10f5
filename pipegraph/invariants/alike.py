"""Functions that were made by the same code, and differ in plain values only: what one was found to be is good for all.

A script that makes its callbacks in a loop has thousands of these. What differs is what a function closes over and its
defaults, or the arguments of a `functools.partial`. Owns a short cut, and no rule: the text of the first is taken
apart, and must begin and end with what is put together here for it. What is not plain takes the long way each time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

from ..explanations import Explanation, Part
from ..masking import is_secret
from .findings import Followed, Seen
from .shown import value_parts
from .values import LONG_TEXT, digest, flat_text, scalar_text

_new = tuple.__new__

_Key: TypeAlias = tuple[int, int, bool, bool]
_Callback: TypeAlias = "Callable[..., object] | None"

_FIRST = "=0;"
_PARTIAL = "G17:functools.partial=1;"
"""Text of a partial of a function that is described behind it, without its arguments."""
_DESCRIBED = ("S", "L")
"""Begins the text of a function that goes by what is written in it, or by its code: not by its name."""


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
        Between those of the arguments of a partial and those of what a function has beside its code.
    """

    of: tuple[object, object]
    parts: tuple[Part, ...]
    shared: tuple[tuple[Part, ...], ...]


def seen_before(function: _Callback, follow: bool, followed: Followed) -> Seen | None:
    """What is known of a function, if one like it was met; else None."""
    kind = type(function)
    if kind is FunctionType:
        is_partial, called = False, function
    elif kind is partial:
        is_partial, called = True, function.func  # type: ignore[union-attr]
        if type(called) is not FunctionType:
            return None
    else:
        return None
    head = followed.heads.get((id(called.__code__), id(called.__globals__), follow, is_partial))  # type: ignore[union-attr]
    if head is None:
        return None
    carried = _carried(called)  # type: ignore[arg-type]
    if carried is None:
        return None
    if is_partial:
        given = _given(function)
        if given is None:
            return None
        text = _FIRST + given + head.text + carried
    else:
        text = _FIRST + head.text + carried
    # What `Seen` does, in a third of the time: there may be a million.
    return _new(Seen, (digest(text), head.unwatched, head.remarks, None))


def remember(function: _Callback, follow: bool, followed: Followed, text: str, seen: Seen) -> None:
    """Keep what was found out about a function for those that are like it."""
    called = _called(function)
    if called is None:
        return
    given, carried = "" if called is function else _given(function), _carried(called)
    if given is None or carried is None:
        return
    begin = _FIRST + given
    if text.startswith(begin) and text.startswith(_DESCRIBED, len(begin)) and text.endswith(carried):
        head = Head(_of(called), text[len(begin) : -len(carried)], seen.unwatched, seen.remarks)
        followed.heads[_key(function, called, follow)] = head


def explained_before(function: _Callback, follow: bool, followed: Followed, seen: Seen) -> Seen | None:
    """`seen`, which is of this function, with its explanation, if one like it was explained; else None."""
    called = _called(function)
    if called is None:
        return None
    account = followed.accounts.get(_key(function, called, follow))
    if account is None:
        return None
    given = () if called is function else _given_parts(function)
    explanation = _new(Explanation, ((*given, *account.parts, *_carried_parts(called)), account.shared))
    return _new(Seen, (*seen[:3], explanation))


def remember_explained(function: _Callback, follow: bool, followed: Followed, explanation: Explanation | None) -> None:
    """Keep how a function was explained for those that are like it."""
    called = _called(function)
    if called is None or explanation is None or _carried(called) is None:
        return
    given: list[Part] = []
    if type(function) is partial:
        if _given(function) is None:
            return
        given = _given_parts(function)
    parts, carried = explanation.parts, _carried_parts(called)
    own = parts[len(given) : len(parts) - len(carried)]
    if (*given, *own, *carried) == parts:
        account = Account(_of(called), own, explanation.shared)
        followed.accounts[_key(function, called, follow)] = account


def _called(function: _Callback) -> FunctionType | None:
    """The function that is called, by itself or by a partial; None for other things."""
    called = function.func if type(function) is partial else function
    return called if type(called) is FunctionType else None


def _of(called: FunctionType) -> tuple[object, object]:
    return called.__code__, called.__globals__


def _key(function: _Callback, called: FunctionType, follow: bool) -> _Key:
    return id(called.__code__), id(called.__globals__), follow, called is not function


def _given(given: Any) -> str | None:
    """Text of a partial and its arguments, if these are plain; as `encoding.FunctionEncoder` has it."""
    texts = _texts_given(given)
    return None if texts is None else f"{_PARTIAL}{texts[0]}{texts[1]}"


def _texts_given(given: Any) -> tuple[str, str] | None:
    """Texts of what a partial has by order and by name."""
    args, keywords = given.args, given.keywords
    text = f"t{len(args)}:"
    for value in args:
        plain = scalar_text(value)
        if plain is None:
            return None
        text += plain
    named = flat_text(keywords) if keywords else "d0:"
    return None if named is None or len(text) > LONG_TEXT else (text, named)


def _given_parts(given: Any) -> list[Part]:
    """Of a partial, whose arguments are plain, and what it is."""
    texts = _texts_given(given)
    assert texts is not None
    parts: list[Part] = []
    for value, text in zip((given.args, given.keywords), texts):
        parts += value_parts("argument of partial", value, partial(_digest_within, value, text))
    name = "functools.partial"
    parts.append(_new(Part, ("the object that is called", name, digest(f"{_PARTIAL}{texts[0]}{texts[1]}"))))
    return parts


def _digest_within(whole: object, text: str, value: object) -> str:
    return digest(text) if value is whole else _digest_of(value)


def _carried_parts(function: FunctionType) -> list[Part]:
    """Of what it has beside its code, all of it plain; as `encoding.FunctionEncoder` has them."""
    code = function.__code__
    parts: list[Part] = []
    if defaults := function.__defaults__:
        names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        for name, value in zip(names, defaults):
            parts += value_parts(f"default of '{name}'", value, _digest_of, is_secret(name))
    if cells := function.__closure__:
        for name, cell in zip(code.co_freevars, cells):
            parts += value_parts(f"closure variable '{name}'", cell.cell_contents, _digest_of, is_secret(name))
    return parts


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
