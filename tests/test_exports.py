"""The names and paths that programs import. To add one is a decision; to lose one breaks them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import sqlalchemy_file
from sqlalchemy_file import exceptions

PATHS = {
    "sqlalchemy_file": ["File", "FileField", "ImageField", "StorageManager"],
    "sqlalchemy_file.base": ["BaseFile"],
    "sqlalchemy_file.exceptions": [
        "AspectRatioValidationError",
        "ContentTypeValidationError",
        "DimensionValidationError",
        "InvalidImageError",
        "SizeValidationError",
        "ValidationError",
    ],
    "sqlalchemy_file.file": ["File"],
    "sqlalchemy_file.helpers": ["convert_size", "get_content_from_file_obj"],
    "sqlalchemy_file.mutable_list": ["MutableList"],
    "sqlalchemy_file.processors": ["Processor", "ThumbnailGenerator"],
    "sqlalchemy_file.storage": ["StorageManager"],
    "sqlalchemy_file.stored_file": ["StoredFile"],
    "sqlalchemy_file.types": ["FileField", "ImageField"],
    "sqlalchemy_file.transforms": [
        "Convert",
        "Fit",
        "PictureTransform",
        "StripMetadata",
        "Transform",
    ],
    "sqlalchemy_file.validators": [
        "ContentTypeValidator",
        "ImageValidator",
        "SizeValidator",
        "Validator",
    ],
}


def test_the_package_exports_just_these_names() -> None:
    public = {
        name
        for name, value in vars(sqlalchemy_file).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(sqlalchemy_file.__all__) == PATHS["sqlalchemy_file"]
    assert public - {"annotations"} == set(PATHS["sqlalchemy_file"])


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in PATHS.items() for name in names]
)
def test_import_path_holds(module: str, name: str) -> None:
    assert hasattr(import_module(module), name)


@pytest.mark.parametrize("name", PATHS["sqlalchemy_file.exceptions"])
def test_refusals_are_validation_errors(name: str) -> None:
    assert issubclass(getattr(exceptions, name), exceptions.ValidationError)


def test_old_and_new_paths_lead_to_the_same_class() -> None:
    new = import_module("sqlalchemy_file.storage").StoredFile
    assert import_module("sqlalchemy_file.stored_file").StoredFile is new


@pytest.mark.parametrize("name", ["FileField", "ImageField"])
def test_fields_say_that_they_live_in_types(name: str) -> None:
    # starlette-admin finds its converters by this dotted name
    assert getattr(sqlalchemy_file, name).__module__ == "sqlalchemy_file.types"


def test_what_few_programs_need_is_loaded_at_its_first_use() -> None:
    program = (
        "import sys, sqlalchemy_file, sqlalchemy_file.ledger\n"
        "print(*(name for name in sys.argv[1:] if name in sys.modules))\n"
    )
    rare = ("sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.mysql", "PIL", "obstore")
    rare += ("libcloud.storage.drivers.s3", "libcloud.storage.base", "fsspec", "xml.etree")
    done = subprocess.run(
        [sys.executable, "-c", program, *rare], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_the_storage_of_libcloud_is_there_when_it_is_asked_for() -> None:
    from sqlalchemy_file.storage import LibcloudStorage

    assert LibcloudStorage.__module__ == "sqlalchemy_file.storage.libcloud"
    with pytest.raises(ImportError, match="Nope"):
        from sqlalchemy_file.storage import Nope  # noqa: F401
