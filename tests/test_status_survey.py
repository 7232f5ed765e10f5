"""What a folder holds, against what was recorded; with real files and a real status file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipegraph.events import Warned
from pipegraph.invariants import files
from pipegraph.model import (
    FailureKind,
    FileRecord,
    Growth,
    InvariantRecord,
    JobSpec,
    Past,
    Place,
    Reason,
    ReasonKind,
    Role,
    Trace,
    Watch,
    combine,
)
from pipegraph.status import StatusFile
from pipegraph.status.survey import changed_inputs, survey

PLACE = Place("script.py", 7)
LONG_AGO = (1_000_000_000, 1_000_000_000)


def refuse(warned: Warned) -> None:
    raise AssertionError(warned)


def never(job: str, text: str) -> bool:
    raise AssertionError((job, text))


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StatusFile]:
    monkeypatch.chdir(tmp_path)
    with StatusFile.open("status", refuse) as one:
        yield one


def write(path: str, text: str, is_settled: bool = True) -> FileRecord:
    """A file, so old that its time tells of every change; its record."""
    Path(path).write_text(text)
    if is_settled:
        os.utime(path, LONG_AGO)
    return files.read(path)


def watching(*paths: str, watch: Watch = Watch.CONTENT) -> JobSpec:
    return JobSpec(f"FI{','.join(paths)}", Role.INVARIANT, "FileInvariant", PLACE, paths, watch=watch)


def parameter(value: str) -> JobSpec:
    return JobSpec("PIp", Role.INVARIANT, "ParameterInvariant", PLACE, fingerprint=combine([value]), value_text=value)


def making(*paths: str, **more: object) -> JobSpec:
    return JobSpec("job", Role.OUTPUT, "FileGeneratingJob", PLACE, paths, **more)  # type: ignore[arg-type]


def made(*records: FileRecord) -> Trace:
    return Trace({}, combine(record.fingerprint for record in records), records)


def look(status: StatusFile, *specs: JobSpec, accepts=never):  # type: ignore[no-untyped-def]
    return survey(specs, (), None, status, accepts)


def records_in(status: StatusFile) -> int:
    return len(Path("status").read_bytes().splitlines())


def test_jobs_edges_and_their_generator_are_passed_on(status):
    specs, edges = (making("a"),), (("x", "a"),)

    arrival = survey(specs, edges, "g", status, never)

    assert (arrival.jobs, arrival.edges, arrival.by) == (specs, edges, "g")
    assert Growth(arrival.jobs, arrival.edges) == Growth(specs, edges)


def test_of_a_job_that_nothing_is_known_of_nothing_is_said(status):
    write("a", "there before")

    arrival = look(status, making("a"))

    assert arrival.pasts == {}
    assert arrival.problems == {}


def test_an_unknown_job_and_a_declared_invariant_keep_nothing_from_being_looked_at(status):
    status.note_made("job", made(write("a", "text")))
    Path("a").unlink()
    write("input", "text")
    function = JobSpec("FIf", Role.INVARIANT, "FunctionInvariant", PLACE, fingerprint="f" * 32)
    unknown = JobSpec("unknown", Role.OUTPUT, "FileGeneratingJob", PLACE, ("b",))

    arrival = look(status, function, watching("gone"), watching("input"), parameter("1"), unknown, making("a"))

    assert list(arrival.measured) == ["FIinput", "PIp"]
    assert list(arrival.unmeasured) == ["FIgone"]
    assert list(arrival.pasts) == list(arrival.problems) == ["job"]


def test_of_a_file_the_content_counts(status):
    record = write("input", "text")

    arrival = look(status, watching("input"))

    assert arrival.measured == {"FIinput": record.content}
    assert status.invariant("FIinput") == InvariantRecord(record.content, (record,))


def test_a_file_that_did_not_change_is_neither_read_nor_recorded_again(status, monkeypatch):
    write("input", "text")
    first = look(status, watching("input"))
    recorded = records_in(status)
    monkeypatch.delattr(files, "read")

    again = look(status, watching("input"))

    assert again.measured == first.measured
    assert records_in(status) == recorded


def test_a_file_of_another_time_and_the_same_content_is_recorded_as_it_is_now(status):
    write("input", "text")
    first = look(status, watching("input"))
    os.utime("input", (1_100_000_000, 1_100_000_000))

    again = look(status, watching("input"))

    assert again.measured == first.measured
    assert status.invariant("FIinput").files == (files.read("input"),)


def test_a_changed_file_has_another_fingerprint(status):
    write("input", "text")
    first = look(status, watching("input"))
    now = write("input", "another text")

    assert look(status, watching("input")).measured == {"FIinput": now.content} != first.measured


def test_where_only_the_time_is_watched_the_content_is_not_read(status, monkeypatch):
    write("input", "text")
    monkeypatch.delattr(files, "read")

    first = look(status, watching("input", watch=Watch.TIME))
    os.utime("input", (1_100_000_000, 1_100_000_000))
    second = look(status, watching("input", watch=Watch.TIME))

    assert first.measured["FIinput"]
    assert second.measured["FIinput"] != first.measured["FIinput"]
    assert status.invariant("FIinput").fingerprint == second.measured["FIinput"]


def test_of_a_set_of_files_the_contents_count_and_not_their_names(status):
    a, b = write("a", "first"), write("b", "second")
    write("c", "second")

    one = look(status, watching("a", "b")).measured.popitem()[1]
    renamed = look(status, watching("c", "a")).measured.popitem()[1]
    other = look(status, watching("b", "c")).measured.popitem()[1]

    assert one == renamed == combine(sorted([a.content, b.content]))
    assert one != other


def test_an_input_that_is_gone_is_told_by_name_with_its_place(status):
    failure = look(status, watching("gone")).unmeasured["FIgone"]

    assert failure.kind is FailureKind.NOT_MEASURED
    assert failure.exception_type == "builtins.FileNotFoundError"
    assert failure.message.splitlines() == [
        "an input file can't be read",
        "    file:     gone",
        "    declared: FileInvariant, script.py:7",
        "    reason:   No such file or directory",
        "Put the file there, or correct its name.",
    ]


def test_an_error_that_names_no_file_and_no_reason_is_told_with_what_is_known(status, monkeypatch):
    def fail(path: str, **more: object) -> FileRecord:
        raise OSError("odd")

    monkeypatch.setattr(files, "read", fail)

    message = look(status, watching("a", "b")).unmeasured["FIa,b"].message

    assert "    file:     a, b\n" in message
    assert "    reason:   odd\n" in message


def test_a_value_that_is_new_is_recorded_once(status):
    first = look(status, parameter("1"))
    recorded = records_in(status)
    again = look(status, parameter("1"))

    assert first.measured == again.measured == {"PIp": combine(["1"])}
    assert status.invariant("PIp") == InvariantRecord(combine(["1"]), (), "1")
    assert records_in(status) == recorded


def test_a_value_accepted_as_unchanged_keeps_the_recorded_fingerprint(status):
    look(status, parameter("1"))
    asked = []

    arrival = look(status, parameter("1.01"), accepts=lambda job, text: asked.append((job, text)) or True)

    assert asked == [("PIp", "1")]
    assert arrival.measured == {"PIp": combine(["1"])}
    assert status.invariant("PIp").value_text == "1"


def test_a_value_not_accepted_replaces_the_recorded_one(status):
    look(status, parameter("1"))

    arrival = look(status, parameter("2"), accepts=lambda job, text: False)

    assert arrival.measured == {"PIp": combine(["2"])}
    assert status.invariant("PIp").value_text == "2"


def test_nobody_is_asked_about_a_record_without_the_value(status):
    status.note_measured("PIp", InvariantRecord("f" * 32))

    assert look(status, parameter("1")).measured == {"PIp": combine(["1"])}


def test_files_as_they_were_made_are_no_problem_and_not_recorded_again(status):
    status.note_made("job", made(write("a", "text")))
    recorded = records_in(status)

    arrival = look(status, making("a"))

    assert arrival.pasts == {"job": status.past("job")}
    assert arrival.problems == {}
    assert records_in(status) == recorded


def test_a_job_without_files_has_a_past_and_no_problems(status):
    status.note_failed("job", 1.0)

    arrival = look(status, making())

    assert arrival.pasts == {"job": Past(None, False, True)}
    assert arrival.problems == {}


@pytest.mark.parametrize(
    ("edit", "kinds"),
    [
        (lambda: Path("a").unlink(), [ReasonKind.OUTPUT_MISSING]),
        (lambda: write("a", "by hand"), [ReasonKind.OUTPUT_CHANGED]),
        (lambda: write("a", ""), [ReasonKind.OUTPUT_CHANGED, ReasonKind.OUTPUT_EMPTY]),
        (lambda: (Path("a").unlink(), Path("a").mkdir()), [ReasonKind.OUTPUT_CHANGED]),
    ],
)
def test_each_problem_of_a_file_is_told_and_does_not_hide_the_next_file_s(status, edit, kinds):
    status.note_made("job", made(write("a", "text"), write("b", "text")))
    recorded = records_in(status)
    edit()
    Path("b").unlink()
    Path("b").symlink_to("nowhere")

    problems = look(status, making("a", "b")).problems["job"]

    assert [problem[:2] for problem in problems] == [*((kind, "a") for kind in kinds), (ReasonKind.OUTPUT_MISSING, "b")]
    assert records_in(status) == recorded


def test_of_an_output_that_changed_both_contents_are_told(status):
    before = write("a", "text")
    # Made again with other bytes from the same inputs: what its dependents go by is not what it held.
    status.note_made("job", made(before._replace(fingerprint="f" * 32), write("b", "text")))
    now = write("a", "by hand")
    Path("b").unlink()
    Path("b").mkdir()

    assert look(status, making("a", "b")).problems["job"] == (
        Reason(ReasonKind.OUTPUT_CHANGED, "a", before.content, now.content),
        Reason(ReasonKind.OUTPUT_CHANGED, "b", before.content),
    )


def test_a_file_that_may_be_empty_is_no_problem(status):
    status.note_made("job", made(write("a", ""), write("b", "")))

    problems = look(status, making("a", "b", empty_ok=frozenset("a"))).problems["job"]

    assert problems == (Reason(ReasonKind.OUTPUT_EMPTY, "b"),)


def test_files_of_another_time_and_the_same_content_are_recorded_as_they_are_now(status):
    a, b = write("a", "text"), write("b", "text")
    remade = a._replace(fingerprint="f" * 32)
    status.note_made("job", made(remade, b))
    os.utime("a", (1_100_000_000, 1_100_000_000))

    arrival = look(status, making("a", "b"))

    assert arrival.problems == {}
    assert arrival.pasts["job"].trace.outputs == (remade, b)
    assert status.past("job").trace.outputs == (files.read("a")._replace(fingerprint="f" * 32), b)


def test_of_a_changed_output_nothing_is_recorded(status):
    trace = made(write("a", "text"), write("b", "text"))
    status.note_made("job", trace)
    os.utime("a", (1_100_000_000, 1_100_000_000))
    write("b", "by hand")

    look(status, making("a", "b"))

    assert status.past("job").trace == trace


def test_of_a_job_that_was_cut_what_it_left_and_what_it_did_not_is_told(status):
    status.note_started("job", 1.0)
    write("a", "half of it")
    Path("b").symlink_to("nowhere")

    arrival = look(status, making("a", "b", "c"))

    assert arrival.pasts == {"job": Past(None, True, False)}
    assert arrival.problems == {"job": (Reason(ReasonKind.OUTPUT_MISSING, "c"),)}


def test_inputs_that_changed_are_found_by_size_time_and_inode_and_those_that_are_gone(status):
    names = ["same", "size", "time", "inode", "gone", "last"]
    specs = [watching(*names[:3]), JobSpec("PIp", Role.INVARIANT, "", PLACE), watching(*names[3:])]
    for name in names:
        write(name, "text")
    look(status, specs[0], specs[2])
    assert changed_inputs(specs, status) == []
    write("size", "a longer text")
    os.utime("time", (1_100_000_000, 1_100_000_000))
    write("new", "text")
    os.rename("new", "inode")
    Path("gone").unlink()
    write("last", "")

    assert changed_inputs(specs, status) == [
        (specs[0].id, "size"),
        (specs[0].id, "time"),
        (specs[2].id, "inode"),
        (specs[2].id, "gone"),
        (specs[2].id, "last"),
    ]
