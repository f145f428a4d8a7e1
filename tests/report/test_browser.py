"""The page in a browser, opened once."""

import base64
import html
import io
import re
import time

import numpy as np
import pytest
from PIL import Image

from imbdet.drawing.style import short
from imbdet.report import write_report
from tests.browser import needs_browser, start_browser
from tests.figures.comparisons import all_comparisons
from tests.report.factories import SCRIPT, write_analysis, write_run

webdriver = pytest.importorskip("selenium.webdriver")
By = pytest.importorskip("selenium.webdriver.common.by").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys

pytestmark = needs_browser

TABS = ("overview", "training", "evaluation", "records", "figures", "pictures", "configuration")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser") / "run"
    write_run(folder)
    browser = start_browser(folder.parent / "profile")
    browser.get(write_report(folder).as_uri())
    yield browser
    # Whatever the tests did, nothing went wrong on the way.
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    browser.quit()


@pytest.fixture
def comparison(page, tmp_path):
    """The page of a comparison, in another window of the same browser."""
    write_analysis(tmp_path, all_comparisons(4))
    first = page.current_window_handle
    page.switch_to.new_window("tab")
    page.get(write_report(tmp_path).as_uri())
    yield page
    page.close()
    page.switch_to.window(first)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def open_tab(page, name):
    page.find_element(By.ID, f"tab-{name}").click()
    assert page.find_element(By.ID, name).is_displayed()


def drawings(page, tab):
    """The SVGs of a tab, those that a slider hides left out."""
    return page.find_elements(By.CSS_SELECTOR, f"#{tab} .zoom:not([hidden]) .drawing")


def svg_of(drawing):
    address = drawing.get_attribute("src")
    assert address.startswith("data:image/svg+xml;base64,")
    return base64.b64decode(address.partition(",")[2]).decode()


def test_all_tabs_open_and_all_figures_are_drawn(page):
    images = "[...document.querySelectorAll('.zoom img')]"
    page.execute_script(f"{images}.forEach((image) => image.loading = 'eager')")
    for name in TABS:
        open_tab(page, name)
        shown = page.find_elements(By.CSS_SELECTOR, "[role=tabpanel]:not([hidden])")
        assert [panel.get_attribute("id") for panel in shown] == [name]
        for drawing in drawings(page, name):
            assert drawing.is_displayed()
    # Curves of losses, AP, learning rate and time; one drawing for each site; the studies.
    numbers = [len(drawings(page, name)) for name in ("training", "records", "figures")]
    assert numbers == [4, 2, 14]
    wait_for(lambda: page.execute_script(f"return {images}.every((i) => i.naturalWidth > 0)"))


def test_a_class_that_is_a_script_is_a_text(page):
    assert page.title != "harm"
    open_tab(page, "evaluation")
    names = [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "#evaluation td")]
    assert SCRIPT in names
    assert any(
        html.escape(short(SCRIPT), quote=False) in svg_of(d) for d in drawings(page, "evaluation")
    )


def test_tabs_by_keys(page):
    open_tab(page, "overview")
    for key, name in (
        (Keys.ARROW_RIGHT, "training"),
        (Keys.END, "configuration"),
        (Keys.ARROW_RIGHT, "overview"),
        (Keys.ARROW_LEFT, "configuration"),
        (Keys.HOME, "overview"),
    ):
        page.switch_to.active_element.send_keys(key)
        assert page.find_element(By.ID, name).is_displayed()
        assert page.switch_to.active_element.get_attribute("id") == f"tab-{name}"
        assert page.current_url.endswith(f"#{name}")


def test_tables_are_sorted_by_a_click(page):
    open_tab(page, "evaluation")
    table = page.find_elements(By.CSS_SELECTOR, "#evaluation table")[1]

    def column(index):
        return [
            cell.text for cell in table.find_elements(By.CSS_SELECTOR, f"td:nth-child({index})")
        ]

    ap = table.find_element(By.CSS_SELECTOR, "th:nth-child(3) button")
    ap.click()
    assert column(3) == ["4.50", "30.00", "-"]
    ap.click()
    assert column(3) == ["30.00", "4.50", "-"]  # what is not known stays last
    header = table.find_element(By.CSS_SELECTOR, "th:nth-child(3)")
    assert header.get_attribute("aria-sort") == "descending"
    table.find_element(By.CSS_SELECTOR, "th:nth-child(2) button").click()
    assert column(2) == ["5", "20", "100"]


def test_the_slider_goes_through_the_training(page):
    open_tab(page, "records")
    slider = page.find_element(By.CSS_SELECTOR, "#records .stages")
    label = page.find_element(By.CSS_SELECTOR, "#records output")
    seen = {}
    for key in ("", *3 * [Keys.ARROW_RIGHT]):
        slider.send_keys(key)
        drawing = drawings(page, "records")[0]
        assert drawing.get_attribute("alt").endswith(label.text)
        (number,) = re.findall(r"chosen positives \((\d+)\)", svg_of(drawing))
        seen[label.text] = int(number)
    whole = seen.pop("whole training")
    assert list(seen) == ["iterations 0 to 9", "iterations 10 to 19", "iterations 20 to 29"]
    assert sum(seen.values()) == whole > 0


def test_light_and_dark(page):
    open_tab(page, "training")
    switch = page.find_element(By.ID, "theme")
    drawing = drawings(page, "training")[0]

    def colors():
        """Colour of the page, lightness of most of a drawing, and whether anything is drawn."""
        paper = page.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        pixels = np.asarray(Image.open(io.BytesIO(drawing.screenshot_as_png)).convert("L"))
        return paper, np.median(pixels), abs(pixels.mean() - np.median(pixels)) > 1

    light = colors()
    switch.click()
    dark = colors()
    assert light[1] > 240 > 50 > dark[1]
    assert light[0] != dark[0]
    assert light[2]
    assert dark[2]
    switch.click()
    assert colors() == light
    # Before a reader chooses a theme, that of the system holds.
    page.execute_script("delete document.documentElement.dataset.theme")
    for features, expected in (
        ([{"name": "prefers-color-scheme", "value": "dark"}], dark),
        ([], light),
    ):
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        wait_for(lambda expected=expected: colors() == expected)


def test_a_phone_never_scrolls_sideways(page):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    width = "return document.documentElement.scrollWidth"
    for name in TABS:
        page.execute_script("location.hash = arguments[0]", name)
        assert page.find_element(By.ID, name).is_displayed()
        wait_for(lambda: page.execute_script(width) == 390)
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pictures_open_at_full_size(page):
    open_tab(page, "evaluation")
    viewer = page.find_element(By.ID, "viewer")
    assert not viewer.is_displayed()
    button = page.find_elements(By.CSS_SELECTOR, "#evaluation .gallery .zoom")[1]
    button.send_keys(Keys.ENTER)
    assert viewer.is_displayed()
    image = viewer.find_element(By.TAG_NAME, "img")
    assert (image.get_attribute("alt"), image.size["width"]) == ("wide", 2000)
    # A wide picture is scrolled before the next one comes.
    area = page.switch_to.active_element
    area.send_keys(Keys.ARROW_RIGHT)
    assert image.get_attribute("alt") == "wide"
    viewer.find_element(By.CSS_SELECTOR, "[data-step='-1']").click()
    assert image.get_attribute("alt") == "<img src=x onerror=alert(1)>"
    page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert image.get_attribute("alt") == "wide"
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    wait_for(lambda: not viewer.is_displayed())
    assert page.switch_to.active_element == button


def test_a_wide_table_on_a_phone_shows_that_it_goes_on(page):
    open_tab(page, "evaluation")
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    table = page.find_element(By.CSS_SELECTOR, "#evaluation .table")
    page.execute_script("arguments[0].firstElementChild.style.width = '800px'", table)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", table)

    def rim(side):
        """The grey of its left or right end, apart from letters."""
        image = Image.open(io.BytesIO(table.screenshot_as_png)).convert("L")
        return np.median(np.asarray(image)[:, 1 if side == "left" else -2])

    assert rim("right") < rim("left")
    page.execute_script("arguments[0].scrollLeft = 1000", table)
    wait_for(lambda: rim("left") < rim("right"))
    page.execute_script("arguments[0].firstElementChild.style.width = ''", table)
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_drawing_opens_as_large_as_the_window(page):
    open_tab(page, "training")
    button = page.find_element(By.CSS_SELECTOR, "#training .zoom")
    button.send_keys(Keys.ENTER)
    viewer = page.find_element(By.ID, "viewer")
    image = viewer.find_element(By.TAG_NAME, "img")
    assert image.size["width"] > 1000
    assert viewer.find_element(By.TAG_NAME, "p").text == "Losses (1 of 4)"
    page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert viewer.find_element(By.TAG_NAME, "p").text == "Average precision (2 of 4)"
    page.switch_to.active_element.send_keys(Keys.ESCAPE)


def test_a_comparison(comparison):
    conclusion = comparison.find_element(By.CSS_SELECTOR, "#overview .verdict").text
    assert "<b>bold is better than base: AP" in conclusion or "undecided" in conclusion
    open_tab(comparison, "figures")
    assert comparison.title != "harm"
    shown = {drawing.get_attribute("alt"): drawing for drawing in drawings(comparison, "figures")}
    assert len(shown) == 9
    classes = svg_of(shown["AP of each class"])
    assert html.escape(f"{short(SCRIPT)} (5)", quote=False) in classes
    # The text above the figure says how to read it.
    text = comparison.find_element(By.ID, "figures").text
    assert "The class that gains most comes first" in text
