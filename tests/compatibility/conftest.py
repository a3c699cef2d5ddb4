"""The folder and the database of a program that ran on release 0.7.0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from libcloud.storage.drivers.local import LocalStorageDriver
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sqlalchemy_file import StorageManager
from tests.compatibility.old_release import Base, Document, lay
from tests.stores import sqlite


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "att"
    folder.mkdir()
    container = LocalStorageDriver(str(tmp_path)).get_container("att")
    StorageManager.add_storage("att", container)
    return folder


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = sqlite(Base, f"sqlite:///{tmp_path}/x.db")
    yield engine
    engine.dispose()


@pytest.fixture
def old(session: Session, folder: Path) -> Document:
    lay(session, folder)
    return session.get_one(Document, 1)
