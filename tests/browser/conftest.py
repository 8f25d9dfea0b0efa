"""A headless Chromium for the tests that look at pages as people see them."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Browser:
    """Chromium through its driver; `driver` is selenium's."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def look(self, width: int, height: int = 900, dark: bool = False, media: str = "screen") -> None:
        """Set the size of the window in pixels, the colour scheme and the medium."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme, still]})

    def open(self, address: str | Path) -> None:
        """Open a file or an address, with empty logs."""
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(address.resolve().as_uri() if isinstance(address, Path) else address)

    def run(self, script: str, *values: Any) -> Any:
        """What JavaScript returns."""
        return self.driver.execute_script(script, *values)

    def complaints(self) -> list[str]:
        """What the console has logged since `open`."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses asked for since `open`."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent if not one["request"]["url"].startswith("data:")]

    def picture(self, path: Path, height: int | None = None) -> None:
        """Save a screenshot, from the top of the page to `height` pixels (default: all of it)."""
        width, whole = self.run("return [innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
        options = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        content = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
        path.write_bytes(base64.b64decode(content))


@pytest.fixture(scope="session")
def _driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def browser(_driver: Any) -> Browser:
    """Chromium, with a window of 1024 x 900 pixels."""
    browser = Browser(_driver)
    browser.look(1024)
    return browser
