"""The content of a file that is not stored yet, from any source.

Every source becomes a seekable binary stream, positioned at its start. Nothing is read before the
stream is needed, and a file object of the caller is never closed.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast
from weakref import finalize

from sqlalchemy_file.content.received import (
    is_response,
    response_chunks,
    upload_name,
    uploaded_file,
)
from sqlalchemy_file.exceptions import ContentSpentError
from sqlalchemy_file.storage.common.protocol import CHUNK_SIZE
from sqlalchemy_file.storage.common.streams import (
    as_bytes,
    aspooled,
    async_chunks,
    closing_on_error,
    new_spool,
)
from sqlalchemy_file.transfer import heed_cancellation


class Content:
    """A source of bytes that can be read from its start, again and again."""

    @property
    def needs_fetching(self) -> bool:
        """Whether it is a stream that was not read yet, and may make others wait."""
        return False

    def open(self) -> BinaryIO:
        """Return a seekable stream at its start; raise `ContentSpentError` if there is none."""
        raise NotImplementedError

    def size(self) -> int | None:
        """Return how many bytes there seem to be, or None where only reading can tell."""
        raise NotImplementedError

    def identity(self) -> int:
        """Return a number that only contents which read the same handle share."""
        return id(self)

    def release(self) -> None:
        """Close what was opened here; `open` may be called again."""


class BytesContent(Content):
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stream: io.BytesIO | None = None

    def open(self) -> BinaryIO:
        self._stream = self._stream or io.BytesIO(self._data)
        self._stream.seek(0)
        return self._stream

    def size(self) -> int:
        return len(self._data)

    def release(self) -> None:
        self._stream = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_data": self._data, "_stream": None}


class PathContent(Content):
    """A file on disk, opened when it is read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._stream: BinaryIO | None = None
        if self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a file is expected, this is a folder", str(path))
        self._size = self._path.stat().st_size

    @property
    def path(self) -> str:
        """The path of the file."""
        return str(self._path)

    def open(self) -> BinaryIO:
        if self._stream is None:
            self._stream = self._path.open("rb")
        self._stream.seek(0)
        return self._stream

    def size(self) -> int:
        return self._size

    def release(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None


class HandleContent(Content):
    """An open file of the caller that can seek: read from its start, never closed."""

    def __init__(self, handle: BinaryIO, owner: object = None) -> None:
        self._handle = handle
        self._owner = owner  # some wrappers close their file when they go out of scope

    def open(self) -> BinaryIO:
        if getattr(self._handle, "closed", False):
            raise ContentSpentError(
                "the content was closed before it could be read: give the File an open handle, "
                "its bytes or its path"
            )
        self._handle.seek(0)
        return self._handle

    def size(self) -> int | None:
        if getattr(self._handle, "closed", False):
            return None
        position = self._handle.tell()
        size = self._handle.seek(0, os.SEEK_END)
        self._handle.seek(position)
        # SpooledTemporaryFile.seek returned None before Python 3.11, some wrappers still do.
        return size if isinstance(size, int) else None

    def identity(self) -> int:
        return id(self._handle)


class StreamContent(Content):
    """A stream that cannot seek: copied once to a spooled file."""

    def __init__(self, chunks: Iterable[bytes] | None, source: object = None) -> None:
        self._chunks = chunks
        self._spool: BinaryIO | None = None
        self._identity = id(self if source is None else source)

    @property
    def needs_fetching(self) -> bool:
        return self._spool is None

    def watch(self, watch: Callable[[Any], None]) -> None:
        """Call a function with each piece of the stream, as it is read.

        What it raises ends the reading.
        """
        if self._chunks is not None:
            self._chunks = _watched(self._chunks, watch)

    def open(self) -> BinaryIO:
        spool = self._keep(self._copy()) if self._spool is None else self._spool
        spool.seek(0)
        return spool

    def _keep(self, spool: BinaryIO) -> BinaryIO:
        self._spool = spool
        finalize(self, spool.close)  # in a cycle, __del__ might come after that of the spool
        return spool

    def _copy(self) -> BinaryIO:
        if self._chunks is None:
            raise ContentSpentError(
                "the stream failed while it was read and cannot be read again: "
                "give the File a new one"
            )
        chunks, self._chunks = self._chunks, None
        with closing_on_error(new_spool()) as spool:
            for chunk in chunks:
                heed_cancellation()
                spool.write(as_bytes(chunk))
        return spool

    def size(self) -> int | None:
        return None if self._spool is None else self._spool.seek(0, os.SEEK_END)

    def identity(self) -> int:
        return self._identity  # the spool is not released: it is the only copy of the bytes


class AsyncStreamContent(StreamContent):
    """An asynchronous stream: awaited once, into a spooled file."""

    def __init__(self, chunks: AsyncIterable[Any], source: object) -> None:
        super().__init__(None, source)
        self._source: AsyncIterable[Any] | None = chunks

    @property
    def needs_await(self) -> bool:
        """Whether `afetch` is needed before `open`."""
        return self._source is not None

    def watch(self, watch: Callable[[Any], None]) -> None:
        if self._source is not None:
            self._source = _awatched(self._source, watch)

    async def afetch(self) -> None:
        """Read the stream, once."""
        source, self._source = self._source, None
        if source is not None:
            self._keep(await aspooled(source))

    def open(self) -> BinaryIO:
        if self._source is not None:
            raise TypeError(
                "an asynchronous source can be read by an AsyncSession only: give the File its "
                "bytes, a binary file or an ordinary iterator"
            )
        return super().open()


def content_of(source: Any) -> Content:
    """Return the content of ``source``.

    Takes bytes, text, a path object, a binary file, an upload object of a framework, a response
    of requests or httpx, or an iterator of bytes; the file and the iterator may be asynchronous.
    Raises `TypeError` for anything else, and `FileNotFoundError` or `IsADirectoryError` for such
    a path.
    """
    if isinstance(source, os.PathLike):
        return PathContent(cast("os.PathLike[str]", source))
    if is_response(source):
        return _streamed(response_chunks(source), source)
    handle = uploaded_file(source)
    if isinstance(handle, str):
        handle = handle.encode()
    if isinstance(handle, bytes | bytearray | memoryview):
        return BytesContent(bytes(handle))
    if any(map(_is_text, (source, handle))):
        raise TypeError("a file must be opened in binary mode ('rb'), not as text")
    if callable(getattr(handle, "read", None)) or isinstance(handle, AsyncIterable):
        return _content_of_handle(handle, source)
    if isinstance(source, Iterable) and not isinstance(source, dict | list | tuple | set):
        return StreamContent(source, source)
    raise TypeError(
        "the content of a file is bytes, str, a path, a binary file object, an upload or an "
        f"iterator of bytes, not {type(source).__name__}"
    )


def _streamed(chunks: Any, owner: object) -> Content:
    if isinstance(chunks, AsyncIterable):
        return AsyncStreamContent(chunks, owner)
    return StreamContent(chunks, owner)


def _content_of_handle(handle: Any, owner: object) -> Content:
    if (chunks := async_chunks(handle)) is not None:
        return AsyncStreamContent(chunks, handle)
    if _can_seek(handle):
        return HandleContent(handle, owner)
    return StreamContent(iter(lambda: handle.read(CHUNK_SIZE), b""), handle)


def given_content(content: Any, content_path: str | os.PathLike[str] | None) -> Content:
    """Return the one of two ways to give content that was used; `ValueError` if neither was."""
    if type(content) is bytes:
        return BytesContent(content)
    if content is None and content_path is None:
        raise ValueError("Either content or content_path must be specified")
    return content_of(content) if content is not None else PathContent(str(content_path))


def given_name(content: Any, content_path: str | os.PathLike[str] | None) -> str | None:
    """Return the file name that came with the content, as it came."""
    if content_path is not None and content is None:
        return Path(content_path).name
    return upload_name(content)


def is_content(source: Any) -> bool:
    """Return True if `content_of` would take ``source``."""
    if isinstance(
        source, str | bytes | bytearray | memoryview | os.PathLike | Iterator | AsyncIterable
    ):
        return True
    handle = uploaded_file(source)
    return (
        isinstance(handle, bytes) or callable(getattr(handle, "read", None)) or is_response(source)
    )


def _is_text(handle: Any) -> bool:
    # cgi's uploads have an encoding, too, and no `read`.
    is_wrapped = isinstance(getattr(handle, "encoding", None), str) and hasattr(handle, "read")
    return is_wrapped or isinstance(handle, io.TextIOBase)


def _can_seek(handle: Any) -> bool:
    seekable = getattr(handle, "seekable", None)
    if callable(seekable):
        return bool(seekable())
    return callable(getattr(handle, "seek", None)) and callable(getattr(handle, "tell", None))


def _watched(chunks: Iterable[bytes], watch: Callable[[Any], None]) -> Iterator[bytes]:
    for chunk in chunks:
        watch(chunk)
        yield chunk


async def _awatched(chunks: AsyncIterable[Any], watch: Callable[[Any], None]) -> AsyncIterator[Any]:
    async for chunk in chunks:
        watch(chunk)
        yield chunk
