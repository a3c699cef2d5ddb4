"""The store of obstore that an address means: ``s3://``, ``gs://`` or ``az://``."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qsl

from obstore.exceptions import BaseError, UnknownConfigurationKeyError
from obstore.store import from_url

from sqlalchemy_file.storage.obstore import ObstoreStorage

_CLIENT_OPTIONS = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "default_content_type",
        "http1_only",
        "http2_keep_alive_interval",
        "http2_keep_alive_timeout",
        "http2_keep_alive_while_idle",
        "http2_only",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_ca_certificate",
        "proxy_excludes",
        "proxy_url",
        "timeout",
        "user_agent",
    }
)


def storage_at(parts: SplitResult) -> ObstoreStorage:
    """Return the storage at an address; what its query leaves open comes from the environment.

    Raises `ValueError`, which repeats no value of the query: some are secrets.
    """
    _refuse_unsound(parts)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    client = {name: options.pop(name) for name in options.keys() & _CLIENT_OPTIONS}
    if options.get("endpoint", "").startswith("http://"):
        client.setdefault("allow_http", "true")
    return ObstoreStorage(_store(parts, options, client))


def _refuse_unsound(parts: SplitResult) -> None:
    scheme = parts.scheme
    if "@" in parts.netloc:
        raise ValueError(
            f"the address of this storage holds a login: {scheme}://bucket/prefix is expected, "
            "and credentials in the environment, the query, or a store made by the program"
        )
    if not parts.netloc or parts.fragment:
        raise ValueError(
            f"the address of this storage is to look like {scheme}://bucket/prefix?option=value"
        )


def _store(parts: SplitResult, options: dict[str, str], client: dict[str, str]) -> Any:
    place = f"{parts.scheme}://{parts.netloc}{parts.path}"
    client_options: Any = client or None
    config: Any = options
    try:
        return from_url(place, config=config, client_options=client_options)
    except UnknownConfigurationKeyError as error:
        culprit = next((name for name in options if f"'{name}'" in str(error)), "one of them")
        fault = f"no option {culprit!r}"
    except (BaseError, ValueError, TypeError):
        names = ", ".join([*options, *client]) or "from the environment"
        fault = f"no store with these options ({names}): one is missing or has an unusable value"
    raise ValueError(f"the address of this storage, {place}, allows {fault}")
