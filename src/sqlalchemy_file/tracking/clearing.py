"""Clears the ledger of what a session has deleted itself. What fails is left to the drain."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete
from sqlalchemy.exc import SQLAlchemyError

from sqlalchemy_file.escaping import escaped
from sqlalchemy_file.ledger import Ledger

logger: logging.Logger = logging.getLogger("sqlalchemy_file")

BATCH_SIZE = 500
"""How many paths are named at a time; every database takes that many parameters."""


def clear(connection: Connection, ledgers: Iterable[Ledger], gone: Iterable[str]) -> None:
    """Take deleted paths out of the ledgers, in one transaction after that of ``connection``."""
    paths = sorted(gone)
    if not paths:
        return
    options = connection.get_execution_options()
    for ledger in ledgers:
        try:
            with connection.engine.connect() as fresh:
                fresh.execution_options(schema_translate_map=options.get("schema_translate_map"))
                _clear(fresh, ledger, paths)
                fresh.commit()
        except SQLAlchemyError as error:
            logger.warning(
                "%d deleted objects stay in %s until the next drain: %s",
                len(paths),
                ledger.releases,
                escaped(error),
            )


def _clear(connection: Connection, ledger: Ledger, paths: Sequence[str]) -> None:
    path = ledger.releases.c.path
    for start in range(0, len(paths), BATCH_SIZE):
        batch = paths[start : start + BATCH_SIZE]
        connection.execute(delete(ledger.releases).where(path.in_(batch)))
