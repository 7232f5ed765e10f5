"""The line format: everything that goes in comes out, and what stands in the file can be read by a person."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_hexdigest

from pipegraph.model import FileRecord, InvariantRecord, Reason, ReasonKind, Role, Trace
from pipegraph.status import records
from pipegraph.status.index import read
from pipegraph.status.records import Declaration, MalformedRecord

any_text = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF))
fingerprints = st.text("0123456789abcdef", min_size=32, max_size=32) | st.sampled_from(["", "0"])
integers = st.integers(0, 2**63)
times = st.floats(allow_nan=False)
files = st.builds(FileRecord, any_text, fingerprints, fingerprints, integers, integers, integers, st.booleans())
reasons = st.builds(Reason, st.sampled_from(ReasonKind), any_text, fingerprints, fingerprints)
traces = st.builds(
    Trace,
    st.dictionaries(any_text, fingerprints),
    fingerprints,
    st.lists(files, max_size=3).map(tuple),
    times,
    integers,
    times,
    st.lists(reasons, max_size=3).map(tuple),
    st.lists(any_text, max_size=3).map(tuple),
    st.lists(any_text, max_size=3).map(tuple),
    st.just("") | any_text,
    st.just(0.0) | times,
    st.just(0) | integers,
    st.just(0) | integers,
)
invariants = st.builds(InvariantRecord, fingerprints, st.lists(files, max_size=3).map(tuple), any_text)
quick = settings(deadline=None, max_examples=200)


def written(kind: int, record_id: str, payload: str) -> bytes:
    line = records.encode_line(kind, record_id, payload)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.count(b"\t") == 3
    return line


@quick
@given(any_text, traces)
def test_a_trace_comes_back_as_it_was(job: str, trace: Trace) -> None:
    line = written(records.MADE, job, records.encode_trace(job, trace))

    assert records.decode_trace(job, records.payload_of(line[:-1])) == trace
    assert list(read(records.HEADER + line).found.made) == [job]


A, B = "a" * 32, "b" * 32
MADE_FIRST = (Reason(ReasonKind.NEVER_MADE),)


def usual(**facts: object) -> Trace:
    """A job with one file that was made once, as most are."""
    outputs = (FileRecord("out", A, A, 5, 1_795_898_516_462_066_126, 7, False),)
    return Trace({"in": A, "FIout": B}, A, outputs, 0.25, 6, 1795898516.5, MADE_FIRST)._replace(**facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trace", "is_usual"),
    [
        (usual(), True),
        (usual(seconds=1.5e-05), True),
        (usual(inputs={"a name, with: {all} [of] it": A}), True),
        (usual(inputs={}), True),
        (usual(cpu_seconds=1.5), True),
        (usual(cpu_seconds=1.5e-05, read_bytes=2**60, written_bytes=8), True),
        (usual(written_bytes=8), True),
        (usual(cpu_seconds=1.5, inputs={}), True),
        (usual(cpu_seconds=1.5, inputs={"[0.5,1,2]]": A}), True),
        (usual(cpu_seconds=1.5, read=("notes.txt",)), False),
        (usual(cpu_seconds=1.5, brought_back="somewhere"), False),
        (usual(cpu_seconds=1.5, reasons=()), False),
        (usual(cpu_seconds=1e20), False),
        (usual(read_bytes=-5), False),
        (usual(inputs={'"quoted"': A}), False),
        (usual(inputs={"grün": A}), False),
        (usual(inputs={"in": "0"}), True),
        (usual(seconds=1e20), False),
        (usual(seconds=math.inf), False),
        (usual(reasons=()), False),
        (usual(read=("notes.txt",)), False),
        (usual(brought_back="somewhere"), False),
        (usual(outputs=()), False),
        (usual(outputs=(usual().outputs[0]._replace(is_racy=True),)), False),
        (usual(outputs=(usual().outputs[0]._replace(content=B),)), False),
    ],
)
def test_a_trace_is_the_same_whether_its_line_is_a_usual_one_or_not(trace: Trace, is_usual: bool) -> None:
    decoded = records.decode_trace("out", records.encode_trace("out", trace))

    assert decoded == trace
    assert dict(decoded.inputs) == trace.inputs
    for name in Trace._fields[1:]:
        assert getattr(decoded, name) == getattr(trace, name)
        assert type(getattr(decoded, name)) is type(getattr(trace, name))
    assert isinstance(decoded, records.UsualTrace) is is_usual
    assert isinstance(decoded.inputs, records.RecordedInputs) is is_usual


@pytest.mark.parametrize("cpu_seconds", [0.0, 1.5])
@pytest.mark.parametrize(
    ("now", "is_same"),
    [
        ({"a": A, "b": B}, True),
        ({"b": B, "a": A}, True),
        ({"a": A, "b": A}, False),
        ({"a": A}, False),
        ({"a": A, "b": B, "c": A}, False),
        ({}, False),
        # Written between quotes without a look at what is in them, it would be the same text.
        ({f'a":"{A}","b': B}, False),
        ({"a": f'{A}","b":"{B}'}, False),
    ],
)
def test_recorded_inputs_are_the_same_if_names_and_fingerprints_are(
    now: dict[str, str], is_same: bool, cpu_seconds: float
) -> None:
    text = records.encode_trace("out", usual(inputs={"a": A, "b": B}, cpu_seconds=cpu_seconds))

    assert records.decode_trace("out", text).used(now) is is_same
    for recorded in (records.decode_trace("out", text).inputs, records.decode_trace("out", text).inputs):
        assert (recorded == now) is is_same
        assert (now == recorded) is is_same
        assert (recorded != now) is not is_same
        assert (recorded["a"], recorded.get("c"), list(recorded), len(recorded)) == (A, None, ["a", "b"], 2)
        assert (recorded == now) is is_same  # decoded by now


@pytest.mark.parametrize("read", [(), ("notes.txt",)])
def test_where_the_files_were_brought_back_from_is_kept(read: tuple[str, ...]) -> None:
    trace = Trace({}, "f" * 32, read=read, brought_back='/data/"shared", made 2026-11-21')

    assert records.decode_trace("a", records.encode_trace("a", trace)) == trace


def test_of_many_undeclared_files_the_first_are_kept() -> None:
    many = tuple(str(number) for number in range(30))
    back = records.decode_trace("a", records.encode_trace("a", Trace({}, "f" * 32, read=many, written=many)))

    assert (back.read, back.written) == (many[:20], many[:20])


def test_of_many_reasons_the_first_are_kept() -> None:
    reasons = tuple(Reason(ReasonKind.INPUT_ADDED, f"input {number}", now="1" * 32) for number in range(21))
    trace = Trace({}, "f" * 32, reasons=reasons)

    assert records.decode_trace("a", records.encode_trace("a", trace)).reasons == reasons[:20]


def test_a_trace_of_version_1_has_no_reasons() -> None:
    payload = records.encode_trace("a", Trace({"in": "1" * 32}, "f" * 32)).removesuffix(",[]]") + "]"

    assert payload == f'["{"f" * 32}",0.0,0,0.0,[],{{"in":"{"1" * 32}"}}]'
    assert records.decode_trace("a", payload) == Trace({"in": "1" * 32}, "f" * 32)


def test_what_a_job_used_stands_behind_all_else_and_only_where_there_is_something() -> None:
    trace = Trace({}, "f" * 32, seconds=2.5)
    used = trace._replace(cpu_seconds=1.5, read_bytes=200, written_bytes=30)

    assert records.encode_trace("a", trace) == f'["{"f" * 32}",2.5,0,0.0,[],{{}},[]]'
    assert records.encode_trace("a", used) == f'["{"f" * 32}",2.5,0,0.0,[],{{}},[],[[],[]],"",[1.5,200,30]]'


def test_what_a_later_version_tells_more_of_is_not_lost_on_this_one() -> None:
    used = usual(cpu_seconds=1.5, read_bytes=200, written_bytes=30)
    payload = records.encode_trace("out", used)

    assert records.decode_trace("out", payload.removesuffix("]]") + ',7],"more"]') == used


def decoded_as_before(job: str, payload: str) -> Trace:
    """As the decoder was before it knew of processor time and of what was read and written."""
    (fingerprint, seconds, peak_bytes, ended_at, files, inputs, *more), _ = json.JSONDecoder().raw_decode(payload)
    outputs = []
    for path, own, content, size, mtime_ns, inode, is_racy in files:
        path = job if path == 0 else path
        own = fingerprint if own == 0 else own
        content = own if content == 0 else content
        outputs.append(FileRecord(path, own, content, size, mtime_ns, inode, is_racy == 1))
    assert type(inputs) is dict
    kinds = {kind.value: kind for kind in ReasonKind}
    reasons = tuple([Reason(kinds[kind], *rest) for kind, *rest in more[0]]) if more else ()
    trace = Trace(inputs, fingerprint, tuple(outputs), seconds, peak_bytes, ended_at, reasons)
    if len(more) < 2:
        return trace
    brought_back = more[2] if len(more) > 2 else ""
    return trace._replace(read=tuple(more[1][0]), written=tuple(more[1][1]), brought_back=brought_back)


@quick
@given(any_text, traces)
def test_an_older_version_reads_all_that_it_knows_of(job: str, trace: Trace) -> None:
    known = trace._replace(cpu_seconds=0.0, read_bytes=0, written_bytes=0)

    assert decoded_as_before(job, records.encode_trace(job, trace)) == known


@quick
@given(
    any_text,
    st.builds(Declaration, any_text, st.sampled_from(Role), st.lists(any_text, max_size=3).map(tuple), st.booleans()),
)
def test_a_declaration_comes_back_as_it_was(job: str, declaration: Declaration) -> None:
    line = written(records.DECLARED, job, records.encode_declaration(declaration))

    assert records.decode_declaration(records.payload_of(line[:-1])) == declaration
    assert read(records.HEADER + line).found.declaration(job) == declaration


@quick
@given(any_text)
def test_a_text_comes_back_as_it_was(text: str) -> None:
    line = written(records.TEXT, "0" * 32, records.encode_text(text))

    assert records.decode_text(records.payload_of(line[:-1])) == text


@pytest.mark.parametrize(
    "payload",
    [
        *("", "null", "[]", '["a","output"]', '["a","captain",[]]', '["a",[],[]]', '["a","output",5]', "[" * 9999),
        '["a","ephemeral",[],2]',
    ],
)
def test_a_declaration_that_nobody_writes_is_a_damaged_line(payload: str) -> None:
    line = records.encode_line(records.DECLARED, "a", payload)

    with pytest.raises(MalformedRecord):
        records.decode_declaration(payload)
    reading = read(records.HEADER + line)
    assert (reading.damaged_lines, reading.found.declaration("a"), list(reading.found.jobs())) == (1, None, [])


@pytest.mark.parametrize("decode", [records.decode_time, records.decode_text])
@pytest.mark.parametrize("payload", ["", "null", "[]", "{", "[" * 9999])
def test_a_time_or_text_that_nobody_writes_is_malformed(payload: str, decode: Callable[[str], object]) -> None:
    with pytest.raises(MalformedRecord):
        decode(payload)


@quick
@given(any_text, invariants)
def test_an_invariant_comes_back_as_it_was(name: str, record: InvariantRecord) -> None:
    line = written(records.MEASURED, name, records.encode_measured(name, record))

    assert records.decode_measured(name, records.payload_of(line[:-1])) == record


@quick
@given(any_text, st.lists(files, max_size=3).map(tuple))
def test_outputs_seen_again_come_back_as_they_were(job: str, outputs: tuple[FileRecord, ...]) -> None:
    line = written(records.SEEN, job, records.encode_files(job, "", outputs))

    assert records.decode_files(job, records.payload_of(line[:-1])) == outputs


@quick
@given(st.lists(any_text, min_size=2, max_size=2, unique=True))
def test_no_two_ids_are_escaped_alike(ids: list[str]) -> None:
    assert len({records.escape_id(one) for one in ids}) == 2


@pytest.mark.parametrize(
    "plain", ["out/a b.tsv", "größe.tsv", "结果/表.tsv", "a:::b", "{}[]\"'$*", "\u2028", "\ue000", "🧬"]
)
def test_plain_ids_stand_in_the_file_as_they_are(plain: str) -> None:
    line = records.encode_line(records.STARTED, plain, "0.0")

    assert b"\tS\t" + plain.encode() + b"\t0.0\n" in line


@pytest.mark.parametrize(
    ("record_id", "escaped"),
    [
        ("a\nb", r"a\nb"),
        ("a\tb", r"a\tb"),
        ("a\rb", r"a\rb"),
        ("a\\nb", r"a\\nb"),
        ("\x00", r"\x00"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("\ud800\udfff", r"\ud800\udfff"),
        ("\\", r"\\"),
        ("", ""),
    ],
)
def test_what_would_break_a_line_or_a_terminal_is_escaped(record_id: str, escaped: str) -> None:
    assert records.escape_id(record_id) == escaped
    assert records.unescape_id(escaped) == record_id


def test_the_checksum_is_xxh3_over_all_that_follows_it() -> None:
    checksum, _, body = records.encode_line(records.STARTED, "a", "1.5")[:-1].partition(b"\t")

    assert body == b"S\ta\t1.5"
    assert checksum.decode() == xxh3_64_hexdigest(body)


def test_what_only_repeats_is_not_written() -> None:
    trace = Trace({}, "f" * 32, (FileRecord("out/a.tsv", "f" * 32, "f" * 32, 7, 8, 9, True),), 0.5, 3, 1.5)

    payload = records.encode_trace("out/a.tsv", trace)

    assert payload == f'["{"f" * 32}",0.5,3,1.5,[[0,0,0,7,8,9,1]],{{}},[]]'


def test_an_empty_path_or_fingerprint_is_not_taken_for_a_repeated_one() -> None:
    record = FileRecord("", "", "", 0, 0, 0, False)
    trace = Trace({"": ""}, "f" * 32, (record, record._replace(fingerprint="a" * 32)))

    assert records.decode_trace("job", records.encode_trace("job", trace)) == trace


@pytest.mark.parametrize("at", [0, 1763690000.123456, math.inf, -math.inf])
def test_a_time_is_json_whatever_it_is(at: float) -> None:
    assert json.loads(records.encode_time(at)) == at
    assert records.decode_time(records.encode_time(at)) == at


def test_a_time_that_is_no_number_is_json() -> None:
    assert math.isnan(json.loads(records.encode_time(math.nan)))


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    size = numpy.int64(3)
    record = FileRecord("a", "f", "f", size, size, size, numpy.bool_(True))

    trace = Trace({}, "f", (record,), numpy.float64(0.5), size, numpy.float64(1.5))

    assert records.decode_trace("a", records.encode_trace("a", trace)) == trace


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "null",
        "5",
        "[]",
        "{}",
        "[1,2,3,4,5]",
        '["f",0,0,0,5,{}]',
        '["f",0,0,0,[[1]],{}]',
        '["f",0,0,0,[],[]]',
        '["f",0,0,0,[],{},[],[[],[]],"",5]',
        '["f",0,0,0,[],{},[],[[],[]],"",[]]',
        '["f",0,0,0,[],{},[],[[],[]],"",[0.5,1]]',
        '["f",0,0,0,[],{},[],[[],[]],"",["0.5",1,2]]',
        '["f",0,0,0,[],{},[],[[],[]],"",[0.5,1.5,2]]',
        '["f",0,0,0,[],{},[],[[],[]],"",[0.5,1,null]]',
        '["f",0,0,0,[],{},[],[[],[]],"",[true,1,2]]',
        "[" * 100_000,
        "9" * 100_000,
        "[1e999999",
    ],
    ids=lambda payload: payload[:20],
)
def test_a_payload_of_another_shape_is_refused_not_a_crash(payload: str) -> None:
    with pytest.raises(MalformedRecord):
        records.decode_trace("a", payload)
    with pytest.raises(MalformedRecord):
        records.decode_measured("a", payload)
    if payload not in ("[]", "{}"):
        with pytest.raises(MalformedRecord):
            records.decode_files("a", payload)


def test_a_line_that_is_not_whole_has_no_payload() -> None:
    line = records.encode_line(records.STARTED, "a", "1.5")[:-1]

    for bad in (line[:-1], b"", line[:10], b"x" + line[1:], line.replace(b"\t", b"\0", 1)):
        assert not records.is_whole(bad)
        with pytest.raises(MalformedRecord):
            records.payload_of(bad)


@pytest.mark.parametrize("body", [b"S", b"S\t", b"S\ta", b"S\t\xff\t1", b"?\ta\t1", b""])
def test_a_line_with_a_fitting_checksum_and_another_form_is_damaged(body: bytes) -> None:
    line = xxh3_64_hexdigest(body).encode() + b"\t" + body + b"\n"

    reading = read(records.HEADER + line)

    assert (reading.has_records, reading.damaged_lines, reading.first_damaged_line) == (False, 1, 2)


def test_a_million_inputs_take_one_line_and_little_beyond_their_text() -> None:
    inputs = {f"part_{number}": "0" * 32 for number in range(100_000)}

    payload = records.encode_trace("wide", Trace(inputs, "f" * 32))

    text_bytes = sum(len(name) + 32 for name in inputs)
    assert len(payload) < text_bytes + 6 * len(inputs) + 100


@pytest.mark.parametrize("body", [b"S\tid", b"S\tid\xff\t1.0"])
def test_a_whole_line_that_is_no_record_is_malformed(body: bytes) -> None:
    line = xxh3_64_hexdigest(body).encode() + b"\t" + body

    assert records.is_whole(line)
    with pytest.raises(records.MalformedRecord):
        records.payload_of(line)


def test_an_escape_that_nobody_writes_stands_for_itself() -> None:
    assert records.unescape_id(r"a\qb\x1") == r"a\qb\x1"
