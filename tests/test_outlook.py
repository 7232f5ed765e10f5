"""Dry runs: what would run, why, for how long, also if something had changed; and no file is touched by them."""

import functools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from engine_world import spec_of
from machine import small_disk
from scripts import Script, wait_until
from test_engine_random import random_world
from test_prospects import prospects

import pipegraph as ppg
from pipegraph.engine import Fate, StartJob
from pipegraph.events import GraphGrew
from pipegraph.explanations import Change
from pipegraph.model import Past, Place, Reason, ReasonKind, Trace
from pipegraph.outlook import Changes, outlook_of
from pipegraph.outlook.changes import _is_called


def write(output):
    output.write_text(output.name)


def write_otherwise(output):
    output.write_text(f"another {output.name}")


def file_job(name, *inputs, function=write):
    return ppg.FileGeneratingJob(name, function).depends_on(*inputs)


def outlook(**more):
    return ppg.run_pipegraph(dry_run=True, **more)


def ids(found):
    return [start.job for start in found.must], found.may


def holdings(folder):
    """All that a folder holds: names, contents, times of change."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *folder.rglob("*"))
    }


# --- nothing is touched

AHEAD = """
ppg.new_pipegraph(quiet=True)
b = ppg.FileGeneratingJob('b', lambda output: output.write_text('b'))
b.depends_on(ppg.TempFileGeneratingJob('t', lambda output: output.write_text('t')))
b.depends_on_file('input')
ppg.FileGeneratingJob('c', lambda output: output.write_text('c')).depends_on(b)
"""

# Each file that is opened to be written, and all that makes, moves or removes something.
WATCHED = """
def watch(event, arguments):
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_TMPFILE & ~os.O_DIRECTORY
    if event == 'open' and arguments[2] & writes and arguments[0] != '/dev/null':
        print('writes', arguments)
    elif event.startswith(('os.mkdir', 'os.rename', 'os.remove', 'os.rmdir', 'os.link', 'os.symlink', 'os.truncate',
                           'os.utime', 'os.chmod', 'fcntl.flock', 'fcntl.lockf', 'os.fork', 'subprocess.Popen')):
        print('does', event, arguments)
sys.addaudithook(watch)
must, may = ppg.run_pipegraph(dry_run=True)
print(sorted(start.job for start in must), sorted(may))
"""


def said(script):
    return (script.folder / "stdout.txt").read_text()


def make_all(script, text=AHEAD):
    (script.folder / "input").write_text("1")
    script.run(text + "ppg.run_pipegraph()\n")


def test_no_file_is_made_where_nothing_was_ever_run(script):
    (script.folder / "input").write_text("1")
    script.run(AHEAD + WATCHED)

    assert said(script) == "['b', 'c', 't'] []\n"
    assert {path.name for path in script.folder.iterdir()} == {"input", "script.py", "stdout.txt", "stderr.txt"}


def test_no_file_is_touched_where_files_have_to_be_read_again(script):
    make_all(script)
    # Read anew, found to be the same or racy: a run would note that.
    for name in ("input", "b", "c"):
        os.utime(script.folder / name)
    script.write(AHEAD + WATCHED)
    (script.folder / "stdout.txt").unlink()
    (script.folder / "stderr.txt").unlink()
    before = holdings(script.folder)

    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=script.folder,
        env=script.environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "[] []\n"
    assert holdings(script.folder) == before


def test_it_works_where_nothing_can_be_written(tmp_path):
    with small_disk(tmp_path / "small", "size=1m") as folder:
        small = Script(folder)
        make_all(small)
        (folder / "input").write_text("2")
        small.write(AHEAD + WATCHED)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

        done = subprocess.run(
            [sys.executable, "script.py"], cwd=folder, env=small.environment, capture_output=True, text=True, check=True
        )

    assert done.stdout == "['b', 't'] ['c']\n"


def test_it_works_while_a_run_goes_on_and_changes_nothing_for_it(script):
    make_all(script)
    text = AHEAD + "ppg.FileGeneratingJob('d', lambda o: (open('runs', 'w').close(), input_of(), o.write_text('d')))\n"
    text = text.replace(
        "ppg.new", "def input_of():\n    while not os.path.exists('go'):\n        time.sleep(0.01)\nppg.new"
    )
    script.write(text + "ppg.run_pipegraph()\n")
    running = script.start()
    wait_until((script.folder / "runs").exists)
    (script.folder / "ahead.py").write_text(
        (script.folder / "script.py").read_text().replace("ppg.run_pipegraph()", WATCHED)
    )
    before = holdings(script.folder)[".pipegraph_status"]

    done = subprocess.run(
        [sys.executable, "ahead.py"],
        cwd=script.folder,
        env=script.environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "['d'] []\n"
    assert holdings(script.folder)[".pipegraph_status"] == before
    (script.folder / "go").touch()
    assert running.wait(60) == 0


def test_how_jobs_ended_in_the_last_run_is_kept(graph):
    a = file_job("a")
    ppg.run_pipegraph()
    outlook()

    assert a.was_run


# --- status files of all kinds


def test_a_foreign_status_file_is_left_and_it_is_said_what_a_run_will_do(graph):
    Path(".pipegraph_status").write_bytes(b"my diary\n" * 100)
    file_job("a")
    before = holdings(Path("."))

    found = outlook()

    assert ids(found) == (["a"], [])
    assert "a run will set it aside" in str(found)
    assert holdings(Path(".")) == before


def test_a_status_file_that_is_too_new_is_an_error(graph):
    file_job("a")
    ppg.run_pipegraph()
    path = Path(".pipegraph_status")
    header, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(header[: header.rstrip(b"0123456789").__len__()] + b"99\n" + rest)

    with pytest.raises(ppg.StatusTooNewError, match="newer version"):
        outlook()


def test_what_stands_in_damaged_lines_was_never_made(graph):
    file_job("a")
    file_job("b")
    ppg.run_pipegraph()
    path = Path(".pipegraph_status")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line.replace(b"\ta\t", b"\tx\t") for line in lines))
    before = holdings(Path("."))

    assert ids(outlook()) == (["a"], [])
    assert holdings(Path(".")) == before


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_in_the_place_of_the_status_file_is_an_error(graph, make):
    make(".pipegraph_status")
    file_job("a")

    with pytest.raises(ppg.StatusError, match="the status file can't be read"):
        outlook()


# --- a pair, and what else it tells


def test_it_is_a_pair_of_what_must_and_what_may_run(graph):
    a = file_job("a")
    b = file_job("b", a)
    file_job("c", b)
    ppg.run_pipegraph()
    Path("b").unlink()

    found = outlook()
    must, may = found

    assert must == found.must == [StartJob("b", (Reason(ReasonKind.OUTPUT_MISSING, "b"),))]
    assert may == found.may == ["c"]
    assert found == (must, may)
    assert {job: each.fate for job, each in found.jobs.items()} == {"a": Fate.UP_TO_DATE, "b": Fate.MUST, "c": Fate.MAY}
    assert found.jobs["c"].roots == ("b",)


def test_generators_run_in_every_run_and_what_they_declare_is_said_not_to_be_known(graph):
    ppg.JobGeneratingJob("g", lambda: file_job("a"))
    ppg.run_pipegraph()

    found = outlook()

    assert [start.job for start in found.must] == ["g"]
    assert str(found).startswith("Nothing has to run")
    assert "what they will declare is not known" in str(found)
    assert "what it will declare is not known" in found.why("g")


def test_an_adopted_file_is_told(graph):
    Path("a").write_text("a")
    file_job("a").adopt()

    assert "a (test_outlook.py" in str(outlook()).replace(os.path.dirname(__file__) + "/", "")
    assert "never made here; its files are adopted if they are there" in str(outlook())
    assert "then nothing is called" in outlook().why("a")


def test_an_input_that_is_missing_is_told_with_what_it_keeps_from_running(graph):
    file_job("a").depends_on_file("not there")

    found = outlook()

    assert found.jobs["a"].fate is Fate.BLOCKED
    assert "a can't run" in found.why("a").replace(f" ({found.jobs['a'].place})", "")
    assert "Put the file there, or correct its name." in found.why("a")
    assert "Put the file there, or correct its name." in found.why("not there")


def test_why_tells_reasons_conditions_and_inputs(graph):
    Path("input").write_text("1")
    a = file_job("a")
    a.depends_on_file("input")
    b = file_job("b", a)
    d = file_job("d")
    ppg.run_pipegraph()
    assert outlook().why(d) == f"d ({d.place}) is up to date"
    assert "did not change: nothing runs because of it" in outlook().why("input")
    Path("input").write_text("2")

    found = outlook()

    assert "    because input changed: input" in found.why(a).splitlines()
    assert found.why("./a") == found.why(Path("a").absolute()) == found.why(a)
    assert found.why(b).splitlines()[1:] == [
        "    if what it depends on changes: a",
        "    a leads to it, and must run because input changed: input",
    ]
    assert found.why("input").splitlines()[1] == f"    a ({a.place}): input changed: input"
    assert found.why("input").splitlines()[2].startswith("        time of input: ")


def test_more_about_a_reason_stands_below_it(graph):
    file_job("a")
    found = outlook()
    found.explain = lambda reason: [Change(reason.kind.name, "1", "2")]

    assert found.why("a").splitlines()[1:] == ["    because never made here", "        NEVER_MADE: 1 -> 2"]


def test_why_of_what_is_not_there_names_what_is_called_nearly_so(graph):
    file_job("results/counts.tsv")

    with pytest.raises(ppg.JobContractError, match=r"(?s)no such job or file.*nearest: results/counts.tsv"):
        outlook().why("result/counts.tsv")


def test_few_jobs_are_told_one_by_one_and_many_together(graph):
    inputs = []
    for number in range(21):
        Path(f"input_{number:02}").write_text("1")
        inputs.append(file_job(f"a{number:02}"))
        inputs[-1].depends_on_file(f"input_{number:02}")

    def lines(found):
        return [line.partition(" (")[0] for line in str(found).splitlines() if line.startswith("    ")]

    ppg.run_pipegraph()
    for number in range(20):
        Path(f"input_{number:02}").write_text("2")
    assert lines(outlook()) == [f"    a{number:02}" for number in range(20)]

    Path("input_20").write_text("2")
    assert lines(outlook()) == ["    a00 and 20 like it"]


def test_of_very_many_the_first_are_told_and_the_others_counted():
    specs = [spec_of(f"a{number}", "output")._replace(place=Place("x.py", number)) for number in range(1230)]

    text = str(outlook_of(GraphGrew(tuple(specs), (), None, {}, {}, {}, {}), 1)).splitlines()

    assert text[-1] == "    …and 1\u00a0210 more"
    assert len(text) < 30


def test_all_of_it_can_be_had_as_json(graph):
    Path("input").write_text("1")
    a = file_job("a")
    a.depends_on_file("input")
    file_job("b", a)
    ppg.run_pipegraph()
    Path("input").write_text("2")

    facts = json.loads(outlook().to_json())

    assert facts["format"] == 1
    assert facts["changed"] is None
    assert facts["counts"] == {
        "must": 1, "generators": 0, "may": 1, "up_to_date": 0, "not_needed": 0, "blocked": 0, "anyway": 0,
    }  # fmt: skip
    assert set(facts["estimate_all"]) == {"seconds", "known", "guessed"}
    a, b = facts["jobs"]
    assert (a["job"], a["fate"], a["class"], a["role"]) == ("a", "must", "FileGeneratingJob", "output")
    assert a["reasons"][0] | {"kind": "input changed", "subject": "input"} == a["reasons"][0]
    assert (b["fate"], b["inputs"], b["roots"], b["is_consequence"]) == ("may", ["a"], ["a"], True)
    assert a["seconds"] == a["expected_seconds"] > 0
    assert json.loads(outlook().to_json(["b"]))["jobs"] == [b]


# --- how long


def timed(*specs, **seconds):
    """The arrival of jobs, of which some took so long when they were made."""
    pasts = {job: Past(Trace({"gone": "1"}, "1", seconds=time)) for job, time in seconds.items()}
    return GraphGrew(specs, (), None, pasts, {}, {}, {})


def test_what_must_run_is_shared_among_the_cores():
    jobs = [spec_of(name, "output") for name in "abcd"]

    found = outlook_of(timed(*jobs, a=60, b=60, c=60, d=60), 2)

    assert found.estimate_must == (120.0, 4, 0)
    assert outlook_of(timed(*jobs, a=60, b=60, c=60, d=60), 4).estimate_must.seconds == 60.0
    assert "Time: about 2 min 00 s on 2 cores." in str(found)


def test_jobs_that_need_each_other_run_one_after_the_other():
    jobs = [
        spec_of("a", "output"),
        spec_of("b", "output", ("a",)),
        spec_of("c", "output", ("b",)),
        spec_of("d", "output"),
    ]

    assert outlook_of(timed(*jobs, a=60, b=30, c=10, d=1), 8).estimate_must.seconds == 100.0


def test_a_job_of_all_cores_takes_them_all():
    jobs = [spec_of("a", "output", cores=-1), spec_of("b", "output")]

    assert outlook_of(timed(*jobs, a=60, b=60), 2).estimate_must.seconds == 90.0


def test_what_may_run_is_counted_apart():
    jobs = [spec_of("a", "output"), spec_of("b", "output", ("a",)), spec_of("c", "output", ("a",))]
    arrival = timed(*jobs, a=60)
    for job in "bc":
        arrival.pasts[job] = Past(Trace({"a": "1"}, "1", seconds=120))

    found = outlook_of(arrival, 1)

    assert (found.estimate_must.seconds, found.estimate_all.seconds) == (60.0, 300.0)
    assert "Time: about 1 min 00 s on 1 core, 5 min 00 s if all of it runs." in str(found)


def test_jobs_that_were_never_timed_are_taken_for_as_long_as_others_and_counted():
    jobs = [spec_of("a", "output"), spec_of("b", "output"), spec_of("c", "output")._replace(place=Place("x.py", 9))]

    found = outlook_of(timed(*jobs, a=60), 1)

    assert found.estimate_must == (180.0, 1, 2)
    assert found.jobs["b"].expected_seconds == 60
    assert found.jobs["c"].expected_seconds is None
    assert "(2 never timed: taken for as long as others)" in str(found)
    assert "How long it takes is not known" in str(outlook_of(timed(*jobs), 1))


# --- what if


@pytest.fixture
def analysis(graph):
    """Jobs that are all up to date: a → b → c, and d beside them."""
    Path("input").write_text("1")
    a = file_job("a")
    a.depends_on_file("input")
    a.depends_on_params(5)
    b = file_job("b", a, function=write_otherwise)
    b.depends_on_func("helper", holdings)
    file_job("c", b)
    file_job("d", function=write_otherwise)
    ppg.run_pipegraph()
    return graph


@pytest.mark.parametrize(
    ("changed", "must", "may"),
    [
        ("input", ["a"], ["b", "c"]),
        (Path("input"), ["a"], ["b", "c"]),
        ("./input", ["a"], ["b", "c"]),
        ("PIa", ["a"], ["b", "c"]),
        ("FIhelper", ["b"], ["c"]),
        ("helper", ["b"], ["c"]),
        (holdings, ["b"], ["c"]),
        ("holdings", ["b"], ["c"]),
        (write_otherwise, ["b", "d"], ["c"]),
        ("b", ["b"], ["c"]),
        (["c", ["d"]], ["c", "d"], []),
        ([], [], []),
    ],
)
def test_what_follows_if_something_had_changed(analysis, changed, must, may):
    before = holdings(Path("."))

    found = outlook(changed=changed)

    assert ids(found) == (must, may)
    assert holdings(Path(".")) == before


def test_a_job_may_be_named_by_itself_also_where_its_code_is_not_watched(analysis):
    job = file_job("e").ignore_code_changes()
    ppg.run_pipegraph()

    assert ids(outlook(changed=analysis.jobs["a"])) == (["a"], ["b", "c"])
    assert ids(outlook(changed=job)) == (["e"], [])


def test_one_file_of_several_may_be_named(graph):
    several = ppg.MultiFileGeneratingJob(["x", "y"], lambda files: [write(file) for file in files])
    file_job("z").depends_on("y")
    ppg.run_pipegraph()

    found = outlook(changed="y")

    assert found.must == [StartJob(several.job_id, (Reason(ReasonKind.OUTPUT_CHANGED, "y"),))]
    assert found.may == ["z"]


def test_a_load_is_named_for_what_reads_it(graph):
    load = ppg.DataLoadingJob("load", lambda: None)
    file_job("z", load)
    ppg.run_pipegraph()

    found = outlook(changed=load)

    assert sorted(start.job for start in found.must) == ["load", "z"]


def test_what_must_run_anyway_is_only_counted(analysis):
    Path("d").unlink()

    found = outlook(changed="input")

    assert ids(found) == (["a"], ["b", "c"])
    assert found.anyway == ("d",)
    assert "Must run anyway: 1." in str(found)


def test_a_final_job_follows_from_each_change_also_where_it_may_run_anyway(analysis):
    ppg.FinalJob("final", lambda: None)
    ppg.run_pipegraph()
    Path("d").unlink()

    assert ids(outlook()) == (["d"], ["final"])
    assert ids(outlook(changed="c")) == (["c"], ["final"])


def test_a_file_that_is_missing_is_as_if_it_had_come(graph):
    file_job("a").depends_on_file("not there")

    assert outlook(changed="not there").jobs["a"].fate is Fate.MUST


def test_what_would_not_matter_is_said_so(graph):
    ppg.FunctionInvariant("unused", write)
    file_job("a")
    ppg.run_pipegraph()

    assert "nothing would run because of it" in str(outlook(changed="unused"))


@pytest.mark.parametrize("how", ["keyword", "positional"])
def test_what_if_is_asked_of_dry_runs_only(graph, how):
    file_job("a")

    with pytest.raises(TypeError, match=r"(?s)give dry_run=True, too\n    where: .*test_outlook.py"):
        ppg.run_pipegraph(False, None, "a") if how == "positional" else ppg.run_pipegraph(changed="a")
    assert not Path("a").exists()


def test_what_is_not_there_can_t_have_changed(analysis):
    with pytest.raises(ppg.JobContractError, match=r"(?s)this graph does not have.*inptu.*nearest: input"):
        outlook(changed="inptu")
    with pytest.raises(ppg.JobContractError, match=r"(?s)no job of this graph watches.*spec_of"):
        outlook(changed=spec_of)
    with pytest.raises(TypeError, match=r"(?s)changed: name jobs.*not int.*test_outlook.py"):
        outlook(changed=5)


@pytest.mark.parametrize("seed", range(10))
def test_what_follows_is_what_is_foreseen_once_it_has_changed(seed):
    compared = 0
    for nth in range(40):
        world = random_world(random.Random(f"changed {seed} {nth}"))
        world.run()
        for name in [each for each in world.values if any(each in spec.inputs for spec in world.specs.values())]:
            arrival = world._arrival(tuple(world.specs.values()), (), None)
            anyway = {job for job, each in prospects(world).items() if each.fate is Fate.MUST}
            asked = outlook_of(arrival, 1, Changes((name,), frozenset((name,)), {}))
            world.values[name] = "another"
            found = prospects(world)
            world.values[name] = "1"

            must = {job for job, each in found.items() if each.fate is Fate.MUST}
            # What runs anyway may run for one more reason then.
            assert must - anyway <= {start.job for start in asked.must} <= must
            assert set(asked.may) <= {job for job, each in found.items() if each.fate is Fate.MAY}
            if not anyway:
                assert set(asked.may) == {job for job, each in found.items() if each.fate is Fate.MAY}
                compared += 1
    assert compared


@pytest.mark.parametrize(
    ("part", "wanted", "is_it"),
    [
        ("deep", "deep", True),
        ("helping.deep", "deep", True),
        ("helping.deep", "helping.deep", True),
        ("helping.deeper", "deep", False),
        ("helping.sodeep", "deep", False),
        ("global variable 'LIMIT'", "LIMIT", True),
        ("global variable 'LIMITS'", "LIMIT", False),
        ("global variable 'SIZES'['small']", "SIZES", True),
        ("global variable 'SIZES['small']'", "SIZES", True),
        ("global variable 'config.SIZES'", "config", True),
        ("global variable 'config.SIZES'", "config.SIZES", True),
    ],
)
def test_a_function_or_variable_is_meant_by_its_whole_name(part, wanted, is_it):
    assert _is_called(part, wanted) is is_it


def test_a_function_that_is_watched_is_found_by_itself_and_by_name_also_where_others_use_it(graph):
    helper = {}
    exec("def helper(): return 1\ndef write(output): output.write_text(f'{helper()}')\ndef apart(): pass", helper)
    ppg.FileGeneratingJob("a.txt", helper["write"])
    ppg.FunctionInvariant("left out", helper["helper"])
    b = ppg.FileGeneratingJob("b.txt", lambda output: output.write_text("b"))
    b.depends_on(ppg.FunctionInvariant("watched", helper["helper"]))
    ppg.FileGeneratingJob("c.txt", helper["write"]).prune()
    part = functools.partial(print, "d")
    ppg.FileGeneratingJob("d.txt", lambda output: output.write_text("d")).depends_on_func("printing", part)
    ppg.run_pipegraph()

    for changed in (helper["helper"], "helper"):
        must, _ = ppg.run_pipegraph(dry_run=True, changed=changed)
        assert {start.job for start in must} == {"a.txt", "b.txt"}
    must, _ = ppg.run_pipegraph(dry_run=True, changed=helper["write"])
    assert {start.job for start in must} == {"a.txt"}
    must, _ = ppg.run_pipegraph(dry_run=True, changed=part)
    assert {start.job for start in must} == {"d.txt"}
    with pytest.raises(ppg.JobContractError, match="no job of this graph watches"):
        ppg.run_pipegraph(dry_run=True, changed=helper["apart"])
