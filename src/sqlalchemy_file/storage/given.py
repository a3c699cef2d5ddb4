"""Content for `StorageManager.save_file`, as a binary file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, TextIOBase
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy_file.storage.common.streams import async_chunks, reader_of


@contextmanager
def opened(content: Any, content_path: str | PathLike[str] | None) -> Iterator[BinaryIO]:
    """Yield the content as a binary file; only one that was opened here is closed."""
    if content is None:
        if content_path is None:
            raise ValueError("Either content or content_path must be specified")
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
