"""Whole runs whose status file was cut or flipped, or lies where no lock can be had."""

import errno
import os
import random
import re
from collections.abc import Iterable

import pytest
from machine import preload
from scripts import Script

GRAPH = """
from pathlib import Path
def run():
    ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True)
    def make(output):
        with open('ran', 'a') as out:
            out.write(f'{output}\\n')
        output.write_text(f'{output}, and ' + open('input.txt').read())
    for i in range(12):
        first = ppg.FileGeneratingJob(f'first/{i}', make)
        first.depends_on_file('input.txt')
        first.depends_on_params(i)
        ppg.FileGeneratingJob(f'then/{i}', make).depends_on(first)
    ppg.run_pipegraph()
"""

EACH_DAMAGED = (
    GRAPH
    + """
outputs = lambda: {path: path.read_text() for path in [*Path('first').iterdir(), *Path('then').iterdir()]}
run()
right = outputs()
assert len(right) == 24
for path in sorted(Path('damaged').iterdir()):
    Path('.pipegraph_status').write_bytes(path.read_bytes())
    run()
    assert outputs() == right, path
    if os.path.exists('ran'):
        os.rename('ran', f'ran {path.name}')
run()
assert not os.path.exists('ran')
"""
)
JOBS = sorted(f"{folder}/{i}" for folder in ("first", "then") for i in range(12))


def damaged(held: bytes) -> Iterable[bytes]:
    """A status file, damaged in all the ways."""
    for length in range(0, len(held), 512):
        yield held[:length]
    chance = random.Random(20)
    for flips in (1,) * 15 + (30,) * 5:
        flipped = bytearray(held)
        for _ in range(flips):
            flipped[chance.randrange(len(held))] ^= 1 << chance.randrange(8)
        yield bytes(flipped)
    for _ in range(5):
        begin = chance.randrange(len(held))
        yield held[:begin] + bytes(512) + held[begin + 512 :]


def test_a_status_file_that_was_cut_or_flipped_costs_no_job_but_those_whose_records_it_lost(script: Script) -> None:
    (script.folder / "input.txt").write_text("input")
    script.run(GRAPH + "run()\n")
    held = (script.folder / ".pipegraph_status").read_bytes()
    variants = list(damaged(held))
    (script.folder / "damaged").mkdir()
    for number, content in enumerate(variants):
        (script.folder / "damaged" / f"{number:03}").write_bytes(content)
    (script.folder / "ran").unlink()

    script.run(EACH_DAMAGED)

    assert len(held) > 10 * 512
    for number, content in enumerate(variants):
        ran = script.lines(f"ran {number:03}")
        assert len(ran) == len(set(ran))
        for job in JOBS:
            lines = [line for line in held.splitlines(keepends=True) if f"\t{job}\t".encode() in line]
            made = next(line for line in lines if b"\tM\t" in line)
            if made.rstrip() not in content:
                assert job in ran, f"{number}: the record of {job} is lost"
            elif b"\n" + made in content:
                assert job not in ran, f"{number}: the record of {job} is there"


# --- locks

LOCKS = """
static int refusal(void) {
    return atoi(getenv("TEST_LOCK_ERROR"));
}
int flock(int file, int operation) {
    if (operation == LOCK_UN) return 0;
    errno = refusal();
    return -1;
}
int fcntl64(int file, int command, ...) {
    static int (*real)(int, int, ...);
    if (!real) real = dlsym(RTLD_NEXT, "fcntl64");
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (command != F_SETLK && command != F_SETLKW) return real(file, command, argument);
    errno = refusal();
    return -1;
}
int fcntl(int file, int command, ...) __attribute__((alias("fcntl64")));
"""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_where_no_file_can_be_locked_the_user_is_told_once_and_the_run_goes_on(script: Script, number: int) -> None:
    preload(script, LOCKS)
    script.environment["TEST_LOCK_ERROR"] = str(number)
    (script.folder / "input.txt").write_text("input")

    stderr = script.run(GRAPH.replace(", quiet=True", "") + "run()\n")
    assert stderr.count("can't be locked on this file system") == 1
    assert f"({os.strerror(number)})" in stderr
    assert "See to it that only one run at a time uses this status file" in stderr
    assert sorted(script.lines("ran")) == JOBS
    assert "can't be locked" in script.run()
    assert len(script.lines("ran")) == 24


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES])
def test_a_lock_that_is_refused_since_another_has_it_ends_the_run_with_a_clear_error(
    script: Script, number: int
) -> None:
    preload(script, LOCKS)
    script.environment["TEST_LOCK_ERROR"] = str(number)
    (script.folder / "input.txt").write_text("input")

    stderr = script.run(GRAPH + "run()\n", 1)
    assert "StatusHeldError: another run holds the status file" in stderr
    assert re.search(r"lock file: +\S+\.pipegraph_status\.lock", stderr)
    assert script.lines("ran") == []
