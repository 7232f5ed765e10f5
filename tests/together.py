"""Several runs that share a ledger of two cores, and what their jobs write down of who ran when."""

from __future__ import annotations

import textwrap
from pathlib import Path

from scripts import Script, wait_until

from pipegraph.machine.looking import Share, look
from pipegraph.machine.place import Place

HEAD = """
from pathlib import Path
import pipegraph.admission.supply as supply
supply.machine_cores = lambda: 2  # wherever the tests run

SHARED = Path({shared!r})

def note(mark, name, cores=1):
    # Appending is atomic, and what is written first happened first.
    with open(SHARED / "witness.txt", "a") as witness:
        witness.write(f"{{mark}} {{name}} {{cores}} {{os.getpid()}}\\n")

def wait_for(*names):
    while not all((SHARED / name).exists() for name in names):
        time.sleep(0.005)

def job(name, gate=None, cores=1, seconds=0.02, behind=(), **more):
    def work(output):
        wait_for(*behind)  # of two that start at once, so that it is known who is written down first
        note("+", name, cores)
        (SHARED / f"begun_{{name}}").touch()
        if gate is None:
            time.sleep(seconds)
        else:
            wait_for(gate)
        output.write_text(name)
        note("-", name, cores)
    made = ppg.FileGeneratingJob(f"out/{{name}}", work, **more)
    made.cores_needed = cores
    return made

def graph(**more):
    return ppg.new_pipegraph(cores=2, **more)
"""


class Runs:
    """Scripts in folders of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.ledger.mkdir()
        self.ledger.chmod(0o1777)
        self.scripts: list[Script] = []

    def make(self, name: str, text: str, **environment: str) -> Script:
        """Written, and not begun."""
        (self.folder / name).mkdir()
        script = Script(self.folder / name)
        script.environment |= {"PIPEGRAPH_LEDGER": str(self.ledger), **environment}
        script.write(HEAD.format(shared=str(self.folder)) + textwrap.dedent(text), f"{name}.py")
        self.scripts.append(script)
        return script

    def start(self, name: str, text: str, **environment: str):
        """Its process."""
        return self.make(name, text, **environment).start(f"{name}.py")

    def open(self, *gates: str) -> None:
        for gate in gates:
            (self.folder / gate).touch()

    def witness(self) -> list[list[str]]:
        """Each begin and end, in order."""
        path = self.folder / "witness.txt"
        # The last line may be half written.
        return [line.split() for line in path.read_text().splitlines(True) if line[-1] == "\n"] if path.exists() else []

    def begun(self) -> list[str]:
        return [name for mark, name, *_ in self.witness() if mark == "+"]

    def ended(self) -> list[str]:
        return [name for mark, name, *_ in self.witness() if mark == "-"]

    def wait_for_begin(self, *names: str) -> None:
        wait_until(lambda: set(names) <= set(self.begun()), f"they do not begin: {names}", 60)

    def most_at_once(self) -> int:
        """Cores that all jobs had together."""
        most = used = 0
        for mark, _, cores, _ in self.witness():
            used += int(cores) if mark == "+" else -int(cores)
            most = max(most, used)
        return most

    def shares(self) -> dict[str, Share]:
        """What the ledger says, by script."""
        return {share.script.rpartition("/")[2]: share for share in look(Place(str(self.ledger), True))}

    def wait_until_waiting(self, name: str) -> None:
        def is_waiting() -> bool:
            share = self.shares().get(f"{name}.py")
            return share is not None and share.wanted is not None

        wait_until(is_waiting, f"{name} does not wait", 60)

    def assert_ended_well(self, *processes) -> None:
        for process in processes:
            code = process.wait(60)
            assert code == 0, [script.stderr for script in self.scripts if script.begun]

    def end(self) -> None:
        for script in self.scripts:
            script.end()
