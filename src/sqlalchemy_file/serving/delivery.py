"""Deliveries: the bytes come from this process, the bucket, or the server in front."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import quote

from sqlalchemy_file.serving.bodies import require_size
from sqlalchemy_file.serving.http import FileFacts
from sqlalchemy_file.serving.target import Target
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.protocol import (
    HasPath,
    HasSignedDownload,
    HasSignedURL,
    Storage,
)

DeliveryName = Literal["stream", "redirect", "x-sendfile"]


_LONGEST = timedelta(days=7)


class Delivery(Protocol):
    """Lets another server answer.

    Returns the headers to add and whether to redirect, or None to stream the bytes from here.
    """

    def __call__(self, target: Target, facts: FileFacts) -> Handover | None: ...


@dataclass(frozen=True, slots=True)
class Handover:
    """A header that makes another server answer: ``Location``, or an internal path."""

    name: str
    value: str
    is_redirect: bool = False
    max_age: int = 0
    """For how many seconds a client may keep the redirect."""


def stream(target: Target, facts: FileFacts) -> Handover | None:
    """Send the bytes from this process."""
    return None


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the client to a presigned URL of the bucket, which is valid for ``expires``.

        FileServer(secret=..., delivery={"media": Redirect(expires=timedelta(minutes=1))})

    Files of a storage that cannot sign are streamed. The type and the disposition are signed into
    the URL for S3 and Azure, through obstore; otherwise the bucket sends those of the object.
    """

    expires: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        if not timedelta(0) < self.expires <= _LONGEST:
            raise ValueError(
                f"expires is a positive timedelta of at most seven days, not {self.expires!r}: "
                "S3 and Google sign no longer ones"
            )

    def __call__(self, target: Target, facts: FileFacts) -> Handover | None:
        url = self._signed(StorageManager.storage(target.storage), target.key, facts)
        half = int(self.expires.total_seconds() / 2)  # the other half is for the download to begin
        return None if url is None else Handover("Location", url, is_redirect=True, max_age=half)

    def _signed(self, storage: Storage, key: str, facts: FileFacts) -> str | None:
        if isinstance(storage, HasSignedDownload):
            return storage.signed_download(
                key,
                expires=self.expires,
                content_type=facts.content_type,
                disposition=facts.content_disposition,
            )
        if isinstance(storage, HasSignedURL):
            return storage.signed_url(key, expires=self.expires)
        return None


@dataclass(frozen=True, slots=True)
class XAccelRedirect:
    """Make nginx send the file from an ``internal`` location below ``prefix``.

        FileServer(secret=..., delivery=XAccelRedirect("/protected/{storage}/"))

    ``prefix`` may contain ``{storage}``. The key is percent-encoded, as nginx expects it.
    """

    prefix: str = "/protected/"

    def __post_init__(self) -> None:
        try:
            self.prefix.format(storage="")
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"prefix may contain {{storage}} and no other braces, not {self.prefix!r}"
            ) from error

    def __call__(self, target: Target, facts: FileFacts) -> Handover | None:
        prefix = self.prefix.format(storage=quote(target.storage))
        return Handover("X-Accel-Redirect", prefix.rstrip("/") + "/" + quote(target.key))


def x_sendfile(target: Target, facts: FileFacts) -> Handover | None:
    """Let Apache or lighttpd send the file of a local folder; other storages are streamed from."""
    path = path_to_send(target)
    if path is None:
        return None
    # Headers are Latin-1 to ASGI and WSGI: these characters stand for the bytes of the path.
    return Handover("X-Sendfile", os.fsencode(path).decode("latin-1"))


def path_to_send(target: Target) -> Path | None:
    """Return the path of a target that is a local file, for a server that sends it.

    Raises the `StorageError` of a file that is missing, that is not the one of the record, or that
    is a symbolic link: the server would follow it.
    """
    storage = StorageManager.storage(target.storage)
    if not isinstance(storage, HasPath):
        return None
    if hasattr(storage, "open_file"):
        with storage.open_file(target.key) as file:
            require_size(os.fstat(file.fileno()).st_size, target.size, target.key)
    return storage.path(target.key)


_NAMED: Mapping[str, Delivery] = {
    "stream": stream,
    "redirect": Redirect(),
    "x-sendfile": x_sendfile,
}

DeliveryChoice = DeliveryName | Delivery | Mapping[str, DeliveryName | Delivery]


def chosen_delivery(choice: DeliveryChoice) -> Callable[[str], Delivery]:
    """Return a function from a storage's name to its delivery; raises `ValueError`."""
    if isinstance(choice, Mapping):
        known = {name: _one(each) for name, each in choice.items()}
        return lambda storage: known.get(storage, stream)
    one = _one(choice)
    return lambda storage: one


def _one(choice: DeliveryName | Delivery) -> Delivery:
    if callable(choice):
        return choice
    if choice not in _NAMED:
        known = ", ".join(map(repr, _NAMED))
        raise ValueError(
            f"delivery is one of {known}, or Redirect(...) or XAccelRedirect(...), not {choice!r}"
        )
    return _NAMED[choice]
