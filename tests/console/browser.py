"""A headless Chromium that notices what a page must not do: complain, or ask anybody but its own server."""

import contextlib
import json
import os
import urllib.parse

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import harness

__all__ = ["By", "Keys", "Browser"]

QUIET = ("--headless=new", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars",
         "--no-proxy-server", "--force-device-scale-factor=1", "--lang=en")


class Browser:
    """One window on one origin, logged in there."""

    def __init__(self, origin, directory):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in QUIET:
            options.add_argument(argument)
        options.add_argument(f"--user-data-dir={directory}")
        if os.geteuid() == 0:
            # Chromium's sandbox does not run as root.
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.origin = origin
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver", log_path=os.devnull), options=options)
        self.driver.set_page_load_timeout(harness.PATIENCE_S)
        self.size(1280, 900)
        self.scheme("light")
        # What the window showed and asked for before it was ours.
        self.driver.get("about:blank")
        self.misdeeds()

    def log_in(self):
        parts = urllib.parse.urlsplit(self.origin)
        self.driver.get(f"http://{harness.USER}:{urllib.parse.quote(harness.PASSWORD)}@{parts.netloc}/")
        self.wait(lambda: self.heading() == "Overview" and not self.busy(), "the overview")

    def size(self, width, height):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def scheme(self, name):
        """light or dark, as the reader's system would say."""
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": name}, {"name": "prefers-reduced-motion", "value": "reduce"}]})

    def go(self, fragment):
        """Another view of the page, by its address."""
        # Through an address that is none, so that the same one is shown anew.
        self.driver.execute_script("window.location.hash = '#/none'")
        self.wait(lambda: self.heading() == "There is no such page", "the page to leave")
        self.driver.execute_script("window.location.hash = arguments[0]", fragment)
        self.wait(lambda: self.heading() != "There is no such page", fragment)

    def busy(self):
        """Whether the view has no answer yet."""
        return self.driver.execute_script("return document.querySelector('main').getAttribute('aria-busy') === 'true'")

    def heading(self):
        return self.driver.execute_script("return document.querySelector('h1')?.textContent ?? ''")

    def text(self, selector="main"):
        text = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText).join('\\n')", selector)
        return "\n".join(line for line in text.splitlines() if line.strip())

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def count(self, selector):
        return len(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def wait(self, condition, what):
        def holds(_):
            with contextlib.suppress(Exception):
                return condition()
        try:
            return WebDriverWait(self.driver, 20, poll_frequency=0.05).until(holds)
        except TimeoutException:
            raise AssertionError(f"{what}; there is:\n{self.text('body')}") from None

    def wait_text(self, text, selector="main"):
        self.wait(lambda: text in self.text(selector), text)

    def press(self, *keys):
        """Keys to whatever has the focus, as a keyboard gives them."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self):
        """The accessible name of what has the focus, as far as it has one, or its id."""
        return self.driver.execute_script(
            "const e = document.activeElement; return e.getAttribute('aria-label') || e.id || e.textContent.trim()")

    @contextlib.contextmanager
    def cut_off(self, pattern):
        """Meanwhile requests whose address fits a pattern do not get through. What the page made of it, the
        browser's own complaints of it aside, is left to misdeeds()."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [pattern]})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        assert all("ERR_BLOCKED_BY_CLIENT" in line for line in self.misdeeds())

    def violations(self, axe):
        """What axe-core, of which axe is the source, finds wrong with what is shown."""
        if self.driver.execute_script("return typeof axe") == "undefined":
            self.driver.execute_script(axe + "; window.axe = axe;")
        return self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1]; axe.run().then((r) => done(r.violations.map("
            "(v) => v.id + ': ' + v.nodes.map((n) => n.target + ' ' + n.failureSummary).join('; '))))")

    def overflow(self):
        """How many pixels of the page are beyond the right edge of the window."""
        return self.driver.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def screenshot(self, path):
        self.driver.execute_script("window.scrollTo(0, 0); document.activeElement.blur()")
        self.driver.save_screenshot(str(path))

    def misdeeds(self):
        """What the page complained of, and whom else it asked, since the last time."""
        found = [entry["message"] for entry in self.driver.get_log("browser")]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                parts = urllib.parse.urlsplit(url)
                if f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" != self.origin and parts.scheme != "data":
                    found.append(url)
        return found

    def close(self):
        self.driver.quit()
