"""Messages between the processes of one run, over sockets that only they have.

One message is one datagram of a connected SOCK_SEQPACKET pair, so that it arrives whole or not at all. One that is too
large for a datagram travels as a file in memory, whose descriptor is sent. They are tuples of plain values, encoded by
marshal, which touches a tenth of the memory that pickle does: what a fork touches, it has to copy. Both ends are
forks of one process, and nobody else can write here.
"""

from __future__ import annotations

import _socket
import errno
import marshal
import os
import sys
from collections import deque
from typing import Any

End = _socket.socket
"""One end of a pair. The module `socket` wraps it, and brings an enum of each constant and three libraries, each of
which is five areas of memory: every fork would copy them."""

LARGE_BYTES = 100_000
_DESCRIPTOR_BYTES = 4
# Without the table of references that later versions build.
_MARSHAL_VERSION = 2
_LARGE = b"large"
# For the message that is read, by one thread at a time: to ask for as much each time touches ten pages.
_ROOM = [memoryview(bytearray(LARGE_BYTES))]


class Gone(Exception):
    """The other side has ended."""


def pair() -> tuple[End, End]:
    """Two connected ends."""
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)


def send(end: End, message: tuple[Any, ...], descriptor: int | None = None, flags: int = 0) -> None:
    """Send one message, with a descriptor if one is given.

    Raises
    ------
    Gone
        Nobody will ever read it.
    BlockingIOError
        The other side is behind (unix(7): net.unix.max_dgram_qlen), and the flags say not to wait for it.
    """
    data = marshal.dumps(message, _MARSHAL_VERSION)
    try:
        if descriptor is None and len(data) <= LARGE_BYTES:
            end.send(data, flags)
        else:
            _send_with_descriptors(end, data, descriptor, flags)
    except (BrokenPipeError, ConnectionError) as error:
        raise Gone from error


class Outbox:
    """What the other side can't take yet: two that wait for each other to read would wait for ever.

    Attributes
    ----------
    unsent
        Messages, the oldest first, each with an end of a socket to go with it.
    """

    __slots__ = ("_end", "unsent")

    def __init__(self, end: End) -> None:
        self._end = end
        self.unsent: deque[tuple[tuple[Any, ...], End | None]] = deque()

    def say(self, message: tuple[Any, ...], end: End | None = None) -> None:
        """Send, and with it an end of a socket, which is closed then; never waits."""
        self.unsent.append((message, end))
        self.flush()

    def flush(self) -> None:
        """Send what there is room for."""
        while self.unsent:
            message, end = self.unsent[0]
            try:
                send(self._end, message, None if end is None else end.fileno(), _socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except (Gone, OSError):
                pass  # its end is noticed by who reads
            if end is not None:
                end.close()
            self.unsent.popleft()

    def close(self) -> None:
        """Close the socket; what was not sent never will be."""
        self._end.close()
        for _, end in self.unsent:
            if end is not None:
                end.close()
        self.unsent.clear()


def _send_with_descriptors(end: End, data: bytes, descriptor: int | None, flags: int) -> None:
    descriptors = [] if descriptor is None else [descriptor]
    large = -1
    try:
        if len(data) > LARGE_BYTES:
            large = os.memfd_create("pipegraph-message")
            view = memoryview(data)
            while view:
                view = view[os.write(large, view) :]
            data = _LARGE
            descriptors.append(large)
        packed = b"".join([each.to_bytes(_DESCRIPTOR_BYTES, sys.byteorder) for each in descriptors])
        end.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)], flags)
    finally:
        if large >= 0:
            os.close(large)


def receive(end: End, waits: bool = False) -> tuple[tuple[Any, ...], int | None] | None:
    """One message and the descriptor that came with it; None if there is none now, and it is not waited for.

    Raises
    ------
    Gone
        The other side has ended, and all that it sent was read.
    """
    try:
        size, ancillary, _, _ = end.recvmsg_into(_ROOM, _ANCILLARY_BYTES, _WAITING if waits else _NOT_WAITING)
    except BlockingIOError:
        return None
    except ConnectionError as error:
        raise Gone from error
    if not size:
        raise Gone
    data = _ROOM[0][:size]  # no more, since it is copied for whoever listens by an audit hook, as ours does
    is_large = size == len(_LARGE) and data == _LARGE
    if not ancillary:
        if is_large:  # its descriptor was sent, and there was no room for it
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        message: tuple[Any, ...] = marshal.loads(data)
        return message, None
    found: list[int] = []
    for level, kind, content in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            ends = range(_DESCRIPTOR_BYTES, len(content) + 1, _DESCRIPTOR_BYTES)
            found += [int.from_bytes(content[end - _DESCRIPTOR_BYTES : end], sys.byteorder) for end in ends]
    if is_large:
        large = found.pop()
        try:
            message = marshal.loads(_content_of(large))
        finally:
            os.close(large)
    else:
        message = marshal.loads(data)
    return message, found[0] if found else None


def said(end: End) -> tuple[Any, ...]:
    """The next message, which is waited for.

    Raises
    ------
    Gone
        The other side has ended.
    """
    received = receive(end, waits=True)
    assert received is not None
    return received[0]


def _content_of(descriptor: int) -> bytes:
    # One pread gives 2 GB at most (pread(2)).
    parts = []
    done = 0
    while part := os.pread(descriptor, 1 << 30, done):
        parts.append(part)
        done += len(part)
    return b"".join(parts)


_ANCILLARY_BYTES = 4 * _socket.CMSG_SPACE(_DESCRIPTOR_BYTES)
_WAITING = _socket.MSG_CMSG_CLOEXEC
_NOT_WAITING = _socket.MSG_DONTWAIT | _WAITING
