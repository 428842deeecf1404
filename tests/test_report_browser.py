"""The page in headless Chromium: it loads nothing, says nothing, and map and facets are linked."""

import base64
import dataclasses

import numpy as np
import pytest

from mfvjax.report import write_page
from tests import chromium
from tests.report_runs import shown_run
from tests.run_example import example_run

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Selenium's own sockets

WIDTHS = (1400, 820, 390, 320)  # pixels: from a desk to the smallest phone


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = chromium.start(tmp_path_factory.mktemp("profile"))
    yield chromium.Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def run():
    """Ten facets of fifteen real images, far enough apart on the map to point at."""
    run = shown_run(10, 15, num_images=200)
    side = np.arange(200)
    places = np.stack([side % 15, side // 15], 1).astype(np.float32)
    return dataclasses.replace(run, real=dataclasses.replace(run.real, map=places))


@pytest.fixture(scope="module")
def path(run, tmp_path_factory):
    return write_page(run, tmp_path_factory.mktemp("page") / "größe & <page>.html")


@pytest.fixture
def page(browser, path):
    browser.open(path)
    return browser


def test_nothing_is_loaded_and_nothing_goes_wrong(page, browser, path):
    assert page.log() == []
    requests = page.js(
        "return performance.getEntriesByType('resource').map(entry => entry.name.slice(0, 200))"
    )
    assert all(name.startswith("data:") for name in requests), requests
    assert page.js("return location.protocol") == "file:"


def test_the_policy_stops_what_would_be_loaded(page):
    """The control of the test above: a request is refused, and is seen in the console."""
    page.js("document.body.append(Object.assign(new Image(), {src: 'http://localhost:9/x.png'}))")
    page.js("return new Promise(done => setTimeout(done, 50))")
    assert any("Content Security Policy" in entry["message"] for entry in page.log())


def test_every_picture_is_decoded(page, run):
    sizes = page.js(
        "return Promise.all([...document.querySelectorAll('img[src]')]"
        ".map(async image => { await image.decode(); return image.naturalWidth; }))"
    )
    shown = page.js("return document.querySelectorAll('.facet [data-image] img').length")
    assert shown == 150
    assert len(sizes) == 10 * (3 + len(run.shown.phase_ends)) + 150 + 1
    assert min(sizes) > 0
    boxes = page.js(
        "return [...document.querySelectorAll('.facet img')]"
        ".map(image => image.getBoundingClientRect()).map(b => [b.width, b.height])"
    )
    assert np.min(boxes) > 20
    np.testing.assert_allclose(*np.transpose(boxes), rtol=0.02)  # square, as the images are


def test_thumbnails_lie_on_their_points(page):
    """What is seen at an image's place is its thumbnail, and the plot's point lies under it."""
    middles = page.js(
        "const plane = document.querySelector('#plane').getBoundingClientRect();"
        "const middle = e => { const b = e.getBoundingClientRect();"
        "  return [(b.left + b.right) / 2 - plane.left, (b.top + b.bottom) / 2 - plane.top]"
        "    .map(v => v / plane.width); };"
        "return ['.thumbs .sprite', '.plot .points use'].map("
        "  s => [...document.querySelectorAll(`#plane ${s}`)].map(middle))"
    )
    np.testing.assert_allclose(middles[0], middles[1], atol=3e-3)
    points = page.js("return JSON.parse(document.querySelector('#data').textContent).points")
    np.testing.assert_allclose(sorted(middles[0]), sorted(points), atol=3e-3)


def test_pointing_at_an_image_shows_it_and_its_facet(page, run):
    image = 42
    page.mouse("move", page.place(image))
    facet = int(run.real.assignment[image])
    assert page.facets(".on") == [facet]
    assert page.one(".preview").is_displayed()
    assert page.one(".preview .name").text == run.real.names[image]
    assert f"Facet {facet + 1}" in page.one(".preview .fact").text
    sprite = page.js(
        "const style = getComputedStyle(document.querySelector('.preview .sprite'));"
        "return ['--columns', '--u', '--v'].map(name => Number(style.getPropertyValue(name)))"
    )
    assert sprite[1:] == [image % sprite[0], image // sprite[0]]
    page.mouse("move", (2, 2))
    assert not page.one(".preview").is_displayed()
    assert page.facets(".on") == []


@pytest.mark.parametrize("show", ["images", "points"])
def test_a_click_on_the_map_goes_to_the_facet(page, run, show):
    page.one(f"[data-show={show}]").click()
    assert page.one(".thumbs").is_displayed() is (show == "images")
    image = 77
    facet = int(run.real.assignment[image])
    page.mouse("click", page.place(image))
    assert page.js("return location.hash") == f"#facet-{facet + 1}"
    top = page.js(
        f"return document.querySelector('#facet-{facet + 1}').getBoundingClientRect().top"
    )
    assert 0 <= top < 450
    page.mouse("move", (2, 2))
    assert page.facets(".facet.on, .tile.on, .chip.on, .badge.on, tr.on") == [facet]


def test_a_facet_stands_out_on_the_map(page):
    """From a tile and from a facet's card to the map, by pointer and by link."""
    page.js("document.querySelector('.tile[data-facet=\"4\"]').dispatchEvent("
            "new PointerEvent('pointerenter'))")  # fmt: skip
    assert page.facets(".thumbs .on") == page.facets(".points.on") == [4]
    opacity = "return Number(getComputedStyle(document.querySelector(arguments[0])).opacity)"
    assert page.js(opacity, ".thumbs [data-facet='4']") == 1
    assert page.js(opacity, ".thumbs [data-facet='5']") < 0.3
    page.one(".tile[data-facet='4']").click()
    assert page.js("return location.hash") == "#facet-5"
    page.one("#facet-5 .back").click()
    assert page.js("return location.hash") == "#map"
    page.mouse("move", (2, 2))
    assert page.facets(".thumbs .on") == [4]  # still chosen
    page.key("Escape")
    assert page.facets(".on") == []
    assert page.js("return location.hash") == ""


def test_the_address_chooses_a_facet(browser, path):
    browser.open(path.with_name(path.name))
    browser.driver.get(path.as_uri() + "#facet-3")
    browser.driver.refresh()
    assert browser.facets(".on") == [2]
    browser.js("history.pushState(null, '', '#facet-9'); dispatchEvent(new Event('hashchange'))")
    assert browser.facets(".on") == [8]


def test_the_map_is_walked_with_the_keyboard(page, run):
    """The images stand in a grid of 15 columns: each arrow leads to the next one."""
    page.js("document.querySelector('#plane').focus()")
    name = lambda: page.one(".preview .name").text  # noqa: E731
    page.key("ArrowRight")
    assert name() == run.real.names[0]
    for key, image in [("ArrowRight", 1), ("ArrowUp", 16), ("ArrowLeft", 15), ("ArrowLeft", 15)]:
        page.key(key)
        assert name() == run.real.names[image], key
    page.key("Enter")
    assert page.js("return location.hash") == f"#facet-{run.real.assignment[15] + 1}"


def test_an_image_is_enlarged_and_found_on_the_map(page, run):
    facet, place = 6, 3
    image = int(run.facets.nearest[facet, place])
    page.one(f"#facet-{facet + 1} [data-image='{image}']").click()
    assert page.one("#viewer").is_displayed()
    assert run.real.names[image] in page.one("#viewer .name").text
    page.key("ArrowRight")
    following = int(run.facets.nearest[facet, place + 1])
    assert run.real.names[following] in page.one("#viewer .name").text
    page.one("#viewer [data-go=map]").click()
    assert not page.one("#viewer").is_displayed()
    assert page.one(".preview .name").text == run.real.names[following]
    assert page.facets(".on") == [int(run.real.assignment[following])]
    box = page.js("return document.querySelector('.cursor').getBoundingClientRect()")
    np.testing.assert_allclose(
        [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2], page.place(following), atol=2
    )


def test_escape_closes_the_enlarged_image_first(page):
    page.driver.get(page.driver.current_url + "#facet-2")
    page.one("#facet-2 .vis .zoom").click()
    page.key("Escape")
    assert not page.one("#viewer").is_displayed()
    assert page.js("return location.hash") == "#facet-2"


def column(page, index):
    rows = "[...document.querySelectorAll('tbody tr')]"
    text = page.js(f"return {rows}.map(row => row.cells[arguments[0]].textContent.trim())", index)
    return [float(t.replace(",", "")) if t != "\N{EN DASH}" else np.nan for t in text]


def test_the_table_is_sorted_by_any_column(page, run):
    names = ["facet", "size", "homogeneity", *run.scores]
    heads = page.all("thead button")
    assert len(heads) == len(names)
    index = names.index("color_distance")
    for order, sign in (("ascending", 1), ("descending", -1)):
        heads[index].click()
        values = column(page, index)
        assert np.isnan(values[-1])
        assert (np.diff(values[:-1]) * sign >= 0).all()
        assert page.all("thead th")[index].get_attribute("aria-sort") == order
    heads[names.index("activation")].click()  # higher is better: the best first
    assert (np.diff(column(page, names.index("activation"))) <= 0).all()
    heads[0].click()
    assert column(page, 0) == list(range(1, 11))
    assert len(page.all("[aria-sort]")) == 1


def test_the_best_values_are_bold(page, run):
    best = "[...document.querySelectorAll('tbody tr')].filter(row => row.cells[arguments[0]]"
    best = f"return {best}.matches('.best')).map(row => Number(row.dataset.facet))"
    names = ["facet", "size", "homogeneity", *run.scores]
    lower = int(np.nanargmin(run.scores["color_distance"]))
    higher = int(np.argmax(run.scores["activation_percentile"]))
    assert page.js(best, names.index("color_distance")) == [lower]
    assert page.js(best, names.index("activation_percentile")) == [higher]
    assert page.js(best, names.index("size")) == []


@pytest.mark.parametrize("num_facets", [1, 10, 14])
def test_no_window_scrolls_sideways(browser, path, tmp_path, num_facets):
    if num_facets != 10:
        path = write_page(example_run(num_facets, 80, 16), tmp_path / "page.html")
    for width in WIDTHS:
        browser.open(path, width=width, height=800, mobile=width < 500)
        assert browser.js("return document.documentElement.scrollWidth") <= width
        outside = browser.js(
            "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll')"
            " && e.getBoundingClientRect().right > innerWidth + 1)"
            ".map(e => e.outerHTML.slice(0, 99))"
        )
        assert outside == [], width


def test_facets_stand_around_the_map_or_below_it(browser, path):
    boxes = (
        "return ['#plane', ...[...Array(10).keys()].map(i => `.tile[data-facet='${i}']`)]"
        ".map(s => document.querySelector(s).getBoundingClientRect())"
        ".map(b => [b.left, b.top, b.right, b.bottom])"
    )
    browser.open(path)
    plane, *tiles = browser.js(boxes)
    assert sum(tile[2] < plane[0] for tile in tiles) == 5
    assert sum(tile[0] > plane[2] for tile in tiles) == 5
    browser.open(path, width=390, mobile=True)
    plane, *tiles = browser.js(boxes)
    assert plane[2] - plane[0] > 340
    assert all(tile[1] > plane[3] for tile in tiles)


def test_a_first_tap_shows_an_image_and_a_second_opens_its_facet(browser, path, run):
    browser.open(path, width=390, height=800, mobile=True)
    browser.cdp("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        image = 100
        browser.tap(browser.place(image))
        assert browser.one(".preview .name").text == run.real.names[image]
        assert browser.js("return location.hash") == ""
        browser.tap(browser.place(image))
        assert browser.js("return location.hash") == f"#facet-{run.real.assignment[image] + 1}"
    finally:
        browser.cdp("Emulation.setTouchEmulationEnabled", enabled=False)


def luminance(color):
    channels = np.array([float(c) for c in color.strip("rgba()").split(",")[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_words_are_readable_in_both_schemes(browser, path, dark):
    browser.open(path, dark=dark)
    ground = luminance(browser.js("return getComputedStyle(document.body).backgroundColor"))
    assert bool(ground < 0.1) is dark
    for selector in (".lead", ".note", "figcaption", "h3", ".scores dt", "thead th", ".unit"):
        color = f"return getComputedStyle(document.querySelector('{selector}')).color"
        light = sorted([luminance(browser.js(color)) + 0.05, ground + 0.05])
        assert light[1] / light[0] >= 4.5, selector


def test_paper_shows_everything_that_the_screen_shows(page, run):
    """Nothing is left to the pointer; the thumbnails are one picture, so that it prints at once."""
    page.cdp("Emulation.setEmulatedMedia", media="print")
    try:
        assert not page.one(".bar").is_displayed()
        assert not page.one(".switch").is_displayed()
        assert not page.one(".thumbs").is_displayed()
        assert page.one(".printed").is_displayed()
        printed = page.one("#facet-1 .real figcaption").text
        assert all(run.real.names[i] in printed for i in run.facets.nearest[0, 5:])
        for definition in page.all(".definitions dd"):
            assert definition.is_displayed()
    finally:
        page.cdp("Emulation.setEmulatedMedia", media="")
    pdf = page.cdp("Page.printToPDF", printBackground=False)["data"]
    assert base64.b64decode(pdf).startswith(b"%PDF")


HOSTILE = [
    "<img src=x onerror=\"document.title='hostile'\">",
    '"><svg onload="document.title=\'hostile\'">',
    "</script><script>document.title='hostile'</script>",
    "' onpointerenter='document.title=`hostile`' x='",
    "<!--<script>",
]


def test_hostile_names_do_nothing(browser, tmp_path):
    run = example_run(2, 20, 16, title=HOSTILE[0], unit=HOSTILE[1] + ":1")
    names = tuple(f"{i} {HOSTILE[i % len(HOSTILE)]}" for i in range(20))
    classes = (tuple(HOSTILE),) * 2
    run = dataclasses.replace(
        run,
        real=dataclasses.replace(run.real, names=names),
        shown=dataclasses.replace(run.shown, top_class_names=classes),
        options={name: name for name in HOSTILE},
        scores={name: np.arange(2.0) for name in HOSTILE},
        summary=dict.fromkeys(HOSTILE, 1.0),
    )
    browser.open(write_page(run, tmp_path / "page.html"))
    for image in range(len(HOSTILE)):
        browser.js("document.querySelector('#plane').focus()")
        browser.mouse("move", browser.place(image))
    image = int(run.facets.nearest[0, 0])
    browser.one(f"[data-image='{image}']").click()
    assert names[image] in browser.one("#viewer .name").text
    assert browser.js("return document.title") == f"{HOSTILE[0]} \N{EN DASH} facets"
    assert browser.js("return document.querySelectorAll('script').length") == 2
    handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
    assert browser.js(f"return {handlers}.filter(name => name.startsWith('on'))") == []
    assert browser.log() == []


def test_without_script_everything_is_there(browser, path, run):
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(path)
        assert len(browser.all(".facet .real img")) == 150
        assert browser.one(".thumbs").is_displayed()
        assert not browser.one(".preview").is_displayed()
        assert len(browser.all("tbody tr")) == 10
    finally:
        browser.cdp("Emulation.setScriptExecutionDisabled", value=False)
