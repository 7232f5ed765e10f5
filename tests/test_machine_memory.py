"""Memory, watched while a run runs: what is available, kills, pressure; in made-up trees and real control groups."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from machine import control_group
from test_capacity import GIB, UNLIMITED, Tree

from pipegraph.machine.capacity import machine_memory
from pipegraph.machine.memory import Memory

MEMINFO = "MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: {} kB\n"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A machine of 8 GiB, of which 4 are available."""
    monkeypatch.setattr("pipegraph.machine.memory.machine_memory", lambda: 8 * GIB)
    return Tree(tmp_path).put("proc/meminfo", MEMINFO.format(4 << 20))


@pytest.fixture
def watch(tree):
    made = []

    def begin():
        made.append(Memory(str(tree.proc)))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def version_2(tree, name, limit, usage, reclaimable=0):
    tree.put(f"v2/{name}/memory.max", limit).put(f"v2/{name}/memory.current", usage)
    tree.put(f"v2/{name}/memory.stat", f"anon 5\ninactive_anon 7\ninactive_file {reclaimable}\nactive_file 9")


def test_without_limits_the_machine_says_what_is_available(tree, watch):
    memory = watch()
    assert (memory.total, memory.available()) == (8 * GIB, 4 * GIB)

    tree.put("proc/meminfo", MEMINFO.format(1 << 20))
    assert memory.available() == GIB


def test_the_group_with_the_least_room_says_what_is_available(tree, watch):
    tree.mount("v2").belong("0::/a/b/c")
    version_2(tree, "a", 6 * GIB, 5 * GIB)
    version_2(tree, "a/b", 3 * GIB, GIB)
    version_2(tree, "a/b/c", "max", GIB)
    memory = watch()
    assert (memory.total, memory.available()) == (3 * GIB, GIB)

    tree.put("v2/a/b/memory.current", 3 * GIB - 5)
    assert memory.available() == 5
    tree.put("v2/a/b/memory.current", 4 * GIB)
    assert memory.available() == 0


def test_files_that_can_be_forgotten_are_no_use_of_memory(tree, watch):
    tree.mount("v2").belong("0::/a")
    version_2(tree, "a", 2 * GIB, 2 * GIB, GIB)

    assert watch().available() == GIB


def test_version_1_counts_what_groups_below_can_forget(tree, watch):
    tree.mount("memory", "cgroup", options="rw,memory").belong("4:memory:/a")
    tree.put("memory/memory.limit_in_bytes", UNLIMITED).put("memory/a/memory.limit_in_bytes", 2 * GIB)
    tree.put("memory/a/memory.usage_in_bytes", 2 * GIB)
    tree.put("memory/a/memory.stat", f"cache 1\ninactive_file 0\ntotal_inactive_file {GIB}")

    assert watch().available() == GIB


def test_what_makes_a_group_wait_counts_and_a_changed_limit_is_noticed(tree, watch):
    tree.mount("v2").belong("0::/a")
    version_2(tree, "a", 3 * GIB, GIB)
    tree.put("v2/a/memory.high", 2 * GIB)
    memory = watch()
    assert memory.available() == GIB

    tree.put("v2/a/memory.high", "max")
    assert memory.available() == 2 * GIB
    tree.put("v2/a/memory.max", "max")
    assert memory.available() == 4 * GIB


def test_an_old_kernel_is_asked_by_psutil(tree, watch, monkeypatch):
    tree.put("proc/meminfo", "MemTotal: 8388608 kB\nMemFree: 1 kB")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Told", (), {"available": 77}))

    assert watch().available() == 77


def test_kills_are_those_of_the_own_group_or_else_of_the_machine(tree, watch):
    tree.put("proc/vmstat", "nr_free_pages 5\noom_kill 70\nx 1")
    assert watch().kills() == 70

    tree.mount("v2").belong("0::/a/b")
    tree.put("v2/a/memory.events", "oom 9\noom_kill 8").put(
        "v2/a/b/memory.events", "oom 3\noom_kill 2\noom_group_kill 1"
    )
    memory = watch()
    assert memory.kills() == 2
    tree.put("v2/a/b/memory.events", "oom 3\noom_kill 12")
    assert memory.kills() == 12


def test_version_1_counts_kills_beside_its_switches(tree, watch):
    tree.mount("memory", "cgroup", options="rw,memory").belong("4:memory:/a")
    tree.put("memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3")

    assert watch().kills() == 3


def test_pressure_is_that_of_the_own_group_or_else_of_the_machine(tree, watch):
    assert watch().pressure() is None

    text = "some avg10={} avg60=0.00 avg300=0.00 total=5\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=2"
    tree.put("proc/pressure/memory", text.format("12.50"))
    assert watch().pressure() == 0.125
    tree.mount("v2").belong("0::/a").put("v2/a/memory.pressure", text.format("50.00"))
    assert watch().pressure() == 0.5


def test_once_closed_it_holds_no_file_and_knows_nothing(tree, watch):
    tree.mount("v2").belong("0::/a")
    version_2(tree, "a", 2 * GIB, GIB)
    before = os.listdir("/proc/self/fd")
    memory = watch()
    held = os.listdir("/proc/self/fd")
    memory.close_in_fork()
    memory.close()

    assert len(held) == len(before) + 4  # memory.max, memory.current, memory.stat; meminfo
    assert os.listdir("/proc/self/fd") == before
    assert (memory.available(), memory.kills(), memory.pressure()) == (0, 0, None)


def test_programs_inherit_no_file_of_it():
    memory = Memory()
    listed = subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, capture_output=True, text=True, check=True)
    memory.close()

    assert "meminfo" not in listed.stdout
    assert "cgroup" not in listed.stdout


# --- the real thing


def test_this_machine_is_as_psutil_sees_it():
    memory = Memory()
    available = memory.available()
    told = psutil.virtual_memory()
    pressure = memory.pressure()
    memory.close()

    assert memory.total <= machine_memory() == told.total
    assert 0 < available <= memory.total
    assert available < told.available + machine_memory() // 4  # others come and go meanwhile
    assert pressure is None or 0 <= pressure <= 1


def in_group(group, code):
    head = f"import os, json, sys\nopen({str(group)!r}, 'w').write(str(os.getpid()))\n"
    head += "from pipegraph.machine.memory import Memory\nmemory = Memory()\n"
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_a_process_takes_is_missing_in_its_group():
    with control_group("memory", max=400 << 20) as group:
        total, before, after = in_group(
            group,
            "before = memory.available()\ntaken = bytearray(os.urandom(1 << 20)) * 100\n"
            "print(json.dumps([memory.total, before, memory.available()]))",
        )

    assert total == 400 << 20
    assert before <= total
    assert 90 << 20 < before - after < 140 << 20


def test_files_that_were_read_are_not_missing_in_its_group(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * (100 << 20))
    os.sync()
    subprocess.run(["dd", f"if={tmp_path}/large", "iflag=nocache", "count=0", "status=none"], check=True)
    with control_group("memory", max=400 << 20) as group:
        before, after, cached = in_group(
            group,
            f"before = memory.available()\nwith open({str(tmp_path / 'large')!r}, 'rb') as file:\n"
            "    while file.read(1 << 20): pass\n"
            "text = os.pread(memory._groups[0].stat, 9999, 0).decode().split()\n"
            "print(json.dumps([before, memory.available(), int(text[text.index('inactive_file') + 1])]))",
        )
    if cached < 90 << 20:
        pytest.skip("the kernel kept no file in the group's memory: it is of a disk that is memory itself, or was kept")

    assert before - after < 30 << 20


def test_a_kill_for_memory_is_counted_and_another_kill_is_not():
    with control_group("memory", max=100 << 20) as group:
        ends = in_group(
            group,
            "import subprocess\n"
            "def end(code):\n"
            "    before = memory.kills()\n"
            "    code = subprocess.run([sys.executable, '-c', code], stderr=subprocess.DEVNULL).returncode\n"
            "    return [code, memory.kills() - before]\n"
            "print(json.dumps([end('import os; os.kill(os.getpid(), 9)'), end('x = bytearray(300 << 20)')]))",
        )

    assert ends == [[-signal.SIGKILL, 0], [-signal.SIGKILL, 1]]


def test_the_end_of_the_control_group_is_survived():
    code = (
        "above = json.loads(sys.argv[1])\n"
        "limited = memory.available()\n"
        "with open(above, 'w') as file: file.write(str(os.getpid()))\n"
        "print('left', flush=True)\n"
        "sys.stdin.read()\n"
        "print(json.dumps([limited, memory.available(), memory.kills()]))\n"
    )
    with control_group("memory", max=400 << 20) as group:
        head = f"import os, json, sys\nopen({str(group)!r}, 'w').write(str(os.getpid()))\n"
        head += "from pipegraph.machine.memory import Memory\nmemory = Memory()\n"
        child = subprocess.Popen(
            [sys.executable, "-c", head + code, json.dumps(str(group.parent.parent / "cgroup.procs"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout.readline() == "left\n"
    assert not group.parent.exists()
    told, _ = child.communicate("", timeout=60)
    limited, free, kills = json.loads(told)

    assert limited <= 400 << 20 < free
    assert kills == 0
