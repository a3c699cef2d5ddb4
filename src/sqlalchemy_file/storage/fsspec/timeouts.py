"""Timeouts of fsspec filesystems, under the names that each of them has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy_file.exceptions import InvalidStorageError

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
"""Seconds until there is a connection, and between two signs of life."""

_LOST = (ConnectionError, TimeoutError, EOFError)
_LOST_ELSEWHERE = ("SSHException", "SMBConnectionClosed")  # of packages that may not be there


def with_limits(scheme: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a filesystem, with time limits where they leave them open.

    ``connect_timeout``, ``read_timeout`` and, unless the filesystem has such an option itself,
    ``timeout`` (the same as ``read_timeout``) are told by the names that it has for them; those
    names, where they are given too, win. The options of filesystems that have none stay as they
    are.
    """
    own = _OWN.get(scheme)
    if own is None:
        return dict(given)
    options = dict(given)
    if scheme in _WITHOUT_TIMEOUT and "timeout" in options:
        options.setdefault("read_timeout", options.pop("timeout"))
    connect = _seconds(options, "connect_timeout", CONNECT_TIMEOUT)
    limits = own(connect, _seconds(options, "read_timeout", READ_TIMEOUT))
    nested = {
        name: {**value, **options[name]}
        for name, value in limits.items()
        if isinstance(value, dict) and isinstance(options.get(name), Mapping)
    }
    return {**limits, **options, **nested}


def limit_reads(filesystem: Any, options: Mapping[str, Any]) -> None:
    """Give SSH connections a timeout after login, too: they would wait forever."""
    if "sftp" in filesystem.protocol and "banner_timeout" in options:
        filesystem.ftp.get_channel().settimeout(options["banner_timeout"])


def is_lost(error: BaseException) -> bool:
    """Return True if a connection is of no more use after this error: another one may be."""
    if isinstance(error, _LOST) or type(error).__name__ in _LOST_ELSEWHERE:
        return True
    words = str(error)
    # ftplib says no more than this of a server that bids farewell, sockets of one that timed out.
    return words.startswith("421") or words in ("Socket is closed", _AFTER_TIMEOUT)


def _seconds(options: dict[str, Any], name: str, default: float) -> float:
    value = options.pop(name, default)
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or seconds <= 0:
        raise InvalidStorageError(f"the option {name!r} is a number of seconds or a timedelta")
    return float(seconds)


def _ftp(connect: float, read: float) -> dict[str, Any]:
    return {"timeout": read}  # of each step, the first one too


def _ssh(connect: float, read: float) -> dict[str, Any]:
    return {"timeout": connect, "banner_timeout": read, "auth_timeout": read}


def _smb(connect: float, read: float) -> dict[str, Any]:
    return {"timeout": connect}


def _s3(connect: float, read: float) -> dict[str, Any]:
    # Repeated by s3fs alone, with growing pauses: botocore would do so inside each of its tries.
    once = {"total_max_attempts": 1}
    limits = {"connect_timeout": connect, "read_timeout": read, "retries": once}
    return {"config_kwargs": limits}


_AFTER_TIMEOUT = "cannot read from timed out object"
_WITHOUT_TIMEOUT = frozenset({"s3a"})
_OWN: dict[str, Callable[[float, float], dict[str, Any]]] = {
    "ftp": _ftp, "s3a": _s3, "sftp": _ssh, "smb": _smb, "ssh": _ssh,
}  # fmt: skip
