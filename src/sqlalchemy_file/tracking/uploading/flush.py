"""Store the files of a flush before it sends a statement.

In this order: every pending file is validated; all are stored, before any row is locked; the old
values are read and locked; and each saved file that a row takes over from elsewhere either moves,
because its owner lets go of it in the same flush, or is replaced by a copy. The references
themselves are counted by the statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.attributes import instance_state

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.file import File
from sqlalchemy_file.ledger import ledger_of
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.tracking.changes import Change, RowChange, change, files_in
from sqlalchemy_file.tracking.claims import Claim, claim_of
from sqlalchemy_file.tracking.reading import Database, OldRow, rows_by_key
from sqlalchemy_file.tracking.tables import (
    FileAttribute,
    FileTable,
    Key,
    file_attributes,
    file_table,
    file_tables,
    row_key,
)
from sqlalchemy_file.tracking.unit.decisions import Decision, Decisions, add_each
from sqlalchemy_file.tracking.unit.looking import holders
from sqlalchemy_file.tracking.unit.standing import commits_at_once
from sqlalchemy_file.tracking.unit.units import Unit, unit_of
from sqlalchemy_file.tracking.uploading.steps import Unsaved
from sqlalchemy_file.tracking.uploading.storing import Twins, UploadBatch
from sqlalchemy_file.transfer import yield_to_loop
from sqlalchemy_file.values.records import paths_of


@dataclass(slots=True)
class Assigned:
    """A file attribute of one object, with the files that this flush will write."""

    state: InstanceState[Any]
    attribute: FileAttribute
    files: list[File]
    place: tuple[FileTable, Key] | None = None
    """The table and the primary key of its row; None for a new one."""
    acquired: list[str] = field(default_factory=list)
    """The paths that its row takes over."""

    def unsaved(self, claim: Claim | None = None) -> Iterator[Unsaved]:
        field, name, row = self.attribute.field, self.attribute.name, self.state.obj()
        for index, file in enumerate(self.files):
            if not file.saved:
                position = index if field.multiple else None
                yield Unsaved(file, field, name, claim, position, row)

    @property
    def table(self) -> Table:
        table: Table = self.attribute.column.table
        return table

    def decision(self, old: OldRow | None, released: Sequence[str]) -> Decision:
        """Return what the flush has decided, for the statement that will write the row."""
        column = self.attribute.column
        records, key = (old.records(column), old.key) if old else ((), None)
        row = RowChange(column, records, self.files, None, key)
        return Decision(self.state.dict.get(self.attribute.name), row, self.acquired, released)

    def take_over(self, paths: Sequence[str], taken: dict[str, int]) -> None:
        """Let the row own objects, which it then has ``taken``."""
        add_each(taken, paths)
        self.acquired += paths

    def put(self, position: int, copy: File) -> None:
        """Let a copy take the place of a file that belongs to somebody else."""
        self.files[position] = copy
        value = self.state.dict[self.attribute.name]
        if isinstance(value, MutableList):
            list.__setitem__(value, position, copy)
        else:
            self.state.dict[self.attribute.name] = copy


@dataclass(slots=True)
class Work:
    """What a flush will do to files on one connection."""

    writes: list[Assigned] = field(default_factory=list)
    deletes: list[InstanceState[Any]] = field(default_factory=list)


def store_pending(session: Session, instances: Iterable[object] | None) -> None:
    """Store the files of all objects about to be flushed, and prepare the change of their rows."""
    work = _collect(session, instances)
    if not work.writes and not work.deletes:
        return
    _separate(work.writes)
    attempt = UploadBatch()
    by_connection: dict[Connection, Work] = {}
    try:
        attempt.take_over([file for assigned in work.writes for file in assigned.files])
        if _have_ledger(work.writes):
            by_connection = _by_connection(session, work)  # keys tell whose database it is
        attempt.store(list(_unsaved(work, by_connection)))
        by_connection = by_connection or _by_connection(session, work)
        elsewhere: set[str] = set()
        for connection, part in by_connection.items():
            elsewhere |= _prepare(connection, part, attempt, elsewhere)
            yield_to_loop(len(part.writes))
    except BaseException:
        for connection in by_connection:
            unit_of(connection).forget_flush()
        attempt.undo()
        raise
    for connection, part in by_connection.items():
        files = [file for assigned in part.writes for file in assigned.files]
        is_one = len(by_connection) == 1
        attempt.hand_over(unit_of(connection).frames.top, None if is_one else files)


def _have_ledger(writes: Iterable[Assigned]) -> bool:
    metadatas = {assigned.table.metadata for assigned in writes}
    return any(map(ledger_of, metadatas))


def pending(session: Session) -> list[Unsaved]:
    """Return the files that the next flush will store."""
    writes = _collect(session, None).writes
    _separate(writes)
    return [item for assigned in writes for item in assigned.unsaved()]


def _unsaved(work: Work, by_connection: Mapping[Connection, Work]) -> Iterator[Unsaved]:
    if not by_connection:
        for assigned in work.writes:
            yield from assigned.unsaved()
        return
    for connection, part in by_connection.items():
        database, claims = _database(connection), dict[MetaData, Claim | None]()
        for assigned in part.writes:
            metadata = assigned.table.metadata
            if metadata not in claims:
                claims[metadata] = claim_of(database, assigned.table)
            yield from assigned.unsaved(claims[metadata])


def _database(connection: Connection) -> Database:
    return Database(connection, connection.get_execution_options().get("schema_translate_map"))


def check_moves(connection: Connection, unit: Unit) -> None:
    """Refuse a flush that moved a file to another row while its owner kept it."""
    moved = None if unit.decisions is None else unit.decisions.moved
    if not moved:
        return
    count = holders(connection, unit)
    shared = [path for path in moved if count(path) > 1]
    if shared:
        raise StorageError(
            f"two rows would name {shared[0]}: a listener or a trigger kept a row from letting go "
            "of its file after another row had taken it over; assign the file to one row only"
        )


def _collect(session: Session, instances: Iterable[object] | None) -> Work:
    chosen = None if instances is None else {id(instance) for instance in instances}
    work = Work()
    for instance in (*session.new, *session.dirty):
        if chosen is None or id(instance) in chosen:
            state = instance_state(instance)
            if attributes := file_attributes(state.mapper):
                _collect_assigned(work.writes, state, attributes)
    for instance in session.deleted:
        state = instance_state(instance)
        if (chosen is None or id(instance) in chosen) and file_attributes(state.mapper):
            work.deletes.append(state)
    return work


def _collect_assigned(
    writes: list[Assigned], state: InstanceState[Any], attributes: Iterable[FileAttribute]
) -> None:
    values, before, is_new = state.dict, state.committed_state, state.key is None
    for attribute in attributes:
        value = values.get(attribute.name)
        if (is_new and value is not None) or attribute.name in before:
            files = [file for file in files_in(value) if isinstance(file, File)]
            writes.append(Assigned(state, attribute, files))


def _separate(writes: Sequence[Assigned]) -> None:
    if len(writes) < 2:
        return
    twins = Twins()
    for assigned in writes:
        for position, file in enumerate(assigned.files):
            own = twins.of(file, assigned.attribute.field)
            if own is not file:
                assigned.put(position, own)


def _by_connection(session: Session, work: Work) -> dict[Connection, Work]:
    connections: dict[Mapper[Any], Connection] = {}
    parts: dict[Connection, Work] = defaultdict(Work)
    choose = session.connection_callable  # a sharded session's, by the row

    def part(state: InstanceState[Any]) -> Work:
        mapper = state.mapper.base_mapper
        if choose is not None:
            return parts[choose(mapper, state.obj())]
        if mapper not in connections:
            connections[mapper] = session.connection(bind_arguments={"mapper": mapper})
        return parts[connections[mapper]]

    for assigned in work.writes:
        part(assigned.state).writes.append(assigned)
    for state in work.deletes:
        part(state).deletes.append(state)
    return parts


def _prepare(
    connection: Connection, work: Work, attempt: UploadBatch, elsewhere: Collection[str]
) -> set[str]:
    """Decide which files the rows of one connection may own, and copy the others.

    Returns the paths that these rows take over; those of other connections are ``elsewhere``.
    """
    unit = unit_of(connection)
    decisions = unit.decisions = Decisions()
    _read_old_rows(connection, decisions, work)
    changes = [(assigned, *_change(decisions, assigned)) for assigned in work.writes]
    released = _released([found for *_, found in changes], decisions, work.deletes)
    is_final = cache(partial(commits_at_once, connection))
    written, taken = attempt.written, decisions.claims
    foreign: list[tuple[Assigned, int, File]] = []
    count = holders(connection, unit)

    def is_free(path: str, assigned: Assigned) -> bool:
        if path in elsewhere:
            return False
        held = 0 if path in written else count(path)
        given = released.get(path, 0)
        if given and is_final():  # another row may not come to let go of it
            given = _given_by_row(changes, assigned, path)
        return held - given + taken.get(path, 0) < 1

    for assigned, _, found in changes:
        for position, file in found.acquired:
            paths = paths_of(file)
            if all(is_free(path, assigned) for path in paths):
                assigned.take_over(paths, taken)
            else:
                foreign.append((assigned, position, file))
    decisions.moved.update(taken.keys() - written)
    if foreign:
        _copy(connection, attempt, foreign, taken)
    for assigned, old, found in changes:
        if old is not None or assigned.state.key is None:
            decisions.add(assigned.decision(old, found.released))
    return set(taken)


def _given_by_row(
    changes: Iterable[tuple[Assigned, OldRow | None, Change]], taker: Assigned, path: str
) -> int:
    """Return how often other columns of the same row let go of a path: in the same statement."""
    return sum(
        found.released.count(path)
        for assigned, _, found in changes
        if assigned.place is not None and assigned.place == taker.place
    )


def _copy(
    connection: Connection,
    attempt: UploadBatch,
    foreign: Sequence[tuple[Assigned, int, File]],
    taken: dict[str, int],
) -> None:
    """Let copies take the place of files that belong to others."""
    claim = claim_of(_database(connection), foreign[0][0].table)
    copies = attempt.copy([file for *_, file in foreign], claim)
    for (assigned, position, _), copy in zip(foreign, copies, strict=True):
        assigned.put(position, copy)
        assigned.take_over(paths_of(copy), taken)


def _read_old_rows(connection: Connection, decisions: Decisions, work: Work) -> None:
    if not work.deletes and all(assigned.state.key is None for assigned in work.writes):
        return  # new rows only
    database = _database(connection)
    updated: dict[FileTable, set[Key]] = defaultdict(set)
    deleted: dict[FileTable, set[Key]] = defaultdict(set)
    for assigned in work.writes:
        if (place := _place_of(assigned)) is not None:
            assigned.place = place
            updated[place[0]].add(place[1])
    for state in work.deletes:
        for target in file_tables(state.mapper):
            if key := row_key(target, state):
                deleted[target].add(key)
    for targets, deleting in ((updated, False), (deleted, True)):
        for target in sorted(targets, key=str):
            rows = rows_by_key(database, target, _ordered(targets[target]), deleting=deleting)
            decisions.known.update({(target.table, key): row for key, row in rows.items()})


def _ordered(keys: set[Key]) -> list[Key]:
    try:
        return sorted(keys)
    except TypeError:  # a key without an order: batches then lock in any order
        return list(keys)


def _released(
    changes: Iterable[Change], decisions: Decisions, deletes: Sequence[InstanceState[Any]]
) -> dict[str, int]:
    """Return what rows let go of, and how many of them."""
    released: dict[str, int] = {}
    for found in changes:
        for path in found.released:
            released[path] = released.get(path, 0) + 1
    if deletes:
        add_each(released, _released_by(decisions, deletes))
    return released


def _released_by(decisions: Decisions, deletes: Iterable[InstanceState[Any]]) -> Iterator[str]:
    for state in deletes:
        for target in file_tables(state.mapper):
            row = decisions.known.get((target.table, row_key(target, state) or ()))
            for records in map(row.records, row.values) if row else ():
                yield from (path for record in records for path in paths_of(record))


def _change(decisions: Decisions, assigned: Assigned) -> tuple[OldRow | None, Change]:
    place = assigned.place
    old = None if place is None else decisions.known.get((place[0].table, place[1]))
    return old, change(old.records(assigned.attribute.column) if old else (), assigned.files)


def _place_of(assigned: Assigned) -> tuple[FileTable, Key] | None:
    """Return the table and the primary key of the row to be written, or None for a new one."""
    if assigned.state.key is None:
        return None
    target = file_table(assigned.attribute.column.table)
    key = row_key(target, assigned.state) if target else None
    return (target, key) if target and key else None
