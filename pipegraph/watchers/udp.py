"""Log lines to a port of this machine, as plain text, for whoever listens (``util/log_listener.py``)."""

from __future__ import annotations

import socket

PORT = 5005
DATAGRAM_BYTES = 8192


class UdpLines:
    """Collects lines, and sends them in datagrams of up to 8 KiB. Nobody need listen."""

    def __init__(self, port: int = PORT) -> None:
        self._address = ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: str) -> None:
        """One line, with its end."""
        data = line.encode("utf-8", "backslashreplace")[:DATAGRAM_BYTES]
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
