"""Whoever writes, the ledger holds each path that a row no longer names."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger import Ledger, ledger_of, named_paths

from .helpers import Schema, fill, record, run


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    file: Mapped[File | None] = mapped_column(FileField())


LEDGER = Ledger(Base.metadata)


def test_a_row_deleted_by_another_program_releases_all_its_objects(engine: Engine) -> None:
    schema = Schema()
    pictures = f"[{record('s/b', 's/c')}, {record('s/d')}]"
    fill(engine, schema, body=record("s/a"), pictures=pictures, archived=record("s/kept"))
    with engine.begin() as connection:
        run(connection, "DELETE FROM letter")
        assert schema.released(connection) == ["s/a", "s/b", "s/c", "s/d"]


def test_an_update_releases_what_the_row_no_longer_names(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a", "s/thumb"), pictures=f"[{record('s/b')}]")
    with engine.begin() as connection:
        run(connection, "UPDATE letter SET title = 'x'")
        assert schema.released(connection) == []
        run(connection, "UPDATE letter SET body = :body", body=record("s/new", "s/thumb"))
        assert schema.released(connection) == ["s/a"]
        run(connection, "UPDATE letter SET pictures = NULL, archived = pictures")
        assert schema.released(connection) == ["s/a", "s/b"]


def test_paths_are_told_apart_by_case(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a", "s/A", "s/é", "s/e"))
    with engine.begin() as connection:
        run(connection, "UPDATE letter SET body = :body", body=record("s/a", "s/e"))
        assert schema.released(connection) == ["s/A", "s/é"]


def test_the_orm_writes_into_it_too(engine: Engine) -> None:
    StorageManager.add_storage("main", "memory://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        note = Note(file=File(b"one"))
        session.add(note)
        session.commit()
        first = note.file.path
        note.file = File(b"two")
        session.flush()
        assert ledger_of(Base.metadata) is LEDGER
        assert session.scalars(select(LEDGER.releases.c.path)).all() == [first]
        session.commit()


def test_what_is_rolled_back_was_not_released(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a"), pictures=record("s/b"))
    with engine.connect() as connection:
        run(connection, "DELETE FROM letter")
        connection.rollback()
        assert schema.released(connection) == []


def test_what_a_savepoint_undoes_was_not_released(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a"), pictures=record("s/b"))
    with engine.begin() as connection:
        run(connection, "UPDATE letter SET body = NULL")
        inner = connection.begin_nested()
        run(connection, "DELETE FROM letter")
        inner.rollback()
    with engine.connect() as connection:
        assert schema.released(connection) == ["s/a"]


UPSERTS = {
    "sqlite": "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    "postgresql": "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    "mariadb": "ON DUPLICATE KEY UPDATE body = VALUES(body)",
}


def test_an_upsert_releases_what_it_replaces(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a"))
    upsert = UPSERTS[engine.dialect.name]
    with engine.begin() as connection:
        run(connection, f"INSERT INTO letter (id, body) VALUES (1, :b) {upsert}", b=record("s/new"))
        assert schema.released(connection) == ["s/a"]


def test_replace_releases_on_mariadb(mariadb: Engine) -> None:
    schema = Schema()
    fill(mariadb, schema, body=record("s/a"))
    with mariadb.begin() as connection:
        run(connection, "REPLACE INTO letter (id, body) VALUES (1, :body)", body=record("s/b"))
        assert schema.released(connection) == ["s/a"]


def test_replace_releases_on_sqlite_with_its_pragma(sqlite: Engine) -> None:
    schema = Schema()
    fill(sqlite, schema, body=record("s/a"))
    with sqlite.begin() as connection:
        connection.exec_driver_sql("PRAGMA recursive_triggers = ON")
        run(connection, "REPLACE INTO letter (id, body) VALUES (1, :body)", body=record("s/b"))
        assert schema.released(connection) == ["s/a"]


def test_a_delete_of_two_tables_at_once_releases_on_mariadb(mariadb: Engine) -> None:
    schema = Schema()
    schema.files_below("page", "letter")
    fill(mariadb, schema, body=record("s/a"))
    with mariadb.begin() as connection:
        run(connection, "INSERT INTO page VALUES (1, 1, :body)", body=record("s/page"))
        run(connection, "DELETE letter, page FROM letter JOIN page ON page.parent = letter.id")
        assert schema.released(connection) == ["s/a", "s/page"]


@pytest.mark.parametrize("statement", ["TRUNCATE letter", "TRUNCATE letter, page"])
def test_truncate_releases_on_postgresql(postgresql: Engine, statement: str) -> None:
    schema = Schema()
    schema.files_below("page", "letter")
    fill(postgresql, schema, body=record("s/a"), pictures=f"[{record('s/b')}, {record('s/c')}]")
    with postgresql.begin() as connection:
        run(connection, "INSERT INTO page VALUES (1, 1, :body)", body=record("s/page"))
        run(connection, f"{statement} CASCADE")
        assert schema.released(connection) == ["s/a", "s/b", "s/c", "s/page"]


def test_merge_and_a_delete_inside_with_release_on_postgresql(postgresql: Engine) -> None:
    schema = Schema()
    fill(postgresql, schema, body=record("s/a"), pictures=record("s/b"))
    merge = (
        "MERGE INTO letter USING (VALUES (1)) AS v (n) ON id = n "
        "WHEN MATCHED THEN UPDATE SET body = NULL"
    )
    with postgresql.begin() as connection:
        run(connection, merge)
        assert schema.released(connection) == ["s/a"]
        run(connection, "WITH gone AS (DELETE FROM letter RETURNING id) SELECT count(*) FROM gone")
        assert schema.released(connection) == ["s/a", "s/b"]


def test_rows_that_cascade_release_at_every_level(engine: Engine) -> None:
    schema = Schema()
    schema.child("chapter", "letter")
    schema.files_below("page", "chapter")
    schema.files_below("stamp", "letter")
    fill(engine, schema, body=record("s/a"))
    with engine.begin() as connection:
        run(connection, "INSERT INTO letter (id, body) VALUES (2, :body)", body=record("s/other"))
        run(connection, "INSERT INTO chapter VALUES (1, 1), (2, 2)")
        run(connection, "INSERT INTO page VALUES (1, 1, :a), (2, 2, :b)", a=record("s/1"), b="1")
        run(connection, "INSERT INTO stamp VALUES (1, 1, :body)", body=record("s/stamp"))
        run(connection, "DELETE FROM letter WHERE id = 1")
        assert schema.released(connection) == ["s/1", "s/a", "s/stamp"]


def test_rows_below_rows_of_their_own_table_release(engine: Engine) -> None:
    schema = Schema()
    schema.files_below("node", "node")
    schema.files_below("leaf", "node")
    fill(engine, schema)
    with engine.begin() as connection:
        for id_, parent in ((1, None), (2, 1), (3, 2), (4, 3), (9, None)):
            body = record(f"s/{id_}")
            run(connection, "INSERT INTO node VALUES (:i, :p, :b)", i=id_, p=parent, b=body)
        run(connection, "INSERT INTO leaf VALUES (1, 4, :b)", b=record("s/leaf"))
        run(connection, "DELETE FROM node WHERE id = 2")
        assert schema.released(connection) == ["s/2", "s/3", "s/4", "s/leaf"]


def test_rows_of_tables_that_refer_to_each_other_release(mariadb: Engine) -> None:
    schema = Schema()
    first = schema.files_below("first", "letter")
    second = schema.files_below("second", "first")
    key = ForeignKey("second.id", ondelete="CASCADE", use_alter=True, name="back")
    first.append_column(Column("back", Integer, key))
    assert second is not first
    fill(mariadb, schema)
    with mariadb.begin() as connection:
        run(connection, "INSERT INTO first (id, body) VALUES (1, :b)", b=record("s/1"))
        run(connection, "INSERT INTO second VALUES (1, 1, :b)", b=record("s/2"))
        run(connection, "INSERT INTO first VALUES (2, NULL, :b, 1)", b=record("s/3"))
        run(connection, "DELETE FROM first WHERE id = 1")
        assert schema.released(connection) == ["s/1", "s/2", "s/3"]


def test_users_without_rights_on_the_ledger_write_into_it(postgresql: Engine) -> None:
    schema = Schema()
    fill(postgresql, schema, body=record("s/a"), pictures=record("s/b"))
    with postgresql.begin() as connection:
        run(connection, "CREATE ROLE clerk")
        try:
            run(connection, "GRANT USAGE ON SCHEMA public TO clerk")
            run(connection, "GRANT ALL ON letter TO clerk")
            run(connection, "SET LOCAL ROLE clerk")
            run(connection, "UPDATE letter SET body = NULL")
            run(connection, "TRUNCATE letter")
            run(connection, "RESET ROLE")
            assert schema.released(connection) == ["s/a", "s/b"]
        finally:
            run(connection, "DROP OWNED BY clerk")
            run(connection, "DROP ROLE clerk")


COLUMNS = "id int, title text, body json, pictures json, archived json"


def test_rows_of_partitions_release_and_those_that_move_do_so_falsely(postgresql: Engine) -> None:
    schema = Schema()
    with postgresql.begin() as connection:
        run(connection, f"CREATE TABLE letter ({COLUMNS}) PARTITION BY LIST (id)")
        run(connection, "CREATE TABLE l1 PARTITION OF letter FOR VALUES IN (1)")
        schema.ledger.install(connection)
        assert schema.problems(connection) == set()
        run(connection, "CREATE TABLE l2 PARTITION OF letter FOR VALUES IN (2)")
        assert schema.problems(connection) == {("l2", "missing trigger")}
        schema.ledger.ensure(connection)
        assert schema.problems(connection) == set()
        for id_ in (1, 2):
            run(connection, "INSERT INTO letter VALUES (:i, '', :b)", i=id_, b=record(f"s/{id_}"))
        run(connection, "UPDATE letter SET id = 2 WHERE id = 1")
        moved = {"s/1"}
        assert schema.released(connection) == ["s/1"]
        assert named_paths(connection, schema.ledger, moved) == moved
        run(connection, "TRUNCATE l2")
        assert schema.released(connection) == ["s/1", "s/2"]
        assert named_paths(connection, schema.ledger, moved) == set()


def test_rows_of_tables_that_inherit_release(postgresql: Engine) -> None:
    schema = Schema()
    with postgresql.begin() as connection:
        run(connection, f"CREATE TABLE letter ({COLUMNS})")
        run(connection, "CREATE TABLE urgent () INHERITS (letter)")
        schema.ledger.install(connection)
        run(connection, "INSERT INTO urgent VALUES (1, '', :b)", b=record("s/1"))
        run(connection, "INSERT INTO urgent VALUES (2, '', :b)", b=record("s/2"))
        run(connection, "DELETE FROM letter WHERE id = 1")
        run(connection, "TRUNCATE urgent")
        assert schema.released(connection) == ["s/1", "s/2"]
        assert schema.problems(connection) == set()


def test_two_files_of_sqlite_need_a_ledger_each(tmp_path) -> None:
    engine = create_engine("sqlite://")

    @event.listens_for(engine, "connect")
    def attach(connection, record) -> None:
        connection.execute(f"ATTACH DATABASE '{tmp_path / 'other.db'}' AS other")

    schema = Schema(schema="other")
    schema.letter.schema = None
    with engine.begin() as connection, pytest.raises(LedgerError, match="own database file"):
        schema.metadata.create_all(connection)
    engine.dispose()
