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


made = []


def declare():
    with open("results/chosen.tsv", newline="") as table:
        made.extend(measure(row) for row in csv.DictReader(table, delimiter="\t"))


def join(output):
    output.write_text("".join(path.read_text() for job in made for path in job.files))


def inject():
    joined.depends_on(made)
    joined.depends_on(ppg.ParameterInvariant("order of all.tsv", [job.job_id for job in made]))


chosen = ppg.FileGeneratingJob("results/chosen.tsv", choose)
chosen.depends_on_file("sheet.csv")
declared = ppg.JobGeneratingJob("measured", declare)
declared.depends_on(chosen)
joined = ppg.FileGeneratingJob("results/all.tsv", join)
injected = ppg.DependencyInjectionJob("inputs of all.tsv", inject)
injected.depends_on(declared)
joined.depends_on(injected)

ppg.run_pipegraph()
