"""What is usual takes a short way when a run begins: it must come to what the long way comes to."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_world import spec_of

from pipegraph.engine import Engine
from pipegraph.estimates import Estimate, Estimates
from pipegraph.events import GraphGrew, JobStarted, JobSucceeded
from pipegraph.graph import Graph
from pipegraph.invariants import files
from pipegraph.model import (
    FileRecord,
    Growth,
    InvariantRecord,
    JobSpec,
    Past,
    Place,
    Reason,
    ReasonKind,
    Role,
    Specs,
    Trace,
    combine,
    usual_spec,
)
from pipegraph.status import StatusFile, index, records, store

A, B, C = (combine([text]) for text in "abc")
HERE = Place("script.py", 1)
FIRST = (Reason(ReasonKind.NEVER_MADE),)


def file_of(path: str, **facts: object) -> FileRecord:
    return FileRecord(path, A, A, 5, 1_795_898_516_462_066_126, 7, False)._replace(**facts)  # type: ignore[arg-type]


def trace_of(path: str, inputs: dict[str, str]) -> Trace:
    return Trace(inputs, A, (file_of(path),), 0.25, 6, 1795898516.5, FIRST)


# --- lines, many at once


def payloads(rng: random.Random, record_id: str) -> list[tuple[int, str, str]]:
    """Some records of one job."""
    trace = trace_of(record_id, {"FI" + record_id: rng.choice((A, B)), "in": C})
    payload = records.encode_trace(record_id, trace)
    declared = records.encode_declaration(records.Declaration("Job", Role.OUTPUT, (rng.choice(("a.py", "b.py")),)))
    measured = records.encode_measured(record_id, InvariantRecord(A, (file_of(record_id),)))
    at = records.encode_time(5.5)
    return [
        (records.DECLARED, record_id, declared),
        (records.STARTED, record_id, at),
        (records.MADE, record_id, payload),
        (records.FAILED, record_id, at),
        (records.SEEN, record_id, records.encode_files(record_id, "", (file_of(record_id),))),
        (records.TO_ADOPT, record_id, at),
        (records.MEASURED, record_id, measured),
        (records.FORGOTTEN, record_id, "null"),
        (records.EXPLAINED, combine([record_id]), '{"p":[]}'),
        (records.EXPLAINED, "short" + record_id, '{"p":[]}'),
        (records.TEXT, combine([record_id, "text"]), '"text"'),
    ]


def a_file(rng: random.Random) -> bytes:
    """A status file with whatever may stand in one, damage included."""
    lines = []
    names = [rng.choice(("out/%d", "grün/%d", "back\\slash/%d", "new\nline/%d")) % number for number in range(12)]
    for _ in range(rng.randrange(1, 120)):
        kinds = payloads(rng, rng.choice(names))
        line = records.encode_line(*rng.choice(kinds[:3] * 4 + kinds))
        what = rng.random()
        if what < 0.03:
            at = rng.randrange(len(line))
            line = line[:at] + bytes([line[at] ^ 1 << rng.randrange(8)]) + line[at + 1 :]
        elif what < 0.05:
            line = line[:-1]
        elif what < 0.06:
            line = b"\n" + line
        elif what < 0.07:
            line = records.encode_line(ord("?"), "unknown", "null")
        elif what < 0.08:
            line = records.encode_line(records.DECLARED, "odd", "[1,2,3]")
        lines.append(line)
    return records.HEADER + b"".join(lines)


def all_of(reading: index.Reading) -> object:
    found = reading.found
    groups = [dict(group) for group in found._groups()]
    declared = {job: found.declaration(job) for job in found.declared}
    sizes = found.live_bytes(), found.explaining_bytes(), sorted(map(index.unpack, found.live()))
    return groups[:6], groups[7:], declared, sizes, reading[1:]


@pytest.mark.parametrize("seed", range(60))
def test_lines_that_are_checked_many_at_once_say_what_they_say_one_by_one(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = a_file(random.Random(seed))
    monkeypatch.setattr(index, "_PIECE_BYTES", len(data) + 1)
    one_by_one = index.read(data)

    for piece_bytes in (200, 700, 3000, 20_000):
        monkeypatch.setattr(index, "_PIECE_BYTES", piece_bytes)
        assert all_of(index.read(data)) == all_of(one_by_one)


def test_usual_lines_are_checked_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [records.encode_line(*each) for name in ("a", "grün", "c\\d") for each in payloads(random.Random(1), name)]
    monkeypatch.setattr(index, "_note_record", lambda *arguments: pytest.fail("one by one"))
    monkeypatch.setattr(index, "_PIECE_BYTES", 4000)
    data = records.HEADER + b"".join(lines) * 20

    # The last piece is shorter than one, and its lines are looked at one by one.
    with pytest.raises(pytest.fail.Exception):
        index.read(data)
    assert index._note_piece(index.Index(), data, len(records.HEADER), len(data) - 1)


# --- what is compared as it is written


@pytest.mark.parametrize("name", ["in", "with: {all} [of] it", 'a "quote"', "back\\slash", "grün", "tab\t", ""])
@pytest.mark.parametrize("other", ["in", "in2", 'in":"' + A + '","x', "gr\\u00fcn"])
def test_a_trace_used_what_its_decoded_inputs_are(name: str, other: str) -> None:
    before = {name: A, "FIout": B}
    trace = records.decode_trace("out", records.encode_trace("out", trace_of("out", before)))

    for now in (before, {other: A, "FIout": B}, {name: A}, {name: B, "FIout": B}, dict(reversed(before.items())), {}):
        assert trace.used(now) is (now == before)
        assert trace.used(now) is trace_of("out", before).used(now)


def test_a_name_that_looks_like_two_inputs_is_one() -> None:
    trace = records.decode_trace("out", records.encode_trace("out", trace_of("out", {"a": A, "b": B})))

    assert trace.used({"a": A, "b": B})
    assert not trace.used({f'a":"{A}","b': B})


@pytest.mark.parametrize("text", ['"a"', '"a":"b",', "a", '"a":"b"}'])
def test_inputs_that_are_not_as_they_are_written_equal_nothing(text: str) -> None:
    payload = records.encode_trace("out", trace_of("out", {"a": "b"})).replace('"a":"b"', text)
    trace = records.decode_trace("out", payload)

    assert type(trace) is records.UsualTrace
    assert not trace.used({})
    assert not trace.used({"a": "b"})


def test_a_usual_trace_is_a_trace_in_all_that_can_be_asked_of_one() -> None:
    import pickle

    plain = trace_of("out", {"in": A})
    usual = records.decode_trace("out", records.encode_trace("out", plain))

    assert type(usual) is records.UsualTrace
    assert usual == plain
    assert plain == usual
    assert (usual != plain) is False
    assert usual == records.decode_trace("out", records.encode_trace("out", plain))
    assert usual != plain._replace(seconds=1.0)
    assert usual._replace(seconds=1.0) == plain._replace(seconds=1.0)
    assert usual._asdict() == plain._asdict()
    assert pickle.loads(pickle.dumps(usual)) == plain
    assert repr(usual) == repr(plain)
    assert records.encode_trace("out", usual) == records.encode_trace("out", plain)


FILES: list[Callable[[FileRecord], FileRecord]] = [
    lambda file: file,
    lambda file: file._replace(size=file.size + 1),
    lambda file: file._replace(mtime_ns=file.mtime_ns + 1),
    lambda file: file._replace(inode=file.inode + 1),
    lambda file: file._replace(is_racy=True),
    lambda file: file._replace(path="other"),
    lambda file: file._replace(content=""),
    lambda file: file._replace(content=B),
    lambda file: file._replace(fingerprint=B, content=B),
]


@pytest.mark.parametrize("change", FILES)
def test_a_stamp_is_compared_as_it_is_written_only_if_it_alone_tells(
    change: Callable[[FileRecord], FileRecord], tmp_path: Path
) -> None:
    path = tmp_path / "in"
    path.write_text("12345")
    now = os.stat(path)
    there = FileRecord("in", A, A, now.st_size, now.st_mtime_ns, now.st_ino, False)
    recorded = change(there)
    is_unchanged = recorded == there
    payload = records.encode_measured("in", InvariantRecord(A, (recorded,)))
    trace = records.decode_trace("in", records.encode_trace("in", trace_of("in", {})._replace(outputs=(recorded,))))

    found = records.fingerprint_if_stamped(payload, now)
    assert (found == A) is is_unchanged
    assert (found is None) is not is_unchanged
    assert (type(trace) is records.UsualTrace and trace.is_stamped(now)) is is_unchanged
    if is_unchanged:
        assert files.is_as_recorded(now, recorded)


def test_of_two_files_and_of_a_value_no_stamp_tells(tmp_path: Path) -> None:
    now = os.stat(tmp_path)
    file = FileRecord("in", A, A, now.st_size, now.st_mtime_ns, now.st_ino, False)

    for record in (InvariantRecord(A, (file, file)), InvariantRecord(A, (file,), "5"), InvariantRecord(A)):
        assert records.fingerprint_if_stamped(records.encode_measured("in", record), now) is None


# --- records that are read together with what stands around them


def test_records_are_found_wherever_in_the_file_they_stand(tmp_path: Path) -> None:
    names = [f"job{number}" * (1 + number % 7) for number in range(600)]
    with StatusFile.open(tmp_path / "s", print) as status:
        for name in names:
            status.note_made(name, trace_of(name, {"in": A, name: B}))

    with StatusFile.open(tmp_path / "s", print) as status:
        assert os.path.getsize(tmp_path / "s") > 2 << store._BLOCK_BITS
        for name in (*names, *reversed(names)):
            assert status.past(name) == Past(trace_of(name, {"in": A, name: B}))
        status.note_made("late", trace_of("late", {}))
        assert status.past("late") == Past(trace_of("late", {}))
        status.drop_text()
        assert status.past(names[7]) == Past(trace_of(names[7], {"in": A, names[7]: B}))


def test_a_record_that_takes_the_place_of_a_torn_one_is_read_as_it_is_now(tmp_path: Path) -> None:
    with StatusFile.open(tmp_path / "s", print) as status:
        status.note_made("a", trace_of("a", {}))
        with (tmp_path / "s").open("ab") as torn:
            torn.write(b"x" * 1000)
        assert status.past("a").trace is not None  # with what is torn
        os.truncate(tmp_path / "s", os.path.getsize(tmp_path / "s") - 1000)
        status.note_made("b", trace_of("b", {"in": A}))

        assert status.past("b") == Past(trace_of("b", {"in": A}))


def test_a_record_that_is_damaged_after_it_was_indexed_is_nothing(tmp_path: Path) -> None:
    with StatusFile.open(tmp_path / "s", print) as status:
        status.note_made("a", trace_of("a", {"in": A}))
        at = (tmp_path / "s").read_bytes().index(A.encode())
        with (tmp_path / "s").open("r+b") as file:
            file.seek(at)
            file.write(b"0")

        assert status.past("a") == Past(None)


# --- jobs by id


def spec(name: str, role: Role = Role.OUTPUT, fingerprint: str | None = None, *inputs: str) -> JobSpec:
    outputs = () if role is not Role.OUTPUT else (name,)
    return usual_spec(name, role, "Job", HERE, outputs, inputs, fingerprint)


ASKED: list[Callable[[Specs], object]] = [
    lambda specs: specs["PIa"],
    lambda specs: "PIa" in specs,
    lambda specs: specs.get("PIa"),
    lambda specs: set(specs),
    lambda specs: set(specs.keys()),
    lambda specs: set(specs.values()),
    lambda specs: set(specs.items()),
    len,
]


@pytest.mark.parametrize("ask", ASKED)
def test_invariants_are_there_whatever_is_asked_first(ask: Callable[[Specs], object]) -> None:
    first, later = (spec("PIa", Role.INVARIANT, A), spec("a")), (spec("PIb", Role.INVARIANT, B), spec("b"))
    expected = {each.id: each for each in (*first, *later)}
    specs = Specs(first)
    assert specs["a"] is first[1]

    before = ask(specs)
    specs.grow(later)
    after = ask(specs)

    assert before == ask({each.id: each for each in first})  # type: ignore[arg-type]
    assert after == ask(expected)  # type: ignore[arg-type]
    assert dict(specs.items()) == expected
    assert specs.get("c") is None
    assert specs.get("c", 5) == 5
    assert "c" not in specs
    with pytest.raises(KeyError):
        specs["c"]


# --- invariants without a number


def grown(engine: Engine, *specs: JobSpec) -> None:
    engine.handle(GraphGrew(specs, (), None, {}, {}, {}, {}))


def objection_to(engine: Engine, *jobs: JobSpec) -> str:
    engine.handle(JobStarted("g", (), 1, 0.0))
    failure = engine.objection_to(JobSucceeded("g", (), growth=Growth(jobs)))
    return "" if failure is None else failure.message


def test_a_generator_may_declare_an_invariant_again_and_not_differently() -> None:
    engine = Engine()
    generator = spec("g", Role.GENERATOR)
    grown(engine, spec("PIx", Role.INVARIANT, A), generator)

    new = spec("new", Role.OUTPUT, None, "PIx")
    assert objection_to(engine, spec("PIx", Role.INVARIANT, A), new) == ""
    assert objection_to(engine, spec("PIx", Role.INVARIANT, A)._replace(place=Place("else.py", 7)), new) == ""
    assert "differently" in objection_to(engine, spec("PIx", Role.INVARIANT, B), new)


def test_a_generator_may_not_promise_a_file_that_is_an_invariant() -> None:
    engine = Engine()
    grown(engine, spec("in", Role.INVARIANT, A)._replace(outputs=("in",)), spec("g", Role.GENERATOR))

    assert "two jobs promise the same file" in objection_to(engine, spec("new")._replace(outputs=("in", "new")))


def test_an_invariant_that_two_arrivals_bring_is_settled_once() -> None:
    engine = Engine()
    grown(engine, spec("PIx", Role.INVARIANT, A), spec("g", Role.GENERATOR))
    engine.handle(JobStarted("g", (), 1, 0.0))
    again = (spec("PIx", Role.INVARIANT, A), spec("new", Role.OUTPUT, None, "PIx"))
    answers = engine.handle(GraphGrew(again, (), "g", {}, {}, {}, {}))

    assert engine.inputs_of("new") == {"PIx": A}
    assert engine.inputs_of("PIx") is None
    assert [type(answer).__name__ for answer in answers] == ["StartJob"] or answers == []


# --- what is kept once


def test_a_value_that_many_jobs_share_outlasts_what_the_script_does_to_its_own() -> None:
    graph = Graph(lambda *given: None)
    values = [{"k": 1} for _ in range(4)]
    kept = [graph.shared_value(str(A), value)[1] for value in values]
    for value in values[1:]:
        value["k"] = 2

    assert kept[1:] == [{"k": 1}] * 3
    assert kept[1] is kept[3]


def test_times_of_earlier_runs_are_known_whenever_somebody_asks() -> None:
    estimates = Estimates()
    estimates.remember({"a": Past(trace_of("a", {}))})
    estimates.learn(spec("a"), 99.0)

    assert estimates.seconds_of(spec("a")) == 0.25
    estimates.remember({"b": Past(trace_of("b", {}))})
    estimates.forget()
    assert estimates.seconds_of(spec("b")) is None


class Asked(dict):
    """Notes for which jobs somebody asks."""

    def __init__(self, known):
        super().__init__(known)
        self.asked = set()

    def get(self, job, default=None):
        self.asked.add(job)
        return super().get(job, default)


def test_how_long_jobs_took_is_looked_up_of_those_to_come_and_of_all_only_if_one_of_them_has_no_time():
    specs = {name: spec_of(name, "output") for name in "abc"}
    pasts = Asked({name: Past(Trace({}, "f" * 32, (), 3.0)) for name in "abc"})
    estimates = Estimates()
    estimates.remember(pasts)
    estimates.begin(specs.values(), [specs["b"]])

    assert pasts.asked == {"b"}
    assert estimates.left([], 1) == Estimate(3.0, 1, 0)

    new = spec_of("new", "output")
    estimates = Estimates()
    estimates.remember(pasts)
    estimates.begin([*specs.values(), new], [specs["b"], new])
    assert estimates.left([], 1) == Estimate(6.0, 1, 1)
