"""What a validator is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from sqlalchemy_file.file import File


@runtime_checkable
class Validator(Protocol):
    """Accepts or refuses a file. Any class with this method is one.

    Several threads may call it, each with a file of its own.
    """

    @abstractmethod
    def process(self, file: File, attr_key: str) -> None:
        """Raise `ValidationError` to refuse the file that the attribute ``attr_key`` would hold.

        Its content type, size and file name are known; its content is ``file.original_content``.
        Keys may be added to the file.
        """
