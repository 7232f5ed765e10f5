"""Expression of eight genes in two cell lines: one calculation, a table, and two plots of it.

The counts are made up. Run it, then change a colour below and run it again: nothing is calculated, one plot is drawn.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas

import pipegraph as ppg

COUNTS = Path(__file__).with_name("counts.tsv")


def mean_expression():
    """Counts per million reads, the mean of each cell line's samples."""
    counts = pandas.read_csv(COUNTS, sep="\t", index_col="gene")
    per_million = counts / counts.sum() * 1e6
    return per_million.T.groupby(lambda sample: sample.split("_")[0]).mean().T


def plot_bars(expression):
    figure, axes = plt.subplots()
    (expression + 1).plot.bar(ax=axes, log=True, color=["#1f6f8b", "#e8871e"])
    axes.set(xlabel="", ylabel="counts per million + 1")
    figure.tight_layout()
    return figure


def plot_against(expression):
    axes = plt.figure().subplots()
    axes.loglog(expression["HeLa"] + 1, expression["K562"] + 1, "o", color="#1f6f8b")
    for gene, means in expression.iterrows():
        axes.annotate(gene, means + 1, xytext=(4, 4), textcoords="offset points")
    axes.margins(0.15)
    axes.set(xlabel="HeLa", ylabel="K562")
    return axes


ppg.new_pipegraph()

bars = ppg.PlotJob("plots/expression.png", mean_expression, plot_bars, {"width": 6, "height": 4, "dpi": 150})
bars.depends_on_file(COUNTS)
bars.add_another_plot("plots/hela_k562.pdf", plot_against)

ppg.run_pipegraph()
