"""Private names of version 0.7's `StorageManager` that programs use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any


class OldNames(type):
    """Gives `StorageManager` the attributes ``_storages`` and ``_default_storage_name``."""

    @property
    def _storages(cls) -> MutableMapping[str, Any]:
        return _Containers(cls)

    @_storages.setter
    def _storages(cls, containers: Mapping[str, Any]) -> None:
        manager: Any = cls
        given, limit, default = dict(containers), manager.limits(), manager._default
        manager.clear()
        manager.set_limit(limit)
        for name, container in given.items():
            manager.add_storage(name, container)
        manager._default = default if default in given else manager._default

    @property
    def _default_storage_name(cls) -> str | None:
        manager: Any = cls
        default: str | None = manager._default
        return default

    @_default_storage_name.setter
    def _default_storage_name(cls, name: str | None) -> None:
        manager: Any = cls
        manager._default = name


class _Containers(MutableMapping[str, Any]):
    """What was added, by name; a change is one of the manager's."""

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
