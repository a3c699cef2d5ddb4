"""Objects in a container of any libcloud driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

from libcloud.common.types import InvalidCredsError, LibcloudError
from libcloud.storage.base import Container, Object
from libcloud.storage.types import ContainerDoesNotExistError, ObjectDoesNotExistError
from requests.exceptions import ChunkedEncodingError, ConnectionError, Timeout  # noqa: A004

from sqlalchemy_file.exceptions import (
    InvalidStorageError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage.common.attributes import meta_data_of
from sqlalchemy_file.storage.common.calling import (
    MAX_RETRIES,
    OVERLOADED,
    Translator,
    checked_number,
    checked_verify,
    raise_failures,
    retrying,
    sort_out,
)
from sqlalchemy_file.storage.common.keys import check_key, in_order, is_listed
from sqlalchemy_file.storage.common.protocol import (
    CHUNK_SIZE,
    Attributes,
    ObjectInfo,
    PendingUpload,
)
from sqlalchemy_file.storage.common.streams import closing_on_error, copy_by_reading, new_spool
from sqlalchemy_file.storage.libcloud import drivers
from sqlalchemy_file.support.defaults import CONCURRENCY

T = TypeVar("T")

_DELETED = frozenset({200, 204, 404})
_NO_WORD_OF_OBJECTS = frozenset({400, 409})


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
        self.concurrency: int = checked_number("concurrency", concurrency)
        self.verify: bool = checked_verify(verify)
        retries = checked_number("max_retries", max_retries)
        self._drivers = drivers.drivers_for(container, _checked(timeout))
        self._is_shared = isinstance(self._drivers, drivers.Shared)
        self._objects = drivers.objects_of(container.driver)
        self._max_retries = retries if self._objects.is_s3 else 0
        # A program's own driver may encrypt, and tell the size of that.
        self.tells_size: bool = drivers.transfers_as_libcloud(container.driver)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._container!r})"

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        # libcloud reads the content twice, to hash it, and may close it. Reading a temporary file
        # cannot fail in the middle of the request.
        with (
            Translator(our_error, check_key(key)) as translator,
            _spool(iter(lambda: translator.read(content, CHUNK_SIZE), b"")) as spool,
        ):
            size = spool.seek(0, 2)
            spool.seek(0)
            # Two writers at the same moment may both pass: libcloud has no condition.
            if exclusive and self._repeated(partial(_exists, key=key)):
                raise ObjectExistsError(key=key)
            stored, kept = self._repeated(
                lambda container: self._objects.upload(container, key, spool, attributes),
                times=0 if exclusive else self._max_retries,
            )
        return ObjectInfo(key=key, size=size, etag=stored.hash or None, attributes=kept)

    def stat(self, key: str) -> ObjectInfo:
        with Translator(our_error, check_key(key)):
            return self._repeated(lambda each: self._objects.info(_found(each, key)))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        def begin(container: Container) -> Iterator[bytes]:
            found = _found(container, key)
            last = found.size if end is None else min(end, found.size)
            chunks = self._objects.read(found, start, last) if start < last else iter(())
            # Other threads may use a shared driver while this one reads.
            return _chunks_of(_spool(chunks)) if self._is_shared else chunks

        with Translator(our_error, check_key(key)):
            yield from filter(None, self._repeated(begin))

    def delete(self, keys: Sequence[str]) -> None:
        valid, failures = sort_out(keys, check_key)
        for key in valid:
            try:
                with suppress(ObjectDoesNotExistError):
                    self._repeated(partial(_delete, key=key))
            except Exception as error:  # noqa: BLE001  one failure must not spare the others
                failures[key] = error
        raise_failures(failures, our_error)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        check_key(new_key)
        if new_key == key:
            return self.stat(key)
        return copy_by_reading(self, key, new_key)  # libcloud cannot copy inside

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        # Shared drivers may warn that they cannot list a prefix.
        asked = None if self._is_shared else prefix or None

        def read(container: Container) -> Iterator[ObjectInfo]:
            found = (
                self._objects.info(entry)
                for entry in container.iterate_objects(prefix=asked)
                if entry.name.startswith(prefix)
                and entry.name > (start_after or "")
                and is_listed(entry.name, prefix)
            )
            return in_order(found, attrgetter("key"))

        # libcloud promises no order.
        with Translator(our_error):
            yield from self._repeated(read)

    @property
    def lists_from_key(self) -> bool:
        """Whether listing from a key skips the keys before it."""
        return False

    def uploads(self) -> Iterator[PendingUpload]:
        """Yield the multipart uploads that are not complete; S3 only."""
        if not self._objects.is_s3:
            return
        with Translator(our_error), self._drivers.container() as container:
            driver: Any = container.driver
            for upload in driver.ex_iterate_multipart_uploads(container):
                begun_at = datetime.fromisoformat(upload.created_at)
                yield PendingUpload(key=upload.key, id=upload.id, begun_at=begun_at)

    def abort_upload(self, upload: PendingUpload) -> None:
        """Delete the parts of an upload."""
        with Translator(our_error, upload.key), self._drivers.container() as container:
            driver: Any = container.driver
            # The driver's own method also aborts uploads of other keys with this prefix.
            path = f"/{container.name}/{quote(upload.key, safe='/~')}"
            answer = driver.connection.request(
                path, method="DELETE", params={"uploadId": upload.id}
            )
            if answer.status not in _DELETED:
                raise StorageError(f"the storage answered {answer.status}", key=upload.key)

    def driver_object(self, key: str) -> Object:
        """Return libcloud's own object; its driver is this thread's."""

        def look(container: Container) -> Object:
            found = _found(container, key)
            ours = copy(found)  # with its metadata decoded
            ours.meta_data = meta_data_of(self._objects.info(found).attributes)
            return ours

        with Translator(our_error, check_key(key)):
            return self._repeated(look)

    def _repeated(self, action: Callable[[Container], T], times: int | None = None) -> T:
        """Retry an idempotent operation if the server was overloaded or did not answer."""

        def act() -> T:
            with self._drivers.container() as container:
                return action(container)

        return retrying(act, _is_transient, self._max_retries if times is None else times)


def _is_transient(error: Exception) -> bool:
    if isinstance(error, LibcloudError):
        return any(int(status) in OVERLOADED for status in drivers.STATUS.findall(str(error)))
    return isinstance(error, ChunkedEncodingError | ConnectionError | Timeout)


def _spool(chunks: Iterator[bytes]) -> BinaryIO:
    with closing_on_error(new_spool()) as spool:
        for chunk in chunks:  # writelines() would write to the disk at its end
            spool.write(chunk)
        spool.seek(0)
    return spool


def _chunks_of(spool: BinaryIO) -> Iterator[bytes]:
    with spool:
        yield from iter(lambda: spool.read(CHUNK_SIZE), b"")


def _found(container: Container, key: str) -> Object:
    """Return libcloud's object. Its S3 drivers report a missing one for any answer but 200."""
    try:
        return container.get_object(key)
    except ObjectDoesNotExistError:
        connection: Any = getattr(container.driver, "connection", None)
        answer = getattr(getattr(connection, "connection", None), "response", None)
        status = getattr(answer, "status_code", None)
        if status in _NO_WORD_OF_OBJECTS:
            raise StorageError(f"the storage answered {status}", key=key) from None
        raise


def _delete(container: Container, key: str) -> None:
    # Drivers return False for other answers than success and a missing object.
    if _found(container, key).delete() is False and _exists(container, key):
        raise StorageError("the storage did not delete the object", key=key)


def _exists(container: Container, key: str) -> bool:
    try:
        _found(container, key)
    except ObjectDoesNotExistError:
        return False
    return True


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
    return StorageError(_safe_message(error), key=key)


def _safe_message(error: BaseException) -> str:
    """Return the class of an error and the system's message of its first cause.

    Messages of HTTP libraries repeat URLs, which may hold keys and signatures.
    """
    first, seen = error, {id(error)}
    while (cause := _cause(first)) is not None and id(cause) not in seen:
        seen.add(id(cause))
        first = cause
    words = getattr(first, "strerror", None) or type(first).__name__
    return f"the request failed: {words} ({type(error).__name__})"


def _cause(error: BaseException) -> BaseException | None:
    inner = getattr(error, "reason", None) or next(iter(error.args), None)
    if isinstance(inner, BaseException):
        return inner
    return error.__cause__
