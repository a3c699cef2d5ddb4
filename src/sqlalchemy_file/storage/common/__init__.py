"""Shared by all kinds of storages: protocol, locations, attributes, errors, streams."""
