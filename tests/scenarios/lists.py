"""Columns of several files: every way to change a list, each also undone.

A way to change an album's list is written once. It is played on the album, and on a plain list of
labels; both must come to the same.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from sqlalchemy_file import File

from .models import Album
from .table import Group
from .world import World

scenario = Group(name="lists")
with_savepoints = scenario.where(
    without=("legacy",),
    because="pysqlite's own transaction mode does not begin before a SAVEPOINT.",
)

START = ["a", "b", "c", "d"]
New = Callable[[str], Any]
Mutate = Callable[[Any, New], None]
mutators: dict[str, Mutate] = {}


def mutator(mutate: Mutate) -> Mutate:
    """Register a function that changes ``album.pictures``, given what makes a new element."""
    mutators[mutate.__name__.strip("_")] = mutate
    return mutate


def _label(element: Any) -> str:
    return element if isinstance(element, str) else element.filename.removesuffix(".txt")


@mutator
def _append(album: Any, new: New) -> None:
    album.pictures.append(new("x"))


@mutator
def _extend(album: Any, new: New) -> None:
    album.pictures.extend(new(label) for label in "xyz")


@mutator
def _insert_first(album: Any, new: New) -> None:
    album.pictures.insert(0, new("x"))


@mutator
def _insert_in_the_middle(album: Any, new: New) -> None:
    album.pictures.insert(-2, new("x"))


@mutator
def _remove(album: Any, _new: New) -> None:
    album.pictures.remove(album.pictures[1])


@mutator
def _pop_last(album: Any, _new: New) -> None:
    album.pictures.pop()


@mutator
def _pop_first(album: Any, _new: New) -> None:
    album.pictures.pop(0)


@mutator
def _clear(album: Any, _new: New) -> None:
    album.pictures.clear()


@mutator
def _sort(album: Any, _new: New) -> None:
    album.pictures.sort(key=_label, reverse=True)


@mutator
def _reverse(album: Any, _new: New) -> None:
    album.pictures.reverse()


@mutator
def _set_item(album: Any, new: New) -> None:
    album.pictures[1] = new("x")


@mutator
def _set_item_from_the_end(album: Any, new: New) -> None:
    album.pictures[-1] = new("x")


@mutator
def _set_item_to_itself(album: Any, _new: New) -> None:
    album.pictures[2] = album.pictures[2]


@mutator
def _delete_item(album: Any, _new: New) -> None:
    del album.pictures[2]


@mutator
def _swap(album: Any, _new: New) -> None:
    pictures = album.pictures
    pictures[0], pictures[3] = pictures[3], pictures[0]


@mutator
def _slice_replaced(album: Any, new: New) -> None:
    album.pictures[1:3] = [new("x"), new("y")]


@mutator
def _slice_shortened(album: Any, new: New) -> None:
    album.pictures[1:] = [new("x")]


@mutator
def _slice_lengthened(album: Any, new: New) -> None:
    album.pictures[:1] = [new("x"), new("y"), new("z")]


@mutator
def _slice_inserted(album: Any, new: New) -> None:
    album.pictures[2:2] = [new("x"), new("y")]


@mutator
def _slice_deleted(album: Any, _new: New) -> None:
    del album.pictures[1:3]


@mutator
def _slice_reordered(album: Any, _new: New) -> None:
    album.pictures[:] = [album.pictures[index] for index in (2, 0, 3, 1)]


@mutator
def _slice_emptied(album: Any, _new: New) -> None:
    album.pictures[:] = []


@mutator
def _slice_with_old_and_new(album: Any, new: New) -> None:
    album.pictures[1:] = [new("x"), album.pictures[3], new("y"), album.pictures[1]]


@mutator
def _extended_slice_replaced(album: Any, new: New) -> None:
    album.pictures[::2] = [new("x"), new("y")]


@mutator
def _extended_slice_reversed(album: Any, _new: New) -> None:
    album.pictures[::-1] = list(album.pictures)


@mutator
def _extended_slice_deleted(album: Any, _new: New) -> None:
    del album.pictures[::2]


@mutator
def _add_in_place(album: Any, new: New) -> None:
    album.pictures += [new("x"), new("y")]


@mutator
def _multiplied_by_two(album: Any, _new: New) -> None:
    album.pictures *= 2


@mutator
def _multiplied_by_one(album: Any, _new: New) -> None:
    album.pictures *= 1


@mutator
def _multiplied_by_zero(album: Any, _new: New) -> None:
    album.pictures *= 0


@mutator
def _multiplied_with_a_new_one(album: Any, new: New) -> None:
    album.pictures.append(new("x"))
    album.pictures *= 2


@mutator
def _assigned_new(album: Any, new: New) -> None:
    album.pictures = [new("x"), new("y")]


@mutator
def _assigned_reordered(album: Any, _new: New) -> None:
    album.pictures = [album.pictures[index] for index in (3, 1, 0, 2)]


@mutator
def _assigned_shortened(album: Any, _new: New) -> None:
    album.pictures = album.pictures[:2]


@mutator
def _assigned_to_itself(album: Any, _new: New) -> None:
    album.pictures = list(album.pictures)


@mutator
def _assigned_with_old_and_new(album: Any, new: New) -> None:
    album.pictures = [new("x"), album.pictures[2], new("y"), album.pictures[0]]


@mutator
def _assigned_sum(album: Any, new: New) -> None:
    album.pictures = [*album.pictures, new("x")]


@mutator
def _assigned_empty(album: Any, _new: New) -> None:
    album.pictures = []


@mutator
def _assigned_none(album: Any, _new: New) -> None:
    album.pictures = None


@mutator
def _assigned_twice(album: Any, new: New) -> None:
    before = list(album.pictures)
    album.pictures = [new("never stored")]
    album.pictures = [before[1], new("x")]


@mutator
def _popped_and_appended(album: Any, _new: New) -> None:
    album.pictures.append(album.pictures.pop(1))


@mutator
def _popped_and_inserted_elsewhere(album: Any, _new: New) -> None:
    album.pictures.insert(2, album.pictures.pop())


@mutator
def _cleared_and_refilled(album: Any, new: New) -> None:
    before = list(album.pictures)
    album.pictures.clear()
    album.pictures.extend([before[3], new("x"), before[0]])


@mutator
def _the_same_new_file_twice(album: Any, new: New) -> None:
    file = new("x")
    album.pictures.append(file)
    album.pictures.insert(0, file)


@mutator
def _the_same_old_file_twice(album: Any, _new: New) -> None:
    album.pictures.append(album.pictures[0])


@mutator
def _appended_and_popped(album: Any, new: New) -> None:
    album.pictures.append(new("never stored"))
    album.pictures.pop()


@mutator
def _appended_and_removed_by_value(album: Any, new: New) -> None:
    file = new("never stored")
    album.pictures.extend([file, new("x")])
    album.pictures.remove(file)


@mutator
def _many_at_once(album: Any, new: New) -> None:
    pictures = album.pictures
    pictures.pop()
    pictures.append(new("x"))
    pictures.reverse()
    del pictures[1]
    pictures += [new("y")]
    pictures[0] = new("z")


def _start(world: World) -> Any:
    return world.save(Album(pictures=[world.file(label) for label in START]))


def _played(*mutations: tuple[Mutate, New]) -> list[str] | None:
    """Return what the same comes to on a plain list."""
    album = SimpleNamespace(pictures=list(START))
    for mutate, new in mutations:
        mutate(album, new)
    return album.pictures


def _plain(label: str) -> str:
    return label


def _opened(world: World, session: Session) -> list[str] | None:
    pictures = session.scalars(select(Album)).one().pictures
    return None if pictures is None else [world.opens(file) for file in pictures]


def _add_mutator(name: str, mutate: Mutate) -> None:
    expected = _played((mutate, _plain))

    def committed(world: World) -> None:
        key = _start(world)
        with world.session() as session:
            mutate(session.get_one(Album, key), world.file)
            session.commit()
            assert _opened(world, session) == expected
        assert world.label(Album.pictures) == expected

    def rolled_back(world: World) -> None:
        key = _start(world)
        with world.session() as session:
            album = session.get_one(Album, key)
            mutate(album, world.file)
            session.flush()
            session.rollback()
            assert [world.opens(file) for file in album.pictures] == START
            session.commit()
        assert world.label(Album.pictures) == START

    def in_the_inserting_transaction(world: World) -> None:
        with world.session() as session:
            album = Album(pictures=[world.file(label) for label in START])
            session.add(album)
            session.flush()
            mutate(album, world.file)
            session.commit()
        assert world.label(Album.pictures) == expected

    def without_expiry(world: World) -> None:
        """Unrelated commits follow, in which the list must not be touched again."""
        with world.session(expire_on_commit=False) as session:
            album = Album(pictures=[world.file(label) for label in START])
            session.add(album)
            session.commit()
            mutate(album, world.file)
            session.commit()
            paths = world.paths(Album.pictures)
            for number in range(2):
                album.title = f"title {number}"
                session.add(Album(cover=world.file(f"unrelated {number}")))
                session.commit()
        assert world.paths(Album.pictures) == paths
        assert world.labels(Album.pictures) == [expected, None, None]

    for run in (committed, rolled_back):
        scenario.add(f"{name}_{run.__name__}", run)
    for run in (in_the_inserting_transaction, without_expiry):
        scenario.in_memory.add(f"{name}_{run.__name__}", run)

    def rolled_back_to_a_savepoint(world: World) -> None:
        key = _start(world)
        with world.session() as session:
            album = session.get_one(Album, key)
            savepoint = session.begin_nested()
            mutate(album, world.file)
            session.flush()
            savepoint.rollback()
            mutate(album, world.file)
            session.commit()
        assert world.label(Album.pictures) == expected

    with_savepoints.in_memory.add(f"{name}_rolled_back_to_a_savepoint", rolled_back_to_a_savepoint)


for _name, _mutate in mutators.items():
    _add_mutator(_name, _mutate)


@scenario
def popped_and_appended_with_a_flush_between(world: World) -> None:
    key = _start(world)
    path = world.paths(Album.pictures)[1]
    with world.session() as session:
        album = session.get_one(Album, key)
        file = album.pictures.pop(1)
        session.flush()
        album.pictures.append(file)
        session.commit()
    assert world.label(Album.pictures) == ["a", "c", "d", "b"]
    assert world.paths(Album.pictures)[-1] == path


@scenario
def popped_and_appended_with_a_flush_between_rolled_back(world: World) -> None:
    key = _start(world)
    with world.session() as session:
        album = session.get_one(Album, key)
        file = album.pictures.pop(1)
        session.flush()
        album.pictures.append(file)
        session.flush()
        session.rollback()
    assert world.label(Album.pictures) == START


@scenario
def one_mutation_after_another_with_flushes_between(world: World) -> None:
    key = _start(world)
    chosen = ["append", "reverse", "slice_shortened", "add_in_place", "pop_first", "sort"]
    steps = [mutators[name] for name in chosen]
    with world.session() as session:
        album = session.get_one(Album, key)
        for mutate in steps:
            mutate(album, world.file)
            session.flush()
        session.commit()
    assert world.label(Album.pictures) == _played(*[(mutate, _plain) for mutate in steps])


@scenario
def appended_flushed_and_rolled_back_keeps_the_committed_ones(world: World) -> None:
    with world.session() as session:
        album = Album(pictures=[world.file("a")])
        session.add(album)
        session.commit()
        album.pictures.append(world.file("b"))
        session.flush()
        session.rollback()
        assert [world.opens(file) for file in album.pictures] == ["a"]
    assert world.label(Album.pictures) == ["a"]


@scenario
def none_becomes_a_list(world: World) -> None:
    key = world.save(Album())
    assert world.label(Album.pictures) is None
    with world.session() as session:
        session.get_one(Album, key).pictures = [world.file("a")]
        session.commit()
    assert world.label(Album.pictures) == ["a"]


@scenario
def an_empty_list_is_stored_as_such(world: World) -> None:
    with world.session() as session:
        session.add(Album(pictures=[]))
        session.commit()
        assert session.scalars(select(Album).where(Album.pictures.is_(None))).all() == []
    assert world.label(Album.pictures) == []


@scenario
def raw_content_in_a_list_becomes_files(world: World) -> None:
    with world.session() as session:
        album = Album(pictures=[world.file("a"), b""])
        session.add(album)
        session.commit()
        assert all(isinstance(file, File) for file in album.pictures)
        album.pictures.append(b"")
        album.pictures[0] = b""
        session.commit()
        assert [file.size for file in album.pictures] == [0, 0, 0]
    assert len(world.objects()) == 3


@scenario
def the_list_of_a_deleted_row(world: World) -> None:
    key = _start(world)
    with world.session() as session:
        album = session.get_one(Album, key)
        album.pictures.append(world.file("x"))
        session.flush()
        session.delete(album)
        session.commit()
    assert world.objects() == {}


@scenario
def changed_and_deleted_before_the_flush(world: World) -> None:
    key = _start(world)
    with world.session() as session:
        album = session.get_one(Album, key)
        album.pictures.append(world.file("never stored"))
        album.pictures.pop(0)
        session.delete(album)
        session.commit()
    assert world.objects() == {}


@scenario
def list_object_given_to_a_second_row(world: World) -> None:
    key = _start(world)
    with world.session() as session:
        first = session.get_one(Album, key)
        second = Album(pictures=first.pictures)
        session.add(second)
        session.commit()
        first.pictures.pop()
        second.pictures.append(world.file("x"))
        session.commit()
    assert world.labels(Album.pictures) == [["a", "b", "c"], [*START, "x"]]


@scenario
def new_list_object_given_to_two_rows(world: World) -> None:
    with world.session() as session:
        pictures = [world.file("a"), world.file("b")]
        first, second = Album(pictures=pictures), Album(pictures=pictures)
        third = Album(pictures=first.pictures)
        session.add_all([first, second, third])
        session.commit()
        second.pictures.pop()
        session.commit()
    assert world.labels(Album.pictures) == [["a", "b"], ["a"], ["a", "b"]]


@scenario
def list_taken_from_a_row_before_it_got_another(world: World) -> None:
    """Changes of a list that its row no longer holds are nobody's."""
    key = _start(world)
    with world.session() as session:
        album = session.get_one(Album, key)
        before = album.pictures
        album.pictures = [world.file("x")]
        before.append(world.file("never stored"))
        before.clear()
        session.commit()
    assert world.label(Album.pictures) == ["x"]


@scenario
def list_changed_after_a_refresh(world: World) -> None:
    key = _start(world)
    with world.session() as session:
        album = session.get_one(Album, key)
        session.refresh(album)
        album.pictures.pop()
        session.commit()
        session.expire(album)
        album.pictures.append(world.file("x"))
        session.commit()
    assert world.label(Album.pictures) == ["a", "b", "c", "x"]


@scenario
def list_of_an_unpickled_row(world: World) -> None:
    key = _start(world)
    with world.session() as session:
        album = session.get_one(Album, key)
        session.expunge(album)
        restored = pickle.loads(pickle.dumps(album))
        session.add(restored)
        restored.pictures.append(world.file("x"))
        session.commit()
    assert world.label(Album.pictures) == [*START, "x"]


@scenario
def list_copied_and_assigned(world: World) -> None:
    key = _start(world)
    paths = world.paths(Album.pictures)
    for duplicate in (copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        with world.session() as session:
            album = session.get_one(Album, key)
            album.pictures = duplicate(album.pictures)
            session.commit()
        assert world.paths(Album.pictures) == paths


@scenario
def flagged_as_modified_without_a_change(world: World) -> None:
    key = _start(world)
    paths = world.paths(Album.pictures)
    with world.session() as session:
        album = session.get_one(Album, key)
        flag_modified(album, "pictures")
        session.commit()
    assert world.paths(Album.pictures) == paths


@scenario
def two_lists_exchange_their_files(world: World) -> None:
    for label in "ab":
        world.save(Album(pictures=[world.file(f"{label}{number}") for number in range(3)]))
    before = set(world.objects())
    with world.session() as session:
        first, second = session.scalars(select(Album).order_by(Album.id))
        first.pictures, second.pictures = list(second.pictures), list(first.pictures)
        session.commit()
    assert world.labels(Album.pictures) == [["b0", "b1", "b2"], ["a0", "a1", "a2"]]
    assert set(world.objects()) == before


@scenario
def what_was_taken_out_is_remembered_in_order(world: World) -> None:
    key = _start(world)
    with world.session() as session:
        album = session.get_one(Album, key)
        album.pictures.pop(2)
        del album.pictures[0]
        assert [_label(file) for file in album.pictures._removed] == ["c", "a"]
        session.commit()
    assert world.label(Album.pictures) == ["b", "d"]
