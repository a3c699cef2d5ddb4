"""Objects in any obstore store: S3, GCS, Azure, HTTP, a folder, memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from obstore import sign
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store

from sqlalchemy_file.exceptions import (
    DeletionError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from sqlalchemy_file.storage.common.errors import Translator, sort_out, translated
from sqlalchemy_file.storage.common.expiry import checked_expiry
from sqlalchemy_file.storage.common.metadata_names import HEADERS, IDENTIFIERS
from sqlalchemy_file.storage.common.protocol import (
    Attributes,
    ObjectInfo,
    check_key,
    checked_concurrency,
    checked_verify,
)
from sqlalchemy_file.storage.obstore.answers import with_answer
from sqlalchemy_file.storage.obstore.azure import corrected
from sqlalchemy_file.storage.obstore.client import Client
from sqlalchemy_file.storage.obstore.errors import deletion_error, is_hopeless, our_error
from sqlalchemy_file.storage.obstore.requests import (
    ASYNC_READ_SIZE,
    READ_SIZE,
    Listing,
    Steps,
    copying,
    deleting,
    describing,
    opening,
)
from sqlalchemy_file.storage.obstore.uploads import Abilities, putting

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

CONCURRENCY = 32
"""How many requests at the same time: 8 had less than half the speed, 64 a fifth more."""

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
        concurrency: int = CONCURRENCY,
        once: ObjectStore | None = None,
        verify: bool = False,
    ) -> None:
        self._store = store
        self._client = Client(store, once)
        self.concurrency: int = checked_concurrency(concurrency)
        self.verify: bool = checked_verify(verify)
        self._our_error = partial(our_error, place=repr(store))
        is_local, is_s3 = isinstance(store, LocalStore), isinstance(store, S3Store)
        self._is_hopeless = partial(is_hopeless, is_local=is_local, is_s3=is_s3)
        self._is_sorted = isinstance(store, _SORTED)
        self._abilities = Abilities(
            keeps_attributes=not is_local,
            names=IDENTIFIERS if isinstance(store, AzureStore) else HEADERS,
            heeds_conditions=not is_s3,
        )

    def __repr__(self) -> str:
        # The store's own repr shows where it is, and none of its options.
        return f"{type(self).__name__}({self._store!r})"

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        with Translator(self._our_error, check_key(key)) as translator:
            return self._client.carry_out(
                self._putting(key, content, attributes, translator, exclusive)
            )

    async def aput(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        with Translator(self._our_error, check_key(key)) as translator:
            steps = self._putting(key, content, attributes, translator, exclusive)
            return await self._client.acarry_out(steps)

    def stat(self, key: str) -> ObjectInfo:
        with Translator(self._our_error, check_key(key)):
            return self._client.carry_out(describing(key))

    async def astat(self, key: str) -> ObjectInfo:
        with Translator(self._our_error, check_key(key)):
            return await self._client.acarry_out(describing(key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with Translator(self._our_error, check_key(key)):
            opened = self._client.carry_out(opening(key, start, end))
            if opened is None:
                return
            for chunk in opened.answer.stream(READ_SIZE):
                if part := opened.wanted.of(bytes(chunk)):
                    yield part
                if opened.wanted.is_over:
                    return

    async def astream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        with Translator(self._our_error, check_key(key)):
            opened = await self._client.acarry_out(opening(key, start, end))
            if opened is None:
                return
            async for chunk in opened.answer.stream(ASYNC_READ_SIZE):
                if part := opened.wanted.of(bytes(chunk)):
                    yield part
                if opened.wanted.is_over:
                    return

    def delete(self, keys: Sequence[str]) -> None:
        valid, failures = sort_out(keys, check_key)
        self._client.carry_out(deleting(valid, failures, self._is_hopeless))
        self._raise_if_any(failures)

    async def adelete(self, keys: Sequence[str]) -> None:
        valid, failures = sort_out(keys, check_key)
        await self._client.acarry_out(deleting(valid, failures, self._is_hopeless))
        self._raise_if_any(failures)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        with Translator(self._our_error, check_key(key)):
            return self._client.carry_out(copying(key, check_key(new_key)))

    async def acopy(self, key: str, new_key: str) -> ObjectInfo:
        with Translator(self._our_error, check_key(key)):
            return await self._client.acarry_out(copying(key, check_key(new_key)))

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        listing = Listing(prefix, start_after, is_sorted=self._is_sorted)
        if listing.is_empty:
            return
        with Translator(self._our_error):
            pages = self._client.ready().list(**listing.arguments)
            for page in pages if listing.is_sorted else [pages.collect()]:
                yield from listing.of(page)
                if listing.is_over:
                    return

    async def alist(
        self, prefix: str = "", start_after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        listing = Listing(prefix, start_after, is_sorted=self._is_sorted)
        if listing.is_empty:
            return
        with Translator(self._our_error):
            pages = self._client.ready().list(**listing.arguments)
            async for page in pages if listing.is_sorted else _one_page(pages):
                for info in listing.of(page):
                    yield info
                if listing.is_over:
                    return

    def signed_url(
        self, key: str, *, expires: timedelta | float, method: str = "GET"
    ) -> str | None:
        """Return a presigned URL for one HTTP method, or None if the store cannot sign.

            StorageManager.storage("media").signed_url(key, expires=timedelta(minutes=5))

        A number means seconds. Raises `ValueError` for more than the seven days that S3 and Google
        allow, and `StorageError` if the credentials cannot sign.
        """
        check_key(key)
        if not isinstance(self._store, _SIGNING):
            return None
        wanted = checked_expiry(expires, method, is_limited=not isinstance(self._store, AzureStore))
        allowed: Any = method  # obstore has a type for these words
        with Translator(self._our_error, key):
            self._client.ready()
            address = sign(self._store, allowed, key, wanted)
            if isinstance(self._store, AzureStore):
                return corrected(address, self._store.config, key)
            return address

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked after the first request, and so cannot use the store."""
        return self._client.is_forked

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

    def _putting(
        self,
        key: str,
        content: BinaryIO,
        attributes: Attributes,
        translator: Translator,
        exclusive: bool,
    ) -> Steps[ObjectInfo]:
        abilities = self._abilities
        return putting(
            key,
            content,
            attributes,
            translator,
            exclusive=exclusive,
            abilities=abilities,
            look=self._refuse_taken,
        )

    def _refuse_taken(self, key: str) -> None:
        with suppress(ObjectNotFoundError):
            self.stat(key)
            raise ObjectExistsError(key=key)

    def _raise_if_any(self, failures: dict[str, Exception]) -> None:
        if failures:
            told = partial(deletion_error, place=repr(self._store))
            raise DeletionError(
                {key: translated(error, told, key) for key, error in failures.items()}
            )


async def _one_page(pages: Any) -> AsyncIterator[Any]:
    yield await pages.collect_async()
