"""The file server: it creates signed URLs, and answers requests to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy_file.content.filenames import INLINE_TYPES, Disposition, known_disposition
from sqlalchemy_file.exceptions import InvalidKeyError
from sqlalchemy_file.file import File
from sqlalchemy_file.serving.answering import (
    Answer,
    Answering,
    answering,
    problem,
    problem_of,
    stat,
)
from sqlalchemy_file.serving.apps import FileApp, WSGIFileApp
from sqlalchemy_file.serving.delivery import Delivery, DeliveryChoice, chosen_delivery
from sqlalchemy_file.serving.http import Plan, plan_without_file
from sqlalchemy_file.serving.target import (
    CACHED_FOREVER,
    PRIVATE,
    Authorize,
    RequestFacts,
    Target,
    protecting_headers,
    require_resource_policy,
    require_types,
    target_of,
)
from sqlalchemy_file.serving.urls import Forged, Signer, public_path, public_target
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.registry import is_base_url
from sqlalchemy_file.values.further import DerivedImage, variants_of

_LONGEST = timedelta(days=36525)

_ADVICE = (
    "this file server has no secret: give it one, FileServer(secret=...), name storage {!r} in "
    "public=(...), or add it with a base_url"
)
_ADVICE_NAMED = (
    "a public URL carries no filename, and of a storage elsewhere no disposition: leave them out, "
    "or give the file server a secret, FileServer(secret=...), to sign them"
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request whose URL is valid: its target, and how it may be cached."""

    target: Target
    headers: Sequence[tuple[str, str]]
    is_public: bool = False


class FileServer:
    """Serves the files of all storages at signed URLs that expire.

    ``secret`` is a string, or several: the first signs, all verify, so that a new one can replace
    an old one. ``url`` is the path at which `asgi` or `wsgi` is mounted, or a whole URL on another
    host. ``expires`` is the shortest validity of a URL. ``inline`` are the content types that
    browsers may show; everything else is an attachment. ``public`` are names of storages whose
    files need no signature. ``authorize(request, target)`` allows a request for a file that is not
    public; it may be a coroutine function with `asgi`. ``delivery`` is ``"stream"``,
    ``"redirect"``, ``"x-sendfile"``, an `XAccelRedirect`, or a mapping from names of storages to
    these. ``cross_site=False`` refuses requests for private files from pages of other sites.

        server = FileServer(secret=os.environ["FILES_SECRET"])
        app.mount("/files", server.asgi)
        server.url_for(user.avatar, variant="small")
    """

    def __init__(
        self,
        *,
        secret: str | Sequence[str] | None = None,
        url: str = "/files",
        expires: timedelta = timedelta(minutes=5),
        inline: Collection[str] = INLINE_TYPES,
        public: Collection[str] = (),
        authorize: Authorize | None = None,
        delivery: DeliveryChoice = "stream",
        resource_policy: str | None = None,
        cross_site: bool = True,
    ) -> None:
        if isinstance(public, str):
            raise TypeError(f"public is a collection of names of storages, not {public!r}")
        if not (authorize is None or callable(authorize)):
            raise TypeError(f"authorize is a function of a request and a target, not {authorize!r}")
        require_types(inline)
        self.url: str = _checked_url(url)
        self.expires: timedelta = _positive(expires)
        self.inline: frozenset[str] = frozenset(each.lower() for each in inline)
        self.public: frozenset[str] = frozenset(public)
        self.authorize: Authorize | None = authorize
        self.cross_site: bool = cross_site
        # Pages are on another host than files with a whole URL, most often of the same site.
        default = "same-origin" if self.url.startswith("/") or not self.url else "same-site"
        self.resource_policy: str = require_resource_policy(resource_policy or default)
        self.delivery_for: Callable[[str], Delivery] = chosen_delivery(delivery)
        self._signer: Signer | None = None if secret is None else Signer(secret)

    def url_for(
        self,
        file: Any,
        *,
        expires: timedelta | None = None,
        disposition: Disposition | None = None,
        filename: str | None = None,
        variant: str | None = None,
    ) -> str:
        """Return the URL of a stored file, of its thumbnail, or of one of its variants.

        It is valid for at least ``expires``, and at most half as long again: the end is rounded up,
        so that a file has the same URL for some time and browsers can cache it. ``file`` may also
        be what `File.variant` returns. ``disposition="inline"`` works for the types that the server
        shows. A file of a public storage has its permanent URL, unless there is a ``filename`` or a
        ``disposition``, which need a signature.

        Raises `ValueError` for a file that is not stored and for a server without a secret,
        `KeyError` for an unknown variant, `UnknownStorageError` for a storage that was not added.
        """
        validity = self.expires if expires is None else _positive(expires)
        target = target_of(
            file, variant=variant, disposition=disposition, filename=filename, inline=self.inline
        )
        StorageManager.storage(target.storage)
        if filename is None and (address := self._permanent(file, target, disposition)):
            return address
        if self._signer is None:
            is_public = self._is_public(target.storage)
            raise ValueError(_ADVICE_NAMED if is_public else _ADVICE.format(target.storage))
        expiry = _rounded_up(_now(), validity)
        token = self._signer.sign(target, expiry, authorizes=self.authorize is not None)
        return f"{self.url}/{token}/{quote(target.filename)}"

    def srcset(
        self, file: File | Iterable[DerivedImage], *, expires: timedelta | None = None
    ) -> str:
        """Return the ``srcset`` of an image: the URLs of its variants, each with its width.

        Instead of a file, some of its variants can be given, for example those of one shape.
        """
        images = variants_of(file) if isinstance(file, File) else file
        if not isinstance(images, Iterable):
            raise TypeError(f"expected a File or some of its variants, got {type(file).__name__}")
        by_width = {image.width: image for image in images if image.width}
        return ", ".join(
            f"{self.url_for(image, expires=expires)} {width}w"
            for width, image in sorted(by_width.items())
        )

    @property
    def path(self) -> str:
        """The path at which to mount the server."""
        return unquote(urlsplit(self.url).path)

    def _permanent(
        self, file: File | DerivedImage, target: Target, wanted: Disposition | None
    ) -> str | None:
        """Return the URL of an object that is public: elsewhere, or below this server."""
        elsewhere = StorageManager.public_url(target.storage, target.key)
        if elsewhere is not None and wanted is None:
            return elsewhere
        if target.storage not in self.public:
            return None
        original = file.original if isinstance(file, DerivedImage) else file
        return self.url + public_path(target, wanted or known_disposition(original))

    def _is_public(self, storage_name: str) -> bool:
        return StorageManager.is_public(storage_name) or storage_name in self.public

    # --- a request

    def answering(self, request: RequestFacts) -> Answering:
        """Answer a request, as a generator of steps; see `answering`."""
        found = plan_without_file(request.method) or self.resolve(request)
        if isinstance(found, Plan):
            return Answer(found)
        target, authorize = found.target, self.authorize
        if found.is_public:
            authorize = None
            try:
                target = target.completed((yield partial(stat, target)), self.inline)
            except Exception as error:  # noqa: BLE001  what is no error of a storage is raised
                return Answer(problem_of(error))
        headers = [*found.headers, *self.protecting(target)]
        delivery = self.delivery_for(target.storage)
        return (yield from answering(request, target, headers, delivery, authorize))

    def resolve(self, request: RequestFacts) -> Resolved | Plan:
        """Return the target of a request, or the answer to an invalid one."""
        try:
            public = public_target(request.path, self.public)
        except InvalidKeyError:
            return problem(HTTPStatus.NOT_FOUND)
        if public is not None:
            return Resolved(public, [("Cache-Control", CACHED_FOREVER)], is_public=True)
        try:
            return self._resolved_signed(request)
        except Forged:
            return problem(HTTPStatus.FORBIDDEN)

    def _resolved_signed(self, request: RequestFacts) -> Resolved | Plan:
        if self._signer is None:
            raise Forged
        token = request.path.lstrip("/").partition("/")[0]
        authorizes = self.authorize is not None
        target, expires = self._signer.read(token, authorizes=authorizes)
        now = _now()
        if expires <= now:
            return problem(HTTPStatus.GONE)
        if not self.cross_site and request.headers.get("sec-fetch-site") == "cross-site":
            return problem(HTTPStatus.FORBIDDEN)
        rest = int((expires - now).total_seconds())
        cache = PRIVATE if authorizes else f"private, max-age={rest}, immutable"
        headers = [("Cache-Control", cache), ("Referrer-Policy", "no-referrer")]
        varying = ["Authorization", "Cookie"] if authorizes else []
        varying += [] if self.cross_site else ["Sec-Fetch-Site"]
        if varying:
            headers.append(("Vary", ", ".join(varying)))
        return Resolved(target.shown_by(self.inline), headers)

    def protecting(self, target: Target) -> list[tuple[str, str]]:
        """Return the security headers for an untrusted file."""
        policy = "cross-origin" if self._is_public(target.storage) else self.resource_policy
        return protecting_headers(target, policy)

    # --- applications

    @property
    def asgi(self) -> FileApp:
        """The ASGI application to mount at the server's path."""
        return FileApp(self.answering)

    @property
    def wsgi(self) -> WSGIFileApp:
        """The WSGI application to mount at the server's path."""
        return WSGIFileApp(self.answering)


def _checked_url(url: str) -> str:
    if url.rstrip("/") and not is_base_url(url):
        raise ValueError(  # it may contain a login, and is not repeated
            "url is a path like '/files', or a whole URL like 'https://files.example.org', "
            "percent-encoded, without a login, a query and a fragment"
        )
    return url.rstrip("/")


def _positive(expires: timedelta) -> timedelta:
    if not isinstance(expires, timedelta):
        raise TypeError(f"expires is a timedelta, not {expires!r}")
    if not timedelta(0) < expires <= _LONGEST:
        raise ValueError(f"expires is a positive timedelta of at most 100 years, not {expires!r}")
    return expires


def _rounded_up(now: datetime, expires: timedelta) -> datetime:
    step = max(1.0, expires.total_seconds() / 2)
    end = math.ceil((now + expires).timestamp() / step) * step
    return datetime.fromtimestamp(math.ceil(end), UTC)


def _now() -> datetime:
    return datetime.now(UTC)
