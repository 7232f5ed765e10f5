"""Which words are in which text, by programs that every Debian has: grep, sort, uniq, awk, gzip (docs/programs.rst)."""

from pathlib import Path

import pipegraph as ppg
from pipegraph.placeholders import cores, input, inputs, output, temp

ppg.new_pipegraph()

SHORTEST = 6

counted = []
for text in sorted(Path("data").glob("*.txt")):
    words = ppg.TempCommandJob(
        f"words/{text.stem}.txt", "grep -oE '[[:alpha:]]+' {input} | tr A-Z a-z > {output}", text
    )
    in_order = ppg.CommandJob(
        f"sorted/{text.stem}.txt",
        ["sort", f"--parallel={cores}", "-T", temp, "-o", output, input],
        words,
        env={"LC_ALL": "C"},
        version=True,
    ).use_cores(2)
    counted.append(
        ppg.CommandJob(f"counts/{text.stem}.tsv", "uniq -c {input} | awk '{print $2 \"\\t\" $1}' > {output}", in_order)
    )

# grep ends with 1 where it finds nothing, which is no failure here.
long_words = ppg.CommandJob(
    "long_words.txt",
    ["grep", "-E", f"^[a-z]{{{SHORTEST},}}", inputs],
    counted,
    stdout=output,
    exit_codes=(0, 1),
    timeout=60,
    empty_ok=True,
)
ppg.CommandJob("long_words.txt.gz", ["gzip", "-nc", input], long_words, stdout=output)

ppg.run_pipegraph()
