"""How numpy's scalars and arrays are encoded: dtype, shape and bytes in C order.

Never imports numpy: an array can only be met if somebody did.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from xxhash import xxh3_128_hexdigest

from .values import ValueEncoder, type_name

_Encoded = Callable[[ValueEncoder, Any], str]


def chosen(kind: type) -> _Encoded | None:
    """How values of this class are encoded, if it is one of numpy's or pandas'."""
    numpy: Any = sys.modules.get("numpy")
    if not hasattr(numpy, "ndarray"):
        return None
    if "pandas" in sys.modules:
        from . import frames

        if (found := frames.chosen(kind)) is not None:
            return found
    for base, encoded in ((numpy.ndarray, _array), (numpy.generic, _scalar), (numpy.dtype, _dtype)):
        if issubclass(kind, base):
            return encoded
    return None


def _scalar(encoder: ValueEncoder, value: Any) -> str:
    return "numpy.scalar" + _content(encoder, sys.modules["numpy"].asarray(value))


def _array(encoder: ValueEncoder, value: Any) -> str:
    return encoder.within(value, _array_parts)


def _array_parts(encoder: ValueEncoder, value: Any) -> str:
    numpy = sys.modules["numpy"]
    kind = type(value)
    if value is numpy.ma.masked:
        return "numpy.masked"
    plain = numpy.asarray(value)
    if kind is numpy.ndarray or kind is numpy.memmap:
        return "numpy.array" + _content(encoder, plain)
    if isinstance(value, numpy.ma.MaskedArray):
        mask = numpy.ma.getmaskarray(value)
        if plain.dtype.names is None:
            # What lies under the mask is nobody's value.
            plain = numpy.where(mask, numpy.zeros((), plain.dtype), plain)
        fill = numpy.asarray(value.fill_value)
        own = [("mask", mask), ("fill_value", fill), ("hardmask", bool(value.hardmask))]
    else:
        own = sorted(getattr(value, "__dict__", {}).items())
    return encoder.encode_attributes(type_name(kind), own) + _content(encoder, plain)


def _content(encoder: ValueEncoder, array: Any) -> str:
    text = encoder.encode(array.shape) + _dtype(encoder, array.dtype)
    if array.dtype.names is not None:
        # Field by field: what lies between the fields is not defined.
        fields = ((name, array[name]) for name in array.dtype.names)
        return text + "".join([encoder.encode_step(f"[{name!r}]", field) for name, field in fields])
    if array.dtype.kind in "OT":
        return text + encoder.encode_step(".flat", array.ravel(order="C").tolist())
    return text + _digest(array)


def _digest(array: Any) -> str:
    numpy = sys.modules["numpy"]
    if array.size == 0 or array.dtype.itemsize == 0:
        return "-"
    raw = numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8)
    if array.dtype.kind in "fc" and numpy.finfo(array.dtype).nmant == 63:
        # x87: ten bytes are the number, the rest is padding.
        width = array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1)
        raw = numpy.ascontiguousarray(raw.reshape(-1, width)[:, :10])
    return str(xxh3_128_hexdigest(raw))


def _dtype(encoder: ValueEncoder, dtype: Any) -> str:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return f"numpy.dtypes{encoder.encode(shape)}{_dtype(encoder, base)}"
    if dtype.names is not None:
        fields = [encoder.encode(name) + _dtype(encoder, dtype.fields[name][0]) for name in dtype.names]
        return f"numpy.dtypef{len(fields)}:{''.join(fields)}"
    missing = getattr(dtype, "na_object", None)
    return f"numpy.dtype{encoder.encode((dtype.str, dtype.name, missing))}"
