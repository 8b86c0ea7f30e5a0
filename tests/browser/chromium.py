"""Debian's Chromium without a screen, driven through Debian's chromedriver; nothing is downloaded."""

import base64
import json
import os
import pathlib
import shutil
import tempfile

from selenium import webdriver
from selenium.webdriver.common.by import By

HERE = pathlib.Path(__file__).parent
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)
SIZES = {"phone": (360, 740), "desktop": (1280, 860)}


class Chromium:
    """One browser with a fresh profile; what is asked of it goes to the window opened or chosen last."""

    def __init__(self, log):
        # Selenium talks to chromedriver over loopback.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
        self.profile = tempfile.TemporaryDirectory(prefix="strait-chromium-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = installed("chromium")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        for flag in (*FLAGS, f"--user-data-dir={self.profile.name}"):
            options.add_argument(flag)
        service = webdriver.ChromeService(executable_path=installed("chromedriver"), log_output=str(log))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.prepare_window()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()
        self.profile.cleanup()

    # --- windows ---

    def prepare_window(self):
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=(HERE / "watch.js").read_text())
        self.look("desktop", "light")

    def new_window(self):
        """Opens a window, works in it from now on, and returns its handle for `switch`."""
        self.driver.switch_to.new_window("window")
        self.prepare_window()
        return self.driver.current_window_handle

    def close_window(self, back_to):
        self.driver.close()
        self.switch(back_to)

    def switch(self, handle):
        self.driver.switch_to.window(handle)

    @property
    def handle(self):
        return self.driver.current_window_handle

    def look(self, size, theme):
        """Shows the window as on a phone or a desktop, in a light or a dark theme."""
        width, height = SIZES[size]
        phone = size == "phone"
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    # --- the page ---

    def open(self, url):
        self.driver.get(url)

    def find(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def script(self, source, *arguments):
        return self.driver.execute_script(source, *arguments)

    def attribute(self, css, name):
        """The attribute as it is now, or None; asked in the page, so an element being replaced does not disturb."""
        return self.script("return document.querySelector(arguments[0])?.getAttribute(arguments[1]) ?? null", css, name)

    def shows(self, css, name, value):
        """The condition that the attribute has the value."""
        return lambda: self.attribute(css, name) == value

    def text(self):
        return self.script("return document.body.innerText")

    def faint_texts(self):
        return self.script((HERE / "contrast.js").read_text())

    def exchange(self, url, seed, count):
        """Sends this many random messages to an echo, and returns the extensions in use and what was wrong."""
        source = (HERE.parent / "exchange.js").read_text()
        self.driver.set_script_timeout(300)
        return self.driver.execute_async_script(f"{source}\nexchange(WebSocket, ...arguments);", url, seed, count)

    def screenshot(self, path):
        """The whole page, also what a window of this size would have to scroll to."""
        size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        image = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(image["data"]))

    # --- what happened behind the page ---

    def requests(self):
        """The addresses asked for since the last call, WebSockets included."""
        addresses = []
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                addresses.append(event["params"]["request"]["url"])
            elif event["method"] == "Network.webSocketCreated":
                addresses.append(event["params"]["url"])
        return addresses

    def console_errors(self):
        """The severe lines on the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def cdp(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)


def installed(program):
    path = shutil.which(program)
    if path is None:
        raise SystemExit(f"{program} is missing: tests/run-all.sh installs it")
    return path
