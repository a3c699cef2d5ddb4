"""Whatever is wrong with the ledger, statements of users go on, and ``problems`` tells of it."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from tests.reconcile.accounts import account

from .helpers import Schema, fill, record, run

MISSED = ("sqlalchemy_file_release", "missed notes")


@pytest.fixture
def clerk(postgresql: Engine):
    """A role that may write into letters, and nothing else."""
    with postgresql.begin() as connection:
        run(connection, "CREATE ROLE clerk")
    yield "clerk"
    with postgresql.begin() as connection:
        run(connection, "DROP OWNED BY clerk CASCADE")
        run(connection, "DROP ROLE clerk")


@pytest.fixture
def schema(postgresql: Engine, clerk: str) -> Schema:
    schema = Schema()
    fill(postgresql, schema, body=record("s/a"), pictures=record("s/b"))
    with postgresql.begin() as connection:
        run(connection, "INSERT INTO letter (id, body) VALUES (2, :v)", v=record("s/c"))
        run(connection, f"GRANT ALL ON letter TO {clerk}")
    return schema


FAULTS = {
    "another owner and no rights": "ALTER TABLE sqlalchemy_file_release OWNER TO clerk; "
    "REVOKE ALL ON sqlalchemy_file_release FROM PUBLIC",
    "row-level security": "ALTER TABLE sqlalchemy_file_release ENABLE ROW LEVEL SECURITY; "
    "ALTER TABLE sqlalchemy_file_release FORCE ROW LEVEL SECURITY",
    "a column that takes no NULL": "ALTER TABLE sqlalchemy_file_release ADD shelf int NOT NULL",
    "no way into the schema": "CREATE SCHEMA other; ALTER TABLE letter SET SCHEMA other; "
    "GRANT USAGE ON SCHEMA other TO PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "no ledger": "DROP TABLE sqlalchemy_file_release CASCADE",
    "a check that fails": "ALTER TABLE sqlalchemy_file_release ADD CHECK (path = 'none')",
    "a trigger that raises": "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'no'; END $$; CREATE TRIGGER never BEFORE INSERT ON "
    "sqlalchemy_file_release EXECUTE FUNCTION never()",
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_statements_go_on_and_the_miss_is_told(
    postgresql: Engine, schema: Schema, fault: str
) -> None:
    with postgresql.begin() as connection:
        connection.exec_driver_sql(fault)
    role = "postgres" if "OWNER" in fault else "clerk"
    with postgresql.connect() as connection:
        run(connection, "SET LOCAL search_path = public, other")
        run(connection, f"SET LOCAL ROLE {role}")
        run(connection, "UPDATE letter SET body = NULL WHERE id = 2")
        run(connection, "DELETE FROM letter WHERE id = 1")
        run(connection, "TRUNCATE letter")
        connection.commit()
        assert schema.problems(connection) != set()


def test_a_miss_is_told_after_its_cause_and_its_transaction_are_gone(
    postgresql: Engine, schema: Schema
) -> None:
    with postgresql.begin() as connection:
        run(connection, "ALTER TABLE sqlalchemy_file_release ADD shelf int NOT NULL")
        assert schema.problems(connection) == {("sqlalchemy_file_release", "unknown column")}
    with postgresql.connect() as connection:
        run(connection, "DELETE FROM letter")
        connection.rollback()
    with postgresql.begin() as connection:
        run(connection, "ALTER TABLE sqlalchemy_file_release DROP shelf")
        assert schema.problems(connection) == {MISSED}
        schema.ledger.ensure(connection)
        assert schema.problems(connection) == {MISSED}
        schema.ledger.forget_missed(connection)
        assert schema.problems(connection) == set()


def test_a_miss_is_in_the_log_of_the_server(postgresql: Engine, schema: Schema) -> None:
    notices = []
    with postgresql.connect() as connection:
        run(connection, "ALTER TABLE sqlalchemy_file_release ADD CHECK (path = 'none')")
        driver = connection.connection.driver_connection
        driver.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        run(connection, "DELETE FROM letter WHERE id = 2")
        connection.rollback()
    assert len(notices) == 1
    assert notices[0].startswith(
        "sqlalchemy-file: what DELETE of public.letter releases is not noted: new row"
    )


def test_rights_that_were_taken_come_back(postgresql: Engine, schema: Schema) -> None:
    with postgresql.begin() as connection:
        run(connection, "REVOKE ALL ON sqlalchemy_file_release FROM PUBLIC")
        run(connection, "REVOKE ALL ON SEQUENCE sqlalchemy_file_missed FROM PUBLIC")
        assert schema.problems(connection) == {("sqlalchemy_file_release", "rights")}
        schema.ledger.ensure(connection)
        assert schema.problems(connection) == set()


def test_rows_that_a_policy_hides_are_not_passed_over_by_truncate(
    postgresql: Engine, schema: Schema
) -> None:
    with postgresql.begin() as connection:
        run(connection, "ALTER TABLE letter ENABLE ROW LEVEL SECURITY")
        run(connection, "SET LOCAL ROLE clerk")
        run(connection, "TRUNCATE letter")
        run(connection, "RESET ROLE")
        assert schema.problems(connection) == {MISSED}


def test_nobody_reads_or_changes_notes_by_what_public_may(
    postgresql: Engine, schema: Schema
) -> None:
    forbidden = [
        "SELECT * FROM sqlalchemy_file_release",
        "DELETE FROM sqlalchemy_file_release",
        "UPDATE sqlalchemy_file_release SET due_at = 0",
        "INSERT INTO sqlalchemy_file_release (path, due_at) VALUES ('s/a', 0)",
        "INSERT INTO sqlalchemy_file_release (path, lease) VALUES ('s/a', 'me')",
    ]
    with postgresql.connect() as connection:
        for statement in forbidden:
            run(connection, "SET LOCAL ROLE clerk")
            with pytest.raises(Exception, match="permission denied"):
                run(connection, statement)
            connection.rollback()


def test_a_cast_of_the_tables_owner_runs_as_whoever_writes_and_no_more(
    postgresql: Engine, schema: Schema
) -> None:
    with postgresql.begin() as connection:
        run(connection, "GRANT CREATE ON SCHEMA public TO clerk")
        run(connection, "ALTER TABLE letter OWNER TO clerk")
        run(connection, "SET LOCAL ROLE clerk")
        run(connection, "CREATE TABLE seen (who text)")
        connection.exec_driver_sql(
            "CREATE TYPE sly AS (v text); "
            "CREATE FUNCTION told(sly) RETURNS text LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO public.seen VALUES (current_user); RETURN $1.v; END $$; "
            "CREATE CAST (sly AS text) WITH FUNCTION told(sly)"
        )
        run(connection, "ALTER TABLE letter ALTER body TYPE sly USING NULL")
        run(connection, "UPDATE letter SET body = ROW('x')::sly")
        run(connection, "DELETE FROM letter")
        assert set(connection.execute(text("SELECT who FROM seen")).scalars()) == {"clerk"}
        run(connection, "RESET ROLE")
        assert ("letter", "wrong type") in schema.problems(connection)
        run(connection, "TRUNCATE seen")
        schema.ledger.ensure(connection)
        assert schema.problems(connection) == {("letter", "wrong type")}
        run(connection, "INSERT INTO letter (id, body) VALUES (1, ROW('x')::sly)")
        run(connection, "DELETE FROM letter")
        assert connection.execute(text("SELECT who FROM seen")).all() == []


def test_names_of_others_are_not_taken_for_those_of_the_catalog(
    postgresql: Engine, schema: Schema
) -> None:
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION public.strpos(text, text) RETURNS int LANGUAGE sql AS 'SELECT 1/0'; "
            "CREATE FUNCTION public.octet_length(text) RETURNS int LANGUAGE sql AS 'SELECT 1/0'"
        )
        run(connection, "SET LOCAL search_path = public, pg_catalog")
        run(connection, "DELETE FROM public.letter")
        run(connection, "SET LOCAL search_path = public")
        assert schema.released(connection) == ["s/a", "s/b", "s/c"]
        assert schema.problems(connection) == set()


def test_lastval_is_what_it_was(postgresql: Engine, schema: Schema) -> None:
    with postgresql.begin() as connection:
        run(connection, "CREATE SEQUENCE own START 7")
        run(connection, "SELECT nextval('own')")
        run(connection, "DELETE FROM letter WHERE id = 1")
        assert connection.scalar(text("SELECT lastval()")) == 7
        run(connection, "ALTER TABLE sqlalchemy_file_release ADD CHECK (path = 'none') NOT VALID")
        run(connection, "DELETE FROM letter")
        assert connection.scalar(text("SELECT lastval()")) == 7
        assert schema.problems(connection) == {MISSED}


def test_a_type_altered_twice_disturbs_no_session(postgresql: Engine, schema: Schema) -> None:
    with postgresql.connect() as connection:
        for number, type_ in enumerate(["jsonb", "text", "json", "jsonb"], 10):
            insert = "INSERT INTO letter (id, body) VALUES (:i, :v)"
            run(connection, insert, i=number, v=record(f"s/{number}"))
            run(connection, "UPDATE letter SET title = 'x'")
            run(connection, "UPDATE letter SET pictures = NULL")
            run(
                connection,
                f"ALTER TABLE letter ALTER body TYPE {type_} USING body::text::{type_}",
            )
            run(connection, "DELETE FROM letter WHERE id >= 10")
        assert {"s/10", "s/11", "s/12", "s/13"} <= set(schema.released(connection))
        assert schema.problems(connection) == set()


# --- MariaDB


def test_a_definer_who_lost_all_rights_stops_no_statement(mariadb: Engine) -> None:
    schema = Schema()
    with account(mariadb, "GRANT ALL ON *.* TO {name}") as definer:
        fill(definer, schema, body=record("s/a"))
        definer.dispose()
        with mariadb.begin() as connection:
            run(connection, f"REVOKE ALL ON *.* FROM {definer.url.username}")
            run(connection, f"GRANT TRIGGER ON letter TO {definer.url.username}")
            run(connection, "UPDATE letter SET body = NULL")
            run(connection, "DELETE FROM letter")


def test_what_mariadb_cannot_note_stands_elsewhere_until_it_can(mariadb: Engine) -> None:
    schema = Schema()
    schema.files_below("page", "letter")
    fill(mariadb, schema, body=record("s/a"), pictures=record("s/b", "s/c"))
    with mariadb.begin() as connection:
        run(connection, "INSERT INTO page VALUES (1, 1, :v)", v=record("s/page"))
        run(connection, "ALTER TABLE sqlalchemy_file_release ADD shelf int NOT NULL")
        run(connection, "DELETE FROM letter")
        assert schema.released(connection) == []
        shelf = ("sqlalchemy_file_release", "unknown column")
        assert schema.problems(connection) == {shelf, MISSED}
        run(connection, "ALTER TABLE sqlalchemy_file_release DROP shelf")
        assert schema.problems(connection) == {MISSED}
        schema.ledger.ensure(connection)
        assert schema.problems(connection) == set()
        assert schema.released(connection) == ["s/a", "s/b", "s/c", "s/page"]


def test_the_mode_of_a_program_is_not_that_of_the_triggers(mariadb: Engine) -> None:
    schema = Schema()
    schema.files_below("page", "letter")
    with mariadb.begin() as connection:
        for mode in ("ORACLE", "ANSI,NO_BACKSLASH_ESCAPES", ""):
            run(connection, f"SET sql_mode = '{mode}'")
            found = connection.scalar(text("SELECT @@sql_mode"))
            schema.metadata.create_all(connection)
            assert schema.problems(connection) == set()
            assert connection.scalar(text("SELECT @@sql_mode")) == found
            row = (
                "INSERT INTO letter VALUES (1, NULL, :v, NULL, NULL)"  # body is a word of Oracle's
            )
            run(connection, row, v=record("s/a"))
            run(connection, "INSERT INTO page VALUES (1, 1, :v)", v=record("s/page"))
            run(connection, "DELETE FROM letter")
            assert schema.released(connection) == ["s/a", "s/page"]
            schema.metadata.drop_all(connection)


def test_a_table_with_system_versioning_is_noted(mariadb: Engine) -> None:
    schema = Schema()
    fill(mariadb, schema, body=record("s/a"))
    with mariadb.begin() as connection:
        run(connection, "ALTER TABLE letter ADD SYSTEM VERSIONING")
        assert schema.problems(connection) == set()
        run(connection, "UPDATE letter SET body = :v", v=record("s/b"))
        run(connection, "DELETE FROM letter")
        assert schema.released(connection) == ["s/a", "s/b"]
        schema.ledger.uninstall(connection)
        schema.ledger.install(connection)
        assert schema.problems(connection) == set()
