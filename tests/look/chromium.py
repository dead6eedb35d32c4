"""A real headless Chromium for a page on disk: what it logs, what it asks of the network, how it looks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --disable-extensions"
)

PATIENCE = 120.0
"""Seconds that a page may take to be ready on a machine that is busy with other work."""


class Browser:
    """One Chromium with a profile of its own."""

    def __init__(self, profile: Path) -> None:
        binary, service = shutil.which("chromium"), shutil.which("chromedriver")
        if not binary or not service:
            pytest.skip("no chromium here: apt-get install chromium chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in [*_FLAGS.split(), f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})  # type: ignore[no-untyped-call]
        self.driver = webdriver.Chrome(options=options, service=Service(service))
        self.driver.set_script_timeout(PATIENCE)

    def open(self, page: Path, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Load a page from disk at a size and in a colour scheme, and wait until its outputs are there to read."""
        self.logged(), self.requested()
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.get(page.resolve().as_uri())
        if self.count("#data"):
            ready = "return document.documentElement.dataset.ready === 'yes'"
            WebDriverWait(self.driver, PATIENCE).until(lambda driver: driver.execute_script(ready))

    def js(self, script: str, *arguments: Any) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        """The first element that fits."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        """All elements that fit."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def count(self, selector: str) -> int:
        """How many elements fit."""
        return len(self.all(selector))

    def text(self, selector: str) -> str:
        """All text in the first element that fits, hidden or not."""
        return str(self.js("return document.querySelector(arguments[0]).textContent", selector))

    def texts(self, selector: str) -> list[str]:
        """Of all that fit."""
        return list(self.js("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector))

    def press(self, *keys: str) -> None:
        """Type on the page, or into what has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def choose(self, selector: str, start: str) -> None:
        """Choose the option that starts so."""
        script = """
            const select = document.querySelector(arguments[0]);
            select.value = [...select.options].find((o) => o.text.startsWith(arguments[1])).value;
            select.dispatchEvent(new Event("change", { bubbles: true }));
        """
        self.js(script, selector, start)

    def logged(self) -> list[str]:
        """What the console says since it was last asked."""
        return [line["message"] for line in self.driver.get_log("browser")]

    def requested(self) -> list[str]:
        """Every address asked of the network since it was last asked, files included."""
        events = [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def quit(self) -> None:
        """End it."""
        self.driver.quit()
