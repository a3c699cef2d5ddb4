"""The id of a ledger, and the epochs whose objects its database may delete.

The key of every object contains the epoch of the ledger that stored it. A database that was copied,
restored elsewhere or moved begins a new epoch, and deletes nothing of an earlier epoch until it
adopts it. So a copy never deletes what rows of its original refer to.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, update

from sqlalchemy_file.ledger.sites import Site, site_of
from sqlalchemy_file.ledger.state import IDENTITY as _ID
from sqlalchemy_file.ledger.state import forget_checkpoints, ledger_id, read_all, write
from sqlalchemy_file.ledger.tables import KEPT, LedgerTables, now_ms
from sqlalchemy_file.values.records import epoch_of

_HOME = "home"
_changes: list[None] = []


@dataclass(frozen=True, slots=True)
class Identity:
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


@dataclass(frozen=True, slots=True)
class Home:
    """The site of a ledger when it was last recorded, and its epochs."""

    server: str
    marks: frozenset[str]
    epochs: tuple[int, ...]
    earlier: frozenset[int] = frozenset()

    def is_at(self, site: Site) -> bool:
        return self.server == site.server and not self.marks.isdisjoint(site.marks)

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
    if not home.is_at(site):
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
