"""Rows that come, change and go, one transaction at a time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event, select
from sqlalchemy.orm import Session, defer, load_only

from sqlalchemy_file import File

from .content import content_of
from .models import (
    Album,
    Archived,
    Author,
    Book,
    Chapter,
    Document,
    Lazy,
    Processed,
    Product,
    Renamed,
    Shelved,
    Volume,
)
from .table import Group
from .world import World

scenario = Group(name="basics")


@scenario
def inserted(world: World) -> None:
    with world.session() as session:
        document = Document(attachment=world.file("new"))
        session.add(document)
        assert world.objects() == {}
        session.commit()
        assert world.opens(document.attachment) == "new"
    assert world.label(Document.attachment) == "new"


@scenario
def many_inserted_in_one_flush(world: World) -> None:
    labels = [f"file-{number}" for number in range(12)]
    world.save(*[Document(attachment=world.file(label)) for label in labels])
    assert world.labels(Document.attachment) == labels


@scenario
def none_is_stored_as_sql_null(world: World) -> None:
    world.save(Document(title="given", attachment=None), Document(title="never set"))
    assert world.labels(Document.attachment) == [None, None]
    with world.session() as session:
        query = select(Document).where(Document.attachment.is_(None))
        assert len(session.scalars(query).all()) == 2


@scenario
def raw_content_becomes_a_file(world: World) -> None:
    with world.session() as session:
        document = Document(attachment=content_of("raw"))
        session.add(document)
        session.commit()
        assert isinstance(document.attachment, File)
        assert document.attachment.size == len(content_of("raw"))
    assert world.paths(Document.attachment) == list(world.objects())


@scenario
def replaced(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    old = world.path(Document.attachment)
    with world.session() as session:
        document = session.get_one(Document, key)
        assert world.opens(document.attachment) == "old"
        document.attachment = world.file("new")
        session.commit()
        assert world.opens(document.attachment) == "new"
    assert world.label(Document.attachment) == "new"
    assert old not in world.objects()


@scenario
def replaced_twice_before_the_flush(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        document = session.get_one(Document, key)
        document.attachment = world.file("never stored")
        document.attachment = world.file("new")
        session.flush()
        assert len(world.objects()) == 2
        session.commit()
    assert world.label(Document.attachment) == "new"


@scenario
def replaced_twice_with_a_flush_between(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        document = session.get_one(Document, key)
        for label in ("middle", "new"):
            document.attachment = world.file(label)
            session.flush()
        session.commit()
    assert world.label(Document.attachment) == "new"


@scenario
def replaced_in_one_transaction_after_another(world: World) -> None:
    with world.session() as session:
        document = Document()
        session.add(document)
        for number in range(4):
            document.attachment = world.file(f"version {number}")
            session.commit()
            assert world.label(Document.attachment) == f"version {number}"
            world.check()


@scenario
def set_to_none(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        session.get_one(Document, key).attachment = None
        session.flush()
        assert len(world.objects()) == 1
        session.commit()
    assert world.label(Document.attachment) is None
    assert world.objects() == {}


@scenario
def set_to_none_and_back_to_a_new_one(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        document = session.get_one(Document, key)
        document.attachment = None
        session.flush()
        document.attachment = world.file("new")
        session.commit()
    assert world.label(Document.attachment) == "new"


@scenario
def deleted(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        session.delete(session.get_one(Document, key))
        session.flush()
        assert len(world.objects()) == 1
        session.commit()
    assert world.labels(Document.attachment) == []
    assert world.objects() == {}


@scenario
def replaced_and_deleted_before_the_flush(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        document = session.get_one(Document, key)
        document.attachment = world.file("new")
        session.delete(document)
        session.commit()
    assert world.labels(Document.attachment) == []


@scenario
def replaced_flushed_and_deleted(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        document = session.get_one(Document, key)
        document.attachment = world.file("new")
        session.flush()
        session.delete(document)
        session.commit()
    assert world.labels(Document.attachment) == []


@scenario
def inserted_and_deleted_in_one_transaction(world: World) -> None:
    with world.session() as session:
        document = Document(attachment=world.file("short-lived"))
        session.add(document)
        session.flush()
        assert len(world.objects()) == 1
        session.delete(document)
        session.commit()
    assert world.objects() == {}


@scenario
def expunged_before_the_flush(world: World) -> None:
    with world.session() as session:
        document = Document(attachment=world.file("never stored"))
        session.add(document)
        session.expunge(document)
        session.commit()
    assert world.objects() == {}


@scenario
def the_row_of_one_object_becomes_that_of_another(world: World) -> None:
    """A DELETE and an INSERT of the same key, which the flush turns into one UPDATE."""
    (key,) = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        session.delete(session.get_one(Document, key))
        session.add(Document(id=key, attachment=world.file("new")))
        session.commit()
    assert world.labels(Document.attachment) == ["new"]


@scenario
def unrelated_update_keeps_the_file(world: World) -> None:
    key = world.save(Document(attachment=world.file("kept")))
    path = world.path(Document.attachment)
    with world.session() as session:
        session.get_one(Document, key).stars = 5
        session.commit()
    assert world.path(Document.attachment) == path
    assert world.label(Document.attachment) == "kept"


@scenario
def the_same_file_assigned_again_is_kept(world: World) -> None:
    key = world.save(Document(attachment=world.file("kept")))
    path = world.path(Document.attachment)
    with world.session() as session:
        document = session.get_one(Document, key)
        document.attachment = document.attachment
        document.stars = 1
        session.commit()
    assert world.path(Document.attachment) == path


@scenario
def refreshed_before_the_flush(world: World) -> None:
    """A refresh forgets what was assigned."""
    key = world.save(Document(attachment=world.file("kept")))
    with world.session(autoflush=False) as session:
        document = session.get_one(Document, key)
        document.attachment = world.file("forgotten")
        session.refresh(document)
        assert world.opens(document.attachment) == "kept"
        session.commit()
    assert world.label(Document.attachment) == "kept"


@scenario
def refreshed_after_the_flush(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        document = session.get_one(Document, key)
        document.attachment = world.file("new")
        session.flush()
        session.refresh(document)
        assert world.opens(document.attachment) == "new"
        session.commit()
    assert world.label(Document.attachment) == "new"


@scenario
def refreshed_and_replaced_in_the_inserting_transaction(world: World) -> None:
    with world.session() as session:
        document = Document(attachment=world.file("first"))
        session.add(document)
        session.flush()
        session.refresh(document)
        document.attachment = world.file("second")
        session.commit()
    assert world.label(Document.attachment) == "second"


def _replace(world: World, _session: Session, document: Document) -> None:
    document.attachment = world.file("new")


def _clear(_world: World, _session: Session, document: Document) -> None:
    document.attachment = None


def _delete(_world: World, session: Session, document: Document) -> None:
    session.delete(document)


CHANGES: dict[str, tuple[Any, list[Any]]] = {
    "replaced": (_replace, ["new"]),
    "cleared": (_clear, [None]),
    "deleted": (_delete, []),
}


def _add_expired(name: str, change: Any, expected: list[Any]) -> None:
    def expired(world: World) -> None:
        key = world.save(Document(attachment=world.file("old")))
        with world.session() as session:
            document = session.get_one(Document, key)
            session.expire(document)
            change(world, session, document)
            session.commit()
        assert world.labels(Document.attachment) == expected

    def attribute_expired(world: World) -> None:
        key = world.save(Document(attachment=world.file("old")))
        with world.session() as session:
            document = session.get_one(Document, key)
            session.expire(document, ["attachment"])
            change(world, session, document)
            session.commit()
        assert world.labels(Document.attachment) == expected

    def after_a_commit(world: World) -> None:
        with world.session() as session:
            document = Document(attachment=world.file("old"))
            session.add(document)
            session.commit()
            change(world, session, document)
            session.commit()
        assert world.labels(Document.attachment) == expected

    def never_loaded(world: World) -> None:
        key = world.save(Document(attachment=world.file("old")))
        with world.session() as session:
            document = session.get_one(Document, key, options=[load_only(Document.title)])
            change(world, session, document)
            session.commit()
        assert world.labels(Document.attachment) == expected

    def deferred(world: World) -> None:
        key = world.save(Document(attachment=world.file("old")))
        with world.session() as session:
            options = [defer(Document.attachment, raiseload=True)]
            document = session.get_one(Document, key, options=options)
            change(world, session, document)
            session.commit()
        assert world.labels(Document.attachment) == expected

    for run in (expired, attribute_expired, after_a_commit, never_loaded, deferred):
        scenario.add(f"{run.__name__}_then_{name}", run)


for _name, (_change, _expected) in CHANGES.items():
    _add_expired(_name, _change, _expected)


@scenario
def an_unrelated_update_loads_no_deferred_file(world: World) -> None:
    key = world.save(Lazy(large=world.file("large"), guarded=world.file("guarded")))
    statements: list[str] = []
    with world.session() as session:
        row = session.get_one(Lazy, key)
        row.stars = 3
        event.listen(
            world.engine,
            "before_cursor_execute",
            lambda _c, _cursor, statement, *_rest: statements.append(statement),
        )
        session.commit()
    assert not [statement for statement in statements if statement.startswith("SELECT")]
    assert (world.label(Lazy.large), world.label(Lazy.guarded)) == ("large", "guarded")


@scenario
def a_deferred_file_is_replaced(world: World) -> None:
    key = world.save(Lazy(large=world.file("large"), guarded=world.file("guarded")))
    with world.session() as session:
        row = session.get_one(Lazy, key)
        row.large, row.guarded = world.file("new large"), world.file("new guarded")
        session.commit()
    assert (world.label(Lazy.large), world.label(Lazy.guarded)) == ("new large", "new guarded")


@scenario
def no_storage_request_is_made_to_list_rows(world: World) -> None:
    world.save(*[Document(attachment=world.file(f"file-{number}")) for number in range(3)])
    flaky = world.make_flaky()
    with world.session() as session:
        documents = session.scalars(select(Document).order_by(Document.id)).all()
        assert [document.attachment.filename for document in documents]
        assert flaky.calls == []
        assert world.opens(documents[0].attachment) == "file-0"


def _family(world: World) -> Author:
    books = [
        Book(
            manuscript=world.file(f"book-{book}"),
            chapters=[Chapter(text=world.file(f"chapter-{book}-{number}")) for number in range(2)],
        )
        for book in range(2)
    ]
    return Author(portrait=world.file("portrait"), books=books)


@scenario
def deleted_by_cascade(world: World) -> None:
    key = world.save(_family(world))
    assert len(world.objects()) == 7
    with world.session() as session:
        session.delete(session.get_one(Author, key))
        session.commit()
    assert world.objects() == {}


@scenario
def deleted_by_cascade_and_rolled_back(world: World) -> None:
    key = world.save(_family(world))
    with world.session() as session:
        session.delete(session.get_one(Author, key))
        session.flush()
        session.rollback()
        assert world.opens(session.get_one(Author, key).books[0].chapters[1].text) == "chapter-0-1"
    assert len(world.objects()) == 7


@scenario
def deleted_as_an_orphan(world: World) -> None:
    key = world.save(_family(world))
    with world.session() as session:
        author = session.get_one(Author, key)
        author.books.pop(0)
        session.commit()
    assert world.labels(Book.manuscript) == ["book-1"]
    assert world.labels(Chapter.text) == ["chapter-1-0", "chapter-1-1"]


@scenario
def orphans_replaced_by_new_rows(world: World) -> None:
    key = world.save(_family(world))
    with world.session() as session:
        author = session.get_one(Author, key)
        author.books = [author.books[1], Book(manuscript=world.file("book-2"))]
        session.commit()
    assert world.labels(Book.manuscript) == ["book-1", "book-2"]


@scenario
def one_of_two_columns_replaced(world: World) -> None:
    key = world.save(Product(front=world.file("front"), back=world.file("back")))
    back = world.path(Product.back)
    with world.session() as session:
        session.get_one(Product, key).front = world.file("new front")
        session.commit()
    assert world.label(Product.front) == "new front"
    assert world.path(Product.back) == back


@scenario
def both_columns_changed_and_the_row_deleted(world: World) -> None:
    key = world.save(Product(front=world.file("front"), back=world.file("back")))
    with world.session() as session:
        product = session.get_one(Product, key)
        product.front, product.back = None, world.file("new back")
        session.commit()
        assert (world.label(Product.front), world.label(Product.back)) == (None, "new back")
        session.delete(product)
        session.commit()
    assert world.objects() == {}


@scenario
def attribute_named_unlike_its_column(world: World) -> None:
    key = world.save(Renamed(scan=world.file("scan"), scans=[world.file("a"), world.file("b")]))
    with world.session() as session:
        row = session.get_one(Renamed, key)
        row.scan = world.file("new scan")
        row.scans.append(world.file("c"))
        del row.scans[0]
        session.commit()
        assert (world.label(Renamed.scan), world.label(Renamed.scans)) == ("new scan", ["b", "c"])
        world.check()
        session.delete(row)
        session.commit()
    assert world.objects() == {}


@scenario
def composite_key(world: World) -> None:
    world.save(
        *[
            Volume(shelf=shelf, position=position, text=world.file(f"{shelf}{position}"))
            for shelf in "ab"
            for position in (1, 2)
        ]
    )
    with world.session() as session:
        session.get_one(Volume, ("a", 2)).text = world.file("new a2")
        session.delete(session.get_one(Volume, ("b", 1)))
        session.get_one(Volume, ("b", 2)).text = None
        session.commit()
    assert world.labels(Volume.text) == ["a1", "new a2", None]


@scenario
def primary_key_changed_and_file_replaced(world: World) -> None:
    world.save(Volume(shelf="a", position=1, text=world.file("old")))
    with world.session() as session:
        volume = session.get_one(Volume, ("a", 1))
        volume.position, volume.text = 7, world.file("new")
        session.commit()
        assert world.label(Volume.text) == "new"
        world.check()
        volume.position = 8
        session.commit()
    assert world.label(Volume.text) == "new"


@scenario
def derived_objects_come_and_go_with_their_file(world: World) -> None:
    key = world.save(Processed(page=world.file("page"), pages=[world.file("a"), world.file("b")]))
    assert len(world.paths(Processed.page)) == 3
    assert len(world.paths(Processed.pages)) == 6
    with world.session() as session:
        row = session.get_one(Processed, key)
        row.page = world.file("new")
        row.pages.pop()
        session.commit()
        assert len(world.objects()) == 6
        world.check()
        session.delete(row)
        session.commit()
    assert world.objects() == {}


@scenario
def released_files_are_kept_where_the_field_says_so(world: World) -> None:
    key = world.save(Archived(paper=world.file("first")))
    world.keep(world.paths(Archived.paper))
    with world.session() as session:
        row = session.get_one(Archived, key)
        row.paper = world.file("second")
        session.commit()
        world.keep(world.paths(Archived.paper))
        world.check()
        session.delete(row)
        session.commit()
    assert len(world.objects()) == 2


@scenario
def kept_files_of_a_rollback_are_deleted(world: World) -> None:
    """To keep what is released does not mean to keep what was never committed."""
    with world.session() as session:
        session.add(Archived(paper=world.file("never committed")))
        session.flush()
        session.rollback()
    assert world.objects() == {}


@scenario
def replaced_before_its_first_commit_where_released_files_are_kept(world: World) -> None:
    with world.session() as session:
        row = Archived(paper=world.file("never committed"))
        session.add(row)
        session.flush()
        row.paper = world.file("committed")
        session.commit()
    assert world.label(Archived.paper) == "committed"
    assert len(world.objects()) == 1


@scenario
def two_storages(world: World) -> None:
    world.add_archive()
    key = world.save(Shelved(far=world.file("far"), near=world.file("near")))
    assert world.path(Shelved.far).startswith("archive/")
    assert world.path(Shelved.near).startswith("main/")
    with world.session() as session:
        row = session.get_one(Shelved, key)
        assert world.opens(row.far) == "far"
        row.far = world.file("new far")
        row.near = world.file("moved", storage="archive")
        session.commit()
    assert world.path(Shelved.near).startswith("archive/")
    assert (world.label(Shelved.far), world.label(Shelved.near)) == ("new far", "moved")


@scenario
def keys_with_a_folder(world: World) -> None:
    key = world.save(Shelved(keyed=world.file("apple")))
    assert world.path(Shelved.keyed).startswith("main/papers/a/")
    with world.session() as session:
        row = session.get_one(Shelved, key)
        assert world.opens(row.keyed) == "apple"
        row.keyed = world.file("banana")
        session.commit()
    assert world.path(Shelved.keyed).startswith("main/papers/b/")


@scenario
def autoflush_stores(world: World) -> None:
    with world.session() as session:
        session.add(Document(attachment=world.file("new")))
        assert len(session.scalars(select(Document)).all()) == 1
        assert len(world.objects()) == 1
        session.commit()
    assert world.label(Document.attachment) == "new"


@scenario
def a_hook_before_the_flush_adds_a_file(world: World) -> None:
    with world.session() as session:

        @event.listens_for(session, "before_flush")
        def add(session: Session, *_rest: Any) -> None:
            for row in session.new:
                row.attachment = row.attachment or world.file(f"for {row.title}")

        session.add(Document(title="it"))
        session.commit()
    assert world.label(Document.attachment) == "for it"


@scenario
def a_hook_before_the_insert_adds_a_file(world: World) -> None:
    def give(_mapper: Any, _connection: Any, row: Document) -> None:
        row.attachment = world.file("from the hook")

    event.listen(Document, "before_insert", give)
    try:
        with world.session() as session:
            document = Document(attachment=world.file("stored for nothing"))
            session.add_all([document, Document()])
            session.commit()
            assert world.opens(document.attachment) == "from the hook"
    finally:
        event.remove(Document, "before_insert", give)
    assert world.labels(Document.attachment) == ["from the hook", "from the hook"]


@scenario
def a_hook_before_the_update_replaces_the_file(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))

    def give(_mapper: Any, _connection: Any, row: Document) -> None:
        row.attachment = world.file("from the hook")

    event.listen(Document, "before_update", give)
    try:
        with world.session() as session:
            session.get_one(Document, key).stars = 1
            session.commit()
    finally:
        event.remove(Document, "before_update", give)
    assert world.label(Document.attachment) == "from the hook"


@scenario
def the_statement_of_a_flush_that_a_hook_rolled_back(world: World) -> None:
    """What a mapper hook stored goes with the transaction, too."""

    def give(_mapper: Any, _connection: Any, row: Document) -> None:
        row.attachment = world.file("from the hook")

    event.listen(Document, "before_insert", give)
    try:
        with world.session() as session:
            session.add(Document())
            session.flush()
            assert len(world.objects()) == 1
            session.rollback()
    finally:
        event.remove(Document, "before_insert", give)
    assert world.objects() == {}


@scenario
def detached_and_used_after_the_session(world: World) -> None:
    with world.session(expire_on_commit=False) as session:
        album = Album(pictures=[world.file("a"), world.file("b")], cover=world.file("cover"))
        session.add(album)
        session.commit()
    assert [world.opens(file) for file in album.pictures] == ["a", "b"]
    assert world.opens(album.cover) == "cover"
