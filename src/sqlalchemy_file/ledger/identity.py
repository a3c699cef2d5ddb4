"""The id of a ledger, the site of its database, and the epochs whose objects it may delete.

The key of every object contains the epoch of the ledger that stored it. A database that was copied,
restored elsewhere or moved begins a new epoch, and deletes nothing of an earlier epoch until it
adopts it. So a copy never deletes what rows of its original refer to.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import uuid
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, text, update
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.ledger.connections import commits_each_statement
from sqlalchemy_file.ledger.state import forget_checkpoints, read_all, write
from sqlalchemy_file.ledger.tables import KEPT, STATE, LedgerTables, now_ms
from sqlalchemy_file.values.records import epoch_of

try:
    import fcntl
except ImportError:  # pragma: no cover  Windows
    fcntl = None  # type: ignore[assignment]

_GET_VERSION = 0x80087601  # FS_IOC_GETVERSION of Linux: ext4, xfs and btrfs answer it

_ID, _HOME = "database", "home"
_changes: list[None] = []


class Identity(NamedTuple):
    """A ledger as storages know it.

    It stores in ``epoch``, and may delete what it stored in ``epochs``. Rows of another database
    may refer to objects of ``earlier`` ones.
    """

    id: str
    site: Site
    epoch: int
    epochs: frozenset[int]
    earlier: frozenset[int] = frozenset()

    def may_delete(self, key: str) -> bool:
        """Return True if this database may delete an unreferenced object.

        A key without an epoch is older than epochs, or was chosen by a program.
        """
        return epoch_of(key) in self.epochs or not self.earlier

    def __str__(self) -> str:
        return f"{self.id} ({self.site.name})"


class Home(NamedTuple):
    """The site of a ledger when it was last recorded, and its epochs."""

    server: str
    marks: frozenset[str]
    epochs: tuple[int, ...]
    earlier: frozenset[int] = frozenset()

    def dump(self) -> str:
        epochs = [f"{each:08x}" for each in self.epochs]
        earlier = [f"{each:08x}" for each in sorted(self.earlier)]
        marks = sorted(self.marks)
        return json.dumps(
            {"server": self.server, "marks": marks, "epochs": epochs, "earlier": earlier}
        )

    @classmethod
    def load(cls, value: str) -> Home:
        known: dict[str, Any] = json.loads(value)
        return cls(
            known["server"],
            frozenset(known["marks"]),
            tuple(int(each, 16) for each in known["epochs"]),
            frozenset(int(each, 16) for each in known["earlier"]),
        )


def database_id(connection: Connection, ledger: LedgerTables) -> str:
    """Return the ledger's id, which a dump contains, and its server, which differs for a copy."""
    own = ledger_id(connection, ledger)
    return f"{own}@{site_of(connection, connection.schema_for_object(ledger.state)).server}"


def ledger_id(connection: Connection, ledger: LedgerTables) -> str:
    """Return the random id of a ledger, made at first use; the caller commits."""
    known = read_all(connection, ledger, [_ID])
    if not known:
        write(connection, ledger, _ID, str(uuid.uuid4()))
        known = read_all(connection, ledger, [_ID])
    return known.get(_ID, "")


def identity(
    connection: Connection, ledger: LedgerTables, schema: str | None = None
) -> Identity | None:
    """Return a ledger's identity, or None before `record_home`; nothing is written.

    ``schema`` is that of its tables, if it differs from the connection's.
    """
    options = connection.get_execution_options().get("schema_translate_map") or {}
    schemas = {**options, ledger.state.schema: schema} if schema else options
    known = read_all(connection, ledger, (_ID, _HOME), schemas)
    if _ID not in known or _HOME not in known:
        return None
    site = site_of(connection, schema or connection.schema_for_object(ledger.state))
    return _identity(known[_ID], at_site(Home.load(known[_HOME]), site, known[_ID]), site)


def record_home(connection: Connection, ledger: LedgerTables, *, adopt: bool = False) -> Identity:
    """Return a ledger's identity, and record its site; the caller commits.

    With ``adopt`` this database has replaced those of earlier epochs, and may delete their objects.
    """
    known = read_all(connection, ledger, (_ID, _HOME))
    site = site_of(connection, connection.schema_for_object(ledger.state))
    own = known.get(_ID) or ledger_id(connection, ledger)
    before = Home.load(known[_HOME]) if _HOME in known else None
    home = at_site(before, site, own)
    if adopt and home.earlier:
        home = Home(home.server, home.marks, (*sorted(home.earlier), *home.epochs))
        _take_up(connection, ledger)
    if home != before:
        write(connection, ledger, _HOME, home.dump())
        _changes.append(None)
    return _identity(own, home, site)


def begin_epoch(connection: Connection, ledger: LedgerTables) -> Identity:
    """Begin a new epoch: what was stored so far waits for ``adopt``. The caller commits."""
    found = record_home(connection, ledger)
    earlier = found.earlier | found.epochs
    home = Home(found.site.server, found.site.marks, (secrets.randbits(32),), earlier)
    write(connection, ledger, _HOME, home.dump())
    _changes.append(None)
    return _identity(found.id, home, found.site)


def changes() -> int:
    """Return how often this process has recorded a home; earlier reads may be out of date."""
    return len(_changes)


def at_site(home: Home | None, site: Site, own: str) -> Home:
    """Return the home of a ledger at a site: the same, or a new one.

    The epoch of a new home follows from the site, so that all processes find the same.
    """
    if home is None:
        return Home(site.server, site.marks, (secrets.randbits(32),))
    if home.server != site.server or home.marks.isdisjoint(site.marks):
        place = f"{own}|{site.server}|{site.name}|{home.epochs[-1]}"
        epoch = int.from_bytes(hashlib.sha256(place.encode()).digest()[:4])
        return Home(site.server, site.marks, (epoch,), home.earlier | set(home.epochs))
    if site.marks <= home.marks:
        return home
    # Old marks may belong to another way to connect to the same server.
    marks = {each for each in home.marks if not each.startswith("since ")} | site.marks
    return Home(home.server, frozenset(marks), home.epochs, home.earlier)


def _identity(own: str, home: Home, site: Site) -> Identity:
    return Identity(own, site, home.epochs[-1], frozenset(home.epochs), home.earlier)


def _take_up(connection: Connection, ledger: LedgerTables) -> None:
    """Make the next drain and the next sweep check everything that was left."""
    forget_checkpoints(connection, ledger)
    note = ledger.releases.c
    waiting = and_(note.due_at > now_ms(), note.lease.is_distinct_from(KEPT))
    connection.execute(update(ledger.releases).where(waiting).values(due_at=now_ms()))


class Site(NamedTuple):
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
