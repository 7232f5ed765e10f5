"""The line format of the status file: ids, traces and file records to bytes and back. No disk, no state.

A line is ``checksum TAB kind TAB id TAB payload LF``: the checksum is xxh3-64 in 16 hex digits, over everything
between the tab behind it and the line feed; the id is UTF-8 with `escape_id`'s escapes; the payload is JSON in
ASCII. Neither id nor payload can hold a tab or a line feed, so the beginning of a record is recognised even
where the line feed in front of it was lost (`BEGINNING`).

Kinds and payloads::

    S  started          seconds since 1970
    M  made (a trace)   [fingerprint, seconds, peak_bytes, ended_at, files, {input: fingerprint}, reasons,
                        [[read], [written]]: undeclared files, brought back: where from,
                        [cpu_seconds, read_bytes, written_bytes]]; from the undeclared files on, left out from
                        where nothing more is to be told
    F  failed           seconds since 1970
    V  seen again       files: the outputs of the last M, as they were when they were looked at again
    I  measured         [fingerprint, files, value_text]
    X  forgotten        null
    D  declared         [class, role, [script, ...]]: the scripts that declare this job; none: it is gone; a 1 behind
                        them: it is ephemeral, and keeps its files
    A  adopt next time  seconds since 1970
    E  explained        what a fingerprint (the id) is of, as JSON
    T  text             the source text that has this digest (the id)

A file is ``[path, fingerprint, content, size, mtime_ns, inode, is_racy]``. A 0 stands for what would only repeat:
the path, if it is the line's id; the fingerprint, if it is that of the line; the content, if it is the file's
fingerprint. A reason is ``[kind, subject, before, now]``; there are at most `MOST_REASONS`.

Version 1 had neither D, A, E and T nor reasons, and the same lines otherwise. Anything that changes what lines mean
needs a new `VERSION`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from xxhash import xxh3_64_hexdigest

from pipegraph.model import FileRecord, Fingerprint, InputId, InvariantRecord, Reason, ReasonKind, Role, Trace

if TYPE_CHECKING:
    import os

VERSION: Final = 2
MAGIC: Final = b"pipegraph-status "
HEADERS: Final = tuple(MAGIC + b"%d\n" % version for version in range(VERSION, 0, -1))
"""Of the files that are read here, newest first; all of one length."""
HEADER: Final = HEADERS[0]
MOST_REASONS: Final = 20
MOST_FILES: Final = 20

# Plain integers, not an enum: they are compared once a line when a file is opened.
STARTED: Final = ord("S")
MADE: Final = ord("M")
FAILED: Final = ord("F")
SEEN: Final = ord("V")
MEASURED: Final = ord("I")
FORGOTTEN: Final = ord("X")
DECLARED: Final = ord("D")
TO_ADOPT: Final = ord("A")
EXPLAINED: Final = ord("E")
TEXT: Final = ord("T")

CHECKSUM_LENGTH: Final = 16
BODY: Final = CHECKSUM_LENGTH + 1
"""Where in a line that begins which the checksum covers."""
BEFORE_ID: Final = BODY + 2
"""Where in a line the id begins: kinds are one character."""
BEGINNING: Final = re.compile(rb"[0-9a-f]{16}\t[SMFVIXDAET]\t")

# Below ASCII's and above its control characters (a terminal obeys both), and halves of surrogate pairs, which
# UTF-8 has no bytes for.
_MUST_BE_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\\\\\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|(.))")
_SHORT_UNESCAPES = {"\\": "\\", "n": "\n", "t": "\t", "r": "\r"}
_NOT_FINITE = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
_decode_json = json.JSONDecoder().raw_decode
_REASON_KINDS = {kind.value: kind for kind in ReasonKind}
_QUOTED_KINDS = {kind: quoted(kind.value) for kind in ReasonKind}
# What most lines look like; whatever does not is decoded as JSON. These take a third of the time, of a million lines.
_ONE_FILE = r"\[\[0,0,0,([0-9]+),([0-9]+),([0-9]+),0\]\]"
_USUAL_MEASURED = re.compile(rf'\["([0-9a-f]{{32}})",{_ONE_FILE},""\]')
_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e-[0-9]+)?"
_USUAL_BEGINNING = re.compile(rf'\["([0-9a-f]{{32}})",({_NUMBER}),([0-9]+),({_NUMBER}),{_ONE_FILE},\{{')
_USUAL_END = '},[["never made here","","",""]]]'
_USUAL_END_BEFORE_USED = _USUAL_END[:-1] + ',[[],[]],"",['
_USED = re.compile(rf"({_NUMBER}),([0-9]+),([0-9]+)\]\]")
_FINGERPRINT = slice(len('["'), len('["') + 32)
"""Where in a payload that begins with one its digits are."""
_new = tuple.__new__
_NEVER_MADE: tuple[Reason, ...] = (Reason(ReasonKind.NEVER_MADE),)
_NOTHING_USED = 0.0, 0, 0
_BEFORE_READ = Trace._fields.index("read")
_MADE_FIRST = [[[ReasonKind.NEVER_MADE.value, "", "", ""]]]


class MalformedRecord(Exception):
    """A line is not what it should be; the store takes it for nothing, and it reaches nobody else."""


class Declaration(NamedTuple):
    """What a job is declared as, and the scripts that do so, sorted; none if it is gone."""

    class_name: str
    role: Role
    scripts: tuple[str, ...]
    keeps: bool = False


class RecordedInputs(Mapping[InputId, Fingerprint]):
    """The inputs of a trace as they stand in its line; decoded when one is asked for.

    Most are only compared, with what is the same, and then forgotten: the text takes a third of the room.

    Parameters
    ----------
    text
        What stands between the braces; without a backslash. If it is not what is written there, nothing equals it.
    """

    __slots__ = ("_decoded", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._decoded: dict[InputId, Fingerprint] | None = None

    def __eq__(self, other: object) -> bool:
        if type(other) is dict and self._decoded is None:
            same = _written_plainly(other)
            # As many quotes as are written around names: so there is none in a name, which could be read otherwise.
            if same == self._text and same.count('"') == 4 * len(other):
                return True
        return self._inputs() == (other._inputs() if isinstance(other, RecordedInputs) else other)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, name: InputId) -> Fingerprint:
        return self._inputs()[name]

    def __iter__(self) -> Iterator[InputId]:
        return iter(self._inputs())

    def __len__(self) -> int:
        return len(self._inputs())

    def __repr__(self) -> str:
        return repr(self._inputs())

    def _inputs(self) -> dict[InputId, Fingerprint]:
        if self._decoded is None:
            try:
                self._decoded = json.loads(f"{{{self._text}}}")
            except ValueError:
                self._decoded = {"": ""}
        return self._decoded


def _written_plainly(inputs: Mapping[InputId, Fingerprint]) -> str:
    """As inputs are written whose names need no escapes."""
    return ",".join([f'"{name}":"{fingerprint}"' for name, fingerprint in inputs.items()])


class UsualTrace(Trace):
    """A trace as nearly all are, which is most often only compared: its line is decoded when more is asked for.

    Of a job that was never made before, and left one file. It equals the `Trace` of the same fields; what is kept is
    the job, the payload of its line, and where in that the inputs begin and end.
    """

    __slots__ = ()

    inputs = property(lambda self: RecordedInputs(self[1][self[2] : self[3]]))
    fingerprint = property(lambda self: self[1][_FINGERPRINT])
    reasons = property(lambda self: _NEVER_MADE)
    read = property(lambda self: ())
    written = property(lambda self: ())
    brought_back = property(lambda self: "")
    outputs = property(lambda self: self.whole().outputs)
    seconds = property(lambda self: float(self[1].split(",", 2)[1]))
    peak_bytes = property(lambda self: int(self[1].split(",", 3)[2]))
    ended_at = property(lambda self: self.whole().ended_at)
    cpu_seconds = property(lambda self: self.whole().cpu_seconds)
    read_bytes = property(lambda self: self.whole().read_bytes)
    written_bytes = property(lambda self: self.whole().written_bytes)

    def used(self, inputs: Mapping[InputId, Fingerprint]) -> bool:
        """As `RecordedInputs` compares, without one."""
        kept: Any = self
        text = _written_plainly(inputs)
        if text == kept[1][kept[2] : kept[3]] and text.count('"') == 4 * len(inputs):
            return True
        return bool(self.inputs == inputs)

    def is_stamped(self, now: os.stat_result) -> bool:
        """Whether its file, with this size, time and inode, is as it was when it was read."""
        kept: Any = self
        text = f",[[0,0,0,{now.st_size},{now.st_mtime_ns},{now.st_ino},0]],{{"
        is_same: bool = kept[1].startswith(text, kept[2] - len(text))
        return is_same

    def whole(self) -> Trace:
        """All of it, decoded."""
        kept: Any = self
        job, payload, _, end = kept
        usual = _USUAL_BEGINNING.match(payload)
        assert usual is not None
        fingerprint, seconds, peak_bytes, ended_at, size, mtime_ns, inode = usual.groups()
        file = FileRecord(job, fingerprint, fingerprint, int(size), int(mtime_ns), int(inode), False)
        trace = Trace(self.inputs, fingerprint, (file,), float(seconds), int(peak_bytes), float(ended_at), _NEVER_MADE)
        used = _USED.fullmatch(payload, end + len(_USUAL_END_BEFORE_USED))
        if used is None:
            return trace
        return trace._replace(cpu_seconds=float(used[1]), read_bytes=int(used[2]), written_bytes=int(used[3]))

    def __eq__(self, other: object) -> bool:
        if type(other) is UsualTrace:
            other = other.whole()
        return tuple(self.whole()) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.whole())

    def __reduce__(self) -> tuple[Any, ...]:
        return Trace, tuple(self.whole())

    def _replace(self, **fields: Any) -> Trace:  # type: ignore[override]
        return self.whole()._replace(**fields)

    def _asdict(self) -> dict[str, Any]:
        return self.whole()._asdict()


def encode_line(kind: int, record_id: str, payload: str) -> bytes:
    """One line, with its line feed."""
    body = f"{kind:c}\t{escape_id(record_id)}\t{payload}".encode()
    return b"%b\t%b\n" % (xxh3_64_hexdigest(body).encode(), body)


def is_whole(line: bytes) -> bool:
    """Whether a line (without its line feed) is as it was written."""
    return line.startswith(b"%b\t" % xxh3_64_hexdigest(line[BODY:]).encode())


def payload_of(line: bytes) -> str:
    """What stands behind the id in a line (without its line feed); raises MalformedRecord if it is not whole."""
    if not is_whole(line):
        raise MalformedRecord
    try:
        return line.decode().split("\t", 3)[3]
    except (ValueError, IndexError) as error:
        raise MalformedRecord from error


def escape_id(record_id: str) -> str:
    r"""Replace what would break a line or a terminal; plain ids, of whatever script, stand as they are.

    Backslash, line feed, tab and carriage return as in Python, other control characters as ``\x1b``, lone
    surrogates as ``\ud800``.
    """
    if record_id.isprintable() and "\\" not in record_id:
        return record_id
    return _MUST_BE_ESCAPED.sub(_escape, record_id)


def unescape_id(text: str) -> str:
    """Undo `escape_id`."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(_unescape, text)


def encode_time(at: float) -> str:
    """Payload of S, F and A."""
    text = repr(float(at))
    return text if math.isfinite(at) else _NOT_FINITE[text]


def decode_time(payload: str) -> float:
    """Undo `encode_time`; raises MalformedRecord."""
    return float(_decoded(payload, int, float))


def encode_declaration(declaration: Declaration) -> str:
    """Payload of D."""
    scripts = ",".join(map(quoted, declaration.scripts))
    keeps = ",1" if declaration.keeps else ""
    return f"[{quoted(declaration.class_name)},{quoted(declaration.role.value)},[{scripts}]{keeps}]"


def decode_declaration(payload: str) -> Declaration:
    """Undo `encode_declaration`; raises MalformedRecord."""
    try:
        class_name, role, scripts, *keeps = _decoded(payload, list)
        if keeps not in ([], [1]):
            raise MalformedRecord
        return Declaration(class_name, Role(role), tuple(scripts), bool(keeps))
    except (ValueError, TypeError) as error:
        raise MalformedRecord from error


def encode_text(text: str) -> str:
    """Payload of T."""
    return quoted(text)


def decode_text(payload: str) -> str:
    """Undo `encode_text`; raises MalformedRecord."""
    return str(_decoded(payload, str))


def encode_trace(job: str, trace: Trace) -> str:
    """Payload of M."""
    inputs = ",".join([f"{quoted(name)}:{quoted(value)}" for name, value in trace.inputs.items()])
    reasons = ",".join(
        [
            f"[{_QUOTED_KINDS[kind]},{quoted(subject)},{quoted(before)},{quoted(now)}]"
            for kind, subject, before, now in trace.reasons[:MOST_REASONS]
        ]
    )
    more = ""
    has_used = trace.cpu_seconds or trace.read_bytes or trace.written_bytes
    if trace.read or trace.written or trace.brought_back or has_used:
        more = "," + json.dumps([trace.read[:MOST_FILES], trace.written[:MOST_FILES]], separators=(",", ":"))
        more += "," + quoted(trace.brought_back) if trace.brought_back or has_used else ""
        if has_used:
            more += f",[{encode_time(trace.cpu_seconds)},{trace.read_bytes},{trace.written_bytes}]"
    return (
        f"[{quoted(trace.fingerprint)},{encode_time(trace.seconds)},{trace.peak_bytes},{encode_time(trace.ended_at)},"
        f"{encode_files(job, trace.fingerprint, trace.outputs)},{{{inputs}}},[{reasons}]{more}]"
    )


def decode_trace(job: str, payload: str) -> Trace:
    """Undo `encode_trace`; raises MalformedRecord."""
    try:
        usual = _USUAL_BEGINNING.match(payload) if "\\" not in payload else None
        if usual is not None:
            if payload.endswith(_USUAL_END):
                return _new(UsualTrace, (job, payload, usual.end(), len(payload) - len(_USUAL_END)))
            end = payload.rfind(_USUAL_END_BEFORE_USED)
            if end > 0 and _USED.fullmatch(payload, end + len(_USUAL_END_BEFORE_USED)):
                return _new(UsualTrace, (job, payload, usual.end(), end))
        (fingerprint, seconds, peak_bytes, ended_at, files, inputs, *more), _ = _decode_json(payload)
        outputs = _decode_files(job, fingerprint, files)
        if type(inputs) is not dict:
            raise MalformedRecord
        if not more or more == _MADE_FIRST:  # of most jobs, and all are decoded when a run begins
            reasons = _NEVER_MADE if more else ()
        else:
            reasons = tuple([Reason(_REASON_KINDS[kind], *rest) for kind, *rest in more[0]])
        trace = Trace(inputs, fingerprint, outputs, seconds, peak_bytes, ended_at, reasons)
        if len(more) < 2:
            return trace
        brought_back = more[2] if len(more) > 2 else ""
        cpu_seconds, read_bytes, written_bytes, *_ = more[3] if len(more) > 3 else _NOTHING_USED
        if not (_is_number(cpu_seconds, float) and _is_number(read_bytes) and _is_number(written_bytes)):
            raise MalformedRecord
        read, written, *_ = more[1]
        used = cpu_seconds, read_bytes, written_bytes
        return Trace._make((*trace[:_BEFORE_READ], tuple(read), tuple(written), brought_back, *used))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise MalformedRecord from error


def _is_number(value: object, *more: type) -> bool:
    return type(value) in (int, *more)


def encode_measured(record_id: str, record: InvariantRecord) -> str:
    """Payload of I."""
    files = encode_files(record_id, record.fingerprint, record.files)
    return f"[{quoted(record.fingerprint)},{files},{quoted(record.value_text)}]"


def decode_measured(record_id: str, payload: str) -> InvariantRecord:
    """Undo `encode_measured`; raises MalformedRecord."""
    try:
        usual = _USUAL_MEASURED.fullmatch(payload)
        if usual is not None:
            fingerprint, size, mtime_ns, inode = usual.groups()
            file = _new(FileRecord, (record_id, fingerprint, fingerprint, int(size), int(mtime_ns), int(inode), False))
            return _new(InvariantRecord, (fingerprint, (file,), ""))
        (fingerprint, files, value_text), _ = _decode_json(payload)
        return InvariantRecord(fingerprint, _decode_files(record_id, fingerprint, files), value_text)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedRecord from error


def fingerprint_if_stamped(payload: str, now: os.stat_result) -> Fingerprint | None:
    """Of an I: what its one file was read as, if it is not racy and has this size, time and inode; else None."""
    fingerprint = payload[_FINGERPRINT]
    if (
        payload[_FINGERPRINT.stop :] != f'",[[0,0,0,{now.st_size},{now.st_mtime_ns},{now.st_ino},0]],""]'
        or payload[:2] != '["'
        or '"' in fingerprint
        or "\\" in fingerprint
    ):
        return None
    return fingerprint


def encode_files(record_id: str, fingerprint: Fingerprint, files: Iterable[FileRecord]) -> str:
    """Payload of V (with an empty fingerprint), and a part of those of M and I."""
    texts = [
        f"[{0 if path == record_id else quoted(path)},{0 if own == fingerprint else quoted(own)},"
        f"{0 if content == own else quoted(content)},{size},{mtime_ns},{inode},{is_racy:d}]"
        for path, own, content, size, mtime_ns, inode, is_racy in files
    ]
    return f"[{','.join(texts)}]"


def decode_files(record_id: str, payload: str) -> tuple[FileRecord, ...]:
    """Undo `encode_files` of a V; raises MalformedRecord."""
    try:
        files, _ = _decode_json(payload)
        return _decode_files(record_id, "", files)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedRecord from error


def _decoded(payload: str, *types: type) -> Any:
    try:
        value, _ = _decode_json(payload)
    except (ValueError, RecursionError) as error:
        raise MalformedRecord from error
    if type(value) not in types:
        raise MalformedRecord
    return value


def _decode_files(record_id: str, fingerprint: Fingerprint, files: Any) -> tuple[FileRecord, ...]:
    records = []
    for path, own, content, size, mtime_ns, inode, is_racy in files:
        # An empty string is not a 0: a file that was looked at by its time has no content's fingerprint.
        path = record_id if path == 0 else path
        own = fingerprint if own == 0 else own
        content = own if content == 0 else content
        records.append(FileRecord(path, own, content, size, mtime_ns, inode, is_racy == 1))
    return tuple(records)


def _escape(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


def _unescape(match: re.Match[str]) -> str:
    digits = match[1] or match[2]
    if digits:
        return chr(int(digits, 16))
    return _SHORT_UNESCAPES.get(match[3], match[0])
