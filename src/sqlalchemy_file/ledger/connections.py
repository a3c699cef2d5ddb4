"""What the ledger needs to know of a connection."""

from __future__ import annotations

from sqlalchemy import Connection


def commits_each_statement(connection: Connection) -> bool:
    """Return True if PostgreSQL has no transaction open, whatever SQLAlchemy has begun.

    It has no savepoints and no cursors then.
    """
    if connection.dialect.name != "postgresql":
        return False
    own = connection.connection.dbapi_connection
    level = connection.get_execution_options().get("isolation_level")
    return level == "AUTOCOMMIT" or bool(getattr(own, "autocommit", False))
