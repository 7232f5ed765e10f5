"""What the live display costs, and how soon Enter is answered. Real terminals; everything in a temporary folder.

    python util/bench/display.py --what frames            a frame, and an event, at 1 000 to a million jobs
    python util/bench/display.py --what tiny              one-line jobs, with the display and without, side by side
    python util/bench/display.py --what enter             from the key to the answer, with up to 64 jobs running

Shares are of one core. A frame is followed by none for a hundred times as long as it took.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import statistics
import sys
import tempfile
import time
from pathlib import Path

import measuring

ROOT = measuring.ROOT
sys.path[:0] = [measuring.PACKAGE, str(ROOT / "tests")]

WHAT = ("frames", "tiny", "enter")

TINY = """
import resource, sys, time
import pipegraph as ppg
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2, interactive={interactive}), quiet={quiet})
for n in range({jobs}):
    ppg.FileGeneratingJob(f"out/{{n % 100}}/{{n}}", lambda of: of.write_text("x"))
began = time.perf_counter()
ppg.run_pipegraph()
used = resource.getrusage(resource.RUSAGE_SELF)
with open("figures", "w") as out:
    print(time.perf_counter() - began, used.ru_utime + used.ru_stime, file=out)
"""

WAITING = """
import time
import pipegraph as ppg
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem({jobs}))
def wait(of):
    print("line", flush=True)
    time.sleep(600)
for n in range({jobs}):
    ppg.FileGeneratingJob(f"out/{{n}}", wait)
ppg.run_pipegraph()
"""


def frames(sizes: list[int]) -> None:
    from streams import board_after, many

    from pipegraph.watchers.announcements import Announcements
    from pipegraph.watchers.terminal import FRAME_SECONDS, Terminal

    for jobs in sizes:
        events = many(jobs, 64, 3)
        # Scripts have thousands of jobs made at one line.
        specs = [spec._replace(place=spec.place._replace(line=spec.place.line % 20)) for spec in events[0].jobs]
        events[0] = events[0]._replace(jobs=tuple(specs))
        began = time.process_time()
        board = board_after(*events)
        seen = time.process_time() - began
        board.cores = 64
        end, other = pty.openpty()
        with os.fdopen(other, "w") as stream:
            terminal = Terminal(board, Announcements(board, False, "logs"), stream)
            took = []
            for _ in range(50):
                began = time.process_time()
                terminal.draw()
                took.append(time.process_time() - began)
                while select.select([end], [], [], 0)[0]:
                    os.read(end, 1 << 16)
            terminal.close()
        os.close(end)
        frame = statistics.median(took)
        share = 100 * frame / max(FRAME_SECONDS, 100 * frame)
        print(
            f"  {jobs:>9} jobs: an event {1e6 * seen / (len(events) + jobs):.2f} us, a frame {1e3 * frame:.2f} ms, "
            f"{share:.1f} % of a core"
        )


def at_a_terminal(script: str, folder: Path) -> tuple[int, int]:
    """The script's process, and our end of its terminal."""
    (folder / "script.py").write_text(script)
    pid, end = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.update(PYTHONPATH=measuring.PACKAGE, TERM="xterm-256color")
        os.environ.pop("PYTEST_CURRENT_TEST", None)  # with it, nothing is drawn
        os.execv(sys.executable, [sys.executable, "script.py"])
    return pid, end


def wait_for_its_end(pid: int, end: int) -> None:
    with contextlib.suppress(OSError):  # which is how a terminal ends
        while os.read(end, 1 << 16):
            pass
    os.waitpid(pid, 0)
    os.close(end)


def tiny(jobs: int, repeat: int) -> None:
    found: dict[str, list[list[float]]] = {"display": [], "quiet": []}
    for _ in range(repeat):
        for how, figures in found.items():
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                script = TINY.format(jobs=jobs, interactive=how == "display", quiet=how == "quiet")
                pid, end = at_a_terminal(script, folder)
                wait_for_its_end(pid, end)
                figures.append([float(each) for each in (folder / "figures").read_text().split()])
    for how, figures in found.items():
        wall, cpu = (1e6 * statistics.median(column) / jobs for column in zip(*figures))
        print(f"  {how:<8} {wall:6.0f} us of wall a job, {cpu:6.0f} of the master's processor time")
    walls = [one[0] / other[0] for one, other in zip(found["display"], found["quiet"])]
    added = statistics.median(one[1] - other[1] for one, other in zip(found["display"], found["quiet"]))
    share = 100 * added / statistics.median(other[0] for other in found["quiet"])
    print(f"  wall with the display: {statistics.median(walls):.3f} times; it adds {share:.1f} % of a core")


def enter(sizes: list[int], repeat: int) -> None:
    for jobs in sizes:
        with tempfile.TemporaryDirectory() as name:
            pid, end = at_a_terminal(WAITING.format(jobs=jobs), Path(name))
            wait_for(end, b"help: what else", 60)
            time.sleep(2)
            drain(end)
            took = []
            for _ in range(repeat):
                drain(end)
                began = time.perf_counter()
                os.write(end, b"\r")
                wait_for(end, b"expected end", 60)
                took.append(time.perf_counter() - began)
                time.sleep(0.7)
            os.write(end, b"\x03\x03")
            wait_for_its_end(pid, end)
            print(f"  {jobs:>3} running: {1e3 * statistics.median(took):.0f} ms, at most {1e3 * max(took):.0f}")


def wait_for(end: int, word: bytes, seconds: float) -> None:
    data, until = b"", time.monotonic() + seconds
    while word not in data:
        if time.monotonic() > until:
            sys.exit(f"{word!r} did not come: {data[-2000:]!r}")
        if select.select([end], [], [], 0.1)[0]:
            data += os.read(end, 1 << 16)


def drain(end: int) -> None:
    while select.select([end], [], [], 0.05)[0]:
        os.read(end, 1 << 16)


def main() -> None:
    given = measuring.settings(
        __doc__, {"what": list(WHAT)}, what=(list(WHAT), list(WHAT)), jobs=(10_000, 20), repeat=(5, 1)
    )
    for what in given.what:
        if what == "frames":
            frames([1_000] if given.quick else [1_000, 100_000, 1_000_000])
        elif what == "tiny":
            tiny(given.jobs, given.repeat)
        else:
            enter([1] if given.quick else [1, 8, 64], given.repeat)


if __name__ == "__main__":
    main()
