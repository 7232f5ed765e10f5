"""Values as people read them, each entry of a nested one by its path. What is not shown is compared all the same."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ..explanations import Part
from ..masking import HIDDEN, is_secret, masked_text
from .beginning import is_record
from .values import type_name

_new = tuple.__new__
_MOST_ENTRIES = 200
_DEEPEST = 8
_SCALARS = frozenset((str, bytes, int, float, bool, complex, type(None)))
_NUMBERS = frozenset((int, float, bool, complex, type(None)))
_MOST_CHARACTERS = 1000
_SHORT = 1 << 64
_ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")
"""Where an object is in memory, which says nothing."""
_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = _shortened.maxlong = _MOST_CHARACTERS
_shortened.maxlist = _shortened.maxtuple = _shortened.maxdict = _shortened.maxset = _shortened.maxfrozenset = 20


def value_parts(name: str, value: object, digest_of: Callable[[Any], str], is_hidden: bool = False) -> Iterator[Part]:
    """Parts of a value: itself, or its entries, named by their paths: ``closure variable 'sizes'['small'][0]``.

    Parameters
    ----------
    is_hidden
        It has the name of a secret.
    """
    if type(value) in _SCALARS:
        entries = [(name, value, is_hidden)]
    else:
        entries = list(islice(_entries(name, value, is_hidden, ()), _MOST_ENTRIES + 1))
    if len(entries) > _MOST_ENTRIES:
        entries = [(name, value, is_hidden)]
    for path, entry, is_hidden in entries:
        text = HIDDEN if is_hidden else shown_value(entry)
        # What is not shown completely, or says little of itself, is compared by more than its text.
        is_plain = type(entry) in _SCALARS and len(text) < _MOST_CHARACTERS and HIDDEN not in text
        yield _new(Part, (path, text, "" if is_plain else digest_of(entry)))


def shown_value(value: object) -> str:
    """On one line, not too long, and without addresses in memory."""
    if type(value) in _NUMBERS and (type(value) is not int or -_SHORT < value < _SHORT):
        return repr(value)
    try:
        return masked_text(_ADDRESS.sub("", " ".join(_shortened.repr(value).split())))
    except Exception:
        return f"<{type_name(type(value))}>"


def _entries(path: str, value: Any, is_hidden: bool, around: tuple[int, ...]) -> Iterator[tuple[str, object, bool]]:
    """Paths and values, and whether they are secrets."""
    kind = type(value)
    items: list[tuple[object, str, object]] = []
    if kind in _SCALARS or id(value) in around or len(around) == _DEEPEST:
        pass
    elif kind is dict and all(type(key) in _SCALARS for key in islice(value, _MOST_ENTRIES + 1)):
        items = [(key, f"[{key!r}]", value[key]) for key in islice(value, _MOST_ENTRIES + 1)]
    elif kind is list or kind is tuple:
        items = [(at, f"[{at}]", entry) for at, entry in enumerate(value[: _MOST_ENTRIES + 1])]
    elif is_record(value):
        items = [(name, f".{name}", entry) for name, entry in vars(value).items()]
    elif hasattr(kind, "__dataclass_fields__"):
        items = [(name, f".{name}", getattr(value, name, None)) for name in kind.__dataclass_fields__]
    if not items:
        yield path, value, is_hidden
    for name, step, entry in items:
        yield from _entries(path + step, entry, is_hidden or is_secret(name), (*around, id(value)))
