"""Messages between the processes of one run, over sockets that only they have.

One message is one datagram of a connected SOCK_SEQPACKET pair, so that it arrives whole or not at all. One that is too
large for a datagram travels as a file in memory, whose descriptor is sent. They are pickles: both ends are forks of
one process, and nobody else can write here.
"""

from __future__ import annotations

import array
import os
import pickle
import socket
from typing import Any

LARGE_BYTES = 100_000
_DESCRIPTOR = array.array("i").itemsize


class Gone(Exception):
    """The other side has ended."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, message: Any, descriptor: int | None = None) -> None:
    """Send one message, with a descriptor if one is given.

    Raises
    ------
    Gone
        Nobody will ever read it.
    """
    data = pickle.dumps(message, 5)
    large = -1
    try:
        if len(data) > LARGE_BYTES:
            large = os.memfd_create("pipegraph-message")
            view = memoryview(data)
            while view:
                view = view[os.write(large, view) :]
            data = b"large"
        sent = [each for each in (descriptor, large) if each is not None and each >= 0]
        if sent:
            socket.send_fds(end, [data], sent)
        else:
            end.send(data)
    except (BrokenPipeError, ConnectionError) as error:
        raise Gone from error
    finally:
        if large >= 0:
            os.close(large)


def receive(end: socket.socket) -> tuple[Any, int | None] | None:
    """One message and the descriptor that came with it; None if there is none now.

    Raises
    ------
    Gone
        The other side has ended, and all that it sent was read.
    """
    try:
        data, ancillary, _, _ = end.recvmsg(LARGE_BYTES + 1000, 4 * socket.CMSG_SPACE(_DESCRIPTOR), socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except ConnectionError as error:
        raise Gone from error
    if not data:
        raise Gone
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % _DESCRIPTOR])
    found = list(descriptors)
    for each in found:
        os.set_inheritable(each, False)
    if data == b"large":
        large = found.pop()
        try:
            data = os.pread(large, os.fstat(large).st_size, 0)
        finally:
            os.close(large)
    return pickle.loads(data), found[0] if found else None
