"""Every error of this package.

SQLAlchemyFileError
├── ValidationError                 .key, .msg: a file was refused before a byte was stored
│   ├── SizeValidationError
│   ├── ContentTypeValidationError
│   ├── InvalidImageError
│   ├── DimensionValidationError
│   ├── AspectRatioValidationError
│   └── ValidationErrors            also ExceptionGroup: several files of one flush were refused
├── StorageError                    .storage, .key: a storage failed
│   ├── ObjectNotFoundError         also FileNotFoundError and libcloud's ObjectDoesNotExistError
│   ├── ObjectExistsError           also FileExistsError
│   ├── InvalidKeyError             also ValueError
│   ├── InvalidStorageError         also ValueError: an invalid URL or option of a storage
│   └── DeletionError               .failures: the keys that were not deleted, and why
├── UnknownStorageError             also RuntimeError: no storage of that name was added
├── ContentSpentError               also RuntimeError: the content was read and cannot be read again
├── UnsupportedStatementError       also TypeError: a statement that cannot be tracked
├── CommitRefusedError              a commit so late that the sweep may have taken its files
├── LedgerError                     the ledger's tables or triggers are not in order
└── MissingExtraError               .storage; also ImportError: an optional dependency is missing
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

__all__ = [
    "AspectRatioValidationError",
    "CommitRefusedError",
    "ContentSpentError",
    "ContentTypeValidationError",
    "DeletionError",
    "DimensionValidationError",
    "InvalidImageError",
    "InvalidKeyError",
    "InvalidStorageError",
    "LedgerError",
    "MissingExtraError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "SQLAlchemyFileError",
    "SizeValidationError",
    "StorageError",
    "UnknownStorageError",
    "UnsupportedStatementError",
    "ValidationError",
    "ValidationErrors",
]


class SQLAlchemyFileError(Exception):
    """The base of all errors of this package.

    The text is one line; unprintable characters of keys, names and messages are escaped.
    """

    def __str__(self) -> str:
        return escaped(super().__str__())


class ValidationError(SQLAlchemyFileError):
    """A validator refused a file. ``key`` is the attribute, ``msg`` the reason for users.

    ``code`` and ``params`` are the reason for programs. ``file`` is the file, ``index`` its
    position in a list, and ``instance`` the object that was to hold it; file and instance are not
    pickled.
    """

    code: str = "invalid"
    file: Any = None
    index: int | None = None
    instance: Any = None

    def __init__(
        self,
        key: str,
        msg: str,
        *,
        code: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{key}: {msg}")
        self.key = key
        self.msg = msg
        self.params: dict[str, Any] = dict(params or {})
        if code is not None:
            self.code = code

    @property
    def refusals(self) -> Sequence[ValidationError]:
        """The refusals of single files: this one, or those that `ValidationErrors` groups."""
        return (self,)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON for clients: key, index, filename, message, code and params."""
        return {
            "key": self.key,
            "index": self.index,
            "filename": None if self.file is None else self.file.get("filename"),
            "message": self.msg,
            "code": self.code,
            "params": self.params,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        state = _extra_state(self, "key", "msg", "file", "instance")
        return type(self), (self.key, self.msg), state


class ValidationErrors(ValidationError, ExceptionGroup[ValidationError]):  # noqa: N818
    """Several files of one flush were refused: ``exceptions`` has all refusals.

    ``key``, ``msg`` and the rest are those of the first one.
    """

    def __new__(cls, refusals: Sequence[ValidationError]) -> Self:
        return ExceptionGroup.__new__(cls, f"{len(refusals)} files were refused", list(refusals))

    def __init__(self, refusals: Sequence[ValidationError]) -> None:
        first = refusals[0]
        super().__init__(first.key, first.msg, code=first.code, params=first.params)
        self.file: Any = first.file
        self.index: int | None = first.index
        self.instance: Any = first.instance

    def __str__(self) -> str:
        return "; ".join([self.message, *map(str, self.exceptions)])

    @property
    def refusals(self) -> Sequence[ValidationError]:
        return cast("Sequence[ValidationError]", self.exceptions)

    def derive(self, refusals: Sequence[ValidationError], /) -> ValidationErrors:  # type: ignore[override]
        return ValidationErrors(refusals)

    def __reduce__(self) -> tuple[Any, ...]:
        state = _extra_state(self, "key", "msg", "file", "instance")
        return type(self), (list(self.exceptions),), state


class SizeValidationError(ValidationError):
    """The file is too large or too small."""

    code = "size"


class ContentTypeValidationError(ValidationError):
    """The content type is not among those allowed."""

    code = "content_type"


class InvalidImageError(ValidationError):
    """The bytes are not an image that can be decoded within the limits."""

    code = "invalid_image"


class DimensionValidationError(ValidationError):
    """The image is too wide, too high, too narrow or too low."""

    code = "dimensions"


class AspectRatioValidationError(ValidationError):
    """Width divided by height is out of the accepted range."""

    code = "aspect_ratio"


class StorageError(SQLAlchemyFileError):
    """A storage failed. ``storage`` is its name if known; ``__cause__`` is the cause."""

    def __init__(self, reason: str, *, storage: str | None = None, key: str | None = None) -> None:
        # Not super(): the next class may be libcloud's, which takes other arguments.
        Exception.__init__(self, reason)
        self.reason = reason
        self.storage = storage
        self.key = key

    def __str__(self) -> str:
        place = [f"storage {self.storage!r}"] if self.storage is not None else []
        place += [f"key {self.key!r}"] if self.key is not None else []
        return escaped(f"{', '.join(place)}: {self.reason}" if place else self.reason)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_storage_error, (type(self), dict(vars(self)))


class ObjectNotFoundError(StorageError, FileNotFoundError):
    """There is no object under this key.

    Where libcloud is loaded, this class is a subclass of its ``ObjectDoesNotExistError`` too.
    """

    def __new__(cls, *_arguments: Any, **_options: Any) -> Self:
        _inherit_from_libcloud()
        return super().__new__(cls)

    def __init__(
        self,
        reason: str = "there is no such object",
        *,
        storage: str | None = None,
        key: str | None = None,
    ) -> None:
        StorageError.__init__(self, reason, storage=storage, key=key)
        self.value = reason
        self.object_name = key
        self.driver: Any = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


def _inherit_from_libcloud() -> None:
    """Make `ObjectNotFoundError` a subclass of libcloud's error, as soon as libcloud is loaded.

    A program that catches libcloud's class has imported it. For all others libcloud stays out: it
    loads an HTTP library, which takes longer than this whole package.
    """
    libcloud = sys.modules.get("libcloud.storage.types")
    theirs = getattr(libcloud, "ObjectDoesNotExistError", None)  # None while it is being loaded
    if theirs is not None and not issubclass(ObjectNotFoundError, theirs):
        ObjectNotFoundError.__bases__ = (StorageError, theirs, FileNotFoundError)


_inherit_from_libcloud()


class ObjectExistsError(StorageError, FileExistsError):
    """There is an object under this key already; it is not overwritten."""

    def __init__(
        self,
        reason: str = "an object is stored there already",
        *,
        storage: str | None = None,
        key: str | None = None,
    ) -> None:
        StorageError.__init__(self, reason, storage=storage, key=key)


class InvalidKeyError(StorageError, ValueError):
    """The key is empty, too long, or leaves its container."""


class InvalidStorageError(StorageError, ValueError):
    """The URL of a storage, or one of its options, is invalid."""


class DeletionError(StorageError):
    """Some of several objects could not be deleted; ``failures`` maps their keys to the causes."""

    def __init__(self, failures: Mapping[str, Exception], *, storage: str | None = None) -> None:
        keys = ", ".join(sorted(failures)[:3]) + (", ..." if len(failures) > 3 else "")
        first = next(iter(failures.values()), None)
        super().__init__(f"{len(failures)} not deleted ({keys}): {first}", storage=storage)
        self.failures: dict[str, Exception] = dict(failures)


class UnknownStorageError(SQLAlchemyFileError, RuntimeError):
    """No storage of that name was added, or none at all."""


class ContentSpentError(SQLAlchemyFileError, RuntimeError):
    """The content of this file was read once and cannot be read again."""


class UnsupportedStatementError(SQLAlchemyFileError, TypeError):
    """A statement writes a file column in a way that cannot be tracked."""


class CommitRefusedError(SQLAlchemyFileError):
    """A commit came so late that a sweep may have deleted the transaction's files."""


class LedgerError(SQLAlchemyFileError):
    """The ledger's tables or triggers are missing, out of date, or not possible."""


class MissingExtraError(SQLAlchemyFileError, ImportError):
    """An optional dependency is not installed; the message names the extra to install.

    ``storage`` is the name of the storage that needs it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'sqlalchemy-file[{extra}]'")
        self.what = what
        self.extra = extra
        self.storage: str | None = None

    def __str__(self) -> str:
        place = f"storage {self.storage!r}: " if self.storage is not None else ""
        return escaped(f"{place}{self.msg}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.extra), _extra_state(self, "what", "extra")


def _extra_state(error: Exception, *known: str) -> dict[str, Any]:
    return {name: value for name, value in vars(error).items() if name not in known}


def _rebuild_storage_error(cls: type[StorageError], state: dict[str, Any]) -> StorageError:
    error = cls.__new__(cls)
    StorageError.__init__(error, state["reason"])
    vars(error).update(state)
    return error


def escaped(text: object) -> str:
    """Return text as one line without control and bidirectional characters.

    What is not printable is escaped as in Python's literals: line breaks, control characters,
    bidirectional controls, lone surrogates.
    """
    words = str(text)
    if words.isprintable():
        return words
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in words
    )
