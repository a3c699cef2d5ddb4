"""Names that programs written for release 0.7.0 import are found where they were."""

from __future__ import annotations

import io
import json
from importlib import import_module
from typing import Any

import pytest
from sqlalchemy import Column, Integer, event
from sqlalchemy.orm import Mapper, Session, declarative_base

from sqlalchemy_file import File, FileField
from sqlalchemy_file.helpers import convert_size
from sqlalchemy_file.validators import SizeValidator
from tests.stores import add_memory, keys, sqlite

DEPRECATED = {
    "file": [
        *("BaseFile", "get_content_from_file_obj"),
        *("get_content_size_from_fileobj", "get_content_type_from_fileobj"),
        "get_filename_from_fileob",
    ],
    "helpers": [
        *("INMEMORY_FILESIZE", "LOCAL_STORAGE_DRIVER_NAME", "flatmap", "get_metadata_file_obj"),
        *("get_content_size_from_fileobj", "get_content_type_from_fileobj"),
        "get_filename_from_fileob",
    ],
    "processors": ["INMEMORY_FILESIZE"],
    "storage": [
        *("Container", "LOCAL_STORAGE_DRIVER_NAME", "ObjectDoesNotExistError"),
        "get_metadata_file_obj",
    ],
    "stored_file": ["LOCAL_STORAGE_DRIVER_NAME", "Object", "ObjectDoesNotExistError"],
    "types": ["FileFieldSessionTracker", "flatmap"],
}
KEPT = {
    "file": ["Processor", "StorageManager", "StoredFile", "Validator"],
    "storage": ["StoredFile"],
    "types": ["ImageValidator", "MutableList", "Processor", "StorageManager", "ThumbnailGenerator"],
    "validators": [
        *("AspectRatioValidationError", "ContentTypeValidationError", "DimensionValidationError"),
        *("InvalidImageError", "SizeValidationError", "convert_size"),
    ],
}


def pairs(names: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(module, name) for module in names for name in names[module]]


def old(module: str, name: str) -> Any:
    with pytest.warns(DeprecationWarning, match=f"{name} of sqlalchemy_file.{module}"):
        return getattr(import_module(f"sqlalchemy_file.{module}"), name)


@pytest.mark.parametrize(("module", "name"), pairs(DEPRECATED))
def test_a_deprecated_name_is_found_and_warns(module: str, name: str) -> None:
    assert old(module, name) is not None


@pytest.mark.parametrize(("module", "name"), pairs(KEPT))
def test_a_name_is_found_where_it_was(module: str, name: str) -> None:
    assert hasattr(import_module(f"sqlalchemy_file.{module}"), name)


@pytest.mark.parametrize("module", DEPRECATED)
def test_a_name_that_never_was_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = import_module(f"sqlalchemy_file.{module}").nope


class Upload:
    def __init__(self) -> None:
        self.file = io.BytesIO(b"abc")
        self.filename, self.content_type = "a.txt", "text/x-mine"


class Named(io.BytesIO):
    name = "/folder/n.txt"


def test_the_old_helpers_answer_as_they_did() -> None:
    assert old("helpers", "LOCAL_STORAGE_DRIVER_NAME") == "Local Storage"
    assert old("helpers", "INMEMORY_FILESIZE") == 1024 * 1024
    assert old("helpers", "flatmap")([[1], [2, 3]]) == [1, 2, 3]
    with old("helpers", "get_metadata_file_obj")({"a": "b"}) as file:
        assert json.loads(file.read()) == {"a": "b"}
    name_of = old("helpers", "get_filename_from_fileob")
    assert [name_of(each) for each in (Upload(), Named(), b"x")] == ["a.txt", "n.txt", "unnamed"]
    type_of = old("helpers", "get_content_type_from_fileobj")
    assert type_of(Upload(), "d.png") == "text/x-mine"
    assert [type_of(b"", name) for name in ("d.png", "d")] == [
        *("image/png", "application/octet-stream")
    ]
    size_of = old("helpers", "get_content_size_from_fileobj")
    assert size_of(io.BytesIO(b"abcd")) == 4
    with pytest.raises(RuntimeError, match="Unable to determine"):
        size_of(Upload())


@pytest.mark.parametrize(
    ("size", "expected"), [("5K", 5000), (1.5e6, 1_500_000), ("5 M", 5_000_000), (0.5, 0)]
)
def test_a_size_may_be_written_as_it_was(size: Any, expected: int) -> None:
    assert convert_size(size) == expected
    SizeValidator(size)


@pytest.mark.parametrize("size", [-1.0, float("inf"), float("nan"), "1.5M", "5m", "5B"])
def test_what_is_no_size_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="Invalid size"):
        convert_size(size)


def test_a_tracker_of_a_programs_own_is_put_in_the_place_of_the_old_one() -> None:
    storage = add_memory()
    tracker = old("types", "FileFieldSessionTracker")
    seen: list[str] = []

    class Own(tracker):  # type: ignore[misc]
        @classmethod
        def _after_commit(cls, session: Session) -> None:
            seen.append("commit")

    listeners = [
        *((Mapper, "mapper_configured"), (Mapper, "after_configured")),
        *((Session, "after_commit"), (Session, "after_soft_rollback")),
    ]
    for target, name in listeners:
        event.remove(target, name, getattr(tracker, f"_{name}"))
    Own.setup()
    base: Any = declarative_base()
    table = {"__tablename__": "t", "id": Column(Integer, primary_key=True), "f": Column(FileField)}
    kind = type("Row", (base,), table)
    engine = sqlite(base)
    with Session(engine) as session:
        session.add(kind(f=File(b"x")))
        session.commit()
        session.delete(session.get_one(kind, 1))
        session.commit()
    engine.dispose()
    assert seen
    assert keys(storage) == []
    for target, name in listeners:
        event.remove(target, name, getattr(Own, f"_{name}"))
        event.listen(target, name, getattr(tracker, f"_{name}"))
