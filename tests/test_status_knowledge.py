"""What a status file says to who only looks: also while a run has it, and nothing is written, made or locked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipegraph.errors import StatusError, StatusTooNewError
from pipegraph.events import Warned
from pipegraph.model import FileRecord, InvariantRecord, Past, Role, Trace
from pipegraph.status import StatusFile, records
from pipegraph.status.knowledge import Knowledge, Known

ROOT = Path(__file__).resolve().parent.parent


def refuse(warned: Warned) -> None:
    raise AssertionError(warned)


def made(*paths: str, inputs: dict[str, str] | None = None, ended_at: float = 0.0) -> Trace:
    outputs = tuple(FileRecord(path, "f" * 32, "f" * 32, 1, 2, 3, False) for path in paths)
    return Trace(inputs or {}, "f" * 32, outputs, ended_at=ended_at)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".pipegraph_status"


def write_sample(path: Path) -> None:
    with StatusFile.open(path, refuse) as status:
        status.note_declared("a", "FileGeneratingJob", Role.OUTPUT, ("two.py", "one.py"))
        status.note_made("a", made("a", inputs={"PIa": "1" * 32, "b.bam": "2" * 32}))
        status.note_started("a", 5.0)
        status.note_declared("b.bam:::b.log", "MultiFileGeneratingJob", Role.OUTPUT, ())
        status.note_made("b.bam:::b.log", made("b.bam", "b.log"))
        status.note_adopt("b.bam:::b.log", 6.0)
        status.note_declared("load", "DataLoadingJob", Role.EPHEMERAL, ("one.py",))
        status.note_made("load", made(inputs={"b.bam:::b.log": "3" * 32, "b.log": "3" * 32}))
        status.note_failed("never declared", 7.0)
        status.note_measured("PIa", InvariantRecord("1" * 32, (), "[1]"))
        status.note_explained("1" * 32, '{"text": "' + "2" * 32 + '"}')
        status.note_text("2" * 32, "def f():\n\treturn 'ä'\n")


def test_all_that_is_known_of_each_job(path: Path) -> None:
    write_sample(path)

    knowledge = Knowledge.read(path)

    trace_a = made("a", inputs={"PIa": "1" * 32, "b.bam": "2" * 32})
    assert {job: knowledge.known(job) for job in (*knowledge.jobs(), "unknown")} == {
        "a": Known(
            "FileGeneratingJob", Role.OUTPUT, ("one.py", "two.py"), Past(trace_a, True), 5.0, None, False, False
        ),
        "b.bam:::b.log": Known(
            "MultiFileGeneratingJob", Role.OUTPUT, (), Past(made("b.bam", "b.log")), None, None, True, True
        ),
        "load": Known(
            "DataLoadingJob",
            Role.EPHEMERAL,
            ("one.py",),
            Past(made(inputs={"b.bam:::b.log": "3" * 32, "b.log": "3" * 32})),
            None,
            None,
            False,
            False,
        ),
        "never declared": Known("", None, (), Past(None, False, True), None, 7.0, False, False),
        "unknown": Known("", None, (), Past(), None, None, False, False),
    }


def test_what_depends_on_what(path: Path) -> None:
    write_sample(path)

    knowledge = Knowledge.read(path)

    assert knowledge.inputs_of("a") == {"PIa": "1" * 32, "b.bam": "2" * 32}
    assert knowledge.inputs_of("never declared") == {}
    makers = {name: knowledge.maker(name) for name in ("a", "b.bam", "b.log", "b.bam:::b.log", "PIa", "unknown")}
    assert makers == {
        "a": "a",
        "b.bam": "b.bam:::b.log",
        "b.log": "b.bam:::b.log",
        "b.bam:::b.log": "b.bam:::b.log",
        "PIa": None,
        "unknown": None,
    }
    dependents = {name: knowledge.dependents_of(name) for name in ("PIa", "b.bam", "b.log", "b.bam:::b.log", "a", "x")}
    assert dependents == {
        "PIa": ["a"],
        "b.bam": ["a", "load"],
        "b.log": ["load"],
        "b.bam:::b.log": ["load", "a"],
        "a": [],
        "x": [],
    }


def test_a_file_that_moved_to_another_job_belongs_to_the_one_that_made_it_last(path: Path) -> None:
    with StatusFile.open(path, refuse) as status:
        status.note_made("x:::y", made("x", "y", ended_at=1.0))
        status.note_made("y:::z", made("y", "z", ended_at=3.0))
        status.note_made("w:::y", made("w", "y", ended_at=2.0))

    knowledge = Knowledge.read(path)

    assert [knowledge.maker(name) for name in "wxyz"] == ["w:::y", "x:::y", "y:::z", "y:::z"]


def test_invariants_explanations_and_texts(path: Path) -> None:
    write_sample(path)

    knowledge = Knowledge.read(path)

    assert knowledge.invariant("PIa") == InvariantRecord("1" * 32, (), "[1]")
    assert knowledge.explanation("1" * 32) == '{"text": "' + "2" * 32 + '"}'
    assert knowledge.text("2" * 32) == "def f():\n\treturn 'ä'\n"
    assert (knowledge.invariant("x"), knowledge.explanation("0" * 32), knowledge.text("1" * 32)) == (None, None, None)


@pytest.mark.parametrize("size", [0, 5, len(records.HEADER)])
def test_a_file_that_was_only_just_begun_knows_nothing(path: Path, size: int) -> None:
    path.write_bytes(records.HEADER[:size])

    assert list(Knowledge.read(path).jobs()) == []


def test_it_can_be_read_while_a_run_has_it_and_that_run_is_not_touched(path: Path) -> None:
    with StatusFile.open(path, refuse) as status:
        status.note_started("a", 1.0)
        before = path.read_bytes(), sorted(os.listdir(path.parent))
        knowledge = Knowledge.read(path)
        status.note_made("a", made("a"))

        assert knowledge.past("a") == Past(None, True)
        assert Knowledge.read(path).past("a") == Past(made("a"))
    assert path.read_bytes().startswith(before[0])
    assert sorted(os.listdir(path.parent)) == before[1]


def test_a_record_that_is_being_written_is_left_out_wherever_it_is_torn(path: Path) -> None:
    with StatusFile.open(path, refuse) as status:
        status.note_declared("a", "FileGeneratingJob", Role.OUTPUT, ("one.py",))
        begin = path.stat().st_size
        status.note_declared("a", "FileGeneratingJob", Role.OUTPUT, ())
    data = path.read_bytes()
    for cut in range(begin, len(data) + 1):
        path.write_bytes(data[:cut])

        assert Knowledge.read(path).known("a").is_gone == (cut >= len(data) - 1)
        assert path.read_bytes() == data[:cut]


APPENDING = """
import sys
sys.path.insert(0, sys.argv[2])
from pipegraph.model import Role, Trace
from pipegraph.status import StatusFile, store
store.COMPACT_FROM_BYTES = 1000
print("ready", flush=True)
while True:
    with StatusFile.open(sys.argv[1], print) as status:
        for number in range(50):
            status.note_declared("a", "FileGeneratingJob", Role.OUTPUT, (f"{number}.py",))
            status.note_made("a", Trace({"in": "1" * 32}, f"{number:032}"))
"""


def test_whatever_a_run_does_with_the_file_it_is_read_as_of_some_moment(path: Path) -> None:
    with StatusFile.open(path, refuse) as status:
        status.note_declared("a", "FileGeneratingJob", Role.OUTPUT, ("0.py",))
        status.note_made("a", Trace({"in": "1" * 32}, f"{0:032}"))
    with subprocess.Popen(
        [sys.executable, "-c", APPENDING, str(path), str(ROOT)], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        replaced, inode = 0, 0
        while replaced < 5 and running.poll() is None:
            known = Knowledge.read(path).known("a")
            replaced += inode != path.stat().st_ino
            inode = path.stat().st_ino
            assert known.past.trace is not None
            script, made_by = int(known.scripts[0].removesuffix(".py")), int(known.past.trace.fingerprint)
            assert script in (made_by, made_by + 1) or (script, made_by) == (0, 49)
        assert replaced == 5
        running.kill()


def foreign(path: Path) -> None:
    path.write_text("somebody else's\n")


def newer(path: Path) -> None:
    path.write_bytes(b"pipegraph-status 3\nwhatever")


@pytest.mark.parametrize(
    ("prepare", "kind", "said"),
    [
        (lambda path: None, StatusError, "there is no status file"),
        (foreign, StatusError, "not a status file of pipegraph"),
        (newer, StatusTooNewError, "newer version"),
        (lambda path: path.mkdir(), StatusError, "not a plain file"),
        (lambda path: os.mkfifo(path), StatusError, "not a plain file"),
        (lambda path: path.symlink_to(path), StatusError, "Too many levels of symbolic links"),
    ],
    ids=["none", "foreign", "newer", "directory", "pipe", "loop"],
)
def test_what_is_no_status_file_is_an_error_with_facts_and_left_as_it_is(
    path: Path, prepare: Callable[[Path], None], kind: type[StatusError], said: str
) -> None:
    prepare(path)
    is_file = path.is_file()
    before = path.read_bytes() if is_file else b""

    with pytest.raises(kind, match=said) as caught:
        Knowledge.read(path)

    assert dict(caught.value.facts)["status file"] == str(path)
    assert caught.value.mend
    assert os.listdir(path.parent) == ([path.name] if os.path.lexists(path) else [])
    assert not is_file or path.read_bytes() == before


AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pipegraph.errors import StatusError
from pipegraph.status.knowledge import Knowledge
os.chmod(sys.argv[1], int(sys.argv[3], 8))
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    print(list(Knowledge.read(sys.argv[1]).jobs()))
except StatusError as error:
    print(error)
"""


@pytest.mark.parametrize(("mode", "said"), [("444", "'never declared'"), ("000", "Permission denied")])
def test_it_is_read_in_a_directory_of_others_if_its_mode_lets_us(mode: str, said: str) -> None:
    # Not below pytest's own folder, which nobody else may enter.
    folder = Path(f"/tmp/pipegraph-knowledge-{os.getpid()}-{mode}")
    folder.mkdir(mode=0o755)
    path = folder / "status"
    try:
        write_sample(path)
        (folder / "status.lock").unlink()
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(path), str(ROOT), mode], capture_output=True, text=True, check=True
        )

        assert said in done.stdout
        assert os.listdir(folder) == ["status"]
    finally:
        folder.chmod(0o755)
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()


def test_a_file_of_version_1_is_read_and_stays_one(path: Path) -> None:
    write_sample(path)
    data = path.read_bytes().replace(b"pipegraph-status 2\n", b"pipegraph-status 1\n")
    path.write_bytes(data)

    assert Knowledge.read(path).past("never declared") == Past(None, False, True)
    assert path.read_bytes() == data
