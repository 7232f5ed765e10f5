"""Fingerprints of parameters: any nesting of plain values, arrays, frames and functions.

Owns the error that names the path to what has no stable fingerprint. Never falls back on `repr`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..errors import FingerprintError
from ..model import Fingerprint
from .functions import fingerprint_function, is_function
from .origins import is_own, is_own_module
from .values import METHOD, UnstableValueError, ValueEncoder, digest, flat_text, message_of, type_name, with_room


def fingerprint_parameters(value: object, name: str = "params") -> Fingerprint:
    """Fingerprint of a value: equal for equal values, in every run.

    Types count: 1, 1.0 and True differ, as do tuple and list. The order of a dict's keys does not.

    Parameters
    ----------
    name
        What errors call the value.

    Raises
    ------
    FingerprintError
        Something in it has no fingerprint that would be the same in the next run; the path to it is named.

    Notes
    -----
    Objects can bring their own: ``__pipegraph_fingerprint__()``, which returns a str. Functions and classes of the
    user's own go by their code and what they close over, those of libraries, and their modules, by their names.
    """
    flat = fingerprint_of_flat(value)
    if flat is not None:
        return flat
    try:
        return digest(with_room(lambda: _ParameterEncoder().encode(value)))
    except UnstableValueError as error:
        raise FingerprintError(
            f"a parameter has no stable fingerprint: {error.why}",
            (("where", name + error.path), ("type", error.kind)),
            f"Convert it to plain values (numbers, strings, lists, dicts, arrays), or give its class a method "
            f"{METHOD}(self) that returns a str.",
        ) from error.__cause__
    except Exception as error:
        raise FingerprintError(
            f"a parameter can't be read: {type(error).__name__}: {message_of(error)}",
            (("where", f"somewhere in {name}"), ("type", type_name(type(value)))),
            f"Convert it to plain values, or give its class a method {METHOD}(self) that returns a str.",
        ) from error


def fingerprint_of_flat(value: object) -> Fingerprint | None:
    """The same, of a small dict of short plain values by names; None for all others."""
    text = flat_text(value)
    return None if text is None else digest(text)


class _ParameterEncoder(ValueEncoder):
    __slots__ = ()

    def encode_class(self, value: type) -> str:
        text = super().encode_class(value)
        return text + fingerprint_function(value)[0] if is_own(value.__module__) else text

    def encode_module(self, value: ModuleType) -> str:
        if is_own_module(value):
            raise UnstableValueError("module", f"what of the module '{value.__name__}' counts, is not said")
        return super().encode_module(value)

    def other(self, value: object) -> str:
        kind = type_name(type(value))
        if not is_function(value):
            raise UnstableValueError(kind, f"objects of class {kind} are not known to it")
        fingerprint, unwatched = fingerprint_function(value)  # type: ignore[arg-type]
        if unwatched:
            raise UnstableValueError(kind, f"the function uses what can't be watched: {', '.join(unwatched)}")
        return f"function{fingerprint}"


_DEEPEST_TEXT = 50
_MOST_VALUES = 1_000_000
_LONGEST_INT_BITS = 10_000
"""3000 digits; Python reads and prints at most 4300 by default (sys.set_int_max_str_digits)."""


def value_text(value: object) -> str:
    """`repr` of a plain value, so that `ast.literal_eval` gives it back; empty for all others.

    Plain are None, bool, int, float (but nan and inf), complex, str and bytes, and tuples, lists, dicts and sets
    of them, of exactly these types; up to a million in all, and fifty levels deep.
    """
    return repr(value) if _is_literal(value) else ""


def _is_literal(value: object) -> bool:
    level: list[Any] = [value]
    count = 0
    for _ in range(_DEEPEST_TEXT):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                below += item.keys()
                below += item.values()
            elif kind in (list, tuple, set):
                below += item
            elif kind not in _LITERALS or not _LITERALS[kind](item):
                return False
            # Circles end here or at the last level, parts that are shared again and again here.
            if count + len(below) > _MOST_VALUES:
                return False
        if not below:
            return True
        count += len(below)
        level = below
    return False


def _is_literal_float(value: float) -> bool:
    return value - value == 0


def _is_literal_complex(value: complex) -> bool:
    # ``a+bj`` is a sum and ``-bj`` a negation, in which zeros lose or change their signs.
    parts = (value.real, value.imag)
    if not all(_is_literal_float(part) and repr(part) != "-0.0" for part in parts):
        return False
    return value.real != 0 or value.imag >= 0


_LITERALS: dict[type, Callable[[Any], bool]] = {
    str: lambda value: True,
    bytes: lambda value: True,
    bool: lambda value: True,
    type(None): lambda value: True,
    int: lambda value: value.bit_length() <= _LONGEST_INT_BITS,
    float: _is_literal_float,
    complex: _is_literal_complex,
}
