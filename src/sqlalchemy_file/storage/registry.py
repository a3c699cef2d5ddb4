"""The registered storages, and the names that are allowed."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote, urlsplit

from sqlalchemy_file.exceptions import InvalidStorageError, MissingExtraError, UnknownStorageError
from sqlalchemy_file.storage.adapters import adapt
from sqlalchemy_file.storage.common.keys import Location, overlap
from sqlalchemy_file.storage.common.protocol import Storage, named

_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})  # line breaks, and what no encoding can write


@dataclass(frozen=True, slots=True)
class Registered:
    """A storage, and the thing that a program gave to be one."""

    given: Any
    storage: Storage
    base_url: str | None = None
    signed_by: set[int] = field(default_factory=set, compare=False)
    """The epochs of ledgers that are known to have signed the storage."""

    def public_url(self, key: str) -> str | None:
        """Return the permanent public URL of an object, or None if there is none."""
        if self.base_url is not None:
            return f"{self.base_url}/{quote(key)}"
        address_of = getattr(self.storage, "public_url", None)  # isinstance() of a protocol is slow
        return None if address_of is None else cast("str | None", address_of(key))


def registered_as(
    name: str, thing: Any, options: Mapping[str, Any], base_url: str | None = None
) -> Registered:
    """Return a storage to register under a name, with the name in its errors."""
    _check_name(name)
    base = None if base_url is None else _checked_base_url(name, base_url)
    return Registered(thing, _adapted(name, thing, options), base)


def refuse_ambiguous(name: str, others: Iterable[str]) -> None:
    """Raise `RuntimeError` for a name that is taken, or that makes paths ambiguous."""
    if name in others:
        raise RuntimeError(
            f"Storage {name} has already been added; pass replace=True to replace it, or use "
            "StorageManager.override in a test"
        )
    other = next((each for each in others if overlap(each, name)), None)
    if other is not None:
        raise RuntimeError(
            f"Storage {name!r} cannot be added next to {other!r}: a path that begins with both "
            "names could mean an object of either; choose a name that does not begin like "
            "another one"
        )


def _adapted(name: str, thing: Any, options: Mapping[str, Any]) -> Storage:
    try:
        with named(name):
            return adapt(thing, **options)
    except MissingExtraError as error:
        error.storage = name
        raise
    except TypeError as error:
        error.add_note(f"while adding the storage {name!r}")
        raise


def _checked_base_url(name: str, base_url: str) -> str:
    """Return the URL without a final slash; errors do not repeat it, it may hold secrets."""
    if not isinstance(base_url, str):
        raise TypeError(f"base_url is a string, not {type(base_url).__name__}")
    if not is_base_url(base_url):
        raise InvalidStorageError(
            "'base_url' is the public URL of the folder that holds the objects: https://host/path, "
            "or /path on the application's own host, percent-encoded, without a login, a query "
            "and a fragment",
            storage=name,
        )
    return base_url.rstrip("/")


def is_base_url(text: str) -> bool:
    """Return True for a path or a whole URL to which names can be appended."""
    if not (text.isascii() and text.isprintable()) or {" ", "?", "#"} & {*text}:
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    if parts.scheme in ("http", "https"):
        return bool(parts.hostname) and "@" not in parts.netloc
    return not parts.scheme and not parts.netloc and parts.path.startswith("/")


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the name of a storage is a string, not {type(name).__name__}")
    if not name or name.startswith("/") or name.endswith("/"):
        raise ValueError(f"the name of a storage neither begins nor ends with a slash: {name!r}")
    if any(unicodedata.category(each) in _UNFIT for each in name):
        raise ValueError(
            f"the name of a storage contains no control characters and line separators: {name!r}"
        )


class OldNames(type):
    """Gives `StorageManager` the attribute ``_storages`` of version 0.7, which programs use."""

    @property
    def _storages(cls) -> MutableMapping[str, Any]:
        return _Containers(cls)

    @_storages.setter
    def _storages(cls: Any, containers: Mapping[str, Any]) -> None:
        given, limit, default = dict(containers), cls.limits(), cls._default_storage_name
        cls.clear()
        cls.set_limit(limit)
        for name, container in given.items():
            cls.add_storage(name, container)
        if default in given:
            cls.set_default(default)


class _Containers(MutableMapping[str, Any]):
    """The given containers by name; a change changes the manager."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def __getitem__(self, name: str) -> Any:
        return self._manager._registered[name].given

    def __setitem__(self, name: str, container: Any) -> None:
        self._manager.add_storage(name, container, replace=True)

    def __delitem__(self, name: str) -> None:
        self._manager._forget(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._manager._registered)

    def __len__(self) -> int:
        return len(self._manager._registered)

    def __repr__(self) -> str:
        return repr(dict(self))


class Registry:
    """The registered storages of this process, by name."""

    # Replaced as a whole and never changed, so that reading needs no lock.
    _registered: Mapping[str, Registered] = {}
    _default_storage_name: str | None = None  # so named in version 0.7
    _lock = threading.Lock()

    @classmethod
    def get_default(cls) -> str:
        """Return the name of the default storage."""
        default = cls._default_storage_name
        if default is None:
            raise UnknownStorageError(
                "No default storage has been added: call StorageManager.add_storage(name, ...)"
            )
        return default

    @classmethod
    def resolve(cls, path: str) -> tuple[str, str]:
        """Return the storage name and the key of a path.

        The path is split after the name of an added storage, else at its last slash. Paths of a
        record contain both already.
        """
        if isinstance(path, Location):
            return path.parts()
        end = last = path.rfind("/")
        while end > 0 and path[:end] not in cls._registered:
            end = path.rfind("/", 0, end)
        end = end if end > 0 else last
        return path[: max(end, 0)], path[end + 1 :]

    _get_storage_and_file_id = resolve  # programs written for older versions call it

    @classmethod
    def _register(cls, name: str, registered: Registered, *, replace: bool) -> None:
        if not (replace and name in cls._registered):
            refuse_ambiguous(name, cls._registered)
        cls._registered = {**cls._registered, name: registered}
        cls._default_storage_name = cls._default_storage_name or name

    @classmethod
    def _forget(cls, name: str) -> None:
        cls._registered = {key: each for key, each in cls._registered.items() if key != name}
        if cls._default_storage_name == name:
            cls._default_storage_name = next(iter(cls._registered), None)

    @classmethod
    def _found(cls, name: str | None) -> Registered:
        chosen = cls.get_default() if name is None else name
        registered = cls._registered.get(chosen)
        if registered is None:
            raise UnknownStorageError(
                f"{chosen} storage has not been added (added: {cls._known()}): "
                "call StorageManager.add_storage(name, ...) when the program starts"
            )
        return registered

    @classmethod
    def _known(cls) -> str:
        return ", ".join(map(repr, cls._registered)) or "none"
