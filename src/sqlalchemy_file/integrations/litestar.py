"""Litestar: responses with stored files, DTOs of models with file columns, and a plugin."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Union, Unpack, cast

import msgspec
from litestar import MediaType, Request, Response
from litestar.datastructures import UploadFile
from litestar.dto import AbstractDTO
from litestar.exceptions import ClientException
from litestar.plugins import InitPlugin, SerializationPlugin
from litestar.typing import FieldDefinition
from sqlalchemy import inspect
from sqlalchemy.orm import Mapper

from sqlalchemy_file.exceptions import ValidationError
from sqlalchemy_file.file import File
from sqlalchemy_file.integrations.msgspec import PublicFile
from sqlalchemy_file.serving.answering import ResponseOptions, answer_with, drive
from sqlalchemy_file.serving.apps import Receive, Scope, Send, send_answer
from sqlalchemy_file.serving.target import RequestFacts
from sqlalchemy_file.storage.common.calling import IN_LOOP
from sqlalchemy_file.types import file_field
from sqlalchemy_file.values.schemas import json_of

if TYPE_CHECKING:
    from litestar.config.app import AppConfig
    from litestar.dto import DTOFieldDefinition

__all__ = ["FileResponse", "FilesDTO", "FilesPlugin", "refusal_response"]


class FileResponse:
    """The answer to a request for a stored file: whole, a range, or "not modified".

        @get("/letters/{number:int}/scan")
        async def scan(request: Request, number: int) -> FileResponse:
            return FileResponse(request, (await find_letter(number)).scan)

    ``headers`` are sent as well; the options are those of
    `sqlalchemy_file.integrations.starlette.FileResponse`. Raises `ValueError` for a file that is
    not stored, and `KeyError` for a variant it lacks. An object that is gone is answered with 404.
    """

    def __init__(
        self,
        request: Request[Any, Any, Any],
        file: Any,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Unpack[ResponseOptions],
    ) -> None:
        scope: Any = request.scope
        self._own: list[tuple[str, str]] = list((headers or {}).items())
        self._steps = answer_with(RequestFacts.of_scope(scope), file, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = (await drive(self._steps, IN_LOOP)).with_headers(self._own)
        await send_answer(answer, scope, receive, send)


def _shown(holder: object, name: str) -> Any:
    return _public(getattr(holder, name))


def _public(value: Any) -> Any:
    """Return a value with the public part of each file in it, also in collections."""
    if isinstance(value, File):
        return PublicFile.of(value)
    if isinstance(value, Mapping):
        return {key: _public(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_public(each) for each in value]
    return value


class FilesDTO:
    """A mixin that lets the DTO of a model have file columns.

        class LetterDTO(FilesDTO, SQLAlchemyDTO[Letter]): ...

    A response contains the public part of a file. A request contains an upload, as
    ``multipart/form-data``, or null. A file that was not chosen in a form has no value, and JSON
    that describes a file is refused. Name this class before the DTO.
    """

    attribute_accessor: Callable[[object, str], Any] = staticmethod(_shown)

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """Create the transfer model of a handler's data, or of what it returns."""
        token = _file_kind.set(UploadFile if field_definition.name == "data" else PublicFile)
        try:
            super().create_for_field_definition(field_definition, handler_id, backend_cls)  # type: ignore[misc]
        finally:
            _file_kind.reset(token)

    @classmethod
    def generate_field_definitions(
        cls, model_type: type[Any]
    ) -> Generator[DTOFieldDefinition, None, None]:
        """Yield the fields of the model, those with files as uploads or as public files."""
        for field in super().generate_field_definitions(model_type):  # type: ignore[misc]
            yield _retyped(field, _file_kind.get()) if _holds(field, File) else field

    def decode_builtins(self, value: Any) -> Any:
        """Return the object that a form describes; a form that the model refuses is a 400."""
        try:
            return super().decode_builtins(self._with_chosen(value))  # type: ignore[misc]
        except msgspec.ValidationError as error:
            raise ClientException(str(error)) from error

    def _with_chosen(self, form: Any) -> Any:
        """Return the form with its uploads as they were meant.

        Litestar gives ``""`` for a file that was not chosen, and no list for a single upload.
        """
        if not isinstance(form, Mapping):
            return form
        meant = dict(form)
        for name, takes_several in _uploads(cast("Any", type(self))).items():
            sent = meant.pop(name, "")
            chosen = [each for each in (sent if isinstance(sent, list) else [sent]) if each != ""]
            if chosen:
                meant[name] = chosen if takes_several or len(chosen) > 1 else chosen[0]
        return meant


_file_kind: ContextVar[type] = ContextVar("_file_kind", default=PublicFile)
"""The type of files in the transfer model that is being created, which does not know its use."""


@cache
def _uploads(dto: Any) -> dict[str, bool]:
    """Return the names that a form has for the files of a DTO, and whether each is a list."""
    config = dto.config
    files = {
        field.name: _holds(field, list)
        for field in dto.generate_field_definitions(dto.model_type)
        if _holds(field, PublicFile)
    }
    # msgspec applies the strategy, as it does for the models that Litestar makes.
    model = msgspec.defstruct("_Names", list(files), rename=config.rename_strategy)
    names = {field.name: field.encode_name for field in msgspec.structs.fields(model)}
    return {config.rename_fields.get(name, names[name]): files[name] for name in files}


_TYPE_OF_FIELD = (
    "annotation", "args", "inner_types", "instantiable_origin", "origin", "raw",
    "safe_generic_origin", "type_wrappers",
)  # fmt: skip


def _holds(field: FieldDefinition, kind: type) -> bool:
    return field.is_subclass_of(kind) or any(_holds(each, kind) for each in field.inner_types)


def _retyped(field: DTOFieldDefinition, kind: type) -> DTOFieldDefinition:
    parsed = FieldDefinition.from_annotation(_annotation(field, kind))
    return replace(field, **{name: getattr(parsed, name) for name in _TYPE_OF_FIELD})


def _annotation(field: FieldDefinition, kind: type) -> Any:
    """Return the annotation of a field, with another class instead of `File`."""
    if field.is_subclass_of(File):
        return kind
    if not field.inner_types:
        return field.annotation
    inner = tuple(_annotation(each, kind) for each in field.inner_types)
    if field.is_union:
        return Union[inner]  # noqa: UP007  how many there are is not known
    origin: Any = list if field.is_subclass_of(list) else field.safe_generic_origin
    return origin[inner]


class _FileDTO(AbstractDTO[Any]):
    """The DTO of a handler that returns files, not rows."""

    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        return True

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        pass  # a file needs no transfer model

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Any:
        kind = UploadFile if field_definition.name == "data" else PublicFile
        shown = FieldDefinition.from_annotation(_annotation(field_definition, kind))
        return schema_creator.for_field_definition(shown)

    @classmethod
    def generate_field_definitions(
        cls, model_type: type[Any]
    ) -> Generator[DTOFieldDefinition, None, None]:
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False

    def data_to_encodable_type(self, data: Any) -> Any:
        return _public(data)

    def decode_bytes(self, value: bytes) -> Any:
        raise ClientException("a file is uploaded as multipart/form-data, not described in JSON")

    def decode_builtins(self, value: Any) -> Any:
        raise ClientException("take an UploadFile, and assign it to the column")


class FilesPlugin(InitPlugin, SerializationPlugin):
    """Lets handlers return files and rows with files, and answers refused files with 422.

        app = Litestar([create, read], plugins=[FilesPlugin()])

    A handler that returns a `File`, or a collection of them, sends their public part. With Advanced
    Alchemy, a handler that takes or returns a model with file columns, or with a relationship to
    one, gets a DTO; name this plugin before Advanced Alchemy's.
    """

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Register the handler of refusals, unless the application has one."""
        handlers: Any = app_config.exception_handlers
        app_config.exception_handlers = {ValidationError: refusal_response, **handlers}
        return app_config

    def supports_type(self, field_definition: FieldDefinition) -> bool:
        """Return True if this is a `File`, or a model with file columns."""
        return _holds(field_definition, File) or _model(field_definition) is not None

    def create_dto_for_type(self, field_definition: FieldDefinition) -> type[AbstractDTO[Any]]:
        """Return the DTO of files, or of the model."""
        model = _model(field_definition)
        return _FileDTO if model is None else _dto_of(model)


@cache
def _dto_of(model: Any) -> type[AbstractDTO[Any]]:
    from advanced_alchemy.extensions.litestar.dto import SQLAlchemyDTO  # noqa: PLC0415  optional

    bases: Any = (FilesDTO, SQLAlchemyDTO.__class_getitem__(model))
    return type(f"{model.__name__}DTO", bases, {})


def _model(field: FieldDefinition) -> Any:
    """Return the model with files that a field holds, if Advanced Alchemy is there."""
    try:
        import advanced_alchemy.extensions.litestar.dto  # noqa: F401, PLC0415  it is optional
    except ImportError:
        return None
    kinds = [field.annotation, *(each.annotation for each in field.inner_types)]
    return next(filter(_leads_to_files, kinds), None)


def _leads_to_files(kind: Any) -> bool:
    """Return True for a model with file columns, or with relationships that lead to such a one."""
    mapper: Any = inspect(kind, raiseerr=False) if isinstance(kind, type) else None
    if not isinstance(mapper, Mapper):
        return False
    reached = [mapper]
    for each in reached:
        if any(file_field(column.type) for column in each.columns):
            return True
        related = (relationship.mapper for relationship in each.relationships)
        reached += [other for other in dict.fromkeys(related) if other not in reached]
    return False


def refusal_response(request: Request[Any, Any, Any], error: ValidationError) -> Response[Any]:
    """Answer refused files with 422: each with its field, index, code and parameters."""
    extra = [each.as_dict() for each in error.refusals]
    content = {"status_code": 422, "detail": "files were refused", "extra": extra}
    return Response(json_of(content).encode(), status_code=422, media_type=MediaType.JSON)
