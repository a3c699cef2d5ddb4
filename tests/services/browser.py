"""Debian's Chromium, driven through Playwright, without a word to anybody but the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.services.processes import find_program, missing_programs

_FLAGS = (
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


def missing() -> str | None:
    """Return one line that says what to install, or None where the tests can have a browser."""
    return missing_programs(("chromium",), "Chromium", "chromium")


@contextmanager
def running() -> Iterator[Browser]:
    """Run Chromium until the block is left.

    Playwright keeps an event loop in this thread meanwhile: no ``asyncio.run`` beside it.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_program("chromium"), headless=True, args=list(_FLAGS)
        )
        try:
            yield browser
        finally:
            browser.close()
