"""Scripts run, edited, and run again: what ran, and what the files hold."""

import os

import pytest

BASE = """
ppg.new_pipegraph()
def make(of):
    with open(of, 'a') as out:
        out.write(open('input.txt').read().upper())
a = ppg.FileGeneratingJob('out/a.txt', make)
a.depends_on_file('input.txt')
a.depends_on_params({'k': 1})
b = ppg.FileGeneratingJob('out/b.txt', lambda of: of.write_text(str(len(open('out/a.txt').read()))))
b.depends_on(a)
ppg.run_pipegraph()
"""


@pytest.fixture
def base(script):
    (script.folder / "input.txt").write_text("hello")
    script.run(BASE)
    assert script.started == ["out/a.txt", "out/b.txt"]
    return script


def test_a_second_run_runs_nothing(base):
    base.run()

    assert base.started == []


def test_missing_directories_of_outputs_are_made(base):
    assert (base.folder / "out" / "a.txt").read_text() == "HELLO"


def test_a_callback_that_appends_starts_from_nothing(base):
    (base.folder / "input.txt").write_text("other")
    base.run()

    assert (base.folder / "out" / "a.txt").read_text() == "OTHER"


def test_same_content_made_again_is_no_reason_for_dependents(base):
    (base.folder / "input.txt").write_text("Hello")
    base.run()

    assert base.started == ["out/a.txt"]


def test_a_touched_input_is_no_reason(base):
    os.utime(base.folder / "input.txt", (1, 1))
    base.run()

    assert base.started == []


def test_an_input_rewritten_with_the_same_size_and_time_is_noticed_if_it_may_be(base):
    path = base.folder / "input.txt"
    base.run()
    path.write_text("HELP!")
    base.run()

    assert base.started == ["out/a.txt", "out/b.txt"]


@pytest.mark.parametrize("how", ["deleted", "emptied", "edited", "edited keeping the size"])
def test_an_output_that_is_not_as_it_was_made_is_made_again(base, how):
    path = base.folder / "out" / "a.txt"
    if how == "deleted":
        path.unlink()
    else:
        path.write_text({"emptied": "", "edited": "mine", "edited keeping the size": "HELLX"}[how])

    base.run()

    assert base.started == ["out/a.txt"]
    assert path.read_text() == "HELLO"


def test_a_parameter_that_flips_and_flips_back_makes_it_run_twice(base):
    base.run(BASE.replace("'k': 1", "'k': 2"))
    assert base.started == ["out/a.txt"]

    base.run(BASE)
    assert base.started == ["out/a.txt"]


def test_an_edited_function_remakes_its_job_and_not_others(base):
    base.run(BASE.replace("upper()", "title().upper()"))

    assert base.started == ["out/a.txt"]
    assert (base.folder / "out" / "a.txt").read_text() == "HELLO"


def test_moving_a_function_in_the_file_is_no_change(base):
    base.run(BASE.replace("def make", "# a comment\n\n\ndef make"))

    assert base.started == []


def test_a_job_whose_code_is_no_longer_watched_does_not_run_for_it(base):
    base.run(BASE.replace("a.depends_on_file", "a.ignore_code_changes()\na.depends_on_file"))
    assert base.started == []

    base.run(
        BASE.replace("a.depends_on_file", "a.ignore_code_changes()\na.depends_on_file").replace("upper()", "lower()")
    )
    assert base.started == []


def test_an_input_that_is_added_or_removed_is_a_reason_and_is_named(base):
    base.run(BASE.replace("a.depends_on_params({'k': 1})\n", ""))
    assert base.started == ["out/a.txt"]
    assert "because input removed: PIout/a.txt" in (base.folder / "logs" / "ppg_run.txt").read_text()

    base.run(BASE)
    assert "because input added: PIout/a.txt" in (base.folder / "logs" / "ppg_run.txt").read_text()


def test_a_missing_input_file_is_a_clear_error_with_the_place(base):
    (base.folder / "input.txt").unlink()
    stderr = base.run(code=1)

    assert "an input file can't be read" in base.errors
    assert "input.txt could not be measured" in base.errors
    assert "FileInvariant, script.py:9" in base.errors
    assert "FileNotFoundError" in stderr


def test_an_input_that_changes_while_it_is_read_is_said_and_makes_the_next_run_work(script):
    text = """
        ppg.new_pipegraph()
        def make(of):
            text = open('input.txt').read()
            if text == 'old':
                open('input.txt', 'w').write('new')
            of.write_text(text)
        ppg.FileGeneratingJob('a', make).depends_on_file('input.txt')
        ppg.run_pipegraph()
        """
    (script.folder / "input.txt").write_text("old")
    stderr = script.run(text)
    assert "an input file changed during the run: input.txt" in stderr

    script.run(text)
    assert script.started == ["a"]
    assert (script.folder / "a").read_text() == "new"
    script.run(text)
    assert script.started == []


def test_an_output_that_is_a_directory_is_an_error(script):
    (script.folder / "a").mkdir()
    script.run("ppg.new_pipegraph()\nppg.FileGeneratingJob('a', lambda of: 1)\nppg.run_pipegraph()", 1)

    assert "an output is a directory" in script.errors


def test_a_renamed_file_of_a_collection_is_no_change(script):
    text = """
        ppg.new_pipegraph()
        import glob
        a = ppg.FileGeneratingJob('a', lambda of: of.write_text('x'))
        a.depends_on(ppg.MultiFileInvariant(sorted(glob.glob('in*'))))
        ppg.run_pipegraph()
        """
    for n in (1, 2):
        (script.folder / f"in{n}").write_text(str(n))
    script.run(text)
    (script.folder / "in1").rename(script.folder / "in3")
    script.run(text)
    assert script.started == []

    (script.folder / "in3").write_text("other")
    script.run(text)
    assert script.started == ["a"]


def test_a_parameter_may_be_accepted_as_unchanged(script):
    text = """
        ppg.new_pipegraph()
        a = ppg.FileGeneratingJob('a', lambda of: of.write_text('x'))
        a.depends_on(ppg.ParameterInvariant('p', {value}, lambda old: abs(old - {value}) < 2))
        ppg.run_pipegraph()
        """
    for value, started in ((1, ["a"]), (2, []), (5, ["a"]), (6, [])):
        script.run(text.format(value=value))
        assert script.started == started


GROWING = """
ppg.new_pipegraph()
names = {names!r}
def gen():
    for name in names:
        ppg.FileGeneratingJob(name, lambda of, name=name: of.write_text(name))
    merge.depends_on(names)
merge = ppg.FileGeneratingJob('merged', lambda of: of.write_text(' '.join(sorted(open(n).read() for n in names))))
merge.ignore_code_changes()
merge.depends_on(ppg.JobGeneratingJob('gen', gen))
ppg.run_pipegraph()
"""


def test_a_generator_gives_new_jobs_to_jobs_that_depend_on_it(script):
    script.run(GROWING.format(names=["x", "y"]))
    assert (script.folder / "merged").read_text() == "x y"
    script.run()
    assert script.started == ["gen"]

    script.run(GROWING.format(names=["x", "y", "z"]))
    assert (script.folder / "merged").read_text() == "x y z"
    assert sorted(script.started) == ["gen", "merged", "z"]


def test_generators_generate_generators_and_a_final_job_comes_last(script):
    script.run(
        """
        ppg.new_pipegraph()
        def gen(depth):
            ppg.FileGeneratingJob(f'a{depth}', lambda of: of.write_text('x'))
            if depth < 5:
                ppg.JobGeneratingJob(f'gen{depth + 1}', lambda: gen(depth + 1))
        ppg.JobGeneratingJob('gen0', lambda: gen(0))
        ppg.FinalJob('end', lambda: open('end', 'w').write(repr(sorted(os.listdir('.')))))
        ppg.run_pipegraph()
        """
    )

    assert "'a5'" in (script.folder / "end").read_text()
    assert script.started[-1] == "end"


@pytest.mark.parametrize(
    "inject", ["end.depends_on(ppg.FileGeneratingJob('new', write))", "return [ppg.FileGeneratingJob('new', write)]"]
)
def test_dependencies_are_injected_by_calls_or_by_returned_jobs(script, inject):
    script.run(
        f"""
        ppg.new_pipegraph()
        def write(of):
            of.write_text('x')
        def inject():
            {inject}
        end = ppg.FileGeneratingJob('end', lambda of: of.write_text(open('new').read()))
        end.depends_on(ppg.DependencyInjectionJob('inject', inject))
        ppg.run_pipegraph()
        """
    )

    assert (script.folder / "end").read_text() == "x"


def test_an_injection_of_nothing_is_a_failure_unless_allowed(script):
    text = "ppg.new_pipegraph()\nppg.DependencyInjectionJob('inject', lambda: None{})\nppg.run_pipegraph()"
    script.run(text.format(""), 1)
    assert "injected nothing" in script.errors

    script.run(text.format(", check_for_dependency_injections=False"))


def test_an_edge_that_comes_too_late_names_both_and_the_next_run_is_fine(script):
    text = """
        ppg.new_pipegraph()
        def write(of):
            of.write_text('x')
        other = ppg.FileGeneratingJob('other', write)
        def gen():
            job = ppg.FileGeneratingJob('new', write)
            {edge}
        ppg.JobGeneratingJob('gen', gen)
        ppg.run_pipegraph()
        """
    script.run(text.format(edge="other.depends_on(job)"), 1)
    assert "an edge comes too late" in script.errors
    assert "gen (JobGeneratingJob, script.py:11)" in script.errors
    assert "other (FileGeneratingJob, script.py:7)" in script.errors

    script.run(text.format(edge="pass"))
    assert (script.folder / "new").exists()


def test_a_temporary_file_is_gone_at_the_end_and_its_log_is_kept(script):
    text = """
        ppg.new_pipegraph()
        def make():
            open('t', 'w').write('temp')
            open('log', 'w').write('log')
        t = ppg.TempFilePlusGeneratingJob('t', 'log', make)
        ppg.FileGeneratingJob('a', lambda of: of.write_text(open('t').read())).depends_on(t)
        ppg.run_pipegraph()
        """
    script.run(text)

    assert (script.folder / "a").read_text() == "temp"
    assert not (script.folder / "t").exists()
    assert (script.folder / "log").read_text() == "log"
    script.run(text)
    assert script.started == []


def test_a_status_file_of_a_newer_version_is_refused_untouched(base):
    path = base.folder / ".pipegraph_status"
    newer = path.read_bytes().replace(b"pipegraph-status 2", b"pipegraph-status 7", 1)
    path.write_bytes(newer)

    stderr = base.run(code=1)

    assert "StatusTooNewError" in stderr
    assert path.read_bytes() == newer


def test_a_foreign_status_file_is_set_aside_loudly(base):
    path = base.folder / ".pipegraph_status"
    path.write_bytes(b"\x80garbage of somebody else")
    base.run()

    assert base.started == ["out/a.txt", "out/b.txt"]
    assert b"garbage of somebody else" in b"".join(
        each.read_bytes() for each in base.folder.glob(".pipegraph_status.*") if each.is_file()
    )
    assert "warning" in base.stderr


def test_a_cut_status_file_costs_only_what_was_cut(base):
    path = base.folder / ".pipegraph_status"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    base.run()

    assert base.started == ["out/b.txt"]
    base.run()
    assert base.started == []


def test_logs_that_can_not_be_written_do_not_end_the_run(script):
    (script.folder / "logs").write_text("in the way")
    stderr = script.run(
        "ppg.new_pipegraph()\nppg.FileGeneratingJob('a', lambda of: of.write_text('x'))\nppg.run_pipegraph()"
    )

    assert stderr.count("no logs are written") == 1
    assert (script.folder / "a").exists()
    (script.folder / "logs").unlink()
    (script.folder / "logs").mkdir()


def test_an_empty_output_that_may_be_empty_is_up_to_date(script):
    script.run(
        """
        ppg.new_pipegraph()
        ppg.FileGeneratingJob('a', lambda of: of.write_text(''), empty_ok=True)
        ppg.run_pipegraph()
        """
    )
    script.run()

    assert script.started == []


def test_generators_may_generate_generators_ever_so_often(script):
    script.run("""
        ppg.new_pipegraph()
        def make(i):
            def generate():
                ppg.FileGeneratingJob(f"o/{i}", lambda output, i=i: output.write_text(str(i)))
                if i < 400:
                    ppg.JobGeneratingJob(f"g{i + 1}", make(i + 1))
            return generate
        ppg.JobGeneratingJob("g0", make(0))
        ppg.run_pipegraph()
    """)

    assert all(script.lines(f"o/{i}") == [str(i)] for i in range(401))


ADOPT = """
    ppg.new_pipegraph()
    def make(output):
        with open("called", "a") as out:
            out.write("x")
        output.write_text("made\\n")
    a = ppg.FileGeneratingJob("a", make).adopt()
    b = ppg.FileGeneratingJob("b", lambda output: output.write_text(open("a").read())).depends_on(a)
    ppg.run_pipegraph()
"""


def test_a_file_that_was_there_before_it_was_ever_made_here_is_made(script):
    (script.folder / "a").write_text("mine\n")

    script.run(ADOPT.replace(".adopt()", ""))

    assert script.lines("b") == ["made"]


def test_a_file_that_was_there_is_believed_if_the_script_says_so(script):
    (script.folder / "a").write_text("mine\n")

    script.run(ADOPT)
    assert script.lines("b") == ["mine"]
    assert not script.lines("called")
    log = (script.folder / "logs" / "ppg_run.txt").read_text()
    assert "because never made here; its files are there and are adopted" in log
    script.run()
    assert script.started == []

    # From then on it is like any other: made again for a reason.
    script.run(ADOPT.replace("made", "made anew"))
    assert script.lines("b") == ["made anew"]


@pytest.mark.parametrize("there", [None, ""], ids=["missing", "empty"])
def test_what_is_not_there_can_not_be_adopted_and_is_made(script, there):
    if there is not None:
        (script.folder / "a").write_text(there)

    script.run(ADOPT)

    assert script.lines("b") == ["made"]


def test_what_a_job_that_failed_left_is_not_adopted(script):
    script.run(ADOPT.replace('output.write_text("made', 'output.write_text(1 / 0 * "made'), 1)
    (script.folder / "a").write_text("half\n")

    script.run(ADOPT)

    assert script.lines("b") == ["made"]


def test_what_a_generator_lets_depend_on_a_pruned_job_takes_no_part(script):
    script.run("""
        ppg.new_pipegraph()
        def write(output):
            output.write_text("x")
        pruned = ppg.FileGeneratingJob("pruned", write)
        pruned.prune()
        below = ppg.FileGeneratingJob("below", write).depends_on(pruned)
        def generate():
            one = ppg.FileGeneratingJob("one", write).depends_on(below)
            ppg.FileGeneratingJob("two", write).depends_on(one)
            ppg.FileGeneratingJob("three", write)
            four = ppg.FileGeneratingJob("four", write)
            four.prune()
            ppg.FileGeneratingJob("five", write).depends_on(four)
        ppg.JobGeneratingJob("generator", generate)
        ppg.run_pipegraph()
    """)

    assert script.started == ["generator", "three"]


def test_no_job_can_be_made_in_the_master_while_the_graph_runs(script):
    text = """
        ppg.new_pipegraph()
        def accept(old):
            ppg.FileGeneratingJob("late", lambda output: None)
            return True
        job = ppg.FileGeneratingJob("a", lambda output: output.write_text("x"))
        job.depends_on(ppg.ParameterInvariant("a", 1, accept))
        ppg.run_pipegraph()
    """
    script.run(text)

    stderr = script.run(text.replace('"a", 1', '"a", 2'), 1)

    assert "a job was made while the graph runs" in stderr
    assert "script.py:6" in stderr
    assert "the run ended early: JobContractError" in stderr
    assert "nothing to do" not in stderr


def test_the_error_of_a_run_shows_the_scripts_line_and_little_else(script):
    stderr = script.run(
        """
        ppg.new_pipegraph()
        ppg.FileGeneratingJob("a", lambda: 1 / 0)
        ppg.run_pipegraph()
        """,
        1,
    )

    trace = stderr[stderr.index("Traceback") :]
    assert 'script.py", line 6, in <module>' in trace
    assert trace.count('  File "') == 2
    assert trace.rstrip().endswith("Details: logs/ppg_errors.txt")


def test_a_job_made_inside_a_job_is_refused_with_its_place(script):
    script.run(
        """
        ppg.new_pipegraph()
        def make(output):
            output.write_text("x")
            ppg.FileGeneratingJob("b", make)
        ppg.FileGeneratingJob("a", make)
        ppg.run_pipegraph()
        """,
        1,
    )

    assert "a job was made inside a job, or in another process" in script.errors
    assert "script.py:7" in script.errors
    assert not (script.folder / "a").exists()


def test_a_dependency_added_inside_a_job_is_refused(script):
    script.run(
        """
        ppg.new_pipegraph()
        first = ppg.FileGeneratingJob("first", lambda output: output.write_text("x"))
        def add(output):
            output.write_text("x")
            last.depends_on(first)
        ppg.FileGeneratingJob("a", add)
        last = ppg.FileGeneratingJob("last", lambda output: output.write_text("x"))
        ppg.run_pipegraph()
        """,
        1,
    )

    assert "a dependency was added inside a job" in script.errors
