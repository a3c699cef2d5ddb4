"""The ledger: a table that the database itself fills with the objects that rows have released.

One line adds it to the metadata of a program::

    ledger = Ledger(Base.metadata)

Layout: ``tables`` holds the two tables and the database's clock.
"""

from __future__ import annotations

from sqlalchemy import MetaData, Table

from sqlalchemy_file.ledger.tables import releases_table, state_table

__all__ = ["Ledger", "ledger_of"]


class Ledger:
    """The ledger of one metadata: its tables, and the triggers that fill them."""

    def __init__(self, metadata: MetaData, *, schema: str | None = None) -> None:
        if ledger_of(metadata) is not None:
            raise ValueError("this metadata has a ledger already; ledger_of(metadata) returns it")
        self.metadata = metadata
        self.releases: Table = releases_table(metadata, schema)
        self.state: Table = state_table(metadata, schema)
        metadata.info[_IN_INFO] = self


def ledger_of(metadata: MetaData) -> Ledger | None:
    """Return the ledger that was added to a metadata, or None."""
    ledger: Ledger | None = metadata.info.get(_IN_INFO)
    return ledger


_IN_INFO = "sqlalchemy_file.ledger"
