"""Random scripts as real processes: killed, edited, run again, and looked at after each end, however it came.

A round is one script in a new folder, from one seed. Its plan says what must be there and what may run; the script's
jobs note themselves in the file `ran`; the status file is read, as a copy, after each process. Whatever does not agree
is a violation, which keeps the folder and tells how to have the same round again. What follows from the seed are the
script, its edits and its attacks; what an attack hits is up to the moment.

    python -m proof.attack ROUNDS [--seed N] [--processes N]
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import pipegraph
from pipegraph.model import Past
from pipegraph.status import StatusFile

from .plans import BAD, KEPT, LOADING, STAYING, TEMPORARY, Expected, Plan, Planned

ROOT = Path(pipegraph.__file__).parent.parent
HANG_SECONDS = 60.0
LEFT_OVER_SECONDS = 5.0
_GENERATING = ("generator", "injection")
_EPHEMERAL = TEMPORARY + KEPT + LOADING
_OWN_FILES = {"script.py", "ran", ".pipegraph_status", ".pipegraph_status.lock"}
_FATAL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
_OF_DAMAGE = re.compile("1 line is damaged|records were lost")
_OF_CACHE = re.compile(r"warning: (\S+) \(.*\) the cache was changed since it was made")
_VICTIMS = ("master", "master", "keeper", "slave", "job", "everything")


class Violation(Exception):
    """Something that must hold did not."""


class Stroke(NamedTuple):
    """A signal, so long after the one before; `victim` None: whom that one hit."""

    pause_seconds: float
    victim: str | None
    number: signal.Signals


class Attack(NamedTuple):
    """When, as the share of a run that is over, by its time or by the lines that its jobs wrote; and what then."""

    share: float
    is_by_time: bool
    strokes: tuple[Stroke, ...] = ()
    cut: str = ""

    def __str__(self) -> str:
        strokes = ", then ".join(
            f"{stroke.number.name} to {stroke.victim or 'the same'}"
            + (f" after {stroke.pause_seconds * 1000:.0f} ms" if stroke.pause_seconds else "")
            for stroke in self.strokes
        )
        return strokes or f"SIGKILL {self.cut} a record"


class Record(NamedTuple):
    """The last success of a job that the status file knows: its trace, what it was made from, what it left."""

    trace: tuple[object, ...]
    inputs: dict[str, object]
    texts: dict[str, str]


@dataclass
class Ran:
    """One process, from its start to its end; `lines` are those that its jobs wrote: sign, job, process."""

    pid: int = 0
    code: int = 0
    lines: tuple[list[str], ...] = ()
    hits: tuple[tuple[str, str], ...] = ()
    stderr: str = ""
    may_litter: bool = False

    @property
    def is_undisturbed(self) -> bool:
        """It was not attacked, or the attack found nobody."""
        return not self.hits

    def with_sign(self, sign: str) -> Counter[str]:
        return Counter(name for each, name, _ in self.lines if each == sign)


def draw_attack(pick: Random) -> Attack:
    strokes: tuple[Stroke, ...]
    victim = pick.choice(_VICTIMS)
    how = pick.random()
    if how < 0.25:
        return Attack(pick.random(), False, cut=pick.choice(("before", "within", "after")))
    if how < 0.65:
        strokes = (Stroke(0, victim, pick.choice(_FATAL)),)
    elif how < 0.8:
        second = Stroke(pick.choice((0, 0.001, 0.01)), pick.choice(_VICTIMS), pick.choice(_FATAL))
        strokes = (Stroke(0, victim, pick.choice(_FATAL)), second)
    else:
        end = pick.choice((signal.SIGCONT, signal.SIGKILL))
        strokes = (Stroke(0, victim, signal.SIGSTOP), Stroke(pick.choice((0.005, 0.03)), None, end))
    return Attack(pick.random(), pick.random() < 0.5, strokes)


class Round:
    """One script's life.

    Parameters
    ----------
    folder
        A new one, for this round alone.
    planted
        Python that is put into the script: to see that what it breaks is noticed.
    """

    def __init__(self, seed: int, folder: Path, planted: str = "") -> None:
        self.seed = seed
        self.folder = folder
        self.work = folder / "work"
        self.temporary = folder / "tmp"
        self.planted = planted
        self.pick = Random(seed)
        # What depends on the moment is drawn apart: the plan follows from the seed alone.
        self.moment = Random(seed)
        self.plan = Plan(self.pick)
        self.tally: Counter[str] = Counter()
        self.story: list[str] = []
        self.records: dict[str, Record] = {}
        self.pasts: dict[str, Past] = {}
        self.disk: dict[str, str | None] = {}
        self.attempted: set[str] = set()
        self.known: dict[str, Planned] = {}
        self.seconds = 0.4
        self.may_be_torn = False
        # Caches that were edited; the run that makes them again, perhaps a later one, has to say so.
        self.spoilt: set[str] = set()
        self.expected: Expected
        self._due_before: tuple[set[str], set[str]]
        for each in (self.work / "in", self.temporary):
            each.mkdir(parents=True)

    def play(self) -> Counter[str]:
        """All of it; the figures.

        Raises
        ------
        Violation
        """
        try:
            for epoch in range(self.pick.choice((2, 2, 3, 3, 4))):
                self.edit(epoch)
                for _ in range(self.pick.choice((0, 1, 1, 1, 2, 3))):
                    self.check(self.run(draw_attack(self.pick)))
                self.check(self.run())
                if self.pick.random() < 0.5:
                    self.check(self.run())
            if self.seed % 10 == 0 and not self.failing():
                self.build_from_nothing()
        except Violation as violation:
            raise Violation(self._report(violation)) from None
        finally:
            self._end_all()
        self.tally["rounds"] += 1
        return self.tally

    def _report(self, violation: Violation) -> str:
        return "\n".join(
            [
                f"VIOLATION: {violation}",
                f"seed {self.seed}, in {self.folder}; what happened there:",
                *(f"    {line}" for line in self.story),
                f"again: PYTHONPATH={ROOT}:{ROOT}/tests {sys.executable} -m proof.attack 1 --seed {self.seed}",
            ]
        )

    # --- a person at work

    def edit(self, epoch: int) -> None:
        done = []
        if epoch:
            self.plan.mend()
            edits = [self.plan.edit if self.pick.random() < 0.7 else self._edit_output for _ in "12"]
            done += [edit() for edit in edits[: self.pick.randint(1, 2)]]
            if self.pick.random() < 0.2:
                done.append(self.plan.spoil())
        self.story.append(f"epoch {epoch}: {'; '.join(done) or f'{len(self.plan.jobs)} jobs'}")
        self.expected = self.plan.expected()
        self.known.update(self.plan.jobs)
        self._write(self.work)
        if self.pick.random() < 0.3:
            touched = self.pick.choice(sorted(self.plan.files))
            os.utime(self.work / touched)
            self.story.append(f"         {touched} touched")

    def _write(self, folder: Path) -> None:
        (folder / "script.py").write_text(self.plan.script(f"Seed {self.seed}", self.planted))
        for name, text in self.plan.files.items():
            path = folder / name
            if not path.exists() or path.read_text() != text:
                path.write_text(text)

    def _edit_output(self) -> str:
        path = self.pick.choice([path for job in self.plan.jobs.values() for path in job.outputs] or ["none"])
        self.spoilt.update(
            job.outputs[0] for job in self.plan.jobs.values() if job.kind in KEPT and path in job.outputs
        )
        how = self.pick.choice(("deleted", "emptied", "edited", "edited in place", "copied"))
        text = self._text(path)
        if text is None:
            return f"{path}, which is not there, {how}"
        if how == "deleted":
            (self.work / path).unlink()
            self.disk[path] = None
            return f"{path} deleted"
        if how == "edited":
            text += "x"
        elif how == "edited in place":
            text = text.swapcase()
        elif how == "emptied":
            text = ""
        else:
            (self.work / path).unlink()
        (self.work / path).write_text(text)
        self.disk[path] = text
        return f"{path} {how}"

    def _text(self, path: str) -> str | None:
        try:
            return (self.work / path).read_text()
        except FileNotFoundError:
            return None

    # --- a process

    def run(self, attack: Attack | None = None) -> Ran:
        """One process, attacked or not, to its end."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIPEGRAPH_TEST": str(self.folder),
            "TMPDIR": str(self.temporary),
        }
        self._due_before = self._due()
        due = len(self._due_before[0])
        if attack is not None and attack.cut:
            environment["DIE_AROUND_RECORD"] = f"{1 + int(attack.share * (4 + 2.5 * due))} {attack.cut}"
        lines_before = len(self._lines())
        began = time.monotonic()
        ran = Ran()
        with (self.folder / "stderr.txt").open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "script.py"],
                cwd=self.work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )
        if attack is not None and attack.strokes:
            lines = None if attack.is_by_time else lines_before + 1 + int(attack.share * 2 * due)
            if self._wait_for_moment(process, began + attack.share * self.seconds, lines):
                self._strike(process, attack, ran, lines_before)
        if not _has_ended(process, HANG_SECONDS):
            self.story.append(f"         {attack or 'undisturbed'}: no end")
            stacks = self._stacks()
            self._end_all()
            process.wait()
            raise Violation(f"no end within {HANG_SECONDS:.0f} s\n{stacks}")
        ran.pid, ran.code = process.pid, process.wait()
        seconds = time.monotonic() - began
        if attack is None:
            self.seconds = seconds
        elif attack.cut and ran.code == -signal.SIGKILL:
            ran.hits = (("cut", attack.cut),)
            self.may_be_torn = self.may_be_torn or attack.cut == "within"
        hits = ", ".join(map(" ".join, ran.hits)) or "nothing"
        self.story.append(f"         {attack or 'undisturbed'}: hit {hits}; exit {ran.code} after {seconds:.2f} s")
        self._check_lock()
        self._check_processes(ran)
        # Only now: a job may write a last line when the master is gone.
        ran.lines = tuple(self._lines()[lines_before:])
        ran.stderr = (self.folder / "stderr.txt").read_text()
        self.tally["runs"] += 1
        self.tally["jobs"] += ran.with_sign("+").total()
        self.tally["missed"] += attack is not None and ran.is_undisturbed
        self.tally.update(map(" ".join, ran.hits))
        return ran

    def _lines(self) -> list[list[str]]:
        return [line.split() for line in (self._text("ran") or "").splitlines()]

    def _wait_for_moment(self, process: subprocess.Popen[bytes], until: float, lines: int | None) -> bool:
        """False if the process ended before it came, or goes on for too long."""
        path = self.work / "ran"
        give_up_at = time.monotonic() + HANG_SECONDS
        while process.poll() is None and time.monotonic() < give_up_at:
            if time.monotonic() > until if lines is None else path.exists() and len(self._lines()) >= lines:
                return True
            time.sleep(0.001)
        return False

    def _strike(self, process: subprocess.Popen[bytes], attack: Attack, ran: Ran, lines_before: int) -> None:
        victims: dict[int, str] = {}
        hit: set[str] = set()
        has_keeper = True
        for stroke in attack.strokes:
            time.sleep(stroke.pause_seconds)
            if stroke.victim is not None:
                victims, has_keeper = self._victims(process.pid, stroke.victim, lines_before)
            for pid, kind in victims.items():
                if _name(pid) != "sleep" and self._send(pid, stroke.number):
                    ran.hits = (*ran.hits, (kind, stroke.number.name))
                    hit.add(kind)
        # Then nobody was left to tidy up.
        ran.may_litter = "master" in hit and ("keeper" in hit or not has_keeper)

    def _victims(self, master: int, wanted: str, lines_before: int) -> tuple[dict[int, str], bool]:
        """Processes with what they are; and whether there is a keeper."""
        last = {int(pid): name for _, name, pid in self._lines()[lines_before:]}
        found = {master: "master"}
        for pid in self.processes():
            if pid == master:
                continue
            if _parent(pid) == master:
                found[pid] = "keeper"
            elif pid in last and self.plan.jobs[last[pid]].kind in (*_GENERATING, *LOADING):
                found[pid] = "slave"  # or about to become one
            else:
                found[pid] = "job"
        has_keeper = "keeper" in found.values()
        if wanted == "everything":
            return found, has_keeper
        candidates = [pid for pid, kind in found.items() if kind == wanted]
        chosen = self.moment.sample(candidates, 1) if candidates else []
        return {pid: found[pid] for pid in chosen}, has_keeper

    def _send(self, pid: int, number: signal.Signals) -> bool:
        """To a process of this round only, even if another has its number by now."""
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                if self._is_ours(pid):
                    signal.pidfd_send_signal(descriptor, number)
                    return True
            finally:
                os.close(descriptor)
        return False

    def processes(self) -> list[int]:
        """Those of this round that live."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and self._is_ours(int(name))]

    def _is_ours(self, pid: int) -> bool:
        with suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            return f"PIPEGRAPH_TEST={self.folder}".encode() in environment.split(b"\0") and _state(pid) not in "ZX"
        return False

    def _end_all(self) -> None:
        for pid in self.processes():
            self._send(pid, signal.SIGKILL)

    def _stacks(self) -> str:
        """What each process waits for; and where in Python, for those whose stderr is the script's."""
        found = []
        processes = self.processes()
        for pid in processes:
            found.append(f"process {pid}, parent {_parent(pid)}, state {_state(pid)}")
            for name in ("wchan", "syscall", "stack"):
                with suppress(OSError):
                    found.append(f"    {name}: {Path(f'/proc/{pid}/{name}').read_text().strip()}")
        for pid in processes:
            self._send(pid, signal.SIGABRT)
        time.sleep(1)
        return "\n".join([*found, (self.folder / "stderr.txt").read_text()])

    # --- what must and what may run

    def failing(self) -> set[str]:
        """The job that was spoiled, if it will run."""
        wanted = self._wanted()
        return {
            job.name
            for job in self.plan.jobs.values()
            if any(self.plan.files[path] == BAD for path in job.files) and job.name in wanted
        }

    def _wanted(self) -> set[str]:
        """All but ephemeral jobs that no other job needs, not even by way of others."""
        dependents = self.plan.dependents()
        wanted: set[str] = set()
        for job in reversed(self.plan.jobs.values()):
            if job.kind not in _EPHEMERAL or any(each.name in wanted for each in dependents[job.name]):
                wanted.add(job.name)
        return wanted

    def _blocked(self) -> set[str]:
        bad = set(self.failing())
        for job in self.plan.jobs.values():
            if bad and (job.kind == "final" or not bad.isdisjoint(self._needs(job))):
                bad.add(job.name)
        return bad - self.failing()

    def _needs(self, job: Planned) -> set[str]:
        """What must have ended before it begins."""
        needs = {edge.source for edge in self.plan.edges(job)} | {job.maker} - {""}
        if job.kind == "final":
            needs |= {each.name for each in self.plan.of_kind(*STAYING)}
        return needs

    def _due(self) -> tuple[set[str], set[str]]:
        """What must run, ephemeral jobs left out, and all that may."""
        must: set[str] = set()
        may: set[str] = set()
        dependents = self.plan.dependents()
        wanted = self._wanted()
        for job in reversed(self.plan.jobs.values()):
            name = job.name
            record = self.records.get(name)
            is_stale = record is None or record.inputs != self.expected.inputs[name]
            if job.kind in _GENERATING:
                must.add(name)
            elif job.kind in _EPHEMERAL:
                is_needed = any(each.name in may for each in dependents[name])
                if is_needed or (job.kind in TEMPORARY + KEPT and is_stale and name in wanted):
                    may.add(name)
            elif (
                is_stale
                or name in self.attempted
                or any(self._text(path) != text for path, text in (record.texts if record else {}).items())
            ):
                must.add(name)
            elif self._is_unsettled(name):
                may.add(name)
            may |= must
        blocked = self._blocked()
        return must - blocked, may - blocked

    def _is_unsettled(self, name: str) -> bool:
        past = self.pasts.get(name)
        return past is not None and (past.is_unfinished or past.has_failed)

    # --- after a process

    def check(self, ran: Ran) -> None:
        """Raise Violation if anything is not as it must be; else take note of what was made."""
        must, may = self._due_before
        self._check_temporary(ran)
        self._check_order(ran)
        for name in sorted(ran.with_sign("+")):
            if name not in may:
                raise Violation(f"{name} ran without a reason")
        if ran.is_undisturbed:
            self._check_undisturbed_end(ran, must | self.failing())
        else:
            self._check_attacked_end(ran)
        self._take_note(ran)
        self._check_files(ran)

    def _check_lock(self) -> None:
        for name in (".pipegraph_status", ".pipegraph_status.lock"):
            with suppress(FileNotFoundError), (self.work / name).open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise Violation(f"{name} is still locked") from None

    def _check_processes(self, ran: Ran) -> None:
        until = time.monotonic() + LEFT_OVER_SECONDS
        while left := self.processes():
            for pid in left:
                # Who kills master and keeper has won, for programs that a job left behind.
                if ran.may_litter and _name(pid) == "sleep":
                    self._send(pid, signal.SIGKILL)
            if time.monotonic() > until:
                raise Violation(f"processes are left\n{self._stacks()}")
            time.sleep(0.002)

    def _check_temporary(self, ran: Ran) -> None:
        left = [path.relative_to(self.temporary) for path in self.temporary.rglob("*")]
        left += Path("/dev/shm").glob(f"*pipegraph*{ran.pid}*")
        if left and not ran.may_litter:
            raise Violation(f"left in the temporary folder: {', '.join(map(str, left))}")
        for path in self.temporary.iterdir():
            shutil.rmtree(path)

    def _check_order(self, ran: Ran) -> None:
        state: dict[str, str] = {}
        came_too_early: dict[str, str] = {}
        for sign, name, _ in ran.lines:
            job = self.plan.jobs[name]
            if sign == "+":
                needs = self._needs(job)
                unfinished = sorted(each for each in needs if state.get(each) == "+")
                if unfinished:
                    raise Violation(f"{name} began before {unfinished[0]} had ended")
                if ran.is_undisturbed:
                    if name in state:
                        raise Violation(f"{name} began twice")
                    if name in came_too_early:
                        raise Violation(f"{came_too_early[name]} began before {name}, which it needs")
                came_too_early.update(dict.fromkeys(needs, name))
            state[name] = sign
            running = [self.plan.jobs[each].cores for each, sign in state.items() if sign == "+"]
            taken = sum(self.plan.cores if cores == -1 else cores for cores in running)
            if ran.is_undisturbed and not self.failing() and taken > self.plan.cores:
                raise Violation(f"{taken} cores are taken of {self.plan.cores}, when {name} began")

    def _check_undisturbed_end(self, ran: Ran, must: set[str]) -> None:
        failing = self.failing()
        if ran.code != (1 if failing else 0):
            raise Violation(f"exit {ran.code}\n{ran.stderr}")
        said = [line for line in ran.stderr.splitlines() if not (self.may_be_torn and _OF_DAMAGE.search(line))]
        remade = {found[1] for line in said if (found := _OF_CACHE.search(line))} & self.spoilt
        said = [line for line in said if not ((found := _OF_CACHE.search(line)) and found[1] in remade)]
        self.spoilt -= remade
        if said and not failing:
            raise Violation("a run without failures had something to say:\n" + "\n".join(said))
        for name in sorted(must - set(ran.with_sign("+"))):
            raise Violation(f"{name} had to run, and did not")
        self.may_be_torn = False

    def _check_attacked_end(self, ran: Ran) -> None:
        signals = {what for _, what in ran.hits}
        victims = Counter(victim for victim, _ in ran.hits)
        allowed = {0, *(-signal.Signals[what] for what in signals if what in signal.Signals.__members__)}
        # The keeper's death is none of a job; that of a fork that loads something may be.
        if self.failing() or victims["slave"] or victims["job"] or "SIGINT" in signals:
            allowed.add(1)
        if victims["cut"]:
            allowed.add(-signal.SIGKILL)
        if ran.code not in allowed:
            raise Violation(f"exit {ran.code}\n{ran.stderr}")
        is_planned = "SIGINT" in signals or "\npipegraph.errors.RuntimeError: " in ran.stderr
        if not is_planned and f'File "{ROOT}/pipegraph/' in ran.stderr:
            raise Violation(f"an error in pipegraph\n{ran.stderr}")
        # Who was hit as a job may have been about to become a slave, too.
        deaths = len(ran.hits) - victims["master"] - victims["cut"]
        for name, times in ran.with_sign("+").items():
            if times > 1 + deaths:
                raise Violation(f"{name} began {times} times, with {deaths} deaths")

    def _take_note(self, ran: Ran) -> None:
        """Compare the status file with what was known of it, and with what the jobs say."""
        pasts, warnings = self._read_status()
        if warnings and not self.may_be_torn:
            raise Violation(f"the status file: {warnings[0]}")
        begun, ended = ran.with_sign("+"), ran.with_sign("-")
        unrecorded = []
        unfinished = []
        for name, job in self.known.items():
            past = pasts.get(name, Past())
            record = self.records.get(name)
            trace = past.trace and (past.trace.inputs, past.trace.fingerprint, past.trace.ended_at)
            if record is not None and trace is None:
                raise Violation(f"the record of {name} is lost")
            if trace is not None and (record is None or trace != record.trace):
                if not ended[name]:
                    raise Violation(f"{name} is recorded as made, and had not ended")
                texts = {path: self.expected.texts[path] for path in job.outputs}
                self.records[name] = Record(trace, self.expected.inputs[name], texts)
                self.disk.update(texts)
                self.attempted.discard(name)
            elif begun[name]:
                self.attempted.add(name)
                if ended[name]:
                    unrecorded.append(name)
                if not past.is_unfinished and not past.has_failed:
                    raise Violation(f"{name} began, and its start is not recorded")
            before = self.pasts.get(name, Past())
            if past.is_unfinished and not before.is_unfinished:
                unfinished.append(name)
            if ran.is_undisturbed and begun[name] and past.has_failed != (name in self.failing()):
                raise Violation(f"{name} is recorded as {'failed' if past.has_failed else 'not failed'}")
        # What may run at once, and as many that were told ahead.
        most = 0 if ran.is_undisturbed else 2 * self.plan.cores
        for what, names in (("ended, and not recorded", unrecorded), ("started, and not finished", unfinished)):
            if len(names) > most:
                raise Violation(f"{what}, more than {most}: {', '.join(names)}")
        self.pasts = pasts

    def _read_status(self) -> tuple[dict[str, Past], list[str]]:
        """From a copy: what is torn is left for the next run to meet."""
        copy = self.folder / "status"
        warnings: list[str] = []
        if not (self.work / ".pipegraph_status").exists():
            return {}, warnings
        shutil.copyfile(self.work / ".pipegraph_status", copy)
        with StatusFile.open(copy, lambda warning: warnings.append(warning.headline)) as status:
            pasts = {name: status.past(job.id) for name, job in self.known.items()}
        for path in self.folder.glob("status*"):
            path.unlink()
        return pasts, warnings

    def _check_files(self, ran: Ran) -> None:
        for name, past in self.pasts.items():
            job = self.known[name]
            for path in () if past.is_unfinished else job.outputs:
                text = self._text(path)
                if past.has_failed and text is not None:
                    raise Violation(f"{path} was left by a job that failed: {text!r}")
                if not past.has_failed and past.trace and job.kind in STAYING and text != self.disk[path]:
                    raise Violation(f"{path} holds {text!r}, and was made as {self.disk[path]!r}")
        self._check_strays({path for job in self.known.values() for path in job.outputs})
        if not ran.is_undisturbed:
            return
        bad = self.failing() | self._blocked()
        made = ran.with_sign("-")
        dependents = self.plan.dependents()
        wanted = self._wanted()
        for name, job in self.plan.jobs.items():
            is_needed = any(each.name in bad for each in dependents[name])
            # What nobody needs would not have run either.
            is_needed_again = any(each.name in bad & wanted for each in dependents[name])
            for path in job.outputs:
                text = self._text(path)
                if job.kind in TEMPORARY:
                    if text is not None and not is_needed:
                        raise Violation(f"{path} is left over")
                    if text is None and is_needed_again and made[name]:
                        raise Violation(f"{path} is gone, and was made for a job that failed or was blocked")
                elif name not in bad and (job.kind in STAYING or made[name]) and text != self.expected.texts[path]:
                    raise Violation(f"{path} holds {text!r}, and not {self.expected.texts[path]!r}")

    def _check_strays(self, promised: Iterable[str]) -> None:
        allowed = {*_OWN_FILES, *promised, *self.plan.files}
        for path in self.work.rglob("*"):
            name = str(path.relative_to(self.work))
            if path.is_file() and name not in allowed and not name.startswith(("logs/", "in/")):
                raise Violation(f"a stray file: {name}")

    def build_from_nothing(self) -> None:
        """In another folder, in one undisturbed run: the plan must say what that makes."""
        other = self.folder / "from nothing"
        (other / "in").mkdir(parents=True)
        self._write(other)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIPEGRAPH_TEST": str(self.folder)}
        done = subprocess.run(
            [sys.executable, "script.py"], cwd=other, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Violation(f"the build from nothing ends with {done.returncode}\n{done.stderr}")
        for job in self.plan.of_kind(*STAYING):
            for path in job.outputs:
                texts = [(folder / path).read_text() for folder in (other, self.work)]
                if texts != [self.expected.texts[path]] * 2:
                    raise Violation(f"{path} differs: from nothing, here: {texts}, not {self.expected.texts[path]!r}")


def _has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for that, without a pause between its end and ours."""
    if process.poll() is None:
        descriptor = os.pidfd_open(process.pid)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)
        os.close(descriptor)
    return process.poll() is not None


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _stat(pid: int) -> list[str]:
    """State and parent; as of one that has ended, if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return ["X", "0"]


def play(seed: int, above: Path, planted: str = "") -> Counter[str]:
    """One round, in a folder of its own that stays if there is a violation."""
    folder = Path(tempfile.mkdtemp(prefix=f"attack-{seed}-", dir=above))
    figures = Round(seed, folder, planted).play()
    shutil.rmtree(folder)
    return figures


def _try(seed: int, above: Path) -> Counter[str] | str:
    try:
        return play(seed, above)
    except Violation as violation:
        return str(violation)


def main(arguments: list[str] | None = None) -> int:
    """Play rounds; 1 if there were violations."""
    parser = argparse.ArgumentParser("proof.attack", description="Random scripts, killed and edited and run again.")
    parser.add_argument("rounds", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the others follow")
    parser.add_argument("--processes", type=int, default=1, help="rounds at a time")
    given = parser.parse_args(arguments)
    above = Path(tempfile.gettempdir())
    figures: Counter[str] = Counter()
    began = time.monotonic()
    seeds = range(given.seed, given.seed + given.rounds)
    with ProcessPoolExecutor(given.processes) as pool:
        for outcome in pool.map(partial(_try, above=above), seeds):
            if isinstance(outcome, str):
                print(outcome, flush=True)
                figures["violations"] += 1
            else:
                figures.update(outcome)
    print(summary(figures, time.monotonic() - began))
    return 1 if figures["violations"] else 0


def summary(figures: Counter[str], seconds: float) -> str:
    lines = [
        f"{figures['rounds'] + figures['violations']} rounds in {seconds:.0f} s, {figures['violations']} violations",
        f"{figures['runs']} runs, {figures['jobs']} jobs begun; {figures['missed']} attacks that found nobody",
    ]
    for victim in ("cut", "master", "keeper", "slave", "job"):
        hits = [(key.partition(" ")[2], count) for key, count in figures.items() if key.startswith(f"{victim} ")]
        lines.append(f"    {victim}: {', '.join(f'{count} {what}' for what, count in sorted(hits)) or 'never hit'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
