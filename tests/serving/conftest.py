"""A database, and a storage in memory or in a local folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from sqlalchemy_file import StorageManager

from .models import Base


@pytest.fixture(params=["memory", "local"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of the storage."""
    if request.param == "memory":
        return "memory://"
    (tmp_path / "files").mkdir()
    return (tmp_path / "files").as_uri()


@pytest.fixture
def engine(storage_url: str) -> Iterator[Engine]:
    StorageManager.add_storage("main", storage_url)
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()
