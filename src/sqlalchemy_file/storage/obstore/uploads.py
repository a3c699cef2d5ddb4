"""Uploads into an obstore store: in one request, or as a multipart upload in its turn.

Large content is not read before its turn. Content of unknown size is read up to the limit of a
small one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from uuid_utils import uuid7

from sqlalchemy_file.exceptions import ObjectExistsError, StorageError
from sqlalchemy_file.storage.common.attributes import (
    checked_headers,
    header_value,
    meta_data_of,
    refuse_extra,
    to_headers,
)
from sqlalchemy_file.storage.common.errors import Translator
from sqlalchemy_file.storage.common.metadata_names import Names
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo
from sqlalchemy_file.storage.common.streams import PART_SIZE, is_at_hand, size_left
from sqlalchemy_file.storage.obstore.errors import is_unknown_there
from sqlalchemy_file.storage.obstore.requests import (
    HEAD,
    HEADERS,
    READ_SIZE,
    Reading,
    Request,
    Source,
    Steps,
    etag_of,
)
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE
from sqlalchemy_file.transfer import get_limit

PARTS_AT_ONCE = 4  # a dozen is a tenth faster and takes 40 MB more


_log = logging.getLogger("sqlalchemy_file.storage")


@dataclass(frozen=True, slots=True)
class Abilities:
    """The abilities of a store."""

    keeps_attributes: bool
    names: Names
    """How it takes names of metadata."""
    heeds_conditions: bool
    """Whether every server of its kind creates and renames only under a key that is free.

    Some S3 servers ignore such conditions or do not know them, and none renames.
    """


@dataclass(frozen=True, slots=True)
class _Begun:
    """The beginning of a content, and whether it is large; None if that is not known yet."""

    chunks: list[bytes]
    is_large: bool | None


def putting(
    key: str,
    content: BinaryIO,
    attributes: Attributes,
    translator: Translator,
    *,
    exclusive: bool,
    abilities: Abilities,
    look: Callable[[str], object],
) -> Steps[ObjectInfo]:
    """Store a content; ``look`` raises `ObjectExistsError` for a key that is taken by now."""
    options: dict[str, Any] = {}
    refuse_extra(attributes, key)
    if abilities.keeps_attributes:
        options["attributes"] = _sent(attributes, key, abilities.names)
    beginning = partial(_beginning, content, translator)
    begun: _Begun = yield Reading(beginning, is_at_hand=is_at_hand(content))
    if begun.is_large is None:
        begun = yield Reading(partial(_reading_on, begun.chunks, content, translator), in_turn=True)
    if exclusive and not abilities.heeds_conditions:
        yield from _refuse_taken(key)
    if begun.is_large:
        at_end = partial(look, key) if exclusive and not abilities.heeds_conditions else None
        source = Source(begun.chunks, content, translator, at_end)
        del begun  # each chunk is let go once it is sent
        create = _create_by_renaming if exclusive and abilities.heeds_conditions else _in_parts
        etag = yield from create(key, source, options)
        size = source.size
    else:
        data = b"".join(begun.chunks)
        size, etag = len(data), (yield from _at_once(key, data, options, exclusive, abilities))
    kept = attributes if abilities.keeps_attributes else Attributes()
    return ObjectInfo(key=key, size=size, etag=etag, attributes=kept)


def _beginning(content: BinaryIO, translator: Translator) -> _Begun:
    size = size_left(content)
    if size is None:
        first = translator.read_full(content, READ_SIZE)
        return _Begun([first], None if len(first) == READ_SIZE else False)
    return _Begun([], True) if size > PART_SIZE else _reading_on([], content, translator)


def _reading_on(begun: list[bytes], content: BinaryIO, translator: Translator) -> _Begun:
    missing = PART_SIZE - sum(map(len, begun))
    chunks = [*begun, translator.read_full(content, missing)]
    if len(chunks[-1]) == missing and (more := translator.read(content, READ_SIZE)):
        return _Begun([*chunks, more], True)
    return _Begun(chunks, False)


def _at_once(
    key: str, data: bytes, options: dict[str, Any], exclusive: bool, abilities: Abilities
) -> Steps[str | None]:
    if not exclusive:  # nothing is undone: what is there may be somebody else's
        answer = yield Request("put", (key, data), {**options, "mode": "overwrite"})
        return etag_of(answer["e_tag"])
    try:
        created = {**options, "mode": "create"}
        answer = yield Request("put", (key, data), created, undo=_deleting(key))
    except Exception as error:
        if abilities.heeds_conditions or not is_unknown_there(error):
            raise
        answer = yield Request("put", (key, data), {**options, "mode": "overwrite"})
    return etag_of(answer["e_tag"])


# --- in parts


def _in_parts(key: str, source: Source, options: dict[str, Any]) -> Steps[str | None]:
    undo = _deleting(key) if source.looks else None
    answer = yield Request("put", (key,), {**options, **_parts()}, source, undo)
    return etag_of(answer["e_tag"])


def _parts() -> dict[str, Any]:
    at_once = min(PARTS_AT_ONCE, get_limit() or PARTS_AT_ONCE)
    return {"use_multipart": True, "chunk_size": PART_SIZE, "max_concurrency": at_once}


def _create_by_renaming(key: str, source: Source, options: dict[str, Any]) -> Steps[str | None]:
    # obstore knows no condition for multipart uploads. A crash leaves an object that no row names,
    # in the same folder and with a name like those that this library makes: the sweep takes it.
    folder, slash, _ = key.rpartition("/")
    draft = f"{folder}{slash}{uuid7()}"
    try:
        yield Request("put", (draft,), {**options, **_parts()}, source)
        yield Request("rename", (draft, key), {"overwrite": False}, undo=_deleting(key))
    except GeneratorExit:
        raise
    except BaseException:
        yield from _taking_back(draft)
        raise
    return None  # not all stores keep it when they rename


def _taking_back(key: str) -> Steps[None]:
    # The first cause is what the caller is to see, not that clearing up failed too.
    try:
        yield _deleting(key)
    except FileNotFoundError:
        pass
    except Exception:  # noqa: BLE001
        _log.warning("the incomplete object %r stays in its storage", key, exc_info=True)


def _deleting(key: str) -> Request:
    return Request("delete", ([key],))


def _refuse_taken(key: str) -> Steps[None]:
    try:
        yield Request("get", (key,), HEAD)
    except FileNotFoundError:
        return
    raise ObjectExistsError(key=key)


def _sent(attributes: Attributes, key: str, names: Names) -> dict[str, str]:
    own = {name.title(): value for name, value in checked_headers(attributes.headers, key).items()}
    unknown = sorted(own.keys() - set(HEADERS))
    if unknown:
        raise StorageError(
            f"obstore sends no header {unknown[0]!r}; it knows {', '.join(HEADERS)}", key=key
        )
    content_type = attributes.content_type or own.get("Content-Type") or UNKNOWN_TYPE
    return {
        **to_headers(meta_data_of(attributes), names),
        **own,
        "Content-Type": header_value(content_type),
    }
