"""Amounts of memory, as people write and read them. Pure."""

from __future__ import annotations

import operator
import re

_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_AMOUNT = r"([0-9]{1,20})(?:\.([0-9]{0,20}))?\s*(?:([kmgt]i?)?b?|bytes?)"
_MOST_BYTES = (1 << 63) - 1
"""What a counter of the kernel holds."""


def bytes_of(given: object) -> int:
    """An amount of memory in bytes.

    Parameters
    ----------
    given
        A whole number of bytes, or text: ``"16GB"``, ``"1.5 TB"``, ``"512 MiB"``, ``"200M"``, ``"64k"``. Capitals or
        not is the same.

    Raises
    ------
    ValueError
        It is neither, or below 0, or more than 2**63 - 1 bytes. The message names what was given.

    Notes
    -----
    Units are those of GNU's programs (``sort -S``, ``info coreutils 'Block size'``): ``kB``, ``MB``, ``GB``, ``TB`` are
    powers of 1000, as in what pipegraph prints; ``KiB`` to ``TiB``, and single letters, ``K`` to ``T``, are powers of
    1024. So a letter means what it means for those who see to it: ``sbatch --mem=16G``, ``java -Xmx16g``. Parts of a
    byte are left out.
    """
    if isinstance(given, str):
        found = re.fullmatch(_AMOUNT, given.strip(), re.IGNORECASE | re.ASCII)
        if found is None:
            raise _refused(given)
        whole, parts, unit = found.groups(default="")
        is_decimal = "i" not in unit.lower() and given.rstrip().lower().endswith("b")
        factor = (1000 if is_decimal else 1024) ** _POWER[unit[:1].lower()]
        amount: int = int(whole + parts) * factor // 10 ** len(parts)
    elif isinstance(given, bool):
        raise _refused(given)
    elif isinstance(given, float) and given.is_integer():
        amount = int(given)  # 16e9
    else:
        try:
            amount = operator.index(given)  # type: ignore[arg-type]
        except TypeError:
            raise _refused(given) from None
    if not 0 <= amount <= _MOST_BYTES:
        raise _refused(given)
    return amount


def size_of(count: int) -> str:
    """Bytes as people say them, in powers of 1000: ``"17.2 GB"``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.1f}".removesuffix(".0") + f" {unit}"
        size /= 1000
    return f"{size:.1f}".removesuffix(".0") + " TB"


def _refused(given: object) -> ValueError:
    return ValueError(
        f'{given!r:.100} is no amount of memory: it takes bytes, as a whole number, or text like "16GB", "1.5 TB", '
        '"512MiB" or "200M"'
    )
