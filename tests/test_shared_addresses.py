"""What makes another result of it, and what must not be given to others."""

from __future__ import annotations

import os

import pytest
from projects import BUILD, INDEX, calls

# --- what makes a difference

TWO_FILES = BUILD + (
    """
    def join(out):
        called("join")
        out.write_text(open("a.txt").read() + " " + open("b.txt").read())

    job = ppg.FileGeneratingJob("joined.txt", join).share(os.environ["STORE"])
    DEPENDS
    ppg.run_pipegraph()
"""
)
LOADED = """
    loaded = []
    loading = ppg.DataLoadingJob("load", lambda: loaded.extend([open("a.txt").read(), open("b.txt").read()]))
    EDGE
    ppg.FileGeneratingJob("joined.txt", lambda out: out.write_text(" ".join(loaded))).depends_on(loading).share(
        os.environ["STORE"]
    )
    ppg.run_pipegraph()
"""
EXCHANGED = {
    "files": TWO_FILES.replace("DEPENDS", "[job.depends_on_file(name) for name in ('a.txt', 'b.txt')]"),
    "a collection of files": TWO_FILES.replace("DEPENDS", "job.depends_on(ppg.MultiFileInvariant(['a.txt', 'b.txt']))"),
    "made files": TWO_FILES.replace('open("a.txt")', 'open("made_a.txt")')
    .replace('open("b.txt")', 'open("made_b.txt")')
    .replace(
        "DEPENDS",
        "[job.depends_on(ppg.FileGeneratingJob(f'made_{name}.txt', lambda out, name=name: "
        "out.write_text(open(f'{name}.txt').read())).depends_on(ppg.FileInvariant(f'{name}.txt'))) for name in 'ab']",
    ),
    "loaded files": BUILD + LOADED.replace("EDGE", "[loading.depends_on_file(name) for name in ('a.txt', 'b.txt')]"),
    "a loaded collection": BUILD
    + LOADED.replace("EDGE", "loading.depends_on(ppg.MultiFileInvariant(['a.txt', 'b.txt']))"),
    "time stamps": TWO_FILES.replace(
        "DEPENDS", "job.depends_on(ppg.FileTimeInvariant('a.txt'), ppg.FileTimeInvariant('b.txt'))"
    ),
    "loaded time stamps": BUILD
    + LOADED.replace("EDGE", "loading.depends_on(ppg.FileTimeInvariant('a.txt'), ppg.FileTimeInvariant('b.txt'))"),
}


@pytest.mark.parametrize("script", EXCHANGED.values(), ids=EXCHANGED)
def test_inputs_that_exchange_their_contents_make_another_result(projects, script):
    one, other = projects("one"), projects("other")
    one.put(a="red", b="big")
    other.put(a="big", b="red")
    for project in (one, other):  # by their time stamps, nobody could tell them apart
        for name in ("a.txt", "b.txt"):
            os.utime(project.folder / name, (1e9, 1e9))
    one.run(script)
    other.run(script)

    assert (one.folder / "joined.txt").read_text() == "red big"
    assert (other.folder / "joined.txt").read_text() == "big red"
    assert "joined.txt" not in other.ended("brought back")


@pytest.mark.parametrize("kind", [kind for kind in EXCHANGED if "time stamps" not in kind])
def test_equal_inputs_make_the_same_result(projects, kind):
    one, other = projects("one"), projects("other")
    for project in (one, other):
        project.put(a="red", b="big")
        project.run(EXCHANGED[kind])

    assert other.ended("brought back") == ["joined.txt"]


LISTING = BUILD + (
    """
    import glob

    names = ppg.FileGeneratingJob("names.txt", lambda out: out.write_text(" ".join(sorted(glob.glob("in_*.txt")))))
    names.share(os.environ["STORE"])
    NEEDS
    ppg.run_pipegraph()
"""
)


@pytest.mark.parametrize(
    "needs",
    [
        "[names.depends_on_file(name) for name in glob.glob('in_*.txt')]",
        "names.depends_on(ppg.MultiFileInvariant(glob.glob('in_*.txt')))",
    ],
)
def test_inputs_of_other_names_make_another_result(projects, needs):
    one, other = projects("one"), projects("other")
    one.put(in_a="1", in_b="2")
    other.put(in_a="1", in_c="2")
    for project in (one, other):
        project.run(LISTING.replace("NEEDS", needs))

    assert (other.folder / "names.txt").read_text() == "in_a.txt in_c.txt"


CHANGES = {
    "the code": ("* 3", "* 4"),
    "a parameter": ("ppg.run_pipegraph()", "index.depends_on_params(3)\n    ppg.run_pipegraph()"),
    "the output's place": ("out/index.txt", "elsewhere/index.txt"),
    "the output's name": ("out/index.txt", "out/index_2.txt"),
    "a function that is called": ('called("build")', 'called("build2")'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_made_otherwise_is_another_result(second, tmp_path, change):
    second.run(INDEX.replace(*change))

    assert len(calls(tmp_path)) == 2
    assert second.ended("brought back") == []


def test_another_content_of_an_input_makes_another_result(second, tmp_path):
    second.put(genome="TTTT")
    second.run()

    assert (second.folder / "out" / "index.txt").read_text() == "TTTT" * 3
    assert len(calls(tmp_path)) == 2


def test_code_that_is_not_watched_is_shared_with_nobody(projects, tmp_path):
    one, other = projects("one"), projects("other")
    script = INDEX.replace(".share(", ".ignore_code_changes().share(")
    for project, times in ((one, 3), (other, 4)):
        project.put(genome="A")
        project.run(script.replace("* 3", f"* {times}"))

    assert (other.folder / "out" / "index.txt").read_text() == "AAAA"
    assert "is shared with no other project: the code of out/index.txt is not watched" in other.stderr


def test_a_value_that_was_accepted_as_unchanged_is_another_result(projects):
    """Here 2 passes for 1; in another project, that has never seen 1, it is what it is."""
    script = BUILD + (
        """
    value = VALUE
    job = ppg.FileGeneratingJob("value.txt", lambda out, holder=[value]: out.write_text(str(holder[0])))
    job.ignore_code_changes().depends_on(ppg.ParameterInvariant("v", value, lambda before: True))
    job.keep_versions(2)
    ppg.run_pipegraph()
"""
    )
    one = projects("one")
    one.run(script.replace("VALUE", "1"))
    (one.folder / "value.txt").unlink()
    one.run(script.replace("VALUE", "2"))

    assert (one.folder / "value.txt").read_text() == "2"


NAMED = BUILD + (
    """
    folder = os.environ["FOLDER"]
    job = ppg.MultiFileGeneratingJob(
        {"fasta": folder + "/g.fa", "index": folder + "/deep/g.idx"},
        lambda files: (called("named"), [path.write_text(key + "X" * SIZE) for key, path in files.items()]),
    )
    job.depends_on_params({"size": SIZE})
    job.share(os.environ["STORE"], name="genome")
    ppg.run_pipegraph()
"""
)


def test_a_name_shares_a_result_among_projects_that_have_it_in_other_places(projects, tmp_path):
    for folder, size in (("data", "3"), ("cache/genomes", "3"), ("data", "4")):
        project = projects(folder.replace("/", "_") + size)
        project.environment["FOLDER"] = folder
        project.run(NAMED.replace("SIZE", size))
        assert (project.folder / folder / "g.fa").read_text() == "fasta" + "X" * int(size)
        assert (project.folder / folder / "deep" / "g.idx").read_text() == "index" + "X" * int(size)

    assert calls(tmp_path) == ["named", "named"]


def test_a_name_does_not_stand_for_the_names_of_the_files(projects):
    for name in ("red", "blue"):
        project = projects(name)
        project.environment["COLOUR"] = name
        project.run(
            BUILD
            + """
    path = os.environ["COLOUR"] + ".txt"
    ppg.FileGeneratingJob(path, lambda out: out.write_text(out.name)).share(os.environ["STORE"], "colour")
    ppg.run_pipegraph()
"""
        )

    assert (project.folder / "blue.txt").read_text() == "blue.txt"


# --- what must not be given to others


UNDECLARED = INDEX.replace('open("genome.txt").read() * 3', 'open("genome.txt").read() + open("notes.txt").read()')


def test_what_was_made_from_an_undeclared_file_is_not_kept(projects, store):
    one = projects("one")
    one.put(genome="A", notes="private")
    one.run(UNDECLARED)

    assert store.entries == []
    assert "its result is not kept: it opened notes.txt, which it does not depend on" in one.stderr
    assert "add job.depends_on_file('notes.txt')" in one.stderr


def test_what_was_made_without_a_file_that_another_job_makes_is_not_kept(projects, store):
    one = projects("one")
    one.put(genome="A")
    one.run(
        INDEX.replace(
            "ppg.run_pipegraph()",
            """
    def careful(out):
        try:
            out.write_text(open("late.txt").read())
        except FileNotFoundError:
            out.write_text("nothing")

    ppg.FileGeneratingJob("careful.txt", careful).share(os.environ["STORE"])
    ppg.FileGeneratingJob("late.txt", lambda out: out.write_text("x")).depends_on("careful.txt")
    ppg.run_pipegraph()
""",
        )
    )

    assert len(store.entries) == 1
    assert "its result is not kept: it opened late.txt" in one.stderr


def test_what_was_made_while_an_input_changed_is_not_kept(projects, store):
    one = projects("one")
    one.put(genome="A")
    one.run(INDEX.replace('called("build")', 'called("build"); open("genome.txt", "w").write("TT")'))

    assert store.entries == []
    assert "genome.txt changed while it ran" in one.stderr


def test_nothing_is_kept_of_a_job_that_fails(projects, store):
    one = projects("one")
    one.put(genome="A")
    one.run(INDEX.replace('called("build")', "raise ValueError"), code=1)

    assert store.entries == store.leftovers == []
    assert not list(store.folder.rglob("*.lock"))


def test_what_is_adopted_is_neither_looked_for_nor_kept(projects, store):
    one = projects("one")
    one.put(genome="A")
    (one.folder / "out").mkdir()
    (one.folder / "out" / "index.txt").write_text("as it was")
    one.run(INDEX.replace(".share(", ".adopt().share("))

    assert (one.folder / "out" / "report.txt").read_text() == "as it was!"
    assert store.entries == []
