"""How the content of a file becomes a stored object: where it is stored, and step by step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from sqlalchemy_file import detection
from sqlalchemy_file.content.filenames import Disposition, headers_to_store, known_disposition
from sqlalchemy_file.content.sources import Content, content_of
from sqlalchemy_file.detection.names import content_encoding, type_within
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.observing import Task
from sqlalchemy_file.storage import Attributes, StorageManager
from sqlalchemy_file.storage.common.attributes import attributes_of
from sqlalchemy_file.storage.common.calling import Calling, verify
from sqlalchemy_file.storage.common.keys import check_key
from sqlalchemy_file.support.calling import acall, call_now, is_async
from sqlalchemy_file.values.records import Measured, StoredObject, described_extra, fresh_key
from sqlalchemy_file.values.state import (
    FileRecord,
    UploadState,
    begin,
    state_of,
    stored_paths,
    unspent,
)

StorageChoice = str | Callable[..., str | Awaitable[str | None] | None] | None
KeyChoice = Callable[..., str | Awaitable[str]] | None

Destination = tuple[str, str | None, str]
"""The name of a storage, a whole key or None, and the folder of a new key."""


class ChoosesPlace:
    """The part of a field that decides where its files are stored."""

    upload_storage: StorageChoice
    key: KeyChoice
    extra: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    disposition: Disposition | None

    @property
    def chooses_async(self) -> bool:
        """Whether ``upload_storage`` or ``key`` is a coroutine function."""
        storage = self.upload_storage
        awaits_storage = callable(storage) and is_async(storage)
        return awaits_storage or (self.key is not None and is_async(self.key))

    def fixed_storage(self, file: FileRecord) -> str | None:
        """Return the storage of new files, if no function of the field chooses storage or key.

        Returns None if one does, or if the storage was not added.
        """
        storage = self.upload_storage
        if self.key is not None or callable(storage):
            return None
        name = file._storage or storage or StorageManager._default_storage_name
        return name if name in StorageManager._registered else None

    def place(self, file: FileRecord, row: Any = None) -> Destination:
        """Return the storage and the key for the file of a row; nothing is stored.

        Raises `UnknownStorageError` and `InvalidKeyError`.
        """
        storage = self.upload_storage
        chosen = call_now(storage, file, row=row) if callable(storage) else storage
        return self._placed(file, chosen, call_now(self.key, file, row=row) if self.key else "")

    async def aplace(self, file: FileRecord, row: Any = None) -> Destination:
        """Return the same as `place`, and await coroutine functions."""
        storage = self.upload_storage
        chosen = await acall(storage, file, row=row) if callable(storage) else storage
        key = await acall(self.key, file, row=row) if self.key else ""
        return self._placed(file, chosen, key)

    def _placed(self, file: FileRecord, chosen: str | None, key: str) -> Destination:
        storage_name = file._storage or chosen or StorageManager.get_default()
        StorageManager.storage(storage_name)
        if not isinstance(key, str):
            raise TypeError(f"key= returns a prefix, ending with a slash, or a key, not {key!r}")
        if key.endswith("/"):
            StorageManager.path(storage_name, check_key(f"{key}id"))
            return storage_name, None, key
        if key:
            StorageManager.path(storage_name, check_key(key))
        return storage_name, key or None, ""


def prepare(file: FileRecord, headers: Mapping[str, str] | None = None) -> None:
    """Look at the content: its size and, where the bytes tell it, its content type.

    ``headers`` are those of the field, for a file that has none. What validators have made of the
    content in a transaction that was undone is forgotten.
    """
    state = state_of(file)
    if state.given is not None:
        vars(file)["_content"] = state.given
        state.given, state.made_copies = None, {}
    sent = file.get("headers") or headers
    state.is_encoded = bool(sent and content_encoding(sent))
    _look_at_content(file, state)


def _look_at_content(file: FileRecord, state: UploadState) -> None:
    file._refuse_if_frozen()
    content, declared, name = unspent(file), file["declared_content_type"], file["filename"]
    found = (
        type_within(declared, name)
        if state.is_encoded
        else detection.content_type_of(content.open(), declared, name)
    )
    dict.update(file, content_type=found, size=content.size())


def replace_content(file: FileRecord, source: Any) -> None:
    """Let other content be stored; the type and the size follow."""
    file._refuse_if_frozen()
    if file.saved:
        raise TypeError("the content is stored already: store_content stores a further object")
    state, content = state_of(file), content_of(source)
    if not state.is_checked:
        state.given = None
    elif state.given is None:
        state.given = file._content  # what is added again is checked again
    state.made_copies = {}
    vars(file)["_content"] = content
    _look_at_content(file, state)


@contextmanager
def checked(file: FileRecord, row: Any) -> Iterator[None]:
    """Let validators know the row, and tell them from the program that made the file."""
    state = state_of(file)
    state.is_checked, state.row = True, row
    try:
        yield
    finally:
        state.is_checked, state.row = False, None


def expect_processors(file: FileRecord, processors: Sequence[object]) -> None:
    """Note the transforms and processors that come after the validators."""
    state = state_of(file)
    copies = chain.from_iterable(getattr(each, "scaled_copies", ()) for each in processors)
    state.wanted_copies = tuple(copies)
    state.is_decoded_later = any(getattr(each, "decodes", False) for each in processors)
    state.decoded_for = None
    state.accepted_format = ""


def release(file: FileRecord) -> None:
    """Close what was opened to read the content."""
    for content in (file._content, file._state.given):
        if content is not None:
            content.release()


def set_destination(
    file: FileRecord,
    field: ChoosesPlace,
    key: str | None = None,
    folder: str = "",
    epoch: int | None = None,
) -> None:
    """Let a file go there, with the options of its field where it has none of its own."""
    state = begin(file)
    state.key, state.folder, state.epoch = key, folder, epoch
    if field.extra is not None and file.get("extra") is None:
        file["extra"] = dict(field.extra)
    if field.headers is not None and file.get("headers") is None:
        file["headers"] = dict(field.headers)
    if field.disposition is not None and file.get("disposition") is None:
        file["disposition"] = field.disposition


def begin_saving(file: FileRecord) -> UploadState:
    """Let a file be stored from now on."""
    state = begin(file)
    metadata = file.get("metadata")  # deprecated, and still counts
    if metadata is not None and isinstance(metadata, Mapping):
        file["extra"] = {**(file.get("extra") or {}), "meta_data": dict(metadata)}
    return state


def stored_headers(file: FileRecord) -> dict[str, str] | None:
    """Return the headers of the upload, with the disposition that buckets then send."""
    wanted = known_disposition(file)
    return headers_to_store(file.get("headers"), wanted, file["filename"], file["content_type"])


async def save(file: FileRecord, storage_name: str, calling: Calling) -> None:
    """Store the content, from its start, and turn the file into the record of it."""
    state = begin_saving(file)
    name, content_type = file["filename"], file["content_type"]
    extra, headers = file.get("extra"), file.get("headers")
    if headers is not None or file.get("disposition") is not None:
        headers = stored_headers(file)
    if extra or headers:
        attributes = attributes_of(name, content_type, extra, headers)
    else:
        attributes = Attributes(filename=name, content_type=content_type)
    content = unspent(file)
    file._refuse_if_frozen()  # before a further object is stored
    stored = await store(file, content, storage_name, state.key, attributes, calling)
    describe(
        file,
        storage_name,
        stored.key,
        stored.path,
        stored.registered.public_url(stored.key),
        files=[stored.path, *_further_objects(file)] if file.get("files") else [stored.path],
        size=stored.size,
        checksum=stored.checksum,
    )


async def store(
    file: FileRecord,
    content: Content,
    storage_name: str,
    key: str | None,
    attributes: Attributes,
    calling: Calling,
) -> StoredObject:
    """Store an object of a file that has begun, under a whole key or a new UUIDv7.

    A whole key that is taken is refused with `ObjectExistsError`. An error of the content passes
    through as it is, any other is a `StorageError`.
    """
    registered, is_chosen = StorageManager._found(storage_name), key is not None
    if key is None:
        key, path = _new_place(file, storage_name)
    else:
        path = StorageManager.path(storage_name, key)
    with Task("store", storage_name, (key,)) as task:
        storage, measured, info = registered.storage, Measured(content.open()), None
        try:
            info = await calling.call(
                storage, "put", key, measured, attributes, exclusive=is_chosen
            )
            await verify(calling, storage, info, measured.size)
        except StorageError as error:
            if is_chosen and info is not None:  # incomplete, and nobody else deletes it
                with suppress(StorageError):
                    await calling.call(storage, "delete", [key])
            error.storage = error.storage or storage_name
            raise
        except Exception as error:
            if measured.error is not None:
                raise
            raise StorageError(str(error), storage=storage_name, key=key) from error
        task.size = measured.size
    if is_chosen:
        file._state.note_begun(path)
    return StoredObject(key, path, measured.size, measured.checksum, registered)


def _new_place(file: FileRecord, storage_name: str) -> tuple[str, str]:
    """Return a new key and its path, and answer for the object from now on.

    A key that a program chose may be somebody else's, until it is known to be ours.
    """
    state = file._state
    neighbour = file.get("file_id") or state.folder
    key = fresh_key(neighbour, state.epoch)
    path = StorageManager.path(storage_name, key) if neighbour else f"{storage_name}/{key}"
    state.begun.append(path)
    return key, path


def describe(
    file: FileRecord, storage_name: str, key: str, path: str, url: str | None, **facts: Any
) -> None:
    """Write where a file is stored into its record."""
    dict.update(  # storing has begun, so that no key is refused
        file,
        **facts,
        extra=described_extra(file),
        headers=file.get("headers"),
        file_id=key,
        upload_storage=storage_name,
        uploaded_at=datetime.now(UTC).isoformat(),
        path=path,
        url=url,
        saved=True,
    )


def _further_objects(file: FileRecord) -> list[str]:
    """Return the further objects of a file, as far as ``files`` lists them."""
    stored, own = stored_paths(file), file.get("path")
    return [path for path in file["files"] if path in stored and path != own]
