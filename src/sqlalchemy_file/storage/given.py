"""Content for `StorageManager.save_file`, as a binary file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO, TextIOBase
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy_file.storage.common.streams import async_chunks, reader_of


def opened(
    content: Any, content_path: str | PathLike[str] | None
) -> AbstractContextManager[BinaryIO]:
    """Return a context manager of the content as a binary file. The caller's files stay open."""
    if content is None and content_path is None:
        raise ValueError("Either content or content_path must be specified")
    return _opened(content, content_path)


@contextmanager
def _opened(content: Any, content_path: Any) -> Iterator[BinaryIO]:
    if content is None:
        with Path(content_path).open("rb") as file:
            yield file
        return
    if isinstance(content, TextIOBase):
        raise TypeError("a file must be opened in binary mode ('rb'), not as text")
    if async_chunks(content) is not None:
        raise TypeError(
            "asynchronous content can be awaited only: await asave_file, or give its bytes, "
            "a binary file or an ordinary iterator"
        )
    if isinstance(content, str):
        content = content.encode()
    if isinstance(content, bytes | bytearray | memoryview):
        content = BytesIO(content)
    yield content if callable(getattr(content, "read", None)) else reader_of(content)
