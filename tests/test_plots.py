"""Plot jobs: what is calculated, kept, written as a table and plotted, and what a change of each makes again."""

import importlib.util
import json
import os

import pytest

import pipegraph as ppg
from pipegraph.jobs.tables import write_table

# A library of plots that needs nothing: the file says what was drawn.
HEAD = """
class Picture:
    def __init__(self, text):
        self.text = text
    def savefig(self, path, **arguments):
        with open(path, "w") as out:
            out.write(f"{self.text} {arguments}")

def note(text):
    with open("calls", "a") as out:
        out.write(text + "\\n")

ppg.new_pipegraph()

def calculate():
    note("calculated")
    return [{"gene": "TP53", "count": 3}, {"gene": "ACTB", "count": 12}]

def plot(rows):
    return Picture("bars " + " ".join(row["gene"] for row in rows))
"""
ONE = HEAD + "job = ppg.PlotJob('plots/one.png', calculate, plot)\n"
RUN = "ppg.run_pipegraph()\n"
CACHE, TABLE = "cache/plots/one.png", "plots/one.png.tsv"


def text(script, name="plots/one.png"):
    return (script.folder / name).read_text()


def test_a_plot_is_calculated_kept_written_as_a_table_and_drawn(script):
    script.run(ONE + RUN)

    assert text(script) == "bars TP53 ACTB {}"
    assert text(script, TABLE) == "gene\tcount\nTP53\t3\nACTB\t12\n"
    assert script.started[0] == CACHE
    assert script.lines("calls") == ["calculated"]


def test_a_change_of_looks_calculates_nothing(script):
    script.run(ONE + RUN)
    script.run(ONE.replace("bars", "points") + RUN)

    assert script.started == ["plots/one.png"]
    assert text(script) == "points TP53 ACTB {}"


def test_a_calculation_that_comes_out_the_same_draws_nothing(script):
    script.run(ONE + RUN)
    script.run(ONE.replace('"calculated"', '"calculated anew"') + RUN)

    assert script.started == [CACHE]


def test_a_calculation_that_comes_out_otherwise_makes_table_and_plot(script):
    script.run(ONE + RUN)
    script.run(ONE.replace("ACTB", "GAPDH") + RUN)

    assert sorted(script.started) == [CACHE, "plots/one.png", TABLE]
    assert text(script) == "bars TP53 GAPDH {}"


def test_other_render_arguments_draw_again_and_calculate_nothing(script):
    script.run(ONE + RUN)
    script.run(ONE.replace("plot)", "plot, {'dpi': 300})") + RUN)

    assert script.started == ["plots/one.png"]
    assert text(script) == "bars TP53 ACTB {'dpi': 300}"


def test_nothing_is_calculated_for_what_is_up_to_date(script):
    script.run(ONE + RUN)
    (script.folder / CACHE).unlink()
    script.run()

    assert script.started == []


def test_several_plots_share_one_calculation(script):
    more = "other = job.add_another_plot('plots/other.png', lambda rows: Picture(len(rows)), {'dpi': 9})\n"
    script.run(ONE + more + RUN)

    assert text(script, "plots/other.png") == "2 {'dpi': 9}"
    assert script.lines("calls") == ["calculated"]
    assert not (script.folder / "plots/other.png.tsv").exists()


def test_inputs_are_those_of_the_calculation(script):
    inputs = "job.depends_on_params({})\njob.depends_on(lambda: ppg.ParameterInvariant('later', 1))\n"
    script.run(ONE + inputs.format(1) + RUN)
    script.run(ONE + inputs.format(2) + RUN)

    assert script.started == [CACHE]


def test_inputs_of_the_plot_function_alone_are_there_when_it_draws(script):
    loaded = """
colours = []
def plot(rows):
    return Picture("bars in " + colours[0])
job = ppg.PlotJob('plots/one.png', calculate, plot)
job.plot_depends_on(ppg.DataLoadingJob("colours", lambda: colours.append("red")))
"""
    script.run(HEAD + loaded + RUN)
    assert text(script) == "bars in red {}"

    script.run(HEAD + loaded.replace('"red"', '"blue"') + RUN)

    assert script.started == ["colours", "plots/one.png"]
    assert text(script) == "bars in blue {}"


def test_cores_and_memory_are_for_the_calculation(graph):
    job = ppg.PlotJob("a.png", lambda: 1, lambda data: None)

    job.use_cores(3).memory_needed = 5

    assert (job.cache_job.cores_needed, job.cache_job.memory_needed) == (3, 5)
    assert (job.cores_needed, job.memory_needed) == (3, 5)
    assert [spec.cores for spec in job.specs()] == [1, 1]


@pytest.mark.parametrize("more", ["", ", skip_caching=True"])
def test_code_that_is_not_to_be_watched_is_not(script, more):
    whole = (
        ONE.replace("plot)", f"plot{more})")
        + "job.add_fiddle(lambda plot: note('fiddled'))\njob.ignore_code_changes()\n"
        + RUN
    )
    script.run(whole)
    script.run(whole.replace("bars", "points").replace("ACTB", "GAPDH").replace("'fiddled'", "'more'"))

    assert script.started == []


def test_fiddles_see_the_plot_and_are_watched(script):
    fiddles = """
def retitle(plot):
    plot.text += ", titled"
job.add_fiddle(retitle)
job.add_fiddle(retitle)
job.add_fiddle(lambda plot: Picture(plot.text + " twice"))
job.add_fiddle(lambda plot: (0.0, 5.0))
job.add_fiddle(lambda plot: [plot])
"""
    script.run(ONE + fiddles + RUN)
    assert text(script) == "bars TP53 ACTB, titled twice {}"

    script.run(ONE + fiddles.replace("titled", "named") + RUN)

    assert script.started == ["plots/one.png"]
    assert text(script) == "bars TP53 ACTB, named twice {}"


def test_without_caching_each_file_has_its_own_calculation(script):
    plain = ONE.replace("plot)", "plot, skip_caching=True)")
    script.run(plain + RUN)
    assert sorted(script.started) == ["plots/one.png", TABLE]
    assert script.lines("calls") == ["calculated"] * 2

    script.run(plain.replace("ACTB", "GAPDH") + RUN)
    assert sorted(script.started) == ["plots/one.png", TABLE]

    script.run(plain.replace("ACTB", "GAPDH") + "job.depends_on_params(1)\n" + RUN)
    assert sorted(script.started) == ["plots/one.png", TABLE]
    assert not (script.folder / "cache").exists()


def test_without_a_table_there_is_none(script):
    script.run(ONE.replace("plot)", "plot, skip_table=True)") + RUN)

    assert sorted(script.started) == [CACHE, "plots/one.png"]


def test_a_pruned_plot_needs_nothing(script):
    script.run(ONE + "job.prune()\n" + RUN)
    assert script.started == []

    script.run(ONE + "job.prune()\njob.unprune()\n" + RUN)
    assert len(script.started) == 3


def test_generators_may_declare_plots(script):
    script.run(HEAD + "ppg.JobGeneratingJob('g', lambda: ppg.PlotJob('plots/one.png', calculate, plot))\n" + RUN)

    assert text(script) == "bars TP53 ACTB {}"


CALL = """
job.add_another_plot('plots/other.png', plot)
drawn = job()
note(drawn.text)
note(str(job.was_run))
note(str(os.path.exists('plots/other.png')))
"""


def test_calling_a_plot_makes_it_alone_and_gives_it_back(script):
    script.run(ONE + CALL)

    assert script.lines("calls") == ["calculated", "bars TP53 ACTB", "True", "False"]
    assert text(script) == "bars TP53 ACTB {}"


@pytest.mark.parametrize("damage", [None, b"", b"no pickle"])
def test_a_plot_whose_data_are_gone_or_spoiled_is_given_back_all_the_same(script, damage):
    script.run(ONE + RUN)
    (script.folder / CACHE).unlink()
    if damage is not None:
        (script.folder / CACHE).write_bytes(damage)
    script.run(ONE + CALL + "job()\nnote(str(job.was_run))\n")

    assert script.lines("calls")[1:] == ["calculated", "bars TP53 ACTB", "True", "False", "False"]


def test_data_that_are_spoiled_unseen_are_never_drawn(script):
    script.run(ONE + RUN)
    cache = script.folder / CACHE
    before = cache.stat()
    cache.write_bytes(cache.read_bytes().replace(b"ACTB", b"GATA"))
    os.utime(cache, ns=(before.st_atime_ns, before.st_mtime_ns))
    script.run(ONE.replace("bars", "points") + RUN)

    assert text(script) == "points TP53 ACTB {}"
    assert script.lines("calls") == ["calculated"] * 2


def test_a_plot_that_was_made_is_given_back_without_making_it(script):
    script.run(ONE + CALL)
    script.run(ONE + CALL)

    assert script.started == []
    assert script.lines("calls")[4:] == ["bars TP53 ACTB", "False", "False"]


def test_between_runs_a_plot_may_be_declared_anew(script):
    script.run(
        ONE
        + "job.add_fiddle(lambda plot: Picture(plot.text + ' first'))\n"
        + RUN
        + "job = ppg.PlotJob('plots/one.png', lambda: [{'gene': 'new'}], lambda rows: Picture(rows), {'dpi': 1})\n"
        + "job.add_fiddle(lambda plot: Picture(f'{plot.text} second'))\n"
        + "note(job().text)\n"
    )

    assert script.lines("calls") == ["calculated", "[{'gene': 'new'}] second"]
    assert text(script) == "[{'gene': 'new'}] second {'dpi': 1}"
    assert text(script, TABLE) == "gene\nnew\n"


DECLARED_WRONGLY = [
    ("ppg.PlotJob('a.pngg', calculate, plot)", "does not end with a known format\n    file: a.pngg\n    job:  PlotJob"),
    ("ppg.PlotJob('a', calculate, plot)", "Known are .png, .pdf, .svg"),
    ("ppg.PlotJob('a.png', calculate, lambda: 1)", "does not take the data\n    plot function: <lambda>"),
    ("ppg.PlotJob('a.png', lambda data: 1, plot)", "wants more arguments than it is given"),
    ("ppg.PlotJob('a.png', None, plot)", "calc_function must be a function, not NoneType"),
    ("ppg.PlotJob('a.png', calculate, 'plot')", "plot_function must be a function, not str"),
    ("ppg.PlotJob('a.png', calculate, plot, [1])", "render_args must be a dict or None, not list"),
    ("ppg.PlotJob('a.png', calculate, plot).add_fiddle(1)", "a fiddle must be a function, not int"),
    ("for dpi in (1, 2): ppg.PlotJob('a.png', calculate, plot, {'dpi': dpi})", "a.png render_args"),
    ("ppg.PlotJob('a.png', calculate, plot).add_another_plot('a.pgn', plot)", "does not end with a known format"),
    (
        "ppg.PlotJob('b.png', lambda: 1, plot); ppg.PlotJob('a.png', calculate, plot).add_another_plot('b.png', plot)",
        "a second job of the same id",
    ),
    ("ppg.CombinedPlotJob('a.png', [], 'gene')", "takes PlotJobs that keep their data"),
    ("ppg.CombinedPlotJob('a.png', [ppg.PlotJob('b.png', calculate, plot, None, True, True)], 'gene')", "that keep"),
]


@pytest.mark.parametrize(("line", "told"), DECLARED_WRONGLY)
def test_what_is_declared_wrongly_is_refused_where_it_is(graph, line, told):
    names = {"ppg": ppg, "calculate": lambda: 1, "plot": lambda data: data}
    with pytest.raises((TypeError, ppg.JobContractError)) as caught:
        exec(compile("\n\n" + line, "script.py", "exec"), names)

    assert told in str(caught.value)
    assert "script.py:3" in str(caught.value)


FAILS = [
    ("plot", "lambda rows: None", "a plot function returned nothing", "return plt.gcf()"),
    ("plot", "lambda rows: len(rows)", "returned something that is no plot", "returned:      2 (int)"),
    ("plot", "lambda rows: 'a.png'", "returned something that is no plot", "leave the file to the job"),
    ("calculate", "lambda: (lambda: 1)", "can't be written to a cache", "cache/plots/one.png"),
    ("calculate", "lambda: (row for row in 'ab')", "can't be written to a cache", "generator"),
    ("calculate", "lambda: 5", "a calculation gave something that is no table", "Pass skip_table=True"),
]


@pytest.mark.parametrize(("name", "function", "headline", "more"), FAILS)
def test_a_function_that_gives_what_can_not_be_used_fails_with_the_mend(script, name, function, headline, more):
    script.run(ONE.replace("job =", f"{name} = {function}\njob =") + RUN, code=1)

    assert headline in script.stderr
    assert more in script.errors
    if name == "plot":
        assert not (script.folder / "plots/one.png").exists()
    elif "cache" in headline:
        assert not (script.folder / CACHE).exists()
    else:
        assert not (script.folder / TABLE).exists()


# The table


class Text:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


def table(data):
    out = Text()
    write_table(data, out)
    return out.text


def test_tables_of_plain_data():
    rows = [{"a": 1, "b": "x\ty"}, {"a": None, "c": 0.1}]

    assert table(rows) == 'a\tb\tc\n1\t"x\ty"\t\n\t\t0.1\n'
    assert table({"first": rows[:1], "second": [{"n": 1}]}) == '# first\na\tb\n1\t"x\ty"\n\n# second\nn\n1\n'


def test_tables_of_pandas_have_the_index_that_says_something():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": [0.1, 1e-300]})

    assert table(frame) == "a\tb\n1\t0.1\n2\t1e-300\n"
    assert table(frame.set_index("a")) == "a\tb\n1\t0.1\n2\t1e-300\n"
    assert table(frame.set_axis(["x", "y"])) == "\ta\tb\nx\t1\t0.1\ny\t2\t1e-300\n"
    assert table(frame.rename_axis("row")) == "row\ta\tb\n0\t1\t0.1\n1\t2\t1e-300\n"
    assert table([frame, frame["b"]]) == "# 1\na\tb\n1\t0.1\n2\t1e-300\n\n# 2\nb\n0.1\n1e-300\n"


def test_tables_of_polars():
    polars = pytest.importorskip("polars")

    assert table(polars.DataFrame({"a": [1, None], "b": ["x", "y"]})) == "a\tb\n1\tx\n\ty\n"


# Facets


COMBINED = """
import pandas
ppg.new_pipegraph()

def job(name, plot):
    return ppg.PlotJob(f"{name}.%s", lambda: pandas.DataFrame({"x": [1, 2], "y": [3, 1], "group": name}), plot)
"""
FACETED = {
    "altair": (
        "json",
        "import altair\ndef plot(data):\n    return altair.Chart(data).mark_point().encode(x='x', y='y')\n",
        "{'column': 'group:N'}",
    ),
    "plotnine": (
        "svg",
        "import plotnine\ndef plot(data):\n"
        "    return plotnine.ggplot(data, plotnine.aes('x', 'y')) + plotnine.geom_point()\n",
        "'group'",
    ),
    "seaborn": (
        "svg",
        "import seaborn.objects\ndef plot(data):\n"
        "    return seaborn.objects.Plot(data, x='x', y='y').add(seaborn.objects.Dot())\n",
        "['group']",
    ),
}


@pytest.mark.parametrize("library", FACETED)
def test_several_plots_are_combined_in_facets(script, library):
    pytest.importorskip(library)
    ending, plot, facets = FACETED[library]
    script.run(
        COMBINED % ending
        + plot
        + "seen = lambda plot: print('fiddled', type(plot).__name__)\n"
        + f"job = ppg.CombinedPlotJob('both.{ending}', [job('hela', plot), job('k562', plot)], {facets}, None, seen)\n"
        + RUN
        + "print(job.stdout, job.get_data().to_dict('list'))\n"
    )

    drawn = text(script, f"both.{ending}")
    if ending == "json":
        assert json.loads(drawn)["facet"]["column"]["field"] == "group"
    else:
        alone = text(script, f"hela.{ending}")
        assert drawn.count('<g id="axes_') == 2 * alone.count('<g id="axes_') > 0
    (said, *_) = script.lines("stdout.txt")
    assert said.startswith("fiddled ")
    assert "{'x': [1, 2, 1, 2], 'y': [3, 1, 3, 1], 'group': ['hela', 'hela', 'k562', 'k562']}" in text(
        script, "stdout.txt"
    )


def test_what_has_no_facets_is_told(script):
    script.run(ONE + "ppg.CombinedPlotJob('both.png', [job], 'gene')\n" + RUN, code=1)

    assert "a plot that has no facets" in script.stderr


def test_data_that_do_not_fit_below_each_other_are_told(script):
    other = "other = ppg.PlotJob('n.png', lambda: 1, lambda n: Picture(n), None, True)\n"
    script.run(ONE + other + "ppg.CombinedPlotJob('both.png', [job, other], 'gene')\n" + RUN, code=1)

    assert "data that can't be put below each other" in script.stderr
    assert "cache/n.png:" in script.errors


# Windows, figures, notebooks


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
class TestMatplotlib:
    WINDOWS = """
import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backend_bases import FigureManagerBase

class FigureManager(FigureManagerBase):
    def __init__(self, canvas, number):
        super().__init__(canvas, number)
        with open("windows", "a") as out:
            out.write(f"{os.getpid()} opened\\n")
    def destroy(self):
        with open("windows", "a") as out:
            out.write(f"{os.getpid()} closed\\n")

class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager
"""
    SCRIPT = """
import matplotlib
matplotlib.use("module://windows")
ppg.new_pipegraph()
PYPLOT

def plot(rows):
    import matplotlib.pyplot as plt
    print(plt.get_backend(), plt.get_fignums())
    plt.plot([1, 2], [3, rows[0]["a"]])
    return plt.gca()

job = ppg.PlotJob("a.png", lambda: [{"a": 1}], plot, {"width": 2, "height": 1, "dpi": 100})
ppg.run_pipegraph()
print(job.stdout)
"""

    def test_a_plot_function_that_is_the_first_to_import_it_opens_no_window(self, script):
        script.write(self.WINDOWS, "windows.py")
        script.environment["MPLBACKEND"] = "module://windows"
        script.run(
            self.SCRIPT.replace('import matplotlib\nmatplotlib.use("module://windows")', "").replace("PYPLOT", "")
        )

        assert script.lines("stdout.txt")[0] == "Agg []"
        assert script.lines("windows") == []

    @pytest.mark.parametrize("imported", ["import matplotlib.pyplot as plt; plt.figure()", ""])
    def test_a_job_opens_and_closes_no_window(self, script, imported):
        script.write(self.WINDOWS, "windows.py")
        script.run(
            self.SCRIPT.replace("PYPLOT", imported)
            + "import matplotlib.pyplot as plt; print(matplotlib.get_backend(), len(plt.get_fignums()), os.getpid())\n"
        )

        first, _, last = script.lines("stdout.txt")
        assert first == "Agg []"
        assert last.startswith("module://windows 1 " if imported else "module://windows 0 ")
        own = last.split()[-1]
        assert script.lines("windows") == ([f"{own} opened", f"{own} closed"] if imported else [])

    def test_a_plot_that_is_given_back_leaves_the_session_as_it_was(self, script):
        script.write(self.WINDOWS, "windows.py")
        script.run(
            self.SCRIPT.replace("PYPLOT", "import matplotlib.pyplot as plt; plt.figure(7)")
            + "figure = job()\n"
            + "print(type(figure).__name__, figure.get_size_inches(), plt.get_fignums(), matplotlib.get_backend())\n"
            + "figure.savefig('again.png', dpi=100)\n"
            + "print(plt.gcf().number, plt.gcf().axes)\n"
        )

        assert script.lines("stdout.txt")[-2:] == ["Figure [2. 1.] [7] module://windows", "7 []"]
        assert (script.folder / "again.png").read_bytes() == (script.folder / "a.png").read_bytes()

    def test_a_notebook_shows_the_plot_once(self, script):
        pytest.importorskip("nbclient")
        pytest.importorskip("ipykernel")
        cell = """
import matplotlib.pyplot as plt
import pipegraph as ppg
ppg.new_pipegraph(quiet=True)
def plot(rows):
    figure, axes = plt.subplots()
    axes.bar(["a"], [rows[0]["a"]])
    return axes
job = ppg.PlotJob("a.png", lambda: [{"a": 1}], plot)
job()
"""
        script.environment["HOME"] = str(script.folder)
        script.environment.pop("MPLBACKEND", None)
        script.run(
            f"""
import json, nbclient, nbformat
cells = [nbformat.v4.new_code_cell(cell) for cell in ({cell!r}, "plt.get_fignums()")]
nbclient.NotebookClient(nbformat.v4.new_notebook(cells=cells), timeout=60, kernel_name="python3").execute()
with open("outputs.json", "w") as out:
    json.dump([cell.outputs for cell in cells], out)
"""
        )

        first, second = json.loads(text(script, "outputs.json"))
        pictures = [output for output in first if "image/png" in output.get("data", ())]
        assert [output["output_type"] for output in pictures] == ["execute_result"]
        assert second[-1]["data"]["text/plain"] == "[]"
