"""Translate the exceptions of libraries and the system; those of the content pass through."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import BinaryIO, Self

from sqlalchemy_file.exceptions import InvalidKeyError, SQLAlchemyFileError, StorageError
from sqlalchemy_file.storage.common.streams import as_bytes

_QUERY = re.compile(r"\?[^\s,)\"']*")
_LOGIN = re.compile(r"://[^\s/@]*@")

Translation = Callable[[Exception, str | None], StorageError | None]
"""Turns a foreign error into ours, with the key it is about; None lets it through as it is."""


class Translator:
    """A context manager that translates a library's exceptions into `StorageError`.

    The content of a `put` is foreign too, but its errors belong to the caller:
    read it by `Translator.read`, and they pass through unchanged.
    """

    __slots__ = ("_from_content", "_key", "_translation")

    def __init__(self, translation: Translation, key: str | None = None) -> None:
        self._translation = translation
        self._key = key
        self._from_content: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception) or error is self._from_content:
            return
        ours = translated(error, self._translation, self._key)
        if ours is not error:
            raise ours from error

    def read(self, content: BinaryIO, size: int) -> bytes:
        """Return the next bytes of ``content``, at most ``size`` of them; empty at its end."""
        try:
            chunk = content.read(size)
            return chunk if type(chunk) is bytes else as_bytes(chunk)
        except BaseException as error:
            self._from_content = error
            raise

    def read_full(self, content: BinaryIO, size: int) -> bytes:
        """Return exactly ``size`` bytes of ``content``, fewer only at its end."""
        chunk = self.read(content, size)
        if len(chunk) == size or not chunk:
            return chunk
        chunks, missing = [chunk], size - len(chunk)
        while missing and (chunk := self.read(content, missing)):
            chunks.append(chunk)
            missing -= len(chunk)
        return b"".join(chunks)


def translated(error: Exception, translation: Translation, key: str | None) -> Exception:
    """Return our own error for a foreign one, with its cause; ours and unknown ones stay."""
    ours = None if isinstance(error, SQLAlchemyFileError) else translation(error, key)
    if ours is None:
        return error
    ours.__cause__ = error
    return ours


def redacted(text: str) -> str:
    """Return a text without queries and logins of URLs, which may hold keys and signatures."""
    return _LOGIN.sub("://", _QUERY.sub("", text))


def sort_out(
    keys: Sequence[str], check: Callable[[str], str]
) -> tuple[list[str], dict[str, Exception]]:
    """Return the keys that pass the check, and the errors of those that do not.

    One bad key among many to delete must not spare the others.
    """
    valid: list[str] = []
    failures: dict[str, Exception] = {}
    for key in keys:
        try:
            valid.append(check(key))
        except InvalidKeyError as error:
            failures[str(key)] = error
    return valid, failures
