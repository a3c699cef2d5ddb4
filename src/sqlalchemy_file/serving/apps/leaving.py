"""Notice a client that has disconnected: many servers let an application go on sending."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

_FROM = 256 * 1024
"""Bytes that are sent before anybody watches: less may be sent to a client that has left."""


class Leaving:
    """Watches for the end of a connection while a long body is sent.

    Servers of ASGI 2.4 raise in ``send`` instead, and are left alone.
    """

    def __init__(self, scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]]) -> None:
        version = str(scope.get("asgi", {}).get("spec_version", "2.0"))
        self._raises = tuple(map(int, version.split("."))) >= (2, 4)
        self._receive = receive
        self._watching: asyncio.Task[None] | None = None
        self._sent = 0

    def has_left(self, sent: int) -> bool:
        """Count bytes that were sent; return True once the client has left."""
        self._sent += sent
        if self._watching is None and self._sent >= _FROM and not self._raises:
            self._watching = asyncio.create_task(self._watch())
        return self._watching is not None and self._watching.done()

    async def end(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
