"""The filesystem of fsspec that a thread is to use, and what its errors mean."""

from __future__ import annotations

import os
import re
import threading
from typing import Any

from sqlalchemy_file.exceptions import InvalidStorageError, ObjectExistsError, StorageError

_SECRET = re.compile(r"pass|secret|token|key|cred|auth", re.IGNORECASE)
_QUERY = re.compile(r"\?[^\s,)\"']*")
_LOGIN = re.compile(r"://[^\s/@]*@")


class Instances:
    """Gives each thread a filesystem that it may use, and each forked process new ones.

    Those that work on fsspec's own event loop are for all threads of a process; any other one is
    for one thread, as fsspec has it: its connection would mix up the answers.
    """

    def __init__(self, kind: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        if kind.async_impl and options.get("asynchronous"):
            raise InvalidStorageError(
                "this filesystem was made with asynchronous=True, for one event loop: leave that "
                "out, and it works on fsspec's own loop, from threads and coroutines alike"
            )
        self.kind = kind
        self._arguments = arguments
        self._options = options
        self._local = threading.local()
        self._shared: tuple[int, Any] | None = None

    @classmethod
    def like(cls, filesystem: Any) -> Instances:
        """Return those that begin with a filesystem which the program made."""
        options = {**filesystem.storage_options}
        if getattr(filesystem, "asynchronous", False):
            options["asynchronous"] = True
        instances = cls(type(filesystem), filesystem.storage_args, options)
        instances._keep(filesystem)
        return instances

    def get(self) -> Any:
        process = os.getpid()
        kept = self._shared if self.kind.async_impl else getattr(self._local, "kept", None)
        if kept is not None and kept[0] == process:
            return kept[1]
        # Two threads may make one each at the same moment; either serves.
        return self._keep(self._made())

    def forget_listings(self, filesystem: Any) -> None:
        """Let a filesystem ask its server rather than its memory."""
        filesystem.invalidate_cache()

    def told(self, error: BaseException) -> str:
        """Return an error's words, without what opens a door."""
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        for name, value in self._options.items():
            if _SECRET.search(name) and isinstance(value, str) and value:
                words = words.replace(value, "***")
        return _LOGIN.sub("://", _QUERY.sub("", words))[:200]

    def _made(self) -> Any:
        return self.kind(*self._arguments, **self._options, skip_instance_cache=True)

    def _keep(self, filesystem: Any) -> Any:
        kept = os.getpid(), filesystem
        if self.kind.async_impl:
            self._shared = kept
        else:
            self._local.kept = kept
        return filesystem


def exists_already(key: str) -> ObjectExistsError:
    return ObjectExistsError("an object is stored there already", key=key)


def no_bucket(key: str | None) -> StorageError:
    return StorageError("the bucket or container does not exist", key=key)
