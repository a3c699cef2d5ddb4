"""A small schema with a ledger, and what its tests ask of a database."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    select,
    text,
)

from sqlalchemy_file import FileField
from sqlalchemy_file.ledger import Ledger


def record(*paths: str) -> str:
    """Return the JSON of a file that owns these objects."""
    return json.dumps({"path": paths[0], "files": list(paths)})


class Schema:
    """Letters with an attachment and several pictures, and the ledger."""

    def __init__(self, **options: Any) -> None:
        self.metadata = MetaData()
        self.ledger = Ledger(self.metadata, **options)
        self.letter = Table(
            "letter",
            self.metadata,
            Column("id", Integer, primary_key=True),
            Column("title", String(50)),
            Column("body", FileField()),
            Column("pictures", FileField(multiple=True)),
            Column("archived", FileField(on_release="keep")),
        )

    def child(self, name: str, parent: str, **options: Any) -> Table:
        """Add a table without files whose rows go with those of another."""
        return Table(
            name,
            self.metadata,
            Column("id", Integer, primary_key=True),
            Column("parent", ForeignKey(f"{parent}.id", ondelete="CASCADE")),
            **options,
        )

    def files_below(self, name: str, parent: str) -> Table:
        """Add a table with files whose rows go with those of another."""
        table = self.child(name, parent)
        table.append_column(Column("body", FileField()))
        return table

    def released(self, connection: Connection) -> list[str]:
        """Return the paths that the ledger holds, each once, and sound in every other column."""
        rows = connection.execute(select(self.ledger.releases)).all()
        now = 1_600_000_000_000
        assert all(now < row.at <= row.due_at and row.tries == 0 for row in rows)
        return sorted({row.path for row in rows})

    def problems(self, connection: Connection) -> set[tuple[str, str]]:
        """Return which tables have which kinds of problems."""
        return {
            (each.table.rpartition(".")[2], each.kind) for each in self.ledger.problems(connection)
        }


def run(connection: Connection, statement: str, **values: Any) -> None:
    """Execute SQL that SQLAlchemy does not look into, as another program would."""
    connection.execute(text(statement), values)


def fill(engine: Engine, schema: Schema, **values: str) -> None:
    """Create everything, and one letter."""
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        names = ", ".join(["id", *values])
        places = ", ".join(["1", *(f":{name}" for name in values)])
        run(connection, f"INSERT INTO letter ({names}) VALUES ({places})", **values)
