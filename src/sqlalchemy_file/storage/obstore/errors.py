"""Translate obstore's exceptions; credentials are redacted."""

from __future__ import annotations

import re

from obstore import exceptions

from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage.common.calling import redacted

_STATUS = re.compile(r"status code: (\d{3})")
_UNKNOWN_THERE = frozenset({400, 405, 411, 501})  # an older or smaller server, a proxy
_TIMED_OUT = re.compile(r"\bkind: Timeout\b")
_SYSTEM = re.compile(r'\bOs \{[^}]*?message: "([^"]+)"')
_OF_INSTANCE = re.compile("/latest/(api|meta-data)|/computeMetadata/|/metadata/identity")
"""URLs of clouds for their machines, which obstore asks for credentials if it has none."""
_OF_ONE_KEY = "request failed for key"
_UNREADABLE = "contained non UTF-8 characters"
_EXISTS = re.compile(r"\AObject at location .*? already exists: ")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")


def our_error(
    error: Exception, key: str | None, place: str = "", *, creates: bool = False
) -> StorageError | None:
    """Return our error for one of obstore, without secrets; ``place`` names the store.

    obstore reports each answer 409 as an existing object, which is true only if the request
    ``creates`` a new one. Otherwise it means a lock, or another request at the same time.
    """
    foreign = exceptions.BaseError | OSError | NotImplementedError | Panic
    if not isinstance(error, foreign):
        return None
    if _is_bucket_missing(error):
        text = f"the bucket or container does not exist: {place}".removesuffix(": ")
        return StorageError(text, key=key)
    if isinstance(error, FileNotFoundError):
        return ObjectNotFoundError(key=key)
    if isinstance(error, exceptions.AlreadyExistsError) and creates:
        return ObjectExistsError(key=key)
    if isinstance(error, exceptions.InvalidPathError):
        return InvalidKeyError("this store does not accept the key", key=key)
    return StorageError(reason_of(error), key=key)


def deletion_error(error: Exception, key: str | None, place: str = "") -> StorageError | None:
    """Return our error for a failed deletion, where 404 never means a missing object."""
    if isinstance(error, FileNotFoundError) and not _is_bucket_missing(error):
        return StorageError(reason_of(error), key=key)
    return our_error(error, key, place)


class Panic(RuntimeError):  # noqa: N818  so Rust calls it
    """A panic of obstore in Rust."""


def is_panic(error: BaseException) -> bool:
    """Return True for a panic in Rust, which is not an Exception."""
    return type(error).__name__ == "PanicException"


def reason_of(error: BaseException) -> str:
    """Return the first part of obstore's message, with secrets redacted."""
    text, _, details = _EXISTS.sub("", str(error)).partition("\n\nDebug source")
    plain, _, body = text.partition("<")
    code = _CODE.search(body)
    plain = redacted(plain.strip()) or type(error).__name__
    if _TIMED_OUT.search(details):
        plain += " (timed out)"
    if (system := _SYSTEM.search(details)) is not None:
        plain += f" ({system[1]})"  # such as "Connection refused"
    if _OF_INSTANCE.search(text):
        plain += "; there are no credentials in the options or the environment"
    return f"{plain} {code[1]}" if code else plain


def is_answer(error: Exception) -> bool:
    """Return True if a server has answered with a status."""
    return _STATUS.search(str(error)) is not None


def is_unknown_there(error: Exception) -> bool:
    """Return True if a server does not know this kind of request."""
    found = _STATUS.search(str(error))
    return found is not None and int(found[1]) in _UNKNOWN_THERE


def has_unreadable_headers(error: Exception) -> bool:
    """Return True if an object has metadata, or a disposition, that is not ASCII."""
    return _UNREADABLE in str(error)


def knows_no_ranges(error: Exception) -> bool:
    """Return True if a server has answered with more than the requested range."""
    is_unsupported = isinstance(error, exceptions.NotSupportedError)
    return is_unsupported or "non-partial response" in str(error)


def is_hopeless(error: Exception, *, is_local: bool, is_s3: bool = False) -> bool:
    """Return True if all further keys would fail too, each after minutes of retries.

    S3 does not answer 404 to deletions, but a proxy without a server may. In an answer about many
    keys each may have its own error, for a locked object for example.
    """
    if isinstance(error, FileNotFoundError):
        return is_s3 or _is_bucket_missing(error)
    if _OF_ONE_KEY in str(error):
        return _is_bucket_missing(error)
    kinds = (exceptions.GenericError, exceptions.UnauthenticatedError)
    return isinstance(error, kinds) and not is_local


def _is_bucket_missing(error: Exception) -> bool:
    text = str(error)
    return any(word in text for word in _NO_BUCKET)
