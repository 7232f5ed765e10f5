"""docs/plots.rst and its example: what the page says comes of an edit does."""

import re
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "plots.rst").read_text()

pytest.importorskip("matplotlib")


def block():
    (lines,) = re.findall(r"code-block:: python\n\n((?:   .*\n|\n)+)", PAGE)
    return "".join(line.removeprefix("   ") for line in lines.splitlines(keepends=True))


def edited(text, old, new):
    assert text.count(old) == 1
    return text.replace(old, new)


def test_the_script_of_the_page_does_what_the_page_says(script):
    script.run(block())
    made = {str(path.relative_to(script.folder)) for path in script.folder.rglob("*") if path.is_file()}
    named = set(re.findall(r"``((?:plots|cache)/[\w./]+)``", PAGE.partition("Who depends on what")[0]))
    assert len(named) == 4
    assert named <= made

    script.run(edited(block(), "axes.bar([", "axes.barh(["))
    assert script.started == ["plots/reads.png"]

    script.run(edited(block(), "axes.bar([", "axes.barh([").replace("return [", "return list() + ["))
    assert script.started == ["cache/plots/reads.png"]


def test_the_example_draws_only_what_an_edit_concerns(script):
    for name in ("expression.py", "counts.tsv"):
        shutil.copy(REPOSITORY / "examples" / "plots" / name, script.folder)
    text = (script.folder / "expression.py").read_text()
    script.run(text)
    assert len(script.started) == 4
    counts = [[int(count) for count in line.split("\t")[1:]] for line in script.lines("counts.tsv")[1:]]
    sums = [sum(column) for column in zip(*counts)]
    hela = sum(counts[1][sample] / sums[sample] for sample in range(3)) / 3 * 1e6
    gene, mean, _ = script.lines("plots/expression.png.tsv")[2].split("\t")
    assert (gene, float(mean)) == ("GAPDH", pytest.approx(hela))

    script.run(edited(text, 'color=["#1f6f8b", "#e8871e"]', 'color=["#1f6f8b", "#333333"]'))
    assert script.started == ["plots/expression.png"]


def test_each_ending_that_is_taken_is_on_the_page():
    from pipegraph.jobs.plots import EXTENSIONS

    (line,) = re.findall(r"The ending of the file's name says the format: ([^.]+)\.", PAGE)
    named = set(re.findall(r"\w+", line.replace(" or ", " ")))
    assert named == {each[1:] for each in EXTENSIONS} - {"jpeg", "tiff"}
