import csv

import pipegraph as ppg

ppg.new_pipegraph()


def choose(output):
    with open("sheet.csv", newline="") as sheet, output.open("w") as out:
        out.write("name\tsequence\n")
        out.writelines(f"{row['name']}\t{row['sequence']}\n" for row in csv.DictReader(sheet) if row["passed"] == "yes")


def measure(row):
    name, sequence = row["name"], row["sequence"]

    def count(output):
        output.write_text(f"{name}\t{sequence.count('G') + sequence.count('C')}\n")

    return ppg.FileGeneratingJob(f"results/{name}.tsv", count)


def join(paths, output):
    output.write_text("".join(path.read_text() for path in paths))


chosen = ppg.FileGeneratingJob("results/chosen.tsv", choose)
chosen.depends_on_file("sheet.csv")
measured = ppg.JobPerRow("measured", chosen, measure)
ppg.MergeJob("results/all.tsv", measured, join)

ppg.run_pipegraph()
