"""Validators, processors and storages that fail; nothing of the attempt may stay."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import insert, select, update

from sqlalchemy_file.exceptions import StorageError, ValidationError

from .content import DERIVED, OneWayStream, content_of, filename_of
from .models import Album, Archived, Document, Processed, Product, Shelved
from .table import Group
from .world import PATIENCE, World

scenario = Group(name="failures")
with_savepoints = scenario.where(
    without=("legacy",),
    because="pysqlite's own transaction mode does not begin before a SAVEPOINT.",
)


@scenario
def validator_refuses_the_last_of_several(world: World) -> None:
    """All files of a flush are validated before the first byte of any is stored."""
    flaky = world.make_flaky()
    with world.session() as session:
        session.add_all([Processed(page=world.file(f"page-{number}")) for number in range(3)])
        session.add(Processed(page=world.file("refused")))
        with pytest.raises(ValidationError) as caught:
            session.commit()
        assert caught.value.key == "page"
        assert flaky.calls == []
        session.rollback()
    assert world.labels(Processed.page) == []


@scenario
def validator_refuses_one_of_a_list(world: World) -> None:
    key = world.save(Processed(pages=[world.file("a"), world.file("b")]))
    with world.session() as session:
        row = session.get_one(Processed, key)
        row.pages += [world.file("c"), world.file("refused"), world.file("d")]
        del row.pages[0]
        with pytest.raises(ValidationError) as caught:
            session.commit()
        assert caught.value.key == "pages"
        session.rollback()
        assert [world.opens(file) for file in row.pages] == ["a", "b"]
    assert world.label(Processed.pages) == ["a", "b"]


@scenario
def validator_refuses_after_an_earlier_flush(world: World) -> None:
    """What the first flush stored lives and dies with the transaction."""
    for end in ("rollback", "commit"):
        with world.session() as session:
            session.add(Document(attachment=world.file(end)))
            session.flush()
            refused = Processed(page=world.file("refused"))
            session.add(refused)
            with pytest.raises(ValidationError):
                session.flush()
            session.expunge(refused)
            getattr(session, end)()
        world.check()
    assert world.labels(Document.attachment) == ["commit"]


@scenario
def validator_refuses_a_bulk_insert(world: World) -> None:
    flaky = world.make_flaky()
    rows = [{"page": world.file(label)} for label in ("a", "b", "refused")]
    for execute in (world.session, world.engine.connect):
        with execute() as way, pytest.raises(ValidationError):  # type: ignore[operator]
            way.execute(insert(Processed), rows)
    assert flaky.count("put") == 0


@scenario
def validator_refuses_a_replacement(world: World) -> None:
    key = world.save(Processed(page=world.file("old")))
    with world.session() as session:
        row = session.get_one(Processed, key)
        row.page = world.file("refused")
        with pytest.raises(ValidationError):
            session.commit()
        session.rollback()
        world.check()
        row.page = world.file("new")
        session.commit()
    assert world.label(Processed.page) == "new"


@scenario
def processor_fails_after_its_main_object(world: World) -> None:
    with world.session() as session:
        session.add_all([Processed(page=world.file(label)) for label in ("a", "broken", "c")])
        with pytest.raises(RuntimeError, match="no more than the first"):
            session.commit()
        assert world.objects() == {}
        session.rollback()
    assert world.labels(Processed.page) == []


@scenario
def processor_fails_while_replacing(world: World) -> None:
    key = world.save(Processed(page=world.file("old")))
    with world.session() as session:
        session.get_one(Processed, key).page = world.file("broken")
        with pytest.raises(RuntimeError, match="no more than the first"):
            session.commit()
    assert world.label(Processed.page) == "old"
    assert len(world.objects()) == 3


@scenario
def processor_fails_in_a_bulk_statement(world: World) -> None:
    with world.session() as session:
        session.execute(insert(Processed), [{"page": world.file("a")}])
        with pytest.raises(RuntimeError, match="no more than the first"):
            session.execute(insert(Processed), [{"page": world.file("broken")}])
        session.commit()
    assert world.labels(Processed.page) == ["a"]


def _add_upload(number: int) -> None:
    def run(world: World) -> None:
        world.save(Document(title="committed", attachment=world.file("committed")))
        flaky = world.make_flaky()
        flaky.fail("put", at=number)
        with world.session() as session:
            session.add_all([Document(attachment=world.file(f"file-{n}")) for n in range(5)])
            with pytest.raises(StorageError, match="does not answer") as caught:
                session.commit()
            assert isinstance(caught.value.__cause__, ConnectionError)
            assert len(world.objects()) == 1
            session.rollback()
            world.check()
            session.add_all([Document(attachment=world.file(f"file-{n}")) for n in range(5)])
            session.commit()
        assert len(world.labels(Document.attachment)) == 6

    scenario.add(f"upload_{number}_of_5_fails", run)


for _number in (1, 3, 5):
    _add_upload(_number)


@scenario
def upload_fails_and_the_same_rows_are_flushed_again(world: World) -> None:
    flaky = world.make_flaky()
    flaky.fail("put", at=2)
    with world.session() as session:
        session.add_all([Document(attachment=world.file(f"file-{n}")) for n in range(3)])
        with pytest.raises(StorageError):
            session.flush()
        flaky.mend()
        session.commit()
    assert world.labels(Document.attachment) == ["file-0", "file-1", "file-2"]


@scenario
def upload_of_a_derived_object_fails(world: World) -> None:
    flaky = world.make_flaky()
    flaky.fail("put", at=3)
    with world.session() as session:
        session.add(Processed(page=world.file("page")))
        with pytest.raises(StorageError):
            session.commit()
        assert world.objects() == {}
        session.rollback()
        flaky.mend()
        session.add(Processed(page=world.file("page")))
        session.commit()
    assert world.label(Processed.page) == "page"


@scenario
def upload_interrupted_from_the_keyboard(world: World) -> None:
    flaky = world.make_flaky()
    flaky.fail("put", at=2, error=KeyboardInterrupt())
    with world.session() as session:
        session.add_all([Document(attachment=world.file(f"file-{n}")) for n in range(3)])
        with pytest.raises(KeyboardInterrupt):
            session.commit()
    assert world.objects() == {}


@with_savepoints
def upload_fails_inside_a_savepoint(world: World) -> None:
    flaky = world.make_flaky()
    with world.session() as session:
        session.add(Document(attachment=world.file("outer")))
        session.flush()
        flaky.fail("put", at=2)
        with pytest.raises(StorageError), session.begin_nested():
            session.add_all([Document(attachment=world.file(f"file-{n}")) for n in range(3)])
        flaky.mend()
        session.add(Document(attachment=world.file("after")))
        session.commit()
    assert world.labels(Document.attachment) == ["outer", "after"]


@scenario
def copy_fails(world: World) -> None:
    key = world.save(Document(attachment=world.file("shared")))
    flaky = world.make_flaky()
    for verb in ("copy", "put", "stream"):
        flaky.fail(verb)
    with world.session() as session:
        session.add(Document(attachment=session.get_one(Document, key).attachment))
        with pytest.raises(StorageError):
            session.commit()
        session.rollback()
        flaky.mend()
        session.add(Document(attachment=session.get_one(Document, key).attachment))
        session.commit()
    assert world.labels(Document.attachment) == ["shared", "shared"]


@scenario
def storage_down_at_the_deletion_after_a_commit(world: World) -> None:
    """The commit succeeds all the same; the log names what was left."""
    key = world.save(Document(attachment=world.file("old")))
    path = world.path(Document.attachment)
    flaky = world.make_flaky()
    flaky.fail("delete")
    with world.session() as session, world.logged() as log:
        session.get_one(Document, key).attachment = world.file("new")
        session.commit()
    assert world.label(Document.attachment) == "new"
    assert any(path in line for line in log)
    world.keep([path])


@scenario
def storage_down_at_some_deletions_after_a_commit(world: World) -> None:
    """One object that resists does not save the others."""
    labels = [f"file-{number}" for number in range(4)]
    world.save(*[Document(attachment=world.file(label)) for label in labels])
    flaky = world.make_flaky()
    flaky.fail("delete", at=2)
    with world.session() as session, world.logged() as log:
        for row in session.scalars(select(Document)):
            session.delete(row)
        session.commit()
    (left,) = world.objects()
    assert any(left in line for line in log)
    world.keep([left])


@scenario
def one_of_two_storages_down_at_the_deletion_after_a_commit(world: World) -> None:
    """What lies in the other one is deleted all the same."""
    world.add_archive()
    for down in ("archive", "main"):
        key = world.save(Shelved(far=world.file("far"), near=world.file("near")))
        flaky = world.make_flaky(down)
        flaky.fail("delete")
        with world.session() as session, world.logged() as log:
            session.delete(session.get_one(Shelved, key))
            session.commit()
        flaky.mend()
        (left,) = [path for path in world.objects() if path.startswith(f"{down}/")]
        assert any(left in line for line in log)
        world.keep([left])
        world.check()


@scenario
def storage_down_at_the_deletion_after_a_rollback(world: World) -> None:
    """The rollback succeeds, and says in the log what nobody needs any more."""
    flaky = world.make_flaky()
    flaky.fail("delete")
    with world.session() as session, world.logged() as log:
        session.add(Document(attachment=world.file("lost")))
        session.flush()
        session.rollback()
        (left,) = world.objects()
        flaky.mend()
        session.add(Document(attachment=world.file("after")))
        session.commit()
    assert any(left in line for line in log)
    world.keep([left])
    assert world.labels(Document.attachment) == ["after"]


@scenario
def storage_down_at_the_deletion_after_a_failed_upload(world: World) -> None:
    """The caller sees the first cause, not what went wrong while cleaning up."""
    flaky = world.make_flaky()
    flaky.fail("delete")
    with world.session() as session, world.logged():
        session.add_all([Processed(page=world.file(label)) for label in ("a", "broken")])
        with pytest.raises(RuntimeError, match="no more than the first"):
            session.commit()
    world.keep(world.objects())
    assert world.labels(Processed.page) == []


@scenario
def an_object_already_gone_when_its_row_is_deleted(world: World) -> None:
    keys = [world.save(Document(attachment=world.file(label))) for label in "abc"]
    world.discard(world.paths(Document.attachment)[1])
    with world.session() as session, world.logged() as log:
        for key in keys:
            session.delete(session.get_one(Document, key))
        session.commit()
    assert log == []
    assert world.objects() == {}


@scenario
def an_object_already_gone_when_it_is_replaced(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    world.discard(world.path(Document.attachment))
    with world.session() as session:
        session.get_one(Document, key).attachment = world.file("new")
        session.commit()
    assert world.label(Document.attachment) == "new"


@scenario
def an_object_gone_before_the_rollback(world: World) -> None:
    with world.session() as session, world.logged() as log:
        document = Document(attachment=world.file("lost"))
        session.add(document)
        session.flush()
        world.discard(document.attachment.path)
        session.rollback()
    assert log == []


@scenario
def nothing_is_deleted_before_the_database_has_committed(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    flaky = world.make_flaky()
    seen: list[object] = []
    flaky.before("delete", lambda: seen.append(world.label(Document.attachment)))
    with world.session() as session:
        session.get_one(Document, key).attachment = world.file("new")
        session.commit()
    assert seen == ["new"]


@scenario
def no_row_is_locked_while_files_are_stored(world: World) -> None:
    """Another connection can change the row while its new file is on the way."""
    key = world.save(Product(front=world.file("old")))
    flaky = world.make_flaky()

    def change() -> None:
        world.database.look(f"UPDATE product SET back = NULL WHERE id = {key[0]}")

    flaky.before("put", change)
    with world.session() as session:
        product = session.get_one(Product, key)
        session.commit()
        product.front = world.file("new")
        session.commit()
    assert flaky.count("put") == 1
    assert world.label(Product.front) == "new"


@scenario
def files_of_a_flush_are_stored_at_the_same_time(world: World) -> None:
    """Four uploads wait for one another; one after the other they would wait for ever."""
    flaky = world.make_flaky()
    meeting = threading.Barrier(4)
    flaky.before("put", lambda: meeting.wait(PATIENCE) and None)
    with world.session() as session:
        session.add(Album(pictures=[world.file(label) for label in "abc"], cover=world.file("d")))
        session.commit()
    assert world.label(Album.pictures) == ["a", "b", "c"]


@scenario
def a_stream_that_cannot_be_rewound_whose_upload_failed(world: World) -> None:
    """It was kept aside before it was sent, or it says that it is spent; no half file appears."""
    flaky = world.make_flaky()
    flaky.fail("put", at=1)
    file = world.file_from(OneWayStream(content_of("stream")), "stream")
    with world.session() as session:
        session.add(Document(attachment=file))
        with pytest.raises(StorageError):
            session.commit()
        session.rollback()
        world.check()
        session.add(Document(attachment=world.file("other")))
        session.commit()
    assert world.labels(Document.attachment) == ["other"]


@scenario
def a_failing_deletion_of_a_kept_field_is_not_even_tried(world: World) -> None:
    key = world.save(Archived(paper=world.file("paper")))
    world.keep(world.paths(Archived.paper))
    flaky = world.make_flaky()
    flaky.fail("delete")
    with world.session() as session, world.logged() as log:
        session.delete(session.get_one(Archived, key))
        session.commit()
    assert log == []
    assert flaky.count("delete") == 0


@scenario
def an_error_between_two_statements_of_one_transaction(world: World) -> None:
    key = world.save(Document(title="it", attachment=world.file("old")))
    with pytest.raises(ZeroDivisionError), world.engine.begin() as connection:
        connection.execute(
            update(Document).where(Document.id == key[0]).values(attachment=world.file("new"))
        )
        connection.execute(insert(Document).values(attachment=world.file("other")))
        _ = 1 / 0
    assert world.labels(Document.attachment) == ["old"]


@scenario
def derived_objects_are_named_after_their_own(world: World) -> None:
    """What the harness itself relies on: a derived object can be told from its bytes."""
    key = world.save(Processed(page=world.file("page")))
    paths = world.paths(Processed.page)
    contents = world.objects()
    names = [f"page{DERIVED}{name}" for name in ("first", "second")]
    if world.places["main"].keeps_bytes:
        assert [contents[path] for path in paths] == [content_of(n) for n in ("page", *names)]
    with world.session() as session:
        assert session.get_one(Processed, key).page.filename == filename_of("page")
