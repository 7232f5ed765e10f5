"""The line format of the status file: ids, traces and file records to bytes and back. No disk, no state.

A line is ``checksum TAB kind TAB id TAB payload LF``: the checksum is xxh3-64 in 16 hex digits, over everything
between the tab behind it and the line feed; the id is UTF-8 with `escape_id`'s escapes; the payload is JSON in
ASCII. Neither id nor payload can hold a tab or a line feed, so the beginning of a record is recognised even
where the line feed in front of it was lost (`BEGINNING`).

Kinds and payloads::

    S  started          seconds since 1970
    M  made (a trace)   [fingerprint, seconds, peak_bytes, ended_at, files, inputs]      inputs: {id: fingerprint}
    F  failed           seconds since 1970
    V  seen again       files: the outputs of the last M, as they were when they were looked at again
    I  measured         [fingerprint, files, value_text]
    X  forgotten        null

A file is ``[path, fingerprint, content, size, mtime_ns, inode, is_racy]``. A 0 stands for what would only repeat:
the path, if it is the line's id; the fingerprint, if it is that of the line; the content, if it is the file's
fingerprint.

Anything that changes what lines mean needs a new `VERSION`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from xxhash import xxh3_64_hexdigest

from pipegraph.model import FileRecord, Fingerprint, InvariantRecord, Trace

VERSION: Final = 1
MAGIC: Final = b"pipegraph-status "
HEADER: Final = MAGIC + b"%d\n" % VERSION

# Plain integers, not an enum: they are compared once a line when a file is opened.
STARTED: Final = ord("S")
MADE: Final = ord("M")
FAILED: Final = ord("F")
SEEN: Final = ord("V")
MEASURED: Final = ord("I")
FORGOTTEN: Final = ord("X")

CHECKSUM_LENGTH: Final = 16
BODY: Final = CHECKSUM_LENGTH + 1
"""Where in a line that begins which the checksum covers."""
ID: Final = BODY + 2
BEGINNING: Final = re.compile(rb"[0-9a-f]{16}\t[SMFVIX]\t")

# Below ASCII's and above its control characters (a terminal obeys both), and halves of surrogate pairs, which
# UTF-8 has no bytes for.
_MUST_BE_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\\\\\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|(.))")
_SHORT_UNESCAPES = {"\\": "\\", "n": "\n", "t": "\t", "r": "\r"}
_NOT_FINITE = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
_decode_json = json.JSONDecoder().raw_decode


class MalformedRecord(Exception):
    """A line is not what it should be; the store takes it for nothing, and it reaches nobody else."""


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
    """Payload of S and F."""
    text = repr(float(at))
    return text if math.isfinite(at) else _NOT_FINITE[text]


def encode_trace(job: str, trace: Trace) -> str:
    """Payload of M."""
    inputs = ",".join([f"{quoted(name)}:{quoted(value)}" for name, value in trace.inputs.items()])
    return (
        f"[{quoted(trace.fingerprint)},{encode_time(trace.seconds)},{trace.peak_bytes},{encode_time(trace.ended_at)},"
        f"{encode_files(job, trace.fingerprint, trace.outputs)},{{{inputs}}}]"
    )


def decode_trace(job: str, payload: str) -> Trace:
    """Undo `encode_trace`; raises MalformedRecord."""
    try:
        (fingerprint, seconds, peak_bytes, ended_at, files, inputs), _ = _decode_json(payload)
        outputs = _decode_files(job, fingerprint, files)
        if type(inputs) is not dict:
            raise MalformedRecord
        return Trace(inputs, fingerprint, outputs, seconds, peak_bytes, ended_at)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedRecord from error


def encode_measured(record_id: str, record: InvariantRecord) -> str:
    """Payload of I."""
    files = encode_files(record_id, record.fingerprint, record.files)
    return f"[{quoted(record.fingerprint)},{files},{quoted(record.value_text)}]"


def decode_measured(record_id: str, payload: str) -> InvariantRecord:
    """Undo `encode_measured`; raises MalformedRecord."""
    try:
        (fingerprint, files, value_text), _ = _decode_json(payload)
        return InvariantRecord(fingerprint, _decode_files(record_id, fingerprint, files), value_text)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedRecord from error


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
