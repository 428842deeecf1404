"""Headless Chromium for the tests of the page: Debian's, driven by Selenium, nothing downloaded."""

import os
import shutil

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
]


def start(profile):
    """A driver with a fresh profile folder; skips the test where there is no Chromium.

    ``MFVJAX_CHROMIUM`` and ``MFVJAX_CHROMEDRIVER`` name other programs than those on the path.
    """
    browser = os.environ.get("MFVJAX_CHROMIUM") or shutil.which("chromium")
    driver = os.environ.get("MFVJAX_CHROMEDRIVER") or shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("no chromium and chromedriver: apt-get install chromium chromium-driver")
    selenium = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
    options = selenium.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return selenium.Chrome(options=options, service=selenium.ChromeService(driver))


class Browser:
    """A page in a window, asked by CSS selectors."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, *, width=1400, height=900, mobile=False, dark=False):
        """Opens a file in a window of this size; the page loads anew."""
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=mobile,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(path.as_uri())

    def cdp(self, command, **parameters):
        """The browser's own protocol."""
        return self.driver.execute_cdp_cmd(command, parameters)

    def js(self, code, *arguments):
        """What `code` returns."""
        return self.driver.execute_script(code, *arguments)

    def log(self):
        """Messages of the console since the last call."""
        return self.driver.get_log("browser")

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def facets(self, selector):
        """Facets of the elements that match and belong to one."""
        found = "[...document.querySelectorAll(arguments[0])].map(e => e.dataset.facet ?? -1)"
        return sorted(set(map(int, self.js(f"return {found}", selector))) - {-1})

    def place(self, image):
        """Where an image's point is in the window."""
        return self.js(
            "const [x, y] = JSON.parse(document.querySelector('#data').textContent)"
            ".points[arguments[0]];"
            "const plane = document.querySelector('#plane');"
            "plane.scrollIntoView({block: 'center'});"
            "const box = plane.getBoundingClientRect();"
            "return [box.left + x * box.width, box.top + y * box.height]",
            image,
        )

    def mouse(self, kind, place, **more):
        """Moves (``mouseMoved``) or clicks (``click``) the mouse."""
        at = {"x": place[0], "y": place[1]}
        self.cdp("Input.dispatchMouseEvent", type="mouseMoved", **at)
        if kind == "click":
            for step in ("mousePressed", "mouseReleased"):
                self.cdp("Input.dispatchMouseEvent", type=step, button="left", clickCount=1, **at)

    def tap(self, place):
        """Touches the screen for a moment."""
        point = {"x": place[0], "y": place[1]}
        self.cdp("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
        self.cdp("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, name):
        """Presses a key."""
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39}
        codes |= {"ArrowDown": 40, "Tab": 9}
        common = {"key": name, "code": name, "windowsVirtualKeyCode": codes[name]}
        text = {"text": "\r"} if name == "Enter" else {}
        self.cdp("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.cdp("Input.dispatchKeyEvent", type="keyUp", **common)
