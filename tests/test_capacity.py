"""What a run may use of this machine: amounts, control groups, batch systems, restrictions, and how a run says it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from machine import control_group
from streams import began

import pipegraph as ppg
from pipegraph.errors import JobContractError
from pipegraph.machine.amounts import bytes_of, size_of
from pipegraph.machine.batch import Grant, granted_cores, granted_memory
from pipegraph.machine.capacity import Capacity, capacity, machine_cores, machine_memory
from pipegraph.machine.cgroups import core_quota, groups_of, memory_limit
from pipegraph.machine.local_system import LocalSystem
from pipegraph.watchers.wording import line_of

GIB = 1 << 30
UNLIMITED = 9223372036854771712


# --- amounts


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        (0, 0),
        (5, 5),
        (16e9, 16_000_000_000),
        ("12", 12),
        ("12 bytes", 12),
        ("1 byte", 1),
        ("7B", 7),
        ("16GB", 16 * 10**9),
        (" 16 gb ", 16 * 10**9),
        ("1.5 TB", 1_500_000_000_000),
        ("1.TB", 10**12),
        ("512MiB", 512 << 20),
        ("2 Gib", 2 << 30),
        ("3kB", 3000),
        ("64k", 64 << 10),
        ("200M", 200 << 20),
        ("16G", 16 << 30),
        ("1T", 1 << 40),
        ("0.1kB", 100),
        ("0.0001k", 0),
    ],
)
def test_an_amount_of_memory_may_be_given_as_people_write_it(given, amount):
    assert bytes_of(given) == amount


@pytest.mark.parametrize(
    "given",
    [
        *(
            "lots",
            "",
            " ",
            "GB",
            "-3GB",
            "1e400GB",
            "1e3",
            "1,5 GB",
            "5i",
            "5iB",
            "5 GBB",
            "0x10",
            "٣GB",
            "1 000",
            "5XB",
        ),
        *(float("nan"), float("inf"), 1.5, True, None, -1, [1], b"1GB", "9" * 5000, "99999999TB", 1 << 63),
    ],
)
def test_what_is_no_amount_is_named_beside_examples(given):
    with pytest.raises(ValueError, match="16GB") as raised:
        bytes_of(given)

    assert f"{given!r:.100} is no amount of memory" in str(raised.value)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (64 * 10**9, "64 GB"),
        (24 * GIB, "25.8 GB"),
        (10**16, "10000 TB"),
    ],
)
def test_amounts_are_shown_in_powers_of_a_thousand(amount, text):
    assert size_of(amount) == text


# --- control groups


class Tree:
    """A made-up /proc, and control groups mounted in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.proc = folder / "proc"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self/mountinfo").write_text("22 1 0:21 / /proc rw shared:13 - proc proc rw\n")
        self.belong()

    def belong(self, *lines):
        (self.proc / "self/cgroup").write_text("".join(f"{line}\n" for line in lines))
        return self

    def mount(self, name, kind="cgroup2", root="/", options="rw"):
        point = self.folder / name
        point.mkdir(exist_ok=True)
        with (self.proc / "self/mountinfo").open("a") as file:
            file.write(
                f"30 24 0:26 {root} {str(point).replace(' ', chr(92) + '040')} rw shared:9 - {kind} {kind} {options}\n"
            )
        return self

    def put(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
        return self

    @property
    def memory(self):
        return memory_limit(groups_of("memory", str(self.proc)), 1 << 62)

    @property
    def quota(self):
        return core_quota(groups_of("cpu", str(self.proc)))


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    return Tree(folder)


def test_the_smallest_limit_of_all_groups_above_counts(tree):
    tree.mount("v2").belong("0::/user/job/step")
    tree.put("v2/user/memory.max", 8 * GIB).put("v2/user/job/memory.max", 2 * GIB)
    tree.put("v2/user/job/step/memory.max", "max").put("v2/user/job/step/memory.high", "max")
    tree.put("v2/user/cpu.max", "150000 100000").put("v2/user/job/cpu.max", "max 100000")

    assert [group.name for group in groups_of("memory", str(tree.proc))] == [
        "/user/job/step",
        "/user/job",
        "/user",
        "/",
    ]
    assert tree.memory == (2 * GIB, "/user/job")
    assert tree.quota == (1.5, "/user")


def test_what_makes_a_group_wait_limits_it_as_what_kills(tree):
    tree.mount("v2").belong("0::/a").put("v2/a/memory.max", 2 * GIB).put("v2/a/memory.high", GIB)

    assert tree.memory == (GIB, "/a")


def test_version_1_has_a_hierarchy_for_each_controller(tree):
    tree.mount("cpu,cpuacct", "cgroup", options="rw,cpu,cpuacct").mount("memory", "cgroup", options="rw,memory")
    tree.belong("4:memory:/m", "3:cpu,cpuacct:/c", "1:name=systemd:/user.slice")
    tree.put("memory/m/memory.limit_in_bytes", GIB).put("memory/memory.limit_in_bytes", UNLIMITED)
    tree.put("cpu,cpuacct/c/cpu.cfs_quota_us", 250_000).put("cpu,cpuacct/c/cpu.cfs_period_us", 100_000)
    tree.put("cpu,cpuacct/cpu.cfs_quota_us", -1).put("cpu,cpuacct/cpu.cfs_period_us", 100_000)

    assert tree.memory == (GIB, "/m")
    assert tree.quota == (2.5, "/c")


def test_both_versions_side_by_side_both_count(tree):
    tree.mount("unified").mount("memory", "cgroup", options="rw,memory").belong("4:memory:/m", "0::/u")
    tree.put("memory/m/memory.limit_in_bytes", 2 * GIB).put("unified/u/cpu.max", "100000 100000")
    assert tree.memory == (2 * GIB, "/m")
    assert tree.quota == (1.0, "/u")

    tree.put("unified/u/memory.max", GIB)
    assert tree.memory == (GIB, "/u")


def test_version_1_tells_of_limits_above_what_a_container_sees(tree):
    tree.mount("memory", "cgroup", "/docker/1", "rw,memory").belong("4:memory:/docker/1")
    tree.put("memory/memory.limit_in_bytes", UNLIMITED).put(
        "memory/memory.stat", f"cache 1\nhierarchical_memory_limit {GIB}"
    )

    assert tree.memory == (GIB, "/docker/1")


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("/docker/1", "/docker/1"),  # without a namespace
        ("/docker/1", "/"),  # a mount from outside of the namespace
        ("/", "/"),  # with a namespace
        ("/../..", "/"),  # a mount from further up
        ("/", "/../other"),  # outside of the namespace
        ("/", "/gone"),
        ("/docker/1", "/docker/12"),
    ],
)
def test_in_a_container_the_top_that_is_mounted_counts(tree, root, path):
    tree.mount("v2", root=root).belong(f"0::{path}").put("v2/memory.max", GIB).put("v2/2/memory.max", 1)
    tree.put("memory.max", 1)  # outside of the mount

    assert tree.memory[0] == GIB


def test_of_two_mounts_the_one_from_further_up_counts(tree):
    tree.mount("below", root="/a").mount("above").mount("also below", root="/a").belong("0::/a/b")
    for name in ("below", "above/a", "also below"):
        tree.put(f"{name}/b/memory.max", 2 * GIB)
    tree.put("above/a/memory.max", GIB)

    assert tree.memory == (GIB, "/a")


def test_without_control_groups_nothing_limits(tree):
    assert (tree.memory, tree.quota) == (None, None)
    assert groups_of("memory", str(tree.folder / "nowhere")) == []


@pytest.mark.parametrize("text", ["", "max", "max 100000", "100000", "0 0", "x y"])
def test_a_quota_that_is_none_limits_nothing(tree, text):
    tree.mount("v2").belong("0::/").put("v2/cpu.max", text)

    assert tree.quota is None


# --- batch systems

SLURM = {"SLURM_JOB_ID": "7"}


@pytest.mark.parametrize(
    ("environ", "cores"),
    [
        ({**SLURM, "SLURM_CPUS_PER_TASK": "8"}, {"SLURM_CPUS_PER_TASK": 8}),
        ({"SLURM_JOBID": "7", "SLURM_CPUS_ON_NODE": "16"}, {"SLURM_CPUS_ON_NODE": 16}),
        ({**SLURM, "SLURM_JOB_CPUS_PER_NODE": "8(x2),4"}, {"SLURM_JOB_CPUS_PER_NODE": 8}),
        ({**SLURM, "SLURM_JOB_CPUS_PER_NODE": "8(x2),4", "SLURM_NODEID": "1"}, {"SLURM_JOB_CPUS_PER_NODE": 8}),
        ({**SLURM, "SLURM_JOB_CPUS_PER_NODE": "8(x2),4", "SLURM_NODEID": "2"}, {"SLURM_JOB_CPUS_PER_NODE": 4}),
        ({**SLURM, "SLURM_JOB_CPUS_PER_NODE": "8(x2),4", "SLURM_NODEID": "3"}, {}),
        ({**SLURM, "SLURM_JOB_CPUS_PER_NODE": "eight"}, {}),
        ({"SLURM_CPUS_PER_TASK": "8", "SLURM_CPUS_ON_NODE": "8", "SLURM_JOB_CPUS_PER_NODE": "8"}, {}),
        ({**SLURM, "SLURM_CPUS_PER_TASK": "0", "SLURM_CPUS_ON_NODE": "-3"}, {}),
        ({"PBS_JOBID": "1", "NCPUS": "4"}, {"NCPUS": 4}),
        ({"PBS_JOBID": "1", "PBS_NUM_PPN": "3"}, {"PBS_NUM_PPN": 3}),
        ({"NCPUS": "4", "PBS_NUM_PPN": "3"}, {}),
        ({"JOB_ID": "1", "NSLOTS": "6"}, {"NSLOTS": 6}),
        ({"JOB_ID": "1", "NSLOTS": "6", "NHOSTS": "4"}, {"NSLOTS": 1}),
        ({"JOB_ID": "1", "NSLOTS": "3", "NHOSTS": "4"}, {"NSLOTS": 1}),
        ({"JOB_ID": "1"}, {}),
        ({"NSLOTS": "6"}, {}),
        ({"LSB_JOBID": "1", "LSB_DJOB_NUMPROC": "6"}, {"LSB_DJOB_NUMPROC": 6}),
        (
            {"LSB_JOBID": "1", "LSB_DJOB_NUMPROC": "6", "LSB_MCPU_HOSTS": "a 4 b 2"},
            {"LSB_MCPU_HOSTS": 4, "LSB_DJOB_NUMPROC": 6},
        ),
        ({"LSB_JOBID": "1", "LSB_MAX_NUM_PROCESSORS": "6", "LSB_MCPU_HOSTS": "a"}, {}),
        ({"LSB_DJOB_NUMPROC": "6"}, {}),
        ({**SLURM, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}, {}),
    ],
)
def test_cores_are_those_that_a_batch_system_granted_on_this_machine(environ, cores):
    assert {grant.by: grant.amount for grant in granted_cores(environ)} == cores


@pytest.mark.parametrize(
    ("environ", "memory"),
    [
        ({**SLURM, "SLURM_MEM_PER_NODE": "4096"}, {"SLURM_MEM_PER_NODE": 4 * GIB}),
        ({**SLURM, "SLURM_MEM_PER_NODE": "0"}, {}),
        ({**SLURM, "SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "3"}, {"SLURM_MEM_PER_CPU": 3 * GIB}),
        ({**SLURM, "SLURM_MEM_PER_CPU": "1024", "SLURM_JOB_CPUS_PER_NODE": "2(x9)"}, {"SLURM_MEM_PER_CPU": 2 * GIB}),
        ({**SLURM, "SLURM_MEM_PER_CPU": "1024"}, {}),
        ({"SLURM_MEM_PER_NODE": "4096"}, {}),
    ],
)
def test_memory_is_that_which_a_batch_system_granted_on_this_machine(environ, memory):
    assert {grant.by: grant.amount for grant in granted_memory(environ)} == memory


def test_htcondor_describes_its_slot_in_a_file(tmp_path):
    file = tmp_path / ".machine.ad"
    file.write_text('Name = "slot1"\nTotalCpus = 64\nCpus = 8\nTotalMemory = 99\nMemory = 2048\n')
    environ = {"_CONDOR_MACHINE_AD": str(file)}

    assert granted_cores(environ) == [Grant(8, "HTCondor")]
    assert granted_memory(environ) == [Grant(2 * GIB, "HTCondor")]
    assert granted_cores({"_CONDOR_MACHINE_AD": str(tmp_path / "gone")}) == []


# --- the least of all


@pytest.fixture
def large(monkeypatch, tree):
    """A machine of 64 cores and 64 GB, on which nothing else is limited."""
    monkeypatch.setattr("pipegraph.machine.capacity.machine_cores", lambda: 64)
    monkeypatch.setattr("pipegraph.machine.capacity.machine_memory", lambda: 64 * 10**9)
    monkeypatch.setattr("pipegraph.machine.capacity.cores_of_this_process", lambda: 64)
    return lambda environ, *asked: capacity(environ, *asked, proc=str(tree.proc))


def test_what_nobody_restricts_is_all_there_is(large):
    found = large({})

    assert found == Capacity(64, "", 64 * 10**9, "")
    assert found.limits == ""


def test_the_least_counts_and_is_named(large, tree):
    tree.mount("v2").belong("0::/a").put("v2/a/cpu.max", "190000 100000").put("v2/a/memory.max", 5 * 10**9)
    slurm = {**SLURM, "SLURM_CPUS_PER_TASK": "8", "SLURM_MEM_PER_NODE": "1024"}

    assert large({})[:2] == (1, "of 64: quota of control group /a")
    assert large({})[2:] == (5 * 10**9, "of 64 GB: limit of control group /a")
    assert large(slurm)[2:] == (GIB, "of 64 GB: SLURM_MEM_PER_NODE")
    tree.put("v2/a/cpu.max", "max 100000")
    assert large(slurm).limits == "8 cores (of 64: SLURM_CPUS_PER_TASK), 1.1 GB (of 64 GB: SLURM_MEM_PER_NODE)"
    assert large({**slurm, "PIPEGRAPH_CORES": "8"}).cores_from == "of 64: PIPEGRAPH_CORES"
    assert large({**slurm, "PIPEGRAPH_CORES": "9"}).cores_from == "of 64: SLURM_CPUS_PER_TASK"


def test_half_a_core_is_one(large, tree):
    tree.mount("v2").belong("0::/a").put("v2/a/cpu.max", "50000 100000")

    assert large({}).cores == 1


def test_what_is_granted_or_limited_to_more_than_there_is_restricts_nothing(large, tree):
    tree.mount("v2").belong("0::/a").put("v2/a/cpu.max", "9900000 100000").put("v2/a/memory.max", 10**15)

    assert (
        large({**SLURM, "SLURM_CPUS_PER_TASK": "99", "PIPEGRAPH_CORES": "99", "PIPEGRAPH_MEMORY": "9TB"}).limits == ""
    )


@pytest.mark.parametrize(
    ("cores", "words"),
    [
        (3, "3 cores (of 64: the script), 64 GB"),
        (8, "8 cores (of 64: the script), 64 GB"),
        (9, "9 cores (the script; there are 8: SLURM_CPUS_PER_TASK), 64 GB"),
        (300, "300 cores (the script; there are 8: SLURM_CPUS_PER_TASK), 64 GB"),
    ],
)
def test_a_script_may_ask_for_less_and_for_more_than_there_is(large, cores, words):
    assert large({**SLURM, "SLURM_CPUS_PER_TASK": "8"}, Grant(cores, "the script")).limits == words


def test_memory_that_was_asked_for_counts_as_asked(large):
    assert large({}, None, Grant(10**9, "the script")).limits == "64 cores, 1 GB (of 64 GB: the script)"
    assert large({}, None, Grant(10**12, "the script")).limits == "64 cores, 1 TB (the script; there are 64 GB)"


def test_the_environment_restricts_what_a_script_asks_for(large):
    found = large({"PIPEGRAPH_CORES": "2", "PIPEGRAPH_MEMORY": "3GB"}, Grant(300, "x"), Grant(10**12, "x"))

    assert found.limits == "2 cores (of 64: PIPEGRAPH_CORES), 3 GB (of 64 GB: PIPEGRAPH_MEMORY)"


def test_a_restriction_counts_also_where_it_is_more_than_there_is_and_less_than_was_asked(large):
    found = large({**SLURM, "SLURM_CPUS_PER_TASK": "8", "PIPEGRAPH_CORES": "16"}, Grant(300, "the script"))

    assert found.limits == "16 cores (PIPEGRAPH_CORES; there are 8: SLURM_CPUS_PER_TASK), 64 GB"


BAD = [*(("PIPEGRAPH_CORES", each) for each in ("0", "-7", "1.5", "many", "1e3", "٣")), ("PIPEGRAPH_MEMORY", "lots")]


@pytest.mark.parametrize(("name", "value"), [*BAD, ("PIPEGRAPH_MEMORY", "16")])
def test_a_restriction_that_makes_no_sense_is_told_at_new_pipegraph(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    for system in (None, LocalSystem(2)):
        with pytest.raises(JobContractError) as raised:
            ppg.new_pipegraph(system)
        assert (name, repr(value)) in raised.value.facts
        assert "test_capacity.py" in dict(raised.value.facts)["where"]
        assert raised.value.mend


@pytest.mark.parametrize("cores", [0, -7, 1.5, True, "2", float("nan")])
def test_cores_that_make_no_sense_are_told_with_their_place(cores):
    with pytest.raises(JobContractError, match="cores") as raised:
        ppg.new_pipegraph(cores=cores)

    assert ("cores", repr(cores)) in raised.value.facts
    assert "test_capacity.py" in dict(raised.value.facts)["where"]


@pytest.mark.parametrize("memory", ["lots", "-3GB", -1, True, 16, "16"])
def test_memory_that_makes_no_sense_is_told_with_its_place(memory):
    with pytest.raises(JobContractError, match="memory") as raised:
        ppg.new_pipegraph(memory=memory)

    assert ("memory", repr(memory)) in raised.value.facts
    assert "test_capacity.py" in dict(raised.value.facts)["where"]


@pytest.mark.parametrize("given", [{"cores": 2}, {"memory": "1GB"}, {"cores": 2, "memory": "1GB"}])
def test_a_resource_coordinator_and_cores_or_memory_are_one_too_many(given):
    with pytest.raises(JobContractError, match=r"beside a resource coordinator[\s\S]*LocalSystem\(max_cores") as raised:
        ppg.new_pipegraph(LocalSystem(2), **given)

    assert raised.value.headline.startswith(" and ".join(given))


# --- LocalSystem


def test_a_local_system_is_what_there_is_when_it_is_asked(monkeypatch):
    system = LocalSystem()
    monkeypatch.delenv("PIPEGRAPH_CORES", raising=False)
    unrestricted = system.cores, capacity().cores
    monkeypatch.setenv("PIPEGRAPH_CORES", "1")
    monkeypatch.setenv("PIPEGRAPH_MEMORY", "1GB")

    assert unrestricted[0] == unrestricted[1]
    assert (system.cores, system.memory_bytes, system.cores_available) == (1, 10**9, 1)


def test_a_local_system_may_have_more_cores_and_memory_than_there_are(monkeypatch):
    monkeypatch.delenv("PIPEGRAPH_CORES", raising=False)
    system = LocalSystem(100_000, memory="9000TB")

    assert (system.cores, system.memory_bytes, system.max_cores_to_use) == (100_000, 9 * 10**15, 100_000)


def test_the_command_goes_before_the_environment_and_the_script(monkeypatch):
    monkeypatch.setenv("PIPEGRAPH_CORES", "2")
    system = LocalSystem(5)
    assert system.cores == 2

    system.cores_of_command = 3
    assert system.cores == 3


# --- the whole machine


def test_the_whole_machine_is_what_it_is_whatever_this_process_is_restricted_to():
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os, json; os.sched_setaffinity(0, {{{one}}})\n"
        "from pipegraph.machine.capacity import *\n"
        "print(json.dumps([machine_cores(), machine_memory(), *capacity({})]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHON_CPU_COUNT": "77"}, capture_output=True, check=True
    )
    cores, memory, may_use, cores_from, *_ = json.loads(done.stdout)

    assert cores == machine_cores() == len(_online())
    assert memory == machine_memory()
    assert may_use == 1
    assert cores_from == ("" if cores == 1 else f"of {cores}: CPU affinity")


def _online():
    found = []
    for part in Path("/sys/devices/system/cpu/online").read_text().strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def test_a_real_control_group_limits_the_process_in_it():
    code = "import json; from pipegraph.machine.capacity import *; print(json.dumps(capacity({})))"
    with control_group("memory", max=200 << 20) as group:
        enter = f"import os; open({str(group)!r}, 'w').write(str(os.getpid()))\n"
        done = subprocess.run([sys.executable, "-c", enter + code], capture_output=True, check=True, text=True)
    memory, memory_from = json.loads(done.stdout)[2:]

    assert memory == 200 << 20
    assert memory_from.endswith(f": limit of control group /{group.parent.name}")


# --- how a run says it


def test_the_first_line_of_a_run_says_what_there_is():
    short = began()._replace(memory_bytes=64 * 10**9)
    restricted = short._replace(limits="8 cores (of 64: SLURM_CPUS_PER_TASK), 64 GB")

    assert "/home/x/project, 2 cores, server, process" in line_of(began(), {})
    assert "/home/x/project, 2 cores, 64 GB, server, process" in line_of(short, {})
    assert "/home/x/project, 8 cores (of 64: SLURM_CPUS_PER_TASK), 64 GB, server, process" in line_of(restricted, {})


def test_a_run_takes_what_it_is_given_when_it_begins_and_says_so(script):
    script.run(
        """
        ppg.new_pipegraph(memory="1GB")
        job = ppg.FileGeneratingJob("out", lambda output: output.write_text("x"))
        os.environ["PIPEGRAPH_CORES"] = "1"
        os.environ["PIPEGRAPH_MEMORY"] = "500MB"
        ppg.run_pipegraph()
        """
    )
    line = next(line for line in (script.folder / "logs/ppg_run.txt").read_text().splitlines() if "run began" in line)

    assert " 1 core" in line
    assert f"500 MB (of {size_of(machine_memory())}: PIPEGRAPH_MEMORY)" in line


def test_more_cores_than_there_are_are_used_and_told(script):
    script.environment.pop("PIPEGRAPH_CORES", None)
    script.run(
        """
        ppg.new_pipegraph(cores=3000)
        ppg.FileGeneratingJob("out", lambda output: output.write_text("x")).use_cores(3000)
        ppg.run_pipegraph()
        """
    )

    assert "3000 cores (the script; there are " in (script.folder / "logs/ppg_run.txt").read_text()
