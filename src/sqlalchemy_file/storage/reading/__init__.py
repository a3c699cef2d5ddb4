"""Stored objects, open for reading."""
