"""What is said of an object of which nothing is known."""

from __future__ import annotations

UNKNOWN_TYPE = "application/octet-stream"
"""The content type of bytes of which nothing is known."""

UNNAMED = "unnamed"
"""The name of a file that has none."""
