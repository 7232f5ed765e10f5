"""What the status file remembers, in one process and over several openings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipegraph.errors import StatusError, StatusWriteError
from pipegraph.events import Warned
from pipegraph.model import FileRecord, InvariantRecord, Past, Role, Trace
from pipegraph.status import PAST_UNKNOWN, StatusFile, store
from pipegraph.status.records import Declaration

OUTPUT = FileRecord("out/a", "f" * 32, "f" * 32, 7, 8, 9, True)
TRACE = Trace({"in": "1" * 32, "FIa": "2" * 32}, "f" * 32, (OUTPUT,), 0.25, 1000, 1763690000.25)
OTHER = Trace({"in": "3" * 32}, "e" * 32)


def refuse(warned: Warned) -> None:
    raise AssertionError(warned)


def open_status(path: Path | str) -> StatusFile:
    return StatusFile.open(path, refuse)


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))

    yield

    assert set(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".pipegraph_status"


def test_a_record_is_the_same_read_from_the_text_of_the_opening_and_from_the_disk(path: Path) -> None:
    ids = ["a", "tab\there", "back\\slash", "ä"]
    with open_status(path) as status:
        for each in ids:
            status.note_made(each, TRACE)
            status.note_measured(each, InvariantRecord("4" * 32, (OUTPUT,), "1"))

    with open_status(path) as status:
        kept = [(status.past(each), status.invariant(each)) for each in ids]
        status.note_made("a", OTHER)
        newer = status.past("a").trace
        status.drop_text()
        read_again = [(status.past(each), status.invariant(each)) for each in ids]

    assert kept == [(Past(TRACE), InvariantRecord("4" * 32, (OUTPUT,), "1"))] * len(ids)
    assert newer == OTHER
    assert read_again == [(Past(OTHER), kept[0][1]), *kept[1:]]


def test_records_of_a_file_that_was_written_anew_are_not_read_from_the_old_text(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "COMPACT_FROM_BYTES", 0)
    with open_status(path) as status:
        status.note_made("a", OTHER)
        for _ in range(10):
            status.note_made("b", TRACE)

    with open_status(path) as status:
        found = status.past("a").trace, status.past("b").trace

    assert found == (OTHER, TRACE)


def test_a_new_file_knows_nothing(path: Path) -> None:
    with open_status(path) as status:
        assert status.past("a") is PAST_UNKNOWN
        assert status.invariant("a") is None
        assert list(status.jobs()) == []
    with open_status(path) as status:
        assert status.past("a") is PAST_UNKNOWN


def apply(status: StatusFile, job: str, steps: str) -> None:
    for step in steps:
        if step == "S":
            status.note_started(job, 1.0)
        elif step == "M":
            status.note_made(job, TRACE)
        elif step == "N":
            status.note_made(job, OTHER)
        elif step == "F":
            status.note_failed(job, 2.0)
        elif step == "V":
            status.note_seen(job, (OUTPUT._replace(is_racy=False),))
        elif step == "A":
            status.note_adopt(job, 3.0)
        elif step == "D":
            status.note_declared(job, "FileGeneratingJob", Role.OUTPUT, ("one.py",))
        elif step == "G":
            status.note_declared(job, "FileGeneratingJob", Role.OUTPUT, ())
        elif step == "X":
            status.forget(job)


def all_of(status: StatusFile) -> dict[str, tuple[object, ...]]:
    return {job: (status.past(job), status.declared(job), status.is_to_be_adopted(job)) for job in status.jobs()}


SEEN = Trace(TRACE.inputs, TRACE.fingerprint, (OUTPUT._replace(is_racy=False),), 0.25, 1000, 1763690000.25)


@pytest.mark.parametrize(
    ("steps", "past"),
    [
        ("", Past()),
        ("S", Past(None, True, False)),
        ("SF", Past(None, False, True)),
        ("SM", Past(TRACE)),
        ("SMS", Past(TRACE, True, False)),
        ("SMSF", Past(TRACE, False, True)),
        ("SMSFS", Past(TRACE, True, True)),
        ("SFSM", Past(TRACE)),
        ("SMSN", Past(OTHER)),
        ("SMV", Past(SEEN)),
        ("SMVS", Past(SEEN, True, False)),
        ("SMVSF", Past(SEEN, False, True)),
        ("SMVSM", Past(TRACE)),
        ("SMSV", Past(SEEN, True, False)),
        ("SMNV", Past(OTHER)),
        ("V", Past()),
        ("SMX", Past()),
        ("SMSFVX", Past()),
        ("SFSX", Past()),
        ("SMXS", Past(None, True, False)),
        ("X", Past()),
    ],
)
def test_the_flags_come_from_what_followed_the_last_success(path: Path, steps: str, past: Past) -> None:
    with open_status(path) as status:
        apply(status, "before", "SM")
        apply(status, "a", steps)
        apply(status, "behind", "S")

        assert status.past("a") == past
        assert status.past("before") == Past(TRACE)
    with open_status(path) as status:
        assert status.past("a") == past
        assert status.past("before") == Past(TRACE)
        assert status.past("behind") == Past(None, True, False)


@pytest.mark.parametrize(
    ("steps", "is_to_be_adopted"),
    [("", False), ("A", True), ("SMA", True), ("SMFA", True), ("SA", True), ("SAD", True), ("SMAV", True)]
    + [("SMAS", False), ("AM", False), ("SAF", False), ("AX", False), ("SMASMA", True)],
)
def test_a_wish_ends_with_whatever_comes_next_of_the_job(path: Path, steps: str, is_to_be_adopted: bool) -> None:
    with open_status(path) as status:
        apply(status, "before", "A")
        apply(status, "a", steps)

        assert status.is_to_be_adopted("a") == is_to_be_adopted
    with open_status(path) as status:
        assert status.is_to_be_adopted("a") == is_to_be_adopted
        assert status.is_to_be_adopted("before")
        assert status._compact()
        assert status.is_to_be_adopted("a") == is_to_be_adopted
    with open_status(path) as status:
        assert status.is_to_be_adopted("a") == is_to_be_adopted


def test_the_last_declaration_counts_and_alike_ones_are_one_object(path: Path) -> None:
    with open_status(path) as status:
        status.note_declared("a", "FileGeneratingJob", Role.OUTPUT, ("x\n\ud800.py", "one.py"))
        status.note_declared("b", "FileGeneratingJob", Role.OUTPUT, ("one.py", "x\n\ud800.py"))
        status.note_declared("c", "DataLoadingJob", Role.EPHEMERAL, ("one.py",))
        status.note_declared("c", "DataLoadingJob", Role.EPHEMERAL, ())
        status.note_declared("d", "DataLoadingJob", Role.EPHEMERAL, ())
        status.forget("d")
        declared = [status.declared(job) for job in "abcd"]
        assert declared[0] == Declaration("FileGeneratingJob", Role.OUTPUT, ("one.py", "x\n\ud800.py"))
        assert declared[0] is declared[1]
        assert declared[2:] == [Declaration("DataLoadingJob", Role.EPHEMERAL, ()), None]
        assert list(status.declared_jobs()) == list(status.jobs()) == ["a", "b", "c"]
        assert status._compact()
        assert [status.declared(job) for job in "abcd"] == declared
    with open_status(path) as status:
        assert [status.declared(job) for job in "abcd"] == declared
        assert status.declared("a") is status.declared("b")
        assert status.past("a") is PAST_UNKNOWN


def test_what_is_declared_is_asked_without_reading(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_status(path) as status:
        apply(status, "a", "D")
    with open_status(path) as status:
        monkeypatch.setattr(store.os, "pread", pytest.fail)

        assert status.declared("a") == Declaration("FileGeneratingJob", Role.OUTPUT, ("one.py",))


def test_explanations_and_texts_are_remembered_apart_from_jobs(path: Path) -> None:
    with open_status(path) as status:
        assert not status.has_explained("1" * 32)
        status.note_explained("1" * 32, '{"text": "x"}')
        status.note_text("1" * 32, "def f():\n\treturn '\ud800'")
        status.forget("1" * 32)
    with open_status(path) as status:
        assert (status.has_explained("1" * 32), status.has_text("1" * 32), status.has_text("2" * 32)) == (
            True,
            True,
            False,
        )
        assert status.explanation("1" * 32) == '{"text": "x"}'
        assert status.text("1" * 32) == "def f():\n\treturn '\ud800'"
        assert (status.explanation("2" * 32), status.text("2" * 32), list(status.jobs())) == (None, None, [])


def test_each_record_is_there_before_the_next_and_without_a_close(path: Path) -> None:
    with open_status(path) as status:
        for number in range(5):
            status.note_started(f"job {number}", 1.0)

            assert path.read_text().splitlines()[-1].split("\t")[1:3] == ["S", f"job {number}"]


def test_a_record_is_one_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = []
    real_write = os.write

    def counting_write(descriptor: int, data: bytes) -> int:
        writes.append(data)
        return real_write(descriptor, data)

    with open_status(path) as status:
        monkeypatch.setattr(store.os, "write", counting_write)
        status.note_made("a", Trace({f"in {number}": "1" * 32 for number in range(100_000)}, "f"))
        monkeypatch.undo()

        assert len(writes) == 1


def test_what_is_noted_together_is_one_write_and_known_when_it_is_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    real_write = os.write

    def counting_write(descriptor: int, data: bytes) -> int:
        writes.append(data)
        return real_write(descriptor, data)

    def note_a() -> None:
        status.note_started("a", 1.0)
        status.note_made("a", TRACE)

    def note_b() -> None:
        assert status.past("a") == Past()
        status.note_declared("b\n", "FileGeneratingJob", Role.OUTPUT, ("script.py",))
        status.note_started("b\n", 2.0)

    with open_status(path) as status:
        monkeypatch.setattr(store.os, "write", counting_write)
        assert status.together([]) == 0
        assert status.together([note_a, lambda: None, note_b]) == 3
        monkeypatch.undo()
        found = all_of(status), status.declared("b\n")

        assert len(writes) == 1
        assert [line.split("\t")[1:3] for line in path.read_text().splitlines()[1:]] == [
            ["S", "a"],
            ["M", "a"],
            ["D", r"b\n"],
            ["S", r"b\n"],
        ]
        assert status.past("a") == Past(TRACE)
        status.note_started("c", 3.0)
        assert status.past("b\n") == status.past("c") == Past(is_unfinished=True)
        status.forget("c")
    with open_status(path) as status:
        assert (all_of(status), status.declared("b\n")) == found


def test_what_is_explained_together_is_known_at_once_so_that_it_is_written_once(path: Path) -> None:
    def explain() -> None:
        if not status.has_explained("f" * 32):
            status.note_explained("f" * 32, "[]")
        if not status.has_text("e" * 32):
            status.note_text("e" * 32, "text")

    with open_status(path) as status:
        assert status.together([explain, explain]) == 2

        assert len(path.read_text().splitlines()) == 3
        assert status.explanation("f" * 32) == "[]"
        assert status.text("e" * 32) == "text"


def test_of_what_is_noted_together_nothing_is_written_if_it_can_not_be_said(path: Path) -> None:
    def fail() -> None:
        status.note_explained("f" * 32, "[]")
        raise ValueError("what is it?")

    with open_status(path) as status:
        with pytest.raises(ValueError, match="what is it"):
            status.together([lambda: status.note_started("a", 1.0), fail])

        assert list(status.jobs()) == []
        assert not status.has_explained("f" * 32)
        status.note_started("b", 1.0)
        assert list(status.jobs()) == ["b"]


def test_an_invariant_is_remembered_apart_from_jobs(path: Path) -> None:
    record = InvariantRecord("f" * 32, (OUTPUT,), "[1, 'x\ud800']")
    with open_status(path) as status:
        status.note_measured("PIa", InvariantRecord("0" * 32))
        status.note_measured("PIa", record)

        assert status.invariant("PIa") == record
    with open_status(path) as status:
        assert status.invariant("PIa") == record
        assert status.past("PIa") is PAST_UNKNOWN
        assert list(status.jobs()) == []
        status.forget("PIa")
        assert status.invariant("PIa") is None


def test_outputs_seen_again_with_another_fingerprint_or_path_are_not_believed(path: Path) -> None:
    with open_status(path) as status:
        status.note_made("a", TRACE)
        for stranger in (
            (OUTPUT._replace(fingerprint="0" * 32),),
            (OUTPUT._replace(path="b"),),
            (),
            (OUTPUT, OUTPUT),
        ):
            status.note_seen("a", stranger)

            assert status.past("a") == Past(TRACE)


def test_jobs_are_each_named_once(path: Path) -> None:
    with open_status(path) as status:
        for job, steps in [("made", "SM"), ("made, then all", "SMSFS"), ("failed", "SFS"), ("started", "S")]:
            apply(status, job, steps)
        apply(status, "forgotten", "SMX")

        assert sorted(status.jobs()) == ["failed", "made", "made, then all", "started"]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b\n\t\\", "\x00", "größe", "", "\ud800"]), st.sampled_from("SMNFVXADG!")),
        max_size=25,
    )
)
def test_any_history_is_the_same_after_a_reload(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("status") / "s"
    status = open_status(path)
    for job, step in history:
        if step == "!":
            status.close()
            status = open_status(path)
        apply(status, job, step)
    pasts = all_of(status)
    status.close()

    with open_status(path) as status:
        assert all_of(status) == pasts
        assert status._compact()
        assert all_of(status) == pasts
    with open_status(path) as status:
        assert all_of(status) == pasts


def test_a_change_of_directory_and_a_renamed_directory_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "a directory, with spaces"
    first.mkdir()
    monkeypatch.chdir(first)
    status = open_status("relative")
    monkeypatch.chdir("/")
    apply(status, "a", "SM")
    first.rename(tmp_path / "renamed")
    apply(status, "b", "S")
    status.close()

    assert sorted(os.listdir(tmp_path / "renamed")) == ["relative", "relative.lock"]
    with open_status(tmp_path / "renamed" / "relative") as status:
        assert (status.past("a"), status.past("b")) == (Past(TRACE), Past(None, True))


def test_a_symbolic_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/status")
    for _ in range(2):
        with open_status(tmp_path / "link") as status:
            apply(status, "a", "SM")

    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path / "real")) == ["status", "status.lock"]


def test_the_file_is_synced_five_seconds_after_the_first_unsynced_record(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    status = open_status(path)
    status.sync()
    monkeypatch.setattr(store.os, "fsync", synced.append)
    status.tick(96.0)
    status.tick(100.0)
    status.note_started("a", 1.0)
    status.tick(104.9)
    assert synced == []

    status.tick(105.0)
    assert len(synced) == 1
    status.tick(1000.0)
    assert len(synced) == 1
    status.note_started("b", 1.0)
    status.tick(1004.9)
    assert len(synced) == 1
    status.note_started("c", 1.0)
    status.tick(1005.0)
    assert len(synced) == 2
    status.note_started("d", 1.0)
    status.tick(1006.0)
    assert len(synced) == 2, "there are always new records in a busy run; it is no reason to sync more often"
    status.close()
    assert len(synced) == 3


def test_a_new_file_is_synced_with_its_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    real_fstat = os.fstat
    monkeypatch.setattr(store.os, "fsync", lambda descriptor: synced.append(real_fstat(descriptor).st_ino))

    open_status(path).close()

    assert synced == [path.stat().st_ino, path.parent.stat().st_ino]


def test_close_may_be_called_twice_and_nothing_can_be_recorded_after_it(path: Path) -> None:
    status = open_status(path)
    status.close()
    status.close()
    before = path.read_bytes()

    with pytest.raises(StatusWriteError):
        status.note_started("a", 1.0)
    assert path.read_bytes() == before


def test_asking_a_closed_file_is_an_error_not_an_empty_answer(path: Path) -> None:
    status = open_status(path)
    apply(status, "a", "SM")
    status.close()

    with pytest.raises(StatusError, match="can't be read any more"):
        status.past("a")


def test_a_file_deleted_during_a_run_is_told_and_not_brought_back(path: Path) -> None:
    warnings: list[Warned] = []
    status = StatusFile.open(path, warnings.append)
    apply(status, "a", "SM")
    path.unlink()
    apply(status, "a", "S")
    status.close()

    assert "deleted during the run" in warnings[0].headline
    assert not path.exists()


def test_a_person_can_grep_it(path: Path) -> None:
    with open_status(path) as status:
        apply(status, "out/größe.tsv", "S")

    header, line = path.read_text().splitlines()
    assert header == "pipegraph-status 2"
    assert line.split("\t")[1:] == ["S", "out/größe.tsv", "1.0"]
