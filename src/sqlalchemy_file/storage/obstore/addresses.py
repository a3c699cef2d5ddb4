"""obstore stores from URLs: ``s3://``, ``gs://``, ``az://``, ``https://``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import SplitResult, parse_qsl

from obstore.exceptions import BaseError, UnknownConfigurationKeyError
from obstore.store import HTTPStore, from_url

from sqlalchemy_file.exceptions import InvalidStorageError
from sqlalchemy_file.storage.common.calling import LEAST
from sqlalchemy_file.storage.obstore.errors import is_panic
from sqlalchemy_file.storage.obstore.storage import ObstoreStorage
from sqlalchemy_file.support.defaults import BUCKET_CONCURRENCY

DEFAULT_TIMEOUTS: dict[str, timedelta] = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(hours=1),  # of a request with its body
}

DEFAULT_RETRIES: dict[str, Any] = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}
"""obstore's own defaults are ten in three minutes; a transaction would wait that long."""

_DURATIONS = frozenset(
    {"connect_timeout", "http2_keep_alive_timeout", "pool_idle_timeout", "read_timeout", "timeout"}
)
_CLIENT_OPTIONS = _DURATIONS | {
    "allow_http", "allow_invalid_certificates", "default_content_type", "default_headers",
    "http1_only", "http2_keep_alive_interval", "http2_keep_alive_while_idle",
    "http2_max_frame_size", "http2_only", "pool_max_idle_per_host", "proxy_ca_certificate",
    "proxy_excludes", "proxy_url", "randomize_addresses", "root_certificate", "user_agent",
}  # fmt: skip
_IN_ENVIRONMENT = _CLIENT_OPTIONS - {"default_headers", "root_certificate"}

_PREFIXES = {"s3": "aws_", "gs": "google_", "az": "azure_"}
"""Prefixes of options, optional outside the environment."""

_ENDPOINTS = frozenset({"endpoint", "endpoint_url", "endpoint_url_s3"})


def storage_at(parts: SplitResult, given: Mapping[str, Any]) -> ObstoreStorage:
    """Return the storage of a URL; missing options come from the environment.

    ``given`` wins over the query. Raises `InvalidStorageError` without values, which may be
    secrets.
    """
    _refuse_unsound(parts)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    options = {**_plain_names(parts.scheme, query), **_plain_names(parts.scheme, given)}
    concurrency = _whole_number(options, "concurrency", BUCKET_CONCURRENCY)
    verify = options.pop("verify", False)
    verify = {"true": True, "false": False}.get(verify, verify)  # as in a query
    retries = _retries(options)
    common = {"client_options": _client(parts.scheme, options)}
    provider = options.pop("credential_provider", None)
    common |= {} if provider is None else {"credential_provider": provider}
    store, once = (
        _store(parts, options, {**common, "retry_config": config})
        for config in (retries, {**retries, "max_retries": 0})
    )
    return ObstoreStorage(store, concurrency=concurrency, once=once, verify=verify)


def _retries(options: dict[str, Any]) -> dict[str, Any]:
    retries = {
        **DEFAULT_RETRIES,
        **_mapping(options, "retry_config"),
        **_chosen(options, {"retry_timeout"}),
    }
    retries["max_retries"] = _whole_number(options, "max_retries", retries["max_retries"])
    return retries


def _client(scheme: str, options: dict[str, Any]) -> dict[str, Any]:
    around = _environment(scheme)
    client = {
        **DEFAULT_TIMEOUTS,
        **_chosen(around, _IN_ENVIRONMENT),
        **_chosen(options, _CLIENT_OPTIONS),
        **_mapping(options, "client_options"),
    }
    addresses = {**around, **options}
    if scheme == "http" or any(_is_plain(*address) for address in addresses.items()):
        client.setdefault("allow_http", True)
    return client


def _refuse_unsound(parts: SplitResult) -> None:
    scheme = parts.scheme
    if "@" in parts.netloc:
        raise InvalidStorageError(
            f"the URL of this storage contains a login: {scheme}://bucket/prefix is expected, "
            "and credentials in the environment, in options, or a store made by the program"
        )
    if not parts.netloc or parts.fragment:
        raise InvalidStorageError(
            f"the URL of this storage must look like {scheme}://bucket/prefix?option=value"
        )


def _plain_names(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the plain names of client options.

    obstore also takes ``aws_timeout`` and ``TIMEOUT`` as options of a bucket, and panics.
    """
    plain = {name: name.lower().removeprefix(_PREFIXES.get(scheme, "")) for name in options}
    return {
        plain[name] if plain[name] in _CLIENT_OPTIONS else name: value
        for name, value in options.items()
    }


def _environment(scheme: str) -> dict[str, Any]:
    """Return the options in the environment.

    obstore ignores those of the client if it is given any client option.
    """
    prefix = _PREFIXES.get(scheme, "").upper()
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in os.environ.items()
        if prefix and name.startswith(prefix)
    }


def _is_plain(name: str, value: Any) -> bool:
    """Return True if an option sends requests to a server without TLS."""
    plain = name.lower().removeprefix("aws_").removeprefix("azure_")
    return plain in _ENDPOINTS and str(value).startswith("http://")


def _chosen(options: dict[str, Any], names: frozenset[str] | set[str]) -> dict[str, Any]:
    chosen = {name: options.pop(name) for name in options.keys() & names}
    return {
        name: _duration(name, value) if name.endswith("timeout") else value
        for name, value in chosen.items()
    }


def _duration(name: str, value: Any) -> Any:
    """Return a duration for obstore; a plain number means seconds."""
    try:
        return timedelta(seconds=float(value))
    except (TypeError, ValueError):
        if isinstance(value, timedelta) or (isinstance(value, str) and name in _DURATIONS):
            return value  # such as "30s"
    raise InvalidStorageError(f"the option {name!r} is a number of seconds or a timedelta")


def _whole_number(options: dict[str, Any], name: str, default: int) -> int:
    value = options.pop(name, default)
    text = str(value)  # a query has text
    if isinstance(value, bool) or not text.isdecimal() or int(text) < LEAST[name]:
        raise InvalidStorageError(f"the option {name!r} is a whole number from {LEAST[name]} on")
    return int(text)


def _mapping(options: dict[str, Any], name: str) -> dict[str, Any]:
    value = options.pop(name, None) or {}
    if not isinstance(value, Mapping):
        raise InvalidStorageError(f"the option {name!r} is a dict, as obstore's stores take it")
    return dict(value)


def _store(parts: SplitResult, options: dict[str, Any], common: dict[str, Any]) -> Any:
    place = f"{parts.scheme}://{parts.netloc}{parts.path}"
    try:
        return _made(parts.scheme, place, options, common)
    except UnknownConfigurationKeyError as error:
        culprit = next((name for name in options if f"'{name}'" in str(error)), "one of them")
        fault = f"no option {culprit!r}"
    except BaseException as error:
        if not isinstance(error, BaseError | ValueError | TypeError) and not is_panic(error):
            raise
        names = _names(options, common)
        fault = f"no store with these options ({names}): one is missing or has an unusable value"
    raise InvalidStorageError(f"the URL of this storage, {place}, allows {fault}")


def _made(scheme: str, place: str, options: dict[str, Any], common: dict[str, Any]) -> Any:
    if scheme not in ("http", "https"):
        return from_url(place, config=options, **common)  # type: ignore[call-overload]
    if options or "credential_provider" in common:
        raise UnknownConfigurationKeyError(f"'{next(iter(options), 'credential_provider')}'")
    return HTTPStore.from_url(place, **common)


def _names(options: dict[str, Any], common: dict[str, Any]) -> str:
    client = common["client_options"]
    chosen = [name for name in client if client[name] != DEFAULT_TIMEOUTS.get(name)]
    return ", ".join([*options, *chosen]) or "from the environment"
