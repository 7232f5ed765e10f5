"""Loaded memory in huge pages: no more of it, none that others share, and a word where it can't be."""

import ctypes
import errno
import mmap
import os

import pytest

from pipegraph.slaves import hugepages
from pipegraph.slaves.hugepages import BLOCK, STEP, Gathered, Memory, gather

PAGE = 4096
MANY = 10**6
OWN, NOT_THERE, SHARED, OF_A_FILE, IN_SWAP = (bytes(7) + bytes([top]) for top in (0x81, 0x00, 0x80, 0xA1, 0x40))


class Areas(Memory):
    """This process's memory, as if it were these areas only."""

    def __init__(self, *mappings: mmap.mmap) -> None:
        super().__init__()
        self.mappings = mappings

    def areas(self) -> list[tuple[int, int]]:
        return [(address_of(each), address_of(each) + len(each)) for each in self.mappings]


class Told(Memory):
    """Memory that is what a test says."""

    def __init__(self, blocks: int = 1, missing: int = 0, small: int = 8 << 30) -> None:
        self.blocks = blocks
        self.missing = missing
        self.small = small
        self.asked: list[tuple[int, int]] = []
        self.time = 0.0
        self.step_seconds = 0.0
        self.errors: list[int] = []

    def is_offered(self) -> bool:
        return True

    def areas(self) -> list[tuple[int, int]]:
        return [(BLOCK, (1 + self.blocks) * BLOCK)]

    def entries(self, start: int, size: int) -> bytes:
        return (NOT_THERE * self.missing + OWN * (BLOCK // PAGE - self.missing)) * (size // BLOCK)

    def collapse(self, start: int, size: int) -> None:
        self.asked.append((start, size))
        self.time += self.step_seconds
        if self.errors:
            number = self.errors.pop(0)
            if number:
                raise OSError(number, os.strerror(number))

    def small_bytes(self) -> int:
        return self.small

    def now(self) -> float:
        return self.time


def address_of(mapping: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))


def mapped(blocks: int, flags: int = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) -> mmap.mmap:
    """Room for so many whole blocks, wherever it is; nothing of it is touched."""
    return mmap.mmap(-1, (blocks + 1) * BLOCK - PAGE, flags=flags)


def touch(mapping: mmap.mmap, step: int = PAGE, start: int = 0, end: int | None = None) -> None:
    for at in range(start, len(mapping) if end is None else end, step):
        mapping[at] = at // PAGE % 251


def resident(mapping: mmap.mmap) -> int:
    """Bytes of it that are there. Not from smaps: the kernel makes one area of neighbours."""
    kinds = Memory().entries(address_of(mapping), len(mapping))[7::8]
    return PAGE * sum(kind >> 7 for kind in kinds)


def huge_bytes() -> int:
    """Of this process, in huge pages."""
    with open("/proc/self/smaps_rollup") as source:
        return next(int(line.split()[1]) * 1024 for line in source if line.startswith("AnonHugePages:"))


@pytest.fixture
def offered():
    """A kernel that puts memory into huge pages when it is asked to."""
    mapping = mapped(2)
    touch(mapping)
    if not Memory().is_offered():
        pytest.skip("NOT TESTED: huge pages are turned off here, /sys/kernel/mm/transparent_hugepage/enabled")
    start = -(-address_of(mapping) // BLOCK) * BLOCK
    try:
        Memory().collapse(start, BLOCK)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EBUSY):
            pytest.skip(f"NOT TESTED: this kernel does not put memory into huge pages: {error}")


# --- real memory


def test_memory_that_is_all_there_goes_into_huge_pages_and_stays_what_it_was(offered):
    mapping = mapped(8)
    touch(mapping)
    before = mapping[:]
    size, huge = resident(mapping), huge_bytes()

    done = gather(MANY, Areas(mapping))

    assert done.size == 8 * BLOCK
    assert huge_bytes() >= huge + 7 * BLOCK  # of one, a page may be in use for a moment
    assert resident(mapping) == size
    assert mapping[:] == before


def test_memory_with_holes_is_left_alone(offered):
    mapping = mapped(8)
    touch(mapping, 2 * PAGE)
    size = resident(mapping)

    done = gather(MANY, Areas(mapping))

    assert done == Gathered(0, done.seconds)
    assert resident(mapping) == size == (len(mapping) + PAGE) // 2


def test_of_an_area_only_the_blocks_that_are_there_go_into_huge_pages(offered):
    mapping = mapped(8)
    start = -address_of(mapping) % BLOCK
    touch(mapping, PAGE, start + 2 * BLOCK, start + 5 * BLOCK)

    done = gather(MANY, Areas(mapping))

    assert done.size == 3 * BLOCK
    assert resident(mapping) == 3 * BLOCK


def test_memory_that_a_child_shares_is_left_alone(offered):
    mapping = mapped(4)
    touch(mapping)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)

    shared = gather(MANY, Areas(mapping))

    os.close(writer)
    os.waitpid(child, 0)
    os.close(reader)
    assert shared.size == 0
    assert gather(MANY, Areas(mapping)).size == 4 * BLOCK


def test_memory_of_files_and_of_several_processes_is_no_candidate(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(2 * BLOCK))
    with path.open("r+b") as file:
        of_a_file = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE)
        shared = mapped(1, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        private = mapped(1)

        areas = Memory().areas()

    assert [any(start <= address_of(each) < end for start, end in areas) for each in (of_a_file, shared, private)] == [
        False,
        False,
        True,
    ]


# --- which blocks, and for how long


@pytest.mark.parametrize(("missing", "is_taken"), [(0, True), (24, True), (25, False), (512, False)])
def test_a_block_is_taken_if_no_more_than_five_percent_of_it_would_be_new(missing, is_taken):
    memory = Told(missing=missing)

    done = gather(MANY, memory)

    assert memory.asked == ([(BLOCK, BLOCK)] if is_taken else [])
    assert done.size == BLOCK * is_taken


@pytest.mark.parametrize("entry", [NOT_THERE, SHARED, OF_A_FILE, IN_SWAP])
def test_pages_that_are_not_the_own_ones_count_as_missing(entry):
    assert list(hugepages._full(0, entry * 512)) == []
    assert list(hugepages._full(0, OWN * 512 + entry * 512 + OWN * 1024)) == [(0, BLOCK), (2 * BLOCK, 2 * BLOCK)]


def test_nothing_is_asked_of_a_part_of_a_block():
    assert list(hugepages._steps([(BLOCK - PAGE, 2 * BLOCK + PAGE)])) == [(BLOCK, BLOCK)]
    assert list(hugepages._steps([(BLOCK + PAGE, 2 * BLOCK + PAGE)])) == []


def test_large_areas_come_first_and_in_steps():
    areas = [(0, BLOCK), (10 * BLOCK, 10 * BLOCK + STEP + BLOCK)]

    assert list(hugepages._steps(areas)) == [(10 * BLOCK, STEP), (10 * BLOCK + STEP, BLOCK), (0, BLOCK)]


def test_it_ends_as_soon_as_it_does_not_pay():
    memory = Told(blocks=10 * STEP // BLOCK)
    memory.step_seconds = 1.0

    few = gather(20, memory)

    assert few.size == STEP
    memory = Told(blocks=10 * STEP // BLOCK)
    memory.step_seconds = 1.0
    assert gather(2000, memory).size == 10 * STEP


def test_blocks_that_are_left_alone_do_not_end_it():
    class Half(Told):
        def entries(self, start: int, size: int) -> bytes:
            self.time += 0.01
            return NOT_THERE * (size // PAGE) if start == BLOCK else super().entries(start, size)

    assert gather(20, Half(blocks=2 * STEP // BLOCK)).size == STEP


# --- what the kernel says


def test_a_page_that_is_in_use_for_a_moment_is_no_reason_to_stop():
    memory = Told(blocks=3 * STEP // BLOCK)
    memory.errors = [errno.EAGAIN, errno.EBUSY]

    assert gather(MANY, memory)[::2] == (3 * STEP, None)


def test_an_area_that_the_kernel_excepts_does_not_keep_others_from_huge_pages():
    memory = Told(blocks=3 * STEP // BLOCK)
    memory.errors = [errno.EINVAL]

    assert gather(MANY, memory)[::2] == (2 * STEP, None)


def test_a_kernel_without_is_told_of():
    memory = Told()
    memory.errors = [errno.EINVAL]

    headline, mend = gather(100, memory).remark

    assert headline == (
        "8.0 GB were loaded, and the kernel puts it into no huge pages (MADV_COLLAPSE): 160 ms more for each job"
    )
    assert "Linux 6.1" in mend


def test_huge_pages_that_are_turned_off_are_told_of_and_respected(monkeypatch, tmp_path):
    monkeypatch.setattr(hugepages, "ENABLED", str(tmp_path / "enabled"))
    (tmp_path / "enabled").write_text("always madvise [never]\n")
    memory = Told()
    memory.is_offered = Memory.is_offered.__get__(memory)

    done = gather(100, memory)

    assert memory.asked == []
    assert done.remark == (
        "8.0 GB were loaded, and the system offers no huge pages: 160 ms more for each job",
        f"As root: echo madvise > {tmp_path}/enabled",
    )
    for word in ("[always] madvise never", "always [madvise] never"):
        (tmp_path / "enabled").write_text(word + "\n")
        assert gather(100, memory).size == BLOCK


def test_a_kernel_that_knows_nothing_of_huge_pages_offers_none(monkeypatch, tmp_path):
    monkeypatch.setattr(hugepages, "ENABLED", str(tmp_path / "enabled"))

    assert not Memory().is_offered()


def test_no_memory_in_pieces_that_large_is_told_of_and_ends_it():
    memory = Told(blocks=3 * STEP // BLOCK)
    memory.errors = [0, errno.ENOMEM]

    done = gather(100, memory)

    assert done.size == STEP
    assert len(memory.asked) == 2
    assert "no memory is free in pieces of 2 MB" in done.remark[0]


def test_a_proc_that_can_not_be_read_is_told_of():
    class Closed(Told):
        def entries(self, start: int, size: int) -> bytes:
            raise PermissionError(errno.EPERM, "not permitted")

    done = gather(100, Closed())

    assert done.size == 0
    assert "[Errno 1] not permitted" in done.remark[0]


def test_what_costs_a_run_little_is_not_told():
    memory = Told(small=256 << 20)
    memory.errors = [errno.EINVAL]

    assert gather(100, memory).remark is None


# --- whole runs

LOAD = """
from pathlib import Path
from pipegraph.slaves import hugepages
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))

def memory(pid, name):
    with open(f"/proc/{pid}/smaps_rollup") as source:
        return next(int(line.split()[1]) for line in source if line.startswith(name + ":")) >> 10

def note(*what):
    with open("notes", "a") as out:
        print(*what, file=out)

held = {}
def load(name="data", items=350_000):
    def f():
        held[name] = [(str(i), {"a": float(i)}, i + 1000) for i in range(items)]
        note("loaded", memory(os.getpid(), "Anonymous"))
    return f

def job(path):
    is_whole = all(held["data"][i] == (str(i), {"a": float(i)}, i + 1000) for i in range(0, 350_000, 1000))
    note("parent", memory(os.getppid(), "Anonymous"), memory(os.getppid(), "AnonHugePages"), is_whole)
    path.write_text("made")
"""


def test_jobs_are_forked_from_a_slave_in_huge_pages_that_has_grown_by_less_than_five_percent(script, offered):
    script.run(
        LOAD
        + """
hugepages.SECONDS_A_BYTE *= 1000  # on a slow machine, too
loaded = ppg.DataLoadingJob("data", load())
for i in range(12):
    ppg.FileGeneratingJob(Path(f"out/{i}"), job).depends_on(loaded)
ppg.run_pipegraph()
"""
    )

    (_, loaded), *jobs = [line.split() for line in script.lines("notes")]
    assert len(jobs) == 12
    assert int(loaded) > 100
    for _, size, huge, is_whole in jobs:
        assert int(huge) > 0.5 * int(loaded)  # lists that grew leave areas of less than two blocks between them
        assert int(size) < 1.05 * int(loaded) + 1
        assert is_whole == "True"


def test_what_a_second_job_loads_goes_into_huge_pages_too(script, offered):
    script.run(
        LOAD
        + """
hugepages.SECONDS_A_BYTE *= 1000  # on a slow machine, too
loaded = ppg.DataLoadingJob("data", load())
more = ppg.DataLoadingJob("more", load("more")).depends_on(loaded)
for i in range(12):
    ppg.FileGeneratingJob(Path(f"out/{i}"), job).depends_on(loaded, more)
ppg.run_pipegraph()
"""
    )

    (_, first), (_, second), *jobs = [line.split() for line in script.lines("notes")]
    assert int(second) > 1.8 * int(first)
    for _, size, huge, is_whole in jobs:
        assert int(huge) > 0.5 * int(second)
        assert int(size) < 1.05 * int(second) + 1
        assert is_whole == "True"


ASKED = """
def gather(*given):
    note("asked", *given)
    return hugepages.Gathered()
hugepages.gather = gather
"""


@pytest.mark.parametrize(("items", "jobs", "asked"), [(350_000, 9, []), (10_000, 10, []), (350_000, 10, ["10"])])
def test_it_is_tried_where_much_was_loaded_and_many_jobs_are_to_come(script, items, jobs, asked):
    script.run(
        LOAD
        + ASKED
        + f"""
loaded = ppg.DataLoadingJob("data", load(items={items}))
for i in range({jobs}):
    ppg.FileGeneratingJob(Path(f"out/{{i}}"), lambda path: path.write_text("made")).depends_on(loaded)
ppg.run_pipegraph()
"""
    )

    assert [line[6:] for line in script.lines("notes") if line.startswith("asked")] == asked


def test_jobs_that_are_up_to_date_are_not_to_come(script):
    text = (
        LOAD
        + ASKED
        + """
for i in range(20):
    ppg.FileGeneratingJob(Path(f"early/{i}"), lambda path: path.write_text("made"))
loaded = ppg.DataLoadingJob("data", load())
for i in range(12):
    ppg.FileGeneratingJob(Path(f"out/{i}"), lambda path: path.write_text("made")).depends_on(loaded)
ppg.run_pipegraph()
"""
    )
    script.run(text)
    for i in range(11):
        (script.folder / f"out/{i}").unlink()
    (script.folder / "notes").unlink()

    script.run()

    assert [line for line in script.lines("notes") if line.startswith("asked")] == ["asked 11"]


def test_it_is_told_once_in_a_run_that_it_can_not_be(script):
    stderr = script.run(
        LOAD
        + """
Path("enabled").write_text("always madvise [never]")
hugepages.ENABLED = os.path.abspath("enabled")
hugepages.TOLD_FROM_SECONDS = 0
loaded = ppg.DataLoadingJob("data", load())
more = ppg.DataLoadingJob("more", load("more")).depends_on(loaded)
for i in range(12):
    ppg.FileGeneratingJob(Path(f"out/{i}"), job).depends_on(loaded, more)
ppg.run_pipegraph()
"""
    )

    assert stderr.count("and the system offers no huge pages: ") == 1
    assert f"As root: echo madvise > {script.folder}/enabled" in stderr
    assert {line.split()[2] for line in script.lines("notes") if line.startswith("parent")} == {"0"}


def test_what_is_loaded_where_other_data_was_deleted_is_counted_from_there(script):
    script.run(
        LOAD
        + ASKED
        + """
class Holder:
    pass
def load():
    return [(str(i), {"a": float(i)}, i + 1000) for i in range(350_000)]
first = ppg.AttributeLoadingJob("first", Holder, "first", load)
early = [ppg.FileGeneratingJob(f"early/{i}", lambda path: path.write_text("made")).depends_on(first) for i in range(4)]
second = ppg.AttributeLoadingJob("second", Holder, "second", load).depends_on(early)
for i in range(12):
    ppg.FileGeneratingJob(f"out/{i}", lambda path: path.write_text("made")).depends_on(second)
ppg.run_pipegraph()
"""
    )

    assert script.lines("notes") == ["asked 17", "asked 12"]


def test_a_job_that_loaded_is_not_failed_by_what_may_happen_then(script):
    script.run(
        LOAD
        + """
def gather(followers):
    raise RuntimeError("by accident")
hugepages.gather = gather
loaded = ppg.DataLoadingJob("data", load())
for i in range(12):
    ppg.FileGeneratingJob(Path(f"out/{i}"), job).depends_on(loaded)
ppg.run_pipegraph()
"""
    )

    assert len(list((script.folder / "out").iterdir())) == 12
