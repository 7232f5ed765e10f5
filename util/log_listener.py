"""Show what runs of pipegraph on this machine log, as it comes; several at once, each in a colour of its own.

    python util/log_listener.py [--port 5005] [--run TEXT] [--job TEXT] [--only failed,blocked] [--errors-only]

Each line begins with the process and the script that speaks. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import socket
import sys
from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

ERRORS = frozenset({"failed", "blocked", "warning", "slave died", "lost", "stopped", "stopping"})
WORDS = ERRORS | {"started", "made", "up to date", "not needed", "removed", "run began", "run ended"}
COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_magenta")
BUFFER_BYTES = 1 << 22
# [4711 script.py] 2026-11-21 10:36:17 made        out/a (script.py:7) in 0.100 s
LINE = re.compile(r"\[(?P<run>\d+ .*?)\] \d\S+ \d\S+ (?P<what>.{11}) (?P<rest>.*)")


class Filter(NamedTuple):
    """Which lines are shown; what is None or empty asks for nothing."""

    run: str = ""
    job: str = ""
    only: frozenset[str] | None = None

    def shows(self, line: re.Match[str] | None) -> bool:
        if line is None:  # nobody of ours has sent it
            return self == Filter()
        about = line["rest"].partition(" because ")[0]
        what = line["what"].strip()
        return self.run in line["run"] and self.job in about and (self.only is None or what in self.only)


def words(text: str) -> frozenset[str]:
    found = frozenset(word.strip() for word in text.split(","))
    if not found <= WORDS:
        raise argparse.ArgumentTypeError(
            f"no such event: {', '.join(sorted(found - WORDS))}; there are {sorted(WORDS)}"
        )
    return found


def printable(text: str) -> str:
    """Whoever sent it need not have been pipegraph."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def shown(datagram: bytes, wanted: Filter) -> Iterator[tuple[str, str]]:
    """Who speaks, and the line."""
    for text in datagram.decode("utf-8", "backslashreplace").splitlines():
        line = LINE.fullmatch(text)
        if wanted.shows(line):
            yield line["run"] if line else "", printable(text)


def listen(listener: socket.socket, wanted: Filter, console: Console) -> None:
    colours = itertools.cycle(COLOURS)
    colour_of = {"": ""}
    while True:
        lines = list(shown(listener.recv(65536), wanted))
        if not lines:
            continue
        if not console.is_terminal:
            print("\n".join(line for _, line in lines), flush=True)
            continue
        text = Text()
        for run, line in lines:
            if run not in colour_of:
                colour_of[run] = next(colours)
            text.append(line + "\n", colour_of[run])
        console.print(text, end="", soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Show what runs of pipegraph on this machine log.")
    parser.add_argument("--port", type=int, default=5005, help="as given to new_pipegraph or in PIPEGRAPH_LOG_PORT")
    parser.add_argument(
        "--run", default="", metavar="TEXT", help="runs whose process id or script's name has this in it"
    )
    parser.add_argument("--job", default="", metavar="TEXT", help="lines about jobs whose id or place has this in it")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--only", type=words, metavar="EVENT,…", help=f"of {', '.join(sorted(WORDS))}")
    chosen.add_argument("--errors-only", dest="only", action="store_const", const=ERRORS)
    arguments = parser.parse_args()
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    try:
        listener.bind(("127.0.0.1", arguments.port))
    except (OSError, OverflowError) as error:
        print(f"can't listen on port {arguments.port}: {error}. Another listener?", file=sys.stderr)
        return 1
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(f"listening on port {arguments.port}; Ctrl-C ends", file=sys.stderr, flush=True)
        listen(listener, Filter(arguments.run, arguments.job, arguments.only), Console(highlight=False))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python would still write to it
        return 0


if __name__ == "__main__":
    sys.exit(main())
