"""The pages of docs/ as a site: without a warning or a dead link, searched from the disk."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.browser import needs_browser, start_browser

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a broken link or anchor, or a page that the menu lacks, is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_each_page_is_in_the_site_and_fetches_nothing(site):
    for page in ROOT.glob("docs/*.md"):
        html = (site / page.with_suffix(".html").name).read_text()
        fetched = re.findall(
            r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"?(https?:[^\" >]+)", html
        )
        assert fetched == [], page.name


def test_links_of_the_pages_outside_the_site_lead_somewhere(site):
    for page in [
        *ROOT.glob("*.md"),
        ROOT / "datasets" / "README.md",
        *ROOT.glob(".github/**/*.md"),
    ]:
        for link, anchor in re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", page.read_text()):
            target = page.parent / link
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                html = (site / target.with_suffix(".html").name).read_text()
                anchors = re.findall(r'id="([^"]+)"', html)
                assert anchor in anchors, f"{page.name}: {link}#{anchor}"


@needs_browser
def test_the_site_is_searched_from_the_disk(site, tmp_path):
    browser = start_browser(tmp_path)
    browser.get((site / "index.html").as_uri())
    field = browser.find_element("css selector", "input.md-search__input")
    field.click()
    field.send_keys("varifocal")
    deadline = time.monotonic() + 30
    while not (found := browser.find_elements("css selector", ".md-search-result__item a")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "methods.html" in found[0].get_attribute("href")
    assert browser.get_log("browser") == []
    browser.quit()
