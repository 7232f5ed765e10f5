"""Log lines to a port of this machine, as plain text, for whoever listens (``util/log_listener.py``)."""

from __future__ import annotations

import socket

DATAGRAM_BYTES = 8192


class UdpLines:
    """Collects lines, and sends them in datagrams of up to 8 KiB. Nobody need listen.

    Parameters
    ----------
    who
        Stands in brackets before each line, so that a listener can tell runs apart.
    """

    def __init__(self, port: int, who: str) -> None:
        self._address = ("127.0.0.1", port)
        self._who = f"[{who}] "
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: str) -> None:
        """One line, with its end."""
        data = (self._who + line).encode("utf-8", "backslashreplace")
        if len(data) > DATAGRAM_BYTES:
            data = data[: DATAGRAM_BYTES - 4] + "…\n".encode()
        if self._size + len(data) > DATAGRAM_BYTES:
            self.send()
        self._lines.append(data)
        self._size += len(data)

    def send(self) -> None:
        """What was collected."""
        if self._lines:
            data = b"".join(self._lines)
            self._lines, self._size = [], 0
            try:
                self._socket.sendto(data, self._address)
            except OSError:
                pass

    def close(self) -> None:
        """Send the rest."""
        self.send()
        self._socket.close()
