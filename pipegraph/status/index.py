"""Where in a status file the last word on each id stands, and which lines of it can be believed.

Looks at bytes that somebody else read; touches no disk. A location is one integer, offset and length of a line,
since a million of anything larger would cost more memory than the file's text.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

from xxhash import xxh3_64_hexdigest

from .records import (
    BEGINNING,
    BODY,
    FAILED,
    FORGOTTEN,
    HEADER,
    ID,
    MADE,
    MEASURED,
    SEEN,
    STARTED,
    unescape_id,
)

_LENGTH_BITS: Final = 32
"""A line is written by one write(2), which takes no more than 2 GiB."""
_LENGTH_MASK: Final = (1 << _LENGTH_BITS) - 1
_TAB: Final = b"\t"
_LINE_FEED: Final = b"\n"


def location(offset: int, length: int) -> int:
    """Pack where a line is; the length leaves out the line feed."""
    return offset << _LENGTH_BITS | length


def unpack(packed: int) -> tuple[int, int]:
    """Offset and length of a location."""
    return packed >> _LENGTH_BITS, packed & _LENGTH_MASK


class Index:
    """The last lines that count, by id.

    A job's flags are the records that came after its last trace: `started` has it if the latest of them is a
    start, `failed` if there was a failure.
    """

    def __init__(self) -> None:
        self.made: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self.started: dict[str, int] = {}
        self.measured: dict[str, int] = {}

    def note(self, kind: int, record_id: str, where: int) -> bool:
        """Take in the next line; False if nobody knows its kind."""
        if kind == STARTED:
            self.started[record_id] = where
        elif kind == MADE:
            self.made[record_id] = where
            self.started.pop(record_id, None)
            self.failed.pop(record_id, None)
            self.seen.pop(record_id, None)
        elif kind == MEASURED:
            self.measured[record_id] = where
        elif kind == FAILED:
            self.failed[record_id] = where
            self.started.pop(record_id, None)
        elif kind == SEEN:
            self.seen[record_id] = where
        elif kind == FORGOTTEN:
            for group in self._groups():
                group.pop(record_id, None)
        else:
            return False
        return True

    def jobs(self) -> Iterator[str]:
        """Each job that anything is known of, once."""
        yield from self.made
        yield from (job for job in self.failed if job not in self.made)
        yield from (job for job in self.started if job not in self.made and job not in self.failed)

    def live(self) -> Iterator[int]:
        """Locations of the lines that count, in an order that read from the start gives this index again."""
        return chain.from_iterable(group.values() for group in self._groups())

    def live_bytes(self) -> int:
        """What those lines take in a file."""
        return sum(1 + (where & _LENGTH_MASK) for where in self.live())

    def compacted(self) -> Index:
        """This index for a file that has those lines only, in that order."""
        moved = Index()
        offset = len(HEADER)
        for group, moved_group in zip(self._groups(), moved._groups()):
            for record_id, where in group.items():
                length = where & _LENGTH_MASK
                moved_group[record_id] = location(offset, length)
                offset += length + 1
        return moved

    def _groups(self) -> tuple[dict[str, int], ...]:
        # A trace wipes what stands before it, a failure a start: so in this order.
        return self.made, self.seen, self.failed, self.started, self.measured


class Reading(NamedTuple):
    """What a file's bytes came to.

    Attributes
    ----------
    found
        What they say.
    has_records
        Whether any can be believed, be it a superseded one.
    damaged_lines
        Those in which anything is not as it was written.
    first_damaged_line
        Counted from 1; 0 if there is none.
    end
        Behind the last byte worth keeping: a torn last line begins here.
    """

    found: Index
    has_records: bool
    damaged_lines: int
    first_damaged_line: int
    end: int


def read(data: bytes) -> Reading:
    """Check and index every line. Linear, and about a microsecond a line.

    A line is damaged if its checksum does not fit. If its line feed was lost, or it is the rest of a write that
    was torn, whole records may follow in the same line: they count.
    """
    index = Index()
    find = data.find
    has_records = False
    damaged = first_damaged = 0
    position = len(HEADER) if data.startswith(HEADER) else 0
    size = len(data)
    while position < size:
        end = find(_LINE_FEED, position)
        is_ended = end >= 0
        if not is_ended:
            end = size
        if _note_record(index, data, position, end):
            has_records = True
        elif end > position:  # an empty line is what follows a torn one that could not be cut
            damaged += 1
            first_damaged = first_damaged or data.count(_LINE_FEED, 0, position) + 1
            salvaged_end = _salvage(index, data, position, end)
            has_records |= salvaged_end > position
            if not is_ended:
                return Reading(index, has_records, damaged, first_damaged, salvaged_end)
        position = end + 1
    return Reading(index, has_records, damaged, first_damaged, size)


def _note_record(index: Index, data: bytes, start: int, end: int) -> bool:
    """Index the record that stands there; False, and nothing done, if it is not one that is whole."""
    id_end = data.find(_TAB, start + ID, end)
    if id_end == -1 or not data.startswith(b"%b\t" % xxh3_64_hexdigest(data[start + BODY : end]).encode(), start):
        return False
    try:
        record_id = data[start + ID : id_end].decode()
    except UnicodeDecodeError:
        return False
    return index.note(data[start + BODY], unescape_id(record_id), location(start, end - start))


def _salvage(index: Index, data: bytes, start: int, end: int) -> int:
    """Index whole records inside a damaged line; where the last of them ends, or `start` if there is none."""
    beginnings = [match.start() for match in BEGINNING.finditer(data, start, end)]
    ends = [*beginnings[1:], end]
    salvaged_end = start
    for record_start, record_end in zip(beginnings, ends):
        # It may be followed by what was its line feed, or by a carriage return that an editor put there.
        for possible_end in (record_end, record_end - 1):
            if _note_record(index, data, record_start, possible_end):
                salvaged_end = possible_end
    return salvaged_end
