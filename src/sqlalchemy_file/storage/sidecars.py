"""Attributes beside their objects, in ``<key>.metadata.json``, as 0.7.0 lays them."""

from __future__ import annotations

import json

from sqlalchemy_file.storage.attributes import attributes_from, meta_data_of
from sqlalchemy_file.storage.base import Attributes
from sqlalchemy_file.storage.drafts import Draft
from sqlalchemy_file.storage.files import open_object, refuse_taken
from sqlalchemy_file.storage.folders import Folder
from sqlalchemy_file.storage.locks import locked

SIDECAR = ".metadata.json"


def read_sidecar(folder: Folder, name: str) -> Attributes:
    """Return the attributes of an object; none where another program laid it there."""
    try:
        with open_object(folder, f"{name}{SIDECAR}") as file:
            meta_data = json.loads(file.read())
    except (OSError, ValueError):
        return Attributes()
    return attributes_from(meta_data if isinstance(meta_data, dict) else {})


def sidecar_of(attributes: Attributes) -> bytes:
    """Return the content of a sidecar, empty where there is nothing to keep."""
    meta_data = meta_data_of(attributes)
    return json.dumps(meta_data).encode() if meta_data else b""


def publish_both(
    folder: Folder, name: str, draft: Draft, sidecar: Draft | None, *, exclusive: bool
) -> None:
    """Let the sidecar appear, then its object; nobody else changes either meanwhile."""
    with locked(folder):
        if exclusive:
            refuse_taken(folder, name)
        if sidecar is None:
            folder.discard(f"{name}{SIDECAR}")
        else:
            sidecar.publish(folder, f"{name}{SIDECAR}", exclusive=False)
        try:
            draft.publish(folder, name, exclusive=exclusive)
        except BaseException:
            if not folder.has_file(name):
                folder.discard(f"{name}{SIDECAR}")
            raise
