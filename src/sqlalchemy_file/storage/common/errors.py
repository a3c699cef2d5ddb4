"""Translate the exceptions of libraries and the system; those of the content pass through."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import BinaryIO, Self

from sqlalchemy_file.exceptions import (
    DeletionError,
    InvalidKeyError,
    SQLAlchemyFileError,
    StorageError,
)
from sqlalchemy_file.storage.common.streams import as_bytes

_QUERY = re.compile(r"\?[^\s,)\"']*")
_LOGIN = re.compile(r"://[^\s/@]*@")

Translation = Callable[[Exception, str | None], StorageError | None]
"""Returns our error for a foreign one about a key, or None to raise the foreign one."""


class Translator:
    """A context manager that translates a library's exceptions into `StorageError`.

    Errors of the content of a `put` belong to the caller. They pass through unchanged if it is read
    by `Translator.read`.
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
        """Return at most ``size`` bytes of ``content``, none at its end."""
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
    """Return our error for a foreign one, with its cause; others are returned unchanged."""
    ours = None if isinstance(error, SQLAlchemyFileError) else translation(error, key)
    if ours is None:
        return error
    ours.__cause__ = error
    return ours


def redacted(text: str) -> str:
    """Return a text without the queries and logins of URLs, which may be secrets."""
    return _LOGIN.sub("://", _QUERY.sub("", text))


def sort_out(
    keys: Sequence[str], check: Callable[[str], str]
) -> tuple[list[str], dict[str, Exception]]:
    """Return the valid keys, and the errors of the others: one bad key does not stop a deletion."""
    valid: list[str] = []
    failures: dict[str, Exception] = {}
    for key in keys:
        try:
            valid.append(check(key))
        except InvalidKeyError as error:
            failures[str(key)] = error
    return valid, failures


def raise_failures(failures: Mapping[str, Exception], translation: Translation) -> None:
    """Raise a `DeletionError` of all failures, if there are any."""
    if failures:
        raise DeletionError(
            {key: translated(error, translation, key) for key, error in failures.items()}
        )
