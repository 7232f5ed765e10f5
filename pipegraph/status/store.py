"""The status file of a run: opened, asked, appended to. Owns its descriptors, its lock and its index.

A record, or several that are noted `together`, is one write(2) to a file opened for appending, so that whatever was
written survives the death of the process, and a line that is torn (a full disk, a power cut) is cut off before the next
one. What the records mean for a run is decided elsewhere. Everything is opened beside the descriptor of the directory:
a later change of the working directory, or a directory that is renamed, changes nothing.

A record is read again, and checked again, when it is asked for; until all jobs have been declared (`drop_text`),
together with what stands around it, since most are asked for by then. The whole text would take as much room as the
jobs.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from types import TracebackType
from typing import TYPE_CHECKING, Final

from xxhash import xxh3_64_hexdigest

from pipegraph.errors import StatusError, StatusWriteError
from pipegraph.events import Warned
from pipegraph.model import FileRecord, Fingerprint, InvariantRecord, JobId, Role, Trace

from . import records
from .compaction import replace_with
from .index import LENGTH_BITS, LENGTH_MASK, location, unpack
from .lock import Lock, free, is_taken
from .mends import MEND_NO_ROOM, mend_for
from .opening import Opened, open_file, refuse_what_is_no_file
from .recollection import Recollection
from .records import BEFORE_ID, BODY, CHECKSUM_LENGTH, Declaration, MalformedRecord

if TYPE_CHECKING:
    from pathlib import Path

SYNC_SECONDS: Final = 5.0
COMPACT_FROM_BYTES: Final = 1 << 20
COMPACT_DEAD_SHARE: Final = 2 / 3
"""A file that is larger, and of whose bytes more than this share is superseded, is written anew."""

_BLOCK_BITS: Final = 16
_BLOCK_MASK: Final = (1 << _BLOCK_BITS) - 1
"""What is read at once while a run begins, when nearly all is asked for, mostly in the order of the file."""
_KEPT_BLOCKS: Final = 64

_UNWRITTEN: Final = "a record could not be written"
_FINGERPRINT: Final = re.compile(rb"[0-9a-f]{32}")
# Some file systems in user space can't, fsync(2).
_CANNOT_SYNC: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class StatusFile(Recollection):
    """What is remembered between runs; made by `open`, good until `close`."""

    def __init__(self, directory: int, lock: Lock, opened: Opened, warn: Callable[[Warned], None]) -> None:
        self._directory = directory
        self._lock = lock
        self._warn = warn
        self._pid = os.getpid()
        self._descriptor = opened.descriptor
        self._name = opened.name
        self._path = opened.path
        self._index = opened.reading.found
        self._blocks: dict[int, bytes] | None = {}
        # As far as the index knows the file: what stands behind is torn, or was written before an interrupt.
        self._end = opened.end
        self._is_new = self._is_dirty = opened.is_new
        self._clean_at: float | None = None
        self._gathered: list[tuple[int, str, str]] | None = None
        self._gathered_ids: set[str] = set()

    @classmethod
    def open(
        cls, path: str | Path, warn: Callable[[Warned], None], holder: Mapping[str, object] | None = None
    ) -> StatusFile:
        """Lock the file, making it if need be, read all of it and check every line.

        Parameters
        ----------
        path
            A symbolic link is followed; what lies beside the file (the lock) lies beside its target.
        warn
            Called with what a person should know.
        holder
            Facts about this run for whoever finds the file held, for instance its id.

        Raises
        ------
        StatusHeldError
            Another run has it.
        StatusTooNewError
            Written by a newer version; it is left as it is.
        StatusWriteError
            No room for the first line.
        StatusError
            The directory is missing, the file can't be read or written, or it is no plain file.
        """
        real_path = os.path.realpath(path)
        directory_path, name = os.path.split(real_path)
        try:
            directory = os.open(directory_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StatusError(
                "the directory of the status file can't be opened",
                [("status file", real_path), ("because", str(error.strerror))],
                mend_for(error, "Make the directory, or give new_pipegraph a status file in another one."),
            ) from error
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, directory)
            refuse_what_is_no_file(directory, name, real_path)
            lock = Lock.take(directory, f"{name}.lock", f"{real_path}.lock", holder or {}, warn)
            undo.callback(lock.release)
            opened = open_file(directory, name, real_path, warn)
            status = cls(directory, lock, opened, warn)
            undo.pop_all()
            undo.callback(status._release)
            status._begin(opened)
            undo.pop_all()
        return status

    def __enter__(self) -> StatusFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def declared_jobs(self) -> Set[JobId]:
        """Each job that is declared, or was and is gone."""
        return self._index.declared.keys()

    def note_started(self, job: JobId, at: float) -> None:
        """Record that a job is about to start; `at` in seconds since 1970.

        All of these raise StatusWriteError if the record can't be written; nothing recorded before is harmed, and
        the next record may be tried.
        """
        self._append(records.STARTED, job, records.encode_time(at))

    def note_made(self, job: JobId, trace: Trace) -> None:
        """Record a success: the trace replaces all that was known of the job."""
        self._append(records.MADE, job, records.encode_trace(job, trace))

    def note_failed(self, job: JobId, at: float) -> None:
        """Record a failure; the trace of the last success stays."""
        self._append(records.FAILED, job, records.encode_time(at))

    def note_measured(self, id: str, record: InvariantRecord) -> None:  # noqa: A002
        """Record what an invariant was found to be."""
        self._append(records.MEASURED, id, records.encode_measured(id, record))

    def note_seen(self, job: JobId, outputs: tuple[FileRecord, ...]) -> None:
        """Record the outputs of the last success as they were found now: same fingerprints, other times or inodes.

        Outputs whose paths or fingerprints differ from those of the trace are not believed when they are read.
        """
        self._append(records.SEEN, job, records.encode_files(job, "", outputs))

    def note_declared(
        self, job: JobId, class_name: str, role: Role, scripts: tuple[str, ...], keeps: bool = False
    ) -> None:
        """Record what a job is declared as, and the scripts that do so: all of them, none if it is gone."""
        declaration = Declaration(class_name, role, tuple(sorted(scripts)), keeps)
        self._append(records.DECLARED, job, records.encode_declaration(declaration))

    def note_adopt(self, job: JobId, at: float) -> None:
        """Record the wish that the next run believe the files of a job that are there."""
        self._append(records.TO_ADOPT, job, records.encode_time(at))

    def note_explained(self, fingerprint: Fingerprint, payload: str) -> None:
        """Record what a fingerprint is of, as JSON in ASCII on one line."""
        self._append(records.EXPLAINED, fingerprint, payload)
        if self._gathered is not None:
            self._gathered_ids.add(fingerprint)

    def note_text(self, digest: str, text: str) -> None:
        """Record the source text that has this digest."""
        self._append(records.TEXT, digest, records.encode_text(text))
        if self._gathered is not None:
            self._gathered_ids.add(digest)

    def forget(self, job: JobId) -> None:
        """Record that nothing is known of a job, or of an invariant of that id."""
        self._append(records.FORGOTTEN, job, "null")

    def together(self, notes: Sequence[Callable[[], None]]) -> int:
        """Have what each of these notes written by one write(2), in their order.

        Nothing is raised if there is no room for all. What they note is known when this returns, and not before, but
        for explanations and texts, of which each is noted once.

        Returns
        -------
        How many of them are recorded, the first ones. Whoever calls one of the others hears what is in the way; nothing
        of it is recorded, or what was may be recorded again.
        """
        gathered: list[tuple[int, str, str]] = []
        ends = []
        self._gathered = gathered
        try:
            for note in notes:
                note()
                ends.append(len(gathered))
        finally:
            self._gathered = None
            self._gathered_ids.clear()
        return bisect_right(ends, self._append_all(gathered))

    def has_explained(self, fingerprint: Fingerprint) -> bool:
        """Whether it is known what a fingerprint is of."""
        return fingerprint in self._index.explained or fingerprint in self._gathered_ids

    def has_text(self, digest: str) -> bool:
        """Whether the source text with this digest is known."""
        return digest in self._index.texts or digest in self._gathered_ids

    def drop_text(self) -> None:
        """Most records that are needed have been asked for."""
        self._blocks = None

    def sync(self) -> None:
        """Have all records on the disk before this returns; raises StatusWriteError if they may not be."""
        if not self._is_dirty:
            return
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise self._write_error("records may not have reached the disk", str(error.strerror)) from error
        if self._is_new:
            self._is_new = False
            # Not each file system can; and only a power cut within seconds would tell.
            with contextlib.suppress(OSError):
                os.fsync(self._directory)
        self._is_dirty = False

    def tick(self, now: float) -> None:
        """Sync if records have waited for `SYNC_SECONDS`; `now` is a monotonic clock's."""
        if not self._is_dirty or self._clean_at is None:
            self._clean_at = now
        elif now - self._clean_at >= SYNC_SECONDS:
            self._clean_at = now
            self.sync()

    def close(self) -> None:
        """Sync, compact if that is worth it, free the lock. Idempotent; in a fork it only closes descriptors.

        Raises
        ------
        StatusWriteError
            The sync failed; the lock is free nevertheless.
        """
        if self._descriptor == -1 or os.getpid() != self._pid:
            self.close_in_fork()
            return
        try:
            self.sync()
            if os.fstat(self._descriptor).st_nlink == 0:
                self._warn(
                    Warned(
                        f"{self._path} was deleted during the run: what it recorded is lost",
                        mend="The next run makes everything again.",
                    )
                )
            else:
                self._compact_if_worth_it()
        finally:
            self._release()

    def close_in_fork(self) -> None:
        """Close the descriptors in a forked child, without unlocking; the parent's run is not touched.

        A child that lives on must call this: its copies of the descriptors would keep the lock when the parent is
        killed, and it must never write.
        """
        self._lock.close_in_fork()
        if self._descriptor != -1:
            os.close(self._descriptor)
            os.close(self._directory)
            self._descriptor = -1

    def _release(self) -> None:
        free(self._descriptor)
        self._lock.release()
        self.close_in_fork()

    def _begin(self, opened: Opened) -> None:
        damaged = opened.reading.damaged_lines
        if damaged:
            lines = "1 line is" if damaged == 1 else f"{damaged} lines are"
            first = opened.reading.first_damaged_line
            kept = self._heal() if opened.is_damaged else ""
            mend = "Jobs whose records were lost are made again."
            if kept:
                mend += f" The damaged file is kept as {kept}."
            self._warn(Warned(f"{self._path}: {lines} damaged and skipped (the first: line {first})", mend=mend))
        if opened.is_old and self._descriptor == opened.descriptor and not self._compact():
            raise StatusWriteError(
                "the status file is of an earlier version, and can't be written anew",
                [("status file", self._path)],
                MEND_NO_ROOM,
            )
        self._compact_if_worth_it()

    def _append(self, kind: int, record_id: str, payload: str) -> None:
        if self._gathered is not None:
            self._gathered.append((kind, record_id, payload))
            return
        line = records.encode_line(kind, record_id, payload)
        try:
            # Asked, not remembered: an interrupt between a write and its bookkeeping would leave a wrong memory,
            # and the cut below would take a whole record with it.
            offset = os.lseek(self._descriptor, 0, os.SEEK_END)
            text = line if offset == self._end else b"\n" + line
            try:
                written = os.write(self._descriptor, text)
                if written != len(text):
                    raise OSError(errno.ENOSPC, f"the disk is full: only {written} of {len(text)} bytes were taken")
            except OSError:
                with contextlib.suppress(OSError):  # the next record begins with a line feed then
                    os.ftruncate(self._descriptor, offset)
                raise
        except OSError as error:
            raise self._write_error(_UNWRITTEN, str(error.strerror), record_id) from error
        self._note(kind, record_id, payload, offset + len(text) - len(line), len(line))
        if text is line:
            self._end = offset + len(line)

    def _append_all(self, gathered: list[tuple[int, str, str]]) -> int:
        """As many as there is room for, by one write; how many that were."""
        if not gathered:
            return 0
        lines = [records.encode_line(*each) for each in gathered]
        try:
            offset = end = os.lseek(self._descriptor, 0, os.SEEK_END)  # as above
        except OSError:
            return 0
        is_clean = offset == self._end
        text = b"".join(lines) if is_clean else b"".join([b"\n", *lines])
        try:
            written = os.write(self._descriptor, text)
        except OSError:
            written = 0
        last = offset + written
        if not is_clean:
            end += 1
        whole = 0
        for line, (kind, record_id, payload) in zip(lines, gathered):
            size = len(line)
            if end + size > last:
                break
            self._note(kind, record_id, payload, end, size)
            end += size
            whole += 1
        if written != len(text):
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, end if whole else offset)
        if is_clean:
            self._end = end
        return whole

    def _note(self, kind: int, record_id: str, payload: str, offset: int, size: int) -> None:
        """A line that was written is known."""
        self._is_dirty = True
        where = location(offset, size - 1)
        if kind == records.DECLARED:
            self._index.note_declared(record_id, payload.encode(), where)
        else:
            self._index.note(kind, record_id, where)

    def _write_error(self, headline: str, reason: str, record_id: str = "") -> StatusWriteError:
        job = [("job", records.escape_id(record_id))] if record_id else []
        return StatusWriteError(headline, [*job, ("status file", self._path), ("because", reason)], MEND_NO_ROOM)

    def _payload(self, where: int) -> str:
        blocks = self._blocks
        if blocks is None:
            return super()._payload(where)
        offset, length = where >> LENGTH_BITS, where & LENGTH_MASK  # unpacked, without the call
        number = offset >> _BLOCK_BITS
        block = blocks.get(number)
        if block is None:
            if len(blocks) >= _KEPT_BLOCKS:
                blocks.clear()
            block = blocks[number] = self._read(number << _BLOCK_BITS, 1 << _BLOCK_BITS)
        start = offset & _BLOCK_MASK
        line = block[start : start + length]
        # Else it goes on in the next block, or was written later.
        if len(line) < length or line[:CHECKSUM_LENGTH] != xxh3_64_hexdigest(line[BODY:]).encode():
            return super()._payload(where)
        try:
            return line[line.index(b"\t", BEFORE_ID) + 1 :].decode()
        except UnicodeDecodeError as error:
            raise MalformedRecord from error

    def _line(self, where: int) -> bytes:
        offset, length = unpack(where)
        return self._read(offset, length)

    def _read(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise StatusError(
                "the status file can't be read any more",
                [("status file", self._path), ("because", str(error.strerror))],
                "See to that disk, and run again.",
            ) from error

    def _heal(self) -> str:
        """Write a damaged file anew and keep it under another name, which is returned; empty if that failed."""
        number = 1
        while True:
            kept = f"{self._name}.damaged-{number}"
            try:
                os.link(self._name, kept, src_dir_fd=self._directory, dst_dir_fd=self._directory)
                break
            except FileExistsError:
                number += 1
            except OSError:
                return ""
        if not self._compact():
            with contextlib.suppress(OSError):
                os.unlink(kept, dir_fd=self._directory)
            return ""
        return kept

    def _compact_if_worth_it(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if size != self._end:
            return  # the index may lack a record that stands there
        most = size * (1 - COMPACT_DEAD_SHARE)
        if size <= COMPACT_FROM_BYTES:
            return
        live, explaining = self._index.live_bytes(), self._index.explaining_bytes()
        # Which explanations nothing refers to any more is known only from all other lines: not looked up in each run.
        if live < most or (live - explaining < most and explaining > live / 2):
            self._compact(most)

    def _compact(self, most_bytes: float = math.inf) -> bool:
        """Write the file anew without superseded records, if fewer bytes than these stay; a run goes on with either."""
        try:
            # Only looking at all that could refer to an explanation finds those that nothing refers to any more.
            self._index.keep_explained(self._referred())
            if self._index.live_bytes() >= most_bytes:
                return False
            new = replace_with(self._directory, self._name, self._descriptor, self._live_lines())
        except (OSError, StatusError) as error:
            reason = error.strerror if isinstance(error, OSError) else error.headline
            self._warn(Warned(f"{self._path} could not be compacted ({reason}); it is used as it is"))
            return False
        is_taken(new)  # takes it
        self._blocks = None if self._blocks is None else {}
        os.close(self._descriptor)
        self._descriptor = new
        self._index = self._index.compacted()
        self._end = os.fstat(new).st_size
        return True

    def _referred(self) -> set[str]:
        """Ids of the explanations and texts that a live record, or an explanation that is referred to, names."""
        index = self._index
        unreferred = {name.encode(): name for name in (*index.explained, *index.texts)}
        referred: set[str] = set()
        lines = [*index.made.values(), *index.measured.values()] if unreferred else []
        while lines:
            for digits in unreferred.keys() & _FINGERPRINT.findall(self._line(lines.pop())):
                name = unreferred.pop(digits)
                referred.add(name)
                if name in index.explained:
                    lines.append(index.explained[name])
        return referred

    def _live_lines(self) -> Iterator[bytes]:
        for where in self._index.live():
            line = self._line(where)
            if not records.is_whole(line):
                raise OSError(errno.EIO, "a record can't be read back")
            yield line
