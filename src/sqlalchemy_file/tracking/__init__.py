"""The heart: which objects a transaction has stored, and which became unreferenced."""

from sqlalchemy_file.tracking.listeners import install

__all__ = ["install"]
