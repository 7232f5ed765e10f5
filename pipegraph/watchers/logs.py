"""The files of one run in a folder of its own below logs/. Owns them; one that can't be written is no failure.

What is told is collected, and written about once a second, at once after a failure, and never so often that a slow
file system would hold up the run. Says nothing of its own but one warning, should there be no logs any more. Which
runs' logs are kept, and the links that lead to the newest, are decided here as well: when the run holds its status
file, so that a run that can't begin changes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping

from ..errors import shown
from ..events import Event, GraphGrew, JobFailed, JobPutOff, JobStarted, JobStopped, JobSucceeded, JobsUpToDate
from ..explanations import Change
from ..model import JobSpec, Printed, Role, Usage
from .wording import Clock, because_of, describe_failure, headline_of, line_of, made, named, started, up_to_date

KEPT_RUNS = 20
"""How many earlier runs' logs are kept."""
KEPT_BYTES = 1 << 30
"""How large they may be together."""
FAILED_FILES = 1000
"""How many failed jobs get a file of their own."""
ERRORS_BYTES = 64 << 20
"""How long ppg_errors.txt gets; from there on it has each failure's first line only."""

_NAMES = ("ppg_run.txt", "ppg_errors.txt", "ppg_graph.txt", "ppg_runtimes.tsv", "ppg_changes.txt")
_RUN, _ERRORS, _GRAPH, _RUNTIMES, _CHANGES = _NAMES
_HEADER = "job\tstart\tend\tseconds\tcpu_seconds\tpeak_bytes\tread_bytes\twritten_bytes\tresult\treason\n"
_LATEST = "latest"
_FAILED = "failed"
_FOLDER = re.compile(r"run_(\d{4,})")
_OURS = re.compile(r"ppg_.+")
# Of versions that had no folder for each run, and numbered the older ones.
_UNFOLDERED = re.compile(r"ppg_(run|errors|graph|runtimes)(\.\d+)?\.(txt|tsv)|ppg_output_\w+\.(stdout|stderr)\.txt")
_OURS_OF_FAILED = re.compile(r"\d{4,}_.*\.txt")

_PIECE_BYTES = 1 << 20
_COLLECTED = 8 << 20
"""Characters; more are written although it is not time yet."""
_PAUSES = 20
"""After a writing that took one second, none for twenty: at most a twentieth of the run is lost to a slow disk."""


class Logs:
    """Writes what happened.

    Parameters
    ----------
    specs
        All jobs by id.
    folder
        Of this run alone, in the folder of all logs; made, if it is not there.
    also
        Is given each line of ppg_run.txt; None: nobody is.

    Attributes
    ----------
    directory
        Where the files are found under their plain names; without symbolic links, the folder itself.
    """

    def __init__(
        self,
        specs: Mapping[str, JobSpec],
        folder: str,
        dump_graph: bool,
        warn: Callable[[str], None],
        also: Callable[[str], None] | None,
    ) -> None:
        self.directory = self._folder = folder
        self._specs = specs
        self._dump_graph = dump_graph
        self._warn = warn
        self._also = also
        self._clock = Clock()
        self._descriptors: dict[str, int] = {}
        self._collected: dict[str, list[str]] = {}
        self._size = 0
        self._errors_size = 0
        self._not_before = 0.0
        self._is_broken = False
        # When it was told to start, why, and its name with its place.
        self._began: dict[str, tuple[float, str, str]] = {}
        self._failed: dict[str, str] = {}
        self._changed: dict[tuple[Change, ...], str] = {}
        try:
            os.makedirs(folder, exist_ok=True)
            for name in _NAMES:
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._descriptors[name] = os.open(os.path.join(folder, name), flags, 0o666)
        except OSError as error:
            self._give_up(error)
            return
        self._add(_RUNTIMES, _HEADER)
        with contextlib.suppress(OSError):  # where there are no locks, nothing is known to be over, and all is kept
            fcntl.flock(self._descriptors[_RUN], fcntl.LOCK_SH | fcntl.LOCK_NB)
        _put_away_unfoldered(folder)
        if _link(folder):
            self.directory = os.path.dirname(folder)
        _remove_oldest(folder)

    def see(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, JobStarted):
            job, because = named(self._specs.get(event.job), event.job), because_of(event.reasons)
            self._began[event.job] = event.at, because, job
            if event.changes:
                self._add_changes(event)
            self._add_line(started(event, job, because), event.command)
        elif isinstance(event, JobSucceeded):
            known = self._began.get(event.job)
            self._add_line(made(event, named(self._specs.get(event.job), event.job) if known is None else known[2]))
            self._add_runtime(event.job, event.usage, "brought back" if event.brought_back else "made")
        elif isinstance(event, JobsUpToDate):
            self._add_up_to_date(event)
        elif isinstance(event, GraphGrew):
            if self._dump_graph:
                self._add_graph(event)
        elif line := line_of(event, self._specs):
            self._add_line(line)
        if isinstance(event, JobFailed):
            self._add_runtime(event.job, event.usage, "failed")
            self._add_failure(event)
            self._write_if_due()
        elif isinstance(event, JobPutOff):
            self._add_runtime(event.job, event.usage, "put off")
        elif isinstance(event, JobStopped):
            self._add_runtime(event.job, Usage(), "stopped")
        if self._size > _COLLECTED:
            self._write()

    def tick(self, now: float) -> None:
        """Let readers see what happened; about once a second."""
        self._write_if_due()

    def close(self) -> None:
        """The run is over."""
        self._write()
        self.close_in_fork()

    def file_of(self, job: str) -> str:
        """Path of the file with all there is of a failed job, as the folder's is; empty if there is none."""
        return self._failed.get(job, "")

    # --- what is written

    def _add_line(self, line: str, command: str = "") -> None:
        line = f"{self._clock.now()} {line}\n"
        if command:
            line += f"    {shown(command)}\n"
        self._add(_RUN, line)
        if self._also is not None:
            self._also(line)

    def _add_changes(self, event: JobStarted) -> None:
        """What has changed of the inputs of a job; once for all jobs of which the same has."""
        same_as = self._changed.setdefault(event.changes, event.job)
        head = f"{named(self._specs.get(event.job), event.job)} because {because_of(event.reasons)}\n"
        if same_as != event.job:
            self._add(_CHANGES, f"{head}    as of {shown(same_as)}\n")
            return
        lines = [line for change in event.changes for line in change.lines()]
        self._add(_CHANGES, head + "".join([f"    {shown(line.expandtabs())}\n" for line in lines]))

    def _add_up_to_date(self, event: JobsUpToDate) -> None:
        now, spec_of = self._clock.now(), self._specs.get
        lines = [f"{now} {up_to_date(spec_of(job), job)}\n" for job in event.jobs]
        self._add(_RUN, "".join(lines))
        if self._also is not None:
            for line in lines:
                self._also(line)

    def _add_graph(self, event: GraphGrew) -> None:
        parts = []
        invariant = Role.INVARIANT
        for spec in event.jobs:
            if spec.role is invariant:
                continue
            names = (spec.id, *spec.inputs)
            if not "".join(names).isprintable():
                names = tuple(map(shown, names))
            parts.append("\n    needs ".join(names) + "\n")
        for dependent, name in event.edges:
            parts.append(f"{shown(dependent)}\n    needs {shown(name)}\n")
        self._add(_GRAPH, "".join(parts))

    def _add_runtime(self, job: str, usage: Usage, result: str) -> None:
        if job not in self._began:
            return  # it failed without having been started
        told_at, because, _ = self._began.pop(job)
        start, seconds = usage.started_at, usage.seconds
        if not start:
            start, seconds = told_at, max(0.0, time.time() - told_at)
        moments = f"{_moment(start)}\t{_moment(start + seconds)}"
        used = f"{seconds:.6f}\t{usage.cpu_seconds:.6f}\t{usage.peak_bytes}\t{usage.read_bytes}\t{usage.written_bytes}"
        self._add(_RUNTIMES, f"{_cell(shown(job))}\t{moments}\t{used}\t{result}\t{_cell(because)}\n")

    def _add_failure(self, event: JobFailed) -> None:
        spec = self._specs.get(event.job)
        if spec is None or self._is_broken:
            return
        now = self._clock.now()
        printed = event.printed
        if len(self._failed) < FAILED_FILES:
            stem = f"{len(self._failed) + 1:04}_{re.sub('[^A-Za-z0-9.-]', '_', event.job)[-80:]}"
            path = os.path.join(self._folder, _FAILED, stem + ".txt")
            printed = self._beside(printed, path.removesuffix(".txt"))
            self._failed[event.job] = path
            whole = describe_failure(spec, event.failure, printed, is_whole=True)
            self._add(os.path.join(_FAILED, stem + ".txt"), f"{now} {whole}\n")
        if self._errors_size < ERRORS_BYTES:
            block = describe_failure(spec, event.failure, printed, file=self.file_of(event.job)) + "\n"
        else:
            block = f"{named(spec, event.job)} {event.failure.kind.value}: {headline_of(event.failure)}"
        self._errors_size += len(block)
        self._add(_ERRORS, f"{now} {block}\n")

    def _beside(self, printed: Printed, stem: str) -> Printed:
        """What the slave has kept whole gets its place beside the file of the failed job."""
        paths = {"stdout": printed.stdout_path, "stderr": printed.stderr_path}
        for stream, path in paths.items():
            with contextlib.suppress(OSError):  # it stays where it is
                if path:
                    os.makedirs(os.path.dirname(stem), exist_ok=True)
                    os.rename(path, f"{stem}.{stream}.txt")
                    paths[stream] = f"{stem}.{stream}.txt"
        return printed._replace(stdout_path=paths["stdout"], stderr_path=paths["stderr"])

    # --- writing

    def _add(self, name: str, text: str) -> None:
        if not self._is_broken:
            self._collected.setdefault(name, []).append(text)
            self._size += len(text)

    def _write_if_due(self) -> None:
        if time.monotonic() >= self._not_before:
            self._write()

    def _write(self) -> None:
        began = time.monotonic()
        collected, self._collected, self._size = self._collected, {}, 0
        try:
            for name, texts in collected.items():
                self._write_file(name, "".join(texts).encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._give_up(error)
        ended = time.monotonic()
        self._not_before = ended + _PAUSES * (ended - began)

    def _write_file(self, name: str, data: bytes) -> None:
        descriptor = self._descriptors.get(name)
        if descriptor is not None:
            _write_all(descriptor, data)
            return
        path = os.path.join(self._folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            _write_all(descriptor, data)
        finally:
            os.close(descriptor)

    def close_in_fork(self) -> None:
        """Nothing is written any more, and the lock is left to the process that opened it."""
        for descriptor in self._descriptors.values():
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._descriptors = {}

    def _give_up(self, error: OSError) -> None:
        if not self._is_broken:
            self._is_broken = True
            self.close_in_fork()
            self._collected = {}
            self._warn(f"no logs are written to {shown(self._folder)}: {error.strerror or error}. The run goes on.")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view[:_PIECE_BYTES]) :]


def _cell(text: str) -> str:
    """As tables have it; tabs and ends of lines are escaped already."""
    return '"' + text.replace('"', '""') + '"' if '"' in text else text


def _moment(at: float) -> str:
    """ISO 8601, local time to the millisecond."""
    second, milliseconds = divmod(round(at * 1000), 1000)
    text, offset = _second(second)
    return f"{text}.{milliseconds:03}{offset}"


@functools.lru_cache(maxsize=8)
def _second(second: int) -> tuple[str, str]:
    local = time.localtime(second)
    offset = time.strftime("%z", local)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local), f"{offset[:3]}:{offset[3:5]}"


# --- the folders of all runs


def _folders(directory: str) -> list[str]:
    """Of runs, the newest first; what only has such a name, but no ppg_run.txt, is somebody else's."""
    found = []
    for name in os.listdir(directory):
        number, path = _FOLDER.fullmatch(name), os.path.join(directory, name)
        if number and not os.path.islink(path) and os.path.isfile(os.path.join(path, _RUN)):
            found.append((int(number[1]), path))
    return [path for _, path in sorted(found, reverse=True)]


def _link(folder: str) -> bool:
    """Have `latest` and the plain names lead here; false where that can't be."""
    directory, own = os.path.split(folder)
    try:
        _point(os.path.join(directory, _LATEST), own, _FOLDER)
        for name in _NAMES:
            target = f"{_LATEST}/{name}"
            _point(os.path.join(directory, name), target, re.compile(re.escape(target)))
    except OSError:
        return False
    return True


def _point(path: str, target: str, ours: re.Pattern[str]) -> None:
    """A symbolic link, in the place of one that is ours or of nothing, and never missing in between."""
    if os.path.lexists(path):
        before = os.readlink(path)  # an error, where it is no link
        if before == target:
            return
        if not ours.fullmatch(before):
            raise FileExistsError(path)
    new = f"{path}.{os.getpid()}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(target, new)
    try:
        os.rename(new, path)
    except OSError:
        os.unlink(new)
        raise


def _put_away_unfoldered(folder: str) -> None:
    """The logs of versions that had no folder for each run get one, and so does what should be links."""
    directory = os.path.dirname(folder)
    before = os.path.join(directory, "run_0000")
    latest = os.path.join(directory, _LATEST)
    with contextlib.suppress(OSError):
        # A copy of the folder that did not keep links (cp -L, an archive) has made folders and files of ours.
        if not os.path.islink(latest) and os.path.isfile(os.path.join(latest, _RUN)):
            if os.path.exists(before):
                _remove(latest)
            else:
                os.rename(latest, before)
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        old = [
            each.name for each in entries if _UNFOLDERED.fullmatch(each.name) and each.is_file(follow_symlinks=False)
        ]
        if old:
            os.makedirs(before, exist_ok=True)
            for name in old:
                os.rename(os.path.join(directory, name), os.path.join(before, name))


def _remove_oldest(folder: str) -> None:
    """What is beyond the bounds goes, but for what a run that goes on holds; this run's own does not count."""
    size = 0
    with contextlib.suppress(OSError):
        for rank, path in enumerate(each for each in _folders(os.path.dirname(folder)) if each != folder):
            size += sum(os.lstat(each).st_size for each in _files_of(path))
            if rank >= KEPT_RUNS or size > KEPT_BYTES:
                _remove(path)


def _files_of(path: str) -> Iterator[str]:
    """Those that are ours, ppg_run.txt last."""
    for folder, ours in ((os.path.join(path, _FAILED), _OURS_OF_FAILED), (path, _OURS)):
        with contextlib.suppress(FileNotFoundError):
            names = [name for name in os.listdir(folder) if ours.fullmatch(name)]
            yield from (os.path.join(folder, name) for name in sorted(names, key=_RUN.__eq__))


def _remove(path: str) -> None:
    """A run's logs, unless it goes on; what somebody else has put there stays, and the folder with it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(os.path.join(path, _RUN), os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for each in _files_of(path):
                os.unlink(each)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(path, _FAILED))
            os.rmdir(path)
        finally:
            os.close(descriptor)
