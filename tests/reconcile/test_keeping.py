"""What a keeping field has released stays, although it lies in another field's storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import Engine, bindparam, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import compare, drain, status, sweep
from sqlalchemy_file.storage.common.protocol import Attributes
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import tables_on
from tests.ledger.helpers import move
from tests.reconcile.accounts import account
from tests.reconcile.helpers import OLD, age, kinds, store
from tests.stores import add_memory, contents, keys


class Base(DeclarativeBase):
    pass


class Contract(Base):
    __tablename__ = "reconciled_contract"
    id: Mapped[int] = mapped_column(primary_key=True)
    draft: Mapped[File | None] = mapped_column(FileField(upload_storage="drafts"))
    text: Mapped[File | None] = mapped_column(FileField(upload_storage="main", on_release="keep"))


ledger = Ledger(Base.metadata)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with tables_on(url, Base.metadata) as engine:
        yield engine


@pytest.fixture
def drafts(engine: Engine) -> MemoryStorage:
    """A storage with a kept object: it came to the keeping field, and its row is gone."""
    add_memory()
    storage = add_memory("drafts")
    _move_and_delete(engine)
    age(storage)
    return storage


def _move_and_delete(engine: Engine) -> None:
    with Session(engine) as session:
        contract = Contract(id=1, draft=File(b"kept"))
        session.add(contract)
        session.commit()
        contract.text, contract.draft = contract.draft, None
        session.commit()
        session.delete(contract)
        session.commit()


def make_due(engine: Engine) -> None:
    with engine.begin() as connection:
        lease = ledger.releases.c.lease
        connection.execute(update(ledger.releases).where(lease.is_(None)).values(due_at=0))


@pytest.mark.parametrize("search", [sweep, compare])
def test_what_came_to_a_keeping_field_stays_before_any_sweep_has_seen_it(
    engine: Engine, drafts: MemoryStorage, search: Callable[..., Iterator[Any]]
) -> None:
    for options in ({}, {"delete": True}, {"delete": True}):
        assert kinds(search(engine, Base.metadata, **options)) == {"kept": 1}
    assert list(drain(engine, Base.metadata)) == []
    assert contents(drafts) == [b"kept"]


@pytest.mark.parametrize("search", [sweep, compare])
def test_a_file_of_metadata_stays_with_its_kept_object(
    engine: Engine, drafts: MemoryStorage, search: Callable[..., Iterator[Any]]
) -> None:
    (key,) = keys(drafts)
    drafts.put(f"{key}.metadata.json", BytesIO(b"{}"), Attributes())
    age(drafts)
    for options in ({}, {"delete": True}):
        assert kinds(search(engine, Base.metadata, **options)) == {"kept": 2}
    assert len(keys(drafts)) == 2


def test_a_storage_that_rows_of_a_keeping_field_have_named_is_left_alone(engine: Engine) -> None:
    """Also when these rows are gone: what nobody could record looks like an orphan."""
    add_memory()
    storage = add_memory("drafts")
    lost = store(storage, age=OLD)
    with Session(engine) as session:
        session.add(Contract(id=1, text=File(b"kept", storage="drafts")))
        session.commit()
    age(storage)
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"kept": 1}
    raw(engine, "UPDATE reconciled_contract SET text = NULL")
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"kept": 2}
    assert lost in keys(storage)


@pytest.mark.parametrize("search", [sweep, compare])
def test_what_a_drain_has_seen_in_a_keeping_field_stays_whoever_deletes_its_row(
    engine: Engine, search: Callable[..., Iterator[Any]]
) -> None:
    add_memory()
    storage = add_memory("drafts")
    with Session(engine) as session:
        session.add_all(Contract(id=number, draft=File(b"%d" % number)) for number in (1, 2))
        session.commit()
    raw(engine, "UPDATE reconciled_contract SET text = draft WHERE id = 1")
    raw(engine, "UPDATE reconciled_contract SET draft = NULL WHERE id = 1")
    raw(engine, "UPDATE reconciled_contract SET draft = NULL WHERE id = 2")
    assert kinds(drain(engine, Base.metadata)) == {"named": 1, "deleted": 1}
    raw(engine, "DELETE FROM reconciled_contract")
    age(storage)
    assert kinds(search(engine, Base.metadata, delete=True)) == {"kept": 1}
    assert list(drain(engine, Base.metadata)) == []
    assert contents(storage) == [b"1"]


def raw(engine: Engine, statement: str) -> None:
    """Execute a statement as another program would."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute(statement)
        connection.commit()
    finally:
        connection.close()


def test_a_later_note_of_a_kept_object_is_settled_and_the_object_stays(
    engine: Engine, drafts: MemoryStorage
) -> None:
    (key,) = keys(drafts)
    with engine.begin() as connection:
        values = {"path": f"drafts/{key}", "storage": "drafts", "due_at": 0}
        connection.execute(insert(ledger.releases).values(**values))
    assert kinds(drain(engine, Base.metadata)) == {"kept": 1}
    make_due(engine)
    assert list(drain(engine, Base.metadata)) == []
    assert contents(drafts) == [b"kept"]


def test_a_kept_object_does_not_wait_for_anything(engine: Engine, drafts: MemoryStorage) -> None:
    found = status(engine, Base.metadata)
    assert [each.pending for each in found.storages] == [0, 0]
    assert found.is_clean


def test_adopting_makes_no_kept_object_due(engine: Engine, drafts: MemoryStorage) -> None:
    move(engine)
    engine.dispose()
    assert kinds(sweep(engine, Base.metadata, delete=True, adopt=True)) == {"kept": 1}
    assert list(drain(engine, Base.metadata)) == []
    assert contents(drafts) == [b"kept"]


def test_a_kept_object_is_noted_once(engine: Engine, drafts: MemoryStorage) -> None:
    with engine.connect() as connection:
        notes = connection.execute(select(ledger.releases.c.path, ledger.releases.c.lease)).all()
    (key,) = keys(drafts)
    assert notes == [(f"drafts/{key}", "kept")]


def test_a_release_that_is_rolled_back_is_not_noted(engine: Engine) -> None:
    add_memory()
    add_memory("drafts")
    with Session(engine) as session:
        contract = Contract(id=1, text=File(b"kept", storage="drafts"))
        session.add(contract)
        session.commit()
        session.delete(contract)
        session.flush()
        session.rollback()
    with engine.connect() as connection:
        assert connection.execute(select(ledger.releases)).all() == []


def _store(engine: Engine, **files: bytes) -> MemoryStorage:
    """Store a row whose files all lie in the other field's storage, and return this one."""
    add_memory()
    storage = add_memory("drafts")
    with Session(engine) as session:
        found = {name: File(content, storage="drafts") for name, content in files.items()}
        session.add(Contract(id=1, **found))
        session.commit()
    age(storage)
    return storage


def _swept(engine: Engine) -> dict[str, int]:
    """Return what a drain and two sweeps that delete find."""
    make_due(engine)
    found = [*drain(engine, Base.metadata)]
    for _ in range(2):
        found += sweep(engine, Base.metadata, delete=True)
    make_due(engine)
    found += drain(engine, Base.metadata)
    return kinds(iter(found))


def _autocommit(engine: Engine) -> None:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(delete(Contract))


def _replace_elsewhere(engine: Engine) -> None:
    raw(engine, "UPDATE reconciled_contract SET text = NULL")


RELEASES: dict[str, Callable[[Engine], None]] = {
    "plain SQL deletes the row": lambda engine: raw(engine, "DELETE FROM reconciled_contract"),
    "plain SQL empties the field": _replace_elsewhere,
    "a statement of its own transaction": _autocommit,
}


@pytest.mark.parametrize("release", RELEASES)
def test_what_a_keeping_field_releases_stays_before_any_pass_has_seen_it(
    engine: Engine, release: str
) -> None:
    storage = _store(engine, text=b"kept")
    RELEASES[release](engine)
    assert _swept(engine) == {"kept": 2}
    assert contents(storage) == [b"kept"]


def test_what_plain_sql_moves_to_a_keeping_field_and_deletes_stays(engine: Engine) -> None:
    storage = _store(engine, draft=b"kept")
    raw(engine, "UPDATE reconciled_contract SET text = draft")
    raw(engine, "UPDATE reconciled_contract SET draft = NULL")
    raw(engine, "DELETE FROM reconciled_contract")
    assert _swept(engine) == {"kept": 3}
    assert contents(storage) == [b"kept"]


def test_the_last_row_that_names_a_kept_object_does_not_take_it_along(engine: Engine) -> None:
    storage = _store(engine, text=b"kept")
    raw(engine, "INSERT INTO reconciled_contract (id, draft) SELECT 2, text FROM (SELECT text "
                "FROM reconciled_contract) AS copied")  # fmt: skip
    raw(engine, "DELETE FROM reconciled_contract WHERE id = 1")
    with Session(engine) as session:
        session.delete(session.get_one(Contract, 2))
        session.commit()
    assert _swept(engine) == {"kept": 3}
    assert contents(storage) == [b"kept"]


def test_what_a_session_moves_back_to_a_field_that_deletes_is_deleted_there(
    engine: Engine,
) -> None:
    storage = _store(engine, text=b"moved")
    with Session(engine) as session:
        first = session.get_one(Contract, 1)
        session.add(Contract(id=2, draft=first.text))
        first.text = None
        session.commit()
    assert _notes(engine) == []
    raw(engine, "DELETE FROM reconciled_contract")
    assert _swept(engine) == {"deleted": 1}
    assert contents(storage) == []


def test_a_move_back_that_is_rolled_back_leaves_the_object_kept(engine: Engine) -> None:
    storage = _store(engine, text=b"kept")
    with Session(engine) as session:
        first = session.get_one(Contract, 1)
        nested = session.begin_nested()
        session.add(Contract(id=2, draft=first.text))
        first.text = None
        session.flush()
        nested.rollback()
        session.delete(first)
        session.commit()
    assert _swept(engine) == {"kept": 2}
    assert contents(storage) == [b"kept"]


def test_what_was_never_committed_in_a_keeping_field_leaves_no_note(engine: Engine) -> None:
    storage = _store(engine)
    with Session(engine) as session:
        contract = session.get_one(Contract, 1)
        contract.text = File(b"never committed", storage="drafts")
        session.flush()
        contract.text = File(b"committed", storage="drafts")
        session.commit()
    assert _notes(engine) == []
    assert contents(storage) == [b"committed"]


def test_what_a_savepoint_takes_back_is_not_noted_as_kept(engine: Engine) -> None:
    _store(engine, text=b"named")
    with Session(engine) as session:
        with session.begin_nested() as nested:
            session.delete(session.get_one(Contract, 1))
            session.flush()
            nested.rollback()
        session.add(Contract(id=2))
        session.commit()
    assert _notes(engine) == []


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_what_replacing_takes_from_a_keeping_field_is_noted_without_triggers(
    engine: Engine,
) -> None:
    storage = _store(engine, text=b"kept")
    with engine.begin() as connection:
        connection.execute(insert(Contract).prefix_with("OR REPLACE").values(id=1))
    assert _swept(engine) == {"kept": 2}
    assert contents(storage) == [b"kept"]


def _notes(engine: Engine) -> list[tuple[str, str | None]]:
    with engine.connect() as connection:
        notes = select(ledger.releases.c.path, ledger.releases.c.lease)
        return [tuple(row) for row in connection.execute(notes)]


@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
def test_what_an_account_without_rights_on_the_ledger_releases_is_kept(
    engine: Engine,
) -> None:
    add_memory()
    storage = add_memory("drafts")
    files = "GRANT SELECT, INSERT, UPDATE, DELETE ON reconciled_contract TO {name}"
    notes = f"GRANT SELECT, UPDATE, DELETE ON {ledger.releases.name} TO {{name}}"
    for some in ([files], [files, notes]):
        with account(engine, *some) as clerk:
            _move_and_delete(clerk)
    age(storage)
    assert _swept(engine).keys() == {"kept"}
    assert contents(storage) == [b"kept", b"kept"]


def _within_its_row(session: Session, contract: Contract) -> None:
    contract.draft, contract.text = contract.text, None
    session.flush()
    contract.draft = None


def _within_its_row_and_deleted(session: Session, contract: Contract) -> None:
    contract.draft, contract.text = contract.text, None
    session.flush()
    session.delete(contract)


def _to_another_row(session: Session, contract: Contract) -> None:
    other = Contract(id=2, draft=contract.text)
    session.add(other)
    contract.text = None
    session.flush()
    session.delete(other)


def _within_a_savepoint(session: Session, contract: Contract) -> None:
    with session.begin_nested():
        contract.draft, contract.text = contract.text, None
    session.execute(update(Contract).values(draft=None))


MOVES = [_within_its_row, _within_its_row_and_deleted, _to_another_row, _within_a_savepoint]


@pytest.mark.parametrize("move", MOVES)
def test_what_moves_to_a_deleting_field_and_is_let_go_of_there_is_gone_at_the_commit(
    engine: Engine, move: Callable[[Session, Contract], None]
) -> None:
    storage = _store(engine, text=b"moved")
    with Session(engine) as session:
        session.connection().execute(select(1))
        move(session, session.get_one(Contract, 1))
        session.commit()
    assert contents(storage) == []
    assert _swept(engine) == {}


def test_what_moves_back_to_the_keeping_field_and_is_let_go_of_there_stays(
    engine: Engine,
) -> None:
    storage = _store(engine, text=b"kept")
    with Session(engine) as session:
        contract = session.get_one(Contract, 1)
        contract.draft, contract.text = contract.text, None
        session.flush()
        contract.draft, contract.text = None, contract.draft
        session.flush()
        session.delete(contract)
        session.commit()
    assert _swept(engine) == {"kept": 2}
    assert contents(storage) == [b"kept"]


def test_a_move_that_a_savepoint_takes_back_leaves_the_object_kept(engine: Engine) -> None:
    storage = _store(engine, text=b"kept")
    with Session(engine) as session:
        contract = session.get_one(Contract, 1)
        nested = session.begin_nested()
        _within_its_row(session, contract)
        session.flush()
        nested.rollback()
        session.delete(contract)
        session.commit()
    assert _swept(engine) == {"kept": 2}
    assert contents(storage) == [b"kept"]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_what_a_keeping_field_gives_to_a_row_that_a_trigger_restores_stays(engine: Engine) -> None:
    storage = _store(engine, text=b"kept")
    raw(
        engine,
        "CREATE TRIGGER restore AFTER UPDATE OF draft ON reconciled_contract WHEN NEW.id = 2 BEGIN "
        "UPDATE reconciled_contract SET draft = OLD.draft WHERE id = 2; END",
    )
    with Session(engine) as session:
        contract, other = session.get_one(Contract, 1), Contract(id=2)
        session.add(other)
        session.flush()
        other.draft, contract.text = contract.text, None
        session.commit()
    assert contents(storage) == [b"kept"]


UNSEEN = {
    "a deletion": "DELETE FROM reconciled_contract WHERE id = 2",
    "an update": "UPDATE reconciled_contract SET text = NULL WHERE id = 2",
}


@pytest.mark.parametrize("statement", UNSEEN)
def test_a_new_file_that_plain_sql_takes_from_its_keeping_field_goes_at_the_commit(
    engine: Engine, statement: str
) -> None:
    storage = _store(engine, text=b"committed")
    with Session(engine) as session:
        session.add(Contract(id=2, text=File(b"never committed", storage="drafts")))
        session.flush()
        session.connection().exec_driver_sql(UNSEEN[statement])
        session.commit()
    assert contents(storage) == [b"committed"]
    assert _notes(engine) == []


def test_a_new_file_that_plain_sql_moves_to_another_row_stays(engine: Engine) -> None:
    storage = _store(engine)
    with Session(engine) as session:
        session.add(Contract(id=2, text=File(b"named", storage="drafts")))
        session.flush()
        copied = "(SELECT text FROM reconciled_contract WHERE id = 2) AS copied"
        run = session.connection().exec_driver_sql
        run(f"INSERT INTO reconciled_contract (id, text) SELECT 3, text FROM {copied}")
        run("DELETE FROM reconciled_contract WHERE id = 2")
        session.commit()
    assert contents(storage) == [b"named"]


def test_new_files_of_a_row_that_one_statement_names_twice_leave_nothing(engine: Engine) -> None:
    storage = _store(engine, text=b"committed")
    table = Contract.__table__
    with engine.begin() as connection:
        connection.execute(
            update(table).where(table.c.id == bindparam("which")),
            [{"which": 1, "text": File(each, storage="drafts")} for each in (b"x", b"y")],
        )
        connection.execute(delete(table))
    assert contents(storage) == [b"committed"]
    assert [lease for _, lease in _notes(engine)] == ["kept"]
