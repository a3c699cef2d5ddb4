"""The content type and the name of an object that has none."""

from __future__ import annotations

UNKNOWN_TYPE = "application/octet-stream"
"""The content type of bytes of which nothing is known."""

UNNAMED = "unnamed"
"""The name of a file that has none."""
