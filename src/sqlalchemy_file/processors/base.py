"""The protocol of processors."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from sqlalchemy_file.file import File


@runtime_checkable
class Processor(Protocol):
    """Stores further objects for a file. Any class with this method is a processor.

    It is called from several threads, each with a file of its own.
    """

    @abstractmethod
    def process(self, file: File, upload_storage: str | None = None) -> None:
        """Read ``file.original_content``, store further objects, add keys to the file.

        ``file.store_content`` stores an object that belongs to the file. ``upload_storage`` is the
        name of the file's storage.
        """
