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
    def _storages(cls: Any, containers: Mapping[str, Any]) -> None:
        given, limit, default = dict(containers), cls.limits(), cls._default
        cls.clear()
        cls.set_limit(limit)
        for name, container in given.items():
            cls.add_storage(name, container)
        cls._default = default if default in given else cls._default

    @property
    def _default_storage_name(cls: Any) -> Any:
        return cls._default

    @_default_storage_name.setter
    def _default_storage_name(cls: Any, name: str | None) -> None:
        cls._default = name


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
