"""Objects in any obstore store: S3, GCS, Azure, HTTP, a folder, memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from obstore.exceptions import InvalidPathError
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store

from sqlalchemy_file.exceptions import ObjectExistsError, ObjectNotFoundError
from sqlalchemy_file.storage.common.attributes import HEADERS, IDENTIFIERS
from sqlalchemy_file.storage.common.calling import (
    Translator,
    checked_number,
    checked_verify,
    iterate,
    raise_failures,
    run,
    sort_out,
)
from sqlalchemy_file.storage.common.keys import check_key
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo
from sqlalchemy_file.storage.common.streams import copy_by_reading
from sqlalchemy_file.storage.obstore import errors
from sqlalchemy_file.storage.obstore.client import Client, Process, Requests
from sqlalchemy_file.storage.obstore.presigned import Presigned
from sqlalchemy_file.storage.obstore.requests import (
    Listing,
    OrderError,
    Upload,
    Version,
    delete,
    describe,
    open_range,
)
from sqlalchemy_file.storage.obstore.signing import checked_expiry, signed, with_answer
from sqlalchemy_file.support.defaults import BUCKET_CONCURRENCY

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_SIGNING = (AzureStore, GCSStore, S3Store)
_SORTED = (AzureStore, GCSStore, MemoryStore, S3Store)


class ObstoreStorage:
    """A bucket through an obstore store, with native coroutines.

        StorageManager.add_storage("media", "s3://bucket/prefix", region="eu-central-1")

    More than 5 MB is a multipart upload, with several parts at a time. With ``exclusive`` the
    service decides between two writers of one key. S3 is also asked for the key first, because some
    servers ignore the condition. There, a multipart upload has no condition: the key is looked up
    again just before the completion, and if two writers complete at the same moment, the last one
    wins. Elsewhere a multipart upload is renamed to its key if that is free.

    obstore's ``LocalStore`` does not keep attributes. A cancelled coroutine ends when its request
    has ended. It aborts a multipart upload, and deletes an ``exclusive`` object.

    obstore's threads do not survive a fork: a process that was forked after the first request gets
    a `StorageError`.

    obstore retries all requests. A retried ``exclusive`` upload would find the object that its own
    first attempt has stored. ``once`` is the same store without retries, for such requests. With
    ``verify`` the size of each stored object is requested and compared.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        concurrency: int = BUCKET_CONCURRENCY,
        once: ObjectStore | None = None,
        verify: bool = False,
    ) -> None:
        self._store = store
        self._client = Client(store, once)
        self.concurrency: int = checked_number("concurrency", concurrency)
        self.verify: bool = checked_verify(verify)
        self._our_error = partial(errors.our_error, place=repr(store))
        is_local, self._is_s3 = isinstance(store, LocalStore), isinstance(store, S3Store)
        self._is_hopeless = partial(errors.is_hopeless, is_local=is_local, is_s3=self._is_s3)
        self._is_sorted = isinstance(store, _SORTED)
        self._presigned = Presigned(store) if isinstance(store, _SIGNING) else None
        self._lists_all = not self._is_s3
        names = IDENTIFIERS if isinstance(store, AzureStore) else HEADERS
        self._names = None if is_local else names

    def __repr__(self) -> str:
        # The store's own repr shows where it is, and none of its options.
        return f"{type(self).__name__}({self._store!r})"

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        return run(self._put(self._client.in_thread, key, content, attributes, exclusive))

    async def aput(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        return await self._put(self._client.in_loop, key, content, attributes, exclusive)

    async def _put(
        self,
        requests: Requests,
        key: str,
        content: BinaryIO,
        attributes: Attributes,
        exclusive: bool,
    ) -> ObjectInfo:
        meaning = partial(self._our_error, creates=exclusive)
        with Translator(meaning, check_key(key)) as translator:
            upload = Upload(
                requests=requests,
                key=key,
                content=content,
                attributes=attributes,
                translator=translator,
                exclusive=exclusive,
                refuse_taken=self._refuse_taken,
                names=self._names,
                has_conditions=not self._is_s3,
            )
            return await upload.put()

    def stat(self, key: str) -> ObjectInfo:
        return run(self._stat(self._client.in_thread, key))

    async def astat(self, key: str) -> ObjectInfo:
        return await self._stat(self._client.in_loop, key)

    async def _stat(self, requests: Requests, key: str) -> ObjectInfo:
        with Translator(self._our_error, check_key(key)):
            try:
                return await describe(requests, key)
            except Exception as error:  # noqa: BLE001  raised again unless presigned requests help
                presigned = self._presigned_for(errors.has_unreadable_headers, error)
            return await requests.run(partial(presigned.stat, key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return iterate(self._stream(self._client.in_thread, key, start, end))

    def astream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        return self._stream(self._client.in_loop, key, start, end)

    def ranges(
        self, key: str, etag: str | None = None, size: int | None = None
    ) -> Callable[[int, int | None], Iterator[bytes]]:
        """Do what `aranges` does, for threads."""
        version, requests = Version(etag, size), self._client.in_thread
        return lambda start, end: iterate(self._stream(requests, key, start, end, version))

    def aranges(
        self, key: str, etag: str | None = None, size: int | None = None
    ) -> Callable[[int, int | None], AsyncIterator[bytes]]:
        """Return a function that streams ranges of one version of an object.

        It raises `StorageError` if the object has been replaced since the first range, or is not
        the one with this entity tag and size.
        """
        return partial(self._stream, self._client.in_loop, key, version=Version(etag, size))

    async def _stream(
        self,
        requests: Requests,
        key: str,
        start: int,
        end: int | None,
        version: Version | None = None,
    ) -> AsyncGenerator[bytes]:
        with Translator(self._our_error, check_key(key)):
            presigned = None
            try:
                opened = await open_range(requests, key, start, end)
                if opened is not None and version is not None:
                    meta = opened[0].meta
                    version.require(meta["e_tag"], meta["size"], key)
            except Exception as error:  # noqa: BLE001  raised again unless it can be mended
                opened, presigned = None, self._presigned_for(errors.has_unreadable_headers, error)
            if presigned is not None:
                async for part in requests.iterate(presigned.stream(key, start, end, version)):
                    yield part
            if opened is None:
                return
            answer, span = opened
            async for chunk in requests.body(answer):
                if part := span.of(bytes(chunk)):
                    yield part
                if span.is_over:
                    return

    def delete(self, keys: Sequence[str]) -> None:
        run(self._delete(self._client.in_thread, keys))

    async def adelete(self, keys: Sequence[str]) -> None:
        await self._delete(self._client.in_loop, keys)

    async def _delete(self, requests: Requests, keys: Sequence[str]) -> None:
        valid, failures = sort_out(keys, check_key)
        await delete(requests, valid, failures, self._is_hopeless)
        await self._delete_one_by_one(requests, failures)
        raise_failures(failures, partial(errors.deletion_error, place=repr(self._store)))

    async def _delete_one_by_one(self, requests: Requests, failures: dict[str, Exception]) -> None:
        """Delete the rest if a server does not know DeleteObjects."""
        if self._presigned is None or not self._is_s3:
            return
        for key in [key for key, error in failures.items() if errors.is_unknown_there(error)]:
            try:
                await requests.run(partial(self._presigned.delete, key))
            except Exception as error:  # noqa: BLE001  one failure must not spare the others
                if errors.is_unknown_there(error) or not errors.is_answer(error):
                    return  # all others would fail too
                failures[key] = error
            else:
                del failures[key]

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        return run(self._copy(self._client.in_thread, key, new_key))

    async def acopy(self, key: str, new_key: str) -> ObjectInfo:
        return await self._copy(self._client.in_loop, key, new_key)

    async def _copy(self, requests: Requests, key: str, new_key: str) -> ObjectInfo:
        check_key(new_key)
        with Translator(self._our_error, check_key(key)):
            if new_key == key:
                return await self._stat(requests, key)
            try:
                await requests.request("copy", key, new_key)
            except Exception as error:
                if not errors.is_unknown_there(error):
                    raise
                return await requests.run(partial(copy_by_reading, self, key, new_key))
        return await self._stat(requests, new_key)

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        return iterate(self._list(self._client.in_thread, prefix, start_after))

    def alist(self, prefix: str = "", start_after: str | None = None) -> AsyncIterator[ObjectInfo]:
        return self._list(self._client.in_loop, prefix, start_after)

    async def _list(
        self, requests: Requests, prefix: str, start_after: str | None
    ) -> AsyncGenerator[ObjectInfo]:
        listing = Listing(prefix, start_after, is_sorted=self._is_sorted)
        key, presigned = start_after or "", None
        with Translator(self._our_error):
            try:
                async for info in self._pages(requests, listing):
                    key = info.key
                    yield info
            except (InvalidPathError, OrderError) as error:
                presigned = self._presigned_for(lambda error: self._is_s3, error)
            if presigned is not None:
                async for info in requests.iterate(presigned.list(prefix, key)):
                    yield info

    async def _pages(self, requests: Requests, listing: Listing) -> AsyncGenerator[ObjectInfo]:
        """Yield what obstore lists.

        A server that ignores ``list-type=2`` ends after its first page, even if it has more.
        Asked for the keys after that page, it begins again, which is an `OrderError`.
        """
        is_asked_again = False
        while not listing.is_over:
            found = self._client.ready().list(**listing.begin())
            async for page in requests.pages(found, is_sorted=self._is_sorted):
                for info in listing.of(page):
                    yield info
                if listing.is_over:
                    return
            if self._lists_all or not listing.has_more:
                self._lists_all = self._lists_all or is_asked_again
                return
            is_asked_again = True

    def _presigned_for(self, is_mended: Callable[[Exception], bool], error: Exception) -> Presigned:
        """Return the sender of presigned requests if these help after an error, else raise it."""
        if self._presigned is None or not is_mended(error):
            raise error
        return self._presigned

    def signed_url(
        self, key: str, *, expires: timedelta | float, method: str = "GET"
    ) -> str | None:
        """Return a presigned URL for one HTTP method, or None if the store cannot sign the key.

            StorageManager.storage("media").signed_url(key, expires=timedelta(minutes=5))

        A number means seconds. Raises `ValueError` for more than the seven days that S3 and Google
        allow, and `StorageError` if the credentials cannot sign.
        """
        check_key(key)
        if not isinstance(self._store, _SIGNING):
            return None
        validity = checked_expiry(
            expires, method, is_limited=not isinstance(self._store, AzureStore)
        )
        allowed: Any = method  # obstore has a type for these words
        with Translator(self._our_error, key):
            self._client.ready()
            return signed(self._store, allowed, key, validity)

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked after the first request, and so cannot use the store."""
        return Process.is_forked

    def signed_download(
        self, key: str, *, expires: timedelta | float, content_type: str, disposition: str
    ) -> str | None:
        """Return a `signed_url` whose answer has this content type and disposition.

        S3 and Azure can sign these, if the secret is in the options or the environment. Otherwise
        the URL has the type and disposition with which the object was stored.
        """
        address = self.signed_url(key, expires=expires)
        if address is None:
            return None
        return with_answer(self._store, address, content_type, disposition)

    def _refuse_taken(self, key: str) -> None:
        with suppress(ObjectNotFoundError):
            self.stat(key)
            raise ObjectExistsError(key=key)
