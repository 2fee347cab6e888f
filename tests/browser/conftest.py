"""A headless Chromium for the tests of pages that people open."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # root has none, and a container may have none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chrome]:
    """A Chromium with a profile of its own, which logs what pages print and what they ask for."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("Chromium is not installed (Debian: chromium and chromium-driver)")
    options = ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as home:
        for argument in (*_ARGUMENTS, f"--user-data-dir={home}/profile"):
            options.add_argument(argument)
        chrome = Chrome(options=options, service=Service(driver, env={**os.environ, "HOME": home}))
        try:
            yield chrome
        finally:
            chrome.quit()
