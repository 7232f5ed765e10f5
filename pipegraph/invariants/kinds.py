"""How values of classes that are not plain themselves are encoded: enums, dataclasses, named tuples, subclasses.

Owns the choice, by class. A class that nobody here knows is left to the encoder's `other`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import arrays, library
from .values import METHOD, PLAIN, ValueEncoder, is_made_in_python, own_fingerprint, type_name

_Encoded = Callable[[ValueEncoder, Any], str]


def chosen(kind: type) -> _Encoded:
    """How values of a class are encoded."""
    if hasattr(kind, METHOD):
        return _own
    if issubclass(kind, type):
        return _class
    if issubclass(kind, ModuleType):
        return PLAIN[ModuleType]
    if issubclass(kind, enum.Enum):
        return _within(_enum_parts)
    if (found := arrays.chosen(kind)) is not None:
        return found
    for base in kind.__mro__:
        encoded = PLAIN.get(base)
        if encoded is not None:
            return encoded if base is kind else _within(_subclass_parts(encoded, _CONTENT.get(base)))
        encoded = library.chosen(base)
        if encoded is not None:
            return _within(encoded if base is kind else _subclass_parts(encoded, None))
        if not is_made_in_python(base):
            break  # Compiled: may hold what can't be seen from here.
    return _within(_dataclass_parts) if hasattr(kind, "__dataclass_fields__") else _other


def _within(parts: _Encoded) -> _Encoded:
    def encoded(encoder: ValueEncoder, value: object) -> str:
        return encoder.within(value, parts)

    return encoded


def _own(encoder: ValueEncoder, value: object) -> str:
    text = own_fingerprint(value)
    return encoder.other(value) if text is None else text


def _enum_parts(encoder: ValueEncoder, value: enum.Enum) -> str:
    # A combination of flags has a name or none, by the version of Python; its value says it all.
    name = None if isinstance(value, enum.Flag) else value.name
    return encoder.encode_attributes(type_name(type(value)), (("name", name), ("value", value.value)))


def _dataclass_parts(encoder: ValueEncoder, value: object) -> str:
    return encoder.encode_attributes(type_name(type(value)), _attributes(value))


def _subclass_parts(encoded: _Encoded, content: Callable[[Any], object] | None) -> _Encoded:
    """Of a class made by a ``class`` statement from a known one: class, attributes, and content as the base's."""

    def parts(encoder: ValueEncoder, value: Any) -> str:
        text = "u" + encoder.encode_attributes(type_name(type(value)), _attributes(value))
        if content is None:
            return text + encoded(encoder, value)
        names = getattr(type(value), "_fields", None)
        if isinstance(value, tuple) and isinstance(names, tuple):
            return text + encoder.encode_attributes("", zip(names, tuple.__iter__(value)))
        return text + encoder.encode(content(value))

    return parts


_CONTENT: dict[type, Callable[[Any], object]] = {
    # What is in the base, past all that a subclass overrides.
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    complex: complex.__pos__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    bytearray: lambda value: bytearray.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    dict: dict.copy,
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}


def _attributes(value: object) -> list[tuple[str, object]]:
    """An instance's own attributes: of dataclasses their fields, else ``__dict__`` and ``__slots__``."""
    kind = type(value)
    attributes: dict[str, object] = {}
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields  # there already, or the class would not be one

        names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        attributes = {name: getattr(value, name) for name in names if hasattr(value, name)}
        if "__dataclass_fields__" in kind.__dict__:
            # Not __dict__: there lie caches, too (cached_property).
            return list(attributes.items())
    found = dict(getattr(value, "__dict__", ()))
    for part in kind.__mro__:
        slots = part.__dict__.get("__slots__", ()) if is_made_in_python(part) else ()
        for slot in (slots,) if isinstance(slots, str) else slots:
            hidden = slot.startswith("__") and not slot.endswith("__")
            name = f"_{part.__name__.lstrip('_')}{slot}" if hidden else slot
            if slot not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return [*attributes.items(), *((name, found[name]) for name in sorted(found) if name not in attributes)]


def _class(encoder: ValueEncoder, value: type) -> str:
    return encoder.encode_class(value)


def _other(encoder: ValueEncoder, value: object) -> str:
    return encoder.other(value)
