"""What has changed, and how a person is told: recorded in the status file, and written beside the logs."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import Script

from pipegraph.explanations import Explanation, Part, packed, text_key, unpacked
from pipegraph.model import Reason, ReasonKind
from pipegraph.status.explaining import Explaining
from pipegraph.status.knowledge import Knowledge

HELPING = """
FACTOR = 2

def deepest(x):
    return x * FACTOR  # Of what was measured.

def middle(x):
    return deepest(x) + 1

def unused(x):
    return x
"""

ANALYSIS = """
import helping
ppg.new_pipegraph(quiet=True)

def make(number):
    def write(output):
        output.write_text(f"{helping.middle(number)}")
    return write

first = ppg.FileGeneratingJob("first.txt", make(1))
second = ppg.FileGeneratingJob("second.txt", make(2)).depends_on(first)
second.depends_on_params({"sizes": {"small": [1, 2]}, "name": "a"})
second.depends_on_file("in.txt")
ppg.run_pipegraph()
"""


@pytest.fixture
def analysis(script: Script) -> Script:
    (script.folder / "helping.py").write_text(HELPING)
    (script.folder / "in.txt").write_text("hello")
    script.run(ANALYSIS)
    return script


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def changes(script: Script) -> list[str]:
    """The newest run's, without the first column of spaces."""
    return (script.folder / "logs" / "ppg_changes.txt").read_text().splitlines()


def last_reasons(knowledge: Knowledge, job: str) -> tuple[Reason, ...]:
    trace = knowledge.past(job).trace
    assert trace is not None
    return trace.reasons


def test_a_first_run_has_nothing_to_compare_with(analysis: Script) -> None:
    assert changes(analysis) == []
    assert last_reasons(Knowledge.read(analysis.folder / ".pipegraph_status"), "first.txt") == (
        Reason(ReasonKind.NEVER_MADE),
    )


def test_a_helper_that_was_edited_three_calls_away_is_shown_as_a_diff(analysis: Script) -> None:
    edit(analysis.folder / "helping.py", "x * FACTOR  # Of what was measured.", "x * FACTOR * 3")
    edit(analysis.folder / "helping.py", "return x\n", "return 2 * x\n")
    analysis.run()

    assert changes(analysis)[:8] == [
        "first.txt (script.py:12) because input changed: FIfirst.txt",
        "    --- helping.deepest before",
        "    +++ helping.deepest now",
        "    @@ -1,2 +1,2 @@",
        "     def deepest(x):",
        "    -    return x * FACTOR  # Of what was measured.",
        "    +    return x * FACTOR * 3",
        "second.txt (script.py:13) because input changed: first.txt; input changed: FIsecond.txt",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("script.py", "make(1)", "make(7)", "closure variable 'number': 1 -> 7"),
        ("script.py", "[1, 2]", "[1, 5]", "parameter 'second.txt'['sizes']['small'][1]: 2 -> 5"),
        ("script.py", '"name": "a"', '"name": None', "parameter 'second.txt'['name']: 'a' -> None"),
        ("helping.py", "FACTOR = 2", "FACTOR = 30", "global variable 'FACTOR': 2 -> 30"),
        ("in.txt", "hello", "hello, you", "size of in.txt: 5 bytes -> 10 bytes"),
    ],
)
def test_what_changed_is_told_with_its_old_and_new_value(
    analysis: Script, file: str, old: str, new: str, told: str
) -> None:
    edit(analysis.folder / file, old, new)
    analysis.run()

    assert f"    {told}" in changes(analysis)


def test_of_a_file_that_another_job_made_anew_size_time_and_content_are_told(analysis: Script) -> None:
    edit(analysis.folder / "script.py", "make(1)", "make(100)")
    analysis.run()
    text = "\n".join(changes(analysis))

    assert "size of first.txt: 1 bytes -> 3 bytes" in text
    assert "content of first.txt: " in text


def test_the_same_change_of_many_jobs_is_told_once(script: Script) -> None:
    text = """
    ppg.new_pipegraph(quiet=True)
    def helper(): return 1
    def make(number):
        def write(output): output.write_text(f"{number} {helper()}")
        return write
    for number in range(5):
        ppg.FileGeneratingJob(f"file_{number}.txt", make(number))
    ppg.run_pipegraph()
    """
    script.run(text)
    script.run(textwrap.dedent(text).replace("return 1", "return 2"))
    found = changes(script)

    others = [line for line in found if "as of" in line]

    assert sum("+++" in line for line in found) == 1
    assert len(others) == 4
    assert set(others) == {f"    as of {script.started[0]}"}


def test_source_texts_are_kept_once_and_what_nothing_refers_to_goes(analysis: Script) -> None:
    for number in range(5):
        edit(analysis.folder / "helping.py", "def middle(x):\n", f"def middle(x):\n    # {number}\n    {number}\n")
        edit(
            analysis.folder / "helping.py",
            "FACTOR = 2" if not number else f"FACTOR = 2{number - 1}",
            f"FACTOR = 2{number}",
        )
        analysis.run()
    lines = (analysis.folder / ".pipegraph_status").read_text().splitlines()
    texts = [line.split("\t")[2] for line in lines if "\tT\t" in line]

    assert len(texts) == len(set(texts))
    assert sum("def make" in line or "def write" in line for line in lines) == 1


def test_the_last_change_of_a_job_can_be_looked_up_without_the_script(analysis: Script) -> None:
    edit(analysis.folder / "script.py", "make(1)", "make(7)")
    analysis.run()
    knowledge = Knowledge.read(analysis.folder / ".pipegraph_status")
    explaining = Explaining(knowledge, lambda invariant: None, knowledge.maker)
    (reason,) = last_reasons(knowledge, "first.txt")

    assert [change.lines() for change in explaining.changes(reason)] == [["closure variable 'number': 1 -> 7"]]


def test_what_generators_declare_is_explained_as_well(script: Script) -> None:
    text = """
    ppg.new_pipegraph(quiet=True)
    def helper(): return 1
    def declare():
        def write(output): output.write_text(f"{helper()}")
        job = ppg.FileGeneratingJob("late.txt", write)
        job.depends_on_params([1, {"a": 2}])
    ppg.JobGeneratingJob("declares", declare)
    ppg.run_pipegraph()
    """
    script.run(text)
    script.run(textwrap.dedent(text).replace("return 1", "return 3").replace('"a": 2', '"a": 4'))
    found = changes(script)

    assert "    +def helper(): return 3" in found
    assert "    parameter 'late.txt'[1]['a']: 2 -> 4" in found


DECLARES = """
ppg.new_pipegraph(quiet=True)
fair = ppg.ParameterInvariant.explain
def explain(invariant):
    with open("asked", "a") as out:
        out.write(f"{os.getpid()}\\n")
    MISHAP
    return fair(invariant)
ppg.ParameterInvariant.explain = explain
def declare():
    for number in range(3):
        job = ppg.FileGeneratingJob(f"{number}.txt", lambda output: output.write_text("x"))
        job.depends_on_params([VALUE, number])
ppg.JobGeneratingJob("declares", declare)
ppg.run_pipegraph()
"""


def test_what_a_generator_declares_is_explained_once_and_not_again_while_it_is_the_same(script: Script) -> None:
    text = DECLARES.replace("MISHAP", "pass")
    asked = []
    for value in (1, 1, 2):
        script.run(text.replace("VALUE", str(value)))
        asked.append(len(script.lines("asked")))

    assert asked == [3, 3, 6]
    assert "    parameter '0.txt'[0]: 1 -> 2" in changes(script)


def test_what_can_not_be_explained_is_made_all_the_same(script: Script) -> None:
    script.run(DECLARES.replace("MISHAP", "raise ValueError('no words')").replace("VALUE", "1"))

    assert len(script.lines("asked")) == 3
    assert sorted(script.started) == ["0.txt", "1.txt", "2.txt", "declares"]


def test_a_generator_whose_process_dies_of_explaining_what_it_declared_runs_again_and_explains_nothing(
    script: Script,
) -> None:
    script.run(DECLARES.replace("MISHAP", "os.kill(os.getpid(), signal.SIGKILL)").replace("VALUE", "1"))

    assert len(script.lines("asked")) == 1
    assert [script.started.count(job) for job in ("declares", "0.txt")] == [2, 1]


def test_a_parameter_that_was_changed_after_it_was_given_is_not_explained_wrongly(script: Script) -> None:
    text = """
    ppg.new_pipegraph(quiet=True)
    sizes = [ONE]
    job = ppg.FileGeneratingJob("a.txt", lambda output: output.write_text("a"))
    job.depends_on_params(sizes)
    sizes.append(5)
    ppg.run_pipegraph()
    """
    script.run(text.replace("ONE", "1"))
    script.run(text.replace("ONE", "2"))

    assert script.started == ["a.txt"]
    assert changes(script) == []


def test_secrets_are_compared_and_never_written(script: Script) -> None:
    text = """
    ppg.new_pipegraph(quiet=True)
    from types import SimpleNamespace
    API_TOKEN = "tell-nobody-0"
    SETTINGS = {"user": "me", "password": "tell-nobody-1", "deep": [SimpleNamespace(secret="tell-nobody-2")]}
    def connect(password="tell-nobody-3"):
        auth = "tell-nobody-4"
        return "https://me:tell-nobody-5@host"
    def make(access_key):
        def write(output, token="tell-nobody-6"):
            output.write_text(str(connect() and API_TOKEN and SETTINGS and access_key)[:0] + "written")
        return write
    job = ppg.FileGeneratingJob("a.txt", make("tell-nobody-7"))
    job.depends_on_params({"password": "tell-nobody-8"})
    ppg.run_pipegraph()
    """
    script.run(text)
    for number in range(9):
        script.run(textwrap.dedent(text).replace(f"tell-nobody-{number}", f"tell-nobody-{number}0"))
        assert script.started == ["a.txt"], number
        assert "not shown" in "\n".join(changes(script)), number
        script.run(text)

    files = [path for path in script.folder.rglob("*") if path.is_file() and path.suffix != ".py"]
    assert not [path for path in files if b"tell-nobody" in path.read_bytes()]


LOADING = """
ppg.new_pipegraph(quiet=True)
data = {}
def helper(): return 1
def load(): data["a"] = helper(), open("in.txt").read()
first = ppg.DataLoadingJob("first", load)
first.depends_on_file("in.txt")
second = ppg.DataLoadingJob("second", lambda: data.update(b=data["a"])).depends_on(first)
ppg.FileGeneratingJob("out.txt", lambda output: output.write_text(str(data["b"]))).depends_on(second)
ppg.run_pipegraph()
"""


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("script.py", "return 1", "return 2", "+def helper(): return 2"),
        ("in.txt", "hello", "hello, you", "size of in.txt: 5 bytes -> 10 bytes"),
        ("script.py", "(second)\n", "(second)\nfirst.depends_on_params(1)\n", "input PIfirst of first: "),
    ],
)
def test_what_changed_behind_jobs_that_load_is_told(script: Script, file: str, old: str, new: str, told: str) -> None:
    (script.folder / "in.txt").write_text("hello")
    script.run(LOADING)
    edit(script.folder / file, old, new)
    asked = [sys.executable, "-m", "pipegraph", "diff", "out.txt"]
    foretold = subprocess.run(asked, cwd=script.folder, env=script.environment, capture_output=True, text=True)
    script.run()
    found = changes(script)
    last = subprocess.run([*asked, "--last"], cwd=script.folder, env=script.environment, capture_output=True, text=True)

    assert found[0] == "out.txt (script.py:11) because input changed: second"
    assert any(line.strip().startswith(told) for line in found)
    assert f"        {told}" in foretold.stdout
    assert f"        {told}" in last.stdout


def test_of_an_output_that_was_edited_the_content_is_told(script: Script) -> None:
    text = """
    ppg.new_pipegraph(quiet=True)
    ppg.FileGeneratingJob("out.txt", lambda output: output.write_text("a"))
    ppg.run_pipegraph()
    """
    script.run(text)
    (script.folder / "out.txt").write_text("edited")
    script.run()

    assert changes(script)[1].startswith("    content of out.txt: ")


def test_what_was_edited_while_the_graph_ran_does_not_explain_what_was_made(script: Script) -> None:
    text = """
    ppg.new_pipegraph(quiet=True)
    def write(output):
        from helping import used
        output.write_text(f"{used()}")
        open("helping.py", "w").write("def used(): return 2\\n")
    ppg.FileGeneratingJob("a.txt", write)
    ppg.run_pipegraph()
    """
    (script.folder / "helping.py").write_text("def used(): return 1\n")
    script.run(text)
    knowledge = Knowledge.read(script.folder / ".pipegraph_status")
    (fingerprint,) = knowledge.inputs_of("a.txt").values()
    script.run()

    assert knowledge.explanation(fingerprint) is None
    assert script.started == ["a.txt"]
    assert changes(script) == []


def test_of_several_files_what_they_were_is_kept_once_and_only_of_those_that_changed(script: Script) -> None:
    text = """
    ppg.new_pipegraph(quiet=True)
    def make(number):
        def write(files):
            files[0].write_text("same")
            files[1].write_text(str(number))
        return write
    several = ppg.MultiFileGeneratingJob(["a.txt", "b.txt"], make(N))
    ppg.FileGeneratingJob("c.txt", lambda output: output.write_text("c")).depends_on(several)
    ppg.FileGeneratingJob("d.txt", lambda output: output.write_text("d")).depends_on(several["b.txt"])
    ppg.run_pipegraph()
    """
    for number in (1, 100, 1, 100):
        script.run(text.replace("N)", f"{number})"))
    lines = [line.split("\t") for line in (script.folder / ".pipegraph_status").read_text().splitlines()]
    kept = [line[2:4] for line in lines if line[1:2] == ["E"]]
    told = "\n".join(changes(script))

    assert script.started == ["a.txt:::b.txt", "c.txt", "d.txt"]
    assert told.count("size of b.txt: 1 bytes -> 3 bytes") == 2
    assert "content of a.txt" not in told
    assert len(kept) == len({str(each) for each in kept})
    assert not [each for each in kept if "of a.txt" in str(each) and "of b.txt" not in str(each)]


PARTS = st.lists(st.builds(Part, st.text(max_size=9), st.text(max_size=90), st.text(max_size=5)), max_size=4).map(tuple)


@given(PARTS, st.lists(PARTS, max_size=3).map(tuple))
def test_an_explanation_is_packed_as_json_has_it_and_each_long_text_once(
    parts: tuple[Part, ...], shared: tuple[tuple[Part, ...], ...]
) -> None:
    def plain(parts: tuple[Part, ...]) -> list[list[object]]:
        return [[name, text if len(text) <= 60 else [text_key(text)], digest] for name, text, digest in parts]

    def as_json(value: object) -> str:
        return json.dumps(value, separators=(",", ":"))

    explanation = Explanation(parts, shared)
    payload, texts = packed(explanation)

    groups = [as_json(plain(group)) for group in shared]
    assert payload == as_json([plain(parts), list(map(text_key, groups))])
    long = {part.text for part in explanation.all_parts() if len(part.text) > 60}
    assert set(texts.values()) == {*groups, *long}
    assert all(text_key(text) == key for key, text in texts.items())
    assert unpacked(payload, texts.get) == explanation
