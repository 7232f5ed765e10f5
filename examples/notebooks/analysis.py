import pipegraph as ppg

ppg.new_pipegraph()


def write_values(output):
    output.write_text("\n".join(str(number * number % 17) for number in range(40)))


values = ppg.FileGeneratingJob("results/values.txt", write_values)
report = ppg.NotebookJob(
    "report.ipynb",
    "results/report.ipynb",
    parameters={"cutoff": 9},
    outputs={"large": "results/large.txt"},
)
report.depends_on(values)


def count(output):
    with open("results/large.txt") as large:
        output.write_text(f"{len(large.read().split())} values are large\n")


counted = ppg.FileGeneratingJob("results/count.txt", count)
counted.depends_on(report["large"])

ppg.run_pipegraph()
