"""Accounts with fewer rights than the tests' own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, text


@contextmanager
def account(engine: Engine, *statements: str) -> Iterator[Engine]:
    """Make an account, execute statements about its ``name``, and yield an engine of it."""
    name = f"clerk_{secrets.token_hex(4)}"
    if engine.dialect.name == "postgresql":
        creating, dropping = f"CREATE ROLE {name} LOGIN PASSWORD 'x'", f"DROP OWNED BY {name}"
    else:
        creating, dropping = f"CREATE USER {name} IDENTIFIED BY 'x'", "SELECT 1"
    role = "ROLE" if engine.dialect.name == "postgresql" else "USER"
    with engine.begin() as connection:
        for statement in (creating, *statements):
            connection.execute(text(statement.format(name=name)))
    clerk = create_engine(engine.url.set(username=name, password="x"))
    try:
        yield clerk
    finally:
        clerk.dispose()
        with engine.begin() as connection:
            connection.execute(text(dropping))
            connection.execute(text(f"DROP {role} {name}"))
