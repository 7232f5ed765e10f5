"""Several projects that share a folder of results, and what came of them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from scripts import Script

BUILD = """
    def called(name):
        with open(os.environ["CALLS"], "a") as out:
            out.write(name + "\\n")

    def build(out):
        called("build")
        out.parent.mkdir(exist_ok=True)
        out.write_text(open("genome.txt").read() * 3)

    ppg.new_pipegraph()
"""
INDEX = (
    BUILD
    + """
    index = ppg.FileGeneratingJob("out/index.txt", build).share(os.environ["STORE"])
    index.depends_on_file("genome.txt")
    ppg.FileGeneratingJob("out/report.txt", lambda out: out.write_text(open("out/index.txt").read() + "!")).depends_on(
        index
    )
    ppg.run_pipegraph()
"""
)
"""Makes out/index.txt of genome.txt, and out/report.txt of that."""


class Project(Script):
    """A script in a folder of its own; its callbacks append a line to the file in CALLS."""

    def __init__(self, folder: Path, shared: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        self.shared = shared
        self.environment |= {"STORE": str(shared / "store"), "CALLS": str(shared / "calls")}

    def put(self, **files: str) -> None:
        for name, text in files.items():
            (self.folder / f"{name}.txt").write_text(text)

    @property
    def log(self) -> str:
        return (self.folder / "logs" / "ppg_run.txt").read_text()

    def ended(self, word: str) -> list[str]:
        """The jobs of the last run of which the log says so: made, brought back, up to date."""
        return re.findall(rf"^\S+ \S+ {word} +(\S+) \(", self.log, re.MULTILINE)


class Store:
    """The folder that projects share, as it lies there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def entries(self) -> list[Path]:
        return sorted(path.parent for path in self.folder.glob("*/*/manifest.json") if path.parts[-3] not in OTHER)

    @property
    def leftovers(self) -> list[Path]:
        return sorted(self.folder.glob("building/*"))

    @property
    def damaged(self) -> list[Path]:
        return sorted(self.folder.glob("damaged/*"))

    def is_right(self) -> bool:
        """Each result is what its manifest says."""
        from pipegraph.invariants import files

        for entry in self.entries:
            manifest = json.loads((entry / "manifest.json").read_text())
            for number, (_, size, content) in enumerate(manifest["files"]):
                record = files.read(str(entry / str(number)))
                if (record.size, record.content) != (size, content):
                    return False
        return True


OTHER = ("building", "damaged")


def calls(shared: Path) -> list[str]:
    path = shared / "calls"
    return path.read_text().split() if path.exists() else []


def waiting_for(path: Path) -> int:
    """How many processes sleep until they get the lock of this file (proc_locks(5))."""
    try:
        inode = os.stat(path).st_ino
    except FileNotFoundError:
        return 0
    lines = Path("/proc/locks").read_text().splitlines()
    return sum("->" in line and f":{inode} " in line for line in lines)
