"""How values of the standard library's classes are encoded: paths, times, numbers, collections.

By the classes' names, so that nothing is imported: a value can only be met if somebody imported its class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .values import ValueEncoder, type_name

_Encoded = Callable[[ValueEncoder, Any], str]


def chosen(kind: type) -> _Encoded | None:
    """How values of exactly this class are encoded, inside of `within`; None if it is not one of the library's."""
    return _LIBRARY.get((kind.__module__, kind.__qualname__))


def zone_of(value: Any) -> tuple[object, ...] | None:
    """The time zone of a datetime or time as plain values: its name or, failing that, what it says of it."""
    zone = value.tzinfo
    if zone is None:
        return None
    key = getattr(zone, "key", None)
    if isinstance(key, str):
        return type_name(type(zone)), key
    return type_name(type(zone)), value.utcoffset(), value.tzname()


def _path(encoder: ValueEncoder, value: Any) -> str:
    # Not the class's module: it differs between versions of Python.
    return encoder.encode_named(f"path.{_library_name(value)}", str(value))


def _library_name(value: Any) -> str:
    return next(part.__qualname__ for part in type(value).__mro__ if chosen(part) is not None)


def _date(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("date", value.year, value.month, value.day)


def _datetime(encoder: ValueEncoder, value: Any) -> str:
    day = (value.year, value.month, value.day)
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    return encoder.encode_named("datetime", day, clock, zone_of(value))


def _time(encoder: ValueEncoder, value: Any) -> str:
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    return encoder.encode_named("time", clock, zone_of(value))


def _timedelta(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("timedelta", value.days, value.seconds, value.microseconds)


def _timezone(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("timezone", value.utcoffset(None), value.tzname(None))


def _zoneinfo(encoder: ValueEncoder, value: Any) -> str:
    return encoder.other(value) if value.key is None else encoder.encode_named("zoneinfo", value.key)


def _decimal(encoder: ValueEncoder, value: Any) -> str:
    sign, digits, exponent = value.as_tuple()
    return encoder.encode_named("decimal", sign, "".join(map(str, digits)), exponent)


def _fraction(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("fraction", value.numerator, value.denominator)


def _uuid(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("uuid", value.int)


def _pattern(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("pattern", value.pattern, value.flags)


def _machine_array(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("array.array", value.typecode, len(value), value.tobytes())


def _operator(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named(f"operator.{_library_name(value)}", *value.__reduce__()[1:])


def _ordered_dict(encoder: ValueEncoder, value: Any) -> str:
    return "o" + encoder.encode(list(value)) + encoder.encode(dict(value))


def _default_dict(encoder: ValueEncoder, value: Any) -> str:
    # The factory counts: it is what a callback gets for a missing key.
    return "D" + encoder.encode_step(".default_factory", value.default_factory) + encoder.encode(dict(value))


def _counter(encoder: ValueEncoder, value: Any) -> str:
    return "C" + encoder.encode(dict(value))


def _deque(encoder: ValueEncoder, value: Any) -> str:
    return "q" + encoder.encode(value.maxlen) + encoder.encode(list(value))


def _proxy(encoder: ValueEncoder, value: Any) -> str:
    return "P" + encoder.encode(dict(value))


def _namespace(encoder: ValueEncoder, value: Any) -> str:
    # Equal ones may have been filled in another order.
    return encoder.encode_attributes("namespace", sorted(vars(value).items()))


def _arguments(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_attributes("argparse.Namespace", sorted(vars(value).items()))


_PATHS = ("PurePath", "PurePosixPath", "PureWindowsPath", "Path", "PosixPath", "WindowsPath")

_LIBRARY: dict[tuple[str, str], _Encoded] = {
    **{(module, name): _path for name in _PATHS for module in ("pathlib", "pathlib._local")},
    ("datetime", "date"): _date,
    ("datetime", "datetime"): _datetime,
    ("datetime", "time"): _time,
    ("datetime", "timedelta"): _timedelta,
    ("datetime", "timezone"): _timezone,
    ("zoneinfo", "ZoneInfo"): _zoneinfo,
    ("decimal", "Decimal"): _decimal,
    ("fractions", "Fraction"): _fraction,
    ("uuid", "UUID"): _uuid,
    ("re", "Pattern"): _pattern,
    ("array", "array"): _machine_array,
    ("operator", "itemgetter"): _operator,
    ("operator", "attrgetter"): _operator,
    ("operator", "methodcaller"): _operator,
    ("collections", "OrderedDict"): _ordered_dict,
    ("collections", "defaultdict"): _default_dict,
    ("collections", "Counter"): _counter,
    ("collections", "deque"): _deque,
    ("builtins", "mappingproxy"): _proxy,
    ("types", "SimpleNamespace"): _namespace,
    ("argparse", "Namespace"): _arguments,
}
