"""Objects in an obstore store: S3, Google Cloud Storage, Azure and others."""

from sqlalchemy_file.storage.obstore.storage import ObstoreStorage

__all__ = ["ObstoreStorage"]
