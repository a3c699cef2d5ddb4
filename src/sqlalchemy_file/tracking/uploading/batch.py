"""Everything that one flush or statement stores, which can be undone until a frame owns it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import cache, partial
from itertools import starmap
from operator import attrgetter

from sqlalchemy import Connection

from sqlalchemy_file.exceptions import ObjectExistsError, StorageError
from sqlalchemy_file.file import File
from sqlalchemy_file.ledger import notes
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.calling import IN_THREAD, concurrency_of, is_native, run
from sqlalchemy_file.storage.local.writing import synced_together
from sqlalchemy_file.tracking.claims import Claim
from sqlalchemy_file.tracking.deletion import discard, has_room
from sqlalchemy_file.tracking.unit.frames import Frame, Moment, now
from sqlalchemy_file.tracking.uploading.checking import check, destinations
from sqlalchemy_file.tracking.uploading.steps import (
    Processing,
    Storing,
    Unsaved,
    add_note,
    copying,
    in_parallel,
    path_of_copy,
)
from sqlalchemy_file.transfer import Operation, carry_out, results, run_blocking
from sqlalchemy_file.types import FileField
from sqlalchemy_file.values.records import LARGE, paths_of
from sqlalchemy_file.values.saving import prepare, release, save, set_destination
from sqlalchemy_file.values.state import relocated_copy, revert, state_of, stored_paths

_FILE = attrgetter("file")


class FilesByField:
    """Gives each field an own instance of a file that is not stored yet.

    A file in the columns of two fields has to pass the validators of both, and each may have
    another storage.
    """

    def __init__(self) -> None:
        self._first: dict[int, tuple[File, FileField]] = {}

    def of(self, file: File, field: FileField) -> File:
        """Return the file itself for the first field that asks, a copy for any other."""
        _, first = self._first.setdefault(id(file), (file, field))
        return file if file.saved or first is field else copy(file)


def _claim(storings: Sequence[Storing]) -> None:
    """Let storages know in whose name files are stored there, and wait for chosen keys."""
    claims = {id(storing.item.claim): storing.item.claim for storing in storings}
    for claim in filter(None, claims.values()):
        mine = [storing for storing in storings if storing.item.claim is claim]
        claim.sign({each.storage_name for each in mine})
        wait_until_free(claim, [(each.storage_name, each.key) for each in mine if each.key])


class UploadBatch:
    """The objects of one flush or statement, until a frame owns them."""

    def __init__(self) -> None:
        self._files: list[File] = []
        self._copies: list[str] = []
        self._began: Moment | None = None

    def store(self, unsaved: Sequence[Unsaved]) -> None:
        """Validate all, then store all; nothing more is begun once one could not be stored."""
        if not unsaved:
            return
        self._began = self._began or now()
        if len(unsaved) > 1:
            unsaved = list({id(item.file): item for item in unsaved}.values())
        plain = _plain_storages(unsaved)
        if plain is None:
            self._store(unsaved)
            return
        self._files += map(_FILE, unsaved)
        with nullcontext() if len(unsaved) == 1 else self._synced_together():
            run_blocking(partial(_store_plain, unsaved, plain))

    def _store(self, unsaved: Sequence[Unsaved]) -> None:
        check(unsaved)
        storings = [
            Storing(item, *place)
            for item, place in zip(unsaved, destinations(unsaved), strict=True)
        ]
        _claim(storings)
        self._files += map(_FILE, unsaved)
        processed = [Processing(item) for item in unsaved if item.is_processed]
        is_single = len(unsaved) == 1 and not processed  # it is on disk when it is stored
        with nullcontext() if is_single else self._synced_together():
            in_parallel(storings)
            in_parallel(processed)

    @contextmanager
    def _synced_together(self) -> Iterator[None]:
        """At the end of the block everything is on disk."""
        try:
            with synced_together():
                yield
        except StorageError as error:
            places = map(StorageManager.resolve, self.written)
            error.storage = error.storage or next(
                (name for name, key in places if key == error.key), None
            )
            raise

    def take_over(self, files: Iterable[File]) -> None:
        """Own the objects of saved files that were stored outside a flush."""
        for file in files:
            if file._state.begun and file.saved and not file._state.is_owned:
                self._began = self._began or now()
                file._freeze()
                if all(each is not file for each in self._files):
                    self._files.append(file)

    def copy(self, files: Sequence[File], claim: Claim | None = None) -> list[File]:
        """Return copies of saved files, each with objects of its own."""
        if not files:
            return []
        self._began = self._began or now()
        moves = _moves(files, claim)
        pairs = [pair for move in moves for pair in move.items()]
        self._copies = [new for _, new in pairs]
        names = {StorageManager.resolve(new)[0] for new in self._copies}
        if claim is not None:
            claim.sign(names)
        limits = [concurrency_of(StorageManager.storage(name)) for name in names]
        with self._synced_together():
            results(carry_out(list(starmap(copying, pairs)), limit=max(limits, default=1)))
        copies = [relocated_copy(file, move) for file, move in zip(files, moves, strict=True)]
        self._files += copies
        self._copies = []
        return copies

    def undo(self) -> None:
        """Delete everything that was written, and restore every file."""
        written = self.written
        for file in reversed(self._files):
            revert(file)
        self._files, self._copies = [], []
        discard(written)

    def hand_over(self, frame: Frame, files: Iterable[File] | None = None) -> None:
        """Let a frame own the stored objects: of these files, or of all."""
        mine, self._files = self._files, []
        if files is not None:
            chosen = {id(file) for file in files}
            self._files = [file for file in mine if id(file) not in chosen]
            mine = [file for file in mine if id(file) in chosen]
        if not mine:
            return
        frame.files += mine
        frame.note_begin(self._began)
        for file in mine:
            state_of(file).is_owned = True
            frame.stored.update(stored_paths(file))

    @property
    def written(self) -> set[str]:
        """The paths of all objects that were written, or begun."""
        written = set(self._copies)
        for file in self._files:
            written.update(stored_paths(file))
        return written


def _plain_storages(items: Sequence[Unsaved]) -> list[str] | None:
    """Return the storages of files that are only written, without waiting; else None."""
    names, chosen = [], dict[tuple[int, type[File], str | None], str | None]()
    for item in items:
        file = item.file
        kind = id(item.field), type(file), file._storage
        if kind not in chosen:
            chosen[kind] = _plain_storage(item.field, file)
        name = chosen[kind]
        if (
            name is None
            or item.claim is not None
            or (file.get("size") or LARGE) >= LARGE
            or (file._content is not None and file._content.needs_fetching)
        ):
            return None
        names.append(name)
    return names


def _plain_storage(field: FileField, file: File) -> str | None:
    """Return the storage of a field without steps, if it is known and makes nobody wait.

    Returns None if a method of the file's class has a say in how it is checked and stored.
    """
    if field.validators or field.transforms or field.processors or not _is_stored_by_us(type(file)):
        return None
    name = field.fixed_storage(file)
    if name is None:
        return None
    storage = StorageManager._registered[name].storage
    return None if is_native(storage) or concurrency_of(storage) > 1 else name


@cache
def _is_stored_by_us(kind: type[File]) -> bool:
    return all(getattr(kind, name) is getattr(File, name) for name in _OVERRIDDEN)


_OVERRIDDEN = ("save_to_storage", "store_content", "apply_validators", "apply_processors")


def _store_plain(items: Sequence[Unsaved], storage_names: Sequence[str]) -> None:
    """Store files in this thread, where nothing has to be waited for."""
    for item, storage_name in zip(items, storage_names, strict=True):
        file = item.file
        try:
            prepare(file, item.field.headers)
            set_destination(file, item.field)
            run(save(file, storage_name, IN_THREAD))
            file._freeze()
        except Exception as error:
            add_note(error, item)
            raise
        finally:
            release(file)


# --- chosen keys

PATIENCE = 1.0
"""How many seconds a deletion is waited for."""

_PAUSE = 0.05


def wait_until_free(claim: Claim, chosen: Iterable[tuple[str, str]]) -> None:
    """Wait while an entry says that one of these keys, each with its storage, is being deleted.

    Raises `ObjectExistsError` for one that is not free soon.
    """
    wanted = {f"{storage_name}/{key}": (storage_name, key) for storage_name, key in chosen}
    if not wanted or not notes.may_use(claim.database.connection, claim.ledger):
        return
    until = time.monotonic() + PATIENCE
    while noted := _noted(claim, wanted):
        if time.monotonic() >= until:
            storage_name, key = wanted[min(noted)]
            raise ObjectExistsError(
                "an earlier object with this key is about to be deleted: use another key, or try "
                "again later",
                storage=storage_name,
                key=key,
            )
        pause = Operation(partial(time.sleep, _PAUSE), partial(asyncio.sleep, _PAUSE))
        results(carry_out([pause]))


def _moves(files: Sequence[File], claim: Claim | None) -> list[dict[str, str]]:
    """Return for each file where its objects are to be copied."""
    epoch = None if claim is None else claim.epoch
    return [{path: path_of_copy(path, epoch) for path in paths_of(file)} for file in files]


def _noted(claim: Claim, paths: Iterable[str]) -> set[str]:
    connection = claim.database.connection
    if connection.dialect.name == "sqlite" or not has_room(connection.engine.pool):
        return _seen_by(connection, claim, paths)
    # The transaction may see the ledger as it was when it began.
    with connection.engine.connect() as fresh:
        own = connection.get_execution_options().get("schema_translate_map")
        fresh.execution_options(schema_translate_map=claim.database.schemas or own)
        return _seen_by(fresh, claim, paths)


def _seen_by(connection: Connection, claim: Claim, paths: Iterable[str]) -> set[str]:
    noted = notes.visible(connection, claim.ledger, paths)
    return {note.path for note in noted if not note.is_kept}
