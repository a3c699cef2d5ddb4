"""The column types: which storage a file goes to, and what happens to it on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator

from sqlalchemy_file.deprecation import moved
from sqlalchemy_file.file import File
from sqlalchemy_file.mutable_list import MutableList, as_file
from sqlalchemy_file.processors import Processor, ThumbnailGenerator
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.base import check_key
from sqlalchemy_file.validators import ImageValidator, Validator

__all__ = ["FileField", "ImageField"]

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "FileFieldSessionTracker": "sqlalchemy_file.tracking.legacy",
        "flatmap": "sqlalchemy_file.legacy",
    },
)

StorageChoice = str | Callable[[File], str | None] | None
KeyChoice = Callable[[File], str] | None


class FileField(TypeDecorator[Any]):
    """A JSON column that holds the record of a file, or with ``multiple`` a list of them.

    ``upload_storage`` names the storage, or is a callable of the file that does; None is the
    default storage. ``key`` is a callable of the file: what it returns is a prefix if it ends
    with a slash, else the whole key. ``extra`` and ``headers`` go out with every object unless
    the file has its own. ``on_release="keep"`` leaves the objects of replaced and deleted
    files in the storage. Raises `ValueError` or `TypeError` for settings that cannot be.
    """

    impl: type[JSON] = JSON  # pyright: ignore[reportIncompatibleVariableOverride]
    cache_ok: bool | None = True

    def __init__(
        self,
        *args: Any,
        upload_storage: StorageChoice = None,
        validators: Sequence[Validator] | None = None,
        processors: Sequence[Processor] | None = None,
        upload_type: type[File] = File,
        multiple: bool | None = False,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        key: KeyChoice = None,
        on_release: str = "delete",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("none_as_null", True)
        super().__init__(*args, **kwargs)
        if on_release not in ("delete", "keep"):
            raise ValueError(f'on_release is "delete" or "keep", not {on_release!r}')
        if key is not None and not callable(key):
            raise TypeError(f"key is a callable of the file, not {key!r}")
        self.upload_storage = upload_storage
        self.upload_type = upload_type
        self.multiple: bool = bool(multiple)
        self.extra = extra
        self.headers = headers
        self.key = key
        self.on_release = on_release
        self.validators: list[Validator] = list(validators or ())
        self.processors: list[Processor] = list(processors or ())

    @property
    def _static_cache_key(self) -> Any:
        # Validators and processors have no say in the SQL and need not be hashable.
        return (type(self), self.upload_type, self.multiple)

    @property
    def python_type(self) -> Any:
        return MutableList[self.upload_type] if self.multiple else self.upload_type  # type: ignore[name-defined]

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value)

    def coerce(self, value: Any, name: str) -> Any:
        """Return what an assigned value means: a file, a list of files, or None.

        Raises `TypeError`, which says what to assign to the attribute ``name``.
        """
        if not self.multiple:
            return self._coerce_one(value, name)
        if isinstance(value, MutableList):
            value.adopt(self.upload_type)
        if value is None or isinstance(value, MutableList):
            return value
        if not isinstance(value, list | tuple):
            raise TypeError(
                f"{name} holds several files: assign a list of File, not {type(value).__name__}"
            )
        return MutableList(value, kind=self.upload_type)

    def _coerce_one(self, value: Any, name: str) -> File | None:
        if isinstance(value, File):
            return value
        if isinstance(value, list | tuple | set):
            raise TypeError(
                f"{name} holds one file: assign a File, not a {type(value).__name__} "
                "(or declare the field with multiple=True)"
            )
        if not value and not isinstance(value, dict):
            return None
        try:
            file: File = as_file(value, self.upload_type)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        return file

    def place(self, file: File) -> tuple[str, str | None, str]:
        """Return where a file goes: storage name, whole key or None, and a folder before the id.

        Raises `UnknownStorageError` and `InvalidKeyError`; nothing is stored.
        """
        chosen = self.upload_storage(file) if callable(self.upload_storage) else self.upload_storage
        storage_name = file._storage or chosen or StorageManager.get_default()
        StorageManager.storage(storage_name)
        key = self.key(file) if self.key is not None else ""
        if key.endswith("/"):
            StorageManager.path(storage_name, check_key(f"{key}id"))
            return storage_name, None, key
        if key:
            StorageManager.path(storage_name, check_key(key))
        return storage_name, key or None, ""

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return the JSON of a stored file; a falsy value is SQL NULL."""
        if isinstance(value, File):
            return _encoded(value)
        if not value:
            return None
        if self.multiple and isinstance(value, list):
            return [_encoded(file) for file in value]
        raise TypeError(f"expected {self._expected()}, not {type(value).__name__}")

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return `process_result_value` as rows call it: for one file, by a step less a row."""
        if type(self).process_result_value is not FileField.process_result_value:
            return super().result_processor(dialect, coltype)
        from_json = self.impl_instance.result_processor(dialect, coltype)
        decode, others = self.upload_type.decode, self.process_result_value

        def process(value: Any) -> Any:
            if from_json is not None:
                value = from_json(value)
            return decode(value) if type(value) is dict else others(value, dialect)

        return process

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the file, or list of files, that a row holds; nothing is requested for it."""
        if value is None:
            return None
        if isinstance(value, list):
            files: MutableList[Any] = MutableList(
                (self.upload_type.decode(record) for record in value), kind=self.upload_type
            )
            return files
        return self.upload_type.decode(value)

    def _expected(self) -> str:
        return "a list of File" if self.multiple else "a File"


class ImageField(FileField):
    """A file field that takes images only, and makes a thumbnail where a size is given."""

    def __init__(
        self,
        *args: Any,
        upload_storage: StorageChoice = None,
        thumbnail_size: tuple[int, int] | None = None,
        image_validator: ImageValidator | None = None,
        validators: Sequence[Validator] | None = None,
        processors: Sequence[Processor] | None = None,
        upload_type: type[File] = File,
        multiple: bool | None = False,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        thumbnail = [ThumbnailGenerator(thumbnail_size)] if thumbnail_size is not None else []
        super().__init__(
            *args,
            upload_storage=upload_storage,
            validators=[*(validators or ()), image_validator or ImageValidator()],
            processors=[*(processors or ()), *thumbnail],
            upload_type=upload_type,
            multiple=multiple,
            extra=extra,
            headers=headers,
            **kwargs,
        )


def _encoded(file: Any) -> dict[str, Any]:
    if isinstance(file, File) and file.saved:
        return file.encode()
    name = f"{file['filename']!r}, not stored" if isinstance(file, File) else repr(file)
    raise TypeError(
        f"a file column takes stored files, here came {name}: let a Session or a Connection "
        "execute the statement, and give the file as a parameter, not as a column's default"
    )
