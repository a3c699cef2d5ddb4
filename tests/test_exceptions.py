"""The tree of errors: what each one is, says, and keeps when it is pickled or copied."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
from libcloud.storage.types import ObjectDoesNotExistError

from sqlalchemy_file import exceptions
from sqlalchemy_file.exceptions import (
    AspectRatioValidationError,
    CommitRefusedError,
    ContentSpentError,
    ContentTypeValidationError,
    DeletionError,
    DimensionValidationError,
    InvalidImageError,
    InvalidKeyError,
    InvalidStorageError,
    LedgerError,
    MissingExtraError,
    ObjectExistsError,
    ObjectNotFoundError,
    SizeValidationError,
    SQLAlchemyFileError,
    StorageError,
    UnknownStorageError,
    UnsupportedStatementError,
    ValidationError,
    ValidationErrors,
)

BASES: dict[type[Exception], tuple[type[BaseException], ...]] = {
    ValidationError: (SQLAlchemyFileError,),
    SizeValidationError: (ValidationError,),
    ContentTypeValidationError: (ValidationError,),
    InvalidImageError: (ValidationError,),
    DimensionValidationError: (ValidationError,),
    AspectRatioValidationError: (ValidationError,),
    ValidationErrors: (ValidationError, ExceptionGroup),
    StorageError: (SQLAlchemyFileError,),
    ObjectNotFoundError: (StorageError, ObjectDoesNotExistError, FileNotFoundError),
    ObjectExistsError: (StorageError, FileExistsError),
    InvalidKeyError: (StorageError, ValueError),
    InvalidStorageError: (StorageError, ValueError),
    DeletionError: (StorageError,),
    UnknownStorageError: (SQLAlchemyFileError, RuntimeError),
    ContentSpentError: (SQLAlchemyFileError, RuntimeError),
    UnsupportedStatementError: (SQLAlchemyFileError, TypeError),
    CommitRefusedError: (SQLAlchemyFileError,),
    LedgerError: (SQLAlchemyFileError,),
    MissingExtraError: (SQLAlchemyFileError, ImportError),
}

ERRORS = [
    ValidationError("cover", "too odd"),
    SizeValidationError("cover", "too large"),
    ContentTypeValidationError("cover", "not allowed"),
    InvalidImageError("cover", "no image"),
    DimensionValidationError("cover", "too wide"),
    AspectRatioValidationError("cover", "too flat"),
    ValidationErrors([SizeValidationError("a", "too large"), ValidationError("b", "odd")]),
    StorageError("it is down", storage="main", key="a/b"),
    StorageError("it is down"),
    ObjectNotFoundError(storage="main", key="a/b"),
    ObjectNotFoundError(),
    ObjectExistsError("taken", storage="main", key="a/b"),
    InvalidKeyError("it leaves", storage="main", key="../x"),
    InvalidStorageError("no option 'x'", storage="main"),
    DeletionError({"a": StorageError("down", key="a"), "b": ValueError("odd")}, storage="main"),
    UnknownStorageError("no such storage"),
    ContentSpentError("read already"),
    UnsupportedStatementError("cannot be known"),
    CommitRefusedError("too late"),
    LedgerError("out of date"),
    MissingExtraError("ImageValidator", "image"),
]

DUPLICATES: dict[str, Callable[[Exception], Exception]] = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
    "the oldest pickle": lambda error: pickle.loads(pickle.dumps(error, protocol=0)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def _attributes(error: Exception) -> dict[str, str]:
    return {name: str(value) for name, value in vars(error).items()}


def test_refusals_can_be_split_by_their_kind() -> None:
    refusals = [SizeValidationError("a", "too large"), ValidationError("b", "odd")]
    sizes, others = ValidationErrors(refusals).split(SizeValidationError)
    assert isinstance(sizes, ValidationErrors)
    assert isinstance(others, ValidationErrors)
    assert (sizes.key, others.key) == ("a", "b")


def test_every_error_of_the_tree_is_tested_here() -> None:
    named = {getattr(exceptions, name) for name in exceptions.__all__}
    assert named == {SQLAlchemyFileError, *BASES}
    assert {type(error) for error in ERRORS} == set(BASES)


@pytest.mark.parametrize("kind", BASES, ids=lambda kind: kind.__name__)
def test_an_error_is_caught_as(kind: type[Exception]) -> None:
    assert issubclass(kind, (SQLAlchemyFileError,))
    for base in BASES[kind]:
        assert issubclass(kind, base)


@pytest.mark.parametrize("way", DUPLICATES)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_duplicate_keeps_everything(error: Exception, way: str) -> None:
    twin = DUPLICATES[way](error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert repr(twin) == repr(error)
    assert _attributes(twin) == _attributes(error)


@pytest.mark.parametrize("way", DUPLICATES)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_duplicate_keeps_what_was_added_to_the_error(error: Exception, way: str) -> None:
    marked = copy.copy(error)
    marked.add_note("while storing 'a.txt' for cover")
    marked.request = "GET"  # type: ignore[attr-defined]
    twin = DUPLICATES[way](marked)
    assert twin.__notes__ == ["while storing 'a.txt' for cover"]
    assert twin.request == "GET"  # type: ignore[attr-defined]


def test_a_subclass_with_arguments_of_its_own_is_pickled_by_its_key_and_message() -> None:
    twin = pickle.loads(pickle.dumps(OwnRefusal("cover", "odd")))
    assert (type(twin), twin.key, twin.msg) == (OwnRefusal, "cover", "odd")


class OwnRefusal(ValidationError):
    """As a program's own validator raises it."""


def test_a_refusal_says_which_attribute_and_why() -> None:
    error = SizeValidationError("cover", "The file is too large")
    assert (error.key, error.msg) == ("cover", "The file is too large")
    assert str(error) == "cover: The file is too large"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StorageError("down"), "down"),
        (StorageError("down", storage="main"), "storage 'main': down"),
        (StorageError("down", key="a/b"), "key 'a/b': down"),
        (StorageError("down", storage="main", key="a/b"), "storage 'main', key 'a/b': down"),
        (
            ObjectNotFoundError(storage="main", key="a/b"),
            "storage 'main', key 'a/b': there is no such object",
        ),
        (ObjectExistsError("taken", storage="main", key="k"), "storage 'main', key 'k': taken"),
        (InvalidKeyError("odd", storage="main", key="../k"), "storage 'main', key '../k': odd"),
    ],
    ids=str,
)
def test_a_storage_error_names_storage_and_key(error: Exception, text: str) -> None:
    assert str(error) == text


def test_a_storage_named_later_is_in_the_message() -> None:
    error = ObjectNotFoundError(key="k")
    error.storage = "main"
    assert "storage 'main', key 'k'" in str(error)


def test_a_missing_object_looks_to_programs_like_libclouds_error() -> None:
    with pytest.raises(ObjectDoesNotExistError) as caught:
        raise ObjectNotFoundError(storage="main", key="k")
    assert (caught.value.object_name, caught.value.driver) == ("k", None)
    assert "storage 'main', key 'k'" in repr(caught.value)


def test_a_missing_object_is_a_file_that_is_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        raise ObjectNotFoundError(storage="main", key="k")


def test_failed_deletions_name_the_first_keys_their_number_and_a_cause() -> None:
    failures = {f"key-{number}": ConnectionError("no answer") for number in range(5)}
    error = DeletionError(failures, storage="main")
    assert error.failures == failures
    assert str(error) == "storage 'main': 5 not deleted (key-0, key-1, key-2, ...): no answer"


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    error = MissingExtraError("ThumbnailGenerator", "image")
    assert (error.what, error.extra) == ("ThumbnailGenerator", "image")
    assert "ThumbnailGenerator" in str(error)
    assert "pip install 'sqlalchemy-file[image]'" in str(error)


def test_a_missing_extra_names_the_storage_that_needs_it() -> None:
    error = MissingExtraError("a storage at s3://", "obstore")
    error.storage = "media"
    for copied in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(copied).startswith("storage 'media': a storage at s3:// needs an extra")
