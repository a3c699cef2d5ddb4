"""Attach files to SQLAlchemy models; the storage follows the transaction."""

from typing import TYPE_CHECKING

from sqlalchemy_file.support.names import at_first_column, late, submodule_of

if TYPE_CHECKING:
    from sqlalchemy_file.file import File
    from sqlalchemy_file.storage import StorageManager
    from sqlalchemy_file.types import FileField, ImageField

__all__ = ["File", "FileField", "ImageField", "StorageManager"]
__version__ = "1.0.0.dev0"

if not TYPE_CHECKING:
    __getattr__ = late(
        __name__,
        {
            "File": "sqlalchemy_file.file",
            "FileField": "sqlalchemy_file.types",
            "ImageField": "sqlalchemy_file.types",
            "StorageManager": "sqlalchemy_file.storage",
        },
        submodule_of(__name__),
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@at_first_column
def _start() -> None:
    # Without file columns there is nothing to follow.
    from sqlalchemy_file import validation  # noqa: F401, PLC0415
    from sqlalchemy_file.tracking import install  # noqa: PLC0415

    install()


del TYPE_CHECKING, at_first_column, late, submodule_of
