"""What is looked for in every page: that it is live, that nothing in it jumps, that its text can be read."""

import time

from browser.chromium import SIZES

LIVE = "#connection", "data-state", "live"


def look_at(checks, browser, name, out):
    """Layout and contrast of the page that is open, and its screenshots, in every size and theme."""
    for size, (width, _) in SIZES.items():
        for theme in ("light", "dark"):
            browser.look(size, theme)
            time.sleep(0.5)
            what = f"{name}, {size}, {theme}"
            seen = browser.script("return [document.documentElement.clientWidth, document.documentElement.scrollWidth]")
            checks.true(
                f"{what}: nothing to scroll sideways",
                seen[0] <= width and seen[1] <= seen[0],
                f"client and scroll width are {seen}",
            )
            checks.equal(f"{what}: every text can be read", browser.faint_texts(), [])
            browser.screenshot(out / "screenshots" / f"{name}-{size}-{theme}.png")
    browser.look("desktop", "light")


def mark(browser):
    """From here on the document must stay and nothing in it may jump; `unmoved` looks."""
    browser.script("window.marker = 'the same document'; window.watched.shift = 0")


def unmoved(checks, browser):
    # Layout shifts are reported with the next frames.
    time.sleep(0.5)
    checks.equal("without a reload", browser.script("return window.marker"), "the same document")
    checks.true(
        "nothing jumps", browser.script("return window.watched.shift < 0.01"), browser.script("return window.watched")
    )
