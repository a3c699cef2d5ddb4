"""The content type and the name to use if they are unknown."""

from __future__ import annotations

UNKNOWN_TYPE = "application/octet-stream"
"""The content type of unknown bytes."""

UNNAMED = "unnamed"
"""The name of a file without a name."""
