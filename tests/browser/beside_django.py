"""The Django project whose sockets strait holds: what Django changes appears in the page."""

import contextlib
import signal

from browser.looking import LIVE, look_at, mark, unmoved
from harness import REPOSITORY, BesideDjango, DjangoSite, Redis


def beside_django(checks, options, browser):
    """Django beside strait"""
    tested, pinned = pins(REPOSITORY / "tests/requirements.txt"), pins(DjangoSite.project / "requirements.txt")
    checks.true("what is tested is what the example pins", pinned and pinned <= tested, pinned - tested)
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(Redis(options, "browser-django-redis"))
        # Each names the other's address, so both have one before either starts.
        site = DjangoSite(options, "browser-django-site", redis, sockets_origin="")
        sockets = BesideDjango(options, "browser-django-sockets", site, redis)
        site.sockets_origin = sockets.ws
        stack.enter_context(site)
        stack.enter_context(sockets)
        for part in (page_follows, redis_comes_back, sockets_move_back):
            with checks.part(part.__doc__):
                part(checks, browser, site, sockets, redis)
        with checks.part("How Django's pages look"):
            looks(checks, browser, site, options.out)


def page_follows(checks, browser, site, sockets, _redis):
    """The page follows what Django does"""
    order_id = place(checks, browser, site, "Ada")
    browser.requests()
    # Those of the page that was open when its server ended.
    browser.console_errors()
    browser.open(f"{site.url}/orders/{order_id}/")
    checks.soon("the page is live", browser.shows(*LIVE), within=3)
    opened = [address for address in browser.requests() if address.startswith("ws")]
    checks.true("strait holds its socket", opened and all(url.startswith(sockets.ws) for url in opened), opened)

    watching = browser.handle
    mark(browser)
    browser.new_window()
    browser.open(site.url)
    browser.find(f"[data-order-id='{order_id}'] button").click()
    checks.soon("the list shows the step", browser.shows(*row(order_id), "paid"), within=3)
    browser.close_window(back_to=watching)
    checks.soon("a button in Django's list moves the page", shows(browser, "paid"), within=2)

    printed = site.manage("move_order", str(order_id), "shipped")
    checks.equal("the command says what it did", printed, f"order {order_id} is shipped\n")
    checks.soon("the management command moves the page", shows(browser, "shipped"), within=2)
    checks.equal("in words", browser.find("#label").text, "On its way")
    unmoved(checks, browser)
    checks.equal("nothing severe on the console", browser.console_errors(), [])


def redis_comes_back(checks, browser, site, _sockets, redis):
    """Redis is killed and comes back"""
    order_id = place(checks, browser, site, "Grace")
    browser.open(f"{site.url}/orders/{order_id}/")
    checks.soon("the page is live", browser.shows(*LIVE), within=3)
    mark(browser)
    browser.requests()
    redis.stop(signal.SIGKILL)
    site.manage("move_order", str(order_id), "paid")
    redis.start()
    checks.soon("the page learns what it missed", shows(browser, "paid"), within=10)
    site.manage("move_order", str(order_id), "preparing")
    checks.soon("and hears events again", shows(browser, "preparing"), within=3)
    opened = [address for address in browser.requests() if address.startswith("ws")]
    checks.equal("on the same socket", opened, [])
    unmoved(checks, browser)


def sockets_move_back(checks, browser, site, _sockets, _redis):
    """One setting moves the sockets back to Django"""
    order_id = place(checks, browser, site, "Barbara")
    site.stop()
    moved, site.sockets_origin = site.sockets_origin, ""
    site.start()
    browser.requests()
    browser.open(f"{site.url}/orders/{order_id}/")
    checks.soon("the page is live", browser.shows(*LIVE), within=3)
    opened = [address for address in browser.requests() if address.startswith("ws")]
    checks.true("Django holds its socket", opened and all(url.startswith(site.ws) for url in opened), opened)
    site.manage("move_order", str(order_id), "paid")
    checks.soon("the management command moves the page", shows(browser, "paid"), within=2)
    site.stop()
    site.sockets_origin = moved
    site.start()
    checks.soon("the page goes on when Django has restarted", browser.shows(*LIVE), within=20)


def looks(checks, browser, site, out):
    long_name = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbeamter"
    order_id = place(checks, browser, site, long_name)
    look_at(checks, browser, "django-list", out)
    browser.open(f"{site.url}/orders/{order_id}/")
    checks.soon("the page is live", browser.shows(*LIVE), within=3)
    site.manage("move_order", str(order_id), "preparing")
    checks.soon("the page shows the step", shows(browser, "preparing"), within=2)
    look_at(checks, browser, "django-order", out)


def pins(path):
    return {line for line in path.read_text().splitlines() if line and not line.startswith("#")}


def place(checks, browser, site, customer):
    """Places an order in Django's list and answers its number."""
    browser.open(site.url)
    before = newest(browser)
    browser.find("#customer").send_keys(customer)
    browser.find(".place button").click()
    checks.soon(f"the order for {customer[:20]} is in the list", lambda: newest(browser) > before, within=3)
    return newest(browser)


def newest(browser):
    return int(browser.attribute("[data-order-id]", "data-order-id") or 0)


def row(order_id):
    return f".orders [data-order-id='{order_id}']", "data-status"


def shows(browser, status):
    return browser.shows("#order", "data-status", status)
