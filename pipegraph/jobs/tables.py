"""Tables beside plots: what a calculation gave, as text that people and other programs read. Imports no pandas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

from ..errors import JobContractError
from .base import Callback
from .files import FileGeneratingJob, PathName


class TableJob(FileGeneratingJob):
    """Write what a calculation gave, separated by tabs; see `write_table`.

    Parameters
    ----------
    read_data
        Gives what is to be written, in the job's process.
    calculate
        The calculation, if it is this that `read_data` calls: then its code is watched.
    """

    def __init__(self, output_filename: PathName, read_data: Callable[[], Any], calculate: Callback | None) -> None:
        if self._declare(calculate):
            self._enlist()
        self._read_data = read_data

    def run(self) -> None:
        """Write it."""
        data = self._read_data()
        with open(self.job_id, "w", encoding="utf-8", newline="") as out:
            try:
                write_table(data, out)
            except _NoTableError:
                raise JobContractError(
                    "a calculation gave something that is no table",
                    [("job", f"{self.job_id} ({self.place})"), ("gave", f"{data!r:.80} ({type(data).__name__})")],
                    "Pass skip_table=True to PlotJob, or let the calculation return a data frame, a list of dicts, or "
                    "several of these in a dict or list.",
                ) from None


class _NoTableError(Exception):
    pass


def write_table(data: Any, out: TextIO) -> None:
    """Write frames (pandas, polars) and lists of dicts; several of them, in a dict or list, each below its name.

    The index of a frame is written unless it only counts the rows. The same data are the same bytes.
    """
    if _is_table(data):
        _write_one(data, out)
        return
    names = list(data) if isinstance(data, dict) else range(1, len(data) + 1) if isinstance(data, list | tuple) else ()
    parts = list(data.values()) if isinstance(data, dict) else data
    if not names or not all(map(_is_table, parts)):
        raise _NoTableError
    for number, (name, part) in enumerate(zip(names, parts)):
        out.write(f"{chr(10) * bool(number)}# {name}\n")
        _write_one(part, out)


def _is_table(data: Any) -> bool:
    return hasattr(data, "to_csv") or hasattr(data, "write_csv") or _is_rows(data)


def _is_rows(data: Any) -> bool:
    return isinstance(data, list) and bool(data) and all(type(row) is dict for row in data)


def _write_one(table: Any, out: TextIO) -> None:
    if hasattr(table, "to_csv"):
        index = table.index
        only_counts = type(index).__name__ == "RangeIndex" and index.name is None
        table.to_csv(out, sep="\t", lineterminator="\n", index=not only_counts)
    elif hasattr(table, "write_csv"):
        out.write(table.write_csv(separator="\t"))
    else:
        import csv

        names = dict.fromkeys(name for row in table for name in row)
        writer = csv.DictWriter(out, list(names), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
