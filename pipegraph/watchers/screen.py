"""A run as it is drawn: the live display, and the tables that answer questions. Pure: facts in, renderables out.

The only module that knows columns and colours. Whatever comes from outside (ids, lines that jobs print) is escaped.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.filesize import decimal
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ..errors import shown
from .overview import FailedJob, Overview, RunningJob, WaitingJob
from .wording import duration, put_off

LEAST_WIDTH = 20
_SAYS_FROM_WIDTH = 110
_DETAILS_FROM_WIDTH = 60
_BAR_FROM_WIDTH = 60


def clock(seconds: float) -> str:
    """A length of time for a column: 0:07, 12:34, 1:02:03, 3 d 04 h."""
    seconds = max(0, int(seconds))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02} h"
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Live:
    """The live display, made to fit into a terminal of this size.

    Parameters
    ----------
    rows
        That it may take, at the most.
    """

    def __init__(self, overview: Overview, rows: int) -> None:
        self._overview = overview
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines, each no longer than the width."""
        view, width = self._overview, options.max_width
        dot = _separator(options)
        # A line across, so that what stands above is not taken for a part of it.
        yield Rule(_headline(view, dot), align="left", style="dim")
        left = self._rows - 1
        if left >= 2 and width >= _BAR_FROM_WIDTH:
            yield _progress(view, width)
            left -= 1
        if left >= 1:
            yield _counts(view, dot)
            left -= 1
        if left >= 1 and view.put_off and not view.ended_at:
            yield _next_put_off(view)
            left -= 1
        if left >= 2 and view.running:
            yield from _running_rows(view, width, left)


def input_row(text: str, cursor: int, width: int, hint: str) -> tuple[Text, int]:
    """The input line, moved so that the cursor is in it; with the cursor's column."""
    if not text:
        return Text.assemble("> ", (hint, "dim")), 2
    room = max(1, width - 3)
    before, after = shown(text[:cursor]), shown(text[cursor:])
    while cell_len(before) > room:
        before = before[max(1, cell_len(before) - room) :]
    return Text(f"> {before}{after}"), 2 + cell_len(before)


def status_answer(view: Overview) -> Iterable[Text]:
    """What Enter shows: where the run stands, and each running job with all that is known of it."""
    yield Text.assemble(_headline(view, " - "), (f" - process {view.pid} on {shown(view.host)}", ""))
    yield _counts(view, ", ")
    if view.ended_at:
        return
    estimate = _estimate(view)
    if estimate:
        yield Text(estimate)
    yield from running_answer(view)
    for job in view.put_off:
        yield Text.assemble((shown(job.job), "yellow"), (f" ({shown(job.place)})" if job.place else "", "dim"))
        yield Text(f"    {_put_off(job, view.at)}")
        yield Text(f"    {shown(job.headline)}", "dim")


def running_answer(view: Overview) -> Iterable[Text]:
    """Each running job: since when, cores, memory, process, host, expected end, and what it printed last."""
    for job in view.running:
        expected = "?" if job.expected_seconds is None else _time_of_day(job.started_at + job.expected_seconds, view.at)
        facts = [
            f"since {_time_of_day(job.started_at, view.at)} ({clock(view.at - job.started_at)})",
            f"expected end {expected}",
            f"{job.cores} core{'s' if job.cores != 1 else ''}",
        ]
        if job.pid:
            others = job.processes - 1
            also = f" and {others} other{'s' if others > 1 else ''}" if others else ""
            facts += [_memory(job), f"process {job.pid}{also} on {shown(view.host)}"]
        yield Text.assemble((shown(job.job), "cyan"), (f" ({shown(job.place)})" if job.place else "", "dim"))
        yield Text(f"    {', '.join(facts)}")
        if job.last_line:
            yield Text(f"    says: {shown(job.last_line)}", "dim")
    if view.running_jobs > len(view.running):
        yield Text(f"and {view.running_jobs - len(view.running):,} more", "dim")
    if not view.running:
        yield Text("Nothing is running.", "dim")


def failed_answer(failed: Sequence[FailedJob], in_all: int) -> Iterable[Text]:
    """Those first that block most."""
    if not in_all:
        yield Text("Nothing has failed.", style="green")
        return
    for job in failed:
        blocked = f", blocks {job.blocked:,}" if job.blocked else ""
        yield Text.assemble((shown(job.job), "bold red"), f" ({shown(job.place)}){blocked}")
        yield Text(f"    {shown(job.headline)}")
        if job.file:
            yield Text(f"    {shown(job.file)}", style="dim")
    if in_all > len(failed):
        yield Text(f"and {in_all - len(failed):,} more: logs/ppg_errors.txt", style="dim")


def _headline(view: Overview, dot: str) -> Text:
    parts = [
        (shown(view.script), "bold"),
        (dot, "dim"),
        (clock((view.ended_at or view.at) - view.began_at), ""),
        (dot, "dim"),
        (f"{view.cores} core{'s' if view.cores != 1 else ''}", ""),
    ]
    if view.is_paused:
        parts += [(dot, "dim"), ("paused: nothing is started (resume)", "bold yellow")]
    if view.is_stopping and not view.ended_at:
        parts += [(dot, "dim"), ("stopping", "bold yellow")]
    if view.reading:
        parts += [(dot, "dim"), (view.reading, "cyan")]
    if view.is_again:
        parts += [(dot, "dim"), ("runs again afterwards", "cyan")]
    if view.ended_at:
        parts += [(dot, "dim"), (f"ended {_time_of_day(view.ended_at, view.at)}", "")]
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _progress(view: Overview, width: int) -> Table:
    grid = Table.grid(padding=(0, 1), expand=False)
    share = view.settled / view.total if view.total else 0.0
    text = f"{view.settled:,} of {view.total:,}" if view.is_decided else "looking at what changed"
    estimate = _estimate(view)
    taken = len(text) + len(estimate) + 8
    bar_width = max(10, min(40, width - taken))
    bar = ProgressBar(total=max(1, view.total), completed=view.settled, width=bar_width)
    # 100 % is said of nothing that is not whole.
    percent = f"{min(99, int(share * 100)) if view.settled < view.total else 100} %"
    grid.add_row(Text(text), bar, Text(percent if view.is_decided else ""), Text(estimate, "dim", no_wrap=True))
    return grid


def _estimate(view: Overview) -> str:
    estimate = view.estimate
    if not view.is_decided or view.is_stopping or not (view.waiting or view.running_jobs):
        return ""
    if estimate is None:
        return "no times known yet"
    known, guessed = estimate.known, estimate.guessed
    if not guessed:
        basis = "times known"
    elif not known:
        basis = "a guess"
    else:
        basis = f"{int(100 * known / (known + guessed))} % of times known"
    return f"about {duration(estimate.seconds)} left ({basis})"


def _counts(view: Overview, dot: str) -> Text:
    parts: list[tuple[str, str]] = []
    for count, word, style in (
        (view.failed_jobs, "failed", "bold red"),
        (view.blocked, "blocked", "red"),
        (view.running_jobs, "running", "cyan"),
        (view.waiting, "waiting", ""),
        (view.made, "made", "green"),
        (view.brought_back, "brought back", "green"),
        (view.generators, "generator" if view.generators == 1 else "generators", "green"),
        (view.up_to_date, "up to date", "green"),
        (view.not_needed, "not needed", "dim"),
        (view.stopped, "stopped", "yellow"),
    ):
        if count:
            parts += [(dot, "dim")] if parts else []
            parts.append((f"{count:,} {word}", style))
    return Text.assemble(*(parts or [("nothing to do yet", "dim")]), no_wrap=True, overflow="ellipsis")


def _running_rows(view: Overview, width: int, rows: int) -> Iterable[Text]:
    names = ["for", "left", "cores", "memory"] if width >= _DETAILS_FROM_WIDTH else ["for"]
    fits = rows - 1
    if fits < min(2, view.running_jobs):
        return
    jobs = view.running[: fits if view.running_jobs <= fits else max(1, fits - 1)]
    cells = [(clock(view.at - job.started_at), _left(job, view.at), str(job.cores), _memory(job)) for job in jobs]
    widths = [max([len(name), *(len(row[each]) for row in cells)]) for each, name in enumerate(names)]
    room = width - sum(widths) - 2 * len(widths)
    has_says_column = width >= _SAYS_FROM_WIDTH
    if has_says_column:
        room = min(room // 2, max(cell_len(shown(job.job)) for job in jobs))
    lines_left = 0 if has_says_column else fits - len(jobs) - (view.running_jobs > len(jobs))
    head = set_cell_size("running", room) + _columns(names, widths)
    yield Text(f"{head}  says" if has_says_column else head, "dim", no_wrap=True)
    for job, row in zip(jobs, cells):
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(_end_of(shown(job.job), room), "cyan").append(_columns(row, widths))
        says = shown(job.last_line)
        if has_says_column:
            line.append(f"  {says}", "dim")
        yield line
        if says and lines_left > 0:
            lines_left -= 1
            yield Text(f"    {says}", "dim", no_wrap=True, overflow="ellipsis")
    if view.running_jobs > len(jobs):
        yield Text(
            f"and {view.running_jobs - len(jobs):,} more (Enter shows them)", "dim", no_wrap=True, overflow="ellipsis"
        )


def _next_put_off(view: Overview) -> Text:
    others = len(view.put_off) - 1
    job = view.put_off[0]
    text = f"{_put_off(job, view.at)}{f', and {others:,} more' if others else ''}"
    return Text.assemble((shown(job.job), "yellow"), f" {text}", no_wrap=True, overflow="ellipsis")


def _put_off(job: WaitingJob, now: float) -> str:
    return put_off(job.until, job.attempt, job.of, now)


def _columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths))


def _end_of(name: str, width: int) -> str:
    """Made this wide; the end of a path says more than its beginning."""
    if cell_len(name) > width > 3:
        name = "..." + set_cell_size(name[::-1], width - 3)[::-1]
    return set_cell_size(name, max(0, width))


def _left(job: RunningJob, now: float) -> str:
    if job.expected_seconds is None:
        return "?"
    left = job.started_at + job.expected_seconds - now
    return f"~{clock(left)}" if left >= 0 else f"+{clock(-left)}"


def _memory(job: RunningJob) -> str:
    if not job.pid:
        return ""
    return decimal(job.own_bytes) if job.own_bytes >= 1_000_000 else "<1 MB"


def _time_of_day(at: float, now: float) -> str:
    there, here = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M:%S" if there[:3] == here[:3] else "%Y-%m-%d %H:%M", there)


def _separator(options: ConsoleOptions) -> str:
    return " - " if options.ascii_only else " \u00b7 "
