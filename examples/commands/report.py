"""A report of what align.py made, by a script that knows only the files; see docs/commands.rst."""

import pipegraph as ppg

ppg.new_pipegraph()
job = ppg.FileGeneratingJob("report.html", lambda output: output.write_text("report"))
for name in ("counts/k562.tsv", "stats/k562.json", "data/reads_1.fq"):
    job.depends_on_file(name)
ppg.run_pipegraph()
