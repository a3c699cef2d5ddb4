"""Read an object from coroutines, in order with one request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy_file.storage.common.protocol import AsyncStorage, named


class AsyncReader:
    """Reads one object of a native storage; a jump to another place is a new request."""

    def __init__(self, storage: AsyncStorage, key: str, storage_name: str) -> None:
        self._storage = storage
        self._key = key
        self._storage_name = storage_name
        self._position = 0
        self._chunks: AsyncIterator[bytes] | None = None
        self._rest = b""

    async def read(self, start: int, size: int | None) -> bytes:
        """Return ``size`` bytes from ``start``, fewer only at the end; all of them for None."""
        if start != self._position:
            await self.close()
            self._position = start
        parts: list[bytes] = []
        missing = size
        while (missing is None or missing > 0) and (chunk := await self._next(missing)):
            parts.append(chunk)
            missing = None if missing is None else missing - len(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def close(self) -> None:
        """Close the request, if one is in progress."""
        chunks, self._chunks, self._rest = self._chunks, None, b""
        close: Any = getattr(chunks, "aclose", None)
        if close is not None:
            await close()

    async def _next(self, at_most: int | None) -> bytes:
        chunk = self._rest or await self._receive()
        end = len(chunk) if at_most is None else at_most
        taken, self._rest = chunk[:end], chunk[end:]
        self._position += len(taken)
        return taken

    async def _receive(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._storage.astream(self._key, self._position)
        try:
            with named(self._storage_name):
                return await anext(self._chunks, b"")
        except BaseException:
            await self.close()  # a request that failed is not taken up again
            raise
