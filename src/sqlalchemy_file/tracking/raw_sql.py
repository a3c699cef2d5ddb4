"""Transaction control that a program writes as SQL, of which SQLAlchemy tells by no event.

What became of the transaction is then the program's secret: a COMMIT of an aborted transaction
rolls back, a ROLLBACK TO undoes a part. So nothing is deleted that rows may name.
"""

from __future__ import annotations

import re

from sqlalchemy import Connection

from sqlalchemy_file.tracking.databases import commits_ddl

_START = r"(?:\A|;)(?:\s|--[^\n]*\n|/\*.*?\*/)*"
_OPTIONS = re.IGNORECASE | re.DOTALL
_ENDS = re.compile(rf"{_START}(?:COMMIT|END|ROLLBACK|ABORT|PREPARE\s+TRANSACTION)\b", _OPTIONS)
_ENDS_BY_DDL = re.compile(
    rf"{_START}(?:COMMIT|ROLLBACK|BEGIN|START|SET\s[^;]*AUTOCOMMIT|ANALYZE|CHECK|FLUSH|GRANT|INSTALL"
    r"|LOCK|OPTIMIZE|RENAME|REPAIR|REVOKE|TRUNCATE|UNINSTALL|UNLOCK"
    r"|(?:ALTER|CREATE|DROP)(?!\s+(?:OR\s+REPLACE\s+)?TEMPORARY))\b",
    _OPTIONS,
)


def may_end_transaction(connection: Connection, sql: str) -> bool:
    """Tell whether a program's own SQL may end the transaction, or undo a part of it."""
    pattern = _ENDS_BY_DDL if commits_ddl(connection) else _ENDS
    return pattern.search(sql) is not None
