"""A ledger that can't be had, or is damaged while runs use it: a clear word, and every run goes on."""

from __future__ import annotations

import os
import resource
import select
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledgers import CORES, Process, join
from machine import mounted, small_disk

from pipegraph.machine.ledger import Ledger
from pipegraph.machine.looking import look
from pipegraph.machine.place import LedgerUnusable, Place, place_of

NOBODY, SOMEBODY = 65534, 65533


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))

    yield

    assert set(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(str(tmp_path / "ledger"))


@pytest.fixture
def ledgers(place: Place) -> Iterator[Callable[..., Ledger]]:
    joined: list[Ledger] = []

    def begin() -> Ledger:
        joined.append(join(place))
        return joined[-1]

    yield begin
    for each in joined:
        each.close()


def table_of(place: Place) -> Path:
    (path,) = Path(place.path).glob("ledger-*")
    return path


def refused(place: Place) -> str:
    """What a run is told that can't join."""
    with pytest.raises(LedgerUnusable) as caught:
        join(place)
    assert caught.value.mend
    assert caught.value.headline == "cores and memory can't be shared with other runs on this machine"
    facts = dict(caught.value.facts)
    assert facts["ledger"].startswith(place.path)
    return facts["because"]


# --- where it is


def test_the_ledger_is_where_the_user_and_the_machine_say_whatever_else_the_environment_has() -> None:
    usual = place_of({})

    assert usual == place_of({"XDG_RUNTIME_DIR": "/run/user/7", "TMPDIR": "/somewhere", "PIPEGRAPH_LEDGER": ""})
    assert usual is not None
    assert not usual.is_shared
    assert usual.path in (f"/dev/shm/pipegraph-{os.geteuid()}", f"/tmp/pipegraph-{os.geteuid()}")
    assert place_of({"PIPEGRAPH_LEDGER": "off"}) is None
    assert place_of({"PIPEGRAPH_LEDGER": "/srv/ledger"}) == Place("/srv/ledger", is_shared=True)


def test_a_folder_that_is_made_is_for_its_user_alone(place: Place, ledgers) -> None:
    old = os.umask(0)
    try:
        ledgers()
    finally:
        os.umask(old)

    assert os.stat(place.path).st_mode & 0o777 == 0o700
    assert table_of(place).stat().st_mode & 0o777 == 0o600
    assert os.listdir(place.path) == [table_of(place).name]


def test_a_link_in_the_place_of_the_folder_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    os.symlink(tmp_path / "elsewhere", place.path)

    assert "a link or a file" in refused(place)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_file_in_the_place_of_the_folder_is_refused(place: Place) -> None:
    Path(place.path).write_text("mine")

    assert "a link or a file" in refused(place)
    assert Path(place.path).read_text() == "mine"


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(place: Place, mode: int) -> None:
    os.mkdir(place.path)
    os.chmod(place.path, mode)

    assert refused(place) == "others may write to it"


def test_a_folder_of_another_user_is_refused(place: Place) -> None:
    os.mkdir(place.path, 0o700)
    try:
        os.chown(place.path, os.geteuid() + 1, -1)
    except PermissionError:
        pytest.skip("only root can give a folder away")

    assert f"belongs to another user (uid {os.geteuid() + 1})" in refused(place)
    assert os.listdir(place.path) == []


def test_a_shared_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert refused(Place(str(tmp_path / "none"), is_shared=True)) == "No such file or directory"
    assert not (tmp_path / "none").exists()


def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    with mounted(tmp_path / "ro", "-t", "tmpfs", "-o", "ro", "pipegraph_test") as folder:
        assert refused(Place(str(folder), is_shared=True)) == "Read-only file system"


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "full", "size=4k,mode=700") as folder:
        (folder / "filler").write_bytes(b"x" * 4096)
        assert refused(Place(str(folder))) == "No space left on device"
        assert os.listdir(folder) == ["filler"]


def test_too_many_open_files_are_told(place: Place) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = [os.open("/dev/null", os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used[0] + 40, hard))
        while True:
            try:
                used.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        for room in range(4):
            assert refused(place) == "Too many open files", room
            os.close(used.pop())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in used:
            os.close(each)


def test_users_share_a_folder_whatever_their_umask() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be several users")
    # Not in pytest's folder, which is for root alone.
    folder = tempfile.mkdtemp(prefix="pipegraph_test_", dir="/tmp")
    os.chmod(folder, 0o1777)
    place = Place(folder, is_shared=True)
    old = os.umask(0o077)
    begun = []
    try:
        begun += [Process(place, "a.py", uid=NOBODY), Process(place, "b.py", uid=SOMEBODY)]
        one, other = begun
        assert one.claim(CORES)
        other.tell("until_claimed(1)")
        while one.ask("ledger.others_wait()") != "True":
            pass
        one.ask("release(1)")
        assert other.hear() == "claimed"
        assert {(share.script, share.held.cores) for share in look(place)} == {("a.py", CORES - 1), ("b.py", 1)}
        other.tell("until_claimed(2)")
        while one.ask("ledger.others_wait()") != "True":
            pass
        one.kill()
        assert other.hear() == "claimed"
    finally:
        os.umask(old)
        for each in begun:
            each.end()
        shutil.rmtree(folder)


# --- what is not a ledger, or not of this version


def test_a_file_that_is_no_ledger_is_left_as_it_is(place: Place, ledgers) -> None:
    ledgers().close()
    path = table_of(place)
    for content in (b"somebody's words", b"", b"x" * 5000):
        path.write_bytes(content)

        assert refused(place) == "it is not a ledger"
        assert path.read_bytes() == content
        with pytest.raises(LedgerUnusable):
            look(place)
    path.unlink()
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)):
        make(path)
        assert refused(place)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def test_a_link_in_the_place_of_the_table_is_not_followed(place: Place, ledgers) -> None:
    ledgers().close()
    path = table_of(place)
    os.rename(path, f"{place.path}/elsewhere")
    os.symlink("elsewhere", path)

    assert refused(place) == "it is a link"
    with pytest.raises(LedgerUnusable):
        look(place)


def test_a_table_of_a_newer_version_is_left_as_it_is(place: Place, ledgers) -> None:
    ledgers().close()
    path = table_of(place)
    content = bytearray(path.read_bytes())
    content[8] += 1
    content[16:20] = zlib.crc32(content[:16]).to_bytes(4, "little")
    path.write_bytes(content)

    assert refused(place) == "it is of another version of pipegraph (format 2)"
    assert path.read_bytes() == content


def test_a_damaged_header_begins_anew_only_where_no_run_uses_the_table(place: Place, ledgers) -> None:
    run = ledgers()
    assert run.claim("here", 3, 0)
    damage(table_of(place), 9)
    assert refused(place) == "it is damaged"

    run.attend()
    other = ledgers()
    assert not other.claim("here", 2, 0)
    other.close()
    run.close()
    damage(table_of(place), 9)
    assert ledgers().claim("here", CORES, 0)


# --- what is damaged while runs use it


def damage(path: Path, at: int, count: int = 1) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        found = file.read(count)
        file.seek(at)
        file.write(bytes(each ^ 0xFF for each in found))


def test_damage_anywhere_is_mended_by_the_runs_whose_it_is(place: Place, ledgers) -> None:
    one, other = ledgers(), ledgers()
    assert one.claim("here", 1, 0)
    assert other.claim("here", 2, 0)
    path = table_of(place)
    for at in range(path.stat().st_size):
        damage(path, at)
        one.others_wait()
        one.attend()
        other.attend()
        one.attend()

        assert one.fault == other.fault == "", at
        assert not one.others_wait(), at
        assert not one.claim("here", 2, 0), at
        assert not other.claim("here", 2, 0), at
        one.stop_waiting()
        other.stop_waiting()
        assert one.claim("here", 1, 0), at
        one.release("here", 1, 0)
    assert {share.held.cores for share in look(place)} == {1, 2}


def test_the_run_of_a_damaged_row_is_woken_to_mend_it(place: Place, ledgers) -> None:
    one, other = ledgers(), ledgers()
    assert one.claim("here", CORES, 0)
    damage(table_of(place), 512 + 30)

    other.attend()
    assert select.select([one], [], [], 60)[0]
    one.attend()
    assert not other.claim("here", 1, 0)


@pytest.mark.parametrize("size", [0, 3, 500, 700, 1030])
def test_a_table_that_was_cut_short_is_written_again(place: Place, ledgers, size: int) -> None:
    one, other = ledgers(), ledgers()
    assert one.claim("here", 3, 0)
    os.truncate(table_of(place), size)
    one.others_wait()
    one.attend()
    other.attend()

    assert not other.claim("here", 2, 0)
    assert one.others_wait()
    assert one.fault == other.fault == ""


def test_where_the_table_was_removed_all_meet_in_a_new_one(place: Place, ledgers) -> None:
    one, other = ledgers(), ledgers()
    assert one.claim("here", 3, 0)
    table_of(place).unlink()
    os.rmdir(place.path)

    one.attend()
    assert not other.claim("here", 2, 0)
    assert one.others_wait()
    assert not ledgers().claim("here", 2, 0)
    assert one.fault == other.fault == ""


def test_what_can_not_be_mended_is_told_once_and_the_run_goes_on_alone(place: Place, ledgers) -> None:
    one = ledgers()
    assert one.claim("here", CORES, 0)
    table_of(place).unlink()
    os.rmdir(place.path)
    Path(place.path).write_text("in the way")

    assert one.claim("here", CORES, 0)
    assert one.claim("here", CORES, 10**18)
    fault = one.fault
    assert "this run goes on without that" in fault
    assert "it is a link or a file, not a folder" in fault
    assert len(fault.splitlines()) == 1
    one.release("here", CORES, 0)
    one.wait_for("here", 1, 0)
    one.stop_waiting()
    one.attend()
    assert one.fault == fault
    assert not one.others_wait()
    assert one.next_look() is None
    assert select.select([one], [], [], 0)[0] == []


def test_a_disk_that_takes_no_more_ends_the_sharing_not_the_run(place: Place, ledgers) -> None:
    run = Process(place)
    other = ledgers()
    try:
        assert run.claim(CORES)
        run.ask("__import__('resource').setrlimit(__import__('resource').RLIMIT_FSIZE, (0, 0))")

        assert run.claim(CORES)
        assert "File too large" in run.ask("ledger.fault")
        assert run.ask("release(1), ledger.others_wait(), ledger.close()") == "(None, False, None)"
        assert other.claim("here", CORES, 0)
    finally:
        run.end()


def test_a_table_for_a_thousand_rows_refuses_more(place: Place, ledgers, monkeypatch) -> None:
    monkeypatch.setattr("pipegraph.machine.table.MOST_ROWS", 2)
    ledgers(), ledgers()

    assert refused(place) == "too many runs use it"


def test_names_of_any_kind_are_shown_as_far_as_they_fit(place: Place) -> None:
    for script in ("ä" * 300, "a\0b", "\udcff.py", ""):
        run = join(place, script)
        try:
            assert len(look(place)) == 1
        finally:
            run.close()
