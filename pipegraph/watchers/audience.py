"""All watchers of a run. One that fails is dropped with a word, and costs the run nothing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Protocol, TextIO

from ..events import Event
from ..model import JobSpec
from .logs import Logs
from .progress import Progress
from .udp import PORT, UdpLines


class Watcher(Protocol):
    """Looks on."""

    def see(self, event: Event) -> None:
        """Something happened."""

    def tick(self, now: float) -> None:
        """About a second has passed; `now` is monotonic, in seconds."""

    def close(self) -> None:
        """The run is over."""


class Audience:
    """Shows every event to every watcher."""

    def __init__(self, watchers: list[Watcher], stream: TextIO | None = None) -> None:
        self._watchers = watchers
        self._stream = stream

    def see(self, event: Event) -> None:
        """Something happened."""
        for watcher in self._watchers:
            try:
                watcher.see(event)
            except Exception as error:
                self._drop(watcher, error)

    def tick(self, now: float) -> None:
        """About a second has passed."""
        for watcher in self._watchers:
            try:
                watcher.tick(now)
            except Exception as error:
                self._drop(watcher, error)

    def close(self) -> None:
        """The run is over."""
        for watcher in self._watchers:
            try:
                watcher.close()
            except Exception as error:
                self._drop(watcher, error)
        self._watchers = []

    def _drop(self, watcher: Watcher, error: Exception) -> None:
        self._watchers = [each for each in self._watchers if each is not watcher]
        say(self._stream, f"pipegraph: {type(watcher).__name__} stops looking on: {type(error).__name__}: {error}")


class _Udp:
    """Lets the lines go out in time."""

    def __init__(self, lines: UdpLines) -> None:
        self._lines = lines

    def see(self, event: Event) -> None:
        pass

    def tick(self, now: float) -> None:
        self._lines.send()

    def close(self) -> None:
        self._lines.close()


def start_watchers(
    specs: Mapping[str, JobSpec],
    log_directory: str | None,
    quiet: bool,
    dump_graph: bool = True,
    udp_port: int | None = PORT,
) -> Audience:
    """The watchers of an ordinary run: logs, UDP, and lines on stderr.

    Parameters
    ----------
    specs
        All jobs by id, those that come later, too: the loop keeps it.
    log_directory
        None: no logs, and nothing by UDP.
    udp_port
        Of this machine; None: nothing by UDP.
    """
    stream = sys.stderr
    watchers: list[Watcher] = []
    if log_directory is not None:
        lines = None
        if udp_port is not None:
            with contextlib.suppress(OSError):  # for who listens, and nobody may: not worth a word
                lines = UdpLines(udp_port)
        watchers.append(
            Logs(
                specs,
                log_directory,
                dump_graph,
                lambda text: say(stream, f"pipegraph: warning: {text}"),
                (lambda line: None) if lines is None else lines.add,
            )
        )
        if lines is not None:
            watchers.append(_Udp(lines))
    watchers.append(Progress(specs, stream, quiet, log_directory))
    return Audience(watchers, stream)


def say(stream: TextIO | None, text: str) -> None:
    """One line, if anybody reads."""
    if stream is not None:
        try:
            stream.write(text + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass
