"""Confirm that no row refers to an object, and delete it."""
