"""What docs/terminal.rst shows is what a terminal shows: its example is run, stopped, and asked for help."""

import re
import textwrap

from scripts import ROOT
from terminals import at_terminal

DOCUMENT = (ROOT / "docs" / "terminal.rst").read_text()
EXAMPLE = (ROOT / "examples" / "terminal" / "analysis.py").read_text()


def block_with(words):
    """The lines of the text block that has these words, their indentation taken away."""
    blocks = re.findall(r"\.\. code-block:: text\n\n((?:   .*\n|\n)+)", DOCUMENT)
    (found,) = [block for block in blocks if words in block]
    return [line for line in textwrap.dedent(found).splitlines() if line.strip()]


def settled(line):
    """Without what differs from run to run: times, and where pipegraph is installed."""
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", line)
    line = re.sub(r"\d+\.\d s", "SECONDS", line)
    line = re.sub(r"hela_[12]", "hela_N", line)
    return re.sub(r"to \S+/pipegraph/jobs/files.py:\d+", "to FILES", line).rstrip()


def assert_shown(words, text):
    shown = {settled(line) for line in text.splitlines()}
    missing = [line for line in map(settled, block_with(words)) if line not in shown and line.strip() != "\u2026"]

    assert missing == [], text


def test_help_failures_and_the_summary(script):
    (script.folder / "analysis.py").write_text(EXAMPLE.replace("0.4", "0.1"))
    with at_terminal(script.folder, "analysis.py", columns=120) as terminal:
        terminal.wait_for("reads aligned")
        terminal.wait_for("> Enter: what is running. help: what else can be asked and done.")
        terminal.type("help\r")
        assert terminal.wait() == 1

    assert_shown("kill JOB", terminal.screen.text)
    assert_shown("last line printed", terminal.screen.text)
    assert_shown("details: logs", terminal.screen.text)
    assert_shown("api_token", script.errors)


def test_ctrl_c(script):
    (script.folder / "analysis.py").write_text(EXAMPLE)
    with at_terminal(script.folder, "analysis.py") as terminal:
        terminal.wait_for("2 running")
        terminal.type("\x03")
        terminal.wait()

    assert_shown("not begun:", terminal.screen.text)
