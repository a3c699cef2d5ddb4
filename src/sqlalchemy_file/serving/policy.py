"""What browsers may show, and the security headers for untrusted files."""

from __future__ import annotations

import re
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache

from sqlalchemy_file.content.disposition import Disposition
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE

_ACTIVE_TYPES = (
    "*/*html*", "*/*xml*", "image/svg*", "*/*script*", "*/*ecmascript*", "text/css", "text/vtt",
    "text/cache-manifest", "multipart/*", "message/*", "application/wasm",
    "application/x-shockwave-flash", "application/manifest+json", "application/speculationrules*",
)  # fmt: skip
"""Types that a page could load as a script, a style or a document; they are sent as bytes."""

_NOTHING_RUNS = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_RESOURCE_POLICIES = ("same-origin", "same-site", "cross-origin")

CACHED_FOREVER = "public, max-age=31536000, immutable"
"""``Cache-Control`` for a public URL: a key never changes its bytes."""


_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf'{_NAME}/{_NAME}(?: *; *{_NAME}=(?:{_NAME}|"[ !#-\[\]-~]*"))*', re.ASCII)


@lru_cache(maxsize=256)
def sent_type(content_type: str) -> str:
    """Return the content type to send: one that no page can use as a script or a style."""
    essence = content_type.partition(";")[0].strip().lower()
    if not is_clean(content_type) or any(fnmatchcase(essence, each) for each in _ACTIVE_TYPES):
        return UNKNOWN_TYPE
    return content_type


def is_clean(content_type: str) -> bool:
    """Return True for a content type that may stand in a header (RFC 9110, section 8.3.1)."""
    return _MEDIA_TYPE.fullmatch(content_type) is not None


def require_resource_policy(value: str) -> str:
    """Return the value, or raise `ValueError` for one that browsers would ignore."""
    if value not in _RESOURCE_POLICIES:
        known = ", ".join(map(repr, _RESOURCE_POLICIES))
        raise ValueError(f"resource_policy is one of {known}, not {value!r}")
    return value


def protecting_headers(
    content_type: str | None, disposition: Disposition, resource_policy: str
) -> list[tuple[str, str]]:
    """Return the headers that every answer with a file carries.

    Chromium's viewer shows no sandboxed PDF, so an inline one goes without the sandbox.
    """
    headers = [
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", resource_policy),
    ]
    if not (disposition == "inline" and content_type == "application/pdf"):
        headers.append(("Content-Security-Policy", _NOTHING_RUNS))
    return headers


def caching(expires: datetime | None, now: datetime) -> str:
    """Return ``Cache-Control`` for a signed URL; without ``expires``, clients ask each time."""
    if expires is None:
        return "private, no-cache"
    rest = max(0, int((expires - now).total_seconds()))
    return f"private, max-age={rest}, immutable"
