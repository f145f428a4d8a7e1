"""A browser without a window, for tests of pages."""

import importlib.util
import shutil

import pytest

BINARIES = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
needs_browser = pytest.mark.skipif(
    not all(BINARIES.values()) or importlib.util.find_spec("selenium") is None,
    reason="needs selenium, and chromium and chromedriver on the PATH",
)

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


def start_browser(profile):
    """A chromium with a profile folder of its own, which keeps the messages of its console."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BINARIES["chromium"]
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(BINARIES["chromedriver"]))
