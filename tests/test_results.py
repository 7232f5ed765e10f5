"""The folder of results by itself: one file in two places, locks, who may do what, and what is collected."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path

import pytest

from pipegraph.cli import main
from pipegraph.model import Opened, Place
from pipegraph.results import transfer as transfers
from pipegraph.results.claim import Claim
from pipegraph.results.holdings import holdings, leftovers
from pipegraph.results.lock import Lock
from pipegraph.results.store import Manifest, Store
from pipegraph.results.transfer import is_own, transfer

TEXT = "some content\n"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


# --- one file in two places


def test_a_reflink_is_preferred_and_leaves_both_files_as_they_are(source, tmp_path, monkeypatch):
    """No file system here has them, so the kernel's answer is made up."""
    asked = []

    def clone(target, number, source):
        asked.append(number)
        os.pwrite(target, os.pread(source, 1000, 0), 0)

    monkeypatch.setattr(fcntl, "ioctl", clone)
    transfer(str(source), str(tmp_path / "target"), 0o444, may_link=True)

    assert asked == [0x40049409]
    assert (tmp_path / "target").read_text() == TEXT
    assert not os.path.samefile(source, tmp_path / "target")
    assert stat.S_IMODE(source.stat().st_mode) == 0o640


def test_a_hard_link_is_next_and_can_not_be_written(source, tmp_path):
    transfer(str(source), str(tmp_path / "target"), 0o664, may_link=True)

    assert os.path.samefile(source, tmp_path / "target")
    assert stat.S_IMODE(source.stat().st_mode) == 0o444


@pytest.mark.parametrize("may_link", [True, False])
def test_a_copy_is_what_always_works(source, tmp_path, monkeypatch, may_link):
    def refuse(*arguments, **keywords):
        raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))

    if may_link:
        monkeypatch.setattr(os, "link", refuse)
    transfer(str(source), str(tmp_path / "target"), 0o444, may_link=may_link)

    assert (tmp_path / "target").read_text() == TEXT
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o444
    assert stat.S_IMODE(source.stat().st_mode) == 0o640


def test_a_large_file_is_copied_whole(tmp_path, monkeypatch):
    data = os.urandom(3_000_001)
    (tmp_path / "source").write_bytes(data)
    monkeypatch.setattr(transfers, "_PIECE_BYTES", 1_000_000)
    transfer(str(tmp_path / "source"), str(tmp_path / "target"), 0o444, may_link=False)

    assert (tmp_path / "target").read_bytes() == data


def test_a_copy_that_fails_leaves_nothing(source, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "sendfile", full)
    with pytest.raises(OSError, match="No space"):
        transfer(str(source), str(tmp_path / "target"), 0o444, may_link=False)

    assert os.listdir(tmp_path) == ["source"]


def test_what_is_there_is_not_replaced(source, tmp_path):
    (tmp_path / "target").write_text("mine")
    with pytest.raises(FileExistsError):
        transfer(str(source), str(tmp_path / "target"), 0o444, may_link=True)

    assert (tmp_path / "target").read_text() == "mine"


def test_files_that_are_known_by_other_names_are_not_made_read_only(source, tmp_path):
    assert is_own(str(source))
    (tmp_path / "symbolic").symlink_to(source)
    assert not is_own(str(tmp_path / "symbolic"))
    os.link(source, tmp_path / "other")
    assert not is_own(str(source))


# --- locks


def test_a_lock_is_one_holders_only_and_its_file_goes_with_it(tmp_path):
    path = str(tmp_path / "key.lock")
    first, second = Lock(path, 0o644, {}), Lock(path, 0o644, {})

    assert first.take()
    assert not second.take()
    first.release()
    assert not os.path.exists(path)
    assert second.take()
    second.release()


def test_a_lock_whose_file_was_removed_under_it_is_taken_anew(tmp_path, monkeypatch):
    """As by one that ends between the opening and the locking of the file."""
    path = tmp_path / "key.lock"
    lock = fcntl.flock
    removed = []

    def remove_first(descriptor, how):
        if not removed:
            removed.append(path.unlink())
        return lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    one, other = Lock(str(path), 0o644, {}), Lock(str(path), 0o644, {})

    assert one.take()
    assert path.exists()
    assert not other.take()
    one.release()


def test_nobody_waits_for_a_lock_that_nobody_holds(tmp_path):
    told = []
    lock = Lock(str(tmp_path / "key.lock"), 0o644, {})
    lock.wait(told.append)
    (tmp_path / "key.lock").write_text("of one that was killed")
    lock.wait(told.append)

    assert told == []


# --- what a store holds


def put(store, key, path="out.txt", group="ab", used_days_ago=0.0, is_kept_here=False):
    """A result; as if a project had made it, and removed it since."""
    Path(path).write_text(TEXT)
    lock = store.lock(group, key, {})
    assert lock.take()
    manifest = Manifest(path, "FileGeneratingJob", "f", os.getcwd(), "host", "anna", time.time(), 5.0, ())
    store.put(group, key, manifest._replace(files=((path, len(TEXT), content_of(path)),)))
    lock.release()
    if not is_kept_here:
        Path(path).unlink()
    at = time.time() - used_days_ago * 86400
    for used in Path(store.folder, group, key).glob("used-*"):
        os.utime(used, (at, at))


def content_of(path):
    from pipegraph.invariants import files

    return files.read(path).content


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Store(str(tmp_path / "store"))


def key(digit):
    return str(digit) * 32


def test_what_a_store_holds_is_listed_by_its_last_use(shelf, capsys):
    put(shelf, key(1), "old.txt", used_days_ago=100)
    put(shelf, key(2), "new.txt", is_kept_here=True)

    assert main(["results", "store"]) == 0
    heading, first, second, total = capsys.readouterr().out.splitlines()
    assert heading.split() == ["size", "linked", "last", "used", "made", "took", "by", "job"]
    assert first.split()[2:4] == ["no", time.strftime("%Y-%m-%d", time.localtime(time.time() - 100 * 86400))]
    assert first.endswith(f"old.txt of {os.getcwd()}")
    assert second.split()[2] == "yes"
    assert total == "2 results (26 bytes)"


def test_only_what_was_not_used_for_long_and_is_linked_nowhere_is_removed(shelf, capsys):
    put(shelf, key(1), "old.txt", used_days_ago=100)
    put(shelf, key(2), "new.txt", used_days_ago=80)
    put(shelf, key(3), "linked.txt", used_days_ago=100, is_kept_here=True)

    assert main(["results", "store", "--unused-for", "90d", "--yes"]) == 0
    assert {held.key for held in holdings(shelf)} == {key(2), key(3)}
    told = capsys.readouterr().out
    assert "to be removed:\n    13 bytes  old.txt, last used" in told
    assert "left as it is, since files of projects are links to it:\n    13 bytes  linked.txt" in told
    assert told.endswith("Removed 1 result (13 bytes).\n")
    assert sorted(os.listdir("store/ab")) == [key(2), key(3)]


def test_nothing_is_removed_unasked(shelf, capsys):
    put(shelf, key(1), used_days_ago=100)

    assert main(["results", "store", "--unused-for", "12w"]) == 2
    assert len(list(holdings(shelf))) == 1
    assert "say --yes" in capsys.readouterr().err


def test_what_somebody_is_at_is_left(shelf, capsys):
    put(shelf, key(1), used_days_ago=100)
    lock = shelf.lock("ab", key(1), {})
    assert lock.take()

    assert main(["results", "store", "--unused-for", "1d", "--yes"]) == 0
    lock.release()
    assert len(list(holdings(shelf))) == 1
    assert "in use now" in capsys.readouterr().out


def test_what_is_taken_between_the_question_and_the_answer_is_left(shelf, monkeypatch):
    put(shelf, key(1), used_days_ago=100)

    def take(what):
        assert what == "1 result (13 bytes)"
        assert shelf.take("ab", key(1), ["out.txt"]) is not None
        Path("out.txt").unlink()
        return True

    monkeypatch.setattr("pipegraph.cli.results.is_confirmed", take)
    assert main(["results", "store", "--unused-for", "1d"]) == 0

    assert len(list(holdings(shelf))) == 1


def test_leftovers_are_told_of_and_removed_when_they_are_old(shelf, capsys):
    put(shelf, key(1))
    for name in ("building", "damaged"):
        folder = Path(shelf.folder, name, f"ab.{key(2)}.0123")
        folder.mkdir(parents=True)
        (folder / "0").write_text(TEXT)
    os.utime(folder, (1e9, 1e9))

    assert main(["results", "store"]) == 0
    assert "2 leftovers of what was cut short or damaged (26 bytes)" in capsys.readouterr().out
    assert main(["results", "store", "--unused-for", "1d", "--yes"]) == 0
    assert [Path(each.path).parent.name for each in leftovers(shelf)] == ["building"]


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_what_is_no_store_is_not_touched(shelf, capsys, folder):
    assert main(["results", folder, "--unused-for", "0h", "--yes"]) == 1
    assert "no results are kept there" in capsys.readouterr().err


def test_a_time_that_is_none_is_refused(shelf, capsys):
    with pytest.raises(SystemExit):
        main(["results", "store", "--unused-for", "90"])
    assert "'90' is no time: say 90d" in capsys.readouterr().err


# --- several people

NOBODY = 65534


def as_nobody(function, folder):
    """What a function says in a process of another user, who owns this folder and works in it."""
    for above in folder.parents:
        if not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    os.chown(folder, NOBODY, NOBODY)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.chdir(folder)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writer, str(function()).encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as source:
        said = source.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize(("mode", "may_put"), [(0o2777, True), (0o755, False)])
def test_another_person_gets_a_copy_and_puts_where_the_folder_allows_it(shelf, tmp_path, mode, may_put):
    os.mkdir("store")
    os.chmod("store", mode)
    (tmp_path / "theirs").mkdir()
    before = os.umask(0o077)
    put(shelf, key(1), used_days_ago=100)
    os.umask(before)

    def take():
        assert shelf.take("ab", key(1), ["taken.txt"]) is not None
        return os.stat("taken.txt").st_nlink, os.access("taken.txt", os.W_OK), Path("taken.txt").read_text()

    assert as_nobody(take, tmp_path / "theirs") == str((1, True, TEXT))
    is_used = next(iter(holdings(shelf))).used_at > time.time() - 1000
    assert is_used is may_put

    said = as_nobody(lambda: put(shelf, key(2)), tmp_path / "theirs")
    assert said == ("None" if may_put else f"PermissionError({errno.EACCES}, 'Permission denied')")
    if may_put:
        assert os.stat(f"store/ab/{key(2)}").st_mode & 0o777 == 0o777
        assert shelf.take("ab", key(2), ["mine.txt"]) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_what_another_person_may_not_put_is_made_all_the_same(shelf, tmp_path):
    os.mkdir("store")
    put(shelf, key(1))
    (tmp_path / "theirs").mkdir()

    class Job:
        job_id = "out.txt"
        place = Place("script.py", 1)
        outputs = ("out.txt",)

    def make():
        claim = Claim((shelf.folder, "ab", key(2), 0, False, {}), Job(), "here", lambda name: None)
        is_brought = claim.bring()
        Path("out.txt").write_text(TEXT)
        claim.keep([claim.read("out.txt", False)], Opened(), 0.0, 1.0)
        claim.release()
        return is_brought, claim.remarks[0][0], Path("out.txt").read_text()

    said = as_nobody(make, tmp_path / "theirs")
    assert said == str((False, f"its result can't be kept in {shelf.folder}: Permission denied", TEXT))
