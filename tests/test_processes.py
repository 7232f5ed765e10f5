"""Every way in which a job can end, with real processes."""

from pathlib import Path

import pytest

WAYS = {
    "a ValueError": ("raise ValueError('no good')", "ValueError: no good"),
    "an exception that can't be pickled": (
        "class E(Exception):\n    def __reduce__(self): raise TypeError('x')\nraise E('hard')",
        "E: hard",
    ),
    "one that can't be unpickled": (
        "class E(Exception):\n    def __init__(self, a, b): super().__init__('two needed')\nraise E(1, 2)",
        "two needed",
    ),
    "one that can't be printed": (
        "class E(Exception):\n    def __str__(self): raise TypeError('x')\n    __repr__ = __str__\nraise E()",
        "its text can't be had",
    ),
    "sys.exit(0) without its file": ("sys.exit(0)", "did not make its files"),
    "sys.exit(3)": ("sys.exit(3)", "SystemExit: 3"),
    "os._exit(0)": ("open('bad', 'w').write('x'); os._exit(0)", "without a report"),
    "os._exit(7)": ("os._exit(7)", "exit status 7"),
    "a segmentation fault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "SIGKILL": ("os.kill(os.getpid(), 9)", "SIGKILL"),
    "SIGTERM": ("os.kill(os.getpid(), 15)", "SIGTERM"),
    "no file": ("pass", "did not make its files"),
    "an empty file": ("open('bad', 'w')", "left an empty file"),
    "a directory for a file": ("os.mkdir('bad')", "directory"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "a recursion error": ("def f(): f()\nf()", "RecursionError"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_job_that_fails_in_any_way_is_named_and_the_others_go_on(script, way):
    code, message = WAYS[way]
    body = "\n".join("    " + line for line in code.splitlines())
    text = f"""
ppg.new_pipegraph()
def bad():
    local_of_mine = 'seen'
    print('the last words', flush=True)
{body}
ppg.FileGeneratingJob('bad', bad)
ppg.FileGeneratingJob('after', lambda of: of.write_text('x')).depends_on(ppg.FileGeneratingJob('bad', bad))
ppg.FileGeneratingJob('good', lambda of: of.write_text('x'))
ppg.run_pipegraph()
"""
    stderr = script.run(text, 1)

    assert message in script.errors
    assert "bad (script.py:" in stderr
    assert "the last words" in script.errors
    assert (script.folder / "good").read_text() == "x"
    assert not (script.folder / "after").exists()
    assert not (script.folder / "bad").is_file()
    assert "pipegraph.errors.RuntimeError: 1 job failed, 1 blocked by it" in stderr
    assert "blocked     after" in (script.folder / "logs" / "ppg_run.txt").read_text()


def test_local_variables_and_the_trace_of_a_failed_job_are_in_the_log(script):
    script.run(
        """
        ppg.new_pipegraph()
        def inner(value):
            password = 'hunter2'
            return value / 0
        def bad(of):
            number = 41
            inner(number + 1)
        ppg.FileGeneratingJob('bad', bad)
        ppg.run_pipegraph()
        """,
        1,
    )

    assert "number = 41" in script.errors
    assert "value = 42" in script.errors
    assert "return value / 0" in script.errors
    assert "hunter2" not in script.errors


GOOD = {
    "sys.exit(0) with its file": "open('a', 'w').write('x'); sys.exit(0)",
    "closed descriptors": "open('a', 'w').write('x'); os.closerange(3, 256)",
    "descriptors closed and their numbers used again": (
        "open('a', 'w').write('x'); os.closerange(3, 256)\nkeep = [open('/dev/null') for _ in range(100)]"
    ),
    "another directory": "open('a', 'w').write('x'); os.chdir('/')",
    "a directory that is gone": "open('a', 'w').write('x'); os.mkdir('d'); os.chdir('d'); os.rmdir('../d')",
    "stdout closed": "open('a', 'w').write('x'); sys.stdout.close(); os.close(1)",
    "a thread that runs on": (
        "import threading; threading.Thread(target=time.sleep, args=(1000,), daemon=False).start()\n"
        "open('a', 'w').write('x')"
    ),
    "a fork that comes back": "pid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\nopen('a', 'w').write('x')",
    "a fork that raises": (
        "open('a', 'w').write('x')\npid = os.fork()\nif not pid:\n    raise ValueError('in the fork')\n"
        "os.waitpid(pid, 0)"
    ),
    "sockets of its own where ours were": (
        "import socket\nos.closerange(3, 300)\nopen('a', 'w').write('x')\n"
        "globals()['kept'] = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(40)]"
    ),
    "a child left running": "import subprocess; subprocess.Popen(['sleep', '1000'])\nopen('a', 'w').write('x')",
    "a daemon": (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(1000)\n    os._exit(0)\n"
        "open('a', 'w').write('x')"
    ),
    "100 MB printed": "open('a', 'w').write('x')\nfor _ in range(100): print('y' * 1_000_000)",
    "signals ignored": "signal.signal(15, signal.SIG_IGN); open('a', 'w').write('x')",
}


@pytest.mark.parametrize("way", GOOD)
def test_a_job_that_made_its_file_succeeds_whatever_else_it_did(script, way):
    body = "\n".join("    " + line for line in GOOD[way].splitlines())
    text = f"""
ppg.new_pipegraph()
def make():
{body}
ppg.FileGeneratingJob('a', make)
ppg.FileGeneratingJob('b', lambda of: of.write_text(open('a').read())).depends_on(ppg.FileGeneratingJob('a', make))
ppg.run_pipegraph()
"""
    script.run(text)

    assert (script.folder / "b").read_text() == "x"
    script.run()
    assert script.started == []


def test_long_output_of_a_failed_job_is_kept_whole(script):
    script.run(
        """
        ppg.new_pipegraph()
        def bad():
            for n in range(100_000):
                print('line', n)
            raise ValueError
        ppg.FileGeneratingJob('bad', bad)
        ppg.run_pipegraph()
        """,
        1,
    )

    kept = script.folder / "logs" / "run_0001" / "failed" / "0001_bad.stdout.txt"
    lines = kept.read_text().splitlines()
    assert lines[0] == "line 0"
    assert lines[-1] == "line 99999"
    assert str(kept.relative_to(script.folder)) in script.errors


def test_a_thousand_failures_are_a_summary_and_not_a_flood(script):
    stderr = script.run(
        """
        ppg.new_pipegraph()
        def bad():
            raise ValueError('x')
        for n in range(1000):
            ppg.FileGeneratingJob(f'bad{n}', bad)
        ppg.run_pipegraph()
        """,
        1,
    )

    assert "1000 jobs failed" in stderr
    assert len(stderr.splitlines()) < 120
    assert script.errors.count("ValueError: x") == 1000


def test_three_hundred_jobs_ending_at_once(script):
    script.run(
        """
        ppg.new_pipegraph(resource_coordinator=ppg.resource_coordinators.LocalSystem(300))
        def make(of):
            with open('here', 'a') as out:
                out.write('x')
            while os.path.getsize('here') < 300:
                time.sleep(0.01)
            of.write_text('x')
        for n in range(300):
            ppg.FileGeneratingJob(f'a{n}', make)
        ppg.run_pipegraph()
        """
    )

    assert len(script.started) == 300
    script.run()
    assert script.started == []


def test_a_report_too_large_for_a_datagram_arrives(script):
    script.run(
        """
        ppg.new_pipegraph()
        def make(files):
            for path in files:
                path.write_text('x')
        ppg.MultiFileGeneratingJob([f'out/{"long" * 20}{n}' for n in range(3000)], make)
        ppg.run_pipegraph()
        """
    )
    script.run()

    assert script.started == []


LOADED = """
ppg.new_pipegraph()
class Store: pass
store = Store()
def load():
    open('loads', 'a').write('x\\n')
    {load}
    return list(range(1000))
l = ppg.AttributeLoadingJob('load', store, 'numbers', load)
for n in range(5):
    ppg.FileGeneratingJob(f'a{{n}}', lambda of, n=n: of.write_text(str(store.numbers[n]))).depends_on(l)
ppg.FileGeneratingJob('other', lambda of: of.write_text('x'))
def gone(of):
    assert not hasattr(store, 'numbers')
    of.write_text('x')
ppg.FileGeneratingJob('last', gone).depends_on([f'a{{n}}' for n in range(5)])
ppg.run_pipegraph()
"""


def test_loaded_data_is_shared_by_fork_and_deleted_when_nobody_needs_it(script):
    script.run(LOADED.format(load=""))

    assert [(script.folder / f"a{n}").read_text() for n in range(5)] == list("01234")
    assert (script.folder / "last").exists()
    assert len(script.lines("loads")) == 1
    script.run()
    assert script.started == []


@pytest.mark.parametrize(
    "load", ["raise ValueError('x')", "os._exit(0)", "os._exit(3)", "os.kill(os.getpid(), 9)", "sys.exit(2)"]
)
def test_a_load_that_fails_takes_nothing_with_it(script, load):
    script.run(LOADED.format(load=load), 1)

    assert (script.folder / "other").exists()
    assert "1 job failed, 6 blocked by it" in script.stderr
    script.run(LOADED.format(load=""))
    assert (script.folder / "a4").read_text() == "4"


def test_a_chain_of_loads_ends_in_one_slave_that_holds_all(script):
    script.run(
        """
        ppg.new_pipegraph()
        data = {}
        before = None
        for n in range(8):
            job = ppg.DataLoadingJob(f'load{n}', lambda n=n: data.update({n: len(data)}))
            job.depends_on(before)
            before = job
        def make(of):
            of.write_text(repr(data))
        ppg.FileGeneratingJob('a', make).depends_on(before)
        ppg.run_pipegraph()
        """
    )

    assert (script.folder / "a").read_text() == repr({n: n for n in range(8)})


def test_a_thread_left_by_a_load_is_warned_of_with_the_place(script):
    stderr = script.run(
        """
        import threading
        ppg.new_pipegraph()
        job = ppg.DataLoadingJob('load', lambda: threading.Thread(target=time.sleep, args=(60,), daemon=True).start())
        ppg.FileGeneratingJob('a', lambda of: of.write_text('x')).depends_on(job)
        ppg.run_pipegraph()
        """
    )

    assert "2 threads run after loading load (script.py:" in stderr


def test_a_file_that_a_job_half_made_is_renamed_if_so_wished(script):
    script.run(
        """
        ppg.new_pipegraph()
        def bad(of):
            of.write_text('half')
            raise ValueError
        ppg.FileGeneratingJob('a', bad, rename_broken=True)
        ppg.FileGeneratingJob('b', bad)
        def dies(of):
            of.write_text('half')
            os.kill(os.getpid(), 9)
        ppg.FileGeneratingJob('c', dies, rename_broken=True)
        ppg.run_pipegraph()
        """,
        1,
    )

    names = {path.name for path in script.folder.iterdir()}
    assert {"a.broken", "c.broken"} <= names
    assert not {"a", "b", "c", "b.broken"} & names


def test_a_job_inherits_nothing_that_only_the_master_needs(script):
    script.run("""
        ppg.new_pipegraph()
        def look(output):
            with open(output, "w") as out:
                out.write(" ".join(sys.modules))
        ppg.FileGeneratingJob("modules", look)
        ppg.run_pipegraph()
    """)

    inherited = set(script.lines("modules")[0].split())
    assert "pipegraph.slaves.child" in inherited
    for part in ("run", "engine", "status", "watchers"):
        assert f"pipegraph.{part}" not in inherited
    # Each fork would copy them: they are large, and no slave needs them.
    assert inherited.isdisjoint({"dataclasses", "inspect", "shutil", "tempfile", "random", "pickle", "json", "hashlib"})


SHORT = """
    ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(3))
    def make(i):
        def f(output):
            began = time.monotonic()
            time.sleep(0.001 * (i % 3))
            with open(output, "w") as out:
                out.write(f"{began} {time.monotonic()}")
        return f
    for i in range(300):
        job = ppg.FileGeneratingJob(f"o/{i}", make(i))
        if i % 50 == 49:
            job.cores_needed = 2
    ppg.run_pipegraph()
"""


def test_jobs_that_a_slave_starts_by_itself_never_take_more_cores_than_there_are(script):
    script.run(SHORT)

    spans = [tuple(map(float, script.lines(f"o/{i}")[0].split())) for i in range(300)]
    cores = [2 if i % 50 == 49 else 1 for i in range(300)]
    edges = sorted(
        [(end, -n) for (_, end), n in zip(spans, cores)] + [(began, n) for (began, _), n in zip(spans, cores)]
    )
    running = most = 0
    for _, change in edges:
        running += change
        most = max(most, running)
    assert most == 3


def test_jobs_that_were_told_ahead_and_lost_with_their_slave_run_all_the_same(script):
    script.run(
        """
        ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))
        def make(i):
            def f(output):
                with open("ran", "a") as out:
                    out.write(f"{i}\\n")
                if i == 30 and not os.path.exists("killed"):
                    open("killed", "w").close()
                    os.kill(os.getppid(), signal.SIGKILL)
                    time.sleep(60)
                output.write_text("x")
            return f
        for i in range(60):
            ppg.FileGeneratingJob(f"o/{i}", make(i))
        ppg.run_pipegraph()
        """
    )

    assert {int(each) for each in script.lines("ran")} == set(range(60))
    assert all(script.lines(f"o/{i}") == ["x"] for i in range(60))
    script.run()
    assert script.started == []


def test_more_jobs_at_once_than_a_socket_can_queue_messages_for(script):
    queued = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    script.run(
        f"""
        n = {20 * queued}
        ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(n))
        def make(i):
            return lambda output: output.write_text(str(i))
        for i in range(2 * n):
            ppg.FileGeneratingJob(f"o/{{i}}", make(i))
        ppg.run_pipegraph()
        """
    )

    assert len(script.started) == 40 * queued


def test_what_a_job_leaves_running_is_ended_with_it_and_not_with_the_run(script):
    script.run("""
        ppg.new_pipegraph()
        import subprocess
        def leave(output):
            output.write_text(str(subprocess.Popen(["sleep", "1000"]).pid))
        def look(output):
            stat = f"/proc/{open('a').read()}/stat"
            until = time.monotonic() + 10
            while time.monotonic() < until:
                if not os.path.exists(stat) or open(stat).read().rpartition(")")[2].split()[0] == "Z":
                    output.write_text("gone")
                    return
                time.sleep(0.01)
        ppg.FileGeneratingJob("b", look).depends_on(ppg.FileGeneratingJob("a", leave))
        ppg.run_pipegraph()
    """)

    assert script.lines("b") == ["gone"]


def test_the_memory_of_a_job_is_its_own_and_not_what_it_inherited(script):
    megabyte = 1 << 20
    script.run(f"""
        ppg.new_pipegraph()
        class Store: pass
        store = Store()
        load = ppg.AttributeLoadingJob("load", store, "large", lambda: bytearray(200 * {megabyte}))
        def use(output):
            own = bytearray(50 * {megabyte})
            assert len(store.large) > len(own)
            time.sleep(1.1)
            output.write_text("x")
        ppg.FileGeneratingJob("a", use).depends_on(load)
        ppg.run_pipegraph()
    """)

    header, *rows = [line.split("\t") for line in script.lines("logs/ppg_runtimes.tsv")]
    (row,) = [dict(zip(header, row)) for row in rows if row[0] == "a"]
    # The kernel counts in batches.
    assert 45 * megabyte < int(row["peak_bytes"]) < 100 * megabyte
    assert 1.1 <= float(row["seconds"]) < 60
    assert row["result"] == "made"


OWN_SIGNAL = """
import signal, time
from pipegraph.slaves import LocalSlave
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(1))
received, passes = [], []
signal.signal(signal.SIGUSR1, lambda number, frame: received.append(number))
real, master = LocalSlave.next_deadline, os.getpid()
def next_deadline(self):
    passes.append(1)
    return real(self)
LocalSlave.next_deadline = next_deadline
def job(of):
    os.kill(master, signal.SIGUSR1)
    time.sleep(0.5)
    of.write_text('x')
"""


def test_a_signal_that_is_the_scripts_own_does_not_keep_the_loop_from_waiting(script):
    script.run(
        OWN_SIGNAL
        + "ppg.FileGeneratingJob('out', job)\n"
        + "ppg.run_pipegraph()\n"
        + "assert received == [signal.SIGUSR1]\n"
        + "print(len(passes))\n"
    )

    passes = int((script.folder / "stdout.txt").read_text())
    assert passes < 100  # else thousands
