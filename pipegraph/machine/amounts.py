"""Amounts of memory as people write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def bytes_of(given: int | str) -> int:
    """Bytes, of a number or of a text such as ``"16GB"`` or ``"1.5 GiB"``.

    Raises
    ------
    ValueError
        It is no amount.
    """
    if isinstance(given, int):
        return given
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", given, re.IGNORECASE | re.ASCII)
    if found is None:
        raise ValueError(f"{given!r:.80} is no amount of memory; write it as 16GB, 500 MB or 1.5 GiB")
    return int(float(found[1]) * _UNITS[(found[2] or "").lower()])
