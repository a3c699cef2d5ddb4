"""Objects in a container of Apache Libcloud."""

from sqlalchemy_file.storage.libcloud.storage import LibcloudStorage

__all__ = ["LibcloudStorage"]
