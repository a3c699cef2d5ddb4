"""Saved files that are given on: one object has one reference, ever."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session, make_transient, make_transient_to_detached

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import ObjectNotFoundError

from .models import Album, Author, Book, Document, Processed, Product, Shelved
from .table import Group
from .world import World

scenario = Group(name="sharing_and_moving")


def _pair(world: World) -> tuple[Any, Any]:
    """Commit a document with a file, and one without."""
    return (
        world.save(Document(title="owner", attachment=world.file("shared"))),
        world.save(Document(title="other")),
    )


def _share(session: Session, keys: tuple[Any, Any]) -> tuple[Document, Document]:
    owner, other = (session.get_one(Document, key) for key in keys)
    other.attachment = owner.attachment
    return owner, other


@scenario
def given_to_a_second_row(world: World) -> None:
    """The second row gets a copy of its own."""
    keys = _pair(world)
    path = world.path(Document.attachment)
    with world.session() as session:
        owner, other = _share(session, keys)
        session.commit()
        assert owner.attachment.path == path != other.attachment.path
        assert [world.opens(row.attachment) for row in (owner, other)] == ["shared", "shared"]
    assert world.labels(Document.attachment) == ["shared", "shared"]


@scenario
def given_to_a_second_row_and_either_deleted(world: World) -> None:
    for survivor in ("owner", "other"):
        keys = _pair(world)
        with world.session() as session:
            rows = dict(zip(("owner", "other"), _share(session, keys), strict=True))
            session.commit()
            session.delete(rows.pop("other" if survivor == "owner" else "owner"))
            session.commit()
            world.check()
            assert world.opens(rows[survivor].attachment) == "shared"
            session.delete(rows[survivor])
            session.commit()
        assert world.objects() == {}


@scenario
def given_to_a_second_row_and_rolled_back(world: World) -> None:
    keys = _pair(world)
    path = world.path(Document.attachment)
    with world.session() as session:
        _share(session, keys)
        session.flush()
        assert len(world.objects()) == 2
        session.rollback()
    assert list(world.objects()) == [path]


@scenario
def given_to_many_new_rows(world: World) -> None:
    key, _other = _pair(world)
    with world.session() as session:
        file = session.get_one(Document, key).attachment
        session.add_all([Document(attachment=file) for _ in range(4)])
        session.commit()
    assert world.labels(Document.attachment) == ["shared", None, *["shared"] * 4]


@scenario
def given_on_by_another_session(world: World) -> None:
    """A detached file is just a record: who holds it does not own the object."""
    key, other = _pair(world)
    with world.session() as session:
        file = session.get_one(Document, key).attachment
    with world.session() as session:
        session.get_one(Document, other).attachment = file
        session.commit()
    assert world.labels(Document.attachment) == ["shared", "shared"]


@scenario
def a_copied_file_given_to_a_second_row(world: World) -> None:
    for duplicate in (copy.copy, copy.deepcopy, lambda file: pickle.loads(pickle.dumps(file))):
        key, other = _pair(world)
        with world.session() as session:
            file = duplicate(session.get_one(Document, key).attachment)
            assert isinstance(file, File)
            assert file.saved
            session.get_one(Document, other).attachment = file
            session.commit()
            world.check()
            session.delete(session.get_one(Document, key))
            session.delete(session.get_one(Document, other))
            session.commit()
    assert world.objects() == {}


@scenario
def one_new_file_given_to_two_new_rows(world: World) -> None:
    with world.session() as session:
        file = world.file("new")
        first, second = Document(attachment=file), Document(attachment=file)
        session.add_all([first, second])
        session.commit()
        assert first.attachment.path != second.attachment.path
        session.delete(first)
        session.commit()
        assert world.opens(second.attachment) == "new"
    assert world.labels(Document.attachment) == ["new"]


@scenario
def one_new_file_given_to_two_columns_of_a_row(world: World) -> None:
    with world.session() as session:
        file = world.file("new")
        session.add(Product(front=file, back=file))
        session.commit()
    assert (world.label(Product.front), world.label(Product.back)) == ("new", "new")


@scenario
def one_new_file_given_to_a_second_row_after_the_flush(world: World) -> None:
    for end in ("rollback", "commit"):
        with world.session() as session:
            file = world.file("new")
            session.add(Document(attachment=file))
            session.flush()
            session.add(Document(attachment=file))
            session.flush()
            getattr(session, end)()
        world.check()
    assert world.labels(Document.attachment) == ["new", "new"]


@scenario
def moved_to_another_column(world: World) -> None:
    """What its owner gives up in the same flush just moves: not a byte is copied."""
    key = world.save(Product(front=world.file("it")))
    path = world.path(Product.front)
    with world.session() as session:
        product = session.get_one(Product, key)
        product.front, product.back = None, product.front
        session.commit()
        assert world.opens(product.back) == "it"
    assert world.labels(Product.front) == [None]
    assert world.path(Product.back) == path


@scenario
def copied_to_another_column(world: World) -> None:
    key = world.save(Product(front=world.file("it")))
    with world.session() as session:
        product = session.get_one(Product, key)
        product.back = product.front
        session.commit()
        assert len(world.objects()) == 2
        world.check()
        product.front = None
        session.commit()
    assert world.label(Product.back) == "it"


@scenario
def two_columns_swapped(world: World) -> None:
    key = world.save(Product(front=world.file("front"), back=world.file("back")))
    before = set(world.objects())
    for end in ("rollback", "commit"):
        with world.session() as session:
            product = session.get_one(Product, key)
            product.front, product.back = product.back, product.front
            session.flush()
            getattr(session, end)()
        assert set(world.objects()) == before
    assert (world.label(Product.front), world.label(Product.back)) == ("back", "front")


@scenario
def two_rows_swapped(world: World) -> None:
    keys = [world.save(Document(attachment=world.file(label))) for label in ("one", "two")]
    before = set(world.objects())
    with world.session() as session:
        first, second = (session.get_one(Document, key) for key in keys)
        first.attachment, second.attachment = second.attachment, first.attachment
        session.commit()
    assert world.labels(Document.attachment) == ["two", "one"]
    assert set(world.objects()) == before


@scenario
def three_rows_rotated_with_flushes_between(world: World) -> None:
    keys = [world.save(Document(attachment=world.file(label))) for label in "abc"]
    with world.session() as session:
        rows = [session.get_one(Document, key) for key in keys]
        files = [row.attachment for row in rows]
        for row, file in zip(rows, files[1:] + files[:1], strict=True):
            row.attachment = file
            session.flush()
        session.commit()
    assert world.labels(Document.attachment) == ["b", "c", "a"]


@scenario
def from_a_deleted_row_to_another(world: World) -> None:
    keys = _pair(world)
    path = world.path(Document.attachment)
    with world.session() as session:
        owner, other = _share(session, keys)
        session.delete(owner)
        session.commit()
        assert world.opens(other.attachment) == "shared"
    assert world.path(Document.attachment) == path


@scenario
def from_a_deleted_row_to_a_new_one(world: World) -> None:
    for end in ("rollback", "commit"):
        key = world.save(Document(attachment=world.file(end)))
        with world.session() as session:
            owner = session.get_one(Document, key)
            session.add(Document(attachment=owner.attachment))
            session.delete(owner)
            session.flush()
            getattr(session, end)()
        world.check()
    assert world.labels(Document.attachment) == ["rollback", "commit"]


@scenario
def released_in_one_flush_acquired_in_the_next(world: World) -> None:
    for end in ("rollback", "commit"):
        keys = _pair(world)
        with world.session() as session:
            owner, other = (session.get_one(Document, key) for key in keys)
            file, owner.attachment = owner.attachment, None
            session.flush()
            other.attachment = file
            session.flush()
            getattr(session, end)()
            world.check()
            labels = [row.attachment and world.opens(row.attachment) for row in (owner, other)]
            assert labels == (["shared", None] if end == "rollback" else [None, "shared"])
            session.delete(owner)
            session.delete(other)
            session.commit()


@scenario
def acquired_in_one_flush_released_in_the_next(world: World) -> None:
    for end in ("rollback", "commit"):
        keys = _pair(world)
        with world.session() as session:
            owner, other = _share(session, keys)
            session.flush()
            owner.attachment = None
            session.flush()
            getattr(session, end)()
            world.check()
            labels = [row.attachment and world.opens(row.attachment) for row in (owner, other)]
            assert labels == (["shared", None] if end == "rollback" else [None, "shared"])
            session.delete(owner)
            session.delete(other)
            session.commit()


@scenario
def acquired_by_two_after_its_owner_released_it(world: World) -> None:
    """The first one takes it over, the second gets a copy."""
    keys = _pair(world)
    with world.session() as session:
        owner, other = (session.get_one(Document, key) for key in keys)
        file, owner.attachment = owner.attachment, None
        session.flush()
        other.attachment = file
        session.add(Document(attachment=file))
        session.commit()
    assert world.labels(Document.attachment) == [None, "shared", "shared"]


@scenario
def replaced_and_put_back_before_the_flush(world: World) -> None:
    keys = _pair(world)
    path = world.path(Document.attachment)
    with world.session() as session:
        owner = session.get_one(Document, keys[0])
        file = owner.attachment
        owner.attachment = world.file("never stored")
        owner.attachment = file
        session.commit()
    assert world.path(Document.attachment) == path


@scenario
def replaced_and_put_back_with_a_flush_between(world: World) -> None:
    keys = _pair(world)
    path = world.path(Document.attachment)
    for end in ("rollback", "commit"):
        with world.session() as session:
            owner = session.get_one(Document, keys[0])
            file = owner.attachment
            owner.attachment = world.file("short-lived")
            session.flush()
            assert len(world.objects()) == 2
            owner.attachment = file
            session.flush()
            getattr(session, end)()
        assert world.path(Document.attachment) == path
        world.check()


@scenario
def cleared_and_put_back_with_a_flush_between(world: World) -> None:
    keys = _pair(world)
    path = world.path(Document.attachment)
    with world.session() as session:
        owner = session.get_one(Document, keys[0])
        file, owner.attachment = owner.attachment, None
        session.flush()
        owner.attachment = file
        session.commit()
    assert world.path(Document.attachment) == path


@scenario
def put_back_after_it_was_deleted(world: World) -> None:
    """Nothing can bring it back: the flush says so, and the row keeps what it has."""
    keys = _pair(world)
    with world.session() as session:
        owner = session.get_one(Document, keys[0])
        file = owner.attachment
        owner.attachment = world.file("new")
        session.commit()
        owner.attachment = file
        with pytest.raises(ObjectNotFoundError):
            session.commit()
        session.rollback()
        assert world.opens(owner.attachment) == "new"
    assert world.labels(Document.attachment) == ["new", None]


@scenario
def copied_by_make_transient(world: World) -> None:
    for end in ("rollback", "commit"):
        key = world.save(Product(front=world.file("front"), back=world.file("back")))
        with world.session() as session:
            product = session.get_one(Product, key)
            session.expunge(product)
            make_transient(product)
            product.id = None  # type: ignore[assignment]
            session.add(product)
            session.flush()
            getattr(session, end)()
        world.check()
    assert world.labels(Product.front) == ["front"] * 3
    assert len(world.objects()) == 6


@scenario
def list_copied_by_make_transient(world: World) -> None:
    key = world.save(Album(pictures=[world.file("a"), world.file("b")]))
    with world.session() as session:
        album = session.get_one(Album, key)
        make_transient(album)
        album.id = None  # type: ignore[assignment]
        session.add(album)
        session.commit()
        album.pictures.pop()
        session.commit()
    assert world.labels(Album.pictures) == [["a", "b"], ["a"]]


@scenario
def copied_with_everything_derived_from_it(world: World) -> None:
    key = world.save(Processed(page=world.file("page")))
    with world.session() as session:
        page = session.get_one(Processed, key).page
        session.add(Processed(page=page))
        session.commit()
        assert len(world.objects()) == 6
        session.delete(session.get_one(Processed, key))
        session.commit()
    assert world.labels(Processed.page) == ["page"]


@scenario
def detached_made_persistent_by_hand(world: World) -> None:
    (key,) = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        document = Document(id=key)
        make_transient_to_detached(document)
        session.add(document)
        document.attachment = world.file("new")
        session.commit()
    assert world.label(Document.attachment) == "new"


@scenario
def merged_unchanged(world: World) -> None:
    key = world.save(Product(front=world.file("front"), back=world.file("back")))
    before = set(world.objects())
    for pickled in (False, True):
        product = _detached(world, Product, key, pickled=pickled)
        with world.session() as session:
            session.merge(product)
            session.commit()
        assert set(world.objects()) == before


@scenario
def merged_with_a_changed_file(world: World) -> None:
    key = world.save(Product(front=world.file("front"), back=world.file("back")))
    for pickled in (False, True):
        product = _detached(world, Product, key, pickled=pickled)
        product.front = world.file(f"new front {pickled}")
        with world.session() as session:
            merged = session.merge(product)
            session.commit()
            assert world.opens(merged.front) == f"new front {pickled}"
        world.check()
    assert world.label(Product.front) == "new front True"


@scenario
def merged_with_a_cleared_file(world: World) -> None:
    key = world.save(Product(front=world.file("front"), back=world.file("back")))
    product = _detached(world, Product, key, pickled=True)
    product.front = None
    with world.session() as session:
        session.merge(product)
        session.commit()
    assert (world.label(Product.front), world.label(Product.back)) == (None, "back")


@scenario
def merged_with_a_changed_list(world: World) -> None:
    key = world.save(Album(pictures=[world.file(label) for label in "abc"]))
    for number, pickled in enumerate((False, True)):
        album = _detached(world, Album, key, pickled=pickled)
        album.pictures.pop(0)
        album.pictures.append(world.file(f"x{number}"))
        with world.session() as session:
            session.merge(album)
            session.commit()
        world.check()
    assert world.label(Album.pictures) == ["c", "x0", "x1"]


@scenario
def merged_with_an_unchanged_list(world: World) -> None:
    key = world.save(Album(pictures=[world.file(label) for label in "abc"]))
    before = set(world.objects())
    for pickled in (False, True):
        album = _detached(world, Album, key, pickled=pickled)
        with world.session() as session:
            session.merge(album)
            session.commit()
        assert set(world.objects()) == before


@scenario
def merged_and_rolled_back(world: World) -> None:
    key = world.save(Product(front=world.file("front")))
    product = _detached(world, Product, key, pickled=False)
    product.front = world.file("new")
    with world.session() as session:
        session.merge(product)
        session.flush()
        session.rollback()
    assert world.label(Product.front) == "front"


@scenario
def merged_after_the_row_was_changed_by_another(world: World) -> None:
    """The detached record names an object that is gone since; it must not come back."""
    key = world.save(Product(front=world.file("front")))
    stale = _detached(world, Product, key, pickled=True)
    with world.session() as session:
        session.get_one(Product, key).front = world.file("newer")
        session.commit()
    with world.session() as session:
        session.merge(stale)
        with pytest.raises(ObjectNotFoundError):
            session.commit()
        session.rollback()
    assert world.label(Product.front) == "newer"


@scenario
def merged_without_loading(world: World) -> None:
    """As caches do it: the row is taken for what the cached instance says."""
    key = world.save(Product(front=world.file("front"), back=world.file("back")))
    cached = _detached(world, Product, key, pickled=True)
    with world.session() as session:
        session.get_one(Product, key).back = world.file("newer back")
        session.commit()
    with world.session() as session:
        product = session.merge(cached, load=False)
        product.front = world.file("new front")
        session.commit()
    assert (world.label(Product.front), world.label(Product.back)) == ("new front", "newer back")


@scenario
def merged_as_a_new_row(world: World) -> None:
    key = world.save(Product(front=world.file("front")))
    product = _detached(world, Product, key, pickled=False)
    make_transient(product)
    product.id = None  # type: ignore[assignment]
    with world.session() as session:
        session.merge(product)
        session.commit()
    assert world.labels(Product.front) == ["front", "front"]


@scenario
def merged_new_instance_with_a_new_file(world: World) -> None:
    with world.session() as session:
        merged = session.merge(Document(title="merged", attachment=world.file("new")))
        session.commit()
        assert world.opens(merged.attachment) == "new"
    assert world.label(Document.attachment) == "new"


def _detached(world: World, model: Any, key: Any, *, pickled: bool) -> Any:
    with world.session() as session:
        row = session.get_one(model, key)
        session.expunge(row)
    return pickle.loads(pickle.dumps(row)) if pickled else row


@scenario
def from_a_list_to_a_single_column_and_back(world: World) -> None:
    key = world.save(Album(pictures=[world.file(label) for label in "abc"]))
    before = set(world.objects())
    with world.session() as session:
        album = session.get_one(Album, key)
        album.cover = album.pictures.pop(0)
        session.commit()
        assert (world.label(Album.pictures), world.label(Album.cover)) == (["b", "c"], "a")
        assert set(world.objects()) == before
        album.pictures.append(album.cover)
        album.cover = None
        session.commit()
    assert (world.label(Album.pictures), world.label(Album.cover)) == (["b", "c", "a"], None)
    assert set(world.objects()) == before


@scenario
def from_one_list_to_another(world: World) -> None:
    keys = [world.save(Album(pictures=[world.file(f"{name}{n}") for n in "12"])) for name in "ab"]
    before = set(world.objects())
    for end in ("rollback", "commit"):
        with world.session() as session:
            first, second = (session.get_one(Album, key) for key in keys)
            second.pictures.insert(0, first.pictures.pop())
            session.flush()
            getattr(session, end)()
        assert set(world.objects()) == before
    assert world.labels(Album.pictures) == [["a1"], ["a2", "b1", "b2"]]


@scenario
def shared_between_a_list_and_a_column(world: World) -> None:
    key = world.save(Album(pictures=[world.file(label) for label in "abc"]))
    with world.session() as session:
        album = session.get_one(Album, key)
        album.cover = album.pictures[1]
        session.commit()
        world.check()
        album.pictures = None
        session.commit()
        assert world.opens(album.cover) == "b"
    assert len(world.objects()) == 1


@scenario
def between_models(world: World) -> None:
    author_key = world.save(Author(portrait=world.file("portrait"), books=[Book()]))
    document_key = world.save(Document())
    with world.session() as session:
        author = session.get_one(Author, author_key)
        session.get_one(Document, document_key).attachment = author.portrait
        author.books[0].manuscript = author.portrait
        session.delete(author)
        session.commit()
    assert world.labels(Document.attachment) == ["portrait"]


@scenario
def copied_and_moved_between_storages(world: World) -> None:
    """A file stays in the storage that it was stored in, whoever owns it."""
    world.add_archive()
    key = world.save(Shelved(far=world.file("far"), near=world.file("near")))
    with world.session() as session:
        row = session.get_one(Shelved, key)
        row.far, row.near = row.near, row.far
        session.commit()
        assert [world.opens(file) for file in (row.far, row.near)] == ["near", "far"]
        world.check()
        session.add(Shelved(far=row.far, near=row.near))
        session.commit()
        world.check()
        session.delete(row)
        session.commit()
    assert (world.label(Shelved.far), world.label(Shelved.near)) == ("near", "far")


@scenario
def moved_by_bare_statements(world: World) -> None:
    keys = _pair(world)
    path = world.path(Document.attachment)
    with world.session() as session:
        file = session.get_one(Document, keys[0]).attachment
    for end in ("rollback", "commit"):
        with world.engine.connect() as connection:
            for key, value in ((keys[0], None), (keys[1], file)):
                connection.execute(
                    update(Document).where(Document.id == key[0]).values(attachment=value)
                )
            getattr(connection, end)()
        assert world.path(Document.attachment) == path
    assert world.labels(Document.attachment) == [None, "shared"]


@scenario
def copied_by_a_bare_statement(world: World) -> None:
    keys = _pair(world)
    with world.session() as session:
        file = session.get_one(Document, keys[0]).attachment
    with world.engine.begin() as connection:
        connection.execute(insert(Document).values(title="third", attachment=file))
    assert world.labels(Document.attachment) == ["shared", None, "shared"]


@scenario
def given_on_while_the_first_row_is_replaced_by_a_bulk_update(world: World) -> None:
    keys = _pair(world)
    with world.session() as session:
        _owner, other = _share(session, keys)
        session.execute(
            update(Document).where(Document.id == keys[0][0]).values(attachment=world.file("new"))
        )
        session.commit()
        assert world.opens(other.attachment) == "shared"
    assert world.labels(Document.attachment) == ["new", "shared"]


@scenario
def many_rows_share_and_lose_in_any_order(world: World) -> None:
    with world.session() as session:
        session.add(Document(title="0", attachment=world.file("shared")))
        session.commit()
        for number in range(1, 5):
            source = session.scalars(select(Document).order_by(Document.id.desc())).first()
            assert source is not None
            session.add(Document(title=str(number), attachment=source.attachment))
            session.commit()
        for title in ("2", "0", "4", "1"):
            session.delete(session.scalars(select(Document).filter_by(title=title)).one())
            session.commit()
            world.check()
    assert world.labels(Document.attachment) == ["shared"]
