"""Read rows again, within the transaction, if the effect of statements is not known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from sqlalchemy import Connection

from sqlalchemy_file.tracking.reading import Database, rows_by
from sqlalchemy_file.tracking.searching import still_named
from sqlalchemy_file.tracking.tables import Key
from sqlalchemy_file.tracking.unit.effects import Doubts, Effects, Spot, Subject
from sqlalchemy_file.tracking.unit.units import Unit
from sqlalchemy_file.values.records import paths_of


def resolve_doubts(connection: Connection, unit: Unit) -> None:
    """Read rows again for statements whose effect is not known, and count it.

    That is not needed for objects with entries in the ledger.
    """
    for effects in unit.take_unsure():
        database = Database(connection, effects.schemas)
        named = still_named(database, effects.target, effects.paths())
        unit.frames.change(effects.as_seen(named, unit.frames.references))
    if not unit.notes and not unit.frames.has_doubts:
        return
    noted = unit.lease()
    if doubts := unit.frames.doubts():
        doubts = doubts.unless_noted(noted)
        unit.frames.drop_doubts()
        if doubts:
            corrections = _corrections(connection, unit, doubts)
            unit.frames.correct(corrections)
            if corrections.released:
                unit.lease()
    unit.settle_kept()


def reread_now(connection: Connection, unit: Unit) -> None:
    """Read rows again as long as they are found by their primary keys.

    What outer transactions believe is left alone: a savepoint that is rolled back restores it.
    """
    doubts = unit.frames.doubts()
    if not doubts:
        return
    corrections = _corrections(connection, unit, doubts)
    unit.frames.settle_doubts()
    unit.frames.correct(corrections)


def reference_counter(connection: Connection, unit: Unit) -> Callable[[str], int]:
    """Return a function that counts the rows that refer to an object, and reads rows in doubt."""
    corrections: Counter[str] | None = None

    def count(path: str) -> int:
        nonlocal corrections
        if corrections is None and unit.frames.is_doubted(path):
            found = _corrections(connection, unit, unit.frames.doubts())
            corrections = Counter(found.acquired)
            corrections.subtract([*found.released, *found.archived])
        return unit.frames.count(path) + (corrections[path] if corrections else 0)

    return count


def _corrections(connection: Connection, unit: Unit, doubts: Doubts) -> Effects:
    found = _read(connection, doubts.spots())
    corrections = Effects(acquired=list(doubts.kept(found)))
    entrusted = unit.frames.entrusted()
    for path in _unnamed(connection, doubts, doubts.missed(found)):
        lost = corrections.archived if path in entrusted else corrections.released
        lost += [path] * unit.frames.references(path)
    return corrections


def _unnamed(connection: Connection, doubts: Doubts, paths: Iterable[str]) -> list[str]:
    """Return those of the missed objects that no row refers to.

    The row that should name one may have got another primary key, and a second row the old one; or
    SQL that is not tracked has given it to another row.
    """
    by_subject: dict[Subject, list[str]] = defaultdict(list)
    for path in paths:
        if (spot := doubts.named[path]) is not None:
            by_subject[spot.subject].append(path)
    unnamed: list[str] = []
    for subject, missed in by_subject.items():
        database = Database(connection, dict(subject.schemas) or None)
        named = still_named(database, subject.target, missed)
        unnamed += [path for path in missed if path not in named]
    return unnamed


def _read(connection: Connection, spots: Iterable[Spot]) -> dict[Spot, set[str]]:
    """Return the objects that rows name now; rows that are not found are left out."""
    keys: dict[Subject, list[Key]] = defaultdict(list)
    for spot in spots:
        keys[spot.subject].append(spot.key)
    found: dict[Spot, set[str]] = {}
    for subject, wanted in keys.items():
        database = Database(connection, dict(subject.schemas) or None)
        for row in rows_by(database, subject.target, subject.columns, wanted):
            records = [record for column in row.values for record in row.records(column)]
            found[Spot(subject, row.key)] = {path for each in records for path in paths_of(each)}
    return found
