"""The site of a database, which tells one database from another."""

from __future__ import annotations

import hashlib
import os
import sys
import uuid
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.ledger.connections import commits_each_statement
from sqlalchemy_file.ledger.tables import STATE

try:
    import fcntl
except ImportError:  # pragma: no cover  Windows
    fcntl = None  # type: ignore[assignment]

_GET_VERSION = 0x80087601  # FS_IOC_GETVERSION of Linux: ext4, xfs and btrfs answer it


@dataclass(frozen=True, slots=True)
class Site:
    """The site of a database.

    ``server`` never changes at one site. ``marks`` may, one at a time: an address, the time of the
    server's start, a device number. ``name`` is one of the marks, for people.
    """

    server: str
    name: str
    marks: frozenset[str]


def site_of(connection: Connection, schema: str | None = None) -> Site:
    """Return the site of a connection's database, with the ledger in ``schema``."""
    name = connection.dialect.name
    if name == "postgresql":
        return _postgresql(connection, schema)
    return _sqlite(connection, schema) if name == "sqlite" else _mariadb(connection, schema)


def is_there(connection: Connection, server: str, name: str) -> bool:
    """Return True if the database at another site, with this ``server`` and ``name``, can be seen.

    Those are other schemas and databases of the same server, and files of SQLite on this machine.
    """
    if os.path.isabs(name) and _file_site(name) == server:  # noqa: PTH117
        return True
    own = site_of(connection).server
    if connection.dialect.name == "postgresql":
        return _is_on_postgresql(connection, own, server)
    if connection.dialect.name in ("mariadb", "mysql"):
        uid, _, _ = own.partition(":")
        known, _, database = server.partition(":")
        query = text(_TABLES_ON_MARIADB)
        return bool(uid) and uid == known and bool(connection.scalar(query, {"name": database}))
    return False


def _is_on_postgresql(connection: Connection, own: str, server: str) -> bool:
    mine, other = own.split(":", 3), server.split(":", 3)
    if len(other) < len(mine) or not mine[0] or (mine[0], mine[2]) != (other[0], other[2]):
        return False
    query = text(_SCHEMA if mine[1] == other[1] else _DATABASE)
    return bool(connection.scalar(query, {"oid": other[1], "schema": other[3]}))


def _postgresql(connection: Connection, schema: str | None) -> Site:
    """Return the site; that of a physical copy has another timeline, or both marks differ.

    The address depends on the connection, and may change with a restart. The time of the start is
    the same for all connections, and differs for each copy. A standby has its primary's site.
    """
    row = connection.execute(text(_ON_POSTGRESQL), {"schema": schema}).one()
    system, timeline = _cluster(connection)
    address = row.address or "local"
    if address in ("local", "127.0.0.1/32", "::1/128", "127.0.0.1", "::1"):
        address = machine()
    server = f"{system}:{row.oid}:{timeline}:{row.schema}"
    name = f"{row.name}.{row.schema} at {address}:{row.port}"
    return Site(server, name, frozenset([name, f"since {row.since}"]))


def _cluster(connection: Connection) -> tuple[str, str]:
    """Return the cluster's id and timeline; empty where this account may not ask."""
    is_open = connection.in_transaction() and not commits_each_statement(connection)
    try:
        with connection.begin_nested() if is_open else nullcontext():
            row = connection.execute(text(_CLUSTER)).one()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return "", ""
    return str(row[0]), str(row[1])


def _mariadb(connection: Connection, schema: str | None) -> Site:
    values = {row[0]: row[1] for row in connection.execute(text(_ON_MARIADB))}
    server = values.get("server_uid") or values.get("server_uuid") or ""
    database = schema or connection.scalar(text("SELECT database()"))
    name = f"{database} at {values.get('hostname')}:{values.get('port')}"
    return Site(f"{server}:{database}", name, frozenset([name]))


def _sqlite(connection: Connection, schema: str | None) -> Site:
    """Return the site: a file, whose path, device or machine may change. A copy is another file."""
    query = text("SELECT file FROM pragma_database_list WHERE name = :name")
    path = connection.scalar(query, {"name": schema or "main"})
    server = _file_site(path) if path else None
    if server is None:
        return Site("memory", "memory", frozenset(["memory"]))
    real = os.path.realpath(path)
    device = os.stat(path).st_dev  # noqa: PTH116
    return Site(server, real, frozenset([real, f"device {device}", f"machine {machine()}"]))


def _file_site(path: str) -> str | None:
    """Return what identifies a file, or None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    generation = _generation(os.path.realpath(path))
    return f"{found.st_ino}:{machine() if generation is None else generation}"


def _generation(path: str) -> int | None:
    """Return what tells a file from others that had its inode before, on some file systems."""
    if fcntl is None:  # pragma: no cover  Windows
        return None
    with suppress(OSError), Path(path).open("rb") as file:
        answer = fcntl.ioctl(file.fileno(), _GET_VERSION, bytes(8))
        return int.from_bytes(answer[:4], sys.byteorder)
    return None


@cache
def machine() -> str:
    """Return what tells this machine from others."""
    for name in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with suppress(OSError):
            if found := Path(name).read_text().strip():
                return hashlib.sha256(found.encode()).hexdigest()[:16]
    return f"{uuid.getnode():x}"


_ON_POSTGRESQL = """
    SELECT oid, datname AS name, coalesce(CAST(:schema AS text), current_schema()) AS schema,
        inet_server_addr()::text AS address, current_setting('port') AS port,
        extract(epoch FROM pg_postmaster_start_time()) AS since
    FROM pg_catalog.pg_database WHERE datname = current_database()
"""
# A server in recovery has no current WAL file; those that it replays are its primary's.
_CLUSTER = """
    SELECT (SELECT system_identifier FROM pg_control_system()),
        CASE WHEN pg_is_in_recovery() THEN
            (SELECT lpad(to_hex(timeline_id), 8, '0') FROM pg_control_checkpoint())
        ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END
"""
_ON_MARIADB = """
    SHOW VARIABLES WHERE Variable_name IN ('server_uid', 'server_uuid', 'hostname', 'port')
"""
_DATABASE = "SELECT true FROM pg_catalog.pg_database WHERE CAST(oid AS text) = :oid"
_SCHEMA = f"SELECT to_regclass(quote_ident(:schema) || '.{STATE}') IS NOT NULL"
_TABLES_ON_MARIADB = f"""
    SELECT 1 FROM information_schema.tables WHERE table_schema = :name AND table_name = '{STATE}'
"""
