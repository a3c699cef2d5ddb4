"""A small schema with a ledger, and what its tests ask of a database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Row,
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

    @classmethod
    def of(cls, metadata: MetaData, ledger: Ledger) -> Schema:
        """Return what asks the same of a schema that was made elsewhere."""
        schema = cls.__new__(cls)
        schema.metadata, schema.ledger = metadata, ledger
        return schema

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
        """Return the paths that were noted as released, each once."""
        return sorted({row.path for row in self._notes(connection) if row.lease is None})

    def kept(self, connection: Connection) -> list[str]:
        """Return the paths that were noted as kept, each once."""
        rows = [row for row in self._notes(connection) if row.lease == "kept"]
        assert all(row.due_at > row.at + 10**12 for row in rows)
        return sorted({row.path for row in rows})

    def _notes(self, connection: Connection) -> Sequence[Row[Any]]:
        """Return the notes, sound in every column that triggers leave to defaults."""
        rows = connection.execute(select(self.ledger.releases)).all()
        now = 1_600_000_000_000
        assert all(now < row.at <= row.due_at and row.tries == 0 for row in rows)
        return rows

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


_ledger = Ledger(MetaData())


def move(engine: Engine) -> None:
    """Make the database believe that it was somewhere else until now, as a copy does."""
    with engine.begin() as connection:
        state = _ledger.state.c
        home = state.name == "home"
        known = connection.scalar(_ledger.state.select().with_only_columns(state.value).where(home))
        value = known.replace('"server": "', '"server": "elsewhere ')
        connection.execute(_ledger.state.update().where(home).values(value=value))
