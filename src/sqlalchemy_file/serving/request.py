"""A request, independent of the framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy_file.serving.target import Target


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """A request: ``headers`` have lower-case names, ``path`` is the path below the server.

    ``scope`` is the ASGI scope or the WSGI environment.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    scope: Mapping[str, Any]

    @classmethod
    def of_scope(cls, scope: Mapping[str, Any]) -> RequestFacts:
        """Return the facts of an ASGI request."""
        path, root = scope["path"], scope.get("root_path") or ""
        inner = path.removeprefix(root) if path.startswith(f"{root}/") else path
        pairs = (
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        )
        return cls(scope["method"], inner, _joined(pairs), scope)

    @classmethod
    def of_environ(cls, environ: Mapping[str, Any]) -> RequestFacts:
        """Return the facts of a WSGI request."""
        pairs = (
            (name[5:].replace("_", "-").lower(), value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        )
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        return cls(environ["REQUEST_METHOD"], path, _joined(pairs), environ)


Authorize = Callable[[RequestFacts, Target], "bool | Awaitable[bool]"]


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
