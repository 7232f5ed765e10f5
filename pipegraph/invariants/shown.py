"""Values as people read them, each entry of a nested one by its path. What is not shown is compared all the same."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ..explanations import Part
from .beginning import is_record
from .values import type_name

_MOST_ENTRIES = 200
_DEEPEST = 8
_SCALARS = frozenset((str, bytes, int, float, bool, complex, type(None)))
_MOST_CHARACTERS = 1000
_ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")

_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = _shortened.maxlong = _MOST_CHARACTERS
_shortened.maxlist = _shortened.maxtuple = _shortened.maxdict = _shortened.maxset = _shortened.maxfrozenset = 20


def value_parts(name: str, value: object, digest_of: Callable[[Any], str]) -> Iterator[Part]:
    """Parts of a value: itself, or its entries, named by their paths: ``sizes['small'][0]``."""
    entries = list(islice(_entries(name, value, ()), _MOST_ENTRIES + 1))
    if len(entries) > _MOST_ENTRIES:
        entries = [(name, value)]
    for path, entry in entries:
        text = shown_value(entry)
        # What is not shown completely, or says little of itself, is compared by more than its text.
        yield Part(path, text, "" if type(entry) in _SCALARS and len(text) < _MOST_CHARACTERS else digest_of(entry))


def shown_value(value: object) -> str:
    """On one line, not too long, and without addresses in memory."""
    try:
        return _ADDRESS.sub("", " ".join(_shortened.repr(value).split()))
    except Exception:
        return f"<{type_name(type(value))}>"


def _entries(path: str, value: Any, around: tuple[int, ...]) -> Iterator[tuple[str, object]]:
    kind = type(value)
    items: list[tuple[str, object]] = []
    if kind in _SCALARS or id(value) in around or len(around) == _DEEPEST:
        pass
    elif kind is dict and all(type(key) in _SCALARS for key in islice(value, _MOST_ENTRIES + 1)):
        items = [(f"[{key!r}]", value[key]) for key in islice(value, _MOST_ENTRIES + 1)]
    elif kind is list or kind is tuple:
        items = [(f"[{at}]", entry) for at, entry in enumerate(value[: _MOST_ENTRIES + 1])]
    elif is_record(value):
        items = [(f".{name}", entry) for name, entry in vars(value).items()]
    elif hasattr(kind, "__dataclass_fields__"):
        items = [(f".{name}", getattr(value, name, None)) for name in kind.__dataclass_fields__]
    if not items:
        yield path, value
    for step, entry in items:
        yield from _entries(path + step, entry, (*around, id(value)))
