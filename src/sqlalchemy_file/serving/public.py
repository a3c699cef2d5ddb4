"""Public URLs: of objects that need no signature.

``/public/STORAGE/KEY`` shows what browsers may show, ``/attachment/STORAGE/KEY`` is saved. Bytes
that are stored compressed say so: ``/public.gzip/STORAGE/KEY``. A storage need not know.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import quote

from sqlalchemy_file.content.disposition import Disposition
from sqlalchemy_file.serving.target import ENCODINGS, Target
from sqlalchemy_file.storage.common.keys import check_key, refuse_reserved

_KINDS: Mapping[str, Disposition] = {"public": "inline", "attachment": "attachment"}


def public_path(target: Target, disposition: Disposition | None) -> str:
    """Return the path of an object's public URL, below the server."""
    kind = "attachment" if disposition == "attachment" else "public"
    encoded = kind if target.encoding is None else f"{kind}.{target.encoding}"
    return f"/{encoded}/{quote(target.storage)}/{quote(target.key)}"


def public_target(path: str, storages: Collection[str]) -> Target | None:
    """Return the target of a public URL, without what only the storage knows; None for others.

    Raises `InvalidKeyError` for an object that is in none of the public ``storages``.
    """
    kind, _, rest = path.lstrip("/").partition("/")
    name, dot, encoding = kind.partition(".")
    if name not in _KINDS or (dot and encoding not in ENCODINGS):
        return None
    storage = next((each for each in storages if rest.startswith(f"{each}/")), None)
    key = "" if storage is None else rest.removeprefix(f"{storage}/")
    refuse_reserved(check_key(key))  # the path of a request is decoded already
    filename = key.rpartition("/")[2]
    return Target(storage or "", key, None, filename, _KINDS[name], encoding=encoding or None)
