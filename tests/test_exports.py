"""The names and paths that programs import. To add one is a decision; to lose one breaks them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType

import pytest

import sqlalchemy_file
from sqlalchemy_file import exceptions

PATHS = {
    "sqlalchemy_file": [
        "File",
        "FileField",
        "ImageField",
        "StorageManager",
    ],
    "sqlalchemy_file.base": [
        "BaseFile",
    ],
    "sqlalchemy_file.exceptions": [
        "AspectRatioValidationError",
        "CommitRefusedError",
        "ContentSpentError",
        "ContentTypeValidationError",
        "DeletionError",
        "DimensionValidationError",
        "InvalidImageError",
        "InvalidKeyError",
        "InvalidStorageError",
        "LedgerError",
        "MissingExtraError",
        "ObjectExistsError",
        "ObjectNotFoundError",
        "SQLAlchemyFileError",
        "SizeValidationError",
        "StorageError",
        "UnknownStorageError",
        "UnsupportedStatementError",
        "ValidationError",
        "ValidationErrors",
    ],
    "sqlalchemy_file.file": [
        "File",
    ],
    "sqlalchemy_file.helpers": [
        "convert_size",
        "get_content_from_file_obj",
    ],
    "sqlalchemy_file.integrations.alembic": [
        "CreateFileTriggersOp",
        "DropFileTriggersOp",
        "UpgradeFileLedgerOp",
        "ensure_triggers",
        "ledger_default",
        "render_item",
    ],
    "sqlalchemy_file.integrations.flask": [
        "send_file",
    ],
    "sqlalchemy_file.integrations.flask_admin": [
        "FilesView",
        "file_formatter",
    ],
    "sqlalchemy_file.integrations.litestar": [
        "FileResponse",
        "FilesDTO",
        "FilesPlugin",
        "refusal_response",
    ],
    "sqlalchemy_file.integrations.msgspec": [
        "PublicFile",
        "PublicVariant",
    ],
    "sqlalchemy_file.integrations.opentelemetry": [
        "instrument",
        "uninstrument",
    ],
    "sqlalchemy_file.integrations.quart": [
        "send_file",
    ],
    "sqlalchemy_file.integrations.sqladmin": [
        "FilesConverter",
        "FilesView",
        "file_formatter",
    ],
    "sqlalchemy_file.integrations.starlette": [
        "FileResponse",
        "problem_response",
        "refusal_response",
    ],
    "sqlalchemy_file.integrations.starlette_admin": [
        "FilesPlugin",
        "FilesView",
    ],
    "sqlalchemy_file.integrations.strawberry": [
        "FileType",
        "FileVariantType",
    ],
    "sqlalchemy_file.integrations.wtforms": [
        "StoredFileField",
        "StoredFilesField",
        "file_markup",
    ],
    "sqlalchemy_file.ledger": [
        "Ledger",
        "LedgerError",
        "Problem",
        "ledger_of",
        "named_paths",
    ],
    "sqlalchemy_file.mutable_list": [
        "MutableList",
    ],
    "sqlalchemy_file.observing": [
        "Count",
        "Observer",
        "Task",
        "Verb",
        "forget",
        "observe",
    ],
    "sqlalchemy_file.processors": [
        "Processor",
        "ThumbnailGenerator",
        "Variant",
        "Variants",
    ],
    "sqlalchemy_file.reconcile": [
        "Finding",
        "Progress",
        "Status",
        "StorageStatus",
        "acompare",
        "adrain",
        "astatus",
        "asweep",
        "compare",
        "drain",
        "forget",
        "status",
        "sweep",
    ],
    "sqlalchemy_file.serving": [
        "ByteRange",
        "FileFacts",
        "FileServer",
        "Handover",
        "INLINE_TYPES",
        "Plan",
        "Redirect",
        "RequestFacts",
        "Target",
        "XAccelRedirect",
        "content_disposition",
        "plan",
        "public_record",
        "set_url_resolver",
    ],
    "sqlalchemy_file.storage": [
        "AsyncStorage",
        "Attributes",
        "FsspecStorage",
        "HasDriverObject",
        "HasNotes",
        "HasPath",
        "HasPublicURL",
        "HasSignedDownload",
        "HasSignedURL",
        "HasUploads",
        "LibcloudStorage",
        "Limits",
        "LocalStorage",
        "MemoryStorage",
        "ObjectInfo",
        "ObstoreStorage",
        "PendingUpload",
        "Storage",
        "StorageManager",
        "StoredFile",
        "adapt",
        "check_key",
    ],
    "sqlalchemy_file.stored_file": [
        "StoredFile",
    ],
    "sqlalchemy_file.testing": [
        "AsyncStorageConformance",
        "Fault",
        "FaultyStorage",
        "StorageConformance",
        "delays",
        "fails",
        "flips_a_bit",
        "hangs",
        "loses_reply",
        "repeats",
        "tears",
    ],
    "sqlalchemy_file.transforms": [
        "Convert",
        "Fit",
        "PictureTransform",
        "StripMetadata",
        "Transform",
    ],
    "sqlalchemy_file.types": [
        "FileField",
        "ImageField",
    ],
    "sqlalchemy_file.validation": [
        "validate",
    ],
    "sqlalchemy_file.validators": [
        "AspectRatioValidationError",
        "ContentTypeValidationError",
        "ContentTypeValidator",
        "DimensionValidationError",
        "ImageValidator",
        "InvalidImageError",
        "SizeValidationError",
        "SizeValidator",
        "Validator",
        "convert_size",
    ],
}
"""The public API: the list ``__all__`` of each public module. All other modules are private."""


def test_the_package_exports_just_these_names() -> None:
    names = {name for name in dir(sqlalchemy_file) if not name.startswith("_")}
    public = {name for name in names if not isinstance(getattr(sqlalchemy_file, name), ModuleType)}
    assert sorted(sqlalchemy_file.__all__) == PATHS["sqlalchemy_file"]
    assert public - {"annotations"} == set(PATHS["sqlalchemy_file"])


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in PATHS.items() for name in names]
)
def test_import_path_holds(module: str, name: str) -> None:
    assert hasattr(import_module(module), name)


@pytest.mark.parametrize("module", PATHS)
def test_a_public_module_lists_its_names(module: str) -> None:
    assert sorted(import_module(module).__all__) == PATHS[module]


def test_private_modules_that_list_their_names_are_known() -> None:
    listing = {
        found.name
        for found in walk_packages(sqlalchemy_file.__path__, "sqlalchemy_file.")
        if not found.name.endswith("__main__") and hasattr(import_module(found.name), "__all__")
    }
    # mypy asks for the list where a package, or a module, passes on names of others
    private = {"sqlalchemy_file.detection", "sqlalchemy_file.tracking"}
    private |= {name for name in listing if name.startswith("sqlalchemy_file.storage.")}
    assert sorted(listing - private) == sorted(PATHS.keys() - {"sqlalchemy_file"})


REFUSALS = [
    "AspectRatioValidationError",
    "ContentTypeValidationError",
    "DimensionValidationError",
    "InvalidImageError",
    "SizeValidationError",
    "ValidationError",
    "ValidationErrors",
]


@pytest.mark.parametrize("name", REFUSALS)
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

    assert LibcloudStorage.__module__.startswith("sqlalchemy_file.storage.libcloud")
    with pytest.raises(ImportError, match="Nope"):
        from sqlalchemy_file.storage import Nope  # noqa: F401
