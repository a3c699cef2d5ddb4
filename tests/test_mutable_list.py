"""A list of files does all that a list does, tells its row, and keeps what was taken out."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.ext import mutable
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.stores import contents, keys, named


class Base(DeclarativeBase):
    pass


class LockingValidator:
    """A validator that cannot be pickled, as one with a connection of its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def process(self, file: File, attr_key: str) -> None:
        assert self.lock.acquire(timeout=9)
        self.lock.release()


class Album(Base):
    __tablename__ = "album"
    id: Mapped[int] = mapped_column(primary_key=True)
    pictures: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))
    others: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))
    guarded: Mapped[list[File] | None] = mapped_column(
        FileField(multiple=True, key=lambda file: "x/", validators=[LockingValidator()])
    )


def file(label: str) -> File:
    return File(label, filename=label)


def files(labels: str) -> list[File]:
    return [file(label) for label in labels]


def labels(values: Any) -> str:
    return "".join(value.filename for value in values)


@pytest.fixture
def album(session: Session) -> Album:
    album = Album(pictures=files("abcde"))
    session.add(album)
    session.commit()
    assert len(album.pictures or ()) == 5  # loaded again
    return album


def _set_slice(values: Any, index: slice, new: str) -> None:
    values[index] = files(new)


def _delete(values: Any, index: int | slice) -> None:
    del values[index]


MUTATORS: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "append": (lambda v: v.append(file("x")), "abcdex", ""),
    "insert": (lambda v: v.insert(1, file("x")), "axbcde", ""),
    "insert far behind": (lambda v: v.insert(99, file("x")), "abcdex", ""),
    "insert far before": (lambda v: v.insert(-99, file("x")), "xabcde", ""),
    "extend": (lambda v: v.extend(files("xy")), "abcdexy", ""),
    "extend by an iterator": (lambda v: v.extend(iter(files("xy"))), "abcdexy", ""),
    "+=": (lambda v: v.__iadd__(files("xy")), "abcdexy", ""),
    "pop": (lambda v: v.pop(), "abcd", "e"),
    "pop an index": (lambda v: v.pop(1), "acde", "b"),
    "pop from the end": (lambda v: v.pop(-2), "abce", "d"),
    "remove": (lambda v: v.remove(v[2]), "abde", "c"),
    "clear": (lambda v: v.clear(), "", "abcde"),
    "set": (lambda v: v.__setitem__(1, file("x")), "axcde", "b"),
    "set from the end": (lambda v: v.__setitem__(-1, file("x")), "abcdx", "e"),
    "set a slice": (lambda v: _set_slice(v, slice(1, 3), "xyz"), "axyzde", "bc"),
    "set an empty slice": (lambda v: _set_slice(v, slice(2, 2), "xy"), "abxycde", ""),
    "set an extended slice": (lambda v: _set_slice(v, slice(None, None, 2), "xyz"), "xbydz", "ace"),
    "set a slice backwards": (lambda v: _set_slice(v, slice(3, 1, -1), "xy"), "abyxe", "dc"),
    "set all": (lambda v: _set_slice(v, slice(None), "x"), "x", "abcde"),
    "del": (lambda v: _delete(v, 1), "acde", "b"),
    "del from the end": (lambda v: _delete(v, -1), "abcd", "e"),
    "del a slice": (lambda v: _delete(v, slice(1, 4)), "ae", "bcd"),
    "del an extended slice": (lambda v: _delete(v, slice(None, None, 2)), "bd", "ace"),
    "del a slice backwards": (lambda v: _delete(v, slice(3, 1, -1)), "abe", "dc"),
    "*= 0": (lambda v: v.__imul__(0), "", "abcde"),
    "*= -1": (lambda v: v.__imul__(-1), "", "abcde"),
    "*= 2": (lambda v: v.__imul__(2), "abcdeabcde", ""),
    "reverse": (lambda v: v.reverse(), "edcba", ""),
    "sort": (lambda v: v.sort(key=lambda f: -ord(f.filename)), "edcba", ""),
    "sort backwards": (lambda v: v.sort(key=lambda f: f.filename, reverse=True), "edcba", ""),
    "several": (lambda v: (v.pop(0), v.pop(), _delete(v, 1)), "bd", "aec"),
}


@pytest.mark.parametrize("name", MUTATORS)
def test_a_mutator_does_as_lists_do_and_keeps_what_was_taken_out(name: str) -> None:
    mutate, expected, removed = MUTATORS[name]
    values: MutableList[File] = MutableList(files("abcde"))
    plain = list(values)
    mutate(values)
    assert labels(values) == expected
    assert labels(values._removed) == removed
    assert type(values) is MutableList
    assert all(any(one is other for other in plain) for one in values._removed)


@pytest.mark.parametrize("name", MUTATORS)
def test_a_mutator_tells_the_row(
    session: Session, storage: MemoryStorage, album: Album, name: str
) -> None:
    mutate, expected, _ = MUTATORS[name]
    mutate(album.pictures)
    assert inspect(album).modified
    session.commit()
    assert labels(album.pictures or ()) == expected  # an empty list is NULL
    assert len(keys(storage)) == len(expected)
    assert sorted(contents(storage)) == sorted(label.encode() for label in expected)


@pytest.mark.parametrize("name", MUTATORS)
def test_a_rollback_undoes_a_mutator(
    session: Session, storage: MemoryStorage, album: Album, name: str
) -> None:
    MUTATORS[name][0](album.pictures)
    session.flush()
    session.rollback()
    assert labels(album.pictures) == "abcde"
    assert contents(storage) == [b"a", b"b", b"c", b"d", b"e"]


def test_every_mutator_of_list_is_overridden() -> None:
    mutating = {
        *("__delitem__", "__iadd__", "__imul__", "__setitem__", "append", "clear", "extend"),
        *("insert", "pop", "remove", "reverse", "sort"),
    }
    assert {name for name in mutating if getattr(MutableList, name) is getattr(list, name)} == set()
    assert issubclass(MutableList, mutable.MutableList)


def test_augmented_assignment_on_the_attribute_keeps_the_list(
    session: Session, storage: MemoryStorage, album: Album
) -> None:
    before = album.pictures
    album.pictures += files("x")
    assert album.pictures is before
    session.commit()
    assert labels(album.pictures) == "abcdex"
    assert len(keys(storage)) == 6


READING: dict[str, Callable[[Any], Any]] = {
    "slice": lambda v: v[1:],
    "+": lambda v: v + files("x"),
    "*": lambda v: v * 2,
    "copy": lambda v: v.copy(),
}


@pytest.mark.parametrize("name", READING)
def test_what_makes_a_new_list_leaves_the_row_alone(
    session: Session, album: Album, name: str
) -> None:
    assert type(READING[name](album.pictures)) is list
    assert not inspect(album).modified


ERRORS: dict[str, tuple[Callable[[Any], Any], type[Exception]]] = {
    "pop an index out of range": (lambda v: v.pop(9), IndexError),
    "pop from nothing": (lambda v: MutableList().pop(), IndexError),
    "set an index out of range": (lambda v: v.__setitem__(9, file("x")), IndexError),
    "del an index out of range": (lambda v: v.__delitem__(9), IndexError),
    "remove what is not there": (lambda v: v.remove(file("a")), ValueError),
    "set a slice of another length": (
        lambda v: _set_slice(v, slice(None, None, 2), "x"),
        ValueError,
    ),
    "sort without a key": (lambda v: v.sort(), TypeError),
    "append a dict": (lambda v: v.append({"path": "main/1"}), TypeError),
    "append a number": (lambda v: v.append(42), TypeError),
    "append None": (lambda v: v.append(None), TypeError),
    "append a list": (lambda v: v.append(files("x")), TypeError),
    "insert a dict": (lambda v: v.insert(0, {}), TypeError),
    "set a dict": (lambda v: v.__setitem__(0, {}), TypeError),
    "set a slice with a dict": (lambda v: v.__setitem__(slice(0, 1), [{}]), TypeError),
    "extend with a good and a bad one": (lambda v: v.extend([file("x"), 42]), TypeError),
    "+= a bad one": (lambda v: v.__iadd__([42]), TypeError),
    "+= None": (lambda v: v.__iadd__(None), TypeError),
    "extend with a number": (lambda v: v.extend(42), TypeError),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_raises_and_changes_nothing(name: str) -> None:
    work, error = ERRORS[name]
    values: MutableList[File] = MutableList(files("abcde"), kind=File)
    with pytest.raises(error):
        work(values)
    assert sorted(labels(values)) == list("abcde")
    assert values._removed == []


@pytest.mark.parametrize("wrong", ["text", b"bytes", 42, {"a": 1}, File(b"x")], ids=repr)
def test_what_is_no_list_is_refused_with_advice(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"pictures.*assign"):
        MutableList.coerce("pictures", wrong)
    with pytest.raises(TypeError, match=r"pictures.*assign"):
        Album(pictures=wrong)


def test_content_becomes_files() -> None:
    values: MutableList[File] = MutableList([b"a", "b", File(b"c")], kind=File)
    values.append(b"d")
    values[0] = b"e"
    assert [type(value) for value in values] == [File] * 4


def test_a_list_that_no_field_owns_takes_anything() -> None:
    values: MutableList[Any] = MutableList([1, {"a": 2}, "x"])
    values += [None]
    values[0] = 9
    assert values.pop(1) == {"a": 2}
    assert (values, values._removed) == ([9, "x", None], [1, {"a": 2}])


def test_a_field_adopts_the_very_list_that_is_assigned(session: Session) -> None:
    values: MutableList[Any] = MutableList([b"a"])
    album = Album(pictures=values)
    assert album.pictures is values
    assert type(values[0]) is File
    with pytest.raises(TypeError, match="expected a File"):
        values.append(42)
    wrong: MutableList[Any] = MutableList([b"a", 42])
    with pytest.raises(TypeError, match="expected a File"):
        album.pictures = wrong
    assert wrong == [b"a", 42]


def test_a_list_or_tuple_becomes_one_of_this_class_and_none_stays() -> None:
    assert type(MutableList.coerce("key", files("a"))) is MutableList
    assert type(MutableList.coerce("key", tuple(files("a")))) is MutableList
    assert MutableList.coerce("key", None) is None
    values: MutableList[File] = MutableList()
    assert MutableList.coerce("key", values) is values


def test_a_list_given_to_a_second_row_is_copied(session: Session, album: Album) -> None:
    second = Album(pictures=album.pictures)
    assert second.pictures is not album.pictures
    third = Album(pictures=files("x"))
    third.others = third.pictures
    assert third.others is not third.pictures


def test_a_list_that_a_row_let_go_of_marks_it_no_more(session: Session, album: Album) -> None:
    before = album.pictures
    assert before is not None
    album.pictures = files("x")
    session.commit()
    before.append(file("y"))
    assert not inspect(album).modified


def test_a_list_outlives_its_row(session: Session, album: Album) -> None:
    values = album.pictures
    assert values is not None
    session.expunge_all()
    del album
    values.append(file("x"))
    assert labels(values) == "abcdex"


# --- duplicates

DUPLICATES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda values, protocol=protocol: pickle.loads(
            pickle.dumps(values, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("way", DUPLICATES)
def test_a_duplicate_keeps_the_files_and_what_was_taken_out(album: Album, way: str) -> None:
    assert album.pictures is not None
    album.pictures.pop()
    twin = DUPLICATES[way](album.pictures)
    assert type(twin) is MutableList
    assert twin == album.pictures
    assert labels(twin._removed) == "e"
    twin.append(b"more")
    assert len(album.pictures) == 4


@pytest.mark.parametrize("way", ["copy", "pickle 2", "pickle 5"])
def test_a_list_can_be_duplicated_whatever_its_field_holds(session: Session, way: str) -> None:
    """A field may hold functions and locks, of which a list of files has no need."""
    album = Album(guarded=files("ab"))
    session.add(album)
    session.commit()
    assert labels(DUPLICATES[way](album.guarded)) == "ab"


def test_a_row_with_a_list_can_be_pickled_changed_and_merged(
    session: Session, storage: MemoryStorage
) -> None:
    album = Album(guarded=files("ab"))
    session.add(album)
    session.commit()
    session.refresh(album)
    twin = pickle.loads(pickle.dumps(album))
    twin.guarded.pop(0)
    twin.guarded.append(file("c"))
    session.expunge_all()
    session.merge(twin)
    session.commit()
    merged = session.scalars(select(Album)).one()
    assert labels(merged.guarded) == "bc"
    assert contents(storage) == [b"b", b"c"]
    assert sorted(f"main/{key}" for key in keys(storage)) == sorted(
        named(session.get_bind(), "album", "guarded")  # type: ignore[arg-type]
    )
