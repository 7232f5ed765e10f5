"""What docs/commands.rst shows is what the commands print: its lines are typed, in order, where its scripts are."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

from commands import write_scripts
from scripts import ROOT

DOCUMENT = ROOT / "docs" / "commands.rst"


def blocks_of(text):
    return [textwrap.dedent(block) for block in re.findall(r"\.\. code-block:: bash\n\n((?:   .*\n|\n)+)", text)]


def played(blocks, script):
    """The blocks as a shell fills them."""
    write_scripts(script.folder)
    command = script.folder / "bin" / "pipegraph"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipegraph "$@"\n')
    command.chmod(0o755)
    script.environment["PATH"] = f"{command.parent}:/usr/bin:/bin"
    filled = []
    for block in blocks:
        lines = []
        for typed in re.findall(r"^\$ .*", block, re.MULTILINE):
            ended = subprocess.run(
                ["bash", "-c", typed[2:]],
                cwd=script.folder,
                env=script.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            lines += [typed, *ended.stdout.splitlines()]
        filled.append(lines)
    return filled


def settled(line):
    """Without what differs from run to run, and without the blanks that end no line here."""
    return re.sub(r"\d+\.\d s", "SECONDS", line).rstrip()


def test_the_document_shows_what_the_commands_print(script):
    blocks = blocks_of(DOCUMENT.read_text())
    shown = [[settled(line) for line in block.splitlines() if line.strip()] for block in blocks]

    assert len(shown) >= 5
    assert [[settled(line) for line in lines] for lines in played(blocks, script)] == shown


if __name__ == "__main__":
    # Prints the document with what the commands print now.
    import tempfile
    from pathlib import Path

    from scripts import Script

    with tempfile.TemporaryDirectory() as folder:
        text = Path(sys.argv[1]).read_text()
        filled = iter(played(blocks_of(text), Script(Path(folder))))
    for part in re.split(r"(\.\. code-block:: bash\n\n(?:   .*\n|\n)+)", text):
        if part.startswith(".. code-block:: bash"):
            lines = "".join(f"   {line}\n" for line in next(filled))
            part = f".. code-block:: bash\n\n{lines}\n"
        sys.stdout.write(part)
