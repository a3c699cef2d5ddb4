"""A dict whose keys are attributes too, and which can be closed to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sqlalchemy_file.base import BaseFile
from sqlalchemy_file.file import File


def open_file(**keys: Any) -> BaseFile:
    file = BaseFile()
    file._frozen = False
    file.update(keys)
    return file


def closed_file(**keys: Any) -> BaseFile:
    file = open_file(**keys)
    file._freeze()
    return file


def _set_item(file: BaseFile) -> None:
    file["a"] = 2


def _set_attribute(file: BaseFile) -> None:
    file.a = 2


def _delete_item(file: BaseFile) -> None:
    del file["a"]


def _delete_attribute(file: BaseFile) -> None:
    del file.a


def _merge(file: BaseFile) -> None:
    file |= {"a": 2}


CHANGES: dict[str, Callable[[BaseFile], object]] = {
    "item": _set_item,
    "attribute": _set_attribute,
    "new item": lambda file: file.__setitem__("b", 1),
    "new attribute": lambda file: setattr(file, "b", 1),
    "del item": _delete_item,
    "del attribute": _delete_attribute,
    "update with a dict": lambda file: file.update({"a": 2}),
    "update with pairs": lambda file: file.update([("a", 2)]),
    "update with keywords": lambda file: file.update(a=2),
    "setdefault": lambda file: file.setdefault("b", 1),
    "pop": lambda file: file.pop("a"),
    "pop with a default": lambda file: file.pop("a", None),
    "popitem": lambda file: file.popitem(),
    "clear": lambda file: file.clear(),
    "|=": _merge,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_closed_file_refuses(change: str) -> None:
    file = closed_file(a=1)
    with pytest.raises(TypeError, match="immutable"):
        CHANGES[change](file)
    assert dict(file) == {"a": 1}


@pytest.mark.parametrize("change", CHANGES)
def test_an_open_file_takes(change: str) -> None:
    file = open_file(a=1)
    CHANGES[change](file)
    assert dict(file) != {"a": 1}


def test_every_method_of_dict_that_changes_it_is_refused_on_a_closed_file() -> None:
    names = {"__delitem__", "__ior__", "__setitem__", "clear", "pop", "popitem", "setdefault"}
    inherited = {name for name in [*names, "update"] if name not in vars(BaseFile)}
    assert inherited == set()


def test_a_file_that_nothing_opened_is_closed() -> None:
    with pytest.raises(TypeError, match="immutable"):
        BaseFile()["a"] = 1


def test_keys_are_attributes() -> None:
    file = open_file(a=1)
    file.b = 2
    assert (file.a, file["b"]) == (1, 2)
    del file.a
    assert "a" not in file


@pytest.mark.parametrize("name", ["nothing", "_nothing"])
def test_a_missing_attribute_is_an_attribute_error_that_names_it(name: str) -> None:
    file = open_file()
    with pytest.raises(AttributeError, match=name):
        getattr(file, name)
    with pytest.raises(AttributeError, match=name):
        delattr(file, name)
    assert not hasattr(file, name)
    assert getattr(file, name, "default") == "default"


def test_a_missing_key_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        open_file()["nothing"]


def test_names_with_an_underscore_are_never_keys() -> None:
    file = closed_file()
    file._secret = 1
    assert file._secret == 1
    assert dict(file) == {}
    del file._secret
    assert not hasattr(file, "_secret")


def test_properties_are_never_keys() -> None:
    file = File(b"content")
    with pytest.raises(AttributeError):
        file.file = "something"
    assert "file" not in file


def test_a_closed_file_answers_setdefault_for_a_key_it_has() -> None:
    assert closed_file(a=1).setdefault("a", 2) == 1


def test_copies_by_dicts_own_methods_are_plain_dicts() -> None:
    file = closed_file(a=1)
    assert type(file.copy()) is dict
    assert type(file | {"b": 2}) is dict
    assert type({"b": 2} | file) is dict


def test_a_file_is_not_made_from_keys() -> None:
    with pytest.raises(TypeError, match="made from content"):
        BaseFile.fromkeys(["a"])
