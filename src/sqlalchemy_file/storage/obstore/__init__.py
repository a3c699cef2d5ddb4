"""Objects in an obstore store: S3, Google, Azure and the like."""

from sqlalchemy_file.storage.obstore.storage import ObstoreStorage

__all__ = ["ObstoreStorage"]
