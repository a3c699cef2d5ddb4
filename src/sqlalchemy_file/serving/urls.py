"""The URLs of a file server: signed tokens, and public paths.

The signature is itsdangerous's. A token contains its purpose and which of the secrets signed it, so
that secrets can be replaced one after the other. There are two purposes: the token of a server that
asks ``authorize`` is not valid at a server with the same secret that does not.

Objects of public storages need no signature. ``/public/STORAGE/KEY`` shows what browsers may show,
``/attachment/STORAGE/KEY`` is saved. Bytes that are stored compressed say so:
``/public.gzip/STORAGE/KEY``. A storage need not know.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from sqlalchemy_file.content.filenames import Disposition
from sqlalchemy_file.exceptions import MissingExtraError
from sqlalchemy_file.serving.target import ENCODINGS, Target
from sqlalchemy_file.storage.common.keys import check_key, refuse_reserved

_PURPOSE = "sqlalchemy-file.serving"
_AUTHORIZED = f"{_PURPOSE}.authorized"
_VERSION = 1
_LONGEST_TOKEN = 8192
_SHORTEST_SECRET = 16


class Forged(Exception):  # noqa: N818  it names what the token is
    """A token that was not made by these secrets for this purpose."""


class Signer:
    """Makes and reads tokens; the first secret signs, all of them verify."""

    def __init__(self, secret: str | Sequence[str]) -> None:
        secrets = [secret] if isinstance(secret, str) else list(secret)
        if not secrets or any(
            not isinstance(each, str) or len(each) < _SHORTEST_SECRET for each in secrets
        ):
            raise ValueError(
                f"a secret is a string of at least {_SHORTEST_SECRET} characters, best a random one"
            )
        try:
            from itsdangerous import URLSafeSerializer  # noqa: PLC0415  an optional dependency
        except ImportError as error:
            raise MissingExtraError("a FileServer with a secret", "serve") from error
        self._key_id = _key_id(secrets[0])
        self._known = {_key_id(secret) for secret in secrets}
        self._serializers = {
            purpose: URLSafeSerializer(
                list(reversed(secrets)),  # the last one signs
                salt=purpose,
                signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
            )
            for purpose in (_PURPOSE, _AUTHORIZED)
        }
        # A browser asks for many ranges of one video. What is forged is not remembered.
        self._read_cached = lru_cache(1024)(self._read)

    def sign(self, target: Target, expires: datetime, *, authorizes: bool = False) -> str:
        token = self._serializers[_AUTHORIZED if authorizes else _PURPOSE].dumps(
            [
                _VERSION,
                self._key_id,
                int(expires.timestamp()),
                target.storage,
                target.key,
                target.content_type,
                target.filename,
                target.disposition,
                target.size,
                _packed(target.sha256),
                int(target.modified.timestamp()) if target.modified else 0,
                *([] if target.encoding is None else [target.encoding]),
            ]
        )
        return token if isinstance(token, str) else token.decode("ascii")

    def read(self, token: str, *, authorizes: bool) -> tuple[Target, datetime]:
        """Return the target and when the token expires, past or not; raises `Forged`.

        A server that ``authorizes`` each request also accepts the tokens of one that does not.
        """
        if len(token) > _LONGEST_TOKEN:
            raise Forged
        if authorizes:
            with suppress(Forged):
                return self._read_cached(token, _AUTHORIZED)
        return self._read_cached(token, _PURPOSE)

    def _read(self, token: str, purpose: str) -> tuple[Target, datetime]:
        from itsdangerous import BadData  # noqa: PLC0415  an optional dependency

        try:
            version, key_id, expires, *described = self._serializers[purpose].loads(token)
            if version != _VERSION or key_id not in self._known:
                raise Forged
            return _target(described), datetime.fromtimestamp(expires, UTC)
        except (BadData, ValueError, TypeError, OverflowError, OSError) as error:
            raise Forged from error


def _target(described: Sequence[Any]) -> Target:
    storage, key, kind, name, disposition, size, checksum, modified, *encoding = described
    known = _unpacked(checksum), datetime.fromtimestamp(modified, UTC) if modified else None
    return Target(storage, key, kind, name, disposition, size, *known, *encoding[:1])


def _packed(sha256: str | None) -> str | None:
    if sha256 is None:
        return None
    return base64.urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=").decode("ascii")


def _unpacked(checksum: Any) -> str | None:
    return None if checksum is None else base64.urlsafe_b64decode(f"{checksum}=").hex()


def _key_id(secret: str) -> str:
    """Return a name for a secret that reveals nothing about it."""
    return hashlib.sha256(f"{_PURPOSE}:{secret}".encode()).hexdigest()[:8]


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
