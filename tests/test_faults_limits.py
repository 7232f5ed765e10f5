"""Whole runs that run out of descriptors, processes or memory: a clear word, nothing lost, and the next run goes on."""

import re
from pathlib import Path

import pytest
from machine import control_group, preload
from scripts import Script, wait_until

HERE = """
import resource
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem({cores}))
def note(name):
    with open('ran', 'a') as out:
        out.write(f'{{name}}\\n')
class Store: pass
store = Store()
"""

FEW_DESCRIPTORS = HERE.format(cores=2) + (
    """
first = ppg.FileInvariant('input.txt')
def make(output):
    note(output)
    output.write_text('x')
load = ppg.AttributeLoadingJob('load', store, 'value', lambda: 5)
for i in range(3):
    ppg.FileGeneratingJob(f'old/{i}', make).depends_on(first)
if os.path.exists('free'):
    for i in range(3):
        ppg.FileGeneratingJob(f'loaded/{i}', make).depends_on(load, first)
    def generate():
        for i in range(3):
            ppg.FileGeneratingJob(f'grown/{i}', make)
    ppg.JobGeneratingJob('generate', generate)
    # The last one is that of the folder, which is closed by now.
    limit = len(os.listdir('/proc/self/fd')) - 1 + int(open('free').read())
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
ppg.run_pipegraph()
"""
)


def test_however_few_descriptors_are_left_nothing_is_lost_and_the_reason_is_said(script: Script) -> None:
    made = [f"old/{i}" for i in range(3)]
    (script.folder / "input.txt").write_text("input")
    script.run(FEW_DESCRIPTORS)
    all_is_well = []
    seen: set[str] = set()

    for free in range(24):
        (script.folder / "free").write_text(str(free))
        # As new: all of these must be read again.
        for name in ["input.txt", *made]:
            (script.folder / name).touch()
        stderr = script.run(code=None)
        all_is_well.append(script.begun[-1].returncode == 0)
        assert all_is_well[-1] or "Too many open files" in stderr, stderr
        assert "During handling of the above exception" not in stderr
        errors = set(re.findall(r"^pipegraph\.errors\.(\w+)", stderr, re.MULTILINE))
        assert "ulimit -n" in stderr or not errors & {"CommunicationFailure", "StatusError"}, stderr
        seen |= errors
        assert len(script.lines("ran")) == len(set(script.lines("ran"))), f"something was made twice with {free} free"

    assert seen == {"CommunicationFailure", "StatusError", "RuntimeError"}
    assert not all_is_well[0]
    assert all_is_well[-1]
    assert all_is_well == sorted(all_is_well)
    assert sorted(script.lines("ran")) == sorted(
        [*made, *(f"{where}/{i}" for where in ("loaded", "grown") for i in range(3))]
    )


FULL_SLAVE = HERE.format(cores=60) + (
    """
LIMIT = 0
def first(output):
    # All that the slave may open is taken by jobs that run.
    while len(os.listdir(f'/proc/{os.getppid()}/fd')) < LIMIT:
        time.sleep(0.01)
    print('x' * PRINTED)
    note(output)
    output.write_text('x')
def make(output):
    note(output)
    while not os.path.exists('go'):
        time.sleep(0.01)
    output.write_text('x')
one = ppg.FileGeneratingJob('first', first)
for i in range(40):
    ppg.FileGeneratingJob(f'o/{i}', make)
load = ppg.AttributeLoadingJob('load', store, 'value', lambda: 5).depends_on(one)
ppg.FileGeneratingJob('end', lambda output: output.write_text(f'{store.value}')).depends_on(load)
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
ppg.run_pipegraph()
"""
)


@pytest.mark.parametrize("spare", [0, 1])
@pytest.mark.parametrize("printed", [1, 300_000])
def test_a_slave_without_descriptors_fails_jobs_by_name_and_lives(script: Script, spare: int, printed: int) -> None:
    limit = 60 + spare
    text = FULL_SLAVE.replace("(60, 60)", f"({limit}, {limit})").replace("LIMIT = 0", f"LIMIT = {limit - 1}")
    text = text.replace("PRINTED", str(printed))
    log = script.folder / "logs" / "ppg_run.txt"
    script.write(text)
    process = script.start()

    wait_until(lambda: log.exists() and bool(re.search("(failed|made) +load", log.read_text())))
    (script.folder / "go").touch()

    assert process.wait(30) == 1
    script.assert_no_process_left()
    assert "RuntimeError" in script.stderr
    assert "slave died" not in script.stderr
    assert "its process could not be started: Too many open files" in script.errors
    assert "ulimit -n" in script.errors
    made = script.lines("ran")
    assert "first" in made
    assert 0 < len(made) < 41

    script.run(text.replace(f"({limit}, {limit})", "(200, 200)"))
    assert sorted(script.lines("ran")) == sorted(["first", *(f"o/{i}" for i in range(40))])
    assert script.lines("end") == ["5"]


ONE_DESCRIPTOR = """
import errno, resource
from pipegraph.slaves import capture, messages
reader, writer = messages.pair()
limit = len(os.listdir('/proc/self/fd'))
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
def refused(what):
    try:
        what()
    except OSError as error:
        return error.errno == errno.EMFILE
def send():
    messages.send(writer, ('x' * 200_000,))
"""


def test_of_two_files_that_need_two_descriptors_none_stays_open(script: Script) -> None:
    script.run(ONE_DESCRIPTOR + "assert refused(lambda: capture.Slot(('.',)))\nos.close(os.dup(0))\n")


def test_a_message_whose_descriptor_finds_no_room_is_said_to_be_lost(script: Script) -> None:
    script.run(ONE_DESCRIPTOR + "send()\nos.dup(0)\nassert refused(lambda: messages.receive(reader))\n")


PROCESSES = HERE.format(cores=8) + (
    """
open('GROUP', 'w').write(str(os.getpid()))
def make(output):
    note(output)
    # Until all are told of for which there was no room: else a later one might find that of one that has ended.
    while sum(len(files) for folder, _, files in os.walk('logs') if folder.endswith('failed')) < 3:
        time.sleep(0.01)
    output.write_text('x')
for i in range(6):
    ppg.FileGeneratingJob(f'o/{i}', make)
ppg.run_pipegraph()
"""
)


def test_a_job_for_which_there_is_no_process_fails_by_name_and_the_others_end_well(script: Script) -> None:
    with control_group("pids", max=5) as group:  # the script, its slave, and three
        stderr = script.run(PROCESSES.replace("GROUP", str(group)), 1)
        made = script.lines("ran")

    assert len(made) == 3
    assert "3 jobs failed" in stderr
    for name in {f"o/{i}" for i in range(6)} - set(made):
        assert f"job: {name} (script.py:20): OSError: its process could not be started: Resource temporarily" in stderr
    assert "pids.max" in script.errors

    script.run(PROCESSES.replace("GROUP", "/dev/null"))
    assert sorted(script.lines("ran")) == [f"o/{i}" for i in range(6)]


def test_a_first_slave_for_which_there_is_no_process_is_an_error_that_says_so(script: Script) -> None:
    with control_group("pids", max=1) as group:
        stderr = script.run(PROCESSES.replace("GROUP", str(group)), 1)

    assert "script.py" in stderr
    assert "a compute slave could not be started" in stderr
    assert "Resource temporarily unavailable" in stderr
    assert "pids.max" in stderr
    assert script.lines("ran") == []
    assert list(Path("/tmp").glob(f"pipegraph-{script.begun[-1].pid}-*")) == []


def test_a_slave_that_dies_and_can_not_be_replaced_ends_the_run_with_a_clear_error(script: Script) -> None:
    text = (
        PROCESSES.replace("range(6)", "range(2)")
        .replace("note(output)", "note(output)\n    if str(output) == 'o/1':\n        end_slave()")
        .replace(
            "def make",
            "def end_slave():\n"
            "    while len(open('ran').readlines()) < 2:\n"
            "        time.sleep(0.01)\n"
            "    open(os.path.dirname('GROUP') + '/pids.max', 'w').write('1')\n"
            "    os.kill(os.getppid(), signal.SIGKILL)\n"
            "def make",
        )
    )
    with control_group("pids", max=5) as group:
        stderr = script.run(text.replace("GROUP", str(group)), 1)

    assert "a compute slave could not be started" in stderr
    assert "pids.max" in stderr
    assert sorted(script.lines("ran")) == ["o/0", "o/1"]


LITTLE_MEMORY = HERE.format(cores=2) + (
    """
def make(output):
    note(output)
    output.write_text('x')
def large(output):
    note(output)
    output.write_text(str(len(bytearray(int(open('bytes').read())))))
ppg.FileGeneratingJob('before', make)
ppg.FileGeneratingJob('large', large)
load = ppg.AttributeLoadingJob('load', store, 'value', lambda: bytearray(int(open('bytes').read())))
ppg.FileGeneratingJob('after', make).depends_on(load)
ppg.FileGeneratingJob('beside', make)
is_limited = os.path.exists('more')
if is_limited:
    pages = int(open('/proc/self/statm').read().split()[0])
    limit = pages * resource.getpagesize() + int(open('more').read())
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
ppg.run_pipegraph()
"""
)


def test_a_job_or_load_that_gets_no_memory_fails_by_name_and_the_others_end_well(script: Script) -> None:
    (script.folder / "more").write_text(str(256 << 20))
    (script.folder / "bytes").write_text(str(1 << 30))

    stderr = script.run(LITTLE_MEMORY, 1)
    assert "2 jobs failed, 1 blocked by them" in stderr
    assert "job: large (script.py:19): MemoryError" in stderr
    assert "job: load (script.py:20): MemoryError" in stderr
    assert sorted(script.lines("ran")) == ["before", "beside", "large"]
    assert not (script.folder / "large").exists()

    (script.folder / "more").unlink()
    (script.folder / "bytes").write_text("100")
    script.run()
    assert sorted(script.lines("ran")) == ["after", "before", "beside", "large", "large"]


@pytest.mark.parametrize("more_megabytes", [0, 2, 3, 4])
def test_however_little_memory_a_run_may_have_it_ends_and_the_next_goes_on(script: Script, more_megabytes: int) -> None:
    (script.folder / "more").write_text(str(more_megabytes << 20))
    (script.folder / "bytes").write_text(str(1 << 30))

    stderr = script.run(LITTLE_MEMORY, 1)
    assert "emory" in stderr
    assert not (script.folder / "large").exists()

    made = [name for name in ("before", "beside") if (script.folder / name).exists()]
    (script.folder / "more").unlink()
    (script.folder / "bytes").write_text("100")
    script.run()
    assert {"after", "before", "beside", "large", "load"} - set(made) == set(script.started)


OUT_OF_MEMORY = HERE.format(cores=2) + (
    """
open('GROUP', 'w').write(str(os.getpid()))
def make(output):
    note(output)
    output.write_text('x')
def large(output):
    note(output)
    data = bytearray(BYTES)
    data[::4096] = b'x' * len(data[::4096])
    output.write_text('large')
    return data
ppg.FileGeneratingJob('before', make)
ppg.FileGeneratingJob('large', large)
from pathlib import Path
load = ppg.AttributeLoadingJob('load', store, 'value', lambda: large(Path('loaded')))
ppg.FileGeneratingJob('after', make).depends_on(load)
ppg.FileGeneratingJob('beside', make)
ppg.run_pipegraph()
"""
)


def test_a_job_that_the_kernel_kills_for_memory_is_named_and_the_others_end_well(script: Script) -> None:
    with control_group("memory", max=200 << 20) as group:
        stderr = script.run(OUT_OF_MEMORY.replace("GROUP", str(group)).replace("BYTES", "400 << 20"), 1)

    assert "2 jobs failed, 1 blocked by them" in stderr
    for place in ("large (script.py:23)", "load (script.py:25)"):
        failed = f"job: {place}: JobDiedException: killed by the kernel, since memory ran out, also when it ran alone"
        assert failed in stderr
    assert script.errors.count("Have it need less, or run it where there is more.") == 2
    assert not (script.folder / "large").exists()
    assert script.lines("before") == script.lines("beside") == ["x"]

    script.run(OUT_OF_MEMORY.replace("GROUP", "/dev/null").replace("BYTES", "400"))
    assert sorted(set(script.started)) == ["after", "large", "load"]


NO_NETWORK = """
#include <sys/socket.h>
int socket(int domain, int kind, int protocol) {
    static int (*real)(int, int, int);
    if (!real) real = dlsym(RTLD_NEXT, "socket");
    if (domain != AF_INET) return real(domain, kind, protocol);
    errno = EAFNOSUPPORT;
    return -1;
}
"""


def test_a_machine_without_a_network_runs_and_logs_all_the_same(script: Script) -> None:
    preload(script, NO_NETWORK)

    stderr = script.run(
        """
        import socket
        try:
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            raise AssertionError('there is a network')
        except OSError:
            pass
        ppg.new_pipegraph()
        ppg.FileGeneratingJob('made', lambda of: of.write_text('x'))
        ppg.run_pipegraph()
        """
    )

    assert "1 made" in stderr
    assert "warning" not in stderr
    assert script.started == ["made"]
