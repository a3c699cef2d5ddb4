"""The value of a file column: content to store, or the record of a stored object."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol, Self, TypeVar, runtime_checkable

from sqlalchemy_file.content.filenames import clean_filename
from sqlalchemy_file.content.received import upload_type
from sqlalchemy_file.content.sources import PathContent, given_content, given_name
from sqlalchemy_file.detection import UNKNOWN, essence, guess_type
from sqlalchemy_file.storage import StorageManager, StoredFile
from sqlalchemy_file.storage.common.calling import IN_THREAD, run
from sqlalchemy_file.support.calling import call_now
from sqlalchemy_file.support.names import column_declared, moved, with_metadata
from sqlalchemy_file.values import saving, schemas
from sqlalchemy_file.values.further import DerivedImage, FurtherObjects, derived_image
from sqlalchemy_file.values.records import described_extra, own_path, public_url, without_objects
from sqlalchemy_file.values.state import UploadState, state_of, unspent

__all__ = ["File"]


class File(FurtherObjects):
    """A file: content to store, or the record of a stored object. A dict with attributes.

        document.content = File(b"Hello", filename="hello.txt")

    Content is bytes, text, a `pathlib.Path`, a binary file object, an upload, or an iterator of
    bytes; with `AsyncSession` also an asynchronous file or iterator. A file object is stored from
    its start if it can seek, else from its current position. ``storage`` names the storage of this
    one file; further keywords become keys of the record.

    Keys can be changed until the flush; afterwards every change raises `TypeError`.
    ``File(record)`` and ``File(saved_file)`` are that saved file, as a `File` of this class.
    """

    filename: str
    content_type: str
    declared_content_type: str | None
    size: int
    checksum: str
    files: list[str]
    file_id: str
    upload_storage: str
    path: str
    url: str | None
    uploaded_at: str
    extra: dict[str, Any] | None
    headers: dict[str, str] | None
    content_path: str | None
    disposition: str | None
    width: int
    height: int
    orientation: int
    removed_metadata: list[str]
    placeholder: str
    thumbnail: dict[str, Any]
    variants: dict[str, dict[str, Any]]

    # Set by `sqlalchemy_file.validation`, which knows columns; this module does not.
    _judge: ClassVar[Callable[[File, Any], None]]
    _ajudge: ClassVar[Callable[[File, Any], Awaitable[None]]]

    def __init__(
        self,
        content: Any = None,
        filename: str | None = None,
        content_type: str | None = None,
        content_path: str | Path | None = None,
        *,
        storage: str | None = None,
        **extra_keys: Any,
    ) -> None:
        if isinstance(content, Mapping):
            self._become(content)
            return
        if isinstance(extra_keys.get("metadata"), Mapping):
            with_metadata(None, extra_keys["metadata"])  # warns; it counts when it is stored
        kept = given_content(content, content_path)
        name = clean_filename(filename or given_name(content, content_path))
        declared = essence(content_type or upload_type(content))
        super().__init__(
            without_objects(extra_keys),
            content_path=None if content_path is None else str(content_path),
            filename=name,
            declared_content_type=declared,
            content_type=declared or guess_type(name) or UNKNOWN,
            size=kept.size(),
            files=[],
        )
        vars(self).update(_frozen=False, _content=kept, _storage=storage, _state=UploadState())

    @property
    def original_content(self) -> BinaryIO:
        """The content that will be stored, as a seekable stream; for validators and processors."""
        return unspent(self).open()

    @original_content.setter
    def original_content(self, content: Any) -> None:
        """Let a validator replace the content; type, size and checksum follow."""
        saving.replace_content(self, content)

    def _become(self, record: Mapping[str, Any]) -> None:
        if isinstance(record, File):
            vars(self).update(_vars_of_copy(record))
        elif own_path(record) is None:
            raise TypeError(
                "a dict is content only as the record of a stored file, which has a path; "
                "this one names no object"
            )
        dict.update(self, deepcopy(dict(record)))

    @property
    def file(self) -> StoredFile:
        """Open the stored object; nothing is requested before it is read."""
        path = own_path(self) if self.saved else None
        if path is None:
            raise RuntimeError("Only available for saved file: flush or commit first")
        return StorageManager.view(path, self.get("filename"), self.get("content_type"))

    def variant(self, name: str) -> DerivedImage:
        """Return a variant by its name; ``"thumbnail"`` is the thumbnail.

            photo.image.variant("small").file.read()

        Raises `KeyError` for an unknown name; the message lists the names of the file. A key
        ``variant`` of the record is ``file["variant"]``.
        """
        return derived_image(self, name)

    def validated_for(self, column: Any) -> Self:
        """Return the file if the validators of a mapped column accept it; nothing is stored.

            document.content = File(upload).validated_for(Document.content)

        Raises the `ValidationError` of the first validator that refuses it. A flush that stores the
        file in that column does not validate it again, unless a validator takes the row.
        """
        column_declared()  # loads what sets _judge
        File._judge(self, column)
        return self

    async def avalidated_for(self, column: Any) -> Self:
        """Validate as `validated_for` does, without blocking the event loop."""
        column_declared()
        await File._ajudge(self, column)
        return self

    def exists(self) -> bool:
        """Return True if the storage has the object; False for a file that is not saved."""
        path = own_path(self) if self.saved else None
        return path is not None and StorageManager.exists(path)

    async def aexists(self) -> bool:
        """Return the same as `exists`, without blocking the event loop."""
        path = own_path(self) if self.saved else None
        return path is not None and await StorageManager.aexists(path)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return schemas.pydantic_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return schemas.json_schema(handler.mode)

    def __missing__(self, key: str) -> Any:
        if key == "original_content" and self._content is not None:
            return self.original_content
        raise KeyError(key)

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"_frozen": self._frozen, "_content": self._content, "_storage": self._storage}
        state = {} if self.saved else state
        return _restore, (type(self), dict(self), state)

    def __copy__(self) -> Self:
        return _restore(type(self), dict(self), _vars_of_copy(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return _restore(type(self), deepcopy(dict(self), memo), _vars_of_copy(self))

    def apply_validators(self, validators: Sequence[Validator], key: str = "") -> None:
        """Call the validators in order; the first refusal is raised."""
        for validator in validators:
            call_now(validator.process, self, key, row=self._state.row)

    def _apply_transforms(self, transforms: Sequence[Transform], key: str = "") -> None:
        """Let each transform change the content, in order."""
        for transform in transforms:
            content = call_now(transform.transform, self, key, row=self._state.row)
            if content is not None:
                self.original_content = content

    def apply_processors(
        self, processors: Sequence[Processor], upload_storage: str | None = None
    ) -> None:
        """Call the processors in order."""
        wanted = chain.from_iterable(getattr(each, "scaled_copies", ()) for each in processors)
        state = state_of(self)
        state.copies = {**dict.fromkeys(wanted), **state.made_copies}
        try:
            for processor in processors:
                storage_name = upload_storage or self.get("upload_storage")
                call_now(processor.process, self, storage_name, row=state.row)
        finally:
            state.copies, state.made_copies = None, {}

    def save_to_storage(self, upload_storage: str | None = None) -> None:
        """Store the content, and turn this file into its record.

        A subclass may choose the key in its own `store_content`.
        """
        storage_name = upload_storage or self._storage or StorageManager.get_default()
        if type(self).store_content is File.store_content:
            run(saving.save(self, storage_name, IN_THREAD))
            return
        state = saving.begin_saving(self)
        path = self._content.path if isinstance(self._content, PathContent) else None
        stored = self.store_content(
            self.original_content if path is None else None,
            storage_name,
            state.key,
            extra=described_extra(self),
            headers=saving.stored_headers(self),
            content_path=path,
        )
        self._become_stored(getattr(stored, "storage_name", None) or storage_name, stored.name)

    def _become_stored(self, storage_name: str, key: str) -> None:
        """Turn this file into the record of what its own `store_content` has stored."""
        path = StorageManager.path(storage_name, key)
        latest = self._state.latest
        if latest is not None and latest.path == path:
            self.update(size=latest.size, checksum=latest.checksum)
        self["files"] = list(dict.fromkeys([path, *self["files"]]))
        saving.describe(self, storage_name, key, path, public_url(path))


@runtime_checkable
class Validator(Protocol):
    """Accepts or refuses a file. Any class with this method is a validator.

        class NoMacros(Validator):
            def process(self, file, attr_key):
                if file.filename.endswith(".docm"):
                    raise ValidationError(attr_key, "Documents with macros are not accepted.")

    It is called from several threads, each with a file of its own. It may be a coroutine function,
    which `AsyncSession` awaits on the event loop, and may take the row as a further parameter.

    Two optional methods refuse a stream before it is read to its end. ``process_early(file,
    attr_key, size)`` is called after each piece of the stream, with the number of bytes so far.
    ``process_head(file, attr_key, head)`` is called once, with the first 4096 bytes of a longer
    stream, unless an earlier validator has neither method.
    """

    @abstractmethod
    def process(self, file: File, attr_key: str) -> None:
        """Raise `ValidationError` to refuse the file of the attribute ``attr_key``.

        Its content type, size and file name are known; its content is ``file.original_content``.
        Keys may be added to the file.
        """


@runtime_checkable
class Transform(Protocol):
    """Changes the content of a file. Any class with this method is a transform.

    It is called from several threads, each with a file of its own.
    """

    @abstractmethod
    def transform(self, file: File, attr_key: str) -> Any:
        """Return the new content, or None to leave it unchanged.

        ``file.original_content`` is the content so far, a seekable stream. Return anything that a
        `File` accepts as content; type, size and checksum follow. Other keys may be changed here.
        Raise `ValidationError` to refuse the file of the attribute ``attr_key``.
        """


@runtime_checkable
class Processor(Protocol):
    """Stores further objects for a file. Any class with this method is a processor.

    It is called from several threads, each with a file of its own.
    """

    @abstractmethod
    def process(self, file: File, upload_storage: str | None = None) -> None:
        """Read ``file.original_content``, store further objects, add keys to the file.

        ``file.store_content`` stores an object that belongs to the file. ``upload_storage`` is the
        name of the file's storage.
        """


F = TypeVar("F", bound=File)


def _vars_of_copy(file: File) -> dict[str, Any]:
    state = vars(file)
    return {**state, "_state": state["_state"].of_a_copy()} if "_state" in state else state


def _restore(cls: type[F], record: dict[str, Any], state: dict[str, Any]) -> F:
    file = cls.decode(record)
    vars(file).update(state)
    return file


__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "BaseFile": "sqlalchemy_file.base",
        "get_content_from_file_obj": "sqlalchemy_file.helpers",
        "get_content_size_from_fileobj": "sqlalchemy_file.legacy",
        "get_content_type_from_fileobj": "sqlalchemy_file.legacy",
        "get_filename_from_fileob": "sqlalchemy_file.legacy",
    },
)
