"""Figures become files: in each format that a library has, the same bytes each time, in the size that was asked for."""

import importlib.util
import re
import shutil
import subprocess
import sys
import types

import pytest
from scripts import Script

from pipegraph.rendering import drawn, figure_of, own_figures, render

LIBRARIES = {
    "matplotlib": (
        "png pdf svg eps jpg tif webp",
        """
import matplotlib.pyplot as plt
def plot(data):
    figure, axes = plt.subplots()
    axes.scatter(data["x"], data["y"], label="é and $x^2$")
    axes.legend()
    return figure
""",
    ),
    "seaborn": (
        "png pdf svg",
        """
import seaborn
def plot(data):
    return seaborn.relplot(data=data, x="x", y="y", hue="group")
""",
    ),
    "seaborn.objects": (
        "png pdf svg",
        """
import seaborn.objects
def plot(data):
    return seaborn.objects.Plot(data, x="x", y="y", color="group").add(seaborn.objects.Dot())
""",
    ),
    "plotnine": (
        "png pdf svg",
        """
import plotnine
def plot(data):
    whole = plotnine.ggplot(data, plotnine.aes("x", "y", color="group")) + plotnine.geom_point()
    return whole + plotnine.facet_wrap("group") + plotnine.theme_xkcd()
""",
    ),
    "altair": (
        "png svg html json",
        """
import altair
def plot(data):
    return altair.Chart(data).mark_point().encode(x="x", y="y", color="group").interactive()
""",
    ),
    "plotly": (
        "html json",
        """
import plotly.graph_objects
def plot(data):
    return plotly.graph_objects.Figure(plotly.graph_objects.Scatter(x=data["x"], y=data["y"]))
""",
    ),
}
NEEDS = {"altair": "vl_convert"}
HEAD = """
import pandas
ppg.new_pipegraph()
data = pandas.DataFrame({"x": [1, 2, 3, 4], "y": [3, 1, 4, 1.5], "group": list("abab")})
"""
BEGINS = {
    "png": rb"\x89PNG",
    "pdf": rb"%PDF",
    "svg": rb"(<\?xml|<svg)",
    "eps": rb"%!PS-Adobe.* EPSF",
    "jpg": rb"\xff\xd8\xff",
    "tif": rb"(II\*|MM\0\*)",
    "webp": rb"RIFF....WEBP",
    "html": rb"(?i)(<!doctype |<)html>",
    "json": rb"\{",
}
DATES = rb"D:(\d{4})|<dc:date>(\d{4})|CreationDate: \w+ \w+ .* (\d{4})\n"


def is_there(library):
    name = library.partition(".")[0]
    return all(importlib.util.find_spec(each) for each in ("pandas", name, NEEDS.get(name, name)))


@pytest.fixture(scope="module")
def made_twice(tmp_path_factory):
    """All formats of all libraries, from two runs, by path."""
    script = Script(tmp_path_factory.mktemp("rendering"))
    lines = [HEAD]
    for library, (formats, plot) in LIBRARIES.items():
        if is_there(library):
            names = [f"out/{library}.{each}" for each in formats.split()]
            lines += [plot, f"job = ppg.PlotJob({names[0]!r}, lambda: data, plot, None, True)"]
            lines += [f"job.add_another_plot({name!r}, plot)" for name in names[1:]]
    script.environment.pop("SOURCE_DATE_EPOCH", None)
    script.write("\n".join([*lines, "ppg.run_pipegraph()"]))
    made = []
    for seed in "12":
        shutil.rmtree(script.folder / "out", ignore_errors=True)
        script.environment["PYTHONHASHSEED"] = seed
        script.run()
        made.append({str(path.relative_to(script.folder)): path.read_bytes() for path in script.folder.glob("out/*")})
    return made


@pytest.mark.parametrize(
    ("library", "ending"), [(library, ending) for library, (names, _) in LIBRARIES.items() for ending in names.split()]
)
def test_the_same_plot_is_the_same_bytes(made_twice, library, ending):
    if not is_there(library):
        pytest.skip(f"{library}, or what it needs, is not installed")

    first, second = (made[f"out/{library}.{ending}"] for made in made_twice)
    assert re.match(BEGINS[ending], first, re.DOTALL), first[:100]
    assert first == second
    if ending in ("pdf", "svg", "eps"):
        # Two runs may fall into one second: no date but this one.
        assert {year for years in re.findall(DATES, first) for year in years if year} <= {b"1970"}


def test_a_date_that_the_environment_says_is_kept(script):
    pytest.importorskip("matplotlib")
    script.environment["SOURCE_DATE_EPOCH"] = "1000000000"
    script.run(
        "ppg.new_pipegraph()\ndata = {'x': [1], 'y': [2]}\n"
        + LIBRARIES["matplotlib"][1]
        + "ppg.PlotJob('plot.pdf', lambda: data, plot, None, True)\nppg.run_pipegraph()"
    )

    assert b"D:20010909" in (script.folder / "plot.pdf").read_bytes()


class Recorder:
    def __init__(self):
        self.calls = []


def recording(**ways):
    """Something that has these ways to be written, and remembers what was asked of it."""
    one = Recorder()
    for name in ways:
        setattr(one, name, lambda path, name=name, **arguments: one.calls.append((name, path, arguments)))
    return one


@pytest.mark.parametrize(
    ("has", "path", "called"),
    [
        (("savefig", "save", "render"), "a.png", "savefig"),
        (("save", "render", "write_image"), "a.png", "save"),
        (("render",), "a.png", "render"),
        (("write_image", "write_html", "write_json"), "a.PNG", "write_image"),
        (("write_image", "write_html", "write_json"), "a.json", "write_json"),
    ],
)
def test_what_has_several_ways_to_be_written_is_written_by_the_first(has, path, called):
    figure = recording(**dict.fromkeys(has))

    render(figure, path, {"scale": 2})

    assert figure.calls == [(called, path, {"scale": 2})]


def test_the_pages_of_plotly_have_no_random_names():
    figure = recording(write_image=1, write_html=1)

    render(figure, "a.HTML", {})
    render(figure, "a.html", {"div_id": "mine"})

    assert [arguments["div_id"] for _, _, arguments in figure.calls] == ["plot", "mine"]


NOTHING = [None, 5, "a.png", b"a.png", [], [None, 3], {"figure": 1}, object(), types.SimpleNamespace(save=1)]


@pytest.mark.parametrize("nothing", NOTHING)
def test_what_is_no_plot_is_not_drawn(nothing):
    assert drawn(nothing) is None


def test_a_path_is_no_plot_though_strings_have_parts(tmp_path):
    assert drawn(tmp_path) is None


def test_parts_of_a_figure_lead_to_it():
    figure = recording(savefig=1)
    axes = types.SimpleNamespace(figure=figure)

    wholes = [figure, axes, (figure, axes), [axes], [[axes]], {"matrix": axes}, [5, axes]]
    assert [drawn(each) for each in wholes] == [figure] * 7


def test_the_first_parts_of_a_long_row_are_looked_at_and_no_more():
    assert drawn(list(range(10**6)) + [recording(savefig=1)]) is None


@pytest.fixture
def plt(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.setitem(matplotlib.rcParams, "svg.hashsalt", None)
    matplotlib.use("Agg")
    import matplotlib.pyplot

    yield matplotlib.pyplot
    matplotlib.pyplot.close("all")


def test_all_that_matplotlib_gives_leads_to_its_figure(plt):
    figure, axes = plt.subplots(2, 2)
    below = figure.subfigures()

    whole = [figure, axes, axes[0][0], axes[0][0].plot([1]), axes[0][0].bar([1], [2]), below, below.subplots(), plt]
    assert [figure_of(each, {}) for each in whole] == [figure] * 7 + [plt]


def test_width_and_height_of_a_matplotlib_figure_are_inches(plt, tmp_path):
    axes = plt.gca()
    render(axes, str(tmp_path / "a.png"), {"width": 2, "height": 1, "dpi": 50})
    render(axes, str(tmp_path / "b.png"), {"width": 3, "dpi": 50})

    assert plt.imread(tmp_path / "a.png").shape[:2] == (50, 100)
    assert plt.imread(tmp_path / "b.png").shape[:2] == (50, 150)
    assert figure_of(axes, {"height": 4}).get_size_inches().tolist() == [3, 4]


def test_names_in_an_svg_that_the_script_has_chosen_are_kept(plt, tmp_path):
    plt.rcParams["svg.hashsalt"] = "mine"
    render(plt.figure(), str(tmp_path / "a.svg"), {})

    assert plt.rcParams["svg.hashsalt"] == "mine"


def test_what_is_drawn_meanwhile_is_in_figures_of_its_own_which_are_closed(plt):
    first, second = plt.figure(3), plt.figure(1)
    with pytest.raises(ZeroDivisionError), own_figures():
        plt.plot([1, 2])
        assert plt.get_fignums() == [1]
        1 / 0

    assert plt.get_fignums() == [1, 3]
    assert plt.gcf() is second
    assert first.axes == second.axes == []


def test_looking_at_a_plot_imports_no_library():
    show = (
        "import sys\nfrom pipegraph import rendering\n"
        "rendering.begin_rendering()\nrendering.drawn([1])\n"
        "with rendering.own_figures(): pass\n"
        "print({'matplotlib', 'numpy', 'pandas', 'plotly'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)

    assert answer.stdout == "set()\n"
