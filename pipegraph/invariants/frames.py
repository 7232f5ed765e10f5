"""How pandas' frames, series, indexes and scalars are encoded.

Never imports pandas: a frame can only be met if somebody did.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from .library import zone_of
from .values import ValueEncoder, type_name

_Encoded = Callable[[ValueEncoder, Any], str]


def chosen(kind: type) -> _Encoded | None:
    """How values of this class are encoded, if it is one of pandas'."""
    pandas = sys.modules["pandas"]
    if not hasattr(pandas, "DataFrame"):  # It is just being imported.
        return None
    for bases, encoded in (
        (pandas.DataFrame, _frame),
        (pandas.Series, _series),
        (pandas.Index, _index),
        (pandas.api.extensions.ExtensionArray, _column),
        (pandas.api.extensions.ExtensionDtype, _dtype),
        (pandas.Timestamp, _timestamp),
        (pandas.Timedelta, _timedelta),
        (pandas.Period, _period),
        (pandas.Interval, _interval),
        ((type(pandas.NaT), type(pandas.NA)), _missing),
    ):
        if issubclass(kind, bases):
            return encoded
    return None


def _name(value: Any) -> str:
    # Not the module of pandas' own classes: it differs between versions of pandas.
    kind = type(value)
    return f"pandas.{kind.__name__}" if kind.__module__.partition(".")[0] == "pandas" else type_name(kind)


def _own(value: Any) -> Iterator[tuple[str, object]]:
    """What a frame or series has beside its values; `_metadata`: of subclasses, as pandas documents it."""
    yield "attrs", dict(value.attrs)
    for name in sorted(set(value._metadata) - {"name", "_name"}):
        yield name, getattr(value, name, None)


def _frame(encoder: ValueEncoder, value: Any) -> str:
    return encoder.within(value, _frame_parts)


def _frame_parts(encoder: ValueEncoder, value: Any) -> str:
    texts = [
        encoder.encode_attributes(_name(value), _own(value)),
        encoder.encode_step(".columns", value.columns),
        encoder.encode_step(".index", value.index),
    ]
    for position, label in enumerate(value.columns):
        column = value.iloc[:, position].array
        texts.append(encoder.encode_step(f"[{label!r}]" if type(label) is str else f".iloc[:, {position}]", column))
    return "".join(texts)


def _series(encoder: ValueEncoder, value: Any) -> str:
    return encoder.within(value, _series_parts)


def _series_parts(encoder: ValueEncoder, value: Any) -> str:
    text = encoder.encode_attributes(_name(value), _own(value))
    index = encoder.encode_step(".index", value.index)
    return text + encoder.encode(value.name) + index + encoder.encode(value.array)


def _index(encoder: ValueEncoder, value: Any) -> str:
    return encoder.within(value, _index_parts)


def _index_parts(encoder: ValueEncoder, value: Any) -> str:
    pandas = sys.modules["pandas"]
    text = encoder.encode_named(_name(value), tuple(value.names), getattr(value, "freqstr", None))
    if isinstance(value, pandas.RangeIndex):
        return text + encoder.encode((value.start, value.stop, value.step))
    if isinstance(value, pandas.MultiIndex):
        levels = [value.get_level_values(level) for level in range(value.nlevels)]
        return text + encoder.encode(levels)
    return text + encoder.encode(value.array)


def _column(encoder: ValueEncoder, value: Any) -> str:
    return encoder.within(value, _column_parts)


def _column_parts(encoder: ValueEncoder, value: Any) -> str:
    pandas, numpy = sys.modules["pandas"], sys.modules["numpy"]
    text = _dtype(encoder, value.dtype)
    if isinstance(value, pandas.Categorical):
        return text + encoder.encode(numpy.asarray(value.codes))
    if isinstance(value.dtype, numpy.dtype):
        # Also datetime64 and timedelta64 without a zone.
        return text + encoder.encode(numpy.asarray(value))
    if isinstance(value.dtype, pandas.DatetimeTZDtype):
        return text + encoder.encode(numpy.asarray(value.asi8))
    return text + encoder.encode(value.to_numpy(dtype=object))


def _dtype(encoder: ValueEncoder, value: Any) -> str:
    pandas = sys.modules["pandas"]
    if isinstance(value, pandas.CategoricalDtype):
        return encoder.encode_named("pandas.categorical", bool(value.ordered), value.categories)
    return encoder.encode_named("pandas.dtype", str(value), getattr(value, "na_value", None))


def _timestamp(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("pandas.Timestamp", _ticks(value), value.unit, value.fold, zone_of(value))


def _timedelta(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("pandas.Timedelta", _ticks(value), value.unit)


def _ticks(value: Any) -> int:
    # In the value's own unit: `value.value` is nanoseconds, and overflows for far away times.
    return int(value.asm8.view("i8"))


def _period(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("pandas.Period", value.ordinal, value.freqstr)


def _interval(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named("pandas.Interval", value.left, value.right, value.closed)


def _missing(encoder: ValueEncoder, value: Any) -> str:
    return encoder.encode_named(f"pandas.{type(value).__name__}")
