"""Torn, flipped, foreign and newer files: what is lost is told, costs only itself, and is never overwritten."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipegraph.errors import StatusError, StatusTooNewError
from pipegraph.events import Warned
from pipegraph.model import FileRecord, InvariantRecord, Past, Role, Trace
from pipegraph.status import StatusFile, compaction, opening, records, store

OUTPUT = FileRecord("b\n\\", "f" * 32, "f" * 32, 7, 8, 9, False)
TRACES = {job: Trace({"in": "1" * 32}, f"{number}" * 32) for number, job in enumerate(["a", "b\n\\", "größe"])}


@pytest.fixture
def path() -> Iterator[Path]:
    """In memory where that can be had: some tests open the file thousands of times, each with a sync."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    before = set(os.listdir("/proc/self/fd"))
    directory = tempfile.mkdtemp(dir=memory)

    yield Path(directory) / ".pipegraph_status"

    shutil.rmtree(directory)
    assert set(os.listdir("/proc/self/fd")) == before


def write_sample(path: Path) -> bytes:
    """Three jobs, one record each, so that what a damage may cost is plain."""
    with StatusFile.open(path, print) as status:
        for job, trace in TRACES.items():
            status.note_made(job, trace)
    return path.read_bytes()


def write_others(status: StatusFile) -> None:
    """One of each kind that is not of what was made."""
    status.note_declared("a", "FileGeneratingJob", Role.OUTPUT, ("one.py",))
    status.note_adopt("b", 1.0)
    status.note_explained("1" * 32, "{}")
    status.note_text("2" * 32, "def f(): pass")


def others(status: StatusFile) -> list[bool]:
    return [
        status.declared("a") is not None,
        status.is_to_be_adopted("b"),
        status.explanation("1" * 32) == "{}",
        status.text("2" * 32) == "def f(): pass",
    ]


def clear(path: Path) -> None:
    for entry in path.parent.iterdir():
        entry.unlink()


def siblings(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()} - {path.name, f"{path.name}.lock"}


def pasts(status: StatusFile) -> dict[str, Past]:
    return {job: status.past(job) for job in status.jobs()}


ALL = {job: Past(trace) for job, trace in TRACES.items()}


def test_a_file_cut_at_any_byte_keeps_its_whole_lines_and_can_be_appended_to(path: Path) -> None:
    data = write_sample(path)
    for cut in range(len(data) + 1):
        clear(path)
        path.write_bytes(data[:cut])
        # A record needs all but its line feed.
        kept = len([end for end in range(cut + 1) if data[end : end + 1] == b"\n" and end >= len(records.HEADER)])
        expected = dict(list(ALL.items())[:kept])
        warnings: list[Warned] = []
        status = StatusFile.open(path, warnings.append)
        assert pasts(status) == expected, cut
        is_clean = cut <= len(records.HEADER) or data[:cut].endswith(b"\n") or data[cut : cut + 1] == b"\n"
        assert len(warnings) == (not is_clean), cut
        status.note_failed("appended", 1.0)
        assert pasts(status) == expected | {"appended": Past(None, False, True)}, cut
        status.close()

        status = StatusFile.open(path, warnings.append)
        assert pasts(status) == expected | {"appended": Past(None, False, True)}, cut
        status.close()
        assert len(warnings) == (not is_clean), cut
        assert not siblings(path)


@pytest.mark.parametrize("flip", [0x01, 0x08, 0x20, 0x80, 0xFF])
def test_a_flip_in_any_byte_costs_no_more_than_its_own_record(path: Path, flip: int) -> None:
    data = write_sample(path)
    for position in range(len(data)):
        clear(path)
        flipped = bytearray(data)
        flipped[position] ^= flip
        path.write_bytes(flipped)
        hit = data.count(b"\n", 0, position) - 1
        names = list(ALL)
        warnings: list[Warned] = []
        if position == len(records.MAGIC) and b"3" <= flipped[position : position + 1] <= b"9":
            with pytest.raises(StatusTooNewError):  # it may as well be one: refused, and not touched
                StatusFile.open(path, print)
            assert path.read_bytes() == flipped
            continue
        status = StatusFile.open(path, warnings.append)
        found = pasts(status)
        for job in ALL:
            assert job == (names[hit] if hit >= 0 else "") or found.get(job) == ALL[job], (position, job)
        assert found.items() <= ALL.items(), position
        if data[position : position + 1] == b"\n":
            assert found == ALL
        assert len(warnings) <= 1
        assert len(found) == len(ALL) or len(warnings) == 1
        status.note_failed("appended", 1.0)
        status.close()

        with StatusFile.open(path, warnings.append) as status:
            assert pasts(status) == found | {"appended": Past(None, False, True)}, position
        assert len(warnings) <= 1, "the damage was told of twice"


def test_a_file_cut_at_any_byte_keeps_what_was_said_in_other_kinds_before(path: Path) -> None:
    with StatusFile.open(path, print) as status:
        write_others(status)
    data = path.read_bytes()
    ends = [end for end in range(len(records.HEADER), len(data)) if data[end : end + 1] == b"\n"]
    assert len(ends) == 4
    for cut in range(len(records.HEADER), len(data) + 1):
        clear(path)
        path.write_bytes(data[:cut])
        expected = [cut >= end for end in ends]
        warnings: list[Warned] = []
        with StatusFile.open(path, warnings.append) as status:
            assert others(status) == expected, cut
            status.note_failed("appended", 1.0)
        assert len(warnings) == (data[:cut][-1:] != b"\n" and cut not in ends), cut

        with StatusFile.open(path, pytest.fail) as status:
            assert others(status) == expected, cut
            assert status.past("appended") == Past(None, False, True)


def test_a_flip_in_any_byte_of_other_kinds_costs_no_more_than_its_own_record(path: Path) -> None:
    with StatusFile.open(path, print) as status:
        write_others(status)
    data = path.read_bytes()
    for position in range(len(records.HEADER), len(data)):
        clear(path)
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        hit = data.count(b"\n", 0, position) - 1
        with StatusFile.open(path, lambda warned: None) as status:
            index = status._index
            found = [*index.declared, *index.to_adopt, *index.explained, *index.texts]
            kept = ["a", "b", "1" * 32, "2" * 32]
            if data[position : position + 1] != b"\n":
                del kept[hit]
            # Explanations that nothing refers to go when a damaged file is written anew.
            assert found == [name for name in kept if len(name) == 1], position


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_damage_ends_in_anything_but_fewer_records(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("status") / "s"
    text = bytearray(write_sample(path))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(len(records.HEADER), len(text)))
        text[start : start + data.draw(st.integers(0, 60))] = data.draw(st.binary(max_size=60))
    path.write_bytes(text)

    with StatusFile.open(path, lambda warned: None) as status:
        found = pasts(status)
        assert found.items() <= ALL.items()
        status.note_failed("appended", 1.0)
    with StatusFile.open(path, lambda warned: None) as status:
        assert pasts(status) == found | {"appended": Past(None, False, True)}


def test_one_warning_counts_damaged_lines_names_the_first_and_where_the_file_is_kept(path: Path) -> None:
    lines = write_sample(path).splitlines(keepends=True)
    damaged = b"".join([lines[0], lines[1], b"garbage\n", lines[2], b"\n", b"more\n", lines[3], b"torn"])
    path.write_bytes(damaged)
    warnings: list[Warned] = []

    with StatusFile.open(path, warnings.append) as status:
        assert pasts(status) == ALL

    assert len(warnings) == 1
    assert "3 lines are damaged" in warnings[0].headline
    assert "line 3" in warnings[0].headline
    assert ".pipegraph_status.damaged-1" in warnings[0].mend
    kept = path.with_name(".pipegraph_status.damaged-1").read_bytes()
    assert kept == damaged.removesuffix(b"torn")
    with StatusFile.open(path, warnings.append) as status:
        assert pasts(status) == ALL
    assert len(warnings) == 1


def test_one_damaged_line_is_told_as_one_and_counted_from_the_first_byte(path: Path) -> None:
    path.write_bytes(b"\n" + write_sample(path).removeprefix(records.HEADER) + b"garbage\n")
    warnings: list[Warned] = []

    with StatusFile.open(path, warnings.append) as status:
        assert pasts(status) == ALL

    assert warnings[0].headline == f"{path}: 1 line is damaged and skipped (the first: line 5)"


def test_a_lost_header_is_told_as_a_damaged_first_line(path: Path) -> None:
    path.write_bytes(write_sample(path).removeprefix(records.HEADER))
    warnings: list[Warned] = []

    with StatusFile.open(path, warnings.append) as status:
        assert pasts(status) == ALL

    assert warnings[0].headline == f"{path}: 1 line is damaged and skipped (the first: line 1)"


def test_a_damage_that_cannot_be_told_of_ends_in_that_error_and_frees_the_file(path: Path) -> None:
    path.write_bytes(write_sample(path) + b"garbage\n")

    def interrupt(warned: Warned) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StatusFile.open(path, interrupt)

    with StatusFile.open(path, pytest.fail) as status:
        assert pasts(status) == ALL


def test_a_second_damaged_file_does_not_replace_the_first_that_was_kept(path: Path) -> None:
    for number in (1, 2):
        write_sample(path)
        with path.open("ab") as file:
            file.write(b"garbage %d\n" % number)
        StatusFile.open(path, lambda warned: None).close()

    kept = [path.with_name(f"{path.name}.damaged-{number}").read_bytes() for number in (1, 2)]
    assert [text.endswith(b"garbage %d\n" % number) for number, text in enumerate(kept, 1)] == [True, True]


def test_a_damaged_file_that_cannot_be_kept_aside_is_used_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_sample(path) + b"garbage\n"
    path.write_bytes(data)

    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(store.os, "link", no_links)
    warnings: list[Warned] = []
    with StatusFile.open(path, warnings.append) as status:
        assert pasts(status) == ALL
        assert path.read_bytes() == data
        status.note_failed("appended", 1.0)

    assert len(warnings) == 1
    assert path.read_bytes().startswith(data)


def test_a_torn_tail_is_cut_only_after_what_stands_before_it_was_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_sample(path)
    path.write_bytes(data + b"torn")

    def refuse(data: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(opening, "read", refuse)
    with pytest.raises(MemoryError):
        StatusFile.open(path, print)

    assert path.read_bytes() == data + b"torn"


def test_a_torn_tail_that_cannot_be_cut_is_ended_with_a_line_feed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(write_sample(path) + b"0123456789abcdef\tS\ttorn")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(opening.os, "ftruncate", refuse)
    monkeypatch.setattr(store.os, "link", refuse)
    with StatusFile.open(path, lambda warned: None) as status:
        status.note_failed("appended", 1.0)
    monkeypatch.undo()

    assert b"torn\n" in path.read_bytes()
    with StatusFile.open(path, lambda warned: None) as status:
        assert pasts(status) == ALL | {"appended": Past(None, False, True)}


def test_a_file_whose_torn_tail_cannot_be_cut_is_written_anew_and_kept_aside(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_sample(path)
    path.write_bytes(data + b"torn")

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(opening.os, "ftruncate", refuse)
    with StatusFile.open(path, lambda warned: None) as status:
        assert pasts(status) == ALL

    assert path.read_bytes() == data
    assert path.with_name(f"{path.name}.damaged-1").read_bytes() == data + b"torn"


def test_zeros_after_a_power_cut_cost_nothing_else(path: Path) -> None:
    data = write_sample(path)
    path.write_bytes(data + b"\0" * 5000)
    warnings: list[Warned] = []

    with StatusFile.open(path, warnings.append) as status:
        assert pasts(status) == ALL

    assert len(warnings) == 1
    assert path.read_bytes() == data


def test_outputs_seen_again_are_not_taken_for_those_of_an_older_trace(path: Path) -> None:
    old = Trace({"in": "1" * 32}, "a" * 32, (OUTPUT._replace(fingerprint="a" * 32),))
    new = Trace({"in": "2" * 32}, "b" * 32, (OUTPUT._replace(fingerprint="b" * 32),))
    with StatusFile.open(path, print) as status:
        status.note_made("a", old)
        status.note_made("a", new)
        status.note_seen("a", new.outputs)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(b"2", b"3"), lines[3]]))

    with StatusFile.open(path, lambda warned: None) as status:
        assert status.past("a") == Past(old)


@pytest.mark.parametrize("size", range(len(records.HEADER)))
def test_an_empty_file_or_a_torn_header_is_a_new_file_without_a_word(path: Path, size: int) -> None:
    path.write_bytes(records.HEADER[:size])

    with StatusFile.open(path, pytest.fail) as status:
        status.note_failed("a", 1.0)
    with StatusFile.open(path, pytest.fail) as status:
        assert pasts(status) == {"a": Past(None, False, True)}
    assert path.read_bytes().startswith(records.HEADER)


FOREIGN = {
    "text": b"sample\tcount\na\t3\n",
    "garbage": bytes(range(256)) * 50,
    "zeros": b"\0" * 5000,
    "large": os.urandom(3 << 20),
    "sqlite": b"SQLite format 3\0" + b"\0" * 100,
    "almost our header": b"pipegraph-status\n",
    "no version": b"pipegraph-status one\n",
    "version 0": b"pipegraph-status 0\n",
    "our header behind something": b" pipegraph-status 2\n",
    "one byte": b"\n",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_is_not_ours_is_renamed_with_a_word_and_a_new_one_begun(path: Path, name: str) -> None:
    path.write_bytes(FOREIGN[name])
    path.with_name(".pipegraph_status.foreign-1").write_bytes(b"an earlier one")
    warnings: list[Warned] = []

    with StatusFile.open(path, warnings.append) as status:
        status.note_failed("a", 1.0)

    assert len(warnings) == 1
    assert ".pipegraph_status.foreign-2" in warnings[0].headline
    assert path.with_name(".pipegraph_status.foreign-1").read_bytes() == b"an earlier one"
    assert path.with_name(".pipegraph_status.foreign-2").read_bytes() == FOREIGN[name]
    with StatusFile.open(path, warnings.append) as status:
        assert pasts(status) == {"a": Past(None, False, True)}
    assert len(warnings) == 1


def test_foreign_files_that_are_set_aside_are_numbered_from_1(path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        path.write_bytes(text)
        StatusFile.open(path, lambda warned: None).close()

    kept = [path.with_name(f"{path.name}.foreign-{number}").read_bytes() for number in (1, 2)]
    assert kept == [b"one\n", b"two\n"]


def test_a_file_is_ours_if_a_record_is_whole_within_its_first_mebibyte(path: Path) -> None:
    record = records.encode_line(records.FAILED, "a", "1.0")
    for garbage_bytes, is_ours in (((1 << 20) - len(record), True), (1 << 20, False)):
        path.write_bytes(b"x" * (garbage_bytes - 1) + b"\n" + record)

        with StatusFile.open(path, lambda warned: None) as status:
            assert pasts(status) == ({"a": Past(None, False, True)} if is_ours else {})
        assert path.with_name(f"{path.name}.foreign-1").exists() != is_ours


def test_a_foreign_file_that_cannot_be_renamed_is_left_and_a_stand_in_used_from_then_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"not ours\n")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(opening.os, "rename", refuse)
    warnings: list[Warned] = []
    with StatusFile.open(path, warnings.append) as status:
        status.note_failed("a", 1.0)
    with StatusFile.open(path, warnings.append) as status:
        assert pasts(status) == {"a": Past(None, False, True)}

    assert path.read_bytes() == b"not ours\n"
    assert siblings(path) == {".pipegraph_status.instead"}
    assert len(warnings) == 2
    assert "can't be renamed (Device or resource busy)" in warnings[0].headline


def test_a_stand_in_that_is_foreign_too_is_an_error_and_nothing_is_touched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"not ours\n")
    path.with_name(".pipegraph_status.instead").write_bytes(b"nor this\n")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(opening.os, "rename", refuse)
    with pytest.raises(StatusError, match="Device or resource busy"):
        StatusFile.open(path, lambda warned: None)

    assert path.read_bytes() == b"not ours\n"
    assert path.with_name(".pipegraph_status.instead").read_bytes() == b"nor this\n"
    assert siblings(path) == {".pipegraph_status.instead"}


def test_what_is_no_file_in_place_of_the_stand_in_is_refused_and_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"not ours\n")
    stand_in = path.with_name(".pipegraph_status.instead")
    os.mkfifo(stand_in)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(opening.os, "rename", refuse)
    with pytest.raises(StatusError, match="not a plain file"):
        StatusFile.open(path, lambda warned: None)

    assert path.read_bytes() == b"not ours\n"
    assert stand_in.is_fifo()


@pytest.mark.parametrize(
    "text",
    [
        b"pipegraph-status 3\n",
        b"pipegraph-status 3",
        b"pipegraph-status 12 with more\nwhatever\xff\0",
        b"pipegraph-status 3\n" + records.encode_line(records.STARTED, "a", "1.0"),
        b"pipegraph-status 999999999\nx",
    ],
)
def test_a_newer_version_is_refused_and_not_touched(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    os.utime(path, ns=(5, 5))
    before = path.stat()

    with pytest.raises(StatusTooNewError) as caught:
        StatusFile.open(path, print)

    assert str(path) in str(caught.value)
    assert "newer version" in caught.value.headline
    assert path.read_bytes() == text
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino, after.st_mode) == (5, before.st_ino, before.st_mode)
    assert not siblings(path)
    with pytest.raises(StatusTooNewError):  # and the lock is free again
        StatusFile.open(path, print)


def test_a_damaged_header_before_whole_records_costs_nothing(path: Path) -> None:
    data = write_sample(path)
    for header in (b"\0" * 19, b"", b"pipegraph-status 0\n", b"pipegraph-status 2\r", b"pipegraph-status 10"):
        clear(path)
        path.write_bytes(header + data[len(records.HEADER) :])
        with StatusFile.open(path, lambda warned: None) as status:
            assert pasts(status) == ALL, header
        assert path.read_bytes().startswith(records.HEADER)


def test_a_lost_header_is_put_back_although_the_tail_is_torn_too(path: Path) -> None:
    path.write_bytes(write_sample(path).removeprefix(records.HEADER) + b"torn")

    with StatusFile.open(path, lambda warned: None) as status:
        assert pasts(status) == ALL
    assert path.read_bytes().startswith(records.HEADER)


def test_a_record_in_a_damaged_last_line_is_kept_and_the_damage_told_once(path: Path) -> None:
    record = records.encode_line(records.FAILED, "behind", "1.0")
    path.write_bytes(write_sample(path) + b"torn" + record[:-1] + b"x")
    warnings: list[Warned] = []

    for _ in range(2):
        with StatusFile.open(path, warnings.append) as status:
            assert pasts(status) == ALL | {"behind": Past(None, False, True)}
    assert len(warnings) == 1


def test_a_directory_or_a_pipe_in_its_place_is_refused_and_left(path: Path) -> None:
    path.mkdir()
    (path / "data").write_text("kept")
    with pytest.raises(StatusError, match="a directory") as caught:
        StatusFile.open(path, print)
    assert str(path) in str(caught.value)
    assert (path / "data").read_text() == "kept"
    assert os.listdir(path.parent) == [path.name]
    shutil.rmtree(path)

    os.mkfifo(path)
    with pytest.raises(StatusError, match="not a plain file"):
        StatusFile.open(path, print)
    assert path.is_fifo()
    path.unlink()


@pytest.mark.parametrize("name", [".", "/", "/dev/null", "missing/status"])
def test_places_where_no_file_can_be_are_refused(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)

    with pytest.raises(StatusError):
        StatusFile.open(name, print)

    assert os.listdir(path.parent) == []


def test_a_file_in_place_of_the_directory_is_refused(path: Path) -> None:
    path.write_text("a file")

    with pytest.raises(StatusError, match="directory of the status file can't be opened"):
        StatusFile.open(path / "status", print)

    assert os.listdir(path.parent) == [path.name]


def test_a_link_that_leads_to_itself_is_no_file(path: Path) -> None:
    path.symlink_to(path.name)

    with pytest.raises(StatusError, match="not a plain file"):
        StatusFile.open(path, print)

    assert os.listdir(path.parent) == [path.name]


def test_a_link_that_takes_the_name_just_before_it_is_opened_is_not_followed(path: Path) -> None:
    path.symlink_to("precious")
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        with pytest.raises(StatusError, match="symbolic links"):
            opening._open(directory, path.name, str(path))
    finally:
        os.close(directory)

    assert os.listdir(path.parent) == [path.name]


def test_a_link_in_place_of_the_lock_file_is_not_written_through(path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    path.with_name(f"{path.name}.lock").symlink_to(precious)

    with pytest.raises(StatusError, match="can't be locked"):
        StatusFile.open(path, print)

    assert precious.read_text() == "precious"


AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[2])
# Before, since nobody may not be able to read where Python is.
from pipegraph.errors import PyPipeGraphError
from pipegraph.status import StatusFile
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
warnings = []
try:
    StatusFile.open(sys.argv[1], warnings.append).close()
except PyPipeGraphError as error:
    print(type(error).__name__)
    print(error)
for warned in warnings:
    print("Warned", warned.headline)
"""


def open_as_nobody(path: Path) -> str:
    if os.geteuid() != 0:
        pytest.skip("file modes bind everyone but root, and only root can become nobody: run the tests as root")
    root = Path(__file__).resolve().parent.parent
    ended = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(path), str(root)], capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    return ended.stdout


def test_a_directory_that_is_not_writable_is_an_error_with_facts_and_mend(path: Path) -> None:
    path.parent.chmod(0o755)

    told = open_as_nobody(path)

    assert told.startswith("StatusError\n")
    assert str(path) in told
    assert "Permission denied" in told
    assert "name a status file" in told
    assert os.listdir(path.parent) == []


def test_a_read_only_file_is_an_error_with_facts_and_mend_and_is_not_touched(path: Path) -> None:
    data = write_sample(path)
    path.with_name(f"{path.name}.lock").chmod(0o666)
    path.chmod(0o444)
    path.parent.chmod(0o777)

    told = open_as_nobody(path)

    assert told.startswith("StatusError\n")
    assert str(path) in told
    assert "Permission denied" in told
    assert "readable and writable" in told
    assert path.read_bytes() == data
    assert not siblings(path)


@pytest.mark.parametrize(
    ("text", "expected"), [(b"pipegraph-status 3\n", "StatusTooNewError"), (b"not ours\n", "Warned")]
)
def test_a_read_only_file_is_judged_before_it_is_refused(path: Path, text: bytes, expected: str) -> None:
    path.write_bytes(text)
    path.chmod(0o444)
    path.parent.chmod(0o777)

    told = open_as_nobody(path)

    assert told.startswith(expected)
    assert text in [entry.read_bytes() for entry in path.parent.iterdir()]


def test_what_cannot_be_read_at_all_is_an_error(path: Path) -> None:
    data = write_sample(path)
    path.with_name(f"{path.name}.lock").chmod(0o666)
    path.chmod(0o000)
    path.parent.chmod(0o777)

    assert open_as_nobody(path).startswith("StatusError\n")
    assert path.read_bytes() == data


def test_a_file_whose_line_ends_were_changed_by_an_editor_costs_nothing(path: Path) -> None:
    path.write_bytes(write_sample(path).replace(b"\n", b"\r\n"))

    with StatusFile.open(path, lambda warned: None) as status:
        assert pasts(status) == ALL
    assert b"\r" not in path.read_bytes()


def test_the_compaction_of_a_damaged_file_may_fail(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_sample(path) + b"garbage\n"
    path.write_bytes(data)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compaction.os, "rename", refuse)
    warnings: list[Warned] = []
    with StatusFile.open(path, warnings.append) as status:
        assert pasts(status) == ALL

    assert path.read_bytes() == data
    assert not siblings(path)
    assert warnings[-1].mend == "Jobs whose records were lost are made again."


@pytest.mark.parametrize("offset", [0, 30])
def test_a_record_that_is_damaged_while_the_file_is_open_is_taken_for_nothing(path: Path, offset: int) -> None:
    with StatusFile.open(path, print) as status:
        starts = [path.stat().st_size]
        status.note_measured("PIa", InvariantRecord("0" * 32))
        starts.append(path.stat().st_size)
        status.note_made("a", TRACES["a"])
        with path.open("r+b") as file:
            for start in starts:
                file.seek(start + offset)
                file.write(b"?")

        assert status.invariant("PIa") is None
        assert status.past("a") == Past()


def test_outputs_whose_record_is_damaged_while_the_file_is_open_are_those_of_the_trace(path: Path) -> None:
    with StatusFile.open(path, print) as status:
        status.note_made("a", Trace({}, "f" * 32, (OUTPUT,)))
        offset = path.stat().st_size
        status.note_seen("a", (OUTPUT._replace(inode=10),))
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(b"?")

        assert status.past("a") == Past(Trace({}, "f" * 32, (OUTPUT,)))


def test_a_name_that_the_system_refuses_is_an_error_with_facts(path: Path) -> None:
    with pytest.raises(StatusError) as caught:
        StatusFile.open(path.with_name("x" * 300), print)

    assert dict(caught.value.facts)["because"] == "File name too long"


def test_a_disk_that_cannot_be_read_is_an_error_with_facts_and_the_lock_is_free(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_sample(path)

    def refuse(descriptor: int, length: int, offset: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(opening.os, "pread", refuse)
        with pytest.raises(StatusError, match="can't be used") as caught:
            StatusFile.open(path, print)

    assert dict(caught.value.facts) == {"status file": str(path), "because": "Input/output error"}
    assert path.read_bytes() == data
    StatusFile.open(path, pytest.fail).close()


def test_a_disk_that_can_not_be_read_any_more_is_an_error_with_facts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, length: int, offset: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with StatusFile.open(path, print) as status:
        status.note_made("a", TRACES["a"])
        with monkeypatch.context() as patched:
            patched.setattr(store.os, "pread", refuse)
            with pytest.raises(StatusError, match="can't be read any more") as caught:
                status.past("a")

    assert dict(caught.value.facts) == {"status file": str(path), "because": "Input/output error"}
