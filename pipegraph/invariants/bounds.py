"""How much of a value is read for a fingerprint of a function, in every run: beyond that it goes by type and size."""

from __future__ import annotations

from typing import Any

MOST_BYTES = 64 << 20
MOST_ELEMENTS = 100_000

_CONTAINERS = (list, tuple, set, frozenset, dict)


def too_large(value: Any) -> str:
    """Its size in words if it is too large to be read in every run; else empty. Shared parts count once."""
    elements = size = 0
    stack, seen = [value], set()
    while stack:
        one = stack.pop()
        kind = type(one)
        if kind is str or kind is bytes or kind is bytearray:
            size += len(one)
        elif isinstance(one, _CONTAINERS):
            if id(one) in seen:
                continue
            seen.add(id(one))
            elements += len(one)
            if elements <= MOST_ELEMENTS:
                stack.extend(one)
                if isinstance(one, dict):
                    stack.extend(one.values())
        elif kind.__module__.partition(".")[0] in ("numpy", "pandas"):
            size += int(one.memory_usage().sum()) if hasattr(one, "columns") else int(getattr(one, "nbytes", 0))
        if elements > MOST_ELEMENTS:
            return f"more than {MOST_ELEMENTS} elements" if one is not value else f"{len(one)} elements"
        if size > MOST_BYTES:
            return f"more than {MOST_BYTES >> 20} MiB"
    return ""
