"""What a processor is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from sqlalchemy_file.file import File


@runtime_checkable
class Processor(Protocol):
    """Derives objects from a file. Any class with this method is one.

    Several threads may call it, each with a file of its own.
    """

    @abstractmethod
    def process(self, file: File, upload_storage: str | None = None) -> None:
        """Look at ``file.original_content``, store what follows from it, add keys to the file.

        ``file.store_content`` stores an object that from then on belongs to the file.
        ``upload_storage`` names the storage that the file itself went to.
        """
