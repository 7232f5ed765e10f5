"""A job for each row of a table, and merges over what they make."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipegraph as ppg

ROWS = """
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))
def declare(row):
    name, number = row["name"], row["number"]
    part = ppg.FileGeneratingJob(f"out/{name}.part", lambda out: out.write_text(f"{number}\\n"))
    square = ppg.FileGeneratingJob(f"out/{name}.square", lambda out: out.write_text(f"{int(number) ** 2}\\n"))
    return {"part": part, "square": square.depends_on(part)}
def join(paths, out):
    out.write_text("".join(path.read_text() for path in paths))
table = ppg.FileGeneratingJob("table.tsv", lambda out: out.write_text(open("source.tsv").read()))
table.depends_on_file("source.tsv")
rows = ppg.JobPerRow("per row", table, declare)
ppg.MergeJob("squares.txt", rows["square"], join, empty_ok=True)
ppg.run_pipegraph()
"""


class Tables:
    def __init__(self, script):
        self.script = script

    def started(self, *rows, text=ROWS, head="name\tnumber"):
        """What ran with this table, but for the generator."""
        (self.script.folder / "source.tsv").write_text("\n".join([head, *rows, ""]))
        self.script.run(text)
        return {*self.script.started} - {"per row", "table.tsv"}

    def text(self, name):
        return (self.script.folder / name).read_text()


@pytest.fixture
def tables(script):
    return Tables(script)


def test_a_changed_row_remakes_its_jobs_and_the_merge_and_no_others(tables):
    everything = {*(f"out/{name}.{kind}" for name in "abc" for kind in ("part", "square")), "squares.txt"}
    assert tables.started("a\t1", "b\t2", "c\t3") == everything
    assert tables.text("squares.txt") == "1\n4\n9\n"
    assert tables.started("a\t1", "b\t2", "c\t3") == set()
    assert tables.started("a\t1", "b\t-2", "c\t3") == {"out/b.part", "out/b.square", "squares.txt"}
    # A row more, one less, and another order: the merge runs, and jobs of new rows.
    assert tables.started("a\t1", "b\t-2", "c\t3", "d\t4") == {"out/d.part", "out/d.square", "squares.txt"}
    assert tables.started("a\t1", "c\t3", "d\t4") == {"squares.txt"}
    assert tables.started("d\t4", "c\t3", "a\t1") == {"squares.txt"}
    assert tables.text("squares.txt") == "16\n9\n1\n"
    assert tables.started() == {"squares.txt"}
    assert tables.text("squares.txt") == ""


def test_the_order_counts_also_where_the_table_is_the_same(tables):
    tables.started("a\t1", "b\t2")
    other = ROWS.replace("rows = ", "read = lambda path: list(reader(path))[::ORDER]\nrows = ").replace(
        "declare)", "declare, reader=read)"
    )
    other = "ORDER = int(open('order').read())\nfrom pipegraph.jobs.rows import _rows as reader\n" + other
    order = tables.script.folder / "order"
    order.write_text("1")
    assert tables.started("a\t1", "b\t2", text=other) == set()
    order.write_text("-1")

    assert tables.started("a\t1", "b\t2", text=other) == {"squares.txt"}
    assert tables.text("squares.txt") == "4\n1\n"


def test_a_column_that_no_job_uses_remakes_no_job_of_a_row(tables):
    tables.started("a\t1\tnice", head="name\tnumber\twords")

    assert tables.started("a\t1\tugly", head="name\tnumber\twords") == {"squares.txt"}


def test_only_the_merge_may_be_wanted(tables):
    text = ROWS.replace("run_pipegraph()", "run_pipegraph(targets=['squares.txt'])")

    assert tables.started("a\t1", text=text) == {"out/a.part", "out/a.square", "squares.txt"}


def test_a_table_may_be_a_file_that_no_job_makes_separated_by_commas(tables):
    text = ROWS.replace('"per row", table', '"per row", "source.tsv"')
    tables.started('"a","1"', "", "b,2", head="\ufeffname,number", text=text)

    assert tables.text("squares.txt") == "1\n4\n"


def test_a_table_may_be_one_file_of_a_job_and_be_read_by_pandas(script):
    script.run(
        """
        import pandas
        ppg.new_pipegraph()
        def make(out):
            out["table"].write_text("name,number\\na,1\\nb,2\\n")
            out["log"].write_text("made")
        job = ppg.MultiFileGeneratingJob({"table": "t.csv", "log": "t.log"}, make)
        def declare(row):
            assert row["number"] in (1, 2), row
            if row["number"] == 2:
                return ppg.FileGeneratingJob("b.txt", lambda out: out.write_text("b"))
        rows = ppg.JobPerRow("rows", job["table"], declare, reader=pandas.read_csv)
        ppg.MergeJob("all.txt", [rows], lambda paths, out: out.write_text(str(paths)))
        ppg.run_pipegraph()
        """
    )

    assert (script.folder / "all.txt").read_text() == "[PosixPath('b.txt')]"


def test_rows_of_tables_that_rows_make_and_merges_over_all_of_them(script):
    text = """
    ppg.new_pipegraph()
    def samples(row):
        name = row["sample"]
        table = ppg.FileGeneratingJob(f"{name}.tsv", lambda out: out.write_text(open(f"{name}.in").read()))
        table.depends_on_file(f"{name}.in")
        def lanes(row):
            lane = row["lane"]
            return {"fastq": ppg.FileGeneratingJob(f"{name}.{lane}", lambda out: out.write_text(f"{name}{lane} "))}
        lanes = ppg.JobPerRow(f"lanes of {name}", table, lanes)
        own = ppg.MergeJob(f"{name}.all", lanes, join)
        return {"lanes": lanes, "own": own}
    def join(paths, out):
        out.write_text("".join(path.read_text() for path in paths))
    rows = ppg.JobPerRow("samples", "samples.tsv", samples)
    ppg.MergeJob("lanes.txt", rows["lanes"], join)
    ppg.MergeJob("owns.txt", rows["own"], join)
    ppg.MergeJob("some.txt", [rows["own"], ppg.FileGeneratingJob("x", lambda out: out.write_text("x"))], join)
    ppg.run_pipegraph()
    """
    (script.folder / "samples.tsv").write_text("sample\na\nb\n")
    (script.folder / "a.in").write_text("lane\n2\n1\n")
    (script.folder / "b.in").write_text("lane\n1\n")
    script.run(text)
    assert (script.folder / "lanes.txt").read_text() == "a2 a1 b1 "
    assert (script.folder / "owns.txt").read_text() == "a2 a1 b1 "
    assert (script.folder / "some.txt").read_text() == "a2 a1 b1 x"
    (script.folder / "b.in").write_text("lane\n1\n3\n")
    script.run(text)

    assert (script.folder / "lanes.txt").read_text() == "a2 a1 b1 b3 "
    assert {"b.tsv", "b.3", "b.all", "lanes.txt", "owns.txt", "some.txt"} == {
        name for name in script.started if not name.startswith(("lanes of", "samples"))
    }


def test_a_key_may_be_one_of_a_job_with_several_files(script):
    (script.folder / "t.tsv").write_text("name\na\nb\n")
    script.run(
        """
        ppg.new_pipegraph()
        def declare(row):
            def make(out):
                out["one"].write_text("1")
                out["two"].write_text("2")
            name = row["name"]
            return ppg.MultiFileGeneratingJob({"one": f"{name}.1", "two": f"{name}.2"}, make)
        rows = ppg.JobPerRow("rows", "t.tsv", declare)
        ppg.MergeJob("twos.txt", rows["two"], lambda paths, out: out.write_text(" ".join(map(str, paths))))
        ppg.MergeJob("all.txt", rows, lambda paths, out: out.write_text(" ".join(map(str, paths))))
        ppg.run_pipegraph()
        """
    )

    assert (script.folder / "twos.txt").read_text() == "a.2 b.2"
    assert (script.folder / "all.txt").read_text() == "a.1 a.2 b.1 b.2"


def test_jobs_of_a_loop_are_merged_in_their_order_which_counts(script):
    text = """
    ppg.new_pipegraph()
    jobs = [ppg.FileGeneratingJob(name, lambda out: out.write_text(out.name)) for name in NAMES]
    ppg.MergeJob("all", jobs, lambda paths, out: out.write_text("".join(path.read_text() for path in paths)))
    ppg.run_pipegraph()
    """
    script.run(text.replace("NAMES", "('a', 'b')"))
    assert (script.folder / "all").read_text() == "ab"
    script.run(text.replace("NAMES", "('b', 'a')"))

    assert script.started == ["all"]
    assert (script.folder / "all").read_text() == "ba"


def test_rows_and_merges_may_be_declared_anew_between_two_runs(script):
    (script.folder / "t.tsv").write_text("name\na\nb\n")
    (script.folder / "u.tsv").write_text("name\nc\n")
    script.run(
        """
        ppg.new_pipegraph()
        def declare(row):
            return ppg.FileGeneratingJob("made/" + row["name"], lambda out: out.write_text("x"))
        def names(paths, out):
            out.write_text(" ".join(path.name for path in paths))
        rows = ppg.JobPerRow("rows", "t.tsv", declare)
        other = ppg.JobPerRow("other", "u.tsv", declare)
        ppg.MergeJob("all", rows, names)
        ppg.run_pipegraph()
        assert open("all").read() == "a b"
        # Nobody merges these any more: they need not be given back.
        ppg.JobPerRow("rows", "t.tsv", lambda row: declare(row) and None)
        merge = ppg.MergeJob("all", other, names)
        assert rows not in merge.prerequisites
        ppg.run_pipegraph()
        assert open("all").read() == "c"
        ppg.JobPerRow("other", "u.tsv", lambda row: None)
        ppg.JobPerRow("rows", "u.tsv", lambda row: None)
        assert [job.job_id for job in rows.prerequisites] == ["u.tsv"]
        ppg.MergeJob("all", [rows, other], names, empty_ok=True)
        ppg.run_pipegraph()
        assert open("all").read() == ""
        """
    )


# --- what goes wrong


@pytest.mark.parametrize(
    ("table", "function", "told"),
    [
        ("name\na\na\n", 'job("x")', "row 2 of t.tsv: row 1 makes the same job, x"),
        ("name\na\nb\n", 'job("x", row)', "row 2 of t.tsv: JobContractError: a second job of the same id"),
        ("name\na\n", 'row["nome"]', "row 1 of t.tsv: KeyError: 'nome'"),
        (
            "name\na\n",
            '"a.txt"',
            "row 1 of t.tsv: TypeError: jobs, or lists or dicts of jobs, are wanted here, not str",
        ),
        ("name\na\n", 'job("x") and None', "row 1 of t.tsv: the function made jobs and gave none of them back"),
        ("name\na\n", '{"one": job("x")}', "a merge of what no row makes"),
        ("name\na\n", '{"two": ppg.DataLoadingJob("load", lambda: 1)}', "a merge of something that has no files"),
        ("name\tx\na\n", "None", "t.tsv: line 2 has 1 field, the first line 2"),
        ("name\tx\n\na\tb\tc\n", "None", "t.tsv: line 3 has 3 fields, the first line 2"),
        ("name\tname\n", "None", "t.tsv: two columns have the name 'name'"),
    ],
)
def test_a_row_that_can_not_become_jobs_is_told(script, table, function, told):
    (script.folder / "t.tsv").write_text(table)
    errors = script.run(
        f"""
        ppg.new_pipegraph()
        def job(name, more=None):
            return ppg.FileGeneratingJob(name, lambda out: out.write_text(f"{{more}}"))
        rows = ppg.JobPerRow("rows", "t.tsv", lambda row: {function})
        ppg.MergeJob("all", rows["two"], lambda paths, out: out.write_text("x"))
        ppg.run_pipegraph()
        """,
        1,
    )

    assert f"JobContractError: {told}" in errors


def test_a_function_that_only_declares_may_give_nothing_back(script):
    (script.folder / "t.tsv").write_text("name\na\n")
    script.run(
        """
        ppg.new_pipegraph()
        def declare(row):
            ppg.FileGeneratingJob(row["name"], lambda out: out.write_text("x"))
        ppg.JobPerRow("rows", "t.tsv", declare)
        ppg.run_pipegraph()
        """
    )

    assert (script.folder / "a").exists()


def take_one(row):
    return None


def take_two(paths, out):
    return None


@pytest.mark.parametrize(
    ("declare", "error", "told"),
    [
        (lambda several: ppg.JobPerRow("r", several, take_one), ppg.JobContractError, "a table is one file"),
        (
            lambda several: ppg.JobPerRow("r", "t.tsv", lambda: 1),
            ppg.JobContractError,
            "does not take what it is given",
        ),
        (lambda several: ppg.JobPerRow("r", "t.tsv", take_two), ppg.JobContractError, "does not take what it is given"),
        (lambda several: ppg.JobPerRow("r", "t.tsv", 3), TypeError, "must be a function"),
        (lambda several: ppg.JobPerRow("r", "t.tsv", None), TypeError, "must be a function"),
        (lambda several: ppg.JobPerRow("r", "t.tsv", take_one, reader=3), TypeError, "must be a function"),
        (
            lambda several: ppg.MergeJob("m", several, take_one),
            ppg.JobContractError,
            "the list of files and the output",
        ),
        (lambda several: ppg.MergeJob("m", several, None), TypeError, "must be a function"),
        (lambda several: ppg.MergeJob("m", "a.txt", take_two), TypeError, "jobs, or lists or dicts of jobs"),
        (lambda several: ppg.MergeJob("m", 3, take_two), TypeError, "jobs, or lists or dicts of jobs"),
        (
            lambda several: ppg.MergeJob("m", ppg.JobGeneratingJob("g", lambda: None), take_two),
            ppg.JobContractError,
            "only a JobPerRow knows what it made",
        ),
        (
            lambda several: ppg.MergeJob("m", ppg.DataLoadingJob("d", lambda: None), take_two),
            ppg.JobContractError,
            "it makes no files",
        ),
    ],
)
def test_what_is_no_table_and_no_merge_is_refused_where_it_is_declared(graph, declare, error, told):
    Path("t.tsv").write_text("name\n")
    several = ppg.MultiFileGeneratingJob(["a", "b"], lambda: None)

    with pytest.raises(error, match=told):
        declare(several)


def test_a_second_one_of_the_same_id_must_be_the_same(graph):
    for name in ("t.tsv", "u.tsv"):
        Path(name).write_text("name\n")
    rows = ppg.JobPerRow("rows", "t.tsv", take_one)
    merge = ppg.MergeJob("all", rows, take_two)

    assert ppg.JobPerRow("rows", "t.tsv", take_one) is rows
    assert ppg.MergeJob("all", [rows], take_two) is merge
    with pytest.raises(ppg.JobContractError, match="another table or reader"):
        ppg.JobPerRow("rows", "u.tsv", take_one)
    with pytest.raises(ppg.JobContractError, match="other jobs to merge"):
        ppg.MergeJob("all", rows["key"], take_two)


def test_callables_with_more_parameters_that_have_defaults_are_taken(graph):
    Path("t.tsv").write_text("name\n")
    rows = ppg.JobPerRow("rows", "t.tsv", lambda row, more=3: None)
    ppg.MergeJob("all", rows, lambda *both: None)
    ppg.MergeJob("more", rows, lambda paths, out, more=3: None)
