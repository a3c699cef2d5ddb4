"""The upload lifecycle of a `File`, and its undo after a rollback."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Self

from sqlalchemy_file.base import BaseFile
from sqlalchemy_file.content.disposition import Disposition, headers_to_store, known_disposition
from sqlalchemy_file.content.sources import AsyncStreamContent, Content, StreamContent, content_of
from sqlalchemy_file.detection import content_type_of
from sqlalchemy_file.detection.encodings import is_encoded, type_within
from sqlalchemy_file.exceptions import ContentSpentError
from sqlalchemy_file.storage import Attributes, StorageManager
from sqlalchemy_file.storage.common.attributes import attributes_of
from sqlalchemy_file.values.objects import StoredObject, Upload, fresh_key, public_url
from sqlalchemy_file.values.records import (
    SET_BY_SAVING,
    described_extra,
    paths_of,
    relocated,
    snapshot,
    without_objects,
)

_NOTHING_STORED: Mapping[str, Any] = {"_begun": (), "_beside": (), "_is_owned": False}


class Saving(BaseFile):
    """The upload lifecycle of a `File`, driven by the unit of work."""

    _content: Content | None = None
    _storage: str | None = None
    _is_encoded: bool = False
    _undo: tuple[dict[str, Any], bool] | None = None
    _begun: Sequence[str] = ()
    """The paths of all objects that saving began to write, whether or not it got to the end."""
    _beside: Sequence[str] = ()
    """The paths of what was stored through `StorageManager` while this file was worked on."""
    _is_owned: bool = False
    """Whether a transaction answers for what was stored."""
    _key: str | None = None
    _folder: str = ""
    _epoch: int | None = None
    _is_decoded_later: bool = False
    _decoded_for: str | None = None
    _accepted_format: str = ""
    _copies: dict[Any, Any] | None = None
    _wanted_copies: tuple[Any, ...] = ()
    _made_copies: dict[Any, Any] = {}  # noqa: RUF012 (never changed here)
    _given: Content | None = None
    _is_checked: bool = False
    _judged: Any = None
    _row: Any = None

    @property
    def saved(self) -> bool:
        """Whether the content is stored."""
        return self._frozen or bool(self.get("saved"))

    def encode(self) -> dict[str, Any]:
        """Return the record as it is kept in the column."""
        return dict(self)

    @classmethod
    def decode(cls, data: Any) -> Self:
        """Return the saved file that a record describes, without checking or copying it."""
        file = cls.__new__(cls)
        dict.update(file, data)
        return file

    # --- the steps, in order

    def _prepare(self, headers: Mapping[str, str] | None = None) -> None:
        """Look at the content: its size and, where the bytes tell it, its content type.

        ``headers`` are those of the field, for a file that has none.

        What validators have made of it before, in a transaction that was undone, is forgotten.
        """
        if self._given is not None:
            vars(self).update(_content=self._given, _given=None, _made_copies={})
        vars(self)["_is_encoded"] = is_encoded(self.get("headers") or headers)
        self._look_at_content()

    def _look_at_content(self) -> None:
        content = self._unspent()
        self["content_type"] = (
            type_within(self["declared_content_type"], self["filename"])
            if self._is_encoded
            else content_type_of(content.open(), self["declared_content_type"], self["filename"])
        )
        self["size"] = content.size()

    def _replace_content(self, source: Any) -> None:
        """Let other content be stored; the type and the size follow."""
        self._refuse_if_frozen()
        if self.saved:
            raise TypeError("the content is stored already: store_content stores a further object")
        content = content_of(source)
        if self._is_checked and self._given is None:
            vars(self)["_given"] = self._content  # what is added again is checked again
        vars(self).update(_content=content, _made_copies={})
        if not self._is_checked:
            vars(self)["_given"] = None
        self._look_at_content()

    @contextmanager
    def _checked(self, row: Any) -> Iterator[None]:
        """Let validators know the row, and tell them from the program that made the file."""
        vars(self).update(_is_checked=True, _row=row)
        try:
            yield
        finally:
            vars(self).update(_is_checked=False, _row=None)

    def _watch_content(self, watch: Callable[[Any], None]) -> None:
        """Let a function know each piece of a stream, as it is read."""
        if isinstance(self._content, StreamContent):
            self._content.watch(watch)

    @property
    def _source_content(self) -> Content:
        """The content as the program gave it, before validators and transforms."""
        return self._unspent() if self._given is None else self._given

    @property
    def _source(self) -> int:
        """What tells apart the sources of two files: they may not be read at the same time."""
        return id(self) if self._content is None else self._content.identity()

    def _apply_defaults(
        self,
        extra: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        disposition: Disposition | None = None,
    ) -> None:
        """Take a field's options for the storage, where this file has none of its own."""
        self._note_undo()
        if extra is not None and self.get("extra") is None:
            self["extra"] = dict(extra)
        if headers is not None and self.get("headers") is None:
            self["headers"] = dict(headers)
        if disposition is not None and self.get("disposition") is None:
            self["disposition"] = disposition

    @property
    def _needs_fetching(self) -> bool:
        """Whether the content is a stream that was not read yet, and may have to be waited for."""
        return isinstance(self._content, StreamContent) and not self._content.is_fetched

    @property
    def _needs_await(self) -> bool:
        """Whether that stream is an asynchronous one."""
        return isinstance(self._content, AsyncStreamContent) and self._content.needs_await

    def _fetch_content(self) -> None:
        """Read a stream that cannot be read twice; raise `TypeError` for an asynchronous one."""
        self._unspent().open()

    async def _afetch_content(self) -> None:
        """Read an asynchronous stream."""
        if isinstance(self._content, AsyncStreamContent):
            await self._content.afetch()

    def _expect_processors(self, processors: Sequence[object]) -> None:
        """Take note of the transforms and processors that come behind the validators."""
        copies = chain.from_iterable(getattr(each, "scaled_copies", ()) for each in processors)
        self._wanted_copies = tuple(copies)
        self._is_decoded_later = any(getattr(each, "decodes", False) for each in processors)
        self._decoded_for = None
        self._accepted_format = ""

    def _accept_format(self, name: str) -> None:
        """Take note of the image's format, which a validator has accepted, by Pillow's name."""
        self._accepted_format = name

    def _leave_decoding(self, key: str) -> bool:
        """Leave it to a processor to decode an image, on behalf of ``key``; tell if one will."""
        if self._is_decoded_later:
            self._decoded_for = key
        return self._is_decoded_later

    @property
    def _scaled_copies(self) -> dict[Any, Any]:
        """The variants that this file's processors want, shared so that the image is decoded once.

        They make all of it at once. Outside of `apply_processors` nobody else wants anything.
        """
        return {} if self._copies is None else self._copies

    def _release(self) -> None:
        """Close what was opened to read the content."""
        for content in (self._content, self._given):
            if content is not None:
                content.release()

    def save_to_storage(self, upload_storage: str | None = None) -> None:
        """Store the content, from its start, and turn this file into the record of it."""
        upload = self._begin_upload(upload_storage or self._storage or StorageManager.get_default())
        self._finish_upload(upload, upload.run())

    def _place(self, *, key: str | None = None, folder: str = "", epoch: int | None = None) -> None:
        """Choose a whole key, one that must be free, or a folder (with its slash) for a new one.

        ``epoch`` is that of the ledger which answers for a new one.
        """
        vars(self).update(_key=key, _folder=folder, _epoch=epoch)

    def _begin_upload(self, storage_name: str) -> Upload:
        """Return the upload of the content; its key is a new UUIDv7 unless one was chosen."""
        self._begin_saving()
        attributes = attributes_of(
            self["filename"], self["content_type"], self.get("extra"), self._headers_to_store
        )
        return self._upload(self._unspent(), storage_name, self._key, attributes)

    @property
    def _headers_to_store(self) -> dict[str, str] | None:
        """The headers of the upload, with the disposition that buckets then send."""
        wanted = known_disposition(self)
        return headers_to_store(self.get("headers"), wanted, self["filename"], self["content_type"])

    def _begin_saving(self) -> None:
        self._note_undo()
        if isinstance(metadata := self.get("metadata"), Mapping):  # deprecated, and still counts
            self["extra"] = {**(self.get("extra") or {}), "meta_data": dict(metadata)}

    def _finish_upload(self, upload: Upload, stored: StoredObject) -> None:
        """Turn this file into the record of what was stored."""
        self._account_for(upload)
        self._describe(
            upload.storage_name,
            stored.key,
            stored.path,
            upload.public_url(),
            files=[stored.path, *self._further_objects()],
            size=stored.size,
            checksum=stored.checksum,
        )

    def _describe(
        self, storage_name: str, key: str, path: str, url: str | None, **facts: Any
    ) -> None:
        self._refuse_if_frozen()
        dict.update(  # storing has begun, so that no key is refused
            self,
            **facts,
            extra=described_extra(self),
            headers=self.get("headers"),
            file_id=key,
            upload_storage=storage_name,
            uploaded_at=datetime.now(UTC).isoformat(),
            path=path,
            url=url,
            saved=True,
        )

    def _finish_saving(self) -> None:
        """Close the record to change."""
        self._freeze()

    def _thaw(self) -> None:
        if self._frozen:
            dict.__setitem__(self, "saved", True)  # rows of old releases may lack it
        super()._thaw()

    # --- changes from outside

    def __setitem__(self, key: str, value: Any) -> None:
        if key in SET_BY_SAVING and not self._may_name_objects:
            raise TypeError(
                f"{key!r} is set when the content is stored: it names objects in a storage, and "
                "this file has none yet; use another key"
            )
        super().__setitem__(key, value)

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change several keys; what only storing sets is left out until something is stored."""
        if self._may_name_objects:
            super().update(*args, **kwargs)
        else:
            super().update(without_objects(dict(*args, **kwargs)))

    @property
    def _may_name_objects(self) -> bool:
        """Whether storing has begun."""
        return self.saved or self._undo is not None

    # --- what the unit of work needs

    @property
    def _undoable(self) -> bool:
        """Whether the transaction that stored this file is still open."""
        return self._undo is not None

    @property
    def _is_ownerless(self) -> bool:
        """Whether this file stored its objects by itself, and no transaction answers for them."""
        return bool(self._begun) and self.saved and not self._is_owned

    @property
    def _stored_paths(self) -> list[str]:
        """The paths of all objects that this file stored, or began to store.

        What went through `StorageManager` counts if the record names it.
        """
        if not self._beside:
            return list(self._begun)
        named = paths_of(self)
        return [*self._begun, *(path for path in self._beside if path in named)]

    def _copied(self, new_paths: Mapping[str, str]) -> Self:
        """Return this file as the record of copies of its objects, found at ``new_paths``."""
        copy = type(self).decode(relocated(self, new_paths, public_url))
        if self._undo is None:
            copy._undo = (snapshot(self), True)
        else:
            copy._undo = (deepcopy(self._undo[0]), self._undo[1])
        copy._content = self._content
        copy._storage = self._storage
        copy._begun = list(new_paths.values())
        return copy

    def _revert(self) -> None:
        """Go back to what this file was before the transaction stored it."""
        if self._undo is None:
            return
        record, frozen = self._undo
        vars(self).update(_undo=None, **_NOTHING_STORED)
        dict.clear(self)
        dict.update(self, record)
        object.__setattr__(self, "_frozen", frozen)

    def _settle(self) -> None:
        """Keep the stored objects, and close the content."""
        vars(self).update(_undo=None, _content=None, _given=None, _judged=None, **_NOTHING_STORED)

    def _unspent(self) -> Content:
        if self._content is None:
            raise ContentSpentError(
                f"the content of {self.get('filename')!r} is stored and no longer at hand: "
                "read it through .file, or make a new File"
            )
        return self._content

    def _note_undo(self) -> None:
        """Keep the record as it was before the transaction stored this file."""
        if self._undo is None:
            vars(self)["_undo"] = (snapshot(self), False)

    def _upload(
        self, content: Content, storage_name: str, key: str | None, attributes: Attributes
    ) -> Upload:
        self._note_undo()
        chosen = key or fresh_key(self.get("file_id") or self._folder, self._epoch)
        upload = Upload(
            content,
            storage_name,
            StorageManager.storage(storage_name),
            chosen,
            StorageManager.path(storage_name, chosen),
            attributes,
            exclusive=key is not None,
        )
        if not upload.exclusive:
            self._note_begun(upload.path)
        return upload

    def _further_objects(self) -> list[str]:
        """Return the further objects of this file, as far as ``files`` lists them."""
        files, own = self.get("files"), self.get("path")
        if not files or not isinstance(files, list):
            return []
        stored, named = self._stored_paths, files
        return [path for path in named if path in stored and path != own]

    def _account_for(self, upload: Upload) -> None:
        # A key of our own is noted before its first byte leaves, whatever happens then. One that
        # a program chose may be somebody else's, until it is known to be ours.
        if upload.exclusive:
            self._note_begun(upload.path)

    def _note_begun(self, *paths: str) -> None:
        """Answer for objects, which go if the transaction is undone."""
        begun = vars(self).get("_begun") or []
        vars(self)["_begun"] = begun
        begun += [path for path in paths if path not in begun]


def of_a_copy(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a file as a copy of the file gets it: it has stored nothing itself."""
    return {**state, **_NOTHING_STORED}
