"""What a test does that needs a server which is not installed."""

from __future__ import annotations

import os
from types import ModuleType

import pytest


def require(service: ModuleType) -> None:
    """Skip where a server is not installed; in CI, where nothing may be skipped, fail."""
    reason = service.missing()
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
