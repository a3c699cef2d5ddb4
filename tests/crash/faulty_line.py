"""A bad line to a server: it delays what goes over it, and cuts connections in the middle."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from random import Random
from typing import Self

CHUNK = 16 * 1024


class FaultyLine:
    """Passes everything on to a server, except what its dice let fall."""

    def __init__(self, host: str, port: int, seed: int, *, cuts: float, delay: float) -> None:
        self._target = (host, port)
        self._dice = Random(seed)
        self._cuts = cuts
        self._delay = delay
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for one in (self._listener, *self._sockets):
            _shut(one)
        for thread in self._threads:
            thread.join(10)

    def _start(self, run: object, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            self._sockets |= {client, server}
            self._start(self._pass, client, server)
            self._start(self._pass, server, client)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK):
                if self._dice.random() < self._cuts:
                    target.sendall(chunk[: len(chunk) // 2])
                    break
                time.sleep(self._dice.random() * self._delay)
                target.sendall(chunk)
        _shut(source)
        _shut(target)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
