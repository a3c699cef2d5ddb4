"""The ledger as earlier releases made it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

from .helpers import run

RELEASES = "sqlalchemy_file_release"


def first_layout(connection: Connection, schema: str | None = None) -> None:
    """Make the ledger's table of the first layout, with two notes."""
    big = BigInteger().with_variant(Integer, "sqlite")
    table = Table(
        RELEASES,
        MetaData(),
        Column("id", big, Identity(), primary_key=True, autoincrement=True),
        Column(
            "path",
            Text().with_variant(Text(collation="utf8mb4_bin"), "mysql", "mariadb"),
            nullable=False,
        ),
        Column("at", BigInteger, nullable=False),
        Column("due_at", BigInteger, nullable=False),
        Column("tries", Integer, nullable=False, server_default="0"),
        Column("last_error", Text),
        Index(f"ix_{RELEASES}_path", "path", mysql_length=255, mariadb_length=255),
        Index(f"ix_{RELEASES}_due_at", "due_at"),
        schema=schema,
    )
    table.create(connection)
    where = f"{schema}.{RELEASES}" if schema else RELEASES
    run(
        connection,
        f"INSERT INTO {where} (path, at, due_at, tries, last_error) "
        "VALUES ('s/old', 1700000000001, 1700000000002, 3, 'no answer'), "
        "('s/older', 1, 2, 0, NULL)",
    )


def trigger_of_first_layout(connection: Connection) -> None:
    """Make a trigger on letters as the first layout had it, but for the reading of paths."""
    insert = f"INSERT INTO {RELEASES} (path, at, due_at) VALUES ('s/first', 1, 1)"
    name = "sqlalchemy_file_delete_v1_0123456789ab"
    body = f'/*sqlalchemy-file {{"ledger": "x.{RELEASES}", "columns": ["body"]}}*/'
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "CREATE FUNCTION sqlalchemy_file_released_v1_0123456789ab() RETURNS trigger "
            f"LANGUAGE plpgsql AS $$ {body} BEGIN {insert}; RETURN NULL; END $$"
        )
        action = "EXECUTE FUNCTION sqlalchemy_file_released_v1_0123456789ab()"
    else:
        action = f"BEGIN {body} {insert}; END"
    connection.exec_driver_sql(
        f"CREATE TRIGGER {name} AFTER DELETE ON letter FOR EACH ROW {action}"
    )
