"""Store the files of a flush before it sends a statement.

In this order: every pending file is validated; all are stored, before any row is locked; the old
values are read and locked; and a saved file that a row acquires from elsewhere moves if its owner
releases it in the same flush, and is copied otherwise. The statements count the references.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.attributes import instance_state

from sqlalchemy_file.file import File
from sqlalchemy_file.ledger.tables import IN_INFO
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.tracking.changes import (
    Change,
    Ownership,
    RowChange,
    add_each,
    change,
    files_in,
)
from sqlalchemy_file.tracking.claims import Claim, claim_of
from sqlalchemy_file.tracking.endings.connections import unit_of
from sqlalchemy_file.tracking.reading import Database, rows_in_order
from sqlalchemy_file.tracking.tables import (
    FileAttribute,
    FileTable,
    Key,
    file_attributes,
    file_table,
    row_key,
    row_keys,
)
from sqlalchemy_file.tracking.unit.decisions import Decision, Decisions
from sqlalchemy_file.tracking.unit.doubts import reference_counter
from sqlalchemy_file.tracking.unit.standing import commits_at_once
from sqlalchemy_file.tracking.unit.units import Unit
from sqlalchemy_file.tracking.uploading.batch import FilesByField, UploadBatch
from sqlalchemy_file.tracking.uploading.steps import Unsaved
from sqlalchemy_file.transfer import yield_to_loop
from sqlalchemy_file.values.records import paths_of


@dataclass(slots=True)
class Assigned:
    """A file attribute of one object, with the files that this flush will write."""

    state: InstanceState[Any]
    attribute: FileAttribute
    files: list[File]
    place: tuple[Table, Key] | None = None
    """The table and the primary key of its row; None for a new one."""
    acquired: list[str] = field(default_factory=list)
    """The paths that its row takes over."""
    claim: Claim | None = None
    """In whose name its files are stored, where there is a ledger."""

    def put(self, position: int, copy: File) -> None:
        """Replace a file of another row by its copy."""
        self.files[position] = copy
        value = self.state.dict[self.attribute.name]
        if isinstance(value, MutableList):
            list.__setitem__(value, position, copy)
        else:
            self.state.dict[self.attribute.name] = copy


_Changed = tuple[Assigned, RowChange, Change]
_Foreign = tuple[Assigned, int, File]
"""With the position of the file in the attribute."""


@dataclass(slots=True)
class Work:
    """What a flush will do to files, all of it or on one connection."""

    writes: list[Assigned] = field(default_factory=list)
    deletes: list[InstanceState[Any]] = field(default_factory=list)
    unit: Unit | None = None

    @property
    def files(self) -> list[File]:
        return [file for assigned in self.writes for file in assigned.files]


def store_pending(session: Session, context: Any, instances: Iterable[object] | None) -> None:
    """Store the files of all objects about to be flushed, and prepare the change of their rows."""
    work = _collect(session, instances)
    if not work.writes and not work.deletes:
        return
    batch, parts = UploadBatch(), defaultdict[Connection, Work](Work)
    try:
        _store(session, work, batch, parts)
    except BaseException:
        for part in parts.values():
            if part.unit is not None:  # else its connection may be lost, and has none
                part.unit.decisions = None
        batch.undo()
        raise
    for part in parts.values():
        if part.unit is not None:
            batch.hand_over(part.unit.frames.top, part.files if len(parts) > 1 else None)


def pending(session: Session) -> list[Unsaved]:
    return _unsaved(_collect(session, None).writes)


def _collect(session: Session, instances: Iterable[object] | None) -> Work:
    written: Iterable[object] = (*session.new, *session.dirty)
    deleted: Iterable[object] = session.deleted
    if instances is not None:
        chosen = set(map(id, instances))
        written, deleted = (
            [each for each in all_ if id(each) in chosen] for all_ in (written, deleted)
        )
    work = Work()
    if written:
        _collect_writes(work.writes, written)
    for state in map(instance_state, deleted):
        if file_attributes(state.mapper):
            work.deletes.append(state)
    return work


def _collect_writes(writes: list[Assigned], written: Iterable[object]) -> None:
    for state in map(instance_state, written):
        values, before, is_new = state.dict, state.committed_state, state.key is None
        for attribute in file_attributes(state.mapper):
            value = values.get(attribute.name)
            if (is_new and value is not None) or attribute.name in before:
                if isinstance(value, File):
                    files = [value]
                else:
                    files = [file for file in files_in(value) if isinstance(file, File)]
                writes.append(Assigned(state, attribute, files))
    if len(writes) > 1:
        _separate(writes)


def _separate(writes: Sequence[Assigned]) -> None:
    """Give each field an own instance of each file."""
    files = [id(file) for assigned in writes for file in assigned.files]
    if len(files) == len({*files}):  # as in most flushes
        return
    files_of = FilesByField()
    for assigned in writes:
        for position, file in enumerate(assigned.files):
            own = files_of.of(file, assigned.attribute.field)
            if own is not file:
                assigned.put(position, own)


def _store(
    session: Session, work: Work, batch: UploadBatch, parts: defaultdict[Connection, Work]
) -> None:
    begun = [file for each in work.writes for file in each.files if file._state.begun]
    if begun:
        batch.take_over(begun)
    if any(IN_INFO in each.attribute.column.table.metadata.info for each in work.writes):
        _divide(session, work, parts)
        _claim(parts)
    batch.store(_unsaved(work.writes))
    if not parts:
        _divide(session, work, parts)
    elsewhere: set[str] = set()
    for connection, part in parts.items():
        elsewhere |= _prepare(connection, part, batch, elsewhere)
        yield_to_loop(len(part.writes))


def _claim(parts: Mapping[Connection, Work]) -> None:
    """Note whose database the keys of new files are to name."""
    for connection, part in parts.items():
        database, claims = _database(connection), dict[MetaData, Claim | None]()
        for assigned in part.writes:
            table = assigned.attribute.column.table
            if table.metadata not in claims:
                claims[table.metadata] = claim_of(database, table)
            assigned.claim = claims[table.metadata]


def _unsaved(writes: Iterable[Assigned]) -> list[Unsaved]:
    found = []
    for assigned in writes:
        field, name, row = assigned.attribute.field, assigned.attribute.name, assigned.state.obj()
        for index, file in enumerate(assigned.files):
            if not file.saved:
                position = index if field.multiple else None
                found.append(Unsaved(file, field, name, assigned.claim, position, row))
    return found


def _database(connection: Connection) -> Database:
    return Database(connection, connection.get_execution_options().get("schema_translate_map"))


def _divide(session: Session, work: Work, parts: defaultdict[Connection, Work]) -> None:
    choose = session.connection_callable  # a sharded session's, by the row

    usual: dict[Mapper[Any], Connection] = {}

    def part(state: InstanceState[Any]) -> Work:
        mapper = state.mapper.base_mapper
        if choose is not None:
            return parts[choose(mapper, state.obj())]
        if mapper not in usual:
            usual[mapper] = session.connection(bind_arguments={"mapper": mapper})
        return parts[usual[mapper]]

    for assigned in work.writes:
        part(assigned.state).writes.append(assigned)
    for state in work.deletes:
        part(state).deletes.append(state)


def _prepare(
    connection: Connection, work: Work, batch: UploadBatch, elsewhere: Collection[str]
) -> set[str]:
    """Decide which files the rows of one connection may own, and copy the others.

    Returns the paths that these rows take over; those of other connections are ``elsewhere``.
    """
    unit = work.unit = unit_of(connection)
    decisions = unit.decisions = Decisions()
    _read_old_rows(connection, decisions, work)
    changes = _changes(decisions, work.writes)
    written = batch.written
    released = _released(changes, decisions, work.deletes)
    ownership = Ownership(partial(reference_counter, connection, unit), written, elsewhere)

    def given(assigned: Assigned, path: str) -> int:
        if path not in released:
            return 0
        if not commits_at_once(connection):
            return released[path]
        # Another row may never release it: only other columns of this row count.
        place = assigned.place
        same_row = [found for each, _, found in changes if place and each.place == place]
        return sum(found.released.count(path) for found in same_row)

    decisions.claims = taken = ownership.taken
    foreign = _take_over(changes, ownership, given)
    decisions.moved.update(taken.keys() - written)
    if foreign:
        _copy(connection, batch, foreign, ownership)
    _decide(decisions, changes)
    return set(taken)


def _take_over(
    changes: Iterable[_Changed], ownership: Ownership, given: Callable[[Assigned, str], int]
) -> list[_Foreign]:
    """Let rows own the objects of their files as they are; return the files where they may not."""
    foreign = []
    for assigned, _, found in changes:
        for position, file in found.acquired:
            paths = paths_of(file)
            for path in paths:
                if not ownership.is_free(path, given(assigned, path)):
                    foreign.append((assigned, position, file))
                    break
            else:
                ownership.take(paths)
                assigned.acquired += paths
    return foreign


def _decide(decisions: Decisions, changes: Iterable[_Changed]) -> None:
    """Keep what the flush has decided, for the statements that will write the rows."""
    for assigned, row, found in changes:
        if row.key is None and assigned.state.key is not None:
            continue  # the row is gone
        value = assigned.state.dict.get(assigned.attribute.name)
        decisions.add(Decision(value, row, assigned.acquired, found.released))


def _copy(
    connection: Connection,
    batch: UploadBatch,
    foreign: Sequence[_Foreign],
    ownership: Ownership,
) -> None:
    """Let copies take the place of files that belong to others."""
    claim = claim_of(_database(connection), foreign[0][0].attribute.column.table)
    copies = batch.copy([file for *_, file in foreign], claim)
    for (assigned, position, _), copy in zip(foreign, copies, strict=True):
        assigned.put(position, copy)
        paths = paths_of(copy)
        ownership.take(paths)
        assigned.acquired += paths


def _read_old_rows(connection: Connection, decisions: Decisions, work: Work) -> None:
    """Read and lock the rows of a flush, in one order of tables and keys for all sessions."""
    updated: dict[FileTable, set[Key]] = defaultdict(set)
    for assigned in work.writes:
        if assigned.state.key is None:
            continue  # a new row
        target = file_table(assigned.attribute.column.table)
        key = row_key(target, assigned.state) if target else None
        if target and key:
            assigned.place = target.table, key
            updated[target].add(key)
    if updated:
        decisions.known.update(rows_in_order(_database(connection), updated, deleting=False))
    if work.deletes:
        deleted: dict[FileTable, set[Key]] = defaultdict(set)
        for target, key in row_keys(work.deletes):
            deleted[target].add(key)
        decisions.known.update(rows_in_order(_database(connection), deleted, deleting=True))


def _released(
    changes: Iterable[_Changed], decisions: Decisions, deletes: Sequence[InstanceState[Any]]
) -> dict[str, int]:
    released: dict[str, int] = {}
    for _, _, found in changes:
        if found.released:
            add_each(released, found.released)
    for target, key in row_keys(deletes) if deletes else ():
        if (row := decisions.known.get((target.table, key))) is not None:
            for gone in row.deleted():
                add_each(released, [path for record in gone.old for path in paths_of(record)])
    return released


def _changes(decisions: Decisions, writes: Iterable[Assigned]) -> list[_Changed]:
    changes = []
    for assigned in writes:
        column, files = assigned.attribute.column, assigned.files
        old = None if assigned.place is None else decisions.known.get(assigned.place)
        records, key = (old.records(column), old.key) if old else ((), None)
        row = RowChange(column, records, files, None, key)
        changes.append((assigned, row, change(records, files)))
    return changes
