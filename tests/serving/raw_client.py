"""An HTTP client that sends what it is given, and returns every byte that came."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit


class Received(NamedTuple):
    """An answer: names of headers are in lower case, in the order they came in."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} stands there twice"
        return values[0] if values else None


class CutOffError(Exception):
    """The connection ended in the middle of an answer."""


class RawClient:
    """Asks one server, over a connection that is kept open where the server keeps it.

    A body that is longer than announced shows in the next answer, or where the connection ends.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._address = parts.hostname, parts.port or 80
        self._socket: socket.socket | None = None
        self._rest = b""

    def ask(
        self, path: str, method: str = "GET", lines: Iterable[tuple[str, str]] = ()
    ) -> Received:
        """Send a request with these header lines, and return its answer."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=10)
        own = [("Host", f"{self._address[0]}:{self._address[1]}"), *lines]
        head = "".join(f"{name}: {value}\r\n" for name, value in own)
        if hasattr(socket, "TCP_QUICKACK"):  # a server may send its headers alone, and wait
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
        status, version, headers = self._head()
        names = dict(headers)
        length = 0 if method == "HEAD" or status in (204, 304) else int(names["content-length"])
        answer = Received(status, headers, self._exactly(length))
        closes = names.get("connection", "").lower() == "close" or version == "HTTP/1.0"
        if closes:
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection; nothing more may have come."""
        if self._socket is None:
            return
        self._socket.shutdown(socket.SHUT_WR)
        while chunk := self._socket.recv(65536):
            self._rest += chunk
        self._socket.close()
        self._socket = None
        rest, self._rest = self._rest, b""
        assert rest == b"", f"the answer went on: {rest[:80]!r}"

    def _head(self) -> tuple[int, str, list[tuple[str, str]]]:
        while b"\r\n\r\n" not in self._rest:
            self._receive()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = f"{first} ".split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        return int(status), version, [(name.lower(), value.strip()) for name, _, value in pairs]

    def _exactly(self, length: int) -> bytes:
        while len(self._rest) < length:
            self._receive()
        body, self._rest = self._rest[:length], self._rest[length:]
        return body

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            chunk = self._socket.recv(65536)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            self._socket.close()
            self._socket = None
            got, self._rest = len(self._rest), b""
            raise CutOffError(f"the connection ended after {got} bytes")
        self._rest += chunk
