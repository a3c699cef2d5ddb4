"""Names that modules load at their first use."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqlalchemy_file import detection


def test_a_name_that_a_module_has_not_is_an_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'sqlalchemy_file.detection' has no"):
        detection.nothing  # noqa: B018


def test_a_module_that_cannot_be_imported_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "with_late_modules"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from sqlalchemy_file.support.names import submodule_of\n"
        "__getattr__ = submodule_of(__name__)\n"
    )
    (package / "broken.py").write_text("import not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    import with_late_modules

    with pytest.raises(ModuleNotFoundError, match="not_installed"):
        with_late_modules.broken  # noqa: B018
    assert not hasattr(with_late_modules, "missing")
