"""Where in a status file the last word on each id stands, and which lines of it can be believed.

Looks at bytes that somebody else read; touches no disk. A location is one integer, offset and length of a line,
since a million of anything larger would cost more memory than the file's text. What jobs are declared as is known
without reading their lines again: these say few different things, each of which is kept once, by number.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Set
from itertools import chain
from typing import Final, NamedTuple

from xxhash import xxh3_64_hexdigest

from .records import (
    BEGINNING,
    BODY,
    DECLARED,
    EXPLAINED,
    FAILED,
    FORGOTTEN,
    HEADER,
    HEADERS,
    MADE,
    MEASURED,
    SEEN,
    STARTED,
    TEXT,
    TO_ADOPT,
    Declaration,
    MalformedRecord,
    decode_declaration,
    unescape_id,
)

LENGTH_BITS: Final = 32
"""A line is written by one write(2), which takes no more than 2 GiB."""
LENGTH_MASK: Final = (1 << LENGTH_BITS) - 1
_OFFSET_MASK: Final = (1 << 64) - 1
_NUMBER_SHIFT: Final = 64 + LENGTH_BITS
"""Above offset and length, in the locations of declarations: the number of what they say."""
_MADE, _STARTED, _MEASURED, _EXPLAINED, _DECLARED = (
    b"%c" % kind for kind in (MADE, STARTED, MEASURED, EXPLAINED, DECLARED)
)
_KINDS: Final = frozenset(
    b"%c" % kind for kind in (STARTED, MADE, FAILED, SEEN, MEASURED, FORGOTTEN, DECLARED, TO_ADOPT, EXPLAINED, TEXT)
)
_TAB: Final = b"\t"
_LINE_FEED: Final = b"\n"


def location(offset: int, length: int) -> int:
    """Pack where a line is; the length leaves out the line feed."""
    return offset << LENGTH_BITS | length


def unpack(packed: int) -> tuple[int, int]:
    """Offset and length of a location."""
    return packed >> LENGTH_BITS & _OFFSET_MASK, packed & LENGTH_MASK


class Index:
    """The last lines that count, by id.

    A job's flags are the records that came after its last trace: `started` has it if the latest of them is a
    start, `failed` if there was a failure. The wish that it be adopted, `to_adopt`, ends with whatever comes next of
    these: what a callback left half-made is not what was there when it was wished.
    """

    def __init__(self) -> None:
        self.made: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self.started: dict[str, int] = {}
        self.to_adopt: dict[str, int] = {}
        self.measured: dict[str, int] = {}
        self.declared: dict[str, int] = {}
        self._explained: dict[str, int] = {}
        self._explaining: list[tuple[str, array[int]]] = []
        self.texts: dict[str, int] = {}
        self._until_made = self.started, self.failed, self.seen, self.to_adopt
        self._declarations: list[Declaration] = []
        self._number_of: dict[bytes, int] = {}

    def note(self, kind: int, record_id: str, where: int) -> bool:
        """Take in the next line; False if nobody knows its kind."""
        if kind == MADE:
            self.made[record_id] = where
            for group in self._until_made:
                if group:
                    group.pop(record_id, None)
        elif kind == STARTED:
            self.started[record_id] = where
            if self.to_adopt:
                self.to_adopt.pop(record_id, None)
        elif kind == MEASURED:
            self.measured[record_id] = where
        elif kind == FAILED:
            self.failed[record_id] = where
            self.started.pop(record_id, None)
            self.to_adopt.pop(record_id, None)
        elif kind == SEEN:
            self.seen[record_id] = where
        elif kind == TO_ADOPT:
            self.to_adopt[record_id] = where
        elif kind == EXPLAINED:
            self.explained[record_id] = where
        elif kind == TEXT:
            self.texts[record_id] = where
        elif kind == FORGOTTEN:
            for group in self._groups_of_jobs():
                group.pop(record_id, None)
        else:
            return False
        return True

    @property
    def explained(self) -> dict[str, int]:
        """Locations of explanations, by the fingerprints that they are of."""
        if self._explaining:
            packed, self._explaining = self._explaining, []
            for digits, numbers in packed:
                for at in range(len(numbers) // 2):
                    record_id = digits[_DIGITS * at : _DIGITS * (at + 1)]
                    self._explained[record_id] = location(numbers[2 * at], numbers[2 * at + 1])
        return self._explained

    def note_explaining(self, records: list[tuple[str, int]]) -> None:
        """Take in the next explanations, packed: there may be one for each job, and most runs ask for none."""
        if {len(record_id) for record_id, _ in records} == {_DIGITS}:
            numbers = array("Q", chain.from_iterable([unpack(where) for _, where in records]))
            self._explaining.append(("".join([record_id for record_id, _ in records]), numbers))
        else:
            self.explained.update(records)

    def is_declaration(self, payload: bytes) -> bool:
        """Whether this is what is said of a declared job."""
        return self._number_of_declaration(payload) is not None

    def note_declared(self, job: str, payload: bytes, where: int) -> bool:
        """Take in the next line where it is a declaration; False if it says nothing that can be understood."""
        number = self._number_of_declaration(payload)
        if number is None:
            return False
        self.declared[job] = number << _NUMBER_SHIFT | where
        return True

    def _number_of_declaration(self, payload: bytes) -> int | None:
        number = self._number_of.get(payload)
        if number is None:
            try:
                declaration = decode_declaration(payload.decode())
            except (MalformedRecord, UnicodeDecodeError):
                return None
            number = self._number_of[payload] = len(self._declarations)
            self._declarations.append(declaration)
        return number

    def declaration(self, job: str) -> Declaration | None:
        """What a job is declared as; the same object for all that are declared alike."""
        where = self.declared.get(job)
        return None if where is None else self._declarations[where >> _NUMBER_SHIFT]

    def knows(self, record_id: str) -> bool:
        """Whether anything is known of a job."""
        return any(record_id in group for group in (self.made, self.failed, self.started, self.declared))

    def jobs(self) -> Iterator[str]:
        """Each job that anything is known of, once."""
        return iter(dict.fromkeys(chain(self.made, self.failed, self.started, self.declared, self.to_adopt)))

    def live(self) -> Iterator[int]:
        """Locations of the lines that count, in an order that read from the start gives this index again."""
        return chain.from_iterable(group.values() for group in self._groups())

    def live_bytes(self) -> int:
        """What those lines take in a file."""
        return sum(1 + (where & LENGTH_MASK) for where in self.live())

    def explaining_bytes(self) -> int:
        """The part of `live_bytes` that may explain what nothing refers to any more."""
        return sum(1 + (where & LENGTH_MASK) for group in (self.explained, self.texts) for where in group.values())

    def keep_explained(self, referred: Set[str]) -> None:
        """Of explanations and texts, keep only those of these ids."""
        for group in (self.explained, self.texts):
            for record_id in group.keys() - referred:
                del group[record_id]

    def compacted(self) -> Index:
        """This index for a file that has those lines only, in that order."""
        moved = Index()
        moved._declarations, moved._number_of = self._declarations, self._number_of
        offset = len(HEADER)
        for group, moved_group in zip(self._groups(), moved._groups()):
            for record_id, where in group.items():
                length = where & LENGTH_MASK
                moved_group[record_id] = where >> _NUMBER_SHIFT << _NUMBER_SHIFT | location(offset, length)
                offset += length + 1
        return moved

    def _groups_of_jobs(self) -> tuple[dict[str, int], ...]:
        # A trace wipes what stands before it, a failure a start, both a wish: so in this order.
        return self.made, self.seen, self.failed, self.started, self.to_adopt, self.measured, self.declared

    def _groups(self) -> tuple[dict[str, int], ...]:
        return *self._groups_of_jobs(), self.explained, self.texts


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


_PIECE_BYTES: Final = 1 << 16
_DIGITS: Final = 32
"""Of a fingerprint."""


def read(data: bytes) -> Reading:
    """Check and index every line. Linear, and about a microsecond a line.

    A line is damaged if its checksum does not fit. If its line feed was lost, or it is the rest of a write that
    was torn, whole records may follow in the same line: they count.
    """
    index = Index()
    find = data.find
    has_records = False
    damaged = first_damaged = 0
    position = len(HEADER) if data.startswith(HEADERS) else 0
    size = len(data)
    piece_end = 0
    while position < size:
        if position >= piece_end and size - position > _PIECE_BYTES:
            piece_end = data.rfind(_LINE_FEED, position, position + _PIECE_BYTES)
            if piece_end > position and _note_piece(index, data, position, piece_end):
                has_records = True
                position = piece_end + 1
                continue
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


def _note_piece(index: Index, data: bytes, start: int, end: int) -> bool:
    """Index the records of these lines, if all are as nearly all lines are; else False, and nothing done.

    The same as `_note_record` for each, in half the time: all checksums are compared at once.
    """
    lines = data[start:end].split(_LINE_FEED)
    bodies = [line[BODY:] for line in lines]
    sums = "\t".join(map(xxh3_64_hexdigest, bodies)).encode() + _TAB
    if b"".join([line[:BODY] for line in lines]) != sums:
        return False
    try:
        parts = [
            (kind, escaped.decode(), payload) for kind, escaped, payload in [each.split(_TAB, 2) for each in bodies]
        ]
    except ValueError:
        return False
    if not _KINDS.issuperset([part[0] for part in parts]):
        return False
    if not all(index.is_declaration(payload) for payload in {part[2] for part in parts if part[0] == _DECLARED}):
        return False
    made, started, measured, declared = index.made, index.started, index.measured, index.declared
    number_of = index._number_of  # all are known by now
    explaining: list[tuple[str, int]] = []
    for (kind, record_id, payload), line in zip(parts, lines):
        length = len(line)
        where = start << LENGTH_BITS | length  # a location, without the call: this is done once a line
        start += length + 1
        if "\\" in record_id:
            record_id = unescape_id(record_id)
        if kind == _STARTED and not index.to_adopt:
            started[record_id] = where
            continue
        if kind == _EXPLAINED:
            explaining.append((record_id, where))
            continue
        if kind == _MADE and not (index.seen or index.failed or index.to_adopt):
            made[record_id] = where
            started.pop(record_id, None)
        elif kind == _MEASURED:
            measured[record_id] = where
        elif kind == _DECLARED:
            declared[record_id] = number_of[payload] << _NUMBER_SHIFT | where
        else:
            index.note(kind[0], record_id, where)
    index.note_explaining(explaining)
    return True


def _note_record(index: Index, data: bytes, start: int, end: int) -> bool:
    """Index the record that stands there; False, and nothing done, if it is not one that is whole."""
    body = data[start + BODY : end]
    if data[start : start + BODY] != xxh3_64_hexdigest(body).encode() + _TAB:
        return False
    try:
        kind, escaped, payload = body.split(_TAB, 2)
        record_id = escaped.decode()
    except ValueError:
        return False
    if "\\" in record_id:
        record_id = unescape_id(record_id)
    where = start << LENGTH_BITS | end - start  # a location, without the call: this is done once a line
    if kind == _DECLARED:
        return index.note_declared(record_id, payload, where)
    return len(kind) == 1 and index.note(kind[0], record_id, where)


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
