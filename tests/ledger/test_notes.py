"""Who deletes an object leases its notes first: those of its own transaction, and no others."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, select

from sqlalchemy_file.ledger import notes
from tests.reconcile.accounts import account

from .earlier import first_layout
from .helpers import Schema, fill, record, run


@pytest.fixture
def schema(engine: Engine) -> Schema:
    """Two letters, one of which another transaction has released before."""
    schema = Schema()
    fill(engine, schema, body=record("s/1"))
    with engine.begin() as connection:
        run(connection, "INSERT INTO letter (id, body) VALUES (2, :b)", b=record("s/2"))
        run(connection, "INSERT INTO letter (id, body) VALUES (3, :b)", b=record("s/1"))
        run(connection, "DELETE FROM letter WHERE id = 3")
    return schema


def _leases(connection, schema: Schema) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = {}
    for each in notes.visible(connection, schema.ledger, ["s/1", "s/2", "s/none"]):
        found.setdefault(each.path, set()).add(each.lease)
    return found


def test_a_transaction_leases_its_own_notes_only(engine: Engine, schema: Schema) -> None:
    with engine.begin() as connection:
        mark = notes.begin(connection, schema.ledger)
        run(connection, "DELETE FROM letter")
        asked = ["s/1", "s/kept"]
        leased = notes.lease_mine(connection, schema.ledger, mark, asked, "me")
        assert [(each.path, each.lease) for each in leased] == [("s/1", "me")]
        assert _leases(connection, schema) == {"s/1": {None, "me"}, "s/2": {None}}
    note = schema.ledger.releases.c
    with engine.begin() as connection:
        leased = select(note.due_at - note.at, note.tries).where(note.lease == "me")
        wait, tries = connection.execute(leased).one()
        assert tries == 1
        assert wait == pytest.approx(notes.LEASE, abs=5000)


def test_what_a_savepoint_undid_is_not_leased(engine: Engine, schema: Schema) -> None:
    with engine.begin() as connection:
        mark = notes.begin(connection, schema.ledger)
        run(connection, "DELETE FROM letter WHERE id = 1")
        inner = connection.begin_nested()
        run(connection, "DELETE FROM letter WHERE id = 2")
        inner.rollback()
        leased = notes.lease_mine(connection, schema.ledger, mark, ["s/1", "s/2"], "me")
        assert [each.path for each in leased] == ["s/1"]


def test_notes_of_an_earlier_transaction_of_the_same_connection_are_not_its_own(
    engine: Engine, schema: Schema
) -> None:
    with engine.connect() as connection:
        notes.begin(connection, schema.ledger)
        run(connection, "DELETE FROM letter WHERE id = 1")
        connection.commit()
        mark = notes.begin(connection, schema.ledger)
        run(connection, "UPDATE letter SET title = 'x'")
        assert notes.lease_mine(connection, schema.ledger, mark, ["s/1"], "me") == []
        connection.rollback()


def test_notes_are_cleared_unless_somebody_else_has_leased_them(
    engine: Engine, schema: Schema
) -> None:
    with engine.begin() as connection:
        mark = notes.begin(connection, schema.ledger)
        run(connection, "DELETE FROM letter")
        leased = notes.lease_mine(connection, schema.ledger, mark, ["s/1", "s/2"], "me")
    isolation = "SERIALIZABLE" if engine.dialect.name == "sqlite" else "READ COMMITTED"
    with engine.connect().execution_options(isolation_level=isolation) as connection:
        ids = [each.id for each in leased]
        notes.clear(connection, schema.ledger, ids, lease="another")
        assert _leases(connection, schema) == {"s/1": {None, "me"}, "s/2": {"me"}}
        notes.clear(connection, schema.ledger, ids, lease="me")
        assert _leases(connection, schema) == {"s/1": {None}}
        others = notes.visible(connection, schema.ledger, ["s/1"])
        notes.clear(connection, schema.ledger, [each.id for each in others])
        assert _leases(connection, schema) == {}


def test_many_paths_are_leased_and_cleared_in_batches(engine: Engine) -> None:
    schema = Schema()
    paths = [f"s/{number}" for number in range(1200)]
    fill(engine, schema, body=record(*paths))
    with engine.begin() as connection:
        mark = notes.begin(connection, schema.ledger)
        run(connection, "DELETE FROM letter")
        leased = notes.lease_mine(connection, schema.ledger, mark, paths, "me")
        assert {each.path for each in leased} == set(paths)
        notes.clear(connection, schema.ledger, [each.id for each in leased], lease="me")
        assert notes.visible(connection, schema.ledger, paths) == []


def test_a_note_knows_the_storage_of_its_record(engine: Engine) -> None:
    schema = Schema()
    nested = '{"path": "s/t/k", "files": ["s/t/k"], "upload_storage": "s/t"}'
    several = '{"path": "s/t/a", "files": ["s/t/a", "s/b", "u/c"], "upload_storage": "s"}'
    fill(engine, schema, body=nested, pictures=f"[{several}, {record('s/old')}]")
    with engine.begin() as connection:
        run(connection, "DELETE FROM letter")
        found = notes.visible(connection, schema.ledger, ["s/t/k", "s/t/a", "s/b", "u/c", "s/old"])
        assert {each.path: each.storage for each in found} == {
            "s/t/k": "s/t",
            "s/t/a": "s",
            "s/b": "s",
            "u/c": None,
            "s/old": None,
        }


def test_a_ledger_without_rights_is_not_used(postgresql: Engine) -> None:
    schema = Schema()
    fill(postgresql, schema)
    with postgresql.connect() as connection:
        run(connection, "CREATE ROLE clerk")
        run(connection, "SET LOCAL ROLE clerk")
        assert not notes.may_use(connection, schema.ledger)
    postgresql.dispose()  # what was said before is believed for a minute
    with postgresql.connect() as connection:
        assert notes.may_use(connection, schema.ledger)


def test_a_ledger_of_an_earlier_release_is_not_used(engine: Engine) -> None:
    schema = Schema()
    with engine.begin() as connection:
        schema.letter.create(connection)
        first_layout(connection)
        assert not notes.may_use(connection, schema.ledger)
        schema.ledger.install(connection)
    engine.dispose()
    with engine.connect() as connection:
        assert notes.may_use(connection, schema.ledger)


def test_an_account_that_sees_no_triggers_uses_notes_all_the_same(mariadb: Engine) -> None:
    schema = Schema()
    fill(mariadb, schema)
    rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON sqlalchemy_file_release TO {name}"
    with account(mariadb, rights) as clerk, clerk.connect() as connection:
        assert notes.may_use(connection, schema.ledger)
