"""The files that a flush will store: what programs have assigned to file attributes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.orm.attributes import instance_state

from sqlalchemy_file.file import File
from sqlalchemy_file.mutable_list import MutableList, same_file
from sqlalchemy_file.tracking.changes import files_in
from sqlalchemy_file.tracking.claims import Claim
from sqlalchemy_file.tracking.tables import FileAttribute, FileTable, Key, file_attributes
from sqlalchemy_file.tracking.unit.units import Unit
from sqlalchemy_file.tracking.uploading.batch import FilesByField
from sqlalchemy_file.tracking.uploading.steps import Unsaved


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

    def unsaved(self, claim: Claim | None = None) -> list[Unsaved]:
        field, name, row = self.attribute.field, self.attribute.name, self.state.obj()
        return [
            Unsaved(file, field, name, claim, index if field.multiple else None, row)
            for index, file in enumerate(self.files)
            if not file.saved
        ]

    def put(self, position: int, copy: File) -> None:
        """Replace a file of another row by its copy."""
        self.files[position] = copy
        value = self.state.dict[self.attribute.name]
        if isinstance(value, MutableList):
            list.__setitem__(value, position, copy)
        else:
            self.state.dict[self.attribute.name] = copy


@dataclass(slots=True)
class Work:
    """What a flush will do to files, all of it or on one connection."""

    writes: list[Assigned] = field(default_factory=list)
    deletes: list[InstanceState[Any]] = field(default_factory=list)
    unit: Unit | None = None

    @property
    def files(self) -> list[File]:
        return [file for assigned in self.writes for file in assigned.files]


def pending(session: Session) -> list[Unsaved]:
    writes = collect(session, None).writes
    separate(writes)
    return [item for assigned in writes for item in assigned.unsaved()]


def collect(session: Session, instances: Iterable[object] | None) -> Work:
    written: Iterable[object] = (*session.new, *session.dirty)
    deleted: Iterable[object] = session.deleted
    if instances is not None:
        chosen = set(map(id, instances))
        written, deleted = (
            [each for each in all_ if id(each) in chosen] for all_ in (written, deleted)
        )
    work = Work()
    for state in map(instance_state, written):
        if attributes := file_attributes(state.mapper):
            _collect_assigned(work.writes, state, attributes)
    for state in map(instance_state, deleted):
        if file_attributes(state.mapper):
            work.deletes.append(state)
    return work


def _collect_assigned(
    writes: list[Assigned], state: InstanceState[Any], attributes: Iterable[FileAttribute]
) -> None:
    values, before, is_new = state.dict, state.committed_state, state.key is None
    for attribute in attributes:
        value = values.get(attribute.name)
        if (is_new and value is not None) or attribute.name in before:
            if isinstance(value, File):
                files = [value]
            else:
                files = [file for file in files_in(value) if isinstance(file, File)]
            writes.append(Assigned(state, attribute, files))


def separate(writes: Sequence[Assigned]) -> None:
    """Give each field an own instance of each file."""
    if len(writes) < 2:
        return
    files_of = FilesByField()
    for assigned in writes:
        for position, file in enumerate(assigned.files):
            own = files_of.of(file, assigned.attribute.field)
            if own is not file:
                assigned.put(position, own)


def meant(state: InstanceState[Any], attribute: FileAttribute, value: Any, old: Any) -> Any:
    """Return the file, the list of files, or None that the attribute is to hold.

    An upload that nobody has chosen leaves the attribute as it is. A record that the row holds
    already, which a form or a PATCH request sends back, is the file it describes. Raises
    `TypeError` for what is no file.
    """
    field = attribute.field
    if value is None or isinstance(value, File):
        return field.coerce(value, attribute.label)
    if field.is_unchosen(value):
        return _held(state, attribute, old)
    if _has_records(value):
        value = _handed_back(value, _files_held(state, attribute, old))
    found = field.coerce(value, attribute.label)
    if isinstance(found, MutableList) and found.is_held_by_another(state, attribute.name):
        found = MutableList(found, kind=field.upload_type)
    return found


def _held(state: InstanceState[Any], attribute: FileAttribute, old: Any) -> Any:
    """Return what the attribute holds; it is loaded if it has to be."""
    if attribute.name not in state.dict and state.key is not None:
        return getattr(state.obj(), attribute.name)
    return old if isinstance(old, File | MutableList) else None


def _files_held(state: InstanceState[Any], attribute: FileAttribute, old: Any) -> Sequence[File]:
    now = files_in(_held(state, attribute, old))
    before = state.committed_state.get(attribute.name)
    return [*now, *files_in(before if isinstance(before, File | list) else None)]


def _has_records(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_records, value)) if not hasattr(value, "_fields") else False
    return isinstance(value, dict) and not isinstance(value, File)


def _handed_back(value: Any, held: Sequence[File]) -> Any:
    if isinstance(value, dict):
        return same_file(value, held)
    return [same_file(item, held) for item in value]
