"""The examples of ``examples/web``, each in a folder of its own, with its database and files."""

from __future__ import annotations

import gc
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Engine

from sqlalchemy_file.serving import set_url_resolver

EXAMPLES = Path(__file__).parents[2] / "examples" / "web"


@pytest.fixture(autouse=True)
def collected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Free the uploads that frameworks leave open within the test whose warnings are ignored."""
    yield
    for phase in ("setup", "call"):  # an error that a framework logs refers to the upload
        caplog.get_records(phase).clear()
    gc.collect()


@pytest.fixture
def example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], ModuleType]]:
    """Return a function that imports an example by its name."""
    folder = tmp_path / "web"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("output", "__pycache__"))
    monkeypatch.syspath_prepend(folder)
    yield import_module
    set_url_resolver(None)
    own = [sys.modules[path.stem] for path in folder.glob("*.py") if path.stem in sys.modules]
    for module in own:
        _close(module)
        del sys.modules[module.__name__]


def _close(module: ModuleType) -> None:
    """Close the connections of an example, which a program leaves to its end."""
    if isinstance(getattr(module, "engine", None), Engine):  # the others close their own
        module.engine.dispose()
    if hasattr(module, "db"):  # Flask-SQLAlchemy's
        with module.app.app_context():
            module.db.engine.dispose()
    if hasattr(module, "SQLModel"):  # whose metadata all programs share
        for each in vars(module).values():
            if getattr(each, "__module__", None) == module.__name__ and hasattr(each, "__table__"):
                module.SQLModel.metadata.remove(each.__table__)
