"""Track the objects that a transaction stores, and those that become unreferenced."""

from sqlalchemy_file.tracking.listeners import install

__all__ = ["install"]
