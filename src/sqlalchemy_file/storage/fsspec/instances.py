"""The fsspec filesystem of each thread, its timeouts, and the meaning of its exceptions."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from inspect import signature
from itertools import zip_longest
from typing import Any

from fsspec.implementations.dirfs import DirFileSystem

from sqlalchemy_file.exceptions import InvalidStorageError
from sqlalchemy_file.storage.common.calling import redacted

_SECRET = re.compile(r"pass|secret|token|key|cred|auth", re.IGNORECASE)
_REFUSED = "the storage refused access: check the keys and rights"

BUCKETS: dict[str, str | None] = {
    **dict.fromkeys(("s3", "s3a"), "s3://"),
    **dict.fromkeys(("gs", "gcs"), "gs://"),
    **dict.fromkeys(("abfs", "abfss", "az", "adl"), "az://"),
    **dict.fromkeys(("oss", "oci"), None),
}
"""The protocols of buckets, with the better URL for each."""

_log = logging.getLogger("sqlalchemy_file.storage")


class Instances:
    """A filesystem for each thread and forked process.

    Filesystems on fsspec's event loop are shared by all threads. Others must not be: threads would
    get each other's answers.
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
        """Return instances like the given filesystem, which is the first of them."""
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
        # Two threads at the same moment may make one each, which does no harm.
        return self._keep(self._made())

    def drop(self) -> None:
        """Forget this thread's filesystem, because its connection is lost."""
        if not self.kind.async_impl:  # those reconnect
            self._local.kept = None

    def message(self, error: BaseException) -> str:
        """Return the message of an exception, with secrets redacted."""
        words = getattr(error, "strerror", None) or _words_of(error)
        code = _code_of(error)
        words = words if not code or code in words else f"{words} ({code})"
        for secret in sorted({*self._secrets()}, key=len, reverse=True):
            words = words.replace(secret, "***")
        return redacted(words)[:200]

    def _secrets(self) -> Iterator[str]:
        yield from _secrets_in(self._options)
        parameters = list(signature(self.kind.__init__).parameters.values())[1:]
        names = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
        # A value without a name may be a secret.
        for name, value in zip_longest(
            names[: len(self._arguments)], self._arguments, fillvalue="secret"
        ):
            yield from _secrets_in({name: value})

    def _made(self) -> Any:
        made = self.kind(*self._arguments, **self._options, skip_instance_cache=True)
        if "sftp" in made.protocol and "banner_timeout" in self._options:
            # Without a timeout after login, SSH connections would wait forever.
            made.ftp.get_channel().settimeout(self._options["banner_timeout"])
        return made

    def _keep(self, filesystem: Any) -> Any:
        kept = os.getpid(), filesystem
        if self.kind.async_impl:
            self._shared = kept
        else:
            self._local.kept = kept
        return filesystem


def instances_of(filesystem: Any, root: str | None) -> tuple[Instances, str]:
    if isinstance(filesystem, DirFileSystem):
        root = "/".join(filter(None, [filesystem.path, root]))
        filesystem = filesystem.fs
    if root is None:
        raise InvalidStorageError(
            "an fsspec filesystem needs a root, such as root='/srv/uploads' or "
            "root='bucket/prefix'; a DirFileSystem has one"
        )
    if isinstance(filesystem, Instances):
        return filesystem, root
    return Instances.like(filesystem), str(filesystem._strip_protocol(root))


def _words_of(error: BaseException) -> str:
    words = str(error)
    if words not in ("", "None"):  # s3fs writes None for no message
        return words
    return _REFUSED if isinstance(error, PermissionError) else type(error).__name__


def _code_of(error: BaseException) -> str | None:
    """Return S3's error code from the error of botocore."""
    cause: Any = error.__cause__ or error.__context__
    answer = getattr(cause, "response", None)
    code = answer.get("Error", {}).get("Code") if isinstance(answer, Mapping) else None
    return None if code is None or str(code).isdigit() else str(code)


def _secrets_in(value: Any, *, is_secret: bool = False) -> Iterator[str]:
    """Yield all strings below the name of a secret."""
    if isinstance(value, str) and value and is_secret:
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _secrets_in(each, is_secret=is_secret or bool(_SECRET.search(str(name))))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _secrets_in(each, is_secret=is_secret)


def advise_another_way(protocols: Iterable[str]) -> None:
    better = next(filter(None, map(BUCKETS.get, protocols)), None)
    if better is not None:
        _log.info(
            "fsspec keeps no names, types and headers in buckets, and takes many requests: "
            "%s, with the extra sqlalchemy-file[obstore], does better",
            better,
        )


CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
"""Default timeouts in seconds."""

_LOST = (ConnectionError, TimeoutError, EOFError)
_LOST_ELSEWHERE = ("SSHException", "SMBConnectionClosed")  # in optional packages


def with_limits(scheme: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a filesystem, with default timeouts.

    ``connect_timeout``, ``read_timeout`` and, if the filesystem has no such option, ``timeout``
    (the same as ``read_timeout``) are passed under its own names. Options with those names win.
    """
    own = _OWN.get(scheme)
    if own is None:
        return dict(given)
    options = dict(given)
    if scheme == "s3a" and "timeout" in options:
        options.setdefault("read_timeout", options.pop("timeout"))
    connect = _seconds(options, "connect_timeout", CONNECT_TIMEOUT)
    limits = own(connect, _seconds(options, "read_timeout", READ_TIMEOUT))
    nested = {
        name: {**value, **options[name]}
        for name, value in limits.items()
        if isinstance(value, dict) and isinstance(options.get(name), Mapping)
    }
    return {**limits, **options, **nested}


def is_lost(error: BaseException) -> bool:
    """Return True if the connection is lost after this error."""
    if isinstance(error, _LOST) or type(error).__name__ in _LOST_ELSEWHERE:
        return True
    words = str(error)
    # ftplib reports a closed session as 421; sockets report an earlier timeout.
    return words.startswith("421") or words in ("Socket is closed", _AFTER_TIMEOUT)


def _seconds(options: dict[str, Any], name: str, default: float) -> float:
    value = options.pop(name, default)
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or seconds <= 0:
        raise InvalidStorageError(f"the option {name!r} is a number of seconds or a timedelta")
    return float(seconds)


_AFTER_TIMEOUT = "cannot read from timed out object"
_OWN: dict[str, Callable[[float, float], dict[str, Any]]] = {
    "ftp": lambda connect, read: {"timeout": read},
    # s3fs retries itself; botocore would retry inside each of its attempts.
    "s3a": lambda connect, read: {
        "config_kwargs": {
            "connect_timeout": connect, "read_timeout": read, "retries": {"total_max_attempts": 1},
        },
    },
    "smb": lambda connect, read: {"timeout": connect},
    **dict.fromkeys(("sftp", "ssh"), lambda connect, read: {
        "timeout": connect, "banner_timeout": read, "auth_timeout": read,
    }),
}  # fmt: skip
