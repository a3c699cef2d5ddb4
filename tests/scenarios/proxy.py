"""A door between a client and its database that is cut in the middle of a COMMIT."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Literal, Self

Moment = Literal["before", "after"]


class Proxy:
    """Pass everything on, until the COMMIT of an armed proxy comes by.

    ``before``: both sides are cut before the server has seen it. ``after``: the server gets
    it and answers, and the client never hears of it.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._cut: Moment | None = None
        self.committed = threading.Event()
        """Set when the server has answered the COMMIT that the client never hears of."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        self.port: int = self._listener.getsockname()[1]

    def cut_commit(self, moment: Moment) -> None:
        self._cut = moment

    def close(self) -> None:
        for one in self._sockets:
            _shut(one)
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
            self._start(self._upstream, client, server)
            self._start(self._downstream, server, client)

    def _start(self, target: Callable[..., None], *sockets: socket.socket) -> None:
        thread = threading.Thread(target=target, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _upstream(self, client: socket.socket, server: socket.socket) -> None:
        while data := _receive(client):
            moment = self._take_cut(data)
            if moment is not None:
                _shut(client)
            if moment == "before":
                break
            if not _send(server, data) or moment == "after":
                return
        _shut(client)
        _shut(server)

    def _take_cut(self, data: bytes) -> Moment | None:
        if self._cut is None or b"COMMIT" not in data:
            return None
        moment, self._cut = self._cut, None
        return moment

    def _downstream(self, server: socket.socket, client: socket.socket) -> None:
        while data := _receive(server):
            if not _send(client, data):
                self.committed.set()
                break
        _shut(client)
        _shut(server)


def _receive(one: socket.socket) -> bytes:
    try:
        return one.recv(65536)
    except OSError:
        return b""


def _send(one: socket.socket, data: bytes) -> bool:
    try:
        one.sendall(data)
    except OSError:
        return False
    return True


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
