"""Tokens that distinguish a transaction from one that began after its end.

No state of a driver does: after a procedure that commits and continues, or COMMIT AND CHAIN, there
is a transaction as before. A token ends with its transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import Connection

from sqlalchemy_file.tracking.unit.standing import Standing, standing

_SAVEPOINT = "sqlalchemy_file_token"


@dataclass(frozen=True, slots=True)
class Token:
    """A mark inside one transaction, left there by `place`."""

    value: str
    """Empty where the database has no tokens and its driver's state has to do."""

    def is_there(self, connection: Connection, *, is_single: bool = True) -> bool:
        """Return True if the transaction is still the same; False also where nobody can tell.

        An aborted transaction answers no questions, but one statement (``is_single``) that
        failed in it cannot have ended it and begun another.
        """
        now = standing(connection)
        if now is Standing.ABORTED:
            return is_single
        if now is Standing.CLOSED and connection.dialect.name in ("postgresql", "sqlite"):
            return False
        if not self.value:
            return now is Standing.OPEN
        try:
            return self._is_found(connection)
        except connection.dialect.loaded_dbapi.Error:
            return False

    def _is_found(self, connection: Connection) -> bool:
        cursor = connection.connection.cursor()
        try:
            if connection.dialect.name != "postgresql":
                cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")  # an error if it is gone
                return True
            cursor.execute("SELECT current_setting('sqlalchemy_file.tx', true)")
            return cursor.fetchone() == (self.value,)
        finally:
            cursor.close()


def place(connection: Connection) -> Token | None:
    """Leave a token in the transaction; None if the database does not take it."""
    value = uuid4().hex
    if connection.dialect.name == "postgresql":
        statement = f"SELECT set_config('sqlalchemy_file.tx', '{value}', true)"
    elif connection.dialect.name in ("mysql", "mariadb"):
        statement = f"SAVEPOINT {_SAVEPOINT}"
    else:
        return Token("")
    try:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(statement)
        finally:
            cursor.close()
    except connection.dialect.loaded_dbapi.Error:
        return None
    return Token(value)
