"""A storage of your own in one file: objects in two tables of a SQL database.

``StorageManager.add_storage("media", SQLStorage(create_engine("sqlite:///objects.db")))``
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, BinaryIO

import sqlalchemy as sa

from sqlalchemy_file.exceptions import (
    DeletionError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage import Attributes, ObjectInfo, check_key

CHUNK = 256 * 1024
HIDDEN = ".sqlalchemy-file/"  # what this package notes about the storage itself

metadata = sa.MetaData()
objects = sa.Table(
    "object", metadata,
    sa.Column("key", sa.String(1024), primary_key=True),
    sa.Column("content", sa.String(32), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("modified", sa.Float, nullable=False),
    sa.Column("attributes", sa.JSON, nullable=False),
)  # fmt: skip
chunks = sa.Table(
    "chunk", metadata,
    sa.Column("content", sa.String(32), primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)  # fmt: skip


class SQLStorage:
    """Keeps each content in chunks. An object points to its content once that is complete."""

    concurrency = 1  # one writer at a time suits SQLite

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        metadata.create_all(engine)

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        check_key(key)
        content_id = uuid.uuid4().hex
        try:
            size = self._store(key, content_id, content)
            return self._publish(key, content_id, size, asdict(attributes), exclusive=exclusive)
        except BaseException:
            with self._transaction(key) as connection:
                _drop(connection, content_id)
            raise

    def stat(self, key: str) -> ObjectInfo:
        return _info(self._row(key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        row = self._row(key)
        end = row.size if end is None else min(end, row.size)
        while start < end:
            with self._transaction(key) as connection:
                first = start - start % CHUNK
                query = sa.select(chunks.c.data).filter_by(content=row.content, start=first)
                data = connection.scalar(query)
            if data is None:
                raise StorageError("it was replaced while it was read", key=key)
            yield data[start - first : end - first]
            start = first + len(data)

    def delete(self, keys: Sequence[str]) -> None:
        failures: dict[str, Exception] = {}
        for key in keys:
            try:
                with self._transaction(check_key(key)) as connection:
                    _remove(connection, key)
            except StorageError as error:
                failures[key] = error
        if failures:
            raise DeletionError(failures)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        row, content_id = self._row(key), uuid.uuid4().hex
        check_key(new_key)
        source = sa.select(sa.literal(content_id), chunks.c.start, chunks.c.data)
        source = source.where(chunks.c.content == row.content)
        with self._transaction(new_key) as connection:
            connection.execute(chunks.insert().from_select(["content", "start", "data"], source))
        return self._publish(new_key, content_id, row.size, row.attributes)

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        last = start_after or ""
        begins = sa.func.substr(objects.c.key, 1, len(prefix)) == prefix
        hidden = sa.func.substr(objects.c.key, 1, len(HIDDEN)) == HIDDEN
        wanted = begins if prefix.startswith(HIDDEN) else begins & ~hidden
        while True:
            query = sa.select(objects).where(wanted, objects.c.key > last)
            with self._transaction(prefix) as connection:
                page = connection.execute(query.order_by(objects.c.key).limit(1000)).all()
            yield from map(_info, page)
            if not page:
                return
            last = page[-1].key

    def _store(self, key: str, content_id: str, content: BinaryIO) -> int:
        size = 0
        while data := _read_fully(content):
            with self._transaction(key) as connection:
                values = {"content": content_id, "start": size, "data": data}
                connection.execute(chunks.insert(), values)
            size += len(data)
        return size

    def _publish(
        self, key: str, content_id: str, size: int, attributes: Any, *, exclusive: bool = False
    ) -> ObjectInfo:
        values = {"key": key, "content": content_id, "size": size, "attributes": attributes}
        values["modified"] = datetime.now(UTC).timestamp()
        with self._transaction(key) as connection:
            if not exclusive:
                _remove(connection, key)
            connection.execute(objects.insert(), values)
        return self.stat(key)

    def _row(self, key: str) -> Any:
        with self._transaction(check_key(key)) as connection:
            row = connection.execute(sa.select(objects).filter_by(key=key)).one_or_none()
        if row is None:
            raise ObjectNotFoundError(key=key)
        return row

    @contextmanager
    def _transaction(self, key: str) -> Iterator[sa.Connection]:
        """Translate errors of the database: only `StorageError` may leave a storage."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.IntegrityError as error:
            raise ObjectExistsError("an object with this key exists", key=key) from error
        except sa.exc.SQLAlchemyError as error:
            raise StorageError(str(error), key=key) from error


def _read_fully(content: BinaryIO) -> bytes:
    """Read a whole chunk from a stream that may return less than it is asked for."""
    data = b""
    while len(data) < CHUNK and (more := content.read(CHUNK - len(data))):
        data += more
    return data


def _remove(connection: sa.Connection, key: str) -> None:
    content_id = connection.scalar(sa.select(objects.c.content).filter_by(key=key))
    connection.execute(objects.delete().where(objects.c.key == key))
    _drop(connection, content_id)


def _drop(connection: sa.Connection, content_id: str | None) -> None:
    connection.execute(chunks.delete().where(chunks.c.content == content_id))


def _info(row: Any) -> ObjectInfo:
    modified = datetime.fromtimestamp(row.modified, UTC)
    attributes = Attributes(**row.attributes)
    return ObjectInfo(key=row.key, size=row.size, last_modified=modified, attributes=attributes)
