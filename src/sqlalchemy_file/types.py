"""The column types `FileField` and `ImageField`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

from sqlalchemy import JSON
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from sqlalchemy_file.content.filenames import Disposition
from sqlalchemy_file.content.received import is_unchosen, is_upload
from sqlalchemy_file.file import File
from sqlalchemy_file.mutable_list import MutableList, as_file
from sqlalchemy_file.processors import Processor, ThumbnailGenerator
from sqlalchemy_file.storage import StorageManager  # noqa: F401  version 0.7 had it here
from sqlalchemy_file.support.calling import checked_steps
from sqlalchemy_file.support.names import column_declared, moved
from sqlalchemy_file.transforms import Transform, TransformChoice, joined
from sqlalchemy_file.validators import ImageValidator, Validator
from sqlalchemy_file.values.json_column import FileComparator, faster
from sqlalchemy_file.values.saving import ChoosesPlace, KeyChoice, StorageChoice

__all__ = ["FileField", "ImageField"]

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "FileFieldSessionTracker": "sqlalchemy_file.legacy",
        "flatmap": "sqlalchemy_file.legacy",
    },
)


class FileField(ChoosesPlace, TypeDecorator[Any]):
    """A JSON column that holds the record of a file, or with ``multiple`` a list of records.

        manual: Mapped[File | None] = mapped_column(FileField(validators=[SizeValidator("20M")]))

    ``upload_storage`` is the name of the storage, or a function of the file that returns it; None
    is the default storage. ``key`` is a function of the file that returns a prefix, ending with a
    slash, or a whole key. Both functions may take the row as a second parameter, and may be
    coroutine functions with `AsyncSession`.

    ``validators``, ``transforms`` and ``processors`` run in this order on every file of a flush.
    ``extra`` and ``headers`` are sent with every object, unless the file has its own.
    ``on_release="keep"`` leaves the objects of replaced and deleted files in the storage.
    ``disposition`` is ``"inline"`` or ``"attachment"``: browsers show these files, or save them.
    ``jsonb=True`` makes a JSONB column on PostgreSQL, as ``with_variant(JSONB(), "postgresql")``
    does: such columns can be compared, grouped and indexed.

    Raises `ValueError` or `TypeError` for invalid settings.
    """

    impl: type[JSON] = JSON  # pyright: ignore[reportIncompatibleVariableOverride]
    cache_ok: bool | None = True
    comparator_factory: type[FileComparator] = FileComparator

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        column_declared()  # here, because copies and pickles do not call __init__
        return super().__new__(cls)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return super().__reduce_ex__(max(protocol, 2))  # pickles of 0 and 1 do not call __new__

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
        disposition: Disposition | None = None,
        jsonb: bool = False,
        transforms: Sequence[TransformChoice] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("none_as_null", True)
        try:
            super().__init__(*args, **kwargs)
        except TypeError as error:  # it names SQLAlchemy's type, which few know
            name = type(self).__name__
            advice = "give its parameters by their names, such as upload_storage="
            raise TypeError(f"this is no parameter of {name}: {error}; {advice}") from None
        if jsonb:
            from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415  few programs need it

            self._be_on("postgresql", JSONB())
        _require_choices(on_release, disposition)
        if key is not None and not callable(key):
            raise TypeError(f"key is a callable of the file, not {key!r}")
        for name, given in (("extra", extra), ("headers", headers)):
            if not isinstance(given, Mapping | None):
                raise TypeError(f"{name} is a dict of names and values, not {given!r}")
        if not (isinstance(upload_type, type) and issubclass(upload_type, File)):
            raise TypeError(f"upload_type is a subclass of File, not {upload_type!r}")
        self.upload_storage = upload_storage
        self.upload_type = upload_type
        self.multiple: bool = bool(multiple)
        self.extra = extra
        self.headers = headers
        self.key = key
        self.on_release = on_release
        self.disposition: Disposition | None = disposition
        self.validators: list[Validator] = checked_steps(validators, "validators")
        self.processors: list[Processor] = checked_steps(processors, "processors")
        self.transforms: list[TransformChoice] = list(transforms or ())
        joined(self.transforms)  # raises TypeError for what is none

    @property
    def joined_transforms(self) -> list[Transform]:
        """The transforms as they are executed; programs may change ``transforms`` at any time."""
        return joined(self.transforms)

    @property
    def _static_cache_key(self) -> Any:
        # Validators and processors have no say in the SQL and need not be hashable.
        return (type(self), self.upload_type, self.multiple, self._json_key)

    @cached_property
    def _json_key(self) -> Any:
        json = self.impl_instance
        variants = ((name, kind._static_cache_key) for name, kind in json._variant_mapping.items())
        return (json._static_cache_key, *variants)

    def with_variant(self, type_: Any, *dialect_names: str) -> Any:
        """Return this field with another JSON type on some databases; it stays a file field.

        Raises `TypeError` for other types than JSON types.
        """
        kind = type_() if isinstance(type_, type) else type_
        if file_field(kind) is not None:
            return super().with_variant(kind, *dialect_names)
        field = self.copy()
        for name in dialect_names:
            field._be_on(name, kind)
        return field

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        variants = self.impl_instance._variant_mapping
        return variants.get(dialect.name, self.impl_instance)

    def _be_on(self, dialect_name: str, kind: TypeEngine[Any]) -> None:
        if not isinstance(kind, JSON):
            raise TypeError(
                f"a file column is a JSON column: JSON(), JSONB(), or a FileField, not {kind!r}"
            )
        kind = kind.copy()
        kind.none_as_null = self.impl_instance.none_as_null  # type: ignore[attr-defined]
        json = self.impl_instance.with_variant(kind, dialect_name)
        vars(self).update(impl=json, impl_instance=json)
        vars(self).pop("_json_key", None)

    def __repr__(self) -> str:
        """Return what Alembic writes into a migration."""
        options = ["multiple=True"] if self.multiple else []
        variant = self.impl_instance._variant_mapping.get("postgresql")
        if variant is not None and variant.__visit_name__ == "JSONB":
            options.append("jsonb=True")
        if not self.impl_instance.none_as_null:  # type: ignore[attr-defined]
            options.append("none_as_null=False")
        return f"{type(self).__name__}({', '.join(options)})"

    @property
    def python_type(self) -> Any:
        return MutableList[self.upload_type] if self.multiple else self.upload_type  # type: ignore[name-defined]

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value)

    def coerce(self, value: Any, name: str) -> Any:
        """Return an assigned value as a file, a list of files, or None.

        Raises `TypeError` for any other value, with advice. ``name`` is the attribute.
        """
        if not self.multiple:
            return value if isinstance(value, File) else self._coerce_one(value, name)
        if value is None:
            return None
        if isinstance(value, MutableList):
            return self._list_of(value, name)
        if is_upload(value) or not isinstance(value, list | tuple):
            if is_unchosen(value):
                return None
            raise TypeError(
                f"{name} holds several files: assign a list of File, not {type(value).__name__}"
            )
        return self._list_of([item for item in value if not is_unchosen(item)], name)

    def is_unchosen(self, value: Any) -> bool:
        """Return True for the upload of a form in which no file was chosen."""
        if self.multiple and isinstance(value, list | tuple) and value:
            return all(map(is_unchosen, value))
        return is_unchosen(value)

    def _list_of(self, files: Sequence[Any], name: str) -> MutableList[Any]:
        try:
            if not isinstance(files, MutableList):
                return MutableList(files, kind=self.upload_type)
            files.adopt(self.upload_type)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        return files

    def _coerce_one(self, value: Any, name: str) -> File | None:
        if isinstance(value, list | tuple | set) and not is_upload(value):
            raise TypeError(
                f"{name} holds one file: assign a File, not a {type(value).__name__} "
                "(or declare the field with multiple=True)"
            )
        if _is_nothing(value):
            return None
        try:
            file: File = as_file(value, self.upload_type)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        return file

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return the JSON of a stored file, or of a list of them; None is SQL NULL."""
        if isinstance(value, File):
            return _encoded(value)
        if self.multiple and isinstance(value, list):
            return [_encoded(file) for file in value]
        if not value:
            return None
        expected = "a list of File" if self.multiple else "a File"
        raise TypeError(f"expected {expected}, not {type(value).__name__}")

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return the function that makes files of the column's JSON."""
        if type(self).process_result_value is not FileField.process_result_value:
            return super().result_processor(dialect, coltype)
        plain = self.impl_instance.result_processor(dialect, coltype)
        from_json = None if plain is None else faster(plain, self.impl_instance, dialect)
        decode, others = self.upload_type.decode, self.process_result_value
        kind = None if self.multiple else dict

        def process(value: Any) -> Any:
            if value is None:
                return None
            if from_json is not None:
                value = from_json(value)
            return decode(value) if type(value) is kind else others(value, dialect)

        return process

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the file, or the list of files, of a row, without any request.

        Values that are not the record of a file are left out.
        """
        if value is None:
            return None
        records = value if isinstance(value, list) else [value]
        files: MutableList[Any] = MutableList(
            (self.upload_type.decode(record) for record in records if isinstance(record, dict)),
            kind=self.upload_type,
        )
        if self.multiple:
            return files if files or isinstance(value, list) else None
        return files if len(files) > 1 else next(iter(files), None)


def _require_choices(on_release: str, disposition: str | None) -> None:
    if on_release not in ("delete", "keep"):
        raise ValueError(f'on_release is "delete" or "keep", not {on_release!r}')
    if disposition not in (None, "inline", "attachment"):
        raise ValueError(f'disposition is "inline" or "attachment", not {disposition!r}')


def file_field(kind: TypeEngine[Any]) -> FileField | None:
    """Return the file field in a type: itself, a variant of it, or what a decorator wraps."""
    if isinstance(kind, FileField):
        return kind
    variants = list(getattr(kind, "_variant_mapping", {}).values())
    if isinstance(kind, TypeDecorator):
        variants.append(kind.impl_instance)
    return next((field for field in map(file_field, variants) if field is not None), None)


class ImageField(FileField):
    """A file field for images.

        photo: Mapped[File | None] = mapped_column(ImageField(thumbnail_size=(128, 128)))

    With ``thumbnail_size`` it stores thumbnails. The files are checked by ``image_validator``, by
    default an `ImageValidator`. Needs the extra ``image``.
    """

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
            validators=[
                *checked_steps(validators, "validators"),
                image_validator or ImageValidator(),
            ],
            processors=[*checked_steps(processors, "processors"), *thumbnail],
            upload_type=upload_type,
            multiple=multiple,
            extra=extra,
            headers=headers,
            **kwargs,
        )


def _is_nothing(value: Any) -> bool:
    """Return True if a value means "no file"; not every upload has a truth value."""
    plain = value is None or isinstance(value, str | bytes | bytearray | bool | int | float)
    return not value if plain else is_unchosen(value)


def _encoded(file: Any) -> dict[str, Any]:
    if isinstance(file, File) and file.saved:
        return file.encode()
    name = f"{file['filename']!r}, not stored" if isinstance(file, File) else repr(file)
    raise TypeError(
        f"a file column takes stored files, here came {name}: let a Session or a Connection "
        "execute the statement, and give the file as a parameter, not as a column's default"
    )
