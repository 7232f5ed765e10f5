"""A process that many small jobs share, one after the other: it takes orders from a queue of its own, until that ends.

Forked from a slave as the process of any job is, and reports to the master as any job does. What a job changed in the
process is brought back before the next one begins; where that can't be done, this process ends after its report, and
what is left in its queue is run by another one. It takes an order only after the report on the one before has been
sent, so that the master, which can look into the queue, always knows which job is in the hands of a worker that died.
"""

from __future__ import annotations

import os
from typing import NoReturn

from . import messages
from .capture import Slot
from .child import FAILED, ReportChannel, packed, run_job
from .opened import Openings
from .protocol import Order, Workload
from .restoring import Kept
from .traffic import OwnTraffic


def work(
    workload: Workload,
    directory: str,
    log_directory: str | None,
    inherited_bytes: int,
    queue: messages.End,
    channel: ReportChannel,
    openings: Openings,
    slot: Slot,
) -> NoReturn:
    """In the fork of a slave: never comes back."""
    own_traffic = OwnTraffic()
    kept = Kept(slot)
    while True:
        try:
            received = messages.receive(queue, waits=True)
        except messages.Gone:
            os._exit(0)
        assert received is not None
        order = Order._make(received[0])
        job = workload.job(order.job)
        before = own_traffic.text()
        told = kept.context().run(run_job, workload, job, directory, inherited_bytes, order, openings, None, before)
        leak = kept.restore()
        has_failed = told[0] is not None
        if channel.is_there():
            # What a failed job raised holds on to its frames, and to what was in them.
            is_leaving = has_failed or bool(leak)
            keep_as = (log_directory, order.job) if has_failed and log_directory is not None else None
            try:
                printed = slot.take(keep_as)
                parts = tuple(printed) if any(printed) else None
            except OSError:
                parts, is_leaving = None, True
            channel.pass_on((-order.token, kept.cpu_seconds, parts, is_leaving, *packed(told)))
            if not is_leaving:
                continue
        else:
            channel.send(order.token, told)
        os._exit(FAILED if has_failed else 0)
