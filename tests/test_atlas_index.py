"""The gallery in headless Chromium: a thousand units, found, sorted and looked at."""

import dataclasses
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from mfvjax.atlas.cover import sheet
from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.index import read_entries, render_index, write_index
from mfvjax.report.embed import jpeg, thumbnail_sheet
from tests import chromium
from tests.run_example import example_run
from tests.test_atlas_parts import make_plan

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Selenium's own sockets

NUM_UNITS = 1000
WORDS = ("tench", "golf ball", '<b>church</b> & "steeple"', "garbage truck", "parachute, chute")


def example(unit, number, plan):
    run = example_run(num_facets=3, num_images=12, image_size=96, seed=number)
    return dataclasses.replace(
        run,
        unit=unit,
        title=f"{WORDS[number % 5]} {'ABCDEFGHIJ'[number % 10]}",
        network={**run.network, **plan.network},
        scores={**run.scores, "activation": run.scores["activation"] + number},
    )


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """Units 0 to 3 as they are stored, and no more of a network of a thousand."""
    plan = make_plan(tuple(f"fc8:{i}" for i in range(5)))
    folder = AtlasFolder(tmp_path_factory.mktemp("atlas") / "größe & <atlas>", plan)
    for i in range(4):
        folder.publish(f"fc8:{i}", example(f"fc8:{i}", i, plan))
    write_index(folder)
    yield folder
    folder.__exit__()


@pytest.fixture(scope="module")
def thousand(atlas):
    """The page of a thousand units, their folders copies of the four."""
    plan = make_plan(tuple(f"fc8:{i}" for i in range(NUM_UNITS)))
    path = atlas.path.parent / "thousand"
    entries = list(read_entries(atlas).values())
    with AtlasFolder(path, plan) as folder:
        many = {}
        for i, unit in enumerate(plan.units):
            entry, target = entries[i % 4], folder.unit_path(unit)
            target.mkdir()
            for name in ("cover.jpg", "facets.jpg"):
                shutil.copy(atlas.unit_path(f"fc8:{i % 4}") / name, target)
            scores = {**entry["scores"], "activation": float(i * 37 % NUM_UNITS)}
            title = f"{WORDS[i % 5]} {i % 7}"
            many[unit] = {
                **entry, "unit": unit, "title": title, "scores": scores,
                "path": f"units/{target.name}",
            }  # fmt: skip
        page = path / "index.html"
        page.write_text(render_index(folder, many), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = chromium.start(tmp_path_factory.mktemp("profile"))
    yield chromium.Browser(driver)
    driver.quit()


def shown(browser):
    return browser.js(
        "return [...document.querySelectorAll('.unit:not([hidden])')]"
        ".map(card => card.querySelector('small span').textContent)"
    )


def search(browser, text):
    """Types into the field, and how many milliseconds the page took to show what it found."""
    return browser.js(
        "const find = document.querySelector('#find'); find.value = arguments[0];"
        "const start = performance.now(); find.dispatchEvent(new Event('input'));"
        "document.body.getBoundingClientRect(); return performance.now() - start",
        text,
    )


def sort_by(browser, title):
    browser.js(
        "const sort = document.querySelector('#sort');"
        "sort.value = [...sort.options].find(o => o.text === arguments[0]).value;"
        "sort.dispatchEvent(new Event('change'))",
        title,
    )


def test_the_page_tells_of_finished_and_missing_units(atlas, browser):
    browser.open(atlas.path / "index.html")
    assert browser.log() == []
    assert browser.one("h1").text == "fc8 of net"
    assert browser.one(".lead").text == "4 units, 12 facets; pool of 9 images"
    assert browser.one(".missing summary").text == "1 of 5 units are not finished"
    assert shown(browser) == [f"fc8:{i}" for i in range(4)]
    names = [card.text.splitlines()[0] for card in browser.all(".unit")]
    assert names[2] == '<b>church</b> & "steeple" C'
    pictures = browser.js("return [...document.images].map(i => [i.complete, i.naturalWidth])")
    assert pictures == [[True, 115]] * 4 or all(width > 90 for _, width in pictures)
    browser.one(".unit").click()
    assert browser.js("return location.pathname").endswith("units/fc8-0000/report.html")
    assert browser.one("h1").text.startswith("tench A")


def test_a_thousand_units_open_and_are_found_quickly(thousand, browser):
    browser.open(thousand)
    # By the page's own clock: starting the driver's command is not opening the page.
    opened = browser.js("return performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert browser.log() == []
    assert browser.one("#count").text == "1,000 units"
    assert 0 < opened < 5000
    assert thousand.stat().st_size < 2e6
    loaded = browser.js("return performance.getEntriesByType('resource').length")
    assert loaded < 300  # pictures load as they come into view
    assert max(search(browser, text) for text in ("golf", "parachute 3", "fc8:99", "")) < 500
    search(browser, "golf 3")
    found = shown(browser)
    assert found == [f"fc8:{i}" for i in range(NUM_UNITS) if i % 5 == 1 and i % 7 == 3]
    assert browser.one("#count").text == f"{len(found)} of 1,000 units"
    search(browser, "421")
    assert shown(browser) == ["fc8:421"]
    search(browser, "no such thing")
    assert shown(browser) == []
    browser.one("#clear").click()
    assert len(shown(browser)) == NUM_UNITS


def test_units_are_sorted_by_name_and_by_score(thousand, browser):
    browser.open(thousand)
    sort_by(browser, "Activation")
    order = sorted(range(NUM_UNITS), key=lambda i: (-(i * 37 % NUM_UNITS), i))
    assert shown(browser)[:20] == [f"fc8:{i}" for i in order[:20]]
    assert browser.one(".unit .score").text == "999"
    browser.one("#turn").click()
    assert shown(browser)[0] == f"fc8:{order[-1]}"
    sort_by(browser, "Name")
    search(browser, "golf")
    assert shown(browser)[0] == next(
        f"fc8:{i}" for i in range(NUM_UNITS) if i % 5 == 1 and i % 7 == 0
    )


def test_all_facets_of_each_unit_can_be_shown(thousand, browser):
    browser.open(thousand)
    browser.one("[data-show=facets]").click()
    sources = browser.js("return [...document.images].slice(0, 3).map(i => i.src.split('/').pop())")
    assert sources == ["facets.jpg"] * 3
    browser.js("return document.images[0].decode()")
    assert browser.js("return document.images[0].naturalWidth") == 3 * 96
    assert browser.one("[data-show=facets]").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("width", [1400, 820, 320])
def test_nothing_sticks_out_at_any_width(thousand, browser, width):
    browser.open(thousand, width=width, mobile=width < 500)
    assert browser.js("return document.documentElement.scrollWidth") <= width
    browser.one("[data-show=facets]").click()
    assert browser.js("return document.documentElement.scrollWidth") <= width


def test_the_page_loads_nothing_from_elsewhere(thousand, browser):
    browser.open(thousand)
    browser.js(
        "document.body.append(Object.assign(new Image(), {src: 'http://localhost:9/x.png'}))"
    )
    browser.js("return new Promise(done => setTimeout(done, 50))")
    assert any("Content Security Policy" in entry["message"] for entry in browser.log())


def test_the_sheet_of_facets_goes_row_by_row():
    cells = [np.full((2, 2, 3), i, np.uint8) for i in range(7)]
    whole = sheet(cells)
    assert whole.shape == (4, 10, 3)
    assert whole[2, 2, 0] == 6
    assert whole[3, 9, 0] == 255
    assert sheet(cells[:2]).shape == (2, 4, 3)


def test_pictures_of_noise_can_be_embedded():
    """More than a byte per pixel even as JPEG, which Pillow cannot optimize."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 48, 3), np.uint8)
    assert thumbnail_sheet(noise).uri.startswith("data:image/jpeg;base64,")
    data = jpeg(noise.reshape(8 * 48, 8 * 48, 3))
    assert Image.open(io.BytesIO(data)).size == (384, 384)
