"""The page in a browser, opened once."""

import io
import itertools
import time

import numpy as np
import pytest
from PIL import Image

from imbdet.report import write_report
from tests.browser import needs_browser, start_browser
from tests.report.comparisons import all_comparisons
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


def number_undrawn(page):
    script = "return document.querySelectorAll('[role=tabpanel]:not([hidden]) .canvas').length - "
    return page.execute_script(
        script + "document.querySelectorAll('[role=tabpanel]:not([hidden]) .main-svg:first-child')"
        ".length"
    )


def test_all_tabs_open_and_all_figures_are_drawn(page):
    for name in TABS:
        open_tab(page, name)
        wait_for(lambda: number_undrawn(page) == 0)
        shown = page.find_elements(By.CSS_SELECTOR, "[role=tabpanel]:not([hidden])")
        assert [panel.get_attribute("id") for panel in shown] == [name]
    assert len(page.find_elements(By.CSS_SELECTOR, ".js-plotly-plot")) >= 30
    images = "[...document.querySelectorAll('.zoom img')]"
    page.execute_script(f"{images}.forEach((image) => image.loading = 'eager')")
    wait_for(lambda: page.execute_script(f"return {images}.every((i) => i.naturalWidth > 0)"))


def test_a_class_that_is_a_script_is_a_text(page):
    assert page.title != "harm"
    open_tab(page, "evaluation")
    names = [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "#evaluation td")]
    assert SCRIPT in names
    wait_for(lambda: number_undrawn(page) == 0)
    labels = page.find_elements(By.CSS_SELECTOR, "#evaluation .xtick text")
    assert SCRIPT in [label.text for label in labels]


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


def test_hovering_tells_the_numbers(page):
    open_tab(page, "training")
    wait_for(lambda: number_undrawn(page) == 0)
    plot = page.find_element(By.CSS_SELECTOR, "#training .nsewdrag")
    places = itertools.cycle([(0, 0), (1, 1)])

    def hover():
        # Again and again: plotly may not be listening yet.
        webdriver.ActionChains(page).move_to_element_with_offset(plot, *next(places)).perform()
        return page.find_elements(By.CSS_SELECTOR, "#training .hoverlayer text")

    wait_for(hover)
    text = page.find_element(By.CSS_SELECTOR, "#training .hoverlayer").text
    # Of one of the iterations in the middle, 39 and 59.
    assert "total_loss : 1.61" in text or "total_loss : 1.41" in text


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
    wait_for(lambda: number_undrawn(page) == 0)
    slider = page.find_element(By.CSS_SELECTOR, "#records .stages")
    label = page.find_element(By.CSS_SELECTOR, "#records output")
    seen = {}
    for key in ("", *3 * [Keys.ARROW_RIGHT]):
        slider.send_keys(key)
        seen[label.text] = page.execute_script(
            "const [cells] = document.querySelector('#records .canvas')._fullData;"
            "return cells.customdata.flatMap((row) => [...row]).reduce((a, b) => a + b)"
        )
    whole = seen.pop("whole training")
    assert list(seen) == ["iterations 0 to 9", "iterations 10 to 19", "iterations 20 to 29"]
    assert sum(seen.values()) == whole > 0


def test_light_and_dark(page):
    open_tab(page, "training")
    switch = page.find_element(By.ID, "theme")

    def colors():
        wait_for(lambda: number_undrawn(page) == 0)
        paper = page.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        text = page.find_element(By.CSS_SELECTOR, "#training .xtick text")
        line = page.find_element(By.CSS_SELECTOR, "#training .js-line")
        return paper, text.value_of_css_property("fill"), line.value_of_css_property("stroke")

    light = colors()
    switch.click()
    dark = colors()
    assert all(a != b for a, b in zip(light, dark, strict=True))
    switch.click()
    assert colors() == light
    # Before a reader chooses, the system does.
    page.execute_script("delete document.documentElement.dataset.theme")
    for features, expected in (
        ([{"name": "prefers-color-scheme", "value": "dark"}], dark),
        ([], light),
    ):
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        wait_for(lambda expected=expected: colors() == expected)


def test_a_phone_never_scrolls_sideways(page):
    for name in TABS:  # plots that are hidden when the window shrinks, too
        page.execute_script("location.hash = arguments[0]", name)
        wait_for(lambda: number_undrawn(page) == 0)
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    width = "return document.documentElement.scrollWidth"
    for name in TABS:
        page.execute_script("location.hash = arguments[0]", name)
        wait_for(lambda: number_undrawn(page) == 0)
        assert page.find_element(By.ID, name).is_displayed()
        # What was drawn before shrinks a moment after the window.
        wait_for(lambda: page.execute_script(width) == 390)
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pictures_open_at_full_size(page):
    open_tab(page, "evaluation")
    viewer = page.find_element(By.ID, "viewer")
    assert not viewer.is_displayed()
    button = page.find_elements(By.CSS_SELECTOR, "#evaluation .zoom")[1]
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
        """The grey of its left or right end, but for letters."""
        image = Image.open(io.BytesIO(table.screenshot_as_png)).convert("L")
        return np.median(np.asarray(image)[:, 1 if side == "left" else -2])

    assert rim("right") < rim("left")
    page.execute_script("arguments[0].scrollLeft = 1000", table)
    wait_for(lambda: rim("left") < rim("right"))
    page.execute_script("arguments[0].firstElementChild.style.width = ''", table)
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_comparison(comparison):
    conclusion = comparison.find_element(By.CSS_SELECTOR, "#overview .verdict").text
    assert "<b>bold is better than base: AP" in conclusion or "undecided" in conclusion
    open_tab(comparison, "figures")
    wait_for(lambda: number_undrawn(comparison) == 0)
    assert comparison.title != "harm"
    assert len(comparison.find_elements(By.CSS_SELECTOR, "#figures .js-plotly-plot")) == 22
    labels = comparison.find_elements(By.CSS_SELECTOR, "#figures .xtick text")
    assert SCRIPT in [label.text for label in labels]
    selector = "[aria-label='Change against base']"
    changes = comparison.find_elements(By.CSS_SELECTOR, f"#figures {selector}")[1]
    place = {"xval": 1, "yval": 0}
    comparison.execute_script("Plotly.Fx.hover(...arguments)", changes, place, "xy")
    text = changes.find_element(By.CSS_SELECTOR, ".hoverlayer").text
    assert f"{SCRIPT} (5)" in text
    assert text.count(", undecided") == 3
