"""Looks at the examples' pages in Chromium: they follow live, survive a restart, and look as they should.

By hand, after `tests/run-all.sh examples`:

    cd tests && ../target/tests/venv/bin/python -m browser

Screenshots of every page, as on a phone and on a desktop, light and dark, are left in target/tests/screenshots.
"""

import re
import sys
import time
import urllib.parse

from selenium.webdriver.common.keys import Keys

from browser.beside_django import beside_django
from browser.chromium import Chromium
from browser.looking import LIVE, look_at, mark, unmoved
from harness import Checks, Order, OrderTracking, Server, arguments, free_port

OUTAGE = re.compile(r"net::ERR_(CONNECTION|EMPTY|SOCKET)|WebSocket connection to .* failed")
REFUSAL = re.compile(r"the server responded with a status of 403|WebSocket connection to .* failed")
ORDER_LINKS = "a[href*='/orders/']"
SEED = 20_261_202
COUNT = 1_000
LONG_NAME = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbeamter"  # 60 characters, as many as fit


def main():
    options = arguments("Looks at the examples' pages in Chromium.")
    logs = options.out / "logs"
    checks = Checks("browser")
    with (
        checks.part("The pages"),
        OrderTracking(options, "browser") as server,
        Chromium(logs / "chromedriver.log") as browser,
    ):
        for part in (tracking, outage, wrong_token, board, focus):
            with checks.part(part.__doc__):
                part(checks, server, browser)
        for part in (missed, chat, compression, looks, beside_django):
            with checks.part(part.__doc__):
                part(checks, options, browser)
    return checks.finish(logs)


def tracking(checks, server, browser):
    """Placing an order and following it"""
    browser.open(server.url + "/")
    fill_in(browser.find("#place-form"))
    checks.soon("the form leads to the order's page", lambda: "/orders/" in browser.driver.current_url, within=3)
    checks.soon("the page is live", browser.shows(*LIVE), within=3)
    checks.equal("it shows the order placed", browser.attribute("#status", "data-status"), "placed")

    order = shown_order(server, browser)
    mark(browser)
    for status in ("paid", "preparing", "shipped", "out_for_delivery"):
        order.move(status, f"a note about {status}")
        checks.soon(f"{status} is shown", browser.shows("#status", "data-status", status), within=1)
    for step in range(4):
        order.locate(52.5 + step / 100, 13.4 + step / 100)
    checks.soon("the timeline tells the notes", lambda: "a note about shipped" in browser.text(), within=1)
    unmoved(checks, browser)
    nothing_unexpected(checks, browser)


def outage(checks, server, browser):
    """The server goes and comes back"""
    order = server.place("Grace")
    browser.open(order.page)
    checks.soon("the page is live", browser.shows(*LIVE), within=3)

    mark(browser)
    server.stop()
    checks.soon("the page says that it is not live", lambda: not browser.shows(*LIVE)(), within=2)
    checks.one_of("in the right words", browser.attribute("#connection", "data-state"), ("connecting", "offline"))
    checks.equal("what it showed is still there", browser.attribute("#status", "data-status"), "placed")

    # Out of the page's sight, at another address.
    port, server.port = server.port, free_port()
    server.start()
    order.move("paid", "while nobody looked")
    server.stop()
    server.port = port
    checks.true("it is not live before the server is", not browser.shows(*LIVE)())
    server.start()
    checks.soon("the page comes back by itself", browser.shows(*LIVE), within=20)
    checks.soon("it shows what happened meanwhile", browser.shows("#status", "data-status", "paid"), within=1)
    checks.true("and its note", "while nobody looked" in browser.text(), browser.text())
    order.move("preparing")
    checks.soon("it follows again", browser.shows("#status", "data-status", "preparing"), within=1)
    unmoved(checks, browser)
    nothing_unexpected(checks, browser, but=OUTAGE)


def wrong_token(checks, server, browser):
    """A wrong token"""
    order = server.place("Mallory")
    browser.open(f"{server.url}/orders/{order.id}?token=wrong")
    checks.soon("the page says refused", browser.shows("#connection", "data-state", "refused"), within=3)
    checks.true("it shows nothing of the order", "Mallory" not in browser.text(), browser.text())
    browser.requests()
    time.sleep(5)
    checks.equal("it does not ask again", browser.requests(), [])
    nothing_unexpected(checks, browser, but=REFUSAL)


def board(checks, server, browser):
    """The board"""
    orders = [server.place("Ada"), server.place("Grace")]
    browser.open(server.board)
    checks.soon("the page is live", browser.shows(*LIVE), within=3)
    for order in orders:
        checks.soon(f"order {order.id} is there", browser.shows(row(order), "data-status", "placed"), within=1)

    mark(browser)
    for status in ("paid", "preparing", "shipped"):
        for order in orders:
            order.move(status)
            checks.soon(f"order {order.id} is {status}", browser.shows(row(order), "data-status", status), within=1)
    unmoved(checks, browser)

    late = server.place("Barbara")
    checks.soon("an order placed later appears", browser.shows(row(late), "data-status", "placed"), within=1)
    nothing_unexpected(checks, browser)


def missed(checks, options, browser):
    """The board misses an event"""
    with OrderTracking(options, "browser-missed") as server:
        order = server.place("Ada")
        for status in ("paid", "preparing"):
            order.move(status)
        browser.open(server.board)
        checks.soon("the order is there", browser.shows(row(order), "data-status", "preparing"), within=3)
        # Another instance on the same database, but not on the same backend.
        with OrderTracking(options, "browser-missed-mute", database=server.database) as mute:
            Order(mute, order.id, order.token).move("shipped")
        time.sleep(0.5)
        checks.true("it has not heard of the step", browser.shows(row(order), "data-status", "preparing")())
        order.locate(52.5, 13.4)
        checks.soon("with the next event it shows it", browser.shows(row(order), "data-status", "shipped"), within=1)
        nothing_unexpected(checks, browser)
        browser.open("about:blank")


def focus(checks, server, browser):
    """The keyboard"""
    browser.open(server.url + "/")
    reached = {}
    for _ in range(8):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        element, *ring = browser.script("""
            const element = document.activeElement, style = getComputedStyle(element);
            return [element.outerHTML.slice(0, 80), style.outlineStyle, style.boxShadow]""")
        if not element.startswith("<body"):
            reached[element] = ring
    checks.true("the form's fields and its button are reached", len(reached) >= 3, reached)
    checks.equal(
        "what has the focus shows it", [element for element, ring in reached.items() if ring == ["none", "none"]], []
    )
    nothing_unexpected(checks, browser)


def chat(checks, options, browser):
    """The chat"""
    with Server(options, "chat", "browser-chat") as rooms:
        browser.open(rooms.url)
        first, second = browser.handle, browser.new_window()
        browser.open(rooms.url)
        time.sleep(1)
        for sender, receiver, message in ((second, first, "Land ho!"), (first, second, "Aye, <b>land</b> & sea")):
            browser.switch(sender)
            field = [field for field in browser.all("input, textarea") if field.is_displayed()][-1]
            field.send_keys(message, Keys.ENTER)
            browser.switch(receiver)
            checks.soon(f"'{message}' appears in the other window", lambda: message in browser.text(), within=1)
        browser.close_window(back_to=first)
        look_at(checks, browser, "chat", options.out)
        nothing_unexpected(checks, browser)
        browser.open("about:blank")


def compression(checks, options, browser):
    """Compressed messages"""
    with Server(options, "hub-deflate", "browser-deflate", "--deflate", "--max-message", str(2**18)) as hub:
        # No page, but an answer from the same address, which is all that a script needs.
        browser.open(hub.url)
        browser.console_errors()
        extensions, wrong = browser.exchange(hub.ws + "/echo", SEED, COUNT)
        checks.equal(
            "the browser negotiates it",
            extensions,
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        )
        checks.equal(f"{COUNT} messages of seed {SEED} come back in order and unchanged", wrong, [])
        checks.equal("nothing severe on the console", browser.console_errors(), [])


def looks(checks, options, browser):
    """How it looks"""
    with OrderTracking(options, "browser-looks", simulate=5) as server:
        browser.open(server.url)
        checks.soon("the five orders on their way are there", lambda: len(browser.all(ORDER_LINKS)) >= 5, within=3)
        look_at(checks, browser, "home", options.out)
        for name, page in (("tracking", busy_order(server).page), ("board", server.board)):
            browser.open(page)
            checks.soon(f"{name} is live", browser.shows(*LIVE), within=3)
            look_at(checks, browser, name, options.out)
        nothing_unexpected(checks, browser)


def busy_order(server):
    """An order on its way, with words that do not fit a phone."""
    order = server.place(LONG_NAME, [{"name": LONG_NAME, "quantity": 12}, {"name": "Tea", "quantity": 1}])
    for status in ("paid", "preparing", "shipped", "out_for_delivery"):
        order.move(status, f"{LONG_NAME} has seen to it")
    for step in range(5):
        order.locate(52.50 + step / 100, 13.36 + step / 50)
    return order


def fill_in(form):
    for field in form.find_elements("css selector", "input:not([type=hidden]), textarea"):
        if field.is_displayed() and not field.get_attribute("value"):
            field.send_keys("1" if field.get_attribute("type") == "number" else "Ada")
    form.find_element("css selector", "[type=submit], button:not([type=button])").click()


def shown_order(server, browser):
    """The order whose page is open."""
    address = urllib.parse.urlsplit(browser.driver.current_url)
    [order_id] = re.findall(r"^/orders/(\d+)$", address.path)
    return Order(server, int(order_id), urllib.parse.parse_qs(address.query)["token"][0])


def row(order):
    return f"#board [data-order-id='{order.id}']"


def nothing_unexpected(checks, browser, but=None):
    errors = [error for error in browser.console_errors() if not (but and but.search(error))]
    checks.equal("nothing severe on the console", errors, [])
    checks.equal("no breach of the content security policy", browser.script("return window.watched.violations"), [])


if __name__ == "__main__":
    sys.exit(main())
