"""A large content, which obstore asks for in chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import BinaryIO

from sqlalchemy_file.storage.common.errors import Translator
from sqlalchemy_file.transfer import in_thread

READ_SIZE = 1024 * 1024
"""How many bytes of content are read at a time; smaller ones cost speed."""


class Source:
    """A content that begins with chunks which were read already.

    obstore's runtime is at work in the thread that asks. The content is read in another one: it may
    be an object of obstore itself, which cannot be read inside that runtime.
    """

    def __init__(
        self,
        begun: Sequence[bytes],
        content: BinaryIO,
        translator: Translator,
        at_end: Callable[[], object] | None = None,
    ) -> None:
        self._begun = list(begun)
        self._content = content
        self._translator = translator
        self._at_end = at_end
        self._stopped = False
        self.size: int = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the content, for a thread that waits."""
        context = copy_context()
        with ThreadPoolExecutor(1, "sqlalchemy-file-source") as reader:
            while chunk := reader.submit(context.run, self._read).result():
                yield chunk

    async def achunks(self) -> AsyncIterator[bytes]:
        """Yield the content, for an event loop that goes on meanwhile."""
        while chunk := await in_thread(self._read):
            yield chunk

    def _read(self) -> bytes:
        if self._stopped:
            raise StoppedError
        chunk = (
            self._begun.pop(0) if self._begun else self._translator.read(self._content, READ_SIZE)
        )
        self.size += len(chunk)
        if not chunk and self._at_end is not None:
            self._at_end()
        return chunk

    def stop(self) -> None:
        """Fail at the next chunk, upon which obstore takes back the parts it has sent."""
        self._stopped = True


class StoppedError(Exception):
    """The upload was cancelled."""
