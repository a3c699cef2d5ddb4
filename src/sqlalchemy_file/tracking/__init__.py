"""The heart: which objects a transaction has stored, and which it has released."""

from sqlalchemy_file.tracking.listeners import install

__all__ = ["install"]
