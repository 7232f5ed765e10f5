"""Jobs that share a process: that they do, what they can't leave to each other, and every way in which one can end."""

import os
import re
import signal
import textwrap
from pathlib import Path

import numpy
import pytest
from scripts import wait_until

import pipegraph as ppg
from pipegraph.errors import JobContractError

HEAD = """
cores = int(os.environ.get('CORES', '1'))
ppg.new_pipegraph(resource_coordinator=ppg.resource_coordinators.LocalSystem(cores), isolation='shared')
order = []
def add(name, function, **options):
    # One after the other, whatever the processes are: each depends on the one before, that did not have to succeed.
    order.append(ppg.FileGeneratingJob(name, function, **options))
    return order[-1]
def note(of, value=''):
    of.write_text(f'{os.getpid()} {value}')
def told(name):
    def job(of):
        note(of)
    return add(name, job)
"""


def run(script, text, code=0, cores=1):
    script.environment["CORES"] = str(cores)
    return script.run(HEAD + textwrap.dedent(text) + "\nppg.run_pipegraph()\n", code)


def said(script, name):
    """The process of a job, and what it found."""
    pid, _, value = (script.folder / name).read_text().partition(" ")
    return int(pid), value


# --- when it is written down


RELIES = """
from pipegraph.engine import Engine
from pipegraph.events import JobSucceeded
from pipegraph.slaves import LocalSlave
def relies(kind, job):
    with open('.pipegraph_status') as status:
        assert f'\\t{kind}\\t{job}\\t' in status.read(), (kind, job)
def start(self, job, *arguments):
    relies('S', job.id)
    real_start(self, job, *arguments)
def handle(self, event):
    if isinstance(event, JobSucceeded):
        relies('M', event.job)
    return real_handle(self, event)
real_start, LocalSlave.start = LocalSlave.start, start
real_handle, Engine.handle = Engine.handle, handle
"""


def shown_in(script, pattern):
    return set(re.findall(pattern, (script.folder / "logs" / "ppg_run.txt").read_text()))


def recorded(script, kind):
    lines = (script.folder / ".pipegraph_status").read_text().splitlines()[1:]
    return {line.split("\t")[2] for line in lines if line.split("\t")[1] == kind}


@pytest.mark.parametrize("isolation", ["process", "shared"])
def test_a_start_is_on_file_before_the_order_goes_out_and_a_success_before_anything_follows_from_it(script, isolation):
    script.environment["CORES"] = "2"
    script.run(
        HEAD.replace("'shared'", repr(isolation))
        + RELIES
        + "for n in range(100):\n    told(f'o/{n}').depends_on([f'o/{m}' for m in range(n - 40, n - 30) if m >= 0])\n"
        + "ppg.run_pipegraph()\n"
    )

    assert len(script.started) == 100


@pytest.mark.parametrize("isolation", ["process", "shared"])
@pytest.mark.parametrize("kind", ["S", "M"])
def test_a_record_that_can_not_be_written_among_others_fails_its_own_job_and_no_other(script, kind, isolation):
    script.environment["CORES"] = "2"
    script.run(
        HEAD.replace("'shared'", repr(isolation))
        + RELIES
        + textwrap.dedent(
            f"""
            import errno
            def write(descriptor, data):
                if b'\\t{kind}\\to/7\\t' in data:
                    raise OSError(errno.ENOSPC, 'No space left on device')
                return real_write(descriptor, data)
            real_write, os.write = os.write, write
            for n in range(100):
                told(f'o/{{n}}')
            ppg.run_pipegraph()
            """
        ),
        1,
    )

    assert shown_in(script, r" failed +(\S+) .* could not be recorded") == {"o/7"}
    assert shown_in(script, r":\d\d failed +(\S+) ") == {"o/7"}
    assert shown_in(script, r" made +(\S+) ") == recorded(script, "M")
    assert shown_in(script, r" started +(\S+) ") == recorded(script, "S")
    assert {f"o/{n}" for n in range(7)} <= recorded(script, "M")
    assert (script.folder / "o" / "7").exists() == (kind == "M")
    del script.environment["CORES"]
    script.run((script.folder / "script.py").read_text().replace("os.write = os.write, write", "_ = os.write, write"))
    assert recorded(script, "M") == {f"o/{n}" for n in range(100)}


# --- who shares


def test_many_small_jobs_run_in_as_many_processes_as_there_are_cores(script):
    run(script, "for n in range(200):\n    told(f'o/{n}')", cores=2)

    pids = {said(script, f"o/{n}")[0] for n in range(200)}
    assert 1 <= len(pids) <= 2
    script.run()
    assert script.started == []


def test_without_being_asked_each_job_has_a_process_of_its_own(script):
    script.environment["CORES"] = "1"
    script.run(
        HEAD.replace(", isolation='shared'", "") + "for n in range(20):\n    told(f'o/{n}')\nppg.run_pipegraph()\n"
    )

    assert len({said(script, f"o/{n}")[0] for n in range(20)}) == 20


def test_one_job_may_share_and_another_not(script):
    run(
        script,
        """
        for n in range(10):
            told(f'shared{n}')
            told(f'own{n}').isolation = 'process'
        """,
    )

    assert len({said(script, f"shared{n}")[0] for n in range(10)}) == 1
    assert len({said(script, f"own{n}")[0] for n in range(10)}) == 10


def test_another_isolation_is_no_reason_to_run_again(script):
    run(script, "for n in range(5):\n    told(f'o{n}')")
    script.write((script.folder / "script.py").read_text().replace(", isolation='shared'", ""))

    script.run()

    assert script.started == []


NOT_SHARING = {
    "a job that asks for several cores": "job = told('a')\njob.cores_needed = 2",
    "a job that asks for all cores": "job = told('a')\njob.use_cores(-1)",
    "a job whose results are kept": "told('a').share('kept')",
    "a job that is adopted": "",
    "a temporary file's": None,
}


@pytest.mark.parametrize("way", ["use_cores(2)", "use_cores(-1)", "share('kept')"])
def test_jobs_that_want_more_have_a_process_of_their_own(script, way):
    run(script, f"told('first')\ntold('a').{way}\ntold('last')", cores=2)

    assert said(script, "a")[0] not in (said(script, "first")[0], said(script, "last")[0])


def test_temporary_files_and_several_files_may_be_made_in_a_shared_process(script):
    run(
        script,
        """
        import pathlib
        def two(files):
            for each in files:
                note(each)
        def both():
            note(pathlib.Path('p'))
            note(pathlib.Path('log'))
        temp = ppg.TempFileGeneratingJob('temp', note)
        temps = ppg.MultiTempFileGeneratingJob(['t1', 't2'], two)
        plus = ppg.TempFilePlusGeneratingJob('p', 'log', both)
        several = ppg.MultiFileGeneratingJob(['m1', 'm2'], two)
        def end(of):
            of.write_text(' '.join(open(n).read() for n in ('temp', 't1', 't2', 'p', 'log', 'm1', 'm2')))
        ppg.FileGeneratingJob('end', end).depends_on(temp, temps, plus, several)
        """,
    )

    assert len(set((script.folder / "end").read_text().split())) == 1
    assert not (script.folder / "temp").exists()


def test_isolation_is_checked_at_the_line_that_chooses_it(graph):
    job = ppg.FileGeneratingJob("a", lambda: None, isolation="shared")
    assert job.isolation == "shared"
    with pytest.raises(JobContractError, match=r"(?s)'process' or 'shared'.*given: +'fork'.*test_isolation"):
        job.isolation = "fork"
    with pytest.raises(JobContractError, match=r"(?s)given: +1.*test_isolation"):
        ppg.MultiFileGeneratingJob(["b"], lambda: None, isolation=1)
    with pytest.raises(JobContractError, match=r"(?s)DataLoadingJob can't share.*test_isolation"):
        ppg.DataLoadingJob("load", lambda: None).isolation = "shared"
    with pytest.raises(JobContractError, match=r"(?s)to: +new_pipegraph.*test_isolation"):
        ppg.new_pipegraph(isolation="none")
    assert "b" not in graph.jobs
    assert ppg.FileGeneratingJob("c", lambda: None).isolation == "process"


# --- what is brought back

CHANGES = {
    "the working directory": ("os.chdir('/')", "os.getcwd()"),
    "the environment": (
        "os.environ['NEW'] = 'x'; os.environ['HOME'] = 'y'; del os.environ['PATH']",
        "[os.environ.get(n) for n in ('NEW', 'HOME', 'PATH')]",
    ),
    "the environment of programs": (
        "os.environ['NEW'] = 'x'",
        "(__import__('ctypes').CDLL(None).getenv(b'NEW') == 0)",
    ),
    "another object for the environment": ("os.environ = {}", "len(os.environ) > 3"),
    "the umask": ("os.umask(0o77)", "os.umask(0o22)"),
    "a signal's handler": ("signal.signal(signal.SIGUSR1, lambda *a: None)", "signal.getsignal(signal.SIGUSR1)"),
    "the answer to TERM": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "signal.getsignal(signal.SIGTERM)"),
    "blocked signals": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [])",
    ),
    "an alarm": ("signal.alarm(100)", "signal.alarm(0)"),
    "the locale": ("import locale; locale.setlocale(locale.LC_ALL, 'C')", "__import__('locale').setlocale(0)"),
    "sys.path": ("sys.path.insert(0, '/x')", "sys.path[:1]"),
    "another list for sys.path": ("sys.path = ['/x']", "len(sys.path) > 1"),
    "the finders of modules": (
        "sys.meta_path.append(None); sys.path_hooks.append(None)",
        "[sys.meta_path[-1] is None, sys.path_hooks[-1] is None]",
    ),
    "other lists of finders": (
        "sys.meta_path = []; sys.path_hooks = []",
        "[len(sys.meta_path) > 1, len(sys.path_hooks) > 1]",
    ),
    "sys.argv": ("sys.argv.append('x')", "sys.argv"),
    "sys.stdout": ("import io; sys.stdout = io.StringIO()", "type(sys.stdout)"),
    "descriptor 1": (
        "n = os.open('/dev/null', os.O_WRONLY); os.dup2(n, 1); os.close(n)",
        "os.readlink('/proc/self/fd/1')[:5]",
    ),
    "the except hook": ("sys.excepthook = print", "sys.excepthook is sys.__excepthook__"),
    "a tracer": ("sys.settrace(lambda *a: None)", "sys.gettrace()"),
    "the warnings' filters": (
        "import warnings; warnings.simplefilter('error')",
        "__import__('warnings').filters[0][0] == 'error'",
    ),
    "a warnings' context that was left open": (
        "import warnings; c = warnings.catch_warnings(record=True); c.__enter__(); globals()['c'] = c",
        "(__import__('warnings').showwarning.__name__, len(__import__('warnings').filters))",
    ),
    "numpy's random state": ("import numpy; numpy.random.seed(1)", "float(numpy.random.random())"),
    "numpy's random state after a draw": ("numpy.random.normal()", "float(numpy.random.random())"),
    "the decimal context": ("decimal.getcontext().prec = 5", "decimal.getcontext().prec"),
    "a context variable": ("variable.set(2)", "variable.get()"),
    "the recursion limit": ("sys.setrecursionlimit(5000)", "sys.getrecursionlimit()"),
    "the switch interval": ("sys.setswitchinterval(0.5)", "sys.getswitchinterval()"),
    "the collector": (
        "import gc; gc.disable(); gc.set_threshold(1)",
        "(__import__('gc').isenabled(), __import__('gc').get_threshold())",
    ),
    "the fault handler": ("import faulthandler; faulthandler.disable()", "__import__('faulthandler').is_enabled()"),
    "the cores that it may run on": (
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
        "sorted(os.sched_getaffinity(0))",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_job_finds_what_it_would_find_in_a_process_of_its_own(script, what):
    change, look = CHANGES[what]
    text = f"""
import contextvars, decimal, numpy
numpy.random.seed(5)
variable = contextvars.ContextVar('variable', default=1)
def changes(of):
    {change}
    open({str(script.folder)!r} + '/' + str(of), 'w').write(str(os.getpid()) + ' ')
def looks(of):
    note(of, {look})
add('alone', looks).isolation = 'process'
add('first', looks).depends_on('alone')
add('changes', changes).depends_on('first')
add('then', looks).depends_on('changes')
"""
    run(script, text)

    pid, value = said(script, "then")
    assert value == said(script, "alone")[1]
    assert value == said(script, "first")[1]
    assert pid == said(script, "changes")[0], "it is another process, so that nothing had to be brought back"


def test_random_numbers_do_not_follow_from_the_job_before(script):
    text = """
import random
def seeds(of):
    random.seed(1)
    note(of)
def draws(of):
    note(of, random.random())
for n in range(4):
    add(f's{n}', seeds).depends_on(order[-2] if n else None)
    add(f'd{n}', draws).depends_on(f's{n}')
"""
    run(script, text)

    assert len({said(script, f"s{n}")[0] for n in range(4)}) == 1
    assert len({said(script, f"d{n}")[1] for n in range(4)}) == 4


def test_numpy_that_a_job_imports_first_is_seeded_for_each_job(script):
    text = """
def draws(of):
    import numpy
    note(of, numpy.random.random())
    numpy.random.seed(1)
for n in range(4):
    add(f'd{n}', draws)
"""
    script.environment["OPENBLAS_NUM_THREADS"] = "1"  # otherwise the import leaves threads
    run(script, text)

    assert len({said(script, f"d{n}")[0] for n in range(4)}) == 1
    drawn = {said(script, f"d{n}")[1] for n in range(4)}
    assert len(drawn) == 4
    assert str(numpy.random.RandomState(1).random()) not in drawn


def test_a_warning_is_shown_by_each_job_as_if_it_were_the_first(script):
    text = """
import warnings
def warn(of):
    warnings.warn('mind this')
    note(of)
jobs = [add(f'w{n}', warn) for n in range(3)]
ppg.run_pipegraph()
open('said', 'w').write(repr(['mind this' in job.stderr for job in jobs]))
"""
    run(script, text)

    assert (script.folder / "said").read_text() == "[True, True, True]"


def test_what_a_job_prints_is_its_own(script):
    text = """
def prints(of):
    print('out of', of)
    sys.stderr.write(f'err of {of}')
    note(of)
def silent(of):
    note(of)
def long(of):
    for _ in range(100):
        print('y' * 1_000_000)
    note(of)
def hides(of):
    sys.stdout.write('before, ')
    sys.stdout = open(os.devnull, 'w')
    print('hidden')
    note(of)
jobs = [add('a', prints), add('b', silent), add('c', prints), add('long', long), add('d', silent), add('e', hides)]
jobs.append(add('f', silent))
ppg.run_pipegraph()
for job in jobs:
    print(job.job_id, repr(job.stdout[:20]), repr(job.stderr), file=open('said', 'a'))
"""
    run(script, text)

    assert script.lines("said") == [
        "a 'out of a\\n' 'err of a'",
        "b '' ''",
        "c 'out of c\\n' 'err of c'",
        f"long {'y' * 20!r} ''",
        "d '' ''",
        "e 'before, ' ''",
        "f '' ''",
    ]


def test_what_a_job_opens_is_told_of_it_and_of_no_other(script):
    text = """
made = ppg.FileGeneratingJob('made', note)
def moves(of):
    note(of)
    os.chdir('/')
def opens(of):
    open('made').read()
    note(of)
add('a', moves)
add('b', opens)
add('c', note)
"""
    run(script, text)

    log = (script.folder / "logs" / "ppg_run.txt").read_text()
    assert log.count(" warning ") == 1
    assert "b (script.py:9) reads made" in log
    assert len({said(script, name)[0] for name in "abc"}) == 1


# --- what is found out

LEAKS = {
    "a descriptor": "globals()['kept'] = open('/dev/null')",
    "many descriptors": "globals()['kept'] = [open('/dev/null') for _ in range(100)]",
    "closed descriptors": "os.closerange(3, 256)",
    "descriptors closed and their numbers used again": (
        "os.closerange(3, 256); globals()['kept'] = [open('/dev/null') for _ in range(100)]"
    ),
    "sockets where ours were": (
        "import socket; os.closerange(3, 300)\n"
        "    globals()['kept'] = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(40)]"
    ),
    "a closed stdout": "sys.stdout.close(); os.close(1)",
    "a thread": "import threading; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
    "a child left running": "import subprocess; globals()['kept'] = subprocess.Popen(['sleep', '1000'])",
    "a child that nobody waited for": "os.posix_spawn('/bin/true', ['true'], {})",
    "a daemon": (
        "if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n            time.sleep(1000)\n"
        "        os._exit(0)\n    os.wait()"
    ),
    "a program": "import subprocess; subprocess.run(['true'])",
    "memory": "globals()['kept'] = bytearray(100_000_000)",
    "a resource limit": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_process_in_which_something_is_left_runs_no_other_job(script, leak):
    text = f"""
def leaks(of):
    note(of)
    {LEAKS[leak]}
for n in range(10):
    told(f'before{{n}}')
add('leaks', leaks)
for n in range(20):
    told(f'after{{n}}')
"""
    run(script, text)

    before = {said(script, f"before{n}")[0] for n in range(10)}
    assert before == {said(script, "leaks")[0]}
    after = {said(script, f"after{n}")[0] for n in range(20)}
    assert len(after) == 1
    assert before.isdisjoint(after)
    script.run()
    assert script.started == []


def test_what_a_job_left_running_is_ended_with_its_process(script):
    text = """
import subprocess
def leaves(of):
    of.write_text(str(subprocess.Popen(['sleep', '1000']).pid))
def looks(of):
    # It is ended when its parent's end is noticed, which may be after this job began.
    until = time.monotonic() + 10
    while os.path.exists('/proc/' + open('left').read()) and time.monotonic() < until:
        time.sleep(0.005)
    note(of, os.path.exists('/proc/' + open('left').read()))
add('left', leaves)
add('then', looks).depends_on('left')
"""
    run(script, text)

    assert said(script, "then")[1] == "False"


NO_LEAKS = {
    "memory that is given back": "x = bytearray(200_000_000); del x",
    "a file in a cycle": "x = [open('/dev/null')]; x.append(x)",
    "a thread that has ended": "import threading; t = threading.Thread(target=print); t.start(); t.join()",
    "a system exit": "sys.exit(0)",
}


@pytest.mark.parametrize("what", NO_LEAKS)
def test_what_is_gone_at_the_end_of_a_job_is_no_leak(script, what):
    run(script, f"def job(of):\n    note(of)\n    {NO_LEAKS[what]}\nadd('a', job)\ntold('b')")

    assert said(script, "a")[0] == said(script, "b")[0]


def test_a_fork_of_a_job_that_comes_back_runs_no_other_job(script):
    text = """
def forks(of):
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        note(of)
for n in range(5):
    add(f'f{n}', forks)
    told(f'o{n}')
"""
    run(script, text)

    assert len(script.started) == 10


# --- what is given up


GIVEN_UP = {
    "an attribute of a module": ("json.left = 1", "hasattr(json, 'left')"),
    "a module": ("import wave", "'wave' in sys.modules"),
    "a cache": ("cached(1)", "cached.cache_info().currsize > 0"),
    "an attribute of a class": ("Kept.left = 1", "hasattr(Kept, 'left')"),
    "an object of the script": ("kept.append(1)", "bool(kept)"),
    "loaded data": ("loaded.attribute.append(1)", "bool(loaded.attribute)"),
    "environment set from C": ("ctypes.CDLL(None).setenv(b'LEFT', b'1', 1)", "getenv(b'LEFT') is not None"),
    "a handler that C installs": (
        "ctypes.CDLL(None).signal(signal.SIGUSR2, ctypes.c_void_p(1))",
        "any(line.startswith('SigIgn') and int(line.split()[1], 16) >> 11 & 1 for line in open('/proc/self/status'))",
    ),
    "an audit hook": (
        "sys.addaudithook(lambda *of: of[0] == 'left' and kept.append(1))",
        "bool(sys.audit('left') or kept)",
    ),
}


@pytest.mark.parametrize("what", GIVEN_UP)
def test_what_is_given_up_is_found_by_later_jobs_of_a_process_and_by_no_other(script, what):
    change, look = GIVEN_UP[what]
    text = f"""
import ctypes, functools, json
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
class Kept:
    pass
kept, loaded, cached = [], Kept(), functools.lru_cache(abs)
def leaves(of):
    {change}
    note(of)
def looks(of):
    note(of, {look})
add('a', leaves).depends_on(ppg.AttributeLoadingJob('load', loaded, 'attribute', list))
add('b', looks).depends_on('a', 'load')
add('c', looks).depends_on('b', 'load').isolation = 'process'
"""
    run(script, text)

    assert said(script, "a")[0] == said(script, "b")[0]
    assert said(script, "b")[1] == "True"
    assert said(script, "c")[1] == "False"


# --- how jobs end

FAILURES = {
    "an exception": ("raise ValueError('no good')", "no good"),
    "sys.exit(3)": ("sys.exit(3)", "SystemExit: 3"),
    "no file": ("os.unlink(of)", "did not make its files"),
    "an empty file": ("open(of, 'w').close()", "left an empty file"),
    "os._exit(0)": ("os._exit(0)", "without a report"),
    "os._exit(7)": ("os._exit(7)", "exit status 7"),
    "a segmentation fault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "SIGKILL": ("os.kill(os.getpid(), 9)", "SIGKILL"),
    "SIGTERM": ("os.kill(os.getpid(), 15)", "SIGTERM"),
    "closed descriptors and an exception": ("os.closerange(3, 300); raise ValueError('closed')", "closed"),
}


@pytest.mark.parametrize("way", FAILURES)
@pytest.mark.parametrize("cores", [1, 2])
def test_a_job_that_fails_among_many_is_named_and_no_other_fails(script, way, cores):
    code, message = FAILURES[way]
    text = f"""
def bad(of):
    note(of)
    print('the last words', flush=True)
    {code}
for n in range(40):
    told(f'o{{n}}') if n % 20 != 10 else add(f'bad{{n}}', bad)
"""
    stderr = run(script, text, 1, cores)

    assert "2 jobs failed" in stderr
    assert script.errors.count("the last words") >= 2
    assert message in script.errors
    assert not (script.folder / "bad10").exists()
    assert len([n for n in range(40) if (script.folder / f"o{n}").exists()]) == 38
    assert len(script.started) == 40
    script.run(code=1)
    assert sorted(script.started) == ["bad10", "bad30"]


def test_all_that_a_failed_job_printed_is_kept(script):
    text = """
def bad(of):
    for n in range(100_000):
        print('line', n)
    raise ValueError
told('a')
add('bad', bad)
told('b')
"""
    run(script, text, 1)

    kept = script.folder / "logs" / "run_0001" / "failed" / "0001_bad.stdout.txt"
    lines = kept.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("line 0", "line 99999")


def test_the_process_of_a_job_that_failed_runs_no_other(script):
    run(script, "told('a')\nadd('bad', lambda of: note(of) or 1 / 0, rename_broken=True)\ntold('b')", 1)

    pids = [said(script, name)[0] for name in ("a", "bad.broken", "b")]
    assert pids[0] == pids[1] != pids[2]


def test_a_report_too_large_for_a_datagram_arrives(script):
    text = """
def make(files):
    for each in files:
        each.write_text('x')
ppg.MultiFileGeneratingJob([f'long_{"n" * 100}_{n}' for n in range(2000)], make)
for n in range(20):
    told(f'o{n}')
"""
    run(script, text)

    script.run()
    assert script.started == []


# --- beside other jobs


def test_jobs_see_what_was_loaded_and_generated_before_them(script):
    text = """
class Store: pass
store = Store()
def looks(of):
    note(of, getattr(store, 'value', 'nothing'))
for n in range(5):
    add(f'before{n}', looks)
load = ppg.AttributeLoadingJob('load', store, 'value', lambda: 'loaded').depends_on(*order)
for n in range(5):
    add(f'after{n}', looks).depends_on(load)
def generate():
    for n in range(5):
        ppg.FileGeneratingJob(f'made{n}', looks).depends_on(load)
ppg.JobGeneratingJob('gen', generate).depends_on(*order)
"""
    run(script, text, cores=2)

    assert {said(script, f"before{n}")[1] for n in range(5)} == {"nothing"}
    assert {said(script, f"{name}{n}")[1] for n in range(5) for name in ("after", "made")} == {"loaded"}


def test_a_job_that_wants_all_cores_runs_alone(script):
    text = """
def small(of):
    assert not os.path.exists('alone')
    note(of)
def large(of):
    open('alone', 'w').close()
    time.sleep(0.05)
    os.unlink('alone')
    note(of)
for n in range(150):
    if n % 30 == 15:
        add(f'large{n}', large).use_cores(-1)
    else:
        add(f'o{n}', small).isolation = ('shared', 'process')[n % 7 == 0]
"""
    run(script, text, cores=2)

    assert len(script.started) == 150


def test_a_long_job_holds_up_none_that_is_behind_it(script):
    text = """
def long(of):
    while len(os.listdir('o')) < 59:
        time.sleep(0.002)
    note(of)
os.mkdir('o')
for n in range(60):
    told(f'o/{n}') if n != 30 else add('long', long)
"""
    run(script, text, cores=2)

    assert len(script.started) == 60


# --- ends from outside

SLOW = (
    HEAD
    + """
signal.signal(signal.SIGINT, signal.default_int_handler)
def quick(of):
    note(of)
def slow(of):
    open('running', 'a').write(f'{os.getpid()}\\n')
    while not os.path.exists('go'):
        time.sleep(0.002)
    note(of)
for n in range(60):
    add(f'o{n}', slow if n in (30, 31) else quick)
ppg.run_pipegraph()
"""
)


def until_running(script):
    script.environment["CORES"] = "2"
    script.write(SLOW)
    process = script.start()
    wait_until(lambda: len(script.lines("running")) == 2)
    return process, [int(pid) for pid in script.lines("running")]


def finish(script):
    """What was finished is not made again, and the rest is."""
    finished = set(re_made(script))
    (script.folder / "go").touch()
    script.run()
    assert finished.isdisjoint(script.started)
    assert all((script.folder / f"o{n}").exists() for n in range(60))
    script.run()
    assert script.started == []


def re_made(script):
    log = (script.folder / "logs" / "ppg_run.txt").read_text()
    return [line.split()[3] for line in log.splitlines() if line.split()[2:3] == ["made"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_master_leaves_no_process_and_loses_nothing_finished(script, number):
    process, _ = until_running(script)

    process.send_signal(number)

    assert process.wait(30) == -number
    script.assert_no_process_left()
    if number != signal.SIGKILL:
        assert "2 stopped" in script.stderr
    finish(script)


def test_a_worker_that_is_killed_fails_its_job_and_no_other(script):
    process, pids = until_running(script)

    os.kill(pids[0], signal.SIGKILL)
    (script.folder / "go").touch()

    assert process.wait(30) == 1
    assert "1 job failed" in script.stderr
    assert "SIGKILL" in script.errors
    assert len([n for n in range(60) if (script.folder / f"o{n}").exists()]) == 59


def test_workers_do_not_outlive_the_slave_that_forked_them_and_its_jobs_are_started_again(script):
    process, pids = until_running(script)
    parent = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])

    os.kill(parent, signal.SIGKILL)

    wait_until(lambda: len(script.lines("running")) == 4)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    (script.folder / "go").touch()
    assert process.wait(30) == 0
    assert "died" in script.stderr
    script.run()
    assert script.started == []
