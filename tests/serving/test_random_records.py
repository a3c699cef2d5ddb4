"""Records that other programs may have written: served, refused with a reason, or left out."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import StorageError, UnknownStorageError
from sqlalchemy_file.serving import FileServer, public_record
from sqlalchemy_file.storage import Attributes

from .models import SECRET

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3)
    ),
    max_leaves=6,
)
KEYS = ("content_type", "size", "checksum", "upload_storage", "file_id", "url", "width", "height")
OWN_KEYS = ("filename", "uploaded_at", "disposition", "headers", "extra", "files", "placeholder")
PATH = st.just("main/key") | ANYTHING
PART = st.fixed_dictionaries({}, optional={"path": PATH, **dict.fromkeys(KEYS, ANYTHING)})
VARIANTS = st.dictionaries(st.just("small") | st.text(max_size=4), PART | ANYTHING, max_size=3)
RECORD = st.fixed_dictionaries(
    {},
    optional={
        "path": PATH,
        "thumbnail": PART | ANYTHING,
        "variants": VARIANTS | ANYTHING,
        **dict.fromkeys((*KEYS, *OWN_KEYS), ANYTHING),
    },
)
REFUSED = (ValueError, KeyError, UnknownStorageError, StorageError)
"""What `url_for` and `File.variant` raise, with a reason."""


@pytest.fixture(scope="module")
def servers() -> list[FileServer]:
    return [FileServer(secret=SECRET), FileServer(public=["main"])]


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(record=RECORD)
def test_any_record_is_served_or_refused_with_a_reason(
    servers: list[FileServer], record: dict[str, Any]
) -> None:
    file = File.decode({**record, "saved": True})
    StorageManager.add_storage("main", "memory://", replace=True)
    storage = StorageManager.storage("main")
    storage.put("key", io.BytesIO(b"x" * 100), Attributes(content_type="text/plain"))
    public_record(file)
    for server in servers:
        for variant in (None, "small", "thumbnail"):
            try:
                url = server.url_for(file, variant=variant)
            except REFUSED as error:
                assert str(error)  # noqa: PT017  either is right
                continue
            assert url.isascii()
            answer = Client(server.wsgi).get(url.removeprefix(server.url))
            assert answer.status_code in (200, 404)
            assert "html" not in answer.headers["Content-Type"]
