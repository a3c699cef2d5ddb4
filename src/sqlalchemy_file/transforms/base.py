"""What a transform is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol, runtime_checkable

from sqlalchemy_file.file import File


@runtime_checkable
class Transform(Protocol):
    """Changes the content of a file. Any class with this method is one.

    Several threads may call it, each with a file of its own.
    """

    @abstractmethod
    def transform(self, file: File, attr_key: str) -> Any:
        """Return the content to store instead, or None to leave it as it is.

        The content so far is ``file.original_content``, a seekable stream. Anything that a `File`
        takes may be returned. Type, size and checksum follow; other keys may be changed here.
        Raise `ValidationError` to refuse the file that the attribute ``attr_key`` would hold.
        """
