"""Objects in a container of any libcloud driver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from libcloud.common.types import InvalidCredsError, LibcloudError
from libcloud.storage.base import Container, Object
from libcloud.storage.types import ContainerDoesNotExistError, ObjectDoesNotExistError

from sqlalchemy_file.exceptions import (
    DeletionError,
    InvalidStorageError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage.common.errors import Translator, sort_out, translated
from sqlalchemy_file.storage.common.options import (
    checked_concurrency,
    checked_retries,
    checked_verify,
)
from sqlalchemy_file.storage.common.protocol import (
    Attributes,
    ObjectInfo,
    PendingUpload,
    check_key,
)
from sqlalchemy_file.storage.common.reserved import is_listed
from sqlalchemy_file.storage.common.retrying import MAX_RETRIES
from sqlalchemy_file.storage.common.streams import reader_of
from sqlalchemy_file.storage.libcloud.drivers import verbs_for
from sqlalchemy_file.support.limits import CONCURRENCY


class LibcloudStorage:
    """A libcloud container, used from several threads.

        driver = get_driver(Provider.S3)(key, secret)
        StorageManager.add_storage("media", driver.get_container("bucket"))

    ``list`` keeps all keys in memory. Metadata is sent in headers, percent-encoded if it is not
    ASCII; some services change the letters of names to lower case. ``exclusive`` looks the key up
    first, so two writers at the same moment may both succeed.

    ``timeout`` is the read timeout in seconds: by default the driver's own, or 60. Idempotent
    requests to S3 are retried ``max_retries`` times. With ``verify`` the size of each stored object
    is requested and compared.
    """

    def __init__(
        self,
        container: Container,
        *,
        timeout: float | None = None,
        max_retries: int = MAX_RETRIES,
        concurrency: int = CONCURRENCY,
        verify: bool = False,
    ) -> None:
        self._container = container
        self.concurrency: int = checked_concurrency(concurrency)
        self.verify: bool = checked_verify(verify)
        self._verbs = verbs_for(container, _checked(timeout), checked_retries(max_retries))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._container!r})"

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        with Translator(our_error, check_key(key)) as translator:
            return self._verbs.put(key, content, attributes, translator, exclusive)

    def stat(self, key: str) -> ObjectInfo:
        with Translator(our_error, check_key(key)):
            return self._verbs.stat(key)

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with Translator(our_error, check_key(key)):
            yield from self._verbs.stream(key, start, end)

    def delete(self, keys: Sequence[str]) -> None:
        valid, failures = sort_out(keys, check_key)
        with Translator(our_error):
            self._verbs.delete(valid, failures)
        if failures:
            raise DeletionError(
                {key: translated(error, our_error, key) for key, error in failures.items()}
            )

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        check_key(new_key)
        if new_key == key:
            return self.stat(key)
        # libcloud cannot copy inside a storage.
        attributes = self.stat(key).attributes
        with reader_of(self.stream(key)) as content:
            return self.put(new_key, content, attributes)

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        with Translator(our_error):
            for info in self._verbs.list(prefix, start_after):
                if is_listed(info.key, prefix):
                    yield info

    @property
    def lists_from_key(self) -> bool:
        """Whether listing from a key skips the keys before it."""
        return False

    def uploads(self) -> Iterator[PendingUpload]:
        """Yield the multipart uploads that are not complete; S3 only."""
        with Translator(our_error):
            yield from self._verbs.uploads()

    def abort_upload(self, upload: PendingUpload) -> None:
        """Delete the parts of an upload."""
        with Translator(our_error, upload.key):
            self._verbs.abort(upload)

    def driver_object(self, key: str) -> Object:
        """Return libcloud's own object; its driver is this thread's."""
        with Translator(our_error, check_key(key)):
            return self._verbs.driver_object(key)


def _checked(timeout: float | None) -> float | None:
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (is_number and timeout > 0):
        raise InvalidStorageError(f"'timeout' is a number of seconds, not {timeout!r}")
    return timeout


def our_error(error: Exception, key: str | None) -> StorageError | None:
    if isinstance(error, ObjectDoesNotExistError):
        return ObjectNotFoundError(key=key)
    if isinstance(error, ContainerDoesNotExistError):
        return StorageError(f"there is no container {error.container_name!r}", key=key)
    if isinstance(error, InvalidCredsError):
        return StorageError("the storage refused access: check the keys and rights", key=key)
    if isinstance(error, LibcloudError) and isinstance(error.value, str):
        return StorageError(error.value[:200], key=key)
    return StorageError(_told_safely(error), key=key)


def _told_safely(error: BaseException) -> str:
    """Name an error by its class and the system's words for its first cause.

    Messages of HTTP libraries repeat addresses, which may hold keys and signatures.
    """
    first, seen = error, {id(error)}
    while (cause := _cause(first)) is not None and id(cause) not in seen:
        seen.add(id(cause))
        first = cause
    words = getattr(first, "strerror", None) or type(first).__name__
    return f"the request failed: {words} ({type(error).__name__})"


def _cause(error: BaseException) -> BaseException | None:
    # requests and urllib3 keep it in different places.
    inner = getattr(error, "reason", None) or next(iter(error.args), None)
    if isinstance(inner, BaseException):
        return inner
    return error.__cause__
