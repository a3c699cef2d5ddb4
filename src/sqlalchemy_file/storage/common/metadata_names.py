"""Escape names of metadata, so that no proxy changes or drops them.

S3 and most others take them as parts of HTTP headers. nginx and other proxies drop headers with
other characters than letters, digits and hyphens in their names, which invalidates the signature.
Azure takes identifiers only. So a name with other characters is sent as ``e--`` (``e__`` to Azure)
and its letters and digits; any other byte becomes a hyphen (an underscore) and two hexadecimal
digits: ``e--page-5fcount``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Names:
    """The names that one kind of server takes."""

    escape: str
    plain: re.Pattern[str]
    own: Mapping[str, str] = field(default_factory=dict)
    """Our own names, and the names under which they are sent."""

    @property
    def mark(self) -> str:
        return f"e{self.escape * 2}"

    def sent(self, name: str) -> str:
        if name in self.own:
            return self.own[name]
        lower = name.lower()
        is_free = not lower.startswith(self.mark) and lower not in self.own.values()
        if is_free and self.plain.fullmatch(name):
            return name
        return self.mark + "".join(map(self._escaped, name.encode("utf-8", "surrogatepass")))

    def received(self, name: str) -> str | None:
        """Return the original of a name that `sent` escaped, or None."""
        for own, other in self.own.items():
            if name.lower() == other:
                return own
        if not name.lower().startswith(self.mark):
            return None
        plain = unquote(name[3:].replace(self.escape, "%"))
        return plain if plain and self.sent(plain).lower() == name.lower() else None

    def _escaped(self, byte: int) -> str:
        letter = chr(byte)
        return letter if letter.isascii() and letter.isalnum() else f"{self.escape}{byte:02x}"


HEADERS = Names("-", re.compile(r"[A-Za-z0-9-]+"), {"content_type": "content-type"})
"""For S3, Google and other services that take names as parts of headers."""

IDENTIFIERS = Names("_", re.compile(r"[A-Za-z_][A-Za-z0-9_]*"))
"""For Azure."""

_OF_THE_BLOB = ("cache-control", "content-disposition", "content-encoding", "content-language")


def blob_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers under the names of Azure, which would drop some under their own."""
    return {
        f"x-ms-blob-{name.lower()}" if name.lower() in _OF_THE_BLOB else name: value
        for name, value in headers.items()
    }
