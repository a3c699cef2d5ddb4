"""What a validator is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from sqlalchemy_file.file import File


@runtime_checkable
class Validator(Protocol):
    """Accepts or refuses a file. Any class with this method is one.

    Several threads may call it, each with a file of its own.

    It may be a coroutine function, which `AsyncSession` awaits on the event loop, and may take the
    row as one more parameter. One that can judge a stream before it was read to its end may have a
    method ``process_early(file, attr_key, size)``: it is called after each piece of the stream,
    with the number of bytes so far. ``process_head(file, attr_key, head)`` is called once, with
    the first 4096 bytes of a longer stream, unless a validator before it has neither method.
    """

    @abstractmethod
    def process(self, file: File, attr_key: str) -> None:
        """Raise `ValidationError` to refuse the file that the attribute ``attr_key`` would hold.

        Its content type, size and file name are known; its content is ``file.original_content``.
        Keys may be added to the file.
        """
